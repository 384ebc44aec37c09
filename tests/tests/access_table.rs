//! Who may call what, whole: every way in × every caller × every access, each with its outcome.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Cluster, Member,
    clients::{Credential, client},
    web::{Answer, Web},
    worker_ip,
};
use p2p_client::protocol::ErrorCode;
use p2p_runtime::web::Explanation;
use serde_json::{Value, json};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Worker,
    Coordinator,
    Operator,
    /// A client whose token has no scopes.
    Client,
    /// A client whose token has the scope.
    Scoped,
    Anonymous,
    /// A node that gives its name up.
    Nameless,
    /// A client that comes with a node's certificate.
    ClientWithCertificate,
}

const WHO: [Who; 8] = [
    Who::Worker,
    Who::Coordinator,
    Who::Operator,
    Who::Client,
    Who::Scoped,
    Who::Anonymous,
    Who::Nameless,
    Who::ClientWithCertificate,
];

/// How the call comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `POST /rpc`
    Rpc,
    /// `POST /rpc/{service}/{method}`
    Path,
    /// In a batch, beside a call that anyone may make.
    Batch,
    /// By a caller that takes a stream.
    Stream,
    /// A notification, which nobody answers.
    Notification,
    /// To another node that is named.
    Forwarded,
    /// The same, by the path of the method.
    ForwardedPath,
    /// To another node, by a caller that takes a stream.
    ForwardedStream,
    /// To all nodes.
    Everywhere,
}

const WAYS: [Way; 9] = [
    Way::Rpc,
    Way::Path,
    Way::Batch,
    Way::Stream,
    Way::Notification,
    Way::Forwarded,
    Way::ForwardedPath,
    Way::ForwardedStream,
    Way::Everywhere,
];

/// The methods, and who may call them: in the order of [`WHO`] a worker, a coordinator, the operator, clients without and with the scope, nobody.
const METHODS: [(&str, [bool; 6]); 6] = [
    ("for_nodes", [true, true, true, false, false, false]),
    ("for_clients", [true, true, true, true, true, false]),
    ("for_scope", [true, true, true, false, true, false]),
    ("for_coordinators", [false, true, false, false, false, false]),
    ("for_workers", [true, false, false, false, false, false]),
    ("for_anyone", [true, true, true, true, true, true]),
];

impl Who {
    /// Whether this caller may call a method: the table, and what the odd callers count as.
    fn may(self, row: [bool; 6]) -> bool {
        let [worker, coordinator, operator, client, scoped, anonymous] = row;
        match self {
            Self::Worker => worker,
            Self::Coordinator => coordinator,
            Self::Operator => operator,
            Self::Client => client,
            Self::Scoped | Self::ClientWithCertificate => scoped,
            Self::Anonymous | Self::Nameless => anonymous,
        }
    }

    /// Whether it has a node's certificate: then its calls are not forwarded.
    fn is_node(self) -> bool {
        matches!(self, Self::Worker | Self::Coordinator | Self::Nameless | Self::ClientWithCertificate)
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Served,
    Denied,
    /// A node is to send its calls itself.
    NotForwarded,
}

fn expected(way: Way, who: Who, row: [bool; 6]) -> Outcome {
    let is_forwarded = matches!(way, Way::Forwarded | Way::ForwardedPath | Way::ForwardedStream | Way::Everywhere);
    if is_forwarded && who.is_node() {
        return Outcome::NotForwarded;
    }
    // On another node the operator counts as this node, which is the coordinator here.
    let counts_as = if is_forwarded && way != Way::Everywhere && who == Who::Operator { Who::Coordinator } else { who };
    if counts_as.may(row) { Outcome::Served } else { Outcome::Denied }
}

struct Table {
    cluster: Cluster,
    coordinator: Member,
    workers: Vec<Member>,
    plain: String,
    scoped: String,
}

impl Table {
    async fn new() -> Self {
        let (cluster, coordinator, workers) = Cluster::of(2).await;
        let plain = Credential::create(&cluster, &coordinator, "plain", "other:scope").await.token(&cluster, &coordinator).await;
        let scoped = Credential::create(&cluster, &coordinator, "scoped", "probe:read").await.token(&cluster, &coordinator).await;
        Self { cluster, coordinator, workers, plain, scoped }
    }

    fn web(&self, who: Who) -> Web {
        let (cluster, at, worker) = (&self.cluster, &self.coordinator, &self.workers[0]);
        let node = || Web::node(cluster.host(worker.ip), at, worker);
        match who {
            Who::Worker => node(),
            Who::Coordinator => Web::node(cluster.host(at.ip), at, at),
            Who::Operator => Web::operator(cluster.dir("coordinator")),
            Who::Client => client(cluster, at, &self.plain),
            Who::Scoped => client(cluster, at, &self.scoped),
            Who::Anonymous => Web::anonymous(cluster.host(worker_ip(9)), at),
            Who::Nameless => node().header("p2p-caller", "anonymous"),
            Who::ClientWithCertificate => node().header("authorization", format!("Bearer {}", self.scoped)),
        }
    }

    /// Makes the call, and gives what became of it.
    async fn call(&self, way: Way, who: Who, method: &str) -> Outcome {
        let (web, path) = (self.web(who), method_path(method));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": path, "params": params(method) });
        let lines = || web.clone().header("accept", "application/x-ndjson");
        match way {
            Way::Rpc => outcome(&web.rpc(body.to_string()).await.json()),
            Way::Path => by_status(&web.post(&format!("/rpc/{path}"), params(method).to_string()).await),
            Way::Batch => {
                let beside = json!({ "jsonrpc": "2.0", "id": 2, "method": "probe/repeat", "params": { "text": "x" } });
                let answers = web.rpc(json!([body, beside]).to_string()).await.json();
                assert_eq!(answers[1]["result"], "x", "{who:?}: the others of a batch are served");
                outcome(&answers[0])
            }
            Way::Stream => outcome(&last_line(&lines().rpc(body.to_string()).await)),
            Way::Notification => {
                let before = *self.coordinator.probe.counted.borrow();
                let mut body = body;
                body.as_object_mut().unwrap().remove("id");
                let answer = web.rpc(body.to_string()).await;
                assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{who:?}");
                if *self.coordinator.probe.counted.borrow() > before { Outcome::Served } else { Outcome::Denied }
            }
            Way::Forwarded => outcome(&web.post("/rpc?on=worker-2", body.to_string()).await.json()),
            Way::ForwardedPath => by_status(&web.post(&format!("/rpc/{path}?on=worker-2"), params(method).to_string()).await),
            Way::ForwardedStream => outcome(&last_line(&lines().post("/rpc?on=worker-2", body.to_string()).await)),
            Way::Everywhere => {
                let answer = web.post("/rpc?on=all", body.to_string()).await.json();
                if answer.get("error").is_some() { outcome(&answer) } else { self.everywhere(who, method, &answer["result"]) }
            }
        }
    }

    /// Each node answers for itself. What counts is this node's own answer; the others have the operator for a node.
    fn everywhere(&self, who: Who, method: &str, answers: &Value) -> Outcome {
        let row = METHODS.iter().find(|(name, _)| *name == method).unwrap().1;
        let counts_as = if who == Who::Operator { Who::Coordinator } else { who };
        for worker in &self.workers {
            let there = if answers[worker.id().as_str()].get("result").is_some() { Outcome::Served } else { Outcome::Denied };
            assert_eq!(there == Outcome::Served, counts_as.may(row), "{who:?} {method} at {}: {answers}", worker.id());
        }
        outcome(&answers["coordinator"])
    }
}

fn method_path(method: &str) -> String {
    // What anyone may call takes other params.
    if method == "for_anyone" { "probe/look".to_owned() } else { format!("probe/{method}") }
}

fn params(method: &str) -> Value {
    if method == "for_anyone" { json!({}) } else { json!({ "number": 7 }) }
}

fn last_line(answer: &Answer) -> Value {
    let text = std::str::from_utf8(&answer.body).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or_else(|| panic!("{answer:?}"))).unwrap()
}

fn by_status(answer: &Answer) -> Outcome {
    match answer.status.as_u16() {
        200 => Outcome::Served,
        403 => Outcome::Denied,
        400 => Outcome::NotForwarded,
        _ => panic!("{answer:?}"),
    }
}

fn outcome(answer: &Value) -> Outcome {
    match answer.get("error") {
        None => {
            assert!(answer.get("result").is_some(), "{answer}");
            Outcome::Served
        }
        Some(error) if error["code"] == ErrorCode::DENIED.0 => {
            assert!(error["message"].as_str().unwrap().contains(": it is for "), "{error}");
            Outcome::Denied
        }
        Some(error) if error["code"] == ErrorCode::INVALID_REQUEST.0 => Outcome::NotForwarded,
        Some(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn every_way_in_has_the_outcome_of_the_table_for_every_caller_and_access() {
    let table = Table::new().await;
    let mut cases = 0;
    for way in WAYS {
        for who in WHO {
            for (method, row) in METHODS {
                // The effect of a notification is seen of one method that counts.
                if way == Way::Notification && method != "for_nodes" {
                    continue;
                }
                assert_eq!(table.call(way, who, method).await, expected(way, who, row), "{way:?} {who:?} {method}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 8 * (8 * 6) + 8);
    assert!(table.web(Who::Operator).is_served().await);
}

#[tokio::test]
async fn a_call_that_is_made_while_serving_one_has_the_rights_of_the_node_that_makes_it() {
    let table = Table::new().await;
    for who in WHO {
        let web = table.web(who);
        // Made by the coordinator: to itself, and to another node.
        for node in ["coordinator", "worker-2"] {
            for (method, [_, coordinator, ..]) in METHODS.iter().filter(|(method, _)| *method != "for_anyone") {
                let answer = web.call("probe/relay", json!({ "node": node, "method": method })).await;
                match answer {
                    Ok(number) => assert!(*coordinator && number == 7, "{who:?} {node} {method}"),
                    // (To the outer caller it is an error of the method that it called.)
                    Err((_, said)) => {
                        assert!(
                            !coordinator && said.contains("node coordinator (coordinator) may not call"),
                            "{who:?} {node} {method}: {said}"
                        );
                    }
                }
            }
        }
    }
    // Who began the chain is told, and decides nothing.
    let scoped = table.web(Who::Scoped);
    let seen = scoped.call("probe/look_from_here", json!({ "node": "worker-2" })).await.unwrap();
    assert_eq!(
        (&seen["caller"], &seen["origin"]),
        (&json!("node coordinator (coordinator)"), &json!("client scoped@coordinator"))
    );
}

#[tokio::test]
async fn a_stream_for_a_scope_is_open_to_those_who_have_it_here_and_at_another_node() {
    let table = Table::new().await;
    for path in ["/rpc", "/rpc?on=worker-2"] {
        for who in [Who::Operator, Who::Client, Who::Scoped, Who::Anonymous] {
            let web = table.web(who).header("accept", "application/x-ndjson");
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "probe/count_for_scope", "params": { "number": 3 } });
            let answer = web.post(path, body.to_string()).await;
            if matches!(who, Who::Operator | Who::Scoped) {
                let text = std::str::from_utf8(&answer.body).unwrap();
                let lines: Vec<_> = text.lines().collect();
                assert_eq!(lines[..3], ["{\"item\":1}", "{\"item\":2}", "{\"item\":3}"], "{who:?} {path}");
                assert_eq!(lines.len(), 4);
            } else {
                assert_eq!(outcome(&last_line(&answer)), Outcome::Denied, "{who:?} {path}");
            }
        }
    }
}

/// The routes, and whether they are open to a worker, the operator, clients, nobody. `None` says that the answer depends on more.
const ROUTES: [(&str, &str, [bool; 4]); 16] = [
    ("GET", "/health", [true, true, true, true]),
    ("GET", "/.well-known/jwks.json", [true, true, true, true]),
    ("GET", "/internal/ca-cert", [true, true, true, true]),
    ("GET", "/services", [true, true, true, false]),
    ("GET", "/cluster/nodes", [true, true, true, false]),
    ("GET", "/openapi.json", [true, true, true, false]),
    ("GET", "/openapi-3.0.json", [true, true, true, false]),
    ("GET", "/openrpc.json", [true, true, true, false]),
    ("GET", "/internal/descriptor/probe", [true, true, false, false]),
    ("GET", "/internal/pending/worker-7", [true, true, false, false]),
    ("POST", "/admin/approvals", [false, true, false, false]),
    ("POST", "/admin/clients", [false, true, false, false]),
    ("POST", "/admin/policy", [false, true, false, false]),
    ("POST", "/admin/token", [false, true, false, false]),
    ("CALL", "rpc.discover", [true, true, true, false]),
    ("CALL", "probe/for_scope", [true, true, false, false]),
];

const BODIES: [(&str, &str); 4] = [
    ("/admin/approvals", r#"{"do":"list"}"#),
    ("/admin/clients", r#"{"do":"list"}"#),
    ("/admin/policy", r#"{"who":"operator","what":"/services"}"#),
    ("/admin/token", r#"{"role":"worker","ttl_seconds":60,"uses":1}"#),
];

#[tokio::test]
async fn every_route_is_open_to_those_that_it_is_for_and_the_explanation_says_the_same() {
    let table = Table::new().await;
    let operator = table.web(Who::Operator);
    let callers = [
        (Who::Worker, "node:worker-1"),
        (Who::Operator, "operator"),
        (Who::Client, "client:plain"),
        (Who::Anonymous, "anonymous"),
    ];
    for (verb, route, row) in ROUTES {
        for ((who, name), open) in callers.iter().zip(row) {
            let web = table.web(*who);
            let is_open = match verb {
                "GET" => web.get(route).await.status == 200,
                "POST" => {
                    let body = BODIES.iter().find(|(path, _)| *path == route).unwrap().1;
                    web.post(route, body).await.status == 200
                }
                _ => web.call(route, json!({ "number": 1 })).await.is_ok() || web.call(route, json!({})).await.is_ok(),
            };
            assert_eq!(is_open, open, "{who:?} {route}");
            let question = json!({ "who": name, "what": route }).to_string();
            let explained: Explanation = serde_json::from_slice(&operator.post("/admin/policy", question).await.body).unwrap();
            assert_eq!(explained.allowed, open, "{explained:?}");
            assert!(explained.reason.contains(if open { " may " } else { " may not " }), "{explained:?}");
        }
    }
}

#[tokio::test]
async fn the_explanation_of_a_method_is_that_of_the_node_that_hosts_it() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(common::Plan::coordinator().without_probe()).await;
    let _worker = cluster.worker(common::Plan::worker(1), &coordinator).await;
    common::sees(&coordinator, |members| members.hosting("probe").count() == 1).await;
    let operator = Web::operator(cluster.dir("coordinator"));
    let ask = async |who: &str, what: &str| operator.post("/admin/policy", json!({ "who": who, "what": what }).to_string()).await;
    for (who, what, allowed, said) in [
        ("scope:probe:read,x", "probe/for_scope", true, "as node worker-1 describes it"),
        ("scope:x", "probe/for_scope", false, "this token has x: get one with the scope, as node worker-1 describes it"),
        ("role:worker", "probe/for_workers", true, "node some-worker (worker) may call"),
        ("role:coordinator", "probe/for_workers", false, "it is for nodes with the role worker"),
        ("operator", "probe/for_coordinators", true, "as which the operator of this node counts on other nodes"),
        ("anonymous", "/rpc/probe/for_clients?on=any", false, "send a token"),
    ] {
        let what = what.strip_suffix("?on=any").unwrap_or(what);
        let answer = ask(who, what).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let explained: Explanation = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(explained.allowed, allowed, "{explained:?}");
        assert!(explained.reason.contains(said), "{explained:?}");
    }
    for (who, what, said) in [
        ("anonymous", "nothing/here", "no node of the cluster hosts a service \"nothing\"; there are: probe, system"),
        ("anonymous", "probe/missing", "service probe has no method missing; it has: "),
        ("anonymous", "nothing", "names no method; write service/method"),
        ("anonymous", "/nothing", "there is nothing at /nothing; routes are such as /services"),
        ("somebody", "/services", "is nobody; write node:ID, role:worker, client:NAME"),
        ("node:nobody", "/services", "no member is called nobody; the members are: coordinator, worker-1"),
        ("client:nobody", "/services", "there is no client \"nobody\" at this coordinator; there are: none"),
        ("client:ci@elsewhere", "/services", "the client is kept by elsewhere; ask there"),
        ("role:king", "/services", "king"),
        ("scope:\"", "/services", "is no scope"),
    ] {
        let answer = ask(who, what).await;
        assert!((400..500).contains(&answer.status.as_u16()), "{answer:?}");
        assert!(answer.error().1.contains(said), "{:?}", answer.error());
    }
    // Where no clients are kept.
    let worker = Web::operator(cluster.dir("worker-1"));
    let answer = worker.post("/admin/policy", json!({ "who": "client:ci", "what": "/services" }).to_string()).await;
    assert!(answer.error().1.contains("this node keeps no clients; ask on the coordinator that made it"), "{:?}", answer.error());
}
