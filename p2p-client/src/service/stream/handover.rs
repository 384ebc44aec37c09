//! Handing items over within one task: no channel, no capacity, no waking.
//!
//! Whoever takes the stream polls the method's own future: it puts an item down, and goes on when it is polled after the item was taken.
//! So a method is never ahead of its caller, and ends with the stream that it belongs to.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{Stream, future::BoxFuture};

use crate::service::Error;

use super::{StreamState, TakeItems};

/// The place of one item, between a method and who takes its stream.
pub struct Handover<T>(Mutex<Option<T>>);

impl<T> Handover<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    /// Puts an item down where the one before was taken.
    pub(super) fn put(&self, item: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(item);
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ready once the item was taken. Whoever takes it polls this again, so that nobody needs to be woken.
    pub(super) fn poll_empty(&self) -> Poll<()> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<V: Send> TakeItems<V> for Handover<V> {
    fn start(&self, value: V) -> Result<(), Error> {
        self.put(value);
        Ok(())
    }

    fn poll_taken(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_empty().map(Ok)
    }
}

impl<T> fmt::Debug for Handover<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

/// A method that streams on this node, with the place where it puts its items. It runs while it is polled.
pub(crate) struct Produced<T, E> {
    /// None once it has ended.
    method: Option<BoxFuture<'static, Result<(), E>>>,
    /// How the stream failed, where that was at once when it had been opened.
    failed: Option<E>,
    items: Arc<Handover<T>>,
    state: Arc<StreamState>,
}

impl<T, E> Produced<T, E> {
    pub(crate) fn new(
        items: Arc<Handover<T>>,
        state: Arc<StreamState>,
        method: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self {
        Self { method: Some(Box::pin(method)), failed: None, items, state }
    }

    /// Runs the method until its stream is open, or could not be opened.
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        match self.poll_method(cx) {
            Poll::Ready(Err(error)) if self.state.is_open() => {
                // Of the opening nothing can be said but that it was well.
                self.failed = Some(error);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending if self.state.is_open() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_method(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let Some(method) = &mut self.method else { return Poll::Ready(Ok(())) };
        let polled = method.as_mut().poll(cx);
        if polled.is_ready() {
            self.method = None;
        }
        polled
    }
}

// Nothing in it is pinned in place: the method stands in a box.
impl<T, E> Unpin for Produced<T, E> {}

impl<T, E> Stream for Produced<T, E> {
    type Item = Result<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // The first may have been put down while the stream was opened.
        if let Some(item) = this.items.take() {
            return Poll::Ready(Some(Ok(item)));
        }
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match this.poll_method(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(None),
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Pending => match this.items.take() {
                Some(item) => Poll::Ready(Some(Ok(item))),
                None => Poll::Pending,
            },
        }
    }
}
