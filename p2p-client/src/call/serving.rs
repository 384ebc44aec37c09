//! Serving a call from JSON by what this node hosts, for whoever made it.

use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::BoxFuture};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::{
    protocol::{CallerId, ErrorCode, NodeId, RpcError},
    service::{
        CallContext, Chain, Cut, Guarded, HostedService, MethodSpec, Params, Running, RunningStream, ServeFuture, ServiceSpec,
        Stopwatch, StreamSink, UntilAnswered, after,
        stream::{GuardedStream, Handover, Produced, StreamCut},
    },
};

use super::{CallOptions, Failure, Opened};

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
    serve_timed(service, method, cx, params, began).await.0
}

/// The same, which says as well when the method ended, where it was looked at: most calls end here and now, and whoever serves many of them one
/// after the other has to know the time after each.
pub fn serve_timed<'a>(
    service: &'a Arc<dyn HostedService>,
    method: &'a MethodSpec,
    cx: &'a CallContext,
    params: Params<'a>,
    began: Instant,
) -> Serving<'a> {
    if method.streams {
        let streaming = async move { serve_stream(&**service, method, cx, params, began).await.map(|()| b"null".to_vec()) };
        return Serving::boxed(streaming);
    }
    if method.detached {
        return Serving::boxed(serve_detached(service, method, cx, params, began));
    }
    serve_attached(&**service, method, cx, params, began)
}

async fn serve_detached(
    service: &Arc<dyn HostedService>,
    method: &MethodSpec,
    awaited: &CallContext,
    params: Params<'_>,
    began: Instant,
) -> Result<Vec<u8>, RpcError> {
    let (service, method, cx) = (service.clone(), method.clone(), awaited.clone());
    let json = params.json().map(str::to_owned);
    let running = tokio::spawn(async move {
        let params = Params::new(json.as_deref());
        serve_attached(&*service, &method, &cx, params, began).await.0
    });
    // The method runs on without its caller, and is to know.
    let mut waiting = UntilAnswered::of(awaited);
    let ended = running.await;
    waiting.answered();
    ended.unwrap_or_else(|_| Err(RpcError::new(ErrorCode::CANCELLED, "the node is stopping")))
}

fn serve_attached<'a>(
    service: &'a dyn HostedService,
    method: &'a MethodSpec,
    cx: &'a CallContext,
    params: Params<'a>,
    began: Instant,
) -> Serving<'a> {
    let running = begin(service, method, began);
    let deadline = limit(cx.deadline(), Some(method), began);
    if deadline <= began {
        return Serving::failed(cut_error(Cut::Deadline, &method.path)); // nobody waits any more; it is not even begun
    }
    let guarded = Guarded::new(service.serve(method.index, cx, params), deadline);
    Serving { how: How::Attached { method, running, serving: UntilAnswered::of(cx), guarded } }
}

pin_project! {
    /// A call that is being served: ends with its result's JSON or an error, and with the time when it ended, where that was looked at.
    #[must_use = "a call that is not awaited is cancelled"]
    pub struct Serving<'a> {
        #[pin]
        how: How<'a>,
    }
}

pin_project! {
    /// How it is served. (By hand, as an `async fn` would hold all of it twice.)
    #[project = HowProjection]
    enum How<'a> {
        /// It ends with its caller, as most do.
        Attached {
            method: &'a MethodSpec,
            running: Option<Running<'a>>,
            serving: UntilAnswered<'a>,
            #[pin]
            guarded: Guarded<ServeFuture<'a>, Instant>,
        },
        /// It streams, runs on without its caller, or has ended.
        Boxed { call: BoxFuture<'a, Result<Vec<u8>, RpcError>> },
    }
}

impl<'a> Serving<'a> {
    /// A call that cannot be served, and ends with this.
    pub fn failed(error: RpcError) -> Self {
        Self::boxed(ready(Err(error)))
    }

    fn boxed(call: impl Future<Output = Result<Vec<u8>, RpcError>> + Send + 'a) -> Self {
        Self { how: How::Boxed { call: Box::pin(call) } }
    }
}

impl Future for Serving<'_> {
    type Output = (Result<Vec<u8>, RpcError>, Option<Instant>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (method, running, serving, guarded) = match self.project().how.project() {
            HowProjection::Boxed { call } => return call.as_mut().poll(cx).map(|outcome| (outcome, None)),
            HowProjection::Attached { method, running, serving, guarded } => (method, running, serving, guarded),
        };
        let outcome = ready!(guarded.poll(cx));
        if outcome.is_ok() {
            serving.answered();
        }
        let outcome = outcome.unwrap_or_else(|cut| Err(cut_error(cut, &method.path)));
        let now = Instant::now();
        if let Some(running) = running.take() {
            running.end(now, outcome.is_ok());
        }
        Poll::Ready((outcome, Some(now)))
    }
}

/// Opens the stream of a method from JSON: access was checked, the rest is done here. A method that does not stream answers as ever. The
/// stream is counted as one call, from here to its end; its opening runs under the deadline; a panic stays within it.
///
/// # Errors
/// What the method answered instead of opening its stream, or that it panicked or ran out of time.
pub async fn open_guarded(
    service: &Arc<dyn HostedService>,
    method: &MethodSpec,
    cx: CallContext,
    params: Params<'_>,
    began: Instant,
) -> Result<Opened, RpcError> {
    if !method.streams {
        return serve_guarded(service, method, &cx, params, began).await.map(|json| Opened::Answered(json.into()));
    }
    let items: Arc<Handover<Vec<u8>>> = Handover::new();
    let cx = cx.with_items(Some(StreamSink::from(items.clone())));
    let state = cx.stream_state();
    let (service, method, json) = (service.clone(), method.clone(), params.json().map(str::to_owned));
    let serving = async move { serve_stream(&*service, &method, &cx, Params::new(json.as_deref()), began).await };
    let mut produced = Produced::new(items, state, serving);
    poll_fn(|cx| produced.poll_open(cx)).await?;
    Ok(Opened::Items(produced.map_ok(Bytes::from).map_err(Failure::Answered).boxed()))
}

/// Runs a method that streams to its end. Its items go where the context says.
async fn serve_stream(
    service: &dyn HostedService,
    method: &MethodSpec,
    cx: &CallContext,
    params: Params<'_>,
    began: Instant,
) -> Result<(), RpcError> {
    if cx.items().is_none() {
        return Err(crate::service::stream::not_asked_for(&method.path));
    }
    let mut running = RunningStream::new(begin(service, method, began), cx);
    let deadline = limit(cx.deadline(), Some(method), began);
    if deadline <= began {
        return Err(RpcError::new(ErrorCode::DEADLINE, format!("{} did not answer in time", method.path)));
    }
    let mut serving = UntilAnswered::of(cx);
    match GuardedStream::new(service.serve(method.index, cx, params), deadline, cx).await {
        Ok(ended) => {
            serving.stream_ended();
            ended.map(drop).inspect_err(|_| running.fail())
        }
        Err(cut) => Err(stream_cut(cut, &method.path, cx, &mut running).into_rpc()),
    }
}

/// What the caller of a stream is told that was cut. That the node stops is no error of the method.
pub(super) fn stream_cut(cut: StreamCut, path: &str, cx: &CallContext, running: &mut RunningStream<'_>) -> Failure {
    match cut {
        StreamCut::Call(cut) => {
            running.fail();
            cut_error(cut, path).into()
        }
        StreamCut::Stopping => ended_by_stop(path, cx.node(), cx.caller()),
    }
}

/// What the caller of an open stream is told whose node stops. Who has no name is told none.
pub fn ended_by_stop(path: &str, node: &NodeId, caller: &CallerId) -> Failure {
    let node = if *caller == CallerId::Anonymous { "the node".to_owned() } else { format!("node {node}") };
    Failure::Lost(format!("{node} is stopping and has ended the stream {path}; open it again, at another node"))
}

fn begin<'a>(service: &'a dyn HostedService, method: &MethodSpec, began: Instant) -> Option<Running<'a>> {
    method.track_metrics.then(|| service.stats(method.index).map(|stats| stats.begin(Stopwatch::since(began)))).flatten()
}

pub(super) fn cut_error(cut: Cut, path: &str) -> RpcError {
    match cut {
        Cut::Deadline => RpcError::new(ErrorCode::DEADLINE, format!("{path} did not answer in time")),
        Cut::Panicked => RpcError::new(ErrorCode::INTERNAL, format!("{path} panicked; its node's log says where")),
    }
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

/// How long a call's caller waits: as long as it was given, or else the method's own time, or else 30 seconds.
pub(super) fn time_of(given: Option<Duration>, method: Option<&MethodSpec>) -> Duration {
    given.or_else(|| method.and_then(|method| method.timeout)).unwrap_or(CallOptions::DEFAULT_TIMEOUT)
}

/// When a call's caller stops waiting: after the time that it was given, or else the method's own, or else 30 seconds; and not after the
/// call around it.
pub(super) fn deadline(began: Instant, given: Option<Duration>, method: Option<&MethodSpec>, chain: Option<&Chain>) -> Instant {
    let own = after(began, time_of(given, method));
    chain.and_then(|chain| chain.deadline).map_or(own, |outer| own.min(outer))
}

/// A caller's deadline, or a method's own limit where that is earlier: whichever node serves the call, it ends then.
pub(crate) fn limit(deadline: Instant, method: Option<&MethodSpec>, began: Instant) -> Instant {
    method.and_then(|method| method.timeout).map_or(deadline, |own| deadline.min(after(began, own)))
}
