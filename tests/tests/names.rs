//! Nodes that are known by DNS names: they join by them, are certified for them, and are reached under them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{net::IpAddr, sync::Arc};

use common::{COORDINATOR, Cluster, Member, Plan, identity, password, probe::ProbeProxyExt, sees, soon, token, worker_ip};
use p2p_runtime::{
    identity::{Host, JoinError, Refused, TokenOptions},
    node::{Enrolment, InitOptions, JoinClusterOptions, NodeError, init, join},
};

/// A coordinator that is known by this name only.
async fn head(cluster: &Cluster, name: &str) -> Member {
    cluster.network.name(name, COORDINATOR);
    let plan = Plan::coordinator();
    let options = InitOptions {
        dir: cluster.dir(&plan.id),
        password: password(),
        node_id: Some(plan.id.parse().unwrap()),
        advertise: Some(name.parse().unwrap()),
        listen: None,
        capabilities: Vec::new(),
    };
    let made = init(options).await.unwrap();
    cluster.start(plan, made.enrolment).await
}

/// Joins as the worker of this number, under a name that leads to `ip`.
async fn joins(cluster: &Cluster, head: &Member, number: u8, name: &str, ip: IpAddr) -> Result<Enrolment, NodeError> {
    cluster.network.name(name, ip);
    let plan = Plan::worker(number);
    let options = JoinClusterOptions {
        node_id: Some(plan.id.parse().unwrap()),
        advertise: Some(name.parse().unwrap()),
        network: Arc::new(cluster.host(plan.ip)),
        ..JoinClusterOptions::new(cluster.dir(&plan.id), password(), head.authority(), token(head, TokenOptions::default()).await)
    };
    Ok(soon(join(options)).await?.enrolment)
}

fn certified_for(member: &Member) -> Vec<Host> {
    identity(member).certificate().unwrap().addresses
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_known_by_names_join_are_certified_for_them_and_reach_each_other() {
    let cluster = Cluster::new();
    let head = head(&cluster, "head.example").await;
    assert!(head.authority().starts_with("head.example:"), "{}", head.authority());
    let mut all = vec![head];
    for (number, name) in [(1, "one.example"), (2, "two.example")] {
        let enrolment = joins(&cluster, &all[0], number, name, worker_ip(number)).await.unwrap();
        let worker = cluster.start(Plan::worker(number), enrolment).await;
        assert_eq!(certified_for(&worker), [name.parse().unwrap()]);
        assert!(worker.authority().starts_with(&format!("{name}:")), "{}", worker.authority());
        all.push(worker);
    }
    assert_eq!(certified_for(&all[0]), ["head.example".parse().unwrap()]);
    for from in &all {
        let known = sees(from, |members| members.hosting("probe").count() == 3).await;
        assert!(known.list().iter().all(|info| info.address.ends_with(".example")), "{:?}", known.list());
        for to in ["coordinator", "worker-1", "worker-2"] {
            assert_eq!(soon(from.proxy().probe().on(to).look()).await.unwrap().node, to);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_moves_to_another_address_behind_its_name_and_needs_no_other_certificate() {
    let cluster = Cluster::new();
    let head = head(&cluster, "head.example").await;
    let enrolment = joins(&cluster, &head, 1, "one.example", worker_ip(1)).await.unwrap();
    let worker = cluster.start(Plan::worker(1), enrolment).await;
    sees(&head, |members| members.hosting("probe").count() == 2).await;
    let before = identity(&worker).certificate().unwrap().hash;
    worker.node.stop().await;
    cluster.network.name("one.example", worker_ip(9));
    let moved = cluster.restart(Plan { ip: worker_ip(9), ..Plan::worker(1) }).await;
    soon(async {
        while head.proxy().probe().on("worker-1").look().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_mins(10)).await;
    assert_eq!(identity(&moved).certificate().unwrap().hash, before);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_elsewhere_or_nowhere_lets_nobody_in_and_leaves_the_token_good() {
    let cluster = Cluster::new();
    let head = head(&cluster, "head.example").await;
    let refused = joins(&cluster, &head, 1, "one.example", worker_ip(9)).await.err().unwrap();
    let NodeError::Join(JoinError::Refused(Refused::NoAddressProved { tried, .. })) = &refused else { panic!("{refused}") };
    assert_eq!(tried[0].address, "one.example".parse().unwrap());
    assert!(head.issuer().unwrap().tokens().iter().all(|token| token.uses_left == 1));
}
