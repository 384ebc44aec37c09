//! How many calls a node takes of whom: token buckets, by name for those who have one, by address for the nameless.
//!
//! ```text
//! a request ─ web ─ who asks, from where ─┐
//!                                         ├─> Limits::draw ─> a bucket of its own, or OverLimit (429, Retry-After)
//! a call on a session ─ its PeerBudget ───┘
//! ```
//! | who | budget | bucket |
//! |---|---|---|
//! | the operator, on the node's own socket | none | |
//! | a node, whatever it asks for | that of nodes | one for each node, held by its sessions ([`PeerBudget`]) |
//! | a node that gets itself a token or a certificate, or takes a token of its own back | that of credentials, too | by its name |
//! | a client with a token | `/health`: that of health; else that of calls | by its name |
//! | anyone else | the same | by its address, a /64 for IPv6 ([`addresses`]) |
//!
//! Those who can be many share memory that does not grow ([`table`]); the buckets themselves are functions of time ([`bucket`]). Why they
//! are our own: `docs/decisions/023-buckets-of-our-own.md`.

pub mod addresses;
mod bucket;
mod table;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use p2p_client::{
    call::RetryAfter,
    protocol::{CallerId, ErrorCode, NodeId, RpcError},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::RateLimitConfig;

use addresses::CountedAddress;
use bucket::{Bucket, Rate, SharedRate};
use table::BucketTable;

/// More nodes than this are looked through for those that have been silent for long.
const MANY_NODES: usize = 1_024;
/// How many tokens and certificates a node gets for itself a minute, in the long run and at once. Each leaves a line in the audit log, and some take a write
/// and a question to all other coordinators: a node that has gone bad is not to fill the disks of others. A node needs some of them in a day.
const CREDENTIALS: u64 = 60;
/// How often the log tells of refusals, at most.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budget {
    /// Calls, documents, joining.
    Rpc,
    /// `GET /health`.
    Health,
    /// Whatever a node asks for.
    Node,
    /// Tokens and certificates that a node gets for itself, and tokens of its own that it takes back.
    Credentials,
}

/// A call that was refused, as its caller makes too many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OverLimit {
    /// When there is one again.
    pub(crate) retry_after: Duration,
    budget: Budget,
}

impl From<OverLimit> for RpcError {
    fn from(over: OverLimit) -> Self {
        let wait = RetryAfter::from(over.retry_after);
        let (what, key) = match over.budget {
            Budget::Rpc => ("calls", "rate_limit.rpc_requests"),
            Budget::Health => ("looks at its health", "rate_limit.health_requests"),
            Budget::Node => ("calls of one node", "rate_limit.node_requests"),
            Budget::Credentials => ("requests for tokens and certificates", "60 a minute of each node"),
        };
        let text =
            format!("this node takes no more {what} of this caller for now ({key}); try again in {} ms", wait.retry_after_ms);
        Self::new(ErrorCode::RATE_LIMITED, text).with_data(&wait)
    }
}

/// How many calls were refused, by the budget that was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefusedCalls {
    /// Calls and documents.
    pub rpc: u64,
    /// Looks at `/health`.
    pub health: u64,
    /// Calls of nodes.
    pub node: u64,
}

/// The limits of a node.
#[derive(Debug)]
pub(crate) struct Limits {
    /// What times are counted from.
    began: Instant,
    rpc: Counted,
    health: Counted,
    node: Counted,
    credentials: Counted,
    // Apart, so that a flood of addresses is no harm to those who have a name, and one of calls none to whoever looks after the node's health.
    clients: BucketTable,
    callers: BucketTable,
    watchers: BucketTable,
    holders: BucketTable,
    nodes: Mutex<HashMap<NodeId, Arc<Bucket>>>,
    /// When the log was last told of refusals.
    told: AtomicU64,
}

/// A rate, and how often it was too high for somebody.
#[derive(Debug)]
struct Counted {
    rate: SharedRate,
    refused: AtomicU64,
}

impl Counted {
    fn new(rate: Rate) -> Self {
        Self { rate: SharedRate::new(rate), refused: AtomicU64::new(0) }
    }
}

fn rates(config: &RateLimitConfig) -> [Rate; 4] {
    if !config.enabled {
        return [Rate::UNLIMITED; 4];
    }
    [
        Rate::per_minute(config.rpc_requests, config.rpc_burst),
        Rate::per_minute(config.health_requests, config.health_burst),
        Rate::per_minute(config.node_requests, config.node_burst),
        Rate::per_minute(CREDENTIALS, CREDENTIALS),
    ]
}

impl Limits {
    pub(crate) fn new(config: &RateLimitConfig) -> Arc<Self> {
        let [rpc, health, node, credentials] = rates(config).map(Counted::new);
        let keys = usize::try_from(config.max_keys).unwrap_or(usize::MAX);
        let table = || BucketTable::for_keys(keys);
        Arc::new(Self {
            began: Instant::now(),
            rpc,
            health,
            node,
            credentials,
            clients: table(),
            callers: table(),
            watchers: table(),
            holders: table(),
            nodes: Mutex::default(),
            told: AtomicU64::new(0),
        })
    }

    /// Takes other rates from now on. What was drawn stays drawn; the number of keys stays as it is.
    pub(crate) fn change(&self, config: &RateLimitConfig) {
        for (counted, rate) in [&self.rpc, &self.health, &self.node, &self.credentials].into_iter().zip(rates(config)) {
            counted.rate.set(rate);
        }
    }

    /// Draws a call for whoever asks: in his name, if he has one, else by where he is.
    ///
    /// # Errors
    /// [`OverLimit`].
    pub(crate) fn draw(
        &self,
        caller: &CallerId,
        peer: Option<&NodeId>,
        address: Option<IpAddr>,
        budget: Budget,
    ) -> Result<(), OverLimit> {
        let now = self.at(Instant::now());
        // A node answers for what it passes on: whoever asked it has drawn there already.
        if let Some(peer) = peer {
            return self.counted(Budget::Node, now, |rate| self.bucket_of(peer, now).draw(rate, now));
        }
        match caller {
            CallerId::Operator => Ok(()),
            CallerId::Node { id, .. } => self.counted(Budget::Node, now, |rate| self.bucket_of(id, now).draw(rate, now)),
            CallerId::Anonymous => {
                // Without an address there is no network, as in tests of the routes alone; then all are one.
                let key = address.map(CountedAddress::from);
                let table = if budget == Budget::Health { &self.watchers } else { &self.callers };
                self.counted(budget, now, |rate| table.draw(&key, rate, now))
            }
            named => {
                self.counted(budget, now, |rate| self.clients.draw(&(named.to_string(), budget == Budget::Health), rate, now))
            }
        }
    }

    /// Draws a request of this node for a token or a certificate of its own, beside what every request is drawn from. What coordinators pass on for others is
    /// not drawn here: nothing goes round that by its name.
    ///
    /// # Errors
    /// [`OverLimit`].
    pub(crate) fn draw_credentials(&self, node: &NodeId) -> Result<(), OverLimit> {
        let now = self.at(Instant::now());
        self.counted(Budget::Credentials, now, |rate| self.holders.draw(node, rate, now))
    }

    /// What the calls on a session of this node are drawn from.
    pub(crate) fn peer(self: &Arc<Self>, node: &NodeId) -> PeerBudget {
        PeerBudget { bucket: self.bucket_of(node, self.at(Instant::now())), limits: self.clone() }
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> RefusedCalls {
        let all = [&self.rpc, &self.health, &self.node, &self.credentials];
        let [rpc, health, node, credentials] = all.map(|counted| counted.refused.load(Relaxed));
        RefusedCalls { rpc, health, node: node.saturating_add(credentials) }
    }

    fn bucket_of(&self, node: &NodeId, now: u64) -> Arc<Bucket> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = nodes.get(node) {
            return bucket.clone();
        }
        if nodes.len() >= MANY_NODES {
            // A full bucket that nobody holds is as good as none. What remains is as many as nodes that called in the last moments.
            nodes.retain(|_, bucket| Arc::strong_count(bucket) > 1 || !bucket.is_full(now));
        }
        nodes.entry(node.clone()).or_default().clone()
    }

    fn counted(&self, budget: Budget, now: u64, draw: impl FnOnce(Rate) -> Result<(), Duration>) -> Result<(), OverLimit> {
        let counted = match budget {
            Budget::Rpc => &self.rpc,
            Budget::Health => &self.health,
            Budget::Node => &self.node,
            Budget::Credentials => &self.credentials,
        };
        draw(counted.rate.get()).map_err(|retry_after| {
            counted.refused.fetch_add(1, Relaxed);
            self.tell(now);
            OverLimit { retry_after, budget }
        })
    }

    /// Tells the log now and then, so that a flood of calls is none of lines.
    fn tell(&self, now: u64) {
        let told = self.told.load(Relaxed);
        let due = told == 0 || now.saturating_sub(told) >= nanos(TOLD_EVERY);
        if due && self.told.compare_exchange(told, now.max(1), Relaxed, Relaxed).is_ok() {
            let RefusedCalls { rpc, health, node } = self.refused();
            tracing::warn!(rpc, health, node, "calls over a limit were refused; the counts are since the node started");
        }
    }

    fn at(&self, moment: Instant) -> u64 {
        nanos(moment.saturating_duration_since(self.began))
    }
}

/// Without the 128 bits that `as_nanos` takes: every call between nodes pays for this.
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

/// The bucket of one node, kept where its calls come in: a call costs no look-up.
#[derive(Debug, Clone)]
pub(crate) struct PeerBudget {
    bucket: Arc<Bucket>,
    limits: Arc<Limits>,
}

impl PeerBudget {
    /// Draws a call that came at this time.
    ///
    /// # Errors
    /// [`OverLimit`].
    pub(crate) fn draw(&self, received: Instant) -> Result<(), OverLimit> {
        let now = self.limits.at(received);
        self.limits.counted(Budget::Node, now, |rate| self.bucket.draw(rate, now))
    }
}

#[cfg(test)]
mod tests;
