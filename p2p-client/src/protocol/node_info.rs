//! What a node tells the others about itself.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capability, Fingerprint, NodeId, Role};

/// What the cluster knows of one node: what the node said of itself, and what membership found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    /// The node's name for life.
    pub node_id: NodeId,
    /// The advertised host: an IP address or a DNS name, without port and without brackets.
    pub address: String,
    /// The advertised port.
    pub port: u16,
    /// What the node is.
    pub role: Role,
    /// Labels to route by.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// When the viewing node last heard from it (milliseconds since the Unix epoch). Not part of what the node signs.
    #[serde(default)]
    pub last_seen: UnixMillis,
    /// Free facts about the node.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What membership says of it. Not part of what the node signs.
    #[serde(default)]
    pub status: NodeStatus,
    /// The services it hosts, by name.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceSummary>,
}

impl NodeInfo {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }

    /// The node's address for callers outside, such as `https://10.0.0.5:8002`.
    pub fn url(&self) -> String {
        format!("https://{}", self.authority())
    }

    /// The entry of its [metadata](Self::metadata) by which a node says that it starts. Nodes of earlier versions neither write nor read
    /// it.
    pub const STARTING: &str = "starting";

    /// Whether it is a member and does not serve yet: what it hosts it says when it does.
    pub fn is_starting(&self) -> bool {
        self.metadata.contains_key(Self::STARTING)
    }

    /// Whether calls may be sent to it: it is neither dead nor gone.
    pub fn is_callable(&self) -> bool {
        matches!(self.status, NodeStatus::Alive | NodeStatus::Suspected)
    }
}

/// The state of a member, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// It answers.
    #[default]
    Alive,
    /// It did not answer a probe and has not yet refuted the suspicion.
    Suspected,
    /// It is taken for dead: it did not refute in time.
    Dead,
    /// It went on purpose, for good.
    Left,
    /// An operator took its membership back.
    Revoked,
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alive => "alive",
            Self::Suspected => "suspected",
            Self::Dead => "dead",
            Self::Left => "left",
            Self::Revoked => "revoked",
        })
    }
}

/// What gossip says of a service: enough to choose a host and to know whether it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSummary {
    /// The service's semantic version.
    pub version: String,
    /// The fingerprint of its descriptor.
    pub fingerprint: Fingerprint,
    /// Whether it can take calls.
    #[serde(default)]
    pub health: ServiceHealth,
}

/// Whether a service can take calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceHealth {
    /// It can.
    #[default]
    Healthy,
    /// It can, but says that something is wrong.
    Degraded,
    /// It cannot.
    Unhealthy,
}

/// A time of day on the wire: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Now, by this machine's clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
