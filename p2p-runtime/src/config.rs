//! The configuration of a node: YAML in its encrypted store.
//!
//! ```text
//! YAML, a command line ─ ConfigDocument (which keys are set; checked) ─> NodeConfig (typed, defaults filled in)
//!        ^                     |                                              |
//!        +──── store <─────────+                 apply: what the node's parts take; RunningConfig: what changes while it runs
//! ```
//! Each setting is said once, in [`sections`]; [`Settings`] lists them. What became of the original's keys is in [`original`].
//! `docs/configuration.md` is their table, and a test compares the two.

mod apply;
mod command;
#[cfg(test)]
mod docs;
mod document;
mod original;
mod running;
mod sections;
mod setting;
mod value;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::LazyLock,
};

use p2p_client::protocol::Capability;

use crate::{
    identity::Host,
    storage::{Store, StoreError},
};

pub(crate) use command::changed_keys;
pub use command::{ConfigCommand, ConfigReply, Waits};
pub use document::{Change, ConfigDocument};
pub(crate) use running::{Overrides, RunningConfig};
pub use sections::{
    CacheConfig, ConnectionConfig, GossipConfig, HttpAccess, ProxyConfig, RateLimitConfig, RedisConfig, SessionConfig,
    StoreConfig,
};
pub use setting::{Effect, Mistake, Setting};
pub use value::{ByteSize, LogLevel, SecretUrl, duration};

/// Where it stands in the store.
const ENTRY: &str = "config/node.yaml";

/// A node's configuration. `docs/configuration.md` says what each key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Where the node listens.
    pub listen: SocketAddr,
    /// Whether the port was named by a person: then a taken one is an error. Otherwise the next free one is taken, and kept.
    pub port_is_fixed: bool,
    /// The address under which other nodes reach it.
    pub advertise: Host,
    /// Further addresses of it, such as one of IPv6 beside one of IPv4. They are proved and certified as well, for clients that come by them.
    pub advertise_also: Vec<Host>,
    /// Labels to route by.
    pub capabilities: Vec<Capability>,
    /// Addresses (`host:port`) of nodes to find the cluster by.
    pub seeds: Vec<String>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// Who may read the HTTP documents.
    pub http_access: HttpAccess,
    /// How many calls the node takes of whom.
    pub rate_limit: RateLimitConfig,
    /// Proxies between the node and its clients.
    pub proxies: ProxyConfig,
    /// What connections and requests may cost.
    pub connections: ConnectionConfig,
    /// Sessions between this node and the others.
    pub sessions: SessionConfig,
    /// How nodes find each other and notice failures.
    pub gossip: GossipConfig,
    /// The encrypted store.
    pub store: StoreConfig,
    /// What is kept in memory for a while.
    pub cache: CacheConfig,
    /// A cache that nodes share.
    pub redis: RedisConfig,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is none.
    #[error("the store holds no configuration; `p2p init` or `p2p join` writes one")]
    Missing,
    /// What is in it is wrong.
    #[error("the configuration cannot be used: {}; `p2p config edit` opens it", list(.0))]
    Mistakes(Vec<Mistake>),
    /// Somebody else has changed it meanwhile.
    #[error("the configuration was changed by somebody else meanwhile; look at it with `p2p config show`, and try again")]
    Changed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl NodeConfig {
    /// A node that listens and is reached there, with the defaults for everything else.
    pub fn new(listen: SocketAddr, advertise: Host) -> Self {
        Self {
            listen,
            port_is_fixed: false,
            advertise,
            advertise_also: Vec::new(),
            capabilities: Vec::new(),
            seeds: Vec::new(),
            log_level: LogLevel::Info,
            http_access: HttpAccess::default(),
            rate_limit: RateLimitConfig::default(),
            proxies: ProxyConfig::default(),
            connections: ConnectionConfig::default(),
            sessions: SessionConfig::default(),
            gossip: GossipConfig::default(),
            store: StoreConfig::default(),
            cache: CacheConfig::default(),
            redis: RedisConfig::default(),
        }
    }

    /// Every address that the node has proved and certified, the one that other nodes use first.
    pub fn addresses(&self) -> Vec<Host> {
        let mut all = vec![self.advertise.clone()];
        for also in &self.advertise_also {
            if !all.contains(also) {
                all.push(also.clone());
            }
        }
        all
    }

    /// The defaults, for what has some.
    fn unplaced() -> Self {
        let nowhere = Ipv4Addr::UNSPECIFIED;
        Self::new((nowhere, 0).into(), Host::Ip(nowhere.into()))
    }

    /// Reads it from the store.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or wrong.
    pub fn load(store: &Store) -> Result<Self, ConfigError> {
        Ok(ConfigDocument::load(store)?.config().clone())
    }

    /// Keeps it in the store, durably. A key that was set stays set, also where it has its default.
    ///
    /// # Errors
    /// [`ConfigError::Store`].
    pub fn save(&self, store: &Store) -> Result<(), ConfigError> {
        let document = match ConfigDocument::load(store) {
            Ok(stored) => stored.with_values_of(self),
            Err(ConfigError::Missing) => ConfigDocument::of(self),
            Err(other) => return Err(other),
        };
        Ok(store.update(|entries| entries.put(ENTRY, document.to_yaml()))?)
    }
}

impl ConfigDocument {
    /// Reads it from the store.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or wrong.
    pub fn load(store: &Store) -> Result<Self, ConfigError> {
        let stored = store.get(ENTRY).ok_or(ConfigError::Missing)?;
        Self::parse(&String::from_utf8_lossy(stored.expose()))
    }
}

/// All settings.
pub struct Settings(Vec<Setting>);

// A constant, but for what `const` cannot make.
static ALL: LazyLock<Settings> = LazyLock::new(|| Settings(sections::all()));

/// Texts of which less than this part is the same are not taken for one another.
const LIKENESS: f64 = 0.6;

impl Settings {
    /// The one list of them.
    pub fn all() -> &'static Self {
        &ALL
    }

    /// Each, in the order in which they are shown.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    /// One by its key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key == key)
    }

    fn is_section(&self, name: &str) -> bool {
        self.0.iter().any(|setting| setting.key.split_once('.').is_some_and(|(section, _)| section == name))
    }

    /// The key that is spelled most like this: as a whole, without its section, or as the original has it.
    fn nearest(&self, key: &str) -> Option<String> {
        let key = key.to_ascii_lowercase();
        let likeness = |known: &str| {
            let tail = known.rsplit('.').next().unwrap_or(known);
            strsim::normalized_damerau_levenshtein(known, &key).max(strsim::normalized_damerau_levenshtein(tail, &key))
        };
        let originals = original::KEYS.iter().map(|(name, fate)| (*name, fate.now().unwrap_or(name)));
        let known = self.0.iter().map(|setting| (setting.key, setting.key)).chain(originals);
        let best = known.map(|(spelled, meant)| (likeness(spelled), meant)).max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 >= LIKENESS).then(|| best.1.to_owned())
    }
}
