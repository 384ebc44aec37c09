//! What the other coordinators have noted of a node, asked of each before this one certifies it.
//!
//! A coordinator that is in the cluster and does not answer is waited for: it answers, or turns out to be dead, or the node is told to try again. One that is
//! dead has nothing to say: if it had to, nobody could join or be renewed while one of several coordinators is away.

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, join, join_all};
use p2p_client::{
    protocol::{NodeId, NodeInfo, NodeStatus, Role},
    wire::{PeerRef, net::Network},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::absent::{Absent, what_to_do};
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

/// The other coordinators of the cluster, which are asked about so many nodes at once.
pub(super) struct Others<L = Asking> {
    turns: Turns,
    asking: L,
}

/// Asks all of them about one node.
pub(super) trait LookUp: Send + Sync + 'static {
    /// Their records of it, by then.
    fn look_up<'a>(&'a self, node_id: &'a NodeId, until: Instant) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>>;
}

impl Others {
    pub(super) fn new(cx: Context, identity: NodeIdentity, network: Arc<dyn Network>, absent: Absent) -> Self {
        let (dead, silent) = (OnceAMinute::default(), OnceAMinute::default());
        Self { turns: Turns::default(), asking: Asking { cx, identity, network, absent, dead, silent } }
    }
}

impl<L: LookUp> OtherCoordinators for Others<L> {
    fn records_of<'a>(&'a self, node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>> {
        Box::pin(async move {
            let until = Instant::now() + PATIENCE;
            let _turn = self.turns.take().await?;
            self.asking.look_up(node_id, until).await
        })
    }
}

/// Asks those that are in the cluster.
pub(super) struct Asking {
    cx: Context,
    identity: NodeIdentity,
    network: Arc<dyn Network>,
    absent: Absent,
    /// Which ones were said to be dead, and not to answer.
    dead: OnceAMinute,
    silent: OnceAMinute,
}

impl Asking {
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
                "this coordinator is dead, and was not asked what it knows of a node that joins or renews its certificate; {}",
                what_to_do(&coordinator.node_id)
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

impl LookUp for Asking {
    fn look_up<'a>(&'a self, node_id: &'a NodeId, until: Instant) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>> {
        Box::pin(async move {
            let Some(membership) = self.cx.membership() else { return Ok(Vec::new()) };
            let members = membership.members();
            let is_other = |info: &NodeInfo| info.role == Role::Coordinator && info.node_id != *self.cx.node_id();
            let is_gone_for_good = |info: &NodeInfo| matches!(info.status, NodeStatus::Left | NodeStatus::Revoked);
            let others = members.peers().filter(|(info, _)| is_other(info) && !is_gone_for_good(info));
            let asked = join_all(others.map(|(_, peer)| self.record_of(membership, peer, node_id, until)));
            let told = self.absent.tell(node_id, |coordinator| members.get(coordinator).is_some());
            let (records, ()) = join(asked, told).await;
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
    use rustls_pki_types::CertificateDer;
    use tokio::sync::watch;

    use super::*;
    use crate::identity::{
        Issuer, IssuerOptions, JoinToken, NodeKey, TokenOptions,
        join::{Issued, Seed},
        renewal::{RENEW_VERSION, RenewReply, RenewRequest},
        tests::{MemoryVault, World, attempt, cluster, joiner_in, ledger, worker},
    };

    #[tokio::test(start_paused = true)]
    async fn the_others_are_asked_about_so_many_nodes_at_once_and_one_more_is_told_to_try_again() {
        let turns = Turns::default();
        let mut taken: Vec<_> = (0..AT_ONCE).map(|_| turns.take().now_or_never().unwrap().unwrap()).collect();
        let refused = turns.take().await.unwrap_err();
        assert_eq!(refused.to_string(), BUSY);
        assert!(!refused.is_final());
        taken.pop();
        assert!(turns.take().now_or_never().unwrap().is_ok());
    }

    const BUSY: &str = "too many joins or renewals are under way at this coordinator; try again in a minute";

    /// Others that know of nobody, and answer once they may.
    #[derive(Default)]
    struct Held {
        may_answer: watch::Sender<bool>,
        asked: watch::Sender<usize>,
    }

    impl LookUp for Arc<Held> {
        fn look_up<'a>(&'a self, _: &'a NodeId, _: Instant) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>> {
            Box::pin(async {
                self.asked.send_modify(|asked| *asked += 1);
                self.may_answer.subscribe().wait_for(|may| *may).await.unwrap();
                Ok(Vec::new())
            })
        }
    }

    /// A coordinator whose others are held.
    struct Desk {
        issuer: Issuer,
        vault: Arc<MemoryVault>,
        held: Arc<Held>,
        world: Arc<World>,
    }

    impl Desk {
        fn new() -> Self {
            let ((identity, vault), held, world) = (cluster(), Arc::new(Held::default()), Arc::new(World::default()));
            let seed = Seed { node_id: identity.peer().node_id.clone(), authority: "10.0.0.1:8001".into() };
            let others = Arc::new(Others { turns: Turns::default(), asking: held.clone() });
            let usual = IssuerOptions::new(seed, vec!["10.0.0.1".parse().unwrap()], world.clone());
            let options = IssuerOptions { others, ..usual };
            let issuer = Issuer::load(vault.clone(), ledger(&identity, &vault), options).unwrap().unwrap();
            Self { issuer, vault, held, world }
        }

        async fn join(&self, token: &JoinToken, key: &NodeKey) -> Result<Issued, Refused> {
            attempt(&self.issuer, &joiner_in(&self.world, token, "v", Role::Worker, &["10.0.0.9"], key.clone())).await
        }
    }

    async fn renew(at: Issuer, node: NodeIdentity) -> Result<Vec<CertificateDer<'static>>, Refused> {
        let csr = node.key().request().unwrap();
        let request = RenewRequest { version: RENEW_VERSION, csr, addresses: Vec::new(), nonce: None, under: None };
        match at.renew(request, node.chain()).await? {
            RenewReply::Issued(issued) => Ok(issued.chain()),
            RenewReply::Challenge { .. } => panic!("nothing is new"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_as_many_nodes_are_asked_about_as_may_be_a_further_renewal_and_join_are_told_to_try_again_and_nothing_is_lost()
    {
        let desk = Desk::new();
        let token = desk.issuer.create_token(TokenOptions::default()).await.unwrap();
        let (last, key) = (worker(&desk.vault, "w-last"), NodeKey::generate().unwrap());
        let waiting: Vec<_> = (0..AT_ONCE)
            .map(|number| tokio::spawn(renew(desk.issuer.clone(), worker(&desk.vault, &format!("w-{number}")))))
            .collect();
        desk.held.asked.subscribe().wait_for(|asked| *asked == AT_ONCE).await.unwrap();
        let (renewed, joined) = join(renew(desk.issuer.clone(), last.clone()), desk.join(&token, &key)).await;
        for refused in [renewed.unwrap_err(), joined.unwrap_err()] {
            assert_eq!(refused.to_string(), BUSY);
        }
        assert_eq!(*desk.held.asked.borrow(), AT_ONCE, "nobody was asked about them");
        let is_noted = |node_id: &str| desk.issuer.issued(&node_id.parse().unwrap()).unwrap().is_some();
        assert!(!is_noted("w-last") && !is_noted("v"));
        desk.held.may_answer.send_replace(true);
        for waits in waiting {
            waits.await.unwrap().unwrap();
        }
        assert!((0..AT_ONCE).all(|number| is_noted(&format!("w-{number}"))));
        renew(desk.issuer.clone(), last).await.unwrap();
        desk.join(&token, &key).await.expect("no use of its token was taken");
    }
}
