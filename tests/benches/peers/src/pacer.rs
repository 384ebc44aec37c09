//! When the calls of an open loop begin: at random times, as those of many independent callers do.
//!
//! The times between two begins follow an exponential distribution, made from a seed. A call's latency counts from the time at which
//! it was due, so whatever it had to wait for, be it the pacer or a busy runtime, is in it.
//!
//! Where the client's thread has a core for itself, the pacer looks at the clock whenever the runtime has done what there was to do, and so
//! the thread never sleeps: to be woken ten thousand times a second by a timer costs a virtual machine up to half of a core, which would be
//! taken from the design that is measured. Where workers share the cores with the server, a pacer that never sleeps would take their time
//! instead, and the kernel's timer wakes it every [`TICK`].

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::{
    net::unix::pipe::Receiver,
    runtime::{Handle, RuntimeFlavor},
    task::yield_now,
};

/// How often calls that are due begin, where the pacer sleeps.
pub(crate) const TICK: Duration = Duration::from_micros(100);

/// Tells when calls are due.
pub(crate) struct Pacer {
    /// `None` where it does not sleep.
    timer: Option<Timer>,
    schedule: Schedule,
}

/// The kernel's timer, read as a pipe is: tokio has no type of its own for it.
struct Timer(Receiver);

impl Timer {
    fn new() -> Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: tick, it_value: tick })?;
        Ok(Self(Receiver::from_owned_fd_unchecked(timer).context("watching the pacer's timer")?))
    }

    async fn tick(&self) -> Result<()> {
        self.0.readable().await?;
        // How often the timer ran meanwhile does not matter: what is due is told by the clock.
        match self.0.try_read(&mut [0; 8]) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error).context("reading the pacer's timer"),
            _ => Ok(()),
        }
    }
}

impl Pacer {
    /// Begins now, with so many calls a second on average. Use it inside a tokio runtime.
    pub(crate) fn new(rate: f64, seed: u64) -> Result<Self> {
        ensure!(rate.is_finite() && rate > 0.0, "{rate} calls a second cannot be kept up; measure the design's capacity first");
        let sleeps = Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread;
        let timer = sleeps.then(Timer::new).transpose()?;
        Ok(Self { timer, schedule: Schedule { rate, random: seed, next: Instant::now() } })
    }

    /// Waits for its turn. Returns the times at which the calls that are due by then were due.
    pub(crate) async fn due(&mut self) -> Result<impl Iterator<Item = Instant>> {
        match &self.timer {
            Some(timer) => timer.tick().await?,
            None => yield_now().await,
        }
        Ok(self.schedule.until(Instant::now()))
    }
}

/// The times at which calls are due.
struct Schedule {
    rate: f64,
    random: u64,
    next: Instant,
}

impl Schedule {
    /// Those that have not been told and are not later than this one.
    fn until(&mut self, now: Instant) -> impl Iterator<Item = Instant> {
        std::iter::from_fn(move || {
            let due = self.next;
            (due <= now).then(|| {
                self.next = due + self.gap();
                due
            })
        })
    }

    /// The time from one call to the next.
    fn gap(&mut self) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.fraction()).ln() / self.rate)
    }

    /// A random number from 0 to under 1 (SplitMix64).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / 2_f64.powi(32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_calls_are_due_as_the_rate_says_and_never_one_before_its_time() {
        let seed = 7;
        println!("seed {seed}");
        let began = Instant::now();
        let mut schedule = Schedule { rate: 50_000.0, random: seed, next: began };
        let end = began + Duration::from_secs(2);
        let due: Vec<_> = schedule.until(end).collect();
        assert!((98_000..=102_000).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted() && due.iter().all(|&due| due <= end));
        assert!(schedule.until(end).next().is_none());
    }

    #[test]
    fn a_seed_gives_the_same_times_again() {
        let began = Instant::now();
        let gaps = || {
            let mut schedule = Schedule { rate: 1000.0, random: 42, next: began };
            schedule.until(began + Duration::from_millis(100)).collect::<Vec<_>>()
        };
        assert_eq!(gaps(), gaps());
    }

    #[tokio::test]
    async fn a_rate_of_nothing_is_refused() {
        assert!(Pacer::new(0.0, 1).is_err());
        assert!(Pacer::new(f64::NAN, 1).is_err());
    }

    async fn first_due() -> Vec<Instant> {
        let mut pacer = Pacer::new(100_000.0, 1).unwrap();
        loop {
            let due: Vec<_> = pacer.due().await.unwrap().collect();
            if !due.is_empty() {
                return due;
            }
        }
    }

    #[tokio::test]
    async fn the_pacer_tells_calls_that_are_due_where_it_has_a_core_for_itself() {
        assert!(first_due().await.iter().all(|due| due.elapsed() < Duration::from_secs(10)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_pacer_tells_calls_that_are_due_where_it_shares_the_cores() {
        assert!(first_due().await.iter().all(|due| due.elapsed() < Duration::from_secs(10)));
    }
}
