//! Names of nodes and clusters.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a node, for life: 1 to 63 characters, lower-case letters, digits and inner hyphens (a DNS label, RFC 1035 §2.3.1).
///
/// Being a DNS label, it can stand in a certificate, a host name and a URL without escaping. Cloning is cheap.
///
/// ```
/// use p2p_client::protocol::NodeId;
///
/// let id: NodeId = "worker-123".parse()?;
/// assert_eq!(id.as_str(), "worker-123");
/// assert!("Worker 123".parse::<NodeId>().is_err());
/// # Ok::<(), p2p_client::protocol::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 63;

    /// Checks a name and makes it a node id.
    ///
    /// # Errors
    /// [`InvalidId`] says which rule the name breaks.
    pub fn new(name: &str) -> Result<Self, InvalidId> {
        let reason = if name.is_empty() {
            "it is empty"
        } else if name.len() > Self::MAX_LEN {
            "it is longer than 63 characters"
        } else if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            "only a-z, 0-9 and '-' are allowed"
        } else if name.starts_with('-') || name.ends_with('-') {
            "it begins or ends with '-'"
        } else {
            return Ok(Self(name.into()));
        };
        Err(InvalidId { name: name.chars().take(80).collect(), reason })
    }

    /// A name that is known to keep the rules.
    pub(crate) fn known(name: &str) -> Self {
        debug_assert!(Self::new(name).is_ok(), "{name:?}");
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no [`NodeId`] or [`ClusterId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no valid id: {reason}; an id looks like \"worker-123\"")]
pub struct InvalidId {
    name: String,
    reason: &'static str,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.0)
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        Self::new(s)
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        Self::new(&s)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for NodeId {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for NodeId {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// Names a cluster: the first 16 bytes of the SHA-256 of its root's public key (SubjectPublicKeyInfo, DER), in hexadecimal.
///
/// So it cannot be claimed by a cluster with another root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ClusterId(Arc<str>);

impl ClusterId {
    /// The id that belongs to a root key, from the SHA-256 of its public key.
    pub fn from_root_key_hash(sha256: &[u8; 32]) -> Self {
        let short = sha256.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        Self(format!("{short:032x}").into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for ClusterId {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        if s.len() == 32 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(s.into()))
        } else {
            Err(InvalidId { name: s.chars().take(80).collect(), reason: "a cluster id is 32 hexadecimal digits" })
        }
    }
}

impl FromStr for ClusterId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        Self::try_from(s.to_owned())
    }
}

impl From<ClusterId> for String {
    fn from(id: ClusterId) -> Self {
        id.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_a_dns_label() {
        for good in ["a", "worker-1", "0", &"x".repeat(63)] {
            assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", "empty"),
            ("-a", "begins or ends"),
            ("a-", "begins or ends"),
            ("Ab", "only a-z"),
            ("a.b", "only a-z"),
            ("ä", "only a-z"),
            (&"x".repeat(64), "longer than 63"),
        ] {
            let said = bad.parse::<NodeId>().unwrap_err().to_string();
            assert!(said.contains(why), "{bad:?}: {said}");
        }
    }

    #[test]
    fn a_cluster_id_survives_its_text_form() {
        let id = ClusterId::from_root_key_hash(&[0xab; 32]);
        assert_eq!(id.as_str(), "ab".repeat(16));
        assert_eq!(id.as_str().parse::<ClusterId>().unwrap(), id);
        assert!("xyz".parse::<ClusterId>().is_err());
    }
}
