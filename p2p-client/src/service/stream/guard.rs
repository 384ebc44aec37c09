//! Running a method that streams so that neither a panic nor a missed deadline reaches beyond the call, and no stream beyond its node.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use pin_project_lite::pin_project;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use crate::service::{CallContext, Cut};

pin_project! {
    /// As [`Guarded`](crate::service::Guarded), but the deadline holds only until the stream is open; from then on it ends when the node says
    /// that it stops.
    pub(crate) struct GuardedStream<'a, F> {
        #[pin]
        inner: F,
        cx: &'a CallContext,
        deadline: Instant,
        limit: Limit,
    }
}

/// What ends a stream that does not end by itself.
enum Limit {
    /// It has not waited yet.
    Unset,
    /// The time for its opening.
    Opening(Pin<Box<Sleep>>),
    /// The end of its node.
    Open(BoxFuture<'static, ()>),
}

/// Why a method that streams ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamCut {
    /// As any call.
    Call(Cut),
    /// Its stream was open, and the node stops.
    Stopping,
}

impl<'a, F: Future> GuardedStream<'a, F> {
    pub(crate) fn new(inner: F, deadline: Instant, cx: &'a CallContext) -> Self {
        Self { inner, cx, deadline, limit: Limit::Unset }
    }
}

impl<F: Future> Future for GuardedStream<'_, F> {
    type Output = Result<F::Output, StreamCut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The future is never polled again after a panic, so nobody sees what the panic left half done in it.
        match catch_unwind(AssertUnwindSafe(|| this.inner.poll(cx))) {
            Ok(Poll::Ready(output)) => return Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Err(StreamCut::Call(Cut::Panicked))),
        }
        match this.limit {
            Limit::Unset | Limit::Opening(_) if this.cx.is_stream_open() => {
                *this.limit = Limit::Open(Box::pin(stopping(this.cx.stopping())));
            }
            // Most are opened at once, and need no timer.
            Limit::Unset => *this.limit = Limit::Opening(Box::pin(sleep_until(*this.deadline))),
            Limit::Opening(_) | Limit::Open(_) => {}
        }
        Poll::Ready(Err(match this.limit {
            Limit::Unset => return Poll::Pending,
            Limit::Opening(timer) => {
                ready!(timer.as_mut().poll(cx));
                StreamCut::Call(Cut::Deadline)
            }
            Limit::Open(stopping) => {
                ready!(stopping.as_mut().poll(cx));
                StreamCut::Stopping
            }
        }))
    }
}

/// Waits until the node says that it stops.
async fn stopping(node: Option<watch::Receiver<bool>>) {
    let Some(mut node) = node else { return pending().await };
    if node.wait_for(|stopping| *stopping).await.is_err() {
        // It is gone without a word, and takes its tasks along.
        pending::<()>().await;
    }
}
