//! The steps of a join, as they are told to people.

use std::time::Duration;

use p2p_client::{protocol::NodeId, revocation::KeyHash};

use super::{LeftOut, Seed};

/// A step of a join.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinEvent {
    /// About to connect.
    Connecting {
        /// The coordinator's `host:port`.
        authority: String,
    },
    /// The coordinator has the root key that the token names.
    Verified {
        /// The name that this node will have.
        node_id: NodeId,
    },
    /// Another coordinator made the token: joining there.
    SentOn {
        /// Which one, and where it is.
        coordinator: Seed,
    },
    /// The clocks differ by more than five minutes. The join goes on, by the coordinator's clock; but other nodes are reached only once this
    /// machine's is right, as their certificates are valid for a time.
    ClockSkew {
        /// By how much this machine's clock is ahead (negative: behind), in seconds.
        ahead_s: i64,
    },
    /// The coordinator takes no more requests from this address for now; waiting until it does.
    WaitingForTurn {
        /// For how long.
        wait: Duration,
    },
    /// The challenge's port is held by another process; waiting for it.
    WaitingForPort {
        /// The port.
        port: u16,
    },
    /// The challenge is being answered.
    Answering {
        /// The port.
        port: u16,
    },
    /// The token asks for an operator's approval: waiting for it. Told again when a coordinator that was away can be asked again. Joining again
    /// with the same key and token goes on waiting.
    WaitingForApproval {
        /// The coordinator at which an operator approves.
        coordinator: NodeId,
        /// The name that this node will have.
        node_id: NodeId,
        /// This node's key, by which the operator tells it from others.
        key: KeyHash,
        /// For how long it can be approved.
        within: Duration,
    },
    /// The coordinator cannot be asked whether this node was approved; trying again. Its request is kept there, so that nothing has to be done
    /// here.
    CoordinatorAway {
        /// The coordinator's `host:port`.
        authority: String,
        /// Why.
        reason: String,
        /// After which time.
        wait: Duration,
        /// For how long it goes on trying: until the request has expired.
        left: Duration,
    },
    /// The certificate is there.
    Issued {
        /// Claimed addresses that are not in it.
        left_out: Vec<LeftOut>,
    },
}
