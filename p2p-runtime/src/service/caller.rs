//! [`NodeCaller`]: what stands below the proxies of a node.
//!
//! It resolves targets against what this node hosts and against the membership's view, and sends on the peer's session, or by HTTP. It decides
//! nothing
//! about retries (that is the call's) nor about access (that is the dispatcher's, here and at the other end).

mod streams;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use p2p_client::{
    call::{Failure, Head, Opening, Sending, Settle, UnderWay},
    protocol::{
        CallerId, ErrorCode, Fingerprint, Many, NodeId, NodeInfo, NodeStatus, One, Role, RpcError, ServiceHealth, ServiceSummary,
        Target,
        compatibility::Fit,
        envelope::{Reply, write_request},
    },
    proxy::{Caller, Leg, Peer, Route},
    service::{HostedService, Metrics, Trace},
    wire::{
        http::{RequestLimits, SendFailure},
        pool::HttpPool,
        session::{
            InFlight, MAX_INLINE, Outcome,
            message::{Answer, Outgoing},
        },
        sessions::{Sessions, Way},
    },
};
use rand::{RngExt, rngs::SmallRng};
use tokio::time::{Instant, timeout_at};

use crate::{
    context::Context,
    network::Members,
    web::{BODY_PATH, headers},
};

use super::{Descriptors, choice::choose, loads::Loads, versions::Versions};

/// Resolves and sends the calls of one node.
pub struct NodeCaller {
    cx: Context,
    identity: CallerId,
    pool: HttpPool,
    sessions: Sessions,
    versions: Versions,
    /// Spreads calls over equally good hosts.
    turn: AtomicUsize,
    loads: Loads,
}

impl NodeCaller {
    pub(crate) fn new(cx: Context, pool: HttpPool, sessions: Sessions, descriptors: Descriptors) -> Self {
        let identity = CallerId::Node { id: cx.node_id().clone(), role: cx.role() };
        let versions = Versions::new(descriptors);
        Self { cx, identity, pool, sessions, versions, turn: AtomicUsize::new(0), loads: Loads::default() }
    }

    /// Whom one result is asked of, without regard to where this call came from.
    fn choose(&self, head: &Head, one: &One) -> Result<Route, Failure> {
        let service = head.method.service();
        let here = || {
            self.here(head).ok_or_else(|| {
                let hosted = self.cx.registry().names().join(", ");
                no_route(format!("node {} does not host {service}; it hosts: {hosted}", self.cx.node_id()))
            })
        };
        match one {
            One::Any => match self.here(head) {
                Some(route) => Ok(route),
                None => self.best(head, "member", |_| true),
            },
            One::Node(id) if id == self.cx.node_id() => here(),
            One::Node(id) => self.named(head, id),
            One::NoSuchNode(text) => Err(no_route(format!("{text:?} is no node id; an id looks like \"worker-123\""))),
            One::Role(role) if *role == self.cx.role() && self.here(head).is_some() => here(),
            One::Role(role) => self.best(head, role.as_str(), |info| info.role == *role),
            One::Capability(label) => {
                let fits = |info: &NodeInfo| info.capabilities.contains(label);
                let mine = self.members().is_some_and(|members| members.get(self.cx.node_id()).is_some_and(|me| fits(me)));
                match self.here(head).filter(|_| mine) {
                    Some(route) => Ok(route),
                    None => self.best(head, &format!("node with the capability {label}"), fits),
                }
            }
        }
    }

    /// The object on this node, unless it was tried already.
    fn here(&self, head: &Head) -> Option<Route> {
        let hosted = self.cx.registry().get(head.method.service())?;
        (!head.tried.contains(self.cx.node_id())).then_some(Route::Here(hosted))
    }

    /// A node that was asked for by its id.
    fn named(&self, head: &Head, id: &NodeId) -> Result<Route, Failure> {
        let members = self.members().ok_or_else(not_yet)?;
        let Some((info, peer)) = members.peer(id) else {
            let known: Vec<_> = members.iter().map(|info| info.node_id.to_string()).collect();
            return Err(no_route(format!("no member is called {id}; the members are: {}", known.join(", "))));
        };
        if !info.is_callable() {
            let state = if info.status == NodeStatus::Left { "has left" } else { "is dead" };
            return Err(no_route(format!("node {id} {state}; calls go to members that are alive")));
        }
        if head.tried.contains(id) {
            return Err(no_route(format!("node {id} could not be reached")));
        }
        let service = head.method.service();
        let Some(hosted) = info.services.get(service) else {
            let hosts: Vec<_> = info.services.keys().map(String::as_str).collect();
            return Err(no_route(format!("node {id} does not host {service}; it hosts: {}", hosts.join(", "))));
        };
        Ok(self.way(head, peer, hosted))
    }

    /// The best of the members that fit: those that are alive and well before all others, and of them the less busy one of two.
    fn best(&self, head: &Head, wanted: &str, fits: impl Fn(&NodeInfo) -> bool) -> Result<Route, Failure> {
        let members = self.members().ok_or_else(not_yet)?;
        let service = head.method.service();
        let hosts = || {
            members.peers().filter_map(|(info, peer)| {
                let hosted = info.services.get(service)?;
                let may_be_asked =
                    info.is_callable() && info.node_id != *self.cx.node_id() && !head.tried.contains(&info.node_id) && fits(info);
                may_be_asked.then_some((info, hosted, peer))
            })
        };
        let well = || {
            let is_well = |info: &NodeInfo, health| info.status == NodeStatus::Alive && health != ServiceHealth::Unhealthy;
            hosts().filter(move |(info, hosted, _)| is_well(info, hosted.health))
        };
        let turn = self.turn.fetch_add(1, Relaxed);
        let cost = |(_, _, peer): &(_, _, &Peer)| self.loads.cost(&peer.node_id, head.began);
        if let Some((_, hosted, peer)) = choose(well, turn, random, cost).or_else(|| choose(hosts, turn, random, cost)) {
            return Ok(self.way(head, peer, hosted));
        }
        Err(if self.is_known(service) {
            no_route(format!("no {wanted} that is alive hosts {service}"))
        } else {
            self.not_hosted(service)
        })
    }

    /// Counts a call to a peer, from now on.
    fn count(&self, head: &Head, to: &Peer) -> UnderWay {
        let is_member = |id: &NodeId| self.members().is_some_and(|members| members.get(id).is_some());
        let mut call = self.loads.begin(&to.node_id, head.began, is_member);
        if !head.tried.is_empty() {
            call.is_unlike_others();
        }
        call
    }

    /// The way to a host: as it is where its version of the service is the caller's, or is known to understand the caller's calls.
    fn way(&self, head: &Head, peer: &Peer, hosted: &ServiceSummary) -> Route {
        match head.method.spec().and_then(|spec| spec.descriptor) {
            Some(own) if own.fingerprint() != hosted.fingerprint => {
                if self.versions.is_as_it_is(own.fingerprint(), hosted.fingerprint, head.method.method()) {
                    Route::Peer(peer.clone())
                } else {
                    Route::Differing(peer.clone(), hosted.fingerprint)
                }
            }
            _ => Route::Peer(peer.clone()),
        }
    }

    fn is_known(&self, service: &str) -> bool {
        let by_members = self.members().is_some_and(|members| members.iter().any(|info| info.services.contains_key(service)));
        by_members || self.cx.registry().get(service).is_some()
    }

    fn not_hosted(&self, service: &str) -> Failure {
        let mut known = self.cx.registry().names();
        if let Some(members) = self.members() {
            known.extend(members.iter().filter(|info| info.is_callable()).flat_map(|info| info.services.keys().cloned()));
        }
        known.sort();
        known.dedup();
        let text = format!("no node of the cluster hosts a service {service:?}; there are: {}", known.join(", "));
        Failure::Answered(RpcError::new(ErrorCode::METHOD_NOT_FOUND, text))
    }

    fn members(&self) -> Option<Arc<Members>> {
        self.cx.membership().map(crate::network::Membership::members)
    }

    fn everyone(&self, head: &Head, many: &Many) -> Result<Vec<Leg>, Failure> {
        if let Many::Nodes(ids) = many {
            // Each once, however often it was named: a call is not to run twice.
            let ids: BTreeSet<&NodeId> = ids.iter().collect();
            let leg = |id: &NodeId| Leg { node_id: id.clone(), route: self.choose(head, &One::Node(id.clone())) };
            return Ok(ids.into_iter().map(leg).collect());
        }
        let members = self.members().ok_or_else(not_yet)?;
        let me = self.cx.node_id();
        let fits = |info: &NodeInfo| match many {
            Many::All | Many::Nodes(_) => true,
            Many::Others => info.node_id != *me,
            Many::Role(role) => info.role == *role,
            Many::Capability(label) => info.capabilities.contains(label),
        };
        let service = head.method.service();
        let mut legs = Vec::new();
        for (info, peer) in members.peers().filter(|(info, _)| info.is_callable() && fits(info)) {
            let route = if info.node_id == *me {
                self.here(head)
            } else {
                info.services.get(service).map(|hosted| self.way(head, peer, hosted))
            };
            legs.extend(route.map(|route| Leg { node_id: info.node_id.clone(), route: Ok(route) }));
        }
        if legs.is_empty() && !self.is_known(service) {
            return Err(self.not_hosted(service));
        }
        Ok(legs)
    }

    /// Sends a call in this node's own name, or in nobody's: a forwarder's certificate lends nothing to a caller without a name.
    ///
    /// Unless the deadline `is_said`, the other node is not told of it, and goes by the method's own limit.
    pub(crate) async fn send_for(
        &self,
        caller: &CallerId,
        head: &Head,
        to: &Peer,
        body: &[u8],
        is_said: bool,
    ) -> Result<Bytes, Failure> {
        let mut under_way = self.count(head, to);
        let answer = self.send_by(caller, head, to, body, is_said, &mut under_way).await;
        ended(under_way, &answer);
        answer
    }

    async fn send_by(
        &self,
        caller: &CallerId,
        head: &Head,
        to: &Peer,
        body: &[u8],
        is_said: bool,
        under_way: &mut UnderWay,
    ) -> Result<Bytes, Failure> {
        // Headers are for what stands between nodes and reads HTTP; large bodies would hold up the small ones.
        // (What is rare stands in boxes of its own here and below, so that what is not stays small.)
        if longest(head, body) > MAX_INLINE || !head.headers.is_empty() {
            under_way.is_unlike_others();
            return Box::pin(self.post(caller, head, to, body, is_said)).await;
        }
        let path = head.method.path();
        let mut call = message(head, &path, body, caller);
        loop {
            let (way, is_fresh) = match self.sessions.there(&to.node_id) {
                Some(way) => (way, false),
                None => {
                    under_way.is_unlike_others();
                    Box::pin(self.open_way(head, to)).await?
                }
            };
            let Way::Session(session) = way else {
                return Box::pin(self.post(caller, head, to, body, is_said)).await;
            };
            call.timeout = is_said.then(|| head.deadline.saturating_duration_since(Instant::now()));
            match session.call(&call, head.deadline).await {
                Outcome::NotSent(_) if !is_fresh => {
                    // It may have been about to end for long; a fresh one tells how things are.
                    self.sessions.forget(&session);
                }
                outcome => return self.read_outcome(head, to, outcome).await,
            }
        }
    }

    /// Makes a call at once, where there is a session at hand and nothing about the call is unusual.
    fn start(&self, head: &Head, to: &Peer, body: &[u8]) -> Option<InFlight> {
        if longest(head, body) > MAX_INLINE || !head.headers.is_empty() || !head.tried.is_empty() {
            return None;
        }
        let Some(Way::Session(session)) = self.sessions.there(&to.node_id) else { return None };
        let path = head.method.path();
        // At its first try a call was begun just now.
        let timeout = Some(head.deadline.saturating_duration_since(head.began));
        session.start(&Outgoing { timeout, ..message(head, &path, body, &self.identity) }, head.deadline)
    }

    async fn read_outcome(&self, head: &Head, to: &Peer, outcome: Outcome) -> Result<Bytes, Failure> {
        match outcome {
            Outcome::Answered(Answer::Result(json)) => Ok(json),
            Outcome::Answered(Answer::Error(error)) => Err(Failure::Answered(error)),
            Outcome::Answered(Answer::Body { ticket, .. }) => Box::pin(self.fetch(head, to, ticket)).await,
            Outcome::Deadline => Err(Failure::Deadline(head.method.path().into_owned())),
            Outcome::Lost(ended) => Err(Failure::Lost(of(to, &ended))),
            Outcome::NotSent(ended) => Err(Failure::NotSent(of(to, &ended))),
        }
    }

    async fn open_way(&self, head: &Head, to: &Peer) -> Result<(Way, bool), Failure> {
        match timeout_at(head.deadline, self.sessions.way(to)).await {
            Ok(Ok(way)) => Ok(way),
            Ok(Err(no_way)) => Err(Failure::NotSent(of(to, &no_way))),
            Err(_) => Err(Failure::Deadline(head.method.path().into_owned())),
        }
    }

    /// Fetches a result that was too large for the session.
    async fn fetch(&self, head: &Head, to: &Peer, ticket: u64) -> Result<Bytes, Failure> {
        let request = Request::get(format!("{BODY_PATH}/{ticket}")).body(Full::default());
        let request = request.map_err(|error| Failure::Lost(error.to_string()))?;
        let left = head.deadline.saturating_duration_since(Instant::now());
        let response = self.pool.request(to, request, RequestLimits::within(left)).await;
        // The call has run, whatever happens to its result.
        match response {
            Ok(response) if response.status() == StatusCode::OK => Ok(response.into_body()),
            Ok(response) => Err(Failure::Lost(of(to, &format_args!("the result could not be fetched ({})", response.status())))),
            Err(failure) => match failed(&failure, head, to, left) {
                Failure::NotSent(reason) => Err(Failure::Lost(reason)),
                other => Err(other),
            },
        }
    }

    /// Sends a call as an HTTP request of its own.
    async fn post(&self, caller: &CallerId, head: &Head, to: &Peer, body: &[u8], is_said: bool) -> Result<Bytes, Failure> {
        let left = head.deadline.saturating_duration_since(Instant::now());
        let request = Self::request(caller, head, is_said.then_some(left), body)?;
        let response = self
            .pool
            .request(to, request, RequestLimits::within(left))
            .await
            .map_err(|failure| failed(&failure, head, to, left))?;
        read(&response, to)
    }

    fn request(caller: &CallerId, head: &Head, left: Option<Duration>, body: &[u8]) -> Result<Request<Full<Bytes>>, Failure> {
        let path = head.method.path();
        let mut envelope = Vec::with_capacity(body.len() + path.len() + 64);
        write_request(&mut envelope, 1, &path, body);
        let mut request =
            Request::post("/rpc").body(Full::new(envelope.into())).map_err(|error| Failure::NotSent(error.to_string()))?;
        let sent = request.headers_mut();
        for (name, value) in head.headers.iter() {
            let name = HeaderName::try_from(name).map_err(|_| Failure::NotSent(format!("{name:?} is no header name")))?;
            if name.as_str().starts_with("p2p-") {
                return Err(Failure::NotSent(format!("headers that begin with p2p- are the protocol's own; rename {name}")));
            }
            let value =
                HeaderValue::try_from(value).map_err(|_| Failure::NotSent(format!("the value of {name} cannot be sent")))?;
            sent.append(name, value);
        }
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(left) = left {
            sent.insert(headers::TIMEOUT_MS, u64::try_from(left.as_millis()).unwrap_or(u64::MAX).into());
        }
        let trace = head.trace().unwrap_or_else(new_trace);
        if let Ok(trace) = HeaderValue::try_from(trace.to_string()) {
            sent.insert(headers::TRACEPARENT, trace);
        }
        if let Some(origin) = head.origin().and_then(|origin| HeaderValue::try_from(&**origin).ok()) {
            sent.insert(headers::ORIGIN, origin);
        }
        if *caller == CallerId::Anonymous {
            sent.insert(headers::CALLER, HeaderValue::from_static(headers::ANONYMOUS));
        }
        Ok(request)
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

    fn here(&self, service: &str, target: &One) -> Option<Arc<dyn HostedService>> {
        match target {
            One::Any => self.cx.registry().get(service),
            One::Node(id) if id == self.cx.node_id() => self.cx.registry().get(service),
            _ => None,
        }
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        match &head.target {
            Target::One(one) => self.choose(head, one),
            Target::Many(many) => Err(no_route(format!("{many} is many nodes, where one is wanted"))),
        }
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

    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        if let Some(in_flight) = self.start(head, to, body) {
            return Sending::on_session(in_flight, self, head, to, body).counted(self.count(head, to));
        }
        let sending: BoxFuture<'a, _> = Box::pin(self.send_for(&self.identity, head, to, body, true));
        sending.into()
    }

    fn open<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        self.open_in_own_name(head, to, body)
    }
}

impl Settle for NodeCaller {
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
}

/// Counts how a call to a peer ended.
fn ended<T>(call: UnderWay, answer: &Result<T, Failure>) {
    match answer {
        Err(Failure::Answered(error)) if error.code == ErrorCode::UNAVAILABLE => call.failed(),
        Err(Failure::NotSent(_) | Failure::Lost(_)) => call.failed(),
        _ => call.answered(),
    }
}

fn no_route(text: String) -> Failure {
    Failure::NoRoute(text)
}

fn not_yet() -> Failure {
    Failure::NotSent("the node is not part of the cluster yet; wait until it runs".to_owned())
}

/// A call's message, its time limit aside.
fn message<'a>(head: &'a Head, path: &'a str, body: &'a [u8], caller: &CallerId) -> Outgoing<'a> {
    Outgoing {
        method: path,
        params: body,
        timeout: None,
        trace: Some(head.trace().unwrap_or_else(new_trace)),
        is_anonymous: *caller == CallerId::Anonymous,
        origin: head.origin().map(|origin| &**origin),
        credit: None,
    }
}

/// How long a call's message can become, what is of fixed size aside. The method and the origin may be anything that somebody outside
/// wrote, of which JSON makes six bytes for one; a message that is too long would end the session, with everybody's calls.
fn longest(head: &Head, body: &[u8]) -> usize {
    let texts = head.method.service().len() + head.method.method().len() + head.origin().map_or(0, |origin| origin.len());
    body.len() + 6 * texts.saturating_sub(USUAL_TEXTS)
}

/// How many bytes of a method's path and an origin have their place in every message, beside the largest body.
const USUAL_TEXTS: usize = 1_024;

/// A trace that continues nothing. Nobody must be kept from guessing it, so that its randomness need not be costly.
fn new_trace() -> Trace {
    Trace::root(with_random(RngExt::random))
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

/// What happened, and with whom.
fn of(to: &Peer, reason: &dyn std::fmt::Display) -> String {
    format!("node {} at {}: {reason}", to.node_id, to.authority)
}

/// What a failed request means for the call.
fn failed(failure: &SendFailure, head: &Head, to: &Peer, left: Duration) -> Failure {
    if left.is_zero() || head.deadline <= Instant::now() {
        return Failure::Deadline(head.method.path().into_owned());
    }
    match failure {
        SendFailure::NotSent { reason } => Failure::NotSent(of(to, reason)),
        SendFailure::Lost { reason } => Failure::Lost(of(to, reason)),
    }
}

/// The result's JSON of a response.
fn read(response: &http::Response<Bytes>, from: &Peer) -> Result<Bytes, Failure> {
    let body = response.body();
    match serde_json::from_slice::<Reply<'_>>(body) {
        Ok(Reply { error: Some(error), .. }) => Err(Failure::Answered(error)),
        Ok(Reply { result: Some(result), .. }) => Ok(body.slice_ref(result.get().as_bytes())),
        _ if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
            Err(Failure::NotSent(format!("node {} is starting or stopping", from.node_id)))
        }
        _ => Err(Failure::Lost(format!("node {} answered {} and no JSON-RPC response", from.node_id, response.status()))),
    }
}

/// What a context calls through when its node is gone: nobody.
pub(crate) struct Nowhere {
    node_id: NodeId,
    identity: CallerId,
}

impl Nowhere {
    pub(crate) fn new(node_id: NodeId, role: Role) -> Self {
        Self { identity: CallerId::Node { id: node_id.clone(), role }, node_id }
    }

    fn gone(&self) -> Failure {
        no_route(format!("node {} is not running", self.node_id))
    }
}

impl Caller for Nowhere {
    fn node_id(&self) -> &NodeId {
        &self.node_id
    }
    fn identity(&self) -> &CallerId {
        &self.identity
    }
    fn resolve(&self, _: &Head) -> Result<Route, Failure> {
        Err(self.gone())
    }
    fn resolve_all(&self, _: &Head) -> Result<Vec<Leg>, Failure> {
        Err(self.gone())
    }
    fn send<'a>(&'a self, _: &'a Head, _: &'a Peer, _: &'a [u8]) -> Sending<'a> {
        let gone: BoxFuture<'a, _> = Box::pin(std::future::ready(Err(self.gone())));
        gone.into()
    }
}
