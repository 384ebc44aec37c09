//! [`StatePersistence`]: what services keep between starts. Not secret, crash-safe.
//!
//! A file of JSON, `{"format": 1, "state": …}`, written beside the old one, synced and renamed over it, so that after a crash there is
//! either the old state or the new one. Only the node's own user may read it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Loads and saves one value of type `T` in a file.
///
/// ```
/// use p2p_runtime::persistence::StatePersistence;
///
/// let dir = tempfile::tempdir()?;
/// let counter = StatePersistence::<u64>::new(dir.path().join("counter.json"));
/// assert_eq!(counter.load()?, None);
/// counter.save(&7)?;
/// assert_eq!(counter.load()?, Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StatePersistence<T> {
    path: PathBuf,
    /// Held while saving, as saves write through one file beside it. Clones share it.
    saving: Arc<Mutex<()>>,
    state: PhantomData<fn(T) -> T>,
}

/// State that could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersistenceError {
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The value is none that JSON can hold.
    #[error("the state for {path} cannot be written as JSON: {reason}; what was saved before is untouched")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file holds something else.
    #[error("{path} holds no state that this version can read: {reason}; move the file away to begin anew")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved<T> {
    format: u32,
    state: T,
}

impl<T: Serialize + DeserializeOwned> StatePersistence<T> {
    /// Keeps the value in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), saving: Arc::default(), state: PhantomData }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The saved value; `None` before the first save.
    ///
    /// # Errors
    /// [`PersistenceError`] when the file cannot be read, or holds something else.
    pub fn load(&self) -> Result<Option<T>, PersistenceError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.io(source)),
        };
        let unreadable = |reason: String| PersistenceError::Unreadable { path: self.path.clone(), reason };
        let saved: Saved<T> = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        match saved.format {
            FORMAT => Ok(Some(saved.state)),
            other => Err(unreadable(format!("its format is {other}, not {FORMAT}"))),
        }
    }

    /// Saves the value. When this returns, it survives a crash and a power cut.
    ///
    /// # Errors
    /// [`PersistenceError::Io`]; what was saved before is still there.
    pub fn save(&self, state: &T) -> Result<(), PersistenceError> {
        let bytes = serde_json::to_vec(&Saved { format: FORMAT, state })
            .map_err(|error| PersistenceError::Unwritable { path: self.path.clone(), reason: error.to_string() })?;
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(&bytes).map_err(|source| self.io(source))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }

    fn io(&self, source: io::Error) -> PersistenceError {
        PersistenceError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        fs::write(&path, "{").unwrap();
        let state = StatePersistence::<u8>::new(&path);
        assert!(state.load().unwrap_err().to_string().contains("move the file away"));
        assert_eq!(fs::read(&path).unwrap(), b"{");
        fs::write(&path, r#"{"format": 9, "state": 1}"#).unwrap();
        assert!(state.load().unwrap_err().to_string().contains("its format is 9"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_saved_is_for_the_nodes_own_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        StatePersistence::<u8>::new(&path).save(&1).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_save_that_fails_leaves_the_old_state() {
        let dir = tempfile::tempdir().unwrap();
        let state = StatePersistence::<u8>::new(dir.path().join("s.json"));
        state.save(&1).unwrap();
        fs::create_dir(dir.path().join("s.json.new")).unwrap(); // in the way of the new file
        assert!(state.save(&2).is_err());
        assert_eq!(state.load().unwrap(), Some(1));
    }
}
