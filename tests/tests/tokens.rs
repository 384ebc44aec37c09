//! Clients outside of the cluster: how they get tokens, where these are good, and how they end.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use common::{
    Cluster, Member, Plan,
    clients::{Credential, client, outside},
    log::Log,
    sees, soon, token,
    web::{Answer, Web},
};
use p2p_client::{
    protocol::{Access, ErrorCode, Role, UnixMillis},
    revocation::{Reason, Subject},
    wire::net::BoxStream,
};
use p2p_runtime::{identity::TokenOptions, node::Enrolment};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A cluster with a worker, and a client of it that may read the probe.
async fn cluster() -> (Cluster, Member, Member, Credential) {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let credential = Credential::create(&cluster, &coordinator, "ci", "probe:read").await;
    (cluster, coordinator, workers.remove(0), credential)
}

/// Whether this token is good at this node.
async fn is_good(cluster: &Cluster, at: &Member, token: &str) -> bool {
    client(cluster, at, token).call("probe/for_scope", json!({ "number": 7 })).await.is_ok()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str, said: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["error"], error, "{json}");
    assert!(json["error_description"].as_str().unwrap().contains(said), "{json}");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[track_caller]
fn bad_token(answer: &Answer, said: &str) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    let (code, message) = answer.error();
    assert!(code == ErrorCode::DENIED.0 && message.contains(said), "{message}");
}

#[tokio::test]
async fn a_token_is_good_on_every_node_for_calls_streams_and_documents() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let token = credential.token(&cluster, &coordinator).await;
    for at in [&coordinator, &worker] {
        let web = client(&cluster, at, &token);
        assert_eq!(web.call("probe/for_scope", json!({ "number": 7 })).await.unwrap(), 7);
        assert_eq!(web.call("probe/look", json!({})).await.unwrap()["caller"], "client ci@coordinator");
        assert_eq!(web.post("/rpc/probe/for_clients", r#"{"number":1}"#).await.status, 200);
        for path in ["/services", "/cluster/nodes", "/metrics", "/openapi.json", "/openrpc.json"] {
            assert_eq!(web.get(path).await.status, 200, "{path}");
        }
        assert_eq!(outside(&cluster, at).get("/services").await.status, 403);
    }
    // A node that forwards passes the token on; the target sees the client, and not the forwarder.
    let web = client(&cluster, &coordinator, &token);
    let seen = web.call_at("/rpc?on=worker-1", "probe/look", json!({})).await.unwrap();
    assert_eq!(
        (&seen["node"], &seen["caller"], &seen["origin"]),
        (&json!("worker-1"), &json!("client ci@coordinator"), &json!("client ci@coordinator"))
    );
}

/// A request whose body is still to come, at a node that has read its head and found the token good.
struct Begun {
    stream: BoxStream,
    body: String,
}

impl Begun {
    async fn new(web: &Web, path: &str, accept: &str, token: &str, method: &str) -> Self {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "number": 3 } }).to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\nauthorization: Bearer {token}\r\naccept: {accept}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        );
        let mut stream = web.connect().await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The node asks for the body once it has looked at who asks.
        let (expected, mut said) = (b"HTTP/1.1 100 Continue\r\n\r\n", [0; 25]);
        soon(stream.read_exact(&mut said)).await.unwrap();
        assert_eq!(&said, expected, "{}", String::from_utf8_lossy(&said));
        Self { stream, body }
    }

    /// All of the answer.
    async fn go_on(mut self) -> String {
        self.stream.write_all(self.body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(self.stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn a_target_verifies_a_token_again_and_does_not_believe_the_node_that_found_it_good_and_passed_it_on() {
    const REVOKED: &str = "the token was revoked; get a new one";
    let log = Log::capture();
    // The forwarder hosts no probe, so that every call goes to another node.
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let workers = [cluster.worker(Plan::worker(1), &coordinator).await, cluster.worker(Plan::worker(2), &coordinator).await];
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    let reply = Credential::create(&cluster, &coordinator, "ci", "probe:read").await.ask(&cluster, &coordinator).await.json();
    let token = reply["access_token"].as_str().unwrap();
    let web = outside(&cluster, &coordinator);
    let lines = "application/x-ndjson";
    let rows = [
        // path, what is accepted, the method, how many nodes are asked
        ("/rpc", "application/json", "probe/for_scope", 1),
        ("/rpc", lines, "probe/count_for_scope", 1),
        ("/rpc?on=all", "application/json", "probe/for_scope", 2),
    ];
    let begin_each = async || {
        let mut begun = Vec::new();
        for (path, accept, method, _) in rows {
            begun.push(Begun::new(&web, path, accept, token, method).await);
        }
        begun
    };
    // The control: as long as the token is good.
    for (begun, (path, _, method, asked)) in begin_each().await.into_iter().zip(rows) {
        let answer = begun.go_on().await;
        let served = if method == "probe/count_for_scope" { "{\"item\":3}" } else { "\"result\":3" };
        assert_eq!(answer.matches(served).count(), asked, "{path} {method}: {answer}");
    }

    let begun = begin_each().await;
    let mut changes = workers.each_ref().map(|worker| worker.ledger().revocations().subscribe());
    let operator = Web::operator(cluster.dir("coordinator"));
    let revoke = json!({ "do": "revoke", "token_id": reply["token_id"] }).to_string();
    assert_eq!(operator.post("/admin/clients", revoke).await.status, 200);
    for (worker, changes) in workers.iter().zip(&mut changes) {
        while is_good(&cluster, worker, token).await {
            soon(changes.next()).await;
        }
    }
    for (begun, (path, _, method, asked)) in begun.into_iter().zip(rows) {
        let before = log.mark();
        let answer = begun.go_on().await;
        assert_eq!(answer.matches(REVOKED).count(), asked, "{path} {method}: {answer}");
        assert_eq!(answer.matches(&format!("\"code\":{}", ErrorCode::DENIED.0)).count(), asked, "{path} {method}: {answer}");
        assert!(!answer.contains("\"item\"") && !answer.contains("\"result\":3"), "{path} {method}: {answer}");
        // One node refuses a call, and no other is asked in its place.
        let denials = log.denials_since(before);
        assert_eq!(denials.len(), asked, "{path} {method}: {denials:#?}");
        for line in denials {
            for part in [" what=\"/rpc\" ", " from=\"node coordinator\" ", &format!(" reason=\"{REVOKED}")] {
                assert!(line.contains(part), "{part} in {line}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_are_given_for_a_form_for_json_and_for_the_header_of_oauth() {
    let (cluster, coordinator, _worker, credential) = cluster().await;
    let web = outside(&cluster, &coordinator);
    let (id, secret) = (credential.id.replace('@', "%40"), &credential.secret);
    let form = web
        .form("/auth/token", &format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=probe:read"))
        .await;
    let basic = STANDARD.encode(format!("{id}:{secret}"));
    let basic =
        web.clone().header("authorization", format!("Basic {basic}")).form("/auth/token", "grant_type=client_credentials").await;
    let json = credential.ask(&cluster, &coordinator).await;
    for answer in [form, basic, json] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let reply = answer.json();
        assert_eq!(
            (&reply["token_type"], &reply["expires_in"], &reply["scope"]),
            (&json!("Bearer"), &json!(900), &json!("probe:read"))
        );
        assert!(is_good(&cluster, &coordinator, reply["access_token"].as_str().unwrap()).await);
    }
    // A name alone is that of a client of this coordinator; and a file has an end of line.
    let brief = web.form("/auth/token", &format!("client_id=ci&client_secret={secret}%0A")).await;
    assert_eq!(brief.status, 200, "{brief:?}");
    let short = json!({ "client_id": credential.id, "client_secret": secret, "ttl_seconds": 5, "scope": "" }).to_string();
    let reply = web.post("/auth/token", short).await.json();
    assert_eq!((&reply["expires_in"], &reply["scope"]), (&json!(5), &json!("")));
}

#[tokio::test]
async fn nobody_gets_a_token_without_proof() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let web = outside(&cluster, &coordinator);
    let (id, secret) = (&credential.id, &credential.secret);
    // A bare name was enough once.
    refused(&web.post("/auth/token", r#"{"client_id":"ci@coordinator"}"#).await, 400, "invalid_request", "without client_secret");
    refused(&web.post("/auth/token", "{}").await, 401, "invalid_client", "`p2p client create` on a coordinator makes");
    for (id, secret) in
        [(id.as_str(), "p2p-secret-wrong"), ("nobody@coordinator", secret.as_str()), ("ci@", secret), ("", secret), (id, "")]
    {
        let answer = web.post("/auth/token", json!({ "client_id": id, "client_secret": secret }).to_string()).await;
        refused(&answer, 401, "invalid_client", "there is no such client here, or its secret is another");
    }
    let answer = web.post("/auth/token", json!({ "client_id": "ci@worker-1", "client_secret": secret }).to_string()).await;
    refused(&answer, 401, "invalid_client", "there is no coordinator worker-1");
    let answer =
        web.post("/auth/token", json!({ "client_id": id, "client_secret": secret, "scope": "probe:write" }).to_string()).await;
    refused(&answer, 400, "invalid_scope", "may have the scopes \"probe:read\", and not \"probe:write\"");
    let answer =
        web.post("/auth/token", json!({ "client_id": id, "client_secret": secret, "ttl_seconds": 901 }).to_string()).await;
    refused(&answer, 400, "invalid_request", "between 1 s and 900 s");
    refused(
        &web.form("/auth/token", "grant_type=password&username=a").await,
        400,
        "unsupported_grant_type",
        "client_credentials",
    );
    refused(&web.form("/auth/token", "client_id=a&client_id=b").await, 400, "invalid_request", "a member stands twice");
    refused(&web.post("/auth/token", "[").await, 400, "invalid_request", "the body cannot be read");
    // A worker takes no secrets, and says where to go.
    refused(&credential.ask(&cluster, &worker).await, 421, "invalid_request", "ask a coordinator: https://10.0.0.1:8001");
    // A name that was given up proves nothing.
    let nameless = Web::node(cluster.host(worker.ip), &coordinator, &worker).header("p2p-caller", "anonymous");
    refused(&nameless.post("/auth/token", "{}").await, 401, "invalid_client", "nothing proves who asks");
    assert!(web.is_served().await);
}

#[tokio::test]
async fn case_43_a_nodes_token_is_good_only_with_its_own_certificate() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let as_node = |at: &Member, who: &Member| Web::node(cluster.host(who.ip), at, who);
    let body = json!({ "scope": "probe:read" }).to_string();
    let reply = as_node(&coordinator, &workers[0]).post("/auth/token", body).await.json();
    let token = reply["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    for at in [&coordinator, &workers[1]] {
        let own = as_node(at, &workers[0]).header("authorization", bearer.clone());
        assert_eq!(own.call("probe/for_scope", json!({ "number": 7 })).await.unwrap(), 7);
        // With it the node is a client, with that client's rights and no others.
        let (code, said) = own.call("probe/for_nodes", json!({ "number": 7 })).await.unwrap_err();
        assert!(code == ErrorCode::DENIED.0 && said.contains("client node:worker-1 may not call"), "{said}");
        for thief in [as_node(at, &coordinator).header("authorization", bearer.clone()), client(&cluster, at, &token)] {
            bad_token(&thief.rpc("{}").await, "good only with the certificate of node worker-1");
        }
    }
}

#[tokio::test]
async fn a_credential_is_good_at_every_coordinator_and_tells_when_its_keeper_is_away() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
    sees(&second, |members| members.alive().count() == 3).await;
    sees(&worker, |members| members.alive().count() == 3).await;
    let token = credential.token(&cluster, &second).await;
    for at in [&coordinator, &second, &worker] {
        assert!(is_good(&cluster, at, &token).await, "{}", at.id());
    }
    // Both coordinators sign, each for its own clients, and all nodes know both.
    let other = Credential::create(&cluster, &second, "ci", "probe:read").await;
    assert_eq!(other.id, "ci@coordinator-2");
    let others = other.token(&cluster, &coordinator).await;
    for at in [&coordinator, &second, &worker] {
        assert!(is_good(&cluster, at, &others).await, "{}", at.id());
        let keys = outside(&cluster, at).get("/.well-known/jwks.json").await;
        assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
        let keys = keys.json();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "{keys}");
        assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["kty"] == "OKP" && key.get("d").is_none()));
    }
    // A wrong secret is wrong there, too; and nothing goes in circles.
    let wrong = Credential { id: credential.id.clone(), secret: "p2p-secret-wrong".to_owned() };
    refused(&wrong.ask(&cluster, &second).await, 401, "invalid_client", "there is no such client here");

    // While its keeper is away there are no new tokens; those that there are stay good.
    cluster.network.kill(coordinator.ip);
    refused(
        &credential.ask(&cluster, &second).await,
        503,
        "temporarily_unavailable",
        "coordinator coordinator, which keeps the credential",
    );
    assert!(is_good(&cluster, &worker, &token).await);
    assert!(is_good(&cluster, &worker, &other.token(&cluster, &second).await).await);
}

#[tokio::test]
async fn a_node_that_starts_while_the_coordinator_is_away_still_knows_its_tokens() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let token = credential.token(&cluster, &coordinator).await;
    assert!(is_good(&cluster, &worker, &token).await);
    worker.node.stop().await;
    coordinator.node.stop().await;
    let worker = cluster.restart(Plan::worker(1)).await;
    assert!(is_good(&cluster, &worker, &token).await);
    // And the coordinator knows its clients, and its own tokens, when it is back.
    let coordinator = cluster.restart(Plan::coordinator()).await;
    assert!(is_good(&cluster, &coordinator, &token).await);
    assert!(is_good(&cluster, &coordinator, &credential.token(&cluster, &coordinator).await).await);
}

#[tokio::test]
async fn a_token_ends_when_it_is_revoked_by_whoever_has_it_or_by_the_operator() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let [by_itself, by_worker, by_id, kept] = [
        credential.ask(&cluster, &coordinator).await.json(),
        credential.ask(&cluster, &coordinator).await.json(),
        credential.ask(&cluster, &coordinator).await.json(),
        credential.ask(&cluster, &coordinator).await.json(),
    ];
    let mut changes = worker.ledger().revocations().subscribe();
    let text = |reply: &Value| reply["access_token"].as_str().unwrap().to_owned();
    let web = outside(&cluster, &coordinator);
    let answer = web.form("/auth/revoke", &format!("token={}&token_type_hint=access_token", text(&by_itself))).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "revoked": true })));
    assert_eq!(web.form("/auth/revoke", &format!("token={}", text(&by_itself))).await.status, 200, "twice is as good");
    // A worker asks a coordinator.
    assert_eq!(
        outside(&cluster, &worker).post("/auth/revoke", json!({ "token": text(&by_worker) }).to_string()).await.status,
        200
    );
    let operator = Web::operator(cluster.dir("coordinator"));
    let body = json!({ "do": "revoke", "token_id": by_id["token_id"] }).to_string();
    assert_eq!(operator.post("/admin/clients", body).await.status, 200);
    for ended in [&by_itself, &by_worker, &by_id] {
        bad_token(&client(&cluster, &coordinator, &text(ended)).rpc("{}").await, "the token was revoked; get a new one");
        // Every node learns of it.
        while is_good(&cluster, &worker, &text(ended)).await {
            soon(changes.next()).await;
        }
        bad_token(&client(&cluster, &worker, &text(ended)).rpc("{}").await, "the token was revoked; get a new one");
    }
    assert!(is_good(&cluster, &worker, &text(&kept)).await);
    assert!(is_good(&cluster, &coordinator, &text(&kept)).await);
    // What is no token is not said to be revoked.
    let half = &text(&kept)[..100];
    refused(&web.form("/auth/revoke", &format!("token={half}")).await, 400, "invalid_request", "the token cannot be read");
    refused(&web.form("/auth/revoke", "").await, 400, "invalid_request", "send the token that is to be revoked");
    let odd = operator.post("/admin/clients", r#"{"do":"revoke","token_id":"5"}"#).await;
    assert!(odd.error().1.contains("is no token id"), "{:?}", odd.error());
    assert!(is_good(&cluster, &coordinator, &text(&kept)).await);
    // A restart forgets nothing, and where nobody can be asked it is the node's own memory.
    coordinator.node.stop().await;
    worker.node.stop().await;
    let worker = cluster.restart(Plan::worker(1)).await;
    bad_token(&client(&cluster, &worker, &text(&by_id)).rpc("{}").await, "revoked");
    worker.node.stop().await;
    let coordinator = cluster.restart(Plan::coordinator()).await;
    bad_token(&client(&cluster, &coordinator, &text(&by_id)).rpc("{}").await, "revoked");
}

#[tokio::test]
async fn a_worker_passes_a_revocation_on_to_the_next_coordinator_when_the_first_cannot_be_reached() {
    let (cluster, coordinator, worker, _) = cluster().await;
    let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
    sees(&worker, |members| members.alive().count() == 3).await;
    sees(&second, |members| members.alive().count() == 3).await;
    let token = Credential::create(&cluster, &second, "ci", "probe:read").await.token(&cluster, &second).await;
    assert!(is_good(&cluster, &worker, &token).await);
    let mut changes = worker.ledger().revocations().subscribe();
    let first = coordinator.id().clone();
    cluster.network.kill(coordinator.ip);
    let answer = outside(&cluster, &worker).post("/auth/revoke", json!({ "token": token }).to_string()).await;
    assert!(
        worker.members().members().by_role(Role::Coordinator).next().is_some_and(|info| info.node_id == first),
        "it was the first to be asked, as nobody has noticed yet that it is gone"
    );
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "revoked": true })));
    while is_good(&cluster, &worker, &token).await {
        soon(changes.next()).await;
    }
    bad_token(&client(&cluster, &worker, &token).rpc("{}").await, "the token was revoked");
}

#[tokio::test]
async fn what_the_thief_of_a_coordinator_signs_is_not_believed_by_a_node_that_was_away_while_it_was_revoked_and_let_in_again() {
    let (cluster, coordinator, worker, _) = cluster().await;
    let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
    sees(&worker, |members| members.alive().count() == 3).await;
    let stolen = Credential::create(&cluster, &second, "ci", "probe:read").await.token(&cluster, &second).await;
    assert!(is_good(&cluster, &worker, &stolen).await);
    worker.node.stop().await;
    let subject = Subject::Node { node_id: second.id().clone() };
    coordinator.ledger().revoke(vec![subject], Reason::default()).await.unwrap();
    second.node.stop().await;
    std::fs::remove_dir_all(cluster.dir("coordinator-2")).unwrap();
    let for_it =
        TokenOptions { role: Role::Coordinator, node_id: Some("coordinator-2".parse().unwrap()), ..TokenOptions::default() };
    let named = token(&coordinator, for_it).await;
    soon(cluster.join(&Plan::second_coordinator(), &coordinator.authority(), named)).await.unwrap();

    // It has the thief's key in its store, and learns of both at once.
    let worker = cluster.restart(Plan::worker(1)).await;
    soon(async { while is_good(&cluster, &worker, &stolen).await {} }).await;
    bad_token(&client(&cluster, &worker, &stolen).rpc("{}").await, "no coordinator of this cluster has the key");
    worker.node.stop().await;
    let worker = cluster.restart(Plan::worker(1)).await;
    bad_token(&client(&cluster, &worker, &stolen).rpc("{}").await, "no coordinator of this cluster has the key");
    // What it signs now is.
    let enrolment = Enrolment::open(cluster.dir("coordinator-2"), common::password()).await.unwrap();
    let second = cluster.start(Plan::second_coordinator(), enrolment).await;
    sees(&worker, |members| members.alive().count() == 3).await;
    let fresh = Credential::create(&cluster, &second, "ci", "probe:read").await.token(&cluster, &second).await;
    soon(async { while !is_good(&cluster, &worker, &fresh).await {} }).await;
}

#[tokio::test]
async fn a_worker_tells_a_node_that_coordinators_revoke() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let token = credential.token(&cluster, &coordinator).await;
    let node = Web::node(cluster.host(worker.ip), &worker, &coordinator);
    let answer = node.post("/auth/revoke", json!({ "token": token }).to_string()).await;
    refused(&answer, 503, "temporarily_unavailable", "this node is a worker, and coordinators revoke: send it to one of them");
    assert!(is_good(&cluster, &worker, &token).await);
}

#[tokio::test]
async fn a_node_that_takes_its_tokens_back_one_by_one_comes_to_an_end_and_those_of_others_are_taken_back_still() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let node = Web::node(cluster.host(worker.ip), &coordinator, &worker);
    let token = async || node.post("/auth/token", "{}").await.json()["access_token"].as_str().unwrap().to_owned();
    let revoke = async |token: String| node.post("/auth/revoke", json!({ "token": token }).to_string()).await;
    for _ in 0..64 {
        assert_eq!(revoke(token().await).await.status, 200);
    }
    let more = token().await;
    let answer = revoke(more.clone()).await;
    refused(&answer, 409, "invalid_request", "64 tokens of credential");
    refused(&answer, 409, "invalid_request", "`p2p node revoke ID`; the token is that of node:worker-1");
    let id = {
        let claims = URL_SAFE_NO_PAD.decode(more.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["jti"].clone()
    };
    let by_id = json!({ "do": "revoke", "token_id": id }).to_string();
    let answer = Web::operator(cluster.dir("coordinator")).post("/admin/clients", by_id).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.error().1.contains("`p2p client remove NAME`"), "{:?}", answer.error());
    let other = credential.token(&cluster, &coordinator).await;
    let answer = outside(&cluster, &coordinator).post("/auth/revoke", json!({ "token": other }).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_client_that_may_not_read_who_is_in_the_cluster_is_not_told_so_by_errors_either() {
    for (access, may_know) in [(Access::Nodes, false), (Access::Public, true)] {
        let cluster = Cluster::new();
        let enrolment = cluster.init(&Plan::coordinator()).await.unwrap();
        let coordinator =
            cluster.start_with(Plan::coordinator(), enrolment, |builder| builder.documents_for(access)).await.unwrap();
        let credential = Credential::create(&cluster, &coordinator, "ci", "probe:read").await;
        let token = credential.token(&cluster, &coordinator).await;
        let web = client(&cluster, &coordinator, &token);
        let (_, said) = web.call_at("/rpc?on=worker-9", "probe/for_scope", json!({ "number": 7 })).await.unwrap_err();
        assert_eq!(said.contains("the members are: coordinator"), may_know, "{said}");
        assert!(may_know || said.contains("no node that is alive fits node=worker-9"), "{said}");
    }
}

#[tokio::test]
async fn a_removed_client_has_no_tokens_and_gets_none() {
    let (cluster, coordinator, _worker, credential) = cluster().await;
    let token = credential.token(&cluster, &coordinator).await;
    let operator = Web::operator(cluster.dir("coordinator"));
    let listed = operator.post("/admin/clients", r#"{"do":"list"}"#).await.json();
    assert_eq!(listed["clients"][0]["client_id"], "ci@coordinator");
    assert!(!listed.to_string().contains("secret"), "{listed}");
    let again = operator.post("/admin/clients", r#"{"do":"create","name":"ci"}"#).await;
    assert!(again.status == 409 && again.error().1.contains("`p2p client remove ci`"), "{again:?}");
    assert_eq!(operator.post("/admin/clients", r#"{"do":"remove","name":"ci"}"#).await.status, 200);
    bad_token(&client(&cluster, &coordinator, &token).rpc("{}").await, "revoked");
    refused(&credential.ask(&cluster, &coordinator).await, 401, "invalid_client", "there is no such client here");
    let unknown = operator.post("/admin/clients", r#"{"do":"remove","name":"ci"}"#).await;
    assert!(unknown.status == 404 && unknown.error().1.contains("there is no client \"ci\""), "{unknown:?}");
    let at_worker = Web::operator(cluster.dir("worker-1")).post("/admin/clients", r#"{"do":"list"}"#).await;
    assert!(at_worker.status == 409 && at_worker.error().1.contains("run `p2p client` on a coordinator"), "{at_worker:?}");
}

#[tokio::test]
async fn replaced_keys_end_all_tokens_on_every_node() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let token = credential.token(&cluster, &coordinator).await;
    assert!(is_good(&cluster, &worker, &token).await);
    let kid = |jwks: Value| jwks["keys"][0]["kid"].as_str().unwrap().to_owned();
    let before = kid(outside(&cluster, &worker).get("/.well-known/jwks.json").await.json());
    let (_, mut events) = worker.members().subscribe();
    let operator = Web::operator(cluster.dir("coordinator"));
    assert_eq!(operator.post("/admin/clients", r#"{"do":"replace_keys"}"#).await.status, 200);
    bad_token(&client(&cluster, &coordinator, &token).rpc("{}").await, "no coordinator of this cluster has the key");
    // The other nodes hear of it by gossip.
    while kid(outside(&cluster, &worker).get("/.well-known/jwks.json").await.json()) == before {
        soon(events.next()).await.unwrap();
        tokio::task::yield_now().await;
    }
    bad_token(&client(&cluster, &worker, &token).rpc("{}").await, "no coordinator of this cluster has the key");
    let fresh = credential.token(&cluster, &coordinator).await;
    assert!(is_good(&cluster, &worker, &fresh).await);
}

#[tokio::test]
async fn of_keys_that_are_replaced_several_times_at_once_the_last_are_known_on_every_node() {
    let (cluster, coordinator, worker, credential) = cluster().await;
    let operator = Web::operator(cluster.dir("coordinator"));
    for _ in 0..3 {
        let replace = || operator.post("/admin/clients", r#"{"do":"replace_keys"}"#);
        let (a, b, c, d) = tokio::join!(replace(), replace(), replace(), replace());
        assert!([a, b, c, d].iter().all(|answer| answer.status == 200));
        let token = credential.token(&cluster, &coordinator).await;
        assert!(is_good(&cluster, &coordinator, &token).await, "at the coordinator itself");
        soon(async {
            while !is_good(&cluster, &worker, &token).await {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// A token that is all right but for who signed it.
fn forged(coordinator: &Member, pair: &Ed25519KeyPair, kid: &str) -> String {
    let cluster = common::identity(coordinator).peer().cluster.clone();
    let now = UnixMillis::now().0 / 1000;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid }));
    let claims = part(json!({
        "iss": format!("p2p://{cluster}/coordinator/worker-1"), "sub": "king", "client_id": "king", "aud": cluster,
        "iat": now, "nbf": now, "exp": now + 600, "jti": format!("{:016x}.{:032x}", 1, 2), "scope": "probe:read",
    }));
    let signed = format!("{header}.{claims}");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())))
}

#[tokio::test]
async fn a_worker_that_announces_a_key_of_its_own_forges_no_tokens() {
    let (cluster, coordinator, worker, _credential) = cluster().await;
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let thumbprint =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
    let kid = URL_SAFE_NO_PAD.encode(thumbprint);
    let announced = json!([{ "x": x, "until": UnixMillis::now().0 + 3_600_000 }]).to_string();
    let said = announced.clone();
    worker.members().update_me(move |me| drop(me.metadata.insert("token_keys".to_owned(), said))).await.unwrap();
    sees(&coordinator, |members| {
        members.get(worker.id()).is_some_and(|info| info.metadata.get("token_keys") == Some(&announced))
    })
    .await;
    // And it cannot call itself a coordinator: that is not what its certificate says.
    let _refused = worker.members().update_me(|me| me.role = p2p_client::protocol::Role::Coordinator).await;
    let token = forged(&coordinator, &pair, &kid);
    for at in [&coordinator, &worker] {
        println!("at {}", at.id());
        bad_token(&client(&cluster, at, &token).rpc("{}").await, "no coordinator of this cluster has the key");
        let keys = outside(&cluster, at).get("/.well-known/jwks.json").await.json();
        assert!(!keys.to_string().contains(&x), "{keys}");
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_even_where_none_is_needed() {
    let (cluster, coordinator, _worker, credential) = cluster().await;
    let token = credential.token(&cluster, &coordinator).await;
    let anyone = r#"{"jsonrpc":"2.0","id":1,"method":"probe/look","params":{}}"#;
    for (value, said) in [
        ("Bearer".to_owned(), "it looks like: Bearer eyJ…"),
        ("Basic Y2k6c2VjcmV0".to_owned(), "it looks like: Bearer eyJ…"),
        ("Bearer x".to_owned(), "the token cannot be read: it has no dots"),
        (format!("Bearer {token}x"), "cannot be read"),
        (format!("Bearer {}", "a".repeat(9_000)), "it is longer than 8192 bytes"),
    ] {
        let web = outside(&cluster, &coordinator).header("authorization", value);
        bad_token(&web.rpc(anyone).await, said);
        bad_token(&web.post("/rpc/probe/look", "{}").await, said);
        bad_token(&web.get("/services").await, said);
        bad_token(&web.get("/health").await, said);
    }
    // However the scheme is written.
    let web = outside(&cluster, &coordinator).header("authorization", format!("bEARER {token}"));
    assert_eq!(web.rpc(anyone).await.json()["result"]["caller"], "client ci@coordinator");
    // On the node's own socket a token makes the operator a client, for trying out what that may do.
    let tried = Web::operator(cluster.dir("coordinator")).header("authorization", format!("Bearer {token}"));
    assert_eq!(tried.call("probe/for_nodes", json!({ "number": 1 })).await.unwrap_err().0, ErrorCode::DENIED.0);
}
