//! What a small typed call from one node to another costs: CPU of both nodes together, by how many calls are under way.
//!
//! ```sh
//! cargo run --release -p p2p-bench --bin session_call             # 1, 64 and 512 at once, three seconds each
//! cargo run --release -p p2p-bench --bin session_call -- 64 20    # only 64 at once, for 20 seconds: for a profile
//! ```
//! Both nodes are in this process, each on a thread and a current-thread runtime of its own; what they say to each other goes over
//! mutual TLS on loopback. How it compares with other projects is shown by `tests/bench-peers`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use p2p_bench::cpu::process_cpu;
use p2p_runtime::{
    identity::{Host, TokenOptions},
    node::{InitOptions, JoinClusterOptions, init, join},
};
use p2p_services::{Message, prelude::*};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const LOOPBACK: Host = Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// About 80 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Message)]
struct Question {
    name: String,
    number: u64,
    tags: Vec<String>,
}

/// About 240 bytes of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
struct Reply {
    text: String,
    node: String,
    number: u64,
    ratio: u32,
    tags: Vec<String>,
    note: Option<String>,
}

/// What is called.
#[derive(Default)]
struct Echo;

#[service(version = "1.0.0")]
impl Echo {
    /// Answers with three times as much as it was asked.
    #[service_method(read_only, timeout = "10s")]
    async fn echo(&self, question: Question) -> Result<Reply> {
        let Question { name, number, mut tags } = question;
        tags.extend(["one more".to_owned(), "and another".to_owned()]);
        Ok(Reply {
            text: format!("Hello, {name}: this is a line of text of some length, as greetings are"),
            node: format!("a node by the name of {number}"),
            number: number + 1,
            ratio: 17,
            tags,
            note: Some("nothing to remark".to_owned()),
        })
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let only: Option<usize> = arguments.next().map(|text| text.parse()).transpose()?;
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let (entry, entries) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let dir = folder.path().join("server");
    let server = std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async move {
            let node = serve(&dir).await?;
            let token = node.issuer().ok_or_else(|| Error::msg("the first node issues tokens"))?;
            let token = token.create_token(TokenOptions::default()).await?.reveal().to_string();
            entry.send((node.authority(), node.id().clone(), token))?;
            let _asked = stopped.await;
            node.stop().await;
            Ok::<(), Error>(())
        })
    })?;
    let (authority, id, token) = entries.recv()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let node = connect(&folder.path().join("client"), &authority, &token).await?;
        node.wait_until(|members| members.hosting("echo").any(|member| member.node_id == id)).await;
        println!("{:>9} {:>12} {:>14} {:>10} {:>10}", "at once", "calls/s", "CPU µs a call", "p50 µs", "p99 µs");
        for at_once in only.map_or_else(|| vec![1, 64, 512], |only| vec![only]) {
            measure(&node, &id, at_once, Duration::from_secs(seconds)).await?;
        }
        node.stop().await;
        Ok::<(), Error>(())
    })?;
    let _stopping = stop.send(());
    server.join().map_err(|_| Error::msg("the server panicked"))??;
    Ok(())
}

async fn measure(node: &Node, server: &NodeId, at_once: usize, time: Duration) -> Result<()> {
    let (calls, counting, done) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..at_once)
        .map(|_| {
            let (proxy, calls, counting, done) = (node.proxy().echo().on(server), calls.clone(), counting.clone(), done.clone());
            tokio::spawn(async move {
                let question =
                    Question { name: "Ada Lovelace".to_owned(), number: 42, tags: vec!["first".to_owned(), "second".to_owned()] };
                let mut latencies = Vec::with_capacity(1 << 16);
                while !done.load(Relaxed) {
                    let began = Instant::now();
                    let reply = proxy.echo(question.clone()).await?;
                    if reply.number != 43 {
                        return Err(Error::msg("a wrong answer"));
                    }
                    if counting.load(Relaxed) {
                        calls.fetch_add(1, Relaxed);
                        latencies.push(began.elapsed());
                    }
                }
                Ok::<_, Error>(latencies)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (began, cpu) = (Instant::now(), process_cpu()?);
    counting.store(true, Relaxed);
    tokio::time::sleep(time).await;
    let (took, cpu, counted) = (began.elapsed(), process_cpu()?.saturating_sub(cpu), calls.load(Relaxed));
    done.store(true, Relaxed);
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    #[allow(clippy::cast_precision_loss, reason = "of a few million")]
    let counted = counted as f64;
    println!(
        "{at_once:>9} {:>12.0} {:>14.3} {:>10.0} {:>10.0}",
        counted / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / counted,
        at(50),
        at(99)
    );
    Ok(())
}

async fn serve(dir: &Path) -> Result<Node> {
    let options = InitOptions {
        dir: dir.to_owned(),
        password: password()?,
        node_id: None,
        advertise: Some(LOOPBACK),
        listen: Some(ANY_PORT),
        capabilities: Vec::new(),
    };
    Ok(Node::builder().enrolment(init(options).await?.enrolment).start().await?)
}

async fn connect(dir: &Path, authority: &str, token: &str) -> Result<Node> {
    let options = JoinClusterOptions {
        advertise: Some(LOOPBACK),
        listen: Some(ANY_PORT),
        ..JoinClusterOptions::new(dir.to_owned(), password()?, authority, token.parse()?)
    };
    Ok(Node::builder().enrolment(join(options).await?.enrolment).start().await?)
}

fn password() -> Result<Password> {
    Ok(Password::new("a password for the bench")?)
}
