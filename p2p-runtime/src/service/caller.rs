//! [`NodeCaller`]: what stands below the proxies of a node.
//!
//! It resolves targets against what this node hosts and against the membership's view, and sends on the peer's session, or by HTTP. It
//! decides nothing about retries (that is the call's) nor about access (that is the dispatcher's, here and at the other end).

mod nowhere;
mod route;
mod send;
mod starting;
mod streams;
mod twice;

pub(crate) use nowhere::Nowhere;
pub(super) use send::take_room;

use std::{
    cell::RefCell,
    sync::{Arc, atomic::AtomicU64},
    task::Waker,
};

use arc_swap::Guard;
use bytes::Bytes;
use futures::future::BoxFuture;
use p2p_client::{
    call::{Failure, Head, Opening, Sending, Started},
    protocol::{CallerId, Denied, Fingerprint, NodeId, One, Target, compatibility::Fit},
    proxy::{Caller, Leg, Peer, Route},
    service::{Chain, HostedService, LazyDescriptor, MethodSpec, Metrics},
    wire::{pool::HttpPool, session::Outcome, sessions::Sessions},
};
use rand::{RngExt, rngs::SmallRng};
use tokio::sync::watch;

use crate::{
    audit::{Subject, Whence},
    context::Context,
    network::Members,
};

use super::{Descriptors, loads::Loads, versions::Versions};
use route::no_route;

/// Resolves and sends the calls of one node.
pub struct NodeCaller {
    cx: Context,
    identity: CallerId,
    pool: HttpPool,
    sessions: Sessions,
    versions: Versions,
    descriptors: Descriptors,
    /// Spreads calls over equally good hosts.
    turn: AtomicU64,
    loads: Loads,
    /// Whether the streams that are open on this node are to end.
    stopping: watch::Sender<bool>,
}

impl NodeCaller {
    pub(crate) fn new(cx: Context, pool: HttpPool, sessions: Sessions, descriptors: Descriptors) -> Self {
        let identity = CallerId::Node { id: cx.node_id().clone(), role: cx.role() };
        let versions = Versions::new(descriptors.clone());
        Self {
            cx,
            identity,
            pool,
            sessions,
            versions,
            descriptors,
            turn: AtomicU64::new(0),
            loads: Loads::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Ends the streams of this node's methods that are open, and those that are opened from now on: it stops.
    pub(crate) fn end_streams(&self) {
        self.stopping.send_replace(true);
    }

    fn members(&self) -> Option<Guard<Arc<Members>>> {
        self.cx.membership().map(crate::network::Membership::look)
    }
}

impl Caller for NodeCaller {
    fn node_id(&self) -> &NodeId {
        self.cx.node_id()
    }

    fn identity(&self) -> &CallerId {
        &self.identity
    }

    fn metrics(&self, service: &str) -> Option<Metrics> {
        Some(self.cx.metrics(service))
    }

    fn denied(&self, method: &MethodSpec, why: &Denied, chain: Option<&Chain>) {
        let (trace, origin) = chain.map_or((None, None), |chain| (chain.trace, chain.origin.as_deref()));
        let subject = Subject { who: &self.identity, what: &method.path, whom: None, from: &Whence::Here, trace, origin };
        self.cx.audit().denied(subject, Some(&why.reason()));
    }

    fn here(&self, service: &str, target: &One) -> Option<Arc<dyn HostedService>> {
        match target {
            One::Any => self.cx.registry().get(service),
            One::Node(id) if id == self.cx.node_id() => self.cx.registry().get(service),
            _ => None,
        }
    }

    fn stopping(&self) -> Option<watch::Receiver<bool>> {
        Some(self.stopping.subscribe())
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        match &head.target {
            Target::One(one) => self.choose(head, one),
            Target::Many(many) => Err(no_route(format!("{many} is many nodes, where one is wanted"))),
        }
    }

    fn resolve_later<'a>(&'a self, head: &'a Head) -> BoxFuture<'a, Result<Route, Failure>> {
        Box::pin(self.once_told(head))
    }

    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure> {
        match &head.target {
            Target::Many(many) => self.everyone(head, many),
            Target::One(one) => {
                let route = self.choose(head, one)?;
                let node_id = match &route {
                    Route::Here(_) => self.cx.node_id().clone(),
                    Route::Peer(peer) | Route::Differing(peer, _) => peer.node_id.clone(),
                };
                Ok(vec![Leg { node_id, route: Ok(route) }])
            }
        }
    }

    fn fit<'a>(&'a self, head: &'a Head, to: &'a Peer, version: Fingerprint) -> BoxFuture<'a, Result<Arc<Fit>, Failure>> {
        Box::pin(self.versions.fit(head, to, version))
    }

    fn fit_here(&self, head: &Head, own: &LazyDescriptor, hosted: &dyn HostedService) -> Arc<Fit> {
        self.versions.fit_here(head.method.method(), own, hosted)
    }

    fn may_run_twice<'a>(&'a self, head: &'a Head, lost_at: &'a Peer, next: &'a Route) -> BoxFuture<'a, bool> {
        Box::pin(self.may_run_twice_at(head, lost_at, next))
    }

    fn start(&self, head: &Head, to: &Peer, body: &[u8], waker: &Waker) -> Option<Started> {
        self.start_on_session(head, to, body, Some(waker))
    }

    fn settle<'a>(
        &'a self,
        head: &'a Head,
        to: &'a Peer,
        body: &'a [u8],
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<Bytes, Failure>> {
        match outcome {
            Outcome::NotSent(_) => Box::pin(self.send_for(&self.identity, head, to, body, true)),
            outcome => Box::pin(self.read_outcome(head, to, outcome)),
        }
    }

    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        if let Some(started) = self.start_on_session(head, to, body, None) {
            return Sending::on_session(started, self, head, to, body);
        }
        let sending: BoxFuture<'a, _> = Box::pin(self.send_for(&self.identity, head, to, body, true));
        sending.into()
    }

    fn open<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        self.open_in_own_name(head, to, body)
    }
}

/// Any number.
fn random() -> usize {
    with_random(RngExt::random::<u32>) as usize
}

fn with_random<T>(draw: impl FnOnce(&mut SmallRng) -> T) -> T {
    thread_local! {
        static RANDOM: RefCell<SmallRng> = RefCell::new(rand::make_rng());
    }
    RANDOM.with_borrow_mut(draw)
}
