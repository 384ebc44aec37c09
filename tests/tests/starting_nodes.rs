//! Nodes that start: they are members before they serve, and calls that nobody else can take wait for them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{collections::HashMap, sync::Arc, time::Duration};

use common::{Cluster, Member, Plan, log::Log, probe::ProbeProxyExt, sees, token, web::Web, worker_ip};
use futures::{StreamExt, poll};
use p2p_client::protocol::{Many, NodeId, NodeStatus, One};
use p2p_runtime::{identity::TokenOptions, network::Members, node::Enrolment};
use p2p_services::prelude::*;
use serde_json::json;
use tokio::{sync::Semaphore, time::Instant};

/// A part of a node that holds up its start, after it has become a member and before its services run.
struct Held(Arc<Semaphore>);

impl Component for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    async fn start(&self, _: &Context) -> Result<()> {
        self.0.acquire().await?.forget();
        Ok(())
    }

    async fn stop(&self, _: &Context) -> Result<()> {
        Ok(())
    }
}

/// A part of a node by which that hosts more services than it can tell others of.
struct Crowded;

impl Component for Crowded {
    fn name(&self) -> &'static str {
        "crowded"
    }

    async fn start(&self, cx: &Context) -> Result<()> {
        for number in 0..1_000 {
            let name = format!("{}{number:03}", "x".repeat(60));
            cx.register_method(&format!("{name}/nothing"), |_, _: HashMap<String, String>| async { Ok(()) })?;
        }
        Ok(())
    }

    async fn stop(&self, _: &Context) -> Result<()> {
        Ok(())
    }
}

/// A coordinator that hosts no probe, and a worker that is enrolled and hosts one.
async fn enrolled(number: u8) -> (Cluster, Member, Enrolment) {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let enrolment = enrol(&cluster, &coordinator, number).await;
    (cluster, coordinator, enrolment)
}

async fn enrol(cluster: &Cluster, coordinator: &Member, number: u8) -> Enrolment {
    let token = token(coordinator, TokenOptions::default()).await;
    cluster.join(&Plan::worker(number).with("gpu"), &coordinator.authority(), token).await.unwrap()
}

/// Starts the worker, and holds it up until the gate is opened.
async fn start_held(cluster: &Cluster, enrolment: Enrolment, gate: &Arc<Semaphore>) -> Member {
    let held = Held(gate.clone());
    cluster.start_with(Plan::worker(1).with("gpu"), enrolment, |builder| builder.component(held)).await.unwrap()
}

fn is_alive(members: &Members, id: &str) -> bool {
    members.get(&id.parse().unwrap()).is_some_and(|info| info.status == NodeStatus::Alive)
}

/// Whether the worker has said that it does not start any more.
fn has_started(members: &Members) -> bool {
    members.get(&"worker-1".parse().unwrap()).is_some_and(|info| !info.is_starting())
}

/// Waits until the coordinator sees a worker that starts.
async fn sees_it_start(coordinator: &Member) {
    let members = sees(coordinator, |members| is_alive(members, "worker-1")).await;
    let info = members.get(&"worker-1".parse().unwrap()).unwrap();
    assert!(info.is_starting() && info.services.is_empty(), "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_node_that_is_alive_and_starts_wait_until_it_serves() {
    let (cluster, coordinator, enrolment) = enrolled(1).await;
    let gate = Arc::new(Semaphore::new(0));
    let calling = async {
        sees_it_start(&coordinator).await;
        let (proxy, probe) = (coordinator.proxy(), coordinator.proxy().probe());
        let targets = [One::from("worker-1"), One::from(Role::Worker), One::from(Capability::from("gpu")), One::Any];
        let mut calls: Vec<_> = targets.into_iter().map(|target| probe.on(target).look()).collect();
        for call in &mut calls {
            assert!(poll!(call).is_pending());
        }
        let mut named = proxy.call("probe/look", json!({})).on("worker-1");
        let mut stream = probe.on("worker-1").count_for_scope(2);
        let nodes: Vec<NodeId> = vec!["worker-1".parse().unwrap(), "coordinator".parse().unwrap()];
        let mut to_both = proxy.system().on_all(nodes).get_system_info().stream();
        assert!(poll!(&mut named).is_pending() && poll!(&mut stream).is_pending());
        let (first, _) = to_both.next().await.unwrap();
        assert_eq!(first, *coordinator.id(), "who serves does not wait for who starts");

        gate.add_permits(1);
        for call in calls {
            assert_eq!(call.await.unwrap().node, "worker-1");
        }
        assert!(named.await.unwrap().get().contains("worker-1"));
        assert_eq!(stream.await.unwrap().map(std::result::Result::unwrap).collect::<Vec<_>>().await, [1, 2]);
        assert_eq!(to_both.next().await.unwrap().1.unwrap().node_id, "worker-1");
    };
    let (worker, ()) = tokio::join!(start_held(&cluster, enrolment, &gate), calling);
    let info = coordinator.members().members().get(worker.id()).cloned().unwrap();
    assert!(!info.is_starting() && info.services.contains_key("probe"), "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_from_outside_waits_at_the_node_that_sends_it_on() {
    let (cluster, coordinator, enrolment) = enrolled(1).await;
    let gate = Arc::new(Semaphore::new(0));
    let nobody = Web::anonymous(cluster.host(worker_ip(99)), &coordinator);
    let calling = async {
        sees_it_start(&coordinator).await;
        let to = |path: &'static str| nobody.call_at(path, "probe/look", json!({}));
        let calls = async { tokio::join!(to("/rpc?on=worker-1"), to("/rpc"), to("/rpc?on=all,node=coordinator,node=worker-1")) };
        let opening = async {
            // The clock stands still until all have come as far as they can.
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.add_permits(1);
        };
        let ((one, any, many), ()) = tokio::join!(calls, opening);
        for seen in [one, any] {
            assert_eq!(seen.unwrap()["node"], "worker-1");
        }
        let many = many.unwrap();
        assert_eq!(many["worker-1"]["result"]["node"], "worker-1", "{many}");
        assert!(many["coordinator"]["error"]["message"].as_str().unwrap().contains("no node that is alive fits"), "{many}");
    };
    let (_worker, ()) = tokio::join!(start_held(&cluster, enrolment, &gate), calling);
}

#[tokio::test(start_paused = true)]
async fn the_first_call_succeeds_that_is_made_as_soon_as_a_node_is_seen_alive() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    for number in 1..=3 {
        let enrolment = enrol(&cluster, &coordinator, number).await;
        let id = format!("worker-{number}");
        let calling = async {
            sees(&coordinator, |members| is_alive(members, &id)).await;
            assert_eq!(coordinator.proxy().probe().on(&*id).look().await.unwrap().node, id);
        };
        let (_worker, ()) = tokio::join!(cluster.start(Plan::worker(number).with("gpu"), enrolment), calling);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_five_seconds_or_its_own_time_for_a_node_that_starts_and_says_so_then() {
    let (cluster, coordinator, enrolment) = enrolled(1).await;
    let gate = Arc::new(Semaphore::new(0));
    let calling = async {
        sees_it_start(&coordinator).await;
        let probe = coordinator.proxy().probe();
        let said = "no route: node worker-1 is starting and has not said yet what it hosts; try again in a second";
        for (timeout, waited) in [(Duration::from_secs(30), 5), (Duration::from_secs(1), 1)] {
            for target in [One::from("worker-1"), One::Any] {
                let began = Instant::now();
                let error = probe.on(target).look().timeout(timeout).await.unwrap_err();
                assert_eq!((error.to_string().as_str(), began.elapsed().as_secs()), (said, waited));
                assert!(error.is_safe_to_retry());
            }
        }
        // Who is sought among all that host it is not waited for, and the error says what it is.
        let began = Instant::now();
        let error = probe.on_all(Many::Others).look().await.all_ok().unwrap_err();
        assert!(error.to_string().contains("node worker-1 is starting"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(1));
        // A node that dies while it starts is waited for no longer.
        cluster.network.kill(worker_ip(1));
        let error = probe.on("worker-1").look().await.unwrap_err();
        assert!(error.to_string().contains("node worker-1 is dead; calls go to members that are alive"), "{error}");
        gate.add_permits(1);
    };
    let (_worker, ()) = tokio::join!(start_held(&cluster, enrolment, &gate), calling);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_node_that_serves_and_hosts_nothing_of_the_kind() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let plan = Plan::worker(1).without_probe();
    let token = token(&coordinator, TokenOptions::default()).await;
    let enrolment = cluster.join(&plan, &coordinator.authority(), token).await.unwrap();
    let _worker = cluster.start_with(plan, enrolment, p2p_runtime::node::NodeBuilder::only_given_services).await.unwrap();
    sees(&coordinator, |members| is_alive(members, "worker-1") && has_started(members)).await;
    let began = Instant::now();
    let error = coordinator.proxy().probe().on("worker-1").look().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: node worker-1 does not host probe; it hosts: ");
    let error = coordinator.proxy().probe().look().await.unwrap_err();
    assert_eq!(error.to_string(), "no node of the cluster hosts a service \"probe\"; there are: system");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_node_that_serves_and_hosts_more_than_it_can_tell() {
    let log = Log::capture();
    let (cluster, coordinator, enrolment) = enrolled(1).await;
    let worker = cluster.start_with(Plan::worker(1), enrolment, |builder| builder.component(Crowded)).await.unwrap();
    let members = sees(&coordinator, |members| is_alive(members, "worker-1") && has_started(members)).await;
    assert!(members.get(worker.id()).unwrap().services.is_empty(), "control: what it hosts is too long to be told");
    let began = Instant::now();
    let error = coordinator.proxy().probe().on("worker-1").look().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: node worker-1 does not host probe; it hosts: ");
    assert_eq!(began.elapsed(), Duration::ZERO);
    let text = log.text();
    for said in ["could not be told what this node hosts", "are allowed; shorten its metadata or host fewer services"] {
        assert!(text.contains(said), "{said} in {text}");
    }
}
