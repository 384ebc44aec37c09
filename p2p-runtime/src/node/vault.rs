//! The encrypted store as the identity sees it.

use std::sync::{Arc, Weak};

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

    fn list(&self, prefix: &str) -> Result<Vec<String>, VaultError> {
        Ok(self.0.list(prefix))
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

/// The same, for what may outlive the node: it does not keep the store open.
#[derive(Clone)]
pub(crate) struct WeakVault(Weak<Store>);

impl WeakVault {
    pub(crate) fn new(store: &Arc<Store>) -> Self {
        Self(Arc::downgrade(store))
    }

    fn vault(&self) -> Result<StoreVault, VaultError> {
        self.0.upgrade().map(StoreVault).ok_or_else(|| VaultError::message("the node has stopped; start it again"))
    }
}

impl Vault for WeakVault {
    fn get(&self, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        self.vault()?.get(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, VaultError> {
        self.vault()?.list(prefix)
    }

    fn update(&self, changes: Vec<Change>) -> Result<(), VaultError> {
        self.vault()?.update(changes)
    }
}
