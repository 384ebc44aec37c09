//! What nobody has read of a request's body when its answer is ready.
//!
//! Over HTTP/2 a request may be answered before its body is there: the answer is sent whole, and then the stream is reset without an error
//! (RFC 9113, 8.1). Not every client keeps the answer then: curl 7.88 throws it away and tells of a stream error, so that whoever was refused
//! (401, 403, 429) was not told why. Over HTTP/1.1 the connection is closed under a client that is still sending. So a small rest is read and
//! thrown away before the answer goes out:
//!
//! ```text
//! HttpHandler -> RequestBody -> whoever reads it -> dropped before its end -> Rest -> read and thrown away -> the answer
//! ```
//! It is one request all the while, under the bounds of its connection, and both size and time of it are bounded. What is larger, or
//! does not come in time, is cut off as ever.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request,
    header::{CONTENT_LENGTH, EXPECT},
};
use http_body_util::Either;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use p2p_client::wire::session;
use tokio::time::timeout;

use super::{node_http2::NodeBody, own_wakes::take_frame};

/// The largest rest that is read. Clients send about as much before they look whether there is an answer.
const MAX_REST: usize = 64 * 1024;
/// How long an answer waits for the rest at most.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// A body as it comes: by hyper, or from the connection of a node.
pub(super) type WireBody = Either<Incoming, NodeBody>;

/// A request's body. What is left of it when it is dropped goes to its [`Rest`].
pub(crate) struct RequestBody {
    /// There until it has ended.
    body: Option<WireBody>,
    rest: Rest,
}

/// Takes what is left of a body, if anything is to be done with it.
#[derive(Clone)]
pub(super) struct Rest(Option<Arc<Mutex<Option<WireBody>>>>);

/// The request as whoever answers it gets it, and what will be left of its body.
pub(super) fn keep_rest(request: Request<WireBody>) -> (Request<RequestBody>, Rest) {
    let rest = Rest(is_worth_reading(&request).then(Arc::default));
    (request.map(|body| RequestBody { body: Some(body), rest: rest.clone() }), rest)
}

/// Whether the client would be helped. Who waits for leave to send is answered instead, and what would be a session has no end.
fn is_worth_reading(request: &Request<WireBody>) -> bool {
    let headers = request.headers();
    let is_session = request.uri().path() == session::PATH && !headers.contains_key(CONTENT_LENGTH);
    !request.body().is_end_stream() && !headers.contains_key(EXPECT) && !is_session
}

impl Rest {
    /// Reads what was left and throws it away, within the bounds. Nothing where the body was read, or still is.
    pub(super) async fn throw_away(self) {
        let left = self.0.and_then(|left| left.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(mut body) = left else { return };
        // What says that it is too large is not worth beginning.
        if body.size_hint().lower() <= MAX_REST as u64 {
            // Either way the answer goes out next, and what is left then is cut off.
            let _in_time = timeout(MAX_WAIT, read(&mut body)).await;
        }
    }

    fn leave(&self, body: WireBody) {
        if let Some(left) = &self.0 {
            *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

/// Reads to the end, or until it was too much.
async fn read(body: &mut WireBody) {
    let mut room = MAX_REST;
    while let Some(Ok(frame)) = take_frame(body).await {
        match room.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(left) => room = left,
            None => return,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = <WireBody as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            self.rest.leave(body);
        }
    }
}
