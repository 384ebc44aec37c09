//! What a heap of statements comes to: a pure value, the same for the same statements in whatever order they came.
//!
//! Statements are only ever added. What they come to is read off in the order of their times: each holds unless its author had
//! been revoked before it, so that a coordinator that was taken over loses this power too, and what it took back while it had it stays taken back.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{ClientTokenId, KeyHash, Statement, StatementId, Subject};
use crate::protocol::{NodeId, UnixMillis};

/// How many statements a cluster keeps at once.
pub const MAX_STATEMENTS: usize = 10_000;
/// How long after its subject a statement expires, for clocks that are late, in milliseconds.
const KEPT_AFTER: u64 = 15 * 60_000;

/// There is no room for another statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {MAX_STATEMENTS} revocations already, and no more are kept; those of tokens go when the tokens expire; \
     when nodes and keys alone are so many, make a new cluster"
)]
pub struct SetFull;

/// What two sets are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// The sum of the statements' ids, by their first 8 bytes.
    pub root: u64,
    /// How many there are.
    pub count: u64,
}

/// All statements that are known, and what they come to.
#[derive(Debug, Clone, Default)]
pub struct RevocationSet {
    statements: BTreeMap<StatementId, Arc<Statement>>,
    effect: Effect,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Effect {
    /// Revoked nodes, each with the key that was readmitted since.
    nodes: HashMap<NodeId, Revoked>,
    keys: HashSet<KeyHash>,
    join_tokens: HashSet<String>,
    client_tokens: HashSet<ClientTokenId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Revoked {
    at: UnixMillis,
    readmitted: Option<KeyHash>,
}

impl RevocationSet {
    /// Adds statements, in any order; those that are known change nothing. Gives the ids of those that are new.
    ///
    /// # Errors
    /// [`SetFull`]; then nothing has changed.
    pub fn extend(
        &mut self,
        statements: impl IntoIterator<Item = (StatementId, Statement)>,
    ) -> Result<Vec<StatementId>, SetFull> {
        let mut fresh = BTreeMap::new();
        for (id, statement) in statements {
            if !self.statements.contains_key(&id) {
                fresh.insert(id, Arc::new(statement));
            }
        }
        if self.statements.len() + fresh.len() > MAX_STATEMENTS {
            return Err(SetFull);
        }
        let ids: Vec<_> = fresh.keys().copied().collect();
        if !ids.is_empty() {
            self.statements.append(&mut fresh);
            self.effect = Effect::of(&self.statements);
        }
        Ok(ids)
    }

    /// The set of these statements, which were taken in before, however many they are.
    pub fn restored(statements: impl IntoIterator<Item = (StatementId, Statement)>) -> Self {
        let statements = statements.into_iter().map(|(id, statement)| (id, Arc::new(statement))).collect();
        Self { effect: Effect::of(&statements), statements }
    }

    /// How many statements about single tokens of clients there are: those that clients themselves can bring about.
    pub fn single_tokens(&self) -> usize {
        let is_single = |subject: &Subject| matches!(subject, Subject::ClientToken { id, .. } if id.is_single());
        self.statements.values().filter(|statement| is_single(&statement.subject)).count()
    }

    /// Forgets statements about tokens that have expired by themselves. Gives their ids.
    pub fn forget_expired(&mut self, now: UnixMillis) -> Vec<StatementId> {
        let gone: Vec<_> =
            self.statements.iter().filter(|(_, statement)| is_over(&statement.subject, now)).map(|(id, _)| *id).collect();
        for id in &gone {
            self.statements.remove(id);
        }
        if !gone.is_empty() {
            self.effect = Effect::of(&self.statements);
        }
        gone
    }

    /// Whether a statement about this subject is not needed any more.
    pub fn is_over(subject: &Subject, now: UnixMillis) -> bool {
        is_over(subject, now)
    }

    /// Whether a certificate in this name, for this key, is not good any more.
    pub fn is_revoked(&self, node_id: &NodeId, key: &KeyHash) -> bool {
        self.is_key_revoked(key) || self.effect.nodes.get(node_id).is_some_and(|revoked| revoked.readmitted.as_ref() != Some(key))
    }

    /// Whether nothing that this key signs is good any more.
    pub fn is_key_revoked(&self, key: &KeyHash) -> bool {
        self.effect.keys.contains(key)
    }

    /// When a node was revoked that was not readmitted since.
    pub fn revoked_at(&self, node_id: &NodeId) -> Option<UnixMillis> {
        let revoked = self.effect.nodes.get(node_id)?;
        revoked.readmitted.is_none().then_some(revoked.at)
    }

    /// Whether a join token lets nobody in any more.
    pub fn is_join_token_revoked(&self, id: &str) -> bool {
        self.effect.join_tokens.contains(id)
    }

    /// Whether a client's token serves nobody any more, by its `jti`.
    pub fn is_client_token_revoked(&self, id: &ClientTokenId) -> bool {
        self.effect.client_tokens.contains(id)
    }

    /// The nodes that were revoked, and not readmitted since.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.effect.nodes.iter().filter(|(_, revoked)| revoked.readmitted.is_none()).map(|(node_id, _)| node_id)
    }

    /// All statements, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&StatementId, &Arc<Statement>)> {
        self.statements.iter()
    }

    /// Whether a statement is known.
    pub fn contains(&self, id: &StatementId) -> bool {
        self.statements.contains_key(id)
    }

    /// The time of the latest statement. One that is made with these known is later.
    pub fn latest(&self) -> Option<UnixMillis> {
        self.statements.values().map(|statement| statement.at).max()
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// What it is compared with others by.
    pub fn digest(&self) -> Digest {
        let number = |id: &StatementId| id.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        let root = self.statements.keys().fold(0_u64, |sum, id| sum.wrapping_add(number(id)));
        Digest { root, count: self.statements.len() as u64 }
    }
}

fn is_over(subject: &Subject, now: UnixMillis) -> bool {
    subject.expires().is_some_and(|expires| expires.0.saturating_add(KEPT_AFTER) < now.0)
}

impl Effect {
    fn of(statements: &BTreeMap<StatementId, Arc<Statement>>) -> Self {
        let mut in_time: Vec<_> = statements.iter().map(|(id, statement)| (statement.at, id, statement)).collect();
        in_time.sort_unstable_by_key(|(at, id, _)| (*at, **id));
        let mut effect = Self::default();
        for (_, _, statement) in in_time {
            effect.take(statement);
        }
        effect
    }

    fn take(&mut self, statement: &Statement) {
        let by = &statement.by;
        let powerless =
            self.keys.contains(&by.key) || self.nodes.get(&by.node_id).is_some_and(|revoked| revoked.readmitted != Some(by.key));
        // Taking back only ever adds up, whoever says it and whenever: a revoked author could else date a revocation back, and so undo those of
        // others. Letting in again takes an author in good standing.
        if powerless && matches!(statement.subject, Subject::Readmission { .. }) {
            return;
        }
        match &statement.subject {
            Subject::Node { node_id } => {
                self.nodes.insert(node_id.clone(), Revoked { at: statement.at, readmitted: None });
            }
            Subject::Readmission { node_id, key } => {
                if let Some(revoked) = self.nodes.get_mut(node_id) {
                    revoked.readmitted = Some(*key);
                }
            }
            Subject::Key { key } => {
                self.keys.insert(*key);
            }
            Subject::JoinToken { id, .. } => {
                self.join_tokens.insert(id.clone());
            }
            Subject::ClientToken { id, .. } => {
                self.client_tokens.insert(id.clone());
            }
        }
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
