//! [`TestCluster`]: what a cluster for a test is made of, and how it comes about.

use std::{sync::Arc, time::Duration};

use p2p_client::{
    protocol::{Candidate, Capability, NodeId, One, Role},
    service::{Error, Result},
};
use tempfile::TempDir;

use crate::{
    config::RateLimitConfig,
    identity::{Host, TokenOptions},
    network::MembershipConfig,
    node::{Enrolment, InitOptions, JoinClusterOptions, NodeBuilder, init, join},
    service::Hosted,
    storage::Password,
    transport::MemoryNetwork,
};

use super::{
    RunningCluster,
    lab::{Lab, Place},
    loopback::Loopback,
};

/// The password of every store; what is in them lasts as long as a test.
const PASSWORD: &str = "the stores of a test";

/// Says what a cluster for a test is made of, and starts it: real nodes, with stores in a temporary folder, which join by tokens and talk
/// over mutual TLS, all in this process.
///
/// The nodes are called `coordinator`, `worker-1`, `worker-2`, and so on. They host what the program contains, as every node does, and what
/// [`serve`](Self::serve) gives them. They are on the machine's loopback interface, so that other programs can call them;
/// [`in_memory`](Self::in_memory) puts them on a network of their own.
///
/// ```standalone_crate
/// use p2p_runtime::{prelude::*, testing::TestCluster};
///
/// /// Says where it is.
/// pub struct Place;
///
/// #[service]
/// impl Place {
///     #[service_method(idempotent)]
///     pub async fn here(&self, cx: &CallContext) -> Result<String> {
///         Ok(cx.node().to_string())
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<()> {
/// let mut cluster = TestCluster::new().coordinator().workers(2).serve(|| Place).start().await?;
/// let place = cluster.worker(1).proxy().place();
/// assert_eq!(place.on("worker-2").here().await?, "worker-2");
///
/// cluster.kill("worker-2")?; // no goodbye
/// cluster.wait_until(|members| members.hosting("place").count() == 2).await?;
/// assert!(place.on("worker-2").here().await.is_err());
///
/// cluster.restart("worker-2").await?;
/// cluster.wait_until(|members| members.hosting("place").count() == 3).await?;
/// assert_eq!(place.on("worker-2").here().await?, "worker-2");
/// # Ok(()) }
/// ```
#[must_use = "a cluster does nothing until it is started"]
pub struct TestCluster {
    has_coordinator: bool,
    workers: Vec<Vec<Capability>>,
    setups: Vec<Setup>,
    membership: MembershipConfig,
    lab: Arc<dyn Lab>,
}

/// Adds something to the builder of a node.
type Setup = Box<dyn Fn(&Plan, NodeBuilder) -> NodeBuilder + Send + Sync>;

/// What a node is to be.
pub(super) struct Plan {
    pub(super) id: NodeId,
    pub(super) place: Place,
    role: Role,
    capabilities: Vec<Capability>,
}

impl Plan {
    fn as_candidate(&self) -> Candidate<'_> {
        Candidate { node_id: &self.id, role: self.role, capabilities: &self.capabilities }
    }
}

impl Default for TestCluster {
    fn default() -> Self {
        Self::new()
    }
}

impl TestCluster {
    /// No nodes yet.
    pub fn new() -> Self {
        Self {
            has_coordinator: false,
            workers: Vec::new(),
            setups: Vec::new(),
            // A node that dies is noticed within two seconds or so, and a busy machine is not taken for a dead one.
            membership: MembershipConfig {
                probe_period: Duration::from_millis(300),
                probe_rtt: Duration::from_millis(100),
                suspicion: Duration::from_millis(800),
                sync_min: Duration::from_secs(1),
                seek_max: Duration::from_secs(1),
                ..MembershipConfig::default()
            },
            lab: Arc::new(Loopback::default()),
        }
    }

    /// With a coordinator, which every cluster needs.
    pub fn coordinator(mut self) -> Self {
        self.has_coordinator = true;
        self
    }

    /// Adds this many workers.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers.extend(std::iter::repeat_with(Vec::new).take(count));
        self
    }

    /// Adds a worker with capabilities.
    pub fn worker_with(mut self, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        self.workers.push(capabilities.into_iter().collect());
        self
    }

    /// Every node hosts a service that `make` makes: one for each node, and another when the node is restarted.
    pub fn serve<T: Hosted<M>, M>(self, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.serve_on(One::Any, make)
    }

    /// The same, for the nodes that fit: a node by its id, all of a role, all with a capability.
    pub fn serve_on<T: Hosted<M>, M>(mut self, target: impl Into<One>, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let target = target.into();
        let setup = move |plan: &Plan, builder: NodeBuilder| {
            if target.fits(plan.as_candidate()) { builder.serve(make()) } else { builder }
        };
        self.setups.push(Box::new(setup));
        self
    }

    /// Says more of each node as it is built: its components, its limits. Unless said, callers are not limited: a test calls more often than
    /// anybody would.
    pub fn configure(mut self, configure: impl Fn(NodeBuilder) -> NodeBuilder + Send + Sync + 'static) -> Self {
        self.setups.push(Box::new(move |_, builder| configure(builder)));
        self
    }

    /// How failures are detected. Unless said, faster than by default: a test should not have to wait.
    pub fn membership(mut self, config: MembershipConfig) -> Self {
        self.membership = config;
        self
    }

    /// Puts the nodes on a network inside this process, each with an address of its own, instead of the loopback interface. No other program
    /// can reach them; and tokio's clock may be paused, so that what takes seconds takes none.
    pub fn in_memory(mut self) -> Self {
        self.lab = Arc::new(MemoryNetwork::new());
        self
    }

    /// Makes the cluster: starts the coordinator, has the workers join, starts them. Returns when each node knows all others and what they
    /// host.
    ///
    /// # Errors
    /// No coordinator, a node that did not start, or nodes that did not find each other.
    pub async fn start(self) -> Result<RunningCluster> {
        if !self.has_coordinator {
            return Err(Error::msg("a cluster begins with a coordinator; write TestCluster::new().coordinator()"));
        }
        let plans = self.plans()?;
        let makings = Makings { lab: self.lab, folder: TempDir::new()?, setups: self.setups, membership: self.membership };
        let mut cluster = RunningCluster::new(makings);
        for plan in plans {
            let enrolment = match cluster.any_issuer() {
                None => cluster.makings().init(&plan).await?,
                Some(coordinator) => cluster.makings().join(&plan, coordinator).await?,
            };
            let node = cluster.makings().start(&plan, enrolment).await?;
            cluster.add(plan, node);
        }
        cluster.all_know_all().await?;
        Ok(cluster)
    }

    /// The coordinator, then the workers.
    fn plans(&self) -> Result<Vec<Plan>> {
        let mut plans =
            vec![Plan { id: NodeId::new("coordinator")?, place: 0, role: Role::Coordinator, capabilities: Vec::new() }];
        for (number, capabilities) in (1..).zip(&self.workers) {
            let place = Place::try_from(number).map_err(|_| Error::msg("a test cluster has at most 255 workers"))?;
            let id = NodeId::new(&format!("worker-{number}"))?;
            plans.push(Plan { id, place, role: Role::Worker, capabilities: capabilities.clone() });
        }
        Ok(plans)
    }
}

/// What nodes are made with, at first and when they are started again.
pub(super) struct Makings {
    pub(super) lab: Arc<dyn Lab>,
    folder: TempDir,
    setups: Vec<Setup>,
    membership: MembershipConfig,
}

impl Makings {
    async fn init(&self, plan: &Plan) -> Result<Enrolment> {
        let options = InitOptions {
            dir: self.folder.path().join(plan.id.as_str()),
            password: Password::new(PASSWORD)?,
            node_id: Some(plan.id.clone()),
            advertise: Some(Host::Ip(self.lab.ip(plan.place))),
            listen: self.lab.listen(plan.place),
            capabilities: plan.capabilities.clone(),
        };
        Ok(init(options).await?.enrolment)
    }

    async fn join(&self, plan: &Plan, coordinator: &crate::node::Node) -> Result<Enrolment> {
        let issuer = coordinator.issuer().ok_or_else(|| Error::msg("the coordinator issues no tokens"))?;
        let token = issuer.create_token(TokenOptions::default()).await?;
        let dir = self.folder.path().join(plan.id.as_str());
        let options = JoinClusterOptions {
            role: plan.role,
            node_id: Some(plan.id.clone()),
            advertise: Some(Host::Ip(self.lab.ip(plan.place))),
            listen: self.lab.listen(plan.place),
            capabilities: plan.capabilities.clone(),
            network: self.lab.network(plan.place),
            responder: Some(self.lab.responder(plan.place)),
            ..JoinClusterOptions::new(dir, Password::new(PASSWORD)?, coordinator.authority(), token)
        };
        Ok(join(options).await?.enrolment)
    }

    /// Starts a node that is enrolled.
    pub(super) async fn start(&self, plan: &Plan, enrolment: Enrolment) -> Result<crate::node::Node> {
        let builder = NodeBuilder::default()
            .enrolment(enrolment)
            .network(self.lab.network(plan.place))
            .membership(self.membership.clone())
            .rate_limit(RateLimitConfig::unlimited());
        let builder = self.setups.iter().fold(builder, |builder, setup| setup(plan, builder));
        Ok(builder.start().await?)
    }

    /// Opens the store of a node that ran before.
    pub(super) async fn open(&self, plan: &Plan) -> Result<Enrolment> {
        Ok(Enrolment::open(self.folder.path().join(plan.id.as_str()), Password::new(PASSWORD)?).await?)
    }
}
