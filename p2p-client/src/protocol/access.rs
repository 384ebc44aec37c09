//! Who is calling, and who may call what (the table of docs/architecture.md).

use std::{borrow::Cow, fmt, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NodeId, Role, Scopes};

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
    /// A client outside of the cluster, by its token.
    Client(Arc<ClientIdentity>),
    /// Whoever may open this node's Unix socket.
    Operator,
    /// Nobody that could be named.
    Anonymous,
}

/// A client outside of the cluster, as its token says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientIdentity {
    /// Its name: that of its credential with the coordinator that keeps it, such as `ci@coordinator-1`.
    pub name: String,
    /// What the token allows, beside what is open to every client.
    pub scopes: Scopes,
    /// The token's id, by which it is revoked. It is no secret.
    pub token_id: String,
}

impl ClientIdentity {
    /// A client of this name, whose token has these scopes and this id: for what verifies tokens, and for tests.
    pub fn new(name: impl Into<String>, scopes: Scopes, token_id: impl Into<String>) -> Self {
        Self { name: name.into(), scopes, token_id: token_id.into() }
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { id, role } => write!(f, "node {id} ({role})"),
            Self::Client(client) => write!(f, "client {}", client.name),
            Self::Operator => f.write_str("the operator of this node"),
            Self::Anonymous => f.write_str("an anonymous caller"),
        }
    }
}

/// A refusal: who was refused what, and what would be needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{caller} may not call {method}: {reason}{help}")]
pub struct Denied {
    caller: String,
    method: String,
    reason: String,
    help: String,
}

impl Denied {
    /// Whom it is for: `it is for nodes of this cluster and operators`. For logs, in which it stands beside who was refused what.
    pub fn reason(&self) -> &str {
        &self.reason
    }
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
            let (caller, help) = (caller.to_string(), self.help(caller));
            Err(Denied { caller, method: method.to_owned(), reason: format!("it is for {self}"), help })
        }
    }

    /// What a caller that is refused can do about it.
    fn help(&self, caller: &CallerId) -> String {
        match (self, caller) {
            (Self::Public | Self::Scope(_), CallerId::Anonymous) => {
                "; send a token in the header authorization: POST /auth/token gives one for a client credential, which `p2p client create` \
                 on a coordinator makes"
                    .to_owned()
            }
            (Self::Scope(_), CallerId::Client(client)) if client.scopes.is_empty() => {
                "; this token has no scopes: get one with the scope".to_owned()
            }
            (Self::Scope(_), CallerId::Client(client)) => {
                format!("; this token has {}: get one with the scope", client.scopes)
            }
            _ => String::new(),
        }
    }

    /// Whether `caller` may call: the table of docs/architecture.md, one row a line.
    #[allow(clippy::match_same_arms, reason = "each row of the table is a line")]
    pub fn allows(&self, caller: &CallerId) -> bool {
        match (self, caller) {
            (Self::Anonymous, _) => true,
            (Self::Role(wanted), CallerId::Node { role, .. }) => role == wanted,
            (Self::Role(_), _) => false,
            (Self::Nodes | Self::Public | Self::Scope(_), CallerId::Node { .. } | CallerId::Operator) => true,
            (Self::Nodes, CallerId::Client(_)) => false,
            (Self::Public, CallerId::Client(_)) => true,
            (Self::Scope(wanted), CallerId::Client(client)) => client.scopes.contains(wanted),
            (Self::Nodes | Self::Public | Self::Scope(_), CallerId::Anonymous) => false,
        }
    }
}

impl Access {
    /// Whether everybody who may call by this may call by `wider` as well: what a host may make of its contract's access.
    ///
    /// ```
    /// use p2p_client::protocol::{Access, Role};
    /// assert!(Access::Role(Role::Worker).is_within(&Access::Public));
    /// assert!(!Access::Anonymous.is_within(&Access::Public));
    /// ```
    pub const fn is_within(&self, wider: &Self) -> bool {
        match (self, wider) {
            (_, Self::Anonymous)
            | (Self::Public | Self::Scope(_) | Self::Nodes | Self::Role(_), Self::Public)
            | (Self::Nodes | Self::Role(_), Self::Nodes | Self::Scope(_)) => true,
            (Self::Scope(own), Self::Scope(other)) => same(text(own), text(other)),
            (Self::Role(own), Self::Role(other)) => *own as u8 == *other as u8,
            (Self::Anonymous | Self::Public | Self::Scope(_) | Self::Nodes, _) => false,
        }
    }
}

/// A scope, where only constants are computed.
#[allow(clippy::ptr_arg, reason = "what a Cow derefs to is not known where only constants are computed")]
const fn text<'a>(scope: &'a Cow<'static, str>) -> &'a [u8] {
    match scope {
        Cow::Borrowed(scope) => scope.as_bytes(),
        Cow::Owned(scope) => scope.as_bytes(),
    }
}

/// Equality, where only constants are computed.
pub(crate) const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
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
        let (plain, scoped) = (client("write"), client("read write"));
        let rows = [
            // access, worker, coordinator, operator, client, client with the scope, anonymous
            (Access::Nodes, [true, true, true, false, false, false]),
            (Access::Public, [true, true, true, true, true, false]),
            (Access::Scope("read".into()), [true, true, true, false, true, false]),
            (Access::Role(Role::Coordinator), [false, true, false, false, false, false]),
            (Access::Role(Role::Worker), [true, false, false, false, false, false]),
            (Access::Anonymous, [true, true, true, true, true, true]),
        ];
        let callers = [worker, coordinator, CallerId::Operator, plain, scoped, CallerId::Anonymous];
        for (access, allowed) in rows {
            for (caller, allowed) in callers.iter().zip(allowed) {
                assert_eq!(access.allows(caller), allowed, "{access:?} {caller}");
            }
        }
    }

    #[test]
    fn one_access_is_within_another_where_all_whom_it_lets_in_are_let_in_by_that_too() {
        let worker = CallerId::Node { id: "w".parse().unwrap(), role: Role::Worker };
        let coordinator = CallerId::Node { id: "c".parse().unwrap(), role: Role::Coordinator };
        let callers = [worker, coordinator, CallerId::Operator, client(""), client("read"), client("write"), CallerId::Anonymous];
        let all = [
            Access::Nodes,
            Access::Public,
            Access::Scope("read".into()),
            Access::Scope("write".into()),
            Access::Scope(String::from("read").into()),
            Access::Role(Role::Coordinator),
            Access::Role(Role::Worker),
            Access::Anonymous,
        ];
        for own in &all {
            for other in &all {
                let lets_in_no_more = callers.iter().all(|caller| !own.allows(caller) || other.allows(caller));
                assert_eq!(own.is_within(other), lets_in_no_more, "{own:?} {other:?}");
            }
        }
    }

    fn client(scopes: &str) -> CallerId {
        CallerId::Client(Arc::new(ClientIdentity::new("ci@c", scopes.parse().unwrap(), "1.2")))
    }

    #[test]
    fn a_refusal_says_what_a_caller_can_do_where_it_can_do_something() {
        let said = |access: &Access, caller: &CallerId| access.check(caller, "a/b").unwrap_err().to_string();
        let scope = Access::Scope("read".into());
        for access in [&Access::Public, &scope] {
            let said = said(access, &CallerId::Anonymous);
            assert!(
                said.contains("; send a token in the header authorization: POST /auth/token")
                    && said.contains("`p2p client create`")
            );
        }
        let for_scope =
            "client ci@c may not call a/b: it is for nodes, operators and clients with the scope \"read\"; this token has ";
        assert_eq!(said(&scope, &client("write")), format!("{for_scope}write: get one with the scope"));
        assert_eq!(said(&scope, &client("")), format!("{for_scope}no scopes: get one with the scope"));
        assert_eq!(
            said(&Access::Nodes, &client("read")),
            "client ci@c may not call a/b: it is for nodes of this cluster and operators"
        );
    }

    #[test]
    fn a_refusal_names_who_what_and_whom_it_is_for() {
        let said = Access::Nodes.check(&CallerId::Anonymous, "a/b").unwrap_err().to_string();
        assert_eq!(said, "an anonymous caller may not call a/b: it is for nodes of this cluster and operators");
    }
}
