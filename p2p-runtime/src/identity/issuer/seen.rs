//! By which keys this coordinator has seen nodes that others have let in: their ids stay bound also when nobody is left who could be asked.

use std::collections::BTreeMap;

use p2p_client::{protocol::NodeId, revocation::KeyHash};

use super::{
    super::vault::{Change, VaultError, json},
    Inner, IssuedNode, Issuer, lock, record_path,
};

/// Where that is noted in the store, each under its name.
const SEEN: &str = "ca/seen/";

impl Issuer {
    /// Notes durably by which keys nodes were seen, in this order, by one write if any. The first key of a node counts until it is revoked.
    ///
    /// # Errors
    /// The store fails; then nothing is noted.
    pub(crate) async fn note_seen(&self, seen: Vec<(NodeId, KeyHash)>) -> Result<(), VaultError> {
        self.blocking(move |inner| inner.note_seen(seen)).await.flatten()
    }
}

impl Inner {
    fn note_seen(&self, seen: Vec<(NodeId, KeyHash)>) -> Result<(), VaultError> {
        let _writing = lock(&self.writing);
        let mut new = BTreeMap::<NodeId, KeyHash>::new();
        for (node_id, key) in seen {
            let is_noted = match new.get(&node_id) {
                Some(key) => !self.ledger.revocations().is_revoked(&node_id, key),
                None => self.is_noted(&node_id)?,
            };
            if !is_noted {
                new.insert(node_id, key);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let put = |(node_id, key): (&NodeId, &KeyHash)| Ok(Change::Put(path(node_id), json(key)?));
        let changes = new.iter().map(put).collect::<Result<_, VaultError>>()?;
        self.vault.update(changes)
    }

    /// Whether it is noted here to which key the node is bound. Of those that were let in here there is a record. What is damaged stays as it is, and keeps none
    /// of the others from being noted: it lets nobody in by another key, either.
    fn is_noted(&self, node_id: &NodeId) -> Result<bool, VaultError> {
        if self.is_bound(node_id)? {
            return Ok(true);
        }
        let Some(stored) = self.vault.get(&path(node_id))? else { return Ok(false) };
        let is_good = |key: KeyHash| !self.ledger.revocations().is_revoked(node_id, &key);
        Ok(serde_json::from_slice(&stored).map_or_else(
            |error| {
                tracing::error!(%node_id, %error, "the note by which key this node was seen is damaged; see whether the store is whole: `p2p store verify`");
                true
            },
            is_good,
        ))
    }

    /// Whether its record here binds the node to a key that is good. One that is damaged binds it, too.
    fn is_bound(&self, node_id: &NodeId) -> Result<bool, VaultError> {
        let Some(stored) = self.vault.get(&record_path(node_id))? else { return Ok(false) };
        let is_good = |node: IssuedNode| !self.ledger.revocations().is_revoked(node_id, &node.key.into());
        Ok(serde_json::from_slice(&stored).map_or(true, is_good))
    }

    /// The key by which a node was seen, if that was not taken back.
    pub(super) fn seen(&self, node_id: &NodeId) -> Result<Option<KeyHash>, VaultError> {
        let Some(stored) = self.vault.get(&path(node_id))? else { return Ok(None) };
        let key = serde_json::from_slice(&stored).map_err(VaultError::new)?;
        Ok(Some(key).filter(|key| !self.ledger.revocations().is_revoked(node_id, key)))
    }
}

fn path(node_id: &NodeId) -> String {
    format!("{SEEN}{node_id}.json")
}
