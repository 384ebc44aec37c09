//! How fast a revocation is everywhere: whole nodes in one process, on a simulated network, by the real clock.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Cluster, Member, Plan, identity, probe::ProbeProxyExt, token};
use futures::future::join_all;
use p2p_client::{
    revocation::{Reason, Subject},
    wire::{
        dial::{Dial, PeerRef, TlsDial},
        tls::ClientTls,
    },
};
use p2p_runtime::{
    identity::TokenOptions,
    network::{Members, MembershipConfig},
    node::NodeBuilder,
    testing::MemoryHost,
};
use p2p_services::prelude::*;
use tokio::{io::AsyncReadExt, time::timeout};

const NODES: u8 = 24;
/// How many nodes join at a time.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_mins(3);

/// Nodes that share two processors probe each other less often than on machines of their own.
fn unhurried() -> MembershipConfig {
    MembershipConfig {
        probe_period: Duration::from_secs(3),
        probe_rtt: Duration::from_secs(1),
        suspicion: Duration::from_secs(20),
        gossip_period: Duration::from_millis(300),
        sync_joining: Duration::from_secs(2),
        ..MembershipConfig::default()
    }
}

/// A cluster of a coordinator and workers, each of which sees all others.
async fn cluster() -> (Cluster, Member, Vec<Member>) {
    let cluster = Cluster::new();
    let enrolment = cluster.init(&Plan::coordinator()).await.unwrap();
    let quiet = |builder: NodeBuilder| builder.membership(unhurried());
    let coordinator = cluster.start_with(Plan::coordinator(), enrolment, quiet).await.unwrap();
    let uses = NonZeroU32::new(u32::from(NODES)).unwrap();
    let token = token(&coordinator, TokenOptions { uses, ..TokenOptions::default() }).await;
    let numbers: Vec<_> = (1..NODES).collect();
    // All join before the first of them runs, which two processors would be busy with.
    let mut enrolled = Vec::new();
    for numbers in numbers.chunks(AT_ONCE) {
        let joining = numbers.iter().map(async |number| {
            let plan = Plan::worker(*number);
            let enrolment = cluster.join(&plan, &coordinator.authority(), token.clone()).await.unwrap();
            (plan, enrolment)
        });
        enrolled.extend(join_all(joining).await);
    }
    let starting = enrolled.into_iter().map(|(plan, enrolment)| cluster.start_with(plan, enrolment, quiet));
    let workers: Vec<_> = join_all(starting).await.into_iter().map(Result::unwrap).collect();
    let all = |members: &Members| members.hosting("probe").count() == usize::from(NODES);
    for node in workers.iter().chain([&coordinator]) {
        timeout(PATIENCE, node.wait_until(all)).await.unwrap_or_else(|_| panic!("{} does not see all others", node.id()));
    }
    (cluster, coordinator, workers)
}

/// Waits until a node knows of it, then lets the revoked node knock there: refused.
async fn refusal(node: &Member, revoked: &NodeId, network: MemoryHost, tls: ClientTls) -> (Instant, Instant) {
    let revocations = node.ledger().revocations();
    let mut changes = revocations.subscribe();
    while revocations.set().revoked_at(revoked).is_none() {
        changes.next().await;
    }
    let known = Instant::now();
    let dial = TlsDial::new(Arc::new(network), tls);
    let peer = PeerRef { node_id: node.id().clone(), authority: node.authority().into() };
    let mut dialled = dial.dial(&peer).await.unwrap();
    let said = dialled.stream.read(&mut [0]).await.unwrap_err().to_string();
    assert!(said.contains("CertificateRevoked"), "{said}");
    (known, Instant::now())
}

fn show(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{name}: p50 {:?}, p99 {:?}, max {:?} ({} nodes)", at(50), at(99), at(100), times.len());
    at(99)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_everywhere_within_two_seconds_and_open_sessions_end_within_one_of_its_arrival() {
    let began = Instant::now();
    let (cluster, coordinator, mut workers) = cluster().await;
    println!("{NODES} nodes joined and know each other after {:?}", began.elapsed());
    let revoked = workers.pop().unwrap();
    let (id, tls) = (revoked.id().clone(), identity(&revoked).client_tls());

    // Every node has a session with it, and a call in flight on it.
    let calls: Vec<_> = workers
        .iter()
        .chain([&coordinator])
        .map(|node| {
            let (proxy, id) = (node.proxy(), id.clone());
            tokio::spawn(async move { (proxy.probe().on(id).wait().timeout(PATIENCE).await, Instant::now()) })
        })
        .collect();
    let others = u32::from(NODES) - 1;
    timeout(PATIENCE, revoked.probe.begun.subscribe().wait_for(|begun| *begun == others)).await.unwrap().unwrap();

    let command = Instant::now();
    let subject = Subject::Node { node_id: id.clone() };
    let acknowledged = async {
        coordinator.ledger().revoke(vec![subject], Reason::default()).await.unwrap();
        command.elapsed()
    };
    let refusals = workers.iter().chain([&coordinator]).map(|node| refusal(node, &id, cluster.host(revoked.ip), tls.clone()));
    let (acknowledged, refusals) = timeout(PATIENCE, futures::future::join(acknowledged, join_all(refusals))).await.unwrap();
    println!("acknowledged, and durable, after {acknowledged:?}");
    show("from the command until it is known", refusals.iter().map(|(known, _)| *known - command).collect());
    let refused =
        show("from the command until a connection is refused", refusals.iter().map(|(_, refused)| *refused - command).collect());
    assert!(refused <= Duration::from_secs(2), "{refused:?}");

    let mut closed = Vec::new();
    for (call, (known, _)) in calls.into_iter().zip(&refusals) {
        let (outcome, ended) = timeout(PATIENCE, call).await.unwrap().unwrap();
        outcome.unwrap_err();
        closed.push(ended.saturating_duration_since(*known));
    }
    let closed = show("from its arrival until the open session has ended", closed);
    assert!(closed <= Duration::from_secs(1), "{closed:?}");
}
