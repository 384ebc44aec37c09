//! How many more statements a set takes: asked before they are made durable, as what is durable has to take effect.

use std::collections::{HashMap, HashSet};

use super::{Author, RevocationSet, Statement, StatementId, Subject};
use crate::protocol::UnixMillis;

/// How many statements a cluster keeps at once.
pub const MAX_STATEMENTS: usize = 10_000;
/// So many statements have room whatever was said of single tokens of clients: those are what nodes and clients can bring about by themselves, and each
/// coordinator bounds only those that it knows of.
pub const RESERVED_STATEMENTS: usize = MAX_STATEMENTS / 2;

/// There is no room for another statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {MAX_STATEMENTS} revocations already, and no room for another; those of tokens go when the tokens expire; where a coordinator \
     made them without reason (`p2p node revoked` shows who did), it can be revoked still, with `p2p node revoke`; when \
     nodes and keys alone are so many, make a new cluster"
)]
pub struct SetFull;

/// The room in a set, for statements that are to be added together.
#[derive(Debug)]
pub struct Room<'a> {
    set: &'a RevocationSet,
    taken: HashSet<StatementId>,
    /// How many of these are not about single tokens.
    taken_others: usize,
    /// What was counted in over the bound.
    over: Vec<Subject>,
    /// What has a place over the bound, if it is dated later than this.
    places: HashMap<Subject, UnixMillis>,
}

impl<'a> Room<'a> {
    pub(super) fn of(set: &'a RevocationSet) -> Self {
        Self { set, taken: HashSet::new(), taken_others: 0, over: Vec::new(), places: HashMap::new() }
    }

    /// Keeps a place for one statement about each of these, dated later than that, also where there is no room: it stands in for what is to go. Where
    /// there is such a statement already, its place is taken.
    #[must_use]
    pub fn with_places(mut self, places: HashMap<Subject, UnixMillis>) -> Self {
        self.places = places;
        for (_, statement) in self.set.iter() {
            self.takes_its_place(statement);
        }
        self
    }

    /// Counts a statement in. One that is known needs no room, nor does one that ends the power of a coordinator which has made statements:
    /// whoever fills the set can still be revoked. For [some](RESERVED_STATEMENTS) that are not about single tokens there is room, however many of those there are.
    ///
    /// # Errors
    /// [`SetFull`]; then it is not counted in.
    pub fn take(&mut self, id: StatementId, statement: &Statement) -> Result<(), SetFull> {
        if self.set.contains(&id) || self.taken.contains(&id) {
            return Ok(());
        }
        let is_full = self.set.len() + self.taken.len() >= MAX_STATEMENTS && !self.has_reserved(&statement.subject);
        if is_full && !self.takes_its_place(statement) {
            if !self.ends_an_author(&statement.subject) {
                return Err(SetFull);
            }
            self.over.push(statement.subject.clone());
        }
        self.taken.insert(id);
        self.taken_others += usize::from(!statement.subject.is_single_token());
        Ok(())
    }

    fn has_reserved(&self, subject: &Subject) -> bool {
        let others = || self.set.len() - self.set.single_tokens() + self.taken_others;
        !subject.is_single_token() && others() < RESERVED_STATEMENTS
    }

    fn takes_its_place(&mut self, statement: &Statement) -> bool {
        let has_place = self.places.get(&statement.subject).is_some_and(|after| statement.at > *after);
        has_place && self.places.remove(&statement.subject).is_some()
    }

    /// Two for each author at most, so that the bound still is one.
    fn ends_an_author(&self, subject: &Subject) -> bool {
        let is_ended = |by: &Author| match subject {
            Subject::Node { node_id } => by.node_id == *node_id,
            Subject::Key { key } => by.key == *key,
            Subject::JoinToken { .. } | Subject::ClientToken { .. } | Subject::Readmission { .. } => false,
        };
        !self.set.is_subject_revoked(subject)
            && !self.over.contains(subject)
            && self.set.iter().any(|(_, statement)| is_ended(&statement.by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::UnixMillis,
        revocation::{KeyHash, Reason},
    };

    fn by(name: &str, number: u64, subject: Subject) -> (StatementId, Statement) {
        let by = Author { node_id: name.parse().unwrap(), key: KeyHash::new([name.as_bytes()[0]; 32]) };
        let statement = Statement { subject, at: UnixMillis(number), by, reason: Reason::default() };
        (StatementId::of(&statement.encode().unwrap()), statement)
    }

    fn revoke(name: &str) -> Subject {
        Subject::Node { node_id: name.parse().unwrap() }
    }

    fn set_of(count: usize) -> RevocationSet {
        let mut set = RevocationSet::default();
        set.extend((0..count as u64).map(|number| by("thief", number, revoke(&format!("w{number}")))));
        set
    }

    /// Whether all of these have room together.
    fn has_room(set: &RevocationSet, statements: &[(StatementId, Statement)]) -> Result<(), SetFull> {
        let mut room = set.room();
        statements.iter().try_for_each(|(id, statement)| room.take(*id, statement))
    }

    #[test]
    fn a_full_set_says_so_and_what_is_known_needs_no_room_even_where_there_are_too_many() {
        let full = set_of(MAX_STATEMENTS);
        let said = has_room(&full, &[by("c", 1, revoke("v"))]).unwrap_err().to_string();
        assert!(said.contains("10000 revocations") && said.contains("`p2p node revoked`"), "{said}");
        let restored = set_of(MAX_STATEMENTS + 1);
        assert_eq!(has_room(&restored, &[by("thief", 1, revoke("w1"))]), Ok(()));
        assert_eq!(has_room(&restored, &[by("c", 1, revoke("v"))]), Err(SetFull));
    }

    fn token(number: usize) -> Subject {
        Subject::ClientToken { id: format!("c.{number}").try_into().unwrap(), expires: UnixMillis(u64::MAX) }
    }

    #[test]
    fn however_many_tokens_were_revoked_one_by_one_there_is_room_for_nodes_and_keys_and_that_has_an_end() {
        let mut set = RevocationSet::default();
        set.extend((0..MAX_STATEMENTS).map(|number| by("c", number as u64, token(number))));
        assert_eq!(has_room(&set, &[by("c", 1, token(MAX_STATEMENTS))]), Err(SetFull));
        let nodes: Vec<_> = (0..=RESERVED_STATEMENTS).map(|number| by("c", 1, revoke(&format!("w{number}")))).collect();
        assert_eq!(has_room(&set, &nodes[1..]), Ok(()));
        assert_eq!(has_room(&set, &nodes), Err(SetFull));
        set.extend(nodes[1..].to_vec());
        assert_eq!(has_room(&set, &nodes[..1]), Err(SetFull));
    }

    #[test]
    fn statements_that_are_added_together_are_counted_together_and_each_once() {
        let nearly = set_of(MAX_STATEMENTS - 1);
        let (first, second) = (by("c", 1, revoke("v")), by("c", 2, revoke("u")));
        assert_eq!(has_room(&nearly, &[first.clone(), first.clone()]), Ok(()));
        assert_eq!(has_room(&nearly, &[first, second]), Err(SetFull));
    }

    #[test]
    fn a_place_that_is_kept_is_taken_once_by_a_later_statement_about_the_same() {
        let full = set_of(MAX_STATEMENTS);
        let (old, again) = (UnixMillis(5), by("c", 20_000, revoke("w5")));
        let has_place = |set: &RevocationSet, said: &[(StatementId, Statement)]| {
            let mut room = set.room().with_places([(revoke("w5"), old)].into());
            said.iter().try_for_each(|(id, statement)| room.take(*id, statement))
        };
        assert_eq!(has_place(&full, std::slice::from_ref(&again)), Ok(()));
        assert_eq!(has_place(&full, &[by("c", 20_000, revoke("v"))]), Err(SetFull), "it is about another");
        assert_eq!(has_place(&full, &[by("c", 5, revoke("w5"))]), Err(SetFull), "it is no later");
        assert_eq!(has_place(&full, &[again.clone(), by("c", 20_001, revoke("w5"))]), Err(SetFull), "both at once");
        let mut taken = full;
        taken.extend([again]);
        assert_eq!(has_place(&taken, &[by("c", 20_001, revoke("w5"))]), Err(SetFull), "it was taken before");
    }

    #[test]
    fn a_coordinator_that_fills_the_set_can_still_be_revoked_with_its_key_and_each_once() {
        let mut full = set_of(MAX_STATEMENTS);
        let key = Subject::Key { key: KeyHash::new([b't'; 32]) };
        let both = [by("c", 1, revoke("thief")), by("c", 2, key.clone())];
        assert_eq!(has_room(&full, &both), Ok(()));
        assert_eq!(has_room(&full, &[both[0].clone(), by("c", 3, revoke("thief"))]), Err(SetFull), "said twice at once");
        full.extend(both);
        for again in [revoke("thief"), key] {
            assert_eq!(has_room(&full, &[by("thief", 9, again)]), Err(SetFull), "what is in force is said only once");
        }
        assert_eq!(has_room(&full, &[by("thief", 9, revoke("c"))]), Ok(()), "`c` has spoken, too");
    }
}
