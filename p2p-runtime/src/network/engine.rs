//! The membership protocol as a pure state machine: no clock, no network, no randomness of its own.
//!
//! Data flows through it in one direction: an [`Input`] changes what is known, and [`Output`]s say what to send and what changed.
//!
//! ```text
//! Frame ─┬─► swim.rs    foca decides who is alive            ─┐
//!       ├─► sync.rs    comparison finds what gossip missed  ─┤
//!       ├─► bodies.rs  announcements are pulled, verified   ─┼─► seats and records ─► show.rs ─► Output::Event
//!       └─► notices.rs nodes are told what is said of them  ─┘
//! Tick  ──► timers: probes, gossip, comparisons, retries ────► Output::Send
//! ```
//!
//! A node is shown as a member once foca holds it alive *and* a statement that it signed has been verified.

mod bodies;
mod expelled;
#[cfg(test)]
mod flood_tests;
mod io;
mod notices;
mod show;
mod swim;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use p2p_client::protocol::{NodeId, NodeInfo, NodeStatus};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{bodies::Pending, swim::Shim};
pub use self::{
    expelled::Expelled,
    io::{Audience, Counters, Input, Output},
};
use super::{
    Attestor, BodyError, GossipState, MembershipConfig, PeerRef,
    body::Record,
    codec::SwimCodec,
    frame::{Frame, Message},
    health::LocalHealth,
    news::News,
    peer::Peer,
    state::SavedPeer,
    timers::{Due, Timers},
};
use crate::once_a_minute::OnceAMinute;

/// What a node begins with.
pub struct Setup {
    /// The settings.
    pub config: MembershipConfig,
    /// What this node says of itself. Its authority is where the others will send frames.
    pub me: NodeInfo,
    /// A counter that has grown since the node's last start; the later start wins over what is known of the earlier.
    pub epoch: u64,
    /// Signs and verifies statements.
    pub attestor: Arc<dyn Attestor>,
    /// Where to find the cluster: `host:port` each.
    pub seeds: Vec<String>,
    /// What was saved before the last stop.
    pub saved: Option<GossipState>,
    /// Where the engine's randomness starts. The same inputs and the same start give the same outputs.
    pub randomness: u64,
}

/// Why this node cannot say what it was asked to say of itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The node's id is its name for life.
    #[error("a running node cannot change its id from {from} to {to}; start another node instead")]
    NodeIdChanged {
        /// The id that it has.
        from: NodeId,
        /// The id that was asked for.
        to: NodeId,
    },
    /// An address must fit into a frame.
    #[error("the advertised address {0:?} is longer than 255 bytes; advertise a shorter name or an IP address")]
    AddressTooLong(String),
    /// The statement could not be made.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The node has said that it leaves.
    #[error("this node is leaving the cluster and cannot change what it says of itself any more")]
    Leaving,
    /// A duration or count of the configuration makes no sense.
    #[error("the membership settings are not usable: {0}")]
    Config(&'static str),
}

/// What is known of another node's liveness.
#[derive(Debug)]
struct Seat {
    peer: Peer,
    up: bool,
    suspected: bool,
    /// What was told to subscribers.
    shown: Option<NodeStatus>,
    /// When it was last told what is said of it.
    noticed: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Leaving { rounds: u32 },
    Gone,
}

type Swim = foca::Foca<Peer, SwimCodec, StdRng, foca::NoCustomBroadcast>;

/// The membership of one node.
#[expect(clippy::struct_excessive_bools, reason = "each tells of something else")]
pub struct Engine {
    config: MembershipConfig,
    attestor: Arc<dyn Attestor>,
    rng: StdRng,
    now: Duration,
    phase: Phase,

    swim: Swim,
    shim: Shim,
    swim_token: Option<foca::TimerToken>,
    transmissions: u32,
    health: LocalHealth,
    /// When a frame came last, from anybody.
    heard: Duration,
    probe_failed: bool,
    doubts: BTreeSet<NodeId>,

    me: Record,
    seats: BTreeMap<NodeId, Seat>,
    records: BTreeMap<NodeId, Record>,
    /// The least (epoch, version) that is accepted of a node, from before the last stop.
    floors: BTreeMap<NodeId, (u64, u64)>,
    /// Nodes whose membership was revoked, and those that were readmitted.
    expelled: Expelled,
    pending: BTreeMap<NodeId, Pending>,
    to_pull: BTreeMap<NodeId, BTreeSet<NodeId>>,
    news: News,
    from: Option<NodeId>,
    /// Whose mistakes or lies stood in the log within the last minute, and who told this node of a later life of its own.
    warned: OnceAMinute,
    outlived: OnceAMinute,
    /// The frame that is looked at has told of such a life.
    has_outlived: bool,

    seeds: Vec<String>,
    contacts: Vec<PeerRef>,
    seek_pause: Duration,
    /// When the cluster is looked for next. A timer that fires before has been overtaken by a change of plan.
    seek_at: Duration,
    sync_pause: Duration,
    /// When others are compared with next; as above.
    sync_at: Duration,
    hurried: u32,
    differing: bool,

    timers: Timers,
    gossip_set: bool,
    pulls_set: bool,
    counters: Counters,
}

impl Engine {
    /// Begins: the node knows itself, and looks for the cluster with the first [`Input::Tick`].
    ///
    /// # Errors
    /// [`EngineError`] when the settings make no sense or the node cannot sign what it says of itself.
    pub fn new(setup: Setup, now: Duration) -> Result<Self, EngineError> {
        let Setup { config, me, epoch, attestor, seeds, saved, randomness } = setup;
        let mut rng = StdRng::seed_from_u64(randomness);
        let authority = checked_authority(&me)?;
        let peer = Peer { node_id: me.node_id.clone(), authority, epoch, bump: 0 };
        let me = Record::sign(me, epoch, 1, false, &*attestor)?;
        let transmissions = swim::transmissions(1);
        let settings = swim::settings(&config, transmissions)?;
        let swim = Swim::new(peer.clone(), settings, StdRng::seed_from_u64(rng.random()), SwimCodec);
        // Another version's file is no reason not to start: the seeds lead to the cluster as well.
        let saved = saved.filter(|state| state.format == GossipState::FORMAT).map(|state| state.peers).unwrap_or_default();
        let others = saved.into_iter().filter(|saved| saved.node_id != peer.node_id);
        let (mut contacts, mut floors) = (Vec::new(), BTreeMap::new());
        for SavedPeer { node_id, authority, epoch, version, status } in others {
            floors.insert(node_id.clone(), (epoch, version));
            if matches!(status, NodeStatus::Alive | NodeStatus::Suspected) {
                contacts.push(PeerRef { node_id, authority: authority.into() });
            }
        }
        let mut timers = Timers::default();
        timers.set(now, Due::Seek);
        timers.set(now + config.sync_joining, Due::Sync);
        timers.set(now + config.seek_max, Due::Reach);
        Ok(Self {
            seek_pause: config.seek_min,
            seek_at: now,
            sync_at: now + config.sync_joining,
            sync_pause: config.sync_joining,
            seeds: seeds.into_iter().filter(|seed| **seed != *peer.authority).collect(),
            config,
            attestor,
            rng,
            now,
            phase: Phase::Running,
            swim,
            shim: Shim::default(),
            swim_token: None,
            transmissions,
            health: LocalHealth::default(),
            heard: now,
            probe_failed: false,
            doubts: BTreeSet::new(),
            me,
            seats: BTreeMap::new(),
            records: BTreeMap::new(),
            floors,
            expelled: Expelled::default(),
            pending: BTreeMap::new(),
            to_pull: BTreeMap::new(),
            news: News::default(),
            from: None,
            warned: OnceAMinute::default(),
            outlived: OnceAMinute::default(),
            has_outlived: false,
            contacts,
            hurried: 0,
            differing: true,
            timers,
            gossip_set: false,
            pulls_set: false,
            counters: Counters::default(),
        })
    }

    /// What this node says of itself.
    pub fn me(&self) -> &Arc<NodeInfo> {
        &self.me.info
    }

    /// What went wrong or was refused since the start.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// When [`Input::Tick`] is wanted next.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Takes in what happened at `now`, by any clock that never goes back; the same for all calls.
    ///
    /// Frames that wait are handed in before a [`Input::Tick`] that is due as well.
    pub fn handle(&mut self, input: Input, now: Duration, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        match input {
            Input::Frame { from, frame } => self.frame(&from, &frame, out),
            Input::Unreachable { node_id, refused } => {
                if refused && self.phase == Phase::Running {
                    self.suspect_early(&node_id, out);
                }
            }
            // Only here: what has arrived is to be taken in before anybody is judged for not having answered.
            Input::Tick => self.run_due(out),
        }
        self.settle(out);
    }

    /// What another start of this node needs to find the cluster again, and to refuse what is older than what it knows.
    pub fn save(&self) -> GossipState {
        let peers = self.seats.values().map(|seat| {
            let known = self.records.get(&seat.peer.node_id).map(|record| &record.announcement);
            SavedPeer {
                node_id: seat.peer.node_id.clone(),
                authority: seat.peer.authority.as_ref().to_owned(),
                epoch: known.map_or(0, |known| known.epoch),
                version: known.map_or(0, |known| known.version),
                status: self.status_of(seat),
            }
        });
        GossipState { format: GossipState::FORMAT, peers: peers.collect() }
    }

    fn frame(&mut self, from: &NodeId, bytes: &[u8], out: &mut Vec<Output>) {
        if self.is_expelled(from) {
            return;
        }
        if *from == self.me.announcement.node_id {
            // A seed that turned out to be this node, or a second node with this one's key.
            return;
        }
        let frame = match Frame::decode(from, bytes) {
            Ok(frame) => frame,
            Err(cause) => {
                self.counters.malformed += 1;
                tracing::debug!(%from, %cause, "a membership frame was ignored");
                return;
            }
        };
        self.heard = self.now;
        self.from = Some(from.clone());
        self.has_outlived = false;
        match frame {
            Frame::Swim { .. } if self.phase != Phase::Running => {}
            Frame::Swim { news, message } => self.swim_frame(from, &news, &message, out),
            Frame::Own { sender, message: Message::Pull { ids } } => self.answer_pull(&sender, &ids, out),
            Frame::Own { .. } if self.phase != Phase::Running => {}
            Frame::Own { sender, message } => {
                self.observe(&sender, out);
                match message {
                    Message::Digest { root, count } => self.compare(&sender, root, count, out),
                    Message::Buckets { buckets } => self.compare_buckets(&sender, &buckets, out),
                    Message::Entries { ask, buckets, entries } => self.learn(&sender, ask, buckets, &entries, out),
                    Message::Bodies { bodies } => self.take_bodies(bodies, out),
                    Message::Notice { about, incarnation, state } => self.noticed(&sender, &about, incarnation, state, out),
                    Message::Revocations { content } => out.push(Output::Revocations { from: from.clone(), content }),
                    Message::Pull { .. } => {}
                }
            }
        }
        self.from = None;
    }

    /// Whether what is wrong with the frame that is looked at is to stand in the log: of each sender something does once a minute.
    fn is_worth_a_line(&self) -> bool {
        self.from.as_ref().is_none_or(|from| self.warned.is_due_at(from, self.now))
    }

    fn run_due(&mut self, out: &mut Vec<Output>) {
        // Longer than any honest delay: the process stood still (stopped, suspended, starved). What others did meanwhile is
        // still unread, so nobody may be judged by the time that passed.
        if let Some(late) = self.timers.next().and_then(|due| self.now.checked_sub(due))
            && late > self.config.probe_period
        {
            self.timers.shift(late);
            self.health.worse();
        }
        while let Some(due) = self.timers.pop_due(self.now) {
            match due {
                Due::Leave => self.leave_round(out),
                _ if self.phase != Phase::Running => {}
                Due::Swim(timer) => self.swim_timer(timer, out),
                Due::Gossip => self.gossip(out),
                Due::Sync if self.now >= self.sync_at => self.sync_round(out),
                Due::Seek if self.now >= self.seek_at => self.seek(out),
                Due::Sync | Due::Seek => {}
                Due::Reach => self.reach(out),
                Due::Pulls => self.retry_pulls(),
                Due::Doubt(peer) => self.doubt_over(&peer, out),
            }
        }
    }

    /// After everything else: asks for what was found missing, and sees to it that news are passed on.
    fn settle(&mut self, out: &mut Vec<Output>) {
        self.send_pulls(out);
        let news = !self.news.is_empty() || self.swim.updates_backlog() > 0;
        if news && !self.gossip_set && self.phase == Phase::Running && self.peers_up().next().is_some() {
            self.gossip_set = true;
            self.timers.set(self.now + self.config.gossip_period, Due::Gossip);
        }
    }

    fn peers_up(&self) -> impl Iterator<Item = &Peer> {
        self.seats.values().filter(|seat| seat.up).map(|seat| &seat.peer)
    }

    /// Up to `count` nodes that are up, at random.
    fn some_up(&mut self, count: usize) -> Vec<Peer> {
        let all: Vec<Peer> = self.peers_up().cloned().collect();
        pick(&mut self.rng, all, count)
    }

    fn send(&mut self, to: &Peer, message: Message, out: &mut Vec<Output>) {
        let frame = Frame::Own { sender: self.swim.identity().clone(), message }.encode(self.config.compress_above);
        self.hand_out(Output::Send { to: to.addr(), frame }, out);
    }

    fn hand_out(&mut self, output: Output, out: &mut Vec<Output>) {
        if matches!(&output, Output::Send { to, .. } if self.is_expelled(&to.node_id)) {
            return;
        }
        if let Output::Send { frame, .. } | Output::SendSeed { frame, .. } = &output {
            self.counters.frames_sent += 1;
            self.counters.bytes_sent += frame.len() as u64;
        }
        out.push(output);
    }

    /// A time about as long as asked for, so that nodes that started together do not act together.
    fn about(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.rng.random_range(0.8..1.2))
    }
}

/// Up to `count` of `all`, at random.
fn pick<T>(rng: &mut StdRng, mut all: Vec<T>, count: usize) -> Vec<T> {
    for index in 0..count.min(all.len()) {
        let other = rng.random_range(index..all.len());
        all.swap(index, other);
    }
    all.truncate(count);
    all
}

fn checked_authority(info: &NodeInfo) -> Result<Arc<str>, EngineError> {
    let authority = info.authority();
    if authority.len() > usize::from(u8::MAX) { Err(EngineError::AddressTooLong(authority)) } else { Ok(authority.into()) }
}
