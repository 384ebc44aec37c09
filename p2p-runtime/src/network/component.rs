//! The component `network`: takes part in the cluster, remembers it for the next start, and lets go of nodes that are gone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use p2p_client::{
    protocol::NodeInfo,
    service::Result,
    wire::{pool::HttpPool, sessions::Sessions},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{component::Component, context::Context, identity::Ledger, persistence::StatePersistence};

use super::{
    Attestor, EventStream, FrameLink, GossipState, LinkEvent, MemberEvent, Membership, MembershipConfig,
    revocations::Courier,
    standing::OwnState,
    upkeep::{failed, keep_up},
};

/// How long a node that starts waits for others that tell it what was revoked while it was away.
const CATCHING_UP: Duration = Duration::from_secs(2);

/// Who is in the cluster is written down at once, and not again before this time has passed: whoever joins a large cluster hears of all its
/// members within moments, and each writing waits for the disk twice.
const WRITING_PAUSE: Duration = Duration::from_secs(1);

/// The component's name.
const NETWORK: &str = "network";

/// What the component needs of the rest of the node.
pub(crate) struct NetworkParts {
    pub(crate) config: MembershipConfig,
    /// What the node says of itself. The port is filled in once the node listens.
    pub(crate) me: NodeInfo,
    pub(crate) epoch: u64,
    pub(crate) attestor: Arc<dyn Attestor>,
    pub(crate) link: Arc<dyn FrameLink>,
    pub(crate) events: mpsc::Receiver<LinkEvent>,
    pub(crate) seeds: Vec<String>,
    /// `gossip_state.json`
    pub(crate) saved: StatePersistence<GossipState>,
    pub(crate) pool: HttpPool,
    pub(crate) sessions: Sessions,
    /// What was revoked.
    pub(crate) ledger: Ledger,
    /// What the node says of its own state.
    pub(crate) own: Arc<dyn OwnState>,
    /// Is called once the ledger was compared with another node's: after the start, and after the store was found to have gone back in time.
    pub(crate) caught_up: Box<dyn Fn() + Send + Sync>,
}

/// Takes part in the cluster.
pub(crate) struct NetworkComponent {
    parts: Mutex<Option<NetworkParts>>,
    saved: StatePersistence<GossipState>,
    following: CancellationToken,
}

/// The port on which the transport listens, which it provides to the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListeningPort(pub(crate) u16);

impl NetworkComponent {
    pub(crate) fn new(parts: NetworkParts) -> Self {
        let saved = parts.saved.clone();
        Self { parts: Mutex::new(Some(parts)), saved, following: CancellationToken::new() }
    }
}

impl Component for NetworkComponent {
    fn name(&self) -> &'static str {
        NETWORK
    }

    fn dependencies(&self) -> &'static [&'static str] {
        &["transport"]
    }

    async fn start(&self, cx: &Context) -> Result<()> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut parts) = parts else { return Ok(()) };
        parts.me.port = cx.require::<ListeningPort>()?.0;
        let saved = match parts.saved.load() {
            Ok(saved) => saved,
            Err(error) => {
                tracing::warn!(%error, "starting without what was remembered of the cluster; the seeds will do");
                None
            }
        };
        let once_there: Vec<_> = saved.iter().flat_map(GossipState::there).map(|peer| peer.node_id.clone()).collect();
        let knows_others = !parts.seeds.is_empty() || saved.as_ref().is_some_and(|saved| !saved.peers.is_empty());
        let membership =
            Membership::start(parts.config, parts.me, parts.epoch, parts.attestor, parts.link, parts.events, parts.seeds, saved)?;
        // Before anybody can have been found out of reach.
        let inbox = membership.listen();
        let (_, events) = membership.subscribe();
        cx.set_membership(membership.clone());
        let (audit, ledger, own) = (cx.audit().clone(), parts.ledger, parts.own);
        let caught_up: Arc<dyn Fn() + Send + Sync> = parts.caught_up.into();
        let members = membership.clone();
        let courier = move |inbox| {
            let (caught_up, changes) = (caught_up.clone(), ledger.revocations().subscribe());
            let caught_up = Box::new(move || caught_up());
            let (courier, compared) =
                Courier::new(ledger.clone(), members.clone(), once_there.clone(), own.clone(), caught_up, audit.clone());
            (courier.run(inbox, members.subscribe().1, changes), compared)
        };
        let (first, compared) = courier(inbox);
        let (first, members) = (Mutex::new(Some(first)), membership.clone());
        let take_first = move || first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let carry = move || take_first().unwrap_or_else(|| courier(members.listen()).0);
        let carrying = keep_up(NETWORK, "the spreading of revocations", cx.clone(), carry);
        tokio::spawn(self.following.clone().run_until_cancelled_owned(carrying));
        tokio::spawn(self.following.clone().run_until_cancelled_owned(stop_with(membership.clone(), cx.clone())));
        if knows_others {
            catch_up(compared).await;
        }
        let follow = follow(membership, events, parts.pool, parts.sessions, parts.saved);
        tokio::spawn(self.following.clone().run_until_cancelled_owned(follow));
        Ok(())
    }

    async fn stop(&self, cx: &Context) -> Result<()> {
        self.following.cancel();
        if let Some(membership) = cx.membership() {
            if let Ok(state) = membership.snapshot_state().await {
                self.saved.save(&state)?;
            }
            membership.stop().await;
        }
        Ok(())
    }
}

/// Waits until enough others were compared with, within bounds: a node starts also where it is the only one.
async fn catch_up(mut compared: watch::Receiver<bool>) {
    let caught_up = timeout(CATCHING_UP, compared.wait_for(|compared| *compared)).await;
    if !matches!(caught_up, Ok(Ok(_))) {
        tracing::warn!(
            "not all nodes that were there have said what was revoked while this one was away; starting with what is known here; the rest is asked for"
        );
    }
}

/// Stops the node where its membership ends by itself: what it knew of the cluster is lost with it, and only a start begins anew.
async fn stop_with(membership: Membership, cx: Context) {
    membership.ended_by_itself().await;
    failed(NETWORK, &cx);
    tracing::error!(
        node = %cx.node_id(),
        "this node's membership ended by itself, so that the node stops: start it again, and please report this, with the lines before it"
    );
    cx.shut_down();
}

/// Logs what happens to members, cuts connections to those that are gone, and remembers who is there.
async fn follow(
    membership: Membership,
    mut events: EventStream,
    pool: HttpPool,
    sessions: Sessions,
    saved: StatePersistence<GossipState>,
) {
    let mut writing = Writing::default();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = writing.is_due() => {
                write_down(&membership, &saved).await;
                writing.done(Instant::now());
                continue;
            }
        };
        let Some(event) = event else { return };
        let node = event.node_id();
        match &event {
            MemberEvent::Failed(_) | MemberEvent::Left(_) => {
                tracing::info!(%node, status = %event.info().status, "a member is gone");
                pool.cut(node);
                sessions.cut(node, "the peer is not in the cluster any more");
            }
            MemberEvent::Joined(_) => tracing::info!(%node, "a member joined"),
            MemberEvent::Suspected(_) => tracing::debug!(%node, "a member is suspected"),
            MemberEvent::Recovered(_) | MemberEvent::Updated(_) => tracing::debug!(%node, "a member changed"),
        }
        if matches!(event, MemberEvent::Joined(_) | MemberEvent::Left(_)) {
            writing.changed(Instant::now());
        }
    }
}

/// Remembers who is there.
async fn write_down(membership: &Membership, saved: &StatePersistence<GossipState>) {
    let Ok(state) = membership.snapshot_state().await else { return };
    let saved = saved.clone();
    let written = tokio::task::spawn_blocking(move || saved.save(&state)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "could not remember who is in the cluster");
    }
}

/// When to write down who is there. The clock is the caller's.
#[derive(Debug, Default)]
struct Writing {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Writing {
    /// There is something to write down.
    fn changed(&mut self, now: Instant) {
        let earliest = self.last.map_or(now, |last| last + WRITING_PAUSE);
        self.due.get_or_insert(earliest.max(now));
    }

    /// It was written down, with all that changed until now.
    fn done(&mut self, now: Instant) {
        (self.last, self.due) = (Some(now), None);
    }

    /// Waits until it is time; for ever while nothing has changed.
    async fn is_due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_down_at_once_and_a_thousand_that_follow_it_together_a_second_later() {
        let start = Instant::now();
        let mut writing = Writing::default();
        assert_eq!(writing.due, None);
        writing.changed(start);
        assert_eq!(writing.due, Some(start));
        writing.done(start);
        let mut written = 1;
        for millis in 0..1000 {
            let now = start + Duration::from_millis(millis);
            writing.changed(now);
            if writing.due.is_some_and(|due| due <= now) {
                writing.done(now);
                written += 1;
            }
        }
        assert_eq!((written, writing.due), (1, Some(start + WRITING_PAUSE)));
        writing.done(start + WRITING_PAUSE);
        assert_eq!(writing.due, None, "nothing has changed since");
    }
}
