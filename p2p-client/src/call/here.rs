//! [`Here`]: a call that stays on its node, run on the object itself.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::{
    protocol::{Access, ErrorCode, One, RpcError},
    proxy::Caller,
    service::{
        CallContext, Chain, Definition, Due, Failed, Guarded, HostedService, Local, MethodSpec, Outcome, Running, RunningStream,
        ServiceError, Stopwatch, TimeLimit, UntilAnswered,
        stream::{GuardedStream, StreamState},
    },
};

use super::{
    CallError, Failure,
    outgoing::runs_on,
    serving::{cut_error, stream_cut, time_of},
};

/// A call that stays on this node: the object, and what the method may want to know of the call.
///
/// It is small, as it is moved on its way to where it runs; the context is made there, for the methods that take one.
pub struct Here<S: Definition + ?Sized> {
    object: Arc<Local<S>>,
    method: &'static MethodSpec,
    caller: Arc<dyn Caller>,
    chain: Option<Arc<Chain>>,
    began: Stopwatch,
    given: Given,
    /// Of a method that streams.
    stream: Option<Arc<StreamState>>,
}

/// How much time its maker gave a call. Most calls end without anybody having asked when that is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given {
    /// So much from when it began, or what is usual; and not more than the call around it has.
    Time(Option<Duration>),
    /// Until then.
    Until(Instant),
}

/// What serves a call on this node as the object `S` itself, where that is settled without choosing among nodes.
pub(crate) fn at_hand<S: Definition + ?Sized>(
    caller: &dyn Caller,
    method: &MethodSpec,
    target: &One,
) -> Option<Arc<dyn HostedService>> {
    caller.here(&method.service, target).filter(|service| runs_on::<S>(&**service, method))
}

/// Refuses a call that this node may not make to itself, by who may call the method here.
pub(super) fn check_own(caller: &dyn Caller, method: &MethodSpec, access: &Access, chain: Option<&Chain>) -> Result<(), Failure> {
    access.check(caller.identity(), &method.path).map_err(|denied| {
        caller.denied(method, &denied, chain);
        Failure::Answered(denied.into())
    })
}

impl<S: Definition + ?Sized> Here<S> {
    /// A call that begins now, on an object that is at hand.
    pub(crate) fn begin(
        caller: Arc<dyn Caller>,
        service: Arc<dyn HostedService>,
        method: &'static MethodSpec,
        chain: Option<Arc<Chain>>,
        timeout: Option<Duration>,
    ) -> Result<Self, Failure> {
        Self::new(caller, service, method, chain, (Stopwatch::start(), Given::Time(timeout)))
    }

    /// Checks that the object is of the type that it says it is, and access.
    pub(super) fn new(
        caller: Arc<dyn Caller>,
        service: Arc<dyn HostedService>,
        method: &'static MethodSpec,
        chain: Option<Arc<Chain>>,
        (began, given): (Stopwatch, Given),
    ) -> Result<Self, Failure> {
        let object: Arc<Local<S>> = service.into_any().downcast().map_err(|_| {
            let text = format!("what is hosted as {} is not of the type that it says it is", method.service);
            Failure::Answered(RpcError::new(ErrorCode::INTERNAL, text))
        })?;
        check_own(&*caller, method, object.access(method), chain.as_deref())?;
        let stream = method.streams.then(|| StreamState::new(None));
        Ok(Self { object, method, caller, chain, began, given, stream })
    }

    /// The service object.
    pub fn object(&self) -> &S {
        self.object.object()
    }

    /// What the method is told about the call.
    pub fn context(&self) -> CallContext {
        let (service, stream) = (self.method.service.clone(), self.stream.clone());
        CallContext::of_own(self.caller.clone(), self.due(), self.chain.as_deref(), service, stream)
    }

    /// What the stream of a method that streams has come to, for its caller.
    pub(super) fn stream_state(&self) -> Arc<StreamState> {
        self.stream.clone().unwrap_or_else(|| StreamState::new(None))
    }

    /// Runs the future of a method that takes no context: counted, under the deadline, a panic kept within the call. It ends with what the
    /// method answered, or with the error that it panicked or ran out of time.
    pub fn run<R: Outcome>(&self, method: impl Future<Output = R>) -> impl Future<Output = Result<R::Ok, CallError<R::Err>>> {
        self.run_told(UntilAnswered::untold(), method)
    }

    /// The same of a method that was given this context, which is told should the call be cancelled.
    pub fn run_with<'a, R: Outcome>(
        &'a self,
        cx: &'a CallContext,
        method: impl Future<Output = R>,
    ) -> impl Future<Output = Result<R::Ok, CallError<R::Err>>> {
        self.run_told(UntilAnswered::of(cx), method)
    }

    fn run_told<'a, R: Outcome, F: Future<Output = R>>(&'a self, serving: UntilAnswered<'a>, method: F) -> Run<'a, S, F> {
        Run { running: self.count(), serving, guarded: Guarded::new(method, OfCall(self)) }
    }

    /// Whether the call is made while another is served.
    fn is_nested(&self) -> bool {
        self.chain.is_some()
    }

    /// Runs a method that streams to the end of its stream: counted, its opening under the deadline, a panic kept within the call.
    ///
    /// # Errors
    /// What its stream ended with, or that it could not be opened, panicked, or was not opened in time.
    pub async fn run_stream<E: ServiceError>(
        &self,
        cx: &CallContext,
        method: impl Future<Output = Result<(), Failed<E>>>,
    ) -> Result<(), CallError<E>> {
        let path = &*self.method.path;
        let mut running = RunningStream::new(self.count(), cx);
        let deadline = self.limit().deadline();
        let mut serving = UntilAnswered::of(cx);
        match GuardedStream::new(method, deadline, cx).await {
            Ok(ended) => {
                serving.stream_ended();
                ended.map_err(|failed| told(failed, path, self.is_nested())).inspect_err(|_| running.fail())
            }
            Err(cut) => Err(CallError::of_call(stream_cut(cut, path, cx, &mut running), path, self.is_nested())),
        }
    }

    /// When its caller stops waiting.
    fn due(&self) -> Due {
        match self.given {
            Given::Until(deadline) => deadline.into(),
            Given::Time(timeout) => Due::after(self.began, time_of(timeout, Some(self.method)))
                .or_with(self.chain.as_deref().and_then(|chain| chain.deadline)),
        }
    }

    /// When the call is cut: its caller stops waiting, or the method's own time is over.
    fn limit(&self) -> Due {
        self.due().within(self.began, self.method.timeout)
    }

    /// Counts the call, if its method is counted.
    fn count(&self) -> Option<Running<'_>> {
        let stats = if self.method.track_metrics { self.object.stats(self.method.index) } else { None };
        stats.map(|stats| stats.begin(self.began))
    }
}

/// The end of a call's time.
struct OfCall<'a, S: Definition + ?Sized>(&'a Here<S>);

impl<S: Definition + ?Sized> TimeLimit for OfCall<'_, S> {
    fn deadline(&self) -> Instant {
        self.0.limit().deadline()
    }
}

pin_project! {
    /// A method that runs on the object itself. (By hand, as an `async fn` would hold the method's future twice.)
    struct Run<'a, S, F>
    where
        S: Definition,
        S: ?Sized,
    {
        running: Option<Running<'a>>,
        serving: UntilAnswered<'a>,
        #[pin]
        guarded: Guarded<F, OfCall<'a, S>>,
    }
}

impl<S: Definition + ?Sized, R: Outcome, F: Future<Output = R>> Future for Run<'_, S, F> {
    type Output = Result<R::Ok, CallError<R::Err>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let outcome = ready!(this.guarded.as_mut().poll(cx)).map(Outcome::into_result);
        let running = this.running.take();
        if outcome.is_ok() {
            this.serving.answered();
        }
        let OfCall(here) = this.guarded.limit();
        match outcome {
            Ok(Ok(value)) => {
                if let Some(mut running) = running {
                    running.succeed();
                }
                Poll::Ready(Ok(value))
            }
            Ok(Err(failed)) => Poll::Ready(Err(told(failed, &here.method.path, here.is_nested()))),
            Err(cut) => {
                let error = cut_error(cut, &here.method.path);
                Poll::Ready(Err(CallError::of_call(error.into(), &here.method.path, here.is_nested())))
            }
        }
    }
}

/// What the caller is told of a method that failed.
#[cold]
fn told<E: ServiceError>(failed: Failed<E>, path: &str, is_nested: bool) -> CallError<E> {
    match failed {
        Failed::Service(own) => CallError::Service(own),
        Failed::Other(error) => CallError::of_call(error.to_rpc().into(), path, is_nested),
    }
}
