//! Refusals that are ready before the body of their request is there reach the client, whichever HTTP it speaks and whoever has made it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{Cluster, Plan, soon, web::Web};
use p2p_client::wire::net::TcpNetwork;
use p2p_runtime::web::rpc::BodyLimits;
use p2p_services::prelude::*;
use tokio::process::Command;

/// How many calls somebody without a name has at once here; none comes back while a test counts.
const BURST: u64 = 30;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"probe/repeat","params":{"text":"x"}}"#;
/// No token at all.
const BAD_TOKEN: &str = "Bearer x.y.z";

/// A coordinator on the machine's own sockets, that takes bodies of 2,000 bytes.
async fn node() -> (Cluster, Node) {
    let cluster = Cluster::new();
    let plan = Plan { ip: [127, 0, 0, 1].into(), ..Plan::coordinator().limited() };
    let mut enrolment = cluster.init(&plan).await.unwrap();
    (enrolment.config.rate_limit.rpc_requests, enrolment.config.rate_limit.rpc_burst) = (1, BURST);
    enrolment.config.save(&enrolment.store).unwrap();
    let limits = BodyLimits { max: 2_000, ..BodyLimits::default() };
    let real = |builder: p2p_runtime::node::NodeBuilder| {
        builder.network(Arc::new(TcpNetwork)).listen("127.0.0.1:0".parse().unwrap()).body_limits(limits)
    };
    let member = cluster.start_with(plan, enrolment, real).await.unwrap();
    (cluster, member.node)
}

/// Uses up what somebody without a name has.
async fn drain(web: &Web) {
    for _ in 0..=BURST {
        if web.rpc(CALL).await.status == 429 {
            return;
        }
    }
    panic!("more than {BURST} calls were served");
}

#[tokio::test]
async fn a_refusal_before_the_body_is_read_arrives_over_both_protocols() {
    let (_cluster, node) = node().await;
    let (nobody, as_node) = (Web::anonymous(TcpNetwork, &node), Web::node(TcpNetwork, &node, &node));
    let bad_token = nobody.clone().header("authorization", BAD_TOKEN);
    let large = " ".repeat(2_001);
    for (web, path, body, status) in [
        (&bad_token, "/rpc", CALL, 401),
        (&bad_token, "/services", CALL, 401),
        (&nobody, "/admin/stop", "{}", 403),
        (&nobody, "/internal/ca/issued", "{}", 403),
        (&nobody, "/internal/session", "{}", 403),
        (&nobody, "/nothing", "{}", 404),
        (&nobody, "/rpc", &large, 413),
        (&nobody, "/rpc/probe/repeat", &large, 413),
        (&as_node, "/admin/stop", "{}", 403),
        (&as_node, "/rpc", &large, 413),
        (&as_node.clone().header("authorization", BAD_TOKEN), "/rpc", CALL, 401),
    ] {
        for web in [web.clone(), web.clone().over_http2()] {
            let answer = web.post(path, body.to_owned()).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert!(answer.error().0 < 0 && !answer.error().1.is_empty(), "{path}: {answer:?}");
        }
    }
    drain(&nobody).await;
    for path in ["/rpc", "/rpc/probe/repeat", "/auth/token", "/nothing"] {
        for web in [nobody.clone(), nobody.clone().over_http2(), bad_token.clone().over_http2()] {
            let answer = web.post(path, CALL).await;
            assert_eq!(answer.status, 429, "{path}: {answer:?}");
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        }
    }
}

/// What curl says of an answer: its status and the version of HTTP.
async fn curl(node: &Node, path: &str, words: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-q", "--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", "60", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_code} over %{http_version}", "--data", CALL]).args(words);
    let output = soon(command.arg(format!("https://{}{path}", node.authority())).output()).await.unwrap();
    assert!(output.status.success(), "{path}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn curl_is_told_why_it_was_refused_every_time() {
    let (_cluster, node) = node().await;
    let authorization = format!("authorization: {BAD_TOKEN}");
    for _ in 0..8 {
        assert_eq!(curl(&node, "/rpc", &["--http2", "--header", &authorization]).await, "401 over 2");
        assert_eq!(curl(&node, "/admin/stop", &["--http2"]).await, "403 over 2");
    }
    drain(&Web::anonymous(TcpNetwork, &node)).await;
    for _ in 0..20 {
        assert_eq!(curl(&node, "/rpc", &["--http2"]).await, "429 over 2");
    }
    assert_eq!(curl(&node, "/rpc", &["--http1.1"]).await, "429 over 1.1");
}
