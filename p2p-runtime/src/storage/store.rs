//! The store itself: entries in memory, and the one file that they are saved to.

use std::{
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use super::{
    Entries, Password, RecoveryKey, Secret, StoreError,
    archive::{self, MAX_FILE, Opened},
    crypto::{self, Key},
    error::Fault,
    files::{DiskFiles, FileLock, Files, LockError},
    header::{Header, Keyring, MIN_KDF_ROUNDS, Unlock, checked_rounds},
    replace::{self, KEPT, Names},
};

/// How a store is made and opened. [`Store`]'s own functions use the defaults.
#[derive(Clone)]
pub struct StoreOptions {
    rounds: Option<NonZeroU32>,
    files: Arc<dyn Files>,
}

/// The encrypted archive of a node's certificates, keys and configuration.
///
/// It is shared as an `Arc<Store>`: all methods take `&self`. Reading ([`get`](Self::get), [`list`](Self::list)) takes no
/// time and never waits for a save. Whatever writes waits its turn and then for the disk, some milliseconds; opening and
/// changing the password take 0.1 s of computing. Call those from `spawn_blocking` in async code.
///
/// [`put`](Self::put) and [`remove`](Self::remove) change memory until [`save`](Self::save); [`update`](Self::update)
/// changes several entries and saves them as one. A save that returned `Ok` survives a kill or a power cut at any instant.
/// Dropping a store saves nothing.
///
/// ```
/// use p2p_runtime::storage::{Password, Store, StoreError};
///
/// # let base = tempfile::tempdir().unwrap();
/// # let dir = base.path().join("node");
/// let password = Password::new("correct horse battery staple")?;
/// let (store, recovery_key) = Store::create(&dir, &password)?;
/// eprintln!("write this down: {}", *recovery_key.reveal());
///
/// store.update(|entries| {
///     entries.put("certs/node.pem", "-----BEGIN CERTIFICATE-----")?;
///     entries.put("keys/node.der", vec![0x30, 0x2e])
/// })?;
/// drop(store);
///
/// let store = Store::open(&dir, &password)?;
/// assert_eq!(store.get("keys/node.der").unwrap().expose(), [0x30, 0x2e]);
/// assert_eq!(store.list("certs/"), ["certs/node.pem"]);
/// # Ok::<(), StoreError>(())
/// ```
pub struct Store {
    names: Names,
    files: Arc<dyn Files>,
    /// What readers see. Held for moments only.
    state: RwLock<State>,
    /// What writers need; held while saving. Taken before `state`.
    writer: Mutex<Writer>,
    _lock: Box<dyn FileLock>,
}

struct State {
    entries: Entries,
    generation: u64,
    unsaved: bool,
}

struct Writer {
    keyring: Keyring,
    data_key: Key,
    rounds: NonZeroU32,
    /// The highest generation that may be on the disk: a failed save's number is not given to another.
    tried: u64,
}

impl StoreOptions {
    /// The defaults: 600,000 rounds for a new password.
    pub fn new() -> Self {
        Self { rounds: None, files: Arc::new(DiskFiles) }
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

    /// The same on other files than the disk's.
    #[cfg(test)]
    pub(super) fn on(files: Arc<dyn Files>) -> Self {
        Self { rounds: None, files }
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
        let store = Store {
            names,
            files: self.files.clone(),
            state: RwLock::new(State { entries: Entries::default(), generation: 0, unsaved: true }),
            writer: Mutex::new(Writer { keyring, data_key, rounds, tried: 0 }),
            _lock: lock,
        };
        if let Err(error) = store.save() {
            // Nobody was told of this store, and it is in the way of the next attempt.
            let _ = self.files.remove(&store.names.current);
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

    fn unlock(&self, dir: &Path, unlock: Unlock<'_>, wrong: fn(PathBuf) -> StoreError) -> Result<Store, StoreError> {
        let names = Names::in_dir(dir);
        // Asked first, so that nothing is made in a folder without a store.
        refuse_missing(&*self.files, &names)?;
        let lock = lock(&*self.files, &names)?;
        let file = self.files.read(&names.current, MAX_FILE + 1);
        let file = file.map_err(|error| StoreError::io("reading", &names.current, error))?;
        let opened = archive::decode(&file, unlock).map_err(|fault| fault.in_file(&names.current, wrong))?;
        let Opened { header: Header { keyring, generation, .. }, data_key, entries } = opened;
        Ok(Store {
            names,
            files: self.files.clone(),
            state: RwLock::new(State { entries, generation, unsaved: false }),
            writer: Mutex::new(Writer { keyring, data_key, rounds: self.rounds()?, tried: generation }),
            _lock: lock,
        })
    }

    fn rounds(&self) -> Result<NonZeroU32, StoreError> {
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

impl Store {
    /// Whether `dir` has a store, or at least an earlier save of one. [`create`](Self::create) refuses such a folder.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the folder cannot be looked into.
    pub fn exists(dir: impl AsRef<Path>) -> Result<bool, StoreError> {
        Ok(newest(&DiskFiles, &Names::in_dir(dir.as_ref()))?.is_some())
    }

    /// Makes a new, empty store in `dir`, and the folder if need be. The recovery key is told now or never.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where a store is or was; [`StoreError::Locked`]; [`StoreError::DiskFull`] and
    /// [`StoreError::Io`], which leave no store behind.
    pub fn create(dir: impl AsRef<Path>, password: &Password) -> Result<(Self, RecoveryKey), StoreError> {
        StoreOptions::new().create(dir, password)
    }

    /// Opens the store in `dir` and keeps other processes out until it is dropped. Every byte of the file is checked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::WrongPassword`], [`StoreError::Locked`], [`StoreError::Damaged`],
    /// [`StoreError::Truncated`], [`StoreError::UnsupportedVersion`], [`StoreError::HostileKdf`],
    /// [`StoreError::OnlyEarlierSave`], [`StoreError::Io`]. None of them changes the file.
    pub fn open(dir: impl AsRef<Path>, password: &Password) -> Result<Self, StoreError> {
        StoreOptions::new().open(dir, password)
    }

    /// Opens the store in `dir` without its password; [`change_password`](Self::change_password) then sets a new one.
    ///
    /// # Errors
    /// As [`open`](Self::open), with [`StoreError::WrongRecoveryKey`].
    pub fn open_with_recovery(dir: impl AsRef<Path>, key: &RecoveryKey) -> Result<Self, StoreError> {
        StoreOptions::new().open_with_recovery(dir, key)
    }

    /// The value at `path`.
    pub fn get(&self, path: &str) -> Option<Secret> {
        self.read(|state| state.entries.get(path))
    }

    /// The paths that begin with `prefix`, in order. An empty prefix lists all.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        self.read(|state| state.entries.list(prefix))
    }

    /// Puts `value` at `path` in memory, until [`save`](Self::save).
    ///
    /// # Errors
    /// [`StoreError::BadPath`], [`StoreError::TooLarge`]; see [`Entries`] for the limits.
    pub fn put(&self, path: &str, value: impl Into<Secret>) -> Result<(), StoreError> {
        let _turn = self.writer();
        self.write(|state| {
            state.entries.put(path, value)?;
            state.unsaved = true;
            Ok(())
        })
    }

    /// Removes the entry at `path` from memory, until [`save`](Self::save), and gives what it held. Earlier saves on the
    /// disk keep it until three more saves.
    pub fn remove(&self, path: &str) -> Option<Secret> {
        let _turn = self.writer();
        self.write(|state| {
            let removed = state.entries.remove(path);
            state.unsaved |= removed.is_some();
            removed
        })
    }

    /// Writes what is in memory, durably; does nothing where all is saved.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`], [`StoreError::Unfaithful`]. Memory keeps everything and
    /// [stays unsaved](Self::is_unsaved), and what was saved before is still on the disk.
    pub fn save(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if !self.is_unsaved() {
            return Ok(());
        }
        let entries = self.read(|state| state.entries.clone());
        let keyring = writer.keyring.clone();
        self.save_as(&mut writer, keyring, entries)
    }

    /// Changes entries and saves them, with whatever was unsaved, as one durable write: all of it or, on an error from
    /// `change` or from the disk, nothing, in memory too. Others see the change once it is durable.
    ///
    /// `change` works on the entries it is given; it may read this store but not write to it, which would wait for itself.
    /// Where it changes nothing, nothing is written.
    ///
    /// # Errors
    /// What `change` returns; and as [`save`](Self::save).
    pub fn update<T, E: From<StoreError>>(&self, change: impl FnOnce(&mut Entries) -> Result<T, E>) -> Result<T, E> {
        let mut writer = self.writer();
        let mut entries = self.read(|state| state.entries.clone());
        entries.mark_unchanged();
        let value = change(&mut entries)?;
        if entries.is_changed() || self.is_unsaved() {
            let keyring = writer.keyring.clone();
            self.save_as(&mut writer, keyring, entries)?;
        }
        Ok(value)
    }

    /// Sets another password and saves. The recovery key stays good.
    ///
    /// The earlier saves that are kept, and copies elsewhere, still open with the old password; whoever has both could read
    /// this store too, since the data key stays. After a password became known, replace the secrets as well.
    ///
    /// # Errors
    /// As [`save`](Self::save); the old password stays then.
    pub fn change_password(&self, password: &Password) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let keyring = writer.keyring.with_password(&writer.data_key, password, writer.rounds);
        let keyring = keyring.map_err(|fault| self.fault(fault))?;
        let entries = self.read(|state| state.entries.clone());
        self.save_as(&mut writer, keyring, entries)
    }

    /// Whether memory holds something that the last successful save does not.
    pub fn is_unsaved(&self) -> bool {
        self.read(|state| state.unsaved)
    }

    /// Counts the saves since the store was made; it never goes back but by putting an older file in place.
    pub fn generation(&self) -> u64 {
        self.read(|state| state.generation)
    }

    /// The file that the store is saved to.
    pub fn file(&self) -> &Path {
        &self.names.current
    }

    /// Writes `entries` under `keyring` and, once that is durable, makes both what this store holds.
    fn save_as(&self, writer: &mut Writer, keyring: Keyring, entries: Entries) -> Result<(), StoreError> {
        let saved = self.write_file(writer, keyring, &entries);
        self.write(|state| match saved {
            Ok(generation) => {
                *state = State { entries, generation, unsaved: false };
                Ok(())
            }
            Err(error) => {
                // The disk may hold either; the next save settles it.
                state.unsaved = true;
                Err(error)
            }
        })
    }

    fn write_file(&self, writer: &mut Writer, keyring: Keyring, entries: &Entries) -> Result<u64, StoreError> {
        let exhausted = Fault::TooLarge("a store", usize::MAX, "saves");
        let generation = writer.tried.checked_add(1).ok_or(exhausted).map_err(|fault| self.fault(fault))?;
        writer.tried = generation;
        let data_key = &writer.data_key;
        let encode = || {
            let header = Header { keyring: keyring.clone(), generation, seed: crypto::random()? };
            archive::encode(&header, data_key, entries)
        };
        let bytes = encode().map_err(|fault| self.fault(fault))?;
        let faithful = |again: &[u8]| archive::reread(again, data_key).is_ok_and(|read| read.same_as(entries));
        replace::replace(&*self.files, &self.names, &bytes, faithful)?;
        writer.keyring = keyring;
        Ok(generation)
    }

    fn fault(&self, fault: Fault) -> StoreError {
        fault.in_file(&self.names.current, |file| StoreError::WrongPassword { file })
    }

    // A panic of a user's closure leaves these as they were, since changes are made on a copy: poisoning means nothing here.

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("file", &self.names.current).field("generation", &self.generation()).finish_non_exhaustive()
    }
}

/// The store's file or, where that is gone, the newest earlier save.
fn newest(files: &dyn Files, names: &Names) -> Result<Option<PathBuf>, StoreError> {
    for path in std::iter::once(names.current.clone()).chain((1..=KEPT).map(|back| names.kept(back))) {
        if files.exists(&path).map_err(|error| StoreError::io("looking for", &path, error))? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn refuse_existing(files: &dyn Files, names: &Names) -> Result<(), StoreError> {
    newest(files, names)?.map_or(Ok(()), |file| Err(StoreError::Exists { file }))
}

fn refuse_missing(files: &dyn Files, names: &Names) -> Result<(), StoreError> {
    match newest(files, names)? {
        Some(file) if file == names.current => Ok(()),
        Some(kept) => Err(StoreError::OnlyEarlierSave { file: names.current.clone(), kept }),
        None => Err(StoreError::NotFound { dir: names.dir.clone() }),
    }
}

fn lock(files: &dyn Files, names: &Names) -> Result<Box<dyn FileLock>, StoreError> {
    files.lock(&names.lock).map_err(|error| match error {
        LockError::Held(pid) => StoreError::Locked { file: names.current.clone(), pid },
        LockError::Io(error) => StoreError::io("locking", &names.lock, error),
    })
}
