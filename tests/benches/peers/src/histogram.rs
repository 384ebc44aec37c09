//! Latencies: counted in buckets whose width is under one per cent of their value, so that any percentile costs the same.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Each power of two is cut into this many buckets.
const STEPS: u64 = 1 << STEP_BITS;
const STEP_BITS: u32 = 7;
/// The longest latency that is told apart from longer ones: 2^40 ns, some 18 minutes.
const LAST_BIT: u32 = 40;
#[allow(clippy::cast_possible_truncation, reason = "STEPS is 128")]
const BUCKETS: usize = (LAST_BIT - STEP_BITS + 2) as usize * STEPS as usize;

/// Counts latencies from many tasks at a time.
pub(crate) struct Recorder(Box<[AtomicU64]>);

impl Recorder {
    pub(crate) fn new() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Counts one latency.
    pub(crate) fn record(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn counted(&self) -> Histogram {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Histogram((0..).zip(counts).filter(|&(_, count)| count > 0).collect())
    }
}

/// Counted latencies: the buckets that are not empty, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Histogram(Vec<(u32, u64)>);

impl Histogram {
    /// How many latencies were counted.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|&(_, count)| count).sum()
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.0 {
            match self.0.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
                Ok(at) => self.0[at].1 += count,
                Err(at) => self.0.insert(at, (bucket, count)),
            }
        }
    }

    /// The latency in microseconds that this share of all calls did not exceed: 0.5 is the median. `None` where nothing was counted.
    pub(crate) fn percentile_us(&self, share: f64) -> Option<f64> {
        let total = self.count();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of calls"
        )]
        let wanted = ((total as f64 * share).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        self.0.iter().find_map(|&(bucket, count)| {
            seen += count;
            (seen >= wanted).then(|| middle(bucket) / 1000.0)
        })
    }
}

/// The bucket of a latency in nanoseconds.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.min((1 << (LAST_BIT + 1)) - 1);
    let shift = (nanos | 1).ilog2().saturating_sub(STEP_BITS);
    let index = u64::from(shift) * STEPS + (nanos >> shift);
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The middle of a bucket, in nanoseconds.
fn middle(bucket: u32) -> f64 {
    let shift = (bucket >> STEP_BITS).saturating_sub(1);
    let step = f64::from(bucket - (shift << STEP_BITS));
    let width = f64::from(1_u32 << shift.min(31)) * if shift > 31 { f64::from(1_u32 << (shift - 31)) } else { 1.0 };
    let half = if shift == 0 { 0.0 } else { width / 2.0 };
    step * width + half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(nanos: impl IntoIterator<Item = u64>) -> Histogram {
        let recorder = Recorder::new();
        nanos.into_iter().for_each(|nanos| recorder.record(Duration::from_nanos(nanos)));
        recorder.counted()
    }

    #[test]
    fn each_latency_is_found_again_within_one_per_cent() {
        for nanos in (0..41).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit) / 3, (2 << bit) - 1]) {
            let told = recorded([nanos]).percentile_us(0.5).unwrap() * 1000.0;
            let meant = f64::from(u32::try_from(nanos >> 10).unwrap()) * 1024.0 + f64::from(u32::try_from(nanos & 1023).unwrap());
            assert!((told - meant).abs() <= meant * 0.01, "{nanos} ns was told as {told}");
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = bucket(0);
        for nanos in 1..100_000 {
            let next = bucket(nanos);
            assert!(next == last || next == last + 1, "{nanos}");
            last = next;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_are_those_of_the_counted_latencies() {
        let histogram = recorded((1..=100).map(|number| number * 1000));
        for (share, meant) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.999, 100.0), (1.0, 100.0)] {
            let told = histogram.percentile_us(share).unwrap();
            assert!((told - meant).abs() <= meant * 0.01, "p{share} is {told}, not {meant}");
        }
    }

    #[test]
    fn nothing_counted_has_no_percentile() {
        assert_eq!(Histogram::default().percentile_us(0.5), None);
    }

    #[test]
    fn merging_counts_what_both_counted() {
        let (low, high) = (recorded([10, 20, 20]), recorded([20, 5_000]));
        let mut merged = high.clone();
        merged.merge(&low);
        assert_eq!(merged, recorded([10, 20, 20, 20, 5_000]));
        assert_eq!(merged.count(), 5);
    }
}
