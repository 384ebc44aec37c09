//! Certificates that are renewed while the cluster works.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{
    Cluster, Member, Plan, identity,
    log::Log,
    probe::{Probe, ProbeProxyExt},
    sees, soon, token,
    web::Web,
};
use futures::StreamExt;
use p2p_client::revocation::{Reason, Subject};
use p2p_runtime::{
    identity::{TokenOptions, renewal::RenewError},
    node::Enrolment,
};
use p2p_services::prelude::*;

/// How long calls and streams go on while certificates are renewed.
const UNDER_LOAD: Duration = Duration::from_mins(1);

/// Streams numbers, until its reader goes.
struct Numbers;

#[service]
impl Numbers {
    /// One number after the other.
    #[service_method]
    async fn count(&self) -> Result<impl Stream<Item = u64>> {
        Ok(futures::stream::unfold(0_u64, |number| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((number, number + 1))
        }))
    }
}

async fn node(cluster: &Cluster, plan: Plan, enrolment: Enrolment) -> Member {
    cluster.start_with(plan, enrolment, |builder| builder.serve(Numbers)).await.unwrap()
}

/// Calls one node from another without a pause, until told to stop. Counts the calls that succeed, and gives what the others failed with.
fn load(from: &Member, to: &'static str, good: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<String>> {
    let (proxy, good, stop) = (from.proxy(), good.clone(), stop.clone());
    tokio::spawn(async move {
        let mut bad = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            // Not idempotent: a call that was lost is not made again by itself.
            match proxy.probe().on(to).for_nodes(7).await {
                Ok(_) => drop(good.fetch_add(1, Ordering::Relaxed)),
                Err(error) => bad.push(error.to_string()),
            }
        }
        bad
    })
}

/// Waits until 100 more of these were counted.
async fn go_on(counter: &AtomicU64, what: &str) {
    let before = counter.load(Ordering::Relaxed);
    let more = async {
        while counter.load(Ordering::Relaxed) < before + 100 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(UNDER_LOAD, more).await.is_ok(), "no more {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_renewals_in_a_minute_of_load_with_open_streams_drop_no_call() {
    let cluster = Cluster::new();
    let enrolment = cluster.init(&Plan::coordinator()).await.unwrap();
    let coordinator = node(&cluster, Plan::coordinator(), enrolment).await;
    let token = token(&coordinator, TokenOptions::default()).await;
    let enrolment = cluster.join(&Plan::worker(1), &coordinator.authority(), token).await.unwrap();
    let worker = node(&cluster, Plan::worker(1), enrolment).await;
    for member in [&coordinator, &worker] {
        sees(member, |members| members.hosting("numbers").count() == 2).await;
    }

    let stop = Arc::new(AtomicBool::new(false));
    let mut loads = Vec::new();
    // How many calls succeeded, in each direction.
    let good = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    for _ in 0..4 {
        loads.push(load(&coordinator, "worker-1", &good[0], &stop));
        loads.push(load(&worker, "coordinator", &good[1], &stop));
    }
    // Streams that were opened under the first certificate, and are read to the end of the test.
    let received = Arc::new(AtomicU64::new(0));
    let mut streams = Vec::new();
    for (from, to) in [(&coordinator, "worker-1"), (&worker, "coordinator")] {
        let mut items = from.proxy().numbers().on(to).count().await.unwrap();
        let (stop, received) = (stop.clone(), received.clone());
        streams.push(tokio::spawn(async move {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(items.next().await.unwrap().unwrap(), next, "in order, without a gap");
                next += 1;
                received.fetch_add(1, Ordering::Relaxed);
            }
            next
        }));
    }

    let mut shown = Vec::new();
    let began = tokio::time::Instant::now();
    for round in 0..3 {
        for member in [&worker, &coordinator] {
            assert!(soon(member.renew_certificate()).await.unwrap().is_empty());
            shown.push(identity(member).chain()[0].to_vec());
            // Calls in both directions and items, all under the new certificate.
            for (what, counter) in
                [("calls of the worker", &good[0]), ("calls of the coordinator", &good[1]), ("items", &received)]
            {
                go_on(counter, what).await;
            }
        }
        println!("renewal {round}: calls and streams go on");
        tokio::time::sleep_until(began + UNDER_LOAD * (round + 1) / 3).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut items = 0;
    for load in loads {
        let bad = soon(load).await.unwrap();
        assert!(bad.is_empty(), "{} calls were dropped, the first with: {}", bad.len(), bad[0]);
    }
    let calls: u64 = good.iter().map(|good| good.load(Ordering::Relaxed)).sum();
    for stream in streams {
        items += soon(stream).await.unwrap();
    }
    println!("{calls} calls and {items} items of 2 streams in {:?}, with 3 renewals of 2 nodes; 0 dropped", began.elapsed());
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), 6, "each renewal gave another certificate, which is in the store");
}

#[tokio::test(start_paused = true)]
async fn calls_made_before_a_renewal_end_on_their_session_and_later_ones_go_by_another() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let proxy = coordinator.proxy();
    let waiting = tokio::spawn(async move { proxy.probe().on("worker-1").wait().timeout(Duration::from_mins(5)).await });
    Probe::reached(&workers[0].probe.begun, 1).await;
    soon(workers[0].renew_certificate()).await.unwrap();
    soon(coordinator.renew_certificate()).await.unwrap();
    assert_eq!(coordinator.proxy().probe().on("worker-1").look().await.unwrap().node, "worker-1");
    assert!(!waiting.is_finished());
    workers[0].probe.open.send_replace(true);
    assert_eq!(soon(waiting).await.unwrap().unwrap(), "worker-1");
}

#[tokio::test(start_paused = true)]
async fn a_renewed_certificate_is_the_one_after_a_restart_and_the_others_know_it() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let worker = workers.pop().unwrap();
    let before = identity(&worker);
    soon(worker.renew_certificate()).await.unwrap();
    let after = identity(&worker);
    assert_ne!(before.chain()[0], after.chain()[0]);
    assert_eq!(before.key().public(), after.key().public(), "the key stays");
    assert_eq!(before.peer(), after.peer());
    let hash = after.certificate().unwrap().hash.to_string();
    sees(&coordinator, |members| {
        members.get(&"worker-1".parse().unwrap()).is_some_and(|info| info.metadata.get("certificate") == Some(&hash))
    })
    .await;
    worker.node.stop().await;
    let worker = cluster.restart(Plan::worker(1)).await;
    assert_eq!(identity(&worker).chain(), after.chain());
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    assert_eq!(coordinator.proxy().probe().on("worker-1").look().await.unwrap().node, "worker-1");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_coordinator_keeps_its_certificate_and_says_so() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    cluster.network.kill(coordinator.ip);
    sees(&workers[0], |members| members.alive().count() == 1).await;
    let before = identity(&workers[0]);
    let error = soon(workers[0].renew_certificate()).await.unwrap_err();
    assert!(matches!(error, RenewError::NoCoordinator), "{error}");
    assert_eq!(error.to_string(), "the certificate was not renewed: no coordinator is alive; start one, or look at `p2p nodes`");
    assert_eq!(identity(&workers[0]).chain(), before.chain());
}

#[tokio::test(start_paused = true)]
async fn a_revoked_node_gets_no_new_certificate_from_a_coordinator_that_gives_others_theirs() {
    let log = Log::capture();
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let subject = Subject::Node { node_id: "worker-1".parse().unwrap() };
    soon(coordinator.ledger().revoke(vec![subject], Reason::default())).await.unwrap();
    let error = soon(workers[0].renew_certificate()).await.unwrap_err();
    println!("{error}");
    assert!(matches!(&error, RenewError::Unreachable { .. } | RenewError::NoCoordinator), "it does not even get to ask: {error}");
    // The coordinator is there, and refuses just this node, whichever way it comes.
    assert!(!Web::node(cluster.host(workers[0].ip), &coordinator, &workers[0]).is_answered().await);
    let refused = ["what=\"handshake\"", "whom=\"node worker-1 (worker)\"", "reason=\"the other end's certificate was revoked"];
    let is_told = || log.audit().iter().any(|line| refused.iter().all(|part| line.contains(part)));
    soon(async {
        while !is_told() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(Web::node(cluster.host(workers[1].ip), &coordinator, &workers[1]).is_answered().await);
    let before = identity(&workers[1]);
    soon(workers[1].renew_certificate()).await.unwrap();
    assert_ne!(identity(&workers[1]).chain()[0], before.chain()[0]);
}
