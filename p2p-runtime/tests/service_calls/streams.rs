//! Methods that stream: from the object itself, and as JSON from another node.

use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt, poll, stream};
use p2p_client::{
    call::{Call, CallError, Streaming},
    protocol::Role,
    service::MethodSnapshot,
};
use p2p_runtime::{prelude::*, service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::Instant};

use crate::cluster::Cluster;

/// The longest text that travels as an item: 64 KiB with its quotes.
const MOST: usize = 64 * 1024 - 2;

/// Where both ways of a call lead.
const NODES: [&str; 2] = ["here", "there"];

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum CounterError {
    Full { at: u64 },
}

impl fmt::Display for CounterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Full { at } = self;
        write!(f, "full at {at}")
    }
}

impl std::error::Error for CounterError {}

/// A name for the result of most methods here.
type Counted<S> = Result<S, CounterError>;

#[derive(Default)]
struct Counter {
    names: Vec<String>,
    produced: Arc<AtomicU64>,
    ended: Mutex<Option<oneshot::Sender<()>>>,
}

/// Says so when it is dropped.
struct TellEnd(Option<oneshot::Sender<()>>);

impl Drop for TellEnd {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            let _ = tell.send(());
        }
    }
}

#[service]
impl Counter {
    /// Counts up without an end, and tells how far it got.
    #[service_method(read_only)]
    async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>> {
        let end = TellEnd(self.ended.lock().unwrap().take());
        Ok(stream::iter(from..).inspect(move |_| {
            let _kept = &end;
            self.produced.fetch_add(1, Relaxed);
        }))
    }

    /// A stream that borrows from its service and from what it was given.
    #[service_method]
    async fn name(&self, before: &str, times: &[u8]) -> Result<impl Stream<Item = String>> {
        Ok(stream::iter(times).flat_map(move |times| {
            let times = usize::from(*times);
            stream::iter(self.names.iter().map(move |name| format!("{before}{}", name.repeat(times))))
        }))
    }

    #[service_method]
    async fn refuse(&self, at: u64) -> Counted<impl Stream<Item = u64>> {
        if at < 100 { Err(CounterError::Full { at }) } else { Ok(stream::empty()) }
    }

    #[service_method]
    async fn until(&self, end: u64) -> Counted<impl Stream<Item = Result<u64, CounterError>>> {
        Ok(stream::iter(0..end).map(Ok).chain(stream::once(async move { Err(CounterError::Full { at: end }) })))
    }

    #[service_method]
    async fn trip(&self) -> Result<impl Stream<Item = Result<u64>>> {
        Ok(stream::iter([Ok(1), Err(Error::msg("it tripped")), Ok(2)]))
    }

    #[service_method]
    async fn panic(&self, after: u64) -> Result<impl Stream<Item = u64>> {
        assert!(after > 0, "expected by this test");
        Ok(stream::iter(0..).inspect(move |number| assert!(*number < after, "expected by this test")))
    }

    #[service_method(timeout = "2s")]
    async fn hang(&self) -> Result<impl Stream<Item = u64>> {
        pending::<()>().await;
        Ok(stream::empty())
    }

    /// Opens at once, and yields after a minute.
    #[service_method(timeout = "2s")]
    async fn late(&self, cx: &CallContext) -> Result<impl Stream<Item = Result<bool>>> {
        Ok(stream::once(async move {
            tokio::time::sleep(Duration::from_mins(1)).await;
            // By now the time for opening is over; what is called from here has its own.
            cx.proxy().counter().on("here").number().await?;
            Ok(cx.time_left() > Duration::from_hours(24))
        }))
    }

    #[service_method]
    async fn number(&self) -> Result<u64> {
        Ok(7)
    }

    #[service_method]
    async fn text(&self, size: usize) -> Result<impl Stream<Item = String>> {
        Ok(stream::iter(["x".repeat(size)]))
    }
}

/// Says hello, again and again.
#[service]
trait Hello {
    #[service_method(public, read_only)]
    async fn hello(&self, cx: &CallContext, name: &str) -> Result<impl Stream<Item = String>>;

    #[service_method]
    async fn refuse(&self) -> Counted<impl Stream<Item = Result<u8, CounterError>>>;
}

#[derive(Default)]
struct Friendly(String);

#[service]
impl Hello for Friendly {
    async fn hello(&self, cx: &CallContext, name: &str) -> Result<impl Stream<Item = String>> {
        Ok(stream::iter(0..).map(move |number| format!("{} {name} {number} from {}", self.0, cx.node())))
    }

    async fn refuse(&self) -> Counted<impl Stream<Item = Result<u8, CounterError>>> {
        if self.0.is_empty() {
            return Err(CounterError::Full { at: 0 });
        }
        Ok(stream::iter([Err(CounterError::Full { at: 1 })]))
    }
}

fn named() -> Counter {
    Counter { names: vec!["a".to_owned(), "b".to_owned()], ..Counter::default() }
}

fn here_and_there() -> Cluster {
    let nodes = Cluster::default().node("here", Role::Worker).node("there", Role::Worker);
    nodes.serve("here", named()).serve("there", named())
}

fn on(cluster: &Cluster, node: &str) -> CounterProxy<p2p_client::proxy::OnOne> {
    cluster.proxy("here").counter().on(node)
}

fn counted(cluster: &Cluster, node: &str, method: &str) -> MethodSnapshot {
    let hosted = cluster.hosted(node, "counter").unwrap();
    hosted.stats(hosted.method(method).unwrap().index).unwrap().snapshot()
}

#[tokio::test]
async fn items_come_in_their_order_and_the_stream_ends_after_the_last() {
    let cluster = here_and_there();
    for node in NODES {
        let numbers = on(&cluster, node).count(3).await.unwrap();
        let first: Vec<u64> = numbers.take(5).map(Result::unwrap).collect().await;
        assert_eq!(first, [3, 4, 5, 6, 7], "{node}");
        let mut names = on(&cluster, node).name("to ", &[1, 2]).await.unwrap();
        for expected in ["to a", "to b", "to aa", "to bb"] {
            assert_eq!(names.next().await.unwrap().unwrap(), expected, "{node}");
        }
        assert!(names.next().await.is_none() && names.next().await.is_none(), "{node}");
    }
    assert_eq!(cluster.sent()[0], ("counter/count".to_owned(), r#"{"from":3}"#.to_owned()), "the one here was sent nowhere");
}

#[tokio::test]
async fn a_contracts_stream_borrows_from_its_host_its_context_and_its_parameters() {
    let hosts = ["Hello", "Good day"].map(|text| Friendly(text.to_owned()));
    let [one, two] = hosts;
    let nodes = Cluster::default().node("here", Role::Worker).node("there", Role::Worker);
    let cluster = nodes.serve("here", one).serve("there", two);
    for (node, text) in [("here", "Hello Ada 0 from here"), ("there", "Good day Ada 0 from there")] {
        let proxy = cluster.proxy("here").hello().on(node);
        assert_eq!(proxy.hello("Ada").await.unwrap().next().await.unwrap().unwrap(), text);
        let mut refusing = proxy.refuse().await.unwrap();
        assert!(matches!(refusing.next().await, Some(Err(CallError::Service(CounterError::Full { at: 1 })))), "{node}");
        assert!(refusing.next().await.is_none(), "{node}");
    }
    let cluster = Cluster::default().node("here", Role::Worker).serve("here", Friendly::default());
    assert!(matches!(cluster.proxy("here").hello().refuse().await, Err(CallError::Service(CounterError::Full { at: 0 }))));
}

#[tokio::test]
async fn a_method_goes_no_further_than_its_items_are_taken() {
    for node in NODES {
        let counter = Counter::default();
        let produced = counter.produced.clone();
        let nodes = Cluster::default().node("here", Role::Worker).node("there", Role::Worker);
        let cluster = nodes.serve(node, counter);
        let mut numbers = cluster.proxy("here").counter().count(0).await.unwrap();
        for taken in 1..=10 {
            numbers.next().await.unwrap().unwrap();
            assert_eq!(produced.load(Relaxed), taken, "{node}");
        }
    }
}

#[tokio::test]
async fn dropping_a_stream_ends_its_method() {
    for node in NODES {
        let (tell, mut told) = oneshot::channel();
        let counter = Counter { ended: Mutex::new(Some(tell)), ..Counter::default() };
        let nodes = Cluster::default().node("here", Role::Worker).node("there", Role::Worker);
        let cluster = nodes.serve(node, counter);
        let mut numbers = cluster.proxy("here").counter().count(0).await.unwrap();
        numbers.next().await.unwrap().unwrap();
        assert!(told.try_recv().is_err(), "{node}: it goes on");
        drop(numbers);
        told.await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_could_not_be_opened_fails_with_the_methods_own_error() {
    let cluster = here_and_there();
    for node in NODES {
        match on(&cluster, node).refuse(7).await {
            Err(CallError::Service(error)) => assert_eq!(error, CounterError::Full { at: 7 }, "{node}"),
            other => panic!("{node}: {other:?}"),
        }
        assert!(on(&cluster, node).refuse(100).await.unwrap().next().await.is_none(), "{node}: it is empty");
    }
}

#[tokio::test]
async fn an_error_among_the_items_ends_the_stream_and_arrives_as_its_type() {
    let cluster = here_and_there();
    for node in NODES {
        let mut numbers = on(&cluster, node).until(2).await.unwrap();
        assert_eq!(numbers.next().await.unwrap().unwrap(), 0, "{node}");
        assert_eq!(numbers.next().await.unwrap().unwrap(), 1, "{node}");
        assert!(matches!(numbers.next().await, Some(Err(CallError::Service(CounterError::Full { at: 2 })))), "{node}");
        assert!(numbers.next().await.is_none(), "{node}");

        let mut tripping = on(&cluster, node).trip().await.unwrap();
        assert_eq!(tripping.next().await.unwrap().unwrap(), 1, "{node}");
        match tripping.next().await {
            Some(Err(CallError::Internal(text))) => assert_eq!(text, "it tripped", "{node}"),
            other => panic!("{node}: {other:?}"),
        }
        assert!(tripping.next().await.is_none(), "{node}: nothing comes after an error");
    }
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_stream_and_of_nothing_else() {
    let cluster = here_and_there();
    let panicked = |error: Option<CallError>| match error {
        Some(CallError::Internal(text)) => assert_eq!(text, "counter/panic panicked; its node's log says where"),
        other => panic!("{other:?}"),
    };
    for node in NODES {
        panicked(on(&cluster, node).panic(0).await.err());
        let mut numbers = on(&cluster, node).panic(2).await.unwrap();
        assert_eq!(numbers.next().await.unwrap().unwrap(), 0, "{node}");
        assert_eq!(numbers.next().await.unwrap().unwrap(), 1, "{node}");
        panicked(numbers.next().await.unwrap().err());
        assert!(numbers.next().await.is_none(), "{node}");
        assert_eq!(on(&cluster, node).number().await.unwrap(), 7, "{node}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_is_for_the_opening() {
    let cluster = here_and_there();
    for node in NODES {
        for (call, after) in [(on(&cluster, node).hang(), 2), (on(&cluster, node).hang().timeout(Duration::from_secs(1)), 1)] {
            let began = Instant::now();
            match call.await {
                Err(CallError::Deadline { method, .. }) => assert_eq!(method, "counter/hang", "{node}"),
                other => panic!("{node}: {other:?}"),
            }
            assert_eq!(began.elapsed(), Duration::from_secs(after), "{node}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_has_no_time_limit_nor_has_what_is_called_from_it() {
    let cluster = here_and_there();
    for node in NODES {
        let began = Instant::now();
        let mut late = on(&cluster, node).late().await.unwrap();
        assert!(late.next().await.unwrap().unwrap(), "{node}");
        assert_eq!(began.elapsed(), Duration::from_mins(1), "{node}");
    }
}

#[tokio::test]
async fn a_stream_is_counted_as_one_call_from_its_opening_to_its_end() {
    let cluster = here_and_there();
    let errors = |node, method| counted(&cluster, node, method).errors;
    for node in NODES {
        let mut numbers = on(&cluster, node).count(0).await.unwrap();
        numbers.next().await.unwrap().unwrap();
        let running = counted(&cluster, node, "count");
        assert_eq!((running.calls, running.in_flight, running.errors), (1, 1, 0), "{node}");
        drop(numbers);
        let ended = counted(&cluster, node, "count");
        assert_eq!((ended.calls, ended.in_flight), (1, 0), "{node}");
        assert_eq!(ended.errors, 0, "{node}: its caller has had enough");

        let named: Vec<_> = on(&cluster, node).name("", &[1]).await.unwrap().collect().await;
        assert_eq!((named.len(), errors(node, "name")), (2, 0), "{node}");
        let _ = on(&cluster, node).refuse(1).await.unwrap_err();
        let _items: Vec<_> = on(&cluster, node).trip().await.unwrap().collect().await;
        let _items: Vec<_> = on(&cluster, node).panic(1).await.unwrap().collect().await;
        let mut hanging = on(&cluster, node).hang();
        assert!(poll!(&mut hanging).is_pending());
        drop(hanging);
        for method in ["refuse", "trip", "panic", "hang"] {
            let snapshot = counted(&cluster, node, method);
            assert_eq!((snapshot.calls, snapshot.in_flight, snapshot.errors), (1, 0, 1), "{node}: {method}");
        }
    }
}

#[tokio::test]
async fn an_item_that_is_too_long_to_travel_is_an_error_with_its_size() {
    let cluster = here_and_there();
    assert_eq!(on(&cluster, "there").text(MOST).await.unwrap().next().await.unwrap().unwrap().len(), MOST);
    match on(&cluster, "there").text(MOST + 1).await.unwrap().next().await {
        Some(Err(CallError::Internal(text))) => {
            assert_eq!(text, "an item of 65537 bytes, where 65536 are taken; send it in parts");
        }
        other => panic!("{other:?}"),
    }
    let here = on(&cluster, "here").text(MOST + 1).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(here.len(), MOST + 1, "what does not travel may be as long as it likes");
}

#[tokio::test]
async fn a_stream_is_opened_at_the_next_host_where_the_first_cannot_be_reached() {
    let nodes = Cluster::default().node("caller", Role::Worker).node("first", Role::Worker).node("second", Role::Worker);
    let cluster = nodes.serve("first", named()).serve("second", named());
    cluster.cut_off("first");
    let mut numbers = cluster.proxy("caller").counter().count(1).await.unwrap();
    assert_eq!(numbers.next().await.unwrap().unwrap(), 1);
    assert_eq!(counted(&cluster, "second", "count").calls, 1);
}

#[tokio::test]
async fn a_stream_by_a_name_known_only_at_run_time_gives_json() {
    let cluster = here_and_there();
    for node in NODES {
        let proxy = cluster.proxy("here");
        let mut numbers = proxy.open("counter/count", serde_json::json!({ "from": 3 })).on(node).await.unwrap();
        assert_eq!(numbers.next().await.unwrap().unwrap().get(), "3", "{node}");
        // A call for one result, and a stream where there is one result, are told apart.
        match proxy.call("counter/count", serde_json::json!({ "from": 3 })).on(node).await {
            Err(CallError::Incompatible(text)) => {
                for part in ["counter/count streams its items", "application/x-ndjson", "text/event-stream", "proxy.open("] {
                    assert!(text.contains(part), "{node}: {text}");
                }
            }
            other => panic!("{node}: {other:?}"),
        }
        match proxy.open("counter/number", serde_json::json!({})).on(node).await {
            Err(CallError::Incompatible(text)) => assert!(text.contains("counter/number answers once"), "{node}: {text}"),
            other => panic!("{node}: {other:?}"),
        }
        match proxy.open("counter/count", serde_json::json!({ "form": 3 })).on(node).await {
            Err(CallError::InvalidParams(text)) => {
                assert_eq!(text, "unknown parameter `form`; this method takes: from", "{node}");
            }
            other => panic!("{node}: {other:?}"),
        }
    }
}

/// The counter of a later version, whose numbers are texts.
mod later {
    use super::*;

    #[derive(Default)]
    pub(super) struct Counter;

    #[service(name = "counter")]
    impl Counter {
        #[service_method]
        async fn count(&self, from: u64) -> Result<impl Stream<Item = String>> {
            Ok(stream::iter([from.to_string()]))
        }

        #[service_method]
        async fn name(&self, before: String, times: Vec<u8>) -> Result<String> {
            Ok(before.repeat(times.len()))
        }
    }
}

#[tokio::test]
async fn items_of_another_type_and_one_result_where_items_are_expected_are_incompatible() {
    let nodes = Cluster::default().node("here", Role::Worker).node("there", Role::Worker);
    let cluster = nodes.serve("here", later::Counter).serve("there", later::Counter);
    // What is hosted here can be looked at: nothing is opened.
    for (refused, why) in [
        (on(&cluster, "here").count(3).await.err(), "item: text is given where a whole number"),
        (on(&cluster, "here").name("x", &[1]).await.err(), "it gives one result now, where it streamed"),
    ] {
        assert!(matches!(&refused, Some(CallError::Incompatible(text)) if text.contains(why)), "{refused:?}");
    }
    // A host of which nobody said that its version is another: what comes is looked at.
    let mut numbers = on(&cluster, "there").count(3).await.unwrap();
    match numbers.next().await {
        Some(Err(CallError::Incompatible(text))) => {
            assert!(
                text.starts_with("an item of counter/count is not what this version expects: invalid type: string"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(numbers.next().await.is_none());
    match on(&cluster, "there").name("x", &[1]).await {
        Err(CallError::Incompatible(text)) => assert!(text.contains("counter/name answers once at its host"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_descriptor_says_which_methods_stream_and_what() {
    let described = Cluster::default().node("here", Role::Worker).serve("here", named()).hosted("here", "counter").unwrap();
    let (spec, descriptor) = (described.spec().clone(), described.describe());
    let method = |name: &str| descriptor.method(name).unwrap().clone();
    assert_eq!(method("count").item.unwrap()["type"], "integer");
    assert_eq!(method("count").result["type"], "null");
    assert_eq!(method("until").item.unwrap()["type"], "integer", "of results, what they are when all is well");
    assert!(method("until").error.is_some() && method("trip").error.is_none());
    assert_eq!(method("number").item, None);
    let streaming: Vec<_> = spec.methods.iter().filter(|method| method.streams).map(|method| method.name.as_ref()).collect();
    assert_eq!(streaming, ["count", "name", "refuse", "until", "trip", "panic", "hang", "late", "text"]);
}

#[test]
fn streams_and_their_calls_can_be_sent_to_other_threads() {
    fn sendable<T: Send + Unpin>(_: &T) {}
    let cluster = here_and_there();
    let call: Call<Streaming<u64>> = on(&cluster, "here").count(1);
    sendable(&call);
    let stream = call.now_or_never().unwrap().unwrap();
    sendable(&stream);
    assert_eq!(format!("{stream:?}"), "Streaming { has_ended: false, .. }");
}
