//! What membership tells its subscribers.

use std::sync::Arc;

use p2p_client::protocol::{NodeId, NodeInfo};

/// A change of one member, with what is now known of it.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberEvent {
    /// A node is a member now, for the first time or again after it had left.
    Joined(Arc<NodeInfo>),
    /// It does not answer probes and has yet to refute that it is dead. Calls may still reach it.
    Suspected(Arc<NodeInfo>),
    /// It was suspected or dead, and is alive.
    Recovered(Arc<NodeInfo>),
    /// It left on purpose, for good; or it was revoked, as its status says.
    Left(Arc<NodeInfo>),
    /// It is taken for dead.
    Failed(Arc<NodeInfo>),
    /// It says something new of itself: address, capabilities, metadata or services.
    Updated(Arc<NodeInfo>),
}

impl MemberEvent {
    /// What is known of the member after the change.
    pub const fn info(&self) -> &Arc<NodeInfo> {
        match self {
            Self::Joined(info)
            | Self::Suspected(info)
            | Self::Recovered(info)
            | Self::Left(info)
            | Self::Failed(info)
            | Self::Updated(info) => info,
        }
    }

    /// Whom it is about.
    pub fn node_id(&self) -> &NodeId {
        &self.info().node_id
    }
}
