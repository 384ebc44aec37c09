//! One HTTP/2 connection to each peer, opened on first use, shared by all calls, replaced when it breaks.
//!
//! A request asks for the peer's connection: it is there, or is being opened by somebody (then everyone waits for the same
//! attempt), or is opened now. Requests are streams on it. A connection that nobody used for a while is closed, and the least
//! recently used one makes room when there are too many peers. What became of a request that failed is told by
//! [`SendFailure`].

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::Authority};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    dial::{Dial, DialError, Line, PeerRef, Watched},
    http::{Lost, NotSent, RequestLimits, SendFailure, collect, judge},
    streamed::Streamed,
};
use crate::protocol::NodeId;

/// Bounds of a pool.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The most peers that are kept connected; the least recently used one makes room. Default: 100.
    pub max_peers: usize,
    /// How long an unused connection is kept. Default: 5 minutes.
    pub idle: Duration,
    /// The time for connecting, with TLS. Default: 5 s.
    pub connect_timeout: Duration,
    /// How often the peer is asked for a sign of life (an HTTP/2 ping). Default: 10 s.
    pub keep_alive: Duration,
    /// How long it may take to give one, before the connection counts as broken. Default: 5 s.
    pub keep_alive_timeout: Duration,
    /// How much of one response may come before it is read, in bytes. Default: 16 MiB.
    pub response_window: u32,
    /// How much of all responses of a connection together. Default: 32 MiB.
    pub connection_window: u32,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_peers: 100,
            idle: Duration::from_mins(5),
            connect_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            response_window: 16 << 20,
            connection_window: 32 << 20,
        }
    }
}

/// One HTTP/2 frame's most bytes: large bodies need them.
const FRAME: u32 = 256 << 10;
/// Bounds what a peer's response headers may make us hold.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// Connections to peers. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct HttpPool {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Arc<dyn Dial>,
    config: PoolConfig,
    began: Instant,
    serial: AtomicU64,
    slots: Mutex<HashMap<NodeId, Slot>>,
}

/// What the pool has for one peer.
struct Slot {
    serial: u64,
    state: State,
    task: AbortHandle,
}

enum State {
    /// An attempt is under way; everyone watches for its outcome.
    Connecting {
        authority: Arc<str>,
        outcome: watch::Receiver<Option<Outcome>>,
    },
    Ready(Live),
}

type Outcome = Result<Live, Arc<DialError>>;

/// An open connection.
#[derive(Clone)]
struct Live {
    serial: u64,
    send: SendRequest<Full<Bytes>>,
    usage: Arc<Usage>,
    line: Arc<Line>,
}

/// When a connection was used last, in milliseconds since the pool began, and by how many requests it is used now.
#[derive(Default)]
struct Usage {
    in_flight: AtomicUsize,
    last: AtomicU64,
}

/// Counts a request as in flight for as long as it lives.
struct InFlight {
    usage: Arc<Usage>,
    /// When the pool began.
    since: Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.usage.last.store(millis_since(self.since), Ordering::Relaxed);
        self.usage.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpPool {
    /// A pool with the default bounds. Use it inside a tokio runtime.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self::with_config(dial, PoolConfig::default())
    }

    /// A pool with these bounds.
    pub fn with_config(dial: Arc<dyn Dial>, config: PoolConfig) -> Self {
        let slots = Mutex::default();
        Self { inner: Arc::new(Inner { dial, config, began: Instant::now(), serial: AtomicU64::new(0), slots }) }
    }

    /// Sends a request to a peer and reads the whole response. A URI without an authority gets the peer's.
    ///
    /// A request that found a connection just closing is sent once more on a fresh one, since it is certain that it was not
    /// processed. Dropping the future cancels the request at the peer (`RST_STREAM`).
    ///
    /// # Errors
    /// [`SendFailure`] says whether the request may have been processed.
    pub async fn request(
        &self,
        peer: &PeerRef,
        request: Request<Full<Bytes>>,
        limits: RequestLimits,
    ) -> Result<Response<Bytes>, SendFailure> {
        let request = addressed(peer, request)?;
        let sent = AtomicBool::new(false);
        let exchange = async {
            let (response, _in_flight) = self.exchange(peer, request, &sent).await?;
            collect(response, &limits).await
        };
        match limits.timeout {
            None => exchange.await,
            Some(after) => timeout(after, exchange).await.unwrap_or_else(|_| Err(late(after, &sent))),
        }
    }

    /// [`request`](Self::request), for a response that is read as it comes. `within` is the time for the head of the response.
    ///
    /// # Errors
    /// [`SendFailure`] says whether the request may have been processed.
    pub async fn open(
        &self,
        peer: &PeerRef,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Response<Streamed>, SendFailure> {
        let request = addressed(peer, request)?;
        let sent = AtomicBool::new(false);
        let exchange = self.exchange(peer, request, &sent);
        let answered = timeout(within, exchange).await.unwrap_or_else(|_| Err(late(within, &sent)));
        answered.map(|(response, in_flight)| response.map(|body| Streamed::new(body, in_flight)))
    }

    async fn exchange(
        &self,
        peer: &PeerRef,
        request: Request<Full<Bytes>>,
        sent: &AtomicBool,
    ) -> Result<(Response<Incoming>, InFlight), SendFailure> {
        loop {
            let (mut live, fresh) = self.inner.live(peer).await?;
            let in_flight = self.inner.enter(&live.usage);
            sent.store(true, Ordering::Relaxed);
            let error = match live.send.try_send_request(request.clone()).await {
                Ok(response) => return Ok((response, in_flight)),
                Err(error) => error,
            };
            let failure = match live.line.refusal() {
                Some(refusal) => NotSent::Tls(refusal.clone()).into(),
                None => judge(error),
            };
            let closing = matches!(failure, SendFailure::NotSent { reason: NotSent::Closing | NotSent::Tls(_) });
            if closing || live.send.is_closed() {
                self.inner.forget(&peer.node_id, live.serial);
            }
            if fresh || !matches!(failure, SendFailure::NotSent { reason: NotSent::Closing }) {
                return Err(failure);
            }
            sent.store(false, Ordering::Relaxed);
        }
    }

    /// The peers to which there is a connection now.
    pub fn connected(&self) -> Vec<NodeId> {
        let slots = self.inner.slots();
        slots.iter().filter(|(_, slot)| slot.is_open()).map(|(node, _)| node.clone()).collect()
    }

    /// Cuts the connection to a peer at once, and with it what is in flight: its certificate was revoked, or it is dead.
    pub fn cut(&self, node: &NodeId) {
        if let Some(slot) = self.inner.slots().remove(node) {
            slot.cut();
        }
    }

    /// Opens new connections from now on: this node has another certificate to show. What is in flight on the old ones ends as it would.
    pub fn renew(&self) {
        self.inner.slots().retain(|_, slot| matches!(slot.state, State::Connecting { .. }));
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        for (_, slot) in self.inner.slots().drain() {
            slot.cut();
        }
    }
}

impl fmt::Debug for HttpPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPool").field("connected", &self.connected()).finish_non_exhaustive()
    }
}

/// What became of a request whose time is over.
fn late(after: Duration, sent: &AtomicBool) -> SendFailure {
    if sent.load(Ordering::Relaxed) { Lost::TimedOut { after }.into() } else { NotSent::TimedOut { after }.into() }
}

/// HTTP/2 wants a scheme and an authority with every request.
fn addressed(peer: &PeerRef, mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, NotSent> {
    if request.uri().authority().is_none() {
        let bad = || NotSent::BadAuthority { authority: peer.authority.to_string() };
        let authority = Authority::try_from(&*peer.authority).map_err(|_| bad())?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::builder().scheme("https").authority(authority).path_and_query(path).build();
        *request.uri_mut() = uri.map_err(|_| bad())?;
    }
    Ok(request)
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Slot {
    fn is_open(&self) -> bool {
        matches!(&self.state, State::Ready(live) if !live.send.is_closed())
    }

    /// Ends the attempt, or the connection with all that is in flight on it.
    fn cut(&self) {
        match &self.state {
            State::Connecting { .. } => self.task.abort(),
            // hyper moves the bytes in a task of its own, which ends when its stream breaks.
            State::Ready(live) => live.line.cut(),
        }
    }
}

impl Inner {
    fn slots(&self) -> MutexGuard<'_, HashMap<NodeId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        millis_since(self.began)
    }

    fn enter(&self, usage: &Arc<Usage>) -> InFlight {
        usage.in_flight.fetch_add(1, Ordering::Relaxed);
        usage.last.store(self.now(), Ordering::Relaxed);
        InFlight { usage: usage.clone(), since: self.began }
    }

    /// The peer's connection, and whether it was opened just now.
    async fn live(self: &Arc<Self>, peer: &PeerRef) -> Result<(Live, bool), NotSent> {
        let mut outcome = {
            let mut slots = self.slots();
            match slots.get(&peer.node_id).map(|slot| &slot.state) {
                Some(State::Ready(live)) if !live.send.is_closed() => return Ok((live.clone(), false)),
                Some(State::Connecting { authority, outcome }) if *authority == peer.authority => outcome.clone(),
                _ => self.start(peer, &mut slots),
            }
        };
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(live))) => Ok((live.clone(), true)),
            Ok(Some(Err(error))) => Err(NotSent::Dial(error.clone())),
            // The attempt was cut.
            Ok(None) | Err(_) => Err(NotSent::Closing),
        }
    }

    /// Starts an attempt in a task of its own, so that it does not end when whoever wanted it first gives up.
    fn start(self: &Arc<Self>, peer: &PeerRef, slots: &mut HashMap<NodeId, Slot>) -> watch::Receiver<Option<Outcome>> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (report, outcome) = watch::channel(None);
        let attempt = connect(Arc::downgrade(self), self.dial.clone(), self.config.clone(), peer.clone(), serial, report);
        let task = tokio::spawn(attempt).abort_handle();
        let state = State::Connecting { authority: peer.authority.clone(), outcome: outcome.clone() };
        if let Some(old) = slots.insert(peer.node_id.clone(), Slot { serial, state, task })
            && matches!(old.state, State::Connecting { .. })
        {
            old.cut();
        }
        while slots.len() > self.config.max_peers {
            let victim = slots
                .iter()
                .filter(|(node, _)| **node != peer.node_id)
                .filter_map(|(node, slot)| match &slot.state {
                    State::Ready(live) => Some((live.usage.rank(), node)),
                    State::Connecting { .. } => None,
                })
                .min()
                .map(|(_, node)| node.clone());
            // What is in flight on it holds the connection until it is done.
            match victim {
                Some(node) => slots.remove(&node),
                None => break,
            };
        }
        outcome
    }

    /// Puts an open connection in its slot, unless the slot was given to another attempt meanwhile.
    fn settle(&self, node: &NodeId, live: &Live) {
        if let Some(slot) = self.slots().get_mut(node).filter(|slot| slot.serial == live.serial) {
            slot.state = State::Ready(live.clone());
        }
    }

    /// Takes a connection out of the pool. It closes when nothing is in flight on it any more.
    fn forget(&self, node: &NodeId, serial: u64) {
        let mut slots = self.slots();
        if slots.get(node).is_some_and(|slot| slot.serial == serial) {
            slots.remove(node);
        }
    }
}

impl Usage {
    /// What is closed first has the lowest rank.
    fn rank(&self) -> (bool, u64) {
        (self.in_flight.load(Ordering::Relaxed) > 0, self.last.load(Ordering::Relaxed))
    }
}

/// Opens a connection, reports the outcome, and then drives the connection to its end.
async fn connect(
    pool: Weak<Inner>,
    dial: Arc<dyn Dial>,
    config: PoolConfig,
    peer: PeerRef,
    serial: u64,
    report: watch::Sender<Option<Outcome>>,
) {
    let authority = || peer.authority.to_string();
    let opening = timeout(config.connect_timeout, async {
        let (stream, line) = Watched::new(dial.dial(&peer).await?.stream);
        let (send, connection) = builder(&config)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| DialError::Http { authority: authority(), source: source.into() })?;
        Ok::<_, DialError>((send, connection, line))
    });
    let opened =
        opening.await.unwrap_or_else(|_| Err(DialError::TimedOut { authority: authority(), after: config.connect_timeout }));
    drop(dial);
    let (send, connection, line) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            if let Some(pool) = pool.upgrade() {
                pool.forget(&peer.node_id, serial);
            }
            report.send_replace(Some(Err(Arc::new(error))));
            return;
        }
    };
    let usage = Arc::new(Usage::default());
    if let Some(pool) = pool.upgrade() {
        usage.last.store(pool.now(), Ordering::Relaxed);
        let opened = Live { serial, send, usage: usage.clone(), line };
        pool.settle(&peer.node_id, &opened);
        report.send_replace(Some(Ok(opened)));
    }
    // The waiters have their own clones; this one would keep the connection open.
    drop(report);

    let mut connection = pin!(connection);
    let ended = loop {
        let Some(checked) = pool.upgrade().and_then(|pool| pool.idle_until(&peer.node_id, serial, &usage)) else {
            break connection.await;
        };
        tokio::select! {
            ended = &mut connection => break ended,
            () = sleep_until(checked) => {}
        }
    };
    if let Some(pool) = pool.upgrade() {
        pool.forget(&peer.node_id, serial);
    }
    match ended {
        Ok(()) => tracing::debug!(peer = %peer, "connection closed"),
        Err(error) => tracing::debug!(peer = %peer, error = ?error, "connection broke"),
    }
}

impl Inner {
    /// When to look again whether a connection is idle; `None` when it was, and is now out of the pool.
    fn idle_until(&self, node: &NodeId, serial: u64, usage: &Usage) -> Option<Instant> {
        // Under the lock, so that no request finds the connection between the look and the removal.
        let mut slots = self.slots();
        if slots.get(node).is_none_or(|slot| slot.serial != serial) {
            return None;
        }
        let (busy, last) = usage.rank();
        let due = if busy { Instant::now() } else { self.began + Duration::from_millis(last) } + self.config.idle;
        if due > Instant::now() {
            return Some(due);
        }
        slots.remove(node);
        None
    }
}

fn builder(config: &PoolConfig) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(config.keep_alive)
        .keep_alive_timeout(config.keep_alive_timeout)
        // A connection that died while idle is replaced before somebody has to find out with a call.
        .keep_alive_while_idle(true)
        .max_frame_size(FRAME)
        .initial_stream_window_size(config.response_window)
        .initial_connection_window_size(config.connection_window)
        .max_header_list_size(MAX_HEADER_LIST);
    builder
}

#[cfg(test)]
mod tests;
