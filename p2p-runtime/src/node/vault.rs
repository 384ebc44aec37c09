//! The encrypted store as the identity sees it.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{
    identity::{Change, Vault, VaultError},
    storage::{Secret, Store, StoreError},
};

/// Keeps keys, certificates and tokens in the node's store.
#[derive(Clone)]
pub struct StoreVault(Arc<Store>);

impl StoreVault {
    /// Over this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

impl Vault for StoreVault {
    fn get(&self, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        Ok(self.0.get(path).map(|secret| Zeroizing::new(secret.expose().to_vec())))
    }

    fn update(&self, changes: Vec<Change>) -> Result<(), VaultError> {
        let apply = |entries: &mut crate::storage::Entries| -> Result<(), StoreError> {
            for change in changes {
                match change {
                    Change::Put(path, bytes) => drop(entries.put(&path, Secret::from(bytes))?),
                    Change::Remove(path) => drop(entries.remove(&path)),
                }
            }
            Ok(())
        };
        self.0.update(apply).map_err(VaultError::new)
    }
}
