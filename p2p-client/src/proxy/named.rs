//! [`NamedCall`]: a call whose method is known only at run time.

use std::{
    fmt,
    future::{Future, Ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    call::{Begun, Call, CallError, CallOptions, Failure, MethodRef, Outgoing, Replies, Streaming},
    protocol::{ErrorCode, Many, One, RpcError, Target},
};

use super::Proxy;

/// A call by name that has done nothing yet, made by [`Proxy::call`], whose result is JSON, or by [`Proxy::open`], whose items are.
///
/// Await it, or say more of it first: where it goes ([`on`](Self::on), [`on_all`](Self::on_all)), or what a [`Call`] can be told.
#[must_use = "a call does nothing until it is awaited"]
pub struct NamedCall<T = Box<RawValue>> {
    request: Request,
    /// How its result comes: at once, or as a stream.
    into_one: fn(Request, One) -> Call<T>,
    /// Once it is polled.
    begun: Option<Call<T>>,
}

/// What is asked for.
#[derive(Clone)]
struct Request {
    proxy: Proxy,
    path: Arc<str>,
    params: Result<Bytes, String>,
}

impl NamedCall {
    pub(super) fn new(proxy: Proxy, path: &str, params: impl Serialize) -> Self {
        Self { request: Request::new(proxy, path, params), into_one: Request::into_one, begun: None }
    }

    /// To every node that fits: a role, a capability, a list of ids, all, others.
    pub fn on_all(self, target: impl Into<Many>) -> Replies<Box<RawValue>> {
        self.request.into_many(target.into())
    }
}

impl NamedCall<Streaming<Box<RawValue>>> {
    pub(super) fn opening(proxy: Proxy, path: &str, params: impl Serialize) -> Self {
        Self { request: Request::new(proxy, path, params), into_one: Request::into_stream, begun: None }
    }
}

impl<T> NamedCall<T> {
    /// To one node of choice: a node id, a role, a capability.
    pub fn on(self, target: impl Into<One>) -> Call<T> {
        (self.into_one)(self.request, target.into())
    }

    /// As [`Call::timeout`].
    pub fn timeout(self, timeout: Duration) -> Call<T> {
        self.on(One::Any).timeout(timeout)
    }

    /// As [`Call::retry`].
    pub fn retry(self, times: u8) -> Call<T> {
        self.on(One::Any).retry(times)
    }

    /// As [`Call::header`].
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Call<T> {
        self.on(One::Any).header(name, value)
    }
}

impl<T> Future for NamedCall<T> {
    type Output = Result<T, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { request, into_one, begun } = self.get_mut();
        Pin::new(begun.get_or_insert_with(|| into_one(request.clone(), One::Any))).poll(cx)
    }
}

impl Request {
    fn new(proxy: Proxy, path: &str, params: impl Serialize) -> Self {
        let params = match serde_json::to_vec(&params) {
            Ok(json) if json == b"null" => Ok(Bytes::from_static(b"{}")),
            Ok(json) => Ok(json.into()),
            Err(error) => Err(error.to_string()),
        };
        Self { proxy, path: path.into(), params }
    }

    fn into_one(self, target: One) -> Call<Box<RawValue>> {
        let path = self.path.clone();
        Call::new(move |options, _| {
            let options = std::mem::take(options);
            Begun::<Ready<_>, _, _>::Encoded(Box::pin(async move {
                match self.outgoing(Target::One(target), options) {
                    Ok((out, body)) => out.run_json(body, |json| serde_json::from_slice(json)).await,
                    Err(failure) => Err(CallError::from_failure(failure, &path)),
                }
            }))
        })
    }

    fn into_stream(self, target: One) -> Call<Streaming<Box<RawValue>>> {
        let path = self.path.clone();
        Call::new(move |options, _| {
            let options = std::mem::take(options);
            Begun::<Ready<_>, _, _>::Encoded(Box::pin(async move {
                match self.outgoing(Target::One(target), options) {
                    Ok((out, body)) => out.open_json(body, |json| serde_json::from_slice(json)).await,
                    Err(failure) => Err(CallError::from_failure(failure, &path)),
                }
            }))
        })
    }

    fn into_many(self, target: Many) -> Replies<Box<RawValue>> {
        let (service, method) = self.path.split_once('/').unwrap_or((&self.path, ""));
        let method = MethodRef::Named(Arc::new((service.to_owned(), method.to_owned())));
        let me = self.proxy.caller.node_id().clone();
        Replies::new(
            me,
            method,
            |json| serde_json::from_slice(json),
            move |options| {
                let (out, body) = self.outgoing(Target::Many(target), options)?;
                Ok((out, body.into()))
            },
        )
    }

    fn outgoing(self, target: Target, options: CallOptions) -> Result<(Outgoing, Bytes), Failure> {
        let method = named(&self.path)?;
        let body = self.params.map_err(|error| {
            RpcError::new(ErrorCode::INVALID_PARAMS, format!("the params of {} do not serialise: {error}", self.path))
        })?;
        let Proxy { caller, chain } = self.proxy;
        Ok((Outgoing::new(caller, method, target, chain, options), body))
    }
}

fn named(path: &str) -> Result<MethodRef, RpcError> {
    match path.split_once('/') {
        Some((service, method)) if !service.is_empty() && !method.is_empty() => {
            Ok(MethodRef::Named(Arc::new((service.to_owned(), method.to_owned()))))
        }
        _ => {
            let text = format!("{path:?} names no method; write service/method, such as system/get_system_info");
            Err(RpcError::new(ErrorCode::METHOD_NOT_FOUND, text))
        }
    }
}

impl<T> fmt::Debug for NamedCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedCall").field("path", &self.request.path).finish_non_exhaustive()
    }
}
