//! The cluster's root is changed while the cluster works, and more than one coordinator issues certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{Cluster, Member, Plan, identity, log::Log, probe::ProbeProxyExt, sees, soon, token};
use futures::StreamExt;
use p2p_client::{
    revocation::{ChainKeys, KeyHash, Reason, Subject},
    wire::{
        net::Network,
        tls::{ALPN_H2, ClientTls, Expect, RootKeyHash, TlsMaterial},
    },
};
use p2p_runtime::{
    identity::{
        IdentityError, IssuingCa, JoinError, NodeIdentity, NodeKey, NodeNames, Refused, RotateError, TokenOptions, Vault,
        rotation::Rotation,
    },
    node::{Enrolment, NodeError, StoreVault},
};
use p2p_services::prelude::*;
use rustls_pki_types::UnixTime;

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

/// Asks again until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let asked = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), asked).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

/// Waits until these nodes have another root, all the same.
async fn changed(before: RootKeyHash, nodes: &[&Member]) {
    for node in nodes {
        until(&format!("{} has the new root", node.id()), || node.root_fingerprint() != before).await;
    }
    assert!(nodes.iter().all(|node| node.root_fingerprint() == nodes[0].root_fingerprint()));
}

fn missing(node: &Node) -> Option<Vec<String>> {
    let progress = node.rotation().unwrap()?;
    Some(progress.missing.iter().map(|node| node.node_id.to_string()).collect())
}

/// A second coordinator, with an authority of its own.
async fn second(cluster: &Cluster, first: &Member) -> Member {
    let second = cluster.worker(Plan::second_coordinator(), first).await;
    until("the second coordinator can issue", || second.issuer().unwrap().authority().is_some()).await;
    second
}

async fn looks(from: &Member, to: &'static str) -> Result<String, String> {
    from.proxy().probe().on(to).look().await.map(|seen| seen.node).map_err(|error| error.to_string())
}

/// Calls until it is there: a node that was started again says by and by what it hosts.
async fn reaches(from: &Member, to: &'static str) {
    soon(async {
        while looks(from, to).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
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
async fn a_node_that_is_away_is_waited_for_and_finds_its_way_when_it_is_back() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    workers.pop().unwrap().node.stop().await;
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    until("all but one are certified anew", || missing(&coordinator).as_deref() == Some(&["worker-2".to_owned()])).await;
    let progress = coordinator.rotation().unwrap().unwrap();
    assert_eq!(progress.nodes, 3);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(coordinator.root_fingerprint(), before, "the old root is still trusted");
    assert_eq!(looks(&workers[0], "coordinator").await.unwrap(), "coordinator");
    // It has heard of nothing, and trusts the old root alone.
    let back = cluster.restart(Plan::worker(2)).await;
    changed(before, &[&coordinator, &workers[0], &back]).await;
    reaches(&back, "worker-1").await;
    reaches(&coordinator, "worker-2").await;
    // What is stored is enough after a restart.
    back.node.stop().await;
    let back = cluster.restart(Plan::worker(2)).await;
    reaches(&workers[0], "worker-2").await;
    reaches(&back, "coordinator").await;
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
    until("all are certified anew", || missing(&coordinator).is_some_and(|missing| missing.is_empty())).await;
    cluster.network.kill(coordinator.ip);
    coordinator.node.stop().await;
    let coordinator = cluster.restart(Plan::coordinator()).await;
    changed(before, &[&coordinator, &workers[0]]).await;
    assert!(coordinator.rotation().unwrap().is_none());
    reaches(&workers[0], "coordinator").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_left_behind_is_refused_and_joins_again_by_a_fresh_token_with_its_old_id() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    let left = workers.pop().unwrap();
    let key = identity(&left).key().public();
    left.node.stop().await;
    let old_token = token(&coordinator, TokenOptions::default()).await;
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    until("all but one are certified anew", || missing(&coordinator).as_deref() == Some(&["worker-2".to_owned()])).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let behind = coordinator.finish_rotation().await.unwrap();
    assert_eq!(behind.missing[0].node_id.as_str(), "worker-2");
    changed(before, &[&coordinator, &workers[0]]).await;

    let left = cluster.restart(Plan::worker(2)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!coordinator.members().members().alive().any(|info| info.node_id.as_str() == "worker-2"));
    assert!(looks(&left, "coordinator").await.is_err());
    left.node.stop().await;

    // A token from before names the old root.
    let other = Plan::worker(3);
    let error = soon(cluster.join(&other, &coordinator.authority(), old_token)).await.err().unwrap().to_string();
    assert!(
        error.contains("where the cluster's root was changed since the token was made") && error.contains("p2p token create"),
        "{error}"
    );
    until("open tokens are void", || {
        coordinator.issuer().unwrap().tokens().iter().all(|token| token.revoked || token.uses_left == 0)
    })
    .await;

    // Another cluster's token takes nothing away.
    let foreign = Cluster::new();
    let stranger = foreign.coordinator(Plan { id: "stranger".to_owned(), ..Plan::coordinator() }).await;
    let theirs = token(&stranger, TokenOptions::default()).await;
    let refused = soon(join_over(&foreign, &cluster, &Plan::worker(2), &stranger.authority(), theirs)).await.err().unwrap();
    assert!(matches!(&refused, NodeError::Join(JoinError::OtherCluster { .. })), "{refused}");

    let fresh = token(&coordinator, TokenOptions::default()).await;
    let enrolment = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), fresh)).await.unwrap();
    let back = cluster.start(Plan::worker(2), enrolment).await;
    assert_eq!(identity(&back).key().public(), key, "it keeps its key");
    assert_eq!(back.root_fingerprint(), coordinator.root_fingerprint());
    for node in [&coordinator, &workers[0], &back] {
        sees(node, |members| members.hosting("probe").count() == 3).await;
    }
    assert_eq!(looks(&workers[0], "worker-2").await.unwrap(), "worker-2");
    // Who belongs to the cluster does not join again.
    back.node.stop().await;
    let again = token(&coordinator, TokenOptions::default()).await;
    let refused = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), again)).await.err().unwrap();
    assert!(matches!(refused, NodeError::Identity(IdentityError::AlreadyEnrolled(_))), "{refused}");
}

/// Joins by the network of another cluster, with a folder of this one.
async fn join_over(
    network: &Cluster,
    folders: &Cluster,
    plan: &Plan,
    authority: &str,
    token: p2p_runtime::identity::JoinToken,
) -> Result<Enrolment, NodeError> {
    let options = p2p_runtime::node::JoinClusterOptions {
        advertise: Some(p2p_runtime::identity::Host::Ip(plan.ip)),
        network: Arc::new(network.host(plan.ip)),
        ..p2p_runtime::node::JoinClusterOptions::new(folders.dir(&plan.id), common::password(), authority, token)
    };
    Ok(p2p_runtime::node::join(options).await?.enrolment)
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

#[tokio::test(start_paused = true)]
async fn each_coordinator_issues_by_its_own_authority_also_when_the_first_one_is_gone() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    cluster.network.kill(first.ip);
    let joined = cluster.worker(Plan::worker(2), &two).await;
    reaches(&workers[0], "worker-2").await;
    reaches(&joined, "worker-1").await;
    // The chain names the coordinator that issued, below the same root.
    let (ours, theirs) = (identity(&joined), identity(&workers[0]));
    assert_ne!(ours.chain()[1], theirs.chain()[1]);
    assert_eq!(ours.root().key_hash(), theirs.root().key_hash());
    // A node of the first one is renewed by the second.
    soon(workers[0].renew_certificate()).await.unwrap();
    assert_eq!(identity(&workers[0]).chain()[1], ours.chain()[1]);
}

#[tokio::test(start_paused = true)]
async fn a_running_cluster_goes_on_without_any_coordinator_and_only_joining_waits() {
    let (cluster, first, workers) = Cluster::of(2).await;
    let two = second(&cluster, &first).await;
    let token = token(&two, TokenOptions::default()).await;
    let at = two.authority();
    for coordinator in [&first, &two] {
        cluster.network.kill(coordinator.ip);
    }
    sees(&workers[0], |members| members.alive().count() == 2).await;
    assert_eq!(looks(&workers[0], "worker-2").await.unwrap(), "worker-2");
    two.node.stop().await;
    let refused = cluster.join(&Plan::worker(3), &at, token).await.err().unwrap().to_string();
    assert!(refused.contains("cannot connect to the coordinator"), "{refused}");
    let two = cluster.restart(Plan::second_coordinator()).await;
    assert!(two.issuer().unwrap().authority().is_some(), "its authority is its own");
    let joined = cluster.worker(Plan::worker(3), &two).await;
    reaches(&joined, "worker-1").await;
}

#[tokio::test(start_paused = true)]
async fn case_33_the_id_of_a_node_is_not_given_away_by_another_coordinator() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    sees(&two, |members| members.alive().count() == 3).await;
    let token = token(&two, TokenOptions { uses: 2.try_into().unwrap(), ..TokenOptions::default() }).await;
    let thief = Cluster { network: cluster.network.clone(), folder: tempfile::tempdir().unwrap() };
    let plan = Plan { id: "worker-1".to_owned(), ..Plan::worker(9) };
    match soon(thief.join(&plan, &two.authority(), token.clone())).await.err().unwrap() {
        NodeError::Join(JoinError::Refused(Refused::NodeBound { node_id })) => assert_eq!(node_id, *workers[0].id()),
        other => panic!("{other}"),
    }
    // The control: an id that nobody has.
    let plan = Plan { id: "worker-9".to_owned(), ..Plan::worker(9) };
    soon(Cluster { network: cluster.network.clone(), folder: tempfile::tempdir().unwrap() }.join(&plan, &two.authority(), token))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_the_root_key_is_away_a_coordinator_that_joins_waits_for_its_authority_and_says_so() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let token = token(&first, TokenOptions { role: Role::Coordinator, ..TokenOptions::default() }).await;
    let enrolment = cluster.join(&Plan::second_coordinator(), &first.authority(), token).await.unwrap();
    cluster.network.kill(first.ip);
    first.node.stop().await;
    let two = cluster.start(Plan::second_coordinator(), enrolment).await;
    let error = two.issuer().unwrap().create_token(TokenOptions::default()).await.unwrap_err().to_string();
    assert!(error.contains("no issuing authority under the cluster's root yet") && error.contains("`p2p ca show`"), "{error}");
    let error = two.rotate_root().await.unwrap_err();
    assert!(matches!(error, RotateError::NoRootKey { .. }), "{error}");
    let _first = cluster.restart(Plan::coordinator()).await;
    until("it has its authority", || two.issuer().unwrap().authority().is_some()).await;
    cluster.worker(Plan::worker(2), &two).await;
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_is_tried_ever_later_however_much_happens_meanwhile_and_at_once_when_a_coordinator_appears() {
    let log = Log::capture();
    let (cluster, first, _workers) = Cluster::of(1).await;
    let token = token(&first, TokenOptions { role: Role::Coordinator, ..TokenOptions::default() }).await;
    let enrolment = cluster.join(&Plan::second_coordinator(), &first.authority(), token).await.unwrap();
    cluster.network.kill(first.ip);
    first.node.stop().await;
    let two = cluster.start(Plan::second_coordinator(), enrolment).await;
    let tried = || log.text().matches("not certified anew").count();
    until("it has tried in vain", || tried() > 0).await;
    let before = tried();
    for n in 0..100 {
        two.members().update_me(move |me| drop(me.metadata.insert("note".to_owned(), n.to_string()))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // After half a second to one, then twice as long, and so on.
    let meanwhile = tried() - before;
    assert!((1..=3).contains(&meanwhile), "tried {meanwhile} times in three seconds in which a hundred things happened");
    until("the pauses are long", || tried() >= 6).await;
    let _first = cluster.restart(Plan::coordinator()).await;
    sees(&two, |members| members.alive().any(|info| info.role == Role::Coordinator && info.node_id != *two.id())).await;
    let seen = tokio::time::Instant::now();
    until("it has its authority", || two.issuer().unwrap().authority().is_some()).await;
    assert!(seen.elapsed() < Duration::from_secs(2), "{:?}", seen.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_was_given_the_root_key_changes_the_root_and_adds_coordinators_when_the_first_one_is_gone() {
    let (cluster, first, mut workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let worker = workers.pop().unwrap();
    let refused = first.share_root_key(worker.id()).await.unwrap_err().to_string();
    assert!(refused.contains("worker-1 is a worker, and only coordinators hold the root key"), "{refused}");
    let refused = first.share_root_key(&"nobody".parse().unwrap()).await.unwrap_err().to_string();
    assert!(refused.contains("nobody is not alive in this cluster"), "{refused}");
    let refused = two.share_root_key(first.id()).await.unwrap_err().to_string();
    assert!(refused.contains("does not hold the root key"), "{refused}");
    sees(&first, |members| members.alive().count() == 3).await;
    first.share_root_key(two.id()).await.unwrap();
    // The first one is lost for good.
    cluster.network.kill(first.ip);
    first.node.stop().await;
    let subjects = vec![Subject::Node { node_id: "coordinator".parse().unwrap() }];
    two.ledger().revoke(subjects, Reason::default()).await.unwrap();

    let before = two.root_fingerprint();
    two.rotate_root().await.unwrap();
    changed(before, &[&two, &worker]).await;
    let plan = Plan { id: "coordinator-3".to_owned(), ip: common::worker_ip(33), ..Plan::second_coordinator() };
    let three = cluster.worker(plan, &two).await;
    until("the third coordinator can issue", || three.issuer().unwrap().authority().is_some()).await;
    let joined = cluster.worker(Plan::worker(2), &three).await;
    reaches(&joined, "worker-1").await;
    assert_eq!(joined.root_fingerprint(), two.root_fingerprint());
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
    let known = two.issuer().unwrap().authority().unwrap().1;
    assert_eq!(known.to_string(), first.root_fingerprint().to_string(), "the second one issues under the new root");
    cluster.worker(Plan::worker(3), &two).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_left_for_good_keeps_nobody_waiting() {
    let (_cluster, coordinator, mut workers) = Cluster::of(2).await;
    workers.pop().unwrap().node.leave().await.unwrap();
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    changed(before, &[&coordinator, &workers[0]]).await;
}

/// Whether a program outside that trusts this root alone is content with what a node shows.
async fn is_content(cluster: &Cluster, root: RootKeyHash, at: &Member) -> Result<(), String> {
    let stream = soon(cluster.host(common::worker_ip(99)).connect(&at.authority())).await.unwrap();
    let tls = ClientTls::new(TlsMaterial::empty());
    soon(tls.connect(stream, Expect::RootedIn(root), &[ALPN_H2])).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn programs_outside_that_know_the_old_fingerprint_are_served_until_the_drop_and_then_told_what_to_do() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    workers.pop().unwrap().node.stop().await;
    let old = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    until("all but one are certified anew", || missing(&coordinator).as_deref() == Some(&["worker-2".to_owned()])).await;
    let new = coordinator.ledger().roots().known().next().unwrap().key_hash();
    for at in [&coordinator, &workers[0]] {
        for root in [old, new] {
            assert_eq!(is_content(&cluster, root, at).await, Ok(()), "{root} at {}", at.id());
        }
    }
    let _back = cluster.restart(Plan::worker(2)).await;
    changed(old, &[&coordinator, &workers[0]]).await;
    for at in [&coordinator, &workers[0]] {
        assert_eq!(is_content(&cluster, new, at).await, Ok(()));
        let error = is_content(&cluster, old, at).await.unwrap_err();
        assert!(error.contains(&format!("its root is sha256:{new}")) && error.contains("`p2p ca show`"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_certificate_ran_out_while_it_was_off_joins_again_with_its_id_key_and_configuration() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    workers.pop().unwrap().node.stop().await;
    let before = {
        let off = Enrolment::open(cluster.dir("worker-1"), common::password()).await.unwrap();
        let (store, authority) = (StoreVault::new(off.store.clone()), StoreVault::new(coordinator.store().clone()));
        let of = |path: &str| authority.get(path).unwrap().unwrap();
        let key = NodeKey::from_pkcs8(&of("ca/issuing.key")).unwrap();
        let ca = IssuingCa::from_parts(key, of("ca/issuing.cert").to_vec().into(), off.identity.root().clone()).unwrap();
        let names = NodeNames { node_id: &off.identity.peer().node_id, role: Role::Worker, addresses: &[] };
        let long_ago = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() - 400 * 86_400));
        let chain = ca.issue(&off.identity.key().public(), &names, long_ago).unwrap();
        let out = NodeIdentity::new(off.identity.key().clone(), chain, off.identity.root().clone()).unwrap();
        out.save(&store).unwrap();
        out
    };
    let token = token(&coordinator, TokenOptions::default()).await;
    let plan = Plan { id: "worker-1".to_owned(), ..Plan::worker(1) };
    let enrolment = soon(cluster.join(&plan, &coordinator.authority(), token)).await.unwrap();
    assert_eq!(enrolment.identity.peer(), before.peer());
    let back = cluster.start(plan, enrolment).await;
    assert_eq!(identity(&back).key().public(), before.key().public());
    reaches(&coordinator, "worker-1").await;
}

/// A node that belongs to nobody's folder but its own, and is certified by hand.
fn made_by(ca: &IssuingCa, name: &str, root: &p2p_client::wire::tls::TrustedRoot) -> NodeIdentity {
    let (key, node_id) = (NodeKey::generate().unwrap(), name.parse().unwrap());
    let names = NodeNames { node_id: &node_id, role: Role::Coordinator, addresses: &[] };
    NodeIdentity::new(key.clone(), ca.issue(&key.public(), &names, UnixTime::now()).unwrap(), root.clone()).unwrap()
}

/// The authority by which a coordinator issues, as a thief of its store has it.
fn stolen(from: &Member) -> IssuingCa {
    let vault = StoreVault::new(from.store().clone());
    let of = |path: &str| vault.get(path).unwrap().unwrap();
    let key = NodeKey::from_pkcs8(&of("ca/issuing.key")).unwrap();
    IssuingCa::from_parts(key, of("ca/issuing.cert").to_vec().into(), from.ledger().roots().current()).unwrap()
}

/// Whether a node lets this identity in, over TLS.
fn lets_in(at: &Member, who: &NodeIdentity) -> Result<(), String> {
    let (leaf, others) = who.chain().split_first().unwrap();
    let usage = p2p_client::wire::tls::Usage::Client;
    identity(at).material().verify(leaf, others, usage, UnixTime::now()).map_err(|error| error.to_string())?;
    let keys = ChainKeys::of(leaf, others).unwrap();
    let is_revoked = at.ledger().revocations().set().is_chain_revoked(&who.peer().node_id, &keys);
    if is_revoked { Err("revoked".to_owned()) } else { Ok(()) }
}

#[tokio::test(start_paused = true)]
async fn case_70_the_authority_of_a_stolen_coordinator_is_revoked_with_it_and_makes_no_other_coordinator() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    sees(&first, |members| members.alive().count() == 4).await;
    let (key, root) = (two.issuer().unwrap().authority_key().unwrap(), first.ledger().roots().current());
    let thief = made_by(&stolen(&two), "coordinator-9", &root);
    // The control: by taking back the name alone, another coordinator could be made up.
    assert_eq!(lets_in(&workers[0], &thief), Ok(()));
    let revoked = first.revoke_node(two.id(), Reason::default()).await.unwrap();
    assert!(revoked.is_known && revoked.kept.is_empty());
    assert!(revoked.made.iter().any(|made| made.subject == Subject::Key { key }), "{:?}", revoked.made);
    assert_eq!(revoked.stranded, [joined.id().clone()].into(), "who is out with it is named");
    for node in [&first, &workers[0]] {
        until("the authority is revoked", || node.ledger().revocations().is_key_revoked(&key)).await;
        assert!(lets_in(node, &thief).unwrap_err().contains("revoked"));
    }
    assert_eq!(looks(&workers[0], "coordinator").await.unwrap(), "coordinator");

    // Who is out with it joins again where it is, and keeps its name and key.
    let before = identity(&joined).key().public();
    joined.node.stop().await;
    let token = token(&first, TokenOptions::default()).await;
    let plan = Plan::worker(2);
    let error = soon(cluster.join(&plan, &first.authority(), token.clone())).await.err().unwrap().to_string();
    assert!(error.contains("join with --again"), "{error}");
    let options = p2p_runtime::node::JoinClusterOptions {
        advertise: Some(p2p_runtime::identity::Host::Ip(plan.ip)),
        network: Arc::new(cluster.host(plan.ip)),
        again: true,
        ..p2p_runtime::node::JoinClusterOptions::new(cluster.dir(&plan.id), common::password(), first.authority(), token)
    };
    let enrolment = soon(p2p_runtime::node::join(options)).await.unwrap().enrolment;
    let back = cluster.start(plan, enrolment).await;
    assert_eq!(identity(&back).key().public(), before);
    reaches(&workers[0], "worker-2").await;
}

#[tokio::test(start_paused = true)]
async fn case_71_a_stolen_coordinator_that_says_that_anothers_authority_is_its_own_does_not_take_that_with_it() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let plan = Plan { id: "coordinator-3".to_owned(), ip: common::worker_ip(33), ..Plan::second_coordinator() };
    let three = cluster.worker(plan, &first).await;
    until("the third coordinator can issue", || three.issuer().unwrap().authority().is_some()).await;
    let honest = [&first, &two].map(|node| node.issuer().unwrap().authority_key().unwrap());
    for (lie, by) in honest.into_iter().zip([&first, &two]) {
        let said = lie.to_string();
        three.members().update_me(move |me| drop(me.metadata.insert("issuing_key".to_owned(), said))).await.unwrap();
        let said = lie.to_string();
        sees(by, |members| members.get(three.id()).is_some_and(|info| info.metadata.get("issuing_key") == Some(&said))).await;
    }
    // The second one has no records of what the first one gave; it knows by what all say of themselves.
    two.revoke_node(three.id(), Reason::default()).await.unwrap();
    let key = three.issuer().unwrap().authority_key().unwrap();
    let revoked = first.revoke_node(three.id(), Reason::default()).await.unwrap();
    assert!(revoked.made.iter().any(|made| made.subject == Subject::Key { key }), "by its records: {:?}", revoked.made);
    assert!(honest.iter().all(|key| !first.ledger().revocations().is_key_revoked(key)));
    assert_eq!(looks(&workers[0], "coordinator").await.unwrap(), "coordinator");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_joins_again_keeps_its_role_and_none_of_the_keys_of_the_old_root() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    sees(&first, |members| members.alive().count() == 3).await;
    first.share_root_key(two.id()).await.unwrap();
    two.node.stop().await;
    let before = first.root_fingerprint();
    first.rotate_root().await.unwrap();
    until("all but one are certified anew", || missing(&first).as_deref() == Some(&["coordinator-2".to_owned()])).await;
    first.finish_rotation().await.unwrap();
    changed(before, &[&first]).await;

    let plan = Plan::second_coordinator();
    let as_worker = Plan { role: Role::Worker, ..Plan::second_coordinator() };
    let worker_token = token(&first, TokenOptions::default()).await;
    let error = soon(cluster.join(&as_worker, &first.authority(), worker_token)).await.err().unwrap();
    assert!(matches!(error, NodeError::OtherRole { .. }), "{error}");
    assert!(error.to_string().contains("`p2p token create --role coordinator`"), "{error}");
    let held = |enrolment: &Enrolment| {
        let vault = StoreVault::new(enrolment.store.clone());
        ["ca/root.key", "ca/next-root.key", "ca/issuing.key", "ca/issuing.cert"].map(|path| vault.get(path).unwrap().is_some())
    };
    {
        let as_it_was = Enrolment::open(cluster.dir(&plan.id), common::password()).await.unwrap();
        assert_eq!(held(&as_it_was), [true, false, true, true], "the refusal changed nothing");
    }
    let fresh = token(&first, TokenOptions { role: Role::Coordinator, ..TokenOptions::default() }).await;
    let enrolment = soon(cluster.join(&plan, &first.authority(), fresh)).await.unwrap();
    assert_eq!(held(&enrolment), [false; 4]);
    let back = cluster.start(plan, enrolment).await;
    until("it has an authority under the new root", || back.issuer().unwrap().authority().is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn the_old_root_stays_while_a_node_is_away_that_only_another_coordinator_knows() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let away = cluster.worker(Plan::worker(2), &two).await;
    away.node.stop().await;
    // The first one forgets that it was ever there.
    first.node.stop().await;
    two.node.stop().await;
    let first = cluster.restart(Plan::coordinator()).await;
    let before = first.root_fingerprint();
    first.rotate_root().await.unwrap();
    let unasked = |node: &Node| node.rotation().unwrap().unwrap().unasked.iter().map(ToString::to_string).collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(first.root_fingerprint(), before);
    assert_eq!(unasked(&first), ["coordinator-2"], "a coordinator is away that may know of others");
    let two = cluster.restart(Plan::second_coordinator()).await;
    until("the one that is away is all that is missing", || {
        unasked(&first).is_empty() && missing(&first).as_deref() == Some(&["worker-2".to_owned()])
    })
    .await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(first.root_fingerprint(), before);
    let back = cluster.restart(Plan::worker(2)).await;
    changed(before, &[&first, &two, &back]).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_a_node_that_is_missing_and_does_not_keep_the_operator_from_finishing() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let vault = StoreVault::new(coordinator.store().clone());
    let damaged = p2p_runtime::identity::Change::Put("ca/nodes/worker-7.json".into(), b"{".to_vec().into());
    vault.update(vec![damaged]).unwrap();
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    until("all but one are certified anew", || missing(&coordinator).as_deref() == Some(&["worker-7".to_owned()])).await;
    let behind = coordinator.finish_rotation().await.unwrap();
    assert_eq!(behind.missing[0].node_id.as_str(), "worker-7");
    changed(before, &[&coordinator, &workers[0]]).await;
}

#[tokio::test(start_paused = true)]
async fn join_tokens_of_the_old_root_are_void_also_where_the_node_died_right_after_the_drop() {
    let (cluster, coordinator, _workers) = Cluster::of(1).await;
    token(&coordinator, TokenOptions::default()).await;
    let open = StoreVault::new(coordinator.store().clone()).get("ca/tokens.json").unwrap().unwrap();
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    changed(before, &[&coordinator]).await;
    let is_void = |node: &Node| node.issuer().unwrap().tokens().iter().all(|token| token.revoked || token.uses_left == 0);
    until("open tokens are void", || is_void(&coordinator)).await;
    coordinator.node.stop().await;
    // As if that had not come to be.
    let off = Enrolment::open(cluster.dir("coordinator"), common::password()).await.unwrap();
    StoreVault::new(off.store.clone()).update(vec![p2p_runtime::identity::Change::Put("ca/tokens.json".into(), open)]).unwrap();
    let back = cluster.start(Plan::coordinator(), off).await;
    until("they are void after the start, too", || is_void(&back)).await;
    let fresh = token(&back, TokenOptions::default()).await.id();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(back.issuer().unwrap().tokens().iter().any(|token| token.id == fresh && !token.revoked));
}

#[tokio::test(start_paused = true)]
async fn who_has_just_joined_is_waited_for_until_it_has_started_and_heard_of_the_change() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let before = coordinator.root_fingerprint();
    let token = token(&coordinator, TokenOptions::default()).await;
    coordinator.rotate_root().await.unwrap();
    let enrolment = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), token)).await.unwrap();
    until("the newcomer is all that is missing", || missing(&coordinator).as_deref() == Some(&["worker-2".to_owned()])).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(coordinator.root_fingerprint(), before);
    let newcomer = cluster.start(Plan::worker(2), enrolment).await;
    changed(before, &[&coordinator, &workers[0], &newcomer]).await;
    reaches(&newcomer, "worker-1").await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_another_let_in_vouches_for_itself_before_it_revokes_that_ones_authority() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    sees(&two, |members| members.alive().count() == 4).await;
    let key = first.issuer().unwrap().authority_key().unwrap();
    assert_eq!(KeyHash::of_certificate(&identity(&two).chain()[1]), Some(key), "it stands on what it is to revoke");
    let said = key.to_string();
    sees(&two, |members| members.get(first.id()).is_some_and(|info| info.metadata.get("issuing_key") == Some(&said))).await;
    let revoked = two.revoke_node(first.id(), Reason::default()).await.unwrap();
    assert!(revoked.kept.is_empty() && two.ledger().revocations().is_key_revoked(&key));
    assert_eq!(revoked.stranded.iter().map(ToString::to_string).collect::<Vec<_>>(), ["worker-1"]);
    until("it is believed", || joined.ledger().revocations().is_key_revoked(&key)).await;
    reaches(&joined, "coordinator-2").await;
}
