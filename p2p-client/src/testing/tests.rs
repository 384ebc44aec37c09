use std::{future::pending, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    call::CallError,
    protocol::{Capability, Many, NodeId, One, Role, Target},
    proxy::Proxy,
    service,
    service::Result,
};

/// Keeps values by key.
#[service(version = "1.0.0")]
pub(crate) trait Kv {
    /// What is kept under `key`.
    #[service_method(idempotent, timeout = "5s")]
    async fn get(&self, key: &str) -> Result<Option<String>>;

    #[service_method(rename = "set")]
    async fn put(&self, key: String, value: Option<String>, #[arg(default = 60)] seconds: u32) -> Result<(), Full>;

    async fn r#move(&self) -> Result<u8>;
}

/// There is no room.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("full: {kept} are kept")]
pub(crate) struct Full {
    kept: u64,
}

fn kv() -> (MockKv, Proxy) {
    let kv = MockKv::new();
    let proxy = Proxy::mock().with(&kv).proxy();
    (kv, proxy)
}

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

#[tokio::test]
async fn a_mock_answers_as_it_was_told_and_notes_what_it_was_asked() {
    let (kv, proxy) = kv();
    kv.on_get(|_, key| Ok(Some(format!("the {key}"))));
    kv.on_put(|call, key, value, seconds| {
        assert_eq!((call.path(), key.as_str(), value.as_deref(), seconds), ("kv/set", "colour", None, 60));
        Ok(())
    });
    assert_eq!(proxy.kv().get("colour").await.unwrap().as_deref(), Some("the colour"));
    proxy.kv().on(Role::Coordinator).put("colour", None, 60).header("x-who", "Ada").await.unwrap();

    let calls = kv.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].path(), calls[0].params()), ("kv/get", json!({ "key": "colour" })));
    assert_eq!(calls[0].target(), &Target::One(One::Any));
    assert_eq!(calls[1].params_json(), r#"{"key":"colour"}"#, "what equals its default is not sent");
    assert_eq!((calls[1].node().as_str(), calls[1].header("X-Who")), ("coordinator", Some("Ada")));
    kv.verify().unwrap();
}

#[test]
fn an_answer_that_is_at_hand_needs_no_clock() {
    let (kv, proxy) = kv();
    kv.on_move(|_| Ok(1));
    let without_timers = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(without_timers.block_on(proxy.kv().r#move()).unwrap(), 1);
}

#[tokio::test]
async fn a_mock_answers_when_its_future_does() {
    let (kv, proxy) = kv();
    let open = Arc::new(Notify::new());
    let gate = open.clone();
    kv.on_move(move |_| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok(2)
        }
    });
    let mut call = proxy.kv().r#move();
    assert!(futures::poll!(&mut call).is_pending());
    open.notify_one();
    assert_eq!(call.await.unwrap(), 2);
}

#[tokio::test]
async fn a_queue_of_answers_is_used_in_the_order_in_which_it_was_said() {
    let (kv, proxy) = kv();
    kv.on_move(|_| Ok(1)).once();
    let twice = kv.on_move(|_| Ok(2)).times(2);
    let mut next = 2;
    kv.on_move(move |_| {
        next += 1;
        Ok(next)
    });
    for expected in [1, 2, 2, 3, 4] {
        assert_eq!(proxy.kv().r#move().await.unwrap(), expected);
    }
    assert_eq!(twice.answered(), 2);
}

#[tokio::test]
async fn what_was_said_of_a_target_goes_before_what_was_said_of_all() {
    let kv = MockKv::new();
    kv.on_move(|_| Ok(0));
    kv.on_move(|_| Ok(1)).at("worker-1");
    kv.on_move(|_| Ok(2)).at(Role::Coordinator);
    kv.on_move(|_| Ok(3)).at(Capability::from("gpu"));
    let proxy = Proxy::mock().coordinator().workers(2).worker_with(["gpu".into()]).with(&kv).proxy();
    let expected = [("coordinator", 2), ("worker-1", 1), ("worker-2", 0), ("worker-3", 3)];
    for (node, answer) in expected {
        assert_eq!(proxy.kv().on(node).r#move().await.unwrap(), answer, "{node}");
    }
    assert_eq!(proxy.kv().on(Role::Worker).r#move().await.unwrap(), 1);
    assert_eq!(proxy.kv().on(Capability::from("gpu")).r#move().await.unwrap(), 3);
    assert_eq!(proxy.kv().r#move().await.unwrap(), 2, "the first node that was named");
}

#[tokio::test]
async fn without_named_nodes_every_target_of_one_result_has_a_node_that_fits() {
    let (kv, proxy) = kv();
    kv.on_move(|_| Ok(7));
    kv.on_move(|_| Ok(8)).at(Capability::from("gpu"));
    for (target, node) in [(One::Any, "worker-1"), ("far-away".into(), "far-away"), (Role::Coordinator.into(), "coordinator")] {
        assert_eq!(proxy.kv().on(target).r#move().await.unwrap(), 7);
        assert_eq!(kv.calls().last().unwrap().node(), &node);
    }
    assert_eq!(proxy.kv().on(Capability::from("gpu")).r#move().await.unwrap(), 8);
}

#[tokio::test]
async fn a_fan_out_asks_the_nodes_that_the_mock_says_there_are() {
    let kv = MockKv::new();
    kv.on_move(|_| Err(CallError::Denied("not here".to_owned()))).at("worker-2");
    kv.on_move(|call| Ok(u8::try_from(call.node().as_str().len()).unwrap()));
    let proxy = Proxy::mock().coordinator().workers(2).with(&kv).proxy();
    let answers = proxy.kv().on_all(Role::Worker).r#move().await;
    let shown: Vec<_> = answers.iter().map(|(node, answer)| (node.as_str(), answer.as_ref().ok().copied())).collect();
    assert_eq!(shown, [("worker-1", Some(8)), ("worker-2", None)]);
    assert_eq!(proxy.kv().on_all(Many::All).r#move().stream().count().await, 3);

    let named = proxy.kv().on_all(vec![id("worker-1"), id("worker-9")]).r#move().await;
    let said: Vec<String> = named.into_iter().filter_map(|(_, answer)| answer.err()).map(|error| error.to_string()).collect();
    assert_eq!(said, ["no route: no node fits node=worker-9; the mock's nodes are: coordinator, worker-1, worker-2"]);
}

#[tokio::test]
async fn a_fan_out_to_a_mock_without_nodes_says_how_to_name_them() {
    let (kv, proxy) = kv();
    kv.on_move(|_| Ok(7));
    let error = proxy.kv().on_all(Role::Worker).r#move().await.all_ok().unwrap_err();
    assert!(matches!(error.failed(), [(_, CallError::NoRoute(_))]));
    assert!(error.to_string().ends_with("the mock has none; name them: Proxy::mock().coordinator().workers(2)"), "{error}");
    assert_eq!(proxy.kv().on_all(vec![id("a"), id("b"), id("a")]).r#move().await.all_ok().unwrap().len(), 2);
}

#[tokio::test]
async fn a_method_of_which_nothing_was_said_fails_with_its_name_and_the_line_to_write() {
    let (kv, proxy) = kv();
    kv.on_get(|_, _| Ok(None)).once();
    let error = proxy.kv().put("a", Some("b".to_owned()), 1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "MockKv has no answer for kv/set at worker-1 with {\"key\":\"a\",\"value\":\"b\",\"seconds\":1}; \
         say one before the call: mock.on_put(|call, key, value, seconds| Ok(…))"
    );
    proxy.kv().get("x").await.unwrap();
    let error = proxy.kv().get("x").await.unwrap_err();
    assert!(error.to_string().contains("(what was said of it, once, is used up or for other targets)"), "{error}");
    let unmet = kv.verify().unwrap_err().to_string();
    assert!(unmet.starts_with("MockKv was not called as the test said:\n  MockKv has no answer for kv/set"), "{unmet}");
}

#[tokio::test]
async fn a_call_that_was_to_come_and_did_not_is_told_when_the_mock_is_verified() {
    let (kv, proxy) = kv();
    kv.on_get(|_, _| Ok(None)).times(2);
    kv.on_move(|_| Ok(1)).at("worker-1").once();
    kv.on_put(|_, _, _, _| Ok(())).times(0);
    proxy.kv().get("x").await.unwrap();
    assert_eq!(
        kv.verify().unwrap_err().to_string(),
        "MockKv was not called as the test said:\n  kv/get was to be called 2 times, and was once\n  \
         kv/move at node=worker-1 was to be called once, and was never"
    );
    proxy.kv().put("a", None, 1).await.unwrap_err();
}

#[tokio::test]
async fn a_service_without_a_mock_is_not_found_and_the_error_says_how_to_give_it_one() {
    let error = Proxy::mock().proxy().kv().get("x").await.unwrap_err();
    assert!(matches!(error, CallError::NotFound(_)));
    let said = "nothing mocks the service \"kv\"; give the proxy its mock: Proxy::mock().with(&mock). Mocked: nothing";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn every_kind_of_error_reaches_the_caller_as_it_was_given() {
    let (kv, proxy) = kv();
    kv.on_put(|_, _, _, _| Err(CallError::Service(Full { kept: 3 }))).once();
    match proxy.kv().put("a", None, 1).await.unwrap_err() {
        CallError::Service(full) => assert_eq!(full, Full { kept: 3 }),
        other => panic!("{other}"),
    }
    let text = || "why".to_owned();
    let given: [fn(String) -> CallError<Full>; 7] = [
        CallError::Denied,
        CallError::NoRoute,
        CallError::NotFound,
        CallError::Incompatible,
        CallError::InvalidParams,
        CallError::Internal,
        |reason| CallError::Transport { reason, may_have_run: true },
    ];
    for make in given {
        kv.on_put(move |_, _, _, _| Err(make(text()))).once();
        let got = proxy.kv().put("a", None, 1).await.unwrap_err();
        assert_eq!(format!("{got:?}"), format!("{:?}", make(text())));
    }
    let limited = move || CallError::RateLimited { reason: text(), retry_after: Some(Duration::from_millis(600)) };
    kv.on_put(move |_, _, _, _| Err(limited())).once();
    let got = proxy.kv().put("a", None, 1).await.unwrap_err();
    assert_eq!(format!("{got:?}"), r#"RateLimited { reason: "why", retry_after: Some(600ms) }"#);
    kv.on_put(|_, _, _, _| Err(CallError::Cancelled)).once();
    assert!(matches!(proxy.kv().put("a", None, 1).await, Err(CallError::Cancelled)));
    kv.on_put(move |_, _, _, _| Err(CallError::UnknownService { message: text(), data: None })).once();
    assert!(matches!(proxy.kv().put("a", None, 1).await, Err(CallError::UnknownService { message, .. }) if message == "why"));
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_passed_over_for_the_next_as_in_a_cluster() {
    let kv = MockKv::new();
    kv.on_move(|_| Err(CallError::Transport { reason: "gone".to_owned(), may_have_run: false })).at("worker-1");
    kv.on_move(|_| Ok(2)).at("worker-2");
    let proxy = Proxy::mock().workers(2).with(&kv).proxy();
    assert_eq!(proxy.kv().r#move().await.unwrap(), 2);
    assert_eq!(kv.calls().iter().map(|call| call.node().as_str()).collect::<Vec<_>>(), ["worker-1", "worker-2"]);
    let error = proxy.kv().on("worker-1").r#move().await.unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: false, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_mock_that_does_not_answer_runs_into_the_callers_deadline_and_into_the_methods_own() {
    let (kv, proxy) = kv();
    kv.on_move(|_| pending());
    kv.on_get(|_, _| pending());
    let began = tokio::time::Instant::now();
    let error = proxy.kv().r#move().timeout(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(&error, CallError::Deadline { method, .. } if method == "kv/move"), "{error}");
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert_eq!(kv.calls()[0].time_left(), Duration::from_secs(2));
    proxy.kv().get("x").timeout(Duration::from_mins(1)).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(7), "the method's own limit is 5 s, as it is on a node");
}

#[tokio::test]
async fn a_call_by_name_is_answered_as_well_and_its_params_are_checked() {
    let (kv, proxy) = kv();
    kv.on_get(|_, key| Ok(Some(key)));
    kv.on_put(|_, _, _, seconds| if seconds == 60 { Ok(()) } else { Err(CallError::Service(Full { kept: 0 })) });
    assert_eq!(proxy.call("kv/get", json!(["x"])).await.unwrap().get(), "\"x\"");
    assert_eq!(proxy.call("kv/set", json!({ "key": "x" })).await.unwrap().get(), "null");
    let error = proxy.call("kv/get", json!({ "name": "x" })).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown parameter `name`; this method takes: key");
    let error = proxy.call("kv/got", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "service kv has no method got; it has: get, set, move");
}

#[tokio::test]
async fn a_call_that_could_not_be_answered_uses_nothing_up_and_is_told_when_the_mock_is_verified() {
    let (kv, proxy) = kv();
    let once = kv.on_get(|_, key| Ok(Some(key))).once();
    proxy.call("kv/get", json!({ "name": "x" })).await.unwrap_err();
    assert_eq!(once.answered(), 0);
    proxy.call("kv/got", json!({})).await.unwrap_err();
    proxy.kv().get("x").await.unwrap();
    assert_eq!(
        kv.verify().unwrap_err().to_string(),
        "MockKv was not called as the test said:\n  \
         MockKv got kv/get with {\"name\":\"x\"}: unknown parameter `name`; this method takes: key\n  \
         service kv has no method got; it has: get, set, move"
    );
}

#[tokio::test]
#[should_panic(expected = "the test says so")]
async fn a_closure_that_panics_fails_its_test() {
    let (kv, proxy) = kv();
    kv.on_move(|_| -> std::result::Result<u8, CallError> { panic!("the test says so") });
    let _ = proxy.kv().r#move().await;
}

/// Counts, and says how far.
#[service]
pub(crate) trait Counter {
    #[service_method(timeout = "5s")]
    async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>>;

    #[service_method]
    async fn parts(&self) -> Result<impl Stream<Item = Result<String, Full>>, Full>;

    #[service_method]
    async fn end(&self) -> Result<u64>;
}

fn counter() -> (MockCounter, Proxy) {
    let counter = MockCounter::new();
    let proxy = Proxy::mock().with(&counter).proxy();
    (counter, proxy)
}

#[tokio::test]
async fn a_method_that_streams_is_answered_with_a_stream_and_its_calls_are_noted() {
    let (counter, proxy) = counter();
    counter.on_count(|_, from| Ok(stream::iter(from..))).once();
    counter.on_count(|_, from| async move { Ok(stream::iter([from])) }).once();
    counter.on_count(|_, _| Ok(stream::empty::<u64>()));
    let first: Vec<_> = proxy.counter().count(3).await.unwrap().take(3).map(|item| item.unwrap()).collect().await;
    assert_eq!(first, [3, 4, 5]);
    let later: Vec<_> = proxy.counter().on("far-away").count(7).await.unwrap().map(|item| item.unwrap()).collect().await;
    assert_eq!(later, [7]);
    assert!(proxy.counter().count(0).await.unwrap().next().await.is_none());
    let calls = counter.calls();
    assert_eq!((calls[0].path(), calls[0].params()), ("counter/count", json!({ "from": 3 })));
    assert_eq!(calls[1].node().as_str(), "far-away");
    counter.verify().unwrap();
}

#[tokio::test]
async fn a_mock_can_refuse_to_open_a_stream_with_the_services_own_error() {
    let (counter, proxy) = counter();
    counter.on_parts(|_| Err::<stream::Empty<String>, _>(CallError::Service(Full { kept: 1 })));
    assert!(matches!(proxy.counter().parts().await, Err(CallError::Service(Full { kept: 1 }))));
}

#[tokio::test]
async fn an_error_among_a_mocks_items_ends_the_stream() {
    let (counter, proxy) = counter();
    counter
        .on_parts(|_| Ok(stream::iter([Ok("a".to_owned()), Err(CallError::Service(Full { kept: 2 })), Ok("b".to_owned())])))
        .once();
    counter.on_parts(|_| async { Ok(stream::iter([Ok("a".to_owned()), Err(CallError::Cancelled)])) });
    let mut parts = proxy.counter().parts().await.unwrap();
    assert_eq!(parts.next().await.unwrap().unwrap(), "a");
    assert!(matches!(parts.next().await, Some(Err(CallError::Service(Full { kept: 2 })))));
    assert!(parts.next().await.is_none());
    let broken: Vec<_> = proxy.counter().parts().await.unwrap().collect().await;
    assert!(matches!(&broken[..], [Ok(_), Err(CallError::Cancelled)]), "{broken:?}");
}

#[tokio::test]
async fn an_item_of_a_mock_may_be_as_long_as_one_of_a_node() {
    let (counter, proxy) = counter();
    counter.on_parts(|_| Ok(stream::iter([64 * 1024 - 2, 64 * 1024 - 1].map(|length| "x".repeat(length)))));
    let mut parts = proxy.counter().parts().await.unwrap();
    assert!(parts.next().await.unwrap().is_ok());
    let error = parts.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "an item of 65537 bytes, where 65536 are taken; send it in parts");
}

#[tokio::test(start_paused = true)]
async fn a_mock_that_does_not_open_its_stream_runs_into_the_methods_own_limit() {
    let (counter, proxy) = counter();
    counter.on_count(|_, _| pending::<std::result::Result<stream::Empty<u64>, CallError>>());
    let began = tokio::time::Instant::now();
    let error = proxy.counter().count(1).await.unwrap_err();
    assert!(matches!(&error, CallError::Deadline { method, .. } if method == "counter/count"), "{error}");
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn dropping_the_stream_drops_that_of_the_mock() {
    let (counter, proxy) = counter();
    let (held, mut dropped) = tokio::sync::oneshot::channel::<()>();
    let mut held = Some(held);
    counter.on_count(move |_, from| {
        let held = held.take();
        Ok(stream::iter(from..).map(move |number| if held.is_some() { number } else { 0 }))
    });
    let mut numbers = proxy.counter().count(5).await.unwrap();
    assert_eq!(numbers.next().await.unwrap().unwrap(), 5);
    assert!(futures::poll!(&mut dropped).is_pending());
    drop(numbers);
    dropped.await.unwrap_err();
}

#[tokio::test]
async fn a_stream_is_mocked_by_name_as_well_and_asked_as_one_result_it_is_refused_as_on_a_node() {
    let (counter, proxy) = counter();
    counter.on_count(|_, from| Ok(stream::iter([from])));
    let items: Vec<_> = proxy.open("counter/count", json!({ "from": 3 })).await.unwrap().collect().await;
    assert_eq!(items[0].as_ref().unwrap().get(), "3");
    let error = proxy.call("counter/count", json!({ "from": 3 })).await.unwrap_err();
    assert!(error.to_string().contains("counter/count streams its items: ask for them"), "{error}");
}

#[tokio::test]
async fn a_stream_of_which_nothing_was_said_fails_with_the_line_to_write() {
    let (counter, proxy) = counter();
    let said = "say one before the call: mock.on_count(|call, from| Ok(…))";
    let error = proxy.counter().count(3).await.unwrap_err();
    assert!(error.to_string().ends_with(said), "{error}");
    assert!(counter.verify().unwrap_err().to_string().ends_with(said));
    // Of each method the lines stand at its place.
    let forgotten = proxy.counter().end().await.unwrap_err();
    assert!(forgotten.to_string().contains("mock.on_end(|call| Ok(…))"), "{forgotten}");
}
