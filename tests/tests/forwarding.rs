//! The bounds of what is forwarded, in depth and in size: requests with a target, and the results, errors and items that come back.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use common::{
    Cluster, Member,
    clients::{Credential, client, outside},
    sees,
    web::{Answer, Web, assert_error},
};
use futures::stream;
use p2p_client::protocol::ErrorCode;
use p2p_runtime::node::NodeBuilder;
use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const MIB: usize = 1024 * 1024;

/// What each node is to answer with; the others answer with nothing.
type ByNode<T> = BTreeMap<String, T>;

/// Answers with JSON of any depth and length.
#[derive(Default)]
struct Shaper {
    /// How many calls it has served.
    served: AtomicU32,
}

impl Shaper {
    fn of_this_node<T: Copy + Default>(&self, cx: &CallContext, wanted: &ByNode<T>) -> T {
        self.served.fetch_add(1, Relaxed);
        wanted.get(cx.node().as_str()).copied().unwrap_or_default()
    }
}

/// Arrays within each other.
fn nested(levels: u32) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

/// An error that holds arrays within each other.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Deep(Value);

impl fmt::Display for Deep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is deep")
    }
}

impl std::error::Error for Deep {}

#[service(version = "1.0.0")]
impl Shaper {
    /// Arrays within each other, as many as is said for the node.
    #[service_method(anonymous, idempotent)]
    async fn nest(&self, cx: &CallContext, levels: ByNode<u32>) -> Result<Value> {
        Ok(nested(self.of_this_node(cx, &levels)))
    }

    /// Fails with an error as deep.
    #[service_method(anonymous)]
    async fn fail(&self, cx: &CallContext, levels: ByNode<u32>) -> Result<(), Deep> {
        Err(Deep(nested(self.of_this_node(cx, &levels))))
    }

    /// A number, an item as deep, and a number.
    #[service_method(anonymous)]
    async fn items(&self, cx: &CallContext, levels: ByNode<u32>) -> Result<impl Stream<Item = Value>> {
        Ok(stream::iter([json!(1), nested(self.of_this_node(cx, &levels)), json!(2)]))
    }

    /// A text of as many bytes as is said for the node.
    #[service_method(anonymous, idempotent)]
    async fn fill(&self, cx: &CallContext, sizes: ByNode<usize>) -> Result<String> {
        Ok("x".repeat(self.of_this_node(cx, &sizes)))
    }

    /// What it is given.
    #[service_method(anonymous)]
    async fn echo(&self, value: Value) -> Result<Value> {
        self.served.fetch_add(1, Relaxed);
        Ok(value)
    }
}

/// A coordinator, to which the requests go, and two workers. All host the shaper.
struct Three {
    cluster: Cluster,
    coordinator: Member,
    workers: Vec<Member>,
    shapers: Vec<Arc<Shaper>>,
}

impl Three {
    async fn new() -> Self {
        let shapers: Vec<_> = (0..3).map(|_| Arc::<Shaper>::default()).collect();
        let host = |number: u8, builder: NodeBuilder| builder.serve_shared(shapers[usize::from(number)].clone());
        let (cluster, coordinator, workers) = Cluster::hosting(2, host).await;
        for node in workers.iter().chain([&coordinator]) {
            sees(node, |members| members.hosting("shaper").count() == 3).await;
        }
        Self { cluster, coordinator, workers, shapers }
    }

    /// Whose calls travel on sessions: the operator, and somebody without a name who may not know the nodes; and a client, whose token makes
    /// each call a request of its own.
    async fn callers(&self) -> [(&'static str, Web); 3] {
        let credential = Credential::create(&self.cluster, &self.coordinator, "reader", "").await;
        let token = credential.token(&self.cluster, &self.coordinator).await;
        [
            ("operator", Web::operator(self.cluster.dir("coordinator"))),
            ("nobody", outside(&self.cluster, &self.coordinator)),
            ("client", client(&self.cluster, &self.coordinator, &token)),
        ]
    }

    fn served(&self) -> u32 {
        self.shapers.iter().map(|shaper| shaper.served.load(Relaxed)).sum()
    }
}

/// What one node answered, of all.
fn of<'a>(all: &'a Value, node: &str) -> &'a Value {
    all.get(node).unwrap_or_else(|| panic!("{node} is not among {all}"))
}

#[track_caller]
fn assert_lines(answer: &Answer, expected: &[&str]) {
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line} does not say {expected}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_deep_or_too_long_is_refused_before_it_is_forwarded_to_anybody() {
    let three = Three::new().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let long = format!("\"{}\"", "x".repeat(5 * MIB));
    for (who, web) in three.callers().await {
        for on in ["worker-1", "all"] {
            let one = |value: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"shaper/echo","params":{{"value":{value}}}}}"#);
            let (code, said) = web.post(&format!("/rpc?on={on}"), one(&deep)).await.error();
            assert_eq!((code, said.as_str()), (ErrorCode::PARSE.0, "the JSON is nested deeper than 127 levels"), "{who}, {on}");
            let answer = web.post(&format!("/rpc/shaper/echo?on={on}"), format!(r#"{{"value":{deep}}}"#)).await;
            assert_eq!((answer.status.as_u16(), answer.error().0), (400, ErrorCode::PARSE.0), "{who}, {on}");
            for (path, body) in [("/rpc", one(&long)), ("/rpc/shaper/echo", format!(r#"{{"value":{long}}}"#))] {
                let answer = web.post(&format!("{path}?on={on}"), body).await;
                assert_eq!(answer.status, 413, "{who}, {on}");
                assert!(answer.error().1.starts_with("the body is larger than 4194304 bytes"), "{:?}", answer.body);
            }
        }
        assert_eq!(three.served(), 0, "nobody was asked");
    }
    let web = outside(&three.cluster, &three.coordinator);
    let all = web.call_at("/rpc?on=all", "shaper/echo", json!({ "value": [7] })).await.unwrap();
    for node in ["coordinator", "worker-1", "worker-2"] {
        assert_eq!(of(&all, node)["result"], json!([7]));
    }
}

#[tokio::test]
async fn a_result_that_is_too_deep_is_not_passed_on_and_the_other_nodes_results_are() {
    let three = Three::new().await;
    for (who, web) in three.callers().await {
        // With what is around it, the whole is as deep as a reader takes.
        let fits = json!({ "levels": { "worker-1": 124, "worker-2": 300 } });
        let one = web.call_at("/rpc?on=worker-1", "shaper/nest", fits.clone()).await.unwrap();
        assert_eq!(one, nested(124), "{who}");
        assert_error(
            web.call_at("/rpc?on=worker-2", "shaper/nest", fits.clone()).await,
            ErrorCode::INTERNAL,
            &["the result is nested deeper than 127 levels, and is not passed on; have the method return less depth"],
        );
        let all = web.call_at("/rpc?on=all", "shaper/nest", fits).await.unwrap();
        assert_eq!(of(&all, "coordinator")["result"], json!(null), "{who}");
        assert_eq!(of(&all, "worker-1")["result"], nested(124), "{who}");
        let error = &of(&all, "worker-2")["error"];
        assert_eq!(error["code"], ErrorCode::INTERNAL.0, "{who}: {error}");
        assert!(error["message"].as_str().unwrap().contains("deeper than 127 levels"), "{who}: {error}");
    }
}

#[tokio::test]
async fn a_result_that_is_too_deep_is_not_asked_of_another_host_as_well() {
    let three = Three::new().await;
    let web = Web::operator(three.cluster.dir("coordinator"));
    let levels = json!({ "levels": { "worker-1": 300, "worker-2": 300 } });
    for _ in 0..4 {
        let before = three.served();
        let answer = web.call_at("/rpc?on=role=worker", "shaper/nest", levels.clone()).await;
        assert_error(answer, ErrorCode::INTERNAL, &["deeper than 127 levels"]);
        assert_eq!(three.served(), before + 1);
    }
}

#[tokio::test]
async fn an_error_whose_data_is_too_deep_is_passed_on_without_it() {
    let three = Three::new().await;
    for (who, web) in three.callers().await {
        for (levels, has_data) in [(100, true), (300, false)] {
            let request = json!({
                "jsonrpc": "2.0", "id": 1, "method": "shaper/fail", "params": { "levels": { "worker-1": levels } },
            });
            let error = web.post("/rpc?on=worker-1", request.to_string()).await.json()["error"].clone();
            assert_eq!(error["code"], ErrorCode::SERVICE.0, "{who}: {error}");
            assert_eq!(error.get("data").is_some(), has_data, "{who}: {error}");
            let said = error["message"].as_str().unwrap();
            assert!(said.starts_with("it is deep"), "{who}: {error}");
            assert_eq!(
                said.contains("its data is nested deeper than 127 levels, and is not passed on"),
                !has_data,
                "{who}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn an_item_that_is_too_deep_ends_its_stream_with_an_error() {
    let three = Three::new().await;
    for (_, web) in three.callers().await {
        let web = web.header("accept", "application/x-ndjson");
        let levels = json!({ "levels": { "worker-1": 100, "worker-2": 300 } }).to_string();
        let whole = web.post("/rpc/shaper/items?on=worker-1", levels.clone()).await;
        assert_lines(&whole, &[r#"{"item":1}"#, r#"{"item":[[[["#, r#"{"item":2}"#, r#"{"result":null}"#]);
        let cut = web.post("/rpc/shaper/items?on=worker-2", levels).await;
        assert_lines(
            &cut,
            &[r#"{"item":1}"#, r#"{"error":{"code":-32603,"message":"an item of the stream is nested deeper than 127 levels"#],
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_beside_those_of_other_nodes_is_left_out_and_they_are_not() {
    let three = Three::new().await;
    for (who, web) in three.callers().await {
        // Two of them are more than there is room for, and one is not.
        let sizes = json!({ "sizes": { "worker-1": 30 * MIB, "worker-2": 30 * MIB, "coordinator": 5 } });
        let all = web.call_at("/rpc?on=all", "shaper/fill", sizes).await.unwrap();
        assert_eq!(of(&all, "coordinator")["result"], "xxxxx", "{who}");
        let (mut whole, mut left_out) = (0, 0);
        for worker in &three.workers {
            match of(&all, worker.id().as_str()) {
                answer if answer["result"].as_str().is_some_and(|text| text.len() == 30 * MIB) => whole += 1,
                answer => {
                    left_out += 1;
                    let said = answer["error"]["message"].as_str().unwrap();
                    assert_eq!(answer["error"]["code"], ErrorCode::INTERNAL.0, "{who}: {said}");
                    assert!(said.contains("all answers to this call may take 50331648 bytes together"), "{who}: {said}");
                    assert!(said.ends_with("ask fewer nodes at a time, or for less"), "{who}: {said}");
                }
            }
        }
        assert_eq!((whole, left_out), (1, 1), "{who}");
    }
}

#[tokio::test]
async fn the_answers_to_a_batch_are_bounded_together_and_each_call_has_its_own_or_an_error() {
    let three = Three::new().await;
    let [(_, operator), _, (_, client)] = three.callers().await;
    // Of one node, by requests of their own; and of two at a time, whose sessions hold no more than four such results each.
    for (target, web, size, fit) in [("worker-1", client, 30 * MIB, 2), ("all", operator, 15 * MIB, 4)] {
        let call = |id: usize| {
            let sizes = json!({ "worker-1": size, "worker-2": size });
            json!({ "jsonrpc": "2.0", "method": "shaper/fill", "params": { "sizes": sizes }, "id": id })
        };
        let batch = json!((0..4).map(call).collect::<Vec<_>>()).to_string();
        let answers = web.post(&format!("/rpc?on={target}"), batch).await.json();
        let answers = answers.as_array().unwrap();
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [0, 1, 2, 3], "{target}");
        let parts: Vec<&Value> = match target {
            "all" => answers.iter().flat_map(|answer| ["worker-1", "worker-2"].map(|node| of(&answer["result"], node))).collect(),
            _ => answers.iter().collect(),
        };
        let (whole, left_out): (Vec<&Value>, Vec<_>) = parts.into_iter().partition(|part| part["result"].is_string());
        assert_eq!(whole.len(), fit, "{target}");
        assert!(whole.iter().all(|part| part["result"].as_str().is_some_and(|text| text.len() == size)), "{target}");
        for part in left_out {
            let error = &part["error"];
            assert_eq!(error["code"], ErrorCode::INTERNAL.0, "{target}: {error}");
            let text = "the answer was left out: all answers to this batch may take 67108864 bytes together; split the batch, or ask for less";
            assert_eq!(error["message"], text, "{target}");
        }
    }
}

/// Deeper than any stack is: to write it or to drop it, level within level, would end the process.
const BEYOND_THE_STACK: u32 = 100_000;

#[tokio::test]
async fn what_is_nested_beyond_the_stack_is_an_error_wherever_it_comes_from_and_the_nodes_go_on() {
    let three = Three::new().await;
    let deep = json!({ "levels": { "worker-1": BEYOND_THE_STACK, "coordinator": BEYOND_THE_STACK } });
    let too_deep = "the result is nested deeper than 127 levels, and is not passed on; have the method return less depth";
    for (who, web) in three.callers().await {
        for path in ["/rpc", "/rpc?on=worker-1"] {
            assert_error(web.call_at(path, "shaper/nest", deep.clone()).await, ErrorCode::INTERNAL, &[too_deep]);
            let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "shaper/fail", "params": deep });
            let error = web.post(path, request.to_string()).await.json()["error"].clone();
            assert_eq!(error["code"], ErrorCode::SERVICE.0, "{who}: {error}");
            assert_eq!(error["message"], "it is deep (its data is nested deeper than 127 levels, and is not passed on)", "{who}");
        }
        assert_eq!(web.call_at("/rpc?on=worker-1", "shaper/nest", json!({ "levels": {} })).await.unwrap(), json!(null), "{who}");
    }
    let web = Web::operator(three.cluster.dir("coordinator")).header("accept", "application/x-ndjson");
    let cut = web.post("/rpc/shaper/items", deep.to_string()).await;
    let said = r#"{"error":{"code":-32603,"message":"an item of the stream is nested deeper than 127 levels"#;
    assert_lines(&cut, &[r#"{"item":1}"#, said]);
    // Between services of one node nothing is written: whoever gets it has it, and is to take it apart as it was made.
    let levels = ByNode::from([("coordinator".to_owned(), BEYOND_THE_STACK)]);
    let mut value = three.coordinator.proxy().shaper().on("coordinator").nest(levels).await.unwrap();
    let mut levels = 0;
    while let Value::Array(mut list) = value {
        value = list.pop().unwrap();
        levels += 1;
    }
    assert_eq!(levels, BEYOND_THE_STACK);
}

#[tokio::test]
async fn a_single_result_over_64_mib_is_refused_with_the_bound() {
    let three = Three::new().await;
    for (who, web) in three.callers().await {
        let before = three.served();
        let sizes = json!({ "sizes": { "worker-1": 65 * MIB } });
        let error = web.call_at("/rpc?on=worker-1", "shaper/fill", sizes).await.unwrap_err();
        assert_eq!(error.0, ErrorCode::INTERNAL.0, "{who}: {error:?}");
        assert!(error.1.contains("67108864"), "{who}: {error:?}");
        assert_eq!(three.served(), before + 1, "{who}: it is not asked for again elsewhere");
        let small = web.call_at("/rpc?on=worker-1", "shaper/fill", json!({ "sizes": { "worker-1": 2 } })).await;
        assert_eq!(small, Ok(json!("xx")), "{who}");
    }
}
