//! `POST /internal/session` by whoever cannot have one. To a node over HTTP/2 the transport opens its session, and nothing of it comes here.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode};
use p2p_client::{
    protocol::{CallerId, ErrorCode, RpcError},
    wire::session::PATH,
};

use crate::transport::ShownCertificate;

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

const NO_CERTIFICATE: &str = "no certificate is shown";

/// Says why there is no session, and tells the audit log of who is no node.
pub(super) async fn refuse(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
) -> Response {
    // Whoever gives its name up, or speaks for a client, is lent nothing by the certificate of the connection.
    if shown.is_some() && matches!(requester.caller, CallerId::Node { .. }) {
        let text = "a session is two streams of HTTP/2; agree on h2 in the handshake, and ask again";
        return refused(
            StatusCode::UPGRADE_REQUIRED,
            "it was asked for over HTTP/1.1",
            RpcError::new(ErrorCode::INVALID_REQUEST, text),
        );
    }
    state.cx.audit().denied(requester.subject(PATH), Some(&NO_CERTIFICATE));
    let text = format!(
        "{} may not use {PATH}: it is for nodes, each by the certificate that it shows; others call by POST /rpc",
        requester.caller
    );
    refused(StatusCode::FORBIDDEN, NO_CERTIFICATE, RpcError::new(ErrorCode::DENIED, text))
}

/// With the reason where those look for it who open sessions.
fn refused(status: StatusCode, reason: &'static str, error: RpcError) -> Response {
    let mut response = Refusal(status, error).into_response();
    response.headers_mut().insert("p2p-reason", HeaderValue::from_static(reason));
    response
}
