//! A run: which cells are measured, in which order, and what is made of them.
//!
//! ```text
//! round -> runtime -> a server and a client process for each design -> case -> design: one measurement
//! ```
//! All designs of a case are measured one after the other, in reverse order in every second round, with processes of their own in
//! each round: what drifts on the machine meets all of them alike.

mod pair;
mod results;

use std::{collections::HashMap, fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

pub(crate) use results::{Cell, Miss, Results, Row};

use self::pair::Pair;
use crate::{
    cases::{CAPACITY_STEP, Case, HELD, Load, OPEN_LOOP_SHARE, QUICK_CAPACITY_STEP, Runtime, Times},
    cpu,
    designs::Design,
    messages::Order,
    report::{self, Circumstances},
    tls,
};

/// After so many steps downwards a design's capacity is not looked for any further. They reach a fifth of where they began.
const MOST_STEPS: u32 = 10;
/// The same of a quick run, whose steps are larger.
const QUICK_STEPS: u32 = 4;

/// What is measured, and where it is written.
#[derive(Args)]
pub(crate) struct Options {
    /// Ends within four minutes: two rounds of a second each, and two workers only where something must hold of them.
    #[arg(long)]
    quick: bool,
    /// Writes the figures here, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws calls per CPU-second here, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measures only these designs.
    #[arg(long, value_delimiter = ',', value_name = "DESIGN,…")]
    only: Vec<Design>,
    /// Measures only these cases.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    case: Vec<Case>,
    /// Measures only on these runtimes.
    #[arg(long, value_delimiter = ',', value_name = "RUNTIME,…")]
    runtime: Vec<Runtime>,
    /// How many rounds; 4, or 2 if quick.
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// How long each measurement counts, in seconds; 3, or 1 if quick.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// What the open loop's random times are made from.
    #[arg(long, default_value_t = 20_261_122)]
    seed: u64,
}

impl Options {
    fn times(&self) -> Result<Times> {
        let measured = Duration::try_from_secs_f64(self.seconds.unwrap_or(if self.quick { 1.0 } else { 3.0 }))
            .context("--seconds takes a positive number, such as 1.5")?;
        ensure!(measured >= Duration::from_millis(100), "--seconds must be at least 0.1; less is mostly noise");
        Ok(Times { warm_up: Duration::from_millis(if self.quick { 300 } else { 700 }), measured })
    }

    /// How a design's capacity is looked for: in how many steps at most, each of which is this share of the rate before.
    fn search(&self) -> (u32, f64) {
        if self.quick { (QUICK_STEPS, QUICK_CAPACITY_STEP) } else { (MOST_STEPS, CAPACITY_STEP) }
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 4 }).max(1)
    }

    /// The designs of a case on a runtime, in their usual order.
    fn designs(&self, runtime: Runtime, case: Case) -> Vec<Design> {
        let left_out = self.quick && runtime == Runtime::TwoWorkers && !matches!(case, Case::Echo64 | Case::Echo512);
        let wanted = |design: &Design| (self.only.is_empty() || self.only.contains(design)) && case.takes(*design);
        let wanted_case = (self.case.is_empty() || self.case.contains(&case)) && !left_out;
        Design::value_variants().iter().copied().filter(|design| wanted_case && wanted(design)).collect()
    }

    fn runtimes(&self) -> Vec<Runtime> {
        Runtime::ALL.into_iter().filter(|runtime| self.runtime.is_empty() || self.runtime.contains(runtime)).collect()
    }
}

/// Measures, prints the tables, writes the files. Succeeds if every measurement gave figures, whether or not the targets hold.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let cores = cpu::cores()?;
    let &[first, second, ..] = cores.as_slice() else {
        anyhow::bail!("server and client need a core each, and this process may use only {cores:?}; run it with two at least");
    };
    let dir = tempfile::tempdir().context("making a folder for certificates and nodes")?;
    tls::create(dir.path())?;
    let mut run = Run {
        options,
        times: options.times()?,
        cores: [first, second],
        certificates: dir.path().to_owned(),
        results: Results::default(),
    };
    for round in 0..options.rounds() {
        for runtime in options.runtimes() {
            run.round(round, runtime);
        }
    }
    let results = run.results;
    let rows = results.rows();
    ensure!(
        !rows.is_empty() || !results.misses.is_empty(),
        "nothing was chosen to be measured; loosen --only, --case or --runtime"
    );
    print!(
        "{}",
        report::text(
            &rows,
            &results.misses,
            &Circumstances { rounds: options.rounds(), seed: options.seed, others: results.others() }
        )
    );
    if let Some(path) = &options.json {
        fs::write(path, report::json(&rows)?).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &options.plot {
        fs::write(path, report::plot(&rows)).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if results.misses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Run<'a> {
    options: &'a Options,
    times: Times,
    cores: [usize; 2],
    certificates: PathBuf,
    results: Results,
}

impl Run<'_> {
    fn round(&mut self, round: u32, runtime: Runtime) {
        eprintln!("round {} of {}, {runtime}", round + 1, self.options.rounds());
        let mut pairs = self.start_pairs(runtime);
        for case in Case::ALL {
            let mut designs = self.options.designs(runtime, case);
            if round % 2 == 1 {
                designs.reverse();
            }
            for design in designs {
                if let Some(pair) = pairs.get_mut(&design.server()) {
                    let cell = Cell { runtime, case, design };
                    if let Err(error) = self.measure(pair, cell, round) {
                        self.results.miss(cell, &error);
                    }
                }
            }
        }
    }

    /// Starts the processes of every design that takes part.
    fn start_pairs(&mut self, runtime: Runtime) -> HashMap<Design, Pair> {
        let (mut pairs, mut failed) = (HashMap::new(), Vec::<(Design, anyhow::Error)>::new());
        let cells: Vec<_> = Case::ALL
            .into_iter()
            .flat_map(|case| self.options.designs(runtime, case).into_iter().map(move |design| Cell { runtime, case, design }))
            .collect();
        for server in cells.iter().map(|cell| cell.design.server()) {
            if pairs.contains_key(&server) || failed.iter().any(|(of, _)| *of == server) {
                continue;
            }
            match Pair::start(server, runtime, self.cores, &self.certificates) {
                Ok(pair) => {
                    pairs.insert(server, pair);
                }
                Err(error) => failed.push((server, error)),
            }
        }
        for (server, error) in failed {
            for &cell in cells.iter().filter(|cell| cell.design.server() == server) {
                self.results.miss(cell, &error);
            }
        }
        pairs
    }

    fn measure(&mut self, pair: &mut Pair, cell: Cell, round: u32) -> Result<()> {
        let Cell { case, design, .. } = cell;
        let load = match case {
            Case::OpenLoop => self.open_loop(pair, design, round)?,
            Case::Mixed => Load::Mixed { callers: case.concurrency() },
            _ => Load::Closed { body: case.body(), callers: case.concurrency() },
        };
        let sample = pair.measure(Order { design, load, times: self.times })?;
        let calls_per_s = results::calls_per_s(&sample);
        eprintln!("  {case:<10} {design:<15} {calls_per_s:>10.0} calls/s");
        self.results.add(cell, sample);
        Ok(())
    }

    /// The open loop of a design: at its share of what it holds just before.
    fn open_loop(&self, pair: &mut Pair, design: Design, round: u32) -> Result<Load> {
        let seed = self.options.seed + u64::from(round);
        let capacity = self.capacity(pair, design, seed)?;
        Ok(Load::Open { rate: capacity * OPEN_LOOP_SHARE, seed })
    }

    /// The highest rate that an open loop of the design holds, looked for in steps downwards from what it does with 512 callers. Those are no
    /// measure by themselves: each call of an open loop is a new task, and comes by itself and not with hundreds of others.
    fn capacity(&self, pair: &mut Pair, design: Design, seed: u64) -> Result<f64> {
        let closed = Load::Closed { body: Case::OpenLoop.body(), callers: Case::Echo512.concurrency() };
        let times = probe(self.times);
        let mut rate = results::calls_per_s(&pair.measure(Order { design, load: closed, times })?);
        let (steps, step) = self.options.search();
        for _ in 0..steps {
            let held = pair.measure(Order { design, load: Load::Open { rate, seed }, times });
            if held.is_ok_and(|sample| results::calls_per_s(&sample) >= rate * HELD) {
                return Ok(rate);
            }
            rate *= step;
        }
        bail!("the design holds no open loop, not even one at {rate:.0} calls/s")
    }
}

/// How long a rate is tried for. It is decided by far more calls than a latency of few.
fn probe(times: Times) -> Times {
    Times { measured: times.measured / 2, ..times }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &str) -> Options {
        Program::parse_from(format!("peers {words}").split_whitespace()).options
    }

    #[test]
    fn everything_is_measured_unless_said_otherwise() {
        let options = options("");
        assert_eq!(options.runtimes(), Runtime::ALL);
        assert_eq!(options.designs(Runtime::TwoWorkers, Case::Echo64), Design::value_variants());
        assert_eq!(options.designs(Runtime::CurrentThread, Case::Mixed).len(), 5);
    }

    #[test]
    fn only_what_was_named_is_measured() {
        let options = options("--only tonic,p2p --case echo-64 --runtime two_workers");
        assert_eq!(options.runtimes(), [Runtime::TwoWorkers]);
        assert_eq!(options.designs(Runtime::TwoWorkers, Case::Echo64), [Design::P2p, Design::Tonic]);
        assert!(options.designs(Runtime::TwoWorkers, Case::Echo1).is_empty());
    }

    #[test]
    fn a_quick_run_fits_into_four_minutes() {
        let options = options("--quick");
        let times = options.times().unwrap();
        let cells: usize =
            Runtime::ALL.into_iter().flat_map(|runtime| Case::ALL.map(|case| options.designs(runtime, case).len())).sum();
        let measuring = (times.warm_up + times.measured) * u32::try_from(cells).unwrap();
        // At the very most: before its open loop each design is measured once, and then at each rate.
        let loops = options.designs(Runtime::CurrentThread, Case::OpenLoop).len();
        let probing = probe(times).warm_up + probe(times).measured;
        let searching = probing * (1 + options.search().0) * u32::try_from(loops).unwrap();
        // What is left is for starting and stopping processes.
        let all = (measuring + searching) * options.rounds();
        assert!(all < Duration::from_secs(220), "{all:?}");
    }

    #[test]
    fn a_time_that_measures_nothing_is_refused() {
        for words in ["--seconds 0.01", "--seconds=-1", "--seconds NaN"] {
            assert!(options(words).times().is_err(), "{words}");
        }
    }
}
