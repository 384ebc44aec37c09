//! A cluster without a network: its nodes are entries of a map, and sending is a function call that carries JSON.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::future::BoxFuture;
use p2p_client::{
    call::{Failure, Head, Opened, Opening, Sending, open_guarded, serve_guarded, unknown_method},
    protocol::{CallerId, Many, NodeId, One, Role, Target},
    proxy::{Caller, Leg, Peer, Proxy, Route},
    service::{CallContext, HostedService, Params},
};
use p2p_runtime::service::Hosted;
use tokio::time::Instant;

/// The nodes, and what was sent between them.
#[derive(Clone, Default)]
pub(crate) struct Cluster(Arc<Inner>);

#[derive(Default)]
struct Inner {
    nodes: Mutex<BTreeMap<NodeId, Node>>,
    /// Path and params of each message, in order.
    sent: Mutex<Vec<(String, String)>>,
    /// Whom it was tried to reach, in order.
    tried: Mutex<Vec<NodeId>>,
    /// Which of those messages were what their call began with.
    first_tries: Mutex<Vec<bool>>,
}

#[derive(Clone)]
struct Node {
    role: Role,
    services: BTreeMap<String, Arc<dyn HostedService>>,
    line: Line,
}

/// What becomes of what is sent to a node.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Good,
    /// It does not arrive.
    Cut,
    /// It arrives, and the answer does not.
    LosesAnswers,
}

impl Cluster {
    /// Adds a node that hosts nothing yet.
    pub(crate) fn node(self, id: &str, role: Role) -> Self {
        self.0.nodes.lock().unwrap().insert(id.parse().unwrap(), Node { role, services: BTreeMap::new(), line: Line::Good });
        self
    }

    /// Has a node host a service.
    pub(crate) fn serve<S: Hosted<M>, M>(self, id: &str, service: S) -> Self {
        let hosted = Arc::new(service).host().service().clone();
        self.host(id, hosted)
    }

    /// Has a node host a service that is one already.
    pub(crate) fn host(self, id: &str, hosted: Arc<dyn HostedService>) -> Self {
        self.change(id, |node| {
            node.services.insert(hosted.spec().name.to_string(), hosted);
        });
        self
    }

    /// Has a node host a service no longer.
    pub(crate) fn unhost(&self, id: &str, service: &str) {
        self.change(id, |node| {
            node.services.remove(service);
        });
    }

    /// Has a node's peers fail to reach it.
    pub(crate) fn cut_off(&self, id: &str) {
        self.change(id, |node| node.line = Line::Cut);
    }

    /// Has a node's answers get lost.
    pub(crate) fn lose_answers_of(&self, id: &str) {
        self.change(id, |node| node.line = Line::LosesAnswers);
    }

    /// Has a node be reached again.
    pub(crate) fn mend(&self, id: &str) {
        self.change(id, |node| node.line = Line::Good);
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Node)) {
        change(self.0.nodes.lock().unwrap().get_mut(&id.parse::<NodeId>().unwrap()).expect("a node of this id"));
    }

    /// A proxy whose calls are made by this node.
    pub(crate) fn proxy(&self, id: &str) -> Proxy {
        let node_id: NodeId = id.parse().unwrap();
        let role = self.0.nodes.lock().unwrap()[&node_id].role;
        self.proxy_as(id, CallerId::Node { id: node_id, role })
    }

    /// A proxy on this node whose calls are made in another name.
    pub(crate) fn proxy_as(&self, id: &str, identity: CallerId) -> Proxy {
        Proxy::new(Arc::new(OnNode { node_id: id.parse().unwrap(), identity, cluster: self.clone() }))
    }

    /// What a node hosts under a name.
    pub(crate) fn hosted(&self, id: &str, service: &str) -> Option<Arc<dyn HostedService>> {
        self.0.nodes.lock().unwrap().get(&id.parse::<NodeId>().unwrap())?.services.get(service).cloned()
    }

    /// Whom it was tried to reach, in order.
    pub(crate) fn tried(&self) -> Vec<String> {
        self.0.tried.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    /// Which of the messages to nodes that were tried were what their call began with.
    pub(crate) fn first_tries(&self) -> Vec<bool> {
        self.0.first_tries.lock().unwrap().clone()
    }

    /// Path and params of each message that was sent, in order.
    pub(crate) fn sent(&self) -> Vec<(String, String)> {
        self.0.sent.lock().unwrap().clone()
    }
}

/// The caller of one node.
struct OnNode {
    node_id: NodeId,
    identity: CallerId,
    cluster: Cluster,
}

impl OnNode {
    fn leg(&self, head: &Head, id: &NodeId) -> Option<Leg> {
        let hosted = self.cluster.hosted(id.as_str(), head.method.service()).filter(|_| !head.tried.contains(id))?;
        let route = if *id == self.node_id {
            Route::Here(hosted)
        } else {
            Route::Peer(Arc::new(Peer { node_id: id.clone(), authority: format!("{id}.test:1").into() }))
        };
        Some(Leg { node_id: id.clone(), route: Ok(route) })
    }

    fn legs(&self, head: &Head, fits: impl Fn(&NodeId, Role) -> bool) -> Vec<Leg> {
        let nodes = self.cluster.0.nodes.lock().unwrap().clone();
        nodes.iter().filter(|(id, node)| fits(id, node.role)).filter_map(|(id, _)| self.leg(head, id)).collect()
    }

    async fn deliver(&self, head: &Head, to: &NodeId, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let (hosted, index, cx) = self.arrive(head, to, body)?;
        let params = Params::new(Some(str::from_utf8(body).unwrap()));
        let served = serve_guarded(&hosted, &hosted.spec().methods[index], &cx, params, Instant::now()).await;
        self.not_lost(to)?;
        served.map_err(Failure::Answered)
    }

    async fn open_there(&self, head: &Head, to: &NodeId, body: &[u8]) -> Result<Opened, Failure> {
        let (hosted, index, cx) = self.arrive(head, to, body)?;
        let params = Params::new(Some(str::from_utf8(body).unwrap()));
        let opened = open_guarded(&hosted, &hosted.spec().methods[index], cx, params, Instant::now()).await;
        self.not_lost(to)?;
        opened.map_err(Failure::Answered)
    }

    /// Whether what a node answers comes back.
    fn not_lost(&self, from: &NodeId) -> Result<(), Failure> {
        match self.cluster.0.nodes.lock().unwrap()[from].line {
            Line::LosesAnswers => Err(Failure::Lost(format!("{from} was lost"))),
            Line::Good | Line::Cut => Ok(()),
        }
    }

    /// What the other node does before it serves a call: the service, the method's place in it, and the context.
    fn arrive(&self, head: &Head, to: &NodeId, body: &[u8]) -> Result<(Arc<dyn HostedService>, usize, CallContext), Failure> {
        let json = str::from_utf8(body).unwrap();
        let node = self.cluster.0.nodes.lock().unwrap()[to].clone();
        self.cluster.0.tried.lock().unwrap().push(to.clone());
        self.cluster.0.first_tries.lock().unwrap().push(head.is_first_try);
        if node.line == Line::Cut {
            return Err(Failure::NotSent(format!("{to} cannot be reached")));
        }
        self.cluster.0.sent.lock().unwrap().push((head.method.path().into_owned(), json.to_owned()));
        let hosted = node.services[head.method.service()].clone();
        let Some(spec) = hosted.method(head.method.method()) else {
            return Err(Failure::Answered(unknown_method(&*hosted, head.method.method())));
        };
        spec.access.check(&self.identity, &spec.path).map_err(|denied| Failure::Answered(denied.into()))?;
        let there = Arc::new(Self {
            node_id: to.clone(),
            identity: CallerId::Node { id: to.clone(), role: node.role },
            cluster: self.cluster.clone(),
        });
        let cx = CallContext::new(there, self.identity.clone(), head.deadline).within(head.trace(), head.origin().cloned());
        let index = spec.index;
        Ok((hosted, index, cx))
    }
}

impl Caller for OnNode {
    fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    fn identity(&self) -> &CallerId {
        &self.identity
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        let Target::One(one) = &head.target else { return Err(Failure::NoRoute("one is wanted".to_owned())) };
        let found = match one {
            One::Any => self.leg(head, &self.node_id).or_else(|| self.legs(head, |_, _| true).into_iter().next()),
            One::Node(id) => self.leg(head, id),
            One::Role(role) => self.legs(head, |_, its| its == *role).into_iter().next(),
            _ => None,
        };
        found.map_or_else(|| Err(Failure::NoRoute(format!("nobody fits {}", head.target))), |leg| leg.route)
    }

    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure> {
        match &head.target {
            Target::Many(Many::Role(role)) => Ok(self.legs(head, |_, its| its == *role)),
            Target::Many(Many::Others) => Ok(self.legs(head, |id, _| *id != self.node_id)),
            Target::Many(Many::All) => Ok(self.legs(head, |_, _| true)),
            other => Err(Failure::NoRoute(format!("nobody fits {other}"))),
        }
    }

    fn may_run_twice<'a>(&'a self, head: &'a Head, lost_at: &'a Peer, next: &'a Route) -> BoxFuture<'a, bool> {
        let (service, method) = (head.method.service(), head.method.method());
        let says_so = |hosted: &Arc<dyn HostedService>| hosted.method(method).is_some_and(|spec| spec.idempotent);
        let by_id = |id: &NodeId| self.cluster.hosted(id.as_str(), service).is_some_and(|hosted| says_so(&hosted));
        let next = match next {
            Route::Here(hosted) => says_so(hosted),
            Route::Peer(peer) | Route::Differing(peer, _) => by_id(&peer.node_id),
        };
        Box::pin(std::future::ready(next && by_id(&lost_at.node_id)))
    }

    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        let sending: BoxFuture<'a, _> = Box::pin(async move { self.deliver(head, &to.node_id, body).await.map(Into::into) });
        sending.into()
    }

    fn open<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        Box::pin(self.open_there(head, &to.node_id, body))
    }
}
