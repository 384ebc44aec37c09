//! One renewal at a time for each node: whoever has a copy of a node's folder could otherwise have any number of them under way, each of which asks all other
//! coordinators.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use p2p_client::protocol::NodeId;

use super::{super::join::Refused, lock};

/// The nodes that are being renewed. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashSet<NodeId>>>);

/// The turn of one node, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    node_id: NodeId,
}

impl Turns {
    /// The turn of this node, unless it is its turn already.
    pub(super) fn take(&self, node_id: &NodeId) -> Result<Turn, Refused> {
        if lock(&self.0).insert(node_id.clone()) {
            Ok(Turn { turns: self.clone(), node_id: node_id.clone() })
        } else {
            Err(Refused::UnderWay { node_id: node_id.clone() })
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.turns.0).remove(&self.node_id);
    }
}
