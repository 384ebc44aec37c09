//! What can be called in the cluster through this node, and the documents that say so.
//!
//! ```text
//! Registry (hosted here) ┐
//! Members -> Descriptors ┴-> Catalogue -> openapi, openrpc -> GET /openapi.json, GET /openrpc.json, rpc.discover
//! ```

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    extract::{Path, State},
};
use futures::future::join_all;
use http::StatusCode;
use p2p_client::{
    call::Failure,
    protocol::{CallerId, ErrorCode, Fingerprint, NodeStatus, RpcError, ServiceDescriptor},
    proxy::Peer,
};
use serde_json::Value;

use super::{
    About, openapi, openrpc,
    requester::{Refusal, Requester},
    state::WebState,
};

/// Where a node gives the description of a service that it hosts to other nodes; the service's name follows.
pub(crate) const DESCRIPTOR_PATH: &str = "/internal/descriptor";
/// The method that gives the OpenRPC document (OpenRPC specification, service discovery).
pub(super) const DISCOVER: &str = "rpc.discover";
/// How long another node may take to describe a service.
const PATIENCE: Duration = Duration::from_secs(5);

/// The services of the cluster: of each, the version that this node hosts, or else the highest that another node announces.
struct Catalogue {
    services: Vec<ServiceDescriptor>,
    /// Services whose hosts could not be asked.
    unread: Vec<String>,
}

/// A service on another node.
struct Elsewhere {
    host: Peer,
    fingerprint: Fingerprint,
    version: String,
}

impl Catalogue {
    async fn of(state: &WebState) -> Self {
        let mut services: Vec<_> = state.cx.registry().list().into_iter().map(|listing| listing.descriptor).collect();
        let mut unread = Vec::new();
        let asked = elsewhere(state, &services).into_iter().map(|(name, one)| async move {
            let described = state.descriptors.of(&one.host, &name, one.fingerprint, PATIENCE).await;
            (name, described)
        });
        for (name, described) in join_all(asked).await {
            match described {
                Ok(descriptor) => services.push(ServiceDescriptor::clone(&descriptor)),
                Err(failure) => {
                    tracing::warn!(service = name, %failure, "a service is missing in the documents");
                    unread.push(name);
                }
            }
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Self { services, unread }
    }

    fn about(&self) -> About {
        About {
            title: "The services of a P2P Core cluster".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            unread: self.unread.clone(),
        }
    }
}

/// What only other nodes host, by name.
fn elsewhere(state: &WebState, here: &[ServiceDescriptor]) -> BTreeMap<String, Elsewhere> {
    let mut found = BTreeMap::new();
    let Some(members) = state.cx.membership().map(crate::network::Membership::members) else { return found };
    for (info, host) in members.peers().filter(|(info, _)| info.status == NodeStatus::Alive) {
        for (name, summary) in info.services.iter().filter(|(name, _)| here.iter().all(|own| own.name != **name)) {
            let one = Elsewhere { host: host.clone(), fingerprint: summary.fingerprint, version: summary.version.clone() };
            match found.entry(name.clone()) {
                Entry::Vacant(place) => {
                    place.insert(one);
                }
                Entry::Occupied(mut place) if precedence(&place.get().version) < precedence(&one.version) => {
                    place.insert(one);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    found
}

/// What orders versions (semver.org, 11), as far as it matters here: numbers first, and what is released after what is not yet.
fn precedence(version: &str) -> (Vec<u64>, bool, &str) {
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let (numbers, before) = version.split_once('-').map_or((version, None), |(numbers, before)| (numbers, Some(before)));
    let numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0)).collect();
    (numbers, before.is_none(), before.unwrap_or_default())
}

pub(super) async fn openapi_json(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<Value>, Refusal> {
    requester.may_read(&state.access.documents, "/openapi.json")?;
    let catalogue = Catalogue::of(&state).await;
    Ok(Json(openapi(&catalogue.services, &catalogue.about())))
}

pub(super) async fn openrpc_json(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<Value>, Refusal> {
    requester.may_read(&state.access.documents, "/openrpc.json")?;
    let catalogue = Catalogue::of(&state).await;
    Ok(Json(openrpc(&catalogue.services, &catalogue.about())))
}

/// `rpc.discover`, as a call: the OpenRPC document's JSON.
pub(super) async fn discover(state: &WebState, requester: &Requester) -> Result<Vec<u8>, RpcError> {
    requester.may_read(&state.access.documents, DISCOVER).map_err(|Refusal(_, error)| error)?;
    let catalogue = Catalogue::of(state).await;
    let document = openrpc(&catalogue.services, &catalogue.about());
    serde_json::to_vec(&document).map_err(|error| RpcError::new(ErrorCode::INTERNAL, error.to_string()))
}

/// The description of one service on this node, for another node that calls it or lists it.
pub(super) async fn descriptor(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Path(service): Path<String>,
) -> Result<Json<ServiceDescriptor>, Refusal> {
    if !matches!(requester.caller, CallerId::Node { .. } | CallerId::Operator) {
        let text = format!("{} may not use {DESCRIPTOR_PATH}: it is for nodes of the cluster", requester.caller);
        return Err(Refusal(StatusCode::FORBIDDEN, RpcError::new(ErrorCode::DENIED, text)));
    }
    match state.cx.registry().get(&service) {
        Some(hosted) => Ok(Json(hosted.describe())),
        None => {
            let failure = Failure::NoRoute(format!("node {} does not host {service}", state.cx.node_id()));
            Err(Refusal(StatusCode::NOT_FOUND, failure.into_rpc()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::precedence;

    #[test]
    fn the_higher_version_wins() {
        let ascending = ["0.9.0", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0", "2.0.0-alpha", "2.0.0+build"];
        for pair in ascending.windows(2) {
            assert!(precedence(pair[0]) < precedence(pair[1]), "{pair:?}");
        }
    }
}
