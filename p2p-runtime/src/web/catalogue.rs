//! What can be called in the cluster through this node, and the documents that say so.
//!
//! ```text
//! Registry (hosted here) ┐
//! Members -> Descriptors ┴-> Catalogue -> openapi, openrpc -> GET /openapi.json, GET /openapi-3.0.json, GET /openrpc.json, rpc.discover
//! ```

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::Future,
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
    protocol::{Access, ErrorCode, Fingerprint, NodeId, NodeStatus, RpcError, ServiceDescriptor, ServiceSummary},
    proxy::Peer,
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    About, openapi, openapi_3_0, openrpc,
    requester::{Refusal, Requester},
    state::WebState,
};

/// Where a node gives the description of a service that it hosts to other nodes; the service's name follows.
pub(crate) const DESCRIPTOR_PATH: &str = "/internal/descriptor";
/// The method that gives the OpenRPC document (OpenRPC specification, service discovery).
pub(super) const DISCOVER: &str = "rpc.discover";
/// How long other nodes may take to describe a service.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many of a service's hosts are asked, one after the other.
const MAX_HOSTS: usize = 3;

/// The services of the cluster: of each, the version that this node hosts, or else the highest that another node announces.
struct Catalogue {
    services: Vec<ServiceDescriptor>,
    /// Services whose hosts could not be asked.
    unread: Vec<String>,
}

/// A service on another node.
struct Elsewhere {
    /// Who hosts it in this version; a few of them.
    hosts: Vec<Peer>,
    fingerprint: Fingerprint,
    version: String,
}

impl Catalogue {
    async fn of(state: &WebState) -> Self {
        let mut services: Vec<_> = state.cx.registry().list().into_iter().map(|listing| listing.descriptor).collect();
        let mut unread = Vec::new();
        let asked = elsewhere(state, &services).into_iter().map(|(name, one)| async move {
            let ask = |host, within| state.descriptors.of(host, &name, one.fingerprint, within);
            let described = first_answer(&one.hosts, PATIENCE, ask).await;
            (name, described)
        });
        for (name, described) in join_all(asked).await {
            match described {
                None => {}
                Some(Ok(descriptor)) => services.push(ServiceDescriptor::clone(&descriptor)),
                Some(Err(failure)) => {
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

/// The description of one service of the cluster, and the other node that gave it, if this node does not host it.
///
/// # Errors
/// What to tell whoever asked: there is none of the name, or its hosts cannot be asked.
pub(super) async fn describe(state: &WebState, service: &str) -> Result<(ServiceDescriptor, Option<NodeId>), RpcError> {
    if let Some(hosted) = state.cx.registry().get(service) {
        return Ok((hosted.describe(), None));
    }
    let mut others = elsewhere(state, &[]);
    let Some(one) = others.remove(service) else {
        let mut known = state.cx.registry().names();
        known.extend(others.into_keys());
        known.sort();
        known.dedup();
        let text = format!("no node of the cluster hosts a service {service:?}; there are: {}", known.join(", "));
        return Err(RpcError::new(ErrorCode::METHOD_NOT_FOUND, text));
    };
    let ask = |host, within| state.descriptors.of(host, service, one.fingerprint, within);
    match first_answer(&one.hosts, PATIENCE, ask).await {
        Some(Ok(descriptor)) => Ok((ServiceDescriptor::clone(&descriptor), one.hosts.first().map(|host| host.node_id.clone()))),
        Some(Err(failure)) => Err(failure.into_rpc()),
        None => Err(RpcError::new(ErrorCode::NO_ROUTE, format!("no host of {service} can be asked now; try again in a minute"))),
    }
}

/// What only other nodes host, by name.
fn elsewhere(state: &WebState, here: &[ServiceDescriptor]) -> BTreeMap<String, Elsewhere> {
    let mut found = BTreeMap::new();
    let Some(members) = state.cx.membership().map(crate::network::Membership::members) else { return found };
    for (info, host) in members.peers().filter(|(info, _)| info.status == NodeStatus::Alive) {
        for (name, summary) in info.services.iter().filter(|(name, _)| here.iter().all(|own| own.name != **name)) {
            match found.entry(name.clone()) {
                Entry::Vacant(place) => {
                    place.insert(Elsewhere::new(summary, host));
                }
                Entry::Occupied(mut place) => place.get_mut().add(summary, host),
            }
        }
    }
    found
}

impl Elsewhere {
    fn new(summary: &ServiceSummary, host: &Peer) -> Self {
        Self { hosts: vec![host.clone()], fingerprint: summary.fingerprint, version: summary.version.clone() }
    }

    /// Another host: of the same, of something that comes before it, or of something that does not count beside it.
    fn add(&mut self, summary: &ServiceSummary, host: &Peer) {
        if (&summary.version, summary.fingerprint) == (&self.version, self.fingerprint) {
            if self.hosts.len() < MAX_HOSTS {
                self.hosts.push(host.clone());
            }
        } else if precedence(&self.version) < precedence(&summary.version) {
            *self = Self::new(summary, host);
        }
    }
}

/// Asks one host after the other until one answers. Each gets an equal part of the time that is left, so that one which is silent does
/// not take that of all.
async fn first_answer<'a, H, T, E, F: Future<Output = Result<T, E>>>(
    hosts: &'a [H],
    within: Duration,
    ask: impl Fn(&'a H, Duration) -> F,
) -> Option<Result<T, E>> {
    let until = Instant::now() + within;
    let mut last = None;
    for (at, host) in hosts.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let parts = u32::try_from(hosts.len() - at).unwrap_or(u32::MAX);
        let answer = ask(host, left / parts).await;
        if answer.is_ok() {
            return Some(answer);
        }
        last = Some(answer);
    }
    last
}

/// What orders versions (semver.org, 11): numbers first, then what is released after what is not yet, then what that is called.
fn precedence(version: &str) -> (Vec<u64>, bool, Vec<Identifier<'_>>) {
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let (numbers, before) = version.split_once('-').map_or((version, None), |(numbers, before)| (numbers, Some(before)));
    let numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0)).collect();
    (numbers, before.is_none(), before.into_iter().flat_map(|before| before.split('.')).map(Identifier::of).collect())
}

/// A part of what comes before a release, such as `rc` or `10`. Numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(u64),
    Word(&'a str),
}

impl<'a> Identifier<'a> {
    fn of(text: &'a str) -> Self {
        text.parse().map_or(Self::Word(text), Self::Number)
    }
}

pub(super) async fn openapi_json(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<Value>, Refusal> {
    requester.may_read(&state, &state.config.live().http_access.documents, "/openapi.json")?;
    let catalogue = Catalogue::of(&state).await;
    Ok(Json(openapi(&catalogue.services, &catalogue.about())))
}

pub(super) async fn openapi_3_0_json(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<Value>, Refusal> {
    requester.may_read(&state, &state.config.live().http_access.documents, "/openapi-3.0.json")?;
    let catalogue = Catalogue::of(&state).await;
    Ok(Json(openapi_3_0(&openapi(&catalogue.services, &catalogue.about()))))
}

pub(super) async fn openrpc_json(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<Value>, Refusal> {
    requester.may_read(&state, &state.config.live().http_access.documents, "/openrpc.json")?;
    let catalogue = Catalogue::of(&state).await;
    Ok(Json(openrpc(&catalogue.services, &catalogue.about())))
}

/// `rpc.discover`, as a call: the OpenRPC document's JSON.
pub(super) async fn discover(state: &WebState, requester: &Requester) -> Result<Vec<u8>, RpcError> {
    requester.may_read(state, &state.config.live().http_access.documents, DISCOVER).map_err(|Refusal(_, error)| error)?;
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
    requester.may_read(&state, &Access::Nodes, DESCRIPTOR_PATH)?;
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
    use std::future::pending;

    use super::*;

    #[test]
    fn the_higher_version_wins() {
        let ascending = [
            "0.9.0",
            "1.0.0-1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.2",
            "1.0.0-rc.10",
            "1.0.0",
            "1.2.0",
            "1.10.0",
            "2.0.0-alpha",
            "2.0.0+build",
        ];
        for pair in ascending.windows(2) {
            assert!(precedence(pair[0]) < precedence(pair[1]), "{pair:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_silent_or_fails_leaves_time_for_the_next() {
        let began = Instant::now();
        let answer = first_answer(&["silent", "failing", "good"], Duration::from_secs(6), |host, within| async move {
            match *host {
                "silent" => tokio::time::timeout(within, pending()).await.map_err(|_| "silent"),
                "failing" => Err("failing"),
                good => Ok(good),
            }
        });
        assert_eq!(answer.await, Some(Ok("good")));
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        let none: Option<Result<(), &str>> =
            first_answer(&["a", "b"], Duration::from_secs(1), |host, _| async { Err(*host) }).await;
        assert_eq!(none, Some(Err("b")));
    }
}
