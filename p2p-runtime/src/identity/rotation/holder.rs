//! What a coordinator does with the root key: begins and completes a change of the root, gives coordinators their authority, hands the key on.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::NodeId,
    revocation::KeyHash,
    wire::tls::TrustedRoot,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use zeroize::Zeroizing;

use super::{
    super::{
        ca::{CaError, RootCa},
        error::IdentityError,
        issuer::{Clock, NEXT_ROOT_KEY, ROOT_KEY},
        key::{KeyError, NodeKey, PublicKey},
        revocation::Ledger,
        shown::Shown,
        vault::{Change, Vault, VaultError},
    },
    GrantedAuthority, RefusedRoot, RootHolder, Roots, SignedAnnouncement, SignedCompletion, Told,
    holders::RootHolders,
    roots::NotLearned,
    said::{Occasion, key_of},
};

/// The root keys in a coordinator's store, and what is done with them. Cheap to clone.
#[derive(Clone)]
pub struct RootKeys {
    vault: Arc<dyn Vault>,
    ledger: Ledger,
    clock: Clock,
    me: NodeId,
    /// Which others may have them.
    holders: Arc<RootHolders>,
}

/// Why the root was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// Only coordinators do that.
    #[error(
        "{me} is a worker, and only coordinators change the cluster's root; run the command on one that holds the root key: `p2p ca show` says which do"
    )]
    NotCoordinator {
        /// This node.
        me: NodeId,
    },
    /// The key is elsewhere.
    #[error(
        "this node does not hold the root key; `p2p ca show` says which nodes do: run the command there, or `p2p ca share {me}` there and \
         then the command here"
    )]
    NoRootKey {
        /// This node.
        me: NodeId,
    },
    /// It is here, and cannot be read.
    #[error(
        "a root key in this node's store is damaged; see whether the store is whole: `p2p store verify`; where another node holds the key \
         (`p2p ca show`), `p2p ca share {me}` there gives it to this node anew"
    )]
    DamagedRootKey {
        /// This node.
        me: NodeId,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Another coordinator has begun it.
    #[error(
        "{by} has begun to change the root, and only nodes that hold the new root's key can go on: run the command on {by}; if that node is lost for good, \
         begin anew with `p2p ca rotate --start-over`"
    )]
    BegunElsewhere {
        /// Which one.
        by: NodeId,
    },
    /// There is nothing to finish.
    #[error("the root is not being changed; begin with `p2p ca rotate`")]
    NotBegun,
    /// Who asks has been taken back, or stands on an authority that was.
    #[error(
        "{node_id}, its key, or the authority that has certified it was revoked, so that it gets no authority; have it join again: `p2p join --again`"
    )]
    TakenBack {
        /// Who asked.
        node_id: NodeId,
    },
    /// The key of the request belongs to another coordinator's authority.
    #[error(
        "that key is recorded as the one of {node_id}'s authority; look into that coordinator, and revoke it if it is not its own: `p2p node revoke {node_id}`"
    )]
    KeyOfAnother {
        /// Whose it is, by the records.
        node_id: NodeId,
    },
    /// The records of issued certificates cannot be read.
    #[error(
        "it cannot be told who has a certificate: {0}; see the node's log, and whether its store is whole: `p2p store verify`; nothing has changed"
    )]
    Records(String),
    /// The authority failed.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// What this node itself says is not believed.
    #[error(transparent)]
    Refused(#[from] RefusedRoot),
    /// The store failed, or holds what is damaged; nothing has changed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<NotLearned> for RotateError {
    fn from(error: NotLearned) -> Self {
        match error {
            NotLearned::Refused(refused) => Self::Refused(refused),
            NotLearned::Identity(error) => Self::Identity(error),
        }
    }
}

impl From<VaultError> for RotateError {
    fn from(error: VaultError) -> Self {
        Self::Identity(error.into())
    }
}

impl From<KeyError> for RotateError {
    fn from(error: KeyError) -> Self {
        Self::Identity(error.into())
    }
}

/// What came of the wish to change the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It has begun.
    Begun,
    /// It had begun before, and goes on.
    GoesOn,
}

/// The coordinators that may have the key of a root that is trusted.
#[derive(Debug, Default)]
pub(crate) struct MayHold {
    /// All of them.
    pub(crate) any: BTreeSet<NodeId>,
    /// Those that were given it by this node.
    pub(crate) given_here: BTreeSet<NodeId>,
}

impl RootKeys {
    /// Those in this store, of the coordinator with this name.
    pub(crate) fn new(vault: Arc<dyn Vault>, ledger: Ledger, clock: Clock, me: NodeId) -> Self {
        Self { vault, ledger, clock, me, holders: Arc::default() }
    }

    fn roots(&self) -> &Roots {
        self.ledger.roots()
    }

    /// This root with its key, if the key is here. One that cannot be read does not stand in the way of the other.
    ///
    /// # Errors
    /// The store fails; or a key that may be this root's cannot be read.
    fn holds(&self, root: &TrustedRoot) -> Result<Option<RootCa>, RotateError> {
        let mut damaged = None;
        for path in [ROOT_KEY, NEXT_ROOT_KEY] {
            let Some(der) = self.vault.get(path)? else { continue };
            match NodeKey::from_pkcs8(&der) {
                Ok(key) if KeyHash::from(key.public().thumbprint()) == key_of(root) => {
                    return Ok(Some(RootCa::from_parts(key, root.clone())?));
                }
                Ok(_) => {}
                Err(source) => damaged = Some(RotateError::DamagedRootKey { me: self.me.clone(), source }),
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// The same, where others can be asked that hold it: to them a key that cannot be read is none.
    fn holds_readable(&self, root: &TrustedRoot) -> Result<Option<RootCa>, RotateError> {
        match self.holds(root) {
            Err(error @ RotateError::DamagedRootKey { .. }) => {
                tracing::error!(%error, "this node goes on without it");
                Ok(None)
            }
            held => held,
        }
    }

    /// Whether the key of this root is here.
    ///
    /// # Errors
    /// The store fails, or what it holds is damaged.
    pub fn is_held(&self, root: &TrustedRoot) -> Result<bool, RotateError> {
        Ok(self.holds(root)?.is_some())
    }

    fn occasion(&self, attempt: u32) -> Occasion {
        Occasion { by: self.me.clone(), at: (self.clock)(), attempt }
    }

    /// Begins to change the root, or goes on where that was begun here. The new root's key is sealed in the store by the same write that makes the
    /// announcement durable: nothing is said before.
    ///
    /// # Errors
    /// [`RotateError`]; then nothing has changed.
    pub async fn begin(&self, start_over: bool) -> Result<Rotation, RotateError> {
        self.blocking(move |this| this.begin_now(start_over)).await
    }

    fn begin_now(&self, start_over: bool) -> Result<Rotation, RotateError> {
        let known = self.roots().known();
        let (mut attempt, mut instead_of) = (0, String::new());
        if let (Some(next), Some((_, by, last))) = (known.next(), known.begun()) {
            if !start_over && self.holds(next)?.is_some() {
                return Ok(Rotation::GoesOn);
            }
            if !start_over {
                return Err(RotateError::BegunElsewhere { by: by.clone() });
            }
            attempt = last.saturating_add(1);
            instead_of = format!(", begun anew in the place of root {}, with which {by} had begun", key_of(next));
        }
        let old = self.holds(known.current())?.ok_or_else(|| RotateError::NoRootKey { me: self.me.clone() })?;
        let now = UnixTime::since_unix_epoch(Duration::from_millis((self.clock)().0));
        let successor = old.succeed(now)?;
        let announced = SignedAnnouncement::make(&old, successor.ca.root(), &successor.cross, self.occasion(attempt))?;
        let told = Told { completed: None, announced: Some(announced) };
        let sealed = Change::Put(NEXT_ROOT_KEY.into(), successor.ca.key().to_pkcs8());
        if !self.roots().learn_with(&told, vec![sealed])? {
            // Another coordinator's announcement came in between.
            return Err(self.begun_elsewhere());
        }
        let (from, to) = (key_of(old.root()), key_of(successor.ca.root()));
        tracing::warn!(%from, %to, "begins to change the cluster's root");
        Line::new("this node", "change the root", Outcome::Done)
            .whom(format_args!("root {to}"))
            .from("here")
            .reason(format_args!("from root {from}{instead_of}"))
            .write();
        Ok(Rotation::Begun)
    }

    fn begun_elsewhere(&self) -> RotateError {
        match self.roots().known().begun() {
            Some((_, by, _)) => RotateError::BegunElsewhere { by: by.clone() },
            None => RotateError::NotBegun,
        }
    }

    /// Whether a change of the root is under way that this node can complete.
    pub(crate) fn can_complete(&self) -> bool {
        self.roots().known().next().is_some_and(|next| self.is_held(next).unwrap_or(false))
    }

    /// Drops the old root: on this node when this returns, and on the others as they learn of it. Its key is erased from the store by the same
    /// write.
    ///
    /// # Errors
    /// [`RotateError`]; then nothing has changed.
    pub async fn complete(&self) -> Result<(), RotateError> {
        self.blocking(Self::complete_now).await
    }

    fn complete_now(&self) -> Result<(), RotateError> {
        let known = self.roots().known();
        let (Some(next), Some(announcement)) = (known.next(), known.announcement()) else { return Err(RotateError::NotBegun) };
        let new = self.holds(next)?.ok_or_else(|| self.begun_elsewhere())?;
        let from = key_of(known.current());
        // All that is in force here, also what was not to be handed out any more: by this word it is believed again.
        let revocations = self.ledger.revocations().set().iter().map(|(id, _)| *id).collect();
        let completion = SignedCompletion::make(&new, announcement, from, revocations, self.occasion(0))?;
        let told = Told { completed: Some((announcement.clone(), completion)), announced: None };
        self.roots().learn_with(&told, Vec::new())?;
        Ok(())
    }

    /// Makes an issuing authority for a coordinator that needs to show nothing for it, as this one itself: under the root under which certificates are to be
    /// made; `None` where that root's key is not here, or cannot be read: others may hold it. Whose it is, is durable when this returns: it is revoked with
    /// its coordinator.
    ///
    /// # Errors
    /// [`RotateError`]
    pub(crate) async fn issue_authority(
        &self,
        coordinator: NodeId,
        key: PublicKey,
    ) -> Result<Option<CertificateDer<'static>>, RotateError> {
        self.blocking(move |this| this.issue_now(coordinator, &key, BTreeSet::new())).await
    }

    /// The same for another coordinator, by what it has shown. On which authority that stood is durable, too: by it, it is found when that turns out to be
    /// somebody else's.
    ///
    /// # Errors
    /// [`RotateError::TakenBack`], and others.
    pub(crate) async fn grant_authority(
        &self,
        to: Shown,
        key: PublicKey,
    ) -> Result<Option<CertificateDer<'static>>, RotateError> {
        self.blocking(move |this| {
            this.is_good(&to)?;
            let certificate = this.issue_now(to.node_id().clone(), &key, to.authorities.clone())?;
            // Once more: whoever revoked what it stands on meanwhile looked for what descends from that either before this was written, and then it is seen
            // here, or after that, and has found it.
            this.is_good(&to)?;
            Ok(certificate)
        })
        .await
    }

    fn is_good(&self, shown: &Shown) -> Result<(), RotateError> {
        match shown.taken_back(&self.ledger.revocations().set()) {
            None => Ok(()),
            Some(_) => Err(RotateError::TakenBack { node_id: shown.node_id().clone() }),
        }
    }

    fn issue_now(
        &self,
        coordinator: NodeId,
        key: &PublicKey,
        mut stood_on: BTreeSet<KeyHash>,
    ) -> Result<Option<CertificateDer<'static>>, RotateError> {
        let known = self.roots().known();
        let Some(root) = self.holds_readable(known.wanted())? else { return Ok(None) };
        let now = UnixTime::since_unix_epoch(Duration::from_millis((self.clock)().0));
        let hash = key.thumbprint().into();
        // Asking again does not make the first time undone, and a request that somebody else has seen does not make the key his.
        if let Some(known) = GrantedAuthority::of(&hash, &*self.vault)? {
            if known.node_id != coordinator {
                return Err(RotateError::KeyOfAnother { node_id: known.node_id });
            }
            stood_on.extend(known.stood_on);
        }
        let certificate = root.issue_authority(&coordinator, key, now)?;
        let (key, root) = (hash, key_of(root.root()));
        let granted = GrantedAuthority { node_id: coordinator, key, root, at: (self.clock)(), stood_on };
        self.vault.update(vec![granted.change()?])?;
        Ok(Some(certificate))
    }

    /// The authorities that were made here, whosever they are.
    pub(crate) async fn granted(&self) -> Result<Vec<GrantedAuthority>, RotateError> {
        self.blocking(|this| Ok(GrantedAuthority::all(&*this.vault)?)).await
    }

    /// Whether there is a key here that could be shared.
    ///
    /// # Errors
    /// There is none, or what is here is damaged.
    pub(crate) async fn must_hold_any(&self) -> Result<(), RotateError> {
        self.blocking(|this| this.shareable().map(|_| ())).await
    }

    /// The roots that are trusted and whose keys are here.
    fn shareable(&self) -> Result<Vec<RootCa>, RotateError> {
        let known = self.roots().known();
        let (mut held, mut missing) = (Vec::new(), RotateError::NoRootKey { me: self.me.clone() });
        for root in known.trusted() {
            match self.holds(root) {
                Ok(found) => held.extend(found),
                Err(error @ RotateError::DamagedRootKey { .. }) => missing = error,
                Err(error) => return Err(error),
            }
        }
        if held.is_empty() { Err(missing) } else { Ok(held) }
    }

    /// The keys that are here of roots that are trusted, for this coordinator. That it may have them from now on is durable when this returns.
    pub(crate) async fn to_share(&self, with: NodeId) -> Result<Vec<Zeroizing<Vec<u8>>>, RotateError> {
        self.blocking(move |this| {
            let shared = this.shareable()?;
            let roots: BTreeSet<_> = shared.iter().map(|ca| key_of(ca.root())).collect();
            this.note_now(&with, RootHolder { held: roots.clone(), given: roots })?;
            Ok(shared.iter().map(|ca| ca.key().to_pkcs8()).collect())
        })
        .await
    }

    /// Notes durably that a coordinator said that it holds the keys of these roots; of roots that are not trusted nothing is noted.
    pub(crate) async fn note_holder(&self, node_id: NodeId, roots: BTreeSet<KeyHash>) -> Result<(), RotateError> {
        self.blocking(move |this| this.note_now(&node_id, RootHolder { held: roots, ..RootHolder::default() })).await
    }

    fn note_now(&self, node_id: &NodeId, mut noted: RootHolder) -> Result<(), RotateError> {
        let trusted = self.trusted();
        noted.held.retain(|root| trusted.contains(root));
        Ok(self.holders.note(&*self.vault, node_id, noted, &trusted)?)
    }

    fn trusted(&self) -> BTreeSet<KeyHash> {
        self.roots().known().trusted().map(key_of).collect()
    }

    /// The coordinators that may have the key of a root that is trusted, by all that was noted here; and those of them that were given it here.
    ///
    /// # Errors
    /// The store fails, or a record is damaged.
    pub(crate) async fn may_hold(&self) -> Result<MayHold, RotateError> {
        self.blocking(|this| {
            let (all, trusted) = (this.holders.all(&*this.vault)?, this.trusted());
            let with = |pick: fn(&RootHolder) -> &BTreeSet<KeyHash>| {
                let have = all.iter().filter(|(_, holder)| !pick(holder).is_disjoint(&trusted));
                have.map(|(node_id, _)| node_id.clone()).collect()
            };
            Ok(MayHold { any: with(|holder| &holder.held), given_here: with(|holder| &holder.given) })
        })
        .await
    }

    /// Keeps root keys that another coordinator hands over. Gives how many are of roots that this node trusts; others are not kept.
    pub(crate) async fn take_over(&self, keys: Vec<Zeroizing<Vec<u8>>>) -> Result<usize, RotateError> {
        self.blocking(move |this| {
            this.roots().steady(|known| {
                let mut changes = Vec::new();
                for der in keys {
                    let key = NodeKey::from_pkcs8(&der)?;
                    let is_of = |root: &&TrustedRoot| key_of(root) == key.public().thumbprint().into();
                    match known.trusted().find(is_of) {
                        Some(root) if Some(root.key_hash()) == known.next().map(TrustedRoot::key_hash) => {
                            changes.push(Change::Put(NEXT_ROOT_KEY.into(), key.to_pkcs8()));
                        }
                        Some(_) => changes.push(Change::Put(ROOT_KEY.into(), key.to_pkcs8())),
                        None => {}
                    }
                }
                let taken = changes.len();
                this.vault.update(changes)?;
                Ok(taken)
            })
        })
        .await
    }

    /// Runs what blocks on the disk where it may. It runs to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, RotateError> + Send + 'static,
    ) -> Result<T, RotateError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this)).await.map_err(|lost| VaultError::new(lost).into()).flatten()
    }
}

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKeys").field("of", &self.me).finish_non_exhaustive()
    }
}
