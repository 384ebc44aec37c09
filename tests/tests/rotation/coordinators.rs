//! Several coordinators: each issues by an authority of its own, and whoever holds the root key gives the others theirs.

use p2p_client::protocol::{NodeId, NodeStatus};
use p2p_runtime::identity::renewal::{RENEW_VERSION, RenewError, RenewRequest};
use serde_json::Value;

use super::{common::web::Web, *};

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

/// Why somebody who wants to be this worker, with another key, is refused at this coordinator.
async fn thief_is_refused(cluster: &Cluster, number: u8, at: &Member) -> Refused {
    let token = token(at, TokenOptions::default()).await;
    let thief = Cluster { network: cluster.network.clone(), folder: tempfile::tempdir().unwrap() };
    let plan = Plan { id: Plan::worker(number).id, ..Plan::worker(9) };
    match soon(thief.join(&plan, &at.authority(), token)).await.err().unwrap() {
        NodeError::Join(JoinError::Refused(refused)) => refused,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn case_33_the_id_of_a_node_that_only_another_coordinator_knows_is_not_given_away() {
    let (cluster, first, _workers) = Cluster::of(0).await;
    let two = second(&cluster, &first).await;
    // It has never been seen in the cluster.
    let token = token(&first, TokenOptions::default()).await;
    let enrolment = soon(cluster.join(&Plan::worker(1), &first.authority(), token)).await.unwrap();
    let said = thief_is_refused(&cluster, 1, &two).await;
    assert_eq!(said, Refused::NodeBound { node_id: enrolment.identity.peer().node_id.clone() });
    // Also by one that has just started.
    two.node.stop().await;
    let two = cluster.restart(Plan::second_coordinator()).await;
    assert!(matches!(thief_is_refused(&cluster, 1, &two).await, Refused::NodeBound { .. }));
}

#[tokio::test(start_paused = true)]
async fn case_33_an_id_that_a_coordinator_has_seen_stays_bound_after_its_restart_also_where_nobody_can_be_asked() {
    let (cluster, first, mut workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    until("it is noted", || StoreVault::new(two.store().clone()).get("ca/seen/worker-1.json").unwrap().is_some()).await;
    workers.pop().unwrap().node.stop().await;
    cluster.network.kill(first.ip);
    first.node.stop().await;
    two.node.stop().await;
    let two = cluster.restart(Plan::second_coordinator()).await;
    let said = thief_is_refused(&cluster, 1, &two).await;
    assert_eq!(said, Refused::NodeBound { node_id: "worker-1".parse().unwrap() });
    // The control: an id that was never there.
    cluster.worker(Plan::worker(2), &two).await;
}

#[tokio::test(start_paused = true)]
async fn while_another_coordinator_is_dead_nodes_join_and_are_renewed_and_the_log_says_that_it_was_not_asked() {
    let log = Log::capture();
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    // Nobody has noticed yet when it is asked.
    cluster.network.kill(first.ip);
    let joined = cluster.worker(Plan::worker(2), &two).await;
    assert!(log.text().contains("this coordinator is dead, and was not asked what it knows of a node"), "{}", log.text());
    soon(workers[0].renew_certificate()).await.unwrap();
    reaches(&workers[0], "worker-2").await;
    reaches(&joined, "worker-1").await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_there_and_does_not_answer_lets_nobody_join_elsewhere_and_is_named() {
    let (cluster, first, _workers) = Cluster::of(0).await;
    let two = second(&cluster, &first).await;
    for node in [&first, &two] {
        sees(node, |members| members.alive().count() == 2).await;
    }
    // What is noted there cannot be read.
    let damaged = vec![Change::Put("ca/nodes/worker-1.json".to_owned(), b"no record".to_vec().into())];
    StoreVault::new(first.store().clone()).update(damaged).unwrap();
    let said = thief_is_refused(&cluster, 1, &two).await;
    assert_eq!(said, Refused::Unanswered { coordinator: first.id().clone(), node_id: "worker-1".parse().unwrap() });
    // The control: of another node it says what it knows.
    cluster.worker(Plan::worker(2), &two).await;
}

/// Two nodes join at the same time.
async fn two_join(cluster: &Cluster, at: &Member) {
    let token = token(at, TokenOptions { uses: 2.try_into().unwrap(), ..TokenOptions::default() }).await;
    let (plans, authority) = ([8, 9].map(Plan::worker), at.authority());
    let joined = plans.iter().map(|plan| cluster.join(plan, &authority, token.clone()));
    for joined in soon(futures::future::join_all(joined)).await {
        joined.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_coordinator_is_named_once_however_many_nodes_join_with_what_is_to_be_done() {
    let log = Log::capture();
    let (cluster, first, _workers) = Cluster::of(0).await;
    let two = second(&cluster, &first).await;
    cluster.network.kill(first.ip);
    sees(&two, |members| members.get(first.id()).is_some_and(|info| info.status == NodeStatus::Dead)).await;
    two_join(&cluster, &two).await;
    let text = log.text();
    assert_eq!(text.matches("this coordinator is dead, and was not asked").count(), 1, "{text}");
    assert!(text.contains("start it; if it is gone for good: `p2p node revoke coordinator`, with `--keep-issued`"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_forgotten_is_named_once_however_many_nodes_join_and_keeps_none_of_them_out() {
    let log = Log::capture();
    let (cluster, first, _workers) = Cluster::of(0).await;
    let two = second(&cluster, &first).await;
    cluster.network.kill(two.ip);
    two.node.stop().await;
    first.node.stop().await;
    // As a day later.
    std::fs::remove_file(cluster.dir("coordinator").join("gossip_state.json")).unwrap();
    let first = cluster.restart(Plan::coordinator()).await;
    assert_eq!(first.members().members().len(), 1, "nothing is known of the other one");
    two_join(&cluster, &first).await;
    let text = log.text();
    assert_eq!(text.matches("nothing is heard of this coordinator, and it was not asked").count(), 1, "{text}");
    assert!(text.contains("start it; if it is gone for good: `p2p node revoke coordinator-2`, with `--keep-issued`"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_does_not_answer_is_told_of_once_however_often_it_is_asked() {
    let log = Log::capture();
    let (cluster, first, _workers) = Cluster::of(0).await;
    let two = second(&cluster, &first).await;
    for node in [&first, &two] {
        sees(node, |members| members.alive().count() == 2).await;
    }
    let damaged = vec![Change::Put("ca/nodes/worker-1.json".to_owned(), b"no record".to_vec().into())];
    StoreVault::new(first.store().clone()).update(damaged).unwrap();
    for _ in 0..2 {
        assert!(matches!(thief_is_refused(&cluster, 1, &two).await, Refused::Unanswered { .. }));
    }
    let text = log.text();
    assert_eq!(text.matches("it did not say what it knows of this node").count(), 1, "{text}");
}

/// Asks a coordinator for another certificate, as whoever has a copy of a node's folder can. Gives the status, and what was said.
async fn renew_by(copy: &NodeIdentity, cluster: &Cluster, at: &Member) -> (u16, String) {
    let csr = copy.key().request().unwrap();
    let request = RenewRequest { version: RENEW_VERSION, csr, addresses: Vec::new(), nonce: None, under: None };
    let web = Web::with_tls(cluster.host(common::worker_ip(99)), at, copy.client_tls());
    let answer = web.post("/internal/cert-renew", serde_json::to_vec(&request).unwrap()).await;
    (answer.status.as_u16(), answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn case_34_a_copy_of_a_nodes_folder_is_renewed_by_no_coordinator_and_the_node_itself_by_each() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let worker = &workers[0];
    for node in [&first, &two] {
        sees(node, |members| members.alive().count() == 3).await;
    }
    let copy = identity(worker);
    for _ in 0..2 {
        soon(worker.renew_certificate()).await.unwrap();
    }
    for at in [&two, &first] {
        assert_eq!(renew_by(&copy, &cluster, at).await, (409, "superseded".to_owned()), "at {}", at.id());
    }
    // What one has renewed, the other one goes on with.
    for at in [&two, &first] {
        let shown = identity(worker);
        assert_eq!(renew_by(&shown, &cluster, at).await.0, 200, "at {}", at.id());
        soon(worker.renew_certificate()).await.expect("its answer may have been lost");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_renewed_elsewhere_while_its_coordinator_was_away_is_no_copy_to_that_one_when_it_is_back() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let (_two, worker) = (second(&cluster, &first).await, &workers[0]);
    let authority = || identity(worker).chain()[1].clone();
    let firsts = authority();
    cluster.network.kill(first.ip);
    first.node.stop().await;
    sees(worker, |members| members.alive().count() == 2).await;
    soon(worker.renew_certificate()).await.unwrap();
    assert_ne!(authority(), firsts);
    let first = cluster.restart(Plan::coordinator()).await;
    for node in [&first, worker] {
        sees(node, |members| members.alive().count() == 3).await;
    }
    soon(worker.renew_certificate()).await.unwrap();
    assert_eq!(authority(), firsts);
}

/// Has a coordinator's record of a node say that another certificate was made since.
fn renewed_since(at: &Member, node_id: &NodeId) {
    let (vault, path) = (StoreVault::new(at.store().clone()), format!("ca/nodes/{node_id}.json"));
    let mut record: Value = serde_json::from_slice(&vault.get(&path).unwrap().unwrap()).unwrap();
    record["previous"] = Value::Null;
    record["certificate"] = serde_json::to_value(at.issuer().unwrap().issued(at.id()).unwrap().unwrap().certificate).unwrap();
    record["issued"] = (record["issued"].as_u64().unwrap() + 60_000).into();
    vault.update(vec![Change::Put(path, record.to_string().into_bytes().into())]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn case_34_what_one_coordinator_refuses_for_good_the_node_asks_no_other_one_for_and_says_so() {
    let log = Log::capture();
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let worker = &workers[0];
    sees(worker, |members| members.alive().count() == 3).await;
    renewed_since(&first, worker.id());
    let said = soon(worker.renew_certificate()).await.unwrap_err();
    assert!(matches!(said, RenewError::Refused(Refused::Superseded { .. })), "{said}");
    assert!(said.to_string().contains("stop the copy, and join again with a fresh token"), "{said}");
    log.one(&["what=\"cert renew\"", "outcome=\"denied\"", "whom=\"worker-1\""]);
    assert!(log.text().contains("no other coordinator is asked"), "{}", log.text());
    // Each would have said the same.
    assert_eq!(renew_by(&identity(worker), &cluster, &two).await, (409, "superseded".to_owned()));
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

/// Where the root key stands in a coordinator's store.
const ROOT_KEY: &str = "ca/root.key";

/// Puts something else in its place. Gives what was there.
fn replace_root_key(of: &Member, by: Vec<u8>) -> Vec<u8> {
    let vault = StoreVault::new(of.store().clone());
    let before = vault.get(ROOT_KEY).unwrap().unwrap().to_vec();
    vault.update(vec![Change::Put(ROOT_KEY.to_owned(), by.into())]).unwrap();
    before
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_root_key_is_damaged_follows_a_change_by_another_holders_authority() {
    let (cluster, first, mut workers) = Cluster::of(2).await;
    let two = second(&cluster, &first).await;
    sees(&first, |members| members.alive().count() == 4).await;
    first.share_root_key(two.id()).await.unwrap();
    replace_root_key(&two, b"no key".to_vec());
    // As long as it is away, the change is not completed.
    let away = workers.pop().unwrap();
    away.node.stop().await;
    let before = first.root_fingerprint();
    first.rotate_root().await.unwrap();
    misses(&first, &["worker-2"]).await;
    first.finish_rotation().await.unwrap();
    changed(before, &[&first, &two, &workers[0]]).await;
    assert!(two.issuer().unwrap().authority().is_some());
    let joined = cluster.worker(Plan::worker(3), &two).await;
    reaches(&joined, "worker-1").await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_given_the_root_key_or_hears_that_another_has_it_does_not_wait_for_the_end_of_its_pause() {
    for is_given in [true, false] {
        let log = Log::capture();
        let (cluster, first, _workers) = Cluster::of(1).await;
        let good = replace_root_key(&first, b"no key".to_vec());
        let two = cluster.worker(Plan::second_coordinator(), &first).await;
        sees(&first, |members| members.alive().count() == 3).await;
        // What it says of its keys is told when something happens.
        let happens = async |what: &'static str| {
            let note = move |me: &mut NodeInfo| drop(me.metadata.insert("note".to_owned(), what.to_owned()));
            first.members().update_me(note).await.unwrap();
        };
        happens("the key is damaged").await;
        until("the pauses are long", || log.text().matches("not certified anew").count() >= 6).await;
        assert!(two.issuer().unwrap().authority().is_none());
        replace_root_key(&first, good);
        if is_given {
            first.share_root_key(two.id()).await.unwrap();
        } else {
            happens("the key is whole").await;
        }
        let now = tokio::time::Instant::now();
        until("it has its authority", || two.issuer().unwrap().authority().is_some()).await;
        assert!(now.elapsed() < Duration::from_secs(5), "{:?}", now.elapsed());
    }
}
