//! Reading a request's body, within bounds of size and time.

use std::{error::Error, pin::pin, task::Poll, time::Duration};

use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use p2p_client::protocol::{ErrorCode, RpcError};
use tokio::time::timeout;

use crate::transport::error_response;

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
    B: hyper::body::Body,
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
    B: hyper::body::Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let too_large = BodyError::TooLarge { limit: limits.max };
    if body.size_hint().lower() > limits.max as u64 {
        return Err(too_large);
    }
    let mut reading = pin!(Limited::new(body, limits.max).collect());
    // Most bodies are there with their head already, and a timer would cost more than reading them.
    let read = match futures::poll!(reading.as_mut()) {
        Poll::Ready(read) => Ok(read),
        Poll::Pending => timeout(limits.timeout, reading).await,
    };
    match read {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(error)) => Err(BodyError::Broken(error)),
        Err(_) => Err(BodyError::TooSlow { after: limits.timeout }),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::StreamBody;
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
