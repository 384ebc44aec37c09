//! Several coordinators: each issues by an authority of its own, and whoever holds the root key gives the others theirs.

use super::*;

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
