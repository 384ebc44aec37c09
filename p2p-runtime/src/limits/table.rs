//! Buckets by key, in memory that does not grow: for callers of whom there may be any number.
//!
//! The table is cut into sets of a few places, and a key's hash says which set is its own. A key that is not there takes a place that holds
//! a full bucket, which says nothing any more. Where there is none, it takes the place of the fullest bucket, *and its debt*: nobody gets a
//! fresh bucket by coming under a fresh key, and a drained bucket is the last of its set to be forgotten. To have one's own forgotten takes
//! as many drained buckets as the table has places, each of which costs as many calls as are won by it.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::bucket::Rate;

/// How many keys share a set.
const PLACES: usize = 8;

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The key's hash, under a secret of this table: nobody can choose keys that meet.
    key: u64,
    full_at: u64,
}

type Set = Mutex<[Place; PLACES]>;

/// Buckets by key.
#[derive(Debug)]
pub(crate) struct BucketTable {
    hashing: RandomState,
    count: usize,
    // Made when the first key comes, as many nodes never see one.
    sets: OnceLock<Box<[Set]>>,
}

impl BucketTable {
    /// Room for about this many keys, at 17 bytes each.
    pub(crate) fn for_keys(keys: usize) -> Self {
        Self { hashing: RandomState::new(), count: keys.div_ceil(PLACES).max(1), sets: OnceLock::new() }
    }

    /// Draws a call from the key's bucket.
    ///
    /// # Errors
    /// How long until there is one.
    pub(crate) fn draw(&self, key: &impl Hash, rate: Rate, now: u64) -> Result<(), Duration> {
        if rate == Rate::UNLIMITED {
            return Ok(());
        }
        let hash = self.hashing.hash_one(key);
        let sets = self.sets.get_or_init(|| (0..self.count).map(|_| Set::default()).collect());
        // The upper half chooses the set, and the whole tells keys apart in it.
        let set = usize::try_from(hash >> 32).unwrap_or_default() % sets.len();
        let mut places = sets[set].lock().unwrap_or_else(PoisonError::into_inner);
        let at = place_of(&places, hash);
        let place = &mut places[at];
        let drawn = rate.draw(place.full_at, now).map_err(Duration::from_nanos)?;
        *place = Place { key: hash, full_at: drawn };
        Ok(())
    }

    /// How many bytes it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.sets.get().map_or(0, |sets| sets.len() * size_of::<Set>())
    }
}

/// Where the key is, or the place that it takes: that of the fullest bucket. A refused newcomer leaves the place as it is.
fn place_of(places: &[Place; PLACES], key: u64) -> usize {
    let fullest = || places.iter().enumerate().min_by_key(|(_, place)| place.full_at).map(|(at, _)| at);
    places.iter().position(|place| place.key == key && place.full_at != 0).or_else(fullest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let (rate, table) = (Rate::per_minute(60, 2), BucketTable::for_keys(1_024));
        for key in 0..20 {
            assert!(table.draw(&key, rate, 9).is_ok() && table.draw(&key, rate, 9).is_ok());
            assert_eq!(table.draw(&key, rate, 9), Err(Duration::from_secs(1)));
        }
        assert!(table.draw(&7, rate, 9 + SECOND).is_ok());
    }

    #[test]
    fn while_a_flood_of_fresh_addresses_goes_on_others_are_served() {
        let rate = Rate::per_minute(100, 20);
        let table = BucketTable::for_keys(4_096);
        // Five thousand fresh addresses a second, and one who makes a call a second.
        let mut served = 0;
        for second in 1..=60 {
            for key in 0..5_000_u64 {
                let _ = table.draw(&(second, key), rate, second * SECOND + key * 200_000);
            }
            served += usize::from(table.draw(&"somebody", rate, (second + 1) * SECOND).is_ok());
        }
        assert!(served >= 55, "{served} of 60 calls were served");
    }
}
