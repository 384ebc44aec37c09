//! Opening a stream: on the object itself, from JSON on this node, or at a peer.
//!
//! It goes the way of every call: see [`settling`](super::settling).

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};

use crate::{
    proxy::Route,
    service::{
        Definition, HostedService, MethodSpec, Params, ServiceError, StreamOutcome,
        stream::{Handover, Produced, StreamState},
    },
};

use super::{
    Begun, CallError, Failure, Here, Outgoing, Streaming, encoded, open_guarded,
    outgoing::{Codec, Decode, runs_on},
    unknown_method,
};

/// The items of a stream as JSON, and how it failed, where it did not end well. Dropping it ends the method.
pub type Items = BoxStream<'static, Result<Bytes, Failure>>;

/// What a call became whose caller takes a stream.
pub enum Opened {
    /// The method streams: these are its items.
    Items(Items),
    /// It does not: this is its result's JSON.
    Answered(Bytes),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Items(_) => f.write_str("Items(…)"),
            Self::Answered(json) => f.debug_tuple("Answered").field(json).finish(),
        }
    }
}

/// What opens a stream at another node: what [`Caller::open`](crate::proxy::Caller::open) returns.
pub type Opening<'a> = BoxFuture<'a, Result<Opened, Failure>>;

impl Outgoing {
    /// Settles where the call goes, and begins it: on the object `S` by `local` where that is hosted here, else by its encoded params.
    pub(crate) fn begin_stream<S, P, K, O, L, F>(
        self,
        method: &'static MethodSpec,
        params: P,
        codec: Codec<P, O::Value>,
        local: L,
    ) -> Begun<F, Streaming<O::Value, O::Err>, O::Err>
    where
        S: Definition + ?Sized,
        O: StreamOutcome<K>,
        L: FnOnce(Here<S>, P) -> F,
    {
        match self.caller.resolve(&self.head) {
            Err(failure) if self.is_hopeless(&failure) => Begun::Failed(self.fail(failure)),
            Ok(Route::Here(service)) if runs_on::<S>(&*service, method) => match self.here(service, method) {
                Ok(here) => Begun::Here(local(here, params)),
                Err(failure) => Begun::Failed(CallError::from_failure(failure, &method.path)),
            },
            route => match encoded(&params, codec.encode) {
                Ok(body) => Begun::Encoded(Box::pin(self.open_encoded(route, body, codec.decode))),
                Err(failure) => Begun::Failed(self.fail(failure)),
            },
        }
    }

    /// Opens a stream whose params are JSON already.
    pub(crate) async fn open_json<T: Send + 'static, E: ServiceError>(
        self,
        body: Bytes,
        decode: Decode<T>,
    ) -> Result<Streaming<T, E>, CallError<E>> {
        let route = self.caller.resolve(&self.head);
        self.open_encoded(route, body, decode).await
    }

    async fn open_encoded<T: Send + 'static, E: ServiceError>(
        mut self,
        route: Result<Route, Failure>,
        body: impl AsRef<[u8]>,
        decode: Decode<T>,
    ) -> Result<Streaming<T, E>, CallError<E>> {
        let (path, is_nested) = (self.head.method.path().into_owned(), self.head.is_nested());
        match self.until_settled(route, body.as_ref()).await {
            Err(failure) => Err(self.fail(failure)),
            Ok(Opened::Items(items)) => Ok(Streaming::received(items, decode, path, is_nested)),
            Ok(Opened::Answered(_)) => Err(CallError::Incompatible(format!(
                "{path} answers once at its host, where this version expects a stream; build against the version that is hosted"
            ))),
        }
    }

    /// Opens the stream from JSON at an object on this node.
    pub(super) async fn open_here(&self, service: &Arc<dyn HostedService>, body: &[u8]) -> Result<Opened, Failure> {
        let name = self.head.method.method();
        let body = &*self.fitted_here(&**service, body)?;
        let Some(spec) = service.method(name) else {
            return Err(Failure::Answered(unknown_method(&**service, name)));
        };
        let cx = self.own_context(spec)?;
        let json = std::str::from_utf8(body).map_err(|error| Failure::NotSent(error.to_string()))?;
        open_guarded(service, spec, cx, Params::new(Some(json)), self.head.began).await.map_err(Failure::Answered)
    }
}

impl<S: Definition + ?Sized> Here<S> {
    /// The place where the method puts its items, and what makes the caller's stream of them. Written by the macros.
    pub fn stream<K, O: StreamOutcome<K>>(&self) -> (Arc<Handover<O::Value>>, OpenHere<O::Value>) {
        let items = Handover::new();
        (items.clone(), OpenHere { items, state: self.stream_state() })
    }
}

/// Makes the caller's stream of a method that runs on the object itself.
pub struct OpenHere<T> {
    items: Arc<Handover<T>>,
    state: Arc<StreamState>,
}

impl<T: Send + 'static> OpenHere<T> {
    /// Runs the method until its stream is open.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub async fn run<E: ServiceError>(
        self,
        method: impl Future<Output = Result<(), CallError<E>>> + Send + 'static,
    ) -> Result<Streaming<T, E>, CallError<E>> {
        let mut produced = Produced::new(self.items, self.state, method);
        poll_fn(|cx| produced.poll_open(cx)).await?;
        Ok(Streaming::new(produced))
    }
}
