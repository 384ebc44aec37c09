//! [`PeerLoad`]: how busy a peer is, as seen from here, so that a call can go to the better of two.
//!
//! A call counts as under way from its sending to its end. How long it took is measured of one call in a millisecond at most: the clock
//! is read once more for these, and for no other. The mean forgets what is old within seconds, and takes a rise at once: the peak-sensitive
//! moving average ("peak EWMA") of Finagle's load balancers, <https://twitter.github.io/finagle/guide/Clients.html#load-balancing>.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    protocol::{ErrorCode, RpcError},
    wire::session::{Outcome, message::Answer},
};

use super::Failure;

/// After this time without a call, what was measured counts for a third (1/e) of what it did.
const MEMORY: Duration = Duration::from_secs(5);
/// Of two calls that begin within this time, one is measured.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(1);
/// Differences below this are those of threads and queues, not of hosts. Also what is assumed of a peer that was not measured yet.
const NOTHING: Duration = Duration::from_micros(100);
/// What a failure costs at least; each further one doubles the cost, as long as the earlier ones are not forgotten.
const FAILURE: Duration = Duration::from_millis(100);
/// The most that faults of a peer that answers cost.
const MOST_OF_A_FAULT: Duration = Duration::from_secs(1);
/// The most that a call is taken to cost.
const MOST: Duration = Duration::from_secs(30);

/// The calls under way to one peer, and how long calls to it take. Writing it takes no lock.
///
/// Two writers at once may lose one of two measurements; it is an estimate either way.
pub struct PeerLoad {
    /// What times are counted from.
    born: Instant,
    under_way: AtomicU32,
    /// The mean at the time of the last measurement, in nanoseconds.
    mean: AtomicU64,
    /// When that was, in nanoseconds.
    measured: AtomicU64,
    /// When a measured call began last, in nanoseconds, and one more; 0 before the first.
    sampled: AtomicU64,
    /// When a failure was counted last, in nanoseconds, and one more; 0 before the first.
    failed: AtomicU64,
}

impl PeerLoad {
    /// What the next call costs to a peer of which nothing is known.
    pub const COST_OF_THE_UNKNOWN: u64 = nanos(NOTHING);

    /// Nothing is known of the peer yet.
    pub fn new(now: Instant) -> Self {
        Self {
            born: now,
            under_way: AtomicU32::new(0),
            mean: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// What the next call would cost, to be compared with the same of other peers: the time of a call, once for each under way.
    pub fn cost(&self, now: Instant) -> u64 {
        let mean = self.mean_at(self.since_birth(now)).clamp(nanos(NOTHING), nanos(MOST));
        mean.saturating_mul(u64::from(self.under_way.load(Relaxed)) + 1)
    }

    /// A call begins. Says whether its time is to be measured.
    pub fn begin(&self, now: Instant) -> bool {
        self.under_way.fetch_add(1, Relaxed);
        let now = self.since_birth(now) + 1;
        let last = self.sampled.load(Relaxed);
        let is_sample = last == 0 || now.saturating_sub(last) >= nanos(BETWEEN_SAMPLES);
        if is_sample {
            self.sampled.store(now, Relaxed);
        }
        is_sample
    }

    /// A call ended, in whatever way.
    pub fn end(&self) {
        self.under_way.fetch_sub(1, Relaxed);
    }

    /// A call took this long.
    pub fn measure(&self, took: Duration, now: Instant) {
        let (now, took) = (self.since_birth(now), nanos(took.min(MOST)));
        let kept = share_kept(now.saturating_sub(self.measured.load(Relaxed)));
        // The share of the old that time alone would leave, so that frequent calls do not forget sooner.
        let falling = scaled(self.mean.load(Relaxed), kept).saturating_add(scaled(took, 1.0 - kept));
        let mean = if took >= self.mean_at(now) { took } else { falling };
        self.set(mean, now);
    }

    /// A call ended after this time because something is wrong with the peer. However fast that was, it is as bad as a failure, and gets worse
    /// with each further one: callers by the hundred would else find that still better than to stand in line at a peer that is well. It does not
    /// get as bad, as it may be about one method of many.
    pub fn measure_fault(&self, took: Duration, now: Instant) {
        let now = self.since_birth(now);
        let mean = self.mean_at(now);
        let is_counted = now.saturating_sub(self.measured.load(Relaxed)) < nanos(BETWEEN_SAMPLES);
        if is_counted && mean >= nanos(FAILURE) {
            return;
        }
        let worse = mean.saturating_mul(2).clamp(nanos(FAILURE), nanos(MOST_OF_A_FAULT));
        self.set(worse.max(mean).max(nanos(took.min(MOST))), now);
    }

    /// The peer could not be reached, or was lost with a call. All that fails at about the same time counts once: it was one connection.
    pub fn fail(&self, now: Instant) {
        let now = self.since_birth(now);
        let last = self.failed.load(Relaxed);
        if last != 0 && (now + 1).saturating_sub(last) < nanos(FAILURE) {
            return;
        }
        self.failed.store(now + 1, Relaxed);
        let doubled = self.mean_at(now).saturating_mul(2);
        self.set(doubled.clamp(nanos(FAILURE), nanos(MOST)), now);
    }

    fn set(&self, mean: u64, now: u64) {
        self.mean.store(mean, Relaxed);
        self.measured.store(now, Relaxed);
    }

    /// What is left of the mean.
    fn mean_at(&self, now: u64) -> u64 {
        let mean = self.mean.load(Relaxed);
        // Most peers are as good as can be told, and need no exponential.
        if mean <= nanos(NOTHING) { mean } else { scaled(mean, share_kept(now.saturating_sub(self.measured.load(Relaxed)))) }
    }

    fn since_birth(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.born))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a duration of 584 years")]
const fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// How much of a mean is kept after so many nanoseconds.
#[allow(clippy::cast_precision_loss, reason = "of an estimate")]
fn share_kept(passed: u64) -> f64 {
    (-(passed as f64) / nanos(MEMORY) as f64).exp()
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of an estimate, by 0 to 1"
)]
fn scaled(nanos: u64, share: f64) -> u64 {
    (nanos as f64 * share) as u64
}

impl fmt::Debug for PeerLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerLoad")
            .field("under_way", &self.under_way.load(Relaxed))
            .field("mean", &Duration::from_nanos(self.mean.load(Relaxed)))
            .finish_non_exhaustive()
    }
}

/// A call that is under way. Dropping it says that the call ended, and nothing of how long that took.
#[derive(Debug)]
pub struct UnderWay {
    load: Arc<PeerLoad>,
    /// Since when, if it is to be measured.
    since: Option<Instant>,
    stage: Stage,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its connection is still being opened.
    Connecting,
    /// This end held it back.
    HeldBack,
    /// It is sent.
    Sent,
}

impl UnderWay {
    /// A call that begins now.
    pub fn new(load: Arc<PeerLoad>, now: Instant) -> Self {
        let since = load.begin(now).then_some(now);
        Self { load, since, stage: Stage::Sent }
    }

    /// Its time says nothing of its peer: it is large, or went elsewhere before.
    pub fn is_unlike_others(&mut self) {
        self.since = None;
    }

    /// A connection is being opened for it first. If it ends before that is there, its peer could not be reached.
    pub fn connects(&mut self) {
        self.since = None;
        self.stage = Stage::Connecting;
    }

    /// The connection is there.
    pub fn is_connected(&mut self) {
        self.stage = Stage::Sent;
    }

    /// This end has enough of its kind at the peer, and does not send it. Whatever it ends with is not the peer's doing.
    pub fn is_held_back(&mut self) {
        self.stage = Stage::HeldBack;
    }

    /// It ended, which says this of its peer.
    pub fn ended(self, verdict: Verdict) {
        match verdict {
            Verdict::Nothing => {}
            _ if self.stage == Stage::HeldBack => {}
            _ if self.stage == Stage::Connecting => self.load.fail(Instant::now()),
            Verdict::Served => {
                if let Some(since) = self.since {
                    let now = Instant::now();
                    self.load.measure(now.saturating_duration_since(since), now);
                }
            }
            Verdict::Faulty => {
                let now = Instant::now();
                let took = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
                self.load.measure_fault(took, now);
            }
            Verdict::Failed => self.load.fail(Instant::now()),
        }
    }
}

/// What the end of a call says of the peer that it went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, if only with more than is taken here; or took all the time that there was.
    Served,
    /// It answered that something is wrong with itself.
    Faulty,
    /// It could not be reached, was lost, or serves no calls.
    Failed,
    /// Nothing.
    Nothing,
}

impl Verdict {
    /// What the outcome of a call on a session says.
    pub fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered(Answer::Error(error)) => Self::of_error(error),
            Outcome::Answered(_) | Outcome::Deadline => Self::Served,
            Outcome::Lost(_) => Self::Failed,
            // It is tried again, and counted then; or it was this end that held it back.
            Outcome::NotSent(_) | Outcome::Busy { .. } => Self::Nothing,
        }
    }

    /// What the end of a call says for which everything was tried at that peer.
    pub fn of_result<T>(result: &Result<T, Failure>) -> Self {
        match result {
            Err(Failure::Answered(error)) => Self::of_error(error),
            Err(Failure::NotSent(_) | Failure::Lost(_)) => Self::Failed,
            Ok(_) | Err(Failure::Deadline(_) | Failure::NotTaken(_)) => Self::Served,
            Err(Failure::NoRoute(_) | Failure::NotYet(_) | Failure::Incompatible(_)) => Self::Nothing,
        }
    }

    /// Refusals are a host's work; that it cannot do its work is its own fault, and it must not draw calls by saying so fast.
    fn of_error(error: &RpcError) -> Self {
        match error.code {
            ErrorCode::UNAVAILABLE => Self::Failed,
            ErrorCode::INTERNAL | ErrorCode::CANCELLED => Self::Faulty,
            _ => Self::Served,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.load.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn fresh() -> (PeerLoad, Instant) {
        let now = Instant::now();
        (PeerLoad::new(now), now)
    }

    #[test]
    fn each_call_under_way_costs_as_much_again() {
        let (load, now) = fresh();
        assert_eq!(load.cost(now), PeerLoad::COST_OF_THE_UNKNOWN);
        load.measure(20 * MS, now);
        let one = load.cost(now);
        assert_eq!(one, nanos(20 * MS));
        load.begin(now);
        load.begin(now);
        assert_eq!(load.cost(now), 3 * one);
        load.end();
        assert_eq!(load.cost(now), 2 * one);
    }

    #[test]
    fn a_rise_is_believed_at_once_and_a_fall_by_and_by() {
        let (load, now) = fresh();
        load.measure(2 * MS, now);
        load.measure(200 * MS, now);
        assert_eq!(load.cost(now), nanos(200 * MS));
        load.measure(2 * MS, now + MS);
        assert!(load.cost(now + MS) > nanos(190 * MS), "{load:?}");
        let later = now + 10 * MEMORY;
        load.measure(2 * MS, later);
        assert!(load.cost(later) < nanos(3 * MS), "{load:?}");
    }

    #[test]
    fn what_is_not_measured_again_is_forgotten() {
        let (load, now) = fresh();
        load.fail(now);
        assert_eq!(load.cost(now), nanos(FAILURE));
        let again = now + FAILURE;
        load.fail(again);
        assert!((nanos(19 * FAILURE / 10)..=nanos(2 * FAILURE)).contains(&load.cost(again)), "{load:?}");
        assert_eq!(load.cost(again + 20 * MEMORY), PeerLoad::COST_OF_THE_UNKNOWN);
        for failure in 2..100 {
            load.fail(now + failure * FAILURE);
        }
        assert_eq!(load.cost(now + 99 * FAILURE), nanos(MOST), "there is a bound");
    }

    #[test]
    fn what_fails_together_counts_once() {
        let (load, now) = fresh();
        for _ in 0..10 {
            load.fail(now);
        }
        load.fail(now + FAILURE - MS);
        assert_eq!(load.cost(now), nanos(FAILURE), "it was one connection");
    }

    #[test]
    fn a_fault_costs_as_much_as_a_failure_however_fast_it_came_and_more_with_each_up_to_a_bound() {
        let (load, now) = fresh();
        for _ in 0..10 {
            load.measure_fault(MS / 10, now);
        }
        assert_eq!(load.cost(now), nanos(FAILURE), "of those within a millisecond one counts");
        load.measure_fault(MS / 10, now + MS);
        assert!((nanos(19 * FAILURE / 10)..=nanos(2 * FAILURE)).contains(&load.cost(now + MS)), "{load:?}");
        for fault in 2..20 {
            load.measure_fault(MS / 10, now + fault * MS);
        }
        assert_eq!(load.cost(now + 19 * MS), nanos(MOST_OF_A_FAULT));
        load.measure_fault(3 * MOST_OF_A_FAULT, now + 20 * MS);
        assert_eq!(load.cost(now + 20 * MS), nanos(3 * MOST_OF_A_FAULT), "one that took longer costs what it took");
    }

    #[test]
    fn what_the_end_of_a_call_says_of_its_peer() {
        let answered = |code| Err::<(), _>(Failure::Answered(RpcError::new(code, "no")));
        for (result, verdict) in [
            (Ok(()), Verdict::Served),
            (answered(ErrorCode::SERVICE), Verdict::Served),
            (answered(ErrorCode::DENIED), Verdict::Served),
            (answered(ErrorCode::INVALID_PARAMS), Verdict::Served),
            (answered(ErrorCode::INTERNAL), Verdict::Faulty),
            (answered(ErrorCode::CANCELLED), Verdict::Faulty),
            (answered(ErrorCode::UNAVAILABLE), Verdict::Failed),
            (Err(Failure::NotSent("cut".to_owned())), Verdict::Failed),
            (Err(Failure::Lost("cut".to_owned())), Verdict::Failed),
            (Err(Failure::Deadline("a/b".to_owned())), Verdict::Served),
            (Err(Failure::NotTaken("too long".to_owned())), Verdict::Served),
            (Err(Failure::Incompatible("other".to_owned())), Verdict::Nothing),
        ] {
            assert_eq!(Verdict::of_result(&result), verdict, "{result:?}");
            if let Err(Failure::Answered(error)) = result {
                assert_eq!(Verdict::of_outcome(&Outcome::Answered(Answer::Error(error))), verdict);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_here_says_nothing_of_the_peer() {
        let load = Arc::new(PeerLoad::new(Instant::now()));
        let mut call = UnderWay::new(load.clone(), Instant::now());
        call.is_held_back();
        call.ended(Verdict::Failed);
        assert_eq!(load.cost(Instant::now()), PeerLoad::COST_OF_THE_UNKNOWN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_spent_on_connecting_is_a_failure_of_the_peer() {
        for is_connected in [false, true] {
            let load = Arc::new(PeerLoad::new(Instant::now()));
            let mut call = UnderWay::new(load.clone(), Instant::now());
            call.connects();
            if is_connected {
                call.is_connected();
            }
            call.ended(Verdict::Served);
            let cost = if is_connected { PeerLoad::COST_OF_THE_UNKNOWN } else { nanos(FAILURE) };
            assert_eq!(load.cost(Instant::now()), cost);
        }
    }

    #[test]
    fn one_call_in_a_millisecond_is_measured() {
        let (load, now) = fresh();
        assert!(load.begin(now));
        assert!(!load.begin(now));
        assert!(!load.begin(now + MS / 2));
        assert!(load.begin(now + MS));
        assert!(!load.begin(now + MS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_is_no_longer_under_way_and_was_not_measured() {
        let load = Arc::new(PeerLoad::new(Instant::now()));
        let call = UnderWay::new(load.clone(), Instant::now());
        assert_eq!(load.cost(Instant::now()), 2 * PeerLoad::COST_OF_THE_UNKNOWN);
        tokio::time::advance(7 * MS).await;
        drop(call);
        assert_eq!(load.cost(Instant::now()), PeerLoad::COST_OF_THE_UNKNOWN);
        let call = UnderWay::new(load.clone(), Instant::now());
        tokio::time::advance(7 * MS).await;
        call.ended(Verdict::Served);
        assert_eq!(load.cost(Instant::now()), nanos(7 * MS));
    }
}
