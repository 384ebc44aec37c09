//! The security cases that are stopped by a check of a peer's chain, and the client's end of case 24, each with its control: the same attack on the
//! same code, less that check. `p2p-runtime` makes these attacks on whole nodes (`transport::tls::security`).

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use rustls::{ServerConfig, sign::SingleCertAndKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::{
    checks::{Check, without_during},
    *,
};
use crate::{
    protocol::UnixMillis,
    revocation::{Author, Reason, RevocationSet, Statement, StatementId, Subject},
};

type Issuer = CertifiedIssuer<'static, KeyPair>;
/// What one end made of the other.
type Outcome = Result<(), TlsError>;

/// A cluster as others see it: its root, and the authority that makes its nodes' certificates. Both are called the same in all clusters.
struct Cluster {
    root: TrustedRoot,
    authority: Issuer,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Cluster {
    fn new() -> Self {
        let root = Issuer::self_signed(authority_params("root"), KeyPair::generate().unwrap()).unwrap();
        let authority = Issuer::signed_by(authority_params("authority"), KeyPair::generate().unwrap(), &root).unwrap();
        Self { root: TrustedRoot::from_der(root.der().clone()).unwrap(), authority }
    }

    /// What stands in the certificate of one of its nodes.
    fn params(&self, role: Role, name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        let name = format!("p2p://{}/{role}/{name}", self.root.cluster());
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    /// Trusts this cluster, and shows what `make` makes for a fresh key, with this behind it.
    fn shows(&self, make: impl FnOnce(&KeyPair) -> CertificateDer<'static>, behind: &[&CertificateDer<'static>]) -> TlsMaterial {
        let (key, material) = (KeyPair::generate().unwrap(), TlsMaterial::empty());
        let chain = std::iter::once(make(&key)).chain(behind.iter().map(|cert| (*cert).clone())).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        material.replace(self.root.clone(), chain, &key).unwrap();
        material
    }

    /// A node whose certificate the cluster's authority has made.
    fn issued(&self, params: &CertificateParams) -> TlsMaterial {
        let make = |key: &KeyPair| params.signed_by(key, &self.authority).unwrap().der().clone();
        self.shows(make, &[self.authority.der(), self.root.der()])
    }

    fn node(&self, role: Role, name: &str) -> TlsMaterial {
        self.issued(&self.params(role, name))
    }

    /// Somebody who signed his own certificate, with the names of a node of ours in it.
    fn self_signed(&self) -> TlsMaterial {
        let make = |key: &KeyPair| self.params(Role::Coordinator, "peer").self_signed(key).unwrap().der().clone();
        self.shows(make, &[self.root.der()])
    }

    /// Somebody with an authority of the same name, and the names of a node of ours. The root that he shows is ours.
    fn pretender(&self) -> TlsMaterial {
        let theirs = Self::new().authority;
        let make = |key: &KeyPair| self.params(Role::Coordinator, "peer").signed_by(key, &theirs).unwrap().der().clone();
        self.shows(make, &[theirs.der(), self.root.der()])
    }
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// What each end makes of the other: the client first.
async fn meet(client: &TlsMaterial, expect: Expect, server: &TlsMaterial) -> [Outcome; 2] {
    meet_by(VERSIONS, client, expect, server).await
}

/// The same, where the server speaks these versions of TLS.
async fn meet_by(
    versions: &[&'static SupportedProtocolVersion],
    client: &TlsMaterial,
    expect: Expect,
    server: &TlsMaterial,
) -> [Outcome; 2] {
    let config = ServerConfig::builder_with_provider(server.provider().clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(ClusterClients::new(server.clone()))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from((*server.own().unwrap()).clone())));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = ClientTls::new(client.clone());
    let (seen, accepted) =
        tokio::join!(client.connect(Box::new(near), expect, &[]), TlsAcceptor::from(Arc::new(config)).accept(far));
    let ours = server.root().map(|root| root.cluster().clone());
    [seen.map(drop), accepted.map(drop).map_err(|error| TlsError::from_handshake(error, ours.as_ref()))]
}

/// What a node makes of a peer, which it takes for the node `peer`: as a server, and as a client.
async fn met(ours: &TlsMaterial, peer: &TlsMaterial) -> [Outcome; 2] {
    let [called, _] = meet(ours, Expect::Node(node("peer")), peer).await;
    let [_, let_in] = meet(peer, Expect::AnyNode, ours).await;
    [called, let_in]
}

/// What a node makes of a peer whose certificate is valid in these years only.
async fn meeting_one_of(years: [i32; 2]) -> [Outcome; 2] {
    let cluster = Cluster::new();
    let mut params = cluster.params(Role::Worker, "peer");
    [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
    met(&cluster.node(Role::Coordinator, "us"), &cluster.issued(&params)).await
}

#[tokio::test]
async fn case_13_and_14_a_certificate_of_another_time_is_refused_in_both_directions() {
    let expired = meeting_one_of([2000, 2020]).await;
    assert!(expired.iter().all(|outcome| matches!(outcome, Err(TlsError::Expired { .. }))), "{expired:?}");
    let early = meeting_one_of([4000, 4001]).await;
    assert!(early.iter().all(|outcome| matches!(outcome, Err(TlsError::NotYetValid { .. }))), "{early:?}");
}

#[tokio::test]
async fn case_13_and_14_control_without_a_look_at_the_time_a_certificate_of_any_is_taken() {
    for years in [[2000, 2020], [4000, 4001]] {
        let met = without_during(&[Check::Time], meeting_one_of(years)).await;
        assert!(met.iter().all(Result::is_ok), "{met:?}");
    }
}

async fn meeting_a_self_signed_one() -> [Outcome; 2] {
    let cluster = Cluster::new();
    met(&cluster.node(Role::Coordinator, "us"), &cluster.self_signed()).await
}

#[tokio::test]
async fn case_15_a_self_signed_certificate_is_refused_in_both_directions() {
    let met = meeting_a_self_signed_one().await;
    assert!(met.iter().all(|outcome| matches!(outcome, Err(TlsError::ForeignCa { .. }))), "{met:?}");
}

#[tokio::test]
async fn case_15_control_without_a_look_at_who_issued_it_anybodys_own_certificate_is_taken() {
    let met = without_during(&[Check::Issuer], meeting_a_self_signed_one()).await;
    assert!(met.iter().all(Result::is_ok), "{met:?}");
}

/// What is made of somebody whose authority has the name of ours: by a node, both ways; by one that joins; and by a client outside.
async fn meeting_a_pretender() -> [Outcome; 4] {
    let cluster = Cluster::new();
    let (pretender, root) = (cluster.pretender(), cluster.root.key_hash());
    let [called, let_in] = met(&cluster.node(Role::Coordinator, "us"), &pretender).await;
    let [joined, _] = meet(&TlsMaterial::empty(), Expect::PinnedRoot(root), &pretender).await;
    let [asked, _] = meet(&TlsMaterial::empty(), Expect::RootedIn(root), &pretender).await;
    [called, let_in, joined, asked]
}

#[tokio::test]
async fn case_16_an_authority_of_the_same_name_is_foreign_to_whoever_meets_it() {
    let met = meeting_a_pretender().await;
    let [called, let_in, joined, asked] = &met;
    let is_foreign = |outcome: &Outcome| matches!(outcome, Err(TlsError::ForeignCa { .. }));
    assert!(is_foreign(called) && is_foreign(let_in), "{met:?}");
    assert!(matches!(joined, Err(TlsError::WrongRoot { .. })), "{met:?}");
    assert!(matches!(asked, Err(TlsError::OtherRoot { .. })), "{met:?}");
}

#[tokio::test]
async fn case_16_control_whoever_knows_authorities_by_their_names_and_not_by_what_they_signed_takes_the_pretender() {
    let met = without_during(&[Check::Signature], meeting_a_pretender()).await;
    assert!(met.iter().all(Result::is_ok), "{met:?}");
    // Not everybody: one without such an authority is refused.
    let met = without_during(&[Check::Signature], meeting_a_self_signed_one()).await;
    assert!(met.iter().all(Result::is_err), "{met:?}");
}

/// What a node makes of one that was revoked.
async fn meeting_a_revoked_one() -> [Outcome; 2] {
    let cluster = Cluster::new();
    let (ours, peer) = (cluster.node(Role::Coordinator, "us"), cluster.node(Role::Worker, "peer"));
    let by = Author { node_id: node("us"), key: KeyHash::of_certificate(&ours.own().unwrap().cert[0]).unwrap() };
    let subject = Subject::Node { node_id: node("peer") };
    let statement = Statement { subject, at: UnixMillis::now(), by, reason: Reason::default() };
    let mut set = RevocationSet::default();
    set.extend([(StatementId::of(&statement.encode().unwrap()), statement)]);
    ours.revocations().replace(set);
    met(&ours, &peer).await
}

#[tokio::test]
async fn case_17_a_revoked_node_is_refused_in_both_directions() {
    let met = meeting_a_revoked_one().await;
    assert!(met.iter().all(|outcome| matches!(outcome, Err(TlsError::Revoked))), "{met:?}");
}

#[tokio::test]
async fn case_17_control_whoever_does_not_ask_what_was_revoked_takes_the_revoked_node() {
    let met = without_during(&[Check::Revocation], meeting_a_revoked_one()).await;
    assert!(met.iter().all(Result::is_ok), "{met:?}");
}

/// What a joining node makes of a worker that answers where a coordinator is meant.
async fn joining_at_a_worker() -> Outcome {
    let cluster = Cluster::new();
    let [joined, _] =
        meet(&TlsMaterial::empty(), Expect::PinnedRoot(cluster.root.key_hash()), &cluster.node(Role::Worker, "w")).await;
    joined
}

#[tokio::test]
async fn case_20_a_workers_certificate_is_no_coordinators() {
    let joined = joining_at_a_worker().await;
    assert!(matches!(&joined, Err(TlsError::NotCoordinator { got }) if *got == "w"), "{joined:?}");
}

#[tokio::test]
async fn case_20_control_whoever_asks_for_the_root_only_takes_the_worker() {
    without_during(&[Check::Role], joining_at_a_worker()).await.unwrap();
}

/// What a server that speaks nothing newer than TLS 1.2, and has the certificate of a node, and whoever calls it make of each other: another node, one that
/// joins, and a client outside.
async fn calling_one_of_tls_1_2() -> [[Outcome; 2]; 3] {
    let cluster = Cluster::new();
    let (ours, peer) = (cluster.node(Role::Worker, "us"), cluster.node(Role::Coordinator, "peer"));
    let (outside, root) = (TlsMaterial::empty(), cluster.root.key_hash());
    let call = async |client: &TlsMaterial, expect| meet_by(&[&rustls::version::TLS12], client, expect, &peer).await;
    [
        call(&ours, Expect::Node(node("peer"))).await,
        call(&outside, Expect::PinnedRoot(root)).await,
        call(&outside, Expect::RootedIn(root)).await,
    ]
}

/// What is made of a server that overlooks which versions it is offered, as one from before TLS 1.3 does, and answers with its hello of TLS 1.2: one suite, and
/// nothing else.
async fn answered_by_a_hello_of_tls_1_2() -> Outcome {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let hello = [&[22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3][..], &[7; 32], &[0, 0xc0, 0x2b, 0]].concat();
    far.write_all(&hello).await.unwrap();
    let cluster = Cluster::new();
    let client = ClientTls::new(cluster.node(Role::Worker, "us")).with_timeout(Duration::from_millis(1));
    client.connect(Box::new(near), Expect::AnyNode, &[]).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn case_24_a_server_that_speaks_tls_1_2_only_is_refused_by_its_name_whoever_calls_it() {
    let mut met = calling_one_of_tls_1_2().await.map(|[caller, _]| caller).to_vec();
    met.push(answered_by_a_hello_of_tls_1_2().await);
    for outcome in met {
        let said = outcome.unwrap_err();
        assert!(matches!(said, TlsError::OldTls), "{said:?}");
        assert!(said.to_string().contains("speaks only TLS 1.2 or older; TLS 1.3 is required"), "{said}");
    }
}

/// Tests build rustls with TLS 1.2 in it, as any part of a program can that uses rustls, too.
#[tokio::test(start_paused = true)]
async fn case_24_control_a_client_that_takes_any_version_goes_on_by_tls_1_2() {
    let outcome = without_during(&[Check::Version], answered_by_a_hello_of_tls_1_2()).await;
    assert!(matches!(outcome, Err(TlsError::Timeout { .. })), "it waits for the certificate: {outcome:?}");
    // Where that comes, there is one thing more that stops it: signatures of TLS 1.2 are not taken. The server is not told of the version, but of that.
    for [_, server] in without_during(&[Check::Version], calling_one_of_tls_1_2()).await {
        assert!(matches!(server, Err(TlsError::Refused { .. })), "{server:?}");
    }
    for [_, server] in calling_one_of_tls_1_2().await {
        assert!(matches!(server, Err(TlsError::OldTls)), "nothing that it speaks is offered: {server:?}");
    }
}
