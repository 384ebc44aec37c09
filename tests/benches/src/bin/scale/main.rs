//! What sessions and connections cost as their number grows.
//!
//! ```sh
//! cargo run --release -p p2p-bench --bin scale                  # both tables
//! cargo run --release -p p2p-bench --bin scale -- peers         # from one node to 1, 10, 100 and 1,000 peers
//! cargo run --release -p p2p-bench --bin scale -- idle [N]      # N idle connections to one node; 10,000 unless said
//! ```

mod idle;
mod peers;

use std::{path::Path, time::Duration};

use p2p_bench::heap::Balanced;
use p2p_client::wire::session::{
    Outcome, Session,
    message::{Answer, Outgoing},
};
use p2p_services::prelude::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[global_allocator]
static ALLOCATOR: Balanced = Balanced;

/// How many idle connections there are unless said.
const IDLE: usize = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let files = raise_file_limit();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["node", dir] => idle::run_node(Path::new(dir)),
        ["peers"] => peers::measure(),
        ["idle"] => idle::measure(IDLE, files),
        ["idle", count] => idle::measure(count.parse()?, files),
        [] => {
            peers::measure()?;
            println!();
            idle::measure(IDLE, files)
        }
        _ => Err(Error::msg("usage: scale [peers | idle [N]]")),
    }
}

/// Raises the limit of open files as far as it goes, and says how far that is.
fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, the limit stays what it was, and the table says so.
    let _as_it_was = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Makes a call on a session, and makes sure that this is what it is answered.
async fn call(session: &Session, method: &str, params: &[u8], answer: &[u8]) -> Result<()> {
    let timeout = Duration::from_secs(10);
    let call = Outgoing { method, params, timeout: Some(timeout), trace: None, is_anonymous: false, origin: None, credit: None };
    match session.call(&call, tokio::time::Instant::now() + timeout).await {
        Outcome::Answered(Answer::Result(result)) if result == answer => Ok(()),
        other => Err(Error::msg(format!("{method} should have answered with what it was asked, but: {other:?}"))),
    }
}

#[allow(clippy::cast_precision_loss, reason = "of counts and bytes far below 2^52")]
fn kib(bytes: i64, count: usize) -> String {
    format!("{:.1}", bytes as f64 / 1024.0 / count as f64)
}
