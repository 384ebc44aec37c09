//! Who may call what: the two tables of the design, at the node that is asked and at the node that it forwards to.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Cluster, Member, Plan,
    clients::{Credential, client, outside},
    probe::{Probe, ProbeProxyExt},
    sees, set_config, soon,
    web::{Web, assert_error},
    worker_ip,
};
use futures::stream;
use p2p_client::protocol::ErrorCode;
use p2p_services::prelude::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The methods, and whether a worker, a coordinator, an operator and a nameless caller may call them.
const TABLE: [(&str, [bool; 4]); 5] = [
    ("probe/for_nodes", [true, true, true, false]),
    ("probe/for_clients", [true, true, true, false]),
    ("probe/for_scope", [true, true, true, false]),
    ("probe/for_coordinators", [false, true, false, false]),
    ("probe/for_workers", [true, false, false, false]),
];

/// Clients of `at`: with a worker's certificate, with a coordinator's, its operator, and nobody.
fn callers(cluster: &Cluster, at: &Member, worker: &Member, coordinator: &Member) -> [(&'static str, Web); 4] {
    [
        ("node worker-1 (worker)", Web::node(cluster.host(worker.ip), at, worker)),
        ("node coordinator (coordinator)", Web::node(cluster.host(coordinator.ip), at, coordinator)),
        ("the operator of this node", Web::operator(cluster.dir(at.id().as_str()))),
        ("an anonymous caller", Web::anonymous(cluster.host(worker_ip(9)), at)),
    ]
}

#[tokio::test]
async fn a_method_is_open_to_those_that_its_access_names_and_to_nobody_else() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    for at in [&coordinator, &workers[1]] {
        for (who, web) in callers(&cluster, at, &workers[0], &coordinator).iter().enumerate() {
            let (name, web) = (web.0, &web.1);
            for (method, allowed) in TABLE {
                let outcome = web.call(method, json!({ "number": 7 })).await;
                if allowed[who] {
                    assert_eq!(outcome.unwrap(), 7, "{name} calls {method}");
                } else {
                    assert_error(outcome, ErrorCode::DENIED, &[name, "may not call", method, ": it is for "]);
                }
            }
            assert_eq!(web.call("probe/repeat", json!({ "text": "x" })).await.unwrap(), "x", "{name}");
            assert_eq!(web.call("probe/look", json!({})).await.unwrap()["caller"], name);
            assert!(web.is_served().await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn local_calls_are_checked_as_those_from_elsewhere_are() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    for (node, open, closed) in [
        (&coordinator, "probe/for_coordinators", "probe/for_workers"),
        (&workers[0], "probe/for_workers", "probe/for_coordinators"),
    ] {
        let (proxy, id) = (node.proxy(), node.id());
        assert_eq!(proxy.call(open, json!({ "number": 1 })).on(id).await.unwrap().get(), "1");
        let error = proxy.call(closed, json!({ "number": 1 })).on(id).await.unwrap_err();
        assert!(matches!(&error, CallError::Denied(text) if text.starts_with(&format!("node {id} "))), "{error}");
    }
    // The same of the typed proxy, which calls the object itself; and of a fan-out.
    let probe = coordinator.proxy().probe();
    assert_eq!(probe.for_coordinators(2).await.unwrap(), 2);
    let error = probe.for_workers(2).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "denied: node coordinator (coordinator) may not call probe/for_workers: it is for nodes with the role worker"
    );
    let error = workers[0].proxy().probe().on("coordinator").for_coordinators(2).await.unwrap_err();
    assert!(matches!(&error, CallError::Denied(text) if text.starts_with("node worker-1 (worker) may not call")), "{error}");
    for (node, reply) in probe.on_all(p2p_client::protocol::Many::All).for_workers(2).await {
        assert!(matches!(reply, Err(CallError::Denied(_))), "{node}");
    }
}

#[tokio::test]
async fn access_is_refused_before_params_are_looked_at() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &coordinator);
    let operator = Web::operator(cluster.dir("coordinator"));
    for params in [json!({ "number": "seven" }), json!({ "unknown": 1 }), json!([]), json!({ "number": 300 })] {
        let refused = nobody.call("probe/for_nodes", params.clone()).await;
        assert_error(refused, ErrorCode::DENIED, &["an anonymous caller may not call probe/for_nodes"]);
        let answer = nobody.post("/rpc/probe/for_nodes", params.to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.error().0), (403, ErrorCode::DENIED.0));
        assert_error(operator.call("probe/for_nodes", params).await, ErrorCode::INVALID_PARAMS, &[]);
    }
    // A notification is not answered, and not executed either.
    let answer = nobody.rpc(r#"{"jsonrpc":"2.0","method":"probe/for_nodes","params":{"number":1}}"#).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(*coordinator.probe.counted.borrow(), 0);
    let answer = operator.rpc(r#"{"jsonrpc":"2.0","method":"probe/for_nodes","params":{"number":1}}"#).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    Probe::reached(&coordinator.probe.counted, 1).await;
}

#[tokio::test]
async fn a_forwarded_call_has_the_rights_of_who_asked_and_not_of_the_forwarder() {
    let cluster = Cluster::new();
    // The forwarder does not know the method, so that the target alone decides.
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1), &coordinator).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 1).await;
    sees(&one, |members| members.alive().count() == 2).await;
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &coordinator);
    let operator = Web::operator(cluster.dir("coordinator"));

    for path in ["/rpc", "/rpc?on=worker-1", "/rpc?on=any", "/rpc?on=role=worker"] {
        for (method, _) in TABLE {
            let refused = nobody.call_at(path, method, json!({ "number": 7 })).await;
            assert_error(refused, ErrorCode::DENIED, &["an anonymous caller may not call", method]);
        }
        let seen = nobody.call_at(path, "probe/look", json!({})).await.unwrap();
        assert_eq!((&seen["node"], &seen["caller"]), (&json!("worker-1"), &json!("an anonymous caller")), "{path}");
        assert_eq!(seen["origin"], "an anonymous caller");

        // The operator of this node is, on another node, this node.
        let seen = operator.call_at(path, "probe/look", json!({})).await.unwrap();
        assert_eq!(seen["caller"], "node coordinator (coordinator)", "{path}");
        assert_eq!(seen["origin"], "the operator of this node");
        for (method, [_, allowed, ..]) in TABLE {
            let outcome = operator.call_at(path, method, json!({ "number": 7 })).await;
            if allowed {
                assert_eq!(outcome.unwrap(), 7);
            } else {
                assert_error(outcome, ErrorCode::DENIED, &["node coordinator (coordinator) may not call", method]);
            }
        }
    }
    // To many nodes: each refuses by itself.
    let answers = nobody.call_at("/rpc?on=all", "probe/for_nodes", json!({ "number": 7 })).await.unwrap();
    assert_eq!(answers["worker-1"]["error"]["code"], ErrorCode::DENIED.0);
    let answers = operator.call_at("/rpc?on=all", "probe/for_nodes", json!({ "number": 7 })).await.unwrap();
    assert_eq!(answers, json!({ "worker-1": { "result": 7 } }));
    assert!(nobody.is_served().await);
}

#[tokio::test]
async fn a_forwarder_that_knows_the_method_refuses_by_itself() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    // Nothing could be sent on: the way is closed.
    cluster.network.partition(coordinator.ip, workers[0].ip);
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &coordinator);
    let refused = nobody.call_at("/rpc?on=worker-1", "probe/for_nodes", json!({ "number": 7 })).await;
    assert_error(refused, ErrorCode::DENIED, &["an anonymous caller may not call probe/for_nodes"]);
    let answer = nobody.post("/rpc/probe/for_nodes?on=worker-1", "{}").await;
    assert_eq!(answer.status, 403);
}

/// A contract that is open to anybody, in part.
#[service]
trait Shelf {
    /// Who asks, and where.
    #[service_method(anonymous)]
    async fn look(&self, cx: &CallContext) -> Result<String>;

    /// The same, as an item.
    #[service_method(anonymous)]
    async fn leaf_through(&self, cx: &CallContext) -> Result<impl Stream<Item = String>>;

    /// The same, for fewer callers.
    #[service_method]
    async fn clear(&self, cx: &CallContext) -> Result<String>;
}

fn who_asks_where(cx: &CallContext) -> String {
    format!("{} at {}", cx.caller(), cx.node())
}

/// Lets in whom the contract does.
struct OpenShelf;

#[service]
impl Shelf for OpenShelf {
    async fn look(&self, cx: &CallContext) -> Result<String> {
        Ok(who_asks_where(cx))
    }

    async fn leaf_through(&self, cx: &CallContext) -> Result<impl Stream<Item = String>> {
        Ok(stream::iter([who_asks_where(cx)]))
    }

    async fn clear(&self, cx: &CallContext) -> Result<String> {
        Ok(who_asks_where(cx))
    }
}

/// Lets in fewer.
struct LockedShelf;

#[service]
impl Shelf for LockedShelf {
    #[service_method(nodes)]
    async fn look(&self, cx: &CallContext) -> Result<String> {
        Ok(who_asks_where(cx))
    }

    #[service_method(nodes)]
    async fn leaf_through(&self, cx: &CallContext) -> Result<impl Stream<Item = String>> {
        Ok(stream::iter([who_asks_where(cx)]))
    }

    #[service_method(role = "worker")]
    async fn clear(&self, cx: &CallContext) -> Result<String> {
        Ok(who_asks_where(cx))
    }
}

#[tokio::test]
async fn whom_a_host_does_not_let_in_itself_it_sends_on_to_those_that_do_in_no_better_name() {
    let (cluster, coordinator, workers) = Cluster::hosting(2, |number, builder| match number {
        1 => builder.serve(OpenShelf),
        _ => builder.serve(LockedShelf),
    })
    .await;
    for node in workers.iter().chain([&coordinator]) {
        sees(node, |members| members.hosting("shelf").count() == 3).await;
    }
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &coordinator);
    let denied = ["an anonymous caller may not call shelf/look: it is for nodes of this cluster and operators"];

    let (here, open, locked) = ("/rpc", "/rpc?on=worker-1", "/rpc?on=worker-2");
    assert_eq!(nobody.call_at(open, "shelf/look", json!({})).await.unwrap(), "an anonymous caller at worker-1");
    // The other locked one does not take it for a call of the node that sends it on.
    for at in [here, locked] {
        assert_error(nobody.call_at(at, "shelf/look", json!({})).await, ErrorCode::DENIED, &denied);
    }
    let all = nobody.call_at("/rpc?on=all", "shelf/look", json!({})).await.unwrap();
    assert_eq!(all["worker-1"], json!({ "result": "an anonymous caller at worker-1" }));
    for node in ["coordinator", "worker-2"] {
        assert_eq!(all[node]["error"]["code"], ErrorCode::DENIED.0, "{all}");
    }
    let lines = nobody.clone().header("accept", "application/x-ndjson");
    let leaves = lines.post("/rpc/shelf/leaf_through?on=worker-1", "{}").await;
    assert_eq!(leaves.status, 200);
    assert!(String::from_utf8_lossy(&leaves.body).contains("an anonymous caller at worker-1"), "{:?}", leaves.body);
    assert_eq!(lines.post("/rpc/shelf/leaf_through?on=worker-2", "{}").await.status, 403);

    // What the contract itself does not allow goes nowhere.
    for at in [here, open, locked] {
        assert_error(
            nobody.call_at(at, "shelf/clear", json!({})).await,
            ErrorCode::DENIED,
            &["an anonymous caller may not call"],
        );
    }
    // An operator of the forwarder is, elsewhere, the forwarder: a coordinator.
    let operator = Web::operator(cluster.dir("coordinator"));
    assert_eq!(operator.call_at(open, "shelf/clear", json!({})).await.unwrap(), "node coordinator (coordinator) at worker-1");
    let refused = operator.call_at(locked, "shelf/clear", json!({})).await;
    assert_error(refused, ErrorCode::DENIED, &["node coordinator (coordinator) may not call shelf/clear"]);
    assert!(nobody.is_served().await);
}

#[tokio::test]
async fn a_node_cannot_have_another_node_forward_in_its_name() {
    let (cluster, coordinator, workers) = Cluster::of(2).await;
    let node = Web::node(cluster.host(worker_ip(1)), &coordinator, &workers[0]);
    for on in ["worker-2", "role=worker", "all", "capability=gpu", "others"] {
        let forwarded = node.clone().header("p2p-on", on).call("probe/look", json!({})).await;
        assert_error(forwarded, ErrorCode::INVALID_REQUEST, &["a node resolves targets itself"]);
        let forwarded = node.call_at(&format!("/rpc?on={on}"), "probe/for_nodes", json!({ "number": 1 })).await;
        assert_error(forwarded, ErrorCode::INVALID_REQUEST, &["send the call to the node that is meant"]);
    }
    // The node itself may be meant.
    for on in ["coordinator", "node=coordinator", "any"] {
        let served = match on {
            // A bare role name is a role.
            "coordinator" => node.clone().header("p2p-on", "node=coordinator").call("probe/look", json!({})).await,
            on => node.clone().header("p2p-on", on).call("probe/look", json!({})).await,
        };
        assert_eq!(served.unwrap()["caller"], "node worker-1 (worker)");
    }
    // Nor does a node that hosts nothing of the kind pass the call on.
    let refused = node.call("nothing/here", json!({})).await;
    assert_error(refused, ErrorCode::UNAVAILABLE, &["node coordinator does not host \"nothing\"; it hosts: probe, system"]);
    assert!(node.is_served().await);
}

#[tokio::test]
async fn a_name_can_be_given_up_and_never_taken() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    // A node that says it speaks for nobody has no rights of its own.
    let given_up = Web::node(cluster.host(worker_ip(1)), &coordinator, &workers[0]).header("p2p-caller", "anonymous");
    assert_error(given_up.call("probe/for_nodes", json!({ "number": 1 })).await, ErrorCode::DENIED, &["an anonymous caller"]);
    assert_eq!(given_up.get("/services").await.status, 403);
    // Whatever a nameless client says of itself, it has no name; and an origin is believed from nodes only.
    for claim in ["operator", "coordinator", "node coordinator (coordinator)"] {
        let claims =
            Web::anonymous(cluster.host(worker_ip(9)), &coordinator).header("p2p-caller", claim).header("p2p-origin", claim);
        assert_error(claims.call("probe/for_nodes", json!({ "number": 1 })).await, ErrorCode::DENIED, &["an anonymous caller"]);
        let seen = claims.call("probe/look", json!({})).await.unwrap();
        assert_eq!((&seen["caller"], &seen["origin"]), (&json!("an anonymous caller"), &json!(null)));
    }
    let told = Web::node(cluster.host(worker_ip(1)), &coordinator, &workers[0]).header("p2p-origin", "someone");
    assert_eq!(told.call("probe/look", json!({})).await.unwrap()["origin"], "someone");
}

#[tokio::test]
async fn who_is_no_operator_is_refused_before_a_body_is_read() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let [(_, worker), _, _, (_, nobody)] = callers(&cluster, &coordinator, &workers[0], &coordinator);
    for web in [&worker, &nobody] {
        for path in ["/admin/store", "/admin/config", "/admin/clients", "/admin/revoke", "/admin/policy", "/admin/token"] {
            let mut stream = web.connect().await.unwrap();
            // Of this body not a byte will ever come.
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut said = [0; 12];
            soon(stream.read_exact(&mut said)).await.unwrap();
            assert_eq!(&said, b"HTTP/1.1 403", "{path}");
        }
    }
}

#[tokio::test]
async fn documents_and_administration_are_for_those_they_are_for() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let [(_, worker), (_, itself), (_, operator), (_, nobody)] = callers(&cluster, &coordinator, &workers[0], &coordinator);
    for path in ["/services", "/cluster/nodes", "/metrics", "/openapi.json", "/openapi-3.0.json", "/openrpc.json"] {
        let refused = nobody.get(path).await;
        assert_eq!(refused.status, 403, "{path}");
        let (code, said) = refused.error();
        assert_eq!(code, ErrorCode::DENIED.0);
        let why =
            format!("an anonymous caller may not call {path}: it is for nodes, operators and clients with a token; send a token");
        assert!(said.starts_with(&why), "{said}");
        for web in [&worker, &itself, &operator] {
            assert_eq!(web.get(path).await.status, 200, "{path}");
        }
    }
    for web in [&worker, &itself, &operator, &nobody] {
        assert_eq!(web.get("/health").await.status, 200);
        assert_eq!(web.get("/internal/ca-cert").await.status, 200);
    }
    for web in [&worker, &itself, &nobody] {
        for path in ["/admin/leave", "/admin/stop", "/admin/token", "/admin/clients", "/admin/policy"] {
            let body = match path {
                "/admin/clients" => r#"{"do":"list"}"#,
                "/admin/policy" => r#"{"who":"operator","what":"/services"}"#,
                _ => r#"{"role":"worker","ttl_seconds":60,"uses":1}"#,
            };
            let refused = web.post(path, body).await;
            assert_eq!(refused.status, 403, "{path}");
            assert!(refused.error().1.contains("it is for the operator, on the node's own socket"), "{:?}", refused.body);
        }
    }
    let token = operator.post("/admin/token", r#"{"role":"worker","ttl_seconds":60,"uses":1}"#).await.json();
    assert_eq!(token["authority"], "10.0.0.1:8001");
    assert!(token["token"].as_str().unwrap().starts_with("P2PJ1."));
    assert!(soon(operator.is_served()).await);
}

/// What each key of the configuration opens and closes.
const DOCUMENTS: [(&str, &[&str]); 4] = [
    ("http_access.services", &["/services", "/health"]),
    ("http_access.cluster_nodes", &["/cluster/nodes"]),
    ("http_access.metrics", &["/metrics"]),
    ("http_access.documents", &["/openapi.json", "/openapi-3.0.json", "/openrpc.json", "rpc.discover"]),
];

/// Whether a document is given out: a route, or the method that gives one.
async fn is_given(web: &Web, document: &str) -> bool {
    if !document.starts_with('/') {
        return web
            .call(document, json!({}))
            .await
            .map_err(|(code, said)| assert_eq!(code, ErrorCode::DENIED.0, "{said}"))
            .is_ok();
    }
    let answer = web.get(document).await;
    if document == "/health" {
        // Anyone is told whether the node is well, and only they how its services are and how many calls were refused.
        return answer.json().get("refused_calls").is_some();
    }
    assert!(answer.status == 200 || answer.status == 403, "{document}: {answer:?}");
    answer.status == 200
}

#[tokio::test]
async fn each_key_of_the_configuration_opens_and_closes_its_own_documents_and_no_others() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let plain = Credential::create(&cluster, &coordinator, "plain", "y").await.token(&cluster, &coordinator).await;
    let scoped = Credential::create(&cluster, &coordinator, "scoped", "x").await.token(&cluster, &coordinator).await;
    let callers = [
        ("nobody", outside(&cluster, &coordinator)),
        ("a client", client(&cluster, &coordinator, &plain)),
        ("a client with the scope", client(&cluster, &coordinator, &scoped)),
        ("a node", Web::node(cluster.host(workers[0].ip), &coordinator, &workers[0])),
    ];
    let operator = Web::operator(cluster.dir("coordinator"));
    // To whom a value opens, in the order of the callers; as it is at first, all are open to clients.
    let open_to_clients = [false, true, true, true];
    let values = [
        ("nodes", [false, false, false, true]),
        ("scope=x", [false, false, true, true]),
        ("anonymous", [true; 4]),
        ("public", open_to_clients),
    ];
    for (key, _) in DOCUMENTS {
        for (value, opened) in values {
            assert_eq!(set_config(&operator, key, value).await, json!([{ "key": key, "for_restart": false }]));
            for (other, documents) in DOCUMENTS {
                let expected = if other == key { opened } else { open_to_clients };
                for ((who, web), open) in callers.iter().zip(expected) {
                    for document in documents {
                        assert_eq!(is_given(web, document).await, open, "{document} for {who} where {key} is {value}");
                    }
                }
            }
        }
    }
}
