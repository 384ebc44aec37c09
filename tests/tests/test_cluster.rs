//! Clusters for tests: whole nodes in one process, that are killed, stopped, started again, and parted.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use p2p_client::protocol::NodeStatus;
use p2p_runtime::{
    network::Members,
    testing::{RunningCluster, TestCluster},
};
use p2p_services::prelude::*;
use tokio::sync::watch;

/// Says where it is, and waits.
struct Place {
    waiting: watch::Sender<u32>,
}

#[service]
impl Place {
    /// The node that serves the call.
    #[service_method(idempotent)]
    async fn here(&self, cx: &CallContext) -> Result<String> {
        Ok(cx.node().to_string())
    }

    /// Until its caller has had enough.
    #[service_method]
    async fn wait(&self) -> Result<()> {
        self.waiting.send_modify(|count| *count += 1);
        std::future::pending().await
    }
}

/// A cluster whose nodes host the place, and how many calls wait there.
fn cluster(workers: usize) -> (TestCluster, watch::Receiver<u32>) {
    let (waiting, waits) = watch::channel(0);
    (TestCluster::new().coordinator().workers(workers).serve(move || Place { waiting: waiting.clone() }), waits)
}

fn status(members: &Members, id: &str) -> Option<NodeStatus> {
    members.get(&id.parse().unwrap()).map(|info| info.status)
}

fn place(cluster: &RunningCluster, worker: usize) -> PlaceProxy {
    cluster.worker(worker).proxy().place()
}

#[tokio::test]
async fn a_cluster_is_complete_when_it_has_started() {
    let (plan, _) = cluster(1);
    let cluster = plan.worker_with(["gpu".into()]).start().await.unwrap();
    for node in cluster.nodes() {
        let members = node.members().members();
        assert_eq!((members.alive().count(), members.hosting("place").count(), members.hosting("system").count()), (3, 3, 3));
        let answers = node.proxy().place().on_all(Role::Worker).here().await.all_ok().unwrap();
        assert_eq!(answers.len(), 2);
    }
    assert_eq!(place(&cluster, 1).on(Capability::from("gpu")).here().await.unwrap(), "worker-2");
    assert_eq!(cluster.coordinator().proxy().place().on("worker-1").here().await.unwrap(), "worker-1");
    assert!(cluster.worker(1).authority().starts_with("127.0.0.1:"), "other programs can reach it");
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_service_is_hosted_where_it_was_said() {
    let waiting = || watch::Sender::new(0);
    let plan = TestCluster::new().coordinator().workers(2).in_memory();
    let cluster = plan.serve_on("worker-2", move || Place { waiting: waiting() }).start().await.unwrap();
    for node in cluster.nodes() {
        assert_eq!(node.proxy().place().here().await.unwrap(), "worker-2");
    }
    let error = place(&cluster, 2).on("worker-1").here().await.unwrap_err();
    assert!(error.to_string().contains("node worker-1 does not host place"), "{error}");
}

#[tokio::test]
async fn calls_go_on_across_a_kill_and_the_killed_node_comes_back() {
    let (plan, mut waits) = cluster(2);
    let mut cluster = plan.start().await.unwrap();
    let waiting = tokio::spawn(place(&cluster, 1).on("worker-2").wait());
    waits.wait_for(|count| *count == 1).await.unwrap();
    cluster.kill("worker-2").unwrap();

    // What ran there is lost, and says so; what did not can be made elsewhere.
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: true, .. }), "{error}");
    let coordinator = cluster.coordinator().proxy().place();
    for _ in 0..4 {
        assert_ne!(coordinator.here().await.unwrap(), "worker-2");
    }
    cluster.wait_until(|members| status(members, "worker-2") == Some(NodeStatus::Dead)).await.unwrap();
    let error = coordinator.on("worker-2").here().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: node worker-2 is dead; calls go to members that are alive");

    let back = cluster.restart("worker-2").await.unwrap();
    assert_eq!(back.id().as_str(), "worker-2");
    cluster.wait_until(|members| members.hosting("place").count() == 3).await.unwrap();
    assert_eq!(place(&cluster, 1).on("worker-2").here().await.unwrap(), "worker-2");
}

#[tokio::test]
async fn a_partition_is_noticed_on_both_sides_and_heals() {
    let (plan, _) = cluster(2);
    let cluster = plan.start().await.unwrap();
    let place = place(&cluster, 1).on("worker-2");
    assert_eq!(place.here().await.unwrap(), "worker-2");
    cluster.partition(["worker-2"], ["coordinator", "worker-1"]).unwrap();

    // Before anybody knows, the call is sent and no answer comes: it may have run.
    let error = place.here().timeout(Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(&error, CallError::Deadline { method, .. } if method == "place/here"), "{error}");
    assert!(!error.is_safe_to_retry());

    let dead = |id: &'static str| move |members: &Members| status(members, id) == Some(NodeStatus::Dead);
    cluster.wait_until_on("coordinator", dead("worker-2")).await.unwrap();
    cluster.wait_until_on("worker-1", dead("worker-2")).await.unwrap();
    cluster.wait_until_on("worker-2", dead("coordinator")).await.unwrap();
    cluster.wait_until_on("worker-2", dead("worker-1")).await.unwrap();
    let error = place.here().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: node worker-2 is dead; calls go to members that are alive");
    assert!(error.is_safe_to_retry());
    // Each side goes on by itself.
    assert_eq!(cluster.worker(1).proxy().place().on("coordinator").here().await.unwrap(), "coordinator");
    assert_eq!(cluster.worker(2).proxy().place().here().await.unwrap(), "worker-2");

    cluster.heal();
    cluster.wait_until(|members| members.alive().count() == 3).await.unwrap();
    assert_eq!(place.here().await.unwrap(), "worker-2");
}

#[tokio::test(start_paused = true)]
async fn in_memory_the_clock_may_stand_still() {
    let (plan, _) = cluster(2);
    let mut cluster = plan.in_memory().start().await.unwrap();
    cluster.partition(["worker-2"], ["worker-1", "coordinator"]).unwrap();
    let error = place(&cluster, 1).on("worker-2").here().timeout(Duration::from_mins(1)).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. } | CallError::Transport { .. }), "{error}");
    cluster.wait_until_on("worker-2", |members| members.alive().count() == 1).await.unwrap();
    cluster.heal();
    cluster.wait_until(|members| members.alive().count() == 3).await.unwrap();
    cluster.kill("coordinator").unwrap();
    cluster.wait_until(|members| status(members, "coordinator") == Some(NodeStatus::Dead)).await.unwrap();
    assert_eq!(place(&cluster, 1).on("worker-2").here().await.unwrap(), "worker-2");
    cluster.restart("coordinator").await.unwrap();
    cluster.wait_until(|members| members.alive().count() == 3).await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_stopped_is_started_again_from_its_folder() {
    let (plan, _) = cluster(1);
    let mut cluster = plan.start().await.unwrap();
    cluster.stop("worker-1").await.unwrap();
    let error = cluster.node("worker-1").unwrap_err();
    assert_eq!(error.to_string(), "worker-1 does not run; cluster.restart(\"worker-1\") starts it again");
    cluster.restart("worker-1").await.unwrap();
    cluster.restart("coordinator").await.unwrap(); // one that runs is stopped before
    cluster.wait_until(|members| members.hosting("place").count() == 2).await.unwrap();
    assert_eq!(place(&cluster, 1).on("coordinator").here().await.unwrap(), "coordinator");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_there_is() {
    let error = TestCluster::new().workers(1).start().await.unwrap_err();
    assert_eq!(error.to_string(), "a cluster begins with a coordinator; write TestCluster::new().coordinator()");
    let mut cluster = TestCluster::new().coordinator().in_memory().start().await.unwrap();
    let unknown = "no node of this cluster is called \"worker-9\"; there are: coordinator";
    assert_eq!(cluster.kill("worker-9").unwrap_err().to_string(), unknown);
    assert_eq!(cluster.stop("worker-9").await.unwrap_err().to_string(), unknown);
    assert_eq!(cluster.restart("worker-9").await.unwrap_err().to_string(), unknown);
    assert_eq!(cluster.partition(["coordinator"], ["worker-9"]).unwrap_err().to_string(), unknown);
    cluster.kill("coordinator").unwrap();
    let error = cluster.kill("coordinator").unwrap_err();
    assert!(error.to_string().starts_with("coordinator does not run"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_about_is_told_with_what_is_seen_instead() {
    let cluster = TestCluster::new().coordinator().workers(1).in_memory().start().await.unwrap();
    let error = cluster.wait_until(|members| members.alive().count() == 9).await.unwrap_err().to_string();
    assert!(error.starts_with("the cluster did not become as wanted within 30 s:\n  coordinator sees: "), "{error}");
    assert!(error.contains("worker-1 alive (system)"), "{error}");
}

#[tokio::test]
async fn dropping_a_cluster_ends_its_nodes() {
    let (plan, mut waits) = cluster(1);
    let cluster = plan.start().await.unwrap();
    let (proxy, authority) = (cluster.worker(1).proxy(), cluster.worker(1).authority());
    drop(cluster);
    // Every service object goes with its node, and with the last of them the other end of this channel.
    tokio::time::timeout(Duration::from_mins(1), async { while waits.changed().await.is_ok() {} }).await.unwrap();
    proxy.place().on("coordinator").here().await.unwrap_err();
    let refused = tokio::net::TcpStream::connect(authority).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
