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
    CallContext, Definition, Failed, Guarded, HostedService, Local, MethodSpec, Outcome, Running, ServiceError,
};

use super::{
    CallError,
    outgoing::{cut_error, limit},
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
        let stats = if self.method.track_metrics { self.object.stats(self.method.index) } else { None };
        let deadline = limit(self.cx.deadline(), Some(self.method), self.began);
        Run {
            path: &self.method.path,
            running: stats.map(|stats| stats.begin(self.began)),
            guarded: Guarded::new(method, deadline),
        }
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
