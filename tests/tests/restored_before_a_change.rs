//! Backups that were made before the cluster's root was changed, and are restored afterwards.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{Cluster, Member, Plan, identity, log::Log, password, probe::ProbeProxyExt, sees, soon, token};
use p2p_runtime::{
    identity::{TokenOptions, Vault},
    node::{self, StoreVault},
    storage::Unlock,
};
use p2p_services::prelude::*;

/// In this time a node has tried to reach everybody whom it knows, and they it.
const A_WHILE: Duration = Duration::from_secs(30);
/// What somebody keeps in his node's store.
const KEPT: &str = "user/kept";

/// Asks again until it is so.
async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

fn back_up(cluster: &Cluster, node: &Member) -> PathBuf {
    node.store().update(|entries| entries.put(KEPT, "by the backup")).unwrap();
    let path = cluster.folder.path().join(format!("{}.backup", node.id()));
    fs::write(&path, node.store().backup().unwrap()).unwrap();
    path
}

/// Changes the root, with all of these in the cluster.
async fn change(holder: &Member, nodes: &[&Member]) {
    let before = holder.root_fingerprint();
    holder.rotate_root().await.unwrap();
    until(|| nodes.iter().chain([&holder]).all(|node| node.root_fingerprint() != before)).await;
}

/// Stops a node for good, and starts what the backup has of it in its place.
async fn restore(cluster: &Cluster, plan: Plan, node: Member, backup: &Path) -> Member {
    node.node.stop().await;
    let dir = cluster.dir(&plan.id);
    fs::remove_dir_all(&dir).unwrap();
    node::restore(backup, &dir, Unlock::Password(&password())).unwrap();
    cluster.restart(plan).await
}

/// Joins again in its own folder, by a token of this coordinator, and starts.
async fn join_again(cluster: &Cluster, plan: Plan, at: &Member) -> Member {
    let fresh = token(at, TokenOptions { role: plan.role, ..TokenOptions::default() }).await;
    let enrolment = soon(cluster.join(&plan, &at.authority(), fresh)).await.unwrap();
    cluster.start(plan, enrolment).await
}

async fn looks(from: &Member, to: &Member) -> Result<String, CallError> {
    from.proxy().probe().on(to.id().clone()).look().await.map(|seen| seen.node)
}

async fn all_are_there(nodes: &[&Member]) {
    for node in nodes {
        sees(node, |members| members.hosting("probe").count() == nodes.len()).await;
    }
    for (from, to) in nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to))) {
        assert_eq!(looks(from, to).await.unwrap(), to.id().as_str());
        assert_eq!(from.root_fingerprint(), to.root_fingerprint());
    }
}

/// The warnings about roots from this place in the log on.
fn warnings(log: &Log, from: usize) -> Vec<String> {
    let text = log.text();
    text[from..].lines().filter(|line| line.contains(" WARN ") && line.contains("root")).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_restored_to_before_the_change_says_what_to_do_and_joins_again_with_all_that_it_had() {
    let log = Log::capture();
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    let two = workers.pop().unwrap();
    let (key, backup) = (identity(&two).key().public(), back_up(&cluster, &two));
    change(&coordinator, &[&workers[0], &two]).await;

    let from = log.text().len();
    let restored = restore(&cluster, Plan::worker(2), two, &backup).await;
    tokio::time::sleep(A_WHILE).await;
    assert!(looks(&restored, &coordinator).await.is_err() && looks(&workers[0], &restored).await.is_err());
    assert_ne!(restored.root_fingerprint(), coordinator.root_fingerprint());
    let said = warnings(&log, from);
    assert!(said.iter().any(|line| line.contains("went back in time") && line.contains("joins again")), "{said:#?}");
    let reached: Vec<_> = said.iter().filter(|line| line.contains("another root than this node")).collect();
    assert!(!reached.is_empty() && reached[0].contains("`p2p token create`") && reached[0].contains("`p2p join`"), "{said:#?}");
    assert!(reached.len() <= 3, "each of the three says it once a minute at most: {reached:#?}");

    restored.node.stop().await;
    let back = join_again(&cluster, Plan::worker(2), &coordinator).await;
    assert_eq!(identity(&back).key().public(), key);
    assert_eq!(back.store().get(KEPT).unwrap().expose(), b"by the backup");
    all_are_there(&[&coordinator, &workers[0], &back]).await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_restored_to_before_the_change_takes_nobody_back_with_it_and_joins_again_at_another() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let second = cluster.worker(Plan::second_coordinator(), &first).await;
    until(|| second.issuer().unwrap().authority().is_some()).await;
    all_are_there(&[&first, &second, &workers[0]]).await;
    let backup = back_up(&cluster, &first);
    change(&first, &[&second, &workers[0]]).await;
    first.share_root_key(second.id()).await.unwrap();
    let root = second.root_fingerprint();

    let restored = restore(&cluster, Plan::coordinator(), first, &backup).await;
    tokio::time::sleep(A_WHILE).await;
    assert_ne!(restored.root_fingerprint(), root);
    assert!(looks(&workers[0], &restored).await.is_err());
    assert_eq!(looks(&workers[0], &second).await.unwrap(), "coordinator-2");
    assert!([&second, &workers[0]].iter().all(|node| node.root_fingerprint() == root));

    restored.node.stop().await;
    let back = join_again(&cluster, Plan::coordinator(), &second).await;
    until(|| back.issuer().unwrap().authority().is_some()).await;
    let vault = StoreVault::new(back.store().clone());
    assert!(vault.get("ca/root.key").unwrap().is_none(), "nothing is left of the old root's key");
    assert_eq!(back.store().get(KEPT).unwrap().expose(), b"by the backup");
    let three = cluster.worker(Plan::worker(3), &back).await;
    all_are_there(&[&back, &second, &workers[0], &three]).await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_alone_comes_back_by_a_backup_from_after_the_change_and_not_by_one_from_before() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let before = back_up(&cluster, &coordinator);
    change(&coordinator, &[&workers[0], &workers[1]]).await;
    let root = coordinator.root_fingerprint();
    let after = cluster.folder.path().join("after.backup");
    fs::write(&after, coordinator.store().backup().unwrap()).unwrap();

    let restored = restore(&cluster, Plan::coordinator(), coordinator, &before).await;
    tokio::time::sleep(A_WHILE).await;
    assert!(looks(&workers[0], &restored).await.is_err());
    assert_eq!(looks(&workers[0], &workers[1]).await.unwrap(), "worker-2", "the others go on without it");
    assert!(workers.iter().all(|node| node.root_fingerprint() == root));

    let restored = restore(&cluster, Plan::coordinator(), restored, &after).await;
    all_are_there(&[&restored, &workers[0], &workers[1]]).await;
    let three = cluster.worker(Plan::worker(3), &restored).await;
    all_are_there(&[&restored, &workers[0], &workers[1], &three]).await;
    // It holds the key of the root that all have.
    change(&restored, &[&workers[0], &workers[1], &three]).await;
}
