//! Case 10: a node whose store went back in time, and what its peers remember of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{fs, time::Duration};

use common::{COORDINATOR, Cluster, Member, Plan, copy_folder, log::Log, password, soon, token};
use p2p_runtime::{
    identity::{JoinError, JoinToken, Refused, TokenId, TokenOptions, TokenRefused},
    node::{self, NodeError, SetBack},
    storage::Unlock,
};
use p2p_services::prelude::*;

/// In this time everybody has compared notes with everybody.
const A_WHILE: Duration = Duration::from_mins(2);
const OLDER_COPY: &str = "an older copy of this node's store was put back";

fn is_open(coordinator: &Node, id: TokenId) -> bool {
    let tokens = coordinator.issuer().unwrap().tokens();
    let record = tokens.iter().find(|record| record.id == id).unwrap();
    !record.revoked && record.uses_left > 0
}

fn older_copies(log: &Log) -> usize {
    log.text().lines().filter(|line| line.contains(OLDER_COPY)).count()
}

/// A cluster whose coordinator made a token for one, and then went back to before the token was used. Everything was put back that it had, as it
/// was on the disk while the node ran.
async fn after_the_token_was_used(log: &Log, others_run: bool) -> (Cluster, Member, Vec<Member>, JoinToken) {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let one = token(&coordinator, TokenOptions::default()).await;
    let (dir, older) = (cluster.dir("coordinator"), cluster.dir("older"));
    copy_folder(&dir, &older);

    let enrolment = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), one.clone())).await.unwrap();
    workers.push(cluster.start(Plan::worker(2), enrolment).await);
    assert!(!is_open(&coordinator, one.id()));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(older_copies(log), 0);
    coordinator.node.stop().await;
    if !others_run {
        for worker in workers.drain(..) {
            worker.node.stop().await;
        }
    }

    fs::remove_dir_all(&dir).unwrap();
    copy_folder(&older, &dir);
    let coordinator = cluster.restart(Plan::coordinator()).await;
    (cluster, coordinator, workers, one)
}

async fn join_once_more(cluster: &Cluster, coordinator: &Member, token: JoinToken) -> Result<(), NodeError> {
    soon(cluster.join(&Plan::worker(3), &coordinator.authority(), token)).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn case_10_an_older_copy_of_everything_is_noticed_by_the_peers_and_its_open_tokens_let_nobody_in() {
    let log = Log::capture();
    let (cluster, coordinator, _workers, used) = after_the_token_was_used(&log, true).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(older_copies(&log), 1);
    let text = log.text();
    let said = text.lines().find(|line| line.contains(OLDER_COPY)).unwrap();
    assert!(said.contains("voided_tokens=1") && said.contains("p2p token create"), "{said}");
    log.one(&["node coordinator", "an older copy of the store was put back; 1 open join tokens were taken back"]);
    assert!(!is_open(&coordinator, used.id()));
    let error = join_once_more(&cluster, &coordinator, used).await.unwrap_err();
    let NodeError::Join(JoinError::Refused(refused)) = &error else { panic!("{error}") };
    assert!(matches!(refused, Refused::Token(TokenRefused::Revoked)), "{error}");
    // It has caught up, and says it once.
    assert!(SetBack::load(coordinator.store()).unwrap().is_none());
    let fresh = token(&coordinator, TokenOptions::default()).await;
    coordinator.node.stop().await;
    let coordinator = cluster.restart(Plan::coordinator()).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(older_copies(&log), 1);
    join_once_more(&cluster, &coordinator, fresh).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn case_10_an_older_copy_is_noticed_also_after_it_was_started_where_nobody_could_be_asked() {
    let log = Log::capture();
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let used = token(&coordinator, TokenOptions::default()).await;
    let (dir, older) = (cluster.dir("coordinator"), cluster.dir("older"));
    coordinator.node.stop().await;
    copy_folder(&dir, &older);
    let coordinator = cluster.restart(Plan::coordinator()).await;
    soon(cluster.join(&Plan::worker(2), &coordinator.authority(), used.clone())).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    coordinator.node.stop().await;
    fs::remove_dir_all(&dir).unwrap();
    copy_folder(&older, &dir);

    cluster.network.partition(workers[0].ip, COORDINATOR);
    for _ in 0..3 {
        let alone = cluster.restart(Plan::coordinator()).await;
        for _ in 0..3 {
            token(&alone, TokenOptions::default()).await;
        }
        assert!(is_open(&alone, used.id()));
        alone.node.stop().await;
    }
    assert_eq!(older_copies(&log), 0);
    cluster.network.heal(workers[0].ip, COORDINATOR);
    let coordinator = cluster.restart(Plan::coordinator()).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(older_copies(&log), 1);
    assert!(!is_open(&coordinator, used.id()));
}

/// Nobody remembers: what was used up is open once more.
#[tokio::test(start_paused = true)]
async fn case_10_control_without_peers_an_older_copy_lets_its_used_token_be_used_again() {
    let log = Log::capture();
    let (cluster, coordinator, _none, used) = after_the_token_was_used(&log, false).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(older_copies(&log), 0);
    assert!(is_open(&coordinator, used.id()));
    join_once_more(&cluster, &coordinator, used).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_was_restored_even_twice_knows_that_it_is_older_and_nobody_has_to_say_so() {
    let log = Log::capture();
    let (cluster, coordinator, _workers) = Cluster::of(1).await;
    let (dir, backup) = (cluster.dir("coordinator"), cluster.folder.path().join("backup"));
    fs::write(&backup, coordinator.store().backup().unwrap()).unwrap();
    let mut coordinator = coordinator;
    for _ in 0..2 {
        for _ in 0..3 {
            token(&coordinator, TokenOptions::default()).await;
        }
        tokio::time::sleep(A_WHILE).await;
        coordinator.node.stop().await;
        fs::remove_dir_all(&dir).unwrap();
        node::restore(&backup, &dir, Unlock::Password(&password())).unwrap();
        coordinator = cluster.restart(Plan::coordinator()).await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(older_copies(&log), 0);
        assert!(SetBack::load(coordinator.store()).unwrap().is_none(), "it has caught up");
    }
}
