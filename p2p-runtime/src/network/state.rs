//! What is kept between two runs of a node (`gossip_state.json`), so that it finds its cluster without its seeds.

use p2p_client::protocol::{NodeId, NodeStatus};
use serde::{Deserialize, Serialize};

/// The saved view of the cluster.
///
/// On start the nodes in it are contacted, not believed: a node becomes a member again when it is heard of. The counters are
/// believed, so that statements older than what was known before the stop are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GossipState {
    /// The version of this format.
    pub format: u8,
    /// The other nodes.
    pub peers: Vec<SavedPeer>,
}

impl GossipState {
    /// The version of the format that this node writes.
    pub const FORMAT: u8 = 1;

    /// The nodes that were there, and may be there still. Of another version's file nothing is known.
    pub(super) fn there(&self) -> impl Iterator<Item = &SavedPeer> {
        let is_readable = self.format == Self::FORMAT;
        self.peers.iter().filter(move |peer| is_readable && matches!(peer.status, NodeStatus::Alive | NodeStatus::Suspected))
    }
}

/// A node as it was last known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPeer {
    /// Its id.
    pub node_id: NodeId,
    /// Where it was: `host:port`.
    pub authority: String,
    /// The epoch of its latest statement; 0 when none was known.
    pub epoch: u64,
    /// The version of that statement within the epoch.
    pub version: u64,
    /// How it was.
    pub status: NodeStatus,
}
