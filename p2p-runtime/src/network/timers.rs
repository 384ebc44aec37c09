//! What the engine has to do later.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::peer::Peer;

/// Something that is due at a time.
#[derive(Debug, Clone)]
pub(super) enum Due {
    /// One of foca's own timers.
    Swim(foca::Timer<Peer>),
    /// Pass on what is new.
    Gossip,
    /// Compare with some others.
    Sync,
    /// Look for the cluster by its seeds.
    Seek,
    /// Try a dead node again.
    Reach,
    /// Ask again for statements that did not come.
    Pulls,
    /// A death heard of was not refuted.
    Doubt(Peer),
    /// Say once more that this node leaves.
    Leave,
}

struct Slot {
    at: Duration,
    order: u64,
    what: Due,
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Slot {}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A queue of timers, the earliest first; those of one moment in the order in which they were set.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Slot>>,
    order: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Duration, what: Due) {
        self.order += 1;
        self.heap.push(Reverse(Slot { at, order: self.order, what }));
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(slot)| slot.at)
    }

    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(slot)| slot.what)
    }

    /// Moves every timer back: the process stood still for `by`, and so must the deadlines it gave to others.
    pub(super) fn shift(&mut self, by: Duration) {
        let slots = std::mem::take(&mut self.heap);
        self.heap = slots.into_iter().map(|Reverse(slot)| Reverse(Slot { at: slot.at + by, ..slot })).collect();
    }
}
