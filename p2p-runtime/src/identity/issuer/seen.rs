//! By which keys this coordinator has seen nodes that others have let in: their ids stay bound also when nobody is left who could be asked.

use p2p_client::{protocol::NodeId, revocation::KeyHash};

use super::{
    super::vault::{Change, VaultError, json},
    Inner, IssuedNode, Issuer, lock, record_path,
};

/// Where that is noted in the store, each under its name.
const SEEN: &str = "ca/seen/";

impl Issuer {
    /// Notes durably by which keys nodes were seen. The first one counts until it is revoked.
    ///
    /// # Errors
    /// The store fails, or what it holds is damaged; then it is not noted.
    pub(crate) async fn note_seen(&self, seen: Vec<(NodeId, KeyHash)>) -> Result<(), VaultError> {
        self.blocking(move |inner| inner.note_seen(seen)).await.flatten()
    }
}

impl Inner {
    fn note_seen(&self, seen: Vec<(NodeId, KeyHash)>) -> Result<(), VaultError> {
        let _writing = lock(&self.writing);
        let mut changes = Vec::new();
        for (node_id, key) in seen {
            // Of those that were let in here there is a record.
            if !self.is_bound(&node_id)? && self.seen(&node_id)?.is_none() {
                changes.push(Change::Put(path(&node_id), json(&key)?));
            }
        }
        if changes.is_empty() { Ok(()) } else { self.vault.update(changes) }
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
