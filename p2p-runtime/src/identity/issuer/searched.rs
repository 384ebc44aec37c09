//! Which revoked keys were looked up in a coordinator's records: who descends from them was named. All others are still to be looked up, also after a restart.

use std::collections::HashSet;

use p2p_client::revocation::KeyHash;

use super::{
    super::vault::{Change, VaultError, json},
    Issuer,
};

/// Where they are noted in the store, each under its name.
const SEARCHED: &str = "ca/searched/";

impl Issuer {
    /// The revoked keys for which that was done.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn searched(&self) -> Result<HashSet<KeyHash>, VaultError> {
        let listed = self.blocking(|inner| inner.vault.list(SEARCHED)).await.flatten()?;
        let key = |path: &String| serde_json::from_value(path.strip_prefix(SEARCHED)?.into()).ok();
        Ok(listed.iter().filter_map(key).collect())
    }

    /// Notes durably that it was done for these.
    ///
    /// # Errors
    /// The store fails; then it is done again.
    pub(crate) async fn note_searched(&self, keys: impl IntoIterator<Item = KeyHash>) -> Result<(), VaultError> {
        let at = (self.0.options.clock)();
        let note = |key| Ok(Change::Put(format!("{SEARCHED}{key}"), json(&at)?));
        let changes: Vec<_> = keys.into_iter().map(note).collect::<Result<_, VaultError>>()?;
        if changes.is_empty() {
            return Ok(());
        }
        self.blocking(move |inner| inner.vault.update(changes)).await.flatten()
    }
}
