//! Many idle connections to one node.
//!
//! The node is a process of its own, started anew for each kind of connection; what is measured is `VmRSS` of
//! /proc/PID/status, before and after the connections came. What the system holds for their sockets is not in it. The node's limits
//! are its defaults, but for the time after which an HTTP/1 connection without requests is closed, since here it has to stay, and for
//! how many requests it takes of one address, since all come from one. Another node calls it before they come and while they are there:
//! how long its first call takes, with connecting, TLS and opening the session, and how many calls a second follow.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use h2::client::SendRequest;
use p2p_bench::{heap::held, stats::table};
use p2p_client::wire::{
    dial::{Dial, PeerRef, TlsDial},
    net::{BoxStream, Network, TcpNetwork},
    session::{ServesNobody, Session, SessionLimits, connect},
    tls::{ALPN_H2, ALPN_HTTP1, ClientTls, Expect, TlsMaterial},
};
use p2p_runtime::{
    config::RateLimitConfig,
    identity::{NodeIdentity, TokenOptions},
    node::{Enrolment, InitOptions, JoinClusterOptions, init, join},
    transport::ListenerLimits,
};
use p2p_services::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the project set itself for a connection, in bytes.
const TARGET: i64 = 32 * 1024;
/// Connections that come first and stay, so that what a process allocates once is not counted.
const WARM_UP: usize = 100;
/// How many connections are opened at a time.
const AT_ONCE: usize = 32;
/// Files that are open besides connections.
const OTHER_FILES: usize = 200;
/// How long the node is left alone before it is looked at: several pings go over each connection meanwhile.
const SETTLE: Duration = Duration::from_secs(12);
const LONG: Duration = Duration::from_mins(30);
/// How many calls are under way at a time where calls are counted, and for how long they are.
const CALLS_AT_ONCE: usize = 64;
const COUNTED: Duration = Duration::from_secs(2);
/// What is asked, and what answers it.
const ASKED: &[u8] = br#"{"text":"about forty bytes of JSON"}"#;
const ANSWERED: &[u8] = br#""about forty bytes of JSON""#;

/// What the other node calls.
#[derive(Default)]
struct Echo;

#[service(version = "1.0.0")]
impl Echo {
    /// Gives the text back.
    #[service_method(read_only)]
    async fn echo(&self, text: String) -> Result<String> {
        Ok(text)
    }
}

/// The measured process: a node, which says on request how many bytes of its heap are in use.
#[tokio::main]
pub(crate) async fn run_node(dir: &Path) -> Result<()> {
    let limits = ListenerLimits { header_timeout: LONG, max_per_address: usize::MAX, ..ListenerLimits::default() };
    let enrolment = Enrolment::open(dir, password()?).await?;
    let builder = Node::builder().enrolment(enrolment).listener_limits(limits);
    // All of them come from one address, and each asks once.
    let node = builder.rate_limit(raised()).serve(Echo).start().await?;
    let token = node.issuer().ok_or_else(|| Error::msg("the first node issues tokens"))?;
    println!("{} {}", node.authority(), token.create_token(TokenOptions::default()).await?.reveal().as_str());
    tokio::task::spawn_blocking(|| std::io::stdin().lines().map_while(Result::ok).for_each(|_| println!("{}", held()))).await?;
    node.stop().await;
    Ok(())
}

/// Limits that are looked at for each call, and never reached.
fn raised() -> RateLimitConfig {
    const MANY: u64 = 1_000_000_000;
    RateLimitConfig {
        rpc_requests: MANY,
        rpc_burst: MANY,
        health_requests: MANY,
        health_burst: MANY,
        node_requests: MANY,
        ..RateLimitConfig::default()
    }
}

pub(crate) fn measure(wanted: usize, files: usize) -> Result<()> {
    // The node holds as many files as this process.
    let count = wanted.min(files.saturating_sub(OTHER_FILES + WARM_UP));
    println!("{count} idle connections to one node, over TLS on loopback, {} s after the last one came", SETTLE.as_secs());
    if count < wanted {
        println!("({wanted} were wanted, but no more than {files} files can be open: raise `ulimit -n`)");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = Kind::ALL.into_iter().map(|kind| runtime.block_on(kind.measure(count))).collect::<Result<Vec<_>>>()?;
    let head =
        ["connection", "KiB resident", "KiB heap", "target", "opened/s", "first call ms before, with", "calls/s before, with"];
    println!("{}", table(&head, &rows));
    Ok(())
}

/// What is done with a connection before it is left alone.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A node's, with its session.
    Session,
    /// A stranger's by HTTP/1.1, after one request.
    Http1,
    /// A stranger's by HTTP/2, after one request.
    Http2,
}

/// A connection that is kept.
enum Kept {
    Session(Session),
    Http1(Box<tokio_rustls::client::TlsStream<BoxStream>>),
    Http2(SendRequest<Bytes>),
}

/// How quickly the node answers another one.
struct Calls {
    first_ms: f64,
    per_s: f64,
}

/// By what the node is reached.
struct Client {
    peer: PeerRef,
    node: TlsDial,
    stranger: ClientTls,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Session, Self::Http1, Self::Http2];

    fn name(self) -> &'static str {
        match self {
            Self::Session => "a node's, with an open session",
            Self::Http1 => "anonymous HTTP/1.1, kept alive after a request",
            Self::Http2 => "anonymous HTTP/2, after a request",
        }
    }

    async fn measure(self, count: usize) -> Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let server_dir = folder.path().join("server");
        let made = init(InitOptions {
            dir: server_dir.clone(),
            password: password()?,
            node_id: None,
            advertise: Some("127.0.0.1".parse()?),
            listen: Some("127.0.0.1:0".parse()?),
            capabilities: Vec::new(),
        })
        .await?;
        let node_id = made.enrolment.identity.peer().node_id.clone();
        // Only one process at a time may have the store open.
        drop(made);
        let mut server = NodeProcess::spawn(&server_dir)?;
        let line = server.line()?;
        let (authority, token) = line.trim().split_once(' ').ok_or_else(|| Error::msg("the node did not say where it is"))?;
        let options = JoinClusterOptions {
            advertise: Some("127.0.0.1".parse()?),
            listen: Some("127.0.0.1:0".parse()?),
            ..JoinClusterOptions::new(folder.path().join("client"), password()?, authority, token.parse()?)
        };
        let joined = join(options).await?;
        let client = Client::new(PeerRef { node_id, authority: authority.into() }, &joined.enrolment.identity);

        let mut kept = client.open(self, WARM_UP).await?;
        let before = client.calls().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (resident, heap) = (server.resident()?, server.heap()?);
        let began = Instant::now();
        kept.extend(client.open(self, count).await?);
        let took = began.elapsed();
        tokio::time::sleep(SETTLE).await;
        let (resident, heap) = (server.resident()? - resident, server.heap()? - heap);
        let with = client.calls().await?;
        client.use_all(kept).await?;
        let each = resident / i64::try_from(count)?;
        Ok(vec![
            self.name().to_owned(),
            super::kib(resident, count),
            super::kib(heap, count),
            format!("{} {}", TARGET / 1024, if each <= TARGET { "met" } else { "MISSED" }),
            format!("{:.0}", f64::from(u32::try_from(count)?) / took.as_secs_f64()),
            format!("{:.1}, {:.1}", before.first_ms, with.first_ms),
            format!("{:.0}, {:.0}", before.per_s, with.per_s),
        ])
    }
}

impl Client {
    fn new(peer: PeerRef, identity: &NodeIdentity) -> Self {
        let stranger = ClientTls::new(TlsMaterial::trusting(identity.root().clone()));
        Self { peer, node: TlsDial::new(Arc::new(TcpNetwork), identity.client_tls()), stranger }
    }

    async fn open(&self, kind: Kind, count: usize) -> Result<Vec<Kept>> {
        stream::iter((0..count).map(|_| self.open_one(kind))).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Calls it on a session of its own.
    async fn calls(&self) -> Result<Calls> {
        let began = Instant::now();
        let session = self.open_session().await?;
        echo(&session).await?;
        let first_ms = began.elapsed().as_secs_f64() * 1e3;
        let began = Instant::now();
        let callers = (0..CALLS_AT_ONCE).map(|_| async {
            let mut calls = 0_u32;
            while began.elapsed() < COUNTED {
                echo(&session).await?;
                calls += 1;
            }
            Ok::<_, Error>(calls)
        });
        let calls: u32 = try_join_all(callers).await?.into_iter().sum();
        let per_s = f64::from(calls) / began.elapsed().as_secs_f64();
        session.leave("the bench is done with it");
        session.ended().await;
        Ok(Calls { first_ms, per_s })
    }

    async fn open_session(&self) -> Result<Session> {
        let dialled = self.node.dial(&self.peer).await?;
        let limits = SessionLimits { idle: LONG, ..SessionLimits::default() };
        Ok(connect::open(dialled.stream, &self.peer, dialled.expires, limits, Arc::new(ServesNobody)).await?)
    }

    async fn open_one(&self, kind: Kind) -> Result<Kept> {
        match kind {
            Kind::Session => Ok(Kept::Session(self.open_session().await?)),
            Kind::Http1 => {
                let mut stream = Box::new(self.connect_as_stranger(ALPN_HTTP1).await?);
                get_by_http1(&mut stream).await?;
                Ok(Kept::Http1(stream))
            }
            Kind::Http2 => {
                let stream = self.connect_as_stranger(ALPN_H2).await?;
                let (requests, connection) = h2::client::handshake(stream).await?;
                tokio::spawn(connection);
                self.get_by_http2(requests.clone()).await?;
                Ok(Kept::Http2(requests))
            }
        }
    }

    async fn connect_as_stranger(&self, alpn: &[u8]) -> Result<tokio_rustls::client::TlsStream<BoxStream>> {
        let stream = TcpNetwork.connect(&self.peer.authority).await?;
        Ok(self.stranger.connect(stream, Expect::Node(self.peer.node_id.clone()), &[alpn]).await?)
    }

    async fn get_by_http2(&self, requests: SendRequest<Bytes>) -> Result<()> {
        let request = http::Request::get(format!("https://{}/health", self.peer.authority)).body(())?;
        let (response, _) = requests.ready().await?.send_request(request, true)?;
        let response = response.await?;
        let status = response.status();
        let mut body = response.into_body();
        while let Some(piece) = body.data().await {
            body.flow_control().release_capacity(piece?.len())?;
        }
        if status.is_success() { Ok(()) } else { Err(Error::msg(format!("the node answered {status}"))) }
    }

    /// Makes sure that every connection was there all the time, and still is.
    async fn use_all(&self, kept: Vec<Kept>) -> Result<()> {
        for one in kept {
            match one {
                Kept::Session(session) if session.is_open() && !session.is_over() => {}
                Kept::Session(session) => return Err(Error::msg(format!("a session had ended: {}", session.ended().await))),
                Kept::Http1(mut stream) => get_by_http1(&mut stream).await?,
                Kept::Http2(requests) => self.get_by_http2(requests).await?,
            }
        }
        Ok(())
    }
}

async fn echo(session: &Session) -> Result<()> {
    super::call(session, "echo/echo", ASKED, ANSWERED).await
}

async fn get_by_http1(stream: &mut tokio_rustls::client::TlsStream<BoxStream>) -> Result<()> {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: node\r\n\r\n").await?;
    stream.flush().await?;
    let (mut got, mut piece) = (Vec::new(), [0; 2048]);
    loop {
        let length = stream.read(&mut piece).await?;
        got.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&got);
        let length_of = |head: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            line.and_then(|length| length.trim().parse::<usize>().ok())
        };
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if length_of(head) == Some(body.len()) => {
                return if head.starts_with("HTTP/1.1 200") {
                    Ok(())
                } else {
                    Err(Error::msg(format!("the node answered {text}")))
                };
            }
            _ if length == 0 => return Err(Error::msg(format!("the connection ended after {text:?}"))),
            _ => {}
        }
    }
}

/// The measured process. It ends with the value.
struct NodeProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl NodeProcess {
    fn spawn(dir: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("node").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::msg("the node has no input or output"));
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    /// The bytes of its heap that are in use.
    fn heap(&mut self) -> Result<i64> {
        self.input.write_all(b"heap\n")?;
        Ok(self.line()?.trim().parse()?)
    }

    /// The bytes of it that lie in memory.
    fn resident(&self) -> Result<i64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or_else(|| Error::msg("no VmRSS"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<i64>()? * 1024)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

fn password() -> Result<Password> {
    Ok(Password::new("a password for the bench")?)
}
