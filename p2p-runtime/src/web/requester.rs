//! Who sent a request: read from what the transport has verified, and from a token that this node verifies itself.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
    request::Parts,
};
use p2p_client::{
    protocol::{Access, CallerId, ErrorCode, NodeId, Role, RpcError},
    service::Trace,
    wire::tls::PeerIdentity,
};

use crate::{
    audit::{Subject, Whence},
    identity::{
        BearerRefused,
        client_token::{BearerToken, Standing},
    },
    transport::{Ingress, Origin, RemoteAddr, error_response},
};

use super::{
    headers::{self, CallHeaders},
    state::WebState,
};

/// Why all others are refused what an operator does.
const FOR_THE_OPERATOR: &str = "it is for the operator, on the node's own socket";

/// Who sent a request, and how.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    /// Who asks.
    pub(crate) caller: CallerId,
    /// The token by which a client was verified.
    pub(crate) token: Option<BearerToken>,
    /// By which it is seen whether that is still good.
    pub(crate) standing: Option<Standing>,
    /// Where the request came from.
    pub(crate) from: Whence,
    /// The trace that it belongs to, where it is a call and its headers are read, or a document.
    pub(crate) trace: Option<Trace>,
}

impl FromRequestParts<Arc<WebState>> for Requester {
    type Rejection = BadToken;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<WebState>) -> Result<Self, Self::Rejection> {
        // Found out once, where the request was drawn from its budget.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let peer = parts.extensions.get::<PeerIdentity>();
        let remote = parts.extensions.get::<RemoteAddr>().map(|remote| remote.0);
        let ingress = parts.extensions.get::<Ingress>().copied();
        let mut this = Self::new(state, ingress, remote, peer, &parts.headers, parts.uri.path())?;
        this.trace = CallHeaders::of(&parts.headers).trace();
        Ok(this)
    }
}

impl Requester {
    /// Who sent a request that came in so, with these headers.
    ///
    /// # Errors
    /// [`BadToken`]: whoever shows a token that is not good is not served as if he had shown none.
    pub(crate) fn of(state: &WebState, origin: &Origin, headers: &HeaderMap, path: &str) -> Result<Self, BadToken> {
        Self::new(state, Some(origin.ingress), origin.remote, origin.peer.as_ref(), headers, path)
    }

    fn new(
        state: &WebState,
        ingress: Option<Ingress>,
        remote: Option<SocketAddr>,
        peer: Option<&PeerIdentity>,
        headers: &HeaderMap,
        path: &str,
    ) -> Result<Self, BadToken> {
        let from = match (ingress, peer, remote) {
            (Some(Ingress::UnixSocket), ..) => Whence::Socket,
            (_, Some(peer), _) => Whence::Node(peer.node_id.clone()),
            // Whom a trusted proxy speaks for, where there is one.
            (_, None, Some(remote)) => Whence::Address(state.config.live().proxies.client(remote.ip(), headers)),
            (_, None, None) => Whence::Network,
        };
        let caller = match (ingress, peer) {
            (Some(Ingress::UnixSocket), _) => CallerId::Operator,
            // A forwarder's certificate lends nothing to a caller without a name.
            (_, Some(_)) if headers::is_anonymous(headers) => CallerId::Anonymous,
            (_, Some(peer)) => CallerId::Node { id: peer.node_id.clone(), role: peer.role },
            (_, None) => CallerId::Anonymous,
        };
        let mut this = Self { caller, token: None, standing: None, from, trace: None };
        // What is shown there belongs to the exchange itself.
        if headers.contains_key(AUTHORIZATION)
            && !path.starts_with("/auth/")
            && let Err(why) = this.show_token(state, headers)
        {
            (this.caller, this.trace) = (CallerId::Anonymous, CallHeaders::of(headers).trace());
            return Err(BadToken { why, who: Box::new(this), what: path.to_owned() });
        }
        Ok(this)
    }

    /// A token names the caller, whatever else could: neither a certificate nor the socket lends it anything.
    fn show_token(&mut self, state: &WebState, headers: &HeaderMap) -> Result<(), BearerRefused> {
        if let Some(token) = BearerToken::of(headers)? {
            let verified = state.tokens.verifier.verify(&token, self.peer())?;
            self.standing = Some(verified.standing());
            (self.caller, self.token) = (CallerId::Client(verified.client), Some(token));
        }
        Ok(())
    }

    /// The node at the other end of the connection, in whoever's name it speaks.
    pub(crate) fn peer(&self) -> Option<&NodeId> {
        self.from.node()
    }

    /// Whether there is a node at the other end.
    pub(crate) fn is_from_node(&self) -> bool {
        self.peer().is_some()
    }

    /// Whether a coordinator speaks in its own name: by its certificate, so that it is one also where this node has not heard of it.
    pub(crate) fn is_coordinator(&self) -> bool {
        matches!(self.caller, CallerId::Node { role: Role::Coordinator, .. })
    }

    /// This request, as the audit log tells of it.
    pub(crate) fn subject<'a>(&'a self, what: &'a str) -> Subject<'a> {
        Subject { who: &self.caller, what, whom: None, from: &self.from, trace: self.trace, origin: None }
    }

    /// Refuses a request for a document that is not for this requester.
    pub(crate) fn may_read(&self, state: &WebState, access: &Access, route: &str) -> Result<(), Refusal> {
        access.check(&self.caller, route).map_err(|denied| {
            state.cx.audit().denied(self.subject(route), Some(&denied.reason()));
            Refusal(StatusCode::FORBIDDEN, denied.into())
        })
    }

    /// Refuses everyone but the operator on the node's own socket.
    pub(crate) fn must_be_operator(&self, state: &WebState, route: &str) -> Result<(), Refusal> {
        if self.caller == CallerId::Operator {
            return Ok(());
        }
        state.cx.audit().denied(self.subject(route), Some(&FOR_THE_OPERATOR));
        let text = format!("{} may not use {route}: {FOR_THE_OPERATOR}", self.caller);
        Err(Refusal(StatusCode::FORBIDDEN, RpcError::new(ErrorCode::DENIED, text)))
    }
}

/// A token that is not good.
pub(crate) struct BadToken {
    why: BearerRefused,
    /// Who showed it, as one without a name.
    who: Box<Requester>,
    what: String,
}

impl BadToken {
    /// Who showed it: one without a name.
    pub(crate) fn who(&self) -> &Requester {
        &self.who
    }

    /// The answer to it, of which the audit log is told. For those who had a call left: a flood of bad tokens is not to fill the log.
    pub(crate) fn told(self, state: &WebState) -> Response {
        state.cx.audit().denied(self.who.subject(&self.what), Some(&self.why));
        self.into_response()
    }
}

impl IntoResponse for BadToken {
    /// RFC 6750, section 3: 401, and a JSON-RPC error.
    fn into_response(self) -> Response {
        let error = RpcError::new(ErrorCode::DENIED, self.why.to_string());
        let mut response = error_response(StatusCode::UNAUTHORIZED, &error);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        response
    }
}

/// A request that is refused: the status, and an error object as body.
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) RpcError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, axum::Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}
