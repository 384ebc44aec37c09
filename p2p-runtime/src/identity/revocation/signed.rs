//! A statement as it travels and is kept: its text, and the signature of the coordinator that made it.
//!
//! The signature is an [attestation](super::super::attest): the author's certificates come with it, so that anyone in the cluster can check it. They
//! need to have been valid when the statement was made, not when it is read: what was taken back stays so when its author's
//! certificate has run out.

use std::time::Duration;

use bytes::Bytes;
use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{Author, BadStatement, Statement, StatementId, Subject},
};
use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use super::super::{
    attest::{AttestError, Attestor},
    checks::{Check, bound, holds},
    codec,
};

/// Keeps these signatures apart from all others of a node's key.
const DOMAIN: &[u8] = b"p2p-revocation/1\0";
/// How far ahead of this node's clock a statement may be dated.
const MAX_AHEAD: Duration = Duration::from_hours(1);

/// A statement with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedStatement {
    /// What is said: the JSON text of a [`Statement`].
    #[serde(with = "bytes_as_base64")]
    pub text: Bytes,
    /// The author's certificates and signature.
    #[serde(with = "bytes_as_base64")]
    pub attestation: Bytes,
}

mod bytes_as_base64 {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    use super::codec::base64_vec;

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        base64_vec::serialize(bytes, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        base64_vec::deserialize(from).map(Bytes::from)
    }
}

/// Why a statement of another node was not believed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedStatement {
    /// It cannot be read.
    #[error(transparent)]
    Bad(#[from] BadStatement),
    /// Nobody of this cluster signed it.
    #[error("a revocation was ignored: {0}")]
    Signature(#[from] AttestError),
    /// Its author is no coordinator.
    #[error(
        "a revocation was ignored: {node_id} signed it, which is a worker, and only coordinators revoke; look into that node"
    )]
    NotCoordinator {
        /// Who signed it.
        node_id: NodeId,
    },
    /// It names another author than the one that signed.
    #[error("a revocation was ignored: {got} signed it in the name of {named}; look into that node")]
    OtherAuthor {
        /// Who is named.
        named: NodeId,
        /// Who signed.
        got: NodeId,
    },
    /// It would take back what its author itself stands on: the root of the cluster, or a coordinator's authority, which its owner is not
    /// to end for all.
    #[error("a revocation was ignored: {node_id} revokes a key that its own certificate stands on; look into that node")]
    OwnAuthority {
        /// Who signed it.
        node_id: NodeId,
    },
    /// It is dated too far ahead.
    #[error("a revocation by {node_id} was ignored: it is dated {} min ahead of this node's clock; set both clocks right", .by.as_secs() / 60)]
    Ahead {
        /// Who signed it.
        node_id: NodeId,
        /// How far ahead.
        by: Duration,
    },
}

impl RefusedStatement {
    /// Whether somebody made it up. What another version wrote, another clock dated, or a coordinator signed although it is not to, comes from
    /// honest nodes too, together with others that are good.
    pub(super) const fn is_forged(&self) -> bool {
        let is_of_another_version = matches!(
            self,
            Self::Bad(BadStatement::NewerFormat(_) | BadStatement::TooLong(_)) | Self::Signature(AttestError::Version(_))
        );
        !is_of_another_version && !matches!(self, Self::Ahead { .. } | Self::OwnAuthority { .. })
    }
}

impl SignedStatement {
    /// Signs a statement in the name of the node.
    ///
    /// # Errors
    /// The node's key cannot be used.
    pub(super) fn sign(statement: &Statement, attestor: &Attestor) -> Result<Self, AttestError> {
        let text = statement.encode().map_err(|error| AttestError::Sign(error.to_string()))?;
        let attestation = attestor.sign(&signed_bytes(&text))?;
        Ok(Self { text: text.into(), attestation })
    }

    /// Names the statement.
    pub fn id(&self) -> StatementId {
        StatementId::of(&self.text)
    }

    /// The statement, without a look at the signature: for what was checked before.
    pub(super) fn statement(&self) -> Result<Statement, BadStatement> {
        Statement::decode(&self.text)
    }

    /// The statement, if a coordinator of this cluster signed it.
    ///
    /// # Errors
    /// [`RefusedStatement`]
    pub fn verify(&self, attestor: &Attestor, now: UnixMillis) -> Result<Statement, RefusedStatement> {
        let statement = self.statement()?;
        let Author { node_id: named, key } = statement.by.clone();
        let ahead = Duration::from_millis(statement.at.0.saturating_sub(now.0));
        if !holds(Check::RevocationDate, ahead <= MAX_AHEAD) {
            return Err(RefusedStatement::Ahead { node_id: named, by: ahead });
        }
        let then = UnixTime::since_unix_epoch(Duration::from_millis(statement.at.0));
        let author = attestor.author(&signed_bytes(&self.text), &self.attestation, then)?;
        if !holds(Check::RevocationRole, author.peer.role == Role::Coordinator) {
            return Err(RefusedStatement::NotCoordinator { node_id: author.peer.node_id });
        }
        if !holds(Check::RevocationAuthor, author.peer.node_id == named && author.key() == Some(key)) {
            return Err(RefusedStatement::OtherAuthor { named, got: author.peer.node_id });
        }
        if let Subject::Key { key } = &statement.subject
            && author.stands_on(key)
        {
            return Err(RefusedStatement::OwnAuthority { node_id: named });
        }
        Ok(statement)
    }

    /// The statement, if the key that it names as its author's has signed it, whatever that one's certificate is worth: for whoever knows by other means whose
    /// key that is.
    ///
    /// # Errors
    /// [`RefusedStatement`]
    pub(super) fn verify_key(&self, now: UnixMillis) -> Result<Statement, RefusedStatement> {
        let statement = self.statement()?;
        let named = &statement.by;
        let by = Duration::from_millis(statement.at.0.saturating_sub(now.0));
        if by > MAX_AHEAD {
            return Err(RefusedStatement::Ahead { node_id: named.node_id.clone(), by });
        }
        let (key, peer) = Attestor::signed_by(&signed_bytes(&self.text), &self.attestation)?;
        if key != named.key || peer.node_id != named.node_id {
            return Err(RefusedStatement::OtherAuthor { named: named.node_id.clone(), got: peer.node_id });
        }
        Ok(statement)
    }
}

fn signed_bytes(text: &[u8]) -> Vec<u8> {
    [bound(Check::RevocationDomain, DOMAIN, b""), text].concat()
}
