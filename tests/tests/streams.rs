//! Streams between whole nodes, and to clients outside: lines of JSON, Server-Sent Events, the command line.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{Cluster, Member, Plan, sees, soon, token, web::Web, worker_ip};
use futures::stream;
use http::{Request, Response};
use http_body_util::Full;
use p2p_client::{
    protocol::ErrorCode,
    wire::{
        Lines, Streamed,
        http::{RequestLimits, one_shot_streamed},
    },
};
use p2p_runtime::identity::TokenOptions;
use p2p_services::prelude::*;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::watch,
    time::Instant,
};

/// Counts, and tells how far it got.
struct Numbers {
    produced: AtomicU64,
    /// How many streams were opened, and how many are gone.
    opened: watch::Sender<u32>,
    ended: watch::Sender<u32>,
    /// Whether calls that wait for it may go on.
    gate: watch::Sender<bool>,
}

/// How many items lie in buffers on the way, at most; without back-pressure the method would go on for ever.
const BUFFERED: u64 = 1_024;

/// A stream that was opened.
struct Opened(Arc<Numbers>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

/// The service, by its handle.
struct Service(Arc<Numbers>);

/// Counts.
#[service(name = "numbers", version = "1.0.0", proxy = "NumbersProxy", accessor = "numbers")]
impl Service {
    /// Counts up from a number, without an end.
    #[service_method(anonymous, read_only)]
    async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>> {
        let opened = self.open();
        Ok(stream::iter(from..).inspect(move |_| {
            opened.0.produced.fetch_add(1, Relaxed);
        }))
    }

    /// Texts of this size, without an end.
    #[service_method(anonymous)]
    async fn texts(&self, size: usize) -> Result<impl Stream<Item = String>> {
        let opened = self.open();
        Ok(stream::repeat_with(move || {
            opened.0.produced.fetch_add(1, Relaxed);
            "x".repeat(size)
        }))
    }

    /// Counts to a number; then it ends, or fails.
    #[service_method(anonymous)]
    async fn until(&self, end: u64, fails: bool) -> Result<impl Stream<Item = Result<u64>>> {
        if end > 100 {
            return Err(Error::msg("that is too far"));
        }
        let last = stream::iter(fails.then(|| Err(Error::msg("it failed in the end"))));
        Ok(stream::iter(0..end).map(Ok).chain(last))
    }

    /// One number, and then nothing for long.
    #[service_method]
    async fn wait(&self) -> Result<impl Stream<Item = u64>> {
        let opened = self.open();
        Ok(stream::iter([1]).chain(stream::pending()).inspect(move |_| {
            let _kept = &opened;
        }))
    }

    /// Opens no stream, and does not say so either.
    #[service_method]
    async fn never(&self) -> Result<impl Stream<Item = u64>> {
        let _opened = self.open();
        std::future::pending::<()>().await;
        Ok(stream::empty())
    }

    /// No stream, and it ends when it is let to.
    #[service_method]
    async fn gated(&self) -> Result<u64> {
        let _opened = self.open();
        self.0.gate.subscribe().wait_for(|open| *open).await?;
        Ok(8)
    }

    /// No stream.
    #[service_method(anonymous)]
    async fn double(&self, number: u64) -> Result<u64> {
        Ok(2 * number)
    }
}

impl Service {
    fn open(&self) -> Opened {
        self.0.opened.send_modify(|opened| *opened += 1);
        Opened(self.0.clone())
    }
}

/// A coordinator that does not host the numbers, and a worker that does.
struct Two {
    cluster: Cluster,
    coordinator: Member,
    worker: Member,
    numbers: Arc<Numbers>,
}

impl Two {
    async fn new() -> Self {
        let cluster = Cluster::new();
        let zero = || watch::Sender::new(0);
        let numbers =
            Arc::new(Numbers { produced: AtomicU64::new(0), opened: zero(), ended: zero(), gate: watch::Sender::new(false) });
        let coordinator = cluster.coordinator(Plan::coordinator()).await;
        let plan = Plan::worker(1);
        let token = token(&coordinator, TokenOptions::default()).await;
        let enrolment = soon(cluster.join(&plan, &coordinator.authority(), token)).await.unwrap();
        let service = Service(numbers.clone());
        let worker = cluster.start_with(plan, enrolment, |builder| builder.serve(service)).await.unwrap();
        for node in [&coordinator, &worker] {
            sees(node, |members| members.hosting("numbers").count() == 1).await;
        }
        Self { cluster, coordinator, worker, numbers }
    }

    /// A client without a name, of the node that hosts the service and of the one that forwards to it; and the operator of the latter.
    fn clients(&self) -> [Web; 3] {
        let host = || self.cluster.host(worker_ip(99));
        [
            Web::anonymous(host(), &self.worker),
            Web::anonymous(host(), &self.coordinator),
            Web::operator(self.cluster.dir("coordinator")),
        ]
    }

    async fn reached(counter: &watch::Sender<u32>, count: u32) {
        soon(counter.subscribe().wait_for(|now| *now >= count)).await.unwrap();
    }
}

/// Sends a call that takes a stream in this form.
async fn open(web: &Web, path: &str, accept: &str, body: Value) -> Response<Streamed> {
    let request = Request::post(path).header("accept", accept).header("content-type", "application/json");
    let request = request.body(Full::from(body.to_string())).unwrap();
    let stream = web.connect().await.unwrap();
    soon(one_shot_streamed(stream, request, Duration::from_mins(1))).await.unwrap()
}

fn rpc(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": "s1", "method": method, "params": params })
}

async fn lines_of(web: &Web, method: &str, params: Value) -> Lines {
    let response = open(web, "/rpc", "application/x-ndjson", rpc(method, &params)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    response.into_body().lines(1 << 20)
}

async fn next(lines: &mut Lines) -> Option<String> {
    soon(lines.next()).await.map(|line| String::from_utf8(line.unwrap().into()).unwrap())
}

async fn all(mut lines: Lines) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(line) = next(&mut lines).await {
        found.push(line);
    }
    found
}

#[tokio::test]
async fn a_stream_of_another_node_comes_item_by_item_and_waits_while_it_is_not_taken() {
    let two = Two::new().await;
    let mut numbers = two.coordinator.proxy().numbers().count(0).await.unwrap();
    for expected in 0..1_000 {
        assert_eq!(soon(numbers.next()).await.unwrap().unwrap(), expected);
        let ahead = two.numbers.produced.load(Relaxed) - expected;
        // Those for which there is credit, half of it given anew, and the one that waits.
        assert!(ahead <= 64 + 32 + 1, "{ahead} items ahead of the caller");
    }
    drop(numbers);
    Two::reached(&two.numbers.ended, 1).await;
}

#[tokio::test]
async fn a_stream_is_open_before_there_is_an_item_and_dropping_it_ends_the_method_at_the_other_node() {
    let two = Two::new().await;
    let proxy = two.coordinator.proxy();
    let mut waiting = soon(proxy.numbers().on("worker-1").wait()).await.unwrap();
    assert_eq!(soon(waiting.next()).await.unwrap().unwrap(), 1);
    assert!(futures::poll!(waiting.next()).is_pending());
    drop(waiting);
    Two::reached(&two.numbers.ended, 1).await;
    // A call that is dropped while it opens a stream, too.
    for target in [One::from("worker-1"), One::Any] {
        let begun = *two.numbers.opened.borrow() + 1;
        let mut opening = proxy.numbers().on(target).never();
        tokio::select! {
            opened = &mut opening => panic!("it opens none: {opened:?}"),
            () = Two::reached(&two.numbers.opened, begun) => {}
        }
        assert_eq!(*two.numbers.ended.borrow(), begun - 1);
        drop(opening);
        Two::reached(&two.numbers.ended, begun).await;
    }
}

#[tokio::test]
async fn a_node_that_is_lost_is_an_error_of_its_stream_and_not_the_end() {
    let two = Two::new().await;
    let mut waiting = two.coordinator.proxy().numbers().wait().await.unwrap();
    assert_eq!(soon(waiting.next()).await.unwrap().unwrap(), 1);
    let web = Web::operator(two.cluster.dir("coordinator"));
    let mut lines = lines_of(&web, "numbers/wait", json!({})).await;
    assert_eq!(next(&mut lines).await.unwrap(), r#"{"item":1}"#);
    two.cluster.network.kill(two.worker.ip);
    match soon(waiting.next()).await {
        Some(Err(error @ CallError::Transport { may_have_run: true, .. })) => {
            assert!(error.to_string().contains("node worker-1"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(waiting.next().await.is_none());
    let last: Value = serde_json::from_str(&next(&mut lines).await.unwrap()).unwrap();
    assert_eq!((&last["error"]["code"], &last["id"]), (&json!(ErrorCode::TRANSPORT.0), &json!("s1")));
    assert_eq!(next(&mut lines).await, None);
}

#[tokio::test]
async fn lines_of_json_come_one_by_one_and_the_last_tells_how_it_ended() {
    let two = Two::new().await;
    for web in two.clients() {
        let good = all(lines_of(&web, "numbers/until", json!({ "end": 2, "fails": false })).await).await;
        assert_eq!(good, [r#"{"item":0}"#, r#"{"item":1}"#, r#"{"jsonrpc":"2.0","result":null,"id":"s1"}"#]);
        let empty = all(lines_of(&web, "numbers/until", json!([0, false])).await).await;
        assert_eq!(empty, [r#"{"jsonrpc":"2.0","result":null,"id":"s1"}"#]);
        let bad = all(lines_of(&web, "numbers/until", json!({ "end": 1, "fails": true })).await).await;
        let error = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"it failed in the end"},"id":"s1"}"#;
        assert_eq!(bad, [r#"{"item":0}"#, error]);
        // By the method's own route there is no JSON-RPC around it.
        let path = "/rpc/numbers/until";
        let response = open(&web, path, "application/x-ndjson", json!({ "end": 1, "fails": false })).await;
        assert_eq!(all(response.into_body().lines(1_000)).await, [r#"{"item":0}"#, r#"{"result":null}"#]);
    }
}

#[tokio::test]
async fn server_sent_events_come_one_by_one_and_the_last_tells_how_it_ended() {
    let two = Two::new().await;
    for web in two.clients() {
        for (fails, last) in [
            (false, ["event: end", "data: null"]),
            (true, ["event: failed", r#"data: {"code":-32603,"message":"it failed in the end"}"#]),
        ] {
            let call = rpc("numbers/until", &json!({ "end": 2, "fails": fails }));
            let response = open(&web, "/rpc", "text/event-stream", call).await;
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let lines = all(response.into_body().lines(1_000)).await;
            assert_eq!(lines, ["data: 0", "", "data: 1", "", last[0], last[1], ""]);
        }
    }
}

#[tokio::test]
async fn what_opens_no_stream_is_answered_as_ever() {
    let two = Two::new().await;
    for web in two.clients() {
        for (method, params, answer) in [
            ("numbers/double", json!({ "number": 4 }), r#"{"jsonrpc":"2.0","result":8,"id":"s1"}"#),
            (
                "numbers/until",
                json!([101, false]),
                r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"that is too far"},"id":"s1"}"#,
            ),
        ] {
            let response = open(&web, "/rpc", "application/x-ndjson, application/json", rpc(method, &params)).await;
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(soon(response.into_body().whole(RequestLimits::default())).await.unwrap(), answer);
        }
    }
    // Access is decided before anything is opened.
    let [_, forwarder, _] = two.clients();
    let response = open(&forwarder, "/rpc", "text/event-stream", rpc("numbers/wait", &json!({}))).await;
    let denied: Value =
        serde_json::from_slice(&soon(response.into_body().whole(RequestLimits::default())).await.unwrap()).unwrap();
    assert_eq!(denied["error"]["code"], ErrorCode::DENIED.0);
    assert_eq!(*two.numbers.opened.borrow(), 0);
}

#[tokio::test]
async fn a_stream_that_is_asked_for_as_one_result_is_refused_with_the_forms_that_there_are() {
    let two = Two::new().await;
    let refused = |answer: &Value| {
        let error = &answer["error"];
        assert_eq!(error["code"], ErrorCode::INVALID_REQUEST.0, "{answer}");
        for part in ["numbers/count streams its items", "`Accept: application/x-ndjson`", "`Accept: text/event-stream`"] {
            assert!(error["message"].as_str().unwrap().contains(part), "{answer}");
        }
    };
    for web in two.clients() {
        let call = rpc("numbers/count", &json!({ "from": 1 }));
        refused(&web.rpc(call.to_string()).await.json());
        let answer = web.post("/rpc/numbers/count", r#"{"from":1}"#).await;
        assert_eq!(answer.status, 400);
        refused(&answer.json());
        let lines = web.clone().header("accept", "application/x-ndjson");
        refused(&lines.rpc(json!([call]).to_string()).await.json()[0]);
        let to_many = lines.post("/rpc?on=all", call.to_string()).await.json();
        refused(&to_many["result"]["worker-1"]);
        // Nobody waits for the items of a notification.
        let notification = json!({ "jsonrpc": "2.0", "method": "numbers/count", "params": [1] }).to_string();
        assert_eq!(lines.rpc(notification).await.status, 204);
    }
    assert_eq!(*two.numbers.opened.borrow(), 0);
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_method_down_and_one_that_goes_away_ends_it() {
    let two = Two::new().await;
    for (round, web) in (1..).zip(two.clients()) {
        two.numbers.produced.store(0, Relaxed);
        let mut lines = lines_of(&web, "numbers/texts", json!({ "size": 32_000 })).await;
        for taken in 1..=200 {
            assert_eq!(next(&mut lines).await.unwrap().len(), 32_000 + r#"{"item":""}"#.len());
            let produced = two.numbers.produced.load(Relaxed);
            assert!(produced <= taken + BUFFERED, "{produced} were made, and {taken} taken");
        }
        drop(lines);
        Two::reached(&two.numbers.ended, round).await;
        // Also where nothing is being written that could fail.
        if round == 3 {
            let mut lines = lines_of(&web, "numbers/wait", json!({})).await;
            assert_eq!(next(&mut lines).await.unwrap(), r#"{"item":1}"#);
            drop(lines);
            Two::reached(&two.numbers.ended, round + 1).await;
        }
    }
}

#[tokio::test]
async fn a_node_that_stops_says_so_at_the_end_of_its_streams() {
    let two = Two::new().await;
    let web = Web::operator(two.cluster.dir("coordinator"));
    let mut lines = lines_of(&web, "numbers/wait", json!({})).await;
    assert_eq!(next(&mut lines).await.unwrap(), r#"{"item":1}"#);
    let Two { coordinator, .. } = two;
    let began = std::time::Instant::now();
    let stopping = tokio::spawn(async move { coordinator.node.stop().await });
    let last: Value = serde_json::from_str(&next(&mut lines).await.unwrap()).unwrap();
    assert_eq!(last["error"]["code"], ErrorCode::TRANSPORT.0, "{last}");
    let said = "node coordinator is stopping and has ended the stream numbers/wait; open it again, at another node";
    assert_eq!(last["error"]["message"], said);
    assert_eq!(next(&mut lines).await, None);
    soon(stopping).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(9), "it did not wait as for a call: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_ends_the_streams_of_its_methods_soon_and_waits_for_calls() {
    let two = Two::new().await;
    let proxy = two.coordinator.proxy();
    let mut waiting = proxy.numbers().on("worker-1").wait().await.unwrap();
    assert_eq!(soon(waiting.next()).await.unwrap().unwrap(), 1);
    let call = tokio::spawn(proxy.numbers().on("worker-1").gated());
    Two::reached(&two.numbers.opened, 2).await;
    let Two { worker, numbers, .. } = two;
    let began = Instant::now();
    let stopping = tokio::spawn(async move { worker.node.stop().await });
    match soon(waiting.next()).await {
        Some(Err(error @ CallError::Transport { may_have_run: true, .. })) => {
            let said = "node worker-1 is stopping and has ended the stream numbers/wait; open it again, at another node; \
                        the call may have run";
            assert_eq!(error.to_string(), said);
        }
        other => panic!("{other:?}"),
    }
    assert!((1..3).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(waiting.next().await.is_none());
    assert!(!stopping.is_finished(), "a call still runs");
    numbers.gate.send_replace(true);
    assert_eq!(soon(call).await.unwrap().unwrap(), 8);
    soon(stopping).await.unwrap();
    assert!(began.elapsed().as_secs() < 9, "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_command_prints_items_line_by_line_as_they_come_and_ends_with_its_reader() {
    let two = Two::new().await;
    let dir = two.cluster.dir("coordinator");
    let call = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greeter"));
        command.arg("call").args(words).arg("--dir").arg(&dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let ended = soon(call(&["numbers/until", "end=2", "fails=false"]).output()).await.unwrap();
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(0), b"0\n1\n".as_slice()));
    let ended = soon(call(&["numbers/until", "end=1", "fails=true"]).output()).await.unwrap();
    assert_eq!((ended.status.success(), ended.stdout.as_slice()), (false, b"0\n".as_slice()));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("it failed in the end"), "{said}");
    let ended = soon(call(&["numbers/double", "number=4"]).output()).await.unwrap();
    assert_eq!(ended.stdout, b"8\n");

    let mut running = call(&["numbers/count", "from=7"]).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    for expected in ["7", "8", "9"] {
        assert_eq!(soon(lines.next_line()).await.unwrap().unwrap(), expected);
    }
    drop(lines);
    assert!(soon(running.wait()).await.unwrap().success(), "a reader that has had enough is no error");
    Two::reached(&two.numbers.ended, 1).await;
}
