//! Checks a peer's chain of certificates, and reads who the peer is from it.
//!
//! The order is fixed: the chain must lead to a root that is trusted, be valid now and be meant for this use; only then are names
//! read; only then it is asked whether any of it was revoked; only then are they compared. The rustls verifiers at the end wrap the same function for both directions.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::{
    Expect, PeerIdentity, RootKeyHash, TlsError, TlsMaterial, TrustedRoot,
    checks::{Check, holds},
    claim,
    validity::nearest_valid,
};
use crate::{
    protocol::{ClusterId, NodeId, Role},
    revocation::{ChainKeys, Revocations},
};

/// What the peer's certificate must be meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The peer is the server of the connection.
    Server,
    /// The peer is the client of the connection, or the author of a signed statement.
    Client,
}

impl Usage {
    const fn key_usage(self) -> KeyUsage {
        match self {
            Self::Server => KeyUsage::server_auth(),
            Self::Client => KeyUsage::client_auth(),
        }
    }
}

/// Reads the names in a node's certificate. Nothing is verified here: that is [`verify_chain`]'s.
///
/// # Errors
/// [`TlsError::NotANode`] unless there is exactly one URI name `p2p://CLUSTER/ROLE/NODE_ID`.
pub fn peer_identity(cert: &CertificateDer<'_>) -> Result<PeerIdentity, TlsError> {
    let cert = EndEntityCert::try_from(cert).map_err(|e| TlsError::BadCertificate { reason: e.to_string() })?;
    let mut names = cert.valid_uri_names().filter(|uri| uri.starts_with("p2p://"));
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(TlsError::NotANode { reason: "it must have exactly one name p2p://CLUSTER/ROLE/NODE_ID".into() });
    };
    parse_name(name)
}

fn parse_name(name: &str) -> Result<PeerIdentity, TlsError> {
    let wrong = |why: String| TlsError::NotANode { reason: format!("{why} in its name {name:?}") };
    let mut parts = name.strip_prefix("p2p://").unwrap_or_default().split('/');
    let (Some(cluster), Some(role), Some(node), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(wrong("there are not three parts".into()));
    };
    Ok(PeerIdentity {
        cluster: cluster.parse::<ClusterId>().map_err(|e| wrong(e.to_string()))?,
        role: role.parse::<Role>().map_err(|e| wrong(e.to_string()))?,
        node_id: node.parse::<NodeId>().map_err(|e| wrong(e.to_string()))?,
    })
}

/// The cluster that a root's certificate names, if it names one: the roots that make a cluster do not.
pub(super) fn cluster_of_root(cert: &CertificateDer<'_>) -> Result<Option<ClusterId>, TlsError> {
    let cert = EndEntityCert::try_from(cert).map_err(|e| TlsError::BadCertificate { reason: e.to_string() })?;
    let mut names = cert.valid_uri_names().filter_map(|uri| uri.strip_prefix("p2p://"));
    let cluster = names.next().map(str::parse::<ClusterId>).transpose();
    cluster.map_err(|e| TlsError::BadCertificate { reason: format!("it names no cluster: {e}") })
}

/// Checks that a chain leads to `root`, is valid at `now` and meant for `usage`; tells whose it is.
///
/// `others` are the certificates that came beside the leaf, in any order.
///
/// # Errors
/// The first rule that is broken.
pub fn verify_chain(
    root: &TrustedRoot,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    usage: Usage,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<PeerIdentity, TlsError> {
    let parsed = EndEntityCert::try_from(leaf).map_err(|e| TlsError::BadCertificate { reason: e.to_string() })?;
    let roots = std::slice::from_ref(root.anchor());
    let found = parsed.verify_for_usage(algorithms.all, roots, others, now, usage.key_usage(), None, None);
    if let Err(error) = found
        && !holds(Check::of(&error), false)
    {
        return Err(TlsError::from_webpki(error, root.cluster()));
    }
    let peer = peer_identity(leaf)?;
    if peer.cluster != *root.cluster() {
        return Err(TlsError::WrongCluster { ours: root.cluster().clone(), theirs: peer.cluster });
    }
    Ok(peer)
}

/// Checks that a server's chain leads to the root with this key, which is to be among the certificates that it shows; tells whose it is.
/// Otherwise the error is `other`'s, of the root that it shows instead, if it shows one.
fn verify_under(
    root: RootKeyHash,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
    other: impl Fn(Option<RootKeyHash>) -> TlsError,
) -> Result<PeerIdentity, TlsError> {
    let mut shown = others.iter().filter_map(|cert| TrustedRoot::from_der(cert.clone().into_owned()).ok());
    let Some(found) = shown.find(|shown| shown.key_hash() == root) else {
        return Err(other(others.iter().find(|cert| is_self_issued(cert)).and_then(|cert| key_hash(cert))));
    };
    // A chain that shows our root without leading to it is a pretence.
    verify_chain(&found, leaf, others, Usage::Server, now, algorithms).map_err(|error| match error {
        TlsError::ForeignCa { .. } => other(None),
        error => error,
    })
}

/// Checks that a chain, leaf first, is that of a coordinator under the root with this key, which is to be among the certificates that it shows, and
/// that it is valid at `at`; tells whose it is.
///
/// A handshake by [`Expect::PinnedRoot`] does not ask whether the chain is valid now: who joins may have a clock that is wrong. This asks, for the time
/// that the coordinator tells.
///
/// # Errors
/// The first rule that is broken.
pub fn verify_coordinator(
    pinned: RootKeyHash,
    chain: &[CertificateDer<'_>],
    at: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<PeerIdentity, TlsError> {
    let (leaf, others) = chain.split_first().ok_or(TlsError::NoCertificate)?;
    let peer = verify_under(pinned, leaf, others, at, algorithms, |_found| TlsError::WrongRoot { pinned })?;
    if holds(Check::Role, peer.role == Role::Coordinator) {
        Ok(peer)
    } else {
        Err(TlsError::NotCoordinator { got: peer.node_id })
    }
}

fn is_self_issued(cert: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(cert).is_ok_and(|cert| cert.issuer() == cert.subject())
}

fn key_hash(cert: &CertificateDer<'_>) -> Option<RootKeyHash> {
    TrustedRoot::from_der(cert.clone().into_owned()).ok().map(|root| root.key_hash())
}

/// Checks that nothing in a chain that [`verify_chain`] found good was revoked: neither the node, nor its key, nor one that signed.
///
/// # Errors
/// [`TlsError::Revoked`].
pub fn verify_not_revoked(
    revocations: &Revocations,
    peer: &PeerIdentity,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<(), TlsError> {
    let unreadable = || TlsError::BadCertificate { reason: "its key cannot be read".into() };
    let keys = ChainKeys::of(leaf, others).ok_or_else(unreadable)?;
    let is_good = !revocations.set().is_chain_revoked(&peer.node_id, &keys);
    if holds(Check::Revocation, is_good) { Ok(()) } else { Err(TlsError::Revoked) }
}

/// Verifies a server for one connection, of which it knows whom the caller meant.
#[derive(Debug)]
pub(super) struct MeantServer {
    pub(super) material: TlsMaterial,
    pub(super) expect: Expect,
}

impl MeantServer {
    fn verify(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Result<(), TlsError> {
        let algorithms = self.material.algorithms();
        match &self.expect {
            Expect::PinnedRoot(pinned) => {
                let chain: Vec<_> = std::iter::once(leaf).chain(others).cloned().collect();
                return verify_coordinator(*pinned, &chain, nearest_valid(leaf, others, now), &algorithms).map(drop);
            }
            Expect::RootedIn(expected) => {
                let other = |found| TlsError::OtherRoot { expected: *expected, found };
                let peer = verify_under(*expected, leaf, others, now, &algorithms, other)?;
                return verify_not_revoked(self.material.revocations(), &peer, leaf, others);
            }
            Expect::Node(_) | Expect::AnyNode => {}
        }
        let peer = self.material.verify(leaf, others, Usage::Server, now)?;
        verify_not_revoked(self.material.revocations(), &peer, leaf, others)?;
        match &self.expect {
            Expect::Node(expected) if *expected != peer.node_id => {
                Err(TlsError::WrongNode { expected: expected.clone(), got: peer.node_id })
            }
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for MeantServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map_err(|e| e.into_rustls(now))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.material.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.material.algorithms().supported_schemes()
    }
}

/// Verifies clients: none needs a certificate, but one that is shown must be good.
#[derive(Debug)]
pub struct ClusterClients {
    material: TlsMaterial,
}

impl ClusterClients {
    /// Verifies against whatever root `material` holds at the time of the handshake.
    pub fn new(material: TlsMaterial) -> Arc<Self> {
        Arc::new(Self { material })
    }

    fn verify(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Result<(), TlsError> {
        let peer = self.material.verify(leaf, others, Usage::Client, now)?;
        verify_not_revoked(self.material.revocations(), &peer, leaf, others)
    }
}

impl ClientCertVerifier for ClusterClients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        claim::note(end_entity);
        self.verify(end_entity, intermediates, now).map_err(|e| e.into_rustls(now))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.material.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.material.algorithms().supported_schemes()
    }
}

fn tls12_refused() -> rustls::Error {
    rustls::Error::PeerIncompatible(rustls::PeerIncompatible::SupportedVersionsExtensionRequired)
}

/// The one provider of cryptography, never installed as the process's default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_has_exactly_three_good_parts() {
        let cluster = "ab".repeat(16);
        let good = parse_name(&format!("p2p://{cluster}/worker/worker-1")).unwrap();
        assert_eq!((good.node_id.as_str(), good.role, good.cluster.as_str()), ("worker-1", Role::Worker, cluster.as_str()));
        for (bad, why) in [
            (format!("p2p://{cluster}/worker"), "three parts"),
            (format!("p2p://{cluster}/worker/a/b"), "three parts"),
            (format!("p2p://{cluster}/king/a"), "unknown role"),
            ("p2p://xyz/worker/a".to_owned(), "32 hexadecimal"),
            (format!("p2p://{cluster}/worker/A"), "only a-z"),
            (String::new(), "three parts"),
        ] {
            let said = parse_name(&bad).unwrap_err().to_string();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
