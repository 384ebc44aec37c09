//! Clusters, nodes and forgeries for the tests of this crate, and tests of identities themselves.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use p2p_client::{
    protocol::{NodeId, NodeInfo, NodeStatus, Role, UnixMillis},
    revocation::{KeyHash, Reason, Subject},
    wire::tls::TrustedRoot,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer as Signer, KeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    Host, IssuedNode, IssuingCa, Ledger, NodeIdentity, NodeKey, NodeNames, RootKeys, Vault,
    error::IdentityError,
    issuer::{ISSUING_CERT, ISSUING_KEY},
};
pub(crate) use crate::identity::{
    challenge::tests::World,
    coordinators::{attempt, joiner_in},
    vault::tests::MemoryVault,
};

pub(crate) const YEAR: u64 = 365 * 86_400;

/// A time so many seconds from now.
pub(crate) fn from_now(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs().checked_add_signed(seconds).unwrap()))
}

/// A new cluster, two years old, whose coordinator is called `coordinator` and lives on loopback.
pub(crate) fn cluster() -> (NodeIdentity, Arc<MemoryVault>) {
    cluster_at(0)
}

/// The same, made where the clock is so many seconds ahead.
pub(crate) fn cluster_at(ahead_s: i64) -> (NodeIdentity, Arc<MemoryVault>) {
    let vault = Arc::new(MemoryVault::default());
    let addresses: Vec<Host> = vec!["127.0.0.1".parse().unwrap()];
    let ago = from_now(ahead_s - 2 * i64::try_from(YEAR).unwrap());
    let created = NodeIdentity::create_cluster(&*vault, "coordinator".parse().unwrap(), &addresses, ago).unwrap();
    // Its own certificate is renewed, as it would be after two years.
    let names = NodeNames { node_id: &created.peer().node_id.clone(), role: Role::Coordinator, addresses: &addresses };
    let chain = issuing(&vault).issue(&created.key().public(), &names, from_now(ahead_s)).unwrap();
    let renewed = NodeIdentity::new(created.key().clone(), chain, created.root().clone()).unwrap();
    renewed.save(&*vault).unwrap();
    (renewed, vault)
}

/// The issuing authority in a coordinator's store.
pub(crate) fn issuing(vault: &MemoryVault) -> IssuingCa {
    issuing_under(vault, NodeIdentity::load(vault).unwrap().unwrap().root())
}

/// The issuing authority in a coordinator's store, under this root.
pub(crate) fn issuing_under(vault: &MemoryVault, root: &TrustedRoot) -> IssuingCa {
    let key = NodeKey::from_pkcs8(&vault.get(ISSUING_KEY).unwrap().unwrap()).unwrap();
    let cert = CertificateDer::from(vault.get(ISSUING_CERT).unwrap().unwrap().to_vec());
    IssuingCa::from_parts(key, cert, root.clone()).unwrap()
}

/// What is revoked by the store of this node.
pub(crate) fn ledger(identity: &NodeIdentity, vault: &Arc<impl Vault>) -> Ledger {
    Ledger::load(vault.clone(), identity.material().clone(), Arc::new(UnixMillis::now)).unwrap()
}

/// The authority of another coordinator of the cluster with this store, which holds the root key.
pub(crate) async fn another_authority(vault: &Arc<MemoryVault>, ledger: &Ledger) -> IssuingCa {
    let keys = RootKeys::new(vault.clone(), ledger.clone(), Arc::new(UnixMillis::now), "coordinator".parse().unwrap());
    let key = NodeKey::generate().unwrap();
    let cert = keys.issue_authority("coordinator-2".parse().unwrap(), key.public()).await.unwrap().unwrap();
    IssuingCa::from_parts(key, cert, ledger.roots().current()).unwrap()
}

/// Has this key revoked right after the next write under this path.
pub(crate) fn revoked_after_the_next_write(vault: &MemoryVault, path: &str, ledger: &Ledger, key: KeyHash) {
    taken_back_after_the_next_write(vault, path, ledger, Subject::Key { key });
}

/// Has this revoked right after the next write under this path.
pub(crate) fn taken_back_after_the_next_write(vault: &MemoryVault, path: &str, ledger: &Ledger, subject: Subject) {
    let (ledger, runtime) = (ledger.clone(), tokio::runtime::Handle::current());
    let revoke = move || drop(runtime.block_on(ledger.revoke(vec![subject], Reason::default())).unwrap());
    *vault.after.lock().unwrap() = Some((path.to_owned(), Box::new(revoke)));
}

/// A worker of the cluster with this store, whose certificate is made at `now`.
pub(crate) fn worker_at(vault: &MemoryVault, name: &str, now: UnixTime) -> NodeIdentity {
    let (node_id, key): (NodeId, _) = (name.parse().unwrap(), NodeKey::generate().unwrap());
    let ca = issuing(vault);
    let chain = ca.issue(&key.public(), &NodeNames { node_id: &node_id, role: Role::Worker, addresses: &[] }, now).unwrap();
    NodeIdentity::new(key, chain, ca.root().clone()).unwrap()
}

/// A worker of the cluster with this store.
pub(crate) fn worker(vault: &MemoryVault, name: &str) -> NodeIdentity {
    worker_at(vault, name, UnixTime::now())
}

/// A coordinator that has joined, under the same authority.
pub(crate) fn coordinator(vault: &MemoryVault, name: &str) -> NodeIdentity {
    let (node_id, key): (NodeId, _) = (name.parse().unwrap(), NodeKey::generate().unwrap());
    let ca = issuing(vault);
    let names = NodeNames { node_id: &node_id, role: Role::Coordinator, addresses: &[] };
    let chain = ca.issue(&key.public(), &names, UnixTime::now()).unwrap();
    NodeIdentity::new(key, chain, ca.root().clone()).unwrap()
}

/// What is noted of a node of this name, with a key of its own, that got its certificate at the beginning of all time, and of which nothing more is known.
pub(crate) fn issued_node(name: &str, role: Role) -> IssuedNode {
    IssuedNode {
        node_id: name.parse().unwrap(),
        role,
        key: NodeKey::generate().unwrap().public().thumbprint(),
        token: None,
        issued: UnixMillis(1),
        written: None,
        certificate: None,
        previous: None,
        root: None,
        has_left: false,
        stood_on: [].into(),
    }
}

/// What a node of this name says of itself.
pub(crate) fn says<const N: usize>(name: &str, role: Role, metadata: [(&str, &str); N]) -> NodeInfo {
    NodeInfo {
        node_id: name.parse().unwrap(),
        address: "10.0.0.1".to_owned(),
        port: 1,
        role,
        capabilities: Vec::new(),
        last_seen: UnixMillis(0),
        metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        status: NodeStatus::Alive,
        services: BTreeMap::new(),
    }
}

/// A node certificate with any names, by any signer, under any chain: what an attacker or a bug would make.
pub(crate) fn forged(
    names: &[&str],
    usage: &[ExtendedKeyUsagePurpose],
    signer: (&CertificateDer<'_>, &NodeKey),
) -> (NodeKey, CertificateDer<'static>) {
    let key = NodeKey::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usage.to_vec();
    let signer = Signer::from_ca_cert_der(signer.0, signer.1).unwrap();
    let cert = params.signed_by(&key.public(), &signer).unwrap();
    (key, cert.der().clone())
}

#[test]
fn an_identity_survives_its_stored_form() {
    let (made, vault) = cluster();
    let loaded = NodeIdentity::load(&*vault).unwrap().unwrap();
    assert_eq!(loaded.peer(), made.peer());
    assert_eq!(loaded.chain(), made.chain());
    assert_eq!(loaded.key().public(), made.key().public());
    assert_eq!(made.peer().role, Role::Coordinator);
    assert_eq!(made.peer().cluster, *made.root().cluster());
    assert!(NodeIdentity::load(&MemoryVault::default()).unwrap().is_none());
}

#[test]
fn a_cluster_is_never_made_over_an_identity() {
    let (made, vault) = cluster();
    let before = vault.entries.lock().unwrap().clone();
    let again = NodeIdentity::create_cluster(&*vault, "other".parse().unwrap(), &[], UnixTime::now()).unwrap_err();
    assert!(matches!(&again, IdentityError::AlreadyEnrolled(peer) if peer == made.peer()), "{again}");
    assert_eq!(*vault.entries.lock().unwrap(), before);
}

#[test]
fn a_cluster_is_made_by_one_write() {
    let vault = MemoryVault::default();
    NodeIdentity::create_cluster(&vault, "c".parse().unwrap(), &[], UnixTime::now()).unwrap();
    assert_eq!(vault.updates.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn damaged_and_newer_identities_are_told_apart() {
    for (stored, why) in
        [(&b"{"[..], "damaged"), (br#"{"version":2,"chain":[]}"#, "format 2"), (br#"{"version":1,"chain":[]}"#, "damaged")]
    {
        let (_, vault) = cluster();
        vault.entries.lock().unwrap().insert("identity/node.json".into(), stored.to_vec().into());
        let said = NodeIdentity::load(&*vault).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    let (_, vault) = cluster();
    let other = NodeKey::generate().unwrap().to_pkcs8();
    vault.entries.lock().unwrap().insert("identity/node.key".into(), other);
    assert!(NodeIdentity::load(&*vault).unwrap_err().to_string().contains("own certificate cannot be used"));
}

#[test]
fn a_root_key_that_is_not_the_roots_makes_no_authority() {
    let (made, vault) = cluster();
    let ca = issuing(&vault);
    let error = IssuingCa::from_parts(NodeKey::generate().unwrap(), ca.certificate().clone(), made.root().clone()).unwrap_err();
    assert!(error.to_string().contains("its key is not the one"), "{error}");
    let leaf = made.chain()[0].clone();
    let error = IssuingCa::from_parts(made.key().clone(), leaf, made.root().clone()).unwrap_err();
    assert!(error.to_string().contains("not an authority's"), "{error}");
    assert!(TrustedRoot::from_der(made.root().der().clone()).is_ok());
}

/// What the audit log is told on this thread, from its making to its end.
pub(crate) struct AuditLines {
    log: Log,
    _capturing: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Wants everything, and keeps nothing. Where there is one subscriber alone, `tracing` asks that of the thread which comes to a line first whether anybody
/// wants it, and remembers the answer for all threads: a test beside this one that captures nothing would answer no.
static WANTS_ALL: std::sync::LazyLock<tracing::Dispatch> = std::sync::LazyLock::new(|| {
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(std::io::sink).finish().into()
});

impl AuditLines {
    pub(crate) fn capture() -> Self {
        std::sync::LazyLock::force(&WANTS_ALL);
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        Self { log, _capturing: tracing::subscriber::set_default(subscriber) }
    }

    /// All that was logged since it was last asked, of whatever kind.
    pub(crate) fn take_all(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.log.0.lock().unwrap())).unwrap()
    }

    /// The lines since it was last asked.
    pub(crate) fn take(&self) -> Vec<String> {
        let text = self.take_all();
        text.lines().filter(|line| line.contains(" audit: ")).map(str::to_owned).collect()
    }
}
