//! Reading a request's body, within bounds of size and time.

use std::{error::Error, pin::pin, task::Poll, time::Duration};

use axum::{body::Body, response::IntoResponse};
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use hyper::body::Body as HttpBody;
use p2p_client::protocol::{ErrorCode, RpcError};
use tokio::time::timeout;

use crate::transport::{error_response, take_frame};

/// The largest body that is taken unless said otherwise: 4 MiB.
pub const DEFAULT_MAX_BODY: usize = 4 * 1024 * 1024;
/// The time for a body unless said otherwise.
pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds of a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The most bytes. Default: [`DEFAULT_MAX_BODY`].
    pub max: usize,
    /// The time until the last byte. Default: [`DEFAULT_BODY_TIMEOUT`].
    pub timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { max: DEFAULT_MAX_BODY, timeout: DEFAULT_BODY_TIMEOUT }
    }
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than is allowed.
    #[error("the body is larger than {limit} bytes; send less, or split the batch")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It did not come in time.
    #[error("the body did not arrive within {} s; send it without pausing", .after.as_secs())]
    TooSlow {
        /// The time it had.
        after: Duration,
    },
    /// The connection broke.
    #[error("the body broke off: {0}")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

impl IntoResponse for BodyError {
    /// Tells the client: 413, 408 or 400, with a JSON-RPC error.
    fn into_response(self) -> Response<Body> {
        let status = match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        };
        error_response(status, &RpcError::new(ErrorCode::INVALID_REQUEST, self.to_string()))
    }
}

/// Reads a body of at most `max` bytes whole, within [`DEFAULT_BODY_TIMEOUT`].
///
/// # Errors
/// [`BodyError`], which makes its own HTTP response.
///
/// ```
/// use axum::{body::Body, response::IntoResponse};
/// use p2p_runtime::web::rpc::read_body;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
/// assert_eq!(read_body(Body::from("four"), 4).await.expect("it fits"), "four");
/// assert_eq!(read_body(Body::from("fiver"), 4).await.expect_err("too large").into_response().status(), 413);
/// # });
/// ```
pub async fn read_body<B>(body: B, max: usize) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    read_body_within(body, BodyLimits { max, ..BodyLimits::default() }).await
}

/// Reads a body whole, within these bounds. A body that says beforehand that it is too large is refused before it is read.
///
/// # Errors
/// [`BodyError`], which makes its own HTTP response.
pub async fn read_body_within<B>(body: B, limits: BodyLimits) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if body.size_hint().lower() > limits.max as u64 {
        return Err(BodyError::TooLarge { limit: limits.max });
    }
    let mut reading = pin!(whole(body, limits.max));
    // Most bodies are there with their head already, and a timer would cost more than reading them.
    match futures::poll!(reading.as_mut()) {
        Poll::Ready(read) => read,
        Poll::Pending => timeout(limits.timeout, reading).await.unwrap_or(Err(BodyError::TooSlow { after: limits.timeout })),
    }
}

/// The data of a body. What comes in one piece is not copied; what comes in many is put together, as a piece that is kept takes many times its
/// size where clients make them small.
async fn whole<B>(body: B, max: usize) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let Some(first) = data(&mut body).await? else { return Ok(Bytes::new()) };
    if first.len() > max {
        return Err(BodyError::TooLarge { limit: max });
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut read = BytesMut::from(&*first);
    while let Some(piece) = data(&mut body).await? {
        if piece.len() > max - read.len() {
            return Err(BodyError::TooLarge { limit: max });
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.freeze())
}

/// The next piece of data, if any follows. Trailers are passed over.
async fn data<B>(body: &mut B) -> Result<Option<Bytes>, BodyError>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    while let Some(frame) = take_frame(body).await {
        if let Ok(piece) = frame.map_err(|error| BodyError::Broken(error.into()))?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures::{StreamExt, stream};
    use http_body_util::{BodyExt, Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn a_body_without_a_length_is_counted() {
        let parts = stream::iter(["123", "456"].map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part)))));
        let error = read_body(StreamBody::new(parts), 5).await.unwrap_err();
        assert_eq!(error.to_string(), "the body is larger than 5 bytes; send less, or split the batch");
        let response = error.into_response();
        assert_eq!(response.status(), 413);
        let said = response.into_body().collect().await.unwrap().to_bytes();
        assert!(said.starts_with(br#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"the body is larger than 5"#));
    }

    #[tokio::test]
    async fn a_body_in_many_small_pieces_takes_no_more_than_its_bytes() {
        // Each piece keeps something else alive, as a piece of a connection's buffer does.
        struct Kept {
            _alive: Arc<()>,
        }
        impl AsRef<[u8]> for Kept {
            fn as_ref(&self) -> &[u8] {
                b"x"
            }
        }
        let alive = Arc::new(());
        let most = Arc::new(AtomicUsize::new(0));
        let (counted, seen) = (alive.clone(), most.clone());
        let parts = stream::iter(0..1_000).map(move |_| {
            seen.fetch_max(Arc::strong_count(&counted), Ordering::SeqCst);
            Ok::<_, Infallible>(Frame::data(Bytes::from_owner(Kept { _alive: counted.clone() })))
        });
        assert_eq!(read_body(StreamBody::new(parts), 1_000).await.unwrap(), "x".repeat(1_000));
        let most = most.load(Ordering::SeqCst);
        assert!(most <= 4, "{most} are held at a time");
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let sent = Bytes::from(vec![b'x'; 100]);
        assert_eq!(read_body(Full::new(sent.clone()), 100).await.unwrap().as_ptr(), sent.as_ptr());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up() {
        let nothing = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let error = read_body(nothing, 5).await.unwrap_err();
        assert!(error.to_string().contains("within 30 s"), "{error}");
        assert_eq!(error.into_response().status(), 408);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_says_so() {
        let broken = stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("gone"))]);
        let error = read_body(StreamBody::new(broken), 5).await.unwrap_err();
        assert_eq!(error.to_string(), "the body broke off: gone");
        assert_eq!(error.into_response().status(), 400);
    }
}
