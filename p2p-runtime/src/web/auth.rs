//! Tokens for clients outside of the cluster: `GET /.well-known/jwks.json`, `POST /auth/token`, `POST /auth/revoke`.
//!
//! The two posts are those of OAuth 2.0 (RFC 6749, section 4.4, client credentials; RFC 7009, revocation), so that its libraries get tokens
//! here: a form or JSON comes in, and errors have the form of RFC 6749, section 5.2. A coordinator makes tokens for its own clients, and asks
//! the coordinator that keeps a credential for others. A worker takes no secrets: it says where to go.

mod body;
mod error;
mod revoke;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use p2p_client::{
    protocol::{CallerId, Role, Scopes},
    wire::http::RequestLimits,
};
use serde::Serialize;

use crate::{
    identity::client_token::{ClientId, IssuedToken, Proof, TokenAuthority},
    transport::over_limit,
};

pub(super) use self::revoke::revoke;
use self::{
    body::{TokenGrant, read},
    error::AuthError,
};

use super::{requester::Requester, state::WebState};

/// Where tokens are made.
pub(super) const TOKEN_PATH: &str = "/auth/token";
/// Where they are taken back.
pub(super) const REVOKE_PATH: &str = "/auth/revoke";
/// How long the coordinator that keeps a credential may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keys by which tokens of this cluster are known, those of every coordinator.
pub(super) async fn jwks(State(state): State<Arc<WebState>>) -> impl IntoResponse {
    let verifier = &state.tokens.verifier;
    let headers = [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, verifier.jwks().to_string())
}

/// A token, as RFC 6749, section 5.1, has it.
#[derive(Serialize)]
struct TokenReply<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    /// Its id, by which an operator can revoke it.
    token_id: &'a str,
}

pub(super) async fn token(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    request: Request,
) -> Result<Response, AuthError> {
    let grant = read(request, &state, TokenGrant::from_body).await?;
    grant.check_type()?;
    let outcome = match &grant.client_id {
        Some(client) => by_secret(&state, &requester, client, &grant).await,
        None => by_certificate(&state, &requester, &grant),
    };
    outcome.inspect_err(|refused| {
        if refused.is_denial() {
            state.cx.audit().denied(requester.subject(TOKEN_PATH), Some(refused));
        }
    })
}

/// For a client, which shows its secret.
async fn by_secret(state: &WebState, requester: &Requester, client: &str, grant: &TokenGrant) -> Result<Response, AuthError> {
    let secret = grant.secret().ok_or_else(|| AuthError::invalid_request("client_id comes without client_secret"))?;
    let Some(authority) = &state.tokens.authority else { return Err(elsewhere(state)) };
    // A worker passes no secrets on: it asks for itself, and its calls have next to no limit.
    if let Some(worker) = requester.peer().filter(|_| !requester.is_coordinator())
        && let Err(over) = state.config.limits().draw_credentials(worker)
    {
        return Ok(over_limit(over));
    }
    let id = ClientId::parse(client, state.cx.node_id())?;
    if id.keeper != *state.cx.node_id() {
        return ask_keeper(state, requester, &id, grant).await;
    }
    issue(state, requester, authority, &Proof::Secret(id.name, secret), grant)
}

/// For a node, by the certificate that it came with.
fn by_certificate(state: &WebState, requester: &Requester, grant: &TokenGrant) -> Result<Response, AuthError> {
    let CallerId::Node { id, .. } = &requester.caller else { return Err(AuthError::no_proof()) };
    let Some(authority) = &state.tokens.authority else { return Err(elsewhere(state)) };
    if let Err(over) = state.config.limits().draw_credentials(id) {
        return Ok(over_limit(over));
    }
    issue(state, requester, authority, &Proof::Certificate(id.clone()), grant)
}

fn issue(
    state: &WebState,
    requester: &Requester,
    authority: &TokenAuthority,
    proof: &Proof,
    grant: &TokenGrant,
) -> Result<Response, AuthError> {
    let scopes: Option<Scopes> = grant.scope.as_deref().map(str::parse).transpose()?;
    let issued = authority.issue(proof, scopes, grant.ttl_seconds.map(Duration::from_secs))?;
    let told = format!("id {}, good for {} s, scopes {:?}", issued.id, issued.good_for.as_secs(), issued.scopes.to_string());
    state.cx.audit().done::<AuthError>(requester.subject("token issue").to(&issued.client), Ok(&told));
    Ok(reply(&issued))
}

fn reply(issued: &IssuedToken) -> Response {
    let reply = TokenReply {
        access_token: issued.token.reveal(),
        token_type: "Bearer",
        expires_in: issued.good_for.as_secs(),
        scope: issued.scopes.to_string(),
        token_id: issued.id.as_str(),
    };
    not_kept(Json(reply).into_response())
}

/// Nobody on the way is to keep it.
fn not_kept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Asks the coordinator that keeps the credential. Only coordinators do, and for callers from outside only: nothing goes in circles.
async fn ask_keeper(state: &WebState, requester: &Requester, id: &ClientId, grant: &TokenGrant) -> Result<Response, AuthError> {
    let unknown = || AuthError::invalid_client(&format!("there is no coordinator {} in this cluster", id.keeper));
    let members = state.cx.membership().ok_or_else(unknown)?.members();
    let (info, keeper) = members.peer(&id.keeper).filter(|(info, _)| info.role == Role::Coordinator).ok_or_else(unknown)?;
    if requester.is_from_node() {
        return Err(AuthError::invalid_client(&format!("node {} does not keep the credential of {id}", state.cx.node_id())));
    }
    let away = || {
        AuthError::unavailable(&format!(
            "coordinator {}, which keeps the credential of {id}, cannot be reached; try again later",
            id.keeper
        ))
    };
    if !info.is_callable() {
        return Err(away());
    }
    let request =
        http::Request::post(TOKEN_PATH).header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(grant.to_json()?)));
    let request = request.map_err(|error| AuthError::invalid_request(&error.to_string()))?;
    let answer = state.pool.request(keeper, request, RequestLimits::within(PATIENCE)).await.map_err(|_| away())?;
    Ok(passed_on(answer))
}

/// What another coordinator answered.
fn passed_on(answer: http::Response<Bytes>) -> Response {
    let (head, body) = answer.into_parts();
    let mut response = Response::new(axum::body::Body::from(body));
    *response.status_mut() = head.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    not_kept(response)
}

/// A worker makes no tokens, and is not to see secrets: where to go instead.
fn elsewhere(state: &WebState) -> AuthError {
    let members = state.cx.membership().map(crate::network::Membership::members);
    let coordinators: Vec<_> =
        members.iter().flat_map(|members| members.by_role(Role::Coordinator)).map(|info| info.url()).collect();
    let at = if coordinators.is_empty() { "none can be reached now".to_owned() } else { coordinators.join(", ") };
    AuthError::new(
        StatusCode::MISDIRECTED_REQUEST,
        "invalid_request",
        &format!("this node makes no tokens; ask a coordinator: {at}"),
    )
}
