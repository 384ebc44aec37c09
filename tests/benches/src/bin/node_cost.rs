//! What a node costs: the time it takes to start, and the memory that it holds while it has nothing to do.
//!
//! ```sh
//! cargo run --release -p p2p-bench --bin node_cost
//! ```
//! Each node is a process of its own, made from nothing and started twice; memory is `VmRSS` of /proc/PID/status, some seconds later.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use p2p_runtime::node::{Enrolment, InitOptions, init};
use p2p_services::prelude::*;

/// The targets that the project set itself.
const START_TARGET: Duration = Duration::from_millis(300);
const MEMORY_TARGET_KIB: u64 = 25 * 1024;
const STARTS: usize = 5;
const IDLE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("node"), Some(dir)) => run_node(Path::new(&dir)),
        _ => measure(),
    }
}

/// The measured process: a node as `p2p start` runs it.
#[tokio::main]
async fn run_node(dir: &Path) -> Result<()> {
    let began = Instant::now();
    let enrolment = Enrolment::open(dir, password()?).await?;
    let opened = began.elapsed();
    let began = Instant::now();
    let node = Node::builder().enrolment(enrolment).start().await?;
    println!("{} {}", opened.as_micros(), began.elapsed().as_micros());
    node.run_until_shutdown().await?;
    Ok(())
}

fn measure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let options = InitOptions {
        dir: folder.path().to_owned(),
        password: password()?,
        node_id: None,
        advertise: Some("127.0.0.1".parse()?),
        listen: Some("127.0.0.1:0".parse()?),
        capabilities: Vec::new(),
    };
    drop(runtime.block_on(init(options))?);

    let (mut opens, mut starts, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (child, opened, started) = spawn(folder.path())?;
        let child = Guard(child);
        if memory.is_empty() {
            std::thread::sleep(IDLE); // what is measured is a node that has had nothing to do for a while
            memory.push(resident_kib(child.0.id())?);
        }
        opens.push(opened);
        starts.push(started);
    }
    opens.sort_unstable();
    starts.sort_unstable();
    let (open, start, held) = (opens[STARTS / 2], starts[STARTS / 2], memory[0]);
    println!("opening the store (password derivation, 600,000 rounds)  {open:>10.1?}");
    println!(
        "starting the node                                       {start:>10.1?}   target {START_TARGET:?}: {}",
        verdict(start < START_TARGET)
    );
    let mib = held / 1024;
    println!(
        "resident after {IDLE:?} idle                               {mib:>6} MiB   target 25 MiB: {}",
        verdict(held < MEMORY_TARGET_KIB)
    );
    Ok(())
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Starts the node process, and reads how long opening and starting took once it serves.
fn spawn(dir: &Path) -> Result<(Child, Duration, Duration)> {
    let mut child = Command::new(std::env::current_exe()?).arg("node").arg(dir).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().ok_or_else(|| Error::msg("the node has no output"))?;
    BufReader::new(output).read_line(&mut line)?;
    let mut micros = line.split_whitespace().map(str::parse::<u64>);
    match (micros.next(), micros.next()) {
        (Some(Ok(opened)), Some(Ok(started))) => Ok((child, Duration::from_micros(opened), Duration::from_micros(started))),
        _ => Err(Error::msg(format!("the node said {line:?} in the place of its times"))),
    }
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or_else(|| Error::msg("no VmRSS"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn password() -> Result<Password> {
    Ok(Password::new("a password for the bench")?)
}

/// Ends the process with the value.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
