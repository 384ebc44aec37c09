//! `POST /auth/revoke` (RFC 7009): takes a token back. Whoever has a token may; the operator of a node may by its id alone.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use p2p_client::protocol::{CallerId, UnixMillis};
use serde_json::json;

use super::{
    AuthError,
    body::{Members, read},
    not_kept,
};
use crate::{
    identity::{
        BearerRefused, MAX_TTL,
        client_token::{BearerToken, TokenId},
    },
    web::{WebState, requester::Requester},
};

/// Where tokens are taken back.
const REVOKE_PATH: &str = "/auth/revoke";
/// How much longer a token is remembered than it is good, in milliseconds: clocks may differ.
const LONGER: u64 = 120_000;

/// What is to be revoked.
enum Which {
    Token(BearerToken),
    Id(String),
}

impl Which {
    fn from_body(_: &HeaderMap, mut members: Members) -> Result<Self, AuthError> {
        match (members.take("token"), members.take("token_id")) {
            (Some(token), None) => Ok(Self::Token(BearerToken::new(token))),
            (None, Some(id)) => Ok(Self::Id(id)),
            _ => Err(AuthError::invalid_request("send the token that is to be revoked: token=eyJ…")),
        }
    }
}

pub(in crate::web) async fn revoke(State(state): State<Arc<WebState>>, requester: Requester, request: Request) -> Result<Response, AuthError> {
    let which = read(request, &state, Which::from_body).await?;
    let found = match which {
        Which::Token(token) => of_token(&state, &requester, &token)?,
        Which::Id(id) => Some(of_operator(&state, &requester, &id)?),
    };
    let Some((id, until)) = found else { return Ok(done()) };
    let now = state.tokens.verifier.now();
    let kept = state.tokens.verifier.revoked().revoke(id.as_str(), until, now).await;
    let what = format!("token revoke {id}");
    state.cx.audit().done(requester.subject(&what), kept.as_ref().map(|()| ""));
    match kept {
        Ok(()) => Ok(done()),
        Err(error) => {
            tracing::error!(%error, "a revocation could not be kept");
            Err(AuthError::unavailable("the node could not keep the revocation; the token still works. Its log tells more"))
        }
    }
}

/// The token's id and until when it is to be remembered; `None` where it is good no longer in any case.
fn of_token(state: &WebState, requester: &Requester, token: &BearerToken) -> Result<Option<(TokenId, UnixMillis)>, AuthError> {
    match state.tokens.verifier.verify(token, requester.peer()) {
        Ok(verified) => Ok(Some((verified.id, UnixMillis(verified.expires.0.saturating_add(LONGER))))),
        Err(BearerRefused::Expired { .. } | BearerRefused::Revoked) => Ok(None),
        // RFC 7009 would have this be a success, too; but whoever pasted half a token is to know that it still works.
        Err(refused) => {
            state.cx.audit().denied(requester.subject(REVOKE_PATH), Some(&refused));
            Err(AuthError::invalid_request(&refused.to_string()))
        }
    }
}

fn of_operator(state: &WebState, requester: &Requester, id: &str) -> Result<(TokenId, UnixMillis), AuthError> {
    if requester.caller != CallerId::Operator {
        state.cx.audit().denied(requester.subject(REVOKE_PATH), None);
        let text = "by its id a token is revoked by the operator, on the node's own socket; send the token itself";
        return Err(AuthError::new(StatusCode::FORBIDDEN, "unauthorized_client", text));
    }
    let id: TokenId = id.parse().map_err(|error: crate::identity::client_token::InvalidTokenId| AuthError::invalid_request(&error.to_string()))?;
    let longest = u64::try_from(MAX_TTL.as_millis()).unwrap_or(u64::MAX).saturating_add(LONGER);
    Ok((id, UnixMillis(state.tokens.verifier.now().0.saturating_add(longest))))
}

fn done() -> Response {
    not_kept(Json(json!({ "revoked": true })).into_response())
}
