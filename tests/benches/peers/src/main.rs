//! The same call over mutual TLS 1.3 in P2P Core and in its peers. `tests/bench-peers` runs it; the README here tells how it
//! compares.
//!
//! ```text
//! run      makes certificates, starts a server and a client process for each design, gives orders, prints what they measured
//! server   hosts one design          client   connects to one server, puts loads on it, counts
//! ```

mod calls;
mod cases;
mod client;
mod cpu;
mod designs;
mod histogram;
mod load;
mod messages;
mod pacer;
mod report;
mod run;
mod server;
mod tls;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use cases::Runtime;
use designs::Design;

#[derive(Parser)]
#[command(about = "Measures the same call in P2P Core and in its peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, and prints the tables.
    Run(run::Options),
    /// Hosts a design; started by `run`.
    Server(Process),
    /// Calls a design's server; started by `run`.
    Client(Process),
}

#[derive(Args)]
struct Process {
    /// The design.
    design: Design,
    /// How the process runs.
    #[arg(long)]
    runtime: Runtime,
    /// The cores that it runs on.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    /// The folder of the certificates, or of the nodes.
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> Result<ExitCode> {
    use_one_provider();
    match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Server(Process { design, runtime, cores, dir }) => {
            server::run(design, runtime, &cores, &dir)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Client(Process { design, runtime, cores, dir }) => {
            client::run(design, runtime, &cores, &dir)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Makes aws-lc-rs the provider of every design's TLS. jsonrpsee's client brings another one with it, and would choose that.
fn use_one_provider() {
    // In tests, another one may have done it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
