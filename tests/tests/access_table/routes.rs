//! Routes: every one × every caller, and how `p2p policy explain` tells it.

use p2p_client::protocol::ErrorCode;
use p2p_runtime::web::{Explanation, ServedRoute, served_routes};
use serde_json::json;

use super::{
    Line, Table, Who, assert_told,
    common::{self, Cluster, log::Log, web::Web},
};

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
