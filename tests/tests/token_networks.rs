//! Join tokens that may be used only in some networks.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Cluster, Member, Plan,
    clients::outside,
    log::Log,
    sees, soon, token,
    web::{Answer, Web},
    worker_ip,
};
use p2p_client::protocol::Role;
use p2p_runtime::{
    identity::{JoinError, JoinToken, Refused, TokenOptions, TokenRefused},
    node::NodeError,
};
use serde_json::{Value, json};

async fn token_for(at: &Member, network: &str) -> JoinToken {
    token(at, TokenOptions { networks: vec![network.parse().unwrap()].into(), ..TokenOptions::default() }).await
}

fn uses_left(at: &Member, token: &JoinToken) -> u32 {
    at.issuer().unwrap().tokens().iter().find(|record| record.id == token.id()).unwrap().uses_left
}

/// What the operator is told of the token with this id.
async fn listed(cluster: &Cluster, id: &str) -> Value {
    let tokens = Web::operator(cluster.dir("coordinator")).get("/admin/tokens").await.json();
    tokens.as_array().unwrap().iter().find(|token| token["id"] == id).unwrap().clone()
}

#[tokio::test]
async fn an_operator_makes_a_token_for_some_networks_and_the_list_and_the_audit_log_say_which() {
    let log = Log::capture();
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let operator = Web::operator(cluster.dir("coordinator"));
    let body = |networks: Value| json!({ "role": "worker", "ttl_seconds": 60, "uses": 1, "networks": networks }).to_string();
    let answer = operator.post("/admin/token", body(json!(["10.0.0.0/24", "fd00::/8"]))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token: JoinToken = answer.json()["token"].as_str().unwrap().parse().unwrap();
    let id = token.id().to_string();
    log.one(&["what=\"join token create\"", &id, "approval auto, only in 10.0.0.0/24, fd00::/8\""]);
    assert_eq!(listed(&cluster, &id).await["networks"], json!(["10.0.0.0/24", "fd00::/8"]));
    soon(cluster.join(&Plan::worker(1), &coordinator.authority(), token)).await.unwrap();
    // What is no network makes no token.
    let before = coordinator.issuer().unwrap().tokens().len();
    let answer = operator.post("/admin/token", body(json!(["10.0.0.0/99"]))).await;
    assert!(answer.status == 400 && answer.error().1.contains("\"10.0.0.0/99\" is no network"), "{answer:?}");
    assert_eq!(coordinator.issuer().unwrap().tokens().len(), before);
}

#[tokio::test]
async fn a_node_from_elsewhere_is_refused_with_its_address_and_the_networks_and_the_audit_log_is_told() {
    let log = Log::capture();
    let (cluster, coordinator, _) = Cluster::of(0).await;
    let token = token_for(&coordinator, "192.0.2.0/24").await;
    let error = soon(cluster.join(&Plan::worker(1), &coordinator.authority(), token.clone())).await.map(drop).unwrap_err();
    let said = "the join token may be used only in 192.0.2.0/24, and the node's connection comes from 10.0.0.11;";
    assert!(error.to_string().contains(said), "{error}");
    log.one(&["what=\"join\"", "whom=\"worker-1\"", "from=\"10.0.0.11\"", "outcome=\"denied\"", said]);
    assert_eq!(uses_left(&coordinator, &token), 1);
}

/// Two coordinators that see each other; the second has an authority of its own.
async fn two_coordinators() -> (Cluster, Member, Member) {
    let (cluster, first, _) = Cluster::of(0).await;
    let second = cluster.worker(Plan::second_coordinator(), &first).await;
    sees(&first, |members| members.alive().count() == 2).await;
    soon(async {
        while second.issuer().unwrap().authority().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    (cluster, first, second)
}

#[tokio::test]
async fn the_networks_hold_where_a_node_is_sent_on_to_the_coordinator_that_made_the_token() {
    let (cluster, first, second) = two_coordinators().await;
    let elsewhere = token_for(&second, "192.0.2.0/24").await;
    let refused = soon(cluster.join(&Plan::worker(1), &first.authority(), elsewhere.clone())).await.map(drop).unwrap_err();
    let NodeError::Join(JoinError::Refused(Refused::Token(TokenRefused::From { address, networks }))) = refused else {
        panic!("{refused}");
    };
    assert_eq!((address, &*networks.to_string()), (worker_ip(1), "192.0.2.0/24"));
    assert_eq!(uses_left(&second, &elsewhere), 1);
    let here = token_for(&second, "10.0.0.11").await;
    soon(cluster.join(&Plan::worker(1), &first.authority(), here.clone())).await.unwrap();
    assert_eq!(uses_left(&second, &here), 0);
}

/// Says hello in the name of a worker that claims this address.
async fn hello(web: &Web, token: &JoinToken, address: &str) -> Answer {
    let hello = json!({
        "step": "hello", "version": 1, "node_id": "worker-1", "role": Role::Worker, "addresses": [address], "token_id": token.id(),
    });
    web.post("/internal/cert-request", hello.to_string()).await
}

/// The proof is bound to the TLS connection: a proxy that ends TLS can carry no join, and one that does not can write no header.
#[tokio::test]
async fn no_header_says_from_where_a_node_joins_not_even_over_the_address_of_a_trusted_proxy() {
    let cluster = Cluster::new();
    let plan = Plan::coordinator();
    let mut enrolment = cluster.init(&plan).await.unwrap();
    enrolment.config.proxies.trusted = vec!["10.0.0.18".parse().unwrap()];
    enrolment.config.clone().save(&enrolment.store).unwrap();
    let coordinator = cluster.start(plan, enrolment).await;
    let token = token_for(&coordinator, "203.0.113.0/24").await;
    let proxy = Web::anonymous(cluster.host(worker_ip(8)), &coordinator);
    for (web, comes_from) in [
        (proxy.clone(), "10.0.0.18"),
        (proxy.header("x-forwarded-for", "203.0.113.7"), "10.0.0.18"),
        (outside(&cluster, &coordinator).header("x-forwarded-for", "203.0.113.7"), "10.0.0.19"),
    ] {
        let answer = hello(&web, &token, "203.0.113.7").await;
        assert_eq!(answer.status, 403, "{answer:?}");
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(said.contains(&format!("comes from {comes_from};")), "{said}");
    }
    assert_eq!(uses_left(&coordinator, &token), 1);
}
