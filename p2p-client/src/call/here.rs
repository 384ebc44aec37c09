//! [`Here`]: a call that stays on its node, run on the object itself.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::service::{
    CallContext, Definition, Failed, Guarded, HostedService, Local, MethodSpec, Outcome, Running, RunningStream, ServiceError,
    stream::GuardedStream,
};

use super::{
    CallError,
    serving::{cut_error, limit, stream_cut},
};

/// A call that stays on this node: the object, and the context that its method gets.
pub struct Here<S: Definition + ?Sized> {
    object: Arc<Local<S>>,
    cx: CallContext,
    began: Instant,
    method: &'static MethodSpec,
}

impl<S: Definition + ?Sized> Here<S> {
    pub(super) fn new(object: Arc<Local<S>>, cx: CallContext, began: Instant, method: &'static MethodSpec) -> Self {
        Self { object, cx, began, method }
    }

    /// The service object.
    pub fn object(&self) -> &S {
        self.object.object()
    }

    /// What the method is told about the call.
    pub fn cx(&self) -> &CallContext {
        &self.cx
    }

    /// Runs the method's future: counted, under the deadline, a panic kept within the call. It ends with what the method answered,
    /// or with the error that it panicked or ran out of time.
    pub fn run<R: Outcome>(&self, method: impl Future<Output = R>) -> impl Future<Output = Result<R::Ok, CallError<R::Err>>> {
        let deadline = limit(self.cx.deadline(), Some(self.method), self.began);
        Run { path: &self.method.path, running: self.begin(), guarded: Guarded::new(method, deadline) }
    }

    /// Runs a method that streams to the end of its stream: counted, its opening under the deadline, a panic kept within the call.
    ///
    /// # Errors
    /// What its stream ended with, or that it could not be opened, panicked, or was not opened in time.
    pub async fn run_stream<E: ServiceError>(
        &self,
        method: impl Future<Output = Result<(), Failed<E>>>,
    ) -> Result<(), CallError<E>> {
        let path = &*self.method.path;
        let mut running = RunningStream::new(self.begin(), &self.cx);
        let deadline = limit(self.cx.deadline(), Some(self.method), self.began);
        match GuardedStream::new(method, deadline, &self.cx).await {
            Ok(ended) => ended.map_err(|failed| told(failed, path)).inspect_err(|_| running.fail()),
            Err(cut) => Err(CallError::from_failure(stream_cut(cut, path, &self.cx, &mut running), path)),
        }
    }

    /// Counts the call, if its method is counted.
    fn begin(&self) -> Option<Running<'_>> {
        let stats = if self.method.track_metrics { self.object.stats(self.method.index) } else { None };
        stats.map(|stats| stats.begin(self.began))
    }
}

pin_project! {
    /// A method that runs on the object itself. (By hand, as an `async fn` would hold the method's future twice.)
    struct Run<'a, F> {
        path: &'static str,
        running: Option<Running<'a>>,
        #[pin]
        guarded: Guarded<F>,
    }
}

impl<R: Outcome, F: Future<Output = R>> Future for Run<'_, F> {
    type Output = Result<R::Ok, CallError<R::Err>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.guarded.poll(cx)).map(Outcome::into_result);
        let running = this.running.take();
        match outcome {
            Ok(Ok(value)) => {
                if let Some(mut running) = running {
                    running.succeed();
                }
                Poll::Ready(Ok(value))
            }
            Ok(Err(failed)) => Poll::Ready(Err(told(failed, this.path))),
            Err(cut) => Poll::Ready(Err(CallError::from_failure(cut_error(cut, this.path).into(), this.path))),
        }
    }
}

/// What the caller is told of a method that failed.
#[cold]
fn told<E: ServiceError>(failed: Failed<E>, path: &str) -> CallError<E> {
    match failed {
        Failed::Service(own) => CallError::Service(own),
        Failed::Other(error) => CallError::from_failure(error.to_rpc().into(), path),
    }
}
