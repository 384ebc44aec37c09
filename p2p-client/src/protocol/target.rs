//! Where a call goes.

use std::{fmt, str::FromStr};

use super::{Capability, NodeId, NodeInfo, Role};

/// A target that gives one result: one node is chosen among those that fit.
///
/// Made from what names it: `"worker-123"`, a [`NodeId`], a [`Role`], a [`Capability`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum One {
    /// Here if the service is hosted here, else the best node that hosts it.
    Any,
    /// The node with this id.
    Node(NodeId),
    /// A text that is no node id, so that no node can have it; the call fails with `NoRoute`.
    NoSuchNode(Box<str>),
    /// A node with this role.
    Role(Role),
    /// A node with this capability.
    Capability(Capability),
}

/// A target that gives a result for each node that fits and hosts the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Many {
    /// Every node that hosts the service.
    All,
    /// Every node that hosts the service but this one.
    Others,
    /// The nodes with this role.
    Role(Role),
    /// The nodes with this capability.
    Capability(Capability),
    /// These nodes.
    Nodes(Vec<NodeId>),
}

/// Any target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One result.
    One(One),
    /// A result for each node.
    Many(Many),
}

/// What decides whether a target means a node.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its id.
    pub node_id: &'a NodeId,
    /// Its role.
    pub role: Role,
    /// Its capabilities.
    pub capabilities: &'a [Capability],
}

impl<'a> From<&'a NodeInfo> for Candidate<'a> {
    fn from(info: &'a NodeInfo) -> Self {
        Self { node_id: &info.node_id, role: info.role, capabilities: &info.capabilities }
    }
}

impl One {
    /// Whether this node may be the one, as far as the target says.
    pub fn fits(&self, node: Candidate<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Node(id) => id == node.node_id,
            Self::NoSuchNode(_) => false,
            Self::Role(role) => *role == node.role,
            Self::Capability(label) => node.capabilities.contains(label),
        }
    }
}

impl Many {
    /// Whether this node is one of them, as far as the target says, where the node `caller` calls.
    pub fn fits(&self, node: Candidate<'_>, caller: &NodeId) -> bool {
        match self {
            Self::All => true,
            Self::Others => node.node_id != caller,
            Self::Role(role) => *role == node.role,
            Self::Capability(label) => node.capabilities.contains(label),
            Self::Nodes(ids) => ids.contains(node.node_id),
        }
    }
}

impl From<NodeId> for One {
    fn from(id: NodeId) -> Self {
        Self::Node(id)
    }
}

impl From<&NodeId> for One {
    fn from(id: &NodeId) -> Self {
        Self::Node(id.clone())
    }
}

impl From<&str> for One {
    fn from(id: &str) -> Self {
        NodeId::new(id).map_or_else(|_| Self::NoSuchNode(id.into()), Self::Node)
    }
}

impl From<&String> for One {
    fn from(id: &String) -> Self {
        id.as_str().into()
    }
}

impl From<String> for One {
    fn from(id: String) -> Self {
        id.as_str().into()
    }
}

impl From<Role> for One {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

impl From<Capability> for One {
    fn from(capability: Capability) -> Self {
        Self::Capability(capability)
    }
}

impl From<Role> for Many {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

impl From<Capability> for Many {
    fn from(capability: Capability) -> Self {
        Self::Capability(capability)
    }
}

impl From<Vec<NodeId>> for Many {
    fn from(ids: Vec<NodeId>) -> Self {
        Self::Nodes(ids)
    }
}

impl From<&[NodeId]> for Many {
    fn from(ids: &[NodeId]) -> Self {
        Self::Nodes(ids.to_vec())
    }
}

impl From<&Vec<NodeId>> for Many {
    fn from(ids: &Vec<NodeId>) -> Self {
        Self::Nodes(ids.clone())
    }
}

impl<const N: usize> From<[NodeId; N]> for Many {
    fn from(ids: [NodeId; N]) -> Self {
        Self::Nodes(ids.into())
    }
}

impl<const N: usize> From<[&NodeId; N]> for Many {
    fn from(ids: [&NodeId; N]) -> Self {
        Self::Nodes(ids.into_iter().cloned().collect())
    }
}

impl From<One> for Target {
    fn from(one: One) -> Self {
        Self::One(one)
    }
}

impl From<Many> for Target {
    fn from(many: Many) -> Self {
        Self::Many(many)
    }
}

impl fmt::Display for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Node(id) => write!(f, "node={id}"),
            Self::NoSuchNode(text) => write!(f, "node={text}"),
            Self::Role(role) => write!(f, "role={role}"),
            Self::Capability(capability) => write!(f, "capability={capability}"),
        }
    }
}

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Others => f.write_str("others"),
            Self::Role(role) => write!(f, "all,role={role}"),
            Self::Capability(capability) => write!(f, "all,capability={capability}"),
            // What means nobody must not be taken for what means all.
            Self::Nodes(ids) if ids.is_empty() => f.write_str("all,node="),
            Self::Nodes(ids) => {
                f.write_str("all")?;
                ids.iter().try_for_each(|id| write!(f, ",node={id}"))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(one) => one.fmt(f),
            Self::Many(many) => many.fmt(f),
        }
    }
}

/// A text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no target: {reason}; use a node id, a role, any, all, node=ID, role=ROLE, capability=LABEL, \
     or all,role=ROLE and the like for every node that fits"
)]
pub struct ParseTargetError {
    text: String,
    reason: String,
}

/// Reads what [`Display`](fmt::Display) writes, and a bare role name or node id.
///
/// ```
/// use p2p_client::protocol::{Many, One, Role, Target};
/// assert_eq!("role=worker".parse(), Ok(Target::One(One::Role(Role::Worker))));
/// assert_eq!("all,role=worker".parse(), Ok(Target::Many(Many::Role(Role::Worker))));
/// assert_eq!("worker-7".parse(), Ok(Target::One("worker-7".into())));
/// ```
impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        let fail = |reason: String| ParseTargetError { text: text.chars().take(120).collect(), reason };
        match text.split_once(',') {
            Some(("all", rest)) => many(rest).map(Self::Many).map_err(fail),
            Some(_) => Err(fail("only \"all\" takes a list".to_owned())),
            None if text == "all" => Ok(Self::Many(Many::All)),
            None if text == "others" => Ok(Self::Many(Many::Others)),
            None => one(text).map(Self::One).map_err(fail),
        }
    }
}

fn one(text: &str) -> Result<One, String> {
    match text.split_once('=') {
        Some(("node", id)) => NodeId::new(id).map(One::Node).map_err(|e| e.to_string()),
        Some(("role", role)) => role.parse().map(One::Role).map_err(|e: super::UnknownRole| e.to_string()),
        Some(("capability", label)) => Capability::new(label).map(One::Capability).map_err(|e| e.to_string()),
        Some((kind, _)) => Err(format!("there is no {kind:?} to route by")),
        None if text == "any" => Ok(One::Any),
        None => match text.parse() {
            Ok(role) => Ok(One::Role(role)),
            Err(_) => NodeId::new(text).map(One::Node).map_err(|e| e.to_string()),
        },
    }
}

fn many(rest: &str) -> Result<Many, String> {
    let mut ids = Vec::new();
    if rest == "node=" {
        return Ok(Many::Nodes(ids));
    }
    for part in rest.split(',') {
        match one(part)? {
            One::Node(id) => ids.push(id),
            One::Role(role) if part == rest => return Ok(Many::Role(role)),
            One::Capability(label) if part == rest => return Ok(Many::Capability(label)),
            other => return Err(format!("{other} cannot stand in a list")),
        }
    }
    Ok(Many::Nodes(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_survives_its_text_form() {
        let id = || NodeId::new("worker-1").unwrap();
        for target in [
            Target::One(One::Any),
            Target::One(One::Node(id())),
            Target::One(One::Role(Role::Coordinator)),
            Target::One(One::Capability("gpu".into())),
            Target::Many(Many::All),
            Target::Many(Many::Others),
            Target::Many(Many::Role(Role::Worker)),
            Target::Many(Many::Capability("gpu".into())),
            Target::Many(Many::Nodes(vec![id(), NodeId::new("worker-2").unwrap()])),
            Target::Many(Many::Nodes(Vec::new())),
        ] {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    #[test]
    fn a_target_fits_the_nodes_that_it_names_and_others_are_all_but_the_caller() {
        let [me, other] = ["worker-1", "worker-2"].map(|id| NodeId::new(id).unwrap());
        let gpu = [Capability::from("gpu")];
        let node = Candidate { node_id: &me, role: Role::Worker, capabilities: &gpu };
        for (target, fits) in [
            (One::Any, true),
            (One::from(&me), true),
            (One::from(&other), false),
            (One::from("Not An Id"), false),
            (One::Role(Role::Worker), true),
            (One::Role(Role::Coordinator), false),
            (One::Capability("gpu".into()), true),
            (One::Capability("tpu".into()), false),
        ] {
            assert_eq!(target.fits(node), fits, "{target}");
        }
        for (target, caller, fits) in [
            (Many::All, &me, true),
            (Many::Others, &me, false),
            (Many::Others, &other, true),
            (Many::Role(Role::Worker), &me, true),
            (Many::Role(Role::Coordinator), &me, false),
            (Many::Capability("gpu".into()), &me, true),
            (Many::Capability("tpu".into()), &me, false),
            (Many::from([&me, &other]), &me, true),
            (Many::from([&other]), &me, false),
            (Many::from([&other; 0]), &me, false),
        ] {
            assert_eq!(target.fits(node, caller), fits, "{target}");
        }
    }

    #[test]
    fn a_bad_target_is_refused_with_the_legal_forms() {
        for bad in ["", "planet=mars", "role=boss", "node=No", "all,any", "x,y"] {
            let said = bad.parse::<Target>().unwrap_err().to_string();
            assert!(said.contains("role=ROLE"), "{said}");
        }
    }
}
