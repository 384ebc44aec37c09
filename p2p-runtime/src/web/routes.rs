//! The table of routes.
//!
//! | route | for |
//! |---|---|
//! | `POST /rpc`, `POST /rpc/{service}/{method}` | anyone; each method says whom it is for |
//! | `GET /health` | anyone |
//! | `GET /.well-known/jwks.json` | anyone |
//! | `POST /auth/token`, `POST /auth/revoke` | anyone: who asks proves itself there |
//! | `GET /services`, `GET /cluster/nodes` | as the configuration says; otherwise nodes, operators and clients with a token |
//! | `GET /openapi.json`, `GET /openapi-3.0.json`, `GET /openrpc.json` | the same |
//! | `GET /internal/descriptor/{service}`, `GET /internal/pending/{node}` | nodes |
//! | `GET /internal/ca-cert`, `POST /internal/cert-request` | anyone: joining proves itself |
//! | `POST /internal/cert-renew` | nodes, each for itself |
//! | `POST /internal/ca/authority`, `POST /internal/ca/root`, `GET /internal/ca/token/{id}` | coordinators, by their certificates |
//! | `GET /internal/session/body/{ticket}` | the node whose call the result answers |
//! | `/admin/…` | the operator, on the node's own socket |

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{any, get, post},
};

use p2p_client::protocol::Access;

use crate::{
    config::HttpAccess,
    identity::{renewal, rotation},
    transport::unavailable,
};

use super::{
    BODY_PATH, DESCRIPTOR_PATH, admin, approvals, auth, bodies, ca, calls, catalogue, certificate, clients, configuration,
    documents, elsewhere, joining, limiting, policy,
    requester::{Refusal, Requester},
    revoking,
    state::WebState,
    store,
};

/// Whom a route is for.
pub(super) enum RouteFor<'a> {
    /// As methods say it.
    Access(&'a Access),
    /// The operator, on the node's own socket.
    Operator,
}

/// The table above, of one route: by its path, without a query.
pub(super) fn route_for<'a>(path: &str, access: &'a HttpAccess) -> Option<RouteFor<'a>> {
    let below = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
    let whom = match path {
        "/rpc"
        | "/health"
        | "/.well-known/jwks.json"
        | "/auth/token"
        | "/auth/revoke"
        | "/internal/ca-cert"
        | "/internal/cert-request" => &Access::Anonymous,
        "/services" => &access.services,
        "/cluster/nodes" => &access.cluster_nodes,
        "/openapi.json" | "/openapi-3.0.json" | "/openrpc.json" => &access.documents,
        _ if below("/admin") => return Some(RouteFor::Operator),
        _ if below(DESCRIPTOR_PATH) || below(BODY_PATH) || below(approvals::PENDING_PATH) || below("/internal/ca") => {
            &Access::Nodes
        }
        _ if path == renewal::PATH || path == p2p_client::wire::session::PATH => &Access::Nodes,
        _ => return None,
    };
    Some(RouteFor::Access(whom))
}

/// All routes but `POST /rpc`, which is [`calls::JsonRpc`]'s.
pub(super) fn routes(state: Arc<WebState>) -> Router {
    Router::new()
        .merge(for_the_operator(state.clone()))
        .route(calls::RPC_PATH, any(calls::only_post))
        .route("/rpc/{service}/{method}", post(calls::one_method))
        .route("/health", get(documents::health))
        .route("/services", get(documents::services))
        .route("/cluster/nodes", get(documents::cluster_nodes))
        .route("/openapi.json", get(catalogue::openapi_json))
        .route("/openapi-3.0.json", get(catalogue::openapi_3_0_json))
        .route("/openrpc.json", get(catalogue::openrpc_json))
        .route(&format!("{DESCRIPTOR_PATH}/{{service}}"), get(catalogue::descriptor))
        .route(&format!("{BODY_PATH}/{{ticket}}"), get(bodies::fetch))
        .route(&format!("{}/{{node}}", approvals::PENDING_PATH), get(approvals::is_pending))
        .route("/.well-known/jwks.json", get(auth::jwks))
        .route(auth::TOKEN_PATH, post(auth::token))
        .route(auth::REVOKE_PATH, post(auth::revoke))
        .route("/internal/ca-cert", get(joining::ca_cert))
        .route("/internal/cert-request", post(joining::cert_request))
        .route(renewal::PATH, post(joining::cert_renew))
        .route(rotation::AUTHORITY_PATH, post(ca::authority))
        .route(rotation::ROOT_PATH, post(ca::take_root_key))
        .route(rotation::ISSUED_PATH, post(ca::issued))
        .route(&format!("{}/{{id}}", elsewhere::TOKEN_PATH), get(elsewhere::is_mine))
        .fallback(documents::unknown_route)
        .layer(from_fn_with_state(state.clone(), limiting::limit))
        .with_state(state)
}

/// What an operator does. Nobody else has as much as a body read.
fn for_the_operator(state: Arc<WebState>) -> Router<Arc<WebState>> {
    Router::new()
        .route("/admin/ca", get(ca::show))
        .route("/admin/ca/rotate", post(ca::rotate))
        .route("/admin/ca/share", post(ca::share))
        .route("/admin/cert", get(certificate::show))
        .route("/admin/cert/renew", post(certificate::renew))
        .route("/admin/token", post(admin::create_token))
        .route("/admin/approvals", post(approvals::administer))
        .route("/admin/clients", post(clients::administer))
        .route("/admin/policy", post(policy::explain))
        .route("/admin/tokens", get(revoking::tokens))
        .route("/admin/revoke", post(revoking::revoke))
        .route("/admin/revocations", get(revoking::revocations))
        .route("/admin/leave", post(admin::leave))
        .route("/admin/config", post(configuration::configure))
        .route("/admin/store", post(store::administer).layer(DefaultBodyLimit::max(store::MAX_BODY)))
        .route("/admin/stop", post(admin::stop))
        .route_layer(from_fn_with_state(state, only_operator))
}

async fn only_operator(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    requester.must_be_operator(&state, request.uri().path())?;
    Ok(next.run(request).await)
}

/// What is left of them while the node stops: results of calls that it has answered can still be fetched.
pub(super) fn last_routes(state: Arc<WebState>) -> Router {
    Router::new().route(&format!("{BODY_PATH}/{{ticket}}"), get(bodies::fetch)).fallback(async || unavailable()).with_state(state)
}
