//! Administration by the operator, over the node's own socket: tokens, leaving, stopping.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use p2p_client::protocol::{ErrorCode, NodeId, Role, RpcError};
use serde::{Deserialize, Serialize};

use crate::{
    audit::JOIN_TOKEN_CREATE,
    identity::{AllowedNetworks, Approval, Refused, TokenOptions},
};

use super::{
    requester::{Refusal, Requester},
    rpc::{BodyLimits, read_body_within},
    state::WebState,
};

/// The largest request for a token, in bytes.
const MAX_REQUEST: usize = 16 * 1024;

/// `POST /admin/token`: what the token is to allow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The role of the node that joins with it.
    pub role: Role,
    /// How long it is good, in seconds.
    pub ttl_seconds: u64,
    /// For how many nodes it is good.
    pub uses: NonZeroU32,
    /// The only node id that it is good for.
    #[serde(default)]
    pub node_id: Option<NodeId>,
    /// Whether an operator approves each of them; not unless said.
    #[serde(default)]
    pub approval: Approval,
    /// Where it may be used; anywhere unless said. What says nothing of it can be read by a coordinator of an earlier version, which makes no
    /// token where something is said.
    #[serde(default, skip_serializing_if = "AllowedNetworks::is_anywhere")]
    pub networks: AllowedNetworks,
}

/// The answer: the token itself, which is shown once and kept nowhere.
#[derive(Serialize, Deserialize)]
pub struct TokenReply {
    /// The token.
    pub token: String,
    /// Where to join with it.
    pub authority: String,
}

/// `POST /admin/leave`: the node that left.
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaveReply {
    /// Which one.
    pub node_id: NodeId,
}

pub(super) async fn create_token(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    request: Request,
) -> Result<Response, Refusal> {
    requester.must_be_operator(&state, "/admin/token")?;
    let Some(issuer) = &state.issuer else {
        let text = "this node issues no tokens; run `p2p token create` on a coordinator";
        state.cx.audit().done(requester.subject(JOIN_TOKEN_CREATE), Err(&text));
        return Err(Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, text)));
    };
    let limits = BodyLimits { max: MAX_REQUEST, ..state.config.live().body_limits };
    let body = match read_body_within(request.into_body(), limits).await {
        Ok(body) => body,
        Err(error) => return Ok(error.into_response()),
    };
    let request: TokenRequest = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
    let options = TokenOptions::from(request);
    let told = options.in_audit();
    let made = issuer.create_token(options).await;
    let id = made.as_ref().map(|token| token.id().to_string()).unwrap_or_default();
    state.cx.audit().done(requester.subject(JOIN_TOKEN_CREATE).to(&id), made.as_ref().map(|_| &*told));
    let token = made.map_err(internal)?;
    let me = state.cx.membership().and_then(|membership| membership.members().get(state.cx.node_id()).cloned());
    let authority = me.map(|me| me.authority()).unwrap_or_default();
    Ok(Json(TokenReply { token: token.reveal().to_string(), authority }).into_response())
}

fn unreadable(error: &serde_json::Error) -> Refusal {
    let text = format!(
        "the body asks for no token ({error}); it looks like {{\"role\": \"worker\", \"ttl_seconds\": 3600, \"uses\": 1}}"
    );
    Refusal(StatusCode::BAD_REQUEST, RpcError::new(ErrorCode::INVALID_REQUEST, text))
}

impl From<TokenRequest> for TokenOptions {
    fn from(request: TokenRequest) -> Self {
        let TokenRequest { role, ttl_seconds, uses, node_id, approval, networks } = request;
        Self { role, uses, ttl: Duration::from_secs(ttl_seconds), node_id, approval, networks }
    }
}

/// Answers first, and leaves then: the answer travels over the node that goes.
pub(super) async fn leave(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<LeaveReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/leave")?;
    state.cx.audit().done::<Refused>(requester.subject("leave"), Ok(""));
    state.leave.cancel();
    Ok(Json(LeaveReply { node_id: state.cx.node_id().clone() }))
}

pub(super) async fn stop(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<LeaveReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/stop")?;
    state.cx.audit().done::<Refused>(requester.subject("stop"), Ok(""));
    state.cx.shut_down();
    Ok(Json(LeaveReply { node_id: state.cx.node_id().clone() }))
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, RpcError::new(ErrorCode::INTERNAL, error.to_string()))
}
