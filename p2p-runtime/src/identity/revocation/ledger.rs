//! What a node knows to be revoked, durably: one entry of the store for each statement.

mod settling;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{NodeId, Role, UnixMillis},
    revocation::{
        Author, BadStatement, Digest, KeyHash, MAX_STATEMENTS, Reason, RevocationSet, Revocations, SetFull, Statement,
        StatementId, Subject,
    },
    wire::tls::TlsMaterial,
};
use rustls_pki_types::CertificateDer;

use super::super::{
    attest::{AttestError, Attestor},
    checks::{Check, bound, carried},
    error::IdentityError,
    issuer::{Clock, ISSUING_CERT},
    rotation::Roots,
    vault::{Change, Vault, VaultError, json},
};
use super::{RefusedStatement, SignedStatement};

/// Where statements stand in the store, each under its id.
const FOLDER: &str = "revocations/";

/// How many tokens of one credential are revoked one by one at a time: no single client or node takes the room of all others.
const MAX_SINGLE_TOKENS: usize = 64;

/// A node's record of what was revoked. Clones share it.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    vault: Arc<dyn Vault>,
    material: TlsMaterial,
    roots: Roots,
    clock: Clock,
    kept: RwLock<BTreeMap<StatementId, SignedStatement>>,
    stranded: RwLock<settling::Stranded>,
    /// Held from the look at what is there through the durable write to its taking effect.
    writing: Mutex<()>,
}

/// Why something could not be revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// Only coordinators do that.
    #[error(
        "this node is a worker, and only coordinators revoke; run the command on a coordinator: `p2p nodes` shows which nodes are"
    )]
    NotCoordinator,
    /// A coordinator does not take its own power away.
    #[error("{node_id} is this node itself; take it out with `p2p leave`, or revoke it on another coordinator")]
    Itself {
        /// This node.
        node_id: NodeId,
    },
    /// It would take back what this coordinator's own certificate stands on.
    #[error(
        "this node's own certificate stands on key {key}, that of an authority or of the cluster's root, so that no node would believe it; \
         if it is another coordinator's, have this node vouch for itself (`p2p cert renew`), and try again; else a coordinator with another authority can \
         revoke it; where all have the same, and it was stolen, the cluster needs a new root: \
         `p2p ca rotate`"
    )]
    OwnAuthority {
        /// The key.
        key: KeyHash,
    },
    /// It would take back what this coordinator itself issues by.
    #[error(
        "key {key} is that by which this coordinator itself issues certificates: all nodes that it has certified would be out, and it would go on certifying others in vain; \
         if that key was stolen, run the command on another coordinator (`p2p nodes` shows which nodes are): this one then gets itself another key; where there is no \
         other, `p2p ca rotate` gives the cluster a new root, and this coordinator a new key, and nobody is out"
    )]
    OwnIssuing {
        /// The key.
        key: KeyHash,
    },
    /// Nobody would believe it.
    #[error(
        "the other nodes would not believe this coordinator ({0}); look at its certificate with `p2p cert show`, and at its clock"
    )]
    NotBelieved(#[from] RefusedStatement),
    /// There are too many.
    #[error(transparent)]
    Full(#[from] SetFull),
    /// There are too many of one credential: whoever has it can get tokens and take them back without end.
    #[error(
        "{MAX_SINGLE_TOKENS} tokens of credential {credential} are revoked one by one already, and this one still works; take the credential back, and all its tokens end: a client's with `p2p client remove NAME` on the coordinator that keeps it (`p2p client list`), a node's with `p2p node revoke ID`"
    )]
    SingleTokens {
        /// What stands before the dot in the id of each.
        credential: String,
    },
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] AttestError),
    /// It could not be written down; nothing was revoked.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What became of statements that came from another node.
#[derive(Debug, Default)]
pub struct Accepted {
    /// Those that this node did not know, and now keeps.
    pub fresh: Vec<StatementId>,
    /// What those say.
    pub statements: Vec<Statement>,
    /// Why others were not believed.
    pub refused: Vec<RefusedStatement>,
    /// For how many good ones there was no room.
    pub without_room: usize,
}

/// A statement of this node's own that is about to be written.
pub(in super::super) struct Prepared {
    statement: Statement,
    signed: SignedStatement,
}

impl Prepared {
    /// What makes it durable.
    pub(in super::super) fn change(&self) -> Result<Change, VaultError> {
        change(&self.signed)
    }
}

impl Ledger {
    /// Takes what is known from the store, and lets it take effect in this material.
    ///
    /// # Errors
    /// The store fails, or holds what this version cannot read.
    pub fn load(vault: Arc<dyn Vault>, material: TlsMaterial, clock: Clock) -> Result<Self, IdentityError> {
        let mut kept = BTreeMap::new();
        let mut statements = Vec::new();
        for path in vault.list(FOLDER)? {
            let Some(stored) = vault.get(&path)? else { continue };
            let damaged = |error: &dyn fmt::Display| IdentityError::Damaged(format!("the revocation at {path}: {error}"));
            let signed: SignedStatement = serde_json::from_slice(&stored).map_err(|error| damaged(&error))?;
            let statement = signed.statement().map_err(|error| match error {
                BadStatement::NewerFormat(format) => IdentityError::NewerFormat(format),
                other => damaged(&other),
            })?;
            statements.push((signed.id(), statement));
            kept.insert(signed.id(), signed);
        }
        let mut set = RevocationSet::default();
        set.extend(statements);
        material.revocations().replace(set);
        let roots = Roots::load(vault.clone(), material.clone())?;
        Ok(Self(Arc::new(Inner {
            vault,
            material,
            roots,
            clock,
            kept: RwLock::new(kept),
            stranded: RwLock::default(),
            writing: Mutex::default(),
        })))
    }

    /// What is known of the cluster's roots, by whose certificates statements are believed.
    pub fn roots(&self) -> &Roots {
        &self.0.roots
    }

    /// What holds now.
    pub fn revocations(&self) -> &Revocations {
        self.0.material.revocations()
    }

    /// What this ledger is compared with others by: what it would [hand out](Self::ids).
    pub fn digest(&self) -> Digest {
        let set = self.revocations().set();
        let stranded = self.0.stranded();
        stranded.ids().filter(|id| set.contains(id)).fold(set.digest(), Digest::without)
    }

    /// Revokes, in the name of this coordinator. What is revoked already changes nothing. It is durable when this returns, in force on this
    /// node, and on its way to the others. Gives the statements that were made.
    ///
    /// # Errors
    /// [`RevokeError`]; then nothing was revoked.
    pub async fn revoke(&self, subjects: Vec<Subject>, reason: Reason) -> Result<Vec<Statement>, RevokeError> {
        let revoked = self.blocking(move |inner| inner.revoke(subjects, &reason)).await;
        let statements = revoked.unwrap_or_else(|lost| Err(lost.into()))?;
        for statement in &statements {
            revoked_line(statement, "here").write();
        }
        Ok(statements)
    }

    /// Takes in statements that another node has passed on. Those that are new and good are durable and in force when this returns.
    ///
    /// # Errors
    /// The store fails; then none was taken in.
    pub async fn accept(&self, statements: Vec<SignedStatement>) -> Result<Accepted, RevokeError> {
        self.blocking(move |inner| inner.accept(statements)).await.unwrap_or_else(|lost| Err(lost.into()))
    }

    /// Forgets statements about tokens that have expired by themselves.
    ///
    /// # Errors
    /// The store fails; then nothing is forgotten.
    pub async fn forget_expired(&self) -> Result<(), RevokeError> {
        self.blocking(Inner::forget_expired).await.unwrap_or_else(|lost| Err(lost.into()))
    }

    /// Whether this node's certificate would be worth nothing without this key, so that it cannot revoke it.
    pub(crate) fn stands_on(&self, key: &KeyHash) -> bool {
        self.0.stands_on(key)
    }

    /// Those of these statements that are [handed out](Self::ids).
    pub fn get<'a>(&self, ids: impl IntoIterator<Item = &'a StatementId>) -> Vec<SignedStatement> {
        let (kept, stranded) = (self.0.kept.read().unwrap_or_else(PoisonError::into_inner), self.0.stranded());
        ids.into_iter().filter(|id| !stranded.contains(id)).filter_map(|id| kept.get(id).cloned()).collect()
    }

    /// The ids of the statements that are handed out to other nodes, in order: all but those that nobody else would believe since the root was changed.
    pub fn ids(&self) -> Vec<StatementId> {
        let stranded = self.0.stranded();
        self.revocations().set().iter().map(|(id, _)| *id).filter(|id| !stranded.contains(id)).collect()
    }

    /// Makes the statement that lets a revoked node in again, to be written together with its certificate.
    pub(in super::super) fn prepare_readmission(&self, node_id: NodeId, key: KeyHash) -> Result<Prepared, RevokeError> {
        let _writing = self.0.lock();
        let prepared = self.0.prepare(Subject::Readmission { node_id, key }, &Reason::default())?;
        self.0.must_have_room(std::slice::from_ref(&prepared))?;
        Ok(prepared)
    }

    /// Lets a statement take effect that has been written: also where others have taken the last room meanwhile.
    pub(in super::super) fn take_effect(&self, prepared: Prepared) {
        let _writing = self.0.lock();
        self.0.publish(vec![prepared]);
    }

    /// Runs what blocks on the disk where it may. It runs to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> Result<T, VaultError> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(carried(move || work(&inner))).await.map_err(VaultError::new)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("revocations", self.revocations()).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attestor(&self) -> Attestor {
        Attestor::new(self.material.clone())
    }

    /// Who this node is, with its key; only a coordinator signs.
    fn author(&self) -> Result<Author, RevokeError> {
        let own = self.material.own();
        let key = own.as_ref().and_then(|own| own.cert.first()).and_then(KeyHash::of_certificate);
        match (self.material.identity(), key) {
            (Some(me), Some(key)) if me.role == Role::Coordinator => Ok(Author { node_id: me.node_id, key }),
            _ => Err(RevokeError::NotCoordinator),
        }
    }

    fn prepare(&self, subject: Subject, reason: &Reason) -> Result<Prepared, RevokeError> {
        self.prepare_at(self.next_date(), subject, reason)
    }

    /// Now, and later than all that is known, whatever the clock says: what is said now is said in the knowledge of them.
    fn next_date(&self) -> UnixMillis {
        let after = self.material.revocations().set().latest().map_or(0, |latest| latest.0.saturating_add(1));
        UnixMillis((self.clock)().0.max(after))
    }

    fn prepare_at(&self, at: UnixMillis, subject: Subject, reason: &Reason) -> Result<Prepared, RevokeError> {
        let by = self.author()?;
        self.refuse_own(&subject, &by)?;
        let statement = Statement { subject, at, by, reason: reason.clone() };
        let signed = SignedStatement::sign(&statement, &self.attestor())?;
        // What others would not believe is not said: a certificate may not have begun yet, or have ended.
        signed.verify(&self.attestor(), at.max((self.clock)()))?;
        Ok(Prepared { statement, signed })
    }

    /// A coordinator that revoked itself, or what it stands on, could not even say so any more.
    fn refuse_own(&self, subject: &Subject, me: &Author) -> Result<(), RevokeError> {
        let itself = || RevokeError::Itself { node_id: me.node_id.clone() };
        match subject {
            Subject::Node { node_id } if *node_id == me.node_id => Err(itself()),
            Subject::Key { key } if *key == me.key => Err(itself()),
            Subject::Key { key } if self.stands_on(key) => Err(RevokeError::OwnAuthority { key: *key }),
            Subject::Key { key } if self.issues_by(key)? => Err(RevokeError::OwnIssuing { key: *key }),
            _ => Ok(()),
        }
    }

    /// Whether this coordinator issues by this key; its own certificate may stand on another coordinator's still.
    fn issues_by(&self, key: &KeyHash) -> Result<bool, VaultError> {
        let cert = self.vault.get(ISSUING_CERT)?.map(|cert| CertificateDer::from(cert.to_vec()));
        Ok(cert.and_then(|cert| KeyHash::of_certificate(&cert)) == Some(*key))
    }

    /// Whether this node's certificate would be worth nothing without this key.
    fn stands_on(&self, key: &KeyHash) -> bool {
        let (own, root) = (self.material.own(), self.material.root());
        let shown = own.iter().flat_map(|own| &own.cert).filter_map(KeyHash::of_certificate);
        shown.chain(root.and_then(|root| KeyHash::of_certificate(root.der()))).any(|own| own == *key)
    }

    fn revoke(&self, subjects: Vec<Subject>, reason: &Reason) -> Result<Vec<Statement>, RevokeError> {
        let _writing = self.lock();
        self.author()?;
        let set = self.material.revocations().set();
        let news: Vec<_> = subjects.into_iter().filter(|subject| !set.is_subject_revoked(subject)).collect();
        self.has_room_for_tokens(&set, &news)?;
        let prepared: Vec<_> = news.into_iter().map(|subject| self.prepare(subject, reason)).collect::<Result<_, _>>()?;
        self.must_have_room(&prepared)?;
        self.write(&prepared)?;
        let statements: Vec<_> = prepared.iter().map(|prepared| prepared.statement.clone()).collect();
        self.publish(prepared);
        Ok(statements)
    }

    fn accept(&self, statements: Vec<SignedStatement>) -> Result<Accepted, RevokeError> {
        let _writing = self.lock();
        let (set, now, attestor) = (self.material.revocations().set(), (self.clock)(), self.attestor());
        let (mut accepted, mut room) = (Accepted::default(), self.room_for(statements.len(), &set));
        let mut fresh = Vec::new();
        for signed in statements {
            if set.contains(&signed.id()) {
                continue;
            }
            // Its author's certificate may lead to a root that is not trusted any more.
            let verified = if self.roots.endorses(&signed.id()) {
                signed.statement().map_err(RefusedStatement::from)
            } else {
                signed.verify(&attestor, now)
            };
            match verified {
                Ok(statement) if RevocationSet::is_over(&statement.subject, now) => {}
                // One by one: who fills the set is not to keep out what has room still.
                Ok(statement) => match room.take(signed.id(), &statement) {
                    Ok(()) => fresh.push(Prepared { statement, signed }),
                    Err(SetFull) => accepted.without_room += 1,
                },
                Err(refused) => {
                    // Whoever passes on what is forged is not worth checking more of.
                    let is_forged = refused.is_forged();
                    accepted.refused.push(refused);
                    if bound(Check::RevocationHearing, is_forged, false) {
                        break;
                    }
                }
            }
        }
        self.write(&fresh)?;
        accepted.statements = fresh.iter().map(|prepared| prepared.statement.clone()).collect();
        accepted.fresh = self.publish(fresh);
        Ok(accepted)
    }

    /// Makes statements durable, all or none.
    fn write(&self, prepared: &[Prepared]) -> Result<(), RevokeError> {
        if prepared.is_empty() {
            return Ok(());
        }
        let changes = prepared.iter().map(Prepared::change).collect::<Result<_, _>>()?;
        Ok(self.vault.update(changes)?)
    }

    /// What has no room is not to be written either.
    fn must_have_room(&self, prepared: &[Prepared]) -> Result<(), SetFull> {
        let set = self.material.revocations().set();
        let mut room = set.room();
        prepared.iter().try_for_each(|prepared| room.take(prepared.signed.id(), &prepared.statement))
    }

    /// Clients and workers can have their tokens revoked as often as they get some: that must leave room for what operators revoke.
    fn has_room_for_tokens(&self, set: &RevocationSet, subjects: &[Subject]) -> Result<(), RevokeError> {
        let mut more: BTreeMap<&str, usize> = BTreeMap::new();
        for subject in subjects {
            if let Subject::ClientToken { id, .. } = subject
                && id.is_single()
            {
                *more.entry(id.credential()).or_default() += 1;
            }
        }
        let now = (self.clock)();
        for (credential, more) in &more {
            if set.single_tokens_of(credential, now) + more > MAX_SINGLE_TOKENS {
                return Err(RevokeError::SingleTokens { credential: (*credential).to_owned() });
            }
        }
        if !more.is_empty() && set.single_tokens() >= MAX_STATEMENTS / 2 { Err(SetFull.into()) } else { Ok(()) }
    }

    /// Lets what is durable take effect. Gives what was new.
    fn publish(&self, prepared: Vec<Prepared>) -> Vec<StatementId> {
        let mut set = RevocationSet::clone(&self.material.revocations().set());
        let (mut kept, mut statements) = (BTreeMap::new(), Vec::new());
        for Prepared { statement, signed } in prepared {
            statements.push((signed.id(), statement));
            kept.insert(signed.id(), signed);
        }
        let fresh = set.extend(statements);
        if !fresh.is_empty() {
            self.kept.write().unwrap_or_else(PoisonError::into_inner).append(&mut kept);
            self.material.revocations().replace(set);
        }
        fresh
    }

    fn forget_expired(&self) -> Result<(), RevokeError> {
        let _writing = self.lock();
        let mut set = RevocationSet::clone(&self.material.revocations().set());
        let gone = set.forget_expired((self.clock)());
        if gone.is_empty() {
            return Ok(());
        }
        self.vault.update(gone.iter().map(|id| Change::Remove(path(id))).collect())?;
        self.kept.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| !gone.contains(id));
        self.material.revocations().replace(set);
        Ok(())
    }
}

/// The line of the audit log that tells of a statement, which came from there.
pub(crate) fn revoked_line(statement: &Statement, from: &str) -> Line {
    let author = format_args!("node {} (coordinator)", statement.by.node_id);
    let what = if let Subject::Readmission { .. } = statement.subject { "readmit" } else { "revoke" };
    Line::new(author, what, Outcome::Done).whom(&statement.subject).from(from).reason(statement.reason.as_str())
}

fn path(id: &StatementId) -> String {
    format!("{FOLDER}{id}")
}

fn change(signed: &SignedStatement) -> Result<Change, VaultError> {
    Ok(Change::Put(path(&signed.id()), json(signed)?))
}
