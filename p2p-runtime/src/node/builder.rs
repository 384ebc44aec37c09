//! [`NodeBuilder`]: says what a node is made of, and starts it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use p2p_client::{
    protocol::Access,
    wire::{
        net::{Network, TcpNetwork},
        sessions::SessionsConfig,
    },
};

use crate::{
    component::{AnyComponent, Component},
    config::{Overrides, RateLimitConfig},
    identity::ChallengeResponder,
    network::MembershipConfig,
    service::{Hosted, Hosting},
    storage::Password,
    transport::ListenerLimits,
    web::rpc::BodyLimits,
};

use super::{Enrolment, Node, NodeError, parts};

/// Says what a node is made of. Made by [`Node::builder`].
#[must_use = "a node does nothing until it is started"]
pub struct NodeBuilder {
    pub(super) dir: Option<PathBuf>,
    pub(super) password: Option<Password>,
    pub(super) enrolment: Option<Enrolment>,
    pub(super) network: Arc<dyn Network>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) services: Vec<Hosting>,
    pub(super) components: Vec<Arc<dyn AnyComponent>>,
    pub(super) discover: bool,
    pub(super) expected: Vec<String>,
    pub(super) membership: Option<MembershipConfig>,
    pub(super) limits: Option<ListenerLimits>,
    pub(super) sessions: Option<SessionsConfig>,
    pub(super) overrides: Overrides,
    pub(super) responder: Option<ChallengeResponder>,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        Self {
            dir: None,
            password: None,
            enrolment: None,
            network: Arc::new(TcpNetwork),
            listen: None,
            services: Vec::new(),
            components: Vec::new(),
            discover: true,
            expected: Vec::new(),
            membership: None,
            limits: None,
            sessions: None,
            overrides: Overrides::default(),
            responder: None,
        }
    }
}

impl NodeBuilder {
    /// The node's folder, in which its store is.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// What opens the store.
    pub fn password(mut self, password: Password) -> Self {
        self.password = Some(password);
        self
    }

    /// A node that has just been enrolled, whose store is open: instead of folder and password.
    pub fn enrolment(mut self, enrolment: Enrolment) -> Self {
        self.enrolment = Some(enrolment);
        self
    }

    /// Hosts this service object, in the place of one that the node would make of the type by itself.
    pub fn serve<T: Hosted<M>, M>(self, service: T) -> Self {
        self.serve_shared(Arc::new(service))
    }

    /// Hosts a service object that the program keeps a hand on.
    pub fn serve_shared<T: Hosted<M>, M>(mut self, service: Arc<T>) -> Self {
        self.services.push(service.host());
        self
    }

    /// Adds a component of the program's own.
    pub fn component(mut self, component: impl Component) -> Self {
        self.components.push(Arc::new(component));
        self
    }

    /// Hosts only what was handed to [`serve`](Self::serve), and not every service that the program contains.
    pub fn only_given_services(mut self) -> Self {
        self.discover = false;
        self
    }

    /// Names services that this node has to host, whatever its role: without one of them it does not start, and shows the table of
    /// what there is. [`register_services!`](crate::register_services) says it for all nodes of a program, by types.
    pub fn expect_services<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.expected.extend(names.into_iter().map(Into::into));
        self
    }

    /// Listens here instead of where the configuration says; port 0 takes any free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Puts another network under the node: a simulated one, in tests.
    pub fn network(mut self, network: Arc<dyn Network>) -> Self {
        self.network = network;
        self
    }

    /// What answers a coordinator's challenge when the node's address has changed; nodes of one process share one.
    pub fn responder(mut self, responder: ChallengeResponder) -> Self {
        self.responder = Some(responder);
        self
    }

    /// Says how failures are detected, in the place of the configuration.
    pub fn membership(mut self, config: MembershipConfig) -> Self {
        self.membership = Some(config);
        self
    }

    /// Says the bounds of connections, in the place of the configuration.
    pub fn listener_limits(mut self, limits: ListenerLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Says the bounds of sessions with other nodes, in the place of the configuration.
    pub fn sessions(mut self, config: SessionsConfig) -> Self {
        self.sessions = Some(config);
        self
    }

    /// Says the bounds of request bodies, in the place of the configuration.
    pub fn body_limits(mut self, limits: BodyLimits) -> Self {
        self.overrides.body_limits = Some(limits);
        self
    }

    /// Says how many calls the node takes of whom, in the place of the configuration.
    pub fn rate_limit(mut self, config: RateLimitConfig) -> Self {
        self.overrides.rate_limit = Some(config);
        self
    }

    /// Says who may read `/services`, `/cluster/nodes` and the documents, in the place of the configuration.
    pub fn documents_for(mut self, access: Access) -> Self {
        self.overrides.documents = Some(access);
        self
    }

    /// Opens the store, unless it is open, and starts the node. Returns once it serves.
    ///
    /// # Errors
    /// [`NodeError`] says what is missing or failed; what had been started is stopped again.
    pub async fn start(mut self) -> Result<Node, NodeError> {
        let enrolment = match (self.enrolment.take(), self.dir.take(), self.password.take()) {
            (Some(enrolment), _, _) => enrolment,
            (None, Some(dir), Some(password)) => Enrolment::open(dir, password).await?,
            (None, None, _) => return Err(NodeError::Unsaid("its folder: .dir(…)")),
            (None, Some(_), None) => return Err(NodeError::Unsaid("the password of its store: .password(…)")),
        };
        // In a box: it holds all parts of a node on their way to their places, and whoever starts a node should not carry the room for them.
        Box::pin(parts::start(self, enrolment)).await
    }
}
