//! Nodes whose membership was revoked, and what ledgers of revocations say to each other.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use foca::{Member, State};
use p2p_client::protocol::NodeId;

use super::{
    super::{frame::Message, peer::Peer},
    Audience, Engine, Output, Phase, pick,
};

impl Engine {
    /// These nodes, and no others, are not to be members: nothing is sent to them, and nothing of them is heard.
    pub fn expel(&mut self, nodes: BTreeSet<NodeId>, now: Duration, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        for back in self.expelled.difference(&nodes) {
            // Let in again with another key, and perhaps with a new store, which begins to count anew.
            self.floors.remove(back);
        }
        let gone: Vec<_> = nodes.difference(&self.expelled).cloned().collect();
        self.expelled = nodes;
        for node_id in gone {
            self.pending.remove(&node_id);
            let Some(seat) = self.seats.get_mut(&node_id) else { continue };
            let was_up = std::mem::replace(&mut seat.up, false);
            let peer = seat.peer.clone();
            let incarnation = self.held(&node_id).map_or(0, Member::incarnation);
            if was_up {
                // Not spread as a death: every node learns of the revocation itself.
                self.apply(vec![Member::new(peer, incarnation, State::Down)], false, out);
            }
            self.show(&node_id, false, out);
        }
        self.settle(out);
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
