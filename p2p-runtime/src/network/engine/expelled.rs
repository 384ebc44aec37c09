//! Nodes whose membership was revoked, those that came back with another key, and what ledgers of revocations say to each other.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use foca::{Member, State};
use p2p_client::{protocol::NodeId, revocation::KeyHash};

use super::{
    super::{frame::Message, peer::Peer},
    Audience, Engine, Output, Phase, pick,
    swim::Note,
};

/// Who is not to be a member, by what is revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expelled {
    /// Nodes that were revoked, and not readmitted since.
    pub nodes: BTreeSet<NodeId>,
    /// Nodes that were revoked and readmitted since, with the keys that they have now.
    pub readmitted: BTreeSet<(NodeId, KeyHash)>,
}

impl Engine {
    /// The expelled nodes, and no others, are not to be members: nothing is sent to them, and nothing of them is heard. What a node said
    /// before it was readmitted counts no more: whoever had its key may have said it.
    pub fn expel(&mut self, expelled: Expelled, now: Duration, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        let back = self.come_back(&expelled);
        // Who is back was out before, also where this node hears of both at once.
        let nodes: BTreeSet<_> = expelled.nodes.union(&back).cloned().collect();
        let gone: Vec<_> = nodes.difference(&self.expelled.nodes).cloned().collect();
        self.expelled.nodes = nodes;
        for node_id in gone {
            self.take_out(&node_id, out);
        }
        for node_id in &back {
            self.forget_said(node_id);
        }
        self.expelled = expelled;
        for node_id in &back {
            self.take_in(node_id, out);
        }
        self.settle(out);
    }

    pub(super) fn is_expelled(&self, node_id: &NodeId) -> bool {
        self.expelled.nodes.contains(node_id)
    }

    /// Those that are readmitted now, and were not before, or with another key. One that has said who it is with its new key already is
    /// known as it is.
    fn come_back(&self, expelled: &Expelled) -> BTreeSet<NodeId> {
        let back = expelled.readmitted.difference(&self.expelled.readmitted).map(|(node_id, _)| node_id);
        let is_known = |node_id: &NodeId| self.records.get(node_id).is_some_and(|said| said.verify(&*self.attestor).is_ok());
        back.filter(|node_id| !is_known(node_id)).cloned().collect()
    }

    fn take_out(&mut self, node_id: &NodeId, out: &mut Vec<Output>) {
        self.pending.remove(node_id);
        let Some(seat) = self.seats.get_mut(node_id) else { return };
        let was_up = std::mem::replace(&mut seat.up, false);
        let peer = seat.peer.clone();
        let incarnation = self.held(node_id).map_or(0, Member::incarnation);
        if was_up {
            // Not spread as a death: every node learns of the revocation itself.
            self.apply(vec![Member::new(peer, incarnation, State::Down)], false, out);
        }
        self.show(node_id, false, out);
    }

    /// A node that is back may be up by what others said while it was out, which had to count for nothing then, and is not said again.
    fn take_in(&mut self, node_id: &NodeId, out: &mut Vec<Output>) {
        let said = self.held(node_id).filter(|held| held.state() != State::Down);
        if let Some(peer) = said.map(|held| held.id().clone()) {
            self.note(Note::Up(peer), out);
        }
    }

    /// With another key a node may have a new store as well, and count anew: neither what it said last nor how far it had counted may stand
    /// against what it says now.
    fn forget_said(&mut self, node_id: &NodeId) {
        self.floors.remove(node_id);
        self.records.remove(node_id);
        self.pending.remove(node_id);
    }

    /// Carries what this node's ledger of revocations says to the others.
    pub fn carry(&mut self, to: &Audience, content: &Bytes, now: Duration, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        if self.phase != Phase::Running {
            return;
        }
        let peers: Vec<Peer> = match to {
            Audience::Node(node_id) => self.peers_up().filter(|peer| peer.node_id == *node_id).cloned().collect(),
            Audience::Some(count) => {
                let all = self.peers_up().cloned().collect();
                pick(&mut self.rng, all, *count)
            }
        };
        for peer in peers {
            self.send(&peer, Message::Revocations { content: content.clone() }, out);
        }
    }
}

#[cfg(test)]
#[path = "expelled_tests.rs"]
mod tests;
