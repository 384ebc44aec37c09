//! The node's identity as membership sees it: what signs and checks what nodes say of themselves.

use bytes::Bytes;
use p2p_client::protocol::{NodeId, Role};

use crate::{identity, network};

/// Signs with the node's key; checks against the cluster's root.
pub(super) struct ByCertificate(pub(super) identity::Attestor);

impl network::Attestor for ByCertificate {
    fn sign(&self, message: &[u8]) -> Result<Bytes, network::AttestError> {
        self.0.sign(message).map_err(|error| network::AttestError::Sign { reason: error.to_string() })
    }

    fn verify(&self, node_id: &NodeId, role: Role, message: &[u8], attestation: &[u8]) -> Result<(), network::AttestError> {
        let refused = |reason: String| network::AttestError::Refused { node_id: node_id.clone(), reason };
        let author = self.0.verify(node_id, message, attestation).map_err(|error| refused(error.to_string()))?;
        if author.role == role {
            return Ok(());
        }
        Err(refused(format!("it calls itself a {role}, and its certificate is a {}'s", author.role)))
    }
}
