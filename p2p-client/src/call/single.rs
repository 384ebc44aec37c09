//! [`Call`]: one result.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::future::BoxFuture;
use pin_project_lite::pin_project;

use crate::service::NoError;

use super::{Begun, CallError, CallOptions};

/// A call that has done nothing yet. Await it, or say more of it first.
///
/// It is a future (and [`Unpin`]), so that it can be joined, selected and spawned as it is. Dropping it cancels it.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<T, E = NoError> {
    options: CallOptions,
    pending: Pin<Box<dyn Pending<T, E>>>,
}

impl<T, E> Call<T, E> {
    pub(crate) fn new<S, F>(start: S) -> Self
    where
        S: FnOnce(&mut CallOptions, &Waker) -> Begun<F, T, E> + Send + 'static,
        F: Future<Output = Result<T, CallError<E>>> + Send + 'static,
        T: 'static,
        E: 'static,
    {
        Self { options: CallOptions::default(), pending: Box::pin(Lazy::Ready { start: Some(start) }) }
    }

    /// Gives the call this much time, counted from when it is first polled. Calls made while serving it share that time.
    ///
    /// Without it, the method's own `timeout` holds, or 30 seconds. More than the method's own limit it cannot have.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Tries up to `times` more rounds of the nodes that fit, where the call surely did not run or the method is idempotent.
    ///
    /// Without it, a call goes to each node that fits once at most. Before a further round there is a pause: 25 to 50 ms before the
    /// first, twice that before the next and so on, 2 s at most; then it is looked up anew who fits. A pause that would end after the
    /// call's time is not begun, and the call fails with what happened last.
    pub fn retry(mut self, times: u8) -> Self {
        self.options.retries = times;
        self
    }

    /// Sends a header along. Services cannot see it; proxies and gateways on the way can.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.headers.push(name.into(), value.into());
        self
    }
}

impl<T, E> Future for Call<T, E> {
    type Output = Result<T, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.pending.as_mut().poll(&mut this.options, cx)
    }
}

impl<T, E> fmt::Debug for Call<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What stands in a call's one box.
trait Pending<T, E>: Send {
    fn poll(self: Pin<&mut Self>, options: &mut CallOptions, cx: &mut Context<'_>) -> Poll<Result<T, CallError<E>>>;
}

pin_project! {
    /// A future that is made at its first poll, in the place where what makes it stood: one allocation for both. Only what runs on the
    /// object itself stands there; whatever goes through JSON is so much larger, and slower, that a box of its own costs it nothing.
    #[project = LazyProjection]
    enum Lazy<S, F, T, E> {
        Ready { start: Option<S> },
        Here { #[pin] future: F },
        Encoded { future: BoxFuture<'static, Result<T, CallError<E>>> },
    }
}

impl<S, F, T, E> Pending<T, E> for Lazy<S, F, T, E>
where
    S: FnOnce(&mut CallOptions, &Waker) -> Begun<F, T, E> + Send,
    F: Future<Output = Result<T, CallError<E>>> + Send,
{
    fn poll(mut self: Pin<&mut Self>, options: &mut CallOptions, cx: &mut Context<'_>) -> Poll<Result<T, CallError<E>>> {
        loop {
            let begun = match self.as_mut().project() {
                LazyProjection::Here { future } => return future.poll(cx),
                LazyProjection::Encoded { future } => return future.as_mut().poll(cx),
                LazyProjection::Ready { start } => start.take().map(|start| start(options, cx.waker())),
            };
            match begun {
                Some(Begun::Here(future)) => self.set(Lazy::Here { future }),
                Some(Begun::Encoded(future)) => self.set(Lazy::Encoded { future }),
                Some(Begun::Failed(error)) => return Poll::Ready(Err(error)),
                // Only reachable when the call failed or `start` panicked before; what is polled after that may do anything but lie.
                None => return Poll::Ready(Err(CallError::Cancelled)),
            }
        }
    }
}
