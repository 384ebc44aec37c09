//! Two engines that speak with each other, one of which is revoked and comes back with another key.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use p2p_client::protocol::{NodeInfo, NodeStatus, Role};

use super::{
    super::super::{
        AttestError, Attestor, Input, MemberEvent, MembershipConfig, Setup,
        simulation::{HashAttestor, node_info},
    },
    *,
};

const OBSERVER: usize = 0;
const OTHER: usize = 1;
/// What the other says of itself before it is revoked, and after.
const OLD: &str = "old";
const NEW: &str = "new";

/// Believes what was said with the old key only until that is revoked.
struct Keys {
    own: HashAttestor,
    is_old_revoked: Arc<AtomicBool>,
}

impl Attestor for Keys {
    fn sign(&self, message: &[u8]) -> Result<Bytes, AttestError> {
        self.own.sign(message)
    }

    fn verify(&self, node_id: &NodeId, role: Role, message: &[u8], attestation: &[u8]) -> Result<(), AttestError> {
        let is_old = String::from_utf8_lossy(message).contains(r#""capabilities":["old"]"#);
        if is_old && self.is_old_revoked.load(Ordering::Relaxed) {
            return Err(AttestError::Refused { node_id: node_id.clone(), reason: "its key was revoked".to_owned() });
        }
        self.own.verify(node_id, role, message, attestation)
    }
}

fn other() -> NodeId {
    node_info(OTHER).node_id
}

fn readmitted() -> Expelled {
    Expelled { nodes: BTreeSet::new(), readmitted: [(other(), KeyHash::new([2; 32]))].into() }
}

/// An observer, and another node that it sees.
struct Pair {
    engines: [Engine; 2],
    is_old_revoked: Arc<AtomicBool>,
    now: Duration,
    /// What the observer told of the other.
    events: Vec<MemberEvent>,
}

impl Pair {
    /// The other is in its sixth life, in which it has said several things.
    fn new() -> Self {
        let is_old_revoked = Arc::<AtomicBool>::default();
        let now = Duration::ZERO;
        let engines = [Self::engine(OBSERVER, "", 1, &is_old_revoked, now), Self::engine(OTHER, OLD, 6, &is_old_revoked, now)];
        let mut pair = Self { engines, is_old_revoked, now, events: Vec::new() };
        pair.run();
        for word in ["one", "two", "three"] {
            let mut out = Vec::new();
            let info = NodeInfo { metadata: [("say".to_owned(), word.to_owned())].into(), ..info(OTHER, OLD) };
            pair.engines[OTHER].update(info, pair.now, &mut out).unwrap();
            pair.deliver(OTHER, out);
        }
        pair.run();
        assert_eq!(pair.last(), (NodeStatus::Alive, OLD.to_owned()));
        pair.events.clear();
        pair
    }

    fn engine(index: usize, capability: &'static str, epoch: u64, is_old_revoked: &Arc<AtomicBool>, now: Duration) -> Engine {
        let own = HashAttestor(node_info(index).node_id);
        let setup = Setup {
            config: MembershipConfig::default(),
            me: info(index, capability),
            epoch,
            attestor: Arc::new(Keys { own, is_old_revoked: is_old_revoked.clone() }),
            seeds: vec![node_info(1 - index).authority()],
            saved: None,
            randomness: 1,
        };
        Engine::new(setup, now).unwrap()
    }

    /// The observer learns what is revoked.
    fn expel(&mut self, expelled: Expelled) {
        self.is_old_revoked.store(true, Ordering::Relaxed);
        let mut out = Vec::new();
        self.engines[OBSERVER].expel(expelled, self.now, &mut out);
        self.deliver(OBSERVER, out);
    }

    /// The other comes back with a new key and a new store: it counts from one.
    fn begin_anew(&mut self) {
        self.engines[OTHER] = Self::engine(OTHER, NEW, 1, &self.is_old_revoked, self.now);
    }

    /// Ten seconds pass.
    fn run(&mut self) {
        for _ in 0..1_000 {
            self.now += Duration::from_millis(10);
            for index in [OBSERVER, OTHER] {
                if self.engines[index].deadline().is_some_and(|at| at <= self.now) {
                    self.input(index, Input::Tick);
                }
            }
        }
    }

    fn input(&mut self, index: usize, input: Input) {
        let mut out = Vec::new();
        self.engines[index].handle(input, self.now, &mut out);
        self.deliver(index, out);
    }

    fn deliver(&mut self, from: usize, out: Vec<Output>) {
        let mut waiting: VecDeque<_> = out.into_iter().map(|output| (from, output)).collect();
        while let Some((from, output)) = waiting.pop_front() {
            match output {
                Output::Send { frame, .. } | Output::SendSeed { frame, .. } => {
                    let (to, mut out) = (1 - from, Vec::new());
                    self.engines[to].handle(Input::Frame { from: node_info(from).node_id, frame }, self.now, &mut out);
                    waiting.extend(out.into_iter().map(|output| (to, output)));
                }
                Output::Event(event) if from == OBSERVER && *event.node_id() == other() => self.events.push(event),
                _ => {}
            }
        }
    }

    /// How the observer has last told of the other.
    fn last(&self) -> (NodeStatus, String) {
        let info = self.events.last().unwrap().info();
        (info.status, info.capabilities[0].to_string())
    }

    /// What was told of the other since it was let in again: never anything that it said before.
    #[track_caller]
    fn assert_only_new(&self) {
        let joined: Vec<_> = self.events.iter().filter(|event| !matches!(event, MemberEvent::Left(_))).collect();
        assert!(!joined.is_empty(), "it is a member again");
        for event in joined {
            assert_eq!(event.info().capabilities[0].to_string(), NEW, "{event:?}");
        }
        assert_eq!(self.last(), (NodeStatus::Alive, NEW.to_owned()));
    }
}

fn info(index: usize, capability: &'static str) -> NodeInfo {
    NodeInfo { capabilities: vec![capability.into()], ..node_info(index) }
}

#[test]
fn a_readmitted_node_is_known_by_what_it_says_with_its_new_key_alone_however_often_it_had_started_before() {
    let mut pair = Pair::new();
    pair.expel(Expelled { nodes: [other()].into(), ..Expelled::default() });
    pair.run();
    assert_eq!(pair.last(), (NodeStatus::Revoked, OLD.to_owned()));
    pair.events.clear();
    pair.expel(readmitted());
    pair.begin_anew();
    pair.run();
    pair.assert_only_new();
}

#[test]
fn a_node_whose_revocation_and_readmission_are_heard_of_at_once_is_out_until_it_speaks_with_its_new_key() {
    let mut pair = Pair::new();
    pair.expel(readmitted());
    assert_eq!(pair.events.len(), 1);
    assert_eq!(pair.last(), (NodeStatus::Revoked, OLD.to_owned()));
    pair.begin_anew();
    pair.run();
    pair.assert_only_new();
}

#[test]
fn a_node_that_has_spoken_with_its_new_key_stays_when_its_readmission_is_heard_of() {
    let mut pair = Pair::new();
    pair.expel(readmitted());
    pair.begin_anew();
    pair.run();
    pair.events.clear();
    // As after a restart, when the ledger tells of all readmissions.
    pair.engines[OBSERVER].expelled = Expelled::default();
    pair.expel(readmitted());
    pair.run();
    assert_eq!(pair.events, []);
}

#[test]
fn a_node_that_is_readmitted_with_yet_another_key_is_another_once_more() {
    let mut pair = Pair::new();
    pair.expel(Expelled { readmitted: [(other(), KeyHash::new([1; 32]))].into(), ..Expelled::default() });
    pair.begin_anew();
    pair.run();
    pair.assert_only_new();
    pair.events.clear();
    // With this one, nothing that was said before is believed either.
    pair.engines[OTHER] = Pair::engine(OTHER, OLD, 9, &Arc::default(), pair.now);
    pair.is_old_revoked.store(false, Ordering::Relaxed);
    pair.run();
    assert_eq!(pair.last(), (NodeStatus::Alive, OLD.to_owned()), "control: as long as nothing is revoked");
    pair.events.clear();
    pair.expel(readmitted());
    assert_eq!(pair.last(), (NodeStatus::Revoked, OLD.to_owned()));
    pair.begin_anew();
    pair.run();
    pair.assert_only_new();
}

#[test]
fn a_node_that_others_still_took_for_alive_while_it_was_out_is_seen_when_it_is_back() {
    let mut pair = Pair::new();
    // The observer starts again and knows who is out; others, who have not heard, tell it of the node as one that is alive.
    pair.engines[OBSERVER] = Pair::engine(OBSERVER, "", 2, &pair.is_old_revoked, pair.now);
    pair.expel(Expelled { nodes: [other()].into(), ..Expelled::default() });
    let (old, mut out) = (pair.engines[OTHER].swim.identity().clone(), Vec::new());
    pair.engines[OBSERVER].apply(vec![Member::new(old, 0, State::Alive)], false, &mut out);
    pair.events.clear();
    pair.expel(readmitted());
    pair.begin_anew();
    pair.run();
    pair.assert_only_new();
}
