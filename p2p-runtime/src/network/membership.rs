//! The task that runs the membership engine against the real clock and the real link.
//!
//! ```text
//! LinkEvent ─┐                  ┌─► FrameLink
//! commands  ─┼─► Engine::handle ┤
//! the clock ─┘                  └─► Board: snapshot and events
//! ```

use std::{sync::Arc, time::Duration};

use arc_swap::Guard;
use bytes::Bytes;
use p2p_client::protocol::NodeInfo;
use rand::RngExt;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Attestor, Audience, Counters, Engine, EngineError, EventStream, Expelled, FrameLink, GossipState, Input, LinkEvent, Members,
    MembershipConfig, Output, Setup,
    inbox::{Heard, Inbox, Post, inbox},
    subscribe::Board,
};

/// Frames that are taken in before timers and commands get their turn.
const FRAMES_AT_ONCE: usize = 128;
/// How long [`Membership::leave`] takes at most.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// A node's part in its cluster. Cloning gives another handle to the same.
///
/// It ends with [`stop`](Self::stop), after [`leave`](Self::leave), or when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Membership {
    board: Arc<Board>,
    commands: mpsc::UnboundedSender<Command>,
    /// Is cancelled where its task panicked.
    failed: CancellationToken,
}

/// Why a request to membership failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// It has been stopped, or the node has left.
    #[error("this node takes no part in the cluster any more; start it again first")]
    Stopped,
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

type Change = Box<dyn FnOnce(&mut NodeInfo) + Send>;

enum Command {
    Update(Change, oneshot::Sender<Result<(), EngineError>>),
    Leave(oneshot::Sender<Result<(), EngineError>>),
    Save(oneshot::Sender<GossipState>),
    Counters(oneshot::Sender<Counters>),
    Expel(Expelled),
    Carry(Audience, Bytes),
    Listen(Post),
    Stop(oneshot::Sender<()>),
}

impl Membership {
    /// Starts taking part. Must be called within a tokio runtime.
    ///
    /// `me` is what the node says of itself; `epoch` a counter that has grown since its last start. Until a seed or a saved peer answers
    /// the node is alone, and keeps trying.
    ///
    /// # Errors
    /// [`EngineError`] when the settings make no sense or the node cannot sign what it says of itself.
    #[expect(clippy::too_many_arguments, reason = "each is needed, and they have nothing in common")]
    pub fn start(
        config: MembershipConfig,
        me: NodeInfo,
        epoch: u64,
        attestor: Arc<dyn Attestor>,
        link: Arc<dyn FrameLink>,
        events: mpsc::Receiver<LinkEvent>,
        seeds: Vec<String>,
        saved: Option<GossipState>,
    ) -> Result<Self, EngineError> {
        let randomness = rand::rng().random();
        let engine = Engine::new(Setup { config, me, epoch, attestor, seeds, saved, randomness }, Duration::ZERO)?;
        let board = Arc::new(Board::new(Members::alone(Arc::clone(engine.me()))));
        let (commands, inbox) = mpsc::unbounded_channel();
        let started = Instant::now();
        let driver =
            Driver { engine, board: Arc::clone(&board), link, started, out: Vec::new(), leaving: Vec::new(), listener: None };
        let membership = Self { board, commands, failed: CancellationToken::new() };
        tokio::spawn(watch_over(tokio::spawn(driver.run(events, inbox)), membership.board.clone(), membership.failed.clone()));
        Ok(membership)
    }

    /// Who is in the cluster, at this moment.
    pub fn members(&self) -> Arc<Members> {
        self.board.members()
    }

    /// The same, for a short look, as every call takes one.
    pub(crate) fn look(&self) -> Guard<Arc<Members>> {
        self.board.look()
    }

    /// Who is in the cluster, and every change after that.
    pub fn subscribe(&self) -> (Arc<Members>, EventStream) {
        self.board.subscribe()
    }

    /// Changes what this node says of itself, and spreads it. Returns once it is said; the others learn of it within a second or so.
    ///
    /// # Errors
    /// [`MembershipError`] when it cannot be said; then nothing has changed.
    pub async fn update_me(&self, change: impl FnOnce(&mut NodeInfo) + Send + 'static) -> Result<(), MembershipError> {
        Ok(self.ask(|reply| Command::Update(Box::new(change), reply)).await??)
    }

    /// Leaves the cluster for good: tells the others, within two seconds, and stops.
    ///
    /// # Errors
    /// [`MembershipError`] when the farewell could not be signed or membership has stopped before.
    pub async fn leave(&self) -> Result<(), MembershipError> {
        let told = timeout(LEAVE_WITHIN, self.ask(Command::Leave)).await;
        self.stop().await;
        match told {
            Ok(told) => Ok(told??),
            Err(_late) => Ok(()), // bounded: who was not reached finds out by probing
        }
    }

    /// What to save for the next start of this node.
    ///
    /// # Errors
    /// [`MembershipError::Stopped`].
    pub async fn snapshot_state(&self) -> Result<GossipState, MembershipError> {
        self.ask(Command::Save).await
    }

    /// What went wrong or was refused since the start, in numbers.
    ///
    /// # Errors
    /// [`MembershipError::Stopped`].
    pub async fn counters(&self) -> Result<Counters, MembershipError> {
        self.ask(Command::Counters).await
    }

    /// These nodes, and no others, are not to be members from now on: they were revoked.
    pub(crate) fn expel(&self, expelled: Expelled) {
        // Where membership has stopped, nobody is a member.
        let _stopped = self.commands.send(Command::Expel(expelled));
    }

    /// Carries what this node's ledger of revocations says; best effort.
    pub(crate) fn carry(&self, to: Audience, content: Bytes) {
        let _stopped = self.commands.send(Command::Carry(to, content));
    }

    /// What the ledgers of others say, from now on, and who could not be reached.
    pub(crate) fn listen(&self) -> Inbox {
        let (post, inbox) = inbox();
        let _stopped = self.commands.send(Command::Listen(post));
        inbox
    }

    /// Waits until the link has what was given to [`carry`](Self::carry) before.
    pub(crate) async fn carried(&self) {
        let _stopped = self.counters().await;
    }

    /// Stops without a word to the others. Returns once nothing more will be sent.
    pub async fn stop(&self) {
        let _stopped_before = self.ask(Command::Stop).await;
    }

    /// Waits until its task has ended through a mistake in this program; for ever where it ends as it is to.
    pub(crate) async fn ended_by_itself(&self) {
        self.failed.cancelled().await;
    }

    /// Whether that has happened.
    pub(crate) fn has_ended_by_itself(&self) -> bool {
        self.failed.is_cancelled()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, MembershipError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| MembershipError::Stopped)?;
        answer.await.map_err(|_| MembershipError::Stopped)
    }
}

/// Where the task panics, nobody is to wait for events that never come.
async fn watch_over(task: JoinHandle<()>, board: Arc<Board>, failed: CancellationToken) {
    if let Err(lost) = task.await
        && lost.is_panic()
    {
        tracing::error!(%lost, "membership ended by itself");
        board.close();
        failed.cancel();
    }
}

struct Driver {
    engine: Engine,
    board: Arc<Board>,
    link: Arc<dyn FrameLink>,
    started: Instant,
    out: Vec<Output>,
    leaving: Vec<oneshot::Sender<Result<(), EngineError>>>,
    listener: Option<Post>,
}

impl Driver {
    async fn run(mut self, mut events: mpsc::Receiver<LinkEvent>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut batch = Vec::with_capacity(FRAMES_AT_ONCE);
        let mut linked = true;
        self.tick();
        loop {
            // Without a deadline there is nothing to do until something comes.
            let deadline = self.engine.deadline().map_or(self.started + Duration::from_hours(24 * 365), |at| self.started + at);
            tokio::select! {
                // What has arrived is read before anybody is judged for not having answered.
                biased;
                command = commands.recv() => match command {
                    Some(Command::Stop(done)) => {
                        self.board.close();
                        let _gone = done.send(());
                        return;
                    }
                    Some(command) => self.command(command),
                    None => break,
                },
                count = events.recv_many(&mut batch, FRAMES_AT_ONCE), if linked => {
                    linked = count > 0;
                    for event in batch.drain(..) {
                        self.link_event(event);
                    }
                }
                () = sleep_until(deadline) => {}
            }
            self.tick();
        }
        self.board.close();
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn link_event(&mut self, event: LinkEvent) {
        let input = match event {
            LinkEvent::Frame { from, frame } => {
                self.board.members().heard(&from);
                Input::Frame { from, frame }
            }
            LinkEvent::Unreachable { node_id, refused } => {
                self.tell_listener(Heard::Unreachable(node_id.clone()));
                Input::Unreachable { node_id, refused }
            }
        };
        self.engine.handle(input, self.now(), &mut self.out);
        self.carry_out();
    }

    fn tell_listener(&self, heard: Heard) {
        if let Some(listener) = &self.listener {
            listener.put(heard);
        }
    }

    /// Lets the engine do what is due, also when frames keep coming without a pause.
    fn tick(&mut self) {
        let now = self.now();
        if self.engine.deadline().is_some_and(|at| at <= now) {
            self.engine.handle(Input::Tick, now, &mut self.out);
        }
        self.carry_out();
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        // Whoever asked may have gone; then nobody needs the answer.
        match command {
            Command::Update(change, reply) => {
                let mut info = NodeInfo::clone(self.engine.me());
                change(&mut info);
                let _gone = reply.send(self.engine.update(info, now, &mut self.out));
            }
            Command::Leave(reply) => match self.engine.leave(now, &mut self.out) {
                Ok(()) => self.leaving.push(reply),
                refused => {
                    let _gone = reply.send(refused);
                }
            },
            Command::Save(reply) => {
                let _gone = reply.send(self.engine.save());
            }
            Command::Counters(reply) => {
                let _gone = reply.send(self.engine.counters());
            }
            Command::Expel(expelled) => self.engine.expel(expelled, now, &mut self.out),
            Command::Carry(to, content) => self.engine.carry(&to, &content, now, &mut self.out),
            Command::Listen(listener) => self.listener = Some(listener),
            Command::Stop(reply) => {
                let _gone = reply.send(());
            }
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        let (mut events, mut forgotten, mut left) = (Vec::new(), Vec::new(), false);
        for output in std::mem::take(&mut self.out) {
            match output {
                Output::Send { to, frame } => self.link.send(&to, frame),
                Output::SendSeed { authority, frame } => self.link.send_seed(&authority, frame),
                Output::Event(event) => events.push(event),
                Output::Forgotten(node_id) => forgotten.push(node_id),
                Output::LeaveSpread => left = true,
                Output::Revocations { from, content } => self.tell_listener(Heard::Said { from, content }),
            }
        }
        if !events.is_empty() || !forgotten.is_empty() {
            self.board.publish(events, &forgotten);
        }
        if left {
            for reply in self.leaving.drain(..) {
                let _gone = reply.send(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Mutex};

    use bytes::Bytes;
    use p2p_client::protocol::{NodeId, NodeStatus};

    use super::*;
    use crate::network::{
        MemberEvent, PeerRef,
        simulation::{HashAttestor, node_info},
    };

    /// Connects the nodes of one test.
    #[derive(Clone, Default)]
    struct Hub(Arc<Mutex<HashMap<String, Plug>>>);

    type Plug = (NodeId, mpsc::Sender<LinkEvent>);

    struct HubLink {
        hub: Hub,
        me: NodeId,
        authority: String,
    }

    impl HubLink {
        fn carry(&self, authority: &str, meant: Option<&NodeId>, frame: Bytes) {
            let hub = self.hub.0.lock().unwrap();
            let Some((node_id, sender)) = hub.get(authority).filter(|_| hub.contains_key(&self.authority)) else { return };
            if meant.is_none_or(|meant| meant == node_id) {
                let _full = sender.try_send(LinkEvent::Frame { from: self.me.clone(), frame });
            }
        }
    }

    impl FrameLink for HubLink {
        fn send(&self, to: &PeerRef, frame: Bytes) {
            self.carry(&to.authority, Some(&to.node_id), frame);
        }

        fn send_seed(&self, authority: &str, frame: Bytes) {
            self.carry(authority, None, frame);
        }
    }

    impl Hub {
        fn start(&self, index: usize, epoch: u64, saved: Option<GossipState>) -> Membership {
            let me = node_info(index);
            let (sender, receiver) = mpsc::channel(256);
            self.0.lock().unwrap().insert(me.authority(), (me.node_id.clone(), sender));
            let attestor = Arc::new(HashAttestor(me.node_id.clone()));
            let link = Arc::new(HubLink { hub: self.clone(), me: me.node_id.clone(), authority: me.authority() });
            let seeds = if saved.is_some() { Vec::new() } else { vec![node_info(0).authority()] };
            Membership::start(MembershipConfig::default(), me, epoch, attestor, link, receiver, seeds, saved).unwrap()
        }

        fn unplug(&self, index: usize) {
            self.0.lock().unwrap().remove(&node_info(index).authority());
        }
    }

    /// The next event of the kind that `wanted` picks, within `limit` of (paused) time.
    async fn wait(events: &mut EventStream, limit: Duration, wanted: fn(&MemberEvent) -> bool) -> MemberEvent {
        let found = async {
            loop {
                let event = events.next().await.unwrap();
                if wanted(&event) {
                    return event;
                }
            }
        };
        timeout(limit, found).await.unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn nodes_find_each_other_tell_news_and_notice_a_death_in_time() {
        let hub = Hub::default();
        let first = hub.start(0, 1, None);
        let (before, mut events) = first.subscribe();
        assert_eq!(before.len(), 1);
        let second = hub.start(1, 1, None);
        let joined = wait(&mut events, SECOND, |event| matches!(event, MemberEvent::Joined(_))).await;
        assert_eq!(joined.node_id(), &node_info(1).node_id);
        assert_eq!(first.members().hosting("system").count(), 2);

        second.update_me(|me| me.capabilities.push("gpu".into())).await.unwrap();
        wait(&mut events, SECOND, |event| matches!(event, MemberEvent::Updated(_))).await;
        assert_eq!(first.members().by_capability(&"gpu".into()).count(), 1);
        assert_eq!(second.members().by_capability(&"gpu".into()).count(), 1);

        hub.unplug(1);
        wait(&mut events, SECOND * 5, |event| matches!(event, MemberEvent::Suspected(_))).await;
        wait(&mut events, SECOND * 5, |event| matches!(event, MemberEvent::Failed(_))).await;
        assert_eq!(first.members().get(&node_info(1).node_id).unwrap().status, NodeStatus::Dead);
    }

    #[tokio::test(start_paused = true)]
    async fn leaving_is_told_and_ends_membership() {
        let hub = Hub::default();
        let first = hub.start(0, 1, None);
        let (_, mut events) = first.subscribe();
        let second = hub.start(1, 1, None);
        wait(&mut events, SECOND, |event| matches!(event, MemberEvent::Joined(_))).await;
        let (known, mut seconds) = second.subscribe();
        if known.len() < 2 {
            wait(&mut seconds, SECOND, |event| matches!(event, MemberEvent::Joined(_))).await;
        }
        timeout(LEAVE_WITHIN, second.leave()).await.unwrap().unwrap();
        wait(&mut events, SECOND, |event| matches!(event, MemberEvent::Left(_))).await;
        while seconds.next().await.is_some() {}
        let said = second.update_me(|_| ()).await.unwrap_err();
        assert_eq!(said, MembershipError::Stopped);
        assert!(said.to_string().contains("start it again"));
        assert_eq!(second.leave().await, Err(MembershipError::Stopped));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_alone_leaves_at_once_and_a_stopped_one_sends_nothing() {
        let alone = Hub::default().start(1, 1, None);
        alone.leave().await.unwrap();
        let stopped = Hub::default().start(1, 1, None);
        stopped.stop().await;
        assert_eq!(stopped.snapshot_state().await, Err(MembershipError::Stopped));
        stopped.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn saved_state_leads_back_to_the_cluster_without_seeds() {
        let hub = Hub::default();
        let first = hub.start(0, 1, None);
        let second = hub.start(1, 1, None);
        let (_, mut events) = second.subscribe();
        wait(&mut events, SECOND, |event| matches!(event, MemberEvent::Joined(_))).await;
        let saved = second.snapshot_state().await.unwrap();
        second.stop().await;
        let second = hub.start(1, 2, Some(saved));
        let (_, mut events) = second.subscribe();
        wait(&mut events, SECOND, |event| matches!(event, MemberEvent::Joined(_))).await;
        assert_eq!(first.counters().await.unwrap().refused, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mistake_in_membership_is_told_and_whoever_follows_it_does_not_wait_for_ever() {
        let alone = Hub::default().start(1, 1, None);
        let (_, mut events) = alone.subscribe();
        let asked = alone.update_me(|_| panic!("a mistake")).await;
        assert_eq!(asked, Err(MembershipError::Stopped));
        alone.ended_by_itself().await;
        while events.next().await.is_some() {}
        let stopped = Hub::default().start(1, 1, None);
        stopped.stop().await;
        assert!(timeout(SECOND, stopped.ended_by_itself()).await.is_err(), "it ended as it was to");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_update_changes_nothing_and_says_why() {
        let alone = Hub::default().start(1, 1, None);
        let other = node_info(2).node_id;
        let said = alone.update_me(move |me| me.node_id = other).await.unwrap_err().to_string();
        assert!(said.contains("cannot change its id"), "{said}");
        assert!(alone.members().get(&node_info(1).node_id).is_some());
    }
}
