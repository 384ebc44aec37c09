//! The seam to the encrypted store: where keys, certificates, tokens and bindings are kept, and nowhere else.
//!
//! A [`Vault`] applies several changes as one: after a crash either all of them are there or none. That is what makes
//! "spend the token and issue the certificate" one step.

use zeroize::Zeroizing;

/// One change of an entry.
#[derive(Clone)]
pub enum Change {
    /// Makes or replaces the entry at this path.
    Put(String, Zeroizing<Vec<u8>>),
    /// Removes the entry at this path, if it is there.
    Remove(String),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(path, bytes) => write!(f, "Put({path:?}, {} secret bytes)", bytes.len()),
            Self::Remove(path) => write!(f, "Remove({path:?})"),
        }
    }
}

/// The store could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[error("the encrypted store failed: {message}")]
pub struct VaultError {
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl VaultError {
    /// An error of the store below, kept as the source; its text says what to do.
    pub fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { message: source.to_string(), source: Some(Box::new(source)) }
    }

    /// An error without a source.
    pub fn message(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }
}

/// Keeps secrets durably. Paths are relative, with `/` between their parts.
///
/// All calls may block on the disk: call them from a blocking task where that matters.
pub trait Vault: Send + Sync + 'static {
    /// The bytes at a path.
    ///
    /// # Errors
    /// The store cannot be read.
    fn get(&self, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError>;

    /// The paths that begin so, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    fn list(&self, prefix: &str) -> Result<Vec<String>, VaultError>;

    /// Applies all changes durably, or none of them.
    ///
    /// # Errors
    /// The store cannot be written; nothing has changed then.
    fn update(&self, changes: Vec<Change>) -> Result<(), VaultError>;
}

/// JSON for the store.
pub(super) fn json(value: &impl serde::Serialize) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    serde_json::to_vec(value).map(Zeroizing::new).map_err(VaultError::new)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
    };

    use super::*;

    /// A vault in memory, which can be told to fail.
    #[derive(Default)]
    pub(crate) struct MemoryVault {
        pub(in super::super) entries: Mutex<BTreeMap<String, Zeroizing<Vec<u8>>>>,
        pub(crate) full: AtomicBool,
        pub(crate) updates: AtomicUsize,
        /// What happens right after the next write under a path: as if it came from elsewhere at that moment.
        pub(in super::super) after: Mutex<Option<(String, Happening)>>,
    }

    pub(in super::super) type Happening = Box<dyn FnOnce() + Send>;

    impl Change {
        fn is_under(&self, prefix: &str) -> bool {
            match self {
                Self::Put(path, _) | Self::Remove(path) => path.starts_with(prefix),
            }
        }
    }

    impl Vault for MemoryVault {
        fn get(&self, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
            Ok(self.entries.lock().unwrap().get(path).cloned())
        }

        fn list(&self, prefix: &str) -> Result<Vec<String>, VaultError> {
            Ok(self.entries.lock().unwrap().keys().filter(|path| path.starts_with(prefix)).cloned().collect())
        }

        fn update(&self, changes: Vec<Change>) -> Result<(), VaultError> {
            if self.full.load(Ordering::SeqCst) {
                return Err(VaultError::message("the disk is full"));
            }
            self.updates.fetch_add(1, Ordering::SeqCst);
            let mut entries = self.entries.lock().unwrap();
            let after = self.after.lock().unwrap().take_if(|(path, _)| changes.iter().any(|change| change.is_under(path)));
            for change in changes {
                match change {
                    Change::Put(path, bytes) => drop(entries.insert(path, bytes)),
                    Change::Remove(path) => drop(entries.remove(&path)),
                }
            }
            drop(entries);
            if let Some((_, happens)) = after {
                happens();
            }
            Ok(())
        }
    }

    #[test]
    fn a_change_never_shows_its_bytes() {
        let change = Change::Put("identity/node.key".into(), Zeroizing::new(b"very secret".to_vec()));
        assert_eq!(format!("{change:?}"), r#"Put("identity/node.key", 11 secret bytes)"#);
    }
}
