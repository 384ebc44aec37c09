//! Handshakes, of honest ends and others.

use p2p_client::{
    protocol::NodeId,
    wire::tls::{ClientTls, Expect},
};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::*;
use crate::identity::{
    NodeIdentity, NodeKey,
    tests::{cluster, forged, issuing, worker},
};

pub(in crate::transport) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(in crate::transport) fn material(root: &NodeIdentity, chain: Vec<CertificateDer<'static>>, key: &NodeKey) -> TlsMaterial {
    let material = TlsMaterial::empty();
    material.replace(root.root().clone(), chain, &key.as_rustls()).unwrap();
    material
}

/// What each end makes of the other. The client reads once, since a refusal reaches it only so.
pub(super) async fn meet(
    client: ClientTls,
    server: ServerTls,
    expect: Expect,
    alpn: &[&[u8]],
) -> (Result<(), TlsError>, Result<Accepted, TlsError>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let mut accepted = server.accept(Box::new(far)).await?;
        accepted.stream.write_all(b"!").await.unwrap();
        accepted.stream.flush().await.unwrap();
        Ok(accepted)
    });
    let seen = async {
        let mut stream = client.connect(Box::new(near), expect, alpn).await?;
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => Ok(()),
            Ok(_) => Err(TlsError::Closed),
            Err(e) => Err(TlsError::from_io(&e).unwrap_or(TlsError::Closed)),
        }
    }
    .await;
    (seen, server.await.unwrap())
}

#[tokio::test]
async fn two_nodes_of_a_cluster_know_each_other_by_their_certificates() {
    let (coordinator, vault) = cluster();
    let worker = worker(&vault, "w");
    let server = coordinator.server_tls().unwrap();
    let (seen, accepted) = meet(worker.client_tls(), server, Expect::Node(node("coordinator")), &[ALPN_H2]).await;
    seen.unwrap();
    let accepted = accepted.unwrap();
    assert_eq!(accepted.peer.as_ref(), Some(worker.peer()));
    assert_eq!(accepted.alpn(), Some(ALPN_H2));
    assert_eq!(accepted.stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn both_ends_derive_one_binding_and_every_connection_another() {
    let (coordinator, _) = cluster();
    let mut bindings = Vec::new();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let server = coordinator.server_tls().unwrap();
        let client = coordinator.client_tls();
        let (near, far) = tokio::join!(client.connect(Box::new(near), Expect::AnyNode, &[]), server.accept(Box::new(far)));
        let ours = ChannelBinding::of_client(&near.unwrap()).unwrap();
        assert!(ours == far.unwrap().channel_binding().unwrap());
        bindings.push(ours);
    }
    assert!(bindings[0] != bindings[1]);
}

#[tokio::test]
async fn the_wrong_node_at_an_address_is_noticed_by_name() {
    let (coordinator, _) = cluster();
    let server = coordinator.server_tls().unwrap();
    let (seen, accepted) = meet(coordinator.client_tls(), server, Expect::Node(node("w9")), &[]).await;
    assert!(matches!(seen, Err(TlsError::WrongNode { expected, got }) if expected == "w9" && got == "coordinator"));
    assert!(matches!(accepted, Err(TlsError::Refused { .. })));
}

#[tokio::test]
async fn a_foreign_authority_is_refused_in_both_directions_and_both_ends_are_told() {
    let ((ours, _), (theirs, _)) = (cluster(), cluster());
    let (seen, accepted) = meet(ours.client_tls(), theirs.server_tls().unwrap(), Expect::AnyNode, &[]).await;
    assert!(matches!(seen, Err(TlsError::ForeignCa { ours: cluster }) if cluster == *ours.root().cluster()));
    let told = accepted.unwrap_err().to_string();
    assert!(told.contains("does not trust our certificate's root"), "{told}");

    // A client that trusts their root, but shows a certificate of ours.
    let spy = material(&theirs, ours.chain().to_vec(), ours.key());
    let (seen, accepted) = meet(ClientTls::new(spy), theirs.server_tls().unwrap(), Expect::AnyNode, &[]).await;
    assert!(matches!(accepted, Err(TlsError::ForeignCa { .. })));
    let told = seen.unwrap_err().to_string();
    assert!(told.contains("does not trust our certificate's root"), "{told}");
}

#[tokio::test]
async fn who_knows_the_roots_fingerprint_alone_accepts_every_node_under_it_and_no_other() {
    let ((ours, vault), (theirs, _)) = (cluster(), cluster());
    let (root, outside) = (ours.root().key_hash(), || ClientTls::new(TlsMaterial::empty()));
    for node in [&ours, &worker(&vault, "w1")] {
        let (seen, accepted) = meet(outside(), node.server_tls().unwrap(), Expect::RootedIn(root), &[ALPN_H2]).await;
        seen.unwrap();
        assert_eq!(accepted.unwrap().peer, None, "a client outside is nameless");
    }
    let (seen, _) = meet(outside(), theirs.server_tls().unwrap(), Expect::RootedIn(root), &[]).await;
    let told = seen.unwrap_err();
    let shown = theirs.root().key_hash();
    assert!(matches!(told, TlsError::OtherRoot { expected, found: Some(found) } if (expected, found) == (root, shown)), "{told}");
}

#[tokio::test]
async fn certificates_with_wrong_names_uses_or_issuers_are_refused() {
    let (ours, vault) = cluster();
    let ca = issuing(&vault);
    let cluster = ours.root().cluster();
    let (good, other) = (format!("p2p://{cluster}/worker/w"), format!("p2p://{}/worker/w", "ab".repeat(16)));
    let both = [ServerAuth, ClientAuth];
    let by_ca = (ca.certificate(), ca.key());
    let w = worker(&vault, "w");
    let cases: [(&[&str], &[rcgen::ExtendedKeyUsagePurpose], _, &str); 6] = [
        (&[&other], &both, by_ca, "is for cluster abab"),
        (&[], &both, by_ca, "exactly one name"),
        (&[&good, &good], &both, by_ca, "exactly one name"),
        (&["p2p://x/worker/w"], &both, by_ca, "no valid id"),
        (&[&good], &[ServerAuth], by_ca, "not meant for this use"),
        (&[&good], &both, (&w.chain()[0], w.key()), "signed by a node"),
    ];
    for (names, usage, signer, why) in cases {
        let (key, leaf) = forged(names, usage, signer);
        let chain = vec![leaf, signer.0.clone(), ca.certificate().clone()];
        let client = ClientTls::new(material(&ours, chain, &key));
        let (_, accepted) = meet(client, ours.server_tls().unwrap(), Expect::AnyNode, &[]).await;
        let said = accepted.unwrap_err().to_string();
        assert!(said.contains(why), "{why}: {said}");
    }
    // An authority's certificate is not a node's, and an issuing authority makes no other authority.
    let client = ClientTls::new(material(&ours, vec![ca.certificate().clone()], ca.key()));
    let said = meet(client, ours.server_tls().unwrap(), Expect::AnyNode, &[]).await.1.unwrap_err().to_string();
    assert!(said.contains("authority's certificate"), "{said}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_nameless_and_may_not_gossip() {
    let (ours, _) = cluster();
    let outside = ClientTls::new(TlsMaterial::trusting(ours.root().clone()));
    let (seen, accepted) = meet(outside.clone(), ours.server_tls().unwrap(), Expect::AnyNode, &[ALPN_HTTP1]).await;
    seen.unwrap();
    assert_eq!(accepted.unwrap().peer, None);
    let (seen, accepted) = meet(outside, ours.server_tls().unwrap(), Expect::AnyNode, &[ALPN_GOSSIP]).await;
    assert!(seen.is_err());
    assert!(matches!(accepted, Err(TlsError::NoCertificate)));
    let (seen, _) = meet(ClientTls::new(TlsMaterial::empty()), ours.server_tls().unwrap(), Expect::AnyNode, &[]).await;
    assert!(matches!(seen, Err(TlsError::NoRoot)));
    assert!(matches!(ServerTls::new(TlsMaterial::empty()), Err(TlsError::NoOwnCertificate)));
}

#[tokio::test]
async fn no_common_protocol_is_said_so() {
    let (ours, _) = cluster();
    let (seen, accepted) = meet(ours.client_tls(), ours.server_tls().unwrap(), Expect::AnyNode, &[b"smtp"]).await;
    assert!(matches!(seen, Err(TlsError::NoCommonProtocol)), "{seen:?}");
    assert!(matches!(accepted, Err(TlsError::NoCommonProtocol)), "{accepted:?}");
}

/// What a server makes of raw bytes, and what it answers.
pub(super) async fn raw(bytes: &[u8]) -> (TlsError, Vec<u8>) {
    let (ours, _) = cluster();
    let server = ours.server_tls().unwrap();
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move { server.accept(Box::new(far)).await.unwrap_err() });
    near.write_all(bytes).await.unwrap();
    near.shutdown().await.unwrap();
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    (server.await.unwrap(), answer)
}

#[tokio::test(start_paused = true)]
async fn a_stalled_handshake_is_cut_at_either_end() {
    let (ours, _) = cluster();
    let (_near, far) = tokio::io::duplex(1024);
    let cut = ours.server_tls().unwrap().accept(Box::new(far)).await;
    assert!(matches!(cut, Err(TlsError::Timeout { after }) if after == HANDSHAKE_TIMEOUT));
    let (near, _far) = tokio::io::duplex(1024);
    let client = ours.client_tls().with_timeout(Duration::from_secs(3));
    let cut = client.connect(Box::new(near), Expect::AnyNode, &[]).await;
    assert!(matches!(cut, Err(TlsError::Timeout { after }) if after == Duration::from_secs(3)));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_on_new_connections_and_old_ones_go_on() {
    let (ours, vault) = cluster();
    let w = worker(&vault, "w");
    let server = w.server_tls().unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = ours.client_tls();
    let (near, far) = tokio::join!(client.connect(Box::new(near), Expect::AnyNode, &[]), server.accept(Box::new(far)));
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    let first = near.get_ref().1.peer_certificates().unwrap()[0].clone();

    let names = crate::identity::NodeNames { node_id: &node("w"), role: w.peer().role, addresses: &[] };
    let chain = issuing(&vault).issue(&w.key().public(), &names, UnixTime::now()).unwrap();
    w.material().replace(w.root().clone(), chain.clone(), &w.key().as_rustls()).unwrap();

    near.write_all(b"still here").await.unwrap();
    near.flush().await.unwrap();
    let mut got = [0; 10];
    far.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"still here");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (near, far) = tokio::join!(client.connect(Box::new(near), Expect::AnyNode, &[]), server.accept(Box::new(far)));
    far.unwrap();
    assert_eq!(near.unwrap().get_ref().1.peer_certificates().unwrap()[0], chain[0]);
    assert_ne!(first, chain[0]);
}

#[tokio::test]
async fn a_second_connection_is_a_full_handshake_again() {
    let (ours, vault) = cluster();
    let (client, server) = (worker(&vault, "w").client_tls(), ours.server_tls().unwrap());
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (near, far) = tokio::join!(client.connect(Box::new(near), Expect::AnyNode, &[]), server.accept(Box::new(far)));
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        far.stream.write_all(b"x").await.unwrap();
        far.stream.flush().await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
        assert_ne!(near.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        assert_eq!(near.get_ref().1.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn plain_http_and_silence_each_have_their_error() {
    let (error, _) = raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(matches!(error, TlsError::NotTls), "{error:?}");
    let (error, _) = raw(b"").await;
    assert!(matches!(error, TlsError::Closed), "{error:?}");
}
