//! What the other coordinators have noted of a node, asked of each before this one certifies it.
//!
//! A coordinator that is in the cluster and does not answer is waited for: it answers, or turns out to be dead, or the node is told to try again. One that is
//! dead has nothing to say: if it had to, nobody could join or be renewed while one of several coordinators is away.

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, join_all};
use p2p_client::{
    protocol::{NodeId, NodeInfo, NodeStatus, Role},
    wire::{PeerRef, net::Network},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    context::Context,
    identity::{IssuedNode, NodeIdentity, NotedElsewhere, OtherCoordinators, Refused, Way, rotation},
    network::Membership,
    once_a_minute::OnceAMinute,
};

/// How long one may take, with the wait for a turn. One that dies is known to be dead sooner, and who joins or renews waits longer than this.
const PATIENCE: Duration = Duration::from_secs(8);
/// How many nodes are asked about at once, each on a connection of its own to every other coordinator.
const AT_ONCE: usize = 64;
/// How long is waited for a turn.
const TURN: Duration = Duration::from_secs(4);
/// One that could not be asked is asked again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// The other coordinators of the cluster.
pub(super) struct Others {
    cx: Context,
    identity: NodeIdentity,
    network: Arc<dyn Network>,
    turns: Turns,
    /// Which ones were said to be dead, and not to answer.
    dead: OnceAMinute,
    silent: OnceAMinute,
}

impl Others {
    pub(super) fn new(cx: Context, identity: NodeIdentity, network: Arc<dyn Network>) -> Self {
        let (dead, silent) = (OnceAMinute::default(), OnceAMinute::default());
        Self { cx, identity, network, turns: Turns::default(), dead, silent }
    }

    /// The record of one. Of one that is dead, or dies meanwhile, there is none.
    async fn record_of(
        &self,
        membership: &Membership,
        coordinator: &PeerRef,
        node_id: &NodeId,
        until: Instant,
    ) -> Result<Option<NotedElsewhere>, Refused> {
        let asked = async {
            tokio::select! {
                biased;
                () = is_gone(membership, &coordinator.node_id) => None,
                record = self.ask(coordinator, node_id) => Some(record),
            }
        };
        let Ok(answer) = timeout_at(until, asked).await else {
            return Err(Refused::Unanswered { coordinator: coordinator.node_id.clone(), node_id: node_id.clone() });
        };
        if answer.is_none() && self.dead.is_due(&coordinator.node_id) {
            tracing::warn!(
                coordinator = %coordinator.node_id,
                %node_id,
                "this coordinator is dead, and was not asked what it knows of a node that joins or renews its certificate"
            );
        }
        let coordinator = coordinator.node_id.clone();
        Ok(answer.flatten().map(|record| NotedElsewhere { coordinator, record }))
    }

    /// Asks until there is an answer.
    async fn ask(&self, coordinator: &PeerRef, node_id: &NodeId) -> Option<IssuedNode> {
        let way = Way { network: &self.network, identity: &self.identity, audit: self.cx.audit() };
        loop {
            match rotation::ask_for_record(way, coordinator, node_id).await {
                Ok(record) => return record,
                Err(error) if self.silent.is_due(&coordinator.node_id) => {
                    tracing::warn!(coordinator = %coordinator.node_id, %node_id, error, "it did not say what it knows of this node");
                }
                Err(_) => {}
            }
            sleep(AGAIN).await;
        }
    }
}

impl OtherCoordinators for Others {
    fn records_of<'a>(&'a self, node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>> {
        Box::pin(async move {
            let Some(membership) = self.cx.membership() else { return Ok(Vec::new()) };
            let until = Instant::now() + PATIENCE;
            let _turn = self.turns.take().await?;
            let members = membership.members();
            let is_other = |info: &NodeInfo| info.role == Role::Coordinator && info.node_id != *self.cx.node_id();
            let is_gone_for_good = |info: &NodeInfo| matches!(info.status, NodeStatus::Left | NodeStatus::Revoked);
            let others = members.peers().filter(|(info, _)| is_other(info) && !is_gone_for_good(info));
            let records = join_all(others.map(|(_, peer)| self.record_of(membership, peer, node_id, until))).await;
            records.into_iter().filter_map(Result::transpose).collect()
        })
    }
}

/// Nodes that renew and join are many at times, and the connections to other coordinators few.
struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turns {
    async fn take(&self) -> Result<SemaphorePermit<'_>, Refused> {
        timeout(TURN, self.0.acquire()).await.ok().and_then(Result::ok).ok_or(Refused::Busy)
    }
}

/// Waits until it is not in the cluster any more.
async fn is_gone(membership: &Membership, coordinator: &NodeId) {
    let (mut members, mut events) = membership.subscribe();
    while members.get(coordinator).is_some_and(|info| info.is_callable()) {
        if events.next().await.is_none() {
            // The node is stopping, and its view will not change any more.
            std::future::pending::<()>().await;
        }
        members = membership.members();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_others_are_asked_about_so_many_nodes_at_once_and_one_more_is_told_to_try_again() {
        let turns = Turns::default();
        let mut taken: Vec<_> = (0..AT_ONCE).map(|_| turns.take().now_or_never().unwrap().unwrap()).collect();
        let refused = turns.take().await.unwrap_err();
        assert_eq!(refused.to_string(), "too many joins or renewals are under way at this coordinator; try again in a minute");
        assert!(!refused.is_final());
        taken.pop();
        assert!(turns.take().now_or_never().unwrap().is_ok());
    }
}
