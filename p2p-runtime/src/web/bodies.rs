//! Results that were too large for a session, fetched by the node that asked for them.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use p2p_client::protocol::{Access, CallerId, ErrorCode, RpcError};

use crate::transport::error_response;

use super::{BODY_PATH, requester::Requester, state::WebState};

/// `GET /internal/session/body/{ticket}`: gives the result out, once, to the peer of the session on which it was announced. Who is no node is told
/// so, and is told of in the audit log.
pub(super) async fn fetch(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Path(ticket): Path<u64>,
) -> Result<Response<Body>, Response<Body>> {
    requester.may_read(&state, &Access::Nodes, BODY_PATH).map_err(IntoResponse::into_response)?;
    let parked = match &requester.caller {
        CallerId::Node { id, .. } => state.sessions.fetch(id, ticket),
        _ => None,
    };
    let body = parked.ok_or_else(|| {
        let text = "no result of yours waits under this ticket; it was fetched already, or its time is over";
        error_response(StatusCode::NOT_FOUND, &RpcError::new(ErrorCode::INVALID_REQUEST, text))
    })?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
