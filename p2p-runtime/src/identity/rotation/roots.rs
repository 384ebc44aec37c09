//! What a node knows of the cluster's roots, durably and in force: one entry of the store, and the TLS material.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use p2p_client::{
    audit::{Line, Outcome},
    protocol::{NodeId, Role},
    revocation::{KeyHash, StatementId},
    wire::tls::{RootKeyHash, TlsMaterial, TrustedRoot, Usage, peer_identity, verify_chain},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::{
    super::{
        ca::is_signed_by,
        error::IdentityError,
        issuer::{ISSUING_CERT, ISSUING_KEY, NEXT_ROOT_KEY, ROOT_KEY},
        key::NodeKey,
        node::chain_change,
        vault::{Change, Vault, VaultError},
    },
    RefusedRoot, Succession, Told,
    said::key_of,
};

/// Where it stands in the store.
const SUCCESSION: &str = "identity/roots.json";

/// A node's knowledge of the cluster's roots. Clones share it.
#[derive(Clone)]
pub struct Roots(Arc<Inner>);

struct Inner {
    vault: Arc<dyn Vault>,
    material: TlsMaterial,
    known: ArcSwap<Succession>,
    changed: watch::Sender<()>,
    /// Held from the look at what is known through the durable write to its taking effect.
    writing: Mutex<()>,
    /// What each node last signed with.
    shown: Mutex<HashMap<NodeId, Shown>>,
}

#[derive(Clone)]
struct Shown {
    key: KeyHash,
    leaf: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
    /// The root for which it was last looked whether they lead there, and what came of it.
    leads_to: Option<(RootKeyHash, bool)>,
}

/// Why what was said of the roots was not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NotLearned {
    /// It is not believed.
    #[error(transparent)]
    Refused(#[from] RefusedRoot),
    /// It cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What the store says of the roots; of a node on which nothing was ever said, nothing.
pub(in super::super) fn load_succession(vault: &dyn Vault) -> Result<Option<Succession>, IdentityError> {
    vault.get(SUCCESSION)?.map(|stored| Succession::from_stored(&stored)).transpose()
}

/// What a node that joins again leaves behind: what was said of the roots, as its token names the one that holds, and the secrets of authorities
/// that stand under another root. A key of this root stays, under its proper name.
pub(crate) fn begin_anew(vault: &dyn Vault, root: &TrustedRoot) -> Result<Vec<Change>, IdentityError> {
    let mut changes = vec![Change::Remove(SUCCESSION.into())];
    changes.extend(keep_key_of(vault, root)?);
    let authority = vault.get(ISSUING_CERT)?.map(|cert| CertificateDer::from(cert.to_vec()));
    if !authority.is_some_and(|cert| is_signed_by(root, &cert)) {
        changes.extend([Change::Remove(ISSUING_KEY.into()), Change::Remove(ISSUING_CERT.into())]);
    }
    Ok(changes)
}

/// What leaves the key of this root under its proper name, where it is here, and no other root's. A damaged key is of use to nobody, and does not keep
/// a node from following its cluster.
fn keep_key_of(vault: &dyn Vault, root: &TrustedRoot) -> Result<[Change; 2], VaultError> {
    let mut kept = Change::Remove(ROOT_KEY.into());
    for path in [ROOT_KEY, NEXT_ROOT_KEY] {
        let Some(stored) = vault.get(path)? else { continue };
        match NodeKey::from_pkcs8(&stored) {
            Ok(key) if KeyHash::from(key.public().thumbprint()) == key_of(root) => {
                kept = Change::Put(ROOT_KEY.into(), key.to_pkcs8());
            }
            Ok(_) => {}
            Err(error) => tracing::error!(path, %error, "a root key in the store is damaged, and is not kept"),
        }
    }
    Ok([kept, Change::Remove(NEXT_ROOT_KEY.into())])
}

impl Roots {
    /// Takes what is known from the store, and lets it take effect in this material.
    ///
    /// # Errors
    /// The store fails, or holds what this version cannot read; or the material has no root.
    pub(in super::super) fn load(vault: Arc<dyn Vault>, material: TlsMaterial) -> Result<Self, IdentityError> {
        let known = match load_succession(&*vault)? {
            Some(known) => known,
            None => Succession::of(material.root().ok_or(p2p_client::wire::tls::TlsError::NoRoot)?),
        };
        if let Some(own) = material.own() {
            material.trust(known.current().clone(), known.next().cloned(), known.present(&own.cert))?;
        }
        let inner = Inner {
            vault,
            material,
            known: ArcSwap::from_pointee(known),
            changed: watch::Sender::new(()),
            writing: Mutex::default(),
            shown: Mutex::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// What is known now.
    pub fn known(&self) -> Arc<Succession> {
        self.0.known.load_full()
    }

    /// The cluster's root.
    pub fn current(&self) -> TrustedRoot {
        self.0.known.load().current().clone()
    }

    /// Follows the changes from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Whether this revocation is believed, whoever's certificate signed it.
    pub(in super::super) fn endorses(&self, id: &StatementId) -> bool {
        self.0.known.load().endorses(id)
    }

    /// Takes in what another node says. What is new and good is durable and in force when this returns; false where it is nothing new.
    ///
    /// # Errors
    /// It is not believed, or the store fails; then nothing has changed.
    pub(crate) async fn learn(&self, told: Told) -> Result<bool, NotLearned> {
        let this = self.clone();
        let learned = tokio::task::spawn_blocking(move || this.learn_with(&told, Vec::new())).await;
        learned.map_err(|lost| NotLearned::Identity(VaultError::new(lost).into())).flatten()
    }

    /// The same, with more to be written by the same write.
    pub(super) fn learn_with(&self, told: &Told, more: Vec<Change>) -> Result<bool, NotLearned> {
        let _writing = self.0.lock();
        let before = self.known();
        let Some(known) = before.learn(told)? else { return Ok(false) };
        let is_dropped = before.current().key_hash() != known.current().key_hash();
        let chain = self.0.material.own().map(|own| known.present(&own.cert));
        let mut changes = more;
        changes.push(Change::Put(SUCCESSION.into(), known.to_stored()?));
        changes.extend(chain.as_deref().map(chain_change).transpose()?);
        if is_dropped {
            // The old root's key is erased, and the new one's takes its place where it is here.
            changes.extend(keep_key_of(&*self.0.vault, known.current()).map_err(IdentityError::from)?);
        }
        self.0.vault.update(changes).map_err(IdentityError::from)?;
        if let Some(chain) = chain {
            let trusted = self.0.material.trust(known.current().clone(), known.next().cloned(), chain);
            trusted.map_err(IdentityError::from)?;
        }
        self.0.known.store(Arc::new(known));
        if is_dropped {
            self.cut_the_old();
        }
        self.0.changed.send_replace(());
        Ok(true)
    }

    /// Does something with what is known, while nothing new is learned.
    pub(in super::super) fn steady<T>(&self, act: impl FnOnce(&Succession) -> T) -> T {
        let _writing = self.0.lock();
        act(&self.known())
    }

    /// Connections of those who were not reissued under the root that is the only one now.
    fn cut_the_old(&self) {
        let known = self.known();
        let root = key_of(known.current());
        tracing::warn!(%root, "the cluster's old root is not trusted any more");
        Line::new("this node", "drop the old root", Outcome::Done).whom(format_args!("all but root {root}")).from("here").write();
        let shown = self.0.shown();
        let is_good = |node_id: &NodeId, key: &KeyHash| {
            shown.get(node_id).is_some_and(|shown| shown.key == *key && self.0.leads_to(known.current(), shown))
        };
        self.0.material.revocations().cut_where(|node_id, key| !is_good(node_id, key));
    }

    /// Notes with what a node has signed something, which was verified.
    pub(crate) fn witness(&self, node_id: &NodeId, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) {
        let Some(key) = KeyHash::of_certificate(leaf) else { return };
        let mut shown = self.0.shown();
        if shown.get(node_id).is_some_and(|shown| shown.leaf == *leaf && shown.others == others) {
            return;
        }
        let others = others.iter().map(|cert| cert.clone().into_owned()).collect();
        shown.insert(node_id.clone(), Shown { key, leaf: leaf.clone().into_owned(), others, leads_to: None });
        drop(shown);
        if self.known().next().is_some() {
            self.0.changed.send_replace(());
        }
    }

    /// The key by which a node was last seen, if it was seen since this node started.
    pub(crate) fn key_seen(&self, node_id: &NodeId) -> Option<KeyHash> {
        self.0.shown().get(node_id).map(|shown| shown.key)
    }

    /// The same, if it was seen as a coordinator, with a certificate under the root of now: what an earlier root has certified proves nothing any more.
    pub(in super::super) fn coordinator_seen(&self, node_id: &NodeId) -> Option<KeyHash> {
        // Without the lock, which handshakes and gossip wait for.
        let shown = self.0.shown().get(node_id).cloned()?;
        let is_coordinator = peer_identity(&shown.leaf).is_ok_and(|peer| peer.role == Role::Coordinator);
        (is_coordinator && self.0.leads_to(self.known().current(), &shown)).then_some(shown.key)
    }

    /// The nodes that last signed with a certificate that one of these keys has issued.
    pub(crate) fn standing_on(&self, keys: &BTreeSet<KeyHash>) -> BTreeSet<NodeId> {
        let shown = self.0.shown();
        let stands = |shown: &Shown| shown.others.iter().filter_map(KeyHash::of_certificate).any(|key| keys.contains(&key));
        shown.iter().filter(|(_, shown)| stands(shown)).map(|(node_id, _)| node_id.clone()).collect()
    }

    /// Whether this node has signed something with a certificate under the root under which new ones are made.
    pub(crate) fn has_shown_wanted(&self, node_id: &NodeId) -> bool {
        let known = self.known();
        let root = known.wanted();
        let Some(shown) = self.0.shown().get(node_id).cloned() else { return false };
        if let Some((_, leads)) = shown.leads_to.filter(|(looked, _)| *looked == root.key_hash()) {
            return leads;
        }
        // Without the lock, which handshakes and gossip wait for.
        let leads = self.0.leads_to(root, &shown);
        if let Some(now) = self.0.shown().get_mut(node_id).filter(|now| now.leaf == shown.leaf && now.others == shown.others) {
            now.leads_to = Some((root.key_hash(), leads));
        }
        leads
    }

    /// Whether this node's own certificate has to be made anew.
    pub(crate) fn is_outdated(&self) -> bool {
        self.0.material.own().is_some_and(|own| self.known().is_outdated(&own.cert))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<NodeId, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leads_to(&self, root: &TrustedRoot, shown: &Shown) -> bool {
        verify_chain(root, &shown.leaf, &shown.others, Usage::Client, UnixTime::now(), &self.material.algorithms()).is_ok()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        let next = known.next().map(TrustedRoot::key_hash);
        f.debug_struct("Roots").field("current", &known.current().key_hash()).field("next", &next).finish_non_exhaustive()
    }
}
