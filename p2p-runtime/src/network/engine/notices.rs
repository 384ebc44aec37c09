//! Telling nodes what is said of them.
//!
//! A suspect is told first, so that it can refute before others act; a node that was taken for dead is told so that it comes back in a
//! new life; and a death that was only heard of is put to the node itself before it is believed.

use std::time::Duration;

use foca::{Member, State};
use p2p_client::protocol::NodeId;

use super::{
    super::{frame::Message, peer::Peer, timers::Due},
    Engine, Output,
};

/// How often a node is told what is said of it, at most.
const NOTICE_PAUSE: Duration = Duration::from_millis(300);

impl Engine {
    /// Tells a node what is held of it, so that it can refute before others act on it.
    pub(super) fn tell(&mut self, node_id: &NodeId, out: &mut Vec<Output>) {
        let Some(held) = self.held(node_id).cloned() else { return };
        if held.state() != State::Alive {
            self.notice(held.id().clone(), held.incarnation(), held.state(), out);
        }
    }

    fn notice(&mut self, about: Peer, incarnation: u16, state: State, out: &mut Vec<Output>) {
        let now = self.now;
        if let Some(seat) = self.seats.get_mut(&about.node_id) {
            if seat.noticed.is_some_and(|last| now < last + NOTICE_PAUSE) {
                return;
            }
            seat.noticed = Some(now);
        }
        let to = about.clone();
        self.send(&to, Message::Notice { about, incarnation, state }, out);
    }

    /// Takes in what others say of this node.
    pub(super) fn noticed(&mut self, sender: &Peer, about: &Peer, incarnation: u16, state: State, out: &mut Vec<Output>) {
        if about.node_id != self.me.announcement.node_id {
            self.counters.forged += 1;
            return;
        }
        if about.beats(self.swim.identity()) {
            self.outlive(about, out);
        } else if about == self.swim.identity() && state != State::Alive {
            self.health.worse();
            self.apply(vec![Member::new(about.clone(), incarnation, state)], true, out);
        }
        // Either way the sender learns at once in which life this node is, and with which incarnation.
        let digest = self.digest_message();
        self.send(sender, digest, out);
        self.drive(out, |swim, shim| swim.announce(sender.clone(), shim));
    }

    /// A node spoke: it is alive, in the life from which it spoke, unless a later one is known or this one was ended.
    pub(super) fn observe(&mut self, sender: &Peer, out: &mut Vec<Output>) {
        let known = |engine: &Self| engine.seats.get(&sender.node_id).is_some_and(|seat| seat.up && seat.peer == *sender);
        if known(self) {
            return;
        }
        self.apply(vec![Member::new(sender.clone(), 0, State::Alive)], true, out);
        if known(self) {
            return;
        }
        if let Some(held) = self.held(&sender.node_id).cloned()
            && self.seats.get(&sender.node_id).is_none_or(|seat| seat.noticed.is_none_or(|last| self.now >= last + NOTICE_PAUSE))
        {
            if let Some(seat) = self.seats.get_mut(&sender.node_id) {
                seat.noticed = Some(self.now);
            }
            let notice = Message::Notice { about: held.id().clone(), incarnation: held.incarnation(), state: held.state() };
            self.send(sender, notice, out);
        }
    }

    /// Another node holds dead whom this node holds alive: the node in question is asked before it is believed.
    pub(super) fn doubt(&mut self, peer: &Peer, out: &mut Vec<Output>) {
        if self.doubts.insert(peer.node_id.clone()) {
            let to = self.seats.get(&peer.node_id).map_or_else(|| peer.clone(), |seat| seat.peer.clone());
            self.send(&to, Message::Notice { about: peer.clone(), incarnation: 0, state: State::Down }, out);
            self.timers.set(self.now + self.config.suspicion, Due::Doubt(peer.clone()));
        }
    }

    pub(super) fn doubt_over(&mut self, peer: &Peer, out: &mut Vec<Output>) {
        self.doubts.remove(&peer.node_id);
        if self.seats.get(&peer.node_id).is_some_and(|seat| seat.up && !seat.peer.beats(peer)) {
            self.apply(vec![Member::new(peer.clone(), 0, State::Down)], true, out);
        }
    }
}
