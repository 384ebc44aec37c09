//! How far a change of the root is: a pure function of what is known of each node.

use std::collections::{BTreeMap, BTreeSet};

use p2p_client::protocol::NodeId;
use serde::{Deserialize, Serialize};

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// In the cluster, and alive.
    Here,
    /// It was in the cluster, and may come back.
    Away,
    /// It left for good, was revoked, or its certificate has run out.
    Gone,
}

/// What is known of one node.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Where it is.
    pub presence: Presence,
    /// It has signed something with a certificate under the next root.
    pub has_shown: bool,
    /// This coordinator has issued it a certificate under the next root.
    pub was_issued: bool,
}

/// A node that has no certificate under the next root yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which one.
    pub node_id: NodeId,
    /// Whether it is not in the cluster at present.
    pub is_away: bool,
}

/// How far a change of the root is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How many nodes there are.
    pub nodes: usize,
    /// Those that were not reissued, in the order of their ids.
    pub missing: Vec<Missing>,
    /// The other coordinators that could not be asked which nodes they have let in, in the order of their ids.
    #[serde(default)]
    pub unasked: Vec<NodeId>,
}

impl Progress {
    /// That of these nodes.
    pub fn of(known: &BTreeMap<NodeId, Known>) -> Self {
        let there = || known.iter().filter(|(_, known)| known.presence != Presence::Gone);
        // Who is here has to show it: an answer may have been lost. Who is away cannot.
        let is_reissued = |known: &Known| known.has_shown || known.presence == Presence::Away && known.was_issued;
        let missing = there().filter(|(_, known)| !is_reissued(known));
        let missing = missing
            .map(|(node_id, known)| Missing { node_id: node_id.clone(), is_away: known.presence == Presence::Away })
            .collect();
        Self { nodes: there().count(), missing, unasked: Vec::new() }
    }

    /// The same, without the records of these coordinators.
    #[must_use]
    pub fn without(mut self, unasked: BTreeSet<NodeId>) -> Self {
        self.unasked = unasked.into_iter().collect();
        self
    }

    /// Whether everybody was reissued, as all coordinators know it.
    pub fn is_done(&self) -> bool {
        self.missing.is_empty() && self.unasked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_here_has_to_show_it_who_is_away_has_to_have_got_it_and_who_is_gone_does_not_count() {
        use Presence::{Away, Gone, Here};
        let mut known = BTreeMap::new();
        for (name, presence, has_shown, was_issued) in [
            ("a", Here, true, true),
            ("b", Here, false, true),
            ("c", Away, false, true),
            ("d", Away, false, false),
            ("e", Gone, false, false),
            ("f", Away, true, false),
        ] {
            known.insert(name.parse().unwrap(), Known { presence, has_shown, was_issued });
        }
        let progress = Progress::of(&known);
        let missing: Vec<_> = progress.missing.iter().map(|node| (node.node_id.as_str(), node.is_away)).collect();
        assert_eq!((progress.nodes, missing), (5, vec![("b", false), ("d", true)]));
        assert!(!progress.is_done() && Progress::of(&BTreeMap::new()).is_done());
        let unasked = Progress::of(&BTreeMap::new()).without(["c".parse().unwrap()].into());
        assert!(!unasked.is_done(), "another coordinator may have let in nodes that nobody here knows");
    }
}
