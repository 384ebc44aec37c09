//! Taking the items of a method's stream one by one, and handing each on.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use futures::StreamExt;
use serde::Serialize;

use crate::{
    codec::{Form, bounded::unwritten},
    protocol::RpcError,
    service::{CallContext, Error, Failed},
};

use super::{StreamItem, StreamOutcome, StreamSink, sink::not_asked_for};

/// Takes the items of a stream, one at a time.
pub trait TakeItems<V>: Send + Sync {
    /// Begins with an item; the one before it was taken.
    ///
    /// # Errors
    /// Why it cannot travel. The stream ends with that.
    fn start(&self, value: V) -> Result<(), Error>;

    /// Whether the item was taken, and the next may come.
    ///
    /// # Errors
    /// Why nobody takes it. The stream ends with that.
    fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
}

/// Runs a method that streams to the end of its stream. Each item waits until `to` has taken the one before.
///
/// # Errors
/// How the method failed to open its stream, or what its stream failed with.
pub async fn feed<K, O: StreamOutcome<K>>(
    cx: &CallContext,
    to: &dyn TakeItems<O::Value>,
    method: impl Future<Output = O>,
) -> Result<(), Failed<O::Err>> {
    let mut items = pin!(method.await.into_result()?);
    cx.stream_opened();
    while let Some(item) = items.next().await {
        let value = item.into_result()?;
        to.start(value).map_err(Failed::Other)?;
        poll_fn(|cx| to.poll_taken(cx)).await.map_err(Failed::Other)?;
    }
    Ok(())
}

/// Takes items as JSON, in their type's form, for a caller who is not on this node or not in Rust.
#[derive(Debug)]
pub struct JsonItems<'a, F> {
    form: F,
    sink: &'a StreamSink,
    waiting: Mutex<Option<Vec<u8>>>,
}

impl<'a, F> JsonItems<'a, F> {
    /// For the caller of this call.
    ///
    /// # Errors
    /// When it did not ask for a stream.
    pub fn new(form: F, cx: &'a CallContext) -> Result<Self, RpcError> {
        let sink = cx.items().ok_or_else(|| not_asked_for("the method"))?;
        Ok(Self { form, sink, waiting: Mutex::default() })
    }
}

impl<V: Serialize + Send + 'static, F: Form<V> + Send + Sync> TakeItems<V> for JsonItems<'_, F> {
    fn start(&self, value: V) -> Result<(), Error> {
        let json = self.form.encode(&value).map_err(|error| Error::msg(unwritten("an item of the stream", value, &error)))?;
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(json);
        Ok(())
    }

    fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = ready!(self.sink.poll_send(&mut waiting, cx));
        *waiting = None;
        Poll::Ready(sent.map_err(Error::from))
    }
}
