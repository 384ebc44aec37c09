//! [`Due`]: when a call's time is over, worked out when somebody asks; and [`Deadline`], which remembers what was said.

use std::{sync::OnceLock, time::Duration};

use tokio::time::Instant;

use super::Stopwatch;

/// When a call's time is over.
///
/// Of a call that stays on its node it is how long it has, counted from when it began: its deadline is asked for only once it waits, and most
/// calls never do.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    own: Own,
    /// When the time of the call around it is over.
    outer: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Own {
    Until(Instant),
    For(Duration, Stopwatch),
}

impl Due {
    /// So long after it began.
    pub(crate) fn after(began: Stopwatch, time: Duration) -> Self {
        Self { own: Own::For(time, began), outer: None }
    }

    /// The same, or the end of the time of the call around it, where that is earlier.
    pub(crate) fn or_with(self, outer: Option<Instant>) -> Self {
        Self { outer, ..self }
    }

    /// The same, or so long after it began, where that is earlier.
    pub(crate) fn within(self, began: Stopwatch, limit: Option<Duration>) -> Self {
        let own = match (self.own, limit) {
            (own, None) => own,
            (Own::For(time, began), Some(limit)) => Own::For(time.min(limit), began),
            (Own::Until(deadline), Some(limit)) => Own::Until(deadline.min(after(began.began(), limit))),
        };
        Self { own, ..self }
    }

    /// The time of timers at which it is over. Worked out anew each time, and not the same where the counter by which the call is timed and the
    /// clock of timers do not run alike: whoever needs it more than once keeps it.
    pub fn deadline(&self) -> Instant {
        let own = match self.own {
            Own::Until(deadline) => deadline,
            Own::For(time, began) => after(began.began(), time),
        };
        self.outer.map_or(own, |outer| own.min(outer))
    }

    /// Whether it is worked out already, and so the same each time.
    fn is_settled(&self) -> bool {
        matches!(self.own, Own::Until(_))
    }
}

impl From<Instant> for Due {
    fn from(deadline: Instant) -> Self {
        Self { own: Own::Until(deadline), outer: None }
    }
}

/// A call's deadline: worked out when it is first asked for, and from then on the same for whoever asks, also of a clone.
#[derive(Debug)]
pub(super) struct Deadline {
    due: Due,
    settled: OnceLock<Instant>,
}

impl Deadline {
    /// The time of timers at which the call's time is over.
    pub(super) fn get(&self) -> Instant {
        if self.due.is_settled() { self.due.deadline() } else { *self.settled.get_or_init(|| self.due.deadline()) }
    }
}

impl From<Due> for Deadline {
    fn from(due: Due) -> Self {
        Self { due, settled: OnceLock::new() }
    }
}

/// It is settled before: else the two could come to say different times.
impl Clone for Deadline {
    fn clone(&self) -> Self {
        Self::from(Due::from(self.get()))
    }
}

/// A time in the future; where it lies beyond what the clock can say, one in thirty years.
pub(crate) fn after(began: Instant, time: Duration) -> Instant {
    const LONG: Duration = Duration::from_hours(30 * 365 * 24);
    began.checked_add(time).unwrap_or_else(|| began + LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earliest_of_all_limits_holds_whenever_it_is_asked_for() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let began = Stopwatch::start();
        tokio::time::advance(second / 2).await;
        for due in [Due::after(began, 5 * second), Due::from(now + 5 * second)] {
            assert_eq!(due.deadline(), now + 5 * second);
            assert_eq!(due.within(began, None).deadline(), now + 5 * second);
            assert_eq!(due.within(began, Some(3 * second)).deadline(), now + 3 * second);
            assert_eq!(due.within(began, Some(7 * second)).deadline(), now + 5 * second);
            assert_eq!(due.or_with(Some(now + second)).within(began, Some(3 * second)).deadline(), now + second);
            assert_eq!(due.or_with(Some(now + 9 * second)).deadline(), now + 5 * second);
        }
        assert!(Due::after(began, Duration::MAX).deadline() > now + Duration::from_hours(24 * 365));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_timed_by_the_counter_has_its_deadline_that_long_after_it_began() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let began = Stopwatch::counted();
        for (due, expected) in [
            (Due::after(began, 5 * second), now + 5 * second),
            (Due::after(began, 5 * second).within(began, Some(3 * second)), now + 3 * second),
            (Due::after(began, 5 * second).or_with(Some(now + second)), now + second),
        ] {
            let deadline = due.deadline();
            // The clock of timers is paused and the counter runs on, so that it comes earlier by what was counted until it was asked for.
            assert!(deadline <= expected && deadline + began.elapsed() >= expected, "{:?} early", expected - deadline);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_asked_for_stays_whatever_the_counter_does_after_that() {
        let began = Stopwatch::counted();
        let due = Due::after(began, Duration::from_secs(5));
        let deadline = Deadline::from(due);
        let (first, clone) = (deadline.get(), deadline.clone());
        // The clock of timers stands still meanwhile: to each other, the two jump.
        Stopwatch::let_the_counter_run(Duration::from_millis(1));
        assert!(due.deadline() < first, "worked out anew it would be another");
        assert_eq!([deadline.get(), deadline.clone().get(), clone.get()], [first; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clone_of_a_deadline_that_nobody_has_asked_for_says_the_same() {
        let deadline = Deadline::from(Due::after(Stopwatch::counted(), Duration::from_secs(5)));
        let clone = deadline.clone();
        Stopwatch::let_the_counter_run(Duration::from_millis(1));
        assert_eq!(deadline.get(), clone.get());
    }
}
