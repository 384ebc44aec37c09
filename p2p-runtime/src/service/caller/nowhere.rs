//! [`Nowhere`]: what a context calls through when its node is gone.

use futures::future::BoxFuture;
use p2p_client::{
    call::{Failure, Head, Sending},
    protocol::{CallerId, NodeId, Role},
    proxy::{Caller, Leg, Peer, Route},
};

use super::route::no_route;

/// What a context calls through when its node is gone: nobody.
pub(crate) struct Nowhere {
    node_id: NodeId,
    identity: CallerId,
}

impl Nowhere {
    pub(crate) fn new(node_id: NodeId, role: Role) -> Self {
        Self { identity: CallerId::Node { id: node_id.clone(), role }, node_id }
    }

    fn gone(&self) -> Failure {
        no_route(format!("node {} is not running", self.node_id))
    }
}

impl Caller for Nowhere {
    fn node_id(&self) -> &NodeId {
        &self.node_id
    }
    fn identity(&self) -> &CallerId {
        &self.identity
    }
    fn resolve(&self, _: &Head) -> Result<Route, Failure> {
        Err(self.gone())
    }
    fn resolve_all(&self, _: &Head) -> Result<Vec<Leg>, Failure> {
        Err(self.gone())
    }
    fn send<'a>(&'a self, _: &'a Head, _: &'a Peer, _: &'a [u8]) -> Sending<'a> {
        let gone: BoxFuture<'a, _> = Box::pin(std::future::ready(Err(self.gone())));
        gone.into()
    }
}
