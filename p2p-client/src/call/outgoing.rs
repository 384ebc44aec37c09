//! A call on its way: resolving its target, and serving it here or sending it.

use std::{any::TypeId, borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::{
    protocol::{
        ErrorCode, Fingerprint, NodeId, RpcError, Target,
        compatibility::{Fit, NoFit},
    },
    proxy::{Caller, Peer, Route},
    service::{
        CallContext, Chain, Cut, Definition, Guarded, HostedService, Local, MethodSpec, ObjectWriter, Outcome, Params, Running,
        ServiceError, ServiceSpec, Trace,
    },
};

use super::{
    CallError, CallOptions, Failure, Headers, Here,
    pause::{chance, pause},
};

/// Which method is called.
#[derive(Debug, Clone)]
pub enum MethodRef {
    /// One that a proxy knows.
    Known(&'static MethodSpec),
    /// One whose name is known only at run time: service and method.
    Named(Arc<(String, String)>),
}

impl MethodRef {
    /// The service's name.
    pub fn service(&self) -> &str {
        match self {
            Self::Known(spec) => &spec.service,
            Self::Named(names) => &names.0,
        }
    }

    /// The method's name.
    pub fn method(&self) -> &str {
        match self {
            Self::Known(spec) => &spec.name,
            Self::Named(names) => &names.1,
        }
    }

    /// `service/method`.
    pub fn path(&self) -> Cow<'_, str> {
        match self {
            Self::Known(spec) => Cow::Borrowed(&spec.path),
            Self::Named(names) => Cow::Owned(format!("{}/{}", names.0, names.1)),
        }
    }

    /// What the tables say of it, where they are known.
    pub fn spec(&self) -> Option<&'static MethodSpec> {
        match self {
            Self::Known(spec) => Some(spec),
            Self::Named(_) => None,
        }
    }
}

/// All that routing and sending need to know of a call, its params aside.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which method.
    pub method: MethodRef,
    /// Where to.
    pub target: Target,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// When the call was first polled.
    pub began: Instant,
    /// What it inherits from the call around it.
    pub chain: Option<Arc<Chain>>,
    /// Headers that the caller added.
    pub headers: Headers,
    /// Nodes that were tried without success, to be avoided.
    pub tried: Vec<NodeId>,
}

impl Head {
    /// The trace that it belongs to, if the call around it had one.
    pub fn trace(&self) -> Option<Trace> {
        self.chain.as_ref().and_then(|chain| chain.trace)
    }

    /// Who began the chain of calls, where this is not the first of them.
    pub fn origin(&self) -> Option<&Arc<str>> {
        self.chain.as_ref().and_then(|chain| chain.origin.as_ref())
    }
}

/// A call that has begun.
pub struct Outgoing {
    pub(crate) caller: Arc<dyn Caller>,
    pub(crate) head: Head,
    /// Rounds that may still be made.
    retries: u8,
    /// Rounds that were made again.
    rounds: u8,
}

impl Outgoing {
    pub(crate) fn new(
        caller: Arc<dyn Caller>,
        method: MethodRef,
        target: Target,
        chain: Option<Arc<Chain>>,
        options: CallOptions,
    ) -> Self {
        let began = Instant::now();
        let deadline = deadline(began, options.timeout, method.spec(), chain.as_deref());
        let head = Head { method, target, deadline, began, chain, headers: options.headers, tried: Vec::new() };
        Self { caller, head, retries: options.retries, rounds: 0 }
    }

    /// Settles where the call goes, and begins it: on the object `S` by `local` where that is hosted here, else by its encoded params.
    pub(crate) fn begin<S, P, R, L, F>(
        self,
        method: &'static MethodSpec,
        params: P,
        codec: Codec<P, R::Ok>,
        local: L,
    ) -> Begun<F, R::Ok, R::Err>
    where
        S: Definition + ?Sized,
        R: Outcome + 'static,
        L: FnOnce(Here<S>, P) -> F,
    {
        let Codec { encode, decode } = codec;
        match self.caller.resolve(&self.head) {
            Err(failure) if self.is_hopeless(&failure) => Begun::Failed(self.fail(failure)),
            Ok(Route::Here(service)) if runs_on::<S>(&*service, method) => match self.here(service, method) {
                Ok(here) => Begun::Here(local(here, params)),
                Err(failure) => Begun::Failed(CallError::from_failure(failure, &method.path)),
            },
            route => match encoded(&params, encode) {
                Ok(body) => Begun::Encoded(Box::pin(self.run_encoded(route, body, decode))),
                Err(failure) => Begun::Failed(self.fail(failure)),
            },
        }
    }

    /// Runs a call whose params are JSON already.
    pub(crate) async fn run_json<T, E: ServiceError>(self, body: Bytes, decode: Decode<T>) -> Result<T, CallError<E>> {
        let route = self.caller.resolve(&self.head);
        self.run_encoded(route, body, decode).await
    }

    async fn run_encoded<T, E: ServiceError>(
        mut self,
        route: Result<Route, Failure>,
        body: impl AsRef<[u8]>,
        decode: Decode<T>,
    ) -> Result<T, CallError<E>> {
        let answer = self.send_until_settled(route, body.as_ref()).await;
        decoded(answer, decode, &self.head.method)
    }

    /// Checks access, and makes what the object's method needs.
    pub(super) fn here<S: Definition + ?Sized>(
        self,
        service: Arc<dyn HostedService>,
        method: &'static MethodSpec,
    ) -> Result<Here<S>, Failure> {
        let Head { began, deadline, chain, .. } = self.head;
        Here::new(self.caller, service, method, chain, (began, deadline))
    }

    /// Serves the call from JSON by an object on this node.
    pub(crate) async fn serve_here(&self, service: &Arc<dyn HostedService>, body: &[u8]) -> Result<Bytes, Failure> {
        let name = self.head.method.method();
        let body = &*self.fitted_here(&**service, body)?;
        let Some(spec) = service.method(name) else {
            return Err(Failure::Answered(unknown_method(&**service, name)));
        };
        let cx = self.own_context(spec)?;
        let json = std::str::from_utf8(body).map_err(|error| Failure::NotSent(error.to_string()))?;
        serve_guarded(service, spec, &cx, Params::new(Some(json)), self.head.began)
            .await
            .map(Bytes::from)
            .map_err(Failure::Answered)
    }

    /// The context of a call that this node serves itself from JSON, if it may.
    pub(super) fn own_context(&self, method: &MethodSpec) -> Result<CallContext, Failure> {
        method.access.check(self.caller.identity(), &method.path).map_err(|denied| Failure::Answered(denied.into()))?;
        let cx = CallContext::new(self.caller.clone(), self.caller.identity().clone(), self.head.deadline)
            .within(self.head.trace(), self.head.origin().cloned())
            .for_service(method.service.clone());
        Ok(cx)
    }

    /// Fits a call to what is hosted here under the name, should that be another version of what the caller was built with.
    pub(super) fn fitted_here<'a>(&self, service: &dyn HostedService, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Failure> {
        match self.head.method.spec().and_then(|spec| spec.descriptor) {
            Some(own) if own.fingerprint() != service.fingerprint() => {
                let fit = Fit::of(own.get(), &service.describe(), self.head.method.method());
                fit.params(body).map_err(|why| self.no_fit(self.caller.node_id(), &why))
            }
            _ => Ok(Cow::Borrowed(body)),
        }
    }

    /// Sends to a host with another version of the service, if that understands the call.
    pub(crate) async fn send_fitted(&self, to: &Peer, version: Fingerprint, body: &[u8]) -> Result<Bytes, Failure> {
        let body = self.fitted(to, version, body).await?;
        self.caller.send(&self.head, to, &body).await
    }

    /// Fits a call to a host with another version of the service.
    pub(super) async fn fitted<'a>(&self, to: &Peer, version: Fingerprint, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Failure> {
        let fit = self.caller.fit(&self.head, to, version).await?;
        fit.params(body).map_err(|why| self.no_fit(&to.node_id, &why))
    }

    fn no_fit(&self, host: &NodeId, why: &NoFit) -> Failure {
        let method = &self.head.method;
        Failure::Incompatible(format!("{} on node {host} is of another version: {why}", method.path()))
    }

    /// Goes where `route` says and, where that surely did not run or may run twice, to the next that fits; once nobody is left, around
    /// again as often as was asked for. All of it within the deadline.
    async fn send_until_settled(&mut self, mut route: Result<Route, Failure>, body: &[u8]) -> Result<Bytes, Failure> {
        let mut failed: Option<Failure> = None;
        loop {
            let (peer, sent) = match route {
                // In boxes of their own: a call that is sent as it is is not to carry the room for one that is not.
                Ok(Route::Here(service)) => return Box::pin(self.serve_here(&service, body)).await,
                Ok(Route::Differing(peer, version)) => {
                    let sent = Box::pin(self.send_fitted(&peer, version, body)).await;
                    (peer, sent)
                }
                Ok(Route::Peer(peer)) => {
                    let sent = self.caller.send(&self.head, &peer, body).await;
                    (peer, sent)
                }
                Err(nobody) => {
                    route = Box::pin(self.around_again(nobody, &mut failed)).await?;
                    continue;
                }
            };
            let failure = match sent {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            route = self.elsewhere(peer, failure, &mut failed)?;
        }
    }

    /// Where a call goes that failed at `peer`, or how it failed, where it may go nowhere. `failed` is what its caller is told in the end.
    pub(super) fn elsewhere(
        &mut self,
        peer: Peer,
        failure: Failure,
        failed: &mut Option<Failure>,
    ) -> Result<Result<Route, Failure>, Failure> {
        if !self.may_go_on(&failure) {
            return Err(failure);
        }
        tracing::debug!(peer = %peer.node_id, %failure, "trying elsewhere");
        self.head.tried.push(peer.node_id);
        *failed = Some(worse(failed.take(), failure));
        Ok(self.caller.resolve(&self.head))
    }

    /// Where a call goes once nobody is left for it: around again, if that may be, was asked for, and there is time.
    pub(super) async fn around_again(
        &mut self,
        nobody: Failure,
        failed: &mut Option<Failure>,
    ) -> Result<Result<Route, Failure>, Failure> {
        let failure = failed.take().unwrap_or(nobody);
        if !self.may_go_on(&failure) || !self.next_round().await {
            return Err(failure);
        }
        *failed = Some(failure);
        Ok(self.caller.resolve(&self.head))
    }

    /// Whether a call that failed so may be sent again.
    fn may_go_on(&self, failure: &Failure) -> bool {
        let idempotent = self.head.method.spec().is_some_and(|spec| spec.idempotent);
        failure.surely_not_run() || (idempotent && matches!(failure, Failure::Lost(_)))
    }

    /// Whether nothing is left to be tried for a call that has nowhere to go.
    pub(super) fn is_hopeless(&self, failure: &Failure) -> bool {
        self.retries == 0 || !failure.surely_not_run()
    }

    /// Waits, and has everybody tried again, if that was asked for and there is time.
    async fn next_round(&mut self) -> bool {
        let Some(left) = self.retries.checked_sub(1) else { return false };
        let at = Instant::now() + pause(self.rounds, chance());
        if at >= self.head.deadline {
            return false;
        }
        sleep_until(at).await;
        self.retries = left;
        self.rounds = self.rounds.saturating_add(1);
        self.head.tried.clear();
        true
    }

    pub(super) fn fail<E: ServiceError>(&self, failure: Failure) -> CallError<E> {
        CallError::from_failure(failure, &self.head.method.path())
    }
}

/// Of two failures, what is told: once a call may have run, no later refusal can say that it has not.
fn worse(earlier: Option<Failure>, later: Failure) -> Failure {
    match earlier {
        Some(earlier) if later.surely_not_run() && !earlier.surely_not_run() => earlier,
        _ => later,
    }
}

/// When a call's caller stops waiting: after the time that it was given, or else the method's own, or else 30 seconds; and not after the
/// call around it.
pub(super) fn deadline(began: Instant, given: Option<Duration>, method: Option<&MethodSpec>, chain: Option<&Chain>) -> Instant {
    let timeout = given.or_else(|| method.and_then(|method| method.timeout)).unwrap_or(CallOptions::DEFAULT_TIMEOUT);
    let own = after(began, timeout);
    chain.and_then(|chain| chain.deadline).map_or(own, |outer| own.min(outer))
}

/// A caller's deadline, or a method's own limit where that is earlier: whichever node serves the call, it ends then.
pub(crate) fn limit(deadline: Instant, method: Option<&MethodSpec>, began: Instant) -> Instant {
    method.and_then(|method| method.timeout).map_or(deadline, |own| deadline.min(after(began, own)))
}

/// A time in the future; where it lies beyond what the clock can say, one in thirty years.
fn after(began: Instant, timeout: Duration) -> Instant {
    const LONG: Duration = Duration::from_hours(30 * 365 * 24);
    began.checked_add(timeout).unwrap_or_else(|| began + LONG)
}

/// How a proxy's method writes its params and reads its result. Generated code says it, as it knows the types' own forms.
pub struct Codec<P, T> {
    /// Writes the params' members.
    pub encode: Encode<P>,
    /// Reads the result.
    pub decode: Decode<T>,
}

// By hand, as a derive would ask the same of the types.
impl<P, T> Clone for Codec<P, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, T> Copy for Codec<P, T> {}

/// How a proxy's method writes its params.
pub(crate) type Encode<P> = fn(&P, &mut ObjectWriter<'_>) -> serde_json::Result<()>;

/// How a proxy's method reads its result.
pub(crate) type Decode<T> = fn(&[u8]) -> serde_json::Result<T>;

pub(crate) fn encoded<P>(params: &P, encode: Encode<P>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::with_capacity(128);
    let mut object = ObjectWriter::new(&mut body);
    encode(params, &mut object).map_err(|error| Failure::NotSent(format!("a parameter does not serialise: {error}")))?;
    object.end();
    Ok(body)
}

pub(crate) fn decoded<T, E: ServiceError>(
    answer: Result<Bytes, Failure>,
    decode: Decode<T>,
    method: &MethodRef,
) -> Result<T, CallError<E>> {
    let json = answer.map_err(|failure| CallError::from_failure(failure, &method.path()))?;
    decode(&json).map_err(|error| {
        CallError::Incompatible(format!("the result of {} is not what this version expects: {error}", method.path()))
    })
}

/// The refusal of a method that a hosted service lacks; it lists those that there are.
pub fn unknown_method(service: &dyn HostedService, name: &str) -> RpcError {
    unknown_method_of(service.spec(), name)
}

/// The same, of a service whose tables are known.
pub(crate) fn unknown_method_of(spec: &ServiceSpec, name: &str) -> RpcError {
    let known: Vec<_> = spec.methods.iter().map(|method| method.name.as_ref()).collect();
    RpcError::new(
        ErrorCode::METHOD_NOT_FOUND,
        format!("service {} has no method {name}; it has: {}", spec.name, known.join(", ")),
    )
}

/// Serves one call from JSON: access was checked, the rest is done here. The call runs under its deadline, is counted, and keeps a
/// panic within it. The items of a method that streams go where the context says, and it answers null after the last one. A `detached`
/// method runs on when the caller stops waiting, that is, when this future is dropped.
///
/// # Errors
/// What the method answered, or that it panicked or ran out of time.
pub async fn serve_guarded(
    service: &Arc<dyn HostedService>,
    method: &MethodSpec,
    cx: &CallContext,
    params: Params<'_>,
    began: Instant,
) -> Result<Vec<u8>, RpcError> {
    if method.streams {
        let ended = Box::pin(super::opening::serve_stream(&**service, method, cx, params, began)).await;
        return ended.map(|()| b"null".to_vec());
    }
    if !method.detached {
        return serve_attached(&**service, method, cx, params, began).await;
    }
    Box::pin(serve_detached(service, method, cx, params, began)).await
}

async fn serve_detached(
    service: &Arc<dyn HostedService>,
    method: &MethodSpec,
    cx: &CallContext,
    params: Params<'_>,
    began: Instant,
) -> Result<Vec<u8>, RpcError> {
    let (service, method, cx) = (service.clone(), method.clone(), cx.clone());
    let json = params.json().map(str::to_owned);
    let running = tokio::spawn(async move { serve_attached(&*service, &method, &cx, Params::new(json.as_deref()), began).await });
    running.await.unwrap_or_else(|_| Err(RpcError::new(ErrorCode::CANCELLED, "the node is stopping")))
}

async fn serve_attached(
    service: &dyn HostedService,
    method: &MethodSpec,
    cx: &CallContext,
    params: Params<'_>,
    began: Instant,
) -> Result<Vec<u8>, RpcError> {
    let mut running = begin(service, method, began);
    let deadline = limit(cx.deadline(), Some(method), began);
    if deadline <= began {
        return Err(cut_error(Cut::Deadline, &method.path)); // nobody waits any more; it is not even begun
    }
    let outcome = Guarded::new(service.serve(method.index, cx, params), deadline).await;
    match outcome {
        Ok(Ok(json)) => {
            if let Some(running) = &mut running {
                running.succeed();
            }
            Ok(json)
        }
        Ok(Err(error)) => Err(error),
        Err(cut) => Err(cut_error(cut, &method.path)),
    }
}

pub(super) fn begin<'a>(service: &'a dyn HostedService, method: &MethodSpec, began: Instant) -> Option<Running<'a>> {
    method.track_metrics.then(|| service.stats(method.index).map(|stats| stats.begin(began))).flatten()
}

pub(super) fn cut_error(cut: Cut, path: &str) -> RpcError {
    match cut {
        Cut::Deadline => RpcError::new(ErrorCode::DEADLINE, format!("{path} did not answer in time")),
        Cut::Panicked => RpcError::new(ErrorCode::INTERNAL, format!("{path} panicked; its node's log says where")),
    }
}

/// What a call has become once its target is settled.
pub(crate) enum Begun<F, T, E> {
    /// It runs on the object itself.
    Here(F),
    /// It is served from JSON, here or elsewhere.
    Encoded(BoxFuture<'static, Result<T, CallError<E>>>),
    /// It failed already.
    Failed(CallError<E>),
}

/// Whether the call can run on the object itself. It cannot where something else is hosted under the name, which is spoken to
/// as a stranger is, in JSON; nor where the call is to outlive its future, which may own nothing of its caller then.
pub(super) fn runs_on<S: Definition + ?Sized>(service: &dyn HostedService, method: &MethodSpec) -> bool {
    !method.detached && service.type_of() == TypeId::of::<Local<S>>()
}
