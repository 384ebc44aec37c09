//! What the processes of a run tell each other: a line of JSON each, on standard input and output.

use std::{
    io::{self, BufRead, Read, Write},
    net::SocketAddr,
    process, thread,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    cases::{Load, Times},
    designs::{Design, p2p::Entry},
    load::Sample,
};

/// A server is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Where it takes calls.
    pub(crate) address: String,
    /// Where it tells its processor time.
    pub(crate) control: SocketAddr,
    /// How to join its cluster, if it has one.
    pub(crate) entry: Option<Entry>,
}

/// What a client is to measure.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Order {
    /// By which of its clients.
    pub(crate) design: Design,
    /// Under which load.
    pub(crate) load: Load,
    /// For how long.
    pub(crate) times: Times,
}

/// What a client says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Finished {
    /// It is ready for orders.
    Connected,
    /// What an order gave.
    Measured(Sample),
    /// Why it gave nothing.
    Failed(String),
}

/// Says something to whoever started this process.
pub(crate) fn say(message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line).and_then(|()| output.flush()).context("telling the process that runs the bench")
}

/// Waits for the next message. `None` when there will be none.
pub(crate) fn hear<T: DeserializeOwned>() -> Result<Option<T>> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

/// Ends this process when nobody holds its standard input any more, so that it never outlives the run.
pub(crate) fn exit_when_input_closes() {
    thread::spawn(|| {
        // Whether it was closed or broke, there is nobody left to serve.
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        process::exit(0);
    });
}
