mod early;
mod security;

use std::{
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use axum::{Extension, Router, extract::Request, routing::get};
use bytes::Bytes;
use http_body_util::Full;
use p2p_client::{
    protocol::{CallerId, ClusterId, Role},
    wire::{
        dial::{Dial, DialError, Dialled, PeerRef},
        http::{RequestLimits, one_shot},
        net::Network,
        pool::HttpPool,
        tls::ChannelBinding,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::Instant,
};

use super::*;
use crate::{
    audit::{Subject, Whence},
    identity::tests::AuditLines,
    transport::{HandshakeError, MemoryHost, MemoryNetwork, NoSessions, RemoteAddr},
};

/// Takes the first byte for the protocol: `1`, `2` or `g`; `n` is HTTP/2 by a client without a certificate; `e`, `h` and `m` are HTTP/2, HTTP/1
/// and membership by a node whose certificate ends in three seconds; `x` is refused; `l` is refused with a certificate that has the name and the
/// cluster in it that the next four bytes make up. So tests need no certificates.
struct FirstByte;

fn node() -> PeerIdentity {
    PeerIdentity { node_id: "w".parse().unwrap(), role: Role::Worker, cluster: ClusterId::from_root_key_hash(&[1; 32]) }
}

impl Handshake for FirstByte {
    fn secure(&self, mut stream: BoxStream) -> BoxFuture<'_, Result<Secured, HandshakeError>> {
        Box::pin(async move {
            let said = stream.read_u8().await.unwrap_or(0);
            let expires = b"ehm".contains(&said).then(|| SystemTime::now() + Duration::from_millis(3_500));
            let protocol = match said {
                b'1' | b'h' => Protocol::Http1,
                b'2' | b'e' | b'n' => Protocol::Http2,
                b'g' | b'm' => Protocol::Gossip,
                b'x' => return Err(TlsError::Revoked.into()),
                b'l' => return Err(liar(stream.read_u32().await.unwrap_or(0))),
                _ => return Err(HandshakeError::UnknownProtocol { protocol: "?".into() }),
            };
            let peer = (said != b'n').then(node);
            let binding = Some(ChannelBinding::from_bytes([7; 32]));
            Ok(Secured { stream, protocol, peer, expires, chain: Vec::new(), binding })
        })
    }
}

/// Somebody who makes up all that he shows.
fn liar(number: u32) -> HandshakeError {
    let cluster = |number: u32| ClusterId::from_root_key_hash(&number.to_be_bytes().repeat(8).try_into().unwrap());
    let source = match number % 2 {
        0 => TlsError::WrongCluster { ours: cluster(u32::MAX), theirs: cluster(number) },
        _ => TlsError::NotANode { reason: format!("it is {number}") },
    };
    HandshakeError::InName { node_id: format!("liar-{number}").parse().unwrap(), role: Role::Coordinator, source }
}

/// Says who came, and keeps the connection until the peer closes it.
#[derive(Default)]
struct Greets(Mutex<Vec<PeerIdentity>>);

impl GossipAcceptor for Greets {
    fn accept(&self, peer: PeerIdentity, mut stream: BoxStream) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().push(peer);
        Box::pin(async move {
            stream.write_all(b"welcome").await.unwrap();
            let _ = stream.read_u8().await;
        })
    }
}

struct Fixture {
    network: MemoryNetwork,
    client: MemoryHost,
    http: HttpHandler,
    gossip: Arc<Greets>,
    shutdown: CancellationToken,
    audit: AuditLog,
    serving: tokio::task::JoinHandle<()>,
}

const SERVER: &str = "10.0.0.1:8001";

async fn start(limits: ListenerLimits) -> Fixture {
    let network = MemoryNetwork::new();
    let listener = network.host([10, 0, 0, 1]).listen(SERVER.parse().unwrap()).await.unwrap();
    let (http, gossip, shutdown) = (HttpHandler::default(), Arc::new(Greets::default()), CancellationToken::new());
    let audit = AuditLog::default();
    let server = Server {
        handshake: Arc::new(FirstByte),
        http: http.clone(),
        gossip: gossip.clone(),
        sessions: Arc::new(NoSessions),
        limits,
        audit: audit.clone(),
    };
    let serving = tokio::spawn(serve(listener, server, shutdown.clone()));
    Fixture { client: network.host([10, 0, 0, 2]), network, http, gossip, shutdown, audit, serving }
}

impl Fixture {
    async fn connect(&self, protocol: u8) -> BoxStream {
        self.connect_from(&self.client, protocol).await
    }

    async fn connect_from(&self, client: &MemoryHost, protocol: u8) -> BoxStream {
        let mut stream = client.connect(SERVER).await.unwrap();
        stream.write_all(&[protocol]).await.unwrap();
        stream
    }

    async fn send(&self, request: http::request::Builder, body: &'static str) -> http::Response<Bytes> {
        let request = request.body(Full::from(body)).unwrap();
        one_shot(self.connect(b'1').await, request, RequestLimits::default()).await.unwrap()
    }

    async fn get(&self) -> http::Response<Bytes> {
        self.send(http::Request::get("/"), "").await
    }
}

impl Dial for Fixture {
    fn dial<'a>(&'a self, _: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
        Box::pin(async { Ok(self.connect(b'2').await.into()) })
    }
}

/// Waits for the other end to close, and says after how long and what it said.
async fn until_closed(mut stream: BoxStream) -> (u64, Vec<u8>) {
    let (began, mut said) = (Instant::now(), Vec::new());
    stream.read_to_end(&mut said).await.unwrap();
    (began.elapsed().as_secs(), said)
}

#[tokio::test]
async fn until_there_are_routes_every_request_gets_503_and_when_to_come_again() {
    let fixture = start(ListenerLimits::default()).await;
    let response = fixture.get().await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let said = std::str::from_utf8(response.body()).unwrap();
    assert!(said.contains("-32007") && said.contains("starting or stopping"), "{said}");

    fixture.http.set(Router::new().route("/", get(|| async { "ready" })));
    assert_eq!(fixture.get().await.body(), "ready");
    fixture.http.clear();
    assert_eq!(fixture.get().await.status(), 503);
}

#[tokio::test]
async fn a_request_carries_where_it_came_from() {
    async fn show(request: Request) -> String {
        let found = request.extensions();
        let ip: Option<IpAddr> = found.get::<RemoteAddr>().map(|remote| remote.0.ip());
        let node = found.get::<PeerIdentity>().map(|peer| peer.node_id.to_string());
        let binding = found.get::<ChannelBinding>().map(|binding| binding.as_bytes()[0]);
        format!("{:?} {ip:?} {node:?} {binding:?}", found.get::<Ingress>().unwrap())
    }
    let fixture = start(ListenerLimits::default()).await;
    fixture.http.set(Router::new().route("/", get(show)));
    assert_eq!(fixture.get().await.body(), r#"Tls Some(10.0.0.2) Some("w") Some(7)"#);
}

#[tokio::test]
async fn http2_is_served_where_it_was_agreed_on() {
    let fixture = start(ListenerLimits::default()).await;
    fixture.http.set(Router::new().route("/", get(|request: Request| async move { format!("{:?}", request.version()) })));
    let peer = PeerRef { node_id: "a".parse().unwrap(), authority: SERVER.into() };
    let pool = HttpPool::new(Arc::new(fixture));
    let request = http::Request::get("/").body(Full::default()).unwrap();
    assert_eq!(pool.request(&peer, request, RequestLimits::default()).await.unwrap().body(), "HTTP/2.0");
}

#[tokio::test]
async fn membership_connections_go_to_their_acceptor_with_the_peers_identity() {
    let fixture = start(ListenerLimits::default()).await;
    let mut stream = fixture.connect(b'g').await;
    let mut said = [0; 7];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!((&said, &fixture.gossip.0.lock().unwrap()[..]), (b"welcome", &[node()][..]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_the_certificate_of_its_node_does() {
    let fixture = start(ListenerLimits::default()).await;
    let mut stream = fixture.connect(b'e').await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    // Preface and SETTINGS (RFC 9113, 6.5), so that it is a connection in order.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let (seconds, said) = until_closed(stream).await;
    assert!((3..=4).contains(&seconds), "it ended after {seconds} s; {said:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_of_every_other_kind_end_when_their_certificate_does_too() {
    let fixture = start(ListenerLimits::default()).await;
    for protocol in [b'h', b'm'] {
        let (seconds, _) = until_closed(fixture.connect(protocol).await).await;
        assert!((3..=4).contains(&seconds), "{} ended after {seconds} s", char::from(protocol));
    }
}

#[tokio::test]
async fn headers_over_the_limit_get_431() {
    let fixture = start(ListenerLimits::default()).await;
    let mut many = fixture.connect(b'1').await;
    many.write_all(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101)).as_bytes()).await.unwrap();
    let (_, said) = until_closed(many).await;
    assert!(said.starts_with(b"HTTP/1.1 431"), "{said:?}");
    let mut long = fixture.connect(b'1').await;
    long.write_all(format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(17 * 1024)).as_bytes()).await.unwrap();
    let (_, said) = until_closed(long).await;
    assert!(said.starts_with(b"HTTP/1.1 431"), "{said:?}");
}

#[tokio::test]
async fn beyond_the_most_connections_new_ones_are_closed_until_some_end() {
    let fixture = start(ListenerLimits { max_connections: 2, ..ListenerLimits::default() }).await;
    let mut kept = [fixture.connect(b'g').await, fixture.connect(b'g').await];
    for stream in &mut kept {
        assert_eq!(stream.read_u8().await.unwrap(), b'w');
    }
    let mut third = fixture.client.connect(SERVER).await.unwrap();
    assert_eq!(third.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(fixture.gossip.0.lock().unwrap().len(), 2);
    drop(kept);
    while fixture.connect(b'g').await.read_u8().await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// An HTTP/2 frame (RFC 9113, 4.1) that says only what a test has to know of it.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

async fn write_frame(to: &mut BoxStream, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    to.write_all(&[&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()).await.unwrap();
}

async fn read_frame(from: &mut BoxStream) -> Frame {
    let mut head = [0; 9];
    from.read_exact(&mut head).await.unwrap();
    let [a, b, c, kind, _, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]).try_into().unwrap()];
    from.read_exact(&mut payload).await.unwrap();
    Frame { kind, stream: u32::from_be_bytes(stream), payload }
}

async fn read_frame_of(from: &mut BoxStream, kinds: &[u8]) -> Frame {
    loop {
        let frame = read_frame(from).await;
        if kinds.contains(&frame.kind) {
            return frame;
        }
    }
}

/// A client that does not keep to what it is told opens one stream more. Nodes and strangers have connections of different make.
#[tokio::test]
async fn beyond_the_most_streams_a_new_one_is_refused_and_the_others_of_the_connection_go_on() {
    for protocol in [b'2', b'n'] {
        let fixture = start(ListenerLimits { max_streams: 2, ..ListenerLimits::default() }).await;
        let (open, begun) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let waits = {
            let (open, begun) = (open.clone(), begun.clone());
            move || async move {
                begun.fetch_add(1, Ordering::Relaxed);
                open.notified().await;
                "done"
            }
        };
        fixture.http.set(Router::new().route("/", get(waits)));
        let mut stream = fixture.connect(protocol).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        write_frame(&mut stream, SETTINGS, 0, 0, b"").await;
        // GET https://a/ by the static table (RFC 7541, appendix A), with nothing to follow.
        for id in [1, 3, 5] {
            write_frame(&mut stream, HEADERS, 0b101, id, b"\x82\x87\x84\x41\x01a").await;
        }
        // REFUSED_STREAM: nothing was done, it may be asked again.
        let refused = read_frame_of(&mut stream, &[RST_STREAM, HEADERS]).await;
        assert_eq!(refused, Frame { kind: RST_STREAM, stream: 5, payload: 7_u32.to_be_bytes().to_vec() });
        while begun.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        open.notify_waiters();
        let answered = [read_frame_of(&mut stream, &[HEADERS]).await.stream, read_frame_of(&mut stream, &[HEADERS]).await.stream];
        assert!(answered == [1, 3] || answered == [3, 1], "{answered:?}");
        assert_eq!(begun.load(Ordering::Relaxed), 2, "the third never ran");
    }
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_own_request_only() {
    async fn broken() -> &'static str {
        panic!("on purpose")
    }
    let fixture = start(ListenerLimits::default()).await;
    fixture.http.set(Router::new().route("/", get(|| async { "fine" })).route("/broken", get(broken)));
    let response = fixture.send(http::Request::get("/broken"), "").await;
    assert_eq!(response.status(), 500);
    assert!(!response.body().windows(10).any(|said| said == b"on purpose"), "what went wrong inside is not told");
    assert_eq!(fixture.get().await.body(), "fine");
}

/// A route that says when it was called, and answers when it is told to.
fn slow_route(taken: &Arc<Notify>, go_on: &Arc<Notify>) -> Router {
    let shared = (taken.clone(), go_on.clone());
    let slow = |Extension((taken, go_on)): Extension<(Arc<Notify>, Arc<Notify>)>| async move {
        taken.notify_one();
        go_on.notified().await;
        "finished"
    };
    Router::new().route("/", get(slow)).layer(Extension(shared))
}

#[tokio::test]
async fn shutdown_finishes_the_running_request_and_takes_no_new_connection() {
    let fixture = start(ListenerLimits::default()).await;
    let (taken, go_on) = (Arc::default(), Arc::default());
    fixture.http.set(slow_route(&taken, &go_on));
    let (response, ()) = tokio::join!(fixture.get(), async {
        taken.notified().await;
        fixture.shutdown.cancel();
        while fixture.client.connect(SERVER).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go_on.notify_one();
    });
    assert_eq!(response.body(), "finished");
    fixture.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_still_running_after_the_grace_period_is_ended() {
    let fixture = start(ListenerLimits::default()).await;
    let (taken, go_on) = (Arc::default(), Arc::default());
    fixture.http.set(slow_route(&taken, &go_on));
    let mut stream = fixture.connect(b'1').await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    taken.notified().await;
    let began = Instant::now();
    fixture.shutdown.cancel();
    fixture.serving.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(until_closed(stream).await.1, b"");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_refused_handshakes_are_a_few_lines_of_the_audit_log_and_all_are_counted() {
    let lines = AuditLines::capture();
    let fixture = start(ListenerLimits::default()).await;
    for _ in 0..1_000 {
        fixture.connect(b'x').await.read_to_end(&mut Vec::new()).await.unwrap();
    }
    fixture.shutdown.cancel();
    fixture.serving.await.unwrap();
    let written = lines.take();
    assert_eq!(written.len(), 5, "{written:#?}");
    for part in
        ["what=\"handshake\" ", "from=\"10.0.0.2\" ", "outcome=\"denied\" ", "reason=\"the other end's certificate was revoked"]
    {
        assert!(written.iter().all(|line| line.contains(part)), "{part} in {written:#?}");
    }
    counted(&fixture.audit).await;
    let counts = lines.take();
    assert!(matches!(&*counts, [line] if line.contains("repeated=995")), "{counts:#?}");
}

/// Everything that is counted, told at the end.
async fn counted(audit: &AuditLog) {
    let stopped = CancellationToken::new();
    stopped.cancel();
    audit.clone().keep(stopped).await;
}

/// The times that lines which count say.
fn times(lines: &[String]) -> u64 {
    lines.iter().filter_map(|line| line.split("repeated=").nth(1)?.trim().parse::<u64>().ok()).sum()
}

#[tokio::test(start_paused = true)]
async fn whoever_makes_up_names_and_addresses_in_handshakes_hides_no_other_denial() {
    let lines = AuditLines::capture();
    let fixture = start(ListenerLimits::default()).await;
    for number in 0..1_000_u32 {
        let liar = fixture.network.host(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 1, u16::try_from(number).unwrap()));
        let mut stream = fixture.connect_from(&liar, b'l').await;
        stream.write_u32(number).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let refused = |who: &CallerId, from: &str| {
        let from = Whence::Address(from.parse().unwrap());
        let subject = Subject { who, what: "probe/for_nodes", whom: None, from: &from, trace: None, origin: None };
        fixture.audit.denied(subject, None);
    };
    refused(&CallerId::Anonymous, "10.0.0.3");
    refused(&CallerId::Node { id: node().node_id, role: Role::Worker }, "2001:db8:0:7::1");
    let written = lines.take();
    let (calls, handshakes): (Vec<_>, Vec<_>) = written.iter().partition(|line| line.contains("what=\"probe/for_nodes\""));
    assert!(
        matches!(&*calls, [one, other] if one.contains("an anonymous caller") && other.contains("node w (worker)")),
        "{calls:#?}"
    );
    assert_eq!(handshakes.len(), 10, "five of each kind of refusal: {handshakes:#?}");
    for part in ["whom=\"node liar-1 (coordinator)\" ", "from=\"2001:db8:0:7::1:1\" ", "it is 1\""] {
        assert!(handshakes[1].contains(part), "{part} in {}", handshakes[1]);
    }
    counted(&fixture.audit).await;
    let counts = lines.take();
    assert!(
        counts.iter().all(|line| line.contains("from=\"2001:db8:0:7::/64\" ") && line.contains("whom=\"-\" ")),
        "{counts:#?}"
    );
    assert_eq!((counts.len(), times(&counts)), (2, 990), "{counts:#?}");
}

#[tokio::test(start_paused = true)]
async fn handshakes_from_many_networks_are_bounded_and_counted_as_well() {
    let lines = AuditLines::capture();
    let fixture = start(ListenerLimits::default()).await;
    for number in 0..1_000_u16 {
        let host = fixture.network.host(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 1));
        fixture.connect_from(&host, b'x').await.read_to_end(&mut Vec::new()).await.unwrap();
    }
    assert_eq!(lines.take().len(), 50);
    counted(&fixture.audit).await;
    let counts = lines.take();
    assert!(matches!(&*counts, [line] if line.contains("who=\"several\"") && line.contains("what=\"handshake\"")), "{counts:#?}");
    assert_eq!(times(&counts), 950);
}

#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_without_a_handshake_is_no_line_of_the_audit_log() {
    let lines = AuditLines::capture();
    let fixture = start(ListenerLimits::default()).await;
    drop(fixture.client.connect(SERVER).await.unwrap());
    fixture.connect(b'?').await.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(fixture.get().await.status(), http::StatusCode::SERVICE_UNAVAILABLE, "the next one is served");
    fixture.shutdown.cancel();
    fixture.serving.await.unwrap();
    assert_eq!(lines.take(), [""; 0]);
}

/// Fails a few times as a system out of file descriptors does, then says nothing.
struct OutOfFiles(Arc<AtomicUsize>);

impl Listener for OutOfFiles {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(io::Error::from_raw_os_error(24)) })
    }

    fn local_addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }
}

#[tokio::test(start_paused = true)]
async fn out_of_file_descriptors_the_loop_waits_instead_of_spinning() {
    let tries = Arc::new(AtomicUsize::new(0));
    let server = Server {
        handshake: Arc::new(FirstByte),
        http: HttpHandler::default(),
        gossip: Arc::new(Greets::default()),
        sessions: Arc::new(NoSessions),
        limits: ListenerLimits::default(),
        audit: AuditLog::default(),
    };
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(Box::new(OutOfFiles(tries.clone())), server, shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await; // of paused time
    shutdown.cancel();
    serving.await.unwrap();
    let tries = tries.load(Ordering::Relaxed);
    assert!((10..30).contains(&tries), "{tries} tries in 10 s");
}
