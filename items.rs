//! Streams: the items of a call, sent one by one before its answer, as many at a time as the caller has given credit for.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, ready};

use super::{
    MAX_INLINE, Shared,
    machine::{CallKey, ItemSent, Outcome, Progress},
    message::Answer,
};

/// Where a method that streams puts its items. Each waits until the caller has room for it.
pub struct ItemSink {
    shared: Arc<Shared>,
    id: u64,
}

/// Why an item was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The caller does not want any more items, or is gone.
    #[error("nobody takes the items of this stream any more")]
    NobodyListens,
    /// It is larger than a session carries ([`MAX_INLINE`]).
    #[error("an item of {size} bytes, where {MAX_INLINE} are taken; send it in parts")]
    TooLong {
        /// Its size in bytes.
        size: usize,
    },
}

impl ItemSink {
    pub(super) fn new(shared: Arc<Shared>, id: u64) -> Self {
        Self { shared, id }
    }

    /// Tells the caller that the stream is open, before there is any item.
    pub fn open(&self) {
        let mut machine = self.shared.machine();
        let was_empty = machine.waiting() == 0;
        machine.open_stream(self.id);
        drop(machine);
        if was_empty {
            self.shared.driver.wake();
        }
    }

    /// Sends an item's JSON, when the caller has room for it.
    ///
    /// # Errors
    /// [`ItemError::NobodyListens`] once the call was cancelled or its session ended; [`ItemError::TooLong`].
    pub async fn send(&self, item: &[u8]) -> Result<(), ItemError> {
        poll_fn(|cx| self.poll_send(item, cx)).await
    }

    pub(crate) fn poll_send(&self, item: &[u8], cx: &Context<'_>) -> Poll<Result<(), ItemError>> {
        let mut machine = self.shared.machine();
        let was_empty = machine.waiting() == 0;
        match machine.send_item(self.id, item) {
            ItemSent::Gone => Poll::Ready(Err(ItemError::NobodyListens)),
            ItemSent::TooLong => Poll::Ready(Err(ItemError::TooLong { size: item.len() })),
            ItemSent::Wait => {
                self.shared.waiters.add_items(self.id, cx.waker().clone());
                Poll::Pending
            }
            ItemSent::Sent => {
                drop(machine);
                if was_empty {
                    self.shared.driver.wake();
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl fmt::Debug for ItemSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ItemSink({})", self.id)
    }
}

/// The items of a call, as they come. It ends after the last item, or with the outcome of a call that did not end well. Dropping it
/// cancels the call.
pub struct ItemStream {
    shared: Arc<Shared>,
    key: Option<CallKey>,
    /// An item that came before anything said that the stream is open.
    first: Option<Bytes>,
}

/// What a call became whose caller takes a stream.
#[derive(Debug)]
pub enum StreamOpening {
    /// The stream is open; its items follow.
    Open,
    /// The method does not stream: this is how it ended, well or not.
    Answered(Outcome),
}

impl ItemStream {
    pub(super) fn new(shared: Arc<Shared>, key: CallKey) -> Self {
        Self { shared, key: Some(key), first: None }
    }

    /// Waits until the method has opened its stream, or has ended without.
    pub async fn opened(&mut self) -> StreamOpening {
        poll_fn(|cx| self.poll_opened(cx)).await
    }

    fn poll_opened(&mut self, cx: &Context<'_>) -> Poll<StreamOpening> {
        Poll::Ready(match ready!(self.poll_progress(cx)) {
            Some(Progress::Item(item)) => {
                self.first = Some(item);
                StreamOpening::Open
            }
            Some(Progress::Done(outcome)) => StreamOpening::Answered(outcome),
            Some(Progress::Open | Progress::Pending) | None => StreamOpening::Open,
        })
    }

    /// What comes next; nothing after the end.
    fn poll_progress(&mut self, cx: &Context<'_>) -> Poll<Option<Progress>> {
        let Some(key) = self.key else { return Poll::Ready(None) };
        match self.shared.take(key, cx) {
            Progress::Pending => Poll::Pending,
            Progress::Done(outcome) => {
                self.key = None;
                Poll::Ready(Some(Progress::Done(outcome)))
            }
            progress => Poll::Ready(Some(progress)),
        }
    }
}

impl Stream for ItemStream {
    type Item = Result<Bytes, Outcome>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            return Poll::Ready(match ready!(self.poll_progress(cx)) {
                Some(Progress::Open | Progress::Pending) => continue,
                Some(Progress::Item(item)) => Some(Ok(item)),
                Some(Progress::Done(Outcome::Answered(Answer::Result(_)))) | None => None,
                Some(Progress::Done(outcome)) => Some(Err(outcome)),
            });
        }
    }
}

impl Drop for ItemStream {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.abandon(key);
        }
    }
}

impl fmt::Debug for ItemStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").field("call", &self.key).finish_non_exhaustive()
    }
}
