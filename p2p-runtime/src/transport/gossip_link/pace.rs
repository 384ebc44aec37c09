//! How many peers are dialled at a time.
//!
//! Where many nodes start at once, each has frames for all others within moments. Were all of them dialled together, their handshakes would
//! wait for each other at both ends until most have timed out, and the work on them was for nothing. So a node begins with a few, and dials
//! more at a time while connecting is quick, and fewer where it is slow. Peers wait for their turn meanwhile; one that comes by itself, as
//! half of them do, is not dialled at all.
//!
//! Peers that could not be reached have turns of their own, so that those who are known to be silent hold up nobody else. Each of many that go
//! silent at once still takes a turn of the others until its first dial has timed out. (To bound the wait for a turn is worse: nodes that start
//! together then dial without one, and their handshakes time out behind each other as before.)

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// So many are dialled at a time at first.
const FIRST: u32 = 8;
/// However slow connecting is, so many are.
const LEAST: u32 = 4;
/// However quick it is, so many are.
const MOST: u32 = 128;
/// So many quick ones make it one more at a time; of those that are at once, each does. A slow one makes it one less.
const QUICK_ONES: u32 = 4;
/// So many of those that could not be reached are dialled at a time, beside the others.
const SILENT: usize = 8;

/// Who is dialled when.
#[derive(Debug)]
pub(super) struct Pace {
    width: Mutex<Width>,
    turns: Semaphore,
    /// The turns of those that could not be reached before.
    for_silent: Semaphore,
}

/// A peer's turn. Its end says how long connecting took.
pub(super) struct Turn<'a> {
    pace: &'a Pace,
    permit: SemaphorePermit<'a>,
    /// Of one that could not be reached before nothing is learned: that it is silent was known.
    tells: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        let turns = Semaphore::new(FIRST as usize);
        Self { width: Mutex::new(Width { quarters: FIRST * QUICK_ONES }), turns, for_silent: Semaphore::new(SILENT) }
    }

    /// Waits for a peer's turn, first come, first served. Nobody closes the turns, so that there always is one.
    pub(super) async fn turn(&self, is_silent: bool) -> Option<Turn<'_>> {
        let turns = if is_silent { &self.for_silent } else { &self.turns };
        let permit = turns.acquire().await.ok()?;
        Some(Turn { pace: self, permit, tells: !is_silent })
    }
}

impl Turn<'_> {
    /// Connecting took so long, of the time that there is for it, or did not come to an end in that. (A turn that is dropped says nothing.)
    pub(super) fn ended(self, took: Duration, limit: Duration) {
        if !self.tells {
            return;
        }
        let mut width = self.pace.width.lock().unwrap_or_else(PoisonError::into_inner);
        let before = width.peers();
        width.learn(took, limit);
        match width.peers().cmp(&before) {
            std::cmp::Ordering::Greater => self.pace.turns.add_permits(1),
            std::cmp::Ordering::Less => self.permit.forget(),
            std::cmp::Ordering::Equal => {}
        }
    }
}

/// How many at a time.
#[derive(Debug)]
struct Width {
    /// In quarters of a peer, as [`QUICK_ONES`] says.
    quarters: u32,
}

impl Width {
    fn peers(&self) -> u32 {
        self.quarters / QUICK_ONES
    }

    /// A tenth of the time is at once: nobody is busy. Half of it is quick, as the way may be long. From three quarters on it is about to
    /// be too late.
    fn learn(&mut self, took: Duration, limit: Duration) {
        let more = match took {
            _ if took <= limit / 10 => QUICK_ONES,
            _ if took <= limit / 2 => 1,
            _ => 0,
        };
        let fewer = if took >= limit * 3 / 4 { QUICK_ONES } else { 0 };
        self.quarters = (self.quarters + more).saturating_sub(fewer).clamp(LEAST * QUICK_ONES, MOST * QUICK_ONES);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    /// How many turns there are now.
    fn free(pace: &Pace) -> usize {
        pace.turns.available_permits()
    }

    fn take(pace: &Pace) -> Turn<'_> {
        pace.turn(false).now_or_never().flatten().expect("a turn is free")
    }

    #[test]
    fn quick_connections_make_it_more_at_a_time_slow_ones_and_those_that_time_out_fewer_within_bounds() {
        let pace = Pace::new();
        for _ in 0..4 {
            take(&pace).ended(LIMIT / 2, LIMIT);
        }
        assert_eq!(free(&pace), 9, "four of half the time");
        take(&pace).ended(LIMIT / 10, LIMIT);
        assert_eq!(free(&pace), 10, "one that was at once");
        take(&pace).ended(LIMIT * 2 / 3, LIMIT);
        assert_eq!(free(&pace), 10, "neither quick nor slow");
        take(&pace).ended(LIMIT * 3 / 4, LIMIT);
        take(&pace).ended(LIMIT, LIMIT);
        assert_eq!(free(&pace), 8);
        for _ in 0..20 {
            take(&pace).ended(LIMIT, LIMIT);
        }
        assert_eq!(free(&pace), 4);
        for _ in 0..1000 {
            take(&pace).ended(LIMIT / 100, LIMIT);
        }
        assert_eq!(free(&pace), 128);
        drop(take(&pace));
        assert_eq!(free(&pace), 128, "one that says nothing changes nothing");
    }

    #[test]
    fn who_comes_when_all_turns_are_taken_waits_and_those_that_are_silent_hold_up_nobody_else() {
        let pace = Pace::new();
        let silent: Vec<_> = (0..8).map(|_| pace.turn(true).now_or_never().flatten()).collect();
        assert!(silent.iter().all(Option::is_some) && pace.turn(true).now_or_never().is_none());
        let mut turns: Vec<_> = (0..8).map(|_| take(&pace)).collect();
        let mut waiting = Box::pin(pace.turn(false));
        assert!(waiting.as_mut().now_or_never().is_none());
        turns.pop();
        assert!(waiting.now_or_never().is_some());
        for turn in silent.into_iter().flatten() {
            turn.ended(LIMIT, LIMIT);
        }
        drop(turns);
        assert_eq!(free(&pace), 8, "that they are silent was known");
    }
}
