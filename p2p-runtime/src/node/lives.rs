//! The lives of a node: from each start to the next. The store counts them, and notes how far it had come when each began.

use std::collections::BTreeMap;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{
    identity::IdentityError,
    network::standing::Standing,
    storage::{Revision, Store},
};

use super::NodeError;

/// Where the last lives stand: the number of each, and how far the store had come when it began.
const LIVES: &str = "state/lives";
/// Of so many lives that is known.
const REMEMBERED: usize = 64;

/// The last lives of a node, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Lives(BTreeMap<u64, Life>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Life {
    /// A random number.
    name: u64,
    /// How far the store had come when it began.
    opened: Revision,
}

impl Lives {
    /// What a store knows of its node's lives.
    pub(super) fn load(store: &Store) -> Result<Self, NodeError> {
        let Some(stored) = store.get(LIVES) else { return Ok(Self::default()) };
        serde_json::from_slice(stored.expose())
            .map_err(|error| IdentityError::Damaged(format!("the list of the node's lives: {error}")).into())
    }

    /// Begins a life, and gives its number. It is durable when this returns.
    pub(super) fn begin(store: &Store) -> Result<u64, NodeError> {
        let mut lives = Self::load(store)?;
        let epoch = lives.0.last_key_value().map_or(1, |(last, _)| last + 1);
        lives.0.insert(epoch, Life { name: rand::rng().random(), opened: store.revision() });
        while lives.0.len() > REMEMBERED {
            lives.0.pop_first();
        }
        let stored = serde_json::to_vec(&lives).map_err(|error| IdentityError::Damaged(error.to_string()))?;
        store.update(|entries| entries.put(LIVES, stored))?;
        Ok(epoch)
    }

    /// Where a node stands whose store has come so far, in its present life.
    pub(super) fn standing(&self, turned: u64, revision: Revision) -> Standing {
        let (epoch, life) = self.0.last_key_value().map(|(epoch, life)| (*epoch, life.name)).unwrap_or_default();
        Standing { turned, epoch, life, revision }
    }

    /// Whether a node that had come as far as `was` has lost something, if it stands at `now`.
    pub(super) fn is_behind(&self, now: &Standing, was: &Standing) -> bool {
        if now.turned != was.turned {
            return was.turned > now.turned;
        }
        // Of those that are not known any more nothing can be said.
        let is_another = self.0.get(&was.epoch).is_some_and(|life| life.name != was.life);
        // A life ends with what the next one begins with.
        let next = was.epoch.checked_add(1).and_then(|after| self.0.range(after..).next());
        let ended = next.map_or(now.revision, |(_, next)| next.opened);
        was.epoch > now.epoch || is_another || ended < was.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(generation: u64, records: u64) -> Revision {
        Revision { generation, records }
    }

    /// At the end of the third life, which began as the second one ended.
    fn third() -> (Lives, Standing) {
        let life = |name, opened| Life { name, opened };
        let lives = Lives([(1, life(11, at(1, 0))), (2, life(12, at(5, 3))), (3, life(13, at(7, 4)))].into());
        let now = lives.standing(0, at(8, 2));
        (lives, now)
    }

    #[test]
    fn a_node_that_lost_nothing_is_behind_nothing_that_it_ever_said() {
        let (lives, now) = third();
        for was in [
            now,
            Standing { revision: at(8, 0), ..now },
            Standing { epoch: 2, life: 12, revision: at(7, 4), ..now },
            Standing { epoch: 1, life: 11, revision: at(5, 3), ..now },
            Standing { epoch: 0, life: 10, revision: at(1, 0), ..now },
        ] {
            assert!(!lives.is_behind(&now, &was), "{was:?}");
        }
        let turned = Standing { turned: 1, ..now };
        assert!(
            !lives.is_behind(&turned, &Standing { epoch: 9, life: 19, revision: at(9, 9), ..now }),
            "it knows that it went back"
        );
    }

    #[test]
    fn whatever_came_after_a_copy_was_made_shows_that_it_is_one() {
        let (lives, now) = third();
        for (was, why) in [
            (Standing { revision: at(8, 3), ..now }, "more was written in this life"),
            (Standing { epoch: 2, life: 12, revision: at(7, 5), ..now }, "the life before ended later"),
            (Standing { epoch: 1, life: 11, revision: at(5, 4), ..now }, "one before that ended later"),
            (Standing { life: 99, revision: at(7, 5), ..now }, "the third life was another one"),
            (Standing { epoch: 4, life: 14, revision: at(8, 0), ..now }, "there was a fourth life"),
            (Standing { epoch: u64::MAX, life: 15, ..now }, "there was the last life that can be counted"),
            (Standing { turned: 1, epoch: 1, life: 11, revision: at(0, 0) }, "it went back once"),
        ] {
            assert!(lives.is_behind(&now, &was), "{why}");
        }
    }
}
