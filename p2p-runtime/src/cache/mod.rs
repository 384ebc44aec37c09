//! [`Cache`]: what services keep for a while, in this node's memory.
//!
//! Entries are bytes with a time to live. The least used make room for new ones, so that the memory it takes is bounded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache as Moka};
use p2p_client::service::Result;
use serde::{Serialize, de::DeserializeOwned};

use crate::{component::Component, context::Context};

/// A cache in memory. Cloning it gives another handle on the same.
///
/// ```
/// use std::time::Duration;
/// use p2p_runtime::cache::Cache;
///
/// let cache = Cache::with_capacity(1024 * 1024);
/// cache.set("user:1", &"Ada", Duration::from_secs(60))?;
/// assert_eq!(cache.get::<String>("user:1").as_deref(), Some("Ada"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cache(Moka<String, Entry>);

#[derive(Debug, Clone)]
struct Entry {
    json: Arc<[u8]>,
    lives: Duration,
}

/// Each entry lives as long as it was said when it was set.
struct OwnTime;

impl Expiry<String, Entry> for OwnTime {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lives)
    }

    fn expire_after_update(&self, _: &String, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.lives)
    }
}

impl Cache {
    /// What a node's cache may take: 16 MiB.
    pub const DEFAULT_CAPACITY: u64 = 16 * 1024 * 1024;

    /// A cache whose keys and values take at most this many bytes.
    pub fn with_capacity(bytes: u64) -> Self {
        let weigh = |key: &String, entry: &Entry| u32::try_from(key.len() + entry.json.len()).unwrap_or(u32::MAX);
        Self(Moka::builder().max_capacity(bytes).weigher(weigh).expire_after(OwnTime).build())
    }

    /// The value under a key, if it is there, still lives, and is a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.0.get(key).and_then(|entry| serde_json::from_slice(&entry.json).ok())
    }

    /// Sets a value for a time.
    ///
    /// # Errors
    /// When the value does not serialise.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T, lives: Duration) -> serde_json::Result<()> {
        let json = serde_json::to_vec(value)?.into();
        self.0.insert(key.to_owned(), Entry { json, lives });
        Ok(())
    }

    /// Takes a value away.
    pub fn remove(&self, key: &str) {
        self.0.invalidate(key);
    }

    /// How many entries there are, about.
    pub fn len(&self) -> u64 {
        self.0.entry_count()
    }

    /// Whether there are none, about.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The component `cache`: provides a [`Cache`].
pub(crate) struct CacheComponent {
    capacity: u64,
}

impl CacheComponent {
    /// For a cache that takes at most this many bytes.
    pub(crate) fn with_capacity(bytes: u64) -> Self {
        Self { capacity: bytes }
    }
}

impl Component for CacheComponent {
    fn name(&self) -> &'static str {
        "cache"
    }

    async fn start(&self, cx: &Context) -> Result<()> {
        cx.provide(Cache::with_capacity(self.capacity));
        Ok(())
    }

    async fn stop(&self, cx: &Context) -> Result<()> {
        if let Some(cache) = cx.shared::<Cache>() {
            cache.0.invalidate_all();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_there_until_its_time_is_over_or_it_is_removed() {
        let cache = Cache::with_capacity(1000);
        cache.set("a", &1, Duration::from_mins(1)).unwrap();
        cache.set("b", &2, Duration::ZERO).unwrap();
        assert_eq!((cache.get::<u8>("a"), cache.get::<u8>("b")), (Some(1), None));
        assert_eq!(cache.get::<String>("a"), None, "it is no string");
        cache.remove("a");
        assert_eq!(cache.get::<u8>("a"), None);
    }

    #[test]
    fn what_it_takes_is_bounded() {
        let cache = Cache::with_capacity(1000);
        for number in 0..100 {
            cache.set(&format!("key {number}"), &"x".repeat(90), Duration::from_mins(1)).unwrap();
        }
        cache.0.run_pending_tasks();
        assert!((1..=10).contains(&cache.len()), "{}", cache.len());
    }
}
