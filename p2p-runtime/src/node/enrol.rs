//! Enrolment: how a node comes to belong to a cluster, before it first runs.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use p2p_client::{
    protocol::{Capability, NodeId, Role, UnixMillis},
    wire::{
        net::{Network, TcpNetwork},
        tls::{PeerIdentity, RootKeyHash, TrustedRoot},
    },
};
use rustls_pki_types::UnixTime;
use tokio::task::spawn_blocking;

use crate::{
    audit::{
        self,
        offline::{self, Act},
    },
    config::NodeConfig,
    identity::{
        self, ChallengeResponder, Host, HttpFetcher, Issuer, IssuerOptions, JoinEvent, JoinOptions, JoinToken, Ledger, NoOthers,
        NodeIdentity, NodeKey, OtherCoordinators, RootKeys, TokenOptions, Vault,
        join::{LeftOut, Seed},
        rotation::begin_anew,
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
    /// Whether a node whose own certificate looks good joins again: where the coordinator that issued it was revoked.
    pub again: bool,
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
            again: false,
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
/// A folder whose join was refused or interrupted can be used again, with the same password: its key is kept. So can that of a node whose certificate
/// ran out while it was off, or whose cluster has changed its root meanwhile: it keeps its id, its key and its state.
///
/// # Errors
/// [`NodeError`] says at which step it failed, and what to do.
pub async fn join(options: JoinClusterOptions) -> Result<JoinedCluster, NodeError> {
    let advertise = options.advertise.map_or_else(address::the_only_one, Ok)?;
    let (dir, password, store_made) = (options.dir.clone(), options.password, options.store_made);
    let wanted = Wanted { root: options.token.root(), role: options.role, again: options.again };
    let Prepared { store, key, before } = spawn_blocking(move || prepare(&dir, &password, wanted, store_made)).await??;
    let node_id = before.as_ref().map(|before| before.node_id.clone()).or(options.node_id);
    let responder = options.responder.unwrap_or_else(|| ChallengeResponder::new(options.network.clone()));
    let join = JoinOptions {
        node_id,
        role: options.role,
        addresses: vec![advertise.clone()],
        key: Some(key),
        responder,
        progress: options.progress,
        cluster: before.as_ref().map(|before| before.cluster.clone()),
    };
    let joined = identity::join(options.network, &options.authority, options.token, join).await?;
    let mut seeds = vec![joined.seed.authority.clone()];
    if options.authority != joined.seed.authority {
        seeds.push(options.authority);
    }
    let fresh = config(options.role, advertise, options.listen, options.capabilities, seeds);
    let (dir, identity, left_out) = (options.dir, joined.identity, joined.left_out);
    spawn_blocking(move || {
        let config = if before.is_some() { again(NodeConfig::load(&store)?, fresh, options.listen) } else { fresh };
        let mut changes = identity.changes()?;
        let vault = StoreVault::new(store.clone());
        changes.extend(begin_anew(&vault, identity.root())?);
        vault.update(changes).map_err(identity::IdentityError::from)?;
        config.save(&store)?;
        Ok(JoinedCluster { enrolment: Enrolment { dir, store, identity, config }, left_out })
    })
    .await?
}

/// What a node joins with.
struct Prepared {
    store: Arc<Store>,
    key: NodeKey,
    /// Who it is already, and cannot be any more by the certificate that it has.
    before: Option<PeerIdentity>,
}

/// What is wanted of the cluster.
#[derive(Clone, Copy)]
struct Wanted {
    /// The root that the token names.
    root: RootKeyHash,
    role: Role,
    /// Also where the certificate looks good.
    again: bool,
}

/// Opens or makes the store, and the key in it.
fn prepare(
    dir: &Path,
    password: &Password,
    wanted: Wanted,
    store_made: Box<dyn FnOnce(&RecoveryKey) + Send>,
) -> Result<Prepared, NodeError> {
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
    let present = NodeIdentity::load(&vault)?;
    let before = present.as_ref().map(|present| present.peer().clone());
    if let Some(present) = present.filter(|present| !wanted.again && !is_stranded(present, wanted.root)) {
        return Err(identity::IdentityError::AlreadyEnrolled(present.peer().clone()).into());
    }
    // A worker has no business with what a coordinator keeps: its authorities, its records, its tokens.
    if let Some(before) = before.as_ref().filter(|before| before.role != wanted.role) {
        return Err(NodeError::OtherRole { node: before.clone(), wanted: wanted.role });
    }
    let key = NodeKey::load_or_create(&vault)?;
    Ok(Prepared { store, key, before })
}

/// Whether a node's own certificate does not bring it back into its cluster: it has run out while the node was off, or the cluster has another
/// root since, which the token names.
fn is_stranded(identity: &NodeIdentity, token_root: RootKeyHash) -> bool {
    let has_run_out = identity.certificate().is_ok_and(|certificate| certificate.until < UnixTime::now());
    let shows = identity.chain().last().and_then(|root| TrustedRoot::from_der(root.clone()).ok());
    has_run_out || shows.is_none_or(|shown| shown.key_hash() != token_root)
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

    /// The root keys that the store holds, on a coordinator.
    pub(crate) fn root_keys(&self, ledger: Ledger) -> Option<RootKeys> {
        let peer = self.identity.peer();
        let vault = Arc::new(WeakVault::new(&self.store));
        (peer.role == Role::Coordinator).then(|| RootKeys::new(vault, ledger, Arc::new(UnixMillis::now), peer.node_id.clone()))
    }

    /// What lets new nodes in, on a coordinator, which asks the `others`. `port` is where it listens, once it does.
    pub(crate) fn issuer(
        &self,
        network: Arc<dyn Network>,
        ledger: Ledger,
        others: impl OtherCoordinators,
        port: impl Fn() -> Option<u16> + Send + Sync + 'static,
    ) -> Result<Option<Issuer>, NodeError> {
        let (node_id, advertise, usual) =
            (self.identity.peer().node_id.clone(), self.config.advertise.clone(), self.config.listen.port());
        if self.identity.peer().role != Role::Coordinator {
            return Ok(None);
        }
        let seed = move || Seed { node_id: node_id.clone(), authority: advertise.with_port(port().unwrap_or(usual)) };
        let usual = IssuerOptions::new(seed(), vec![self.config.advertise.clone()], Arc::new(HttpFetcher::new(network)));
        let options = IssuerOptions { others: Arc::new(others), ..usual.with_seed(seed) };
        Ok(Some(Issuer::open(Arc::new(StoreVault::new(self.store.clone())), ledger, options)?))
    }
}

/// Makes a join token while the coordinator does not run, which tells its audit log of that when it starts, with the user of this process.
///
/// # Errors
/// [`NodeError::NotEnrolled`] where the node issues no tokens.
pub async fn create_token_offline(enrolment: &Enrolment, options: TokenOptions) -> Result<JoinToken, NodeError> {
    match enrolment.issuer(Arc::new(TcpNetwork), enrolment.ledger()?, NoOthers, || None)? {
        Some(issuer) => {
            let act = Act::now(audit::JOIN_TOKEN_CREATE).saying(options.in_audit());
            let token = issuer.create_token(options).await?;
            // It is handed out only when this is kept, too.
            let (store, act) = (enrolment.store.clone(), act.to(token.id().to_string()));
            spawn_blocking(move || store.update(|entries| offline::note(entries, act))).await??;
            Ok(token)
        }
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

/// The configuration of a node that joins again: its own, with what it needs to find its cluster and be found.
fn again(mut config: NodeConfig, fresh: NodeConfig, listen: Option<SocketAddr>) -> NodeConfig {
    config.advertise = fresh.advertise;
    config.seeds = fresh.seeds;
    if let Some(listen) = listen {
        (config.listen, config.port_is_fixed) = (listen, fresh.port_is_fixed);
    }
    if !fresh.capabilities.is_empty() {
        config.capabilities = fresh.capabilities;
    }
    config
}

fn random_id(role: Role) -> Result<NodeId, NodeError> {
    identity::join::random_node_id(role).map_err(|error| NodeError::Identity(error.into()))
}
