//! Why nothing was decided about a request to join.

use p2p_client::{protocol::NodeId, revocation::KeyHash};

use crate::identity::{join::Refused, vault::VaultError};

/// Why nothing was decided about a request to join. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// Nobody of that name waits here.
    #[error(
        "no node {node_id} waits for approval at this coordinator{}; a request waits at the coordinator that the node asked, and \
         `p2p join` on the node says which that is",
        list("; those that wait are", .waiting)
    )]
    Unknown {
        /// The name.
        node_id: NodeId,
        /// Who waits.
        waiting: Vec<NodeId>,
    },
    /// Nobody of that name has that key.
    #[error(
        "no node {node_id} with the key sha256:{key} waits for approval, but one with{}; if that is another machine than you expect, \
         `p2p node deny {node_id} --key KEY`",
        fingerprints(.keys)
    )]
    OtherKey {
        /// The name.
        node_id: NodeId,
        /// The key that was meant.
        key: KeyHash,
        /// The keys that there are.
        keys: Vec<KeyHash>,
    },
    /// The name is not enough.
    #[error("{} nodes want to be {node_id}; name the key of the right one with --key:{}", .keys.len(), fingerprints(.keys))]
    Several {
        /// The name.
        node_id: NodeId,
        /// Their keys.
        keys: Vec<KeyHash>,
    },
    /// What was shown is not what waits now.
    #[error("the request of {node_id} is not any more what was shown; look at it again with `p2p node pending`")]
    Changed {
        /// The node.
        node_id: NodeId,
    },
    /// It was approved.
    #[error(
        "{node_id} was approved before, and gets its certificate when it asks next; `p2p node deny {node_id}` takes that back"
    )]
    Approved {
        /// The node.
        node_id: NodeId,
    },
    /// It is in.
    #[error("{node_id} was approved before and has joined; `p2p node revoke {node_id}` takes it out")]
    Joined {
        /// The node.
        node_id: NodeId,
    },
    /// It was denied.
    #[error("{node_id} was denied before; for it to ask again, make a fresh token with `p2p token create --approve manual`")]
    Denied {
        /// The node.
        node_id: NodeId,
    },
    /// It waited too long.
    #[error(
        "the request of {node_id} has expired; for it to ask again, make a fresh token with `p2p token create --approve manual`"
    )]
    Expired {
        /// The node.
        node_id: NodeId,
    },
    /// Its name is to be another's.
    #[error(
        "another node was approved as {node_id}, with the key sha256:{key}, and has not come yet; take that back first: \
         `p2p node deny {node_id} --key {key}`"
    )]
    NameGiven {
        /// The name.
        node_id: NodeId,
        /// The other's key.
        key: KeyHash,
    },
    /// It would not be let in.
    #[error("approving it would not let it in: {0}")]
    Refused(#[from] Refused),
    /// It could not be written down.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn list(before: &str, nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().take(20).map(NodeId::to_string).collect();
    if names.is_empty() { String::new() } else { format!("{before} {}", names.join(", ")) }
}

fn fingerprints(keys: &[KeyHash]) -> String {
    keys.iter().take(20).map(|key| format!(" sha256:{key}")).collect::<Vec<_>>().join(",")
}
