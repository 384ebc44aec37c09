//! From one caller to many peers, in one process.
//!
//! The caller has the pool of sessions that a node has; each peer has its own certificate, port and listener, and serves one small
//! method without the rest of a node. All of it goes over mutual TLS on loopback. The caller is on one thread and the peers are on
//! another, so that what each end holds can be told apart.

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, try_join_all};
use p2p_bench::{
    cpu::process_cpu,
    heap::held_here,
    stats::{median, table},
};
use p2p_client::{
    protocol::{NodeId, Role},
    wire::{
        dial::{PeerRef, TlsDial},
        net::{BoxStream, Network, TcpNetwork},
        session::{ItemSink, Serve, ServeCall, Served, ServesNobody, Session, SessionLimits, message::Incoming},
        sessions::{Host, Sessions, SessionsConfig, Way},
        tls::PeerIdentity,
    },
};
use p2p_runtime::{
    audit::AuditLog,
    identity::{IssuingCa, NodeIdentity, NodeKey, NodeNames, RootCa},
    transport::{GossipAcceptor, HttpHandler, ListenerLimits, Server, SessionAcceptor, serve},
};
use p2p_services::prelude::*;
use rustls_pki_types::UnixTime;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::{JoinSet, LocalSet},
};
use tokio_util::sync::CancellationToken;

/// How many peers there are in turn.
const COUNTS: [usize; 4] = [1, 10, 100, 1_000];
/// How many calls are under way at a time, whatever the number of peers.
const AT_ONCE: usize = 64;
const MEASURED: Duration = Duration::from_secs(3);
/// About 80 bytes of JSON, and what comes back.
const BODY: &[u8] = br#"[{"name":"Ada Lovelace","number":42,"tags":["first","second"],"note":"of no use"}]"#;

pub(crate) fn measure() -> Result<()> {
    println!("from one caller to peers in this process, over mutual TLS on loopback; {AT_ONCE} calls at once over all peers");
    let head = ["peers", "KiB here", "KiB there", "first call p50 ms", "first call max ms", "calls/s", "CPU µs a call"];
    let rows: Vec<_> = COUNTS.into_iter().map(measure_one).collect::<Result<_>>()?;
    println!("{}", table(&head, &rows));
    println!(
        "KiB: heap for each session at the calling and at the accepting end, once each has been used; first call: with connecting, TLS and opening the session"
    );
    Ok(())
}

fn measure_one(count: usize) -> Result<Vec<String>> {
    let cluster = Cluster::new()?;
    let caller = cluster.issue("caller")?;
    let identities = (0..count).map(|number| cluster.issue(&format!("peer-{number}"))).collect::<Result<Vec<_>>>()?;
    let peers = Peers::start(identities)?;
    let figures = runtime()?.block_on(LocalSet::new().run_until(call_all(&caller, &peers)))?;
    peers.end()?;
    Ok(figures)
}

async fn call_all(caller: &NodeIdentity, peers: &Peers) -> Result<Vec<String>> {
    let dial = TlsDial::new(Arc::new(TcpNetwork), caller.client_tls());
    let sessions = Sessions::new(Arc::new(dial), Arc::new(CallsOnly), SessionsConfig::default());
    let (before, there_before) = (held_here(), peers.held()?);
    let mut first = Vec::new();
    let mut open = Vec::new();
    for peer in &peers.addresses {
        let began = Instant::now();
        let session = open_session(&sessions, peer).await?;
        echo(&session).await?;
        first.push(began.elapsed().as_secs_f64() * 1e3);
        open.push(session);
    }
    let count = open.len();
    let (here, there) = (held_here() - before, peers.held()? - there_before);
    let (rate, cpu) = rate(open).await?;
    sessions.close(Duration::from_secs(5)).await;
    let longest = first.iter().copied().fold(0.0, f64::max);
    Ok(vec![
        count.to_string(),
        super::kib(here, count),
        super::kib(there, count),
        format!("{:.2}", median(&first)),
        format!("{longest:.2}"),
        format!("{rate:.0}"),
        format!("{cpu:.2}"),
    ])
}

/// Calls a second, and the processor time of both ends for each in microseconds.
async fn rate(open: Vec<Session>) -> Result<(f64, f64)> {
    let (open, next, calls) = (Rc::new(open), Rc::new(Cell::new(0)), Rc::new(Cell::new(0_u32)));
    let (began, cpu) = (Instant::now(), process_cpu()?);
    let callers = (0..AT_ONCE).map(|_| {
        let (open, next, calls) = (open.clone(), next.clone(), calls.clone());
        tokio::task::spawn_local(async move {
            while began.elapsed() < MEASURED {
                let turn: usize = next.get();
                next.set((turn + 1) % open.len());
                echo(&open[turn]).await?;
                calls.set(calls.get() + 1);
            }
            Ok::<_, Error>(())
        })
    });
    for ended in try_join_all(callers).await? {
        ended?;
    }
    let (took, cpu) = (began.elapsed(), process_cpu()?.saturating_sub(cpu));
    let calls = f64::from(calls.get());
    Ok((calls / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / calls))
}

async fn open_session(sessions: &Sessions, peer: &PeerRef) -> Result<Session> {
    match sessions.way(peer).await? {
        (Way::Session(session), _) => Ok(session),
        (Way::Plain, _) => Err(Error::msg("the peer knows no sessions")),
    }
}

async fn echo(session: &Session) -> Result<()> {
    super::call(session, "echo.echo", BODY, BODY).await
}

/// One that makes certificates.
struct Cluster {
    issuing: IssuingCa,
}

impl Cluster {
    fn new() -> Result<Self> {
        let (root, key) = (RootCa::create(UnixTime::now())?, NodeKey::generate()?);
        let certificate = root.issue_authority(&"coordinator".parse()?, &key.public(), UnixTime::now())?;
        Ok(Self { issuing: IssuingCa::from_parts(key, certificate, root.root().clone())? })
    }

    fn issue(&self, name: &str) -> Result<NodeIdentity> {
        let (node_id, key): (NodeId, _) = (name.parse()?, NodeKey::generate()?);
        let names = NodeNames { node_id: &node_id, role: Role::Worker, addresses: &[] };
        let chain = self.issuing.issue(&key.public(), &names, UnixTime::now())?;
        Ok(NodeIdentity::new(key, chain, self.issuing.root().clone())?)
    }
}

/// The peers, on a thread of their own.
struct Peers {
    addresses: Vec<PeerRef>,
    ask: tokio::sync::mpsc::UnboundedSender<std::sync::mpsc::Sender<i64>>,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Peers {
    fn start(identities: Vec<NodeIdentity>) -> Result<Self> {
        let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<std::sync::mpsc::Sender<i64>>();
        let (stop, stopped) = oneshot::channel();
        let (ready, listening) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("peers".to_owned()).spawn(move || {
            runtime()?.block_on(async move {
                let mut serving = JoinSet::new();
                for identity in identities {
                    ready.send(listen(&identity, &mut serving).await?)?;
                }
                drop(ready);
                serving.spawn(async move {
                    while let Some(answer) = asked.recv().await {
                        // Whoever asked may have given up.
                        let _gone = answer.send(held_here());
                    }
                });
                // Stopped or left alone, it is over.
                let _over = stopped.await;
                serving.shutdown().await;
                Ok(())
            })
        })?;
        Ok(Self { addresses: listening.iter().collect(), ask, stop, thread })
    }

    /// The bytes that the peers hold.
    fn held(&self) -> Result<i64> {
        let (answer, held) = std::sync::mpsc::channel();
        self.ask.send(answer).map_err(|_| Error::msg("the peers have ended"))?;
        Ok(held.recv()?)
    }

    fn end(self) -> Result<()> {
        let _over_already = self.stop.send(());
        self.thread.join().map_err(|_| Error::msg("the peers panicked"))?
    }
}

async fn listen(identity: &NodeIdentity, serving: &mut JoinSet<()>) -> Result<PeerRef> {
    let listener = TcpNetwork.listen("127.0.0.1:0".parse()?).await?;
    let peer = PeerRef { node_id: identity.peer().node_id.clone(), authority: listener.local_addr().to_string().into() };
    let server = Server {
        handshake: Arc::new(identity.server_tls()?),
        http: HttpHandler::default(),
        gossip: Arc::new(NoGossip),
        sessions: Arc::new(EchoAcceptor),
        limits: ListenerLimits::default(),
        audit: AuditLog::default(),
    };
    serving.spawn(serve(listener, server, CancellationToken::new()));
    Ok(peer)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Gives every peer the same small service.
struct EchoAcceptor;

impl SessionAcceptor for EchoAcceptor {
    fn accept(&self, _: &PeerIdentity) -> Option<(Arc<dyn Serve>, SessionLimits)> {
        Some((Arc::new(Echo), SessionLimits::default()))
    }

    fn opened(&self, _: &Session) {}
}

/// Answers with what it was asked.
struct Echo;

impl Serve for Echo {
    fn serve(&self, call: Incoming, received: tokio::time::Instant, _: Option<ItemSink>) -> ServeCall {
        let outcome = Ok(call.params().unwrap_or("null").as_bytes().to_vec());
        Box::pin(std::future::ready(Served { outcome, deadline: received + Duration::from_secs(10), ended: None }))
    }
}

/// The caller serves nothing.
struct CallsOnly;

impl Host for CallsOnly {
    fn serve_for(&self, _: &PeerIdentity) -> Arc<dyn Serve> {
        Arc::new(ServesNobody)
    }
}

/// There is no membership here.
struct NoGossip;

impl GossipAcceptor for NoGossip {
    fn accept(&self, _: PeerIdentity, _: BoxStream) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
