//! Calls between the nodes of a cluster: where they go, what they carry, and what becomes of them when a node is lost.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{
    Cluster, Plan,
    probe::{Full, Probe, ProbeProxyExt, Seen},
    sees, soon,
    web::Web,
    worker_ip,
};
use futures::StreamExt;
use p2p_client::protocol::{Many, NodeId, One};
use p2p_services::prelude::*;
use serde_json::json;

fn ids<T: std::fmt::Debug>(answers: p2p_client::call::Answers<T>) -> Vec<String> {
    let mut ids: Vec<_> = answers.all_ok().unwrap().into_iter().map(|(node, _)| node.to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_where_its_target_says() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1).with("gpu"), &coordinator).await;
    let two = cluster.worker(Plan::worker(2).with("gpu").with("eu-west"), &coordinator).await;
    for node in [&coordinator, &one, &two] {
        sees(node, |members| members.hosting("probe").count() == 2 && members.hosting("system").count() == 3).await;
    }

    // Here if it is hosted here, else a node that hosts it.
    for node in [&one, &two] {
        assert_eq!(node.proxy().probe().look().await.unwrap().node, node.id().as_str());
    }
    let mut served: Vec<String> = Vec::new();
    for _ in 0..4 {
        served.push(coordinator.proxy().probe().look().await.unwrap().node);
    }
    served.sort();
    assert_eq!(served, ["worker-1", "worker-1", "worker-2", "worker-2"], "calls are spread over equally good hosts");

    // By id, by role, by capability.
    let probe = one.proxy().probe();
    assert_eq!(probe.on("worker-2").look().await.unwrap().node, "worker-2");
    assert_eq!(probe.on(one.id()).look().await.unwrap().node, "worker-1");
    assert_eq!(one.proxy().system().on(Role::Coordinator).get_system_info().await.unwrap().node_id, *coordinator.id());
    assert_eq!(probe.on(Role::Worker).look().await.unwrap().node, "worker-1", "here is a worker too");
    assert_eq!(probe.on(Capability::from("eu-west")).look().await.unwrap().node, "worker-2");
    assert_eq!(probe.on(Capability::from("gpu")).look().await.unwrap().node, "worker-1");

    // To many.
    assert_eq!(ids(probe.on_all(Role::Worker).look().await), ["worker-1", "worker-2"]);
    assert_eq!(ids(probe.on_all(Many::All).look().await), ["worker-1", "worker-2"]);
    assert_eq!(ids(probe.on_all(Many::Others).look().await), ["worker-2"]);
    assert_eq!(ids(probe.on_all(Capability::from("eu-west")).look().await), ["worker-2"]);
    assert_eq!(ids(one.proxy().system().on_all(Many::All).get_system_metrics().await).len(), 3);
    let nodes = vec![one.id().clone(), two.id().clone()];
    assert_eq!(ids(coordinator.proxy().probe().on_all(nodes).look().await), ["worker-1", "worker-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_no_node_fits_names_its_target() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let probe = workers[0].proxy().probe();
    for (target, said) in [
        (One::from("worker-9"), "no member is called worker-9; the members are: coordinator, worker-1"),
        (One::from("no such id!"), "\"no such id!\" is no node id"),
        (One::from(Capability::from("gpu")), "no node with the capability gpu that is alive hosts probe"),
    ] {
        let error = probe.on(target).look().await.unwrap_err();
        assert!(matches!(&error, CallError::NoRoute(text) if text.contains(said)), "{error}");
        assert!(error.is_safe_to_retry());
    }
    let error = probe.on_all(Capability::from("gpu")).look().await.all_ok().unwrap_err();
    assert_eq!(error.to_string(), "probe/look was to succeed on 1, and no node fits the target and hosts the service");
    let error = workers[0].proxy().call("probes/look", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "no node of the cluster hosts a service \"probes\"; there are: probe, system");
    let error = workers[0].proxy().call("probe/loook", json!({})).await.unwrap_err();
    assert!(error.to_string().starts_with("service probe has no method loook; it has: look, "), "{error}");
    let error = workers[0].proxy().call("probe/loook", json!({})).on("coordinator").await.unwrap_err();
    assert!(matches!(&error, CallError::NotFound(text) if text.contains("it has: look, ")), "{error}");
    let error = workers[0].proxy().call("look", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("write service/method"), "{error}");
    assert_eq!(probe.on(coordinator.id()).look().await.unwrap().node, "coordinator");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_could_not_be_sent_goes_to_another_host() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let _one = cluster.worker(Plan::worker(1), &coordinator).await;
    let _two = cluster.worker(Plan::worker(2), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    let probe = coordinator.proxy().probe();
    for number in 0..2 {
        assert_eq!(probe.for_nodes(number).await.unwrap(), number); // opens both connections
    }

    cluster.network.kill(worker_ip(1));
    // The cluster does not know yet, so half of the calls are sent to the dead node first.
    assert_eq!(coordinator.members().members().hosting("probe").count(), 2);
    for number in 0..6 {
        assert_eq!(probe.for_nodes(number).await.unwrap(), number);
    }
    // A node that was named has no other in its place.
    let error = probe.on("worker-1").for_nodes(1).await.unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: false, .. }), "{error}");
    assert!(error.is_safe_to_retry() && error.to_string().contains("node worker-1 at 10.0.0.11:8002: nobody listens"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_host_that_is_cut_off_goes_to_another_within_its_time() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1), &coordinator).await;
    let two = cluster.worker(Plan::worker(2), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    // Never called before, so that the way has to be opened first; that hangs, and nothing is sent.
    cluster.network.partition(coordinator.ip, one.ip);
    for _ in 0..2 {
        let seen = coordinator.proxy().probe().look().timeout(Duration::from_secs(20)).await.unwrap();
        assert_eq!(seen.node, two.id().as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_node_dies_meanwhile_says_that_it_may_have_run() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let call = tokio::spawn(coordinator.proxy().probe().on("worker-1").wait());
    Probe::reached(&workers[0].probe.begun, 1).await;
    cluster.network.kill(worker_ip(1));
    let error = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: true, .. }), "{error}");
    assert!(!error.is_safe_to_retry());
    assert!(error.to_string().contains("node worker-1 at 10.0.0.11:8002: the connection broke"), "{error}");
    assert!(error.to_string().ends_with("; the call may have run"), "{error}");
    assert_eq!(*workers[1].probe.begun.borrow(), 0, "it was made nowhere else");
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_whose_node_dies_meanwhile_is_made_elsewhere() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1), &coordinator).await;
    let two = cluster.worker(Plan::worker(2), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;

    let call = tokio::spawn(coordinator.proxy().probe().wait_again());
    let (mut in_one, mut in_two) = (one.probe.begun.subscribe(), two.probe.begun.subscribe());
    let (dies, lives) = tokio::select! {
        _ = in_one.wait_for(|begun| *begun == 1) => (&one, &two),
        _ = in_two.wait_for(|begun| *begun == 1) => (&two, &one),
    };
    lives.probe.open.send_replace(true);
    cluster.network.kill(dies.ip);
    assert_eq!(soon(call).await.unwrap().unwrap(), lives.id().as_str());
}

#[tokio::test(start_paused = true)]
async fn a_call_by_name_whose_node_dies_meanwhile_is_made_elsewhere_where_its_method_says_that_it_may_run_twice() {
    for (method, may_run_twice) in [("probe/wait_again", true), ("probe/wait", false)] {
        let cluster = Cluster::new();
        let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
        let one = cluster.worker(Plan::worker(1), &coordinator).await;
        let two = cluster.worker(Plan::worker(2), &coordinator).await;
        sees(&coordinator, |members| members.hosting("probe").count() == 2).await;

        let call = tokio::spawn(coordinator.proxy().call(method, json!({})).on(One::Any));
        let (mut in_one, mut in_two) = (one.probe.begun.subscribe(), two.probe.begun.subscribe());
        let (dies, lives) = tokio::select! {
            _ = in_one.wait_for(|begun| *begun == 1) => (&one, &two),
            _ = in_two.wait_for(|begun| *begun == 1) => (&two, &one),
        };
        lives.probe.open.send_replace(true);
        cluster.network.kill(dies.ip);
        match soon(call).await.unwrap() {
            Ok(answer) => assert_eq!((answer.get(), may_run_twice), (format!("{:?}", lives.id().as_str()).as_str(), true)),
            Err(error) => {
                assert!(matches!(error, CallError::Transport { may_have_run: true, .. }) && !may_run_twice, "{error}");
                assert_eq!(*lives.probe.begun.borrow(), 0, "it was made nowhere else");
            }
        }
    }
}

#[tokio::test]
async fn a_call_from_outside_whose_host_dies_meanwhile_is_forwarded_to_another_where_its_method_says_that_it_may_run_twice() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1), &coordinator).await;
    let two = cluster.worker(Plan::worker(2), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;

    let operator = Web::operator(cluster.dir("coordinator"));
    let call = tokio::spawn(async move { operator.call("probe/wait_again", json!({})).await });
    let (mut in_one, mut in_two) = (one.probe.begun.subscribe(), two.probe.begun.subscribe());
    let (dies, lives) = tokio::select! {
        _ = in_one.wait_for(|begun| *begun == 1) => (&one, &two),
        _ = in_two.wait_for(|begun| *begun == 1) => (&two, &one),
    };
    lives.probe.open.send_replace(true);
    cluster.network.kill(dies.ip);
    assert_eq!(soon(call).await.unwrap(), Ok(json!(lives.id().as_str())));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_lost_may_have_run_although_the_next_host_was_not_even_reached() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1), &coordinator).await;
    let two = cluster.worker(Plan::worker(2), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;

    let call = tokio::spawn(coordinator.proxy().probe().wait_again());
    let (mut in_one, mut in_two) = (one.probe.begun.subscribe(), two.probe.begun.subscribe());
    let (serves, other) = tokio::select! {
        _ = in_one.wait_for(|begun| *begun == 1) => (&one, &two),
        _ = in_two.wait_for(|begun| *begun == 1) => (&two, &one),
    };
    cluster.network.kill(other.ip);
    cluster.network.kill(serves.ip);
    let error = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: true, .. }), "{error}");
    assert!(!error.is_safe_to_retry());
}

#[tokio::test(start_paused = true)]
async fn nested_calls_have_no_more_time_than_the_call_around_them() {
    let (_cluster, coordinator, _workers) = Cluster::of(2).await;
    let probe = coordinator.proxy().probe();
    // worker-1 pauses for 4 s of the 10, and asks worker-2, to which it would give a minute.
    let call = probe.on("worker-1").time_left(4_000, Some("worker-2".to_owned())).timeout(Duration::from_secs(10));
    let left = call.await.unwrap();
    assert!((5_900..=6_000).contains(&left.here_ms), "{left:?}");
    assert!((5_900..=6_000).contains(&left.there_ms.unwrap()), "{left:?}");

    let began = tokio::time::Instant::now();
    let error = probe.on("worker-1").time_left(9_000, None).timeout(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    assert!(error.to_string().starts_with("probe/time_left did not answer in time"), "{error}");
    assert!((2_000..2_100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_local_call_is_bounded_as_that_of_a_remote_one() {
    let (_cluster, coordinator, _workers) = Cluster::of(0).await;
    let began = tokio::time::Instant::now();
    let error = coordinator.proxy().probe().wait().timeout(Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!((*coordinator.probe.begun.borrow(), *coordinator.probe.dropped.borrow()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_cancelled_at_the_other_end() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let call = tokio::spawn(coordinator.proxy().probe().on("worker-1").wait());
    Probe::reached(&workers[0].probe.begun, 1).await;
    call.abort();
    Probe::reached(&workers[0].probe.dropped, 1).await;
    assert_eq!(*workers[0].probe.ended.borrow(), 0);
    // The connection lives on.
    assert_eq!(coordinator.proxy().probe().on("worker-1").for_nodes(7).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_runs_on_when_nobody_waits_for_it() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    for (node, at) in [("worker-1", &workers[0]), ("coordinator", &coordinator)] {
        let call = tokio::spawn(coordinator.proxy().probe().on(node).wait_on());
        Probe::reached(&at.probe.begun, 1).await;
        call.abort();
        assert!(soon(call).await.unwrap_err().is_cancelled());
        // A later call, answered on the same connection, comes after the cancellation.
        coordinator.proxy().probe().on(node).for_nodes(1).await.unwrap();
        at.probe.open.send_replace(true);
        Probe::reached(&at.probe.ended, 1).await;
        assert_eq!(*at.probe.dropped.borrow(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_and_what_it_has_spawned_learn_that_the_caller_at_another_node_is_gone() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let began = tokio::time::Instant::now();
    for (round, (node, at)) in (1..).zip([("worker-1", &workers[0]), ("coordinator", &coordinator)]) {
        let probe = coordinator.proxy().probe().on(node);
        let calls = [tokio::spawn(probe.until_cancelled()), tokio::spawn(probe.spawn_until_cancelled())];
        Probe::reached(&at.probe.begun, 2).await;
        assert_eq!(*at.probe.cancelled.borrow(), 0, "{round}: they are waited for");
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        Probe::reached(&at.probe.cancelled, 2).await;
        assert!(began.elapsed().as_secs() < 20, "not by the deadline");
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_learns_that_its_caller_was_lost_with_the_connection() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let began = tokio::time::Instant::now();
    let calls = [
        tokio::spawn(coordinator.proxy().probe().on("worker-1").until_cancelled().timeout(Duration::from_mins(50))),
        tokio::spawn(coordinator.proxy().probe().on("worker-1").spawn_until_cancelled().timeout(Duration::from_mins(50))),
    ];
    Probe::reached(&workers[0].probe.begun, 2).await;
    cluster.network.kill(coordinator.ip);
    Probe::reached(&workers[0].probe.cancelled, 2).await;
    assert!(began.elapsed().as_secs() < 600, "not by the deadline: {:?}", began.elapsed());
    drop(calls);
}

#[tokio::test]
async fn a_method_learns_that_its_client_over_http_is_gone() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let clients = [Web::operator(cluster.dir("coordinator")), Web::anonymous(cluster.host(worker_ip(9)), &coordinator)];
    let mut expected = 0;
    for web in clients {
        for method in ["probe/until_cancelled", "probe/spawn_until_cancelled"] {
            let web = web.clone();
            let call = tokio::spawn(async move { web.call(method, json!({})).await });
            expected += 1;
            Probe::reached(&coordinator.probe.begun, expected).await;
            assert_eq!(*coordinator.probe.cancelled.borrow(), expected - 1, "{method}: it is waited for");
            call.abort();
            Probe::reached(&coordinator.probe.cancelled, expected).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_panics_costs_its_own_call_only() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let probe = coordinator.proxy().probe();
    for node in ["worker-1", "coordinator"] {
        let error = probe.on(node).break_down().await.unwrap_err();
        assert!(matches!(error, CallError::Internal(_)), "{error}");
        assert_eq!(error.to_string(), "probe/break_down panicked; its node's log says where");
        assert_eq!(probe.on(node).for_nodes(3).await.unwrap(), 3);
        let error = probe.on(node).refuse().await.unwrap_err();
        assert!(matches!(&error, CallError::Internal(text) if text == "not today"), "{error}");
    }
    drop(workers);
}

#[tokio::test]
async fn a_method_sees_who_asks() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let seen = |node: &str, caller: &str, origin: Option<&str>| Seen {
        node: node.to_owned(),
        caller: caller.to_owned(),
        origin: origin.map(str::to_owned),
    };
    let probe = coordinator.proxy().probe();
    assert_eq!(probe.look().await.unwrap(), seen("coordinator", "node coordinator (coordinator)", None));
    assert_eq!(probe.on("worker-1").look().await.unwrap(), seen("worker-1", "node coordinator (coordinator)", None));
    let back = workers[0].proxy().probe().on("coordinator").look().await.unwrap();
    assert_eq!(back, seen("coordinator", "node worker-1 (worker)", None));

    // A call made while serving another is the serving node's; who began is kept for the audit log.
    let operator = Web::operator(cluster.dir("coordinator"));
    let direct = operator.call("probe/look", json!({})).await.unwrap();
    assert_eq!(direct["caller"], "the operator of this node");
    let nested = operator.call("probe/look_from_here", json!({ "node": "worker-1" })).await.unwrap();
    assert_eq!(nested["caller"], "node coordinator (coordinator)");
    assert_eq!(nested["origin"], "the operator of this node");
    let anonymous = Web::anonymous(cluster.host(worker_ip(9)), &coordinator);
    let direct = anonymous.call("probe/look", json!({})).await.unwrap();
    assert_eq!((&direct["caller"], &direct["origin"]), (&json!("an anonymous caller"), &json!(null)));
    let nested = anonymous.call("probe/look_from_here", json!({ "node": "worker-1" })).await.unwrap();
    assert_eq!(nested["caller"], "node coordinator (coordinator)");
    assert_eq!(nested["origin"], "an anonymous caller");
}

#[tokio::test(start_paused = true)]
async fn a_methods_own_time_holds_here_as_elsewhere() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    for (node, at) in [("coordinator", &coordinator), ("worker-1", &workers[0])] {
        let probe = coordinator.proxy().probe().on(node);
        for call in [probe.wait_briefly(), probe.wait_briefly().timeout(Duration::from_secs(20))] {
            let began = tokio::time::Instant::now();
            let error = call.await.unwrap_err();
            assert!(matches!(error, CallError::Deadline { .. }), "{error}");
            assert_eq!(began.elapsed().as_secs(), 1, "{node}");
        }
        // Whoever asks for less gets less, and the method ends with the call.
        let began = tokio::time::Instant::now();
        probe.wait_briefly().timeout(Duration::from_millis(200)).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_millis(300), "{node}: {:?}", began.elapsed());
        Probe::reached(&at.probe.dropped, 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_to_a_node_that_is_cut_off_ends_when_that_is_noticed() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let call = tokio::spawn(coordinator.proxy().probe().on("worker-1").wait().timeout(Duration::from_mins(10)));
    Probe::reached(&workers[0].probe.begun, 1).await;
    let began = tokio::time::Instant::now();
    cluster.network.partition(coordinator.ip, workers[0].ip);
    cluster.network.partition(workers[1].ip, workers[0].ip);
    let error = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: true, .. }), "{error}");
    println!("a call to a node that is cut off ends after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_tells_of_each_node_what_became_of_its_part() {
    let (cluster, coordinator, _workers) = Cluster::of(3).await;
    cluster.network.kill(worker_ip(2));
    let answers = coordinator.proxy().probe().on_all(Role::Worker).look().await;
    assert_eq!(answers.len(), 3);
    for (node, reply) in &answers {
        match node.as_str() {
            "worker-2" => {
                assert!(matches!(reply, Err(CallError::Transport { may_have_run: false, .. })), "{reply:?}");
            }
            _ => assert_eq!(reply.as_ref().unwrap().node, node.as_str()),
        }
    }
    let error = answers.all_ok().unwrap_err();
    assert!(error.to_string().contains("1 failed: worker-2: node worker-2 at 10.0.0.12:8002"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_null_in_json_arrives_from_another_node_as_what_it_was() {
    let (_cluster, coordinator, workers) = Cluster::of(2).await;
    let probe = coordinator.proxy().probe().on("worker-1");
    probe.nothing().await.unwrap();
    assert_eq!((*workers[0].probe.counted.borrow(), *workers[1].probe.counted.borrow()), (1, 0), "it ran once");
    for (said, heard) in [(None, None), (Some(7), Some(7))] {
        assert_eq!(probe.number_or_five(said).await.unwrap(), heard);
    }
    let unsaid = coordinator.proxy().call("probe/number_or_five", serde_json::json!({})).on("worker-1").await.unwrap();
    assert_eq!(unsaid.get(), "5");
    assert!(matches!(probe.full().await, Err(CallError::Service(Full))));
}

#[tokio::test(start_paused = true)]
async fn a_list_of_nodes_is_asked_once_each_and_one_that_is_unknown_is_in_the_result() {
    let (_cluster, coordinator, workers) = Cluster::of(2).await;
    let ids = ["worker-1", "nobody", "worker-1"].map(|id| id.parse::<NodeId>().unwrap());
    let answers = coordinator.proxy().probe().on_all(ids.to_vec()).for_nodes(1).await;
    let said: Vec<_> = answers.iter().map(|(node, reply)| (node.as_str(), reply.as_ref().ok())).collect();
    assert!(said.contains(&("worker-1", Some(&1))) && said.contains(&("nobody", None)), "{said:?}");
    assert_eq!((said.len(), *workers[0].probe.counted.borrow()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_that_fails_as_a_whole_says_so_also_as_a_stream() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let mut replies = coordinator.proxy().probe().on_all(Role::Worker).look().stream();
    let (node, reply) = replies.next().await.unwrap();
    assert_eq!(node, *coordinator.id());
    assert!(matches!(reply, Err(CallError::NotFound(_))), "{reply:?}");
    assert!(replies.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_call_goes_by_its_methods_own_limit_when_its_caller_gives_none() {
    let (cluster, coordinator, _workers) = Cluster::of(1).await;
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &coordinator);
    let left = nobody.call_at("/rpc?on=worker-1", "probe/patient", json!({})).await.unwrap().as_u64().unwrap();
    assert!((3590..=3600).contains(&left), "{left}");
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_is_settled_when_a_fan_out_is_first_polled() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1), &coordinator).await;
    let two = cluster.worker(Plan::worker(2), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;

    let everywhere = coordinator.proxy().probe().on_all(Many::All);
    let not_polled_yet = everywhere.look();
    let under_way = tokio::spawn(everywhere.wait());
    for asked in [&one, &two] {
        Probe::reached(&asked.probe.begun, 1).await;
    }
    // A node joins: those that are asked from now on are three, and it is not among those that were.
    let three = cluster.worker(Plan::worker(3), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 3).await;
    assert_eq!(ids(soon(not_polled_yet).await), ["worker-1", "worker-2", "worker-3"]);
    // A node dies: it was asked, and stays in the result as one that did not answer, also once it is no member any more.
    cluster.network.kill(one.ip);
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    two.probe.open.send_replace(true);
    three.probe.open.send_replace(true);

    let answers = soon(under_way).await.unwrap();
    assert_eq!(answers.asked(), Some(2));
    let (values, failures) = answers.into_parts();
    assert_eq!(values, [(two.id().clone(), "worker-2".to_owned())]);
    let [(id, error)] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!(id, one.id());
    assert!(matches!(error, CallError::Transport { may_have_run: true, .. }), "{error}");
    assert_eq!(*three.probe.begun.borrow(), 0, "it was not asked");
}
