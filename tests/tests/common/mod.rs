//! Clusters for tests: whole nodes in one process, on a simulated network on which each has its own address.
//!
//! [`Cluster`] makes nodes and knows their folders, [`probe::Probe`] is the service that they host, [`web`] speaks HTTPS to them.
#![allow(dead_code, reason = "each test program uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

pub(crate) mod clients;
pub(crate) mod log;
pub(crate) mod probe;
pub(crate) mod web;

use std::{
    fs,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use p2p_client::protocol::Role;
use p2p_runtime::{
    config::{ConfigDocument, RateLimitConfig},
    identity::{Host, JoinToken, NodeIdentity, TokenOptions},
    network::Members,
    node::{Enrolment, InitOptions, JoinClusterOptions, Node, NodeBuilder, NodeError, StoreVault, init, join},
    storage::Password,
    testing::{MemoryHost, MemoryNetwork},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use probe::Probe;
use web::Web;

/// Nothing in these tests takes this long unless it hangs.
const HANGING: Duration = Duration::from_mins(1);

/// Waits for something that will come.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(HANGING, what).await.expect("this should have happened long ago")
}

/// Waits until the view of a node is as wanted.
pub(crate) async fn sees(node: &Node, wanted: impl Fn(&Members) -> bool) -> Arc<Members> {
    tokio::time::timeout(HANGING, node.wait_until(wanted))
        .await
        .unwrap_or_else(|_| panic!("{} sees only {:#?}", node.id(), node.members().members().list()))
}

/// The password of every store here.
pub(crate) fn password() -> Password {
    Password::new("a password for tests").unwrap()
}

/// A network, and folders for the nodes on it.
pub(crate) struct Cluster {
    pub(crate) network: MemoryNetwork,
    pub(crate) folder: TempDir,
}

/// A node that runs, and the service on it.
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) probe: Arc<Probe>,
    pub(crate) ip: IpAddr,
}

impl Deref for Member {
    type Target = Node;
    fn deref(&self) -> &Node {
        &self.node
    }
}

/// What a node is to be.
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) ip: IpAddr,
    pub(crate) capabilities: Vec<&'static str>,
    pub(crate) hosts_probe: bool,
    /// Whether callers are limited as the configuration says. Most tests call more often than anybody would.
    pub(crate) is_limited: bool,
    pub(crate) role: Role,
}

impl Plan {
    pub(crate) fn worker(number: u8) -> Self {
        let id = format!("worker-{number}");
        Self { id, ip: worker_ip(number), capabilities: Vec::new(), hosts_probe: true, is_limited: false, role: Role::Worker }
    }

    pub(crate) fn coordinator() -> Self {
        let id = "coordinator".to_owned();
        Self { id, ip: COORDINATOR, capabilities: Vec::new(), hosts_probe: true, is_limited: false, role: Role::Coordinator }
    }

    /// A coordinator that joins.
    pub(crate) fn second_coordinator() -> Self {
        let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        Self { id: "coordinator-2".to_owned(), ip, ..Self::coordinator() }
    }

    pub(crate) fn without_probe(mut self) -> Self {
        self.hosts_probe = false;
        self
    }

    pub(crate) fn limited(mut self) -> Self {
        self.is_limited = true;
        self
    }

    pub(crate) fn with(mut self, capability: &'static str) -> Self {
        self.capabilities.push(capability);
        self
    }
}

/// Where the coordinator is.
pub(crate) const COORDINATOR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Where a worker is.
pub(crate) fn worker_ip(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 10 + number))
}

impl Cluster {
    /// No nodes yet.
    pub(crate) fn new() -> Self {
        Self { network: MemoryNetwork::new(), folder: tempfile::tempdir().unwrap() }
    }

    /// A coordinator and this many workers, all hosting the probe and each seeing it on all.
    pub(crate) async fn of(workers: u8) -> (Self, Member, Vec<Member>) {
        let cluster = Self::new();
        let coordinator = cluster.coordinator(Plan::coordinator()).await;
        let mut joined = Vec::new();
        for number in 1..=workers {
            joined.push(cluster.worker(Plan::worker(number), &coordinator).await);
        }
        for node in joined.iter().chain([&coordinator]) {
            sees(node, |members| members.hosting("probe").count() == usize::from(workers) + 1).await;
        }
        (cluster, coordinator, joined)
    }

    /// A coordinator and this many workers, which host no probe but what `host` adds for each by its number, the coordinator's being 0.
    pub(crate) async fn hosting(workers: u8, host: impl Fn(u8, NodeBuilder) -> NodeBuilder) -> (Self, Member, Vec<Member>) {
        let cluster = Self::new();
        let plan = Plan::coordinator().without_probe();
        let enrolment = cluster.init(&plan).await.unwrap();
        let coordinator = cluster.start_with(plan, enrolment, |builder| host(0, builder)).await.unwrap();
        let mut joined = Vec::new();
        for number in 1..=workers {
            let plan = Plan::worker(number).without_probe();
            let token = token(&coordinator, TokenOptions::default()).await;
            let enrolment = soon(cluster.join(&plan, &coordinator.authority(), token)).await.unwrap();
            joined.push(cluster.start_with(plan, enrolment, |builder| host(number, builder)).await.unwrap());
        }
        (cluster, coordinator, joined)
    }

    /// The folder of a node.
    pub(crate) fn dir(&self, id: &str) -> PathBuf {
        self.folder.path().join(id)
    }

    /// Its host, which is a fresh one if it was killed.
    pub(crate) fn host(&self, ip: IpAddr) -> MemoryHost {
        self.network.host(ip)
    }

    /// Makes the cluster and starts its coordinator.
    pub(crate) async fn coordinator(&self, plan: Plan) -> Member {
        let enrolment = self.init(&plan).await.unwrap();
        self.start(plan, enrolment).await
    }

    pub(crate) async fn init(&self, plan: &Plan) -> Result<Enrolment, NodeError> {
        let options = InitOptions {
            dir: self.dir(&plan.id),
            password: password(),
            node_id: Some(plan.id.parse().unwrap()),
            advertise: Some(Host::Ip(plan.ip)),
            listen: None,
            capabilities: plan.capabilities.iter().map(|label| (*label).into()).collect(),
        };
        Ok(init(options).await?.enrolment)
    }

    /// Joins the coordinator's cluster with a fresh token and starts a worker.
    pub(crate) async fn worker(&self, plan: Plan, coordinator: &Member) -> Member {
        let token = token(coordinator, TokenOptions { role: plan.role, ..TokenOptions::default() }).await;
        let enrolment = soon(self.join(&plan, &coordinator.authority(), token)).await.unwrap();
        self.start(plan, enrolment).await
    }

    pub(crate) async fn join(&self, plan: &Plan, authority: &str, token: JoinToken) -> Result<Enrolment, NodeError> {
        let options = JoinClusterOptions {
            node_id: Some(plan.id.parse().unwrap()),
            role: plan.role,
            advertise: Some(Host::Ip(plan.ip)),
            capabilities: plan.capabilities.iter().map(|label| (*label).into()).collect(),
            network: Arc::new(self.host(plan.ip)),
            ..JoinClusterOptions::new(self.dir(&plan.id), password(), authority, token)
        };
        Ok(join(options).await?.enrolment)
    }

    /// Starts a node that was stopped or killed, from its folder.
    pub(crate) async fn restart(&self, plan: Plan) -> Member {
        let enrolment = Enrolment::open(self.dir(&plan.id), password()).await.unwrap();
        self.start(plan, enrolment).await
    }

    pub(crate) async fn start(&self, plan: Plan, enrolment: Enrolment) -> Member {
        self.start_with(plan, enrolment, |builder| builder).await.unwrap()
    }

    pub(crate) async fn start_with(
        &self,
        plan: Plan,
        enrolment: Enrolment,
        more: impl FnOnce(NodeBuilder) -> NodeBuilder,
    ) -> Result<Member, NodeError> {
        let probe = Arc::new(Probe::new());
        let mut builder = Node::builder().enrolment(enrolment).network(Arc::new(self.host(plan.ip)));
        if !plan.is_limited {
            builder = builder.rate_limit(RateLimitConfig::unlimited());
        }
        if plan.hosts_probe {
            builder = builder.serve_shared(probe.clone());
        }
        let node = soon(more(builder).start()).await?;
        Ok(Member { node, probe, ip: plan.ip })
    }
}

/// Changes the configuration of this operator's node as `p2p config set` does, and gives what that changed.
pub(crate) async fn set_config(operator: &Web, key: &str, value: &str) -> Value {
    let password = BASE64_STANDARD.encode(password().to_secret().expose());
    let ask = |command: Value| {
        let body = json!({ "password": password, "command": command }).to_string();
        async move { operator.post("/admin/config", body).await.json() }
    };
    let was = ask(json!({ "do": "read" })).await["text"].as_str().unwrap().to_owned();
    let text = ConfigDocument::parse(&was).unwrap().with(key, value).unwrap().to_yaml();
    ask(json!({ "do": "write", "was": was, "text": text })).await["changed"].clone()
}

/// Copies the files of a node's folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A token that the coordinator makes.
pub(crate) async fn token(coordinator: &Node, options: TokenOptions) -> JoinToken {
    coordinator.issuer().unwrap().create_token(options).await.unwrap()
}

/// Who a node is, with its key: to speak in its name.
pub(crate) fn identity(node: &Node) -> NodeIdentity {
    NodeIdentity::load(&StoreVault::new(node.store().clone())).unwrap().unwrap()
}
