//! The audit log: a line for every denial and every administrative act, never a secret, and never a flood.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{
    Cluster, Plan,
    clients::{Credential, client, outside},
    log::Log,
    sees, soon, token,
    web::Web,
};
use p2p_runtime::identity::{Approval, TokenOptions};
use serde_json::json;

use common::probe::ProbeProxyExt;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE_ID: &str = "trace=\"0af7651916cd43dd8448eb211c80319c\"";

#[tokio::test]
async fn every_denial_is_told_with_who_what_where_from_and_trace() {
    let log = Log::capture();
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let credential = Credential::create(&cluster, &coordinator, "ci", "").await;
    let token = credential.token(&cluster, &coordinator).await;
    let params = || json!({ "number": 7 });

    let nobody = outside(&cluster, &coordinator).header("traceparent", TRACE);
    nobody.call("probe/for_nodes", params()).await.unwrap_err();
    log.one(&[
        "who=\"an anonymous caller\"",
        "what=\"probe/for_nodes\"",
        "from=\"10.0.0.19\"",
        TRACE_ID,
        "outcome=\"denied\"",
        "reason=\"it is for nodes of this cluster and operators\"",
    ]);
    client(&cluster, &coordinator, &token).call("probe/for_scope", params()).await.unwrap_err();
    log.one(&[
        "who=\"client ci@coordinator\"",
        "token_id=",
        "what=\"probe/for_scope\"",
        "from=\"10.0.0.19\"",
        "trace=\"-\"",
        "denied",
        "reason=\"it is for nodes, operators and clients with the scope ",
    ]);
    nobody.get("/services").await;
    log.one(&[
        "who=\"an anonymous caller\"",
        "what=\"/services\"",
        TRACE_ID,
        "denied",
        "reason=\"it is for nodes, operators and clients with a token\"",
    ]);
    nobody.post("/admin/stop", "").await;
    log.one(&["what=\"/admin/stop\"", "denied", "reason=\"it is for the operator, on the node's own socket\""]);
    nobody.clone().header("authorization", "Bearer a.b.c").rpc("{}").await;
    log.one(&["what=\"/rpc\"", "outcome=\"denied\"", "reason=\"the token cannot be read"]);
    nobody.post("/auth/token", json!({ "client_id": credential.id, "client_secret": "wrong" }).to_string()).await;
    log.one(&["what=\"/auth/token\"", "outcome=\"denied\"", "reason=\"invalid_client"]);

    // A node that forwards and knows the method refuses by itself; whoever is asked by another node tells it with where it came from.
    let forwarded = client(&cluster, &workers[0], &token).call_at("/rpc?on=coordinator", "probe/for_nodes", params()).await;
    forwarded.unwrap_err();
    log.one(&["who=\"client ci@coordinator\"", "what=\"probe/for_nodes\"", "from=\"10.0.0.19\"", "denied"]);
    let by_session = workers[0].proxy().probe().on("coordinator").for_coordinators(1).await;
    by_session.unwrap_err();
    log.one(&["who=\"node worker-1 (worker)\"", "what=\"probe/for_coordinators\"", "from=\"node worker-1\"", "denied"]);
    // A node that may not call itself.
    coordinator.proxy().probe().for_workers(1).await.unwrap_err();
    let for_workers = "reason=\"it is for nodes with the role worker\"";
    log.one(&["who=\"node coordinator (coordinator)\"", "what=\"probe/for_workers\"", "from=\"here\"", "denied", for_workers]);
    coordinator.proxy().call("probe/for_workers", params()).await.unwrap_err();
    let denied = log.audit().iter().filter(|line| line.contains("from=\"here\"")).count();
    assert_eq!(denied, 2);
    // What is served is not told.
    nobody.call("probe/look", json!({})).await.unwrap();
    assert!(!log.audit().iter().any(|line| line.contains("probe/look")));
}

#[tokio::test]
async fn every_administrative_act_is_told_with_its_outcome() {
    let log = Log::capture();
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let operator = Web::operator(cluster.dir("coordinator")).header("traceparent", TRACE);
    let by_operator = "who=\"the operator of this node\"";
    let act = async |path: &str, body: serde_json::Value| operator.post(path, body.to_string()).await.status.as_u16();
    let clients = |command: serde_json::Value| ("/admin/clients", command);
    let token = json!({ "role": "worker", "ttl_seconds": 60, "uses": 2, "approval": "manual" });
    let rows = [
        // the request, what, whom, outcome, reason
        (
            clients(json!({ "do": "create", "name": "ci", "scopes": "a b" })),
            ["client create", "ci\"", "done", "scopes \\\"a b\\\"\""],
        ),
        (clients(json!({ "do": "create", "name": "ci" })), ["client create", "ci\"", "failed", "there is a client"]),
        (clients(json!({ "do": "list" })), ["client list", "-\"", "done", "-\""]),
        (clients(json!({ "do": "replace_keys" })), ["client replace-keys", "-\"", "done", "-\""]),
        (clients(json!({ "do": "remove", "name": "ci" })), ["client remove", "ci\"", "done", "-\""]),
        (clients(json!({ "do": "revoke", "token_id": "5" })), ["token revoke", "5\"", "failed", ""]),
        (("/admin/token", token), ["join token create", "", "done", "role worker, uses 2, approval manual\""]),
        (
            ("/admin/revoke", json!({ "what": { "node": "worker-9" }, "reason": "stolen" })),
            ["revoke", "node worker-9\"", "done", "stolen\""],
        ),
        (
            ("/admin/revoke", json!({ "what": { "lost_coordinator": "coordinator-9" }, "reason": "its disk died" })),
            ["revoke --keep-issued", "node coordinator-9\"", "failed", "no coordinator of the name coordinator-9 is known here"],
        ),
        (
            ("/admin/ca/rotate", json!({ "finish": true })),
            ["ca rotate --finish", "-\"", "failed", "the root is not being changed"],
        ),
        (("/admin/ca/rotate", json!({ "start_over": true })), ["ca rotate --start-over", "-\"", "done", "-\""]),
    ];
    for ((path, body), [what, whom, outcome, reason]) in rows {
        act(path, body).await;
        let fields = [
            format!("what=\"{what}\""),
            format!("whom=\"{whom}"),
            format!("outcome=\"{outcome}\""),
            format!("reason=\"{reason}"),
        ];
        let [what, whom, outcome, reason] = fields.each_ref().map(String::as_str);
        log.one(&[by_operator, "from=\"socket\"", TRACE_ID, what, whom, outcome, reason]);
    }
    // The store: with a wrong password denied, with the right one done.
    for (password, outcome, reason) in [("wrong", "denied", "wrong password"), ("a password for tests", "done", "-")] {
        let password = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, password);
        act("/admin/store", json!({ "password": password, "command": { "do": "list", "prefix": "" } })).await;
        let (outcome, reason) = (format!("outcome=\"{outcome}\""), format!("reason=\"{reason}"));
        log.one(&["what=\"store ", &outcome, &reason]);
    }
    let credential = Credential::create(&cluster, &coordinator, "bot", "").await;
    let issued = credential.ask(&cluster, &coordinator).await.json();
    let id = issued["token_id"].as_str().unwrap();
    log.one(&["what=\"token issue\"", "whom=\"bot@coordinator\"", "outcome=\"done\"", &format!("reason=\"id {id}, good for ")]);
    outside(&cluster, &coordinator).post("/auth/revoke", json!({ "token": issued["access_token"] }).to_string()).await;
    log.one(&["what=\"token revoke\"", &format!("whom=\"{id} of bot@coordinator\""), "outcome=\"done\""]);
}

#[tokio::test]
async fn joins_that_are_let_in_and_refused_are_told_with_the_name_of_the_node() {
    let log = Log::capture();
    let (cluster, coordinator, _workers) = Cluster::of(1).await;
    let join = ["who=\"an anonymous caller\"", "what=\"join\""];
    log.one(&[join[0], join[1], "whom=\"worker-1\"", "from=\"10.0.0.11\"", "outcome=\"done\""]);
    let only = TokenOptions { node_id: Some("worker-9".parse().unwrap()), ..TokenOptions::default() };
    let only = token(&coordinator, only).await;
    cluster.join(&Plan::worker(2), &coordinator.authority(), only).await.map(drop).unwrap_err();
    let denied = ["outcome=\"denied\"", "reason=\"the join token is for the node worker-9 only"];
    log.one(&[join[0], join[1], "whom=\"worker-2\"", "from=\"10.0.0.12\"", denied[0], denied[1]]);
}

#[tokio::test]
async fn renewals_of_those_who_show_no_certificate_of_their_own_are_refused_and_told() {
    let log = Log::capture();
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let credential = Credential::create(&cluster, &coordinator, "ci", "").await;
    let token = credential.token(&cluster, &coordinator).await;
    let as_worker = || Web::node(cluster.host(workers[0].ip), &coordinator, &workers[0]);
    let denied = ["what=\"cert renew\"", "outcome=\"denied\"", "reason=\"no certificate is shown\""];
    for (web, who, from) in [
        (outside(&cluster, &coordinator), "an anonymous caller", "10.0.0.19"),
        (client(&cluster, &coordinator, &token), "client ci@coordinator", "10.0.0.19"),
        (Web::operator(cluster.dir("coordinator")), "the operator of this node", "socket"),
        (as_worker().header("p2p-caller", "anonymous"), "an anonymous caller", "node worker-1"),
        (as_worker().header("authorization", format!("Bearer {token}")), "client ci@coordinator", "node worker-1"),
    ] {
        let answer = web.post("/internal/cert-renew", "{}").await;
        assert_eq!(answer.status, 403, "{who} from {from}: {answer:?}");
        assert!(answer.error().1.contains("renewed over a connection on which it is shown, by its node"), "{answer:?}");
        let (who, from) = (format!("who=\"{who}\""), format!("from=\"{from}\""));
        log.one(&[&who, &from, denied[0], denied[1], denied[2]]);
    }
    // The control: the node itself comes further.
    assert_eq!(as_worker().post("/internal/cert-renew", "{}").await.status, 400);
}

#[tokio::test]
async fn every_kind_of_line_has_the_same_fields() {
    const FIELDS: [&str; 9] = ["who", "token_id", "what", "whom", "from", "outcome", "reason", "trace", "origin"];
    let log = Log::capture();
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
    sees(&second, |members| members.len() == 4).await;
    let operator = Web::operator(cluster.dir("coordinator"));
    let nobody = outside(&cluster, &coordinator);
    // Denials and their count, of a method, a route and a token; acts that were done and that failed.
    for _ in 0..7 {
        nobody.get("/services").await;
    }
    nobody.call("probe/for_nodes", json!({ "number": 1 })).await.unwrap_err();
    nobody.clone().header("authorization", "Bearer a.b.c").rpc("{}").await;
    let credential = Credential::create(&cluster, &coordinator, "bot", "").await;
    let issued = credential.token(&cluster, &coordinator).await;
    client(&cluster, &coordinator, &issued).call("probe/for_nodes", json!({ "number": 1 })).await.unwrap_err();
    operator.post("/admin/clients", json!({ "do": "remove", "name": "none" }).to_string()).await;
    // A renewal, and a join that waits for an operator, who approves it.
    workers[0].renew_certificate().await.unwrap();
    let manual = token(&coordinator, TokenOptions { approval: Approval::Manual, ..TokenOptions::default() }).await;
    let (plan, authority) = (Plan::worker(3), coordinator.authority());
    let joins = cluster.join(&plan, &authority, manual);
    let approves = async {
        let find = json!({ "do": "find", "node_id": "worker-3" }).to_string();
        let found = soon(async {
            loop {
                let found = operator.post("/admin/approvals", find.clone()).await;
                if found.status == 200 {
                    return found.json();
                }
                tokio::task::yield_now().await;
            }
        });
        let approve = json!({ "do": "approve", "node": found.await["node"] }).to_string();
        assert_eq!(operator.post("/admin/approvals", approve).await.status, 200);
    };
    let (joined, ()) = tokio::join!(soon(joins), approves);
    drop(joined.unwrap());
    // A revocation, heard of at another coordinator, and its handshake refused.
    let revoke = json!({ "what": { "node": "worker-2" }, "reason": "lost" }).to_string();
    assert_eq!(operator.post("/admin/revoke", revoke).await.status, 200);
    let by_another = ["what=\"revoke\"", "whom=\"node worker-2\"", "from=\"node coordinator\"", "reason=\"lost\""];
    let handshake = ["what=\"handshake\"", "whom=\"node worker-2 (worker)\"", "reason=\"the other end's certificate was revoked"];
    let is_told = |parts: &[&str]| log.audit().iter().any(|line| parts.iter().all(|part| line.contains(part)));
    soon(async {
        while !is_told(&by_another) || !is_told(&handshake) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    coordinator.node.stop().await;

    let lines = log.audit();
    for kind in [
        "what=\"/services\"",
        "repeated=",
        "what=\"probe/for_nodes\"",
        "reason=\"the token cannot be read",
        "token_id=\"-\"",
        "what=\"token issue\"",
        "outcome=\"failed\"",
        "what=\"cert renew\" whom=\"worker-1\"",
        "outcome=\"pending\"",
        "what=\"node approve\" whom=\"worker-3 (worker), key sha256:",
        "what=\"join\" whom=\"worker-3\"",
        "from=\"here\" outcome=\"done\" reason=\"lost\"",
    ] {
        assert!(lines.iter().any(|line| line.contains(kind)), "{kind} in {lines:#?}");
    }
    for line in &lines {
        let (_, fields) = line.split_once(" audit: ").unwrap();
        let names: Vec<_> = FIELDS.iter().filter(|name| fields.contains(&format!(" {name}=\""))).collect();
        assert_eq!(names.len(), FIELDS.len(), "{names:?} in {line}");
    }
}

#[tokio::test]
async fn a_flood_of_denials_is_counted_and_does_not_flood_the_log() {
    let log = Log::capture();
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let nobody = outside(&cluster, &coordinator);
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "probe/for_nodes", "params": { "number": 1 } });
    let batch = serde_json::Value::Array(vec![one; 1_000]).to_string();
    let began = std::time::Instant::now();
    for _ in 0..3 {
        nobody.rpc(batch.clone()).await;
    }
    let written = log.audit().iter().filter(|line| !line.contains("repeated=")).count();
    // Five of the same in ten seconds, and again five after each.
    let most = 5 * (1 + usize::try_from(began.elapsed().as_secs() / 10).unwrap());
    assert!((5..=most).contains(&written), "{written} lines for 3,000 denials, where {most} are written at most");
    // What was held back is counted when the node stops, at the latest.
    coordinator.node.stop().await;
    let counted: u64 = log.audit().iter().filter_map(|line| line.split("repeated=").nth(1)?.trim().parse::<u64>().ok()).sum();
    let told = log.audit().iter().filter(|line| !line.contains("repeated=")).count();
    assert_eq!(counted + u64::try_from(told).unwrap(), 3_000, "{:#?}", log.audit());
}

#[tokio::test]
async fn bad_tokens_beyond_the_limit_leave_room_in_the_log_for_others() {
    let log = Log::capture();
    let cluster = Cluster::new();
    let plan = Plan::coordinator().limited();
    let enrolment = cluster.init(&plan).await.unwrap();
    let coordinator = cluster.start(plan, enrolment).await;
    let (mut answered, began) = (0, std::time::Instant::now());
    for number in 0..60 {
        // Each names another key, so that none is like the one before.
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"k{number}"}}"#));
        let answer = client(&cluster, &coordinator, &format!("{header}.e30.AAAA")).rpc("{}").await;
        assert!(answer.status == 401 || answer.status == 429, "{answer:?}");
        answered += usize::from(answer.status == 401);
    }
    let lines = log.audit().len();
    assert_eq!(lines, answered, "only of those that had a call left");
    // 20 at once, and 100 a minute after that.
    let most = 21 + usize::try_from(began.elapsed().as_millis() * 100 / 60_000).unwrap();
    assert!((20..=most).contains(&lines), "{lines} lines for 60 bad tokens, where {most} are answered at most");
}

#[tokio::test]
async fn no_log_line_and_no_error_holds_a_token_or_a_secret() {
    let log = Log::capture();
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let credential = Credential::create(&cluster, &coordinator, "canary", "probe:read").await;
    let token = credential.token(&cluster, &coordinator).await;
    let mut said = Vec::new();
    let mut tell = |answer: common::web::Answer| said.push(format!("{:?} {:?}", answer.headers, answer.body));
    for at in [&coordinator, &workers[0]] {
        let web = client(&cluster, at, &token);
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"probe/for_scope","params":{"number":7}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"probe/for_nodes","params":{"number":7}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"probe/nothing","params":{}}"#,
            "{",
        ] {
            tell(web.rpc(body).await);
            tell(web.post("/rpc?on=worker-1", body).await);
            tell(web.post("/rpc?on=nobody", body).await);
            tell(web.post("/rpc?on=all", body).await);
        }
        // With something wrong about it.
        tell(client(&cluster, at, &format!("{token}x")).rpc("{}").await);
        tell(client(&cluster, at, &token[..token.len() - 4]).rpc("{}").await);
        tell(outside(&cluster, at).header("authorization", token.clone()).rpc("{}").await);
        for body in [
            json!({ "client_id": "canary@coordinator", "client_secret": format!("{}x", credential.secret) }),
            json!({ "client_id": "other@coordinator", "client_secret": credential.secret }),
            json!({ "client_id": credential.secret, "client_secret": credential.secret }),
            json!({ "client_secret": credential.secret }),
            json!({ "client_id": "canary@coordinator", "client_secret": credential.secret, "scope": "no:such" }),
            json!({ "odd": credential.secret }),
        ] {
            tell(outside(&cluster, at).post("/auth/token", body.to_string()).await);
        }
        tell(outside(&cluster, at).form("/auth/token", &format!("client_secret={}&client_secret=x", credential.secret)).await);
        tell(outside(&cluster, at).form("/auth/revoke", &format!("token={token}x")).await);
        tell(outside(&cluster, at).form("/auth/revoke", &format!("token={token}")).await);
    }
    tell(Web::operator(cluster.dir("coordinator")).post("/admin/clients", r#"{"do":"list"}"#).await);
    let said = said.join("\n");
    let signature = token.rsplit('.').next().unwrap();
    let log = log.text();
    assert!(log.contains(" audit: ") && log.lines().count() > 100, "the log was captured");
    // (The first bytes of a token are those of every token's header.)
    for canary in [signature, &signature[..40], &credential.secret[11..], &credential.secret[11..40], &token[token.len() - 120..]]
    {
        assert!(!log.contains(canary), "{}", log.lines().find(|line| line.contains(canary)).unwrap());
        assert!(!said.contains(canary), "{said}");
    }
}

#[tokio::test]
async fn the_control_of_the_canary_finds_what_is_logged_plainly() {
    let log = Log::capture();
    tracing::trace!(token = "canary-5d0f", "a careless line");
    assert!(log.text().contains("canary-5d0f"));
}
