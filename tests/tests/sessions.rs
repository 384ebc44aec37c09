//! Sessions between whole nodes: what shares one, what goes beside it, and what becomes of calls when a node goes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};
use common::{
    Cluster, Member, Plan, identity,
    log::Log,
    probe::{Probe, ProbeProxyExt},
    sees, soon, token,
    web::{Web, assert_error},
    worker_ip,
};
use futures::future::{BoxFuture, join_all};
use h2::server;
use http::{Request, Response};
use p2p_client::{
    protocol::ErrorCode,
    wire::{
        net::{BoxStream, Listener, Network},
        session::{
            CALLS_HEADER, VERSION_HEADER,
            frame::{FrameReader, write_frame},
            message::{Message, write_answer},
        },
        tls::{ALPN_H2, Expect},
    },
};
use p2p_runtime::{identity::TokenOptions, testing::MemoryHost};
use p2p_services::prelude::*;
use serde_json::json;
use tokio::sync::{mpsc, watch};

/// A host that counts the connections which it opens.
struct Counting {
    host: MemoryHost,
    opened: Arc<AtomicUsize>,
}

impl Network for Counting {
    fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        self.opened.fetch_add(1, Relaxed);
        self.host.connect(authority)
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.host.listen(addr)
    }

    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.host.resolve(name)
    }
}

/// Two nodes, and how many connections they have opened.
struct Two {
    cluster: Cluster,
    coordinator: Member,
    worker: Member,
    heavy: Arc<Heavy>,
    opened: Arc<AtomicUsize>,
}

impl Two {
    async fn new() -> Self {
        let (cluster, opened, heavy) = (Cluster::new(), Arc::new(AtomicUsize::new(0)), Arc::new(Heavy::new()));
        let network = |ip| Arc::new(Counting { host: cluster.host(ip), opened: opened.clone() });
        let plan = Plan::coordinator();
        let (enrolment, ip) = (cluster.init(&plan).await.unwrap(), plan.ip);
        let coordinator = cluster.start_with(plan, enrolment, |builder| builder.network(network(ip))).await.unwrap();
        let plan = Plan::worker(1);
        let token = token(&coordinator, TokenOptions::default()).await;
        let (enrolment, ip) = (soon(cluster.join(&plan, &coordinator.authority(), token)).await.unwrap(), plan.ip);
        let worker = cluster
            .start_with(plan, enrolment, |builder| builder.network(network(ip)).serve_shared(heavy.clone()))
            .await
            .unwrap();
        for node in [&coordinator, &worker] {
            sees(node, |members| members.hosting("probe").count() == 2 && members.hosting("heavy").count() == 1).await;
        }
        Self { cluster, coordinator, worker, heavy, opened }
    }

    fn opened(&self) -> usize {
        self.opened.load(Relaxed)
    }
}

/// Gives large results.
struct Heavy {
    begun: watch::Sender<u32>,
    open: watch::Sender<bool>,
}

impl Heavy {
    fn new() -> Self {
        Self { begun: watch::Sender::new(0), open: watch::Sender::new(false) }
    }
}

/// Gives large results.
#[service(version = "1.0.0")]
impl Heavy {
    /// So many letters.
    #[service_method(idempotent)]
    async fn letters(&self, count: usize) -> Result<String> {
        Ok("x".repeat(count))
    }

    /// The same, when the test lets it go on.
    #[service_method]
    async fn letters_later(&self, count: usize) -> Result<String> {
        self.begun.send_modify(|begun| *begun += 1);
        self.open.subscribe().wait_for(|open| *open).await?;
        Ok("x".repeat(count))
    }

    /// How many letters those are.
    #[service_method]
    async fn count(&self, letters: String) -> Result<usize> {
        Ok(letters.len())
    }
}

#[tokio::test]
async fn calls_in_both_directions_share_one_connection() {
    let two = Two::new().await;
    let there = two.coordinator.proxy().probe().on("worker-1");
    let back = two.worker.proxy().probe().on("coordinator");
    let before = two.opened();
    assert_eq!(there.for_nodes(1).await.unwrap(), 1);
    assert_eq!(two.opened(), before + 1, "opened on first use");
    let calls = (0..400_usize).map(|number| {
        let number = u8::try_from(number % 251).unwrap();
        let probe = if number.is_multiple_of(2) { &there } else { &back };
        async move { (number, probe.for_nodes(number).await) }
    });
    for (number, answer) in soon(join_all(calls)).await {
        assert_eq!(answer.unwrap(), number);
    }
    assert_eq!(two.opened(), before + 1, "and kept");
}

#[tokio::test]
async fn large_params_and_results_arrive_whole() {
    let two = Two::new().await;
    let heavy = two.coordinator.proxy().heavy().on("worker-1");
    // Around the size that goes by the session, and far above it.
    for size in [0, 1, 65_532, 65_533, 65_534, 65_535, 65_536, 65_537, 100 * 1024, 3 * 1024 * 1024] {
        let letters = soon(heavy.letters(size)).await.unwrap();
        assert!(letters.len() == size && letters.bytes().all(|letter| letter == b'x'), "{size}");
        assert_eq!(soon(heavy.count(letters)).await.unwrap(), size);
    }
    // Many at a time.
    for letters in soon(join_all((0..20).map(|_| heavy.letters(300_000)))).await {
        assert_eq!(letters.unwrap().len(), 300_000);
    }
}

#[tokio::test]
async fn small_calls_do_not_wait_for_large_results() {
    let two = Two::new().await;
    let heavy = two.coordinator.proxy().heavy().on("worker-1");
    let large = join_all((0..4).map(|_| heavy.letters(3_000_000)));
    let probe = two.coordinator.proxy().probe().on("worker-1");
    let small = join_all((0..100_u8).map(|number| probe.for_nodes(number)));
    let (large, small) = soon(futures::future::join(large, small)).await;
    assert!(large.into_iter().all(|letters| letters.unwrap().len() == 3_000_000));
    assert!(small.into_iter().zip(0..).all(|(answer, number)| answer.unwrap() == number));
}

#[tokio::test]
async fn an_anonymous_caller_that_is_forwarded_over_a_session_stays_anonymous() {
    let two = Two::new().await;
    two.coordinator.proxy().probe().on("worker-1").for_nodes(1).await.unwrap();
    let before = two.opened();
    let nobody = Web::anonymous(two.cluster.host(worker_ip(9)), &two.coordinator);
    let seen = nobody.call_at("/rpc?on=worker-1", "probe/look", json!({})).await.unwrap();
    assert_eq!((&seen["node"], &seen["caller"]), (&json!("worker-1"), &json!("an anonymous caller")));
    // The forwarder does not host it, so that the node at the other end of the session is the one that decides.
    let refused = nobody.call_at("/rpc?on=worker-1", "heavy/letters", json!({ "count": 1 })).await;
    assert_error(refused, ErrorCode::DENIED, &["an anonymous caller may not call heavy/letters"]);
    let operator = Web::operator(two.cluster.dir("coordinator"));
    let seen = operator.call_at("/rpc?on=worker-1", "probe/look", json!({})).await.unwrap();
    assert_eq!(seen["caller"], "node coordinator (coordinator)");
    assert_eq!(two.opened(), before, "all by the session that was there");
}

#[tokio::test]
async fn a_stranger_cannot_end_a_session_by_a_method_whose_name_would_not_fit_into_a_message() {
    let two = Two::new().await;
    let running = tokio::spawn(two.coordinator.proxy().probe().on("worker-1").wait());
    Probe::reached(&two.worker.probe.begun, 1).await;
    let nobody = Web::anonymous(two.cluster.host(worker_ip(9)), &two.coordinator);
    for name in ["x".repeat(100_000), "\u{1}".repeat(20_000)] {
        let refused =
            nobody.call_at("/rpc?on=worker-1", &format!("probe/{name}"), json!({ "letters": "y".repeat(60_000) })).await;
        assert_error(refused, ErrorCode::METHOD_NOT_FOUND, &["service probe has no method"]);
    }
    assert!(!running.is_finished(), "the call of somebody else goes on");
    two.worker.probe.open.send_replace(true);
    assert_eq!(soon(running).await.unwrap().unwrap(), "worker-1");
}

#[tokio::test]
async fn what_a_role_may_call_holds_on_sessions_whoever_opened_them() {
    let two = Two::new().await;
    let before = two.opened();
    let (from_coordinator, from_worker) =
        (two.coordinator.proxy().probe().on("worker-1"), two.worker.proxy().probe().on("coordinator"));
    for _ in 0..2 {
        assert_eq!(from_coordinator.for_coordinators(1).await.unwrap(), 1);
        assert_eq!(from_worker.for_workers(1).await.unwrap(), 1);
        let refused = from_coordinator.for_workers(1).await.unwrap_err();
        let said = "denied: node coordinator (coordinator) may not call probe/for_workers: it is for nodes with the role worker";
        assert_eq!(refused.to_string(), said);
        let refused = from_worker.for_coordinators(1).await.unwrap_err();
        assert!(
            matches!(&refused, CallError::Denied(text) if text.starts_with("node worker-1 (worker) may not call")),
            "{refused}"
        );
    }
    assert_eq!(two.opened(), before + 1);
}

#[tokio::test]
async fn a_call_with_headers_goes_by_http_and_one_without_does_not() {
    let two = Two::new().await;
    let probe = two.coordinator.proxy().probe().on("worker-1");
    probe.for_nodes(1).await.unwrap();
    let before = two.opened();
    assert_eq!(probe.for_nodes(2).header("x-tenant", "a").await.unwrap(), 2);
    assert_eq!(two.opened(), before + 1, "a connection for requests");
    assert_eq!(probe.for_nodes(3).header("x-tenant", "a").await.unwrap(), 3);
    assert_eq!(probe.for_nodes(4).await.unwrap(), 4);
    assert_eq!(two.opened(), before + 1);
    let refused = probe.for_nodes(5).header("p2p-caller", "anonymous").await.unwrap_err();
    assert!(matches!(refused, CallError::InvalidParams(_)) && !refused.is_safe_to_retry(), "{refused:?}");
    assert_eq!(refused.to_string(), "headers that begin with p2p- are the protocol's own; rename p2p-caller");
    // It is no fault of the node's, of which calls are kept away after a failure.
    assert_eq!(probe.for_nodes(6).await.unwrap(), 6);
}

#[tokio::test]
async fn a_header_of_the_caller_arrives_at_whatever_stands_between() {
    let two = Two::new().await;
    let (show, mut seen) = mpsc::unbounded_channel();
    in_place_of_the_worker(&two, move |connection| show_headers(connection, show.clone())).await;
    let probe = two.coordinator.proxy().probe().on("worker-1");
    // The session that there was before is found broken first.
    let called = settled(async || probe.for_nodes(7).header("x-tenant", "acme").header("X-Zone", "north; 2").await).await;
    assert_eq!(called.unwrap(), 7);
    let headers = soon(seen.recv()).await.unwrap();
    assert_eq!((&headers["x-tenant"], &headers["x-zone"]), (&"acme".parse().unwrap(), &"north; 2".parse().unwrap()));
    assert!(
        headers["content-type"].to_str().unwrap().starts_with("application/json"),
        "what is the call's own stays: {headers:?}"
    );

    assert_eq!(probe.for_nodes(8).header("x-tenant", "other").await.unwrap(), 8);
    let headers = soon(seen.recv()).await.unwrap();
    assert_eq!(headers.get_all("x-tenant").iter().collect::<Vec<_>>(), ["other"], "each call has its own");
    assert!(!headers.contains_key("x-zone"));
    assert!(seen.try_recv().is_err(), "each call came once");
}

/// Serves calls by HTTP as a node does that knows no sessions, and shows the headers with which they came.
async fn show_headers(mut connection: server::Connection<BoxStream, Bytes>, show: mpsc::UnboundedSender<http::HeaderMap>) {
    while let Some(Ok((request, respond))) = connection.accept().await {
        if request.uri().path() == "/rpc" {
            let _ = show.send(request.headers().clone());
        }
        answer_by_number(request, respond);
    }
}

#[tokio::test]
async fn a_node_that_is_killed_in_the_middle_of_a_call_and_started_again_is_called_again() {
    let two = Two::new().await;
    let running = tokio::spawn(two.coordinator.proxy().probe().on("worker-1").wait());
    Probe::reached(&two.worker.probe.begun, 1).await;
    two.cluster.network.kill(two.worker.ip);
    let lost = soon(running).await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::Transport { may_have_run: true, .. }), "{lost}");
    let port = two.worker.port();
    two.worker.node.stop().await;
    let not_sent = two.coordinator.proxy().probe().on("worker-1").for_nodes(1).await.unwrap_err();
    assert!(matches!(not_sent, CallError::Transport { may_have_run: false, .. }), "{not_sent}");
    assert!(not_sent.is_safe_to_retry());

    let again = two.cluster.restart(Plan::worker(1)).await;
    assert_eq!(again.port(), port);
    sees(&two.coordinator, |members| members.hosting("probe").count() == 2 && members.alive().count() == 2).await;
    // What waits between attempts is short.
    let answer = soon(async {
        loop {
            match two.coordinator.proxy().probe().on("worker-1").for_nodes(2).await {
                Err(CallError::Transport { may_have_run: false, .. }) => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    });
    assert_eq!(answer.await.unwrap(), 2);
    assert_eq!(*again.probe.counted.borrow(), 1, "it ran once");
}

#[tokio::test]
async fn a_node_that_stops_finishes_what_runs_on_its_sessions() {
    let two = Two::new().await;
    let running = tokio::spawn(two.coordinator.proxy().probe().on("worker-1").wait());
    Probe::reached(&two.worker.probe.begun, 1).await;
    let Member { node, probe, .. } = two.worker;
    let stopping = tokio::spawn(node.stop());
    // Whatever is sent now is not taken, and safe to send elsewhere.
    let refused = soon(async {
        loop {
            if let Err(error) = two.coordinator.proxy().heavy().on("worker-1").letters(1).await {
                return error;
            }
        }
    });
    let refused = refused.await;
    assert!(refused.is_safe_to_retry(), "{refused}");
    probe.open.send_replace(true);
    assert_eq!(soon(running).await.unwrap().unwrap(), "worker-1");
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn a_large_result_of_a_node_that_stops_is_not_lost() {
    let two = Two::new().await;
    let heavy = two.coordinator.proxy().heavy().on("worker-1");
    let running = tokio::spawn(heavy.letters_later(300_000));
    soon(two.heavy.begun.subscribe().wait_for(|begun| *begun == 1)).await.unwrap();
    let stopping = tokio::spawn(two.worker.node.stop());
    soon(async { while heavy.letters(1).await.is_ok() {} }).await;
    two.heavy.open.send_replace(true);
    assert_eq!(soon(running).await.unwrap().unwrap().len(), 300_000);
    soon(stopping).await.unwrap();
}

/// Kills the worker and puts something else in its place, with its certificate. The cluster has not noticed yet.
async fn in_place_of_the_worker<F>(two: &Two, serve: impl Fn(server::Connection<BoxStream, Bytes>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (ip, port, id) = (two.worker.ip, two.worker.port(), identity(&two.worker));
    two.cluster.network.kill(ip);
    let mut listener = two.cluster.host(ip).listen(SocketAddr::new(ip, port)).await.unwrap();
    let tls = id.server_tls().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Gossip finds nobody here.
            if let Ok(accepted) = tls.accept(stream).await
                && accepted.alpn() == Some(ALPN_H2)
                && let Ok(connection) = server::handshake(Box::new(accepted.stream) as BoxStream).await
            {
                tokio::spawn(serve(connection));
            }
        }
    });
}

/// What a call comes to, once the session with the node that was killed is known to be gone.
async fn settled<T>(call: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
    soon(async {
        loop {
            match call().await {
                Err(CallError::Transport { reason, may_have_run: true }) if reason.contains("the connection broke") => {}
                outcome => return outcome,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_node_of_a_version_without_sessions_is_called_by_http() {
    let two = Two::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    in_place_of_the_worker(&two, move |connection| serve_as_before(connection, counter.clone())).await;
    let probe = two.coordinator.proxy().probe().on("worker-1");
    for number in [7, 8, 9] {
        assert_eq!(settled(async || probe.for_nodes(number).await).await.unwrap(), number);
    }
    assert_eq!(asked.load(Relaxed), 1, "it is not asked for a session again at once");
}

/// Serves `POST /rpc` for one method, and knows no other path.
async fn serve_as_before(mut connection: server::Connection<BoxStream, Bytes>, sessions: Arc<AtomicUsize>) {
    while let Some(Ok((request, respond))) = connection.accept().await {
        if request.uri().path() != "/rpc" {
            assert_eq!(request.uri().path(), "/internal/session");
            sessions.fetch_add(1, Relaxed);
        }
        answer_by_number(request, respond);
    }
}

/// Answers `POST /rpc` with the number that the call came with, and all else with 404.
fn answer_by_number(request: Request<h2::RecvStream>, mut respond: server::SendResponse<Bytes>) {
    if request.uri().path() != "/rpc" {
        respond.send_response(Response::builder().status(404).body(()).unwrap(), true).unwrap();
        return;
    }
    let mut body = request.into_body();
    tokio::spawn(async move {
        let mut json = Vec::new();
        while let Some(piece) = body.data().await {
            json.extend_from_slice(&piece.unwrap());
        }
        let call: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(call["method"], "probe/for_nodes");
        let answer = json!({ "jsonrpc": "2.0", "id": call["id"], "result": call["params"]["number"] }).to_string();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from(answer), true).unwrap();
    });
}

#[tokio::test]
async fn a_stream_of_a_node_without_sessions_comes_as_lines_and_one_that_is_cut_is_lost() {
    let two = Two::new().await;
    in_place_of_the_worker(&two, serve_lines).await;
    let open = |end: &'static str| {
        let proxy = two.coordinator.proxy();
        async move { settled(async || proxy.open("probe/lines", json!({ "end": end })).on("worker-1").await).await }
    };
    let mut good = open("good").await.unwrap();
    for expected in ["1", "[2]"] {
        assert_eq!(soon(good.next()).await.unwrap().unwrap().get(), expected);
    }
    assert!(soon(good.next()).await.is_none());
    for (end, said) in
        [("failed", "no more of it"), ("cut", "broke off before its end"), ("nonsense", "neither an item nor its end")]
    {
        let mut bad = open(end).await.unwrap();
        assert_eq!(soon(bad.next()).await.unwrap().unwrap().get(), "1", "{end}");
        assert!(soon(bad.next()).await.unwrap().is_ok(), "{end}");
        let error = soon(bad.next()).await.unwrap().unwrap_err();
        assert!(error.to_string().contains(said), "{end}: {error}");
        assert!(soon(bad.next()).await.is_none(), "{end}");
    }
    match open("none").await {
        Err(CallError::Incompatible(text)) => assert!(text.contains("probe/lines answers once"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// Serves `POST /rpc` with two lines and an end as the params say, in pieces that are no lines; and knows no other path.
async fn serve_lines(mut connection: server::Connection<BoxStream, Bytes>) {
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path() != "/rpc" {
            respond.send_response(Response::builder().status(404).body(()).unwrap(), true).unwrap();
            continue;
        }
        assert_eq!(request.headers()["accept"], "application/x-ndjson");
        let mut body = request.into_body();
        tokio::spawn(async move {
            let mut json = Vec::new();
            while let Some(piece) = body.data().await {
                json.extend_from_slice(&piece.unwrap());
            }
            let call: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let last = match call["params"]["end"].as_str().unwrap() {
                "good" => r#"{"jsonrpc":"2.0","result":null,"id":1}"#,
                "failed" => r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"no more of it"},"id":1}"#,
                "nonsense" => "{}",
                "cut" => "",
                _ => return answer_once(&mut respond),
            };
            let head = Response::builder().header("content-type", "application/x-ndjson").body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            for piece in ["{\"item\"", ":1}\n{\"item\":[2]", "}\n", last] {
                stream.send_data(Bytes::from_static(piece.as_bytes()), false).unwrap();
            }
            stream.send_data(Bytes::new(), true).unwrap();
        });
    }
}

fn answer_once(respond: &mut server::SendResponse<Bytes>) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(br#"{"jsonrpc":"2.0","result":1,"id":1}"#), true).unwrap();
}

#[tokio::test]
async fn a_node_cannot_put_more_into_an_answer_than_its_own_result() {
    let two = Two::new().await;
    in_place_of_the_worker(&two, answer_too_much).await;
    let heavy = two.coordinator.proxy().heavy().on("worker-1");
    let error = settled(async || heavy.count("x".to_owned()).await).await.unwrap_err();
    assert!(!error.is_safe_to_retry(), "{error}");
    // Forwarded to somebody who asked for more: the other answers are not its to give.
    let operator = Web::operator(two.cluster.dir("coordinator"));
    let batch =
        r#"[{"jsonrpc":"2.0","id":1,"method":"heavy/count","params":{}},{"jsonrpc":"2.0","id":2,"method":"probe/nothing"}]"#;
    let answers = operator.rpc(batch).await.json();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 2, "{answers:?}");
    let of = |id: u64| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(of(2)["result"], json!(null));
    assert!(of(1)["error"]["message"].as_str().unwrap().contains("is no JSON"), "{answers:?}");
}

/// Takes a session, and answers each call with a result that closes its message and begins another.
async fn answer_too_much(mut connection: server::Connection<BoxStream, Bytes>) {
    let Some(Ok((request, mut respond))) = connection.accept().await else { return };
    let response = Response::builder().header(VERSION_HEADER, 1).header(CALLS_HEADER, 9).body(()).unwrap();
    let mut send = respond.send_response(response, false).unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let mut receive = request.into_body();
    let mut frames = FrameReader::new(usize::MAX);
    while let Some(Ok(piece)) = receive.data().await {
        receive.flow_control().release_capacity(piece.len()).unwrap();
        frames.push(piece);
        while let Some(frame) = frames.next().unwrap() {
            if let Ok(Message::Call(call)) = Message::parse(frame) {
                let mut out = BytesMut::new();
                write_answer(call.id, Ok(br#"1},{"jsonrpc":"2.0","id":2,"result":"forged""#), &mut out);
                send.send_data(out.freeze(), false).unwrap();
            }
        }
    }
}

/// An HTTP/2 connection to a node, in the name of another.
async fn http2(two: &Two) -> h2::client::SendRequest<Bytes> {
    let tls = identity(&two.worker).client_tls();
    let stream = soon(two.cluster.host(two.worker.ip).connect(&two.coordinator.authority())).await.unwrap();
    let expected = Expect::Node(two.coordinator.id().clone());
    let stream = soon(tls.connect(stream, expected, &[ALPN_H2])).await.unwrap();
    let (requests, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    soon(requests.ready()).await.unwrap()
}

/// Asks for a session in these versions.
async fn ask(requests: &mut h2::client::SendRequest<Bytes>, versions: &str) -> (Response<h2::RecvStream>, h2::SendStream<Bytes>) {
    let request = Request::post("https://coordinator/internal/session")
        .header(VERSION_HEADER, versions)
        .header(CALLS_HEADER, 4)
        .body(())
        .unwrap();
    let (response, send) = requests.send_request(request, false).unwrap();
    (soon(response).await.unwrap(), send)
}

/// All that comes in on a session until it ends.
async fn rest(mut receive: h2::RecvStream) -> String {
    let mut all = Vec::new();
    while let Some(Ok(piece)) = soon(receive.data()).await {
        receive.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_session_is_opened_in_a_version_that_both_ends_speak_and_once_a_connection() {
    let two = Two::new().await;
    let mut requests = http2(&two).await;
    for versions in ["2", "0, 9", "", "one"] {
        let (refused, _) = ask(&mut requests, versions).await;
        assert_eq!(refused.status(), 426, "{versions:?}");
        assert_eq!(refused.headers()["p2p-reason"], "none of the offered versions of the session protocol is spoken here");
    }
    let (opened, _send) = ask(&mut requests, "9, 1").await;
    assert_eq!(
        (opened.status().as_u16(), &opened.headers()[VERSION_HEADER], &opened.headers()[CALLS_HEADER]),
        (200, &"1".parse().unwrap(), &"1024".parse().unwrap())
    );
    let (refused, _) = ask(&mut requests, "1").await;
    assert_eq!(refused.status(), 409);
    assert_eq!(refused.headers()["p2p-reason"], "there is a session on this connection already");
}

#[tokio::test]
async fn nobody_without_a_nodes_certificate_gets_a_session_and_the_audit_log_tells_who_asked() {
    let two = Two::new().await;
    let log = Log::capture();
    let nobody = Web::anonymous(two.cluster.host(worker_ip(9)), &two.coordinator).header(VERSION_HEADER, "1");
    for web in [nobody.clone(), nobody.over_http2()] {
        let refused = web.post("/internal/session", "").await;
        assert_eq!((refused.status.as_u16(), refused.error().0), (403, ErrorCode::DENIED.0));
        let said = "an anonymous caller may not use /internal/session: it is for nodes, each by the certificate that it shows";
        assert!(refused.error().1.starts_with(said), "{:?}", refused.error());
        assert_eq!(refused.headers["p2p-reason"], "no certificate is shown");
    }
    let lines = log.audit();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for part in [r#"who="an anonymous caller""#, r#"what="/internal/session""#, r#"outcome="denied""#, r#"from="10."#] {
        assert!(lines.iter().all(|line| line.contains(part)), "{part} in {lines:#?}");
    }
    // A node that comes without HTTP/2 is told what it takes, and that is no denial.
    let node = Web::node(two.cluster.host(two.worker.ip), &two.coordinator, &two.worker);
    let told = node.post("/internal/session", "").await;
    assert_eq!((told.status.as_u16(), &told.headers["p2p-reason"]), (426, &"it was asked for over HTTP/1.1".parse().unwrap()));
    assert_eq!(told.error().1, "a session is two streams of HTTP/2; agree on h2 in the handshake, and ask again");
    assert_eq!(log.audit().len(), 2, "{:#?}", log.audit());
}

#[tokio::test]
async fn a_node_tells_a_peer_that_breaks_the_rules_why_and_goes_on_with_the_others() {
    let two = Two::new().await;
    let good = two.worker.proxy().probe().on("coordinator");
    assert_eq!(good.for_nodes(1).await.unwrap(), 1);
    let call = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"probe/wait","params":{{}}}}"#);
    let cases: [(Vec<Vec<u8>>, &str); 4] = [
        (vec![b"hello".to_vec()], "a message is no JSON-RPC 2.0"),
        (vec![b"\xff".to_vec()], "a message is not UTF-8"),
        (vec![call(7).into(), call(7).into()], "the call id 7 was used before"),
        ((1..=1_025).map(|id| call(id).into()).collect(), "more than 1024 calls at a time"),
    ];
    for (messages, said) in cases {
        let (opened, mut send) = ask(&mut http2(&two).await, "1").await;
        let mut out = BytesMut::new();
        for message in messages {
            write_frame(&mut out, |out| out.extend_from_slice(&message));
        }
        send.send_data(out.freeze(), false).unwrap();
        let told = rest(opened.into_body()).await;
        assert!(told.contains(r#""method":"$/goaway""#) && told.contains(said), "{told:?} does not say {said:?}");
        assert_eq!(good.for_nodes(2).await.unwrap(), 2);
    }
    // One that is cut off in the middle of a message, and all that was begun is dropped.
    let (_, mut send) = ask(&mut http2(&two).await, "1").await;
    send.send_data(Bytes::from_static(&[0, 0, 0, 9, b'{']), true).unwrap();
    let begun = *two.coordinator.probe.begun.borrow();
    Probe::reached(&two.coordinator.probe.dropped, begun).await;
    assert_eq!(good.for_nodes(3).await.unwrap(), 3);
    assert!(Web::operator(two.cluster.dir("coordinator")).is_served().await);
}
