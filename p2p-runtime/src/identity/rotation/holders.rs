//! Which coordinators may have a root's key, by all that was ever heard or done: what they say now is no more than what they wish to be believed.
//!
//! Whoever has that key makes authorities of any name. So when its holder is revoked, that has to be known however long ago it was given the key.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use p2p_client::{protocol::NodeId, revocation::KeyHash};
use serde::{Deserialize, Serialize};

use super::super::{
    error::IdentityError,
    vault::{Change, Vault, json},
};

/// Where they stand in the store, each under its name.
const HOLDERS: &str = "ca/root_holders/";
/// So many are kept by what others say. A coordinator that makes names up fills no store.
const MOST: usize = 256;

/// What is noted of one coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootHolder {
    /// The roots whose keys it said to hold, or was given.
    pub(crate) held: BTreeSet<KeyHash>,
    /// Those of these that it was given here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) given: BTreeSet<KeyHash>,
}

impl RootHolder {
    fn includes(&self, other: &Self) -> bool {
        self.held.is_superset(&other.held) && self.given.is_superset(&other.given)
    }

    fn take_in(&mut self, other: Self) {
        self.held.extend(other.held);
        self.given.extend(other.given);
    }

    fn keep(&mut self, roots: &BTreeSet<KeyHash>) {
        self.held.retain(|root| roots.contains(root));
        self.given.retain(|root| roots.contains(root));
    }
}

/// The records of a coordinator's store, and what was read of them.
#[derive(Debug, Default)]
pub(super) struct RootHolders(Mutex<Option<BTreeMap<NodeId, RootHolder>>>);

impl RootHolders {
    /// Notes it durably, where it is not noted. What is only said is noted of [so many](MOST) coordinators. Of roots other than these, which are trusted, nothing is kept.
    pub(super) fn note(
        &self,
        vault: &dyn Vault,
        node_id: &NodeId,
        noted: RootHolder,
        trusted: &BTreeSet<KeyHash>,
    ) -> Result<(), IdentityError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = Self::read(&mut all, vault)?;
        let mut next = all.get(node_id).cloned().unwrap_or_default();
        let is_one_too_many = all.len() >= MOST && !all.contains_key(node_id) && noted.given.is_empty();
        if next.includes(&noted) || is_one_too_many {
            return Ok(());
        }
        next.take_in(noted);
        next.keep(trusted);
        vault.update(vec![Change::Put(format!("{HOLDERS}{node_id}.json"), json(&next)?)])?;
        all.insert(node_id.clone(), next);
        Ok(())
    }

    /// All that is noted.
    pub(super) fn all(&self, vault: &dyn Vault) -> Result<BTreeMap<NodeId, RootHolder>, IdentityError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Self::read(&mut all, vault).cloned()
    }

    fn read<'a>(
        all: &'a mut Option<BTreeMap<NodeId, RootHolder>>,
        vault: &dyn Vault,
    ) -> Result<&'a mut BTreeMap<NodeId, RootHolder>, IdentityError> {
        if all.is_none() {
            *all = Some(load(vault)?);
        }
        Ok(all.get_or_insert_default())
    }
}

/// A record that is damaged is no reason to believe that its coordinator never held a key.
fn load(vault: &dyn Vault) -> Result<BTreeMap<NodeId, RootHolder>, IdentityError> {
    let mut all = BTreeMap::new();
    for path in vault.list(HOLDERS)? {
        let name = path.strip_prefix(HOLDERS).and_then(|name| name.strip_suffix(".json"));
        let Some(node_id) = name.and_then(|name| name.parse().ok()) else { continue };
        let Some(stored) = vault.get(&path)? else { continue };
        let damaged = |error| IdentityError::Damaged(format!("the record at {path} of who may hold a root's key: {error}"));
        all.insert(node_id, serde_json::from_slice(&stored).map_err(damaged)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::identity::vault::tests::MemoryVault;

    fn root(number: u8) -> KeyHash {
        KeyHash::new([number; 32])
    }

    fn said(roots: &[u8]) -> RootHolder {
        RootHolder { held: roots.iter().copied().map(root).collect(), ..RootHolder::default() }
    }

    #[test]
    fn what_was_once_said_or_given_stays_noted_across_restarts_and_is_written_once() {
        let (vault, two): (_, NodeId) = (MemoryVault::default(), "two".parse().unwrap());
        let trusted = [root(1), root(2)].into();
        let holders = RootHolders::default();
        let given = RootHolder { given: [root(1)].into(), ..said(&[1]) };
        holders.note(&vault, &two, given.clone(), &trusted).unwrap();
        for less in [given.clone(), said(&[1]), said(&[])] {
            holders.note(&vault, &two, less, &trusted).unwrap();
        }
        assert_eq!(vault.updates.load(Ordering::SeqCst), 1);
        let again = RootHolders::default();
        assert_eq!(again.all(&vault).unwrap(), [(two.clone(), given)].into());
        // The root was changed: a key of the old one is worth nothing.
        again.note(&vault, &two, said(&[2]), &[root(2)].into()).unwrap();
        assert_eq!(RootHolders::default().all(&vault).unwrap(), [(two, said(&[2]))].into());
    }

    #[test]
    fn names_that_are_made_up_fill_no_store_and_who_was_given_a_key_here_is_noted_all_the_same() {
        let (vault, holders, trusted) = (MemoryVault::default(), RootHolders::default(), [root(1)].into());
        for number in 0..=MOST {
            let name = format!("made-up-{number}").parse().unwrap();
            holders.note(&vault, &name, said(&[1]), &trusted).unwrap();
        }
        assert_eq!((holders.all(&vault).unwrap().len(), vault.updates.load(Ordering::SeqCst)), (MOST, MOST));
        let (two, given): (NodeId, _) = ("two".parse().unwrap(), RootHolder { given: [root(1)].into(), ..said(&[1]) });
        holders.note(&vault, &two, given, &trusted).unwrap();
        assert!(holders.all(&vault).unwrap().contains_key(&two));
    }

    #[test]
    fn what_could_not_be_written_is_not_taken_for_noted_and_what_cannot_be_read_is_said() {
        let (vault, two): (_, NodeId) = (MemoryVault::default(), "two".parse().unwrap());
        let (holders, trusted) = (RootHolders::default(), [root(1)].into());
        vault.full.store(true, Ordering::SeqCst);
        holders.note(&vault, &two, said(&[1]), &trusted).unwrap_err();
        assert!(holders.all(&vault).unwrap().is_empty());
        vault.full.store(false, Ordering::SeqCst);
        holders.note(&vault, &two, said(&[1]), &trusted).unwrap();
        assert_eq!(holders.all(&vault).unwrap().len(), 1);
        vault.update(vec![Change::Put(format!("{HOLDERS}two.json"), b"{".to_vec().into())]).unwrap();
        let error = RootHolders::default().all(&vault).unwrap_err().to_string();
        assert!(error.contains("ca/root_holders/two.json"), "{error}");
    }
}
