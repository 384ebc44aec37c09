//! What foca knows a node by.

use std::{fmt, sync::Arc};

use p2p_client::protocol::NodeId;

use super::PeerRef;

/// A node in one of its lives: its name, where it is, and two counters that order its lives.
///
/// Of two identities of one node the later wins. `epoch` grows with every start of the node, `bump` whenever a running node
/// has to come back because the others took it for dead.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) node_id: NodeId,
    pub(crate) authority: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) bump: u32,
}

impl Peer {
    /// Whether this identity is a later one of the same node. The authority decides last, so that any two can be ordered.
    pub(crate) fn beats(&self, other: &Self) -> bool {
        (self.epoch, self.bump, &self.authority) > (other.epoch, other.bump, &other.authority)
    }

    pub(crate) fn addr(&self) -> PeerRef {
        PeerRef { node_id: self.node_id.clone(), authority: self.authority.as_ref().into() }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}.{}", self.node_id, self.authority, self.epoch, self.bump)
    }
}

impl foca::Identity for Peer {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { bump: self.bump.checked_add(1)?, ..self.clone() })
    }

    fn addr(&self) -> NodeId {
        self.node_id.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.beats(adversary)
    }
}
