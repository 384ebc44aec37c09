//! The change itself: nobody is cut off, nobody is forgotten, and it goes on where it was broken off.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures::StreamExt;
use p2p_client::wire::{
    net::Network,
    tls::{ALPN_H2, ClientTls, Expect, TlsMaterial},
};

use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::*;
use crate::common::web::Web;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_is_changed_under_load_with_open_streams_and_no_call_is_dropped() {
    let cluster = Cluster::new();
    let serving =
        async |plan: Plan, enrolment| cluster.start_with(plan, enrolment, |builder| builder.serve(Numbers)).await.unwrap();
    let enrolment = cluster.init(&Plan::coordinator()).await.unwrap();
    let coordinator = serving(Plan::coordinator(), enrolment).await;
    let token = token(&coordinator, TokenOptions::default()).await;
    let enrolment = cluster.join(&Plan::worker(1), &coordinator.authority(), token).await.unwrap();
    let worker = serving(Plan::worker(1), enrolment).await;
    for member in [&coordinator, &worker] {
        sees(member, |members| members.hosting("numbers").count() == 2).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (mut loads, mut streams) = (Vec::new(), Vec::new());
    let received = Arc::new(AtomicU64::new(0));
    for (from, to) in [(&coordinator, "worker-1"), (&worker, "coordinator")] {
        let (proxy, ended) = (from.proxy(), stop.clone());
        loads.push(tokio::spawn(async move {
            let mut calls = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                // Not idempotent: a call that was lost is not made again by itself.
                proxy.probe().on(to).for_nodes(7).await.unwrap();
                calls += 1;
            }
            calls
        }));
        let mut items = from.proxy().numbers().on(to).count().await.unwrap();
        let (ended, received) = (stop.clone(), received.clone());
        streams.push(tokio::spawn(async move {
            let mut next = 0;
            while !ended.load(Ordering::Relaxed) {
                assert_eq!(items.next().await.unwrap().unwrap(), next, "in order, without a gap");
                next += 1;
                received.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let (before, began) = (coordinator.root_fingerprint(), std::time::Instant::now());
    let old = [identity(&coordinator), identity(&worker)].map(|node| node.chain()[0].clone());
    assert_eq!(coordinator.rotate_root().await.unwrap(), Rotation::Begun);
    changed(before, &[&coordinator, &worker]).await;
    println!("the root was changed after {:?}", began.elapsed());
    let then = received.load(Ordering::Relaxed);
    until("streams go on after the drop", || received.load(Ordering::Relaxed) > then + 200).await;
    stop.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for load in loads {
        calls += soon(load).await.unwrap();
    }
    for stream in streams {
        soon(stream).await.unwrap();
    }
    println!("{calls} calls and {} items of 2 streams; 0 dropped", received.load(Ordering::Relaxed));
    for (node, old) in [&coordinator, &worker].into_iter().zip(old) {
        let chain = identity(node).chain().to_vec();
        assert_ne!(chain[0], old, "it was certified anew");
        assert_eq!(chain.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_stops_in_the_middle_goes_on_when_it_is_started() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    cluster.network.kill(coordinator.ip);
    coordinator.node.stop().await;
    let coordinator = cluster.restart(Plan::coordinator()).await;
    assert_eq!(coordinator.root_fingerprint(), before);
    assert_eq!(coordinator.rotate_root().await.unwrap(), Rotation::GoesOn);
    misses(&coordinator, &[]).await;
    cluster.network.kill(coordinator.ip);
    coordinator.node.stop().await;
    let coordinator = cluster.restart(Plan::coordinator()).await;
    changed(before, &[&coordinator, &workers[0]]).await;
    assert!(coordinator.rotation().await.unwrap().is_none());
    reaches(&workers[0], "coordinator").await;
}

#[tokio::test(start_paused = true)]
async fn two_coordinators_and_their_nodes_are_all_certified_anew() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    let before = first.root_fingerprint();
    sees(&first, |members| members.alive().count() == 4).await;
    first.rotate_root().await.unwrap();
    changed(before, &[&first, &two, &workers[0], &joined]).await;
    let known = two.issuer().unwrap().authority().unwrap().root;
    assert_eq!(known.to_string(), first.root_fingerprint().to_string(), "the second one issues under the new root");
    cluster.worker(Plan::worker(3), &two).await;
}

#[tokio::test(start_paused = true)]
async fn revocations_stay_in_force_over_a_change_of_the_root_and_reach_those_who_join_after_it() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    let lost = workers.pop().unwrap();
    let key = KeyHash::from(identity(&lost).key().public().thumbprint());
    let subjects = vec![Subject::Node { node_id: lost.id().clone() }, Subject::Key { key }];
    coordinator.ledger().revoke(subjects, Reason::default()).await.unwrap();
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    changed(before, &[&coordinator, &workers[0]]).await;
    assert_eq!(lost.root_fingerprint(), before, "who was revoked is told nothing");
    let newcomer = cluster.worker(Plan::worker(3), &coordinator).await;
    until("the newcomer knows what was revoked", || newcomer.ledger().revocations().is_key_revoked(&key)).await;
    assert_eq!(newcomer.ledger().digest(), coordinator.ledger().digest());
}

/// Whether a program outside that trusts this root alone is content with what a node shows.
async fn is_content(cluster: &Cluster, root: RootKeyHash, at: &Member) -> Result<(), String> {
    let stream = soon(cluster.host(common::worker_ip(99)).connect(&at.authority())).await.unwrap();
    let tls = ClientTls::new(TlsMaterial::empty());
    soon(tls.connect(stream, Expect::RootedIn(root), &[ALPN_H2])).await.map(drop).map_err(|error| error.to_string())
}

/// The certificates that `GET /internal/ca-cert` gives out, in the order of their bytes.
async fn given_out(cluster: &Cluster, at: &Member) -> Vec<Vec<u8>> {
    let answer = Web::anonymous(cluster.host(common::worker_ip(99)), at).get("/internal/ca-cert").await;
    assert_eq!((answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()), (200, "application/x-pem-file"));
    let mut given: Vec<_> =
        CertificateDer::pem_slice_iter(&answer.body).map(|certificate| certificate.unwrap().to_vec()).collect();
    given.sort();
    given
}

#[tokio::test(start_paused = true)]
async fn programs_outside_that_know_the_old_fingerprint_are_served_until_the_drop_and_then_told_what_to_do() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    workers.pop().unwrap().node.stop().await;
    let old = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    misses(&coordinator, &["worker-2"]).await;
    let next = coordinator.ledger().roots().known().next().unwrap().clone();
    let (new, first) = (next.key_hash(), identity(&coordinator).root().der().to_vec());
    for at in [&coordinator, &workers[0]] {
        until("it has heard of the next root", || at.ledger().roots().known().next().is_some()).await;
        let mut both = [first.clone(), next.der().to_vec()];
        both.sort();
        assert_eq!(given_out(&cluster, at).await, both, "{}", at.id());
        for root in [old, new] {
            assert_eq!(is_content(&cluster, root, at).await, Ok(()), "{root} at {}", at.id());
        }
    }
    let _back = cluster.restart(Plan::worker(2)).await;
    changed(old, &[&coordinator, &workers[0]]).await;
    for at in [&coordinator, &workers[0]] {
        assert_eq!(is_content(&cluster, new, at).await, Ok(()));
        assert_eq!(given_out(&cluster, at).await, [next.der().to_vec()], "{}", at.id());
        let error = is_content(&cluster, old, at).await.unwrap_err();
        assert!(error.contains(&format!("its root is sha256:{new}")) && error.contains("`p2p ca show`"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_finish_a_change_is_told_so_whether_or_not_one_is_under_way() {
    let (_cluster, coordinator, mut workers) = Cluster::of(2).await;
    // As long as it is away, the change is not completed.
    workers.pop().unwrap().node.stop().await;
    let nothing = coordinator.finish_rotation().await.unwrap_err();
    assert!(matches!(nothing, RotateError::NotBegun), "{nothing}");
    for is_under_way in [false, true] {
        if is_under_way {
            coordinator.rotate_root().await.unwrap();
            misses(&coordinator, &["worker-2"]).await;
            assert!(workers[0].ledger().roots().known().next().is_some(), "the worker has heard of it");
        }
        for refused in [workers[0].finish_rotation().await.unwrap_err(), workers[0].rotate_root().await.unwrap_err()] {
            assert!(matches!(refused, RotateError::NotCoordinator { .. }), "{refused}");
            let said = refused.to_string();
            assert!(said.contains("worker-1 is a worker") && !said.contains("share"), "{said}");
        }
    }
}
