//! Who sent a request: read from what the transport has verified, and from nothing else.

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, request::Parts};
use p2p_client::{
    protocol::{Access, CallerId, ErrorCode, RpcError},
    wire::tls::PeerIdentity,
};

use crate::transport::{Ingress, Origin};

use super::headers;

/// Who sent a request, and how.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    /// Who asks.
    pub(crate) caller: CallerId,
    /// Whether the other end of the connection is a node, in whoever's name it speaks.
    pub(crate) from_node: bool,
}

impl<S: Sync> FromRequestParts<S> for Requester {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        // Found out once, where the request was drawn from its budget.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let peer = parts.extensions.get::<PeerIdentity>();
        let ingress = parts.extensions.get::<Ingress>().copied();
        Ok(Self::new(ingress, peer, &parts.headers))
    }
}

impl Requester {
    /// Who sent a request that came in so, with these headers.
    pub(crate) fn of(origin: &Origin, headers: &HeaderMap) -> Self {
        Self::new(Some(origin.ingress), origin.peer.as_ref(), headers)
    }

    fn new(ingress: Option<Ingress>, peer: Option<&PeerIdentity>, headers: &HeaderMap) -> Self {
        let caller = match (ingress, peer) {
            (Some(Ingress::UnixSocket), _) => CallerId::Operator,
            // A forwarder's certificate lends nothing to a caller without a name.
            (_, Some(_)) if headers::is_anonymous(headers) => CallerId::Anonymous,
            (_, Some(peer)) => CallerId::Node { id: peer.node_id.clone(), role: peer.role },
            (_, None) => CallerId::Anonymous,
        };
        Self { caller, from_node: peer.is_some() }
    }

    /// Refuses a request for a document that is not for this requester.
    pub(crate) fn may_read(&self, access: &Access, route: &str) -> Result<(), Refusal> {
        access.check(&self.caller, route).map_err(|denied| {
            tracing::warn!(target: "p2p::audit", caller = %self.caller, route, "denied");
            Refusal(StatusCode::FORBIDDEN, denied.into())
        })
    }

    /// Refuses everyone but the operator on the node's own socket.
    pub(crate) fn must_be_operator(&self, route: &str) -> Result<(), Refusal> {
        if self.caller == CallerId::Operator {
            return Ok(());
        }
        tracing::warn!(target: "p2p::audit", caller = %self.caller, route, "denied");
        let text = format!("{} may not use {route}: it is for the operator, on the node's own socket", self.caller);
        Err(Refusal(StatusCode::FORBIDDEN, RpcError::new(ErrorCode::DENIED, text)))
    }
}

/// A request that is refused: the status, and an error object as body.
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) RpcError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, axum::Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}
