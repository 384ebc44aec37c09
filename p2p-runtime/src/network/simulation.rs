//! Many nodes in one process on a virtual clock, with a network that delays, loses and splits.
//!
//! Everything is decided by one seed, which is printed. The bench includes this file too, so that it uses only what is public.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use p2p_client::protocol::{NodeId, NodeInfo, NodeStatus, Role};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{AttestError, Attestor, Engine, GossipState, Input, MemberEvent, MembershipConfig, Output, Setup};

/// "Signs" by hashing with a key that every test knows.
pub(crate) struct HashAttestor(pub(crate) NodeId);

impl HashAttestor {
    fn mark(node_id: &NodeId, message: &[u8]) -> Bytes {
        let text = [b"key of ", node_id.as_str().as_bytes(), b"\0", message].concat();
        Bytes::copy_from_slice(digest(&SHA256, &text).as_ref())
    }
}

impl Attestor for HashAttestor {
    fn sign(&self, message: &[u8]) -> Result<Bytes, AttestError> {
        Ok(Self::mark(&self.0, message))
    }

    /// Only `node-0` is a coordinator here.
    fn verify(&self, node_id: &NodeId, role: Role, message: &[u8], attestation: &[u8]) -> Result<(), AttestError> {
        let refused = |reason: &str| AttestError::Refused { node_id: node_id.clone(), reason: reason.to_owned() };
        if Self::mark(node_id, message) != attestation {
            return Err(refused("another key signed it"));
        }
        let is_coordinator = *node_id == "node-0";
        if is_coordinator == (role == Role::Coordinator) { Ok(()) } else { Err(refused("it has another role")) }
    }
}

/// What a simulated node says of itself.
pub(crate) fn node_info(index: usize) -> NodeInfo {
    let role = if index == 0 { "coordinator" } else { "worker" };
    let text = format!(
        r#"{{"node_id":"node-{index}","address":"10.0.{}.{}","port":8002,"role":"{role}","capabilities":["simulated"],
           "services":{{"system":{{"version":"1.0.0","fingerprint":"{}"}}}}}}"#,
        index / 250,
        index % 250 + 1,
        "5a".repeat(16),
    );
    serde_json::from_str(&text).unwrap()
}

#[derive(Debug)]
enum Happening {
    Frame { from: usize, frame: Bytes },
    Refused { node: usize },
    Wake,
}

/// How a node is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Running,
    /// The process was killed: its machine refuses connections.
    Killed,
    /// The machine is off or unreachable, or the process is stopped: nothing comes back.
    Silent,
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) condition: Condition,
    pub(crate) events: Vec<(Duration, MemberEvent)>,
    /// The other nodes as subscribers were told of them.
    pub(crate) view: BTreeMap<NodeId, NodeStatus>,
    pub(crate) left: bool,
    group: u8,
    epoch: u64,
    wake: Option<Duration>,
    /// When a stopped process was continued, what had arrived.
    held: Vec<Happening>,
}

pub(crate) struct Sim {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Duration,
    pub(crate) loss: f64,
    pub(crate) config: MembershipConfig,
    order: u64,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    happenings: HashMap<u64, Happening>,
    places: HashMap<String, usize>,
    record: Option<Vec<(usize, usize, Bytes)>>,
    muted: Option<(usize, usize)>,
    rng: StdRng,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self {
            nodes: Vec::new(),
            now: Duration::ZERO,
            loss: 0.0,
            config: MembershipConfig::default(),
            order: 0,
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            places: HashMap::new(),
            record: None,
            muted: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    pub(crate) fn id(index: usize) -> NodeId {
        node_info(index).node_id
    }

    /// Adds a node that knows the addresses of `seeds`.
    pub(crate) fn add(&mut self, seeds: &[usize]) -> usize {
        let index = self.nodes.len();
        let seeds = seeds.iter().map(|seed| node_info(*seed).authority()).collect();
        let engine = self.engine(index, 1, seeds, None);
        self.add_engine(engine)
    }

    /// Adds a node with an engine that was made elsewhere.
    pub(crate) fn add_engine(&mut self, engine: Engine) -> usize {
        let index = self.nodes.len();
        self.places.insert(node_info(index).authority(), index);
        self.nodes.push(Node {
            engine,
            condition: Condition::Running,
            events: Vec::new(),
            view: BTreeMap::new(),
            left: false,
            group: 0,
            epoch: 1,
            wake: None,
            held: Vec::new(),
        });
        self.input(index, Input::Tick);
        index
    }

    /// `count` nodes that all know the first, joined within a second; runs until all see all.
    pub(crate) fn cluster(&mut self, count: usize) -> Duration {
        let started = self.now;
        self.add(&[]);
        for joined in 1..count {
            let at = started + Duration::from_secs(1) * u32::try_from(joined).unwrap() / u32::try_from(count).unwrap();
            self.run_until(at);
            self.add(&[0]);
        }
        assert!(self.run_while(Duration::from_mins(1), |sim| !sim.complete()), "{count} nodes are not complete");
        self.since(started)
    }

    /// The (virtual) time that has passed.
    pub(crate) fn since(&self, at: Duration) -> Duration {
        self.now.saturating_sub(at)
    }

    fn engine(&mut self, index: usize, epoch: u64, seeds: Vec<String>, saved: Option<GossipState>) -> Engine {
        let setup = Setup {
            config: self.config.clone(),
            me: node_info(index),
            epoch,
            attestor: Arc::new(HashAttestor(Self::id(index))),
            seeds,
            saved,
            randomness: self.rng.random(),
        };
        Engine::new(setup, self.now).unwrap()
    }

    /// Starts a node anew, with the next epoch.
    pub(crate) fn restart(&mut self, index: usize, seeds: &[usize], saved: Option<GossipState>) {
        let seeds = seeds.iter().map(|seed| node_info(*seed).authority()).collect();
        let epoch = self.nodes[index].epoch + 1;
        let engine = self.engine(index, epoch, seeds, saved);
        let node = &mut self.nodes[index];
        node.engine = engine;
        node.epoch = epoch;
        node.condition = Condition::Running;
        node.view.clear();
        node.events.clear();
        node.wake = None;
        node.left = false;
        self.input(index, Input::Tick);
    }

    pub(crate) fn set_condition(&mut self, index: usize, condition: Condition) {
        self.nodes[index].condition = condition;
        if condition == Condition::Running {
            for happening in std::mem::take(&mut self.nodes[index].held) {
                self.happen(index, happening);
            }
            self.input(index, Input::Tick);
        }
    }

    /// A node is reachable at one more address.
    pub(crate) fn place(&mut self, authority: &str, index: usize) {
        self.places.insert(authority.to_owned(), index);
    }

    /// The node's next start will be its first again, as after restoring a backup.
    pub(crate) fn rewind_epoch(&mut self, index: usize) {
        self.nodes[index].epoch = 0;
    }

    /// Frames from one node to another get lost, but not the other way.
    pub(crate) fn mute(&mut self, from: usize, to: usize) {
        self.muted = Some((from, to));
    }

    pub(crate) fn unmute(&mut self) {
        self.muted = None;
    }

    /// Keeps every frame from now on.
    pub(crate) fn record(&mut self) {
        self.record = Some(Vec::new());
    }

    /// The frames since then: from, to, bytes.
    pub(crate) fn recorded(&mut self) -> Vec<(usize, usize, Bytes)> {
        self.record.take().unwrap_or_default()
    }

    /// Nodes of different groups do not hear each other.
    pub(crate) fn split(&mut self, group_of: impl Fn(usize) -> u8) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.group = group_of(index);
        }
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].condition == Condition::Running && !self.nodes[*index].left)
    }

    /// How a node is seen by another; `None` while it is not known.
    pub(crate) fn status(&self, by: usize, of: usize) -> Option<NodeStatus> {
        self.nodes[by].view.get(&Self::id(of)).copied()
    }

    /// Whether all running nodes see each other alive.
    pub(crate) fn complete(&self) -> bool {
        let running: Vec<usize> = self.running().collect();
        running.iter().all(|by| {
            let alive = self.nodes[*by].view.values().filter(|status| **status == NodeStatus::Alive).count();
            alive + 1 == running.len() // enough, since those gone are seen as dead or left
        })
    }

    pub(crate) fn all_see(&self, of: usize, status: NodeStatus) -> bool {
        self.running().filter(|by| *by != of).all(|by| self.status(by, of) == Some(status))
    }

    /// The events at all nodes since `after` that are of a kind.
    pub(crate) fn count_events(&self, after: Duration, kind: impl Fn(&MemberEvent) -> bool) -> usize {
        self.nodes.iter().flat_map(|node| &node.events).filter(|(at, event)| *at >= after && kind(event)).count()
    }

    pub(crate) fn run_until(&mut self, end: Duration) {
        self.run_while(end.saturating_sub(self.now), |_| true);
        self.now = self.now.max(end);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Runs until `going` is no more so, at most for `time`. Tells whether it ended so.
    pub(crate) fn run_while(&mut self, time: Duration, mut going: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + time;
        let mut checked = Duration::ZERO;
        loop {
            // Looking at everything after every frame would cost more than the simulation.
            if self.now >= checked {
                if !going(self) {
                    return true;
                }
                checked = self.now + Duration::from_millis(10);
            }
            let Some(Reverse((at, order, to))) = self.queue.peek().copied() else { return false };
            if at > end {
                self.now = end;
                return !going(self);
            }
            self.queue.pop();
            self.now = at;
            if let Some(happening) = self.happenings.remove(&order) {
                self.happen(to, happening);
            }
        }
    }

    fn happen(&mut self, to: usize, happening: Happening) {
        let node = &mut self.nodes[to];
        match node.condition {
            Condition::Running => {}
            Condition::Silent => {
                node.held.push(happening);
                return;
            }
            Condition::Killed => return,
        }
        match happening {
            Happening::Frame { from, frame } => self.input(to, Input::Frame { from: Self::id(from), frame }),
            Happening::Refused { node } => self.input(to, Input::Unreachable { node_id: Self::id(node), refused: true }),
            Happening::Wake => {
                self.nodes[to].wake = None;
                self.input(to, Input::Tick);
            }
        }
    }

    pub(crate) fn input(&mut self, index: usize, input: Input) {
        let mut out = Vec::new();
        self.nodes[index].engine.handle(input, self.now, &mut out);
        self.outputs(index, out);
    }

    /// Acts on an engine directly, as `update` and `leave` do.
    pub(crate) fn act(&mut self, index: usize, act: impl FnOnce(&mut Engine, Duration, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.nodes[index].engine, self.now, &mut out);
        self.outputs(index, out);
    }

    fn outputs(&mut self, from: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { to, frame } => {
                    let place = self.places.get(&*to.authority).copied();
                    // The link checks whom it reached.
                    if let Some(place) = place.filter(|place| Self::id(*place) == to.node_id) {
                        self.transmit(from, place, frame);
                    }
                }
                Output::SendSeed { authority, frame } => {
                    if let Some(place) = self.places.get(&authority).copied() {
                        self.transmit(from, place, frame);
                    }
                }
                Output::Event(event) => {
                    let info = event.info();
                    if info.node_id != Self::id(from) {
                        self.nodes[from].view.insert(info.node_id.clone(), info.status);
                    }
                    self.nodes[from].events.push((self.now, event));
                }
                Output::Forgotten(node_id) => {
                    self.nodes[from].view.remove(&node_id);
                }
                Output::LeaveSpread => self.nodes[from].left = true,
                Output::Revocations { .. } => {} // whoever listens is not simulated
            }
        }
        if let Some(at) = self.nodes[from].engine.deadline()
            && self.nodes[from].wake.is_none_or(|wake| at < wake)
        {
            self.nodes[from].wake = Some(at);
            self.schedule(at.max(self.now), from, Happening::Wake);
        }
    }

    fn transmit(&mut self, from: usize, to: usize, frame: Bytes) {
        if self.muted == Some((from, to))
            || self.nodes[from].group != self.nodes[to].group
            || (self.loss > 0.0 && self.rng.random_bool(self.loss))
        {
            return;
        }
        if let Some(record) = &mut self.record {
            record.push((from, to, frame.clone()));
        }
        let latency = Duration::from_micros(self.rng.random_range(200..3000));
        if self.nodes[to].condition == Condition::Killed {
            self.schedule(self.now + latency, from, Happening::Refused { node: to });
        } else {
            self.schedule(self.now + latency, to, Happening::Frame { from, frame });
        }
    }

    fn schedule(&mut self, at: Duration, to: usize, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, to)));
        self.happenings.insert(self.order, happening);
    }
}
