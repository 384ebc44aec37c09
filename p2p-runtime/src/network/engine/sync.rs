//! Finding the cluster, and comparing what nodes know: what gossip missed is found here.
//!
//! A round sends this node's root hash to a few others. Who has another root answers with bucket hashes, or at once with its entries
//! where few are concerned; then both exchange the entries of the buckets that differ. Rounds follow each other fast
//! while something differs, and ever more slowly while nothing does.
//!
//! A node that joins does the same towards its seeds, and is known to them by its first frame.

use std::time::Duration;

use foca::{Member, State};

use super::{
    super::{
        digest::{BUCKETS, BucketSet, Digest, bucket_of},
        frame::{Entry, Frame, Message},
        peer::Peer,
        timers::Due,
    },
    Engine, Output, pick,
};

/// Entries in one frame, about 70 bytes each.
const MAX_ENTRIES: usize = 400;
/// Up to so many entries, sending them all costs less than sending all bucket hashes first.
const FEW: u64 = 32;
/// Rounds that may follow each other fast before they slow down although there are differences.
const MAX_HURRY: u32 = 20;
/// Seeds and saved peers that are tried at a time.
const TRIED_AT_ONCE: usize = 5;

impl Engine {
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Digest::new();
        digest.add(self.swim.identity(), Some(&self.me.announcement));
        for seat in self.seats.values().filter(|seat| seat.up) {
            digest.add(&seat.peer, self.records.get(&seat.peer.node_id).map(|record| &record.announcement));
        }
        digest
    }

    pub(super) fn digest_message(&self) -> Message {
        let digest = self.digest();
        Message::Digest { root: digest.root(), count: digest.count }
    }

    /// Looks for the cluster while alone; otherwise, from time to time, for a part of it that was lost from sight.
    pub(super) fn seek(&mut self, out: &mut Vec<Output>) {
        let message = self.digest_message();
        let alone = self.peers_up().next().is_none();
        let (tried, pause) = if alone {
            let contacts = pick(&mut self.rng, self.contacts.clone(), TRIED_AT_ONCE);
            let frame = Frame::Own { sender: self.swim.identity().clone(), message }.encode(self.config.compress_above);
            for to in contacts {
                self.hand_out(Output::Send { to, frame: frame.clone() }, out);
            }
            self.reach_some(TRIED_AT_ONCE, out);
            let pause = self.seek_pause;
            self.seek_pause = (pause * 2).min(self.config.seek_max);
            (TRIED_AT_ONCE, pause)
        } else {
            self.seek_pause = self.config.seek_min;
            (1, self.config.seek_max * 2)
        };
        let unseen = |seed: &&String| !self.peers_up().any(|peer| *peer.authority == ***seed);
        let seeds = self.seeds.iter().filter(unseen).cloned().collect();
        let sender = self.swim.identity().clone();
        let frame = Frame::Own { sender, message: self.digest_message() }.encode(self.config.compress_above);
        for authority in pick(&mut self.rng, seeds, tried) {
            self.hand_out(Output::SendSeed { authority, frame: frame.clone() }, out);
        }
        let pause = self.about(pause);
        self.seek_in(pause);
    }

    pub(super) fn seek_in(&mut self, pause: Duration) {
        self.seek_at = self.now + pause;
        self.timers.set(self.seek_at, Due::Seek);
    }

    /// Tries a dead node again, so that the halves of a split cluster find each other. All nodes together try a few times a second.
    pub(super) fn reach(&mut self, out: &mut Vec<Output>) {
        self.reach_some(1, out);
        let nodes = u32::try_from(self.seats.len()).unwrap_or(u32::MAX);
        let pause = (Duration::from_millis(50) * nodes.min(2000)).clamp(Duration::from_secs(2), Duration::from_mins(1));
        let pause = self.about(pause);
        self.timers.set(self.now + pause, Due::Reach);
    }

    fn reach_some(&mut self, count: usize, out: &mut Vec<Output>) {
        let left = |peer: &Peer| {
            self.records.get(&peer.node_id).is_some_and(|record| record.left && record.announcement.epoch >= peer.epoch)
        };
        let dead = self.seats.values().filter(|seat| !seat.up && !left(&seat.peer)).map(|seat| seat.peer.clone()).collect();
        for peer in pick(&mut self.rng, dead, count) {
            let message = self.digest_message();
            self.send(&peer, message, out);
        }
    }

    pub(super) fn sync_round(&mut self, out: &mut Vec<Output>) {
        let targets = if self.differing { self.config.sync_peers } else { self.config.sync_peers.min(2) };
        if self.differing && self.hurried < MAX_HURRY {
            self.hurried += 1;
            self.sync_pause = self.config.sync_joining;
        } else if self.differing || self.sync_pause < self.config.sync_min {
            self.sync_pause = self.config.sync_min;
        } else {
            self.hurried = 0;
            self.sync_pause = self.sync_pause.mul_f64(1.5).min(self.config.sync_max);
        }
        self.differing = false;
        for peer in self.some_up(targets) {
            let message = self.digest_message();
            self.send(&peer, message, out);
        }
        let pause = self.about(self.health.stretch(self.sync_pause));
        self.sync_in(pause);
    }

    fn sync_in(&mut self, pause: Duration) {
        self.sync_at = self.now + pause;
        self.timers.set(self.sync_at, Due::Sync);
    }

    /// Something differs: the next round comes soon.
    pub(super) fn hurry(&mut self) {
        self.differing = true;
        let soon = self.about(self.config.sync_joining);
        if self.hurried < MAX_HURRY && self.sync_at > self.now + soon {
            self.sync_in(soon);
        }
    }

    pub(super) fn compare(&mut self, sender: &Peer, root: u64, count: u64, out: &mut Vec<Output>) {
        let mine = self.digest();
        if mine.root() == root {
            return;
        }
        self.hurry();
        if mine.count.min(count) <= FEW || mine.count <= 2 * FEW {
            self.send_entries(sender, BucketSet::ALL, true, &[], out);
        } else {
            self.send(sender, Message::Buckets { buckets: mine.buckets }, out);
        }
    }

    pub(super) fn compare_buckets(&mut self, sender: &Peer, buckets: &[u64; BUCKETS], out: &mut Vec<Output>) {
        let differing = self.digest().differing(buckets);
        if !differing.is_empty() {
            self.hurry();
            self.send_entries(sender, differing, true, &[], out);
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let me = Entry {
            peer: self.swim.identity().clone(),
            incarnation: 0,
            state: State::Alive,
            body: Some(self.me.announcement.clone()),
        };
        let others = self.swim.iter_membership_state().filter(|member| member.id().node_id != self.me.announcement.node_id);
        std::iter::once(me).chain(others.map(|member| Entry {
            peer: member.id().clone(),
            incarnation: member.incarnation(),
            state: member.state(),
            body: self.records.get(&member.id().node_id).map(|record| record.announcement.clone()),
        }))
    }

    /// Sends what is known of some buckets, without what the other has just sent. What does not fit is left to the next rounds,
    /// which begin with another bucket.
    fn send_entries(&mut self, to: &Peer, buckets: BucketSet, ask: bool, sent: &[Entry], out: &mut Vec<Output>) {
        let mut by_bucket: Vec<Vec<Entry>> = vec![Vec::new(); BUCKETS];
        for entry in self.entries() {
            let bucket = bucket_of(&entry.peer.node_id);
            let same = |sent: &Entry| sent.peer == entry.peer && sent.body == entry.body && up(sent.state) == up(entry.state);
            if buckets.contains(bucket) && !sent.iter().any(same) {
                by_bucket[bucket].push(entry);
            }
        }
        let first = rand::RngExt::random_range(&mut self.rng, 0..BUCKETS);
        let (mut covered, mut entries) = (BucketSet::default(), Vec::new());
        for bucket in (first..BUCKETS).chain(0..first).filter(|bucket| buckets.contains(*bucket)) {
            if entries.len() + by_bucket[bucket].len() > MAX_ENTRIES && !entries.is_empty() {
                break;
            }
            entries.append(&mut by_bucket[bucket]);
            covered.insert(bucket);
        }
        if ask || !entries.is_empty() {
            self.send(to, Message::Entries { ask, buckets: covered, entries }, out);
        }
    }

    /// Takes in what another node knows. Its word is enough that a node lives (it will be probed), but not that one died.
    pub(super) fn learn(&mut self, sender: &Peer, ask: bool, buckets: BucketSet, entries: &[Entry], out: &mut Vec<Output>) {
        if ask || !entries.is_empty() {
            self.hurry();
        }
        let mut alive = Vec::new();
        for entry in entries {
            let peer = &entry.peer;
            if !self.is_plausible(peer) {
                self.counters.forged += 1;
                continue;
            }
            if peer.node_id == self.me.announcement.node_id {
                if peer.beats(self.swim.identity()) {
                    self.outlive(peer, out);
                } else if peer == self.swim.identity() && entry.state == State::Down {
                    self.apply(vec![Member::new(peer.clone(), entry.incarnation, State::Down)], true, out);
                }
            } else {
                match self.seats.get(&peer.node_id) {
                    None if up(entry.state) => alive.push(Member::new(peer.clone(), entry.incarnation, State::Alive)),
                    None => continue, // what this node has forgotten, or never knew, stays so
                    Some(seat) if up(entry.state) && peer.beats(&seat.peer) => {
                        alive.push(Member::new(peer.clone(), entry.incarnation, State::Alive));
                    }
                    Some(seat) if up(entry.state) && *peer == seat.peer && !seat.up => {
                        let node_id = peer.node_id.clone();
                        self.tell(&node_id, out);
                    }
                    Some(seat) if !up(entry.state) && seat.up && !seat.peer.beats(peer) => self.doubt(peer, out),
                    Some(_) => {}
                }
            }
            if let Some(body) = &entry.body {
                self.announced(body, &sender.node_id);
            }
        }
        // Much at once is a join or a healed split: the comparisons of others find the same, and gossip would drown.
        let spread = alive.len() <= 16;
        self.apply(alive, spread, out);
        if ask {
            self.send_entries(sender, buckets, false, entries, out);
        }
    }
}

fn up(state: State) -> bool {
    state != State::Down
}
