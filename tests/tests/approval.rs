//! Manual approval among whole nodes: an operator lets a node in, or does not, over the coordinator's socket.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{Cluster, Member, Plan, password, sees, soon, token, web::Web};
use p2p_client::{
    protocol::NodeStatus,
    revocation::{Reason, Subject},
};
use p2p_runtime::{
    identity::{Approval, Host, JoinEvent, JoinToken, TokenOptions},
    node::{Enrolment, JoinClusterOptions, NodeError, join},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A join that somebody follows.
struct Joining {
    join: tokio::task::JoinHandle<Result<Enrolment, NodeError>>,
    events: mpsc::UnboundedReceiver<JoinEvent>,
}

impl Joining {
    fn begin(cluster: &Cluster, plan: &Plan, authority: &str, token: JoinToken) -> Self {
        let (say, events) = mpsc::unbounded_channel();
        let options = JoinClusterOptions {
            node_id: Some(plan.id.parse().unwrap()),
            advertise: Some(Host::Ip(plan.ip)),
            network: Arc::new(cluster.host(plan.ip)),
            progress: Arc::new(move |event| drop(say.send(event))),
            ..JoinClusterOptions::new(cluster.dir(&plan.id), password(), authority, token)
        };
        let join = tokio::spawn(async { Ok(join(options).await?.enrolment) });
        Self { join, events }
    }

    /// Waits for such an event; gives what it is asked for.
    async fn until<T>(&mut self, wanted: impl Fn(&JoinEvent) -> Option<T>) -> T {
        soon(async {
            loop {
                let event = self.events.recv().await.expect("the join goes on");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        })
        .await
    }

    /// Waits until it waits for an operator; gives the key that it shows.
    async fn waits(&mut self) -> String {
        self.until(|event| match event {
            JoinEvent::WaitingForApproval { coordinator, key, .. } => {
                assert!(coordinator.as_str().starts_with("coordinator"));
                Some(key.to_string())
            }
            _ => None,
        })
        .await
    }

    async fn ended(self) -> Result<Enrolment, NodeError> {
        soon(self.join).await.unwrap()
    }
}

async fn manual(coordinator: &Member) -> JoinToken {
    token(coordinator, TokenOptions { approval: Approval::Manual, ..TokenOptions::default() }).await
}

/// What the operator of this node is answered.
async fn operate(cluster: &Cluster, node: &str, command: Value) -> Result<Value, String> {
    let answer = Web::operator(cluster.dir(node)).post("/admin/approvals", command.to_string()).await;
    let body = answer.json();
    if answer.status == 200 { Ok(body) } else { Err(body["error"]["message"].as_str().unwrap().to_owned()) }
}

async fn found(cluster: &Cluster, node_id: &str) -> Value {
    operate(cluster, "coordinator", json!({ "do": "find", "node_id": node_id })).await.unwrap()["node"].clone()
}

async fn approve(cluster: &Cluster, node_id: &str) {
    let node = found(cluster, node_id).await;
    operate(cluster, "coordinator", json!({ "do": "approve", "node": node })).await.unwrap();
}

#[tokio::test]
async fn a_node_waits_for_an_operator_and_serves_once_it_is_approved() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let token = manual(&coordinator).await;
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), token);
    let key = joining.waits().await;
    let node = found(&cluster, "worker-1").await;
    assert_eq!((&node["key"], &node["addresses"]), (&json!(key), &json!(["10.0.0.11"])));
    approve(&cluster, "worker-1").await;
    let enrolment = joining.ended().await.unwrap();
    let worker = cluster.start(Plan::worker(1), enrolment).await;
    sees(&worker, |members| members.get(&"coordinator".parse().unwrap()).is_some()).await;
    let again = operate(&cluster, "coordinator", json!({ "do": "find", "node_id": "worker-1" })).await.unwrap_err();
    assert!(again.contains("was approved before and has joined"), "{again}");
}

#[tokio::test]
async fn a_denied_node_is_told_why_at_once() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), manual(&coordinator).await);
    joining.waits().await;
    let node = found(&cluster, "worker-1").await;
    operate(&cluster, "coordinator", json!({ "do": "deny", "node": node, "reason": "not ours" })).await.unwrap();
    let refused = joining.ended().await.map(drop).unwrap_err().to_string();
    assert!(
        refused.contains("an operator denied that worker-1 joins (not ours)") && refused.contains("fresh token"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_node_that_waits_outlasts_its_coordinator_and_gets_its_certificate_from_the_restarted_one() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let (token, authority) = (manual(&coordinator).await, coordinator.authority());
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &authority, token);
    joining.waits().await;
    coordinator.node.stop().await;
    joining.until(|event| matches!(event, JoinEvent::CoordinatorAway { .. }).then_some(())).await;
    let _coordinator = cluster.restart(Plan::coordinator()).await;
    joining.waits().await; // It is told that the coordinator is back, and what is still to be done there.
    approve(&cluster, "worker-1").await;
    let enrolment = joining.ended().await.unwrap();
    assert_eq!(enrolment.identity.peer().node_id, "worker-1");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_coordinator_stays_away_asks_ever_more_seldom_says_for_how_long_and_at_the_end_what_to_do() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let (token, authority) = (manual(&coordinator).await, coordinator.authority());
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &authority, token);
    let within = joining
        .until(|event| match event {
            JoinEvent::WaitingForApproval { within, .. } => Some(*within),
            _ => None,
        })
        .await;
    let began = tokio::time::Instant::now();
    coordinator.node.stop().await;
    let (mut waits, mut lefts) = (Vec::new(), Vec::new());
    while let Some(event) = joining.events.recv().await {
        let JoinEvent::CoordinatorAway { authority: at, reason, wait, left } = event else { panic!("{event:?}") };
        assert_eq!(at, authority);
        assert!(!reason.contains("join again"), "nothing is to be done here: {reason}");
        waits.push(wait.as_secs());
        lefts.push(left);
    }
    assert_eq!(waits[..7], [1, 2, 4, 8, 16, 30, 30], "{waits:?}");
    assert!(waits[7..waits.len() - 1].iter().all(|wait| *wait == 30), "{waits:?}");
    assert!(lefts[0] <= within && lefts.is_sorted_by(|earlier, later| earlier > later), "{lefts:?}");
    let said = joining.join.await.unwrap().map(drop).unwrap_err().to_string();
    assert!(began.elapsed() + std::time::Duration::from_secs(30) >= within, "{:?} of {within:?}", began.elapsed());
    assert!(
        said.contains("the time in which an operator could approve worker-1 is over") && said.contains("fresh token"),
        "{said}"
    );
}

#[tokio::test]
async fn an_interrupted_join_goes_on_where_it_was_without_another_use_of_the_token() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let token = manual(&coordinator).await;
    let begin = || Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), token.clone());
    let mut first = begin();
    let key = first.waits().await;
    first.join.abort();
    assert!(soon(first.join).await.is_err());
    let mut second = begin();
    assert_eq!(second.waits().await, key, "the folder has kept the key");
    assert_eq!(coordinator.issuer().unwrap().pending().len(), 1);
    assert_eq!(coordinator.issuer().unwrap().tokens()[0].uses_left, 0);
    second.join.abort();
    assert!(soon(second.join).await.is_err());
    approve(&cluster, "worker-1").await;
    begin().ended().await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_the_wait_at_once() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let token = manual(&coordinator).await;
    let id = token.id();
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), token);
    joining.waits().await;
    let node = found(&cluster, "worker-1").await;
    let what = Subject::JoinToken { id: id.to_string(), expires: None };
    coordinator.ledger().revoke(vec![what], Reason::default()).await.unwrap();
    let refused = joining.ended().await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("the join token was revoked"), "{refused}");
    let refused = operate(&cluster, "coordinator", json!({ "do": "approve", "node": node })).await.unwrap_err();
    assert!(refused.contains("would not let it in: the join token was revoked"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_waits_while_the_root_is_changed_is_told_at_once_to_get_another_token() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), manual(&coordinator).await);
    joining.waits().await;
    coordinator.rotate_root().await.unwrap();
    let refused = joining.ended().await.map(drop).unwrap_err().to_string();
    assert!(
        refused.contains("root was changed since the join token was made") && refused.contains("`p2p token create`"),
        "{refused}"
    );
    let gone = operate(&cluster, "coordinator", json!({ "do": "find", "node_id": "worker-1" })).await.unwrap_err();
    assert!(gone.contains("no node worker-1 waits for approval"), "{gone}");
    // With a token of the new root it comes in.
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), manual(&coordinator).await);
    joining.waits().await;
    approve(&cluster, "worker-1").await;
    joining.ended().await.unwrap();
}

#[tokio::test]
async fn an_operator_at_another_node_is_told_at_which_coordinator_the_request_waits() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
    for node in [&second, &workers[0]] {
        sees(node, |members| members.list().iter().filter(|info| info.status == NodeStatus::Alive).count() == 3).await;
    }
    let mut joining = Joining::begin(&cluster, &Plan::worker(7), &coordinator.authority(), manual(&coordinator).await);
    joining.waits().await;
    let find = |node_id: &str| json!({ "do": "find", "node_id": node_id });
    for node in ["coordinator-2", "worker-1"] {
        let elsewhere = operate(&cluster, node, find("worker-7")).await.unwrap_err();
        assert!(elsewhere.contains("at coordinator coordinator") && elsewhere.contains("run the command there"), "{elsewhere}");
    }
    let nowhere = operate(&cluster, "coordinator", find("worker-8")).await.unwrap_err();
    assert!(nowhere.contains("no node worker-8 waits for approval at this coordinator"), "{nowhere}");
    let list = operate(&cluster, "worker-1", json!({ "do": "list" })).await.unwrap_err();
    assert!(list.contains("this node lets nobody in") && list.contains("`p2p nodes`"), "{list}");
    // A stranger is told nothing.
    let stranger = common::clients::outside(&cluster, &coordinator).get("/internal/pending/worker-7").await;
    assert_eq!(stranger.status, 403);
    approve(&cluster, "worker-7").await;
    joining.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_does_not_answer_does_not_hold_up_the_search_for_where_a_request_waits() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    // Nothing comes back from the first that is asked, nor is it known yet that it is away.
    let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
    let third = Plan { id: "coordinator-3".to_owned(), ip: common::worker_ip(33), ..Plan::second_coordinator() };
    let third = cluster.worker(third, &coordinator).await;
    sees(&workers[0], |members| members.alive().count() == 4).await;
    let issuer = third.issuer().unwrap();
    soon(async {
        while issuer.authority().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let mut joining = Joining::begin(&cluster, &Plan::worker(7), &third.authority(), manual(&third).await);
    joining.waits().await;
    cluster.network.partition(workers[0].ip, second.ip);
    cluster.network.partition(workers[0].ip, coordinator.ip);
    let began = tokio::time::Instant::now();
    let command = json!({ "do": "find", "node_id": "worker-7" });
    let elsewhere = operate(&cluster, "worker-1", command).await.unwrap_err();
    assert!(elsewhere.contains("at coordinator coordinator-3"), "{elsewhere}");
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    joining.join.abort();
}

#[tokio::test]
async fn a_coordinator_that_stops_does_not_wait_for_those_that_wait() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), manual(&coordinator).await);
    joining.waits().await;
    let began = std::time::Instant::now();
    coordinator.node.stop().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    joining.join.abort();
}

#[tokio::test]
async fn only_the_operator_decides() {
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let mut joining = Joining::begin(&cluster, &Plan::worker(1), &coordinator.authority(), manual(&coordinator).await);
    joining.waits().await;
    let node = found(&cluster, "worker-1").await;
    let stranger = common::clients::outside(&cluster, &coordinator);
    for command in [json!({ "do": "list" }), json!({ "do": "approve", "node": node })] {
        assert_eq!(stranger.post("/admin/approvals", command.to_string()).await.status, 403);
    }
    assert!(found(&cluster, "worker-1").await["approved"].is_null());
    joining.join.abort();
}
