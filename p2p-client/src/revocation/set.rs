//! What a heap of statements comes to: a pure value, the same for the same statements in whatever order they came.
//!
//! Statements are only ever added. Taking back adds up, whoever says it and however it is dated: a revoked author could else date a
//! revocation back, and so undo those of others. Letting in again counts only where its author is in good standing by all that is known, not
//! only by what was known at the time it claims: dates are the author's own. So whoever takes a coordinator over loses this power with the
//! coordinator's revocation, for what it has let in before, too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{Author, ChainKeys, ClientTokenId, KeyHash, Room, Statement, StatementId, Subject};
use crate::protocol::{NodeId, UnixMillis};

/// How long after its subject a statement expires, for clocks that are late, in milliseconds.
const KEPT_AFTER: u64 = 15 * 60_000;

/// What two sets are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// The sum of the statements' ids, by their first 8 bytes.
    pub root: u64,
    /// How many there are.
    pub count: u64,
}

impl Digest {
    /// That of a set without this statement, which is in it.
    #[must_use]
    pub fn without(self, id: &StatementId) -> Self {
        Self { root: self.root.wrapping_sub(number(id)), count: self.count.saturating_sub(1) }
    }
}

/// What an id adds to the sum.
fn number(id: &StatementId) -> u64 {
    id.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// All statements that are known, and what they come to.
#[derive(Debug, Clone, Default)]
pub struct RevocationSet {
    statements: BTreeMap<StatementId, Arc<Statement>>,
    effect: Effect,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Effect {
    nodes: HashMap<NodeId, Revoked>,
    keys: HashSet<KeyHash>,
    join_tokens: HashSet<String>,
    client_tokens: HashSet<ClientTokenId>,
}

/// Statements are read in the order of their times; of those with one time the ids decide.
type Order = (UnixMillis, StatementId);

/// What is known of a node that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Revoked {
    last: Order,
    /// The keys with which it was let in again since. More than one only where two coordinators did so at the same time.
    readmitted: BTreeSet<KeyHash>,
}

/// A statement that lets a node in again.
struct Readmission<'a> {
    order: Order,
    node_id: &'a NodeId,
    key: KeyHash,
    by: &'a Author,
}

impl RevocationSet {
    /// Adds statements, in any order and however many; those that are known change nothing. Gives the ids of those that are new.
    ///
    /// Whoever calls this has made them durable, and has looked before whether there is [room](Self::room).
    pub fn extend(&mut self, statements: impl IntoIterator<Item = (StatementId, Statement)>) -> Vec<StatementId> {
        let mut fresh = BTreeMap::new();
        for (id, statement) in statements {
            if !self.statements.contains_key(&id) {
                fresh.insert(id, Arc::new(statement));
            }
        }
        let ids: Vec<_> = fresh.keys().copied().collect();
        if !ids.is_empty() {
            self.statements.append(&mut fresh);
            self.effect = Effect::of(&self.statements);
        }
        ids
    }

    /// How many more statements there is room for.
    pub fn room(&self) -> Room<'_> {
        Room::of(self)
    }

    /// How many statements about single tokens of clients there are: those that clients themselves can bring about.
    pub fn single_tokens(&self) -> usize {
        self.statements.values().filter(|statement| statement.subject.is_single_token()).count()
    }

    /// How many tokens of this credential are revoked one by one, and would be good still.
    pub fn single_tokens_of(&self, credential: &str, now: UnixMillis) -> usize {
        let is_of = |subject: &Subject| match subject {
            Subject::ClientToken { id, expires } => *expires > now && id.is_single() && id.credential() == credential,
            _ => false,
        };
        self.statements.values().filter(|statement| is_of(&statement.subject)).count()
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

    /// Forgets these statements, where others say the same by now: on its own it would undo what was taken back.
    pub fn forget(&mut self, ids: &[StatementId]) {
        for id in ids {
            self.statements.remove(id);
        }
        if !ids.is_empty() {
            self.effect = Effect::of(&self.statements);
        }
    }

    /// Whether a statement about this subject is not needed any more.
    pub fn is_over(subject: &Subject, now: UnixMillis) -> bool {
        is_over(subject, now)
    }

    /// Whether what this is about is revoked already. A readmission never is.
    pub fn is_subject_revoked(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Node { node_id } => self.revoked_at(node_id).is_some(),
            Subject::Key { key } => self.is_key_revoked(key),
            Subject::JoinToken { id, .. } => self.is_join_token_revoked(id),
            Subject::ClientToken { id, .. } => self.is_client_token_revoked(id),
            Subject::Readmission { .. } => false,
        }
    }

    /// Whether a certificate in this name that stands on these keys is not good any more.
    pub fn is_chain_revoked(&self, node_id: &NodeId, keys: &ChainKeys) -> bool {
        self.is_revoked(node_id, keys.own()) || keys.authorities().iter().any(|key| self.is_key_revoked(key))
    }

    /// Whether a certificate in this name, for this key, is not good any more.
    pub fn is_revoked(&self, node_id: &NodeId, key: &KeyHash) -> bool {
        self.effect.is_revoked(node_id, key)
    }

    /// Whether nothing that this key signs is good any more.
    pub fn is_key_revoked(&self, key: &KeyHash) -> bool {
        self.effect.keys.contains(key)
    }

    /// When a node was revoked that was not readmitted since.
    pub fn revoked_at(&self, node_id: &NodeId) -> Option<UnixMillis> {
        let revoked = self.effect.nodes.get(node_id)?;
        revoked.readmitted.is_empty().then_some(revoked.last.0)
    }

    /// The keys with which a node was readmitted since it was last revoked; `None` where it never was revoked.
    pub fn keys_let_in(&self, node_id: &NodeId) -> Option<&BTreeSet<KeyHash>> {
        self.effect.nodes.get(node_id).map(|revoked| &revoked.readmitted)
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
        self.effect.nodes.iter().filter(|(_, revoked)| revoked.readmitted.is_empty()).map(|(node_id, _)| node_id)
    }

    /// The nodes that were revoked and readmitted since, each with its new key.
    pub fn readmitted(&self) -> impl Iterator<Item = (&NodeId, &KeyHash)> {
        self.effect.nodes.iter().flat_map(|(node_id, revoked)| revoked.readmitted.iter().map(move |key| (node_id, key)))
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
        let root = self.statements.keys().fold(0_u64, |sum, id| sum.wrapping_add(number(id)));
        Digest { root, count: self.statements.len() as u64 }
    }
}

fn is_over(subject: &Subject, now: UnixMillis) -> bool {
    subject.expires().is_some_and(|expires| expires.0.saturating_add(KEPT_AFTER) < now.0)
}

impl Effect {
    fn of(statements: &BTreeMap<StatementId, Arc<Statement>>) -> Self {
        let mut effect = Self::default();
        let mut readmissions = Vec::new();
        for (id, statement) in statements {
            let order = (statement.at, *id);
            match &statement.subject {
                Subject::Node { node_id } => {
                    let revoked = || Revoked { last: order, readmitted: BTreeSet::new() };
                    let revoked = effect.nodes.entry(node_id.clone()).or_insert_with(revoked);
                    revoked.last = revoked.last.max(order);
                }
                Subject::Readmission { node_id, key } => {
                    readmissions.push(Readmission { order, node_id, key: *key, by: &statement.by });
                }
                Subject::Key { key } => {
                    effect.keys.insert(*key);
                }
                Subject::JoinToken { id, .. } => {
                    effect.join_tokens.insert(id.clone());
                }
                Subject::ClientToken { id, .. } => {
                    effect.client_tokens.insert(id.clone());
                }
            }
        }
        effect.let_in(readmissions);
        effect
    }

    /// Lets nodes in again, by the word of authors in good standing. These are those that were never revoked, and those that were let in
    /// again by such, and so on: two revoked ones that let each other in have nobody who began. As letting in takes nobody's
    /// standing away, the order in which it is looked at does not matter.
    fn let_in(&mut self, mut waiting: Vec<Readmission<'_>>) {
        loop {
            let before = waiting.len();
            waiting.retain(|readmission| !self.is_let_in(readmission));
            if waiting.len() == before {
                return;
            }
        }
    }

    /// Takes a readmission whose author is in good standing, and says whether it was taken.
    fn is_let_in(&mut self, Readmission { order, node_id, key, by }: &Readmission<'_>) -> bool {
        if self.is_revoked(&by.node_id, &by.key) {
            return false;
        }
        if let Some(revoked) = self.nodes.get_mut(*node_id)
            && *order > revoked.last
        {
            revoked.readmitted.insert(*key);
        }
        true
    }

    fn is_revoked(&self, node_id: &NodeId, key: &KeyHash) -> bool {
        self.keys.contains(key) || self.nodes.get(node_id).is_some_and(|revoked| !revoked.readmitted.contains(key))
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
