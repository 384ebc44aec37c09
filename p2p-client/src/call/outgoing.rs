//! A call on its way: resolving its target, and serving it here or sending it.

use std::{any::TypeId, borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    protocol::{ErrorCode, NodeId, RpcError, Target},
    proxy::{Caller, Peer, Route},
    service::{
        CallContext, Chain, Cut, Definition, Guarded, HostedService, Local, MethodSpec, ObjectWriter, Outcome, Params, Running,
        ServiceError,
    },
};

use super::{CallError, CallOptions, Failure, Headers, Here};

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
    pub chain: Chain,
    /// Headers that the caller added.
    pub headers: Headers,
    /// Nodes that were tried without success, to be avoided.
    pub tried: Vec<NodeId>,
}

/// A call that has begun.
pub struct Outgoing {
    pub(crate) caller: Arc<dyn Caller>,
    pub(crate) head: Head,
    retries: u8,
}

impl Outgoing {
    pub(crate) fn new(
        caller: Arc<dyn Caller>,
        method: MethodRef,
        target: Target,
        chain: Option<&Arc<Chain>>,
        options: CallOptions,
    ) -> Self {
        let began = Instant::now();
        let chain = chain.map(|chain| Chain::clone(chain)).unwrap_or_default();
        let timeout =
            options.timeout.or_else(|| method.spec().and_then(|spec| spec.timeout)).unwrap_or(CallOptions::DEFAULT_TIMEOUT);
        let own = after(began, timeout);
        let deadline = chain.deadline.map_or(own, |outer| own.min(outer));
        let head = Head { method, target, deadline, began, chain, headers: options.headers, tried: Vec::new() };
        Self { caller, head, retries: options.retries }
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
            Err(failure) => Begun::Failed(self.fail(failure)),
            Ok(Route::Here(service)) if runs_on::<S>(&*service, method) => match self.here(service, method) {
                Ok(here) => Begun::Here(local(here, params)),
                Err(failure) => Begun::Failed(CallError::from_failure(failure, &method.path)),
            },
            Ok(route) => match encoded(&params, encode) {
                Ok(body) => Begun::Encoded(Box::pin(self.run_encoded(route, body, decode))),
                Err(failure) => Begun::Failed(self.fail(failure)),
            },
        }
    }

    /// Runs a call whose params are JSON already.
    pub(crate) async fn run_json<T, E: ServiceError>(self, body: Vec<u8>, decode: Decode<T>) -> Result<T, CallError<E>> {
        match self.caller.resolve(&self.head) {
            Err(failure) => Err(self.fail(failure)),
            Ok(route) => self.run_encoded(route, body, decode).await,
        }
    }

    async fn run_encoded<T, E: ServiceError>(
        mut self,
        route: Route,
        body: Vec<u8>,
        decode: Decode<T>,
    ) -> Result<T, CallError<E>> {
        let answer = match route {
            // In a box of its own: a call that is sent is not to carry the room for one that is not.
            Route::Here(service) => Box::pin(self.serve_here(&service, &body)).await,
            Route::Peer(peer) => self.send_until_settled(peer, &body).await,
        };
        decoded(answer, decode, &self.head.method)
    }

    /// Checks access, and makes what the object's method needs.
    pub(super) fn here<S: Definition + ?Sized>(
        self,
        service: Arc<dyn HostedService>,
        method: &'static MethodSpec,
    ) -> Result<Here<S>, Failure> {
        method.access.check(self.caller.identity(), &method.path).map_err(|denied| Failure::Answered(denied.into()))?;
        let object = service.into_any().downcast().map_err(|_| {
            let text = format!("what is hosted as {} is not of the type that it says it is", method.service);
            Failure::Answered(RpcError::new(ErrorCode::INTERNAL, text))
        })?;
        let Head { deadline, began, chain, .. } = self.head;
        let cx = CallContext::of_own(self.caller, deadline, chain);
        let cx = if method.streams { cx.streaming() } else { cx };
        Ok(Here::new(object, cx, began, method))
    }

    /// Serves the call from JSON by an object on this node.
    pub(crate) async fn serve_here(&self, service: &Arc<dyn HostedService>, body: &[u8]) -> Result<Bytes, Failure> {
        let name = self.head.method.method();
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
        let cx = CallContext::new(self.caller.clone(), self.caller.identity().clone(), self.head.deadline);
        Ok(cx.within(self.head.chain.trace, self.head.chain.origin.clone()))
    }

    /// Sends to `peer`, and, where that surely did not run or may run twice, to the next that fits, within the deadline.
    async fn send_until_settled(&mut self, mut peer: Peer, body: &[u8]) -> Result<Bytes, Failure> {
        let mut lost = None;
        loop {
            let failure = match self.caller.send(&self.head, &peer, body).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            peer = match self.elsewhere(peer, failure, &mut lost)? {
                Route::Peer(next) => next,
                Route::Here(service) => return Box::pin(self.serve_here(&service, body)).await,
            };
        }
    }

    /// Where a call goes that failed at `peer`, or how it failed, where it goes nowhere. `lost` is the failure, if there was one, after which
    /// it may have run: no later refusal can say that it has not.
    pub(super) fn elsewhere(&mut self, peer: Peer, failure: Failure, lost: &mut Option<Failure>) -> Result<Route, Failure> {
        let idempotent = self.head.method.spec().is_some_and(|spec| spec.idempotent);
        let may_go_on = failure.surely_not_run() || (idempotent && matches!(failure, Failure::Lost(_)));
        if !may_go_on {
            return Err(failure);
        }
        tracing::debug!(peer = %peer.node_id, %failure, "trying elsewhere");
        let failure = if failure.surely_not_run() { lost.take().unwrap_or(failure) } else { failure };
        self.head.tried.push(peer.node_id.clone());
        let next = match self.caller.resolve(&self.head) {
            Ok(route) => route,
            Err(_) if self.retries > 0 => {
                self.retries -= 1;
                self.head.tried.clear();
                Route::Peer(peer)
            }
            Err(_) => return Err(failure),
        };
        *lost = (!failure.surely_not_run()).then_some(failure);
        Ok(next)
    }

    pub(super) fn fail<E: ServiceError>(&self, failure: Failure) -> CallError<E> {
        CallError::from_failure(failure, &self.head.method.path())
    }
}

/// A caller's deadline, or a method's own limit where that is earlier: whichever node serves the call, it ends then.
pub(super) fn limit(deadline: Instant, method: Option<&MethodSpec>, began: Instant) -> Instant {
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
    let spec = service.spec();
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
