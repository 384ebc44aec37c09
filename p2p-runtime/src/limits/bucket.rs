//! One token bucket, as a pure function of time.
//!
//! It is kept as one number, the time at which it is full again ("theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371,
//! annex A): every call moves that time on by what a call takes to be made good, and a call that would move it further ahead than the burst
//! is refused and moves nothing. Times are nanoseconds since whatever moment the caller counts from.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

const MINUTE: u64 = 60_000_000_000;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Nanoseconds until a call is made good. Zero where nothing is limited.
    interval: u64,
    /// How far ahead a bucket may be drawn, in nanoseconds.
    burst: u64,
}

impl Rate {
    /// Limits nothing.
    pub(crate) const UNLIMITED: Self = Self { interval: 0, burst: 0 };

    /// So many calls a minute in the long run, and so many at once. Zero of either counts as one.
    pub(crate) fn per_minute(calls: u64, burst: u64) -> Self {
        let interval = (MINUTE / calls.max(1)).max(1);
        Self { interval, burst: interval.saturating_mul(burst.max(1)) }
    }

    /// Draws a call from a bucket that is full again at `full_at`: gives when it will then be full.
    ///
    /// # Errors
    /// How many nanoseconds until there is a call in it.
    pub(super) fn draw(self, full_at: u64, now: u64) -> Result<u64, u64> {
        let then = full_at.max(now).saturating_add(self.interval);
        match then.saturating_sub(now).checked_sub(self.burst) {
            None | Some(0) => Ok(then),
            Some(_) if self.interval == 0 => Ok(full_at),
            Some(wait) => Err(wait),
        }
    }
}

/// A bucket that several tasks draw from, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    full_at: AtomicU64,
}

impl Bucket {
    /// Draws a call.
    ///
    /// # Errors
    /// How long until there is one.
    pub(crate) fn draw(&self, rate: Rate, now: u64) -> Result<(), Duration> {
        if rate.interval == 0 {
            return Ok(());
        }
        let mut seen = self.full_at.load(Relaxed);
        loop {
            let then = rate.draw(seen, now).map_err(Duration::from_nanos)?;
            match self.full_at.compare_exchange_weak(seen, then, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => seen = other,
            }
        }
    }

    /// Whether it is full: then it is as good as a new one.
    pub(crate) fn is_full(&self, now: u64) -> bool {
        self.full_at.load(Relaxed) <= now
    }
}

/// A rate that can be changed while others read it.
#[derive(Debug)]
pub(crate) struct SharedRate {
    interval: AtomicU64,
    burst: AtomicU64,
}

impl SharedRate {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { interval: rate.interval.into(), burst: rate.burst.into() }
    }

    pub(crate) fn set(&self, rate: Rate) {
        self.interval.store(rate.interval, Relaxed);
        self.burst.store(rate.burst, Relaxed);
    }

    /// The rate. While it is being changed, one call may see half of the change.
    pub(crate) fn get(&self) -> Rate {
        Rate { interval: self.interval.load(Relaxed), burst: self.burst.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_taken_at_once_and_then_one_call_each_time_that_one_is_made_good() {
        let (rate, bucket) = (Rate::per_minute(60, 3), Bucket::default());
        let start = 100 * SECOND;
        assert!((0..3).all(|_| bucket.draw(rate, start).is_ok()));
        assert_eq!(bucket.draw(rate, start), Err(Duration::from_secs(1)));
        assert_eq!(bucket.draw(rate, start + SECOND / 2), Err(Duration::from_millis(500)), "being refused costs nothing");
        assert_eq!(bucket.draw(rate, start + SECOND), Ok(()));
        assert!(bucket.draw(rate, start + SECOND).is_err());
        assert!(!bucket.is_full(start + 3 * SECOND) && bucket.is_full(start + 4 * SECOND));
        assert!((0..3).all(|_| bucket.draw(rate, start + 1_000 * SECOND).is_ok()), "no more than the burst is saved up");
        assert!(bucket.draw(rate, start + 1_000 * SECOND).is_err());
    }

    #[test]
    fn whoever_comes_when_told_to_is_served() {
        let (rate, bucket) = (Rate::per_minute(7, 2), Bucket::default());
        let mut now = 5;
        for _ in 0..1_000 {
            if let Err(wait) = bucket.draw(rate, now) {
                now += u64::try_from(wait.as_nanos()).unwrap();
                assert_eq!(bucket.draw(rate, now), Ok(()));
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_line_are_no_trouble() {
        let rate = Rate::per_minute(u64::MAX, u64::MAX);
        assert_eq!(rate.draw(u64::MAX, u64::MAX), Ok(u64::MAX));
        assert_eq!(Rate::per_minute(0, 0).draw(0, 0), Ok(MINUTE));
        assert!(Rate::per_minute(0, 0).draw(MINUTE, 0).is_err());
        let bucket = Bucket::default();
        assert!((0..1_000).all(|_| bucket.draw(Rate::UNLIMITED, 0).is_ok()));
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let (rate, bucket) = (Rate::per_minute(60, 1_000), Bucket::default());
        let taken = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1_000).filter(|_| bucket.draw(rate, 1).is_ok()).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1_000);
    }
}
