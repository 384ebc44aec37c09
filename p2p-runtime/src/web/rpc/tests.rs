mod security;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::*;

/// The server of the specification's examples.
#[derive(Default)]
struct Examples {
    called: Mutex<Vec<String>>,
}

impl RpcDispatch for Examples {
    async fn call<'a>(&'a self, method: &'a str, params: Option<&'a RawValue>) -> Result<Vec<u8>, RpcError> {
        self.called.lock().unwrap().push(method.to_owned());
        let params = params.map_or(Value::Null, |params| serde_json::from_str(params.get()).unwrap());
        let number = |name: &str, index: usize| params.get(name).or(params.get(index)).and_then(Value::as_i64).unwrap();
        let result = match method {
            "subtract" => json!(number("minuend", 0) - number("subtrahend", 1)),
            "sum" => json!(params.as_array().unwrap().iter().filter_map(Value::as_i64).sum::<i64>()),
            "get_data" => json!(["hello", 5]),
            "update" | "notify_hello" | "notify_sum" => Value::Null,
            _ => return Err(RpcError::new(ErrorCode::METHOD_NOT_FOUND, "Method not found")),
        };
        Ok(result.to_string().into_bytes())
    }
}

async fn ask(body: impl AsRef<[u8]>) -> Option<Value> {
    let answer = handle(body.as_ref(), &Examples::default()).await?;
    Some(serde_json::from_slice(&answer).unwrap())
}

fn result(id: impl Into<Value>, result: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "result": result.into(), "id": id.into()})
}

/// The code and id of an error response, which must have nothing else.
fn error_of(answer: &Value) -> (i64, Value) {
    assert_eq!((answer["jsonrpc"].as_str(), answer.get("result")), (Some("2.0"), None), "{answer}");
    (answer["error"]["code"].as_i64().unwrap(), answer["id"].clone())
}

async fn refusal(body: impl AsRef<[u8]>) -> (i64, Value, String) {
    let answer = ask(body).await.unwrap();
    let (code, id) = error_of(&answer);
    (code, id, answer["error"]["message"].as_str().unwrap().to_owned())
}

// Every example of the specification's section 7, in its order.

#[tokio::test]
async fn section_7_positional_parameters() {
    let answer = ask(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#).await.unwrap();
    assert_eq!(answer, result(1, 19));
    let answer = ask(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#).await.unwrap();
    assert_eq!(answer, result(2, -19));
}

#[tokio::test]
async fn section_7_named_parameters() {
    for (params, id) in [(r#"{"subtrahend": 23, "minuend": 42}"#, 3), (r#"{"minuend": 42, "subtrahend": 23}"#, 4)] {
        let body = format!(r#"{{"jsonrpc": "2.0", "method": "subtract", "params": {params}, "id": {id}}}"#);
        assert_eq!(ask(body).await.unwrap(), result(id, 19));
    }
}

#[tokio::test]
async fn section_7_notifications() {
    assert_eq!(ask(r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#).await, None);
    assert_eq!(ask(r#"{"jsonrpc": "2.0", "method": "foobar"}"#).await, None);
}

#[tokio::test]
async fn section_7_a_method_that_does_not_exist() {
    let answer = ask(r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#).await.unwrap();
    assert_eq!(answer, json!({"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}));
}

#[tokio::test]
async fn section_7_invalid_json() {
    let answer = ask(r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#).await.unwrap();
    assert_eq!(error_of(&answer), (-32700, Value::Null));
}

#[tokio::test]
async fn section_7_an_invalid_request_object() {
    let answer = ask(r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#).await.unwrap();
    assert_eq!(error_of(&answer), (-32600, Value::Null));
}

#[tokio::test]
async fn section_7_a_batch_of_invalid_json() {
    let body = r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method"
    ]"#;
    assert_eq!(error_of(&ask(body).await.unwrap()), (-32700, Value::Null));
}

#[tokio::test]
async fn section_7_an_empty_array() {
    assert_eq!(error_of(&ask("[]").await.unwrap()), (-32600, Value::Null));
}

#[tokio::test]
async fn section_7_an_invalid_batch_that_is_not_empty() {
    let answer = ask("[1]").await.unwrap();
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.iter().map(error_of).collect::<Vec<_>>(), [(-32600, Value::Null)]);
}

#[tokio::test]
async fn section_7_an_invalid_batch() {
    let answer = ask("[1,2,3]").await.unwrap();
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.iter().map(error_of).collect::<Vec<_>>(), vec![(-32600, Value::Null); 3]);
}

#[tokio::test]
async fn section_7_a_batch() {
    let answer = ask(r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]"#)
    .await
    .unwrap();
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), 5);
    assert_eq!((&answers[0], &answers[1]), (&result("1", 7), &result("2", 19)));
    assert_eq!(error_of(&answers[2]), (-32600, Value::Null));
    assert_eq!(error_of(&answers[3]), (-32601, json!("5")));
    assert_eq!(answers[4], result("9", json!(["hello", 5])));
}

#[tokio::test]
async fn section_7_a_batch_of_notifications_only() {
    let examples = Examples::default();
    let body = br#"[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]"#;
    assert_eq!(handle(body, &examples).await, None);
    assert_eq!(*examples.called.lock().unwrap(), ["notify_sum", "notify_hello"], "executed all the same");
}

// What the specification leaves to us, or implies.

#[tokio::test]
async fn params_that_are_neither_object_nor_array_make_no_request() {
    for params in ["\"bar\"", "1", "null", "true"] {
        let (code, id, said) = refusal(format!(r#"{{"jsonrpc":"2.0","method":"sum","params":{params},"id":8}}"#)).await;
        assert_eq!((code, id), (-32600, json!(8)));
        assert!(said.contains("object or an array"), "{said}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_its_id_where_that_can_be_read() {
    for (body, id) in [
        (r#"{"jsonrpc":"1.0","method":"sum","id":4}"#, json!(4)),
        (r#"{"method":"sum","id":"x"}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","id":4}"#, json!(4)),
        (r#"{"jsonrpc":"2.0","method":"sum","id":{}}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","method":"sum","id":1,"id":2}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","method":"sum","method":"sum","id":3}"#, json!(3)),
        ("7", Value::Null),
        ("\"text\"", Value::Null),
    ] {
        let (code, answered, said) = refusal(body).await;
        assert_eq!((code, answered), (-32600, id), "{body}");
        assert!(said.contains("no JSON-RPC 2.0 request"), "{said}");
    }
}

#[tokio::test]
async fn an_array_is_no_request_even_where_its_members_would_fit() {
    let answer = ask(r#"[["2.0","sum",[1],1]]"#).await.unwrap();
    assert_eq!(error_of(&answer[0]), (-32600, Value::Null));
}

#[tokio::test]
async fn what_is_no_json_is_a_parse_error() {
    for (body, why) in [
        (&b""[..], "EOF"),
        (b"   ", "EOF"),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1} x", "trailing characters"),
        (b"{\"jsonrpc\":\"1.0\", nonsense", "not JSON"),
        (b"[{}] []", "trailing characters"),
        (b"{'a':1}", "not JSON"),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\",\"id\":1}", "not UTF-8"),
        (b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1}", "byte order mark"),
        (b"[1,]", "not JSON"),
    ] {
        let (code, id, said) = refusal(body).await;
        assert_eq!((code, id), (-32700, Value::Null), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn brackets_in_strings_are_no_nesting() {
    let text = r#"\\\"[{"#.repeat(300);
    let body = format!(r#"{{"jsonrpc":"2.0","method":"get_data","params":["{text}"],"id":1}}"#);
    assert_eq!(ask(body).await.unwrap()["id"], 1);
}

#[tokio::test]
async fn a_batch_of_1000_is_taken_and_of_1001_refused() {
    let batch = |count: usize| format!("[{}]", vec![r#"{"jsonrpc":"2.0","method":"get_data","id":1}"#; count].join(","));
    assert_eq!(ask(batch(1_000)).await.unwrap().as_array().unwrap().len(), 1_000);
    let (code, id, said) = refusal(batch(1_001)).await;
    assert_eq!((code, id), (-32600, Value::Null));
    assert!(said.contains("more than 1000"), "{said}");
    let broken = batch(1_001).replace(']', "");
    assert_eq!(refusal(broken).await.0, -32700);
}

#[tokio::test]
async fn a_batch_runs_side_by_side_but_not_without_bound_and_is_answered_in_order() {
    struct Together {
        barrier: Barrier,
        running: AtomicUsize,
        most: AtomicUsize,
    }
    impl RpcDispatch for Together {
        async fn call<'a>(&'a self, method: &'a str, _: Option<&'a RawValue>) -> Result<Vec<u8>, RpcError> {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            self.barrier.wait().await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            Ok(method.into())
        }
    }
    let dispatch = Together { barrier: Barrier::new(BATCH_CONCURRENCY), running: AtomicUsize::new(0), most: AtomicUsize::new(0) };
    let count = 2 * BATCH_CONCURRENCY;
    let entries: Vec<_> = (0..count).map(|i| format!(r#"{{"jsonrpc":"2.0","method":"{i}","id":{i}}}"#)).collect();
    let answer = handle(format!("[{}]", entries.join(",")).as_bytes(), &dispatch).await.unwrap();
    let answers: Vec<Value> = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answers, (0..count).map(|i| result(i, i)).collect::<Vec<_>>());
    assert_eq!(dispatch.most.into_inner(), BATCH_CONCURRENCY);
}

#[tokio::test]
async fn past_the_room_for_its_answers_a_batch_is_refused_unexecuted_and_notifications_still_run() {
    let examples = Examples::default();
    let call = |id: u64| format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#);
    let batch = format!(r#"[{},{},{},{{"jsonrpc":"2.0","method":"update"}}]"#, call(1), call(2), call(3));
    let Ok(Message::Batch(entries)) = parse(batch.as_bytes()) else { panic!("no batch") };
    let max = 2 * r#"["hello",5]"#.len() - 1;
    let answer = execute_all(entries, &examples, &Room::of_batch(max)).await.unwrap();
    let answers: Vec<Value> = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answers[0], result(1, json!(["hello", 5])));
    let expected = [
        (
            (-32603, json!(2)),
            format!(
                "the answer was left out: all answers to this batch may take {max} bytes together; split the batch, or ask for less"
            ),
        ),
        (
            (-32600, json!(3)),
            format!("not executed: what is answered to this batch takes more than {max} bytes already; split the batch"),
        ),
    ];
    for (answer, (error, said)) in answers[1..].iter().zip(expected) {
        assert_eq!((error_of(answer), answer["error"]["message"].as_str().unwrap()), (error, &*said));
    }
    assert_eq!(*examples.called.lock().unwrap(), ["get_data", "get_data", "update"]);
}

#[test]
fn a_body_of_params_is_an_object_or_an_array_or_nothing() {
    assert!(params(b" ").unwrap().is_none());
    assert_eq!(params(br#" {"a": 1} "#).unwrap().unwrap().get(), r#"{"a": 1}"#);
    for (body, code) in [(&b"null"[..], -32600), (b"7", -32600), (b"{", -32700), (b"\xff", -32700)] {
        assert_eq!(params(body).unwrap_err().code.0, code, "{body:?}");
    }
    assert_eq!(params("[".repeat(128).as_bytes()).unwrap_err().code, ErrorCode::PARSE);
}
