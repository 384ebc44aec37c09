//! Who may call what, whole: every way in × every caller × every access, each with its outcome; and of each denial, the line of the audit log.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Cluster, Member,
    clients::{Credential, client},
    log::Log,
    web::{Answer, Web},
    worker_ip,
};
use p2p_client::protocol::ErrorCode;
use p2p_runtime::web::{Explanation, ServedRoute, served_routes};
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

/// The same in parts, each in a cluster of its own: of equal denials a node writes five lines within ten seconds, and counts the others.
const PARTS: [&[Way]; 3] = [
    &[Way::Rpc, Way::Path, Way::Batch, Way::Stream, Way::Notification],
    &[Way::Forwarded, Way::ForwardedPath, Way::ForwardedStream],
    &[Way::Everywhere],
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

    /// What the audit log calls it.
    fn in_audit(self) -> &'static str {
        match self {
            Self::Worker => "node worker-1 (worker)",
            Self::Coordinator => "node coordinator (coordinator)",
            Self::Operator => "the operator of this node",
            Self::Client => "client plain@coordinator",
            Self::Scoped | Self::ClientWithCertificate => "client scoped@coordinator",
            Self::Anonymous | Self::Nameless => "an anonymous caller",
        }
    }

    /// Where its requests come from.
    fn whence(self) -> &'static str {
        match self {
            Self::Worker | Self::Nameless | Self::ClientWithCertificate => "node worker-1",
            Self::Coordinator => "node coordinator",
            Self::Operator => "socket",
            Self::Client | Self::Scoped | Self::Anonymous => "10.0.0.19",
        }
    }

    /// As whom its call is sent on: the operator is, on other nodes, this node, which is the coordinator here.
    fn sent_on(self) -> Self {
        if self == Self::Operator { Self::Coordinator } else { self }
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
    let counts_as = if is_forwarded && way != Way::Everywhere { who.sent_on() } else { who };
    if counts_as.may(row) { Outcome::Served } else { Outcome::Denied }
}

/// A line of the audit log on a denial.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    who: &'a str,
    from: &'a str,
    origin: &'a str,
}

impl Line<'_> {
    /// That somebody was refused at the node to which he came himself.
    fn of(who: Who) -> Self {
        Line { who: who.in_audit(), from: who.whence(), origin: "-" }
    }
}

/// What the audit log says of a call: who is refused, by the node that he asks. (One that sends a call on and knows the method refuses itself what
/// the target would refuse.)
fn told(way: Way, who: Who, row: [bool; 6]) -> Vec<Line<'static>> {
    match expected(way, who, row) {
        Outcome::NotForwarded => Vec::new(),
        _ if way == Way::Everywhere => {
            let sent_on = Line { who: who.sent_on().in_audit(), ..Line::of(who) };
            // By the node itself, and of each of the two others.
            let here = (!who.may(row)).then(|| Line::of(who));
            let there = (!who.sent_on().may(row)).then_some([sent_on, sent_on]);
            here.into_iter().chain(there.into_iter().flatten()).collect()
        }
        Outcome::Denied if matches!(way, Way::Forwarded | Way::ForwardedPath | Way::ForwardedStream) => {
            vec![Line { who: who.sent_on().in_audit(), ..Line::of(who) }]
        }
        Outcome::Denied => vec![Line::of(who)],
        Outcome::Served => Vec::new(),
    }
}

/// Exactly these denials of this are told, in whatever order.
#[track_caller]
fn assert_told(mut lines: Vec<String>, what: &str, expected: &[Line<'_>], case: &str) {
    assert_eq!(lines.len(), expected.len(), "{case}: {lines:#?}");
    for Line { who, from, origin } in expected {
        let parts = [
            format!(" who=\"{who}\" "),
            format!(" what=\"{what}\" "),
            format!(" from=\"{from}\" "),
            format!(" origin=\"{origin}\""),
        ];
        let found = lines.iter().position(|line| parts.iter().all(|part| line.contains(part)));
        let line = lines.swap_remove(found.unwrap_or_else(|| panic!("{case}: {parts:?} in {lines:#?}")));
        assert_eq!(who.starts_with("client "), !line.contains(" token_id=\"-\" "), "{case}: {line}");
    }
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
        Self::of(Cluster::of(2).await).await
    }

    async fn of((cluster, coordinator, workers): (Cluster, Member, Vec<Member>)) -> Self {
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
        let counts_as = who.sent_on();
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
async fn every_way_in_has_the_outcome_of_the_table_for_every_caller_and_access_and_each_denial_its_line() {
    let log = Log::capture();
    let mut cases = 0;
    for part in PARTS {
        let table = Table::new().await;
        for way in part {
            for who in WHO {
                for (method, row) in METHODS {
                    // The effect of a notification is seen of one method that counts.
                    if *way == Way::Notification && method != "for_nodes" {
                        continue;
                    }
                    let (before, case) = (log.mark(), format!("{way:?} {who:?} {method}"));
                    assert_eq!(table.call(*way, who, method).await, expected(*way, who, row), "{case}");
                    assert_told(log.denials_since(before), &method_path(method), &told(*way, who, row), &case);
                    cases += 1;
                }
            }
        }
        assert!(table.web(Who::Operator).is_served().await);
    }
    assert_eq!(PARTS.concat(), WAYS);
    assert_eq!(cases, 8 * (8 * 6) + 8);
}

#[tokio::test]
async fn a_denial_by_the_target_of_a_forwarded_call_is_told_there_in_the_name_of_its_caller_with_who_began_it() {
    let log = Log::capture();
    // The forwarder hosts no probe, and so knows nothing of its methods.
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(common::Plan::coordinator().without_probe()).await;
    let mut workers = Vec::new();
    for number in 1..=2 {
        workers.push(cluster.worker(common::Plan::worker(number), &coordinator).await);
    }
    common::sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    let table = Table::of((cluster, coordinator, workers)).await;
    for who in [Who::Operator, Who::Client, Who::Scoped, Who::Anonymous] {
        let line = Line { who: who.sent_on().in_audit(), from: "node coordinator", origin: who.in_audit() };
        for way in [Way::Forwarded, Way::ForwardedPath, Way::ForwardedStream] {
            let (before, case) = (log.mark(), format!("{way:?} {who:?}"));
            assert_eq!(table.call(way, who, "for_workers").await, Outcome::Denied, "{case}");
            assert_told(log.denials_since(before), "probe/for_workers", &[line], &case);
        }
        let before = log.mark();
        let note = json!({ "jsonrpc": "2.0", "method": "probe/for_workers", "params": { "number": 7 } }).to_string();
        assert_eq!(table.web(who).post("/rpc?on=worker-2", note).await.status, 204);
        assert_told(log.denials_since(before), "probe/for_workers", &[line], &format!("a notification of {who:?}"));
        // Each of the two.
        let before = log.mark();
        let answers = table.web(who).call_at("/rpc?on=all", "probe/for_workers", json!({ "number": 7 })).await.unwrap();
        for worker in ["worker-1", "worker-2"] {
            assert_eq!(outcome(&answers[worker]), Outcome::Denied, "{who:?} {worker}: {answers}");
        }
        assert_told(log.denials_since(before), "probe/for_workers", &[line, line], &format!("everywhere {who:?}"));
    }
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
async fn a_denial_of_what_a_method_calls_is_told_in_the_name_of_its_node_with_who_began_the_chain() {
    let log = Log::capture();
    let table = Table::new().await;
    for who in [Who::Operator, Who::Worker, Who::Client, Who::Anonymous] {
        for (node, from) in [("coordinator", "here"), ("worker-2", "node coordinator")] {
            let (before, case) = (log.mark(), format!("{who:?} {node}"));
            table.web(who).call("probe/relay", json!({ "node": node, "method": "for_workers" })).await.unwrap_err();
            let line = Line { who: Who::Coordinator.in_audit(), from, origin: who.in_audit() };
            assert_told(log.denials_since(before), "probe/for_workers", &[line], &case);
        }
    }
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

/// A route, and for whom it is.
struct Route {
    verb: &'static str,
    path: &'static str,
    body: &'static str,
    /// What those for whom it is are answered; the others get 403.
    open: u16,
    /// Whether it is for a worker, a coordinator, the operator, a client, nobody.
    row: [bool; 5],
}

const ANYONE: [bool; 5] = [true; 5];
const NODES: [bool; 5] = [true, true, true, false, false];
const CLIENTS: [bool; 5] = [true, true, true, true, false];
/// Nodes that show their certificates; the operator has none.
const CERTIFIED: [bool; 5] = [true, true, false, false, false];
const COORDINATORS: [bool; 5] = [false, true, false, false, false];
const OPERATOR: [bool; 5] = [false, false, true, false, false];

const fn get(path: &'static str, row: [bool; 5]) -> Route {
    Route { verb: "GET", path, body: "", open: 200, row }
}

const fn post(path: &'static str, body: &'static str, row: [bool; 5]) -> Route {
    Route { verb: "POST", path, body, open: 200, row }
}

const fn call(method: &'static str, row: [bool; 5]) -> Route {
    Route { verb: "CALL", path: method, body: "", open: 200, row }
}

impl Route {
    /// The same, where those for whom it is are told that what they ask for makes no sense, as it is to change nothing.
    const fn answers(self, open: u16) -> Self {
        Self { open, ..self }
    }

    fn ends_the_node(&self) -> bool {
        matches!(self.path, "/admin/leave" | "/admin/stop")
    }

    /// What the audit log calls it.
    fn in_audit(&self) -> &'static str {
        match self.path {
            "/internal/cert-renew" => "cert renew",
            "/internal/ca/authority" => "ca authority",
            "/internal/ca/root" => "ca share",
            "/internal/ca/issued" => "ca issued",
            "/internal/ca/node/worker-7" => "ca record",
            "/internal/ca/token/0000000000000001" => "token lookup",
            "/internal/descriptor/probe" => "/internal/descriptor",
            "/internal/pending/worker-7" => "/internal/pending",
            "/internal/session/body/7" => "/internal/session/body",
            method if method.starts_with("/rpc/") => method.trim_start_matches("/rpc/"),
            path => path,
        }
    }

    /// Whether the route that is served is this one.
    fn is(&self, served: &ServedRoute) -> bool {
        let (own, theirs): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), served.path.split('/').collect());
        let fits = |(own, theirs): (&&str, &&str)| own == theirs || theirs.starts_with('{');
        served.method.as_ref().is_none_or(|method| method.as_str() == self.verb)
            && own.len() == theirs.len()
            && own.iter().zip(&theirs).all(fits)
    }
}

/// All routes; and, as calls by `POST /rpc`, some methods.
const ROUTES: [Route; 45] = [
    get("/health", ANYONE),
    get("/.well-known/jwks.json", ANYONE),
    get("/internal/ca-cert", ANYONE),
    get("/rpc", ANYONE).answers(405),
    post("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"probe/look","params":{}}"#, ANYONE),
    post("/auth/token", "[", ANYONE).answers(400),
    post("/auth/revoke", "[", ANYONE).answers(400),
    post("/internal/cert-request", "{}", ANYONE).answers(400),
    get("/services", CLIENTS),
    get("/cluster/nodes", CLIENTS),
    get("/metrics", CLIENTS),
    get("/openapi.json", CLIENTS),
    get("/openapi-3.0.json", CLIENTS),
    get("/openrpc.json", CLIENTS),
    post("/rpc/probe/for_clients", r#"{"number":7}"#, CLIENTS),
    post("/rpc/probe/for_nodes", r#"{"number":7}"#, NODES),
    get("/internal/descriptor/probe", NODES),
    get("/internal/pending/worker-7", NODES),
    get("/internal/session/body/7", NODES).answers(404),
    post("/internal/cert-renew", "{}", CERTIFIED).answers(400),
    post("/internal/session", "", CERTIFIED).answers(426),
    post("/internal/ca/authority", "{}", COORDINATORS).answers(400),
    post("/internal/ca/root", "no keys", COORDINATORS).answers(400),
    post("/internal/ca/issued", "", COORDINATORS),
    get("/internal/ca/node/worker-7", COORDINATORS),
    get("/internal/ca/token/0000000000000001", COORDINATORS),
    get("/admin/ca", OPERATOR),
    post("/admin/ca/rotate", r#"{"finish":true}"#, OPERATOR).answers(409),
    post("/admin/ca/share", r#"{"node_id":"worker-1"}"#, OPERATOR).answers(409),
    get("/admin/cert", OPERATOR),
    post("/admin/cert/renew", "", OPERATOR),
    post("/admin/token", r#"{"role":"worker","ttl_seconds":60,"uses":1}"#, OPERATOR),
    get("/admin/tokens", OPERATOR),
    post("/admin/approvals", r#"{"do":"list"}"#, OPERATOR),
    post("/admin/clients", r#"{"do":"list"}"#, OPERATOR),
    post("/admin/policy", r#"{"who":"operator","what":"/services"}"#, OPERATOR),
    post("/admin/revoke", r#"{"what":{"token":"0000000000000001"},"reason":""}"#, OPERATOR),
    get("/admin/revocations", OPERATOR),
    post("/admin/config", r#"{"password":"YSBwYXNzd29yZCBmb3IgdGVzdHM=","command":{"do":"read"}}"#, OPERATOR),
    post("/admin/store", r#"{"password":"YSBwYXNzd29yZCBmb3IgdGVzdHM=","command":{"do":"list","prefix":""}}"#, OPERATOR),
    post("/admin/leave", "", OPERATOR),
    post("/admin/stop", "", OPERATOR),
    call("rpc.discover", CLIENTS),
    call("probe/for_scope", NODES),
    call("probe/look", ANYONE),
];

#[test]
fn no_route_is_served_that_the_table_lacks_and_the_table_has_none_that_is_not_served() {
    let served = served_routes();
    for one in &served {
        assert!(ROUTES.iter().any(|route| route.is(one)), "{one} is served, and the table of access lacks it: add a row");
    }
    for route in ROUTES.iter().filter(|route| route.verb != "CALL" && route.path != "/rpc") {
        assert!(served.iter().any(|one| route.is(one)), "{} {} is not served", route.verb, route.path);
    }
}

/// Whether the node at the other end does what it is asked for.
async fn is_open(web: &Web, route: &Route, who: Who) -> bool {
    let answer = match route.verb {
        "GET" => web.get(route.path).await,
        "POST" => web.post(route.path, route.body).await,
        _ => {
            let params = if route.path.contains("/for_") { json!({ "number": 1 }) } else { json!({}) };
            return web
                .call(route.path, params)
                .await
                .map_err(|(code, said)| assert_eq!(code, ErrorCode::DENIED.0, "{said}"))
                .is_ok();
        }
    };
    if answer.status == 403 {
        assert_eq!(answer.error().0, ErrorCode::DENIED.0, "{who:?} {}: {answer:?}", route.path);
        return false;
    }
    assert_eq!(answer.status.as_u16(), route.open, "{who:?} {}: {answer:?}", route.path);
    true
}

/// Of somebody for whom a route is not, the audit log has one line.
#[track_caller]
fn is_told(log: &Log, before: usize, route: &Route, who: Who, open: bool) {
    let (lines, case) = (log.denials_since(before), format!("{who:?} {}", route.path));
    if open {
        // What makes no sense may be refused to whomever the route is for, and then for a reason of its own.
        assert!(lines.iter().all(|line| route.open != 200 && !line.contains(" reason=\"it is for ")), "{case}: {lines:#?}");
    } else {
        assert!(lines.iter().all(|line| !line.contains(" reason=\"-\"")), "{case}: it is not said why: {lines:#?}");
        assert_told(lines, route.in_audit(), &[Line::of(who)], &case);
    }
}

#[tokio::test]
async fn every_route_is_open_to_those_that_it_is_for_the_others_are_in_the_audit_log_and_the_explanation_says_the_same() {
    let log = Log::capture();
    let table = Table::new().await;
    let operator = table.web(Who::Operator);
    let callers = [
        (Who::Worker, "node:worker-1"),
        (Who::Coordinator, "node:coordinator"),
        (Who::Operator, "operator"),
        (Who::Client, "client:plain"),
        (Who::Anonymous, "anonymous"),
    ];
    for route in &ROUTES {
        for ((who, name), open) in callers.iter().zip(route.row) {
            // What ends the node is asked of others, below.
            if !(open && route.ends_the_node()) {
                let before = log.mark();
                assert_eq!(is_open(&table.web(*who), route, *who).await, open, "{who:?} {}", route.path);
                is_told(&log, before, route, *who, open);
            }
            let question = json!({ "who": name, "what": route.path }).to_string();
            let answer = operator.post("/admin/policy", question).await;
            let explained: Explanation = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(explained.allowed, open, "{explained:?}");
            assert!(explained.reason.contains(if open { " may " } else { " may not " }), "{explained:?}");
        }
        let before = log.mark();
        let nameless = is_open(&table.web(Who::Nameless), route, Who::Nameless).await;
        assert_eq!(nameless, route.row[4], "a certificate lends nothing to one without a name: {}", route.path);
        is_told(&log, before, route, Who::Nameless, nameless);
    }
    for (path, worker) in [("/admin/leave", "worker-1"), ("/admin/stop", "worker-2")] {
        let answer = Web::operator(table.cluster.dir(worker)).post(path, "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["node_id"].as_str()), (200, Some(worker)));
    }
    assert!(operator.is_served().await);
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
