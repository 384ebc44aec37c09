//! [`Metrics`]: what a service counts of its own, beside what is counted of its methods by itself.
//!
//! A metric is made when it is first named, and found by its name from then on; a service that counts much keeps the handle
//! ([`Counter`], [`Gauge`], [`Timer`]), which writes without looking anything up. There is a bound on how many names a service has, so
//! that names which are made of what callers send cannot fill the memory.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The most names that the metrics of one service have, all kinds together.
pub const MAX_METRICS: usize = 256;
/// The longest name of a metric, in bytes.
pub const MAX_METRIC_NAME: usize = 128;

/// The metrics of one service on one node: counters, gauges and timers by name. Clones are the same metrics.
///
/// ```
/// use p2p_client::service::{CallContext, Result};
///
/// async fn find(cx: &CallContext, key: &str) -> Result<Option<String>> {
///     let metrics = cx.metrics();
///     metrics.counter("lookups").add(1);
///     let _time = metrics.time("database"); // until it is dropped
///     Ok(None)
/// }
/// ```
///
/// They are shown in `/services`. Beyond [`MAX_METRICS`] names, and with a name of more than [`MAX_METRIC_NAME`] bytes, a metric works
/// and is shown nowhere; how many were left out so is shown instead.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    table: RwLock<Table>,
    left_out: AtomicU64,
}

#[derive(Default)]
struct Table {
    counters: Named<AtomicU64>,
    gauges: Named<AtomicU64>,
    timers: Named<Times>,
}

type Named<T> = BTreeMap<Box<str>, Arc<T>>;

/// What was recorded of a timer.
#[derive(Default)]
struct Times {
    count: AtomicU64,
    total_nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

impl Metrics {
    /// A counter: it only grows.
    pub fn counter(&self, name: &str) -> Counter {
        Counter(self.named(name, |table| &table.counters, |table| &mut table.counters))
    }

    /// A gauge: it has the value that it was last given.
    pub fn gauge(&self, name: &str) -> Gauge {
        Gauge(self.named(name, |table| &table.gauges, |table| &mut table.gauges))
    }

    /// A timer: how often something was done, and how long it took.
    pub fn timer(&self, name: &str) -> Timer {
        Timer(self.named(name, |table| &table.timers, |table| &mut table.timers))
    }

    /// Times what is done until the guard is dropped, also where that is by an error, a panic or the end of the call.
    pub fn time(&self, name: &str) -> Timing {
        self.timer(name).start()
    }

    /// All values now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        MetricsSnapshot {
            counters: values(&table.counters, |counter| counter.load(Relaxed)),
            gauges: values(&table.gauges, |gauge| f64::from_bits(gauge.load(Relaxed))),
            timers: values(&table.timers, Times::snapshot),
            left_out: self.0.left_out.load(Relaxed),
        }
    }

    fn named<T: Default>(
        &self,
        name: &str,
        of: impl Fn(&Table) -> &Named<T>,
        of_mut: impl Fn(&mut Table) -> &mut Named<T>,
    ) -> Arc<T> {
        let known = of(&self.0.table.read().unwrap_or_else(PoisonError::into_inner)).get(name).cloned();
        known.unwrap_or_else(|| self.add(name, of_mut))
    }

    fn add<T: Default>(&self, name: &str, of_mut: impl Fn(&mut Table) -> &mut Named<T>) -> Arc<T> {
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let fits = table.len() < MAX_METRICS && name.len() <= MAX_METRIC_NAME;
        let named = of_mut(&mut table);
        match named.get(name) {
            Some(known) => known.clone(),
            None if fits => named.entry(name.into()).or_default().clone(),
            None => {
                if self.0.left_out.fetch_add(1, Relaxed) == 0 {
                    let name: String = name.chars().take(MAX_METRIC_NAME).collect();
                    tracing::warn!(
                        name,
                        "a metric is left out: a service has at most {MAX_METRICS} names of {MAX_METRIC_NAME} bytes"
                    );
                }
                Arc::default()
            }
        }
    }
}

impl Table {
    fn len(&self) -> usize {
        self.counters.len() + self.gauges.len() + self.timers.len()
    }
}

fn values<T, V>(named: &Named<T>, value: impl Fn(&T) -> V) -> BTreeMap<String, V> {
    named.iter().map(|(name, cell)| (name.to_string(), value(cell))).collect()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// Counts what happens. Clones are the same counter.
#[derive(Debug, Clone)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many there were.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Says how much there is of something now. Clones are the same gauge.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// There is so much now. What is no finite number changes nothing.
    pub fn set(&self, value: f64) {
        if value.is_finite() {
            self.0.store(value.to_bits(), Relaxed);
        }
    }

    /// There is so much more, or less, than before.
    pub fn add(&self, more: f64) {
        let sum = |bits| Some(f64::from_bits(bits) + more).filter(|sum| sum.is_finite()).map(f64::to_bits);
        let _unchanged_if_not_finite = self.0.fetch_update(Relaxed, Relaxed, sum);
    }

    /// How much there is.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// Records how long something takes. Clones are the same timer.
#[derive(Clone)]
pub struct Timer(Arc<Times>);

impl Timer {
    /// It took this long.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.count.fetch_add(1, Relaxed);
        self.0.total_nanos.fetch_add(nanos, Relaxed);
        self.0.longest_nanos.fetch_max(nanos, Relaxed);
    }

    /// Times what is done until the guard is dropped.
    pub fn start(&self) -> Timing {
        Timing { timer: self.clone(), began: Instant::now() }
    }

    /// What was recorded.
    pub fn value(&self) -> TimerSnapshot {
        self.0.snapshot()
    }
}

impl Times {
    fn snapshot(&self) -> TimerSnapshot {
        let millis = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Relaxed)).as_secs_f64() * 1000.0;
        TimerSnapshot {
            count: self.count.load(Relaxed),
            total_ms: millis(&self.total_nanos),
            longest_ms: millis(&self.longest_nanos),
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

/// Something that is being timed. Its end is when this is dropped.
#[derive(Debug)]
#[must_use = "it times until it is dropped, which is at once where it has no name: `let _time = …`"]
pub struct Timing {
    timer: Timer,
    began: Instant,
}

impl Drop for Timing {
    fn drop(&mut self) {
        self.timer.record(self.began.elapsed());
    }
}

/// What the metrics of a service were at one moment, by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricsSnapshot {
    /// The counters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// The gauges.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gauges: BTreeMap<String, f64>,
    /// The timers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timers: BTreeMap<String, TimerSnapshot>,
    /// How often a metric was asked for that is not shown, as there were too many or its name was too long.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What was recorded of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TimerSnapshot {
    /// How often.
    pub count: u64,
    /// How long altogether, in milliseconds.
    pub total_ms: f64,
    /// How long at most, in milliseconds.
    pub longest_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_metric_is_found_by_its_name_and_kept_by_its_handle() {
        let metrics = Metrics::default();
        let requests = metrics.counter("requests");
        requests.add(2);
        metrics.clone().counter("requests").add(1);
        metrics.gauge("queue").set(4.0);
        metrics.gauge("queue").add(-1.5);
        metrics.timer("query").record(Duration::from_millis(5));
        let time = metrics.time("query");
        tokio::time::advance(Duration::from_millis(20)).await;
        drop(time);
        assert_eq!((requests.value(), metrics.gauge("queue").value()), (3, 2.5));
        let query = TimerSnapshot { count: 2, total_ms: 25.0, longest_ms: 20.0 };
        assert_eq!(metrics.timer("query").value(), query);
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.counters, BTreeMap::from([("requests".to_owned(), 3)]));
        assert_eq!(snapshot.gauges, BTreeMap::from([("queue".to_owned(), 2.5)]));
        assert_eq!(snapshot.timers, BTreeMap::from([("query".to_owned(), query)]));
        let json = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<MetricsSnapshot>(&json).unwrap(), snapshot);
    }

    #[test]
    fn one_name_may_be_that_of_a_counter_and_of_a_timer() {
        let metrics = Metrics::default();
        metrics.counter("jobs").add(1);
        metrics.timer("jobs").record(Duration::ZERO);
        assert_eq!((metrics.counter("jobs").value(), metrics.timer("jobs").value().count), (1, 1));
    }

    #[test]
    fn names_beyond_the_bound_are_counted_and_not_kept() {
        let metrics = Metrics::default();
        for number in 0..MAX_METRICS + 44 {
            metrics.counter(&format!("request-{number}")).add(1);
        }
        metrics.gauge(&"x".repeat(MAX_METRIC_NAME + 1)).set(1.0);
        metrics.counter("request-0").add(1);
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.counters.len(), snapshot.gauges.len(), snapshot.left_out), (MAX_METRICS, 0, 45));
        assert_eq!(snapshot.counters["request-0"], 2, "those that were there first still count");
    }

    #[test]
    fn what_is_no_finite_number_does_not_change_a_gauge() {
        let gauge = Metrics::default().gauge("load");
        gauge.set(1.0);
        gauge.set(f64::NAN);
        gauge.add(f64::INFINITY);
        assert_eq!(gauge.value().to_bits(), 1.0_f64.to_bits());
    }
}
