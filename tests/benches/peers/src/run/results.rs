//! What was measured, and the figures that are made of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    cases::{Case, Runtime},
    designs::Design,
    histogram::Histogram,
    load::Sample,
    report::version_of,
};

/// What a figure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) runtime: Runtime,
    pub(crate) case: Case,
    pub(crate) design: Design,
}

/// A measurement that gave no figures.
#[derive(Debug)]
pub(crate) struct Miss {
    pub(crate) cell: Cell,
    pub(crate) reason: String,
}

/// The measurements of a run.
#[derive(Default)]
pub(crate) struct Results {
    samples: BTreeMap<Cell, Vec<Sample>>,
    pub(crate) misses: Vec<Miss>,
}

impl Results {
    pub(super) fn add(&mut self, cell: Cell, sample: Sample) {
        self.samples.entry(cell).or_default().push(sample);
    }

    pub(super) fn miss(&mut self, cell: Cell, error: &anyhow::Error) {
        eprintln!("  {:<10} {:<15} failed: {error:#}", cell.case, cell.design);
        self.misses.push(Miss { cell, reason: format!("{error:#}") });
    }

    /// The share of the machine that other processes took while it was measured: on average, and at most.
    pub(crate) fn others(&self) -> (f64, f64) {
        let shares: Vec<f64> = self.samples.values().flatten().map(|sample| sample.others).collect();
        let count = number(u64::try_from(shares.len()).unwrap_or(u64::MAX)).max(1.0);
        (shares.iter().sum::<f64>() / count, shares.into_iter().fold(0.0, f64::max))
    }

    /// The figures, by runtime, case and design.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.samples.iter().filter_map(|(&cell, samples)| Row::new(cell, samples)).collect()
    }
}

/// Calls a second of one measurement.
pub(super) fn calls_per_s(sample: &Sample) -> f64 {
    number(sample.latencies.count()) / sample.seconds
}

/// The figures of a design in a case, over all rounds. This is an entry of the JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) design: Design,
    pub(crate) version: &'static str,
    pub(crate) runtime: Runtime,
    /// Calls at a time; 0 in the open loop.
    pub(crate) concurrency: u32,
    /// Bytes of the result's JSON.
    pub(crate) body_bytes: u32,
    pub(crate) calls_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of both processes.
    pub(crate) cpu_us_per_call: f64,
    pub(crate) case: Case,
    pub(crate) p999_us: f64,
    pub(crate) client_cpu_us_per_call: f64,
    pub(crate) server_cpu_us_per_call: f64,
    /// How far apart the rounds' `cpu_us_per_call` are: (most − least) ÷ that of all.
    pub(crate) cpu_spread: f64,
}

impl Row {
    /// `None` where nothing was counted.
    fn new(Cell { runtime, case, design }: Cell, samples: &[Sample]) -> Option<Self> {
        let mut latencies = Histogram::default();
        samples.iter().for_each(|sample| latencies.merge(&sample.latencies));
        let calls = number(latencies.count());
        let total = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
        let client_cpu_us_per_call = total(|sample| sample.client_cpu_us) / calls;
        let server_cpu_us_per_call = total(|sample| sample.server_cpu_us) / calls;
        let cpu_us_per_call = client_cpu_us_per_call + server_cpu_us_per_call;
        Some(Self {
            design,
            version: version_of(design.package()),
            runtime,
            concurrency: case.concurrency(),
            body_bytes: case.body().bytes(),
            calls_per_s: calls / total(|sample| sample.seconds),
            p50_us: latencies.percentile_us(0.5)?,
            p99_us: latencies.percentile_us(0.99)?,
            cpu_us_per_call,
            case,
            p999_us: latencies.percentile_us(0.999)?,
            client_cpu_us_per_call,
            server_cpu_us_per_call,
            cpu_spread: spread(samples) / cpu_us_per_call,
        })
    }

    /// Calls for each second of processor time, both processes together.
    pub(crate) fn calls_per_cpu_s(&self) -> f64 {
        1e6 / self.cpu_us_per_call
    }
}

/// Most minus least processor time of a call, among the rounds.
fn spread(samples: &[Sample]) -> f64 {
    let of_rounds = samples.iter().map(|sample| (sample.client_cpu_us + sample.server_cpu_us) / number(sample.latencies.count()));
    let (least, most) = of_rounds.fold((f64::INFINITY, 0.0_f64), |(least, most), us| (least.min(us), most.max(us)));
    most - least
}

#[allow(clippy::cast_precision_loss, reason = "a count of calls is far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::histogram::Recorder;

    const CELL: Cell = Cell { runtime: Runtime::CurrentThread, case: Case::Echo64, design: Design::P2p };

    fn sample(calls: u64, cpu_us: f64, latency_us: u64) -> Sample {
        let recorder = Recorder::new();
        (0..calls).for_each(|_| recorder.record(Duration::from_micros(latency_us)));
        Sample {
            seconds: 2.0,
            client_cpu_us: cpu_us * 0.25,
            server_cpu_us: cpu_us * 0.75,
            others: 0.0,
            latencies: recorder.counted(),
        }
    }

    fn assert_near(told: f64, meant: f64) {
        assert!((told - meant).abs() <= meant.abs() * 0.01, "{told} is not {meant}");
    }

    #[test]
    fn a_row_is_made_of_all_rounds_by_their_calls() {
        let row = Row::new(CELL, &[sample(100, 1000.0, 50), sample(300, 1000.0, 500)]).unwrap();
        assert_near(row.calls_per_s, 100.0);
        assert_near(row.cpu_us_per_call, 5.0);
        assert_near(row.client_cpu_us_per_call, 1.25);
        assert_near(row.server_cpu_us_per_call, 3.75);
        assert_near(row.calls_per_cpu_s(), 200_000.0);
        assert_near(row.p50_us, 500.0);
        // The rounds took 10 and 3.33 µs a call, all together 5.
        assert_near(row.cpu_spread, 4.0 / 3.0);
    }

    #[test]
    fn nothing_counted_gives_no_row() {
        assert_eq!(Row::new(CELL, &[Sample::default()]), None);
    }
}
