//! What a node is, and what it can do.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a node is in its cluster.
///
/// ```
/// use p2p_client::protocol::Role;
/// assert_eq!("worker".parse::<Role>()?, Role::Worker);
/// # Ok::<(), p2p_client::protocol::UnknownRole>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Issues certificates and tokens, besides hosting services.
    Coordinator,
    /// Hosts services.
    Worker,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 2] = [Self::Coordinator, Self::Worker];

    /// The role's name on the wire and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
        }
    }

    /// The port that a node of this role listens on unless told otherwise: 8001 or 8002.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Coordinator => 8001,
            Self::Worker => 8002,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no [`Role`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown role {0:?}; the roles are \"coordinator\" and \"worker\"")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(s: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == s).ok_or_else(|| UnknownRole(s.to_owned()))
    }
}

/// A free label of a node, to route by, such as `gpu` or `eu-west`: 1 to 63 printable ASCII characters without spaces and commas.
///
/// ```
/// use p2p_client::protocol::Capability;
/// assert_eq!(Capability::from("gpu").as_str(), "gpu");
/// assert!(Capability::new("two words").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Capability(Arc<str>);

/// A text that is no [`Capability`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no capability: use 1 to 63 printable characters without spaces and commas, such as \"gpu\"")]
pub struct InvalidCapability(String);

impl Capability {
    /// Checks a label and makes it a capability.
    ///
    /// # Errors
    /// [`InvalidCapability`] when it is empty, too long, or holds other characters than printable ASCII.
    pub fn new(label: &str) -> Result<Self, InvalidCapability> {
        let fits = (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if fits { Ok(Self(label.into())) } else { Err(InvalidCapability(label.chars().take(80).collect())) }
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Capability {
    /// For labels written in the program. A label that breaks the rules names no node, so that calls to it fail with `NoRoute`.
    fn from(label: &'static str) -> Self {
        Self(label.into())
    }
}

impl TryFrom<String> for Capability {
    type Error = InvalidCapability;
    fn try_from(s: String) -> Result<Self, InvalidCapability> {
        Self::new(&s)
    }
}

impl FromStr for Capability {
    type Err = InvalidCapability;
    fn from_str(s: &str) -> Result<Self, InvalidCapability> {
        Self::new(s)
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.0.as_ref().to_owned()
    }
}

impl Borrow<str> for Capability {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
