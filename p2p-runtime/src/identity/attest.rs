//! Signed statements: what a node says of itself, carried by others and checked by everyone.
//!
//! An attestation is `version 1 | number of certificates | (length, certificate)… | signature`: the author's chain without
//! the root, which every reader has, and an ECDSA signature (P-256, SHA-256) over a label and the message.

use std::sync::Arc;

use bytes::Bytes;
use p2p_client::{
    protocol::NodeId,
    revocation::KeyHash,
    wire::tls::{PeerIdentity, TlsError, TlsMaterial, Usage, peer_identity, verify_not_revoked},
};
use rustls::{SignatureScheme, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;

use super::checks::{Check, holds};

const VERSION: u8 = 1;
/// Keeps these signatures apart from those that TLS makes with the same key.
const LABEL: &[u8] = b"p2p-attestation-v1\0";
/// The same, of what only the signer itself will read.
const NOTE_LABEL: &[u8] = b"p2p-note-to-self-v1\0";
/// The largest attestation that is looked at, in bytes.
const MAX_LEN: usize = 8 * 1024;
const MAX_CERTS: u8 = 4;

/// An attestation cannot be made or believed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// It cannot be read.
    #[error("the attestation is malformed")]
    Malformed,
    /// It is of another version.
    #[error("the attestation has version {0}, and this node reads {VERSION}; upgrade the older node")]
    Version(u8),
    /// Its author's certificate is not acceptable.
    #[error("the attestation's author is not acceptable: {0}")]
    Author(#[from] TlsError),
    /// Somebody else signed.
    #[error("the attestation is by {got}, not by {expected}")]
    WrongNode {
        /// Who should have signed.
        expected: NodeId,
        /// Who did.
        got: NodeId,
    },
    /// The signature does not fit the message.
    #[error("the attestation's signature does not fit what it stands under")]
    BadSignature,
    /// The own key did not sign.
    #[error("this node's key could not sign: {0}")]
    Sign(String),
}

/// Signs in a node's name, and checks others' signatures. Follows its material when the certificate is renewed.
#[derive(Debug, Clone)]
pub struct Attestor {
    material: TlsMaterial,
}

impl Attestor {
    /// Signs and checks with this material.
    pub fn new(material: TlsMaterial) -> Self {
        Self { material }
    }

    /// Signs a message. The result holds the node's chain (about 1.2 kB), so that anyone in the cluster can check it.
    ///
    /// # Errors
    /// [`AttestError::Sign`] when the node has no certificate, or the key failed.
    pub fn sign(&self, message: &[u8]) -> Result<Bytes, AttestError> {
        let own = self.own()?;
        let signature = signed(&own, LABEL, message)?;
        let root = self.material.root();
        let certs: Vec<_> = own.cert.iter().filter(|cert| root.as_ref().is_none_or(|root| root.der() != *cert)).collect();
        let count = u8::try_from(certs.len()).ok().filter(|n| *n <= MAX_CERTS);
        let mut out = vec![VERSION, count.ok_or_else(|| AttestError::Sign("its chain is too long".into()))?];
        for cert in certs {
            let len = u16::try_from(cert.len()).map_err(|_| AttestError::Sign("its certificate is too large".into()))?;
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(cert);
        }
        out.extend_from_slice(&signature);
        Ok(out.into())
    }

    /// Signs what others keep for this node, and give back. Only the same key can check it; others see whose it is by `KeyHash`.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub(crate) fn sign_note(&self, message: impl FnOnce(KeyHash) -> Option<Bytes>) -> Result<(Bytes, Bytes), AttestError> {
        let own = self.own()?;
        let key = own.cert.first().and_then(|leaf| KeyHash::of_certificate(leaf));
        let message = key.and_then(message).ok_or(AttestError::Malformed)?;
        let signature = signed(&own, NOTE_LABEL, &message)?;
        Ok((message, signature.into()))
    }

    /// Whether this node signed this note, with the key that it has now.
    pub(crate) fn is_own_note(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(own) = self.own() else { return false };
        let leaf = own.cert.first().and_then(|leaf| EndEntityCert::try_from(leaf).ok());
        leaf.is_some_and(|leaf| fits(&leaf, NOTE_LABEL, message, signature))
    }

    fn own(&self) -> Result<Arc<CertifiedKey>, AttestError> {
        self.material.own().ok_or_else(|| AttestError::Sign("it has no certificate yet".into()))
    }

    /// Checks that this node signed this message, with a certificate of this cluster that is valid now and not revoked. Tells its role.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, node_id: &NodeId, message: &[u8], attestation: &[u8]) -> Result<PeerIdentity, AttestError> {
        self.good_author(node_id, message, attestation).map(|author| author.peer)
    }

    /// The same, with the certificates that say so.
    pub(crate) fn good_author<'a>(
        &self,
        node_id: &NodeId,
        message: &[u8],
        attestation: &'a [u8],
    ) -> Result<Author<'a>, AttestError> {
        let author = self.author(message, attestation, UnixTime::now())?;
        verify_not_revoked(self.material.revocations(), &author.peer, &author.leaf, &author.others)?;
        if author.peer.node_id == *node_id {
            Ok(author)
        } else {
            Err(AttestError::WrongNode { expected: node_id.clone(), got: author.peer.node_id })
        }
    }

    /// The key that signed this message, whatever its certificate is worth; and whose that certificate says it is.
    pub(super) fn signed_by(message: &[u8], attestation: &[u8]) -> Result<(KeyHash, PeerIdentity), AttestError> {
        let (certs, signature) = split(attestation)?;
        let leaf = certs.first().ok_or(AttestError::Malformed)?;
        let certificate = EndEntityCert::try_from(leaf).map_err(|_| AttestError::BadSignature)?;
        let key = KeyHash::of_certificate(leaf).filter(|_| fits(&certificate, LABEL, message, signature));
        Ok((key.ok_or(AttestError::BadSignature)?, peer_identity(leaf)?))
    }

    /// Who signed this message, with a certificate of this cluster that was valid at `now`; whether it was revoked is not asked.
    pub(super) fn author<'a>(&self, message: &[u8], attestation: &'a [u8], now: UnixTime) -> Result<Author<'a>, AttestError> {
        let (certs, signature) = split(attestation)?;
        let (leaf, others) = certs.split_first().ok_or(AttestError::Malformed)?;
        let verified = self.material.verify(leaf, others, Usage::Client, now);
        let peer = verified.or_else(|error| if holds(Check::AuthorChain, false) { peer_identity(leaf) } else { Err(error) })?;
        let certificate = EndEntityCert::try_from(leaf).map_err(|_| AttestError::BadSignature)?;
        if !holds(Check::AuthorSignature, fits(&certificate, LABEL, message, signature)) {
            return Err(AttestError::BadSignature);
        }
        let roots = self.material.root().into_iter().chain(self.material.next_root());
        let roots = roots.filter_map(|root| KeyHash::of_certificate(root.der())).collect();
        Ok(Author { peer, leaf: leaf.clone(), others: others.to_vec(), roots })
    }
}

fn signed(own: &CertifiedKey, label: &[u8], message: &[u8]) -> Result<Vec<u8>, AttestError> {
    let signer = own.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
    let signer = signer.ok_or_else(|| AttestError::Sign("it is no P-256 key".into()))?;
    signer.sign(&[label, message].concat()).map_err(|error| AttestError::Sign(error.to_string()))
}

fn fits(signer: &EndEntityCert<'_>, label: &[u8], message: &[u8], signature: &[u8]) -> bool {
    signer.verify_signature(webpki::aws_lc_rs::ECDSA_P256_SHA256, &[label, message].concat(), signature).is_ok()
}

/// Whoever signed something, and the certificates that say so.
pub(crate) struct Author<'a> {
    pub(crate) peer: PeerIdentity,
    pub(crate) leaf: CertificateDer<'a>,
    pub(crate) others: Vec<CertificateDer<'a>>,
    /// The roots that are trusted.
    roots: Vec<KeyHash>,
}

impl Author<'_> {
    /// The key that signed.
    pub(super) fn key(&self) -> Option<KeyHash> {
        KeyHash::of_certificate(&self.leaf)
    }

    /// Whether its certificate would be worth nothing without this key: its own, its authority's, a root's.
    pub(super) fn stands_on(&self, key: &KeyHash) -> bool {
        let shown = std::iter::once(&self.leaf).chain(&self.others).filter_map(|cert| KeyHash::of_certificate(cert));
        shown.chain(self.roots.iter().copied()).any(|own| own == *key)
    }
}

/// The certificates and the signature.
fn split(attestation: &[u8]) -> Result<(Vec<CertificateDer<'_>>, &[u8]), AttestError> {
    if attestation.len() > MAX_LEN {
        return Err(AttestError::Malformed);
    }
    let (&version, rest) = attestation.split_first().ok_or(AttestError::Malformed)?;
    if version != VERSION {
        return Err(AttestError::Version(version));
    }
    let (&count, mut rest) = rest.split_first().filter(|(n, _)| **n <= MAX_CERTS).ok_or(AttestError::Malformed)?;
    let mut certs = Vec::new();
    for _ in 0..count {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(AttestError::Malformed)?;
        let (cert, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(AttestError::Malformed)?;
        certs.push(CertificateDer::from(cert));
        rest = after;
    }
    Ok((certs, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::{cluster, worker};

    #[test]
    fn what_a_node_signs_every_node_of_its_cluster_believes() {
        let (cluster, vault) = cluster();
        let worker = worker(&vault, "w");
        let signed = worker.attestor().sign(b"I am here").unwrap();
        assert!(signed.len() < 2000, "{}", signed.len());
        let reader = cluster.attestor();
        assert_eq!(reader.verify(&worker.peer().node_id, b"I am here", &signed).unwrap(), *worker.peer());
    }

    #[test]
    fn altered_foreign_and_borrowed_attestations_are_refused() {
        let (cluster, vault) = cluster();
        let worker = worker(&vault, "w");
        let id = worker.peer().node_id.clone();
        let signed = worker.attestor().sign(b"m").unwrap();
        let reader = cluster.attestor();
        assert!(matches!(reader.verify(&id, b"n", &signed), Err(AttestError::BadSignature)));
        let coordinator = cluster.peer().node_id.clone();
        assert!(matches!(reader.verify(&coordinator, b"m", &signed), Err(AttestError::WrongNode { .. })));
        let (stranger, _) = super::super::tests::cluster();
        let error = stranger.attestor().verify(&id, b"m", &signed).unwrap_err();
        assert!(matches!(error, AttestError::Author(TlsError::ForeignCa { .. })), "{error}");
        for cut in 0..signed.len() {
            assert!(reader.verify(&id, b"m", &signed[..cut]).is_err(), "{cut}");
        }
        assert!(matches!(reader.verify(&id, b"m", &[9]), Err(AttestError::Version(9))));
        assert!(matches!(Attestor::new(TlsMaterial::empty()).sign(b"m"), Err(AttestError::Sign(_))));
    }
}
