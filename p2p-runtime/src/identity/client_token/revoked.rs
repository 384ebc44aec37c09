//! [`RevokedTokens`]: ids of tokens that are good no longer, though their time is not over.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use p2p_client::protocol::UnixMillis;
use tokio::{sync::Mutex, task::spawn_blocking};

use super::claims::TokenId;
use crate::identity::{
    IdentityError,
    vault::{Change, Vault, VaultError, json},
};

/// Where they stand in the store.
const REVOKED: &str = "clients/revoked.json";

/// Until when each id is remembered; those of tokens and those of whole credentials.
type Ids = BTreeMap<String, UnixMillis>;

/// The ids that are revoked. Clones share them; looking one up is an atomic load.
#[derive(Clone)]
pub(crate) struct RevokedTokens {
    ids: Arc<ArcSwap<Ids>>,
    writing: Arc<Mutex<()>>,
    vault: Arc<dyn Vault>,
}

impl RevokedTokens {
    /// Takes those that are known from the store.
    pub(crate) fn load(vault: Arc<dyn Vault>) -> Result<Self, IdentityError> {
        let ids = match vault.get(REVOKED)? {
            None => Ids::new(),
            Some(stored) => {
                serde_json::from_slice(&stored).map_err(|error| IdentityError::Damaged(format!("the revoked tokens: {error}")))?
            }
        };
        Ok(Self { ids: Arc::new(ArcSwap::from_pointee(ids)), writing: Arc::default(), vault })
    }

    /// Whether this token, or the credential that it was made for, is revoked.
    pub(super) fn is_revoked(&self, id: &TokenId) -> bool {
        let ids = self.ids.load();
        !ids.is_empty() && (ids.contains_key(id.as_str()) || ids.contains_key(id.credential()))
    }

    /// Whether all of this credential is.
    pub(super) fn is_credential_revoked(&self, credential: &str) -> bool {
        self.ids.load().contains_key(credential)
    }

    /// Revokes a token, or a credential with all its tokens, and remembers it until then. It is durable when this returns.
    pub(crate) async fn revoke(&self, id: &str, until: UnixMillis, now: UnixMillis) -> Result<(), VaultError> {
        let _one_at_a_time = self.writing.lock().await;
        let mut ids = Ids::clone(&self.ids.load());
        ids.retain(|_, until| *until > now);
        let remembered = ids.entry(id.to_owned()).or_insert(until);
        *remembered = until.max(*remembered);
        let (change, vault) = (Change::Put(REVOKED.into(), json(&ids)?), self.vault.clone());
        spawn_blocking(move || vault.update(vec![change])).await.map_err(VaultError::new)??;
        self.ids.store(Arc::new(ids));
        Ok(())
    }
}
