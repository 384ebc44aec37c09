//! After a change of the root: what was signed under the old one, and is not named by the completion, is believed by those alone who had it before. It is
//! stranded: it stays in force here, and is not handed out. Coordinators say it again, under the new root; then the old statements go, so that all come
//! to have the same. What no coordinator knows is shown to the next one that is met: it says it again by what it knows itself of its author, or has its
//! operator look at it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{PoisonError, RwLockReadGuard},
};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{NodeId, Role, UnixMillis},
    revocation::{Author, KeyHash, MAX_STATEMENTS, Reason, RevocationSet, Room, Statement, StatementId, Subject},
};

use super::{
    super::super::issuer::{IssuedNode, NODES},
    Change, Inner, Ledger, Prepared, RevokeError, SignedStatement, VaultError, path, revoked_line,
};

/// So many statements are shown to another node at a time, and looked at.
const SHOWN_AT_ONCE: usize = 16;

/// The statements that nobody else would believe, as was last looked.
#[derive(Default)]
pub(super) struct Stranded {
    ids: BTreeSet<StatementId>,
    /// What was known of the roots then.
    by: Option<StatementId>,
}

impl Stranded {
    pub(super) fn ids(&self) -> impl Iterator<Item = &StatementId> {
        self.ids.iter()
    }

    pub(super) fn contains(&self, id: &StatementId) -> bool {
        self.ids.contains(id)
    }
}

/// What became of the statements that nobody else would believe.
#[derive(Default)]
struct Settled {
    /// Those that were said again.
    again: Vec<Statement>,
    /// How many were forgotten, as what others believe comes to the same without them.
    forgotten: usize,
    /// How many are left.
    left: usize,
}

/// What has to be said about one node, key or token, so that the others come to the same without the stranded statements about it.
struct Owed {
    stranded: Vec<StatementId>,
    /// When the last of these was made.
    latest: UnixMillis,
    /// First what takes back, then what lets in. Nothing, where the others have come to the same.
    says: Vec<Subject>,
}

impl Ledger {
    /// Says again, on a coordinator, what is in force by statements that nobody else would believe any more; and forgets those of them without which
    /// the others' words come to the same. Gives how many are left.
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
                .reason("what is said under the cluster's root comes to the same")
                .write();
        }
        Ok(settled.left)
    }

    /// Finds, where the root has changed since that was last done, the statements that nobody else would believe any more. From then on they are not handed
    /// out: whoever got them would take this node for a forger.
    pub(crate) async fn set_aside(&self) {
        let known = self.roots().known();
        if known.completed().is_none() || self.0.stranded().by == Some(known.id()) {
            return;
        }
        let done = self.blocking(|inner| {
            let _writing = inner.lock();
            inner.find_stranded(&inner.material.revocations().set());
        });
        if let Err(error) = done.await {
            tracing::warn!(%error, "it was not looked which revocations nobody else would believe");
        }
    }
}

/// What became of statements that nobody else believes, and that another node has shown to this one.
#[derive(Debug, Default)]
pub(crate) struct TakenUp {
    /// What was said again.
    pub(crate) again: Vec<Statement>,
    /// What is said by somebody of whom this node does not know whether he was a coordinator, and what it may not say itself: for its operator.
    pub(crate) open: Vec<(StatementId, Statement)>,
}

impl Ledger {
    /// The revocations that are in force here and that nobody else would believe any more: to be shown to coordinators.
    pub(crate) fn to_be_said_again(&self) -> Vec<SignedStatement> {
        let stranded = self.0.stranded();
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        stranded.ids().take(SHOWN_AT_ONCE).filter_map(|id| kept.get(id).cloned()).collect()
    }

    /// Says again, on a coordinator, what another node keeps from under an earlier root, where this one has a record by which its author was a coordinator
    /// with the key that has signed it, and was not revoked. The earlier root is no witness: its key may be what was stolen. What is in force anyway is left,
    /// and so is what was taken back: a node that was let in again is put out by an operator alone.
    ///
    /// # Errors
    /// [`RevokeError`], as where this is a worker; then nothing was said.
    pub(crate) async fn take_up(&self, statements: Vec<SignedStatement>) -> Result<TakenUp, RevokeError> {
        let taken_up = self.blocking(|inner| inner.take_up(statements)).await.unwrap_or_else(|lost| Err(lost.into()))?;
        for statement in &taken_up.again {
            revoked_line(statement, "here").write();
        }
        Ok(taken_up)
    }
}

impl Inner {
    fn take_up(&self, statements: Vec<SignedStatement>) -> Result<TakenUp, RevokeError> {
        self.author()?;
        let now = (self.clock)();
        let mut taken_up = TakenUp::default();
        for signed in statements.into_iter().take(SHOWN_AT_ONCE) {
            let Ok(statement) = signed.statement() else { continue };
            let set = self.material.revocations().set();
            // What lets somebody in is not said for another: an operator does that. And what is known here has had its time: a node that was let in again
            // since stays in, whoever shows what was said before.
            if set.contains(&signed.id())
                || matches!(statement.subject, Subject::Readmission { .. })
                || set.is_subject_revoked(&statement.subject)
                || RevocationSet::is_over(&statement.subject, now)
                || signed.verify_key(now).is_err()
            {
                continue;
            }
            let Author { node_id, key } = &statement.by;
            let is_revoked = set.is_revoked(node_id, key) || set.is_key_revoked(key);
            let was_let_in = match &statement.subject {
                Subject::Node { node_id } => set.keys_let_in(node_id).is_some_and(|keys| !keys.is_empty()),
                _ => false,
            };
            let said = if !is_revoked && !was_let_in && self.was_coordinator(node_id, key)? {
                self.revoke(vec![statement.subject.clone()], &statement.reason)
            } else {
                Ok(Vec::new())
            };
            match said {
                Ok(said) if !said.is_empty() => taken_up.again.extend(said),
                Ok(_) => taken_up.open.push((signed.id(), statement)),
                Err(error @ (RevokeError::Vault(_) | RevokeError::Full(_))) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "a revocation from under an earlier root is not said again here");
                    taken_up.open.push((signed.id(), statement));
                }
            }
        }
        Ok(taken_up)
    }

    /// Whether this coordinator knows by itself that this was a coordinator's key: it has issued its certificate, or has seen it under the root of now.
    fn was_coordinator(&self, node_id: &NodeId, key: &KeyHash) -> Result<bool, VaultError> {
        let record = self.vault.get(&format!("{NODES}{node_id}.json"))?;
        let issued = record.and_then(|stored| serde_json::from_slice::<IssuedNode>(&stored).ok());
        let is_it = |issued: &IssuedNode| issued.role == Role::Coordinator && KeyHash::from(issued.key) == *key;
        Ok(issued.as_ref().is_some_and(is_it) || self.roots.coordinator_seen(node_id) == Some(*key))
    }

    pub(super) fn stranded(&self) -> RwLockReadGuard<'_, Stranded> {
        self.stranded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self) -> Result<Settled, RevokeError> {
        let _writing = self.lock();
        let set = self.material.revocations().set();
        let (mut again, mut over, mut left) = (Vec::new(), HashSet::new(), 0);
        let reasons = Reasons::of(&set);
        let at = self.author().ok().map(|_| self.next_date());
        for owed in owed(&set, &self.find_stranded(&set)) {
            let said =
                if owed.says.is_empty() { Some(Vec::new()) } else { at.and_then(|at| self.say_again(&owed, at, &reasons)) };
            match said {
                Some(said) => {
                    again.extend(said);
                    over.extend(owed.stranded);
                }
                None => left += owed.stranded.len(),
            }
        }
        if over.is_empty() {
            return Ok(Settled { left, ..Settled::default() });
        }
        // No room is asked for: what is said takes the place of what goes by the same write, also where the set is full.
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
        self.stranded.write().unwrap_or_else(PoisonError::into_inner).ids.retain(|id| !forgotten.contains(id));
        let again = again.into_iter().map(|(_, statement)| statement).collect();
        Ok(Settled { again, forgotten: forgotten.len(), left })
    }

    /// The statements that would not be believed if they came now. It is looked once for each state of the roots: what comes later was believed.
    fn find_stranded(&self, set: &RevocationSet) -> BTreeSet<StatementId> {
        let by = self.roots.known().id();
        if self.stranded().by != Some(by) {
            // Without the lock, which all that is handed out waits for.
            let found = Stranded { ids: self.not_believed(set), by: Some(by) };
            *self.stranded.write().unwrap_or_else(PoisonError::into_inner) = found;
        }
        self.stranded().ids().filter(|id| set.contains(id)).copied().collect()
    }

    fn not_believed(&self, set: &RevocationSet) -> BTreeSet<StatementId> {
        let (attestor, now) = (self.attestor(), (self.clock)());
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let is_believed = |id: &StatementId| {
            self.roots.endorses(id)
                || kept.get(id).is_none_or(|signed| !signed.verify(&attestor, now).is_err_and(|refused| refused.is_forged()))
        };
        set.iter().map(|(id, _)| *id).filter(|id| !is_believed(id)).collect()
    }

    /// The same, said by this node: all or nothing, as a revocation without the readmission that followed it would end that. What this node may not say, or
    /// nobody would believe of it, is left to others.
    fn say_again(&self, owed: &Owed, at: UnixMillis, reasons: &Reasons<'_>) -> Option<Vec<Prepared>> {
        let prepare = |subject: &Subject| {
            let is_later = matches!(subject, Subject::Readmission { .. });
            self.prepare_at(UnixMillis(at.0.saturating_add(u64::from(is_later))), subject.clone(), &reasons.last(subject))
        };
        let said: Result<Vec<_>, _> = owed.says.iter().map(prepare).collect();
        said.inspect_err(|error| tracing::debug!(%error, "a revocation is not said again here")).ok()
    }

    /// The room for so many more statements. What is said again by others takes the place of the stranded statement here, which goes when this node settles,
    /// also where the set is full.
    pub(super) fn room_for<'a>(&self, more: usize, set: &'a RevocationSet) -> Room<'a> {
        let stranded = self.stranded();
        if stranded.ids.is_empty() || set.len() + more <= MAX_STATEMENTS {
            return set.room();
        }
        let places = owed(set, &stranded.ids)
            .into_iter()
            .flat_map(|owed| owed.says.into_iter().map(move |subject| (subject, owed.latest)));
        set.room().with_places(places.collect())
    }
}

/// What is owed for these statements of a set.
fn owed(set: &RevocationSet, stranded: &BTreeSet<StatementId>) -> Vec<Owed> {
    if stranded.is_empty() {
        return Vec::new();
    }
    let mut rest = RevocationSet::clone(set);
    rest.forget(&stranded.iter().copied().collect::<Vec<_>>());
    let said: HashSet<&Subject> = rest.iter().map(|(_, statement)| &statement.subject).collect();
    let mut all: HashMap<Subject, Owed> = HashMap::new();
    for (id, statement) in set.iter().filter(|(id, _)| stranded.contains(id)) {
        let owed = all.entry(whom(&statement.subject)).or_insert_with_key(|about| Owed {
            stranded: Vec::new(),
            latest: UnixMillis(0),
            says: match about {
                Subject::Node { node_id } => owed_of_node(node_id, set, &rest),
                about if said.contains(about) => Vec::new(),
                about => vec![about.clone()],
            },
        });
        owed.stranded.push(*id);
        owed.latest = owed.latest.max(statement.at);
    }
    all.into_values().collect()
}

/// What a statement is about: a readmission is about its node.
fn whom(subject: &Subject) -> Subject {
    match subject {
        Subject::Readmission { node_id, .. } => Subject::Node { node_id: node_id.clone() },
        other => other.clone(),
    }
}

/// What has to be said for a node to stand as it stands by `set`, where the others have `rest`. A revocation that is said now ends all readmissions, so
/// that these are said after it.
fn owed_of_node(node_id: &NodeId, set: &RevocationSet, rest: &RevocationSet) -> Vec<Subject> {
    let readmission = |key| Subject::Readmission { node_id: node_id.clone(), key };
    let Some(here) = set.keys_let_in(node_id) else { return Vec::new() };
    match rest.keys_let_in(node_id) {
        Some(there) if there.is_subset(here) => here.difference(there).copied().map(readmission).collect(),
        _ => std::iter::once(Subject::Node { node_id: node_id.clone() }).chain(here.iter().copied().map(readmission)).collect(),
    }
}

/// Why each was said, as it was said last.
struct Reasons<'a>(HashMap<&'a Subject, &'a Statement>);

impl<'a> Reasons<'a> {
    fn of(set: &'a RevocationSet) -> Self {
        let mut last: HashMap<&Subject, &Statement> = HashMap::new();
        for (_, statement) in set.iter() {
            let known = last.entry(&statement.subject).or_insert(statement);
            if known.at < statement.at {
                *known = statement;
            }
        }
        Self(last)
    }

    fn last(&self, subject: &Subject) -> Reason {
        self.0.get(subject).map(|statement| statement.reason.clone()).unwrap_or_default()
    }
}
