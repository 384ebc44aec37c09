//! What a node has shown when it asks a coordinator for a certificate or an authority: who it is, and on which authority it stands.

use std::collections::BTreeSet;

use p2p_client::{
    protocol::NodeId,
    revocation::{KeyHash, RevocationSet},
    wire::tls::TlsError,
};
use rustls_pki_types::CertificateDer;

use super::{ca::signers_of, renewal::CertificateInfo};

/// A node's certificate, and on which authority it stands.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// The certificate.
    pub(crate) certificate: CertificateInfo,
    /// The key that has signed it, and whichever others were shown that may have.
    pub(crate) authorities: BTreeSet<KeyHash>,
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
        let authorities = signers_of(leaf, others);
        if authorities.is_empty() {
            return Err(NotShown::NoAuthority);
        }
        Ok(Self { certificate, authorities })
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
            self.authorities.iter().any(|key| set.is_key_revoked(key)).then_some(TakenBack::Authority)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::cluster;

    /// The same certificate with its key written in the other way that SEC 1 (2.3.3) has: as one coordinate and the sign of the other.
    fn with_compressed_key(cert: &CertificateDer<'_>) -> CertificateDer<'static> {
        const LONG: [u8; 4] = [0x03, 0x42, 0x00, 0x04];
        let at = cert.windows(4).position(|bytes| bytes == LONG).unwrap();
        let (x, y) = (&cert[at + 4..at + 36], &cert[at + 36..at + 68]);
        let short = [&[0x03, 0x22, 0x00, 2 + (y[31] & 1)], x].concat();
        let mut changed = [&cert[..at], &short, &cert[at + 68..]].concat();
        // What holds it has a length of one byte, two bytes before the algorithm; the two around that have one of two bytes each.
        changed[at - 22] -= 32;
        for length in [2, 6] {
            let bytes = u16::from_be_bytes([changed[length], changed[length + 1]]) - 32;
            changed[length..length + 2].copy_from_slice(&bytes.to_be_bytes());
        }
        changed.into()
    }

    #[test]
    fn who_shows_another_key_that_verifies_its_certificate_still_stands_on_the_authority_that_signed_it() {
        let (node, _) = cluster();
        let (leaf, authority) = (&node.chain()[0], &node.chain()[1]);
        let own = KeyHash::of_certificate(authority).unwrap();
        let shown = Shown::read(&[leaf.clone(), authority.clone()]).unwrap();
        assert_eq!(shown.authorities, [own].into());

        let made_up = with_compressed_key(authority);
        let other = KeyHash::of_certificate(&made_up).unwrap();
        let shown = Shown::read(&[leaf.clone(), made_up, authority.clone()]).unwrap();
        assert_eq!(shown.authorities, [own, other].into());
        assert!(matches!(Shown::read(std::slice::from_ref(leaf)), Err(NotShown::NoAuthority)));
    }
}
