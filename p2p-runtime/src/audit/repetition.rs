//! Which denials are written, and how often the others were: pure, with time coming from outside.
//!
//! | whose | lines in ten seconds | what bounds how many come |
//! |---|---|---|
//! | [of handshakes](Whose::Stranger) | 50 | nothing |
//! | [of the nameless](Whose::Nameless) | 100 | the rate limit, for each address |
//! | [of those with a name](Whose::Named) | 200 | the rate limit, for each name |
//!
//! Each has room of its own: who makes up names, tokens or addresses hides what others of his kind do at most.

use std::{collections::HashMap, time::Duration};

use p2p_client::audit::{Line, Outcome};
use tokio::time::Instant;

use super::HANDSHAKE;

/// The time over which repetitions are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// How many equal denials are written in that time.
const EQUAL: u32 = 5;
/// How many kinds of denials are told apart in that time. What comes beyond it is counted as one.
const KINDS: usize = 1_000;

/// What makes two denials the same: who was refused what, from where, and why. As a line, it is of bounded length.
pub(super) type Kind = Line;

/// Who was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Somebody who came no further than his handshake.
    Stranger,
    /// Somebody whose request was read, and who has no name, or showed a token that is not good.
    Nameless,
    /// Somebody with a name; or somebody else, where this node itself went.
    Named,
}

/// The denials of all.
#[derive(Debug)]
pub(super) struct Repetitions {
    strangers: Repetition,
    nameless: Repetition,
    named: Repetition,
}

impl Default for Repetitions {
    fn default() -> Self {
        Self {
            strangers: Repetition::new(50, HANDSHAKE),
            nameless: Repetition::new(100, "several"),
            named: Repetition::new(200, "several"),
        }
    }
}

impl Repetitions {
    /// Counts one. Whether it is written.
    pub(super) fn seen(&mut self, whose: Whose, kind: &Kind, now: Instant) -> bool {
        let repetition = match whose {
            Whose::Stranger => &mut self.strangers,
            Whose::Nameless => &mut self.nameless,
            Whose::Named => &mut self.named,
        };
        repetition.seen(kind, now)
    }

    /// Once the time is over: what was held back in it, and how often. The next time begins.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<(Kind, u64)> {
        [&mut self.strangers, &mut self.nameless, &mut self.named].into_iter().flat_map(|each| each.sweep(now)).collect()
    }
}

/// The denials of those who share room.
#[derive(Debug)]
struct Repetition {
    /// How many denials of all kinds are written in the time.
    most: u32,
    /// What is held back and is not told apart any more.
    others: Kind,
    began: Option<Instant>,
    written: u32,
    kinds: HashMap<Kind, Count>,
}

#[derive(Debug, Default)]
struct Count {
    written: u32,
    held_back: u64,
}

impl Repetition {
    /// Writes so many in the time. `what` was refused where it is not told apart any more.
    fn new(most: u32, what: &str) -> Self {
        let others = Line::new("several", what, Outcome::Denied).from("several");
        Self { most, others, began: None, written: 0, kinds: HashMap::new() }
    }

    fn seen(&mut self, kind: &Kind, now: Instant) -> bool {
        self.began.get_or_insert(now);
        let is_known = self.kinds.contains_key(kind);
        let is_room = self.written < self.most;
        if !is_known && (self.kinds.len() >= KINDS || !is_room) {
            self.kinds.entry(self.others.clone()).or_default().held_back += 1;
            return false;
        }
        let count = self.kinds.entry(kind.clone()).or_default();
        if is_room && count.written < EQUAL {
            count.written += 1;
            self.written += 1;
            return true;
        }
        count.held_back += 1;
        false
    }

    fn sweep(&mut self, now: Instant) -> Vec<(Kind, u64)> {
        if self.began.is_none_or(|began| now < began + WINDOW) {
            return Vec::new();
        }
        (self.began, self.written) = (None, 0);
        let counts = self.kinds.drain().map(|(kind, count)| (kind, count.held_back));
        let mut held_back: Vec<_> = counts.filter(|(_, held_back)| *held_back > 0).collect();
        // The most frequent are told by name; a thousand names would be a flood of their own.
        held_back.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rest: u64 = held_back.drain(held_back.len().min(20)..).map(|(_, count)| count).sum();
        if rest > 0 {
            held_back.push((self.others.clone(), rest));
        }
        held_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(who: &str) -> Kind {
        Line::new(who, "a/b", Outcome::Denied).from("10.0.0.1")
    }

    #[tokio::test(start_paused = true)]
    async fn equal_denials_are_written_a_few_times_and_counted_from_then_on() {
        let (mut repetition, start) = (Repetition::new(200, "several"), Instant::now());
        let written = (0..1_000).filter(|_| repetition.seen(&kind("x"), start)).count();
        assert_eq!(written, 5);
        assert!(repetition.seen(&kind("y"), start), "another is not held back by it");
        assert!(repetition.sweep(start + WINDOW - Duration::from_millis(1)).is_empty());
        assert_eq!(repetition.sweep(start + WINDOW), [(kind("x"), 995)]);
        assert!(repetition.seen(&kind("x"), start + WINDOW), "and is written again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_different_denials_is_bounded_in_lines_and_memory_and_all_are_counted() {
        let (mut repetition, start) = (Repetition::new(200, "several"), Instant::now());
        let written = (0..100_000).filter(|n| repetition.seen(&kind(&n.to_string()), start)).count();
        assert_eq!(written, 200);
        assert!(repetition.kinds.len() <= KINDS + 1);
        let counts = repetition.sweep(start + WINDOW);
        assert!(counts.len() <= 21);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 100_000 - 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_kind_of_callers_takes_no_room_of_the_others() {
        let (mut repetitions, start) = (Repetitions::default(), Instant::now());
        let all = [(Whose::Stranger, 50), (Whose::Nameless, 100), (Whose::Named, 200)];
        for (whose, most) in all {
            let written = (0..10_000).filter(|n| repetitions.seen(whose, &kind(&n.to_string()), start)).count();
            assert_eq!(written, most, "{whose:?}");
        }
        let counted: u64 = repetitions.sweep(start + WINDOW).iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 30_000 - 350);
        assert!(all.iter().all(|(whose, _)| repetitions.seen(*whose, &kind("x"), start + WINDOW)), "and there is room again");
    }
}
