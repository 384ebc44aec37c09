//! Enrolment: how a node comes to belong to a cluster, before it first runs.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use p2p_client::{
    protocol::{Capability, NodeId, Role, UnixMillis},
    wire::net::{Network, TcpNetwork},
};
use rustls_pki_types::UnixTime;
use tokio::task::spawn_blocking;

use crate::{
    config::NodeConfig,
    identity::{
        self, ChallengeResponder, Host, HttpFetcher, Issuer, IssuerOptions, JoinEvent, JoinOptions, JoinToken, Ledger,
        NodeIdentity, NodeKey, TokenOptions,
        join::{LeftOut, Seed},
    },
    storage::{Password, RecoveryKey, Store},
};

use super::{NodeError, StoreVault, address, vault::WeakVault};

/// Stands in the store of a node that has left its cluster.
const LEFT: &str = "state/left";

/// What `p2p init` needs.
pub struct InitOptions {
    /// The node's folder.
    pub dir: PathBuf,
    /// What opens its store from now on.
    pub password: Password,
    /// The node's name; a random one unless said.
    pub node_id: Option<NodeId>,
    /// The address under which others reach it; the machine's only one unless said.
    pub advertise: Option<Host>,
    /// Where it listens; the advertised address's family and port 8001 unless said.
    pub listen: Option<SocketAddr>,
    /// Labels to route by.
    pub capabilities: Vec<Capability>,
}

/// A new cluster and its first coordinator.
pub struct Initialised {
    /// The coordinator, ready to start.
    pub enrolment: Enrolment,
    /// Opens the store when the password is lost. It is shown this once.
    pub recovery_key: RecoveryKey,
}

/// A node that belongs to a cluster: its open store, with identity and configuration in it.
pub struct Enrolment {
    /// The node's folder.
    pub dir: PathBuf,
    /// Its store.
    pub store: Arc<Store>,
    /// Who it is.
    pub identity: NodeIdentity,
    /// How it runs.
    pub config: NodeConfig,
}

/// Makes a cluster: its root, its first coordinator, the store. Nothing runs yet.
///
/// # Errors
/// [`NodeError`]; nothing is made where a store is already.
pub async fn init(options: InitOptions) -> Result<Initialised, NodeError> {
    let InitOptions { dir, password, node_id, advertise, listen, capabilities } = options;
    let advertise = advertise.map_or_else(address::the_only_one, Ok)?;
    let node_id = node_id.map_or_else(|| random_id(Role::Coordinator), Ok)?;
    let config = config(Role::Coordinator, advertise, listen, capabilities, Vec::new());
    spawn_blocking(move || {
        let (store, recovery_key) = Store::create(&dir, &password)?;
        let store = Arc::new(store);
        let vault = StoreVault::new(store.clone());
        let addresses = std::slice::from_ref(&config.advertise);
        let identity = NodeIdentity::create_cluster(&vault, node_id, addresses, UnixTime::now())?;
        config.save(&store)?;
        Ok(Initialised { enrolment: Enrolment { dir, store, identity, config }, recovery_key })
    })
    .await?
}

/// What `p2p join` needs.
pub struct JoinClusterOptions {
    /// The node's folder.
    pub dir: PathBuf,
    /// What opens its store, or will.
    pub password: Password,
    /// A coordinator's address, `host:port`.
    pub authority: String,
    /// What lets the node in.
    pub token: JoinToken,
    /// What it joins as; the token must be for the same role.
    pub role: Role,
    /// The node's name; one from its key unless said, so that a folder that is used again asks for the same.
    pub node_id: Option<NodeId>,
    /// The address under which others reach it; the machine's only one unless said.
    pub advertise: Option<Host>,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// Labels to route by.
    pub capabilities: Vec<Capability>,
    /// The network; real TCP unless a test says otherwise.
    pub network: Arc<dyn Network>,
    /// What answers the coordinator's challenge; nodes of one process share one.
    pub responder: Option<ChallengeResponder>,
    /// Is told what happens.
    pub progress: Arc<dyn Fn(JoinEvent) + Send + Sync>,
    /// Is given the recovery key when a store is made, which is before anything else can fail.
    pub store_made: Box<dyn FnOnce(&RecoveryKey) + Send>,
}

impl JoinClusterOptions {
    /// The usual options, for a worker on the real network that tells nobody of its progress.
    pub fn new(dir: impl Into<PathBuf>, password: Password, authority: impl Into<String>, token: JoinToken) -> Self {
        Self {
            dir: dir.into(),
            password,
            authority: authority.into(),
            token,
            role: Role::Worker,
            node_id: None,
            advertise: None,
            listen: None,
            capabilities: Vec::new(),
            network: Arc::new(TcpNetwork),
            responder: None,
            progress: Arc::new(|_| {}),
            store_made: Box::new(|_| {}),
        }
    }
}

/// A node that has joined.
pub struct JoinedCluster {
    /// The node, ready to start.
    pub enrolment: Enrolment,
    /// Addresses that it claimed and that could not be proved.
    pub left_out: Vec<LeftOut>,
}

/// Joins a cluster. Nothing runs yet.
///
/// A folder whose join was refused or interrupted can be used again, with the same password: its key is kept.
///
/// # Errors
/// [`NodeError`] says at which step it failed, and what to do.
pub async fn join(options: JoinClusterOptions) -> Result<JoinedCluster, NodeError> {
    let advertise = options.advertise.map_or_else(address::the_only_one, Ok)?;
    let (dir, password, store_made) = (options.dir.clone(), options.password, options.store_made);
    let (store, key) = spawn_blocking(move || prepare(&dir, &password, store_made)).await??;
    let responder = options.responder.unwrap_or_else(|| ChallengeResponder::new(options.network.clone()));
    let join = JoinOptions {
        node_id: options.node_id,
        role: options.role,
        addresses: vec![advertise.clone()],
        key: Some(key),
        responder,
        progress: options.progress,
    };
    let joined = identity::join(options.network, &options.authority, options.token, join).await?;
    let mut seeds = vec![joined.seed.authority.clone()];
    if options.authority != joined.seed.authority {
        seeds.push(options.authority);
    }
    let config = config(options.role, advertise, options.listen, options.capabilities, seeds);
    let (dir, identity, left_out) = (options.dir, joined.identity, joined.left_out);
    spawn_blocking(move || {
        identity.save(&StoreVault::new(store.clone()))?;
        config.save(&store)?;
        Ok(JoinedCluster { enrolment: Enrolment { dir, store, identity, config }, left_out })
    })
    .await?
}

/// Opens or makes the store, and the key in it.
fn prepare(
    dir: &Path,
    password: &Password,
    store_made: Box<dyn FnOnce(&RecoveryKey) + Send>,
) -> Result<(Arc<Store>, NodeKey), NodeError> {
    let store = if Store::exists(dir)? {
        Store::open(dir, password)?
    } else {
        let (store, recovery_key) = Store::create(dir, password)?;
        store_made(&recovery_key);
        store
    };
    let store = Arc::new(store);
    refuse_departed(&store)?;
    let vault = StoreVault::new(store.clone());
    if let Some(present) = NodeIdentity::load(&vault)? {
        return Err(identity::IdentityError::AlreadyEnrolled(present.peer().clone()).into());
    }
    let key = NodeKey::load_or_create(&vault)?;
    Ok((store, key))
}

impl Enrolment {
    /// Opens the store of an enrolled node.
    ///
    /// # Errors
    /// [`NodeError`]: no store, wrong password, not enrolled, left.
    pub async fn open(dir: impl Into<PathBuf>, password: Password) -> Result<Self, NodeError> {
        let dir = dir.into();
        spawn_blocking(move || {
            if !Store::exists(&dir)? {
                return Err(NodeError::NotEnrolled { dir });
            }
            let store = Arc::new(Store::open(&dir, &password)?);
            Self::of(dir, store)
        })
        .await?
    }

    fn of(dir: PathBuf, store: Arc<Store>) -> Result<Self, NodeError> {
        refuse_departed(&store)?;
        let Some(identity) = NodeIdentity::load(&StoreVault::new(store.clone()))? else {
            return Err(NodeError::NotEnrolled { dir });
        };
        let config = NodeConfig::load(&store)?;
        Ok(Self { dir, store, identity, config })
    }

    /// What was revoked, as far as this node knows; it is in force in its identity's TLS material from now on.
    pub(crate) fn ledger(&self) -> Result<Ledger, NodeError> {
        let vault = Arc::new(WeakVault::new(&self.store));
        Ok(Ledger::load(vault, self.identity.material().clone(), Arc::new(UnixMillis::now))?)
    }

    /// What lets new nodes in, on a coordinator. `port` is where it listens, once it does.
    pub(crate) fn issuer(
        &self,
        network: Arc<dyn Network>,
        ledger: Ledger,
        port: impl Fn() -> Option<u16> + Send + Sync + 'static,
    ) -> Result<Option<Issuer>, NodeError> {
        let (node_id, advertise, usual) =
            (self.identity.peer().node_id.clone(), self.config.advertise.clone(), self.config.listen.port());
        let seed = move || Seed { node_id: node_id.clone(), authority: advertise.with_port(port().unwrap_or(usual)) };
        let options =
            IssuerOptions::new(seed(), vec![self.config.advertise.clone()], Arc::new(HttpFetcher::new(network))).with_seed(seed);
        Ok(Issuer::load(Arc::new(StoreVault::new(self.store.clone())), self.identity.root(), ledger, options)?)
    }
}

/// Makes a join token while the coordinator does not run.
///
/// # Errors
/// [`NodeError::NotEnrolled`] where the node issues no tokens.
pub async fn create_token_offline(enrolment: &Enrolment, options: TokenOptions) -> Result<JoinToken, NodeError> {
    match enrolment.issuer(Arc::new(TcpNetwork), enrolment.ledger()?, || None)? {
        Some(issuer) => Ok(issuer.create_token(options).await?),
        None => Err(NodeError::NoIssuer { node_id: enrolment.identity.peer().node_id.clone() }),
    }
}

/// Notes that the node has left for good.
pub(super) fn note_departure(store: &Arc<Store>) -> Result<(), NodeError> {
    let node_id = NodeIdentity::load(&StoreVault::new(store.clone()))?.map(|identity| identity.peer().node_id.to_string());
    Ok(store.update(|entries| entries.put(LEFT, node_id.unwrap_or_default()))?)
}

fn refuse_departed(store: &Store) -> Result<(), NodeError> {
    let Some(left) = store.get(LEFT) else { return Ok(()) };
    Err(NodeError::HasLeft { node_id: String::from_utf8_lossy(left.expose()).into_owned() })
}

fn config(
    role: Role,
    advertise: Host,
    listen: Option<SocketAddr>,
    capabilities: Vec<Capability>,
    seeds: Vec<String>,
) -> NodeConfig {
    let usual = address::listen_for(&advertise, role.default_port());
    let mut config = NodeConfig::new(listen.unwrap_or(usual), advertise);
    config.port_is_fixed = listen.is_some_and(|listen| listen.port() != 0);
    config.capabilities = capabilities;
    config.seeds = seeds;
    config
}

fn random_id(role: Role) -> Result<NodeId, NodeError> {
    identity::join::random_node_id(role).map_err(|error| NodeError::Identity(error.into()))
}
