//! How a store is made and opened.

use std::{
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Entries, Password, RecoveryKey, Store, StoreError,
    crypto::Key,
    error::Fault,
    files::{DiskFiles, FileLock, Files, LockError},
    header::{Keyring, MIN_KDF_ROUNDS, Unlock, checked_rounds},
    load::{Loaded, Wrong, load},
    log::room_for,
    replace::Names,
    store::{Parts, Revision},
};

/// How a store is made and opened. [`Store`]'s own functions use the defaults.
#[derive(Clone)]
pub struct StoreOptions {
    rounds: Option<NonZeroU32>,
    pub(super) files: Arc<dyn Files>,
    /// How much room a log has beside an archive of so many bytes.
    pub(super) log_room: fn(usize) -> usize,
}

impl StoreOptions {
    /// The defaults: 600,000 rounds for a new password.
    pub fn new() -> Self {
        Self { rounds: None, files: Arc::new(DiskFiles), log_room: room_for }
    }

    /// Rounds of password derivation for a new store or a changed password: 600,000 to 10,000,000. More make guessing
    /// slower, and opening as well: each 600,000 take 0.1 s.
    ///
    /// # Errors
    /// [`StoreError::KdfRoundsOutOfRange`].
    ///
    /// ```
    /// use p2p_runtime::storage::StoreOptions;
    ///
    /// assert!(StoreOptions::new().kdf_rounds(2_000_000).is_ok());
    /// assert!(StoreOptions::new().kdf_rounds(1_000).is_err());
    /// ```
    pub fn kdf_rounds(mut self, rounds: u32) -> Result<Self, StoreError> {
        self.rounds = Some(checked_rounds(rounds).ok_or(StoreError::KdfRoundsOutOfRange { rounds })?);
        Ok(self)
    }

    /// The same on other files than the disk's, with logs that are soon full.
    #[cfg(test)]
    pub(super) fn on(files: Arc<dyn Files>) -> Self {
        Self { rounds: None, files, log_room: |_| 1024 }
    }

    /// As [`Store::create`].
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn create(&self, dir: impl AsRef<Path>, password: &Password) -> Result<(Store, RecoveryKey), StoreError> {
        let names = Names::in_dir(dir.as_ref());
        let files = &*self.files;
        files.create_dir(&names.dir).map_err(|error| StoreError::io("creating the folder", &names.dir, error))?;
        // Asked first without the lock, for the clearer error beside a node that runs.
        refuse_existing(files, &names)?;
        let lock = lock(files, &names)?;
        refuse_existing(files, &names)?;

        let fault = |fault: Fault| fault.in_file(&names.current, |file| StoreError::WrongPassword { file });
        let rounds = self.rounds()?;
        let data_key = Key::random().map_err(fault)?;
        let recovery = RecoveryKey::generate().map_err(fault)?;
        let keyring = Keyring::new(&data_key, password, &recovery, rounds).map_err(fault)?;
        let parts = Parts {
            keyring,
            data_key,
            rounds,
            entries: Entries::default(),
            revision: Revision::default(),
            on_disk: false,
            unfinished: false,
        };
        let store = Store::of(self, names, lock, parts);
        if let Err(error) = store.save() {
            // Nobody was told of this store, and it is in the way of the next attempt.
            store.remove_files();
            return Err(error);
        }
        Ok((store, recovery))
    }

    /// As [`Store::open`].
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(&self, dir: impl AsRef<Path>, password: &Password) -> Result<Store, StoreError> {
        self.unlock(dir.as_ref(), Unlock::Password(password), |file| StoreError::WrongPassword { file })
    }

    /// As [`Store::open_with_recovery`].
    ///
    /// # Errors
    /// As [`Store::open_with_recovery`].
    pub fn open_with_recovery(&self, dir: impl AsRef<Path>, key: &RecoveryKey) -> Result<Store, StoreError> {
        self.unlock(dir.as_ref(), Unlock::Recovery(key), |file| StoreError::WrongRecoveryKey { file })
    }

    fn unlock(&self, dir: &Path, unlock: Unlock<'_>, wrong: Wrong) -> Result<Store, StoreError> {
        let names = Names::in_dir(dir);
        // Asked first, so that nothing is made in a folder without a store.
        refuse_missing(&*self.files, &names)?;
        let lock = lock(&*self.files, &names)?;
        let Loaded { header, data_key, entries, records, unfinished } = load(&*self.files, &names, unlock, wrong)?;
        if unfinished {
            tracing::warn!(
                store = %names.current.display(),
                "the last write to the log was cut off before it was acknowledged; it is left out"
            );
        }
        let parts = Parts {
            keyring: header.keyring,
            data_key,
            rounds: self.rounds()?,
            entries,
            revision: Revision { generation: header.generation, records },
            on_disk: true,
            unfinished,
        };
        Ok(Store::of(self, names, lock, parts))
    }

    pub(super) fn rounds(&self) -> Result<NonZeroU32, StoreError> {
        let out_of_range = StoreError::KdfRoundsOutOfRange { rounds: MIN_KDF_ROUNDS };
        self.rounds.or_else(|| checked_rounds(MIN_KDF_ROUNDS)).ok_or(out_of_range)
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions").field("kdf_rounds", &self.rounds).finish_non_exhaustive()
    }
}

/// The store's file or, where that is gone, the newest earlier save.
pub(super) fn newest(files: &dyn Files, names: &Names) -> Result<Option<PathBuf>, StoreError> {
    for path in names.saves() {
        if files.exists(&path).map_err(|error| StoreError::io("looking for", &path, error))? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

pub(super) fn refuse_existing(files: &dyn Files, names: &Names) -> Result<(), StoreError> {
    newest(files, names)?.map_or(Ok(()), |file| Err(StoreError::Exists { file }))
}

pub(super) fn refuse_missing(files: &dyn Files, names: &Names) -> Result<(), StoreError> {
    match newest(files, names)? {
        Some(file) if file == names.current => Ok(()),
        Some(kept) => Err(StoreError::OnlyEarlierSave { file: names.current.clone(), kept }),
        None => Err(StoreError::NotFound { dir: names.dir.clone() }),
    }
}

pub(super) fn lock(files: &dyn Files, names: &Names) -> Result<Box<dyn FileLock>, StoreError> {
    files.lock(&names.lock).map_err(|error| match error {
        LockError::Held(pid) => StoreError::Locked { file: names.current.clone(), pid },
        LockError::Io(error) => StoreError::io("locking", &names.lock, error),
    })
}
