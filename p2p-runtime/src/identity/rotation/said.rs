//! What is said of the cluster's roots, as it travels and is kept: a JSON text, and the signature of a root's key over it.

use p2p_client::{
    protocol::{ClusterId, NodeId, UnixMillis},
    revocation::{KeyHash, StatementId},
    wire::tls::TrustedRoot,
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::super::{
    ca::{CaError, RootCa, has_signed, is_signed_by},
    codec,
};

/// The version of the texts.
const FORMAT: u32 = 1;
/// Keep these signatures apart from each other, and from those in certificates.
const ANNOUNCED: &[u8] = b"p2p-root-announced/1\0";
const COMPLETED: &[u8] = b"p2p-root-completed/1\0";

/// "This root comes after that one." Signed by the old root's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The version of this text.
    format: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// The old root's key.
    pub from: KeyHash,
    /// The new root's key.
    pub to: KeyHash,
    /// Of several announcements from one root the one with the highest number holds, and of those the one with the greatest key.
    pub attempt: u32,
    /// When it was made, by its author's clock.
    pub at: UnixMillis,
    /// The coordinator that made it, for people.
    pub by: NodeId,
}

/// "The old root is not trusted any more." Signed by the new root's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The version of this text.
    format: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// The old root's key.
    pub from: KeyHash,
    /// The new root's key.
    pub to: KeyHash,
    /// When it was made, by its author's clock.
    pub at: UnixMillis,
    /// The coordinator that made it, for people.
    pub by: NodeId,
    /// What was revoked until then. Those statements are signed by certificates under the old root; from now on they are believed for this list's sake.
    #[serde(with = "ids")]
    pub revocations: Vec<StatementId>,
}

/// Ids as one base64url string.
mod ids {
    use p2p_client::revocation::StatementId;
    use serde::{Deserializer, Serializer, de::Error};

    use super::codec::base64_vec;

    pub(super) fn serialize<S: Serializer>(ids: &[StatementId], to: S) -> Result<S::Ok, S::Error> {
        base64_vec::serialize(&ids.iter().flat_map(|id| *id.as_bytes()).collect::<Vec<_>>(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StatementId>, D::Error> {
        let bytes = base64_vec::deserialize(from)?;
        let (ids, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(D::Error::custom("it ends within an id"));
        }
        Ok(ids.iter().map(|id| StatementId::from_bytes(*id)).collect())
    }
}

/// An [`Announcement`] with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAnnouncement {
    text: String,
    #[serde(with = "codec::base64_vec")]
    signature: Vec<u8>,
    /// The new root's own certificate.
    #[serde(with = "codec::base64_vec")]
    root: Vec<u8>,
    /// The new root's key in a certificate of the old root.
    #[serde(with = "codec::base64_vec")]
    cross: Vec<u8>,
}

/// A [`Completion`] with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCompletion {
    text: String,
    #[serde(with = "codec::base64_vec")]
    signature: Vec<u8>,
}

/// What one node tells another of the roots: the last change that was completed, and the one under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The last change that was completed.
    pub completed: Option<(SignedAnnouncement, SignedCompletion)>,
    /// The change that is under way.
    pub announced: Option<SignedAnnouncement>,
}

/// An announcement that was checked.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    pub(super) said: Announcement,
    pub(super) root: TrustedRoot,
    pub(super) cross: CertificateDer<'static>,
    pub(super) signed: SignedAnnouncement,
}

/// Why what somebody said of the roots was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedRoot {
    /// It cannot be read.
    #[error("what was said of the cluster's root cannot be read: {0}")]
    Malformed(String),
    /// It is of a newer version.
    #[error("what was said of the cluster's root has format {0}, this node reads format {FORMAT}; upgrade this node")]
    NewerFormat(u32),
    /// It begins at a root that is not this cluster's.
    #[error(
        "a change of the root was ignored: it begins at the root {from}, which this node does not trust; look into the node that passed it on"
    )]
    NotFromHere {
        /// The root from which it leads.
        from: KeyHash,
    },
    /// The root's key did not sign it.
    #[error("a change of the root was ignored: the key of the root {by} did not sign it; look into the node that passed it on")]
    NotSigned {
        /// The root whose key should have.
        by: KeyHash,
    },
    /// Its parts do not belong together.
    #[error("a change of the root was ignored: {0}; look into the node that passed it on")]
    Inconsistent(&'static str),
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, RefusedRoot> {
    let malformed = |error: serde_json::Error| RefusedRoot::Malformed(error.to_string());
    let Head { format } = serde_json::from_str(text).map_err(malformed)?;
    if format > FORMAT {
        return Err(RefusedRoot::NewerFormat(format));
    }
    serde_json::from_str(text).map_err(malformed)
}

fn written(said: &impl Serialize) -> Result<String, CaError> {
    serde_json::to_string(said).map_err(|error| CaError::NotAnAuthority(error.to_string()))
}

/// A root's key, as statements name it.
pub(super) fn key_of(root: &TrustedRoot) -> KeyHash {
    root.key_hash().into()
}

fn check_signature(root: &TrustedRoot, signed: &[u8], signature: &[u8]) -> Result<(), RefusedRoot> {
    if has_signed(root, signed, signature) {
        return Ok(());
    }
    Err(RefusedRoot::NotSigned { by: key_of(root) })
}

/// Who says it, when, and which time it is tried.
pub(super) struct Occasion {
    pub(super) by: NodeId,
    pub(super) at: UnixMillis,
    pub(super) attempt: u32,
}

impl SignedAnnouncement {
    /// Announces `next`, which `old` has signed as `cross`.
    pub(super) fn make(old: &RootCa, next: &TrustedRoot, cross: &CertificateDer<'_>, on: Occasion) -> Result<Self, CaError> {
        let said = Announcement {
            format: FORMAT,
            cluster: next.cluster().clone(),
            from: key_of(old.root()),
            to: key_of(next),
            attempt: on.attempt,
            at: on.at,
            by: on.by,
        };
        let text = written(&said)?;
        let signature = old.sign(&[ANNOUNCED, text.as_bytes()].concat())?;
        Ok(Self { text, signature, root: next.der().to_vec(), cross: cross.to_vec() })
    }

    /// What it says, without a look at the signature.
    ///
    /// # Errors
    /// [`RefusedRoot`]
    pub fn said(&self) -> Result<Announcement, RefusedRoot> {
        read(&self.text)
    }

    /// What it says, if it leads on from this root and this root's key has signed it.
    pub(super) fn verify(&self, current: &TrustedRoot) -> Result<Announced, RefusedRoot> {
        let said = self.said()?;
        if said.from != key_of(current) || said.cluster != *current.cluster() {
            return Err(RefusedRoot::NotFromHere { from: said.from });
        }
        check_signature(current, &[ANNOUNCED, self.text.as_bytes()].concat(), &self.signature)?;
        let certificate = |der: &[u8]| {
            TrustedRoot::from_der(CertificateDer::from(der.to_vec())).map_err(|error| RefusedRoot::Malformed(error.to_string()))
        };
        let (root, cross) = (certificate(&self.root)?, certificate(&self.cross)?);
        if key_of(&root) != said.to || key_of(&cross) != said.to {
            return Err(RefusedRoot::Inconsistent("its certificates are for another key than the one that it names"));
        }
        if *root.cluster() != said.cluster || *cross.cluster() != said.cluster {
            return Err(RefusedRoot::Inconsistent("its certificates are for another cluster"));
        }
        if !is_signed_by(&root, root.der()) || !is_signed_by(current, cross.der()) {
            return Err(RefusedRoot::Inconsistent("its certificates are not signed by the roots"));
        }
        Ok(Announced { said, root, cross: cross.der().clone(), signed: self.clone() })
    }
}

impl SignedCompletion {
    /// Says that `new`, which was announced so, alone is trusted from now on.
    pub(super) fn make(
        new: &RootCa,
        announcement: &SignedAnnouncement,
        from: KeyHash,
        revocations: Vec<StatementId>,
        on: Occasion,
    ) -> Result<Self, CaError> {
        let (cluster, to) = (new.root().cluster().clone(), key_of(new.root()));
        let text = written(&Completion { format: FORMAT, cluster, from, to, at: on.at, by: on.by, revocations })?;
        let signature = new.sign(&[COMPLETED, &*both(announcement, &text)].concat())?;
        Ok(Self { text, signature })
    }

    /// What it says, without a look at the signature.
    ///
    /// # Errors
    /// [`RefusedRoot`]
    pub fn said(&self) -> Result<Completion, RefusedRoot> {
        read(&self.text)
    }

    /// Names it. Of two that lead to one root, as two coordinators held its key, all take the one with the greater name.
    pub(super) fn id(&self) -> StatementId {
        StatementId::of(self.text.as_bytes())
    }

    /// What it says, if it is about this root and this announcement, and this root's key has signed it.
    pub(super) fn verify(&self, root: &TrustedRoot, announcement: &SignedAnnouncement) -> Result<Completion, RefusedRoot> {
        let said = self.said()?;
        if said.to != key_of(root) || said.cluster != *root.cluster() {
            return Err(RefusedRoot::NotFromHere { from: said.to });
        }
        if announcement.root != root.der().as_ref() {
            return Err(RefusedRoot::Inconsistent("its announcement is of another certificate than that of the root"));
        }
        check_signature(root, &[COMPLETED, &*both(announcement, &self.text)].concat(), &self.signature)?;
        Ok(said)
    }
}

/// What a completion signs: all of the announcement, too, each part with its length (8 bytes, big-endian), so that nobody passes on another one
/// with it, which those who come later could not check.
fn both(announcement: &SignedAnnouncement, completion: &str) -> Vec<u8> {
    let SignedAnnouncement { text, signature, root, cross } = announcement;
    let mut signed = Vec::new();
    for part in [text.as_bytes(), signature, root, cross, completion.as_bytes()] {
        signed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        signed.extend_from_slice(part);
    }
    signed
}
