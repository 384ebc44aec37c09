//! [`Streaming`]: the items of a call, as they come.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, stream::BoxStream};

use crate::service::{NoError, ServiceError};

use super::{CallError, opening::Items, outgoing::Decode};

/// The items of a method that streams, as they come: what a [`Call`](super::Call) to it gives once the stream is open.
///
/// An item is a `Result`, as a stream can break off: after the last item comes `None`, after an error `None` as well. A node that is lost, a
/// method that panics or fails is an error, never just the end. Items are made as they are taken: a caller on the same node takes each from
/// the method itself; to another node a few (64) are on their way, and the method waits while they are not taken. Dropping the stream
/// ends the method.
///
/// The call's time limit is for the opening. An open stream lasts until it ends, is dropped, or its peer is lost.
///
/// ```
/// use futures::StreamExt;
/// use p2p_client::{
///     proxy::Proxy,
///     service,
///     service::{Result, Stream},
/// };
///
/// /// Counts.
/// #[service]
/// pub trait Counter {
///     /// Counts up from a number.
///     #[service_method(read_only)]
///     async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>>;
/// }
///
/// # async fn example(proxy: Proxy) -> Result<()> {
/// let mut numbers = proxy.counter().count(3).await?;
/// while let Some(number) = numbers.next().await {
///     if number? == 10 {
///         break; // and the counting ends
///     }
/// }
/// # Ok(()) }
/// ```
#[must_use = "a stream does nothing until it is polled, and ends its method when it is dropped"]
pub struct Streaming<T, E = NoError> {
    /// None after the end, so that what is left of the method goes at once.
    items: Option<BoxStream<'static, Result<T, CallError<E>>>>,
}

impl<T, E> Streaming<T, E> {
    /// A stream of these items: for what stands in the place of a method, such as a mock.
    pub fn new(items: impl Stream<Item = Result<T, CallError<E>>> + Send + 'static) -> Self {
        Self { items: Some(items.boxed()) }
    }
}

impl<T: Send + 'static, E: ServiceError> Streaming<T, E> {
    /// Items that come as JSON.
    pub(super) fn received(items: Items, decode: Decode<T>, path: String, is_nested: bool) -> Self {
        Self::new(items.map(move |item| {
            let json = item.map_err(|failure| CallError::of_call(failure, &path, is_nested))?;
            read(&json, decode, &path)
        }))
    }
}

fn read<T, E: ServiceError>(json: &[u8], decode: Decode<T>, path: &str) -> Result<T, CallError<E>> {
    decode(json).map_err(|error| CallError::Incompatible(format!("an item of {path} is not what this version expects: {error}")))
}

impl<T, E> Stream for Streaming<T, E> {
    type Item = Result<T, CallError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(items) = &mut self.items else { return Poll::Ready(None) };
        let polled = items.poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.items = None;
        }
        polled
    }
}

impl<T, E> fmt::Debug for Streaming<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("has_ended", &self.items.is_none()).finish_non_exhaustive()
    }
}
