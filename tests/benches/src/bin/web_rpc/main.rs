//! What `POST /rpc` costs over HTTPS, next to plain axum that serves a constant of the same size.
//!
//! ```sh
//! tests/bench-rpc [--rounds N] [--seconds S] [--workers N] [--connections N]
//! ```
//! Three processes: a node that hosts one small method, axum behind tokio-rustls with the node's certificate, and `wrk`, which
//! calls them in turn by HTTP/1.1 with keep-alive; each round in the other order. The answer to the measured call is fetched
//! first, checked, and made the constant, so that both send the same bytes. Nothing of the node is left out: limits (raised, so that
//! they are looked at and never reached), time limits, access, deadlines and metrics run in what is measured.

mod load;
mod node;
mod plain;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use p2p_bench::stats::{median, table};
use p2p_runtime::node::{InitOptions, init};
use p2p_services::prelude::*;

use load::{Load, Sample};

/// What the issue asks for: this part of plain axum's calls.
const TARGET: f64 = 0.8;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["node", dir, workers] => runtime(workers.parse()?)?.block_on(node::run(Path::new(dir))),
        ["plain", dir, workers] => runtime(workers.parse()?)?.block_on(plain::run(Path::new(dir))),
        _ => measure(&Options::read(&arguments)?),
    }
}

/// What can be said on the command line.
struct Options {
    rounds: usize,
    /// Threads of each server's runtime.
    workers: usize,
    load: Load,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self> {
        let workers = std::thread::available_parallelism()?.get();
        let mut options = Self { rounds: 7, workers, load: Load { seconds: 3, connections: 64 } };
        for pair in arguments.chunks(2) {
            match pair {
                [name, value] if name == "--rounds" => options.rounds = value.parse()?,
                [name, value] if name == "--seconds" => options.load.seconds = value.parse()?,
                [name, value] if name == "--workers" => options.workers = value.parse()?,
                [name, value] if name == "--connections" => options.load.connections = value.parse()?,
                _ => return Err(Error::msg("usage: web_rpc [--rounds N] [--seconds S] [--workers N] [--connections N]")),
            }
        }
        Ok(options)
    }
}

/// A runtime as `#[tokio::main]` makes it, with this many threads.
fn runtime(workers: usize) -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?)
}

fn measure(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let own = runtime(1)?;
    let made = own.block_on(init(InitOptions {
        dir: folder.path().to_owned(),
        password: password()?,
        node_id: None,
        advertise: Some("127.0.0.1".parse()?),
        listen: Some("127.0.0.1:0".parse()?),
        capabilities: Vec::new(),
    }))?;
    let root = made.enrolment.identity.root().clone();
    drop(made);

    // Only one process at a time may have the store open: axum takes the certificate from it and lets it go.
    let mut plain = Server::spawn("plain", folder.path(), options.workers)?;
    plain.line()?;
    let mut node = Server::spawn("node", folder.path(), options.workers)?;
    node.authority = node.line()?;
    let answer = own.block_on(load::fetch(&node.authority, &root))?;
    plain.tell(&answer)?;
    plain.authority = plain.line()?;
    if own.block_on(load::fetch(&plain.authority, &root))? != answer {
        return Err(Error::msg("the two servers do not answer alike, so that there is nothing to compare"));
    }
    println!(
        "{} B of request, {} B of answer; {} connections, {} rounds of {} s, {} threads a server",
        load::REQUEST.len(),
        answer.len(),
        options.load.connections,
        options.rounds,
        options.load.seconds,
        options.workers
    );

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let mut turns = [(&node, &mut ours), (&plain, &mut theirs)];
        if round % 2 == 1 {
            turns.reverse();
        }
        for (server, samples) in turns {
            samples.push(options.load.run(&server.authority, server.child.id(), folder.path())?);
        }
    }
    report(&ours, &theirs);
    Ok(())
}

fn report(ours: &[Sample], theirs: &[Sample]) {
    let of = |samples: &[Sample], figure: fn(&Sample) -> f64| median(&samples.iter().map(figure).collect::<Vec<_>>());
    let row = |name: &str, samples: &[Sample]| {
        vec![
            name.to_owned(),
            format!("{:.0}", of(samples, |sample| sample.calls_per_s)),
            format!("{:.2}", of(samples, |sample| sample.server_cpu_us)),
            format!("{:.0}", of(samples, |sample| sample.p50_us)),
            format!("{:.0}", of(samples, |sample| sample.p99_us)),
        ]
    };
    let rows = [row("POST /rpc", ours), row("axum, constant", theirs)];
    println!("{}", table(&["medians", "calls/s", "server CPU, µs a call", "p50 µs", "p99 µs"], &rows));
    // Round by round, as what the machine does beside falls on neighbours alike.
    let ratio = |figure: fn(&Sample) -> f64| -> Vec<f64> {
        ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)).collect()
    };
    let (calls, cpu) = (median(&ratio(|sample| sample.calls_per_s)), median(&ratio(|sample| 1.0 / sample.server_cpu_us)));
    let verdict = if calls >= TARGET { "met" } else { "MISSED" };
    println!("\nratio of calls/s: {calls:.3}   of calls a server CPU-second: {cpu:.3}   target {TARGET}: {verdict}");
}

/// A process of this program that serves, and what it says of itself.
struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Where it is reached, once it has said so.
    authority: String,
}

impl Server {
    fn spawn(kind: &str, dir: &Path, workers: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(kind)
            .arg(dir)
            .arg(workers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { child, input, output: BufReader::new(output), authority: String::new() }),
            _ => Err(Error::msg("the server has no pipes")),
        }
    }

    /// The next line that it says.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(Error::msg("a server ended before it served; what it said is above"));
        }
        Ok(line.trim_end().to_owned())
    }

    fn tell(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The password of the node's store.
fn password() -> Result<Password> {
    Ok(Password::new("a password for the bench")?)
}

/// How long a server may take to answer the one request that is made outside the measurement.
const PATIENCE: Duration = Duration::from_secs(10);
