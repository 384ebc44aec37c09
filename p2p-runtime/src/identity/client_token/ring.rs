//! [`KeyRing`]: the coordinators' keys that this node believes.
//!
//! A coordinator announces its keys in what it says of itself (`NodeInfo`), which it signs by its certificate; membership refuses a
//! statement whose role is not the certificate's. So of a statement that arrived here only the role is left to be looked at: a worker's keys are no keys.
//! The ring is kept in the store, so that a node which starts while a coordinator is away still knows its tokens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use p2p_client::protocol::{NodeId, NodeInfo, NodeStatus, Role, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    checks::{Check, holds},
    keys::{PublicKey, PublishedKey, SIGNS_FOR, TOKENS_OUTLIVE},
};
use crate::identity::{
    IdentityError,
    vault::{Change, Vault, VaultError, json},
};

/// Where a coordinator's `NodeInfo` has its keys, in its metadata.
pub(crate) const METADATA: &str = "token_keys";
/// Where the ring stands in the store.
const RING: &str = "clients/known_keys.json";
/// How many keys of one coordinator are believed: far more than rotation makes.
const MAX_KEYS: usize = 8;

/// The keys of one coordinator, as it announces them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PublishedKeys(pub(super) Vec<PublishedKey>);

impl PublishedKeys {
    /// As they stand in metadata.
    pub(crate) fn to_metadata(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The keys of all coordinators, by coordinator.
type Keys = BTreeMap<NodeId, PublishedKeys>;

/// The coordinators' keys that this node believes. Clones are the same ring; looking one up is an atomic load.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyRing(Arc<ArcSwap<Keys>>);

impl KeyRing {
    /// What the node knew when it stopped.
    pub(crate) fn load(vault: &dyn Vault) -> Result<Self, IdentityError> {
        let Some(stored) = vault.get(RING)? else { return Ok(Self::default()) };
        let keys: Keys = serde_json::from_slice(&stored)
            .map_err(|error| IdentityError::Damaged(format!("the known keys of coordinators: {error}")))?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(keys))))
    }

    /// What is to be kept for the next start.
    pub(crate) fn to_change(&self) -> Result<Change, VaultError> {
        Ok(Change::Put(RING.into(), json(&**self.0.load())?))
    }

    /// Takes what a member says of itself. Whether the ring changed by it.
    pub(crate) fn heard(&self, info: &NodeInfo, now: UnixMillis) -> bool {
        if info.role != Role::Coordinator {
            return false;
        }
        if info.status == NodeStatus::Revoked {
            return self.forget(&info.node_id, now);
        }
        if info.status == NodeStatus::Left {
            return self.left(&info.node_id, now);
        }
        let Some(text) = info.metadata.get(METADATA) else { return false };
        match serde_json::from_str::<PublishedKeys>(text) {
            Ok(keys) => self.announced(&info.node_id, || keys.clone(), now),
            Err(error) => {
                tracing::warn!(node = %info.node_id, %error, "the keys that a coordinator announces cannot be read; is it of another version?");
                false
            }
        }
    }

    /// Takes the keys of a coordinator, in the place of those that were known of it. They are asked for once the ring is at hand, and again where it
    /// changed meanwhile: so of several who announce a coordinator's own keys, none puts older ones in the place of later ones.
    pub(crate) fn announced(&self, node: &NodeId, keys: impl Fn() -> PublishedKeys, now: UnixMillis) -> bool {
        let latest = UnixMillis(now.0.saturating_add(millis(SIGNS_FOR) * 2 + millis(TOKENS_OUTLIVE)));
        let put = |ring: &mut Keys| {
            let mut keys = keys();
            keys.0.truncate(MAX_KEYS);
            keys.0.iter_mut().for_each(|key| key.until = key.until.min(latest));
            ring.insert(node.clone(), keys);
        };
        let is_news = self.change(put, now);
        if is_news {
            self.tell_of_shared(node);
        }
        is_news
    }

    /// Tells the log where a coordinator announces a key that another one announces, too: honest ones never do.
    fn tell_of_shared(&self, node: &NodeId) {
        let ring = self.0.load();
        let kids = |keys: &PublishedKeys| keys.0.iter().map(|key| key.x.kid().to_owned()).collect::<BTreeSet<_>>();
        let own = ring.get(node).map(kids).unwrap_or_default();
        for (other, keys) in ring.iter().filter(|(other, _)| *other != node) {
            if !own.is_disjoint(&kids(keys)) {
                tracing::warn!(
                    %node, %other,
                    "two coordinators announce one key for tokens; a token counts as that of the one that it names as its issuer; look into both: one says what is not so, or has the other's store"
                );
            }
        }
    }

    /// A coordinator was revoked: whoever took its keys may have them still, also after it is let in again.
    pub(crate) fn forget(&self, node: &NodeId, now: UnixMillis) -> bool {
        self.change(|ring| drop(ring.remove(node)), now)
    }

    /// A coordinator has left for good: the last token that it signed is good for a day more.
    fn left(&self, node: &NodeId, now: UnixMillis) -> bool {
        let latest = UnixMillis(now.0.saturating_add(millis(TOKENS_OUTLIVE)));
        let shorten = |ring: &mut Keys| {
            if let Some(keys) = ring.get_mut(node) {
                keys.0.iter_mut().for_each(|key| key.until = key.until.min(latest));
            }
        };
        self.change(shorten, now)
    }

    /// Changes the ring, and lets go of keys whose time is over.
    fn change(&self, change: impl Fn(&mut Keys), now: UnixMillis) -> bool {
        let before = self.0.rcu(|ring| {
            let mut ring = Keys::clone(ring);
            change(&mut ring);
            ring.retain(|_, keys| {
                keys.0.retain(|key| key.until > now);
                !keys.0.is_empty()
            });
            ring
        });
        *before != *self.0.load_full()
    }

    /// The key of this name, and all who announce it: nobody proves that it is his, so that a token says in its claims by whom of them it is.
    pub(super) fn get(&self, kid: &str, now: UnixMillis) -> Option<(PublicKey, Vec<NodeId>)> {
        let ring = self.0.load();
        let good = |key: &&PublishedKey| holds(Check::Key, key.x.kid() == kid) && key.until > now;
        let mut holders = ring.iter().filter_map(|(node, keys)| keys.0.iter().find(good).map(|key| (node, &key.x)));
        let (first, key) = holders.next()?;
        let nodes = std::iter::once(first).chain(holders.map(|(node, _)| node)).cloned().collect();
        Some((key.clone(), nodes))
    }

    /// The keys of these coordinators, as a JWK set (RFC 7517, section 5).
    pub(super) fn jwks(&self, now: UnixMillis, of: impl Fn(&NodeId) -> bool) -> Value {
        let ring = self.0.load();
        let good = ring.iter().filter(|(node, _)| of(node)).flat_map(|(_, keys)| &keys.0).filter(|key| key.until > now);
        json!({ "keys": good.map(|key| key.x.jwk()).collect::<Vec<_>>() })
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
