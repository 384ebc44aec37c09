//! The table of routes.
//!
//! | route | for |
//! |---|---|
//! | `POST /rpc`, `POST /rpc/{service}/{method}` | anyone; each method says whom it is for |
//! | `GET /health` | anyone |
//! | `GET /services`, `GET /cluster/nodes` | as the configuration says; otherwise nodes and operators |
//! | `GET /openapi.json`, `GET /openapi-3.0.json`, `GET /openrpc.json` | the same |
//! | `GET /internal/descriptor/{service}` | nodes |
//! | `GET /internal/ca-cert`, `POST /internal/cert-request` | anyone: joining proves itself |
//! | `GET /internal/session/body/{ticket}` | the node whose call the result answers |
//! | `/admin/…` | the operator, on the node's own socket |

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{any, get, post},
};

use crate::transport::unavailable;

use super::{
    BODY_PATH, DESCRIPTOR_PATH, admin, bodies, calls, catalogue, configuration, documents, joining, limiting, state::WebState,
    store,
};

/// All routes but `POST /rpc`, which is [`calls::JsonRpc`]'s.
pub(super) fn routes(state: Arc<WebState>) -> Router {
    Router::new()
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
        .route("/internal/ca-cert", get(joining::ca_cert))
        .route("/internal/cert-request", post(joining::cert_request))
        .route("/admin/token", post(admin::create_token))
        .route("/admin/leave", post(admin::leave))
        .route("/admin/config", post(configuration::configure))
        .route("/admin/store", post(store::administer).layer(DefaultBodyLimit::max(store::MAX_BODY)))
        .route("/admin/stop", post(admin::stop))
        .fallback(documents::unknown_route)
        .layer(from_fn_with_state(state.clone(), limiting::limit))
        .with_state(state)
}

/// What is left of them while the node stops: results of calls that it has answered can still be fetched.
pub(super) fn last_routes(state: Arc<WebState>) -> Router {
    Router::new().route(&format!("{BODY_PATH}/{{ticket}}"), get(bodies::fetch)).fallback(async || unavailable()).with_state(state)
}
