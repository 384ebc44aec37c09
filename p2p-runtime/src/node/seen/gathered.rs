//! Which nodes were seen, until that is written: many at a time, at most once a second, and again where a write has failed.
//!
//! A pure state machine: what is seen goes in, what is to be written and when comes out. The time is an argument.

use std::time::Duration;

use p2p_client::{protocol::NodeId, revocation::KeyHash};
use tokio::time::Instant;

/// A node, and the key by which it was seen.
pub(super) type Seen = (NodeId, KeyHash);

/// There is one write in so long.
pub(super) const BETWEEN: Duration = Duration::from_secs(1);
/// What could not be written is tried again after so long at the latest.
pub(super) const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// So many wait at most. Where more are seen meanwhile, all members are looked at instead.
pub(super) const MOST: usize = 4096;

/// What is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// These, in the order in which they were seen: of two keys of one node, the first one counts.
    pub(super) seen: Vec<Seen>,
    /// And everybody who is in the cluster by now.
    pub(super) everybody: bool,
}

/// What was seen and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    waits: Batch,
    /// Nothing is written before.
    not_before: Option<Instant>,
    failures: u32,
}

impl Gathered {
    /// A node was seen.
    pub(super) fn see(&mut self, seen: Seen) {
        if self.waits.seen.len() < MOST {
            self.waits.seen.push(seen);
        } else {
            self.waits.everybody = true;
        }
    }

    /// Everybody who is in the cluster is to be noted.
    pub(super) fn see_everybody(&mut self) {
        self.waits.everybody = true;
    }

    /// How long it is until something is to be written; `None` where nothing waits.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let due = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        (self.waits != Batch::default()).then_some(due)
    }

    /// Takes what waits, to be written now.
    pub(super) fn take(&mut self) -> Batch {
        std::mem::take(&mut self.waits)
    }

    /// What was taken is written.
    pub(super) fn written(&mut self, now: Instant) {
        self.failures = 0;
        self.not_before = Some(now + BETWEEN);
    }

    /// What was taken could not be written: it waits again, before what was seen since. Gives when it is tried again: ever later, up to a limit.
    pub(super) fn failed(&mut self, batch: Batch, now: Instant) -> Duration {
        let since = std::mem::replace(&mut self.waits, batch);
        self.waits.everybody |= since.everybody;
        for seen in since.seen {
            self.see(seen);
        }
        let pause = BETWEEN.saturating_mul(1 << self.failures.min(10)).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> Seen {
        (format!("w-{number}").parse().unwrap(), KeyHash::new([7; 32]))
    }

    fn seeing(numbers: std::ops::Range<usize>) -> Gathered {
        let mut gathered = Gathered::default();
        numbers.for_each(|number| gathered.see(node(number)));
        gathered
    }

    #[test]
    fn the_first_node_is_written_at_once_and_those_of_the_next_second_together() {
        let now = Instant::now();
        let mut gathered = seeing(0..0);
        assert_eq!(gathered.wait(now), None);
        gathered.see(node(0));
        assert_eq!(gathered.wait(now), Some(Duration::ZERO));
        assert_eq!(gathered.take(), Batch { seen: vec![node(0)], everybody: false });
        assert_eq!(gathered.wait(now), None);
        gathered.written(now);
        (1..1000).for_each(|number| gathered.see(node(number)));
        assert_eq!(gathered.wait(now), Some(BETWEEN));
        assert_eq!(gathered.wait(now + BETWEEN), Some(Duration::ZERO));
        assert_eq!(gathered.take().seen, (1..1000).map(node).collect::<Vec<_>>());
    }

    #[test]
    fn what_could_not_be_written_comes_first_again_ever_later_up_to_a_minute_until_it_is() {
        let now = Instant::now();
        let mut gathered = seeing(0..2);
        let mut pauses = Vec::new();
        for number in 2..10 {
            let batch = gathered.take();
            // While it was tried.
            gathered.see(node(number));
            pauses.push(gathered.failed(batch, now).as_secs());
            assert_eq!(gathered.wait(now), Some(Duration::from_secs(*pauses.last().unwrap())));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(gathered.take().seen, (0..10).map(node).collect::<Vec<_>>());
        gathered.written(now);
        gathered.see(node(10));
        assert_eq!(gathered.wait(now), Some(BETWEEN), "it is well again");
    }

    #[test]
    fn it_holds_so_many_and_looks_at_all_members_where_there_were_more() {
        let mut gathered = seeing(0..MOST);
        assert!(!gathered.waits.everybody);
        let batch = gathered.take();
        gathered.see(node(MOST));
        gathered.failed(batch, Instant::now());
        let batch = gathered.take();
        assert_eq!((batch.seen.len(), batch.everybody), (MOST, true));
        gathered.failed(batch, Instant::now());
        assert_eq!((gathered.waits.seen.len(), gathered.waits.everybody), (MOST, true), "it is still to be done");
    }
}
