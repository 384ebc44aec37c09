//! Who is alive: the shim around foca.
//!
//! foca is given its timers and messages and tells what it decided. Added here: the sender must be the certificate's node, a
//! suspicion's timer acts only while the suspicion stands, the suspect is told first, a refused connection is an early suspicion,
//! and a node that is itself slow grows patient.

use std::{
    collections::BTreeSet,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use bytes::Bytes;
use foca::{Member, Notification, Runtime, State, Timer};
use p2p_client::protocol::NodeId;

use super::{
    super::{MembershipConfig, body::Announcement, codec::peek, frame::Frame, peer::Peer, timers::Due},
    Engine, EngineError, Output, Seat, Swim,
};

/// The longest message of foca's, in bytes.
const MAX_MESSAGE: usize = 1400;
/// Bytes of announcements that ride on one of its messages.
const MAX_NEWS: usize = 1000;
/// Epochs count starts and bumps count returns. A life that is further ahead than this was made up.
const LEAP: u32 = 1 << 20;

/// What foca asked for during one call.
#[derive(Debug, Default)]
pub(super) struct Shim {
    sends: Vec<(Peer, Bytes)>,
    timers: Vec<(Timer<Peer>, Duration)>,
    notes: Vec<Note>,
}

#[derive(Debug)]
pub(super) enum Note {
    Up(Peer),
    Down(Peer),
    Renamed(Peer),
    ProbeFailed(Peer),
    Rejoined,
    Alone,
    Defunct,
}

impl Runtime<Peer> for Shim {
    fn notify(&mut self, notification: Notification<'_, Peer>) {
        self.notes.push(match notification {
            Notification::MemberUp(peer) => Note::Up(peer.clone()),
            Notification::MemberDown(peer) => Note::Down(peer.clone()),
            Notification::Rename(_, peer) => Note::Renamed(peer.clone()),
            Notification::ProbeFailed(_, peer) => Note::ProbeFailed(peer.clone()),
            Notification::Rejoin(_) => Note::Rejoined,
            Notification::Idle => Note::Alone,
            Notification::Defunct => Note::Defunct,
            Notification::Active | Notification::DataReceived(_) | Notification::DataSent(_) => return,
        });
    }

    fn send_to(&mut self, to: Peer, data: &[u8]) {
        self.sends.push((to, Bytes::copy_from_slice(data)));
    }

    fn submit_after(&mut self, event: Timer<Peer>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// How often a piece of news is sent by each node that has it: enough to reach all of `nodes` with high probability.
pub(super) fn transmissions(nodes: usize) -> u32 {
    // Four times the decimal digits is what SWIM implementations use; never fewer than 5, since small clusters lose frames too.
    let digits = nodes.max(1).ilog2() * 100 / 332 + 1;
    (digits * 4).clamp(5, 30)
}

pub(super) fn settings(config: &MembershipConfig, transmissions: u32) -> Result<foca::Config, EngineError> {
    if config.probe_rtt.is_zero() || config.probe_rtt >= config.probe_period {
        return Err(EngineError::Config("probe_rtt must be longer than zero and shorter than probe_period"));
    }
    if config.gossip_period.is_zero() || config.sync_joining.is_zero() || config.seek_min.is_zero() {
        return Err(EngineError::Config("gossip_period, sync_joining and seek_min must be longer than zero"));
    }
    if config.sync_min > config.sync_max || config.seek_min > config.seek_max {
        return Err(EngineError::Config("a shortest time is longer than its longest (sync_min/sync_max, seek_min/seek_max)"));
    }
    let indirect = NonZeroUsize::new(config.indirect_probes);
    let positive = "indirect_probes must be at least 1";
    let mut settings = foca::Config::simple();
    settings.probe_period = config.probe_period;
    settings.probe_rtt = config.probe_rtt;
    settings.num_indirect_probes = indirect.ok_or(EngineError::Config(positive))?;
    settings.max_transmissions = u8::try_from(transmissions).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN);
    settings.suspect_to_down_after = config.suspicion;
    settings.remove_down_after = Some(config.remove_down_after);
    settings.max_packet_size = NonZeroUsize::new(MAX_MESSAGE).ok_or(EngineError::Config(positive))?;
    settings.notify_down_members = true;
    // Comparison does better what these do; gossip runs only while there is news.
    settings.periodic_announce = None;
    settings.periodic_announce_to_down_members = None;
    settings.periodic_gossip = None;
    Ok(settings)
}

impl Engine {
    /// Lets foca act, then does what it asked for.
    pub(super) fn drive(&mut self, out: &mut Vec<Output>, act: impl FnOnce(&mut Swim, &mut Shim) -> Result<(), foca::Error>) {
        let mut shim = std::mem::take(&mut self.shim);
        if let Err(cause) = act(&mut self.swim, &mut shim) {
            self.counters.malformed += 1;
            tracing::debug!(%cause, "a membership message was ignored");
        }
        for (timer, after) in shim.timers.drain(..) {
            let after = match &timer {
                Timer::ProbeRandomMember(token) => {
                    self.swim_token = Some(*token);
                    self.health.stretch(after)
                }
                Timer::SendIndirectProbe { .. } => self.health.stretch(after),
                Timer::ChangeSuspectToDown { .. } => self.health.stretch_verdict(after),
                _ => after,
            };
            self.timers.set(self.now + after, Due::Swim(timer));
        }
        for (to, message) in shim.sends.drain(..) {
            let news = self.news.take(MAX_NEWS);
            let frame = Frame::Swim { news, message }.encode(self.config.compress_above);
            self.hand_out(Output::Send { to: to.addr(), frame }, out);
        }
        for note in shim.notes.drain(..) {
            self.note(note, out);
        }
        self.shim = shim;
    }

    pub(super) fn apply(&mut self, updates: Vec<Member<Peer>>, spread: bool, out: &mut Vec<Output>) {
        if !updates.is_empty() {
            self.drive(out, |swim, shim| swim.apply_many(updates.into_iter(), spread, shim));
        }
    }

    pub(super) fn note(&mut self, note: Note, out: &mut Vec<Output>) {
        match note {
            Note::Up(peer) => {
                if let Some(node_id) = self.seat(peer, Some(true)) {
                    self.differing = true;
                    if self.peers_up().nth(3).is_none() {
                        self.hurry(); // just found the cluster, or a small one
                    }
                    self.want_life(&node_id);
                    self.show(&node_id, false, out);
                    self.adapt();
                }
            }
            Note::Down(peer) => {
                if let Some(node_id) = self.seat(peer, Some(false)) {
                    self.show(&node_id, false, out);
                }
            }
            Note::Renamed(peer) => {
                if let Some(node_id) = self.seat(peer, None) {
                    self.want_life(&node_id);
                    if self.seats.get(&node_id).is_some_and(|seat| seat.suspected) {
                        self.check_suspicion(&BTreeSet::from([node_id]), out);
                    }
                }
            }
            Note::ProbeFailed(peer) => {
                self.probe_failed = true;
                // Where there are hardly any others, silence says nothing about this node.
                let silent = self.now > self.heard + 3 * self.config.probe_period;
                if silent && self.peers_up().nth(2).is_some() {
                    self.health.worse();
                }
                self.check_suspicion(&BTreeSet::from([peer.node_id.clone()]), out);
                self.tell(&peer.node_id, out);
            }
            Note::Rejoined => {
                self.counters.rejoins += 1;
                tracing::info!(identity = ?self.swim.identity(), "others took this node for dead; it came back");
                self.resume(out);
            }
            Note::Alone => {
                self.seek_pause = self.config.seek_min;
                self.seek_in(Duration::ZERO);
            }
            Note::Defunct => tracing::error!("this node can renew its membership no more; restart it"),
        }
    }

    /// Notes in which life a node is. This node itself has no seat.
    fn seat(&mut self, peer: Peer, up: Option<bool>) -> Option<NodeId> {
        if peer.node_id == self.me.announcement.node_id {
            return None;
        }
        let node_id = peer.node_id.clone();
        let fresh = Seat { peer: peer.clone(), up: false, suspected: false, shown: None, noticed: None };
        let is_expelled = self.is_expelled(&node_id);
        let seat = self.seats.entry(node_id.clone()).or_insert(fresh);
        seat.peer = peer;
        if let Some(up) = up {
            // Others, who have not heard yet that it was revoked, may still say that it is up.
            seat.up = up && !is_expelled;
            seat.suspected = false;
        }
        Some(node_id)
    }

    /// News must be repeated more often in a larger cluster.
    fn adapt(&mut self) {
        let wanted = transmissions(self.seats.len() + 1);
        if wanted != self.transmissions
            && let Ok(settings) = settings(&self.config, wanted)
            && self.swim.set_config(settings).is_ok()
        {
            self.transmissions = wanted;
        }
    }

    pub(super) fn swim_frame(&mut self, from: &NodeId, news: &[Announcement], message: &Bytes, out: &mut Vec<Output>) {
        let (header, updates) = match peek(message) {
            Ok(parts) => parts,
            Err(cause) => {
                self.counters.malformed += 1;
                tracing::debug!(%from, %cause, "a membership message was ignored");
                return;
            }
        };
        if header.src.node_id != *from {
            self.counters.forged += 1;
            if self.is_worth_a_line() {
                tracing::warn!(%from, claimed = %header.src.node_id, "a membership message in another node's name was ignored");
            }
            return;
        }
        if !updates.iter().map(Member::id).chain([&header.src]).all(|peer| self.is_plausible(peer)) {
            self.counters.forged += 1;
            if self.is_worth_a_line() {
                tracing::warn!(%from, "a membership message with an invented life of a node was ignored");
            }
            return;
        }
        let mut turned = BTreeSet::new();
        for update in &updates {
            let node_id = &update.id().node_id;
            if *node_id == self.me.announcement.node_id {
                if update.id().beats(self.swim.identity()) {
                    self.outlive(update.id(), out);
                } else if update.state() == State::Suspect && update.id() == self.swim.identity() {
                    self.health.worse();
                }
            } else if self.seats.get(node_id).is_some_and(|seat| seat.suspected != (update.state() == State::Suspect)) {
                turned.insert(node_id.clone());
            }
        }
        if self.seats.get(from).is_some_and(|seat| seat.suspected) {
            turned.insert(from.clone());
        }
        if header.dst.node_id == self.me.announcement.node_id && self.swim.identity().beats(&header.dst) {
            // The sender means an earlier life of this node, and foca will not answer for it.
            let digest = self.digest_message();
            self.send(&header.src, digest, out);
        }
        self.drive(out, |swim, shim| swim.handle_data(message, shim));
        self.check_suspicion(&turned, out);
        for announcement in news {
            self.announced(announcement, from);
        }
    }

    pub(super) fn swim_timer(&mut self, timer: Timer<Peer>, out: &mut Vec<Output>) {
        match &timer {
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } => {
                // foca 2.0 tells a member that refuted in time that it is dead: its timer must not fire then.
                let stands = self.held(&member_id.node_id).is_some_and(|held| {
                    held.id() == member_id && held.incarnation() == *incarnation && held.state() == State::Suspect
                });
                if !stands {
                    return;
                }
                self.drive(out, |swim, shim| swim.handle_timer(timer, shim));
            }
            Timer::ProbeRandomMember(_) => {
                self.probe_failed = false;
                self.drive(out, |swim, shim| swim.handle_timer(timer, shim));
                if !self.probe_failed {
                    self.health.better();
                }
            }
            Timer::RemoveDown(peer) => {
                let node_id = peer.node_id.clone();
                self.drive(out, |swim, shim| swim.handle_timer(timer, shim));
                if self.held(&node_id).is_none() && self.seats.remove(&node_id).is_some() {
                    if let Some(record) = self.records.remove(&node_id) {
                        let Announcement { epoch, version, .. } = record.announcement;
                        self.floors.insert(node_id.clone(), (epoch, version));
                    }
                    out.push(Output::Forgotten(node_id));
                }
            }
            _ => self.drive(out, |swim, shim| swim.handle_timer(timer, shim)),
        }
    }

    pub(super) fn gossip(&mut self, out: &mut Vec<Output>) {
        self.gossip_set = false;
        if self.peers_up().next().is_some() {
            self.drive(out, |swim, shim| swim.gossip(shim));
        }
    }

    /// What foca holds of a node.
    pub(super) fn held(&self, node_id: &NodeId) -> Option<&Member<Peer>> {
        self.swim.iter_membership_state().find(|member| member.id().node_id == *node_id)
    }

    /// foca does not tell of suspicions; they are read from its state after whatever may have changed them.
    fn check_suspicion(&mut self, node_ids: &BTreeSet<NodeId>, out: &mut Vec<Output>) {
        if node_ids.is_empty() {
            return;
        }
        let mut changed = Vec::new();
        for member in self.swim.iter_membership_state() {
            if node_ids.contains(&member.id().node_id)
                && let Some(seat) = self.seats.get_mut(&member.id().node_id)
                && seat.suspected != (member.state() == State::Suspect)
            {
                seat.suspected = !seat.suspected;
                changed.push(member.id().node_id.clone());
            }
        }
        for node_id in changed {
            self.show(&node_id, false, out);
        }
    }

    /// Others know a later life of this node than its own: its counter was lost, or somebody invented one.
    /// A frame tells of one at most: who told of ever later ones would have this node begin as many lives.
    pub(super) fn outlive(&mut self, known: &Peer, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.has_outlived, true) {
            return;
        }
        let mine = self.swim.identity().clone();
        let Some(bump) = known.bump.checked_add(1).filter(|_| self.is_plausible(known)) else {
            self.counters.forged += 1;
            if self.is_worth_a_line() {
                tracing::warn!(from = ?self.from, ?known, ?mine, "an invented later life of this node was ignored");
            }
            return;
        };
        if self.from.as_ref().is_none_or(|from| self.outlived.is_due_at(from, self.now)) {
            tracing::warn!(
                ?known,
                ?mine,
                "others know a later life of this node; it goes on from there (is its key used twice?)"
            );
        }
        self.become_peer(Peer { epoch: known.epoch, bump, ..mine }, out);
        if known.epoch > self.me.announcement.epoch {
            self.restate(known.epoch, self.me.announcement.version, out);
        }
    }

    /// Whether a node may have come to this life from the one in which it is known. Otherwise one liar could put the node's own
    /// counters out of its reach, and so keep it out of the cluster.
    pub(super) fn is_plausible(&self, peer: &Peer) -> bool {
        let known = if peer.node_id == self.me.announcement.node_id {
            self.swim.identity()
        } else if let Some(seat) = self.seats.get(&peer.node_id) {
            &seat.peer
        } else {
            return true;
        };
        let same_epoch = peer.epoch == known.epoch;
        let bump_from = if same_epoch { known.bump } else { 0 };
        peer.epoch <= known.epoch.saturating_add(LEAP.into()) && peer.bump <= bump_from.saturating_add(LEAP)
    }

    pub(super) fn become_peer(&mut self, peer: Peer, out: &mut Vec<Output>) {
        self.counters.rejoins += 1;
        self.drive(out, |swim, shim| swim.change_identity(peer, shim));
        self.resume(out);
    }

    /// In a new life foca probes nobody until a message reaches it, which may never happen where only its own get lost. Any
    /// application of updates, even of none, makes it begin.
    fn resume(&mut self, out: &mut Vec<Output>) {
        self.drive(out, |swim, shim| swim.apply_many(std::iter::empty(), true, shim));
        // Its timers of the former life are void, those of suspicions too.
        let suspects = self.swim.iter_membership_state().filter(|member| member.state() == State::Suspect);
        for (peer, incarnation) in suspects.map(|member| (member.id().clone(), member.incarnation())).collect::<Vec<_>>() {
            self.judge_later(peer, incarnation);
        }
    }

    /// Gives a suspect its time to refute.
    fn judge_later(&mut self, member_id: Peer, incarnation: u16) {
        if let Some(token) = self.swim_token {
            let verdict = Timer::ChangeSuspectToDown { member_id, incarnation, token };
            self.timers.set(self.now + self.health.stretch_verdict(self.config.suspicion), Due::Swim(verdict));
        }
    }

    /// Nobody listens where a node was: it is asked at once whether it lives, instead of when its turn to be probed comes.
    pub(super) fn suspect_early(&mut self, node_id: &NodeId, out: &mut Vec<Output>) {
        let Some(held) = self.held(node_id).filter(|held| held.state() == State::Alive).cloned() else { return };
        self.apply(vec![Member::new(held.id().clone(), held.incarnation(), State::Suspect)], true, out);
        self.check_suspicion(&BTreeSet::from([node_id.clone()]), out);
        self.tell(node_id, out);
        self.judge_later(held.id().clone(), held.incarnation());
    }
}
