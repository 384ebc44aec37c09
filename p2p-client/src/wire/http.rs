//! Sending one HTTP request, and the truth about what became of it.
//!
//! A failure says whether the request may have reached the other end ([`SendFailure`]): retry and failover are safe exactly
//! where it was [`SendFailure::NotSent`]. Requests to peers go through the [`pool`](super::pool); [`one_shot`] is for
//! everything else: the Unix socket, clients outside the cluster.

use std::{error::Error, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use http::{HeaderValue, Request, Response, header::HOST};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::{
    dial::DialError,
    net::BoxStream,
    room::{NoRoom, Room},
    streamed::Streamed,
    tls::TlsError,
};

/// Bounds of one request.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// The largest response body that is taken, in bytes. Default: 64 MiB.
    pub max_response: usize,
    /// The time for all of it, from connecting to the last byte of the response. Default: none.
    pub timeout: Option<Duration>,
    /// What the response body shares with others, so that all of them together are bounded. Default: nothing.
    pub room: Option<Arc<Room>>,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { max_response: 64 * 1024 * 1024, timeout: None, room: None }
    }
}

impl RequestLimits {
    /// The default bounds, and a time limit.
    #[must_use]
    pub fn within(timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..Self::default() }
    }
}

/// Why there is no response, and whether the request may have had its effect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendFailure {
    /// The other end has not processed the request and never will: sending it again, or elsewhere, is safe.
    #[error("not sent: {reason}")]
    NotSent {
        /// What stood in the way.
        #[source]
        reason: NotSent,
    },
    /// The request may have been processed: only what is idempotent may be sent again.
    #[error("sent, but no response came: {reason}")]
    Lost {
        /// What was lost.
        #[source]
        reason: Lost,
    },
}

impl SendFailure {
    /// Whether it is certain that the request was not processed.
    pub const fn is_not_sent(&self) -> bool {
        matches!(self, Self::NotSent { .. })
    }
}

/// What kept a request from being sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// No connection came about.
    #[error(transparent)]
    Dial(#[from] Arc<DialError>),
    /// The peer did not accept our certificate.
    #[error(transparent)]
    Tls(TlsError),
    /// The connection ended before the peer took the request.
    #[error("the connection was closing; try again")]
    Closing,
    /// The peer refused the request unprocessed (HTTP/2 `REFUSED_STREAM`).
    #[error("the peer has too much to do; try again later")]
    Busy,
    /// The time for the request was over before there was a connection.
    #[error("there was no connection within {} ms", .after.as_millis())]
    TimedOut {
        /// The time it had.
        after: Duration,
    },
    /// The address of the peer cannot stand in a URI.
    #[error("{authority:?} is no address; it looks like \"host:port\"")]
    BadAuthority {
        /// The address.
        authority: String,
    },
}

/// What happened to a request that may have been processed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The connection, or the request's stream on it, broke.
    #[error("the connection broke: {}", chain(.0.as_ref()))]
    Broken(Arc<dyn Error + Send + Sync>),
    /// The response is larger than was allowed.
    #[error("the response is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The response does not fit into what it shares with others.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The time for the request was over.
    #[error("the peer took longer than {} ms", .after.as_millis())]
    TimedOut {
        /// The time it had.
        after: Duration,
    },
}

impl From<NotSent> for SendFailure {
    fn from(reason: NotSent) -> Self {
        Self::NotSent { reason }
    }
}

impl From<Lost> for SendFailure {
    fn from(reason: Lost) -> Self {
        Self::Lost { reason }
    }
}

/// An error with its causes, in one line: hyper's own text is only "http2 error".
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Tells from hyper's error whether the request was processed.
pub(crate) fn judge<B>(error: TrySendError<B>) -> SendFailure {
    if error.message().is_some() {
        // hyper gives the request back: not a byte of it was written.
        return NotSent::Closing.into();
    }
    let error = error.into_error();
    match error.source().and_then(|source| source.downcast_ref::<h2::Error>()) {
        // h2 reports a peer's GOAWAY only to streams above its last processed one (RFC 9113, 6.8).
        Some(h2) if h2.is_go_away() && h2.is_remote() => NotSent::Closing.into(),
        Some(h2) if h2.is_reset() && h2.is_remote() && h2.reason() == Some(h2::Reason::REFUSED_STREAM) => NotSent::Busy.into(),
        _ => Lost::Broken(Arc::new(error)).into(),
    }
}

/// Reads a response's body, as far as it is allowed to go.
pub(crate) async fn collect(response: Response<Incoming>, limits: &RequestLimits) -> Result<Response<Bytes>, SendFailure> {
    let (head, body) = response.into_parts();
    let limit = limits.max_response;
    if body.size_hint().lower() > limit as u64 {
        return Err(Lost::TooLarge { limit }.into());
    }
    let body = Limited::new(body, limit);
    let whole = match &limits.room {
        None => body.collect().await.map_err(|error| unread(error, limit))?.to_bytes(),
        Some(room) => collect_into(room, body, limit).await?,
    };
    Ok(Response::from_parts(head, whole))
}

/// Reads a body of which each piece takes its part of the room as it comes.
async fn collect_into(room: &Room, mut body: Limited<Incoming>, limit: usize) -> Result<Bytes, Lost> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    room.has(announced)?;
    // (What was announced takes no memory before it comes.)
    let (mut part, mut whole) = (room.part(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(|error| unread(error, limit))?.into_data() {
            part.grow(piece.len())?;
            whole.extend_from_slice(&piece);
        }
    }
    part.keep();
    Ok(whole.freeze())
}

/// Why a body could not be read to its end.
fn unread(error: Box<dyn Error + Send + Sync>, limit: usize) -> Lost {
    if error.is::<LengthLimitError>() { Lost::TooLarge { limit } } else { Lost::Broken(error.into()) }
}

/// Sends one request by HTTP/1.1 on a stream of its own, which is closed afterwards.
///
/// A missing `Host` header is filled in. Dropping the future closes the stream.
///
/// # Errors
/// [`SendFailure`] says whether the request may have been processed.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use p2p_client::wire::http::{RequestLimits, one_shot};
///
/// let socket = tokio::net::UnixStream::connect("/var/lib/p2p/node.sock").await?;
/// let request = http::Request::get("/health").body(Default::default())?;
/// let response = one_shot(Box::new(socket), request, RequestLimits::default()).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
pub async fn one_shot(
    stream: BoxStream,
    mut request: Request<Full<Bytes>>,
    limits: RequestLimits,
) -> Result<Response<Bytes>, SendFailure> {
    name_a_host(&mut request);
    let exchange = async {
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| NotSent::Closing)?;
        let answer = async {
            let response = send.try_send_request(request).await.map_err(judge)?;
            collect(response, &limits).await
        };
        // The connection's own error, if any, reaches the answer as well.
        match select(pin!(answer), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, answer)) => answer.await,
        }
    };
    match limits.timeout {
        None => exchange.await,
        Some(after) => match tokio::time::timeout(after, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(Lost::TimedOut { after }.into()),
        },
    }
}

/// [`one_shot`], for a response that is read as it comes. `timeout` is for the head of the response; the stream is closed when its body is
/// dropped.
///
/// # Errors
/// [`SendFailure`] says whether the request may have been processed.
pub async fn one_shot_streamed(
    stream: BoxStream,
    mut request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<Response<Streamed>, SendFailure> {
    name_a_host(&mut request);
    let exchange = async {
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| NotSent::Closing)?;
        let driving = Driving(tokio::spawn(connection).abort_handle());
        let response = send.try_send_request(request).await.map_err(judge)?;
        Ok(response.map(|body| Streamed::new(body, (send, driving))))
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(Lost::TimedOut { after: timeout }.into()),
    }
}

/// A connection that is driven by a task, which ends with this.
struct Driving(AbortHandle);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// HTTP/1.1 wants a host with every request.
fn name_a_host(request: &mut Request<Full<Bytes>>) {
    let host = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    request.headers_mut().entry(HOST).or_insert(host.unwrap_or_else(|| HeaderValue::from_static("localhost")));
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn request() -> Request<Full<Bytes>> {
        Request::get("/health").body(Full::default()).unwrap()
    }

    async fn read_head(server: &mut DuplexStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn one_request_gets_one_response_and_names_a_host() {
        let (client, mut server) = duplex(4096);
        let serve = async {
            let head = read_head(&mut server).await;
            server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
            head
        };
        let (response, head) = tokio::join!(one_shot(Box::new(client), request(), RequestLimits::default()), serve);
        assert_eq!(response.unwrap().into_body(), "hi");
        assert!(head.starts_with("GET /health HTTP/1.1\r\n") && head.contains("host: localhost"), "{head}");
    }

    #[tokio::test]
    async fn a_response_over_the_limit_is_refused_by_its_length_or_by_counting() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n",
        ] {
            let (client, mut server) = duplex(4096);
            let serve = async {
                read_head(&mut server).await;
                server.write_all(answer.as_bytes()).await.unwrap();
            };
            let limits = RequestLimits { max_response: 8, ..RequestLimits::default() };
            let (response, ()) = tokio::join!(one_shot(Box::new(client), request(), limits), serve);
            let failure = response.unwrap_err();
            assert!(matches!(failure, SendFailure::Lost { reason: Lost::TooLarge { limit: 8 } }), "{failure}");
            assert!(failure.to_string().contains("larger than 8 bytes"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_response_that_does_not_fit_beside_others_is_refused_and_leaves_them_their_room() {
        let room = Room::of(12);
        room.take(4).unwrap();
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n3\r\n678\r\n0\r\n\r\n",
        ] {
            let (client, mut server) = duplex(4096);
            let serve = async {
                read_head(&mut server).await;
                server.write_all(answer.as_bytes()).await.unwrap();
            };
            let limits = RequestLimits { room: Some(room.clone()), ..RequestLimits::default() };
            let (response, ()) = tokio::join!(one_shot(Box::new(client), request(), limits), serve);
            match response {
                // The last one fits, as those that did not have left nothing.
                Ok(response) => assert_eq!(response.into_body(), "12345678"),
                Err(failure) => {
                    assert!(matches!(failure, SendFailure::Lost { reason: Lost::NoRoom(NoRoom { max: 12, .. }) }), "{failure}");
                    room.has(8).unwrap();
                }
            }
        }
        room.has(1).unwrap_err();
    }

    #[tokio::test]
    async fn a_connection_that_closes_after_the_request_was_read_is_lost() {
        let (client, mut server) = duplex(4096);
        let serve = async move {
            read_head(&mut server).await;
        };
        let (response, ()) = tokio::join!(one_shot(Box::new(client), request(), RequestLimits::default()), serve);
        let failure = response.unwrap_err();
        assert!(!failure.is_not_sent(), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_answers_runs_into_the_time_limit() {
        let (client, _server) = duplex(4096);
        let limits = RequestLimits::within(Duration::from_secs(2));
        let failure = one_shot(Box::new(client), request(), limits).await.unwrap_err();
        assert_eq!(failure.to_string(), "sent, but no response came: the peer took longer than 2000 ms");
    }
}
