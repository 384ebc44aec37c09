//! Which of several hosts a call goes to, with whole nodes: by how long their calls take, and by how many are under way, as the calling node sees it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{Cluster, Member, clients::outside, sees, soon};
use futures::future::join_all;
use p2p_runtime::node::NodeBuilder;
use p2p_services::prelude::*;
use serde_json::{Value, json};
use tokio::sync::watch;

const MS: Duration = Duration::from_millis(1);

/// Works at its own pace.
struct Worker {
    pace: Duration,
    served: AtomicU32,
    held: watch::Sender<u32>,
    open: watch::Sender<bool>,
}

#[service(version = "1.0.0")]
impl Worker {
    /// Takes its time.
    #[service_method(anonymous)]
    async fn work(&self) -> Result<()> {
        self.served.fetch_add(1, Relaxed);
        tokio::time::sleep(self.pace).await;
        Ok(())
    }

    /// Goes on when the test lets it.
    #[service_method(timeout = "1h")]
    async fn hold(&self) -> Result<()> {
        self.held.send_modify(|held| *held += 1);
        self.open.subscribe().wait_for(|open| *open).await?;
        Ok(())
    }
}

/// A coordinator, which calls, and a worker for each pace.
struct Hosts {
    cluster: Cluster,
    coordinator: Member,
    _nodes: Vec<Member>,
    workers: Vec<Arc<Worker>>,
}

impl Hosts {
    async fn with(paces: [Duration; 3]) -> Self {
        let worker = |pace| {
            Arc::new(Worker { pace, served: AtomicU32::new(0), held: watch::Sender::new(0), open: watch::Sender::new(false) })
        };
        let workers = paces.map(worker).to_vec();
        let host = |number: u8, builder: NodeBuilder| match usize::from(number).checked_sub(1) {
            Some(place) => builder.serve_shared(workers[place].clone()),
            None => builder,
        };
        let (cluster, coordinator, nodes) = Cluster::hosting(3, host).await;
        sees(&coordinator, |members| members.hosting("worker").count() == 3).await;
        Self { cluster, coordinator, _nodes: nodes, workers }
    }

    /// Makes `count` calls of each of so many callers, each call after the other. Gives each host's share, in percent.
    async fn shares(&self, callers: u32, count: u32) -> Vec<u32> {
        self.shares_of(callers * count, async || {
            let calls = (0..callers).map(|_| async {
                for _ in 0..count {
                    self.coordinator.proxy().worker().work().await.unwrap();
                }
            });
            soon(join_all(calls)).await;
        })
        .await
    }

    /// Each host's share of the calls that this makes.
    async fn shares_of(&self, calls: u32, make: impl AsyncFnOnce()) -> Vec<u32> {
        self.workers.iter().for_each(|worker| worker.served.store(0, Relaxed));
        make().await;
        let served: Vec<_> = self.workers.iter().map(|worker| worker.served.load(Relaxed)).collect();
        assert_eq!(served.iter().sum::<u32>(), calls);
        served.into_iter().map(|served| served * 100 / calls).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_that_are_alike_share_the_calls() {
    let hosts = Hosts::with([MS; 3]).await;
    for callers in [1, 16] {
        let shares = hosts.shares(callers, 600 / callers).await;
        assert!(shares.iter().all(|share| (25..=42).contains(share)), "{callers} callers: {shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_slow_gets_few_calls_of_one_caller_and_of_many() {
    let hosts = Hosts::with([MS, 20 * MS, MS]).await;
    for callers in [1, 16] {
        let shares = hosts.shares(callers, 800 / callers).await;
        assert!(shares[1] < 10, "{callers} callers: {shares:?}");
        assert!(shares[0] > 25 && shares[2] > 25, "{callers} callers: {shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_busy_with_calls_of_this_node_gets_few_more_until_they_have_ended() {
    let hosts = Hosts::with([MS; 3]).await;
    let busy = &hosts.workers[0];
    let proxy = hosts.coordinator.proxy();
    let held: Vec<_> = (0..40).map(|_| tokio::spawn(proxy.worker().on("worker-1").hold())).collect();
    soon(busy.held.subscribe().wait_for(|held| *held == 40)).await.unwrap();
    let shares = hosts.shares(4, 100).await;
    assert!(shares[0] < 5 && shares[1] > 35 && shares[2] > 35, "{shares:?}");
    busy.open.send_replace(true);
    for call in soon(join_all(held)).await {
        call.unwrap().unwrap();
    }
    // That they took so long is forgotten with time, of which none passes here but the clock's.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let shares = hosts.shares(4, 100).await;
    assert!(shares.iter().all(|share| *share > 20), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn of_the_calls_that_a_node_forwards_a_slow_host_gets_few_as_well() {
    let hosts = Hosts::with([MS, 20 * MS, MS]).await;
    let web = outside(&hosts.cluster, &hosts.coordinator);
    let calls: Vec<Value> =
        (0..16).map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "worker/work", "params": {} })).collect();
    let batch = Value::from(calls).to_string();
    let shares = hosts
        .shares_of(16 * 25, async || {
            for _ in 0..25 {
                let answers = web.rpc(batch.clone()).await.json();
                assert!(answers.as_array().unwrap().iter().all(|answer| answer["error"].is_null()), "{answers}");
            }
        })
        .await;
    assert!(shares[1] < 10, "{shares:?}");
    assert!(shares[0] > 25 && shares[2] > 25, "{shares:?}");
}
