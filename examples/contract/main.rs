//! A contract in a crate of its own, hosted by one crate and called by another that never sees the host.
//!
//! ```text
//! api     #[service] trait Stock             depends on p2p-client alone
//! host    #[service] impl Stock for Shelves  depends on api, p2p-runtime
//! caller  look(&proxy, …), order(&proxy, …)  depends on api, p2p-client; its tests use MockStock
//! ```
//! The caller has one proxy type, from a node and from outside of the cluster: there it is a `Client`'s.
//! ```sh
//! cargo run --example contract             # host and caller on two nodes, and the caller outside; ends by itself
//! cargo test -p example-contract-caller    # the caller, without a node
//! ```

use example_contract_caller::{from_outside, look, order};
use example_contract_host::Shelves;
use p2p_services::{prelude::*, testing::TestCluster};

#[tokio::main]
async fn main() -> Result<()> {
    let shelves = || Shelves::with([("lamp", 3), ("chair", 1)]);
    let cluster = TestCluster::new().coordinator().workers(1).serve_on("worker-1", shelves).start().await?;
    // The caller runs where nothing is on the shelves: its calls go to the node that hosts the contract.
    let proxy = cluster.coordinator().proxy();
    for basket in [vec![("lamp", 2)], vec![("lamp", 1), ("chair", 2)], vec![("table", 1)]] {
        let wanted: Vec<_> = basket.iter().map(|(item, count)| format!("{count} {item}")).collect();
        println!("{}: {}", wanted.join(" and "), order(&proxy, &basket).await?);
    }

    // The same code in a program that is no node, by the address of any: it asks, and that node sends the call on.
    let node = cluster.coordinator();
    let outside = from_outside(&node.url(), &node.root_fingerprint().to_string())?;
    println!("from outside: {}", look(&outside, &["lamp", "chair"]).await?);
    // `count` is marked `anonymous`, `take` is for nodes.
    match order(&outside, &[("chair", 1)]).await {
        Err(CallError::Denied(why)) => println!("and nothing is taken: {why}"),
        other => println!("unexpected: {other:?}"),
    }
    println!("from a node: {}", look(&proxy, &["lamp", "chair"]).await?);
    println!("Done.");
    cluster.stop_all().await;
    Ok(())
}
