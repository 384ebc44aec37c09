//! What can be read of a node: its health, its services, the cluster.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, response::IntoResponse};
use http::{StatusCode, Uri};
use p2p_client::{
    protocol::{ErrorCode, Fingerprint, NodeId, NodeInfo, Role, RpcError, ServiceDescriptor, ServiceHealth},
    service::MetricsSnapshot,
};
use serde::{Deserialize, Serialize};

use crate::{component::ComponentState, limits::RefusedCalls, service::Health as ServiceHealthReport};

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// `GET /health`: whether the node does its work.
#[derive(Debug, Serialize, Deserialize)]
pub struct Health {
    /// `healthy`, or `degraded` when a component is not running or a service is not well.
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
    /// What its services say of themselves, those that have a health check; only for whom `/services` is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, ServiceHealthReport>,
    /// How many calls were refused since the node started, as their callers made too many; for the same readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_calls: Option<RefusedCalls>,
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
    /// What it counts of its own.
    #[serde(default)]
    pub own_metrics: MetricsSnapshot,
    /// What it says of itself.
    #[serde(default)]
    pub health: ServiceHealthReport,
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

pub(super) async fn health(State(state): State<Arc<WebState>>, requester: Requester) -> Json<Health> {
    let components = state.cx.components();
    let services = state.cx.health();
    let is_well = components.iter().all(|component| component.state == ComponentState::Running)
        && services.values().all(|health| health.status == ServiceHealth::Healthy);
    let may_know_more = state.config.live().http_access.services.check(&requester.caller, "/services").is_ok();
    Json(Health {
        status: if is_well { "healthy" } else { "degraded" }.to_owned(),
        services: if may_know_more { BTreeMap::clone(&services) } else { BTreeMap::new() },
        refused_calls: may_know_more.then(|| state.config.limits().refused()),
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
    requester.may_read(&state, &state.config.live().http_access.services, "/services")?;
    let health = state.cx.health();
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
        let name = service.descriptor.name.to_string();
        let status = ServiceStatus {
            fingerprint: service.descriptor.fingerprint(),
            metrics: metrics.collect(),
            own_metrics: state.cx.metrics(&name).snapshot(),
            health: health.get(&name).cloned().unwrap_or_default(),
            descriptor: service.descriptor,
        };
        (name, status)
    });
    Ok(Json(listing.collect()))
}

pub(super) async fn cluster_nodes(
    State(state): State<Arc<WebState>>,
    requester: Requester,
) -> Result<Json<Vec<NodeInfo>>, Refusal> {
    requester.may_read(&state, &state.config.live().http_access.cluster_nodes, "/cluster/nodes")?;
    Ok(Json(state.cx.membership().map(|membership| membership.members().list()).unwrap_or_default()))
}

pub(super) async fn unknown_route(uri: Uri) -> impl IntoResponse {
    let text = format!(
        "there is nothing at {}; there are /rpc, /health, /services, /cluster/nodes, /metrics, /openapi.json and /openrpc.json",
        uri.path()
    );
    Refusal(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::METHOD_NOT_FOUND, text))
}
