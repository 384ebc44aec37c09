//! Opening a session: from a secured stream to a peer to a [`Session`] that can be called by.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::{Method, Request, Response, StatusCode, Uri};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::wire::{dial::PeerRef, net::BoxStream, tls::TlsError};

use super::{
    CALLS_HEADER, Driver, Ended, KeepAlive, LAST_WORDS, PATH, Serve, Session, SessionLimits, Turn, VERSION_HEADER, VERSIONS,
};

/// How much of a stream and of a connection may come in ahead of being read, and how much one HTTP/2 frame may hold.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 8 << 20;
/// See [`STREAM_WINDOW`].
pub const FRAME: u32 = 1 << 20;
/// How much may wait in the connection to be sent.
pub const SEND_BUFFER: usize = 1 << 20;

/// Why a session did not come about. Nothing was sent in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer speaks no version of the session protocol that is spoken here. It can be called by `POST /rpc`.
    #[error("the peer speaks no session protocol that this node knows ({status}); it is called by POST /rpc")]
    Unsupported {
        /// What it answered.
        status: StatusCode,
    },
    /// The peer takes no calls now.
    #[error("the node is starting or stopping")]
    Unavailable,
    /// The peer does not let this node in.
    #[error("the peer refused the session ({status}): {reason}")]
    Refused {
        /// What it answered.
        status: StatusCode,
        /// What it said.
        reason: String,
    },
    /// The peer refused our certificate.
    #[error(transparent)]
    Tls(TlsError),
    /// The connection broke, or does not speak HTTP/2.
    #[error("the connection broke before the session was open: {0}")]
    Broken(String),
}

/// Opens a session on a fresh connection to `peer`, and keeps driving it in a task. It ends at `expires` at the latest, when
/// the peer's certificate does.
///
/// # Errors
/// [`OpenError`]
pub async fn open(
    stream: BoxStream,
    peer: &PeerRef,
    expires: Option<SystemTime>,
    limits: SessionLimits,
    serve: Arc<dyn Serve>,
) -> Result<Session, OpenError> {
    let broken = |error: h2::Error| OpenError::Broken(error.to_string());
    let (requests, mut connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(16 * 1024)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(broken)?;
    let mut opened = std::pin::pin!(ask(requests, peer, limits.max_calls));
    let (response, send) = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            // What the request ended with says more, if it ended.
            if let Poll::Ready(answer) = opened.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            let why = ended.err().map_or_else(|| "it was closed".to_owned(), |error| error.to_string());
            return Poll::Ready(Err(OpenError::Broken(why)));
        }
        opened.as_mut().poll(cx)
    })
    .await?;
    let peer_calls = agreed(&response)?;
    let keep_alive = KeepAlive::new(connection.ping_pong(), &limits);
    let idle = limits.idle;
    let (session, driver) = Session::new(peer.node_id.clone(), limits, peer_calls, serve, send, response.into_body());
    let task = Task {
        connection,
        driver,
        keep_alive,
        expiry: expires.map(until),
        idle: Idle { session: session.clone(), timer: Box::pin(sleep_until(Instant::now() + idle)), period: idle, used: 0 },
    };
    tokio::spawn(task.run());
    Ok(session)
}

/// Sends the request that opens a session.
async fn ask(
    requests: SendRequest<Bytes>,
    peer: &PeerRef,
    max_calls: u32,
) -> Result<(Response<h2::RecvStream>, h2::SendStream<Bytes>), OpenError> {
    let broken = |error: h2::Error| OpenError::Broken(error.to_string());
    let uri = Uri::builder().scheme("https").authority(&*peer.authority).path_and_query(PATH).build();
    let uri = uri.map_err(|error| OpenError::Broken(error.to_string()))?;
    let versions = VERSIONS.map(|version| version.to_string()).join(", ");
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(VERSION_HEADER, versions)
        .header(CALLS_HEADER, max_calls)
        .body(())
        .map_err(|error| OpenError::Broken(error.to_string()))?;
    let mut requests = requests.ready().await.map_err(broken)?;
    let (response, send) = requests.send_request(request, false).map_err(broken)?;
    Ok((response.await.map_err(broken)?, send))
}

/// How many calls the peer takes at a time, where it agreed.
fn agreed(response: &Response<h2::RecvStream>) -> Result<u32, OpenError> {
    let number = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match response.status() {
        StatusCode::OK => match number(VERSION_HEADER) {
            Some(version) if VERSIONS.contains(&version) => Ok(number(CALLS_HEADER).unwrap_or(1)),
            _ => Err(OpenError::Unsupported { status: StatusCode::OK }),
        },
        StatusCode::SERVICE_UNAVAILABLE => Err(OpenError::Unavailable),
        // A node of an earlier version has no such route, or none for POST.
        status @ (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::UPGRADE_REQUIRED) => {
            Err(OpenError::Unsupported { status })
        }
        status => {
            let reason = response.headers().get("p2p-reason").and_then(|reason| reason.to_str().ok());
            Err(OpenError::Refused { status, reason: reason.unwrap_or("no reason given").to_owned() })
        }
    }
}

/// A timer that fires at a time of day. (Measured from now; a clock that is set meanwhile moves it not.)
pub fn until(time: SystemTime) -> Pin<Box<Sleep>> {
    let left = time.duration_since(SystemTime::now()).unwrap_or_default();
    // The clock of timers does not reach for ever.
    let at = Instant::now().checked_add(left).unwrap_or_else(|| Instant::now() + Duration::from_hours(24 * 365));
    Box::pin(sleep_until(at))
}

/// All that belongs to a session's connection, in one task: a message wakes nobody on its way from the socket to its caller but the caller.
struct Task {
    connection: Connection<BoxStream, Bytes>,
    driver: Driver,
    keep_alive: KeepAlive,
    expiry: Option<Pin<Box<Sleep>>>,
    idle: Idle,
}

impl Task {
    async fn run(mut self) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        tracing::debug!(peer = %self.idle.session.peer(), %ended, "session ended");
        let Self { mut connection, mut driver, .. } = self;
        driver.end_with(&ended);
        if matches!(ended, Ended::Silent(_) | Ended::NotReading(_)) {
            return; // There is nobody to say it to.
        }
        let last_words = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => driver.poll_closed(cx),
        });
        let _said = timeout(LAST_WORDS, last_words).await;
        drop(driver);
        // Without streams and senders it closes itself, once everything is sent.
        let _closed = timeout(LAST_WORDS, connection).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let closed = Pin::new(&mut self.connection).poll(cx);
            match self.driver.poll(cx) {
                Err(ended) => return Poll::Ready(ended),
                Ok(_) if closed.is_ready() => return Poll::Ready(broken(closed)),
                Ok(Turn::Sent) => {}
                Ok(Turn::Idle) => break,
            }
        }
        if let Err(ended) = self.keep_alive.poll(cx) {
            return Poll::Ready(ended);
        }
        if self.expiry.as_mut().is_some_and(|expiry| expiry.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Ended::CertificateExpired);
        }
        self.idle.poll(cx);
        Poll::Pending
    }
}

fn broken(closed: Poll<Result<(), h2::Error>>) -> Ended {
    match closed {
        Poll::Ready(Err(error)) => Ended::Broken(error.to_string()),
        _ => Ended::Broken("it was closed".to_owned()),
    }
}

/// Closes a session that nobody used for a while.
struct Idle {
    session: Session,
    timer: Pin<Box<Sleep>>,
    period: Duration,
    used: u64,
}

impl Idle {
    fn poll(&mut self, cx: &mut Context<'_>) {
        while self.timer.as_mut().poll(cx).is_ready() {
            let used = self.session.used();
            if used == std::mem::replace(&mut self.used, used) && self.session.is_quiet() {
                self.session.leave("it was not used");
            }
            self.timer.as_mut().reset(Instant::now() + self.period);
        }
    }
}
