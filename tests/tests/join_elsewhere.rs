//! A join token works at the address of any coordinator: one that did not make it sends the node to the one that did.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Cluster, Member, Plan, password, sees, soon, token, web::Web, worker_ip};
use futures::future::join_all;
use p2p_client::{
    protocol::{NodeStatus, Role},
    revocation::Reason,
};
use p2p_runtime::{
    identity::{Approval, Host, JoinError, JoinEvent, JoinToken, Refused, TokenOptions, TokenRefused},
    node::{Enrolment, JoinClusterOptions, NodeError, join},
};

/// How many lookups run at a time.
const AT_ONCE: usize = 4;

/// Two coordinators that see each other; the second has an authority of its own.
async fn two_coordinators() -> (Cluster, Member, Member) {
    let (cluster, first, _) = Cluster::of(0).await;
    let second = cluster.worker(Plan::second_coordinator(), &first).await;
    for node in [&first, &second] {
        sees(node, |members| members.alive().count() == 2).await;
    }
    soon(async {
        while second.issuer().unwrap().authority().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    (cluster, first, second)
}

/// Why a worker is refused at this coordinator.
async fn refused(cluster: &Cluster, number: u8, at: &Member, token: JoinToken) -> Refused {
    match soon(cluster.join(&Plan::worker(number), &at.authority(), token)).await.err().unwrap() {
        NodeError::Join(JoinError::Refused(refused)) => refused,
        other => panic!("{other}"),
    }
}

/// A token that nobody has made.
fn made_up(of: &Member) -> JoinToken {
    JoinToken::generate(of.root_fingerprint()).unwrap()
}

/// Joins, and gives what was told of it.
async fn join_and_tell(
    cluster: &Cluster,
    plan: &Plan,
    at: &Member,
    token: JoinToken,
    told: impl Fn(&JoinEvent) + Send + Sync + 'static,
) -> Result<(Enrolment, Vec<JoinEvent>), NodeError> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let noted = events.clone();
    let options = JoinClusterOptions {
        node_id: Some(plan.id.parse().unwrap()),
        advertise: Some(Host::Ip(plan.ip)),
        network: Arc::new(cluster.host(plan.ip)),
        progress: Arc::new(move |event| {
            told(&event);
            noted.lock().unwrap().push(event);
        }),
        ..JoinClusterOptions::new(cluster.dir(&plan.id), password(), at.authority(), token)
    };
    let enrolment = soon(join(options)).await?.enrolment;
    let events = events.lock().unwrap().clone();
    Ok((enrolment, events))
}

/// Where a node was sent.
fn sent_to(events: &[JoinEvent]) -> Vec<(String, String)> {
    let sent = events.iter().filter_map(|event| match event {
        JoinEvent::SentOn { coordinator } => Some((coordinator.node_id.to_string(), coordinator.authority.clone())),
        _ => None,
    });
    sent.collect()
}

#[tokio::test(start_paused = true)]
async fn a_token_works_at_the_address_of_another_coordinator_than_its_maker_and_only_once() {
    let (cluster, first, second) = two_coordinators().await;
    let token = token(&second, TokenOptions::default()).await;
    let (enrolment, events) = join_and_tell(&cluster, &Plan::worker(1), &first, token.clone(), |_| ()).await.unwrap();
    assert_eq!(sent_to(&events), [("coordinator-2".to_owned(), second.authority())]);
    assert_eq!(second.issuer().unwrap().tokens()[0].uses_left, 0);
    let has_issued = |at: &Member| at.issuer().unwrap().issued(&"worker-1".parse().unwrap()).unwrap().is_some();
    assert!(has_issued(&second) && !has_issued(&first));
    let again = refused(&cluster, 2, &first, token).await;
    assert_eq!(again, Refused::Token(TokenRefused::Used), "the refusal is its maker's");
    let worker = cluster.start(Plan::worker(1), enrolment).await;
    sees(&worker, |members| members.alive().count() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn at_its_maker_a_token_works_without_a_word_of_another_coordinator() {
    let (cluster, first, _second) = two_coordinators().await;
    let token = token(&first, TokenOptions::default()).await;
    let (_, events) = join_and_tell(&cluster, &Plan::worker(1), &first, token, |_| ()).await.unwrap();
    assert_eq!(sent_to(&events), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_token_its_maker_says_itself() {
    let (cluster, first, second) = two_coordinators().await;
    let revoked = token(&second, TokenOptions::default()).await;
    second.issuer().unwrap().revoke_token(revoked.id(), Reason::default()).await.unwrap();
    assert_eq!(refused(&cluster, 1, &first, revoked).await, Refused::Token(TokenRefused::Revoked));
    let other_role = token(&second, TokenOptions { role: Role::Coordinator, ..TokenOptions::default() }).await;
    let said = refused(&cluster, 2, &first, other_role).await;
    assert_eq!(said, Refused::Token(TokenRefused::Role { allowed: Role::Coordinator, wanted: Role::Worker }));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_an_operator_has_to_approve_waits_at_the_maker_of_its_token() {
    let (cluster, first, second) = two_coordinators().await;
    let token = token(&second, TokenOptions { approval: Approval::Manual, ..TokenOptions::default() }).await;
    let (say, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let told = move |event: &JoinEvent| {
        if let JoinEvent::WaitingForApproval { coordinator, .. } = event {
            drop(say.send(coordinator.to_string()));
        }
    };
    let plan = Plan::worker(1);
    let approve = async {
        assert_eq!(soon(waits.recv()).await.unwrap(), "coordinator-2");
        assert!(first.issuer().unwrap().pending().is_empty());
        let node = second.issuer().unwrap().pending().pop().unwrap();
        second.issuer().unwrap().approve(node).await.unwrap();
    };
    let (joined, ()) = tokio::join!(join_and_tell(&cluster, &plan, &first, token, told), approve);
    let (enrolment, events) = joined.unwrap();
    assert_eq!(enrolment.identity.peer().node_id, "worker-1");
    assert_eq!(sent_to(&events).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_maker_is_away_the_error_says_what_to_do_and_its_token_works_when_it_is_back() {
    let (cluster, first, second) = two_coordinators().await;
    let token = token(&second, TokenOptions::default()).await;
    cluster.network.kill(second.ip);
    second.node.stop().await;
    let said = refused(&cluster, 1, &first, token.clone()).await;
    assert_eq!(said, Refused::Token(TokenRefused::Unknown));
    for part in
        ["no coordinator that can be reached knows the join token", "start the coordinator that made it", "`p2p token create`"]
    {
        assert!(said.to_string().contains(part), "{said}");
    }
    let _second = cluster.restart(Plan::second_coordinator()).await;
    sees(&first, |members| members.alive().count() == 2).await;
    soon(cluster.join(&Plan::worker(1), &first.authority(), token)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_made_is_refused_where_every_coordinator_was_asked() {
    let (cluster, first, _second) = two_coordinators().await;
    assert_eq!(refused(&cluster, 1, &first, made_up(&first)).await, Refused::Token(TokenRefused::Unknown));
}

#[tokio::test(start_paused = true)]
async fn case_28_made_up_tokens_cost_other_coordinators_a_few_lookups_at_a_time_and_keep_nobody_out_whose_token_is_known() {
    let (cluster, first, second) = two_coordinators().await;
    // A lookup takes as long as it may.
    cluster.network.partition(first.ip, second.ip);
    let strangers = (1..=10).map(|number| refused(&cluster, number, &first, made_up(&first)));
    let known = token(&first, TokenOptions::default()).await;
    let plan = Plan::worker(20);
    let authority = first.authority();
    let (said, joined) = tokio::join!(join_all(strangers), soon(cluster.join(&plan, &authority, known)));
    joined.unwrap();
    let count = |wanted: Refused| said.iter().filter(|refused| **refused == wanted).count();
    assert_eq!(count(Refused::Token(TokenRefused::Unknown)), AT_ONCE, "{said:?}");
    assert_eq!(count(Refused::Busy), 10 - AT_ONCE, "{said:?}");
    // What was taken is given back.
    cluster.network.heal(first.ip, second.ip);
    sees(&first, |members| members.list().iter().all(|info| info.status == NodeStatus::Alive)).await;
    let theirs = token(&second, TokenOptions::default()).await;
    soon(cluster.join(&Plan::worker(21), &first.authority(), theirs)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_coordinators_are_told_who_made_a_token() {
    let (cluster, first, second) = two_coordinators().await;
    let worker = cluster.worker(Plan::worker(1), &first).await;
    let token = token(&second, TokenOptions::default()).await;
    let path = format!("/internal/ca/token/{}", token.id());
    let host = || cluster.host(worker_ip(9));
    for web in [Web::node(host(), &second, &worker), Web::anonymous(host(), &second), Web::operator(cluster.dir("coordinator-2"))]
    {
        let answer = web.get(&path).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.error().1.contains("token lookup is for coordinators of this cluster"), "{answer:?}");
    }
    // The control.
    let coordinator = Web::node(host(), &second, &first);
    assert_eq!(coordinator.get(&path).await.json()["knows"], true);
    let unknown = format!("/internal/ca/token/{}", made_up(&first).id());
    assert_eq!(coordinator.get(&unknown).await.json()["knows"], false);
}
