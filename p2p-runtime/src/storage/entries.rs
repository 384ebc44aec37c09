//! What a store holds, in memory: paths and their secret values, kept within the bounds that the file format has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
};

use super::{Secret, StoreError};

/// Most bytes of an entry's path.
pub(super) const MAX_PATH: usize = 1024;
/// Most bytes of an entry's value.
pub(super) const MAX_VALUE: usize = 16 << 20;
/// Most entries of a store.
pub(super) const MAX_ENTRIES: usize = 1 << 20;
/// Most bytes of all paths and values together, each entry counted with [`ENTRY_OVERHEAD`].
pub(super) const MAX_TOTAL: usize = 256 << 20;
/// What an entry takes in the file beside its path and value: frame 5, path length 2, tag 16.
pub(super) const ENTRY_OVERHEAD: usize = 23;

/// The entries of a store while [`Store::update`](super::Store::update) changes them.
///
/// A path is names joined by `/`, such as `certs/node.pem`: no empty name, no `.` or `..`, no control characters, at most
/// 1,024 bytes. A value has at most 16 MiB; all together have at most 256 MiB and 1,048,576 entries.
#[derive(Clone, Default)]
pub struct Entries {
    map: BTreeMap<String, Secret>,
    /// Bytes that the entries take in the file.
    size: usize,
    /// The paths at which something was put or removed since the last durable write.
    changed: BTreeSet<String>,
}

impl Entries {
    /// The value at `path`.
    pub fn get(&self, path: &str) -> Option<Secret> {
        self.map.get(path).cloned()
    }

    /// Whether there is an entry at `path`.
    pub fn contains(&self, path: &str) -> bool {
        self.map.contains_key(path)
    }

    /// Puts `value` at `path`, in place of what was there.
    ///
    /// # Errors
    /// [`StoreError::BadPath`], [`StoreError::TooLarge`]; nothing is changed then.
    pub fn put(&mut self, path: &str, value: impl Into<Secret>) -> Result<(), StoreError> {
        let value = value.into();
        let too_large = |what, limit, unit| Err(StoreError::TooLarge { what, limit, unit });
        check_path(path)?;
        let length = value.expose().len();
        if length > MAX_VALUE {
            return too_large("the value of an entry", MAX_VALUE, "bytes");
        }
        let replaced = self.map.get(path).map_or(0, |old| taken(path, old));
        if replaced == 0 && self.map.len() >= MAX_ENTRIES {
            return too_large("a store", MAX_ENTRIES, "entries");
        }
        let size = self.size - replaced + taken(path, &value);
        if size > MAX_TOTAL {
            return too_large("a store", MAX_TOTAL, "bytes");
        }
        self.size = size;
        self.map.insert(path.to_owned(), value);
        self.changed.insert(path.to_owned());
        Ok(())
    }

    /// Removes the entry at `path` and gives what it held.
    pub fn remove(&mut self, path: &str) -> Option<Secret> {
        let value = self.map.remove(path)?;
        self.size -= taken(path, &value);
        self.changed.insert(path.to_owned());
        Some(value)
    }

    /// The paths that begin with `prefix`, in order. An empty prefix lists all.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let paths = self.map.range::<str, _>(from).map(|(path, _)| path);
        paths.take_while(|path| path.starts_with(prefix)).cloned().collect()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// All entries, in the order of their paths.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.map.iter().map(|(path, value)| (path.as_str(), value.expose()))
    }

    /// The path that comes last.
    pub(super) fn last_path(&self) -> Option<&str> {
        self.map.last_key_value().map(|(path, _)| path.as_str())
    }

    /// Bytes that the entries take in the file.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether something was put or removed since [`mark_unchanged`](Self::mark_unchanged).
    pub(super) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What was put or removed since then: each path with what it has now, or nothing where it was removed.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.changed.iter().map(|path| (path.as_str(), self.map.get(path).map(Secret::expose)))
    }

    pub(super) fn mark_unchanged(&mut self) {
        self.changed.clear();
    }

    /// Whether both hold the same.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// Their number only: paths are as little to be seen as values.
impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn taken(path: &str, value: &Secret) -> usize {
    path.len() + value.expose().len() + ENTRY_OVERHEAD
}

fn check_path(path: &str) -> Result<(), StoreError> {
    let why = if path.len() > MAX_PATH {
        "it is longer than 1024 bytes"
    } else if path.split('/').any(str::is_empty) {
        "a name in it is empty"
    } else if path.split('/').any(|name| name == "." || name == "..") {
        "`.` and `..` have no meaning here"
    } else if path.chars().any(char::is_control) {
        "it has a control character"
    } else {
        return Ok(());
    };
    Err(StoreError::BadPath { path: path.chars().take(80).collect(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_not_names_joined_by_slashes_are_refused_with_the_reason() {
        let long = "x".repeat(MAX_PATH + 1);
        for path in ["", "/", "/a", "a/", "a//b", ".", "a/../b", "a/.", "a\nb", "a\0b", &long] {
            let error = Entries::default().put(path, "value").unwrap_err();
            assert!(matches!(error, StoreError::BadPath { .. }), "{path:?}: {error}");
            assert!(error.to_string().contains("certs/node.pem") && error.to_string().len() < 300);
        }
        for path in ["a", "a/b", "…/ä ö", "a..b", ".hidden", &"x".repeat(MAX_PATH)] {
            Entries::default().put(path, "value").unwrap();
        }
    }

    #[test]
    fn a_value_over_the_limit_is_refused_and_changes_nothing() {
        let mut entries = Entries::default();
        entries.put("a", vec![0; MAX_VALUE]).unwrap();
        let before = entries.size();
        let error = entries.put("a", vec![0; MAX_VALUE + 1]).unwrap_err();
        assert!(error.to_string().contains("at most 16777216 bytes"), "{error}");
        assert_eq!(entries.size(), before);
    }

    #[test]
    fn all_values_together_stay_under_the_limit_and_room_comes_back() {
        let mut entries = Entries::default();
        let value = Secret::from(vec![0; MAX_VALUE]);
        for index in 0..15 {
            entries.put(&format!("e{index}"), value.clone()).unwrap();
        }
        assert!(matches!(entries.put("e15", value.clone()), Err(StoreError::TooLarge { .. })));
        entries.remove("e3").unwrap();
        entries.put("e15", value).unwrap();
        for path in entries.list("") {
            entries.remove(&path).unwrap();
        }
        assert_eq!((entries.size(), entries.is_empty()), (0, true));
    }

    #[test]
    fn listing_gives_the_paths_with_the_prefix_in_order() {
        let mut entries = Entries::default();
        for path in ["b", "a/2", "a/1", "ab", "a"] {
            entries.put(path, "").unwrap();
        }
        assert_eq!(entries.list("a/"), ["a/1", "a/2"]);
        assert_eq!(entries.list(""), ["a", "a/1", "a/2", "ab", "b"]);
        assert!(entries.list("c").is_empty());
    }
}
