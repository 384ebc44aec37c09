//! Whom the change waits for, and whom not.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_node_that_is_away_is_waited_for_and_finds_its_way_when_it_is_back() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    workers.pop().unwrap().node.stop().await;
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    misses(&coordinator, &["worker-2"]).await;
    let progress = coordinator.rotation().await.unwrap().unwrap();
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
async fn who_has_just_joined_is_waited_for_until_it_has_started_and_heard_of_the_change() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let before = coordinator.root_fingerprint();
    let token = token(&coordinator, TokenOptions::default()).await;
    coordinator.rotate_root().await.unwrap();
    let enrolment = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), token)).await.unwrap();
    misses(&coordinator, &["worker-2"]).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(coordinator.root_fingerprint(), before);
    let newcomer = cluster.start(Plan::worker(2), enrolment).await;
    changed(before, &[&coordinator, &workers[0], &newcomer]).await;
    reaches(&newcomer, "worker-1").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_left_for_good_keeps_nobody_waiting() {
    let (_cluster, coordinator, mut workers) = Cluster::of(2).await;
    workers.pop().unwrap().node.leave().await.unwrap();
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    changed(before, &[&coordinator, &workers[0]]).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_a_node_that_is_missing_and_does_not_keep_the_operator_from_finishing() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    let vault = StoreVault::new(coordinator.store().clone());
    let damaged = p2p_runtime::identity::Change::Put("ca/nodes/worker-7.json".into(), b"{".to_vec().into());
    vault.update(vec![damaged]).unwrap();
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    misses(&coordinator, &["worker-7"]).await;
    let behind = coordinator.finish_rotation().await.unwrap();
    assert_eq!(behind.missing[0].node_id.as_str(), "worker-7");
    changed(before, &[&coordinator, &workers[0]]).await;
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
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(first.root_fingerprint(), before);
    assert_eq!(unasked(&first).await, ["coordinator-2"], "a coordinator is away that may know of others");
    let two = cluster.restart(Plan::second_coordinator()).await;
    becomes("the other coordinator was asked", async || unasked(&first).await.is_empty()).await;
    misses(&first, &["worker-2"]).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(first.root_fingerprint(), before);
    let back = cluster.restart(Plan::worker(2)).await;
    changed(before, &[&first, &two, &back]).await;
}
