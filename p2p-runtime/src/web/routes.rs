//! The table of routes.
//!
//! | route | for |
//! |---|---|
//! | `POST /rpc`, `POST /rpc/{service}/{method}` | anyone; each method says whom it is for |
//! | `GET /health` | anyone |
//! | `GET /.well-known/jwks.json` | anyone |
//! | `POST /auth/token`, `POST /auth/revoke` | anyone: who asks proves itself there |
//! | `GET /services`, `GET /cluster/nodes`, `GET /metrics` | as the configuration says; otherwise nodes, operators and clients with a token |
//! | `GET /openapi.json`, `GET /openapi-3.0.json`, `GET /openrpc.json` | the same |
//! | `GET /internal/descriptor/{service}`, `GET /internal/pending/{node}` | nodes |
//! | `GET /internal/ca-cert`, `POST /internal/cert-request` | anyone: joining proves itself |
//! | `POST /internal/cert-renew` | nodes, each for itself |
//! | `POST /internal/ca/authority`, `POST /internal/ca/root`, `POST /internal/ca/issued`, `GET /internal/ca/node/{id}`, `GET /internal/ca/token/{id}` | coordinators, by their certificates |
//! | `POST /internal/session` | nodes: a session of two of them. The transport opens it; who cannot have one is told so here |
//! | `GET /internal/session/body/{ticket}` | the node whose call the result answers |
//! | `/admin/…` | the operator, on the node's own socket |

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};

use p2p_client::{
    protocol::{Access, Role},
    wire::session,
};

use crate::{
    config::HttpAccess,
    identity::{renewal, rotation},
    transport::unavailable,
};

use super::{
    BODY_PATH, DESCRIPTOR_PATH, admin, approvals, auth, bodies, ca, calls, catalogue, certificate, clients, configuration,
    documents, elsewhere, joining, limiting, metrics, policy,
    requester::{Refusal, Requester},
    revoking,
    served::{Served, ServedRoute},
    sessions,
    state::WebState,
    store,
};

/// Whom a route is for.
pub(super) enum RouteFor<'a> {
    /// As methods say it.
    Access(&'a Access),
    /// A node, in its own name, by the certificate that it shows: the operator of a node shows none.
    Certified,
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
        "/metrics" => &access.metrics,
        "/openapi.json" | "/openapi-3.0.json" | "/openrpc.json" => &access.documents,
        _ if below("/admin") => return Some(RouteFor::Operator),
        _ if below("/internal/ca") => &Access::Role(Role::Coordinator),
        _ if below(DESCRIPTOR_PATH) || below(BODY_PATH) || below(approvals::PENDING_PATH) => &Access::Nodes,
        _ if path == renewal::PATH || path == session::PATH => return Some(RouteFor::Certified),
        _ => return None,
    };
    Some(RouteFor::Access(whom))
}

/// All routes but `POST /rpc`, which is [`calls::JsonRpc`]'s.
pub(super) fn routes(state: Arc<WebState>) -> Router {
    for_the_operator()
        .router
        .route_layer(from_fn_with_state(state.clone(), only_operator))
        .merge(for_others().router)
        .fallback(documents::unknown_route)
        .layer(from_fn_with_state(state.clone(), limiting::limit))
        .with_state(state)
}

/// All routes that a node serves, but for `POST /rpc`: for tests that are about every one of them, and documents that list them.
pub fn served_routes() -> Vec<ServedRoute> {
    [for_the_operator(), for_others()].into_iter().flat_map(|served| served.routes).collect()
}

/// What everybody may ask for; each says by itself whom it is for.
fn for_others() -> Served {
    Served::default()
        .any(calls::RPC_PATH, calls::only_post)
        .post("/rpc/{service}/{method}", calls::one_method)
        .get("/health", documents::health)
        .get("/services", documents::services)
        .get("/cluster/nodes", documents::cluster_nodes)
        .get("/metrics", metrics::metrics)
        .get("/openapi.json", catalogue::openapi_json)
        .get("/openapi-3.0.json", catalogue::openapi_3_0_json)
        .get("/openrpc.json", catalogue::openrpc_json)
        .get(&format!("{DESCRIPTOR_PATH}/{{service}}"), catalogue::descriptor)
        .get(&format!("{BODY_PATH}/{{ticket}}"), bodies::fetch)
        .get(&format!("{}/{{node}}", approvals::PENDING_PATH), approvals::is_pending)
        .get("/.well-known/jwks.json", auth::jwks)
        .post(auth::TOKEN_PATH, auth::token)
        .post(auth::REVOKE_PATH, auth::revoke)
        .post(session::PATH, sessions::refuse)
        .get("/internal/ca-cert", joining::ca_cert)
        .post("/internal/cert-request", joining::cert_request)
        .post(renewal::PATH, joining::cert_renew)
        .post(rotation::AUTHORITY_PATH, ca::authority)
        .post(rotation::ROOT_PATH, ca::take_root_key)
        .post(rotation::ISSUED_PATH, ca::issued)
        .get(&format!("{}/{{id}}", rotation::RECORD_PATH), ca::record)
        .get(&format!("{}/{{id}}", elsewhere::TOKEN_PATH), elsewhere::is_mine)
}

/// What an operator does. Nobody else has as much as a body read.
fn for_the_operator() -> Served {
    Served::default()
        .get("/admin/ca", ca::show)
        .post("/admin/ca/rotate", ca::rotate)
        .post("/admin/ca/share", ca::share)
        .get("/admin/cert", certificate::show)
        .post("/admin/cert/renew", certificate::renew)
        .post("/admin/token", admin::create_token)
        .post("/admin/approvals", approvals::administer)
        .post("/admin/clients", clients::administer)
        .post("/admin/policy", policy::explain)
        .get("/admin/tokens", revoking::tokens)
        .post("/admin/revoke", revoking::revoke)
        .get("/admin/revocations", revoking::revocations)
        .post("/admin/leave", admin::leave)
        .post("/admin/config", configuration::configure)
        .post_within("/admin/store", post(store::administer).layer(DefaultBodyLimit::max(store::MAX_BODY)))
        .post("/admin/stop", admin::stop)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The routes that the table above names: each is a word in backquotes that has a method and a path.
    fn documented() -> BTreeSet<String> {
        let table = include_str!("routes.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let named = table.flat_map(|row| row.split(" |").next().unwrap_or_default().split('`').map(str::to_owned));
        named.filter(|word| word.contains('/')).collect()
    }

    #[test]
    fn the_table_of_routes_names_every_route_that_is_served_and_no_other() {
        let of_its_own = "POST /rpc".to_owned();
        let served = served_routes().into_iter().filter_map(|route| {
            // `/rpc` is there for any method, to say that it takes `POST` alone; and what an operator does is told by `p2p`.
            let is_told = !route.path.starts_with("/admin/") && route.method.is_some();
            is_told.then(|| route.to_string())
        });
        let served: BTreeSet<String> = served.chain([of_its_own, "/admin/…".to_owned()]).collect();
        assert_eq!(documented(), served);
    }

    #[test]
    fn the_operator_can_be_told_of_every_route_whom_it_is_for() {
        let served = served_routes();
        assert!(served.len() > 30, "{served:?}");
        for route in served {
            // A method has a route of its own, which is answered as the method is.
            let is_method = route.path.starts_with("/rpc/");
            assert!(is_method || route_for(&route.path, &HttpAccess::default()).is_some(), "{route} is for nobody");
        }
    }
}
