//! Nodes that come, go, die, are cut off, and come back; and what the others make of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{
    Cluster, Plan, identity,
    probe::{Probe, ProbeProxyExt},
    sees, soon, token,
    web::Web,
    worker_ip,
};
use p2p_client::protocol::ErrorCode;
use p2p_runtime::{
    identity::TokenOptions,
    network::{GossipState, MemberEvent, Members},
    node::{NodeError, join},
    persistence::StatePersistence,
    service::RegistryError,
};
use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

fn status(members: &Members, id: &str) -> Option<NodeStatus> {
    members.get(&id.parse().unwrap()).map(|info| info.status)
}

/// Follows a node's events until one fits; gives how long that took.
async fn until(node: &Node, began: Instant, fits: impl Fn(&MemberEvent) -> bool) -> Duration {
    let (_, mut events) = node.members().subscribe();
    soon(async {
        while !fits(&events.next().await.expect("the node runs")) {}
        began.elapsed()
    })
    .await
}

fn failed(id: &'static str) -> impl Fn(&MemberEvent) -> bool {
    move |event| matches!(event, MemberEvent::Failed(info) if info.node_id.as_str() == id)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_is_a_full_member_within_a_second() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let plan = Plan::worker(2);
    let token = token(&coordinator, TokenOptions::default()).await;

    let (began, began_really) = (Instant::now(), std::time::Instant::now());
    let enrolment = soon(cluster.join(&plan, &coordinator.authority(), token)).await.unwrap();
    let (joined, joined_really) = (began.elapsed(), began_really.elapsed());
    let newcomer = cluster.start(plan, enrolment).await;
    for node in [&*coordinator, &*workers[0], &*newcomer] {
        let everything = |members: &Members| {
            members.alive().count() == 3
                && members.hosting("probe").count() == 3
                && members.hosting("system").count() == 3
                && members.by_role(Role::Coordinator).count() == 1
        };
        sees(node, everything).await;
    }
    let took = began.elapsed();
    println!(
        "a full member {took:?} after join began, of which {joined:?} until it was let in (waiting only); \
         with this build's computing {:?}, of which {joined_really:?} with making the store",
        began_really.elapsed()
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
    for node in [&coordinator, &workers[0], &newcomer] {
        let seen = node.proxy().probe().on_all(Role::Worker).look().await.all_ok().unwrap();
        assert_eq!(seen.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_reported_failed_to_all_others_within_five_seconds() {
    let (cluster, coordinator, workers) = Cluster::of(3).await;
    let began = Instant::now();
    cluster.network.kill(worker_ip(3));
    let (a, b, c) = tokio::join!(
        until(&coordinator, began, failed("worker-3")),
        until(&workers[0], began, failed("worker-3")),
        until(&workers[1], began, failed("worker-3"))
    );
    println!("a killed node is reported failed after {a:?}, {b:?} and {c:?}");
    assert!(a.max(b).max(c) < Duration::from_secs(5), "{a:?} {b:?} {c:?}");
    let error = coordinator.proxy().probe().on("worker-3").look().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: node worker-3 is dead; calls go to members that are alive");
    assert_eq!(coordinator.proxy().probe().on_all(Role::Worker).look().await.all_ok().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_is_reported_failed_and_recovers_when_the_way_is_open() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let began = Instant::now();
    cluster.network.partition(worker_ip(2), coordinator.ip);
    cluster.network.partition(worker_ip(2), worker_ip(1));
    let (a, b) = tokio::join!(until(&coordinator, began, failed("worker-2")), until(&workers[0], began, failed("worker-2")));
    println!("a node that is cut off is reported failed after {a:?} and {b:?}");
    assert!(a.max(b) < Duration::from_secs(5), "{a:?} {b:?}");
    // Alone on its side, it finds the others dead, serves itself, and says why it cannot reach them.
    let dead = |members: &Members, id| status(members, id) == Some(NodeStatus::Dead);
    sees(&workers[1], |members| dead(members, "coordinator") && dead(members, "worker-1")).await;
    assert_eq!(workers[1].proxy().probe().look().await.unwrap().node, "worker-2");
    let error = workers[1].proxy().system().on(Role::Coordinator).get_system_info().await.unwrap_err();
    assert!(error.to_string().contains("no coordinator that is alive hosts"), "{error}");

    let began = Instant::now();
    cluster.network.heal(worker_ip(2), coordinator.ip);
    cluster.network.heal(worker_ip(2), worker_ip(1));
    for node in [&coordinator, &workers[0], &workers[1]] {
        sees(node, |members| members.alive().count() == 3).await;
    }
    println!("all three see each other again {:?} after the way is open", began.elapsed());
    assert_eq!(coordinator.proxy().probe().on("worker-2").look().await.unwrap().node, "worker-2");
}

#[tokio::test(start_paused = true)]
async fn calls_go_elsewhere_after_a_member_left_and_fail_with_its_name_when_it_was_named() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1), &coordinator).await;
    let two = cluster.worker(Plan::worker(2), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;

    let began = Instant::now();
    let (left, told) = tokio::join!(
        two.node.leave(),
        until(&coordinator, began, |event| matches!(event, MemberEvent::Left(info) if info.node_id.as_str() == "worker-2"))
    );
    left.unwrap();
    println!("a node that leaves is gone for the others after {told:?}");
    assert_eq!(status(&coordinator.members().members(), "worker-2"), Some(NodeStatus::Left));
    let probe = coordinator.proxy().probe();
    for _ in 0..3 {
        assert_eq!(probe.look().await.unwrap().node, "worker-1");
    }
    let error = probe.on("worker-2").look().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: node worker-2 has left; calls go to members that are alive");
    assert!(matches!(error, CallError::NoRoute(_)));

    one.node.leave().await.unwrap();
    sees(&coordinator, |members| members.alive().count() == 1).await;
    let error = probe.look().await.unwrap_err();
    assert!(matches!(&error, CallError::NoRoute(text) if text.ends_with("hosts probe")), "{error}");

    // For good: neither started nor joined again from that folder.
    let plan = Plan::worker(1);
    let error = p2p_runtime::node::Enrolment::open(cluster.dir("worker-1"), common::password()).await.err().unwrap();
    assert!(matches!(error, NodeError::HasLeft { .. }));
    assert_eq!(error.to_string(), "node worker-1 has left its cluster; join again under a fresh --dir");
    let token = token(&coordinator, TokenOptions::default()).await;
    let error = cluster.join(&plan, &coordinator.authority(), token).await.err().unwrap();
    assert!(matches!(error, NodeError::HasLeft { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_worker_finds_the_cluster_without_its_seeds() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    let two = workers.pop().unwrap();
    let one = workers.pop().unwrap();
    let first_key = identity(&one).key().public();
    one.node.stop().await;
    let saved = StatePersistence::<GossipState>::new(cluster.dir("worker-1").join("gossip_state.json")).load().unwrap();
    assert_eq!(saved.unwrap().peers.len(), 2);

    // Its seed is the coordinator, and that is gone.
    cluster.network.kill(coordinator.ip);
    sees(&two, |members| members.alive().count() == 1).await;
    let began = Instant::now();
    let one = cluster.restart(Plan::worker(1)).await;
    for node in [&one, &two] {
        sees(node, |members| members.hosting("probe").count() == 2).await;
    }
    println!("a restarted worker is back without its seeds after {:?}", began.elapsed());
    assert_eq!((one.id().as_str(), identity(&one).key().public()), ("worker-1", first_key));
    assert_eq!(one.port(), 8002);
    assert_eq!(one.proxy().probe().on("worker-2").look().await.unwrap().caller, "node worker-1 (worker)");
    assert_eq!(two.proxy().probe().on("worker-1").look().await.unwrap().node, "worker-1");
}

#[tokio::test(start_paused = true)]
async fn a_killed_worker_comes_back_under_its_id_and_is_called_again() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let one = workers.pop().unwrap();
    // Killed: nothing was saved or said, and the machine lets go of the store.
    cluster.network.kill(worker_ip(1));
    sees(&coordinator, |members| status(members, "worker-1") == Some(NodeStatus::Dead)).await;
    one.node.stop().await;
    let began = Instant::now();
    let one = cluster.restart(Plan::worker(1)).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    println!("a worker that was killed is back after {:?}", began.elapsed());
    assert_eq!(coordinator.proxy().probe().on("worker-1").look().await.unwrap().node, "worker-1");
    assert_eq!(one.proxy().probe().on("coordinator").look().await.unwrap().node, "coordinator");
}

#[tokio::test(start_paused = true)]
async fn workers_go_on_without_a_coordinator() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    cluster.network.kill(coordinator.ip);
    for node in &workers {
        sees(node, |members| status(members, "coordinator") == Some(NodeStatus::Dead)).await;
    }
    assert_eq!(workers[0].proxy().probe().on("worker-2").look().await.unwrap().node, "worker-2");
    assert_eq!(workers[1].proxy().probe().on("worker-1").look().await.unwrap().node, "worker-1");
    let error = workers[0].proxy().probe().on(Role::Coordinator).look().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: no coordinator that is alive hosts probe");
    // They stay members for each other also through the next seconds.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(workers[0].members().members().alive().count(), 2);

    // It comes back, and they find it.
    coordinator.node.stop().await;
    let coordinator = cluster.restart(Plan::coordinator()).await;
    for node in workers.iter().chain([&coordinator]) {
        sees(node, |members| members.hosting("probe").count() == 3).await;
    }
    assert_eq!(workers[0].proxy().probe().on(Role::Coordinator).look().await.unwrap().node, "coordinator");
}

#[tokio::test]
async fn a_node_that_stops_finishes_what_runs_and_takes_nothing_new() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let one = workers.pop().unwrap();
    let (web, probe) = (Web::node(cluster.host(coordinator.ip), &one, &coordinator), one.probe.clone());
    let running = tokio::spawn(coordinator.proxy().probe().on("worker-1").wait());
    Probe::reached(&probe.begun, 1).await;

    let stopping = tokio::spawn(one.node.stop());
    let refused = soon(async {
        loop {
            let answer = web.post("/rpc/probe/for_nodes", r#"{"number":1}"#).await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["retry-after"], "1");
    let (code, said) = refused.error();
    assert_eq!((code, said.as_str()), (ErrorCode::UNAVAILABLE.0, "this node is starting or stopping; try again in a second"));
    let error = coordinator.proxy().probe().on("worker-1").for_nodes(1).await.unwrap_err();
    assert!(matches!(&error, CallError::Transport { may_have_run: false, .. }), "{error}");
    assert!(!running.is_finished() && !stopping.is_finished());

    probe.open.send_replace(true);
    assert_eq!(soon(running).await.unwrap().unwrap(), "worker-1");
    soon(stopping).await.unwrap();
    assert_eq!((*probe.ended.borrow(), *probe.dropped.borrow()), (1, 0));
    assert_eq!(coordinator.proxy().probe().look().await.unwrap().node, "coordinator");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_waits_for_what_runs_only_so_long() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let one = workers.pop().unwrap();
    let probe = one.probe.clone();
    let running = tokio::spawn(coordinator.proxy().probe().on("worker-1").wait().timeout(Duration::from_mins(10)));
    Probe::reached(&probe.begun, 1).await;
    let began = Instant::now();
    soon(one.node.stop()).await;
    println!("a node that stops with a call that does not end is gone after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let error = soon(running).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: true, .. }), "{error}");
    Probe::reached(&probe.dropped, 1).await;
    drop(cluster.restart(Plan::worker(1)).await);
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Number {
    number: u32,
}

#[tokio::test(start_paused = true)]
async fn a_method_registered_at_run_time_can_be_called_from_another_node() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let (cx, proxy) = (workers[0].context(), coordinator.proxy());
    let error = proxy.call("math/double", json!({ "number": 4 })).await.unwrap_err();
    assert!(matches!(&error, CallError::NotFound(text) if text.contains("there are: probe, system")), "{error}");

    cx.register_method("math/double", |_, params: Number| async move { Ok(params.number * 2) }).unwrap();
    let members = sees(&coordinator, |members| members.hosting("math").count() == 1).await;
    let first = members.get(workers[0].id()).unwrap().services["math"].fingerprint;
    assert_eq!(proxy.call("math/double", json!({ "number": 4 })).await.unwrap().get(), "8");

    // A second method of the same service changes what the cluster is told of it.
    cx.register_method("math/triple", |_, params: Number| async move { Ok(params.number * 3) }).unwrap();
    let id = workers[0].id();
    sees(&coordinator, |members| members.get(id).unwrap().services["math"].fingerprint != first).await;
    assert_eq!(proxy.call("math/triple", json!({ "number": 4 })).on("worker-1").await.unwrap().get(), "12");
    assert_eq!(proxy.call("math/double", json!({ "number": 5 })).await.unwrap().get(), "10");

    // A handler that panics before it has made its future costs its own call only, here as elsewhere.
    cx.register_method("math/broken", |_, params: Number| -> std::future::Ready<Result<u32>> {
        panic!("{} too many", params.number)
    })
    .unwrap();
    sees(&coordinator, |members| members.get(id).unwrap().services["math"].fingerprint != first).await;
    for proxy in [cx.proxy(), proxy.clone()] {
        let error = proxy.call("math/broken", json!({ "number": 1 })).on("worker-1").await.unwrap_err();
        assert!(matches!(&error, CallError::Internal(text) if text.contains("math/broken panicked")), "{error}");
    }

    let error = proxy.call("math/double", json!({ "number": "four" })).await.unwrap_err();
    assert!(matches!(error, CallError::InvalidParams(_)), "{error}");
    assert!(error.to_string().contains("expected u32"), "{error}");
    for (path, refused) in [
        ("probe/more", RegistryError::NotDynamic("probe".to_owned())),
        ("more", RegistryError::InvalidPath("more".to_owned())),
        ("Math/double", RegistryError::InvalidPath("Math/double".to_owned())),
    ] {
        let error = cx.register_method(path, |_, _: Number| async { Ok(1) }).unwrap_err();
        assert_eq!(error, refused);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stopped_is_named_in_the_error_and_soon_hosts_nothing_for_the_others() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    workers.pop().unwrap().node.stop().await;
    let error = coordinator.proxy().probe().on("worker-1").look().await.unwrap_err();
    assert!(error.is_safe_to_retry(), "{error}");
    assert!(error.to_string().contains("worker-1"), "{error}");
    sees(&coordinator, |members| members.hosting("probe").count() == 1).await;
    let back = cluster.restart(Plan::worker(1)).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    assert_eq!(back.proxy().probe().on("coordinator").look().await.unwrap().node, "coordinator");
}

#[tokio::test]
async fn a_node_whose_membership_ends_by_a_mistake_stops_with_an_error_by_which_it_is_started_again() {
    let cluster = Cluster::new();
    let node = cluster.coordinator(Plan::coordinator()).await.node;
    node.members().update_me(|_| panic!("a mistake")).await.unwrap_err();
    let ended = soon(node.run_until_shutdown()).await.unwrap_err();
    assert!(matches!(&ended, NodeError::MembershipEnded { node_id } if *node_id == "coordinator"), "{ended:?}");
    let said = "node coordinator has stopped, as its membership ended by itself; start it again, and please report this";
    assert!(ended.to_string().starts_with(said), "{ended}");
    // The control: one that is asked to stop has done what it was to do.
    let node = cluster.restart(Plan::coordinator()).await.node;
    node.context().shut_down();
    soon(node.run_until_shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_cluster_works_on_the_machines_own_sockets() {
    use p2p_runtime::{
        identity::Host,
        node::{InitOptions, JoinClusterOptions, init},
    };
    let folder = tempfile::tempdir().unwrap();
    let loopback = || Some(Host::Ip([127, 0, 0, 1].into()));
    let any_port = "127.0.0.1:0".parse().unwrap();
    let made = init(InitOptions {
        dir: folder.path().join("c"),
        password: common::password(),
        node_id: Some("coordinator".parse().unwrap()),
        advertise: loopback(),
        listen: Some(any_port),
        capabilities: Vec::new(),
    })
    .await
    .unwrap();
    let coordinator = Node::builder().enrolment(made.enrolment).start().await.unwrap();
    assert_ne!(coordinator.port(), 0);
    let token = token(&coordinator, TokenOptions::default()).await;
    let began = std::time::Instant::now();
    let options = JoinClusterOptions {
        node_id: Some("worker-1".parse().unwrap()),
        advertise: loopback(),
        listen: Some(any_port),
        ..JoinClusterOptions::new(folder.path().join("w"), common::password(), coordinator.authority(), token)
    };
    // The joiner waits for the challenge's port should another program use it.
    let joined = soon(join(options)).await.unwrap();
    assert!(joined.left_out.is_empty());
    assert_eq!(joined.enrolment.config.seeds, [coordinator.authority()], "the coordinator says where it really listens");
    let worker = Node::builder().enrolment(joined.enrolment).start().await.unwrap();
    for node in [&coordinator, &worker] {
        sees(node, |members| members.hosting("system").count() == 2).await;
    }
    println!("over real sockets, with this build: a full member {:?} after join began (with making the store)", began.elapsed());
    assert_eq!(coordinator.proxy().system().on("worker-1").get_system_info().await.unwrap().node_id, *worker.id());
    assert_eq!(worker.proxy().system().on(Role::Coordinator).get_system_info().await.unwrap().node_id, *coordinator.id());
    worker.stop().await;
    coordinator.stop().await;
}
