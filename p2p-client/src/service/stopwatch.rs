//! [`Stopwatch`]: how long something took, at the least cost that the machine has.
//!
//! Every call is timed, and a look at the system's clock costs as much as a sixth of a call that stays on its node. The processor's own counter
//! costs a third of that. It takes a fraction of a second to find out how fast it runs; so only a process that makes many calls does, on a
//! thread beside them. Until then, and where there is no counter that can be relied upon, it is the system's clock.
//!
//! Where a clock may be paused (in tests), it is that of tokio from first to last.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use quanta::Clock;
use tokio::time::Instant;

/// After so many measurements it is worth knowing how fast the counter runs.
const MANY: u32 = 10_000;

/// The processor's counter, once it is known how fast it runs.
static COUNTER: OnceLock<Clock> = OnceLock::new();

/// The time that has passed since it was started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Began);

#[derive(Debug, Clone, Copy)]
enum Began {
    At(Instant),
    Counted(u64),
}

impl Stopwatch {
    /// Starts now.
    #[inline]
    pub(crate) fn start() -> Self {
        match counter() {
            Some(counter) => Self(Began::Counted(counter.raw())),
            None => Self(Began::At(Instant::now())),
        }
    }

    /// Was started then.
    pub(crate) fn since(began: Instant) -> Self {
        Self(Began::At(began))
    }

    /// How long it has run.
    #[inline]
    pub(crate) fn elapsed(&self) -> Duration {
        match (self.0, COUNTER.get()) {
            (Began::Counted(began), Some(counter)) => Duration::from_nanos(counter.delta_as_nanos(began, counter.raw())),
            (Began::Counted(_), None) => Duration::ZERO, // cannot be: it was counted
            (Began::At(began), _) => began.elapsed(),
        }
    }

    /// How long it had run then.
    #[inline]
    pub(crate) fn elapsed_until(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began())
    }

    /// When it was started, on the clock of timers.
    pub(crate) fn began(&self) -> Instant {
        match self.0 {
            Began::At(began) => began,
            Began::Counted(_) => {
                let now = Instant::now();
                now.checked_sub(self.elapsed()).unwrap_or(now)
            }
        }
    }
}

#[cfg(test)]
impl Stopwatch {
    /// Starts now, by the counter.
    pub(crate) fn counted() -> Self {
        Self(Began::Counted(COUNTER.get_or_init(Clock::new).raw()))
    }

    /// Waits until the counter has counted that long. (A clock that is paused stands still meanwhile.)
    pub(crate) fn let_the_counter_run(time: Duration) {
        let watch = Self::counted();
        while watch.elapsed() < time {
            std::hint::spin_loop();
        }
    }
}

/// The counter, if it is to be used.
#[inline]
fn counter() -> Option<&'static Clock> {
    if cfg!(any(test, feature = "testing")) {
        return None;
    }
    let counter = COUNTER.get();
    if counter.is_none() {
        get_to_know();
    }
    counter
}

/// Counts the measurements, and finds out about the counter once they are many.
#[cold]
fn get_to_know() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    if MADE.fetch_add(1, Relaxed) == MANY {
        let finding_out = || COUNTER.get_or_init(Clock::new);
        // Where there is no thread to be had, the system's clock does as well.
        let _detached = thread::Builder::new().name("p2p-clock".to_owned()).spawn(finding_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn under_a_paused_clock_it_runs_as_that_clock_does() {
        let (watch, began) = (Stopwatch::start(), Instant::now());
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(watch.elapsed(), Duration::from_secs(7));
        assert_eq!(watch.began(), began);
        assert_eq!(Stopwatch::since(began).elapsed(), Duration::from_secs(7));
    }

    #[test]
    fn by_the_counter_it_runs_as_the_clock_does() {
        // It takes a while to get to know the counter, which is not to be measured.
        let _known = Stopwatch::counted();
        let (before, watch, after) = (Instant::now(), Stopwatch::counted(), Instant::now());
        let least = Duration::from_millis(50);
        while after.elapsed() < least {
            std::hint::spin_loop();
        }
        // Both are asked one after the other, so that each lies between two times of the other. A tenth is for how well the counter is
        // known, also to a machine that was busy while it found out: another unit would be off by far more.
        let (shortest, measured, longest) = (after.elapsed(), watch.elapsed(), before.elapsed());
        assert!(measured >= shortest.mul_f64(0.9) && measured <= longest.mul_f64(1.1), "{shortest:?} {measured:?} {longest:?}");
        let began = watch.began();
        let slack = Duration::from_millis(50);
        assert!(began + slack >= before && began <= after + slack, "it began {:?} before", after - began);
    }
}
