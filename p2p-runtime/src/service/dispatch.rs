//! [`Dispatcher`]: what happens to a call that comes in, from wherever.
//!
//! Access is decided before params are decoded, and before a call is forwarded as far as this node knows the method; the target
//! decides again. A call from another node is never forwarded: a node resolves targets itself, so that calls cannot go in circles.

use std::sync::Arc;

use futures::{StreamExt, stream::FuturesUnordered};
use p2p_client::{
    call::{Failure, Head, MethodRef, serve_guarded},
    protocol::{CallerId, ErrorCode, NodeId, One, RpcError, Target},
    proxy::{Caller, Peer, Route},
    service::{CallContext, Chain, HostedService, Params, Trace},
};
use serde::{Serialize, ser::SerializeMap};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::context::Context;

use super::NodeCaller;

/// Serves the calls that come in, here or by forwarding them.
#[derive(Clone)]
pub struct Dispatcher {
    cx: Context,
    caller: Arc<NodeCaller>,
}

/// A call that came in.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// `service/method`.
    pub path: &'a str,
    /// The params as they came.
    pub params: Params<'a>,
    /// Who asks, as verified.
    pub caller: CallerId,
    /// Whether another node sent it, in whoever's name.
    pub from_node: bool,
    /// Where it is to go, if that was said.
    pub target: Option<Target>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    /// Who began the chain of calls.
    pub origin: Option<Arc<str>>,
}

impl Dispatcher {
    pub(crate) fn new(cx: Context, caller: Arc<NodeCaller>) -> Self {
        Self { cx, caller }
    }

    /// Serves a call, and gives the result's JSON.
    ///
    /// # Errors
    /// What the caller is told.
    pub async fn call(&self, call: Inbound<'_>) -> Result<Vec<u8>, RpcError> {
        let Some((service, method)) = call.path.split_once('/') else {
            let text = format!("{:?} names no method; write service/method, such as system/get_system_info", call.path);
            return Err(RpcError::new(ErrorCode::METHOD_NOT_FOUND, text));
        };
        self.check_access(&call, service, method)?;
        match &call.target {
            None | Some(Target::One(One::Any)) => match self.cx.registry().get(service) {
                Some(hosted) => self.serve(&hosted, method, &call).await,
                None if call.from_node => Err(self.not_here(service)),
                None => self.forward_one(&call, One::Any).await,
            },
            Some(Target::One(One::Node(id))) if id == self.cx.node_id() => {
                let (hosted, _) = self.cx.registry().find(service, method)?;
                self.serve(&hosted, method, &call).await
            }
            Some(_) if call.from_node => {
                let text = "a node resolves targets itself; send the call to the node that is meant";
                Err(RpcError::new(ErrorCode::INVALID_REQUEST, text))
            }
            Some(Target::One(one)) => self.forward_one(&call, one.clone()).await,
            Some(Target::Many(_)) => self.forward_many(&call).await,
        }
    }

    /// Refuses what this node knows to be refused. Of a method that it does not host it knows nothing; the target decides.
    fn check_access(&self, call: &Inbound<'_>, service: &str, method: &str) -> Result<(), RpcError> {
        let hosted = self.cx.registry().get(service);
        let Some(spec) = hosted.as_deref().and_then(|hosted| hosted.method(method)) else { return Ok(()) };
        spec.access.check(&call.caller, &spec.path).map_err(|denied| {
            tracing::warn!(target: "p2p::audit", caller = %call.caller, origin = call.origin.as_deref(), method = call.path, "denied");
            denied.into()
        })
    }

    async fn serve(&self, hosted: &Arc<dyn HostedService>, method: &str, call: &Inbound<'_>) -> Result<Vec<u8>, RpcError> {
        let Some(spec) = hosted.method(method) else {
            return Err(p2p_client::call::unknown_method(&**hosted, method));
        };
        let cx =
            CallContext::new(self.caller.clone(), call.caller.clone(), call.deadline).within(call.trace, call.origin.clone());
        serve_guarded(hosted, spec, &cx, call.params, Instant::now()).await
    }

    /// The sender's view of who hosts what was out of date. It may safely ask another.
    fn not_here(&self, service: &str) -> RpcError {
        let text =
            format!("node {} does not host {service:?}; it hosts: {}", self.cx.node_id(), self.cx.registry().names().join(", "));
        RpcError::new(ErrorCode::UNAVAILABLE, text)
    }

    /// Sends the call on, and on to the next node that fits where it surely did not run.
    async fn forward_one(&self, call: &Inbound<'_>, one: One) -> Result<Vec<u8>, RpcError> {
        let mut head = head(call, Target::One(one));
        let mut last = None;
        loop {
            let peer = match self.caller.resolve(&head) {
                Ok(Route::Peer(peer)) => peer,
                Ok(Route::Here(hosted)) => return self.serve(&hosted, head.method.method(), call).await,
                Err(failure) => return Err(last.unwrap_or(failure).into_rpc()),
            };
            match self.send(call, &head, &peer).await {
                Ok(json) => return Ok(json),
                Err(failure) if failure.surely_not_run() => {
                    last = Some(failure);
                    head.tried.push(peer.node_id);
                }
                Err(failure) => return Err(failure.into_rpc()),
            }
        }
    }

    /// Asks every node that fits; the result is an object with each node's result or error.
    async fn forward_many(&self, call: &Inbound<'_>) -> Result<Vec<u8>, RpcError> {
        let target = call.target.clone().unwrap_or(Target::One(One::Any));
        let head = head(call, target);
        let legs = self.caller.resolve_all(&head).map_err(Failure::into_rpc)?;
        if legs.is_empty() {
            let text = format!("no node that is alive fits {} and hosts {}", head.target, head.method.service());
            return Err(RpcError::new(ErrorCode::NO_ROUTE, text));
        }
        let head = &head;
        let mut asked: FuturesUnordered<_> = legs
            .into_iter()
            .map(|leg| async move {
                let answer = match &leg.route {
                    Route::Here(hosted) => self.serve(hosted, head.method.method(), call).await,
                    Route::Peer(peer) => self.send(call, head, peer).await.map_err(Failure::into_rpc),
                };
                (leg.node_id, answer)
            })
            .collect();
        let mut answers = Answers(Vec::new());
        while let Some((node, answer)) = asked.next().await {
            answers.0.push((node, OneAnswer::new(answer)?));
        }
        answers.0.sort_by(|a, b| a.0.cmp(&b.0));
        serde_json::to_vec(&answers).map_err(|error| RpcError::new(ErrorCode::INTERNAL, error.to_string()))
    }

    async fn send(&self, call: &Inbound<'_>, head: &Head, peer: &Peer) -> Result<Vec<u8>, Failure> {
        let body = call.params.json().unwrap_or("{}").as_bytes();
        // An operator of this node is, on other nodes, this node.
        let answer = tokio::time::timeout_at(call.deadline, self.caller.send_for(&call.caller, head, peer, body)).await;
        match answer {
            Ok(answer) => answer.map(Into::into),
            Err(_) => Err(Failure::Deadline(call.path.to_owned())),
        }
    }
}

/// What routing needs of a call that came in.
fn head(call: &Inbound<'_>, target: Target) -> Head {
    let (service, method) = call.path.split_once('/').unwrap_or_default();
    let origin = call.origin.clone().unwrap_or_else(|| call.caller.to_string().into());
    Head {
        method: MethodRef::Named(Arc::new((service.to_owned(), method.to_owned()))),
        target,
        deadline: call.deadline,
        began: Instant::now(),
        chain: Chain { deadline: Some(call.deadline), trace: call.trace, origin: Some(origin) },
        headers: Vec::new(),
        tried: Vec::new(),
    }
}

/// The result of a call to many nodes: `{"worker-1": {"result": …}, "worker-2": {"error": …}}`.
struct Answers(Vec<(NodeId, OneAnswer)>);

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum OneAnswer {
    Result(Box<RawValue>),
    Error(RpcError),
}

impl OneAnswer {
    fn new(answer: Result<Vec<u8>, RpcError>) -> Result<Self, RpcError> {
        let broken = |error: String| RpcError::new(ErrorCode::INTERNAL, error);
        match answer {
            Err(error) => Ok(Self::Error(error)),
            Ok(json) => {
                let text = String::from_utf8(json).map_err(|error| broken(error.to_string()))?;
                RawValue::from_string(text).map(Self::Result).map_err(|error| broken(error.to_string()))
            }
        }
    }
}

impl Serialize for Answers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (node, answer) in &self.0 {
            map.serialize_entry(node, answer)?;
        }
        map.end()
    }
}
