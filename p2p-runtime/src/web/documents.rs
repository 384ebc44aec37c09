//! What can be read of a node: its health, its services, the cluster.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, response::IntoResponse};
use http::{StatusCode, Uri};
use p2p_client::protocol::{ErrorCode, Fingerprint, NodeId, NodeInfo, Role, RpcError, ServiceDescriptor};
use serde::{Deserialize, Serialize};

use crate::component::ComponentState;

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// `GET /health`: whether the node does its work.
#[derive(Debug, Serialize, Deserialize)]
pub struct Health {
    /// `healthy`, or `degraded` when a component is not running.
    pub status: String,
    /// The node.
    pub node_id: NodeId,
    /// What it is.
    pub role: Role,
    /// The version of its software.
    pub version: String,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// Its components, each with its state.
    pub components: BTreeMap<String, String>,
}

/// One entry of `GET /services`: a hosted service.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its full description.
    #[serde(flatten)]
    pub descriptor: ServiceDescriptor,
    /// What callers of other versions are told apart by.
    pub fingerprint: Fingerprint,
    /// What was counted of each method, by name.
    pub metrics: BTreeMap<String, MethodStatus>,
}

/// What was counted of a method.
#[derive(Debug, Serialize, Deserialize)]
pub struct MethodStatus {
    /// Calls begun.
    pub calls: u64,
    /// Calls that failed, or that nobody waited for to the end.
    pub errors: u64,
    /// Calls that run now.
    pub in_flight: u64,
    /// Time spent in ended calls, in milliseconds.
    pub total_ms: f64,
}

pub(super) async fn health(State(state): State<Arc<WebState>>) -> Json<Health> {
    let components = state.cx.components();
    let all_run = components.iter().all(|component| component.state == ComponentState::Running);
    Json(Health {
        status: if all_run { "healthy" } else { "degraded" }.to_owned(),
        node_id: state.cx.node_id().clone(),
        role: state.cx.role(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: state.started.elapsed().as_secs(),
        components: components.iter().map(|component| (component.name.to_owned(), component.state.to_string())).collect(),
    })
}

pub(super) async fn services(
    State(state): State<Arc<WebState>>,
    requester: Requester,
) -> Result<Json<BTreeMap<String, ServiceStatus>>, Refusal> {
    requester.may_read(&state.access.services, "/services")?;
    let listing = state.cx.registry().list().into_iter().map(|service| {
        let metrics = service.descriptor.methods.iter().zip(&service.counters).map(|(method, counted)| {
            let status = MethodStatus {
                calls: counted.calls,
                errors: counted.errors,
                in_flight: counted.in_flight,
                total_ms: counted.total.as_secs_f64() * 1000.0,
            };
            (method.name.to_string(), status)
        });
        let (name, metrics) = (service.descriptor.name.to_string(), metrics.collect());
        (name, ServiceStatus { metrics, fingerprint: service.descriptor.fingerprint(), descriptor: service.descriptor })
    });
    Ok(Json(listing.collect()))
}

pub(super) async fn cluster_nodes(
    State(state): State<Arc<WebState>>,
    requester: Requester,
) -> Result<Json<Vec<NodeInfo>>, Refusal> {
    requester.may_read(&state.access.cluster_nodes, "/cluster/nodes")?;
    Ok(Json(state.cx.membership().map(|membership| membership.members().list()).unwrap_or_default()))
}

pub(super) async fn unknown_route(uri: Uri) -> impl IntoResponse {
    let text = format!(
        "there is nothing at {}; there are /rpc, /health, /services, /cluster/nodes, /openapi.json and /openrpc.json",
        uri.path()
    );
    Refusal(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::METHOD_NOT_FOUND, text))
}
