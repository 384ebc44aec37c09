//! [`Dispatcher`]: what happens to a call that comes in, from wherever.
//!
//! Access is decided before params are decoded, and before a call is forwarded as far as this node knows the method, by what its contract says
//! for all hosts; the target decides again, by whom it lets in itself. A call from another node is never forwarded: a node resolves targets itself, so that calls cannot go in circles.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use p2p_client::{
    call::{CallOptions, Failure, Head, Headers, MethodRef, Opened, Serving, open_guarded, serve_guarded, serve_timed},
    protocol::{CallerId, ErrorCode, NodeId, One, RpcError, Target},
    proxy::{Caller, Peer, Route},
    service::{CallContext, Chain, HostedService, MethodSpec, Params, Trace},
    wire::{
        Room,
        session::{ItemSink, message::Incoming},
    },
};
use tokio::time::Instant;

use crate::{
    audit::{AuditLog, Subject, Whence},
    context::Context,
    identity::client_token::BearerToken,
    web::rpc::fits,
};

use super::{
    NodeCaller,
    caller::take_room,
    forwarded::{Answers, MAX_FAN_OUT_ANSWER, checked, retold, told},
};

/// Serves the calls that come in, here or by forwarding them.
#[derive(Clone)]
pub struct Dispatcher {
    cx: Context,
    caller: Arc<NodeCaller>,
}

/// A call that came in.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// `service/method`.
    pub path: &'a str,
    /// The params as they came.
    pub params: Params<'a>,
    /// Who asks, as verified.
    pub caller: CallerId,
    /// The token by which a client was verified: it goes along with the call, and the target verifies it again.
    pub(crate) token: Option<BearerToken>,
    /// Where it came from, for the audit log.
    pub(crate) from: Whence,
    /// Whether another node sent it, in whoever's name.
    pub from_node: bool,
    /// Where it is to go, if that was said.
    pub target: Option<Target>,
    /// Whether its caller may read who is in the cluster, and so be told which node failed it.
    pub may_know_nodes: bool,
    /// When it came.
    pub received: Instant,
    /// How long the caller waits from then on, if it says so.
    pub timeout: Option<Duration>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    /// Who began the chain of calls.
    pub origin: Option<Arc<str>>,
    /// What its result shares with those of others, where it is one of a batch.
    pub room: Option<Arc<Room>>,
}

/// No caller keeps a call alive for longer than this, whatever it says: one hour.
const MAX_TIMEOUT: Duration = Duration::from_hours(1);

impl Inbound<'_> {
    /// When the call ends, on the node that serves it: as its caller says, else as its method does, else after 30 seconds.
    fn deadline(&self, method: &MethodSpec) -> Instant {
        deadline(self.timeout, method, self.received)
    }

    /// When a node that forwards the call gives it up. Without a word of the caller, the node that serves it decides.
    fn patience(&self) -> Instant {
        self.received + self.timeout.unwrap_or(MAX_TIMEOUT).min(MAX_TIMEOUT)
    }
}

fn deadline(timeout: Option<Duration>, method: &MethodSpec, received: Instant) -> Instant {
    let timeout = timeout.or(method.timeout).unwrap_or(CallOptions::DEFAULT_TIMEOUT);
    received + timeout.min(MAX_TIMEOUT)
}

/// A call that may be served: its method is there, and its caller may call it.
pub(super) struct Admitted {
    hosted: Arc<dyn HostedService>,
    index: usize,
    cx: CallContext,
}

impl Admitted {
    /// When its caller stops waiting.
    pub(super) fn deadline(&self) -> Instant {
        self.cx.deadline()
    }

    /// Serves it, and says when it ended, if that was looked at.
    pub(super) fn serve<'a>(&'a self, params: Params<'a>, received: Instant) -> Serving<'a> {
        match self.hosted.spec().methods.get(self.index) {
            Some(spec) => serve_timed(&self.hosted, spec, &self.cx, params, received),
            None => Serving::failed(RpcError::new(ErrorCode::INTERNAL, "the tables of the service do not fit together")),
        }
    }
}

impl Dispatcher {
    pub(crate) fn new(cx: Context, caller: Arc<NodeCaller>) -> Self {
        Self { cx, caller }
    }

    /// See [`NodeCaller::end_streams`].
    pub(crate) fn end_streams(&self) {
        self.caller.end_streams();
    }

    /// Serves a call, and gives the result's JSON.
    ///
    /// # Errors
    /// What the caller is told.
    pub async fn call(&self, call: Inbound<'_>) -> Result<Vec<u8>, RpcError> {
        match self.way(&call)? {
            Way::Here { hosted, method } => within(&call, self.serve(&hosted, method, &call).await),
            // In boxes of their own, so that a call which is served here does not carry the room for one that is sent on.
            Way::One(one) => Box::pin(self.forward_one(&call, one)).await,
            Way::Many => Box::pin(self.forward_many(&call)).await,
        }
    }

    /// Serves a call whose caller takes a stream. A method that does not stream gives its result's JSON; so does a call to many nodes,
    /// where those that stream are refused.
    ///
    /// # Errors
    /// What the caller is told instead of a stream.
    pub async fn open(&self, call: Inbound<'_>) -> Result<Opened, RpcError> {
        match self.way(&call)? {
            Way::Here { hosted, method } => self.open_here(&hosted, method, &call).await,
            Way::One(one) => self.open_there(&call, one).await,
            Way::Many => self.forward_many(&call).await.map(|json| Opened::Answered(json.into())),
        }
    }

    fn way<'a>(&self, call: &Inbound<'a>) -> Result<Way<'a>, RpcError> {
        let Some((service, method)) = call.path.split_once('/') else { return Err(names_no_method(call.path)) };
        match &call.target {
            None | Some(Target::One(One::Any)) => match self.cx.registry().get(service) {
                Some(hosted) => Ok(Way::Here { hosted, method }),
                None if call.from_node => Err(self.not_here(service)),
                None => Ok(Way::One(One::Any)),
            },
            Some(Target::One(One::Node(id))) if id == self.cx.node_id() => {
                let (hosted, _) = self.cx.registry().find(service, method)?;
                Ok(Way::Here { hosted, method })
            }
            Some(_) if call.from_node => {
                let text = "a node resolves targets itself; send the call to the node that is meant";
                Err(RpcError::new(ErrorCode::INVALID_REQUEST, text))
            }
            Some(Target::One(one)) => Ok(Way::One(one.clone())),
            Some(Target::Many(_)) => Ok(Way::Many),
        }
    }

    /// Lets in a call of another node, which resolved its target itself: it is served on this node or not at all.
    ///
    /// # Errors
    /// What the caller is told.
    pub(super) fn admit(
        &self,
        call: &Incoming,
        peer: &NodeId,
        caller: CallerId,
        received: Instant,
        items: Option<ItemSink>,
    ) -> Result<Admitted, RpcError> {
        let path = call.method();
        let Some((service, method)) = path.split_once('/') else { return Err(names_no_method(path)) };
        let Some(hosted) = self.cx.registry().get(service) else { return Err(self.not_here(service)) };
        let Some(spec) = hosted.method(method) else {
            return Err(p2p_client::call::unknown_method(&*hosted, method));
        };
        let from = || Whence::Node(peer.clone());
        check_access(self.cx.audit(), spec, &caller, from, call.trace, call.origin.as_deref())?;
        let deadline = deadline(call.timeout, spec, received);
        let index = spec.index;
        let cx = CallContext::new(self.caller.clone(), caller, deadline)
            .within(call.trace, call.origin.clone())
            .for_service(spec.service.clone())
            .with_items(items.map(Into::into));
        Ok(Admitted { hosted, index, cx })
    }

    async fn serve(&self, hosted: &Arc<dyn HostedService>, method: &str, call: &Inbound<'_>) -> Result<Vec<u8>, RpcError> {
        serve(self.caller.clone(), self.cx.audit(), hosted, method, call).await
    }

    async fn open_here(&self, hosted: &Arc<dyn HostedService>, method: &str, call: &Inbound<'_>) -> Result<Opened, RpcError> {
        open(self.caller.clone(), self.cx.audit(), hosted, method, call).await
    }

    /// The sender's view of who hosts what was out of date. It may safely ask another.
    fn not_here(&self, service: &str) -> RpcError {
        let text =
            format!("node {} does not host {service:?}; it hosts: {}", self.cx.node_id(), self.cx.registry().names().join(", "));
        RpcError::new(ErrorCode::UNAVAILABLE, text)
    }

    /// Sends the call on, and on to the next node that fits where it surely did not run, or may run twice.
    async fn forward_one(&self, call: &Inbound<'_>, one: One) -> Result<Vec<u8>, RpcError> {
        let mut head = head(call, Target::One(one));
        let mut route = self.caller.resolve(&head);
        let mut failed = None;
        loop {
            let peer = match route {
                // What comes by name was not made with any version in mind: the host refuses what it does not know.
                Ok(Route::Peer(peer) | Route::Differing(peer, _)) => peer,
                Ok(Route::Here(hosted)) => return within(call, self.serve(&hosted, head.method.method(), call).await),
                Err(nobody) => {
                    let later = head.later(&*self.caller, nobody).await;
                    route = Ok(later.map_err(|nobody| told(failed.take().unwrap_or(nobody), call))?);
                    continue;
                }
            };
            match self.send(call, &head, &peer).await.and_then(|json| checked(json, &peer.node_id)) {
                Ok(json) => return Ok(json.into()),
                Err(failure) => {
                    let next = head.elsewhere(&*self.caller, peer, failure, &mut failed).await;
                    route = next.map_err(|failure| told(failure, call))?;
                }
            }
        }
    }

    /// Opens a stream at another node, and at the next that fits where it surely was not opened, or may be opened twice.
    async fn open_there(&self, call: &Inbound<'_>, one: One) -> Result<Opened, RpcError> {
        let mut head = head(call, Target::One(one));
        let mut route = self.caller.resolve(&head);
        let mut failed = None;
        loop {
            let peer = match route {
                // As above: the host refuses what it does not know.
                Ok(Route::Peer(peer) | Route::Differing(peer, _)) => peer,
                Ok(Route::Here(hosted)) => return self.open_here(&hosted, head.method.method(), call).await,
                Err(nobody) => {
                    let later = head.later(&*self.caller, nobody).await;
                    route = Ok(later.map_err(|nobody| told(failed.take().unwrap_or(nobody), call))?);
                    continue;
                }
            };
            match self.open_at(call, &head, &peer).await {
                Ok(Opened::Items(items)) => return Ok(Opened::Items(retold(items, call))),
                Ok(Opened::Answered(json)) => {
                    return Ok(Opened::Answered(checked(json, &peer.node_id).map_err(|failure| told(failure, call))?));
                }
                Err(failure) => {
                    let next = head.elsewhere(&*self.caller, peer, failure, &mut failed).await;
                    route = next.map_err(|failure| told(failure, call))?;
                }
            }
        }
    }

    async fn open_at(&self, call: &Inbound<'_>, head: &Head, peer: &Peer) -> Result<Opened, Failure> {
        let caller = self.sender(call, head)?;
        let body = call.params.json().unwrap_or("{}").as_bytes();
        self.caller.open_for(caller, head, peer, body, call.timeout.is_some()).await
    }

    /// Asks every node that fits; the result is an object with each node's result or error. An answer that there is no room for beside those
    /// that came before is such an error.
    async fn forward_many(&self, call: &Inbound<'_>) -> Result<Vec<u8>, RpcError> {
        let target = call.target.clone().unwrap_or(Target::One(One::Any));
        let head = Head { room: Some(Room::within(MAX_FAN_OUT_ANSWER, call.room.clone())), ..head(call, target) };
        let legs = self.caller.resolve_all(&head).map_err(|failure| told(failure, call))?;
        if legs.is_empty() {
            let text = format!("no node that is alive fits {} and hosts {}", head.target, head.method.service());
            return Err(RpcError::new(ErrorCode::NO_ROUTE, text));
        }
        let head = &head;
        let mut asked: FuturesUnordered<_> = legs
            .into_iter()
            .map(|leg| async move {
                let mut own_head = None;
                let route = match leg.route {
                    // A node that was named, and starts.
                    Err(nobody @ Failure::NotYet(_)) => {
                        let head = Head { target: One::Node(leg.node_id.clone()).into(), ..head.clone() };
                        Box::pin(own_head.insert(Box::new(head)).later(&*self.caller, nobody)).await
                    }
                    route => route,
                };
                let answer = match route {
                    Err(failure) => Err(failure),
                    Ok(Route::Here(hosted)) => self.serve_beside_others(&hosted, head, call).await,
                    Ok(Route::Peer(peer) | Route::Differing(peer, _)) => {
                        self.send(call, own_head.as_deref().unwrap_or(head), &peer).await
                    }
                };
                (leg.node_id, answer)
            })
            .collect();
        let mut answers = Answers::new();
        while let Some((node, answer)) = asked.next().await {
            answers.add(node, answer, call);
        }
        answers.into_json()
    }

    /// This node's own part of a call to many.
    async fn serve_beside_others(
        &self,
        hosted: &Arc<dyn HostedService>,
        head: &Head,
        call: &Inbound<'_>,
    ) -> Result<Bytes, Failure> {
        let json = self.serve(hosted, head.method.method(), call).await?;
        take_room(head, json.len())?;
        Ok(json.into())
    }

    async fn send(&self, call: &Inbound<'_>, head: &Head, peer: &Peer) -> Result<Bytes, Failure> {
        let caller = self.sender(call, head)?;
        let body = call.params.json().unwrap_or("{}").as_bytes();
        self.caller.send_for(caller, head, peer, body, call.timeout.is_some()).await
    }

    /// In whose name a call is sent on, if it may be as far as this node knows the method.
    fn sender<'a>(&'a self, call: &'a Inbound<'_>, head: &Head) -> Result<&'a CallerId, Failure> {
        shows_token(self.cx.audit(), call)?;
        // An operator of this node is, on other nodes, this node.
        let caller = if call.caller == CallerId::Operator { self.caller.identity() } else { &call.caller };
        // Of a method that it does not host this node knows nothing; the target decides, as it does in any case. That this node may let in fewer
        // than the contract does is for the calls that it serves itself.
        let hosted = self.cx.registry().get(head.method.service());
        if let Some(spec) = hosted.as_deref().and_then(|hosted| hosted.contract().method(head.method.method())) {
            check_access(self.cx.audit(), spec, caller, || call.from.clone(), call.trace, call.origin.as_deref())?;
        }
        Ok(caller)
    }
}

/// Serves a call by an object of the node that `node` calls for.
pub(crate) async fn serve(
    node: Arc<dyn Caller>,
    audit: &AuditLog,
    hosted: &Arc<dyn HostedService>,
    method: &str,
    call: &Inbound<'_>,
) -> Result<Vec<u8>, RpcError> {
    let (spec, cx) = let_in(node, audit, hosted, method, call)?;
    serve_guarded(hosted, spec, &cx, call.params, Instant::now()).await
}

/// The same, for a caller that takes a stream.
pub(crate) async fn open(
    node: Arc<dyn Caller>,
    audit: &AuditLog,
    hosted: &Arc<dyn HostedService>,
    method: &str,
    call: &Inbound<'_>,
) -> Result<Opened, RpcError> {
    let (spec, cx) = let_in(node, audit, hosted, method, call)?;
    open_guarded(hosted, spec, cx, call.params, Instant::now()).await
}

/// The method, and the context that it gets, if the caller may call it.
fn let_in<'a>(
    node: Arc<dyn Caller>,
    audit: &AuditLog,
    hosted: &'a Arc<dyn HostedService>,
    method: &str,
    call: &Inbound<'_>,
) -> Result<(&'a MethodSpec, CallContext), RpcError> {
    let Some(spec) = hosted.method(method) else {
        return Err(p2p_client::call::unknown_method(&**hosted, method));
    };
    check_access(audit, spec, &call.caller, || call.from.clone(), call.trace, call.origin.as_deref())?;
    let cx = CallContext::new(node, call.caller.clone(), call.deadline(spec))
        .within(call.trace, call.origin.clone())
        .for_service(spec.service.clone());
    Ok((spec, cx))
}

/// The result of a call that was served here, if it fits beside those of others. (What comes from another node is read into their room.)
fn within(call: &Inbound<'_>, served: Result<Vec<u8>, RpcError>) -> Result<Vec<u8>, RpcError> {
    match (&call.room, served) {
        (Some(room), Ok(json)) => fits(room, json.len()).map(|()| json),
        (_, served) => served,
    }
}

/// Where a call is served.
enum Way<'a> {
    Here { hosted: Arc<dyn HostedService>, method: &'a str },
    One(One),
    Many,
}

fn names_no_method(path: &str) -> RpcError {
    let text = format!("{path:?} names no method; write service/method, such as system/get_system_info");
    RpcError::new(ErrorCode::METHOD_NOT_FOUND, text)
}

/// Refuses and logs a call that is not for `caller`.
fn check_access(
    audit: &AuditLog,
    spec: &MethodSpec,
    who: &CallerId,
    from: impl FnOnce() -> Whence,
    trace: Option<Trace>,
    origin: Option<&str>,
) -> Result<(), RpcError> {
    spec.access.check(who, &spec.path).map_err(|denied| {
        audit.denied(Subject { who, what: &spec.path, whom: None, from: &from(), trace, origin }, Some(&denied.reason()));
        denied.into()
    })
}

/// Refuses to send a client's call on without the client's token: it would go out in the name of this node.
fn shows_token(audit: &AuditLog, call: &Inbound<'_>) -> Result<(), RpcError> {
    if !matches!(call.caller, CallerId::Client(_)) || call.token.is_some() {
        return Ok(());
    }
    let error = RpcError::new(ErrorCode::DENIED, "the call of a client is sent on only with the client's token");
    let Inbound { path: what, caller: who, from, trace, origin, .. } = call;
    let subject = Subject { who, what, whom: None, from, trace: *trace, origin: origin.as_deref() };
    audit.denied(subject, Some(&error.message));
    Err(error)
}

/// What routing needs of a call that came in.
fn head(call: &Inbound<'_>, target: Target) -> Head {
    let (service, method) = call.path.split_once('/').unwrap_or_default();
    let origin = call.origin.clone().unwrap_or_else(|| call.caller.to_string().into());
    Head {
        method: MethodRef::Named(Arc::new((service.to_owned(), method.to_owned()))),
        target,
        deadline: call.patience(),
        began: call.received,
        chain: Some(Arc::new(Chain { deadline: Some(call.patience()), trace: call.trace, origin: Some(origin) })),
        // On a session there is no place for a token: a call with a header goes by plain `POST /rpc` (decision 22).
        headers: call.token.iter().map(BearerToken::header).collect::<Headers>(),
        tried: Vec::new(),
        is_first_try: true,
        room: call.room.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Mutex, PoisonError},
    };

    use p2p_client::protocol::{ClientIdentity, Scopes};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn inbound(caller: CallerId) -> Inbound<'static> {
        Inbound {
            path: "probe/look",
            params: Params::new(None),
            caller,
            token: None,
            from: Whence::Address([10, 0, 0, 9].into()),
            from_node: false,
            target: None,
            may_know_nodes: true,
            received: Instant::now(),
            timeout: None,
            trace: None,
            origin: None,
            room: None,
        }
    }

    #[tokio::test]
    async fn a_clients_call_without_its_token_is_not_sent_on_and_the_denial_is_told() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _capturing = tracing::subscriber::set_default(subscriber);
        let audit = AuditLog::default();
        let client = CallerId::Client(Arc::new(ClientIdentity::new("ci@coordinator", Scopes::default(), "0f")));
        let error = shows_token(&audit, &inbound(client)).unwrap_err();
        assert_eq!(error.code, ErrorCode::DENIED);
        let said = lines.text();
        for part in [
            "who=\"client ci@coordinator\"",
            "token_id=\"0f\"",
            "what=\"probe/look\"",
            "from=\"10.0.0.9\"",
            "outcome=\"denied\"",
            "reason=\"the call of a client is sent on only with the client's token\"",
        ] {
            assert_eq!(said.matches(part).count(), 1, "{part} in {said}");
        }
        // The others need none.
        for caller in [CallerId::Anonymous, CallerId::Operator] {
            shows_token(&audit, &inbound(caller)).unwrap();
        }
        assert_eq!(lines.text(), said);
    }
}
