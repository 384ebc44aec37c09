//! From a connection's requests to the routes, which may not exist yet.

use std::{fmt, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::{Router, body::Body};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{Either, Full};
use p2p_client::{
    protocol::{ErrorCode, RpcError, envelope},
    wire::tls::{ChannelBinding, PeerIdentity},
};
use rustls_pki_types::CertificateDer;
use tower::ServiceExt;

use crate::limits::OverLimit;

use super::rest::{RequestBody, WireBody, keep_rest};

/// The way a request came in. In every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingress {
    /// Over TLS. A [`PeerIdentity`] in the extensions tells which node it is, if it is one.
    Tls,
    /// Over the node's own Unix socket: the operator.
    UnixSocket,
}

/// Where a request came from. In the extensions of requests that came over a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// The certificate that a node showed when its connection began, first, and those that came with it. In the extensions of its requests.
#[derive(Debug, Clone)]
pub(crate) struct ShownCertificate(pub(crate) Arc<[CertificateDer<'static>]>);

/// An answer's body: whole, or as the routes make it.
pub(crate) type AnswerBody = Either<Full<Bytes>, Body>;

/// Answers one kind of request without the router, for what is asked so often that routing would cost more than the answer.
///
/// It stands where the routes stand: the same limits lie before it, a panic in it costs its own request only.
pub(crate) trait Shortcut: Send + Sync + 'static {
    /// Whether it answers this request. All others go to the routes.
    fn takes(&self, request: &Request<RequestBody>) -> bool;

    /// Answers a request that it takes.
    fn answer<'a>(&'a self, origin: &'a Origin, request: Request<RequestBody>) -> BoxFuture<'a, Response<AnswerBody>>;
}

/// The routes that requests go to. Until there are any, requests get 503. Clones share the routes.
///
/// Every request carries its origin in its extensions: [`Ingress`] always; [`RemoteAddr`] from a network; a [`PeerIdentity`] from a
/// node; a [`ChannelBinding`] over TLS.
///
/// ```
/// use axum::{Router, routing::get};
/// use p2p_runtime::transport::HttpHandler;
///
/// let handler = HttpHandler::default(); // answers 503
/// handler.set(Router::new().route("/health", get(|| async { "well" })));
/// handler.clear(); // 503 again
/// ```
#[derive(Clone, Default)]
pub struct HttpHandler {
    routes: Arc<ArcSwapOption<Routes>>,
}

struct Routes {
    router: Router,
    shortcut: Option<Arc<dyn Shortcut>>,
}

impl HttpHandler {
    /// Sends requests to these routes from now on.
    pub fn set(&self, routes: Router) {
        self.routes.store(Some(Arc::new(Routes { router: routes, shortcut: None })));
    }

    /// The same, past a shortcut that answers some requests itself.
    pub(crate) fn set_with(&self, routes: Router, shortcut: Arc<dyn Shortcut>) {
        self.routes.store(Some(Arc::new(Routes { router: routes, shortcut: Some(shortcut) })));
    }

    /// Answers 503 from now on. What is running goes on.
    pub fn clear(&self) {
        self.routes.store(None);
    }

    /// Answers a request, once what nobody read of its body was [thrown away](super::rest). A handler that panics costs its own request only.
    pub(super) async fn answer(&self, origin: &Origin, request: Request<WireBody>) -> Response<AnswerBody> {
        let (request, rest) = keep_rest(request);
        let response = self.answer_unread(origin, request).await;
        // Whoever was too slow has had his time.
        if response.status() != StatusCode::REQUEST_TIMEOUT {
            rest.throw_away().await;
        }
        response
    }

    async fn answer_unread(&self, origin: &Origin, request: Request<RequestBody>) -> Response<AnswerBody> {
        let Some(routes) = self.routes.load_full() else {
            return unavailable().map(Either::Right);
        };
        match AssertUnwindSafe(routes.answer(origin, request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => {
                tracing::error!(remote = ?origin.remote, "a request handler panicked; this is a defect, please report it");
                let error = RpcError::new(ErrorCode::INTERNAL, "the request failed inside the node; its log tells more");
                error_response(StatusCode::INTERNAL_SERVER_ERROR, &error).map(Either::Right)
            }
        }
    }
}

impl Routes {
    /// Boxed either way, so that what hyper keeps of a request is small where the shortcut is taken.
    fn answer<'a>(&'a self, origin: &'a Origin, request: Request<RequestBody>) -> BoxFuture<'a, Response<AnswerBody>> {
        match &self.shortcut {
            Some(shortcut) if shortcut.takes(&request) => shortcut.answer(origin, request),
            _ => Box::pin(async move {
                let mut request = request.map(Body::new);
                origin.mark(&mut request);
                let Ok(response) = self.router.clone().oneshot(request).await;
                response.map(Either::Right)
            }),
        }
    }
}

impl fmt::Debug for HttpHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpHandler").field("ready", &self.routes.load().is_some()).finish()
    }
}

/// What is known of whoever is at the other end of a connection.
pub(crate) struct Origin {
    pub(crate) ingress: Ingress,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) peer: Option<PeerIdentity>,
    pub(super) shown: Option<ShownCertificate>,
    pub(super) binding: Option<ChannelBinding>,
}

impl Origin {
    fn mark(&self, request: &mut Request<Body>) {
        let extensions = request.extensions_mut();
        extensions.insert(self.ingress);
        if let Some(remote) = self.remote {
            extensions.insert(RemoteAddr(remote));
        }
        if let Some(peer) = &self.peer {
            extensions.insert(peer.clone());
        }
        if let Some(shown) = &self.shown {
            extensions.insert(shown.clone());
        }
        if let Some(binding) = &self.binding {
            extensions.insert(binding.clone());
        }
    }
}

/// The answer while the node starts or stops: 503, and when to try again.
pub(crate) fn unavailable() -> Response<Body> {
    let error = RpcError::new(ErrorCode::UNAVAILABLE, "this node is starting or stopping; try again in a second");
    let mut response = error_response(StatusCode::SERVICE_UNAVAILABLE, &error);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The answer to a caller that makes too many calls: 429 (RFC 6585, section 4), and when to come again.
pub(crate) fn over_limit(over: OverLimit) -> Response<Body> {
    let after = over.retry_after;
    let mut response = error_response(StatusCode::TOO_MANY_REQUESTS, &over.into());
    response.headers_mut().insert(RETRY_AFTER, retry_after(after));
    response
}

/// A wait in whole seconds, rounded up: a client that comes early is refused again.
pub(crate) fn retry_after(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0).max(u64::from(wait.is_zero())))
}

/// An HTTP error whose body is a JSON-RPC error response.
pub(crate) fn error_response(status: StatusCode, error: &RpcError) -> Response<Body> {
    let body = envelope::Response { id: None, outcome: Err(error) }.to_json();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
