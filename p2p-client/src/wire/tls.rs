//! The TLS that nodes and clients speak: 1.3 only, no resumption, and names that mean nodes.
//!
//! Data flows so: [`TlsMaterial`] holds what this end trusts and what it shows; both can be replaced while connections
//! are open. [`ClientTls`] opens a connection with it and checks that the node that answers is the one that was meant
//! ([`Expect`]). The serving side is in `p2p-runtime` and uses the same material and the same checks.
//!
//! A node's certificate carries one URI name, `p2p://CLUSTER/ROLE/NODE_ID`. Addresses in it are for other people's
//! clients; nodes verify the node id, so that a changed address locks nobody out.

mod checks;
mod claim;
mod error;
mod other_roots;
mod remembered;
#[cfg(test)]
mod security;
mod validity;
mod verify;

use std::{fmt, net::Ipv4Addr, str::FromStr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, SignatureScheme, SupportedProtocolVersion,
    client::{ResolvesClientCert, Resumption},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs::sign::any_supported_type},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};

use self::{
    checks::{Check, bound},
    other_roots::OtherRoots,
    remembered::GoodChains,
};
pub use self::{
    claim::with_claim,
    error::TlsError,
    other_roots::OtherRoot,
    validity::expires_at,
    verify::{ClusterClients, Usage, peer_identity, verify_chain, verify_coordinator, verify_not_revoked},
};
use crate::{
    hex,
    hex::sha256,
    protocol::{ClusterId, NodeId, Role},
    revocation::{ChainKeys, Guarded, KeyHash, Revocations},
    wire::net::BoxStream,
};

/// ALPN name of HTTP/2.
pub const ALPN_H2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";
/// ALPN name of membership frames; it needs a client certificate.
pub const ALPN_GOSSIP: &[u8] = b"p2p-gossip/1";

/// What is spoken.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// How long a handshake may take, unless said otherwise.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The label under which both ends of a connection derive the same 32 secret bytes, which bind a join to its connection.
const JOIN_EXPORTER_LABEL: &[u8] = b"EXPORTER-p2p-join";

/// Names in a verified certificate: one URI name `p2p://CLUSTER/ROLE/NODE_ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The node.
    pub node_id: NodeId,
    /// What the node may do.
    pub role: Role,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
}

impl fmt::Display for PeerIdentity {
    /// Writes the name as it stands in the certificate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p2p://{}/{}/{}", self.cluster, self.role, self.node_id)
    }
}

/// The SHA-256 of a root's public key (SubjectPublicKeyInfo, DER): the root's fingerprint, shown in hexadecimal.
///
/// It is read with and without `sha256:` before it, the form in which `p2p init` prints it:
///
/// ```
/// use p2p_client::wire::tls::RootKeyHash;
///
/// let printed = format!("sha256:{}", "ab".repeat(32));
/// assert_eq!(printed.parse::<RootKeyHash>()?, RootKeyHash::new([0xab; 32]));
/// # Ok::<(), p2p_client::wire::tls::InvalidFingerprint>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootKeyHash([u8; 32]);

impl RootKeyHash {
    /// The hash with these bytes.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The cluster that such a root makes, as its first one.
    pub fn cluster(&self) -> ClusterId {
        ClusterId::from_root_key_hash(&self.0)
    }
}

impl fmt::Display for RootKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// A root's key, among the keys that statements name.
impl From<RootKeyHash> for KeyHash {
    fn from(root: RootKeyHash) -> Self {
        Self::new(root.0)
    }
}

/// A text that is no fingerprint of a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no fingerprint of a root: {reason}; copy the line `root` of what `p2p init` printed, sha256: and 64 hexadecimal digits"
)]
pub struct InvalidFingerprint {
    text: String,
    reason: String,
}

impl FromStr for RootKeyHash {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let refused = |reason: String| InvalidFingerprint { text: text.chars().take(80).collect(), reason };
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if let Some(other) = digits.chars().find(|digit| !digit.is_ascii_hexdigit()) {
            return Err(refused(format!("{other:?} is no hexadecimal digit")));
        }
        if digits.len() != 64 {
            return Err(refused(format!("it has {} digits", digits.len())));
        }
        let mut hash = [0; 32];
        for (place, byte) in hash.iter_mut().enumerate() {
            let pair = &digits[2 * place..2 * place + 2];
            *byte = u8::from_str_radix(pair, 16).map_err(|error| refused(error.to_string()))?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Debug for RootKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKeyHash({self})")
    }
}

/// A cluster's root certificate, as what is trusted.
///
/// A cluster is named after the key of its first root. A root that succeeds another carries the cluster's name, `p2p://CLUSTER`, as its one URI
/// name: whoever trusts it by its key trusts it in that, too.
#[derive(Debug, Clone)]
pub struct TrustedRoot(Arc<Root>);

#[derive(Debug)]
struct Root {
    cert: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    key_hash: RootKeyHash,
    cluster: ClusterId,
}

impl TrustedRoot {
    /// Trusts this certificate (DER). Whoever calls this has made sure that it is the right one.
    ///
    /// # Errors
    /// [`TlsError::BadCertificate`] when it is no certificate.
    pub fn from_der(cert: CertificateDer<'static>) -> Result<Self, TlsError> {
        let anchor = webpki::anchor_from_trusted_cert(&cert)
            .map_err(|e| TlsError::BadCertificate { reason: format!("it is no root certificate: {e}") })?
            .to_owned();
        let key_hash = RootKeyHash(sha256(&webpki::spki_for_anchor(&anchor)));
        let cluster = verify::cluster_of_root(&cert)?.unwrap_or_else(|| key_hash.cluster());
        Ok(Self(Arc::new(Root { cert, anchor, key_hash, cluster })))
    }

    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0.cert
    }

    /// The hash of its public key.
    pub fn key_hash(&self) -> RootKeyHash {
        self.0.key_hash
    }

    /// The cluster that it stands for.
    pub fn cluster(&self) -> &ClusterId {
        &self.0.cluster
    }

    pub(crate) fn anchor(&self) -> &TrustAnchor<'static> {
        &self.0.anchor
    }
}

/// What one end trusts and what it shows: the root, what was revoked under it, and its own chain with its key. Clones share one content.
///
/// Replacing the content touches new handshakes only; open connections go on.
#[derive(Debug, Clone)]
pub struct TlsMaterial {
    content: Arc<ArcSwap<Content>>,
    revocations: Revocations,
    provider: Arc<CryptoProvider>,
    good: Arc<GoodChains>,
    other_roots: Arc<OtherRoots>,
}

#[derive(Debug, Default, Clone)]
struct Content {
    root: Option<TrustedRoot>,
    /// While the root is being changed: the one that comes after it.
    next: Option<TrustedRoot>,
    own: Option<Arc<CertifiedKey>>,
}

impl TlsMaterial {
    /// Trusts nobody and shows nothing: for a node that is about to join, with [`Expect::PinnedRoot`], and for clients outside, with
    /// [`Expect::RootedIn`].
    pub fn empty() -> Self {
        Self {
            content: Arc::default(),
            revocations: Revocations::default(),
            provider: verify::provider(),
            good: Arc::default(),
            other_roots: Arc::default(),
        }
    }

    /// Trusts this root and shows nothing: for clients outside the cluster.
    pub fn trusting(root: TrustedRoot) -> Self {
        let material = Self::empty();
        material.content.store(Arc::new(Content { root: Some(root), ..Content::default() }));
        material
    }

    /// Replaces everything at once: the root, and this end's own chain (leaf first) with its key. The key is only read;
    /// wiping it is for the caller.
    ///
    /// # Errors
    /// [`TlsError::OwnCertificate`] when the chain is empty or the key is not the leaf's; then nothing changes.
    pub fn replace(
        &self,
        root: TrustedRoot,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<(), TlsError> {
        let bad = |e: rustls::Error| TlsError::OwnCertificate { reason: e.to_string() };
        if chain.is_empty() {
            return Err(TlsError::OwnCertificate { reason: "its chain is empty".into() });
        }
        let own = CertifiedKey::new(chain, any_supported_type(key).map_err(bad)?);
        own.keys_match().map_err(bad)?;
        let next = self.content.load().next.clone();
        self.content.store(Arc::new(Content { root: Some(root), next, own: Some(Arc::new(own)) }));
        Ok(())
    }

    /// Trusts this root, and the one that is to come after it as well; and shows this chain, of the same key.
    ///
    /// # Errors
    /// [`TlsError::NoOwnCertificate`] when there is no key to show a chain with; then nothing changes.
    pub fn trust(
        &self,
        root: TrustedRoot,
        next: Option<TrustedRoot>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<(), TlsError> {
        let own = self.own().ok_or(TlsError::NoOwnCertificate)?;
        let own = Some(Arc::new(CertifiedKey::new(chain, own.key.clone())));
        self.content.store(Arc::new(Content { root: Some(root), next, own }));
        Ok(())
    }

    /// The cluster's root, as it is trusted now.
    pub fn root(&self) -> Option<TrustedRoot> {
        self.content.load().root.clone()
    }

    /// The root that is to come after it, and is trusted as well, while the root is being changed.
    pub fn next_root(&self) -> Option<TrustedRoot> {
        self.content.load().next.clone()
    }

    /// Checks that a chain leads to a root that is trusted, is valid at `now` and meant for `usage`; tells whose it is. What was revoked is not asked:
    /// that is [`verify_not_revoked`]'s.
    ///
    /// `others` are the certificates that came beside the leaf, in any order.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<PeerIdentity, TlsError> {
        let content = self.content.load();
        let root = content.root.as_ref().ok_or(TlsError::NoRoot)?;
        let algorithms = self.algorithms();
        let verified = match (self.good.verify(root, leaf, others, usage, now, &algorithms), &content.next) {
            (Err(TlsError::ForeignCa { .. }), Some(next)) => self.good.verify(next, leaf, others, usage, now, &algorithms),
            (verified, _) => verified,
        };
        if matches!(verified, Err(TlsError::ForeignCa { .. })) {
            self.other_roots.note(root, leaf, others);
        }
        verified
    }

    /// The roots of this cluster's name that others have shown and that were not trusted then, at most a few. Anybody can make one up.
    pub fn other_roots(&self) -> tokio::sync::watch::Receiver<Vec<OtherRoot>> {
        self.other_roots.subscribe()
    }

    /// Guards a stream that a handshake has opened, to the node with this chain (leaf first): it breaks as soon as the node, or a key that its
    /// certificate stands on, is revoked. The chain is verified once more, now that the stream can be cut: a root may have been dropped during
    /// the handshake.
    ///
    /// # Errors
    /// The chain is not good any more; the stream is dropped.
    pub fn guard<S>(
        &self,
        stream: S,
        chain: &[CertificateDer<'_>],
        usage: Usage,
    ) -> Result<(PeerIdentity, Guarded<S>), TlsError> {
        let (leaf, others) = chain.split_first().ok_or(TlsError::NoCertificate)?;
        let (node_id, keys) = (peer_identity(leaf)?.node_id, ChainKeys::of(leaf, others).ok_or(TlsError::NoCertificate)?);
        let guarded = self.revocations.guard(stream, &node_id, keys);
        let peer = self.verify(leaf, others, usage, UnixTime::now())?;
        Ok((peer, guarded))
    }

    /// What nobody in the cluster accepts any more. Handshakes ask it, and connections break when it says so.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The own chain and key that are shown now.
    pub fn own(&self) -> Option<Arc<CertifiedKey>> {
        self.content.load().own.clone()
    }

    /// Who this end is, by its own certificate.
    pub fn identity(&self) -> Option<PeerIdentity> {
        self.own().and_then(|own| own.cert.first().and_then(|leaf| peer_identity(leaf).ok()))
    }

    /// The cryptography that every TLS configuration of this program uses.
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// The signature algorithms that are accepted.
    pub fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.provider.signature_verification_algorithms
    }
}

impl ResolvesClientCert for TlsMaterial {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.own()
    }

    fn has_certs(&self) -> bool {
        self.content.load().own.is_some()
    }
}

/// Whom a connection is meant to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// This node of the cluster, and no other.
    Node(NodeId),
    /// Any node of the cluster: when first reaching a seed address.
    AnyNode,
    /// A coordinator under exactly the root with this key, found in the chain that it shows: when joining. Each of the certificates is or was valid
    /// at some time that they have in common; whether that is now is not asked of this machine's clock, which may be wrong, but to be asked of the
    /// coordinator's, by [`verify_coordinator`].
    PinnedRoot(RootKeyHash),
    /// Any node under exactly the root with this key, found in the chain that it shows: for clients outside the cluster.
    RootedIn(RootKeyHash),
}

/// Opens TLS connections. Cheap to clone; all clones follow one [`TlsMaterial`].
#[derive(Debug, Clone)]
pub struct ClientTls {
    material: TlsMaterial,
    timeout: Duration,
}

impl ClientTls {
    /// Connects with this material: its root decides who is trusted, its certificate, if any, is shown on request.
    pub fn new(material: TlsMaterial) -> Self {
        Self { material, timeout: HANDSHAKE_TIMEOUT }
    }

    /// Gives handshakes this much time instead of [`HANDSHAKE_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What this end trusts and shows.
    pub fn material(&self) -> &TlsMaterial {
        &self.material
    }

    /// Makes a TLS connection of a stream, to the one that is expected, offering the application protocols in `alpn`.
    ///
    /// The server may still refuse our certificate: the first read then fails, and [`TlsError::from_io`] explains it.
    ///
    /// # Errors
    /// Whoever answers is not the one expected, or TLS cannot be spoken; the variants say which.
    pub async fn connect(
        &self,
        stream: BoxStream,
        expect: Expect,
        alpn: &[&[u8]],
    ) -> Result<tokio_rustls::client::TlsStream<BoxStream>, TlsError> {
        let ours = match &expect {
            Expect::PinnedRoot(hash) | Expect::RootedIn(hash) => Some(hash.cluster()),
            Expect::Node(_) | Expect::AnyNode => self.material.root().map(|root| root.cluster().clone()),
        };
        let verifier = verify::MeantServer { material: self.material.clone(), expect };
        // Whether rustls has TLS 1.2 in it is for the whole program to say, not for this crate.
        let versions = bound(Check::Version, VERSIONS, rustls::ALL_VERSIONS);
        let mut config = ClientConfig::builder_with_provider(self.material.provider.clone())
            .with_protocol_versions(versions)
            .map_err(TlsError::Protocol)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(self.material.clone()));
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        // Nodes are known by their ids, not by host names: what stands here is neither sent nor checked.
        let nobody = ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into());
        let handshake = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(nobody, stream);
        match tokio::time::timeout(self.timeout, handshake).await {
            Ok(done) => done.map_err(|e| TlsError::from_handshake(e, ours.as_ref())),
            Err(_) => Err(TlsError::Timeout { after: self.timeout }),
        }
    }
}

/// 32 bytes that only the two ends of one TLS connection know. What is signed over them holds on this connection only.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelBinding([u8; 32]);

impl ChannelBinding {
    /// The binding of a connection that this end opened.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] when the handshake is not finished.
    pub fn of_client<S>(stream: &tokio_rustls::client::TlsStream<S>) -> Result<Self, TlsError> {
        Self::derive(|out| stream.get_ref().1.export_keying_material(out, JOIN_EXPORTER_LABEL, None))
    }

    /// The binding of a connection that this end accepted.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] when the handshake is not finished.
    pub fn of_server<S>(stream: &tokio_rustls::server::TlsStream<S>) -> Result<Self, TlsError> {
        Self::derive(|out| stream.get_ref().1.export_keying_material(out, JOIN_EXPORTER_LABEL, None))
    }

    fn derive(export: impl FnOnce([u8; 32]) -> Result<[u8; 32], rustls::Error>) -> Result<Self, TlsError> {
        export([0; 32]).map(Self).map_err(TlsError::Protocol)
    }

    /// A binding with these bytes, for protocols that run without TLS, such as simulations.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to sign over. They are a secret of the connection: never log them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBinding(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_key_hash_shows_as_hexadecimal_and_a_binding_not_at_all() {
        assert_eq!(RootKeyHash::new([0xab; 32]).to_string(), "ab".repeat(32));
        assert_eq!(format!("{:?}", ChannelBinding::from_bytes([7; 32])), "ChannelBinding(secret)");
    }

    #[test]
    fn a_fingerprint_is_read_in_the_form_in_which_it_is_printed_and_what_is_none_is_refused_with_the_reason() {
        let hash = RootKeyHash::new(std::array::from_fn(|place| u8::try_from(place * 7).unwrap_or(0xff)));
        for text in [hash.to_string(), format!("sha256:{hash}"), hash.to_string().to_uppercase()] {
            assert_eq!(text.parse(), Ok(hash), "{text}");
        }
        for (text, why) in [
            (String::new(), "it has 0 digits"),
            (hash.to_string()[1..].to_owned(), "it has 63 digits"),
            (format!("{hash}00"), "it has 66 digits"),
            (format!("sha1:{hash}"), "'s' is no hexadecimal digit"),
            (hash.to_string().replace('0', "ö"), "'ö' is no hexadecimal digit"),
        ] {
            let said = text.parse::<RootKeyHash>().unwrap_err().to_string();
            assert!(said.contains(why) && said.contains("p2p init"), "{text}: {said}");
        }
    }

    #[test]
    fn garbage_is_no_root_and_an_empty_chain_no_identity() {
        assert!(TrustedRoot::from_der(CertificateDer::from(vec![1, 2, 3])).unwrap_err().to_string().contains("no root"));
        assert!(TlsMaterial::empty().own().is_none());
        assert!(TlsMaterial::empty().identity().is_none());
    }
}
