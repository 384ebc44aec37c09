//! Running a method that streams so that neither a panic nor a missed deadline reaches beyond the call.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::service::{CallContext, Cut};

pin_project! {
    /// As [`Guarded`](crate::service::Guarded), but the deadline holds only until the stream is open.
    pub(crate) struct GuardedStream<'a, F> {
        #[pin]
        inner: F,
        cx: &'a CallContext,
        deadline: Instant,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<'a, F: Future> GuardedStream<'a, F> {
    pub(crate) fn new(inner: F, deadline: Instant, cx: &'a CallContext) -> Self {
        Self { inner, cx, deadline, timer: None }
    }
}

impl<F: Future> Future for GuardedStream<'_, F> {
    type Output = Result<F::Output, Cut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The future is never polled again after a panic, so nobody sees what the panic left half done in it.
        match catch_unwind(AssertUnwindSafe(|| this.inner.poll(cx))) {
            Ok(Poll::Ready(output)) => return Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Err(Cut::Panicked)),
        }
        if this.cx.is_stream_open() {
            *this.timer = None;
            return Poll::Pending;
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(*this.deadline)));
        timer.as_mut().poll(cx).map(|()| Err(Cut::Deadline))
    }
}
