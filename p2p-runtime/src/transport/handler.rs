//! From a connection's requests to the routes, which may not exist yet.

use std::{convert::Infallible, fmt, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use arc_swap::ArcSwapOption;
use axum::{Router, body::Body};
use futures::FutureExt;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use p2p_client::{
    protocol::{ErrorCode, RpcError, envelope},
    wire::tls::{ChannelBinding, PeerIdentity},
};
use tower::ServiceExt;

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
    routes: Arc<ArcSwapOption<Router>>,
}

impl HttpHandler {
    /// Sends requests to these routes from now on.
    pub fn set(&self, routes: Router) {
        self.routes.store(Some(Arc::new(routes)));
    }

    /// Answers 503 from now on. What is running goes on.
    pub fn clear(&self) {
        self.routes.store(None);
    }

    /// Answers a request. A handler that panics costs its own request only.
    pub(super) async fn answer(&self, origin: &Origin, mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let Some(routes) = self.routes.load_full() else {
            return Ok(unavailable());
        };
        origin.mark(&mut request);
        let answer = async { routes.as_ref().clone().oneshot(request).await };
        Ok(match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(impossible)) => match impossible {},
            Err(_) => {
                tracing::error!(remote = ?origin.remote, "a request handler panicked; this is a defect, please report it");
                let error = RpcError::new(ErrorCode::INTERNAL, "the request failed inside the node; its log tells more");
                error_response(StatusCode::INTERNAL_SERVER_ERROR, &error)
            }
        })
    }
}

impl fmt::Debug for HttpHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpHandler").field("ready", &self.routes.load().is_some()).finish()
    }
}

/// What is known of whoever is at the other end of a connection.
pub(super) struct Origin {
    pub(super) ingress: Ingress,
    pub(super) remote: Option<SocketAddr>,
    pub(super) peer: Option<PeerIdentity>,
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

/// An HTTP error whose body is a JSON-RPC error response.
pub(crate) fn error_response(status: StatusCode, error: &RpcError) -> Response<Body> {
    let mut body = Vec::new();
    envelope::Response { id: None, outcome: Err(error) }.write(&mut body);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
