//! [`NodeConfig`]: what a node is told about itself, kept as YAML in its store.

use std::net::SocketAddr;

use p2p_client::protocol::{Access, Capability};
use serde::{Deserialize, Serialize};

use crate::{
    identity::Host,
    storage::{Store, StoreError},
};

/// Where it stands in the store.
const ENTRY: &str = "config/node.yaml";

/// A node's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Where the node listens.
    pub listen: SocketAddr,
    /// Whether the port was named by a person: then a taken one is an error. Otherwise the next free one is taken, and kept.
    #[serde(default)]
    pub port_is_fixed: bool,
    /// The address under which other nodes reach it.
    pub advertise: Host,
    /// Labels to route by.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Addresses (`host:port`) of nodes to find the cluster by.
    #[serde(default)]
    pub seeds: Vec<String>,
    /// Who may read the HTTP documents.
    #[serde(default)]
    pub http_access: HttpAccess,
}

/// Who may read the documents that a node serves beside its methods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpAccess {
    /// `GET /services`
    #[serde(default = "public")]
    pub services: Access,
    /// `GET /cluster/nodes`
    #[serde(default = "public")]
    pub cluster_nodes: Access,
    /// `GET /openapi.json`, `GET /openapi-3.0.json`, `GET /openrpc.json` and the method `rpc.discover`
    #[serde(default = "public")]
    pub documents: Access,
}

fn public() -> Access {
    Access::Public
}

impl Default for HttpAccess {
    fn default() -> Self {
        Self::all(Access::Public)
    }
}

impl HttpAccess {
    /// The same for all of them.
    pub fn all(access: Access) -> Self {
        Self { services: access.clone(), cluster_nodes: access.clone(), documents: access }
    }
}

/// The stored configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is none.
    #[error("the store holds no configuration; `p2p init` or `p2p join` writes one")]
    Missing,
    /// It cannot be read.
    #[error("the stored configuration cannot be read: {0}")]
    Unreadable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NodeConfig {
    /// Reads it from the store.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or not readable.
    pub fn load(store: &Store) -> Result<Self, ConfigError> {
        let stored = store.get(ENTRY).ok_or(ConfigError::Missing)?;
        serde_saphyr::from_slice(stored.expose()).map_err(|error| ConfigError::Unreadable(error.to_string()))
    }

    /// Keeps it in the store, durably.
    ///
    /// # Errors
    /// [`ConfigError::Store`].
    pub fn save(&self, store: &Store) -> Result<(), ConfigError> {
        let text = serde_saphyr::to_string(self).map_err(|error| ConfigError::Unreadable(error.to_string()))?;
        Ok(store.update(|entries| entries.put(ENTRY, text))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_its_yaml_form() {
        let config = NodeConfig {
            listen: "0.0.0.0:8001".parse().unwrap(),
            port_is_fixed: false,
            advertise: "10.0.0.5".parse().unwrap(),
            capabilities: vec!["gpu".into()],
            seeds: vec!["10.0.0.1:8001".to_owned()],
            http_access: HttpAccess::default(),
        };
        let text = serde_saphyr::to_string(&config).unwrap();
        assert_eq!(serde_saphyr::from_str::<NodeConfig>(&text).unwrap(), config, "{text}");
    }
}
