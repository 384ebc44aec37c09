//! [`MockCluster`]: which nodes a mock says there are, and the caller below its proxy.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use tokio::time::sleep_until;

use crate::{
    call::{Failure, Head, Opened, Opening, Sending, limit},
    protocol::{CallerId, Candidate, Capability, ErrorCode, Many, NodeId, One, Role, RpcError, Target},
    proxy::{Caller, Leg, Peer, Proxy, Route},
    service::stream::not_asked_for,
};

use super::ServiceMock;

impl Proxy {
    /// Begins a proxy whose calls are answered by mocks: see [`testing`](crate::testing).
    pub fn mock() -> MockCluster {
        MockCluster::default()
    }
}

/// A cluster that is only said to be there: its nodes, and the mocks that each of them hosts.
///
/// Where no node is named, every target with one result has a node that fits it. A fan-out wants to know whom to ask: name the nodes
/// ([`coordinator`](Self::coordinator), [`workers`](Self::workers)), and targets go to those that fit, as they do in a cluster.
///
/// ```
/// # use p2p_client::{call::CallError, contracts::system::*, proxy::Proxy, protocol::Role};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let system = MockSystem::new();
/// system.on_get_system_info(|_| Err(CallError::Denied("not today".to_owned())));
/// let proxy = Proxy::mock().coordinator().workers(2).with(&system).proxy();
///
/// let answers = proxy.system().on_all(Role::Worker).get_system_info().await;
/// assert_eq!(answers.len(), 2);
/// assert_eq!(system.calls()[0].node(), &"worker-1");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it is a proxy only after .proxy()"]
pub struct MockCluster {
    nodes: Vec<MockNode>,
    workers: usize,
    services: Vec<ServiceMock>,
}

impl MockCluster {
    /// Answers calls of the mock's service; on every node. A mock of the same service that was given before is replaced.
    pub fn with(mut self, service: &ServiceMock) -> Self {
        self.services.retain(|earlier| earlier.service() != service.service());
        self.services.push(service.clone());
        self
    }

    /// Adds a node `coordinator`.
    pub fn coordinator(self) -> Self {
        self.node(NodeId::known("coordinator"), Role::Coordinator, [])
    }

    /// Adds this many workers: `worker-1`, `worker-2`, and so on.
    pub fn workers(self, count: usize) -> Self {
        (0..count).fold(self, |cluster, _| cluster.worker_with([]))
    }

    /// Adds the next worker, with capabilities.
    pub fn worker_with(mut self, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        self.workers += 1;
        let id = NodeId::known(&format!("worker-{}", self.workers));
        self.node(id, Role::Worker, capabilities)
    }

    /// Adds a node under a name of choice.
    pub fn node(mut self, id: NodeId, role: Role, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        self.nodes.push(MockNode { id, role, capabilities: capabilities.into_iter().collect() });
        self
    }

    /// The proxy. Its calls are made in the name of a node `mock`, which hosts nothing itself.
    pub fn proxy(self) -> Proxy {
        let me = NodeId::known("mock");
        let identity = CallerId::Node { id: me.clone(), role: Role::Worker };
        Proxy::new(Arc::new(MockCaller { me, identity, nodes: self.nodes, services: self.services }))
    }
}

/// A node that a mock says there is.
#[derive(Debug, Clone)]
pub(super) struct MockNode {
    pub(super) id: NodeId,
    role: Role,
    capabilities: Vec<Capability>,
}

impl MockNode {
    pub(super) fn as_candidate(&self) -> Candidate<'_> {
        Candidate { node_id: &self.id, role: self.role, capabilities: &self.capabilities }
    }

    /// The node that a target means where no nodes were named.
    fn meant_by(target: &One) -> Option<Self> {
        let worker = |id: NodeId, capabilities| Self { id, role: Role::Worker, capabilities };
        match target {
            One::Any | One::Role(Role::Worker) => Some(worker(NodeId::known("worker-1"), Vec::new())),
            One::Capability(label) => Some(worker(NodeId::known("worker-1"), vec![label.clone()])),
            One::Node(id) => Some(worker(id.clone(), Vec::new())),
            One::Role(role @ Role::Coordinator) => {
                Some(Self { id: NodeId::known("coordinator"), role: *role, capabilities: Vec::new() })
            }
            One::NoSuchNode(_) => None,
        }
    }

    fn peer(&self) -> Arc<Peer> {
        Arc::new(Peer { node_id: self.id.clone(), authority: "mock".into() })
    }
}

/// Answers calls by mocks.
struct MockCaller {
    me: NodeId,
    identity: CallerId,
    nodes: Vec<MockNode>,
    services: Vec<ServiceMock>,
}

impl MockCaller {
    fn mock_of(&self, head: &Head) -> Result<&ServiceMock, Failure> {
        let wanted = head.method.service();
        self.services.iter().find(|mock| mock.service() == wanted).ok_or_else(|| {
            let mocked: Vec<_> = self.services.iter().map(ServiceMock::service).collect();
            let mocked = if mocked.is_empty() { "nothing".to_owned() } else { mocked.join(", ") };
            let text = format!(
                "nothing mocks the service {wanted:?}; give the proxy its mock: Proxy::mock().with(&mock). Mocked: {mocked}"
            );
            RpcError::new(ErrorCode::METHOD_NOT_FOUND, text).into()
        })
    }

    /// The first node that fits and was not tried.
    fn choose(&self, head: &Head, target: &One) -> Result<MockNode, Failure> {
        self.mock_of(head)?;
        let untried = |node: &MockNode| !head.tried.contains(&node.id);
        let chosen = if self.nodes.is_empty() {
            MockNode::meant_by(target).filter(untried)
        } else {
            self.nodes.iter().find(|node| target.fits(node.as_candidate()) && untried(node)).cloned()
        };
        chosen.ok_or_else(|| {
            let named: Vec<_> = self.nodes.iter().map(|node| node.id.to_string()).collect();
            let named = if named.is_empty() { "none by name".to_owned() } else { named.join(", ") };
            Failure::NoRoute(format!("no node fits {target}; the mock's nodes are: {named}"))
        })
    }

    fn choose_all(&self, head: &Head, target: &Many) -> Result<Vec<Leg>, Failure> {
        self.mock_of(head)?;
        match target {
            Many::Nodes(ids) => {
                let route = |id: &NodeId| self.choose(head, &One::Node(id.clone())).map(|node| Route::Peer(node.peer()));
                // Each once, however often it was named, as a node does.
                let ids: BTreeSet<&NodeId> = ids.iter().collect();
                Ok(ids.into_iter().map(|id| Leg { node_id: id.clone(), route: route(id) }).collect())
            }
            _ if self.nodes.is_empty() => {
                let text = format!(
                    "{target} asks the cluster's nodes, and the mock has none; name them: Proxy::mock().coordinator().workers(2)"
                );
                Err(Failure::NoRoute(text))
            }
            _ => {
                let fitting = self.nodes.iter().filter(|node| target.fits(node.as_candidate(), &self.me));
                Ok(fitting.map(|node| Leg { node_id: node.id.clone(), route: Ok(Route::Peer(node.peer())) }).collect())
            }
        }
    }

    /// The node behind a peer that was chosen.
    fn node(&self, head: &Head, peer: &Peer) -> MockNode {
        let named = self.nodes.iter().find(|node| node.id == peer.node_id).cloned();
        let meant = || match &head.target {
            Target::One(one) => MockNode::meant_by(one),
            Target::Many(_) => None,
        };
        named.or_else(meant).unwrap_or_else(|| MockNode {
            id: peer.node_id.clone(),
            role: Role::Worker,
            capabilities: Vec::new(),
        })
    }

    /// The answer, under the limit that a call and the opening of a stream have alike.
    async fn answer(&self, head: &Head, to: &Peer, body: &[u8]) -> Result<Opened, Failure> {
        let params = std::str::from_utf8(body).map_err(|error| Failure::NotSent(error.to_string()))?;
        let answering = self.mock_of(head)?.answer(head, &self.node(head, to), params)?;
        let deadline = limit(head.deadline, head.method.spec(), head.began);
        tokio::select! {
            biased;
            answer = answering => answer,
            // Within a block, so that an answer which is at hand needs no timer.
            () = async { sleep_until(deadline).await } => Err(Failure::Deadline(head.method.path().into_owned())),
        }
    }
}

/// The result of a call whose caller takes one.
fn one_result(opened: Opened, head: &Head) -> Result<Bytes, Failure> {
    match opened {
        Opened::Answered(json) => Ok(json),
        Opened::Items(_) => Err(not_asked_for(&head.method.path()).into()),
    }
}

impl fmt::Debug for MockCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockCaller").field("nodes", &self.nodes).field("services", &self.services).finish_non_exhaustive()
    }
}

impl Caller for MockCaller {
    fn node_id(&self) -> &NodeId {
        &self.me
    }

    fn identity(&self) -> &CallerId {
        &self.identity
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        match &head.target {
            Target::One(one) => Ok(Route::Peer(self.choose(head, one)?.peer())),
            Target::Many(many) => Err(Failure::NoRoute(format!("{many} is many nodes, where one is wanted"))),
        }
    }

    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure> {
        match &head.target {
            Target::Many(many) => self.choose_all(head, many),
            Target::One(one) => {
                let node = self.choose(head, one)?;
                Ok(vec![Leg { node_id: node.id.clone(), route: Ok(Route::Peer(node.peer())) }])
            }
        }
    }

    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        let answering: futures::future::BoxFuture<'a, _> =
            Box::pin(async move { one_result(self.answer(head, to, body).await?, head) });
        answering.into()
    }

    fn open<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        Box::pin(self.answer(head, to, body))
    }
}
