//! How many calls a node takes of whom, and how an operator changes that while it runs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use common::{
    Cluster, Member, Plan,
    clients::Credential,
    password,
    probe::{Probe, ProbeProxyExt},
    sees, set_config, soon, token,
    web::{Answer, Web},
    worker_ip,
};
use http::StatusCode;
use p2p_client::{client::Client, protocol::ErrorCode};
use p2p_runtime::{
    config::{NodeConfig, RateLimitConfig},
    identity::TokenOptions,
    testing::TestCluster,
};
use p2p_services::prelude::*;
use serde_json::{Value, json};

/// A coordinator that is limited as this says, instead of as its configuration does. Where that says nothing else, bursts are the usual ones, but one
/// call a minute is made good: none comes back while a test counts, however slow the machine is.
async fn coordinator(change: impl FnOnce(&mut NodeConfig)) -> (Cluster, Member) {
    let cluster = Cluster::new();
    let plan = Plan::coordinator().limited();
    let mut enrolment = cluster.init(&plan).await.unwrap();
    (enrolment.config.rate_limit.rpc_requests, enrolment.config.rate_limit.health_requests) = (1, 1);
    change(&mut enrolment.config);
    let config = enrolment.config.clone();
    config.save(&enrolment.store).unwrap();
    let coordinator = cluster.start(plan, enrolment).await;
    (cluster, coordinator)
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"probe/repeat","params":{"text":"x"}}"#;

/// How many of these calls are served one after another.
async fn served(web: &Web, calls: usize) -> usize {
    let mut served = 0;
    for _ in 0..calls {
        served += usize::from(web.rpc(CALL).await.status == StatusCode::OK);
    }
    served
}

#[track_caller]
fn assert_over(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    let error = &answer.json()["error"];
    let ms = error["data"]["retry_after_ms"].as_u64().unwrap();
    assert_eq!((error["code"].as_i64().unwrap(), seconds), (ErrorCode::RATE_LIMITED.0, ms.div_ceil(1_000)));
    assert!(error["message"].as_str().unwrap().contains("; try again in "), "{error}");
}

#[tokio::test]
async fn a_nameless_caller_gets_20_calls_at_once_and_then_429_whichever_route_it_takes() {
    let (cluster, node) = coordinator(|_| {}).await;
    let web = Web::anonymous(cluster.host(worker_ip(8)), &node);
    // Bad requests count like good ones, and so do unknown routes.
    assert_eq!(web.rpc("no json").await.status, 200);
    assert_eq!(web.get("/nothing").await.status, 404);
    assert_eq!(served(&web, 18).await, 18);
    assert_over(&web.rpc(CALL).await);
    assert_over(&web.post("/rpc/probe/repeat", r#"{"text":"x"}"#).await);
    assert_over(&web.get("/services").await);
    assert_over(&web.get("/nothing").await);
    assert_eq!(web.get("/health").await.status, 200, "health has a budget of its own");
    let other = Web::anonymous(cluster.host(worker_ip(9)), &node);
    assert_eq!(served(&other, 3).await, 3, "and so has another address");
    let operator = Web::operator(cluster.dir("coordinator"));
    assert_eq!(served(&operator, 60).await, 60, "the operator is not limited");
    let as_node = Web::node(cluster.host(worker_ip(8)), &node, &node);
    assert_eq!(served(&as_node, 60).await, 60, "and nodes have a larger one, wherever they are");
}

#[tokio::test]
async fn looks_at_the_health_have_an_end_too() {
    let (cluster, node) = coordinator(|config| config.rate_limit.health_burst = 5).await;
    let web = Web::anonymous(cluster.host(worker_ip(8)), &node);
    for _ in 0..5 {
        assert_eq!(web.get("/health").await.status, 200);
    }
    assert_over(&web.get("/health").await);
    assert_eq!(served(&web, 3).await, 3);
}

#[tokio::test]
async fn each_call_of_a_batch_counts_and_those_over_the_limit_are_refused_one_by_one() {
    let (cluster, node) = coordinator(|_| {}).await;
    let web = Web::anonymous(cluster.host(worker_ip(8)), &node);
    let batch: Vec<_> =
        (0..30).map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "probe/repeat", "params": { "text": "x" } })).collect();
    let answer = web.rpc(Value::from(batch).to_string()).await;
    assert_eq!(answer.status, 200);
    let answers = answer.json();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 20);
    assert!(codes.iter().flatten().all(|code| *code == ErrorCode::RATE_LIMITED.0), "{codes:?}");
    assert_over(&web.rpc(CALL).await);
}

#[tokio::test]
async fn a_node_that_calls_too_much_on_its_session_is_told_when_to_come_again() {
    let (cluster, node) = coordinator(|config| {
        config.rate_limit.node_requests = 600;
        config.rate_limit.node_burst = 30;
    })
    .await;
    let worker = cluster.worker(Plan::worker(1).without_probe(), &node).await;
    sees(&worker, |members| members.hosting("probe").count() == 1).await;
    let proxy = worker.proxy();
    let over = loop {
        match soon(proxy.probe().on("coordinator").for_nodes(1)).await {
            Ok(number) => assert_eq!(number, 1),
            Err(error) => break error,
        }
    };
    assert!(over.is_safe_to_retry());
    let CallError::RateLimited { reason, retry_after: Some(wait) } = over else { panic!("{over}") };
    assert!(reason.contains("rate_limit.node_requests") && wait <= Duration::from_millis(100), "{reason} {wait:?}");
    // A call that may be tried again waits a little, and is served.
    let patient = proxy.probe().on("coordinator").for_nodes(2).retry(5);
    assert_eq!(soon(patient).await.unwrap(), 2);
}

#[tokio::test]
async fn a_node_that_gets_itself_tokens_without_end_is_told_when_to_come_again_and_that_keeps_it_from_no_calls() {
    let (cluster, coordinator) = coordinator(|_| ()).await;
    let credential = Credential::create(&cluster, &coordinator, "ci", "").await;
    // From here on all goes over a network in memory, and none of the budget comes back because the machine is slow.
    tokio::time::pause();
    let worker = cluster.worker(Plan::worker(1), &coordinator).await;
    let node = Web::node(cluster.host(worker.ip), &coordinator, &worker);
    // One may come back meanwhile.
    let until_over = async |path: &str, body: &str, served: u16| {
        for number in 0..1_000 {
            let answer = node.post(path, body.to_owned()).await;
            if answer.status != served {
                assert_over(&answer);
                return number;
            }
        }
        panic!("{path} is never refused");
    };
    assert!(until_over("/auth/token", "{}", 200).await >= 60);
    until_over("/internal/cert-renew", "{}", 400).await;
    // Nor in the name of a client whose secret it has: a client from outside has fewer calls than a node.
    let by_secret = json!({ "client_id": credential.id, "client_secret": credential.secret }).to_string();
    until_over("/auth/token", &by_secret, 200).await;
    assert_eq!(node.rpc(CALL).await.status, StatusCode::OK);
    // Another one has a budget of its own, and so has this one again after a while.
    let other = cluster.worker(Plan::worker(2), &coordinator).await;
    soon(other.renew_certificate()).await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    soon(worker.renew_certificate()).await.unwrap();
}

#[tokio::test]
async fn a_coordinator_passes_on_as_many_secrets_of_clients_as_it_is_asked_to_also_where_the_other_has_not_heard_of_it() {
    let (cluster, coordinator) = coordinator(|_| ()).await;
    let credential = Credential::create(&cluster, &coordinator, "ci", "").await;
    let plan = Plan::second_coordinator();
    let token = token(&coordinator, TokenOptions { role: plan.role, ..TokenOptions::default() }).await;
    let second = soon(cluster.join(&plan, &coordinator.authority(), token)).await.unwrap();
    assert_eq!(coordinator.members().members().len(), 1, "it has a certificate, and does not run");
    let web = Web::with_tls(cluster.host(plan.ip), &coordinator, second.identity.client_tls());
    // None of a node's 60 a minute comes back because the machine is slow.
    tokio::time::pause();
    let by_secret = json!({ "client_id": credential.id, "client_secret": credential.secret }).to_string();
    for number in 0..100 {
        assert_eq!(web.post("/auth/token", by_secret.clone()).await.status, 200, "after {number}");
    }
}

#[tokio::test]
async fn a_program_outside_is_told_when_to_come_again_and_comes_then_if_it_may() {
    // One call in three seconds: sooner than it was told to, a call is of no use.
    let limit = RateLimitConfig { rpc_requests: 20, rpc_burst: 3, ..RateLimitConfig::default() };
    let cluster = TestCluster::new().coordinator().configure(move |node| node.rate_limit(limit.clone()).serve(Probe::new()));
    let cluster = soon(cluster.start()).await.unwrap();
    let node = cluster.coordinator();
    let client = Client::builder(&node.url()).unwrap().root_fingerprint(&node.root_fingerprint().to_string()).build().unwrap();
    let probe = client.proxy().probe();
    for _ in 0..3 {
        assert_eq!(soon(probe.repeat("x", None)).await.unwrap(), "x");
    }
    let error = soon(probe.repeat("x", None)).await.unwrap_err();
    assert!(
        matches!(error, CallError::RateLimited { retry_after: Some(wait), .. } if wait > Duration::from_millis(500)),
        "{error}"
    );
    assert_eq!(soon(probe.repeat("y", None).retry(1)).await.unwrap(), "y");
    // Where the other node is not there at all, the one that said when to come again is what the caller is told of.
    let client =
        Client::builder(&node.url()).unwrap().also("https://127.0.0.1:1").root_fingerprint(&node.root_fingerprint().to_string());
    let probe = client.build().unwrap().proxy().probe();
    let error = loop {
        if let Err(error) = soon(probe.repeat("z", None)).await {
            break error;
        }
    };
    assert!(matches!(error, CallError::RateLimited { retry_after: Some(_), .. }), "{error}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_budget_and_nobody_else_is_believed() {
    let (cluster, node) = coordinator(|config| config.proxies.trusted = vec!["10.0.0.18".parse().unwrap()]).await;
    let through = |peer: u8, client: &str| Web::anonymous(cluster.host(worker_ip(peer)), &node).header("x-forwarded-for", client);
    assert_eq!(served(&through(8, "203.0.113.7"), 22).await, 20);
    assert_eq!(served(&through(8, "203.0.113.8"), 5).await, 5);
    assert_eq!(served(&through(8, "198.51.100.1, 203.0.113.7"), 2).await, 0, "what the client wrote itself does not count");
    assert_eq!(served(&through(9, "203.0.113.20"), 20).await, 20);
    assert_eq!(served(&through(9, "203.0.113.21"), 2).await, 0, "whoever is no proxy has one budget, whatever it writes");
}

#[tokio::test]
async fn refused_calls_are_counted_where_the_node_tells_of_itself() {
    let (cluster, node) = coordinator(|_| {}).await;
    let web = Web::anonymous(cluster.host(worker_ip(8)), &node);
    assert_eq!(served(&web, 23).await, 20);
    let operator = Web::operator(cluster.dir("coordinator"));
    assert_eq!(operator.get("/health").await.json()["refused_calls"], json!({ "rpc": 3, "health": 0, "node": 0 }));
    assert_eq!(web.get("/health").await.json().get("refused_calls"), None);
}

#[tokio::test]
async fn limits_and_access_are_changed_while_the_node_runs_and_what_has_to_wait_is_said() {
    let (cluster, node) = coordinator(|config| config.rate_limit.rpc_burst = 2).await;
    let web = Web::anonymous(cluster.host(worker_ip(8)), &node);
    let operator = Web::operator(cluster.dir("coordinator"));
    assert_eq!(served(&web, 3).await, 2);
    let mut configs = node.config();
    let changed = set_config(&operator, "rate_limit_enabled", "false").await;
    assert_eq!(changed, json!([{ "key": "rate_limit.enabled", "for_restart": false }]));
    assert!(!soon(configs.wait_for(|config| !config.rate_limit.enabled)).await.unwrap().rate_limit.enabled);
    assert_eq!(served(&web, 30).await, 30);

    assert_eq!(web.get("/services").await.status, 403);
    set_config(&operator, "http_access.services", "anonymous").await;
    assert_eq!(web.get("/services").await.status, 200);

    assert_eq!(set_config(&operator, "connections.max_body", "1 KiB").await[0]["for_restart"], false);
    assert_eq!(web.rpc(" ".repeat(1_025)).await.status, 413);
    assert_eq!(set_config(&operator, "sessions.idle", "1m").await[0]["for_restart"], true);
    assert!(NodeConfig::load(node.store()).unwrap().sessions.idle == Duration::from_mins(1), "it is stored all the same");
}

#[tokio::test]
async fn the_configuration_is_for_the_operator_and_for_nothing_that_could_not_be_used() {
    let (cluster, node) = coordinator(|_| {}).await;
    let before = node.store().get("config/node.yaml").unwrap();
    let read = json!({ "password": "", "command": { "do": "read" } }).to_string();
    for web in [Web::anonymous(cluster.host(worker_ip(8)), &node), Web::node(cluster.host(worker_ip(8)), &node, &node)] {
        assert_eq!(web.post("/admin/config", read.clone()).await.status, 403);
    }
    let operator = Web::operator(cluster.dir("coordinator"));
    let wrong = json!({ "password": "d3Jvbmc=", "command": { "do": "read" } }).to_string();
    let answer = operator.post("/admin/config", wrong).await;
    assert!(answer.status == 403 && answer.error().1.contains("wrong password"), "{answer:?}");
    let text = String::from_utf8(before.expose().to_vec()).unwrap();
    let password = base64_of(password().to_secret().expose());
    for (was, next, said) in [
        (text.clone(), format!("{text}ssl_verify: false\n"), "ssl_verify is refused"),
        (format!("{text} "), format!("{text}log_level: warn\n"), "was changed by somebody else meanwhile"),
    ] {
        let command = json!({ "do": "write", "was": was, "text": next });
        let answer = operator.post("/admin/config", json!({ "password": password, "command": command }).to_string()).await;
        assert!(answer.status.is_client_error() && answer.error().1.contains(said), "{answer:?}");
    }
    assert_eq!(node.store().get("config/node.yaml").unwrap().expose(), before.expose());
}

fn base64_of(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[tokio::test]
async fn nodes_that_join_from_one_address_at_once_wait_for_their_turn() {
    let (cluster, node) = coordinator(|config| (config.rate_limit.rpc_requests, config.rate_limit.rpc_burst) = (120, 1)).await;
    // Each join takes two requests.
    let token = token(&node, TokenOptions { uses: 3.try_into().unwrap(), ..TokenOptions::default() }).await;
    let joins = (1..=3).map(|number| {
        let plan = Plan { id: format!("worker-{number}"), ..Plan::worker(7) };
        let (cluster, authority, token) = (&cluster, node.authority(), token.reveal().parse().unwrap());
        async move { cluster.join(&plan, &authority, token).await.map(|enrolment| enrolment.identity.peer().node_id.clone()) }
    });
    for joined in soon(futures::future::join_all(joins)).await {
        joined.unwrap();
    }
    assert!(cluster_refused(&cluster).await > 0, "nobody had to wait");
}

async fn cluster_refused(cluster: &Cluster) -> u64 {
    Web::operator(cluster.dir("coordinator")).get("/health").await.json()["refused_calls"]["rpc"].as_u64().unwrap()
}
