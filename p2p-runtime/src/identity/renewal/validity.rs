//! What a certificate says, as people and programs want to know it.

use p2p_client::{
    revocation::KeyHash,
    wire::tls::{PeerIdentity, TlsError, peer_identity},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::super::{address::Host, ca::CertificateHash};

/// What a node's certificate says.
#[derive(Debug, Clone)]
pub struct CertificateInfo {
    /// Whose it is.
    pub peer: PeerIdentity,
    /// The addresses that it was issued for.
    pub addresses: Vec<Host>,
    /// From when it is valid.
    pub from: UnixTime,
    /// Until when.
    pub until: UnixTime,
    /// Its key.
    pub key: KeyHash,
    /// Its hash, by which it is told from others for the same key.
    pub hash: CertificateHash,
}

impl CertificateInfo {
    /// Reads a certificate that was verified.
    ///
    /// # Errors
    /// [`TlsError::BadCertificate`] or [`TlsError::NotANode`] when it is no node's.
    pub fn read(leaf: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let bad = |reason: String| TlsError::BadCertificate { reason };
        let peer = peer_identity(leaf)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| bad(error.to_string()))?;
        let names = parsed.subject_alternative_name().map_err(|error| bad(error.to_string()))?;
        // Every node has this name; it is no address.
        let own = format!("{}.{}.p2p.internal", peer.node_id, peer.cluster);
        let host = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) if *name != own => name.parse().ok(),
            GeneralName::IPAddress(bytes) => ip(bytes).map(Host::Ip),
            _ => None,
        };
        let addresses = names.iter().flat_map(|names| &names.value.general_names).filter_map(host).collect();
        let time = |seconds: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        Ok(Self {
            addresses,
            from: time(parsed.validity().not_before.timestamp()),
            until: time(parsed.validity().not_after.timestamp()),
            key: KeyHash::of_certificate(leaf).ok_or_else(|| bad("its key cannot be read".into()))?,
            hash: CertificateHash::of(leaf),
            peer,
        })
    }
}

fn ip(bytes: &[u8]) -> Option<std::net::IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(Into::into),
        16 => <[u8; 16]>::try_from(bytes).ok().map(Into::into),
        _ => None,
    }
}
