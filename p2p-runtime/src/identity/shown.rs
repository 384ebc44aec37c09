//! What a node has shown when it asks a coordinator for a certificate or an authority: who it is, and on which authority it stands.

use p2p_client::{
    protocol::NodeId,
    revocation::{KeyHash, RevocationSet},
    wire::tls::TlsError,
};
use rustls_pki_types::CertificateDer;

use super::{ca::signer_of, renewal::CertificateInfo};

/// A node's certificate, and the key of the authority that has signed it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// The certificate.
    pub(crate) certificate: CertificateInfo,
    /// The key that has signed it.
    pub(crate) authority: KeyHash,
}

/// What was taken back, so that a node gets nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenBack {
    /// Its key.
    Key,
    /// Its name.
    Node,
    /// The authority that has certified it.
    Authority,
}

/// Why what was shown is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotShown {
    /// It cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody could tell later on what it stood.
    #[error(
        "the certificate was shown without that of the authority which signed it; join again in the node's folder: `p2p join --again`"
    )]
    NoAuthority,
}

impl Shown {
    /// Reads a chain that was verified: the node's own certificate comes first.
    pub(crate) fn read(chain: &[CertificateDer<'_>]) -> Result<Self, NotShown> {
        let (leaf, others) = chain.split_first().ok_or(NotShown::NoAuthority)?;
        let certificate = CertificateInfo::read(leaf)?;
        Ok(Self { certificate, authority: signer_of(leaf, others).ok_or(NotShown::NoAuthority)? })
    }

    /// Whose certificate it is.
    pub(crate) fn node_id(&self) -> &NodeId {
        &self.certificate.peer.node_id
    }

    /// What was taken back of that on which it stands.
    pub(crate) fn taken_back(&self, set: &RevocationSet) -> Option<TakenBack> {
        if set.is_key_revoked(&self.certificate.key) {
            Some(TakenBack::Key)
        } else if set.is_revoked(self.node_id(), &self.certificate.key) {
            Some(TakenBack::Node)
        } else {
            set.is_key_revoked(&self.authority).then_some(TakenBack::Authority)
        }
    }
}
