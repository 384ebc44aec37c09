//! The seam by which a node signs what it says of itself, and by which the others check it.

use bytes::Bytes;
use p2p_client::protocol::{NodeId, Role};

/// Signs as this node, and verifies what other nodes signed.
///
/// An attestation is opaque here: it may be a bare signature, or a signature with the certificate that it is checked by.
pub trait Attestor: Send + Sync {
    /// Signs `message` with this node's key.
    ///
    /// # Errors
    /// [`AttestError::Sign`] when the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Bytes, AttestError>;

    /// Checks that `node_id` signed exactly `message`, and that it has the role that it claims in it.
    ///
    /// # Errors
    /// [`AttestError::Refused`] when it did not, or when its certificate is not (or no longer) one of this cluster.
    fn verify(&self, node_id: &NodeId, role: Role, message: &[u8], attestation: &[u8]) -> Result<(), AttestError>;
}

/// Why something was not signed, or a signature not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// This node could not sign.
    #[error("this node cannot sign what it says of itself: {reason}; check the node's key with `p2p start` in the foreground")]
    Sign {
        /// What the signer said.
        reason: String,
    },
    /// What another node said of itself does not carry its signature.
    #[error("the statement of node {node_id} is not signed by it: {reason}; it was ignored")]
    Refused {
        /// Who was said to have signed.
        node_id: NodeId,
        /// What is wrong.
        reason: String,
    },
}
