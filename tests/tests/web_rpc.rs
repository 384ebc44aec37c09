//! What a node answers over HTTPS and over its own socket: JSON-RPC to the letter, documents, and every kind of bad input.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Cluster, Plan, identity, sees, soon,
    web::{Web, assert_error},
    worker_ip,
};
use p2p_client::{
    protocol::ErrorCode,
    wire::{
        net::{Network, TcpNetwork},
        tls::{ClientTls, TlsError, TlsMaterial},
    },
};
use p2p_runtime::web::rpc::BodyLimits;
use p2p_services::prelude::*;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One node on the machine's own sockets, hosting the probe, and its folder.
async fn one_node() -> (Cluster, Node) {
    one_node_with(BodyLimits::default()).await
}

async fn one_node_with(limits: BodyLimits) -> (Cluster, Node) {
    let cluster = Cluster::new();
    let plan = Plan { ip: [127, 0, 0, 1].into(), ..Plan::coordinator() };
    let enrolment = cluster.init(&plan).await.unwrap();
    let real = |builder: p2p_runtime::node::NodeBuilder| {
        builder.network(std::sync::Arc::new(TcpNetwork)).listen("127.0.0.1:0".parse().unwrap()).body_limits(limits)
    };
    let member = cluster.start_with(plan, enrolment, real).await.unwrap();
    (cluster, member.node)
}

fn clients(cluster: &Cluster, node: &Node) -> [Web; 3] {
    [Web::anonymous(TcpNetwork, node), Web::node(TcpNetwork, node, node), Web::operator(cluster.dir("coordinator"))]
}

#[tokio::test]
async fn json_rpc_is_answered_over_https_and_over_the_nodes_socket() {
    let (cluster, node) = one_node().await;
    for web in clients(&cluster, &node) {
        let answer = web.rpc(r#"{"jsonrpc":"2.0","method":"probe/repeat","params":{"text":"ab","times":2},"id":"x1"}"#).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.body, r#"{"jsonrpc":"2.0","result":"abab","id":"x1"}"#);
        let answer = web.rpc(r#"{"jsonrpc":"2.0","method":"probe/repeat","params":["ab"],"id":7}"#).await;
        assert_eq!(answer.body, r#"{"jsonrpc":"2.0","result":"ab","id":7}"#);

        // A notification is executed and not answered.
        let answer = web.rpc(r#"{"jsonrpc":"2.0","method":"probe/look"}"#).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
        let answer = web.rpc(r#"[{"jsonrpc":"2.0","method":"probe/look"},{"jsonrpc":"2.0","method":"no/such"}]"#).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));

        // A batch is answered in its order, without its notifications, each mistake in its place.
        let batch = r#"[
            {"jsonrpc":"2.0","method":"probe/repeat","params":{"text":"a"},"id":1},
            {"jsonrpc":"2.0","method":"probe/look"},
            1,
            {"jsonrpc":"2.0","method":"probe/no","id":2},
            {"jsonrpc":"2.0","method":"probe/repeat","params":{"text":"b"},"id":null}
        ]"#;
        let answers = web.rpc(batch).await.json();
        let answers = answers.as_array().unwrap();
        assert_eq!(answers.len(), 4, "{answers:?}");
        assert_eq!(answers[0], json!({ "jsonrpc": "2.0", "result": "a", "id": 1 }));
        assert_eq!((&answers[1]["error"]["code"], &answers[1]["id"]), (&json!(-32600), &Value::Null));
        assert_eq!((&answers[2]["error"]["code"], &answers[2]["id"]), (&json!(-32601), &json!(2)));
        assert_eq!(answers[3], json!({ "jsonrpc": "2.0", "result": "b", "id": null }));
    }
}

#[tokio::test]
async fn every_mistake_in_a_request_has_its_code_and_says_what_is_wrong() {
    let (cluster, node) = one_node().await;
    let (deep, bomb) = ("[".repeat(200), format!("{}1{}", "[".repeat(300), "]".repeat(300)));
    let nested = format!(r#"{{"jsonrpc":"2.0","method":"probe/repeat","params":{{"text":{bomb}}},"id":1}}"#);
    let cases: &[(&str, ErrorCode, &str)] = &[
        ("", ErrorCode::PARSE, "the body is not JSON"),
        ("{", ErrorCode::PARSE, "the body is not JSON"),
        ("hello", ErrorCode::PARSE, "the body is not JSON"),
        (r#"{"jsonrpc":"2.0","method":"probe/look","id":1} x"#, ErrorCode::PARSE, "the body is not JSON"),
        (r#"[{"jsonrpc":"2.0","method":"probe/look","id":1},"#, ErrorCode::PARSE, "the body is not JSON"),
        (&deep, ErrorCode::PARSE, "nested deeper than 127 levels"),
        (&nested, ErrorCode::PARSE, "nested deeper than 127 levels"),
        ("[]", ErrorCode::INVALID_REQUEST, "the batch is empty"),
        ("3", ErrorCode::INVALID_REQUEST, "it is no object"),
        ("{}", ErrorCode::INVALID_REQUEST, "missing field"),
        (r#"{"jsonrpc":"1.0","method":"probe/look","id":1}"#, ErrorCode::INVALID_REQUEST, "2.0"),
        (r#"{"jsonrpc":"2.0","method":7,"id":1}"#, ErrorCode::INVALID_REQUEST, "expected"),
        (r#"{"jsonrpc":"2.0","method":"probe/look","params":3,"id":1}"#, ErrorCode::INVALID_REQUEST, "an object or an array"),
        (
            r#"{"jsonrpc":"2.0","method":"a/b","method":"probe/look","id":1}"#,
            ErrorCode::INVALID_REQUEST,
            "duplicate field `method`",
        ),
        (r#"{"jsonrpc":"2.0","method":"probe/look","id":1,"id":2}"#, ErrorCode::INVALID_REQUEST, "duplicate field `id`"),
        (
            r#"{"jsonrpc":"2.0","method":"probe/repeat","params":{"text":"a"},"params":{"text":"b"},"id":1}"#,
            ErrorCode::INVALID_REQUEST,
            "duplicate field `params`",
        ),
    ];
    for web in clients(&cluster, &node) {
        for (body, code, said) in cases {
            let answer = web.rpc((*body).to_owned()).await;
            assert_eq!(answer.status, 200, "{body}");
            let (got, message) = answer.error();
            assert_eq!((got, message.contains(said)), (code.0, true), "{body}: {got} {message}");
        }
        for (method, params, code, said) in [
            ("look", json!({}), ErrorCode::METHOD_NOT_FOUND, "\"look\" names no method; write service/method"),
            ("probe/loook", json!({}), ErrorCode::METHOD_NOT_FOUND, "service probe has no method loook; it has: look, "),
            ("prob/look", json!({}), ErrorCode::METHOD_NOT_FOUND, "hosts a service \"prob\"; there are: probe, system"),
            (
                "probe/repeat",
                json!({ "text": 1 }),
                ErrorCode::INVALID_PARAMS,
                "parameter `text`: invalid type: integer `1`, expected a string",
            ),
            (
                "probe/repeat",
                json!({ "text": "a", "times": 300 }),
                ErrorCode::INVALID_PARAMS,
                "parameter `times`: invalid value: integer `300`, expected u8",
            ),
            ("probe/repeat", json!({}), ErrorCode::INVALID_PARAMS, "parameter `text` is missing; this method takes: text, times"),
            (
                "probe/repeat",
                json!({ "text": "a", "time": 3 }),
                ErrorCode::INVALID_PARAMS,
                "unknown parameter `time`; this method takes: text, times",
            ),
            ("probe/repeat", json!(["a", 1, 2]), ErrorCode::INVALID_PARAMS, "too many parameters"),
            ("probe/refuse", json!({}), ErrorCode::INTERNAL, "not today"),
        ] {
            if method == "prob/look"
                && matches!(web.call("probe/look", json!({})).await.unwrap()["caller"].as_str(), Some(who) if who.starts_with("node"))
            {
                // To another node this one says only that it is not the right one.
                assert_error(
                    web.call(method, params).await,
                    ErrorCode::UNAVAILABLE,
                    &["does not host \"prob\"; it hosts: probe, system"],
                );
                continue;
            }
            assert_error(web.call(method, params).await, code, &[said]);
        }
        let twice = r#"{"jsonrpc":"2.0","method":"probe/repeat","params":{"text":"a","text":"b"},"id":1}"#;
        let (code, said) = web.rpc(twice).await.error();
        assert_eq!((code, said.as_str()), (ErrorCode::INVALID_PARAMS.0, "parameter `text` is given twice"));
        assert!(web.is_served().await);
    }
    // Not UTF-8, and a byte order mark.
    let web = Web::anonymous(TcpNetwork, &node);
    assert_eq!(web.rpc(&b"\"\xff\""[..]).await.error().0, ErrorCode::PARSE.0);
    assert!(web.rpc("\u{feff}{}").await.error().1.contains("byte order mark"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_node_serves_on() {
    let (cluster, node) = one_node_with(BodyLimits { max: 2_000, ..BodyLimits::default() }).await;
    for web in clients(&cluster, &node) {
        for path in ["/rpc", "/rpc/probe/repeat"] {
            let answer = web.post(path, format!(r#"{{"text":"{}"}}"#, "x".repeat(2_000))).await;
            assert_eq!(answer.status, 413, "{path}");
            let (code, said) = answer.error();
            assert_eq!(code, ErrorCode::INVALID_REQUEST.0);
            assert_eq!(said, "the body is larger than 2000 bytes; send less, or split the batch");
        }
        let fits = web.post("/rpc/probe/repeat", format!(r#"{{"text":"{}"}}"#, "x".repeat(1_900))).await;
        assert_eq!((fits.status.as_u16(), fits.body.len()), (200, 1_902));
        assert!(web.is_served().await);
    }
}

#[tokio::test]
async fn a_body_far_over_the_limit_is_told_so_too() {
    let (cluster, node) = one_node().await;
    for web in clients(&cluster, &node) {
        let answer = web.rpc(vec![b' '; 6 << 20]).await;
        assert_eq!(answer.status, 413);
        assert!(answer.error().1.starts_with("the body is larger than 4194304 bytes"), "{:?}", answer.body);
        assert!(web.is_served().await);
    }
}

#[tokio::test]
async fn a_method_has_a_route_of_its_own() {
    let (cluster, node) = one_node().await;
    for web in clients(&cluster, &node) {
        let answer = web.post("/rpc/probe/repeat", r#"{"text":"ab","times":2}"#).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &br#""abab""#[..]));
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(web.post("/rpc/probe/look", "").await.json()["node"], "coordinator");
        for (path, body, status, code, said) in [
            ("/rpc/probe/repeat", "nonsense", 400, ErrorCode::PARSE, "the body is not JSON"),
            ("/rpc/probe/repeat", "3", 400, ErrorCode::INVALID_REQUEST, "params must be an object or an array"),
            ("/rpc/probe/repeat", "{}", 400, ErrorCode::INVALID_PARAMS, "parameter `text` is missing"),
            ("/rpc/probe/repeat", r#"{"text":"a","text":"b"}"#, 400, ErrorCode::INVALID_PARAMS, "given twice"),
            ("/rpc/probe/loook", "{}", 404, ErrorCode::METHOD_NOT_FOUND, "service probe has no method loook; it has: look, "),
            ("/rpc/probe/refuse", "{}", 500, ErrorCode::INTERNAL, "not today"),
            ("/rpc/probe/look?on=worker-9", "{}", 503, ErrorCode::NO_ROUTE, "worker-9"),
            ("/rpc/probe/look?on=shape=round", "{}", 400, ErrorCode::INVALID_REQUEST, "there is no \"shape\" to route by"),
        ] {
            let answer = web.post(path, body).await;
            if path.contains("worker-9")
                && web.call("probe/look", json!({})).await.unwrap()["caller"] == "node coordinator (coordinator)"
            {
                assert_eq!(answer.status, 400, "a node resolves targets itself");
                continue;
            }
            let (got, message) = answer.error();
            assert_eq!((answer.status.as_u16(), got, message.contains(said)), (status, code.0, true), "{path} {body}: {message}");
        }
    }
    let answer = Web::anonymous(TcpNetwork, &node).post("/rpc/probe/for_nodes", "{}").await;
    assert_eq!((answer.status.as_u16(), answer.error().0), (403, ErrorCode::DENIED.0));
}

#[tokio::test]
async fn unknown_routes_and_wrong_verbs_are_told_apart() {
    let (cluster, node) = one_node().await;
    for web in clients(&cluster, &node) {
        for path in ["/", "/rpcs", "/rpc/probe", "/rpc/probe/look/more", "/admin", "/cluster"] {
            let answer = web.get(path).await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(answer.error().1.starts_with(&format!("there is nothing at {path}; there are /rpc, /health")), "{path}");
        }
        let wrong_verb = web.get("/rpc").await;
        assert_eq!((wrong_verb.status.as_u16(), wrong_verb.headers["allow"].as_bytes()), (405, &b"POST"[..]));
        assert_eq!(web.post("/health", "").await.status, 405);
        assert!(web.is_served().await);
    }
}

#[tokio::test]
async fn documents_say_what_the_node_is_what_it_hosts_and_who_is_there() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let web = Web::node(cluster.host(worker_ip(1)), &coordinator, &workers[0]);
    let health = Web::anonymous(cluster.host(worker_ip(9)), &coordinator).get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["node_id"], &health["role"]),
        (&json!("healthy"), &json!("coordinator"), &json!("coordinator"))
    );
    let components = health["components"].as_object().unwrap();
    assert_eq!(components.keys().collect::<Vec<_>>(), ["cache", "network", "service", "transport", "web_server"]);
    assert!(components.values().all(|state| state == "running"), "{components:?}");

    web.call("probe/for_nodes", json!({ "number": 1 })).await.unwrap();
    web.call("probe/for_nodes", json!({ "number": "one" })).await.unwrap_err();
    let services = web.get("/services").await.json();
    assert_eq!(services.as_object().unwrap().keys().collect::<Vec<_>>(), ["probe", "system"]);
    let counted = &services["probe"]["metrics"]["for_nodes"];
    assert_eq!((&counted["calls"], &counted["errors"], &counted["in_flight"]), (&json!(2), &json!(1), &json!(0)));
    let methods = services["probe"]["methods"].as_array().unwrap();
    let scoped = methods.iter().find(|method| method["name"] == "for_scope").unwrap();
    assert_eq!(scoped["access"], json!({ "scope": "probe:read" }));

    let nodes = web.get("/cluster/nodes").await.json();
    let nodes: Vec<_> = nodes.as_array().unwrap().iter().map(|node| (&node["node_id"], &node["role"], &node["status"])).collect();
    assert_eq!(
        nodes,
        [
            (&json!("coordinator"), &json!("coordinator"), &json!("alive")),
            (&json!("worker-1"), &json!("worker"), &json!("alive"))
        ]
    );
}

#[tokio::test]
async fn documents_can_be_opened_to_anyone() {
    let cluster = Cluster::new();
    let enrolment = cluster.init(&Plan::coordinator()).await.unwrap();
    let member =
        cluster.start_with(Plan::coordinator(), enrolment, |builder| builder.documents_for(Access::Anonymous)).await.unwrap();
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &member);
    for path in ["/services", "/cluster/nodes"] {
        assert_eq!(nobody.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn any_node_serves_any_method_of_the_cluster() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator().without_probe()).await;
    let one = cluster.worker(Plan::worker(1).with("gpu"), &coordinator).await;
    let two = cluster.worker(Plan::worker(2), &coordinator).await;
    for node in [&coordinator, &one, &two] {
        sees(node, |members| members.hosting("probe").count() == 2).await;
    }
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &coordinator);
    let node_of = |seen: Value| seen["node"].as_str().unwrap().to_owned();

    for (on, node) in [
        ("worker-2", "worker-2"),
        ("node=worker-1", "worker-1"),
        ("capability=gpu", "worker-1"),
        ("capability%3Dgpu", "worker-1"),
    ] {
        assert_eq!(node_of(nobody.call_at(&format!("/rpc?on={on}"), "probe/look", json!({})).await.unwrap()), node);
        assert_eq!(node_of(nobody.post(&format!("/rpc/probe/look?on={on}"), "").await.json()), node);
    }
    for on in ["node=worker-1", "capability=gpu"] {
        assert_eq!(node_of(nobody.clone().header("p2p-on", on).call("probe/look", json!({})).await.unwrap()), "worker-1");
    }
    for on in ["any", "role=worker", "worker"] {
        assert!(node_of(nobody.call_at(&format!("/rpc?on={on}"), "probe/look", json!({})).await.unwrap()).starts_with("worker-"));
    }
    assert!(node_of(nobody.call("probe/look", json!({})).await.unwrap()).starts_with("worker-"), "no target means any");
    for on in ["all", "all,role=worker", "others"] {
        let all = nobody.call_at(&format!("/rpc?on={on}"), "probe/repeat", json!({ "text": "a" })).await.unwrap();
        assert_eq!(all, json!({ "worker-1": { "result": "a" }, "worker-2": { "result": "a" } }), "{on}");
    }
    // What the target says is what the caller is told, also its errors.
    assert_error(
        nobody.call_at("/rpc?on=worker-2", "probe/repeat", json!({ "text": 1 })).await,
        ErrorCode::INVALID_PARAMS,
        &["parameter `text`", "expected a string"],
    );
    assert_error(
        nobody.call_at("/rpc?on=worker-2", "probe/no", json!({})).await,
        ErrorCode::METHOD_NOT_FOUND,
        &["has no method no"],
    );
    assert_error(
        nobody.call_at("/rpc?on=worker-9", "probe/look", json!({})).await,
        ErrorCode::NO_ROUTE,
        &["no node that is alive fits node=worker-9 and hosts probe"], // who is in the cluster is not for everyone
    );
    assert_error(
        nobody.call_at("/rpc?on=coordinator", "probe/look", json!({})).await,
        ErrorCode::NO_ROUTE,
        &["coordinator", "alive", "hosts probe"],
    );
    assert_error(
        nobody.call_at("/rpc?on=node=coordinator", "probe/look", json!({})).await,
        ErrorCode::METHOD_NOT_FOUND,
        &["there is no service \"probe\" on this node"],
    );
    assert_error(
        nobody.call_at("/rpc?on=capability=tpu", "probe/look", json!({})).await,
        ErrorCode::NO_ROUTE,
        &["capability=tpu"],
    );
    assert_error(nobody.call("no/such", json!({})).await, ErrorCode::METHOD_NOT_FOUND, &["there are: probe, system"]);
    let answer = nobody.call_at("/rpc?on=all", "no/such", json!({})).await;
    assert_error(answer, ErrorCode::METHOD_NOT_FOUND, &["there are: probe, system"]);
    let answer = nobody.rpc("x").await;
    assert_eq!(answer.error().0, ErrorCode::PARSE.0);
    assert_eq!(nobody.post("/rpc?on=", "{}").await.status, 400);
    let answer = nobody.post("/rpc?on=two%20words", "{}").await;
    assert_eq!((answer.status.as_u16(), answer.error().0), (400, ErrorCode::INVALID_REQUEST.0));

    // A dead host is passed over, as nothing was sent to it.
    cluster.network.kill(worker_ip(1));
    for _ in 0..3 {
        assert_eq!(node_of(nobody.call("probe/look", json!({})).await.unwrap()), "worker-2");
    }
}

#[tokio::test]
async fn the_time_that_a_client_gives_bounds_its_call() {
    let (cluster, coordinator, _workers) = Cluster::of(1).await;
    let operator = Web::operator(cluster.dir("coordinator")).header("p2p-timeout-ms", "50");
    assert_error(operator.call("probe/wait", json!({})).await, ErrorCode::DEADLINE, &["probe/wait did not answer in time"]);
    assert_error(
        operator.call_at("/rpc?on=worker-1", "probe/wait", json!({})).await,
        ErrorCode::DEADLINE,
        &["probe/wait did not answer in time"],
    );
    assert_eq!(operator.post("/rpc/probe/wait", "").await.status, 504);
    assert_eq!(*coordinator.probe.begun.borrow(), *coordinator.probe.dropped.borrow());

    // A batch has that time as a whole: what did not come to its turn in it is not even begun.
    let before = *coordinator.probe.begun.borrow();
    let batch: Vec<_> = (0..100).map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "probe/wait" })).collect();
    let answers = operator.rpc(serde_json::to_vec(&batch).unwrap()).await.json();
    let answers = answers.as_array().unwrap();
    assert!(answers.len() == 100 && answers.iter().all(|answer| answer["error"]["code"] == ErrorCode::DEADLINE.0), "{answers:?}");
    assert!(*coordinator.probe.begun.borrow() - before <= 64);
}

#[tokio::test]
async fn what_decides_about_a_call_and_cannot_be_read_is_refused_and_not_passed_over() {
    let (cluster, node) = one_node().await;
    for (name, value, said) in [
        ("p2p-timeout-ms", "2s", "\"2s\" is no time; the header looks like p2p-timeout-ms: 5000"),
        ("p2p-on", "wörker", "the header p2p-on cannot be read; it looks like p2p-on: role=worker"),
        ("p2p-on", "role=boss", "unknown role \"boss\""),
    ] {
        let answer = Web::operator(cluster.dir("coordinator")).header(name, value).post("/rpc/probe/look", "{}").await;
        let (code, message) = answer.error();
        assert_eq!((answer.status.as_u16(), code), (400, ErrorCode::INVALID_REQUEST.0));
        assert!(message.contains(said), "{message}");
    }
    for (query, said) in
        [("on", "\"\""), ("on=", "\"\""), ("%6Fn=role%3Dboss", "unknown role \"boss\""), ("a&on=role=boss&on=any", "\"boss\"")]
    {
        for path in ["/rpc/probe/look", "/rpc"] {
            let answer = Web::operator(cluster.dir("coordinator")).post(&format!("{path}?{query}"), "{}").await;
            let (code, message) = answer.error();
            assert_eq!((answer.status.as_u16(), code), (400, ErrorCode::INVALID_REQUEST.0), "{path}?{query}: {message}");
            assert!(message.contains(said), "{path}?{query}: {message}");
        }
    }
    let unreadable = Web::operator(cluster.dir("coordinator")).post("/rpc/%ff/look", "{}").await;
    let (code, message) = unreadable.error();
    assert_eq!((unreadable.status.as_u16(), code), (400, ErrorCode::INVALID_REQUEST.0), "{message}");
    assert!(message.starts_with("the path names no method (") && message.contains("write /rpc/service/method"), "{message}");
    drop(node);
}

/// What a node answers to a head whose body never comes.
async fn without_body(web: &Web, path: &str) -> String {
    let mut stream = web.connect().await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: 100\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    // Some ends of a connection are errors; what counts is what was said before.
    let _ended = soon(stream.read_to_end(&mut said)).await;
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn who_may_not_have_a_token_is_told_before_its_body_is_read_and_an_operators_body_has_bounds() {
    let (cluster, node) =
        one_node_with(BodyLimits { timeout: std::time::Duration::from_millis(50), ..BodyLimits::default() }).await;
    let [anonymous, as_node, operator] = clients(&cluster, &node);
    for web in [anonymous, as_node] {
        let said = without_body(&web, "/admin/token").await;
        assert!(said.starts_with("HTTP/1.1 403 ") && said.contains("it is for the operator, on the node's own socket"), "{said}");
    }
    let said = without_body(&operator, "/admin/token").await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("send it without pausing"), "{said}");
    let large = operator.post("/admin/token", vec![b' '; 20_000]).await;
    assert_eq!(large.status, 413, "{large:?}");
    let wrong = operator.post("/admin/token", r#"{"role":"worker","ttl":1}"#).await;
    let (code, message) = wrong.error();
    assert_eq!((wrong.status.as_u16(), code), (400, ErrorCode::INVALID_REQUEST.0));
    assert!(message.contains("unknown field `ttl`") && message.contains("it looks like {\"role\": \"worker\""), "{message}");
    let made = operator.post("/admin/token", r#"{"role":"worker","ttl_seconds":60,"uses":1}"#).await;
    assert!(made.status == 200 && made.json()["token"].is_string(), "{made:?}");
}

/// A client hello of TLS 1.2 (RFC 5246, 7.4.1.2): it names no later version.
fn tls12_hello() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: secp256r1
        0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
        0, 13, 0, 6, 0, 4, 4, 3, 8, 4, // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256
    ];
    let mut body = vec![3, 3];
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f]); // ECDHE with AES-128-GCM
    body.extend([1, 0]); // no compression
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = |len: usize| u16::try_from(len).unwrap().to_be_bytes();
    let mut record = vec![22, 3, 1];
    record.extend(length(body.len() + 4));
    record.extend([1, 0]);
    record.extend(length(body.len()));
    record.extend(body);
    record
}

#[tokio::test]
async fn a_client_of_tls_1_2_is_refused() {
    let (_cluster, node) = one_node().await;
    let mut stream = TcpNetwork.connect(&node.authority()).await.unwrap();
    stream.write_all(&tls12_hello()).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    // One fatal alert, protocol_version (RFC 8446, 6.2), and the end.
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
    // What is no TLS at all is not answered in plain text either.
    let mut stream = TcpNetwork.connect(&node.authority()).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(Web::anonymous(TcpNetwork, &node).is_served().await);
}

#[tokio::test]
async fn a_client_of_another_cluster_is_refused_and_refuses() {
    let (_cluster, node) = one_node().await;
    let (_elsewhere, foreign) = one_node().await;
    // It trusts its own root, which is not ours.
    let stranger = Web::with_tls(TcpNetwork, &node, identity(&foreign).client_tls());
    let error = stranger.connect().await.err().unwrap();
    assert!(matches!(error, TlsError::ForeignCa { .. }), "{error}");
    assert!(error.to_string().contains("was not issued by this cluster"), "{error}");

    // It trusts our root, and shows a certificate of its own.
    let (ours, theirs) = (identity(&node), identity(&foreign));
    let material = TlsMaterial::empty();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(theirs.key().to_pkcs8().to_vec()));
    material.replace(ours.root().clone(), theirs.chain().to_vec(), &key).unwrap();
    let stranger = Web::with_tls(TcpNetwork, &node, ClientTls::new(material));
    // In TLS 1.3 the client learns of it with its first read.
    let mut stream = stranger.connect().await.unwrap();
    let error = soon(stream.read_u8()).await.unwrap_err();
    let error = TlsError::from_io(&error).unwrap();
    assert!(error.to_string().contains("it does not trust our certificate's root, so it belongs to another cluster"), "{error}");
    assert!(Web::anonymous(TcpNetwork, &node).is_served().await);
}

#[tokio::test]
async fn without_a_certificate_a_method_for_nodes_is_denied() {
    let (cluster, node) = one_node().await;
    let nobody = Web::anonymous(TcpNetwork, &node);
    assert_error(
        nobody.call("probe/for_nodes", json!({ "number": 1 })).await,
        ErrorCode::DENIED,
        &["an anonymous caller may not call probe/for_nodes: it is for nodes of this cluster and operators"],
    );
    for web in clients(&cluster, &node).iter().skip(1) {
        assert_eq!(web.call("probe/for_nodes", json!({ "number": 1 })).await.unwrap(), 1);
    }
    assert!(nobody.is_served().await);
}

#[tokio::test]
async fn the_nodes_socket_is_for_its_user_alone_and_goes_with_the_node() {
    use std::os::unix::fs::PermissionsExt;
    let (cluster, node) = one_node().await;
    let path = cluster.dir("coordinator").join("p2p.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    soon(node.stop()).await;
    assert!(!path.exists());
}
