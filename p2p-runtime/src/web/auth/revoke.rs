//! `POST /auth/revoke` (RFC 7009): takes a token back. Whoever has a token may. (By its id alone an operator does: `p2p client revoke`.)

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use p2p_client::{
    protocol::{Role, UnixMillis},
    wire::http::RequestLimits,
};
use serde_json::json;

use super::{
    AuthError, PATIENCE, REVOKE_PATH,
    body::{Members, read},
    not_kept, passed_on,
};
use crate::{
    identity::{BearerRefused, GrantRefused, RevokeError, client_token::BearerToken},
    transport::over_limit,
    web::{WebState, requester::Requester},
};

/// How much longer a token is remembered than it is good, in milliseconds: clocks may differ.
const LONGER: u64 = 120_000;

fn token_of(_: &HeaderMap, mut members: Members) -> Result<BearerToken, AuthError> {
    let token =
        members.take("token").ok_or_else(|| AuthError::invalid_request("send the token that is to be revoked: token=eyJ…"))?;
    Ok(BearerToken::new(token))
}

pub(in crate::web) async fn revoke(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    request: Request,
) -> Result<Response, AuthError> {
    let token = read(request, &state, token_of).await?;
    let verifier = &state.tokens.verifier;
    let good = match verifier.verify(&token, requester.peer()) {
        Ok(good) => good,
        // It is good no longer in any case.
        Err(BearerRefused::Expired { .. } | BearerRefused::Revoked) => return Ok(done()),
        // RFC 7009 would have this be a success, too; but whoever pasted half a token is to know that the whole one still works.
        Err(refused) => {
            state.cx.audit().denied(requester.subject(REVOKE_PATH), Some(&refused));
            return Err(AuthError::invalid_request(&refused.to_string()));
        }
    };
    if state.tokens.authority.is_none() {
        // A node knows where coordinators are.
        return if requester.is_from_node() { Err(elsewhere()) } else { ask_coordinator(&state, &token).await };
    }
    if let Some(node) = &good.bound
        && let Err(over) = state.config.limits().draw_credentials(node)
    {
        return Ok(over_limit(over));
    }
    let until = UnixMillis(good.expires.0.saturating_add(LONGER));
    let kept = verifier.revoked().revoke(good.id.as_str(), until).await;
    let whom = format!("{} of {}", good.id, good.client.name);
    let subject = requester.subject("token revoke").to(&whom);
    match &kept {
        // That can be tried again and again, with one token.
        Err(error @ GrantRefused::Revoke(RevokeError::SingleTokens { .. } | RevokeError::Full(_))) => {
            state.cx.audit().denied(subject, Some(error));
        }
        other => state.cx.audit().done(subject, other.as_ref().map(|()| "")),
    }
    match kept {
        Ok(()) => Ok(done()),
        Err(GrantRefused::Revoke(error @ (RevokeError::SingleTokens { .. } | RevokeError::Full(_)))) => {
            let text = format!("{error}; the token is that of {}", good.client.name);
            Err(AuthError::new(StatusCode::CONFLICT, "invalid_request", &text))
        }
        Err(error) => {
            tracing::error!(%error, "a revocation could not be kept");
            Err(AuthError::unavailable("the node could not keep the revocation, and the token still works; its log tells more"))
        }
    }
}

/// Coordinators revoke; a worker asks one.
async fn ask_coordinator(state: &WebState, token: &BearerToken) -> Result<Response, AuthError> {
    let members = state.cx.membership().map(crate::network::Membership::members);
    let coordinators = members.iter().flat_map(|members| members.peers());
    for (_, peer) in coordinators.filter(|(info, _)| info.role == Role::Coordinator && info.is_callable()) {
        let body = json!({ "token": token.reveal() }).to_string();
        let request =
            http::Request::post(REVOKE_PATH).header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| AuthError::invalid_request(&error.to_string()))?;
        // To revoke twice is as good as once. One that cannot now leaves it to the next.
        match state.pool.request(peer, request, RequestLimits::within(PATIENCE)).await {
            Ok(answer) if !answer.status().is_server_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS => {
                return Ok(passed_on(answer));
            }
            _ => {}
        }
    }
    Err(AuthError::unavailable("no coordinator can be reached, and the token still works; try again later"))
}

/// A worker signs no revocations, and passes on what comes from outside only.
fn elsewhere() -> AuthError {
    AuthError::unavailable(
        "this node is a worker, and coordinators revoke: send it to one of them; `p2p nodes` shows which nodes are",
    )
}

fn done() -> Response {
    not_kept(Json(json!({ "revoked": true })).into_response())
}
