//! The sessions of a node: at most one to each peer to call by, opened on first use, kept, replaced when it ends.
//!
//! A call asks for the way to its peer: a session that is open, one that is being opened by somebody (everyone waits for the same
//! attempt), or one that is opened now. A session that the peer has opened serves as well as one of our own. After a failed attempt
//! the next one has to wait, longer with each failure and by chance a little more or less, so that a peer that comes back is not met by everyone at
//! once. The least recently used session makes room where there are too many.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    dial::{Dial, DialError, PeerRef, Watched},
    session::{
        Ended, Serve, Session, SessionLimits,
        connect::{self, OpenError},
    },
    tls::PeerIdentity,
};
use crate::protocol::NodeId;

/// Bounds of a node's sessions.
#[derive(Debug, Clone)]
pub struct SessionsConfig {
    /// The most sessions to call by; the least recently used one makes room. Default: 1,024.
    pub max_peers: usize,
    /// The time for connecting, TLS and agreeing on a version. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long the next attempt waits after a first failure; doubled with each further one. Default: 50 ms.
    pub first_back_off: Duration,
    /// The longest that it waits. Default: 5 s.
    pub longest_back_off: Duration,
    /// How long a peer that speaks no session protocol is called by plain HTTP, until it is asked again: it may have been upgraded. Default: 1 minute.
    pub plain_for: Duration,
    /// Bounds of each session.
    pub limits: SessionLimits,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            max_peers: 1_024,
            connect_timeout: Duration::from_secs(5),
            first_back_off: Duration::from_millis(50),
            longest_back_off: Duration::from_secs(5),
            plain_for: Duration::from_mins(1),
            limits: SessionLimits::default(),
        }
    }
}

/// The pause between two sessions that are opened again.
const BETWEEN_RENEWALS: Duration = Duration::from_millis(5);

/// A wait that is worth it: one that is longer is told to the caller instead, who may find another peer.
const SHORT_WAIT: Duration = Duration::from_millis(250);

/// Serves the calls that peers make on sessions, each in the name that its certificate gives it.
pub trait Host: Send + Sync + 'static {
    /// What serves the calls of this peer.
    fn serve_for(&self, peer: &PeerIdentity) -> Arc<dyn Serve>;
}

/// How a peer is called.
#[derive(Debug, Clone)]
pub enum Way {
    /// By its session.
    Session(Session),
    /// By `POST /rpc`: it is of a version without sessions.
    Plain,
}

/// Why there is no way to a peer. Nothing was sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NoWay {
    /// No connection came about.
    #[error(transparent)]
    Dial(#[from] Arc<DialError>),
    /// The connection is there, but no session.
    #[error(transparent)]
    Open(#[from] Arc<OpenError>),
    /// The last attempts failed, and the next one waits.
    #[error("{attempts} attempts have failed, and the next one is in {} ms; the last said: {last}", .left.as_millis())]
    BackingOff {
        /// How many attempts failed.
        attempts: u32,
        /// How long until the next one.
        left: Duration,
        /// What the last one failed with.
        last: Box<NoWay>,
    },
    /// The attempt was cut: the peer is gone, or this node stops.
    #[error("the connection was closing; try again")]
    Cut,
}

/// The sessions of a node. Cheap to clone; clones share the sessions.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Arc<dyn Dial>,
    host: Arc<dyn Host>,
    config: SessionsConfig,
    turn: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    slots: FxHashMap<NodeId, Slot>,
    /// Every session that lives, also those that are not called by.
    living: HashMap<NodeId, Vec<Session>>,
    /// The node stops: nothing new is opened.
    closed: bool,
}

/// An attempt to find a way to a peer, by those who wait for it. It has no sender any more once it was aborted.
type Attempt = watch::Receiver<Option<Result<Way, NoWay>>>;

/// What there is for one peer.
struct Slot {
    state: State,
    /// When it was used last, in calls of all.
    used: AtomicU64,
    failures: u32,
}

enum State {
    Connecting { authority: Arc<str>, outcome: Attempt, attempt: AbortHandle },
    Open(Session),
    Plain { until: Instant },
    Failed { until: Instant, last: NoWay },
}

impl Sessions {
    /// No sessions yet. `host` serves what peers call on them.
    pub fn new(dial: Arc<dyn Dial>, host: Arc<dyn Host>, config: SessionsConfig) -> Self {
        Self { inner: Arc::new(Inner { dial, host, config, turn: AtomicU64::new(0), table: Mutex::default() }) }
    }

    /// The bounds of each session.
    pub fn limits(&self) -> &SessionLimits {
        &self.inner.config.limits
    }

    /// The way to a peer that is there already.
    pub fn there(&self, peer: &NodeId) -> Option<Way> {
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let table = self.inner.table();
        let slot = table.slots.get(peer)?;
        slot.used.store(turn, Ordering::Relaxed);
        match &slot.state {
            State::Open(session) => Some(Way::Session(session.clone())),
            State::Plain { until } if *until > Instant::now() => Some(Way::Plain),
            State::Plain { .. } | State::Connecting { .. } | State::Failed { .. } => None,
        }
    }

    /// The way to a peer, and whether it was opened just now.
    ///
    /// # Errors
    /// [`NoWay`]
    pub async fn way(&self, peer: &PeerRef) -> Result<(Way, bool), NoWay> {
        loop {
            match self.look(peer) {
                Look::There(way) => return Ok((way, false)),
                Look::Wait(until) => sleep_until(until).await,
                Look::Failed(error) => return Err(error),
                Look::Coming(attempt) => return self.outcome(&peer.node_id, attempt).await,
            }
        }
    }

    /// What an attempt ends with, or the one that took its place.
    async fn outcome(&self, peer: &NodeId, mut attempt: Attempt) -> Result<(Way, bool), NoWay> {
        loop {
            match attempt.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Ok(way))) => return Ok((way.clone(), true)),
                Ok(Some(Err(error))) => return Err(error.clone()),
                Ok(None) | Err(_) => {}
            }
            // It was aborted: because of another address, or for good.
            match self.inner.table().slots.get(peer).map(|slot| &slot.state) {
                Some(State::Connecting { outcome, .. }) if !outcome.same_channel(&attempt) => attempt = outcome.clone(),
                Some(State::Open(session)) => return Ok((Way::Session(session.clone()), true)),
                _ => return Err(NoWay::Cut),
            }
        }
    }

    fn look(&self, peer: &PeerRef) -> Look {
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let mut table = self.inner.table();
        let mut failures = 0;
        if let Some(slot) = table.slots.get(&peer.node_id) {
            slot.used.store(turn, Ordering::Relaxed);
            failures = slot.failures;
            match &slot.state {
                State::Open(session) => return Look::There(Way::Session(session.clone())),
                State::Connecting { authority, outcome, .. } if *authority == peer.authority => {
                    return Look::Coming(outcome.clone());
                }
                State::Plain { until } if *until > Instant::now() => return Look::There(Way::Plain),
                State::Failed { until, last } => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left > SHORT_WAIT {
                        return Look::Failed(NoWay::BackingOff { attempts: failures, left, last: Box::new(last.clone()) });
                    }
                    if !left.is_zero() {
                        return Look::Wait(*until);
                    }
                }
                State::Connecting { .. } | State::Plain { .. } => {}
            }
        }
        if table.closed {
            return Look::Failed(NoWay::Cut);
        }
        Look::Coming(self.start(peer, failures, turn, &mut table))
    }

    /// Starts an attempt in a task of its own, so that it does not end when whoever wanted it first gives up. One to another address of the
    /// same peer ends.
    fn start(&self, peer: &PeerRef, failures: u32, turn: u64, table: &mut Table) -> Attempt {
        let (report, outcome) = watch::channel(None);
        let attempt = tokio::spawn(attempt(Arc::downgrade(&self.inner), peer.clone(), report)).abort_handle();
        let state = State::Connecting { authority: peer.authority.clone(), outcome: outcome.clone(), attempt };
        let old = table.slots.insert(peer.node_id.clone(), Slot { state, used: AtomicU64::new(turn), failures });
        if let Some(Slot { state: State::Connecting { attempt, .. }, .. }) = old {
            attempt.abort();
        }
        table.make_room(self.inner.config.max_peers, &peer.node_id);
        outcome
    }

    /// Takes a session that a peer has opened: it may be called by, and is told when this node goes.
    pub fn adopt(&self, session: &Session) {
        let mut table = self.inner.table();
        if table.closed {
            return session.leave("this node is stopping");
        }
        let slot = table.slots.get(session.peer());
        if slot.is_none_or(|slot| matches!(slot.state, State::Failed { .. } | State::Plain { .. })) {
            let used = AtomicU64::new(self.inner.turn.fetch_add(1, Ordering::Relaxed));
            table.slots.insert(session.peer().clone(), Slot { state: State::Open(session.clone()), used, failures: 0 });
            table.make_room(self.inner.config.max_peers, session.peer());
        }
        self.inner.watch(&mut table, session);
    }

    /// Stops calling by a session that is over.
    pub fn forget(&self, session: &Session) {
        self.inner.table().forget(session);
    }

    /// Gives out a large answer that waits for this peer to fetch it.
    pub fn fetch(&self, peer: &NodeId, ticket: u64) -> Option<Bytes> {
        self.inner.table().living.get(peer)?.iter().find_map(|session| session.fetch(ticket))
    }

    /// The peers with which there is an open session.
    pub fn connected(&self) -> Vec<NodeId> {
        let table = self.inner.table();
        table.slots.iter().filter(|(_, slot)| matches!(slot.state, State::Open(_))).map(|(node, _)| node.clone()).collect()
    }

    /// Cuts every session with a peer at once, with what is in flight: it is dead, or its certificate was revoked.
    pub fn cut(&self, node: &NodeId, why: &str) {
        let mut table = self.inner.table();
        if let Some(Slot { state: State::Connecting { attempt, .. }, .. }) = table.slots.remove(node) {
            attempt.abort();
        }
        for session in table.living.remove(node).into_iter().flatten() {
            session.cut(Ended::Closed(why.to_owned()));
        }
    }

    /// Leaves every session in good order, one after the other, as this node has another certificate to show: calls under way end as they would,
    /// and the next ones go by new sessions.
    pub async fn renew(&self, why: &str) {
        let living: Vec<Session> = self.inner.table().living.values().flatten().cloned().collect();
        for session in living {
            self.forget(&session);
            session.leave(why);
            // A large cluster's sessions are not all opened again at the same moment.
            sleep_until(Instant::now() + BETWEEN_RENEWALS).await;
        }
    }

    /// Takes no further calls of peers, and finishes those that run. Calls to peers can still be made, on these sessions or new ones. Sessions on which
    /// calls still run after `grace` are cut. Gives how many those were.
    pub async fn retire(&self, grace: Duration) -> usize {
        let living = self.leave_all();
        let all = futures::future::join_all(living.iter().map(Session::served));
        if timeout(grace, all).await.is_ok() {
            return 0;
        }
        let late: Vec<_> = living.iter().filter(|session| !session.is_served()).collect();
        for session in &late {
            session.cut(Ended::Closed("the node stopped before the call ended".to_owned()));
        }
        futures::future::join_all(late.iter().map(|session| session.ended())).await;
        late.len()
    }

    /// Ends all sessions, in good order where that takes no longer than `grace`, and opens no new ones.
    pub async fn close(&self, grace: Duration) {
        self.inner.table().closed = true;
        let living = self.leave_all();
        let all = futures::future::join_all(living.iter().map(Session::ended));
        if timeout(grace, all).await.is_err() {
            for session in &living {
                session.cut(Ended::Closed("the node has stopped".to_owned()));
            }
            futures::future::join_all(living.iter().map(Session::ended)).await;
        }
    }

    fn leave_all(&self) -> Vec<Session> {
        let living: Vec<Session> = self.inner.table().living.values().flatten().cloned().collect();
        for session in &living {
            session.leave("the node is stopping");
        }
        living
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("connected", &self.connected()).finish_non_exhaustive()
    }
}

/// What a look into the table says.
enum Look {
    There(Way),
    Coming(Attempt),
    Wait(Instant),
    Failed(NoWay),
}

impl Table {
    fn make_room(&mut self, max: usize, newest: &NodeId) {
        while self.slots.len() > max {
            let victim = self
                .slots
                .iter()
                .filter(|(node, slot)| *node != newest && !matches!(slot.state, State::Connecting { .. }))
                .min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed))
                .map(|(node, _)| node.clone());
            let Some(slot) = victim.and_then(|node| self.slots.remove(&node)) else { return };
            if let State::Open(session) = slot.state {
                session.leave("there are too many sessions, and this one was not used for longest");
            }
        }
    }

    fn forget(&mut self, session: &Session) {
        let is_it = |slot: &Slot| matches!(&slot.state, State::Open(open) if open.is(session));
        if self.slots.get(session.peer()).is_some_and(is_it) {
            self.slots.remove(session.peer());
        }
    }

    fn bury(&mut self, session: &Session) {
        self.forget(session);
        if let Some(living) = self.living.get_mut(session.peer()) {
            living.retain(|other| !other.is(session));
            if living.is_empty() {
                self.living.remove(session.peer());
            }
        }
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a session for as long as it lives.
    fn watch(self: &Arc<Self>, table: &mut Table, session: &Session) {
        table.living.entry(session.peer().clone()).or_default().push(session.clone());
        let (inner, session) = (Arc::downgrade(self), session.clone());
        tokio::spawn(async move {
            session.leaves().await;
            // No further call is to find it, while those that run on it go on.
            if let Some(inner) = inner.upgrade() {
                inner.table().forget(&session);
            }
            session.ended().await;
            if let Some(inner) = inner.upgrade() {
                inner.table().bury(&session);
            }
        });
    }

    /// Notes how an attempt ended, unless it was cut, or its place given to another one, at the very moment when it ended: it was not aborted
    /// any more then, and what it opened is not to be used.
    fn settle(self: &Arc<Self>, peer: &NodeId, report: &Report, outcome: &Result<Way, NoWay>) {
        let mut table = self.table();
        let is_it =
            |slot: &Slot| matches!(&slot.state, State::Connecting { outcome, .. } if outcome.same_channel(&report.subscribe()));
        if table.closed || !table.slots.get(peer).is_some_and(is_it) {
            if let Ok(Way::Session(session)) = outcome {
                session.cut(Ended::Closed("nobody waits for this session any more".to_owned()));
            }
            return;
        }
        if let Ok(Way::Session(session)) = outcome {
            self.watch(&mut table, session);
        }
        let Some(slot) = table.slots.get_mut(peer) else { return };
        slot.state = match outcome {
            Ok(Way::Session(session)) => State::Open(session.clone()),
            Ok(Way::Plain) => State::Plain { until: Instant::now() + self.config.plain_for },
            Err(error) => {
                slot.failures += 1;
                State::Failed { until: Instant::now() + self.back_off(slot.failures), last: error.clone() }
            }
        };
        if outcome.is_ok() {
            slot.failures = 0;
        }
    }

    /// Doubled with each failure, and by chance between half as long and half as long again.
    fn back_off(&self, failures: u32) -> Duration {
        let doubled = self.config.first_back_off.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let mut random = [0];
        let share = aws_lc_rs::rand::fill(&mut random).map_or(128, |()| random[0]);
        doubled.min(self.config.longest_back_off).mul_f64(0.5 + f64::from(share) / 255.0)
    }

    async fn open(&self, peer: &PeerRef) -> Result<Way, NoWay> {
        let dialled = self.dial.dial(peer).await.map_err(Arc::new)?;
        let (stream, line) = Watched::new(dialled.stream);
        let serve: Arc<dyn Serve> = match &dialled.peer {
            Some(identity) => self.host.serve_for(identity),
            None => Arc::new(super::session::ServesNobody),
        };
        match connect::open(Box::new(stream), peer, dialled.expires, self.config.limits.clone(), serve).await {
            Ok(session) => Ok(Way::Session(session)),
            Err(OpenError::Unsupported { status }) => {
                tracing::info!(peer = %peer, %status, "the peer knows no sessions; it is called by POST /rpc");
                Ok(Way::Plain)
            }
            Err(error) => match line.refusal() {
                Some(refusal) => Err(NoWay::Open(Arc::new(OpenError::Tls(refusal.clone())))),
                None => Err(NoWay::Open(Arc::new(error))),
            },
        }
    }
}

/// The other end of an [`Attempt`].
type Report = watch::Sender<Option<Result<Way, NoWay>>>;

async fn attempt(inner: Weak<Inner>, peer: PeerRef, report: Report) {
    let Some(inner) = inner.upgrade() else { return };
    let limit = inner.config.connect_timeout;
    let outcome = match timeout(limit, inner.open(&peer)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(NoWay::Dial(Arc::new(DialError::TimedOut { authority: peer.authority.to_string(), after: limit }))),
    };
    inner.settle(&peer.node_id, &report, &outcome);
    report.send_replace(Some(outcome));
}

#[cfg(test)]
mod tests;
