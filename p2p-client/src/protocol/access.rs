//! Who is calling, and who may call what (the table of docs/architecture.md).

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NodeId, Role};

/// Who may call a method. The default is [`Access::Nodes`]: what is not said to be open is closed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Access {
    /// Nodes of the cluster and operators.
    #[default]
    Nodes,
    /// Also every client with a valid token.
    Public,
    /// Nodes, operators, and clients whose token has this scope.
    Scope(Cow<'static, str>),
    /// Nodes of this role only.
    Role(Role),
    /// Anyone.
    Anonymous,
}

/// Who asks for a call, as the node that serves it has verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallerId {
    /// A node of the cluster, by its certificate (or this node itself).
    Node {
        /// The node's id.
        id: NodeId,
        /// The role that its certificate gives it.
        role: Role,
    },
    /// Whoever may open this node's Unix socket.
    Operator,
    /// Nobody that could be named.
    Anonymous,
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { id, role } => write!(f, "node {id} ({role})"),
            Self::Operator => f.write_str("the operator of this node"),
            Self::Anonymous => f.write_str("an anonymous caller"),
        }
    }
}

/// A refusal: who was refused what, and what would be needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{caller} may not call {method}: it is for {allowed}")]
pub struct Denied {
    caller: String,
    method: String,
    allowed: String,
}

impl Access {
    /// Decides whether `caller` may call `method`.
    ///
    /// # Errors
    /// [`Denied`] says who was refused and whom the method is for.
    ///
    /// ```
    /// use p2p_client::protocol::{Access, CallerId};
    /// assert!(Access::Nodes.check(&CallerId::Anonymous, "greeter/greet").is_err());
    /// assert!(Access::Anonymous.check(&CallerId::Anonymous, "greeter/greet").is_ok());
    /// ```
    pub fn check(&self, caller: &CallerId, method: &str) -> Result<(), Denied> {
        if self.allows(caller) {
            Ok(())
        } else {
            Err(Denied { caller: caller.to_string(), method: method.to_owned(), allowed: self.to_string() })
        }
    }

    /// The table of docs/architecture.md, one row a line.
    #[allow(clippy::match_same_arms, reason = "each row of the table is a line")]
    fn allows(&self, caller: &CallerId) -> bool {
        match (self, caller) {
            (Self::Anonymous, _) => true,
            (Self::Role(wanted), CallerId::Node { role, .. }) => role == wanted,
            (Self::Role(_), _) => false,
            (Self::Nodes | Self::Public | Self::Scope(_), CallerId::Node { .. } | CallerId::Operator) => true,
            (Self::Nodes | Self::Public | Self::Scope(_), CallerId::Anonymous) => false,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes => f.write_str("nodes of this cluster and operators"),
            Self::Public => f.write_str("nodes, operators and clients with a token"),
            Self::Scope(scope) => write!(f, "nodes, operators and clients with the scope {scope:?}"),
            Self::Role(role) => write!(f, "nodes with the role {role}"),
            Self::Anonymous => f.write_str("anyone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_follows_the_table_of_the_design() {
        let worker = CallerId::Node { id: "w".parse().unwrap(), role: Role::Worker };
        let coordinator = CallerId::Node { id: "c".parse().unwrap(), role: Role::Coordinator };
        let rows = [
            // access, worker, coordinator, operator, anonymous
            (Access::Nodes, true, true, true, false),
            (Access::Public, true, true, true, false),
            (Access::Scope("read".into()), true, true, true, false),
            (Access::Role(Role::Coordinator), false, true, false, false),
            (Access::Role(Role::Worker), true, false, false, false),
            (Access::Anonymous, true, true, true, true),
        ];
        for (access, w, c, operator, anonymous) in rows {
            assert_eq!(access.allows(&worker), w, "{access:?}");
            assert_eq!(access.allows(&coordinator), c, "{access:?}");
            assert_eq!(access.allows(&CallerId::Operator), operator, "{access:?}");
            assert_eq!(access.allows(&CallerId::Anonymous), anonymous, "{access:?}");
        }
    }

    #[test]
    fn a_refusal_names_who_what_and_whom_it_is_for() {
        let said = Access::Nodes.check(&CallerId::Anonymous, "a/b").unwrap_err().to_string();
        assert_eq!(said, "an anonymous caller may not call a/b: it is for nodes of this cluster and operators");
    }
}
