//! After a change of the root: what was signed under the old one, and is not named by the completion, is believed by those alone who had it before.
//! Coordinators say it again, under the new root; then the old statement goes, so that all come to have the same.

use std::{
    collections::{BTreeMap, HashSet},
    sync::PoisonError,
};

use p2p_client::{
    audit::{Line, Outcome},
    revocation::{RevocationSet, Statement, StatementId, Subject},
};

use super::{Change, Inner, Ledger, Prepared, RevokeError, path, revoked_line};

/// What became of the statements that nobody else would believe.
#[derive(Default)]
struct Settled {
    /// Those that were said again.
    again: Vec<Statement>,
    /// How many were forgotten, as somebody has said them again.
    forgotten: usize,
    /// How many are left.
    left: usize,
}

impl Ledger {
    /// Says again, on a coordinator, what is in force by statements that nobody else would believe any more; and forgets those of them that somebody
    /// has said again. Gives how many are left.
    ///
    /// # Errors
    /// [`RevokeError`]; then nothing has changed.
    pub(crate) async fn settle(&self) -> Result<usize, RevokeError> {
        let settled = self.blocking(Inner::settle).await.unwrap_or_else(|lost| Err(lost.into()))?;
        for statement in &settled.again {
            revoked_line(statement, "here").write();
        }
        if settled.forgotten > 0 {
            Line::new("this node", "forget what was revoked under an old root", Outcome::Done)
                .whom(format_args!("{} revocations", settled.forgotten))
                .from("here")
                .reason("they were said again under the cluster's root")
                .write();
        }
        Ok(settled.left)
    }
}

impl Inner {
    fn settle(&self) -> Result<Settled, RevokeError> {
        let _writing = self.lock();
        let set = self.material.revocations().set();
        let stranded = self.stranded(&set);
        if stranded.is_empty() {
            return Ok(Settled::default());
        }
        let mut said: HashSet<&Subject> =
            set.iter().filter(|(id, _)| !stranded.contains_key(id)).map(|(_, statement)| &statement.subject).collect();
        let unsaid = stranded.values().filter(|statement| !said.contains(&statement.subject));
        let again = match self.author() {
            Ok(_) => self.again(unsaid.copied().filter(|statement| is_in_force(&set, &statement.subject))),
            Err(_) => Vec::new(),
        };
        // No room is asked for: each of these takes the place of at least one that goes by the same write, also where the set is full.
        said.extend(again.iter().map(|prepared| &prepared.statement.subject));
        let over: HashSet<StatementId> =
            stranded.iter().filter(|(_, statement)| said.contains(&statement.subject)).map(|(id, _)| *id).collect();
        let left = stranded.len() - over.len();
        if over.is_empty() {
            return Ok(Settled { left, ..Settled::default() });
        }
        let mut changes = again.iter().map(Prepared::change).collect::<Result<Vec<_>, _>>()?;
        changes.extend(over.iter().map(|id| Change::Remove(path(id))));
        self.vault.update(changes)?;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|id, _| !over.contains(id));
        kept.extend(again.iter().map(|said| (said.signed.id(), said.signed.clone())));
        drop(kept);
        let mut next = RevocationSet::clone(&set);
        let forgotten: Vec<_> = over.into_iter().collect();
        let again: Vec<_> = again.into_iter().map(|said| (said.signed.id(), said.statement)).collect();
        // First what is new, so that nobody is let in between.
        next.extend(again.iter().cloned());
        next.forget(&forgotten);
        self.material.revocations().replace(next);
        let again = again.into_iter().map(|(_, statement)| statement).collect();
        Ok(Settled { again, forgotten: forgotten.len(), left })
    }

    /// The statements that would not be believed if they came now.
    fn stranded<'a>(&self, set: &'a RevocationSet) -> BTreeMap<StatementId, &'a Statement> {
        let (attestor, now) = (self.attestor(), (self.clock)());
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let is_believed = |id: &StatementId| {
            self.roots.endorses(id)
                || kept.get(id).is_none_or(|signed| !signed.verify(&attestor, now).is_err_and(|refused| refused.is_forged()))
        };
        set.iter().filter(|(id, _)| !is_believed(id)).map(|(id, said)| (*id, &**said)).collect()
    }

    /// The same, said by this node. What it may not say, or nobody would believe of it, is left to others.
    fn again<'a>(&self, said: impl Iterator<Item = &'a Statement>) -> Vec<Prepared> {
        let mut subjects: HashSet<&Subject> = HashSet::new();
        let mut again = Vec::new();
        for statement in said.filter(|statement| subjects.insert(&statement.subject)) {
            match self.prepare(statement.subject.clone(), &statement.reason) {
                Ok(prepared) => again.push(prepared),
                Err(error) => tracing::debug!(subject = %statement.subject, %error, "a revocation is not said again here"),
            }
        }
        again
    }
}

/// A revocation that a readmission has ended is not said again: dated now, it would end the readmission.
fn is_in_force(set: &RevocationSet, subject: &Subject) -> bool {
    match subject {
        Subject::Readmission { node_id, key } => set.readmitted().any(|(readmitted, by)| readmitted == node_id && by == key),
        other => set.is_subject_revoked(other),
    }
}
