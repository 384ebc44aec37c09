//! Shows coordinators what this node alone keeps since the root was changed: whoever said it may be gone, so that no coordinator knows of it.
//!
//! ```text
//! a coordinator appears, and now and then ──► Stranded ──► it says it again, under the new root, or tells its operator
//! ```

use std::collections::HashMap;

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{NodeId, NodeInfo, Role},
    revocation::{StatementId, Subject},
};
use rand::seq::IteratorRandom;

use super::{Courier, Talk, others};
use crate::identity::revocation::SignedStatement;

/// What the audit log calls what others keep.
const UNDER_EARLIER: &str = "revoke under an earlier root";
/// An operator is told of so many at most that one node shows: whoever makes them up fills neither the log nor the room of the others.
const MOST_OF_ONE: usize = 64;

/// What an operator was told of, by the nodes that have shown it. Any node may show what it likes, and make up who said it; but each is shown by a node of the
/// cluster, and has room of its own.
#[derive(Default)]
pub(super) struct Hints(HashMap<NodeId, Shown>);

/// What one node has shown.
#[derive(Default)]
struct Shown {
    hints: HashMap<StatementId, Subject>,
    is_over: bool,
}

/// What becomes of a hint.
#[derive(Debug, PartialEq, Eq)]
enum Hint {
    /// The operator is to be told of it.
    New,
    /// It is the first for which its node has no room.
    Over,
    /// Nothing is said: it was, or its node has no room.
    Left,
}

impl Hints {
    fn has(&self, id: &StatementId) -> bool {
        self.0.values().any(|shown| shown.hints.contains_key(id))
    }

    /// Takes one in that this node has shown. What has been revoked here since, as `is_settled` says, makes room for what is still open.
    fn add(&mut self, from: &NodeId, id: StatementId, subject: &Subject, is_settled: impl Fn(&Subject) -> bool) -> Hint {
        if self.has(&id) {
            return Hint::Left;
        }
        let shown = self.0.entry(from.clone()).or_default();
        if shown.hints.len() >= MOST_OF_ONE {
            shown.hints.retain(|_, subject| !is_settled(subject));
        }
        if shown.hints.len() < MOST_OF_ONE {
            shown.hints.insert(id, subject.clone());
            return Hint::New;
        }
        if std::mem::replace(&mut shown.is_over, true) { Hint::Left } else { Hint::Over }
    }
}

impl Courier {
    pub(super) fn show_stranded(&self, to: &NodeInfo) {
        if to.role != Role::Coordinator {
            return;
        }
        let stranded = self.ledger.to_be_said_again();
        if !stranded.is_empty() {
            self.answer(&to.node_id, &Talk::Stranded(stranded));
        }
    }

    /// To one coordinator that is there.
    pub(super) fn show_stranded_to_any(&self) {
        let members = self.membership.members();
        if let Some(info) = others(&members).filter(|info| info.role == Role::Coordinator).choose(&mut rand::rng()) {
            self.show_stranded(info);
        }
    }

    pub(super) async fn take_up(&mut self, from: &NodeId, statements: Vec<SignedStatement>) {
        let ids: Vec<StatementId> = statements.iter().map(SignedStatement::id).collect();
        if ids.iter().all(|id| self.open.has(id)) {
            return;
        }
        let taken_up = match self.ledger.take_up(statements).await {
            Ok(taken_up) => taken_up,
            Err(error) => {
                tracing::debug!(%from, %error, "what another node keeps from under an earlier root was not taken up");
                return;
            }
        };
        for statement in &taken_up.again {
            tracing::info!(%from, subject = %statement.subject, "what was revoked under an earlier root, and no coordinator knew, is revoked again");
        }
        let carrier = format!("node {from}");
        let set = self.ledger.revocations().set();
        for (id, statement) in taken_up.open {
            match self.open.add(from, id, &statement.subject, |subject| set.is_subject_revoked(subject)) {
                Hint::New => {}
                Hint::Over => {
                    let why = format!("it has shown {MOST_OF_ONE} of them, and more are not told; look into that node");
                    tracing::warn!(%from, "of what that node keeps as revoked under an earlier root, {why}");
                    self.audit.refused(&carrier, UNDER_EARLIER, &carrier, why);
                    continue;
                }
                Hint::Left => continue,
            }
            tracing::warn!(
                %from,
                subject = %statement.subject,
                by = %statement.by.node_id,
                "this is revoked there by a coordinator under an earlier root of whom this one knows nothing; no other node believes it: if it is right, revoke \
                 it here (`p2p node revoke`)"
            );
            Line::new(&carrier, UNDER_EARLIER, Outcome::Pending).whom(&statement.subject).from(&carrier).write();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn about(name: &str) -> Subject {
        Subject::Node { node_id: node(name) }
    }

    fn id(number: usize) -> StatementId {
        StatementId::from_bytes((number as u128).to_be_bytes())
    }

    #[test]
    fn each_node_has_room_of_its_own_is_named_once_when_it_is_full_and_what_was_told_is_not_told_again() {
        let mut hints = Hints::default();
        let mut add = |from: &str, number| hints.add(&node(from), id(number), &about("lost"), |_| false);
        let flood: Vec<_> = (0..10_000).map(|number| add("liar", number)).collect();
        assert!(flood[..MOST_OF_ONE].iter().all(|hint| *hint == Hint::New));
        assert_eq!(flood[MOST_OF_ONE], Hint::Over);
        assert!(flood[MOST_OF_ONE + 1..].iter().all(|hint| *hint == Hint::Left));
        assert_eq!(add("w", 10_000), Hint::New);
        assert_eq!((add("v", 10_000), add("v", 0)), (Hint::Left, Hint::Left));
        assert_eq!(hints.0.values().map(|shown| shown.hints.len()).sum::<usize>(), MOST_OF_ONE + 1);
    }

    #[test]
    fn what_was_revoked_here_since_makes_room_for_what_is_still_open() {
        let mut hints = Hints::default();
        for number in 0..MOST_OF_ONE {
            let whom = if number < 2 { "settled" } else { "open" };
            assert_eq!(hints.add(&node("w"), id(number), &about(whom), |_| false), Hint::New);
        }
        let is_settled = |subject: &Subject| *subject == about("settled");
        let more: Vec<_> = (100..104).map(|number| hints.add(&node("w"), id(number), &about("open"), is_settled)).collect();
        assert_eq!(more, [Hint::New, Hint::New, Hint::Over, Hint::Left]);
    }
}
