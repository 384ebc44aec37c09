//! The node's identity as membership sees it: what signs and checks what nodes say of themselves.

use bytes::Bytes;
use p2p_client::protocol::{NodeId, Role};

use crate::{identity, network};

/// Signs with the node's key; checks against the cluster's root, and notes with which certificates others sign.
pub(super) struct ByCertificate {
    pub(super) attestor: identity::Attestor,
    pub(super) roots: identity::Roots,
}

impl network::Attestor for ByCertificate {
    fn sign(&self, message: &[u8]) -> Result<Bytes, network::AttestError> {
        self.attestor.sign(message).map_err(|error| network::AttestError::Sign { reason: error.to_string() })
    }

    fn verify(&self, node_id: &NodeId, role: Role, message: &[u8], attestation: &[u8]) -> Result<(), network::AttestError> {
        let refused = |reason: String| network::AttestError::Refused { node_id: node_id.clone(), reason };
        let author = self.attestor.good_author(node_id, message, attestation).map_err(|error| refused(error.to_string()))?;
        if author.peer.role != role {
            return Err(refused(format!("it calls itself a {role}, and its certificate is a {}'s", author.peer.role)));
        }
        self.roots.witness(node_id, &author.leaf, &author.others);
        Ok(())
    }
}
