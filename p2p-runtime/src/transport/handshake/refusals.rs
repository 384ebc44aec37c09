//! Whoever is refused in a handshake is told to the audit log, by either end: one line, with the address and the reason.

use std::{sync::Arc, time::Duration};

use p2p_client::{
    revocation::{Reason, Subject},
    wire::{
        dial::{Dial, DialError, PeerRef, TlsDial},
        net::Network,
        tls::{ClientTls, Expect, TlsMaterial},
    },
};
use rcgen::ExtendedKeyUsagePurpose::ClientAuth;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;
use crate::{
    audit::{AuditLog, Audited},
    identity::{
        ChallengeResponder, NodeIdentity, NodeKey, Way, renewal, rotation,
        tests::{AuditLines, MemoryVault, cluster, forged, from_now, issuing, ledger, worker, worker_at},
    },
    transport::{
        GossipDial, GossipLink, GossipLinkConfig, HttpHandler, ListenerLimits, MemoryHost, MemoryNetwork, NoSessions, Server,
        TlsGossipDial, serve,
        tls::{
            security::{hello, pretender, self_signed},
            tests::{material, node},
        },
    },
};

const HERE: &str = "10.0.0.1:8001";
const PATIENCE: Duration = Duration::from_mins(1);

/// Serves as this node, and nothing but handshakes is asked of it.
async fn serving(host: &MemoryHost, identity: &NodeIdentity) -> AbortOnDropHandle<()> {
    let dial = TlsGossipDial::new(Arc::new(host.clone()), identity.client_tls());
    let (events, _) = tokio::sync::mpsc::channel(1);
    let server = Server {
        handshake: Arc::new(identity.server_tls().unwrap()),
        http: HttpHandler::default(),
        gossip: Arc::new(GossipLink::new(Arc::new(dial), events, GossipLinkConfig::default())),
        sessions: Arc::new(NoSessions),
        limits: ListenerLimits::default(),
        audit: AuditLog::default(),
    };
    let listener = host.listen(HERE.parse().unwrap()).await.unwrap();
    AbortOnDropHandle::new(tokio::spawn(serve(listener, server, CancellationToken::new())))
}

/// The next lines of the audit log.
async fn told(lines: &AuditLines) -> Vec<String> {
    let told = async {
        loop {
            let told = lines.take();
            if !told.is_empty() {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, told).await.expect("the audit log is told")
}

/// The one line that was told, which has all of this in it.
#[track_caller]
fn assert_one(told: &[String], parts: &[&str]) {
    assert_eq!(told.len(), 1, "{told:#?}");
    for part in parts {
        assert!(told[0].contains(part), "{part} in {told:#?}");
    }
}

/// Certificates that are refused, with whose they say they are, and what is said of them: cases 13 to 17 of the project's list, and names that are no node's.
async fn refused(ours: &NodeIdentity, vault: &Arc<MemoryVault>) -> Vec<(TlsMaterial, &'static str, &'static str)> {
    let at = |seconds| worker_at(vault, "w", from_now(seconds)).material().clone();
    let (theirs, _) = cluster();
    let (key, nameless) = forged(&["p2p://nobody"], &[ClientAuth], (issuing(vault).certificate(), issuing(vault).key()));
    let lost = worker(vault, "lost");
    let subject = Subject::Node { node_id: node("lost") };
    ledger(ours, vault).revoke(vec![subject], Reason::default()).await.unwrap();
    vec![
        (at(-400 * 86_400), "node w (worker)", "the other end's certificate ran out 35 days ago"),
        (at(86_400), "node w (worker)", "the other end's certificate becomes valid only in 23 h"),
        (self_signed(ours), "node coordinator (coordinator)", "the other end's certificate was not issued by this"),
        (pretender(ours), "node coordinator (coordinator)", "the other end's certificate was not issued by this"),
        (
            material(ours, theirs.chain().to_vec(), theirs.key()),
            "node coordinator (coordinator)",
            "the other end's certificate was not issued by this",
        ),
        (
            material(ours, vec![nameless, issuing(vault).certificate().clone()], &key),
            "-",
            "the other end's certificate is no node certificate",
        ),
        (lost.material().clone(), "node lost (worker)", "the other end's certificate was revoked"),
    ]
}

#[tokio::test]
async fn whoever_is_refused_in_a_handshake_is_one_line_of_the_audit_log_with_his_address_and_the_reason() {
    let lines = AuditLines::capture();
    let (ours, vault) = cluster();
    let (network, client) = (MemoryNetwork::new(), [10, 0, 0, 9]);
    let _serving = serving(&network.host([10, 0, 0, 1]), &ours).await;
    let client = network.host(client);
    let certificates = refused(&ours, &vault).await;
    lines.take();
    let assert_denied = |told: &[String], whom: &str, reason: &str| {
        assert_one(told, &["who=\"an anonymous caller\" ", "what=\"handshake\" ", "from=\"10.0.0.9\" ", "outcome=\"denied\" "]);
        assert_one(told, &[&format!("whom=\"{whom}\" "), &format!("reason=\"{reason}")]);
    };
    // A node that belongs to us is told to nobody; and what is told late would be one line too many for the next one.
    let good = worker(&vault, "v").client_tls();
    good.connect(client.connect(HERE).await.unwrap(), Expect::AnyNode, &[ALPN_H2]).await.unwrap();
    for (shows, whom, reason) in certificates {
        let mut stream =
            ClientTls::new(shows).connect(client.connect(HERE).await.unwrap(), Expect::AnyNode, &[ALPN_H2]).await.unwrap();
        stream.read(&mut [0]).await.unwrap_err();
        drop(stream);
        assert_denied(&told(&lines).await, whom, reason);
    }
    let mut old = client.connect(HERE).await.unwrap();
    old.write_all(&hello(&[])).await.unwrap();
    old.read_to_end(&mut Vec::new()).await.unwrap();
    drop(old);
    assert_denied(&told(&lines).await, "-", "the other end speaks only TLS 1.2 or older");
    let nameless = ClientTls::new(TlsMaterial::trusting(ours.root().clone()));
    drop(nameless.connect(client.connect(HERE).await.unwrap(), Expect::AnyNode, &[ALPN_GOSSIP]).await.unwrap());
    assert_denied(&told(&lines).await, "-", "the other end showed no certificate, and this is for nodes of the cluster only");
}

#[tokio::test]
async fn whoever_hangs_up_or_means_another_protocol_was_refused_nothing() {
    let (ours, _) = cluster();
    let (theirs, _) = cluster();
    let (server, other_client) = (ours.server_tls().unwrap(), theirs.client_tls());
    for said in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", &[22, 3, 1]] {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        near.write_all(said).await.unwrap();
        near.shutdown().await.unwrap();
        let (secured, _) = tokio::join!(server.secure(Box::new(far)), async move { near.read_to_end(&mut Vec::new()).await });
        let error = secured.err().unwrap();
        assert!(!error.is_refusal(), "{error}");
    }
    // It is this end that was refused.
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (seen, secured) = tokio::join!(other_client.connect(Box::new(near), Expect::AnyNode, &[]), server.secure(Box::new(far)));
    assert!(matches!(seen.err(), Some(TlsError::ForeignCa { .. })));
    let error = secured.err().unwrap();
    assert!(!error.is_refusal(), "{error}");
}

#[tokio::test]
async fn whoever_answers_where_a_node_dials_and_is_refused_is_one_line_of_the_audit_log_for_each_dial() {
    let lines = AuditLines::capture();
    let (ours, vault) = cluster();
    let (network, audit) = (MemoryNetwork::new(), AuditLog::default());
    let lost = worker(&vault, "lost");
    let _serving = serving(&network.host([10, 0, 0, 1]), &lost).await;
    let here = Arc::new(network.host([10, 0, 0, 2]));
    let dial = Audited::new(TlsDial::new(here.clone(), ours.client_tls()), audit.clone());
    let gossip = Audited::new(TlsGossipDial::new(here, ours.client_tls()), audit);
    let to = |name: &str, authority: &str| PeerRef { node_id: node(name), authority: authority.into() };
    let denied = |who, reason| [who, "what=\"handshake\" ", "from=\"10.0.0.1:8001\" ", "outcome=\"denied\" ", reason];
    Dial::dial(&dial, &to("lost", HERE)).await.unwrap();
    assert!(lines.take().is_empty(), "the control: until then it is one of us");
    Dial::dial(&dial, &to("found", HERE)).await.unwrap_err();
    assert_one(
        &lines.take(),
        &denied("who=\"whoever answers for node found\"", "reason=\"expected node found at this address, but lost answered"),
    );

    let subject = Subject::Node { node_id: node("lost") };
    ledger(&ours, &vault).revoke(vec![subject], Reason::default()).await.unwrap();
    lines.take();
    let error = Dial::dial(&dial, &to("lost", HERE)).await.unwrap_err();
    assert!(matches!(error, DialError::Tls { source: TlsError::Revoked, .. }), "{error:?}");
    let reason = "reason=\"the other end's certificate was revoked";
    assert_one(&lines.take(), &denied("who=\"whoever answers for node lost\"", reason));
    GossipDial::dial(&gossip, HERE, Some(&node("lost"))).await.map(drop).unwrap_err();
    assert_one(&lines.take(), &denied("who=\"whoever answers for node lost\"", reason));
    GossipDial::dial(&gossip, HERE, None).await.map(drop).unwrap_err();
    assert_one(&lines.take(), &denied("who=\"whoever answers\"", reason));
    // Nobody was refused where nobody is.
    Dial::dial(&dial, &to("lost", "10.0.0.7:1")).await.unwrap_err();
    assert!(lines.take().is_empty());
}

#[tokio::test]
async fn whoever_answers_where_a_coordinator_is_asked_and_is_refused_is_a_line_of_the_audit_log_as_well() {
    let lines = AuditLines::capture();
    let (ours, vault) = cluster();
    let (network, audit) = (MemoryNetwork::new(), AuditLog::default());
    let _serving = serving(&network.host([10, 0, 0, 1]), &worker(&vault, "other")).await;
    let here: Arc<dyn Network> = Arc::new(network.host([10, 0, 0, 2]));
    let way = Way { network: &here, identity: &ours, audit: &audit };
    let meant = PeerRef { node_id: node("second"), authority: HERE.into() };
    let wrong = "expected node second at this address, but other answered";
    let assert_told = |error: String| {
        assert!(error.contains(wrong), "{error}");
        let parts = ["who=\"whoever answers for node second\" ", "what=\"handshake\" ", "from=\"10.0.0.1:8001\" ", wrong];
        assert_one(&lines.take(), &parts);
    };
    lines.take();
    assert_told(rotation::ask_for_issued(way, &meant).await.unwrap_err());
    assert_told(rotation::ask_for_record(way, &meant, &node("w")).await.unwrap_err());
    assert_told(rotation::ask_for_authority(way, &meant, &NodeKey::generate().unwrap()).await.unwrap_err().to_string());
    assert_told(rotation::hand_over(way, &meant, Vec::new()).await.unwrap_err().to_string());
    let responder = ChallengeResponder::new(here.clone());
    assert_told(renewal::renew(way, &meant, Vec::new(), None, &responder).await.unwrap_err().to_string());
    // Nobody was refused where nobody is.
    let nobody = PeerRef { node_id: node("second"), authority: "10.0.0.7:1".into() };
    rotation::ask_for_issued(way, &nobody).await.unwrap_err();
    assert!(lines.take().is_empty());
}
