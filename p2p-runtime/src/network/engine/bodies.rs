//! What nodes say of themselves: announced in a few bytes, pulled once, verified, passed on.

use std::time::Duration;

use foca::{Member, State};
use p2p_client::protocol::{NodeId, NodeInfo};

use super::{
    super::{
        MemberEvent,
        body::{Announcement, BodyError, Record, SignedBody, bare},
        frame::Message,
        peer::Peer,
        timers::Due,
    },
    Engine, EngineError, Output, Phase, checked_authority,
};

/// How long an asked node may take before another is asked.
const PULL_PATIENCE: Duration = Duration::from_millis(500);
/// How many nodes are asked before it is left to the next comparison.
const MAX_TRIES: u32 = 6;
/// Statements in one frame end after so many bytes.
const FRAME_GOAL: usize = 32 * 1024;
/// Node ids in one request.
const MAX_IDS: usize = 256;
/// Of one frame, so many statements that are not believed are looked at: each costs the checking of a signature.
const MAX_REFUSED: usize = 8;
/// A leaving node tells so many others, so often.
const FAREWELLS: usize = 16;
const FAREWELL_ROUNDS: u32 = 3;
const FAREWELL_PAUSE: Duration = Duration::from_millis(100);

/// A statement that is asked for.
#[derive(Debug)]
pub(super) struct Pending {
    asked: NodeId,
    /// The asked node has said that it has it.
    sure: bool,
    since: Duration,
    tries: u32,
}

impl Engine {
    /// Replaces what this node says of itself, and spreads it.
    ///
    /// # Errors
    /// [`EngineError`] when it cannot be said; then the node goes on saying what it said before.
    pub fn update(&mut self, info: NodeInfo, now: Duration, out: &mut Vec<Output>) -> Result<(), EngineError> {
        self.now = self.now.max(now);
        if self.phase != Phase::Running {
            return Err(EngineError::Leaving);
        }
        if info.node_id != self.me.announcement.node_id {
            return Err(EngineError::NodeIdChanged { from: self.me.announcement.node_id.clone(), to: info.node_id });
        }
        let info = bare(info);
        if info == *self.me.info {
            return Ok(());
        }
        let authority = checked_authority(&info)?;
        let Announcement { epoch, version, .. } = self.me.announcement;
        self.me = Record::sign(info, epoch, version.saturating_add(1), false, &*self.attestor)?;
        self.news.spread(self.me.announcement.clone(), self.transmissions);
        out.push(Output::Event(MemberEvent::Updated(self.me.info.clone())));
        let peer = self.swim.identity().clone();
        if peer.authority != authority {
            self.become_peer(Peer { authority, bump: peer.bump.saturating_add(1), ..peer }, out);
        }
        self.settle(out);
        Ok(())
    }

    /// Tells the others that this node leaves for good; [`Output::LeaveSpread`] says when that is done.
    ///
    /// # Errors
    /// [`EngineError`] when the farewell cannot be signed.
    pub fn leave(&mut self, now: Duration, out: &mut Vec<Output>) -> Result<(), EngineError> {
        self.now = self.now.max(now);
        if self.phase != Phase::Running {
            return Err(EngineError::Leaving);
        }
        let Announcement { epoch, version, .. } = self.me.announcement;
        self.me = Record::sign(NodeInfo::clone(&self.me.info), epoch, version.saturating_add(1), true, &*self.attestor)?;
        self.phase = Phase::Leaving { rounds: FAREWELL_ROUNDS };
        self.leave_round(out);
        Ok(())
    }

    pub(super) fn leave_round(&mut self, out: &mut Vec<Output>) {
        let Phase::Leaving { rounds } = self.phase else { return };
        let peers = self.some_up(FAREWELLS);
        if rounds == 0 || peers.is_empty() {
            self.phase = Phase::Gone;
            out.push(Output::LeaveSpread);
            return;
        }
        self.phase = Phase::Leaving { rounds: rounds - 1 };
        for peer in peers {
            self.send(&peer, Message::Bodies { bodies: vec![self.me.signed.clone()] }, out);
        }
        self.timers.set(self.now + FAREWELL_PAUSE, Due::Leave);
    }

    /// Makes the node's statement anew, later than `(epoch, version)`.
    pub(super) fn restate(&mut self, epoch: u64, version: u64, out: &mut Vec<Output>) {
        let info = NodeInfo::clone(&self.me.info);
        match Record::sign(info, epoch, version.saturating_add(1), false, &*self.attestor) {
            Ok(record) => {
                self.me = record;
                self.news.spread(self.me.announcement.clone(), self.transmissions);
                out.push(Output::Event(MemberEvent::Updated(self.me.info.clone())));
            }
            Err(cause) => tracing::error!(%cause, "this node cannot renew what it says of itself"),
        }
    }

    fn is_wanted(&self, announcement: &Announcement) -> bool {
        let Announcement { node_id, epoch, version, .. } = announcement;
        if *node_id == self.me.announcement.node_id {
            return announcement.order() > self.me.announcement.order();
        }
        match self.records.get(node_id) {
            Some(known) => announcement.order() > known.announcement.order(),
            None => self.floors.get(node_id).is_none_or(|floor| (*epoch, *version) >= *floor),
        }
    }

    /// `from` has a statement; if it is news here, it is asked for it.
    pub(super) fn announced(&mut self, announcement: &Announcement, from: &NodeId) {
        if !self.is_wanted(announcement) {
            return;
        }
        let node_id = announcement.node_id.clone();
        if self.pending.get(&node_id).is_some_and(|pending| pending.sure) {
            return;
        }
        self.ask(node_id, from.clone(), true, 0);
    }

    /// A node is in a life of which it has said nothing yet that is known here.
    pub(super) fn want_life(&mut self, node_id: &NodeId) {
        let Some(seat) = self.seats.get(node_id) else { return };
        let known = self.records.get(node_id).is_some_and(|record| record.announcement.epoch >= seat.peer.epoch);
        if known || self.pending.contains_key(node_id) {
            return;
        }
        // Who spoke of it probably has it; asking the node itself would make everyone connect to it at once.
        let asked = self.from.clone().unwrap_or_else(|| node_id.clone());
        self.ask(node_id.clone(), asked, false, 0);
    }

    fn ask(&mut self, node_id: NodeId, asked: NodeId, sure: bool, tries: u32) {
        self.to_pull.entry(asked.clone()).or_default().insert(node_id.clone());
        self.pending.insert(node_id, Pending { asked, sure, since: self.now, tries });
        if !self.pulls_set {
            self.pulls_set = true;
            self.timers.set(self.now + PULL_PATIENCE, Due::Pulls);
        }
    }

    pub(super) fn send_pulls(&mut self, out: &mut Vec<Output>) {
        for (asked, ids) in std::mem::take(&mut self.to_pull) {
            let Some(peer) = self.seats.get(&asked).map(|seat| seat.peer.clone()) else { continue };
            // The same statement may have been asked for elsewhere within this very step.
            let current = |id: &NodeId| self.pending.get(id).is_some_and(|pending| pending.asked == asked);
            let ids: Vec<NodeId> = ids.into_iter().filter(current).collect();
            for ids in ids.chunks(MAX_IDS) {
                self.send(&peer, Message::Pull { ids: ids.to_vec() }, out);
            }
        }
    }

    pub(super) fn retry_pulls(&mut self) {
        self.pulls_set = false;
        let overdue = |pending: &Pending| self.now >= pending.since + PULL_PATIENCE;
        let late: Vec<(NodeId, NodeId, u32)> = self
            .pending
            .iter()
            .filter(|(_, pending)| overdue(pending))
            .map(|(id, pending)| (id.clone(), pending.asked.clone(), pending.tries + 1))
            .collect();
        for (node_id, asked, tries) in late {
            self.pending.remove(&node_id);
            let itself = self.seats.get(&node_id).is_some_and(|seat| seat.up) && asked != node_id;
            let next = if itself { Some(node_id.clone()) } else { self.some_up(1).pop().map(|peer| peer.node_id) };
            if let Some(next) = next.filter(|_| tries < MAX_TRIES) {
                self.ask(node_id, next, false, tries);
            }
        }
        if !self.pending.is_empty() && !self.pulls_set {
            self.pulls_set = true;
            self.timers.set(self.now + PULL_PATIENCE, Due::Pulls);
        }
    }

    pub(super) fn answer_pull(&mut self, sender: &Peer, ids: &[NodeId], out: &mut Vec<Output>) {
        if self.phase == Phase::Running {
            self.observe(sender, out);
        }
        let mut bodies = Vec::new();
        let mut size = 0;
        for id in ids.iter().take(MAX_IDS) {
            let signed = if *id == self.me.announcement.node_id {
                Some(&self.me.signed)
            } else {
                self.records.get(id).map(|record| &record.signed)
            };
            let Some(signed) = signed.cloned() else { continue };
            size += signed.message.len() + signed.attestation.len();
            bodies.push(signed);
            if size >= FRAME_GOAL {
                self.send(sender, Message::Bodies { bodies: std::mem::take(&mut bodies) }, out);
                size = 0;
            }
        }
        if !bodies.is_empty() {
            self.send(sender, Message::Bodies { bodies }, out);
        }
    }

    /// Takes in what nodes say of themselves. After what nobody can have written nothing more of the frame is looked at; what is only
    /// not believed here, and may be elsewhere, is passed over, a few times. What is missing then is asked for elsewhere.
    pub(super) fn take_bodies(&mut self, bodies: Vec<SignedBody>, out: &mut Vec<Output>) {
        let mut refused = 0;
        for signed in bodies {
            let Err(cause) = Record::read(signed).and_then(|record| self.take_body(record, out)) else { continue };
            self.counters.refused += 1;
            refused += 1;
            if self.is_worth_a_line() {
                tracing::warn!(from = ?self.from, %cause, "a node's statement was ignored; more of this from there is said once a minute");
            }
            if !cause.may_be_honest() || refused >= MAX_REFUSED {
                return;
            }
        }
    }

    fn take_body(&mut self, record: Record, out: &mut Vec<Output>) -> Result<(), BodyError> {
        if !self.is_wanted(&record.announcement) {
            let known = self.records.get(&record.announcement.node_id);
            if known.is_none_or(|known| known.is_newer_than(&record.announcement)) {
                self.counters.stale += 1;
            }
            return Ok(());
        }
        record.verify(&*self.attestor)?;
        let Announcement { node_id, epoch, version, .. } = record.announcement.clone();
        self.pending.remove(&node_id);
        if node_id == self.me.announcement.node_id {
            // This node's own signature under something later than it knows: its counter was lost, as after restoring a backup.
            let mine = self.swim.identity().clone();
            if epoch > mine.epoch {
                self.become_peer(Peer { epoch, bump: 0, ..mine }, out);
            }
            self.restate(epoch, version, out);
            return Ok(());
        }
        self.news.spread(record.announcement.clone(), self.transmissions);
        let left = record.left;
        self.records.insert(node_id.clone(), record);
        let ended = self.seats.get(&node_id).filter(|seat| left && seat.up && epoch >= seat.peer.epoch);
        if let Some(ended) = ended.map(|seat| seat.peer.clone()) {
            // Not spread as a death: the farewell spreads by itself, and says more.
            self.apply(vec![Member::new(ended, 0, State::Down)], false, out);
        }
        self.show(&node_id, true, out);
        Ok(())
    }
}
