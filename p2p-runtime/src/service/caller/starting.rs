//! Nodes that start: they are members before they serve, and say what they host only then.
//!
//! A call that nobody else can take waits for them, instead of failing in that window. Whoever starts says so in what it tells of itself
//! ([`NodeInfo::is_starting`]), so that a call to a service that nobody hosts, or to a node that hosts nothing, waits for nobody.

use std::time::Duration;

use p2p_client::{
    call::{Failure, Head},
    protocol::{NodeId, NodeInfo, Target},
    proxy::{Caller, Route},
};
use tokio::time::{Instant, timeout_at};

use crate::network::Members;

use super::NodeCaller;

/// How long a call waits for nodes that start, at most. One that starts takes up to two seconds for hearing what was revoked, before its
/// services.
const PATIENCE: Duration = Duration::from_secs(5);

impl NodeCaller {
    /// Another node that starts, may be called, and fits.
    pub(super) fn starting<'a>(&self, members: &'a Members, fits: impl Fn(&NodeInfo) -> bool) -> Option<&'a NodeInfo> {
        let is_other = |info: &NodeInfo| info.node_id != *self.cx.node_id();
        members.iter().map(|info| &**info).find(|info| info.is_starting() && info.is_callable() && is_other(info) && fits(info))
    }

    /// Where a call goes once those who start have said what they host.
    pub(super) async fn once_told(&self, head: &Head) -> Result<Route, Failure> {
        let (Target::One(one), Some(membership)) = (&head.target, self.cx.membership()) else { return self.resolve(head) };
        let until = head.deadline.min(Instant::now() + PATIENCE);
        // Before the first look, so that nothing is missed.
        let (_, mut events) = membership.subscribe();
        loop {
            match self.choose(head, one) {
                Err(nobody @ Failure::NotYet(_)) => {
                    if !matches!(timeout_at(until, events.next()).await, Ok(Some(_))) {
                        return Err(nobody);
                    }
                }
                settled => return settled,
            }
        }
    }
}

/// Nobody can take a call, unless this node does that starts.
pub(super) fn not_told_yet(node_id: &NodeId) -> Failure {
    Failure::NotYet(format!("node {node_id} is starting and has not said yet what it hosts; try again in a second"))
}
