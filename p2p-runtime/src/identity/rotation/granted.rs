//! Which issuing authorities were given to which coordinator: what has to be revoked with it.
//!
//! Whoever holds an authority's key can make coordinators of any name. So each one is noted before it exists anywhere else.

use std::collections::BTreeSet;

use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::KeyHash,
};
use serde::{Deserialize, Serialize};

use super::super::{
    error::IdentityError,
    vault::{Change, Vault, VaultError, json},
};

/// Where they stand in the store, each under its key.
const AUTHORITIES: &str = "ca/authorities/";

/// An issuing authority that a coordinator was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedAuthority {
    /// Which coordinator.
    pub node_id: NodeId,
    /// The authority's key.
    pub key: KeyHash,
    /// The key of the root that signed it.
    pub root: KeyHash,
    /// When.
    pub at: UnixMillis,
    /// The authorities, by their keys, on which the coordinator stood when it asked for its own: whoever held such a key may have made it. None where it made
    /// its own by the root key, and of what was given before this was noted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stood_on: BTreeSet<KeyHash>,
}

impl GrantedAuthority {
    /// The record of the authority with this key.
    pub(super) fn of(key: &KeyHash, vault: &dyn Vault) -> Result<Option<Self>, IdentityError> {
        let path = format!("{AUTHORITIES}{key}.json");
        let Some(stored) = vault.get(&path)? else { return Ok(None) };
        Ok(Self::read(&path, &stored))
    }

    /// One that is damaged is logged: it is not to keep the others from being revoked.
    fn read(path: &str, stored: &[u8]) -> Option<Self> {
        serde_json::from_slice(stored)
            .map_err(|error| tracing::error!(path, %error, "the record of an issuing authority is damaged"))
            .ok()
    }

    /// What makes the record durable.
    pub(in super::super) fn change(&self) -> Result<Change, VaultError> {
        Ok(Change::Put(format!("{AUTHORITIES}{}.json", self.key), json(self)?))
    }

    /// All that are in this store, without those that are damaged.
    pub(super) fn all(vault: &dyn Vault) -> Result<Vec<Self>, IdentityError> {
        let mut all = Vec::new();
        for path in vault.list(AUTHORITIES)? {
            let Some(stored) = vault.get(&path)? else { continue };
            all.extend(Self::read(&path, &stored));
        }
        Ok(all)
    }
}
