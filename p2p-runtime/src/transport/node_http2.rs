//! One HTTP/2 connection of another node: its session, if it opens one, and its requests.
//!
//! Requests go to the same routes as everybody's. The session is driven by the very task that drives the connection, so that a batch of
//! calls is read, served and answered without waking anybody on the way.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::Bytes;
use futures::future::{self, select};
use h2::{
    RecvStream, SendStream,
    server::{Connection, SendResponse},
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body_util::{BodyExt, Either};
use hyper::body::{Body as _, Frame, SizeHint};
use p2p_client::{
    protocol::NodeId,
    wire::{
        net::BoxStream,
        session::{
            CALLS_HEADER, Driver, Ended, KeepAlive, LAST_WORDS, PATH, Serve, Session, SessionLimits, Turn, VERSION_HEADER,
            VERSIONS,
            connect::{CONNECTION_WINDOW, FRAME, SEND_BUFFER, STREAM_WINDOW, until},
        },
        tls::PeerIdentity,
    },
};
use tokio::time::{Sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    handler::{AnswerBody, HttpHandler, Origin},
    limits::ListenerLimits,
};

/// Takes the sessions that other nodes open.
pub trait SessionAcceptor: Send + Sync + 'static {
    /// What serves the calls of this peer, and within which bounds; `None` while no calls are taken.
    fn accept(&self, peer: &PeerIdentity) -> Option<(Arc<dyn Serve>, SessionLimits)>;

    /// A session was opened.
    fn opened(&self, session: &Session);
}

/// What a connection is served with.
pub(super) struct NodeConnection {
    pub(super) peer: PeerIdentity,
    pub(super) expires: Option<SystemTime>,
    pub(super) origin: Origin,
    pub(super) handler: HttpHandler,
    pub(super) sessions: Arc<dyn SessionAcceptor>,
}

/// Serves a connection until it ends, until its certificate does, or until its requests and its session are finished after `stop`.
pub(super) async fn serve_node(stream: BoxStream, node: NodeConnection, limits: &ListenerLimits, stop: CancellationToken) {
    let peer = node.peer.node_id.clone();
    // Boxed, so that nothing of how a connection begins and ends is kept while it lasts.
    let Some(connection) = Box::pin(begin(stream, &peer, limits)).await else { return };
    let mut serving = Box::new(Serving::new(connection, node, limits, stop));
    let ended = std::future::poll_fn(|cx| serving.poll(cx)).await;
    tracing::debug!(%peer, %ended, "connection of a node ended");
    Box::pin(serving.end(ended)).await;
}

/// The opening words of HTTP/2. Nothing where the client does not say its own in time.
async fn begin(stream: BoxStream, peer: &NodeId, limits: &ListenerLimits) -> Option<Connection<BoxStream, Bytes>> {
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_bytes)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_local_error_reset_streams(Some(limits.max_error_resets))
        .max_frame_size(FRAME)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(stream);
    match timeout(limits.header_timeout, handshake).await {
        Ok(Ok(connection)) => return Some(connection),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "HTTP/2 client left before it began"),
        Err(_) => tracing::debug!(%peer, "HTTP/2 client did not begin in time"),
    }
    None
}

struct Serving {
    connection: Connection<BoxStream, Bytes>,
    session: Option<(Session, Driver)>,
    keep_alive: KeepAlive,
    expiry: Option<Pin<Box<Sleep>>>,
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    origin: Arc<Origin>,
    peer: PeerIdentity,
    handler: HttpHandler,
    sessions: Arc<dyn SessionAcceptor>,
}

impl Serving {
    fn new(
        mut connection: Connection<BoxStream, Bytes>,
        node: NodeConnection,
        limits: &ListenerLimits,
        stop: CancellationToken,
    ) -> Self {
        let alive = SessionLimits {
            keep_alive: limits.keep_alive,
            keep_alive_timeout: limits.keep_alive_timeout,
            ..SessionLimits::default()
        };
        Self {
            keep_alive: KeepAlive::new(connection.ping_pong(), &alive),
            connection,
            session: None,
            expiry: node.expires.map(until),
            stop: Some(Box::pin(stop.cancelled_owned())),
            origin: Arc::new(node.origin),
            peer: node.peer,
            handler: node.handler,
            sessions: node.sessions,
        }
    }

    /// Tells those who wait for an answer, and the other end where it can still hear it.
    async fn end(mut self: Box<Self>, ended: Ended) {
        if let Some((_, mut driver)) = self.session.take() {
            driver.end_with(&ended);
        }
        if matches!(ended, Ended::Silent(_) | Ended::NotReading(_)) {
            return; // There is nobody to say it to.
        }
        let connection = &mut self.connection;
        connection.graceful_shutdown();
        let _flushed =
            timeout(LAST_WORDS, async { while connection.accept().await.is_some_and(|accepted| accepted.is_ok()) {} }).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.take(request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Ended::Broken(error.to_string())),
                Poll::Ready(None) => return Poll::Ready(Ended::Closed("nothing is open on it any more".to_owned())),
                Poll::Pending => {}
            }
            match self.session.as_mut().map(|(_, driver)| driver.poll(cx)) {
                Some(Err(ended)) => return Poll::Ready(ended),
                Some(Ok(Turn::Sent)) => {}
                Some(Ok(Turn::Idle)) | None => break,
            }
        }
        if let Err(ended) = self.keep_alive.poll(cx) {
            return Poll::Ready(ended);
        }
        if self.expiry.as_mut().is_some_and(|expiry| expiry.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Ended::CertificateExpired);
        }
        if self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            self.stop = None;
            self.connection.graceful_shutdown();
            if let Some((session, _)) = &self.session {
                session.leave("the node is stopping");
            }
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn take(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if request.method() == Method::POST && request.uri().path() == PATH {
            match self.open(&request) {
                Err(refused) => refuse(respond, refused),
                Ok((response, serve, limits, peer_calls)) => match respond.send_response(response, false) {
                    Ok(send) => {
                        let (session, driver) =
                            Session::new(self.peer.node_id.clone(), limits, peer_calls, serve, send, request.into_body());
                        self.sessions.opened(&session);
                        self.session = Some((session, driver));
                    }
                    Err(error) => tracing::debug!(peer = %self.peer, %error, "a session was given up while it was opened"),
                },
            }
            return;
        }
        let (handler, origin) = (self.handler.clone(), self.origin.clone());
        tokio::spawn(async move { answer(&handler, &origin, request, respond).await });
    }

    /// Agrees on a session, or says with which status it is refused.
    #[allow(clippy::type_complexity, reason = "the parts of a session, named where they are taken")]
    fn open(&self, request: &Request<RecvStream>) -> Result<(Response<()>, Arc<dyn Serve>, SessionLimits, u32), Refused> {
        if self.session.is_some() {
            return Err(Refused(StatusCode::CONFLICT, "there is a session on this connection already"));
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let offered = header(VERSION_HEADER).unwrap_or_default();
        let version =
            VERSIONS.into_iter().find(|version| offered.split(',').any(|offered| offered.trim().parse() == Ok(*version)));
        let Some(version) = version else {
            return Err(Refused(
                StatusCode::UPGRADE_REQUIRED,
                "none of the offered versions of the session protocol is spoken here",
            ));
        };
        let Some((serve, limits)) = self.sessions.accept(&self.peer) else {
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "the node is starting or stopping"));
        };
        let peer_calls = header(CALLS_HEADER).and_then(|calls| calls.parse().ok()).unwrap_or(1);
        let mut response = Response::new(());
        response.headers_mut().insert(VERSION_HEADER, version.into());
        response.headers_mut().insert(CALLS_HEADER, limits.max_calls.into());
        Ok((response, serve, limits, peer_calls))
    }
}

/// A session that is not opened: the status and the reason.
struct Refused(StatusCode, &'static str);

fn refuse(mut respond: SendResponse<Bytes>, Refused(status, reason): Refused) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response.headers_mut().insert("p2p-reason", HeaderValue::from_static(reason));
    // Whoever has gone meanwhile does not need it.
    let _told = respond.send_response(response, true);
}

/// Answers a request by the routes. It is given up when its client gives it up.
async fn answer(handler: &HttpHandler, origin: &Origin, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let request = request.map(|body| Either::Right(NodeBody(body)));
    let response = {
        let answering = pin!(handler.answer(origin, request));
        let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
        match select(answering, reset).await {
            future::Either::Left((response, _)) => response,
            future::Either::Right(_) => return,
        }
    };
    if let Err(error) = send(respond, response).await {
        tracing::debug!(%error, "a response could not be sent");
    }
}

async fn send(mut respond: SendResponse<Bytes>, response: Response<AnswerBody>) -> Result<(), h2::Error> {
    let (mut head, mut body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    let mut stream = respond.send_response(Response::from_parts(head, ()), body.is_end_stream())?;
    if body.is_end_stream() {
        return Ok(());
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
            return Ok(());
        };
        if let Ok(mut data) = frame.into_data() {
            let ends = body.is_end_stream();
            send_all(&mut stream, &mut data, ends).await?;
            if ends {
                return Ok(());
            }
        }
    }
    stream.send_data(Bytes::new(), true)
}

/// Sends as much at a time as the client takes.
async fn send_all(stream: &mut SendStream<Bytes>, data: &mut Bytes, ends: bool) -> Result<(), h2::Error> {
    loop {
        stream.reserve_capacity(data.len());
        let capacity = stream.capacity().min(data.len());
        if capacity > 0 || data.is_empty() {
            let piece = data.split_to(capacity);
            stream.send_data(piece, ends && data.is_empty())?;
        }
        if data.is_empty() {
            return Ok(());
        }
        match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(capacity) => capacity?,
            None => return Err(h2::Reason::CANCEL.into()),
        };
    }
}

/// A request's body as hyper's users read it.
pub(crate) struct NodeBody(RecvStream);

impl hyper::body::Body for NodeBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.0.poll_data(cx)) {
            Some(Ok(data)) => {
                // What is read makes room for more: the bounds of a body are its reader's.
                self.0.flow_control().release_capacity(data.len())?;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Takes no sessions.
#[cfg(test)]
pub(crate) struct NoSessions;

#[cfg(test)]
impl SessionAcceptor for NoSessions {
    fn accept(&self, _: &PeerIdentity) -> Option<(Arc<dyn Serve>, SessionLimits)> {
        None
    }
    fn opened(&self, _: &Session) {}
}

impl fmt::Debug for NodeConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConnection").field("peer", &self.peer).finish_non_exhaustive()
    }
}
