//! Three nodes in one process: a coordinator and two workers that join it with a token. Then calls: here, by id, by role, to all.
//!
//! ```sh
//! cargo run --example quickstart            # ends by itself
//! cargo run --example quickstart -- --stay  # keeps the cluster up until Ctrl-C
//! ```
//! Nothing has to be set up before. Each node has its own folder, its own key and its own encrypted store, and they
//! talk over mutual TLS, as they would on three machines.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use futures::StreamExt;
use p2p_runtime::{
    identity::{Host, TokenOptions},
    node::{InitOptions, JoinClusterOptions, init, join},
};
use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `greet` answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Message)]
pub struct Greeting {
    /// The greeting.
    pub text: String,
    /// The machine of the cluster's coordinator.
    pub coordinator_host: String,
    /// How many this node has greeted.
    pub greeted: u64,
}

/// Greets people.
#[derive(Default)]
pub struct Greeter {
    greeted: AtomicU64,
}

#[service(version = "1.0.0")]
impl Greeter {
    /// Says hello, and asks the coordinator where it lives.
    ///
    /// # Errors
    /// When no coordinator answers.
    #[service_method(public, idempotent, timeout = "2s")]
    pub async fn greet(&self, cx: &CallContext, name: String) -> Result<Greeting> {
        let host = cx.proxy().system().on(Role::Coordinator).get_system_info().await?;
        let greeted = self.greeted.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Greeting { text: format!("Hello, {name}, from {}", cx.node()), coordinator_host: host.hostname, greeted })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let began = Instant::now();
    let folder = tempfile::tempdir()?;

    // A new cluster: its root certificate, its first coordinator.
    let coordinator = start_coordinator(&folder.path().join("coordinator")).await?;
    // Two more nodes, each let in by a token that the coordinator made.
    let workers = [
        start_worker(&folder.path().join("worker-1"), "worker-1", &coordinator).await?,
        start_worker(&folder.path().join("worker-2"), "worker-2", &coordinator).await?,
    ];
    let nodes = [&coordinator, &workers[0], &workers[1]];
    for node in nodes {
        let all_greet = |members: &p2p_runtime::network::Members| members.hosting("greeter").count() == 3;
        node.wait_until(all_greet).await;
    }
    println!("\nThree nodes found each other {:.1} s after the start:\n", began.elapsed().as_secs_f64());
    println!("  {:<12} {:<12} {:<10} {:<18} services", "node", "role", "status", "address");
    for member in coordinator.members().members().list() {
        let services: Vec<_> = member.services.keys().map(String::as_str).collect();
        let (id, role, status) = (&member.node_id, member.role, member.status);
        println!("  {id:<12} {role:<12} {status:<10} {:<18} {}", member.authority(), services.join(", "));
    }

    println!("\nCalls from {}:\n", workers[0].id());
    let proxy = workers[0].proxy();
    show("proxy.greeter().greet(\"Ada\")", proxy.greeter().greet("Ada")).await?;
    show("  … again", proxy.greeter().greet("Ada")).await?;
    show("proxy.greeter().on(\"worker-2\").greet(\"Grace\")", proxy.greeter().on("worker-2").greet("Grace")).await?;
    show("  … again", proxy.greeter().on("worker-2").greet("Grace")).await?;
    let system = proxy.system();
    show("proxy.system().on(Role::Coordinator).get_system_info()", system.on(Role::Coordinator).get_system_info()).await?;

    println!("\n  proxy.system().on_all(Role::Worker).get_system_metrics()");
    let mut replies = system.on_all(Role::Worker).get_system_metrics().stream();
    while let Some((node, reply)) = replies.next().await {
        println!("    {node}: {} MiB in use by this process", reply?.process_memory_bytes >> 20);
    }

    println!("\n  proxy.greeter().on(\"worker-9\").greet(\"Nobody\")");
    if let Err(error) = proxy.greeter().on("worker-9").greet("Nobody").await {
        println!("    {error}");
    }

    println!("\nLook at it (the certificate is the cluster's own, hence --insecure):\n");
    for node in nodes {
        println!("  curl --insecure {}/health", node.url());
    }
    println!("  curl --insecure {}/cluster/nodes", coordinator.url());
    println!("  curl --insecure {}/services", coordinator.url());

    if std::env::args().any(|argument| argument == "--stay") {
        println!("\nThe cluster stays up until Ctrl-C.");
        coordinator.run_until_shutdown().await?;
    } else {
        println!(
            "\nDone. `cargo run --example quickstart -- --stay` keeps the cluster up, so that there is something to look at."
        );
        coordinator.stop().await;
    }
    for worker in workers {
        worker.stop().await;
    }
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
    let cluster = init(options).await?;
    // Anyone on this machine may look at the documents; otherwise they are for nodes and operators.
    Ok(Node::builder().enrolment(cluster.enrolment).documents_for(Access::Anonymous).start().await?)
}

/// Joins the coordinator's cluster, and starts a worker.
async fn start_worker(dir: &Path, node_id: &str, coordinator: &Node) -> Result<Node> {
    let issuer = coordinator.issuer().ok_or_else(|| Error::msg("the coordinator issues tokens"))?;
    let token = issuer.create_token(TokenOptions::default()).await?;
    let password = Password::new("another password for this run")?;
    let options = JoinClusterOptions {
        node_id: Some(node_id.parse()?),
        advertise: Some(LOOPBACK),
        ..JoinClusterOptions::new(dir, password, coordinator.authority(), token)
    };
    Ok(Node::builder().enrolment(join(options).await?.enrolment).start().await?)
}

const LOOPBACK: Host = Host::Ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

/// Makes a call, and prints what it was, what came back and how long it took.
async fn show<T: std::fmt::Debug>(what: &str, call: Call<T>) -> Result<()> {
    let began = Instant::now();
    let answer = call.await?;
    let took = began.elapsed();
    let text = format!("{answer:?}");
    let short: String = text.chars().take(110).collect();
    println!("  {what}   {took:.1?}\n    {short}{}", if short.len() < text.len() { "…" } else { "" });
    Ok(())
}
