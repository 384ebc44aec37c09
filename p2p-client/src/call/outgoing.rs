//! A call on its way: resolving its target, and serving it here or sending it.

use std::{any::TypeId, borrow::Cow, sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::{
    protocol::{ErrorCode, Fingerprint, NodeId, RpcError, Target, compatibility::NoFit},
    proxy::{Caller, Peer, Route},
    service::{
        CallContext, Chain, Definition, HostedService, Local, MethodSpec, ObjectWriter, Outcome, Params, ServiceError, Stopwatch,
    },
};

use super::{
    CallError, CallOptions, Failure, Head, Here, MethodRef,
    here::{Given, check_own},
    pause::{chance, pause},
    serving::{deadline, serve_guarded, unknown_method},
};

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
        let head = Head {
            method,
            target,
            deadline,
            began,
            chain,
            headers: options.headers,
            tried: Vec::new(),
            is_first_try: true,
            room: None,
        };
        Self { caller, head, retries: options.retries, rounds: 0 }
    }

    /// Settles where the call goes, and begins it: on the object `S` by `local` where that is hosted here, else by its encoded params.
    /// `waker` is of whoever polls it.
    pub(crate) fn begin<S, P, R, L, F>(
        self,
        method: &'static MethodSpec,
        params: P,
        codec: Codec<P, R::Ok>,
        local: L,
        waker: &Waker,
    ) -> Begun<F, R::Ok, R::Err>
    where
        S: Definition + ?Sized,
        P: Send + 'static,
        R: Outcome + 'static,
        L: FnOnce(Here<S>, P) -> F,
    {
        match self.caller.resolve(&self.head) {
            Err(failure) if self.is_hopeless(&failure) => Begun::Failed(self.fail(failure)),
            Ok(Route::Here(service)) if runs_on::<S>(&*service, method) => match self.here(service, method) {
                Ok(here) => Begun::Here(local(here, params)),
                Err(failure) => Begun::Failed(CallError::from_failure(failure, &method.path)),
            },
            Ok(Route::Peer(peer)) => self.send_off(peer, params, codec, waker),
            route => match encoded(&params, codec.encode) {
                Ok(body) => Begun::Encoded(Box::pin(self.run_encoded(route, body, codec.decode))),
                Err(failure) => Begun::Failed(self.fail(failure)),
            },
        }
    }

    /// Runs a call whose params are JSON already.
    pub(crate) async fn run_json<T, E: ServiceError>(self, body: Bytes, decode: Decode<T>) -> Result<T, CallError<E>> {
        let route = self.caller.resolve(&self.head);
        self.run_encoded(route, body, decode).await
    }

    pub(super) async fn run_encoded<T, E: ServiceError>(
        mut self,
        route: Result<Route, Failure>,
        body: impl AsRef<[u8]>,
        decode: Decode<T>,
    ) -> Result<T, CallError<E>> {
        let answer = self.until_settled(route, body.as_ref()).await;
        decoded(answer, decode, &self.head)
    }

    /// Checks access, and makes what the object's method needs.
    pub(super) fn here<S: Definition + ?Sized>(
        self,
        service: Arc<dyn HostedService>,
        method: &'static MethodSpec,
    ) -> Result<Here<S>, Failure> {
        let Head { began, deadline, chain, .. } = self.head;
        Here::new(self.caller, service, method, chain, (Stopwatch::since(began), Given::Until(deadline)))
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
        check_own(&*self.caller, method, &method.access, self.head.chain.as_deref())?;
        let cx = CallContext::new(self.caller.clone(), self.caller.identity().clone(), self.head.deadline)
            .within(self.head.trace(), self.head.origin().cloned())
            .for_service(method.service.clone());
        Ok(cx)
    }

    /// Fits a call to what is hosted here under the name, should that be another version of what the caller was built with.
    pub(super) fn fitted_here<'a>(&self, service: &dyn HostedService, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Failure> {
        match self.head.method.spec().and_then(|spec| spec.descriptor) {
            Some(own) if own.fingerprint() != service.fingerprint() => {
                let fit = self.caller.fit_here(&self.head, own, service);
                fit.params(body).map_err(|why| self.no_fit(self.caller.node_id(), &why))
            }
            _ => Ok(Cow::Borrowed(body)),
        }
    }

    /// Fits a call to a host with another version of the service.
    pub(super) async fn fitted<'a>(&self, to: &Peer, version: Fingerprint, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Failure> {
        let fit = self.caller.fit(&self.head, to, version).await?;
        fit.params(body).map_err(|why| self.no_fit(&to.node_id, &why))
    }

    /// The head, for what is sent only after something else was waited for.
    pub(super) fn later_head(&self) -> Head {
        Head { is_first_try: false, ..self.head.clone() }
    }

    fn no_fit(&self, host: &NodeId, why: &NoFit) -> Failure {
        let method = &self.head.method;
        Failure::Incompatible(format!("{} on node {host} is of another version: {why}", method.path()))
    }

    /// Where a call goes that failed at `peer`, or how it failed, where it may go nowhere. `failed` is what its caller is told in the end.
    pub(super) async fn elsewhere(
        &mut self,
        peer: Arc<Peer>,
        failure: Failure,
        failed: &mut Option<Failure>,
    ) -> Result<Result<Route, Failure>, Failure> {
        self.head.elsewhere(&*self.caller, peer, failure, failed).await
    }

    /// Where a call goes once nobody is left for it: to who starts and may take it; else around again, if that may be, was asked for, and
    /// there is time.
    pub(super) async fn around_again(
        &mut self,
        nobody: Failure,
        failed: &mut Option<Failure>,
    ) -> Result<Result<Route, Failure>, Failure> {
        let nobody = match self.head.later(&*self.caller, nobody).await {
            Ok(route) => return Ok(Ok(route)),
            Err(nobody) => nobody,
        };
        let failure = failed.take().unwrap_or(nobody);
        if !self.head.may_go_on(&failure) || !self.next_round(failure.retry_after().unwrap_or_default()).await {
            return Err(failure);
        }
        *failed = Some(failure);
        Ok(self.caller.resolve(&self.head))
    }

    /// Whether nothing is left to be tried for a call that has nowhere to go.
    pub(super) fn is_hopeless(&self, failure: &Failure) -> bool {
        (self.retries == 0 && !matches!(failure, Failure::NotYet(_))) || !failure.surely_not_run()
    }

    /// Waits, for as long as it was told to, and has everybody tried again, if that was asked for and there is time.
    async fn next_round(&mut self, at_least: Duration) -> bool {
        let Some(left) = self.retries.checked_sub(1) else { return false };
        let at = Instant::now() + pause(self.rounds, chance()).max(at_least);
        if at >= self.head.deadline {
            return false;
        }
        sleep_until(at).await;
        self.retries = left;
        self.rounds = self.rounds.saturating_add(1);
        self.head.tried.clear();
        self.head.is_first_try = false;
        true
    }

    pub(super) fn fail<E: ServiceError>(&self, failure: Failure) -> CallError<E> {
        self.head.failed(failure)
    }
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
    encode_into(params, encode, &mut body)?;
    Ok(body)
}

/// Appends params as JSON.
pub(super) fn encode_into<P>(params: &P, encode: Encode<P>, body: &mut Vec<u8>) -> Result<(), Failure> {
    let mut object = ObjectWriter::new(body);
    // It never will: to try it again, or elsewhere, is of no use.
    let hopeless =
        |error| Failure::Answered(RpcError::new(ErrorCode::INVALID_PARAMS, format!("a parameter does not serialise: {error}")));
    encode(params, &mut object).map_err(hopeless)?;
    object.end();
    Ok(())
}

pub(crate) fn decoded<T, E: ServiceError>(
    answer: Result<Bytes, Failure>,
    decode: Decode<T>,
    head: &Head,
) -> Result<T, CallError<E>> {
    let json = answer.map_err(|failure| head.failed(failure))?;
    decode(&json).map_err(|error| {
        CallError::Incompatible(format!("the result of {} is not what this version expects: {error}", head.method.path()))
    })
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
