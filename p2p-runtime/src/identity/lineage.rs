//! Who has got a certificate or an authority here by one that another authority had signed: whoever held that authority's key may be among them, under
//! any name, and outlives its revocation.
//!
//! What is known of that are this coordinator's own records. They say on which authority each node stood when it asked.

use std::collections::{BTreeSet, HashMap};

use p2p_client::{protocol::NodeId, revocation::KeyHash};

use super::{issuer::IssuedNode, rotation::GrantedAuthority};

/// Who descends from which authority, by the records of one coordinator.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    /// Those that stood on an authority.
    stood_on: HashMap<KeyHash, BTreeSet<NodeId>>,
    /// The authorities of each coordinator.
    authorities: HashMap<NodeId, BTreeSet<KeyHash>>,
}

impl Lineage {
    /// By these records, of the coordinator with this name. It knows of itself what it is, on whatever it once stood.
    pub(crate) fn of(me: &NodeId, nodes: &[IssuedNode], granted: &[GrantedAuthority]) -> Self {
        let mut this = Self::default();
        for node in nodes.iter().filter(|node| node.node_id != *me) {
            for key in &node.stood_on {
                this.note(*key, &node.node_id);
            }
        }
        for granted in granted.iter().filter(|granted| granted.node_id != *me) {
            this.authorities.entry(granted.node_id.clone()).or_default().insert(granted.key);
            for key in &granted.stood_on {
                this.note(*key, &granted.node_id);
            }
        }
        this
    }

    fn note(&mut self, key: KeyHash, node_id: &NodeId) {
        self.stood_on.entry(key).or_default().insert(node_id.clone());
    }

    /// The nodes that got something here while they stood on one of these keys, or on an authority of such a node, and so on. Those that have left are
    /// among them: to leave takes no certificate away, and whoever has one can come back.
    pub(crate) fn descendants(&self, keys: impl IntoIterator<Item = KeyHash>) -> BTreeSet<NodeId> {
        let mut open: Vec<KeyHash> = keys.into_iter().collect();
        let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
        while let Some(key) = open.pop() {
            if !seen.insert(key) {
                continue;
            }
            for node_id in self.stood_on.get(&key).into_iter().flatten() {
                if found.insert(node_id.clone()) {
                    open.extend(self.authorities.get(node_id).into_iter().flatten());
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::protocol::{Role, UnixMillis};

    use super::*;
    use crate::identity::tests::issued_node;

    fn id(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn key(n: u8) -> KeyHash {
        KeyHash::new([n; 32])
    }

    fn node(name: &str, stood_on: &[u8]) -> IssuedNode {
        IssuedNode { stood_on: stood_on.iter().copied().map(key).collect(), ..issued_node(name, Role::Coordinator) }
    }

    fn granted(to: &str, authority: u8, stood_on: Option<u8>) -> GrantedAuthority {
        GrantedAuthority {
            node_id: id(to),
            key: key(authority),
            root: key(0),
            at: UnixMillis(1),
            stood_on: stood_on.map(key).into_iter().collect(),
        }
    }

    fn names(names: &[&str]) -> BTreeSet<NodeId> {
        names.iter().map(|name| id(name)).collect()
    }

    #[test]
    fn whoever_stood_on_a_key_descends_from_it_also_by_way_of_authorities_that_it_was_given() {
        let nodes = [node("nine", &[1]), node("ten", &[2]), node("eleven", &[3]), node("honest", &[7])];
        let granted = [granted("nine", 2, Some(5)), granted("ten", 3, Some(2)), granted("two", 7, Some(8))];
        let lineage = Lineage::of(&id("me"), &nodes, &granted);
        assert_eq!(lineage.descendants([key(1)]), names(&["nine", "ten", "eleven"]));
        assert_eq!(lineage.descendants([key(5)]), names(&["nine", "ten", "eleven"]), "it was given an authority there");
        assert_eq!(lineage.descendants([key(3)]), names(&["eleven"]));
        assert_eq!(lineage.descendants([key(8)]), names(&["two", "honest"]));
        assert!(lineage.descendants([key(9)]).is_empty());
    }

    #[test]
    fn who_has_left_is_named_as_it_can_come_back_and_a_coordinator_does_not_descend_by_its_own_records() {
        let nodes =
            [IssuedNode { has_left: true, ..node("gone", &[1]) }, node("ten", &[2]), node("me", &[1]), node("mine", &[4])];
        let granted = [granted("gone", 2, None), granted("me", 4, Some(1))];
        assert_eq!(Lineage::of(&id("me"), &nodes, &granted).descendants([key(1)]), names(&["gone", "ten"]));
    }

    #[test]
    fn authorities_that_were_given_in_a_circle_are_looked_at_once() {
        let nodes = [node("a", &[1, 2]), node("b", &[1])];
        let granted = [granted("a", 1, Some(2)), granted("b", 2, Some(1))];
        assert_eq!(Lineage::of(&id("me"), &nodes, &granted).descendants([key(1)]), names(&["a", "b"]));
    }
}
