//! Which connection frames for a node go to.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use p2p_client::protocol::NodeId;
use tokio_util::sync::CancellationToken;

use super::lane::Outbox;
use crate::network::link::PeerRef;

/// Whom an own connection is for.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Node(PeerRef),
    Seed(String),
}

impl Target {
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Node(peer) => &peer.authority,
            Self::Seed(authority) => authority,
        }
    }

    pub(super) fn node_id(&self) -> Option<&NodeId> {
        match self {
            Self::Node(peer) => Some(&peer.node_id),
            Self::Seed(_) => None,
        }
    }
}

/// Every lane. All pushes happen under its lock, so that no frame goes into an outbox that nobody empties any more.
pub(super) struct Lanes {
    state: Mutex<State>,
    max_own: usize,
    max_waiting: usize,
}

#[derive(Default)]
struct State {
    serial: u64,
    nodes: HashMap<NodeId, Lane>,
    seeds: HashMap<String, Lane>,
    inbound: HashMap<NodeId, VecDeque<(u64, CancellationToken)>>,
}

#[derive(Clone)]
struct Lane {
    serial: u64,
    outbox: Arc<Outbox>,
    /// Opened by this node.
    own: bool,
    /// Not dialled yet: its turn has not come.
    waits: bool,
    /// Where the peer was to be reached when a frame was last sent to it.
    authority: Option<String>,
}

/// A connection that a peer opened.
pub(super) struct Admitted {
    pub(super) serial: u64,
    pub(super) stop: CancellationToken,
}

impl Lanes {
    pub(super) fn new(max_own: usize, max_waiting: usize) -> Self {
        Self { state: Mutex::default(), max_own: max_own.max(1), max_waiting }
    }

    /// Puts a frame on the target's lane. Where there is none, one is made, and returned for the caller to connect.
    pub(super) fn push(&self, target: &Target, frame: Bytes) -> Option<(u64, Arc<Outbox>)> {
        let mut state = self.state();
        let existing = match target {
            Target::Node(peer) => state.nodes.get_mut(&peer.node_id),
            Target::Seed(authority) => state.seeds.get_mut(authority),
        };
        if let Some(lane) = existing {
            lane.outbox.push(frame);
            lane.authority = Some(target.authority().to_owned());
            return None;
        }
        Some(self.make(&mut state, target, vec![frame]))
    }

    /// Makes an own lane for what another left, unless there is one again: then it takes the frames.
    pub(super) fn reopen(&self, target: &Target, frames: Vec<Bytes>) -> Option<(u64, Arc<Outbox>)> {
        let mut state = self.state();
        if let Some(lane) = target.node_id().and_then(|node| state.nodes.get(node)) {
            for frame in frames {
                lane.outbox.push(frame);
            }
            return None;
        }
        Some(self.make(&mut state, target, frames))
    }

    fn make(&self, state: &mut State, target: &Target, frames: Vec<Bytes>) -> (u64, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(self.max_waiting));
        for frame in frames {
            outbox.push(frame);
        }
        state.serial += 1;
        let serial = state.serial;
        state.make_room(self.max_own);
        let lane =
            Lane { serial, outbox: outbox.clone(), own: true, waits: true, authority: Some(target.authority().to_owned()) };
        match target {
            Target::Node(peer) => state.nodes.insert(peer.node_id.clone(), lane),
            Target::Seed(authority) => state.seeds.insert(authority.clone(), lane),
        };
        (serial, outbox)
    }

    /// A seed turned out to be this node: frames for the node may use the seed's lane.
    pub(super) fn learn(&self, node: &NodeId, serial: u64, outbox: &Arc<Outbox>) {
        let mut state = self.state();
        let lane = Lane { serial, outbox: outbox.clone(), own: true, waits: false, authority: None };
        state.nodes.entry(node.clone()).or_insert(lane);
    }

    /// A lane is dialled now. Says whether it is still wanted: the peer may have come by itself meanwhile.
    pub(super) fn is_dialled(&self, target: &Target, serial: u64) -> bool {
        let mut state = self.state();
        let lane = match target {
            Target::Node(peer) => state.nodes.get_mut(&peer.node_id),
            Target::Seed(authority) => state.seeds.get_mut(authority),
        };
        let Some(lane) = lane.filter(|lane| lane.serial == serial) else { return false };
        lane.waits = false;
        true
    }

    /// Forgets a lane.
    pub(super) fn remove(&self, serial: u64) {
        self.state().forget(serial);
    }

    /// Forgets a lane if nothing waits on it, and says whether it did.
    pub(super) fn remove_if_empty(&self, serial: u64, outbox: &Outbox) -> bool {
        let mut state = self.state();
        let empty = outbox.is_empty();
        if empty {
            state.forget(serial);
        }
        empty
    }

    /// Takes in a connection that a peer opened; frames to the peer use it if there is no other.
    pub(super) fn admit(&self, node: &NodeId, outbox: &Arc<Outbox>, max: usize, stop: CancellationToken) -> Admitted {
        let mut state = self.state();
        state.serial += 1;
        let serial = state.serial;
        let mut lane = Lane { serial, outbox: outbox.clone(), own: false, waits: false, authority: None };
        match state.nodes.entry(node.clone()) {
            Entry::Vacant(place) => drop(place.insert(lane)),
            // What was held back for it need not wait any more.
            Entry::Occupied(mut place) if place.get().waits => {
                for frame in place.get().outbox.drain() {
                    outbox.push(frame);
                }
                lane.authority = place.get_mut().authority.take();
                place.insert(lane);
            }
            Entry::Occupied(_) => {}
        }
        let connections = state.inbound.entry(node.clone()).or_default();
        connections.push_back((serial, stop.clone()));
        if connections.len() > max.max(1)
            && let Some((_, oldest)) = connections.pop_front()
        {
            oldest.cancel();
        }
        Admitted { serial, stop }
    }

    /// Forgets a connection that a peer opened. Where frames were sent over it, says where the peer is to be reached.
    pub(super) fn dismiss(&self, node: &NodeId, serial: u64) -> Option<String> {
        let mut state = self.state();
        if let Some(connections) = state.inbound.get_mut(node) {
            connections.retain(|(other, _)| *other != serial);
            if connections.is_empty() {
                state.inbound.remove(node);
            }
        }
        let lane = state.nodes.get(node).filter(|lane| lane.serial == serial).cloned();
        state.forget(serial);
        lane.and_then(|lane| lane.authority)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, serial: u64) {
        self.nodes.retain(|_, lane| lane.serial != serial);
        self.seeds.retain(|_, lane| lane.serial != serial);
    }

    /// Closes the least recently used of this node's own connections when there are as many as may be.
    fn make_room(&mut self, max: usize) {
        let mut own: HashMap<u64, Arc<Outbox>> = HashMap::new();
        for lane in self.nodes.values().chain(self.seeds.values()).filter(|lane| lane.own) {
            own.insert(lane.serial, lane.outbox.clone());
        }
        if own.len() < max {
            return;
        }
        if let Some((serial, outbox)) = own.into_iter().min_by_key(|(serial, outbox)| (outbox.used(), *serial)) {
            self.forget(serial);
            outbox.close();
        }
    }
}
