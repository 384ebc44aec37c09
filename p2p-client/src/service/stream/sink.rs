//! Where the JSON items of one call go, and whether its stream is open.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use crate::{
    protocol::{ErrorCode, RpcError},
    wire::session::{ItemError, ItemSink, MAX_INLINE},
};

use super::Handover;

/// Where a method that streams puts its items as JSON: on a session, or where a response is made of them. Either way an item has at most
/// 64 KiB ([`MAX_INLINE`]), and waits until there is room for it.
pub struct StreamSink(To);

enum To {
    Session(ItemSink),
    Handover(Arc<Handover<Vec<u8>>>),
}

impl From<ItemSink> for StreamSink {
    fn from(sink: ItemSink) -> Self {
        Self(To::Session(sink))
    }
}

impl From<Arc<Handover<Vec<u8>>>> for StreamSink {
    fn from(items: Arc<Handover<Vec<u8>>>) -> Self {
        Self(To::Handover(items))
    }
}

impl StreamSink {
    /// Sends what waits. Ready when it was taken. Only what was made as JSON here may be sent: anything else would end the session, with
    /// everybody's calls.
    pub(super) fn poll_send(&self, waiting: &mut Option<Vec<u8>>, cx: &mut Context<'_>) -> Poll<Result<(), ItemError>> {
        match (&self.0, waiting) {
            (To::Session(sink), Some(item)) => sink.poll_send(item, cx),
            (To::Session(_), None) => Poll::Ready(Ok(())),
            (To::Handover(_), Some(item)) if item.len() > MAX_INLINE => Poll::Ready(Err(ItemError::TooLong { size: item.len() })),
            (To::Handover(items), waiting) => {
                ready!(items.poll_empty());
                match waiting.take() {
                    Some(item) => {
                        items.put(item);
                        Poll::Pending
                    }
                    None => Poll::Ready(Ok(())),
                }
            }
        }
    }

    /// Tells the caller that the stream is open.
    fn open(&self) {
        if let To::Session(sink) = &self.0 {
            sink.open();
        }
    }
}

impl fmt::Debug for StreamSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            To::Session(sink) => sink.fmt(f),
            To::Handover(items) => items.fmt(f),
        }
    }
}

/// What is known of the stream of one call.
#[derive(Debug)]
pub(crate) struct StreamState {
    is_open: AtomicBool,
    sink: Option<StreamSink>,
}

impl StreamState {
    /// A stream that is to be opened. Without a sink its items are handed over as they are.
    pub(crate) fn new(sink: Option<StreamSink>) -> Arc<Self> {
        Arc::new(Self { is_open: AtomicBool::new(false), sink })
    }

    pub(crate) fn sink(&self) -> Option<&StreamSink> {
        self.sink.as_ref()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        if let Some(sink) = &self.sink {
            sink.open();
        }
    }
}

/// The refusal of a call whose caller wants one result, where there are many items.
pub(crate) fn not_asked_for(path: &str) -> RpcError {
    let text = format!(
        "{path} streams its items: ask for them over HTTP with the header `Accept: application/x-ndjson` (a JSON object in each line) \
         or `Accept: text/event-stream` (Server-Sent Events), one node at a time and not in a batch; in Rust, open it by its proxy or by \
         `proxy.open(…)`"
    );
    RpcError::new(ErrorCode::INVALID_REQUEST, text)
}
