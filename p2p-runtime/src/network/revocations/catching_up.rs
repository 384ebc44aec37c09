//! When a node that starts has heard enough of what was revoked while it was away.
//!
//! One answer is not enough: it may come from the very node that was revoked, which nobody has told, or which says nothing. So it waits for all coordinators
//! and for several others, or for all that can be reached. Nothing here reads a clock or sends anything.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use p2p_client::{
    protocol::{NodeId, Role},
    revocation::StatementId,
};
use tokio::time::Instant;

/// So many different nodes are enough, where all coordinators are among them that can be reached.
pub(super) const ENOUGH: usize = 5;
/// So long after the first answer nobody is waited for any more.
pub(super) const WAITED_FOR: Duration = Duration::from_secs(2);

/// Who has answered since a node started, and who cannot be reached.
#[derive(Debug, Default)]
pub(super) struct CatchingUp {
    /// Those by which this node has nothing left to learn.
    answered: BTreeSet<NodeId>,
    unreachable: BTreeSet<NodeId>,
    /// What somebody has and this node has not, until it came.
    owed: BTreeMap<NodeId, HashSet<StatementId>>,
    first: Option<Instant>,
}

impl CatchingUp {
    /// This node and another have the same now.
    pub(super) fn answered(&mut self, by: &NodeId, now: Instant) {
        self.owed.remove(by);
        self.unreachable.remove(by);
        self.answered.insert(by.clone());
        self.first.get_or_insert(now);
    }

    /// Another has these, which this node lacks and asks it for.
    pub(super) fn owes(&mut self, by: &NodeId, ids: impl IntoIterator<Item = StatementId>, now: Instant) {
        self.unreachable.remove(by);
        let ids: HashSet<_> = ids.into_iter().collect();
        if ids.is_empty() {
            self.answered(by, now);
        } else {
            self.owed.insert(by.clone(), ids);
        }
    }

    /// These are here now, whoever gave them: nobody owes them any more.
    pub(super) fn came(&mut self, ids: &[StatementId], now: Instant) {
        let everybody: Vec<_> = self.owed.keys().cloned().collect();
        for by in everybody {
            self.gave(&by, ids, now);
        }
    }

    /// This one gave these, whether they were believed or not, and owes them no more. What was not believed the others owe still: an id says nothing of who
    /// vouches for it, and a revoked node could give what the coordinators owe with a signature that is worth nothing.
    pub(super) fn gave(&mut self, by: &NodeId, ids: &[StatementId], now: Instant) {
        let Some(owed) = self.owed.get_mut(by) else { return };
        for id in ids {
            owed.remove(id);
        }
        if owed.is_empty() {
            self.answered(by, now);
        }
    }

    /// Another cannot be reached, so that it is not waited for.
    pub(super) fn is_unreachable(&mut self, node_id: &NodeId) {
        self.unreachable.insert(node_id.clone());
    }

    /// Another is there: if it could not be reached before, it can be now.
    pub(super) fn is_there(&mut self, node_id: &NodeId) {
        self.unreachable.remove(node_id);
    }

    pub(super) fn has_answered(&self, node_id: &NodeId) -> bool {
        self.answered.contains(node_id)
    }

    /// Whether this one is there, as far as is known, and has not answered.
    pub(super) fn waits_for(&self, node_id: &NodeId) -> bool {
        !self.answered.contains(node_id) && !self.unreachable.contains(node_id)
    }

    /// Whether enough was heard, where these others are known; of some only the names. Without any answer it never is.
    pub(super) fn is_done<'a>(&self, known: impl IntoIterator<Item = (&'a NodeId, Option<Role>)>, now: Instant) -> bool {
        let Some(first) = self.first else { return false };
        if now >= first + WAITED_FOR {
            return true;
        }
        let is_enough = self.answered.len() >= ENOUGH;
        let is_optional = |role| is_enough && role != Some(Role::Coordinator);
        known.into_iter().all(|(node_id, role)| !self.waits_for(node_id) || is_optional(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn names(names: &[&str]) -> Vec<NodeId> {
        names.iter().map(|name| node(name)).collect()
    }

    /// Whether it is done where these are known as workers, and these as coordinators.
    fn is_done(catching_up: &CatchingUp, workers: &[&str], coordinators: &[&str], now: Instant) -> bool {
        let (workers, coordinators) = (names(workers), names(coordinators));
        let workers = workers.iter().map(|name| (name, Some(Role::Worker)));
        catching_up.is_done(workers.chain(coordinators.iter().map(|name| (name, Some(Role::Coordinator)))), now)
    }

    #[test]
    fn the_first_answer_is_not_enough_while_others_can_be_reached() {
        let (mut catching_up, now) = (CatchingUp::default(), Instant::now());
        catching_up.answered(&node("revoked"), now);
        assert!(!is_done(&catching_up, &["revoked", "w"], &["c"], now));
        catching_up.answered(&node("c"), now);
        assert!(!is_done(&catching_up, &["revoked", "w"], &["c"], now), "nor is a coordinator's: it may be the revoked one");
        catching_up.answered(&node("w"), now);
        assert!(is_done(&catching_up, &["revoked", "w"], &["c"], now));
    }

    #[test]
    fn who_cannot_be_reached_is_not_waited_for_unless_it_is_back_and_nobody_is_for_longer_than_the_time() {
        let (mut catching_up, now) = (CatchingUp::default(), Instant::now());
        catching_up.answered(&node("w"), now);
        catching_up.is_unreachable(&node("down"));
        assert!(is_done(&catching_up, &["w", "down"], &[], now));
        catching_up.is_there(&node("down"));
        assert!(!is_done(&catching_up, &["w", "down"], &[], now));
        let almost = now + WAITED_FOR - Duration::from_millis(1);
        catching_up.answered(&node("v"), almost);
        assert!(!is_done(&catching_up, &["w", "down"], &[], almost));
        assert!(is_done(&catching_up, &["w", "down"], &["silent"], now + WAITED_FOR), "it counts from the first answer");
    }

    #[test]
    fn without_any_answer_nothing_is_known_however_long_it_takes() {
        let (mut catching_up, now) = (CatchingUp::default(), Instant::now());
        catching_up.is_unreachable(&node("w"));
        assert!(!is_done(&catching_up, &["w"], &[], now + WAITED_FOR * 100));
        assert!(!is_done(&catching_up, &[], &[], now + WAITED_FOR * 100), "others may come");
    }

    #[test]
    fn in_a_large_cluster_all_coordinators_and_some_others_are_enough() {
        let (mut catching_up, now) = (CatchingUp::default(), Instant::now());
        let workers: Vec<_> = (0..100).map(|number| format!("w{number}")).collect();
        let workers: Vec<&str> = workers.iter().map(String::as_str).collect();
        for name in &workers[..ENOUGH] {
            assert!(!is_done(&catching_up, &workers, &[], now));
            catching_up.answered(&node(name), now);
        }
        assert!(is_done(&catching_up, &workers, &[], now));
        assert!(!is_done(&catching_up, &workers, &["c"], now));
        catching_up.answered(&node("c"), now);
        assert!(is_done(&catching_up, &workers, &["c"], now));
    }

    #[test]
    fn what_a_node_gave_and_nobody_believed_the_others_owe_still() {
        let (mut catching_up, now) = (CatchingUp::default(), Instant::now());
        let its_own = [StatementId::from_bytes([1; 16])];
        catching_up.owes(&node("c"), its_own, now);
        catching_up.owes(&node("revoked"), its_own, now);
        catching_up.gave(&node("revoked"), &its_own, now);
        assert!(catching_up.waits_for(&node("c")) && !catching_up.waits_for(&node("revoked")));
        catching_up.gave(&node("c"), &its_own, now);
        assert!(!catching_up.waits_for(&node("c")), "whoever gives what is not believed is not waited for himself");
    }

    #[test]
    fn who_has_more_has_answered_when_all_of_it_came_from_whomever() {
        let (mut catching_up, now) = (CatchingUp::default(), Instant::now());
        let id = |number| StatementId::from_bytes([number; 16]);
        catching_up.owes(&node("a"), [id(1), id(2)], now);
        catching_up.owes(&node("b"), [id(2)], now);
        catching_up.came(&[id(2), id(3)], now);
        assert!(catching_up.waits_for(&node("a")) && !catching_up.waits_for(&node("b")));
        catching_up.came(&[id(1)], now);
        assert!(!catching_up.waits_for(&node("a")));
        catching_up.owes(&node("same"), [], now);
        assert!(catching_up.has_answered(&node("same")));
        // Made-up ids never come, and hold nobody up for longer than the time.
        catching_up.owes(&node("liar"), [id(9)], now);
        assert!(!is_done(&catching_up, &["a", "b", "liar"], &[], now));
        assert!(is_done(&catching_up, &["a", "b", "liar"], &[], now + WAITED_FOR));
    }
}
