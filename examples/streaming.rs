//! A method that streams, called from another node: items come as they are made, and only as fast as they are taken.
//!
//! ```sh
//! cargo run --example streaming   # ends by itself
//! ```
//! Two nodes in one process, as in the quickstart; only the worker's stream is asked for.

use std::{fmt, path::Path, time::Duration};

use futures::stream;
use p2p_runtime::{
    identity::{Host, TokenOptions},
    node::{InitOptions, JoinClusterOptions, init, join},
};
use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One step of a countdown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tick {
    /// How many seconds are left.
    pub left: u32,
    /// The node that counts.
    pub node: String,
}

/// Why there is no countdown, or no more of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub enum CountdownError {
    /// Nobody waits for so long.
    TooLong {
        /// The longest there is, in seconds.
        most: u32,
    },
    /// Somebody pressed the button.
    Aborted {
        /// How many seconds were left.
        left: u32,
    },
}

impl fmt::Display for CountdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { most } => write!(f, "a countdown takes at most {most} s"),
            Self::Aborted { left } => write!(f, "aborted {left} s before the end"),
        }
    }
}

impl std::error::Error for CountdownError {}

/// Counts.
#[derive(Default)]
pub struct Counter;

#[service(version = "1.0.0")]
impl Counter {
    /// Counts up from a number, without an end.
    ///
    /// # Errors
    /// None of its own.
    #[service_method(read_only)]
    pub async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>> {
        Ok(stream::iter(from..))
    }

    /// Counts down, ten steps a second. The stream borrows from the service and from the context of its call.
    ///
    /// # Errors
    /// [`CountdownError::TooLong`] instead of a stream; [`CountdownError::Aborted`] as its end.
    #[service_method]
    pub async fn countdown(
        &self,
        cx: &CallContext,
        seconds: u32,
        abort_at: Option<u32>,
    ) -> Result<impl Stream<Item = Result<Tick, CountdownError>>, CountdownError> {
        if seconds > 60 {
            return Err(CountdownError::TooLong { most: 60 });
        }
        Ok(stream::iter((0..=seconds).rev()).then(move |left| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if abort_at == Some(left) {
                return Err(CountdownError::Aborted { left });
            }
            Ok(Tick { left, node: cx.node().to_string() })
        }))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let coordinator = start_coordinator(&folder.path().join("coordinator")).await?;
    let worker = start_worker(&folder.path().join("worker-1"), &coordinator).await?;
    coordinator.wait_until(|members| members.hosting("counter").count() == 2).await;
    let counter = coordinator.proxy().counter().on("worker-1");

    println!("\ncounter.count(3): as many as are taken, of a stream without an end");
    let mut numbers = counter.count(3).await?;
    while let Some(number) = numbers.next().await {
        let number = number?;
        println!("  {number}");
        if number == 7 {
            break;
        }
    }
    drop(numbers); // and the counting on worker-1 ends

    println!("\ncounter.countdown(3, None): as they come, to the end");
    let mut ticks = counter.countdown(3, None).await?;
    while let Some(tick) = ticks.next().await {
        let tick = tick?;
        println!("  {} … ({})", tick.left, tick.node);
    }

    println!("\ncounter.countdown(3, Some(1)): a stream that fails on its way");
    let mut ticks = counter.countdown(3, Some(1)).await?;
    while let Some(tick) = ticks.next().await {
        match tick {
            Ok(tick) => println!("  {} …", tick.left),
            Err(CallError::Service(CountdownError::Aborted { left })) => println!("  aborted at {left}"),
            Err(error) => return Err(error.into()),
        }
    }

    println!("\ncounter.countdown(1000, None): one that is not opened");
    match counter.countdown(1_000, None).await {
        Err(CallError::Service(error)) => println!("  {error}"),
        other => println!("  {other:?}"),
    }

    println!(
        "\nIn other languages, with a node that stays: POST /rpc with `Accept: application/x-ndjson` or `text/event-stream`."
    );
    worker.stop().await;
    coordinator.stop().await;
    Ok(())
}

/// Makes a cluster and starts its coordinator, on this machine only.
async fn start_coordinator(dir: &Path) -> Result<Node> {
    let options = InitOptions {
        dir: dir.to_owned(),
        password: Password::new("a password for this run")?,
        node_id: Some("coordinator".parse()?),
        advertise: Some(LOOPBACK),
        listen: None,
        capabilities: Vec::new(),
    };
    Ok(Node::builder().enrolment(init(options).await?.enrolment).start().await?)
}

/// Joins the coordinator's cluster, and starts a worker.
async fn start_worker(dir: &Path, coordinator: &Node) -> Result<Node> {
    let issuer = coordinator.issuer().ok_or_else(|| Error::msg("the coordinator issues tokens"))?;
    let token = issuer.create_token(TokenOptions::default()).await?;
    let options = JoinClusterOptions {
        node_id: Some("worker-1".parse()?),
        advertise: Some(LOOPBACK),
        ..JoinClusterOptions::new(dir, Password::new("another password for this run")?, coordinator.authority(), token)
    };
    Ok(Node::builder().enrolment(join(options).await?.enrolment).start().await?)
}

const LOOPBACK: Host = Host::Ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
