//! The cases of TLS in the project's list of security and fault cases, each with the control that shows what the unsafe variant
//! would do.
//!
//! What stops 15, 16, 17 and 20 is a check of the peer's chain, which nodes and clients share and which this crate cannot leave out: their
//! controls stand beside it, with the same attacks (`wire/tls/security.rs` in `p2p-client`). Here whole nodes meet.
//!
//! | case | |
//! |---|---|
//! | 13 expired; 14 not yet valid; 22 clocks that are off | times |
//! | 15 self-signed; 16 a foreign authority of the same name | trust |
//! | 17 revoked, on a new connection; 18 on a resumed one; 19 on an open one | revocation; 19 with calls, 23 and 57 to 59 are the cluster's (`tests/revocation.rs`) |
//! | 20 a worker's certificate used as a coordinator's | roles |
//! | 24 TLS 1.2 | of a client; that of a server is in `p2p-client` |

use std::sync::Arc;

use p2p_client::{
    revocation::{KeyHash, Reason, Subject},
    wire::tls::{ClientTls, Expect, TlsMaterial, TrustedRoot, Usage, verify_chain},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth},
    IsCa, SanType,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_rustls::TlsConnector;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    tests::{material, meet, node, raw},
    *,
};
use crate::{
    checks::{without, without_during},
    identity::{
        IssuingCa, NodeIdentity, NodeKey, NodeNames, RootCa, Vault,
        checks::Check::EarlyBeginning,
        tests::{YEAR, cluster, forged, from_now, ledger, worker, worker_at},
    },
    transport::Handshake,
};

fn server(identity: &NodeIdentity) -> ServerTls {
    identity.server_tls().unwrap()
}

/// What both ends make of a connection from `client` to `server`.
async fn outcome(client: &NodeIdentity, server: &NodeIdentity) -> (Result<(), TlsError>, Result<Accepted, TlsError>) {
    meet(client.client_tls(), server.server_tls().unwrap(), Expect::AnyNode, &[]).await
}

/// What checking a chain says whose checker believes that it is `now`.
fn checked(of: &NodeIdentity, by: &TrustedRoot, now: UnixTime) -> Result<(), TlsError> {
    let (leaf, others) = of.chain().split_first().unwrap();
    verify_chain(by, leaf, others, Usage::Client, now, &TlsMaterial::empty().algorithms()).map(drop)
}

/// Believes any server.
#[derive(Debug)]
struct Gullible(TlsMaterial);

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms().supported_schemes()
    }
}

/// The client of whoever was revoked: it shows this identity, believes any server, and resumes sessions where it can.
fn resuming(shows: &TlsMaterial) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(shows.provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible(shows.clone())))
        .with_client_cert_resolver(Arc::new(shows.clone()));
    Arc::new(config)
}

/// Connects, reads one byte, and says how the handshake went.
async fn visit(client: &Arc<ClientConfig>, server: TlsAcceptor) -> std::io::Result<HandshakeKind> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(async move {
        let mut stream = server.accept(far).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok::<_, std::io::Error>(stream)
    });
    let mut stream = TlsConnector::from(client.clone()).connect(ServerName::try_from("node").unwrap(), near).await?;
    let read = stream.read_exact(&mut [0]).await;
    // Kept until the client has read.
    let _served = serving.await.unwrap()?;
    read.map(|_| stream.get_ref().1.handshake_kind().unwrap())
}

#[tokio::test]
async fn case_13_an_expired_certificate_is_refused_in_both_directions() {
    let (coordinator, vault) = cluster();
    let expired = worker_at(&vault, "w", from_now(-400 * 86_400));
    let (seen, accepted) = outcome(&expired, &coordinator).await;
    let said = accepted.unwrap_err().to_string();
    assert!(said.contains("ran out 35 days ago"), "{said}");
    assert!(seen.unwrap_err().to_string().contains("finds our certificate expired"));
    let (seen, _) = outcome(&coordinator, &expired).await;
    assert!(matches!(seen, Err(TlsError::Expired { .. })), "{seen:?}");
}

#[test]
fn case_13_control_a_verifier_whose_clock_stands_still_accepts_an_expired_certificate() {
    let (coordinator, vault) = cluster();
    let expired = worker_at(&vault, "w", from_now(-400 * 86_400));
    checked(&expired, coordinator.root(), from_now(-300 * 86_400)).unwrap();
    assert!(matches!(checked(&expired, coordinator.root(), UnixTime::now()), Err(TlsError::Expired { .. })));
}

#[tokio::test]
async fn case_14_a_certificate_that_is_not_valid_yet_is_refused_in_both_directions() {
    let (coordinator, vault) = cluster();
    let early = worker_at(&vault, "w", from_now(86_400));
    let (_, accepted) = outcome(&early, &coordinator).await;
    let said = accepted.unwrap_err().to_string();
    assert!(said.contains("becomes valid only in 23 h"), "{said}");
    let (seen, _) = outcome(&coordinator, &early).await;
    assert!(matches!(seen, Err(TlsError::NotYetValid { .. })), "{seen:?}");
}

#[test]
fn case_14_control_a_verifier_whose_clock_is_ahead_accepts_an_early_certificate() {
    let (coordinator, vault) = cluster();
    let early = worker_at(&vault, "w", from_now(86_400));
    checked(&early, coordinator.root(), from_now(2 * 86_400)).unwrap();
}

/// Someone who signed his own certificate, with our coordinator's very names in it.
pub(in crate::transport) fn self_signed(ours: &NodeIdentity) -> TlsMaterial {
    let key = NodeKey::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(ours.peer().to_string().try_into().unwrap())];
    params.extended_key_usages = vec![ServerAuth, ClientAuth];
    let leaf = params.self_signed(&key).unwrap().der().clone();
    material(ours, vec![leaf], &key)
}

#[tokio::test]
async fn case_15_a_self_signed_certificate_is_refused_in_both_directions() {
    let (ours, _) = cluster();
    let pretender = self_signed(&ours);
    let (_, accepted) = meet(ClientTls::new(pretender.clone()), server(&ours), Expect::AnyNode, &[]).await;
    assert!(matches!(accepted, Err(TlsError::ForeignCa { .. })), "{accepted:?}");
    let (seen, _) = meet(ours.client_tls(), ServerTls::new(pretender).unwrap(), Expect::Node(node("coordinator")), &[]).await;
    assert!(matches!(seen, Err(TlsError::ForeignCa { .. })), "{seen:?}");
}

/// A node under a root and an authority that are called like ours, with our coordinator's names. The root that it shows is ours.
pub(in crate::transport) fn pretender(ours: &NodeIdentity) -> TlsMaterial {
    let (root_key, key, mut params) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap(), CertificateParams::default());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("P2P cluster {}", ours.root().cluster()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = TrustedRoot::from_der(params.self_signed(&root_key).unwrap().der().clone()).unwrap();
    let theirs = RootCa::from_parts(root_key, root).unwrap();
    let theirs = theirs.issue_authority(&ours.peer().node_id, &key.public(), UnixTime::now()).unwrap();
    let name = |cert: &CertificateDer<'_>| X509Certificate::from_der(cert).map(|(_, cert)| cert.issuer().to_string()).unwrap();
    assert_eq!(name(&theirs), name(&ours.chain()[1]));
    let (key, leaf) = forged(&[&ours.peer().to_string()], &[ServerAuth, ClientAuth], (&theirs, &key));
    material(ours, vec![leaf, theirs, ours.root().der().clone()], &key)
}

#[tokio::test]
async fn case_16_a_foreign_authority_of_the_same_name_is_still_foreign() {
    let (ours, _) = cluster();
    let pretender = pretender(&ours);
    let (seen, _) =
        meet(ours.client_tls(), ServerTls::new(pretender.clone()).unwrap(), Expect::Node(node("coordinator")), &[]).await;
    assert!(matches!(seen, Err(TlsError::ForeignCa { .. })), "{seen:?}");
    // To show the root that is looked for is not to be under it.
    let (root, outside, server_of) =
        (ours.root().key_hash(), ClientTls::new(TlsMaterial::empty()), ServerTls::new(pretender.clone()).unwrap());
    let (seen, _) = meet(outside.clone(), server_of.clone(), Expect::RootedIn(root), &[]).await;
    assert!(matches!(seen, Err(TlsError::OtherRoot { expected, found: None }) if expected == root), "{seen:?}");
    let (seen, _) = meet(outside, server_of, Expect::PinnedRoot(root), &[]).await;
    assert!(matches!(seen, Err(TlsError::WrongRoot { pinned }) if pinned == root), "{seen:?}");
    let (_, accepted) = meet(ClientTls::new(pretender), server(&ours), Expect::AnyNode, &[]).await;
    assert!(matches!(accepted, Err(TlsError::ForeignCa { .. })), "{accepted:?}");
}

#[tokio::test]
async fn case_17_a_revoked_node_is_refused_on_new_connections_in_both_directions() {
    let (coordinator, vault) = cluster();
    let (w, v) = (worker(&vault, "w"), worker(&vault, "v"));
    outcome(&w, &coordinator).await.1.unwrap();
    let subject = Subject::Node { node_id: node("w") };
    ledger(&coordinator, &vault).revoke(vec![subject], Reason::default()).await.unwrap();
    let (seen, accepted) = outcome(&w, &coordinator).await;
    assert!(matches!(accepted, Err(TlsError::Revoked)), "{accepted:?}");
    let told = seen.unwrap_err().to_string();
    assert!(told.contains("our certificate was revoked; join again with a new key"), "{told}");
    let (seen, _) = outcome(&coordinator, &w).await;
    assert!(matches!(seen, Err(TlsError::Revoked)), "{seen:?}");
    // Under another certificate of its own as well, and nobody else.
    let renewed = worker(&vault, "w");
    assert!(matches!(outcome(&renewed, &coordinator).await.1, Err(TlsError::Revoked)));
    outcome(&v, &coordinator).await.1.unwrap();
}

#[tokio::test]
async fn case_17_a_revoked_key_is_refused_and_so_is_what_it_signed() {
    let (coordinator, vault) = cluster();
    let root =
        RootCa::from_parts(NodeKey::from_pkcs8(&vault.get("ca/root.key").unwrap().unwrap()).unwrap(), coordinator.root().clone());
    let key = NodeKey::generate().unwrap();
    let cert = root.unwrap().issue_authority(&node("second"), &key.public(), UnixTime::now()).unwrap();
    let second = IssuingCa::from_parts(key, cert, coordinator.root().clone()).unwrap();
    let key = NodeKey::generate().unwrap();
    let names = NodeNames { node_id: &node("w"), role: p2p_client::protocol::Role::Worker, addresses: &[] };
    let chain = second.issue(&key.public(), &names, UnixTime::now()).unwrap();
    let w = NodeIdentity::new(key, chain, coordinator.root().clone()).unwrap();
    let v = worker(&vault, "v");
    outcome(&w, &coordinator).await.1.unwrap();

    let keys = [KeyHash::from(second.key().public().thumbprint()), v.key().public().thumbprint().into()];
    let subjects = keys.map(|key| Subject::Key { key });
    ledger(&coordinator, &vault).revoke(subjects.into(), Reason::default()).await.unwrap();
    for revoked in [&w, &v] {
        assert!(matches!(outcome(revoked, &coordinator).await.1, Err(TlsError::Revoked)));
        assert!(matches!(outcome(&coordinator, revoked).await.0, Err(TlsError::Revoked)));
    }
    outcome(&worker(&vault, "u"), &coordinator).await.1.unwrap();
}

/// How a node gets in whose client resumes sessions where it can: the next time that it comes; and when it was revoked after that.
async fn coming_back() -> [std::io::Result<HandshakeKind>; 2] {
    let (coordinator, vault) = cluster();
    let w = worker(&vault, "w");
    let (client, server) = (resuming(w.material()), server(&coordinator).acceptor);
    assert_eq!(visit(&client, server.clone()).await.unwrap(), HandshakeKind::Full);
    let next = visit(&client, server.clone()).await;
    let subject = Subject::Node { node_id: node("w") };
    ledger(&coordinator, &vault).revoke(vec![subject], Reason::default()).await.unwrap();
    [next, visit(&client, server).await]
}

#[tokio::test]
async fn case_18_a_revoked_node_is_not_let_in_again_by_resumption() {
    let [next, revoked] = coming_back().await;
    assert_eq!(next.unwrap(), HandshakeKind::Full, "there was nothing to resume");
    assert!(revoked.is_err());
}

#[tokio::test]
async fn case_18_control_where_sessions_are_resumed_the_verifier_is_not_asked_again() {
    let [next, revoked] = without_during(&[Check::WholeHandshake], coming_back()).await;
    assert_eq!(next.unwrap(), HandshakeKind::Resumed);
    assert_eq!(revoked.unwrap(), HandshakeKind::Resumed, "revoked, and in");
}

/// Whether a word from one end reaches the other.
async fn is_heard(from: &mut (impl AsyncWrite + Unpin), to: &mut (impl AsyncRead + Unpin)) -> bool {
    let say = async {
        from.write_all(b"word").await?;
        from.flush().await?;
        to.read_exact(&mut [0; 4]).await
    };
    say.await.is_ok()
}

/// What gets through on the open connections of two nodes after the first of them was revoked: to each, and from each.
async fn heard_on_open_connections() -> [[bool; 2]; 2] {
    let (coordinator, vault) = cluster();
    let mut open = Vec::new();
    for client in [worker(&vault, "w"), worker(&vault, "v")] {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (client, server) = (client.client_tls(), server(&coordinator));
        let (near, far) = tokio::join!(client.connect(Box::new(near), Expect::AnyNode, &[]), server.secure(Box::new(far)));
        open.push((near.unwrap(), far.unwrap().stream));
    }
    for (near, far) in &mut open {
        assert!(is_heard(far, near).await && is_heard(near, far).await);
    }
    let subject = Subject::Node { node_id: node("w") };
    ledger(&coordinator, &vault).revoke(vec![subject], Reason::default()).await.unwrap();
    let mut heard = [[false; 2]; 2];
    for ((near, far), heard) in open.iter_mut().zip(&mut heard) {
        *heard = [is_heard(far, near).await, is_heard(near, far).await];
    }
    heard
}

#[tokio::test]
async fn case_19_an_open_connection_of_a_revoked_node_breaks_at_once_in_both_directions_and_the_other_ones_goes_on() {
    assert_eq!(heard_on_open_connections().await, [[false; 2], [true; 2]]);
}

#[tokio::test]
async fn case_19_control_a_connection_that_is_checked_in_its_handshake_only_serves_the_revoked_node_on() {
    assert_eq!(without_during(&[Check::Guard], heard_on_open_connections()).await, [[true; 2]; 2]);
}

#[tokio::test]
async fn case_20_a_workers_certificate_is_no_coordinators() {
    let (coordinator, vault) = cluster();
    let w = worker(&vault, "w");
    let joiner = || ClientTls::new(TlsMaterial::empty());
    let pinned = || Expect::PinnedRoot(coordinator.root().key_hash());
    let (seen, _) = meet(joiner(), server(&w), pinned(), &[]).await;
    assert!(matches!(&seen, Err(TlsError::NotCoordinator { got }) if *got == "w"), "{seen:?}");
    meet(joiner(), server(&coordinator), pinned(), &[]).await.0.unwrap();
}

#[tokio::test]
async fn case_22_a_clock_that_is_off_by_ten_minutes_does_no_harm_and_one_off_by_a_year_is_told() {
    let (coordinator, vault) = cluster();
    let year = i64::try_from(YEAR).unwrap();
    for off in [-600, 600] {
        outcome(&worker_at(&vault, "w", from_now(off)), &coordinator).await.1.unwrap();
    }
    let now = UnixTime::now();
    let ahead_by = |seconds| worker_at(&vault, "w", UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + seconds)));
    checked(&ahead_by(600), coordinator.root(), now).unwrap();
    let a_second_more = checked(&ahead_by(601), coordinator.root(), now);
    assert!(matches!(a_second_more, Err(TlsError::NotYetValid { .. })), "{a_second_more:?}");
    let (_, accepted) = outcome(&worker_at(&vault, "w", from_now(year)), &coordinator).await;
    let said = accepted.unwrap_err().to_string();
    assert!(said.contains("becomes valid only in 36") && said.contains("check both clocks"), "{said}");
    let (_, accepted) = outcome(&worker_at(&vault, "w", from_now(-year - 60)), &coordinator).await;
    let said = accepted.unwrap_err().to_string();
    assert!(said.contains("ran out 60 s ago") && said.contains("check both clocks"), "{said}");
}

#[test]
fn case_22_control_without_their_early_beginning_certificates_are_refused_where_a_clock_is_ten_minutes_behind() {
    let (coordinator, vault) = cluster();
    let ahead = without(&[EarlyBeginning], || worker_at(&vault, "w", from_now(600)));
    let checked = checked(&ahead, coordinator.root(), UnixTime::now());
    assert!(matches!(checked, Err(TlsError::NotYetValid { .. })), "{checked:?}");
}

/// A client hello of TLS 1.2, with these extensions besides: one suite, named groups, point formats, signature algorithms.
pub(in crate::transport) fn hello(more: &[u8]) -> Vec<u8> {
    let extensions = [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 4, 0, 2, 4, 3], more].concat();
    let length = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0], &length(extensions.len()), &extensions].concat();
    let message = [&[1, 0][..], &length(body.len()), &body].concat();
    [&[22, 3, 1][..], &length(message.len()), &message].concat()
}

#[tokio::test]
async fn case_24_tls_1_2_is_refused_by_its_name() {
    let (error, answer) = raw(&hello(&[])).await;
    assert!(matches!(error, TlsError::OldTls), "{error:?}");
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70], "a fatal protocol_version alert");
}

/// Tests build rustls with TLS 1.2 in it, as any part of a program can that uses rustls, too.
#[tokio::test]
async fn case_24_control_a_server_that_takes_any_version_answers_the_same_words_with_its_hello() {
    let (_, answer) = without_during(&[Check::Version], raw(&hello(&[]))).await;
    // Headers of the record and the message, and the version.
    assert_eq!((answer[0], answer[5], &answer[9..11]), (22, 2, &[3, 3][..]), "no alert, but a hello of TLS 1.2: {answer:?}");
}

#[tokio::test]
async fn case_24_control_the_same_words_that_offer_tls_1_3_fail_for_another_reason() {
    let (error, _) = raw(&hello(&[0, 43, 0, 3, 2, 3, 4])).await;
    assert!(!matches!(error, TlsError::OldTls), "{error:?}");
}
