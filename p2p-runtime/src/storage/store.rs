//! The store itself: entries in memory, and the files that they are saved to.

use std::{
    fmt,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use super::{
    Entries, Password, RecoveryKey, Secret, StoreError, StoreOptions, Verification, archive,
    crypto::{self, Key},
    error::Fault,
    files::{DiskFiles, FileLock, Files},
    header::{Form, Header, Keyring, Unlock},
    log::{AppendError, Appended, LogFile, Sealer},
    options::newest,
    recover,
    replace::{self, Names, Save},
};

/// The encrypted archive of a node's certificates, keys and configuration.
///
/// It is shared as an `Arc<Store>`: all methods take `&self`. Reading ([`get`](Self::get), [`list`](Self::list)) takes no
/// time and never waits for a save. Whatever writes waits its turn and then for the disk, some milliseconds; opening and
/// changing the password take 0.1 s of computing. Call those from `spawn_blocking` in async code.
///
/// [`update`](Self::update) changes several entries and writes them durably as one. [`put`](Self::put) and
/// [`remove`](Self::remove) change memory only, until the next `update` or [`save`](Self::save). What returned `Ok` survives a
/// kill or a power cut at any instant. Dropping a store saves nothing.
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
    log_room: fn(usize) -> usize,
    /// What readers see. Held for moments only.
    state: RwLock<State>,
    /// What writers need; held while writing. Taken before `state`.
    writer: Mutex<Writer>,
    unfinished: bool,
    _lock: Box<dyn FileLock>,
}

struct State {
    entries: Entries,
    revision: Revision,
    /// Whether the disk may hold something else than memory, for a write that failed half way.
    unsettled: bool,
}

struct Writer {
    keyring: Keyring,
    data_key: Key,
    rounds: NonZeroU32,
    /// The highest generation that may be on the disk: a failed save's number is not given to another.
    tried: u64,
    /// The log of the current save, where this process made it and every write to it succeeded.
    log: Option<LogFile>,
    /// Whether the file that the next save replaces is worth keeping.
    keep: bool,
}

/// What a store is put together from.
pub(super) struct Parts {
    pub(super) keyring: Keyring,
    pub(super) data_key: Key,
    pub(super) rounds: NonZeroU32,
    pub(super) entries: Entries,
    pub(super) revision: Revision,
    /// Whether the disk holds just this.
    pub(super) on_disk: bool,
    pub(super) unfinished: bool,
}

/// How far a store has come: it grows with every acknowledged write, and never goes back by itself.
///
/// Whoever puts back all files of a store as they were on an earlier day leaves nothing on this machine by which it could be
/// noticed. Whoever else remembers the revision notices: [`Store::check_not_older_than`].
///
/// ```
/// use p2p_runtime::storage::Revision;
///
/// let earlier = Revision { generation: 7, records: 12 };
/// assert!(earlier < Revision { generation: 8, records: 0 });
/// assert_eq!(earlier.to_string(), "7.12");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Revision {
    /// Counts the saves of the whole archive.
    pub generation: u64,
    /// Counts the records of its log.
    pub records: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.records)
    }
}

impl Store {
    /// A store of these parts, whose lock is held.
    pub(super) fn of(options: &StoreOptions, names: Names, lock: Box<dyn FileLock>, parts: Parts) -> Self {
        let Parts { keyring, data_key, rounds, entries, revision, on_disk, unfinished } = parts;
        Self {
            names,
            files: options.files.clone(),
            log_room: options.log_room,
            state: RwLock::new(State { entries, revision, unsettled: !on_disk }),
            writer: Mutex::new(Writer { keyring, data_key, rounds, tried: revision.generation, log: None, keep: true }),
            unfinished,
            _lock: lock,
        }
    }

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

    /// Puts `value` at `path` in memory, until [`save`](Self::save) or [`update`](Self::update).
    ///
    /// # Errors
    /// [`StoreError::BadPath`], [`StoreError::TooLarge`]; see [`Entries`] for the limits.
    pub fn put(&self, path: &str, value: impl Into<Secret>) -> Result<(), StoreError> {
        let _turn = self.writer();
        self.write(|state| state.entries.put(path, value))
    }

    /// Removes the entry at `path` from memory, until [`save`](Self::save) or [`update`](Self::update), and gives what it held.
    /// Earlier saves on the disk keep it until three more saves.
    pub fn remove(&self, path: &str) -> Option<Secret> {
        let _turn = self.writer();
        self.write(|state| state.entries.remove(path))
    }

    /// Writes all of what is in memory as a new archive, durably, and begins a new log; does nothing where neither memory nor the
    /// log has anything that the archive has not.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`], [`StoreError::Unfaithful`]. Memory keeps everything and
    /// [stays unsaved](Self::is_unsaved), and what was saved before is still on the disk.
    pub fn save(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if !self.is_unsaved() && self.revision().records == 0 {
            return Ok(());
        }
        let entries = self.read(|state| state.entries.clone());
        let keyring = writer.keyring.clone();
        self.save_as(&mut writer, keyring, entries)
    }

    /// Changes entries and writes them, with whatever was unsaved, as one durable write: all of it or, on an error from
    /// `change` or from the disk, nothing, in memory too. Others see the change once it is durable.
    ///
    /// It costs one record in the log. Where there is no room for that, and for the first write after opening, it is a
    /// [`save`](Self::save).
    ///
    /// `change` works on the entries it is given; it may read this store but not write to it, which would wait for itself.
    /// Where it changes nothing, nothing is written.
    ///
    /// # Errors
    /// What `change` returns; and as [`save`](Self::save).
    pub fn update<T, E: From<StoreError>>(&self, change: impl FnOnce(&mut Entries) -> Result<T, E>) -> Result<T, E> {
        let mut writer = self.writer();
        let mut entries = self.read(|state| state.entries.clone());
        let value = change(&mut entries)?;
        if entries.is_changed() || self.is_unsaved() {
            self.write_changes(&mut writer, entries)?;
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
        self.change_password_with(password, |_| Ok(()))
    }

    /// The same, with a change of entries in the same save.
    pub(crate) fn change_password_with(
        &self,
        password: &Password,
        change: impl FnOnce(&mut Entries) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let keyring = writer.keyring.with_password(&writer.data_key, password, writer.rounds);
        let keyring = keyring.map_err(|fault| self.fault(fault))?;
        let mut entries = self.read(|state| state.entries.clone());
        change(&mut entries)?;
        self.save_as(&mut writer, keyring, entries)
    }

    /// Whether this is the store's password. It takes as long as opening: 0.1 s of computing.
    ///
    /// # Errors
    /// [`StoreError::WrongPassword`].
    pub fn check_password(&self, password: &Password) -> Result<(), StoreError> {
        // The rounds are run without holding up writers.
        let keyring = self.writer().keyring.clone();
        keyring.data_key(Unlock::Password(password)).map(drop).map_err(|fault| self.fault(fault))
    }

    /// Checks all files of the store as they are on the disk, and every save that is kept, while nobody writes; it changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the folder cannot be looked into. What is wrong with a file is no error but in the report.
    pub fn verify(&self) -> Result<Verification, StoreError> {
        let writer = self.writer();
        recover::verify(&*self.files, &self.names, &writer.data_key)
    }

    /// Whether memory holds something that the disk does not, as far as is known.
    pub fn is_unsaved(&self) -> bool {
        self.read(|state| state.unsettled || state.entries.is_changed())
    }

    /// Counts the saves of the whole archive since the store was made; see [`revision`](Self::revision).
    pub fn generation(&self) -> u64 {
        self.revision().generation
    }

    /// How far the store has come: which save it is, and how many records its log has.
    pub fn revision(&self) -> Revision {
        self.read(|state| state.revision)
    }

    /// Compares the store with the revision that somebody else remembers of it: a peer, or its operator.
    ///
    /// # Errors
    /// [`StoreError::OlderThanRemembered`] where it has been further already.
    pub fn check_not_older_than(&self, remembered: Revision) -> Result<(), StoreError> {
        let found = self.revision();
        if found >= remembered {
            return Ok(());
        }
        Err(StoreError::OlderThanRemembered { file: self.names.current.clone(), found, remembered })
    }

    /// Whether opening found a write in the log that was cut off before it was acknowledged, and left it out.
    pub fn dropped_unfinished_write(&self) -> bool {
        self.unfinished
    }

    /// The file that the store is saved to.
    pub fn file(&self) -> &Path {
        &self.names.current
    }

    /// Writes the unsaved changes of `entries` as a record of the log, or as a save, and then makes them what this store holds.
    fn write_changes(&self, writer: &mut Writer, mut entries: Entries) -> Result<(), StoreError> {
        let Some(log) = &mut writer.log else {
            let keyring = writer.keyring.clone();
            return self.save_as(writer, keyring, entries);
        };
        match log.append(&entries) {
            Ok(Appended::Durably) => {
                entries.mark_unchanged();
                let records = log.records();
                self.write(|state| {
                    state.revision.records = records;
                    state.entries = entries;
                });
                Ok(())
            }
            Ok(Appended::NoRoom) => {
                let keyring = writer.keyring.clone();
                self.save_as(writer, keyring, entries)
            }
            Err(error) => {
                // What the file holds now is not known, and syncing it again would prove nothing: the next write is a save.
                writer.log = None;
                self.write(|state| state.unsettled = true);
                let path = self.names.log(self.generation());
                Err(match error {
                    AppendError::Fault(fault) => self.fault(fault),
                    AppendError::Io(doing, source) => StoreError::io(doing, &path, source),
                })
            }
        }
    }

    /// Saves `entries` under `keyring` and, once that is durable, makes both what this store holds.
    fn save_as(&self, writer: &mut Writer, keyring: Keyring, mut entries: Entries) -> Result<(), StoreError> {
        let exhausted = Fault::TooLarge("a store", usize::MAX, "saves");
        let generation = writer.tried.checked_add(1).ok_or(exhausted).map_err(|fault| self.fault(fault))?;
        writer.tried = generation;
        let encoded = self.encode(writer, &keyring, generation, &entries).map_err(|fault| self.fault(fault))?;
        let (save, sealer) = encoded;
        let faithful = |again: &[u8]| archive::reopen(again, &writer.data_key).is_ok_and(|read| read.entries.same_as(&entries));
        let log = replace::prepare(&*self.files, &self.names, &save, faithful)?;
        // From here on the old log may be that of a save that is not the store any more.
        writer.log = None;
        if let Err(error) = replace::commit(&*self.files, &self.names) {
            self.write(|state| state.unsettled = true);
            return Err(error);
        }
        replace::sweep(&*self.files, &self.names);
        writer.keyring = keyring;
        writer.log = Some(LogFile::new(log, sealer));
        entries.mark_unchanged();
        self.write(|state| *state = State { entries, revision: Revision { generation, records: 0 }, unsettled: false });
        Ok(())
    }

    fn encode(&self, writer: &Writer, keyring: &Keyring, generation: u64, entries: &Entries) -> Result<(Save, Sealer), Fault> {
        let data_key = &writer.data_key;
        let header = Header { keyring: keyring.clone(), generation, seed: crypto::random()?, form: Form::Logged };
        let archive = archive::encode(&header, data_key, entries)?;
        let (sealer, log) = Sealer::new(&header, data_key, (self.log_room)(archive.len()))?;
        Ok((Save { generation, archive, log, keep: writer.keep }, sealer))
    }

    /// Saves over a file that was put aside already.
    pub(super) fn save_without_keeping(&self) -> Result<(), StoreError> {
        self.writer().keep = false;
        let saved = self.save();
        self.writer().keep = true;
        saved
    }

    /// What `encode` makes of everything that the store holds, while nobody writes.
    pub(super) fn encoded<T>(
        &self,
        encode: impl FnOnce(&Keyring, &Key, u64, &Entries) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let writer = self.writer();
        let entries = self.read(|state| state.entries.clone());
        encode(&writer.keyring, &writer.data_key, self.generation(), &entries).map_err(|fault| self.fault(fault))
    }

    /// Takes away a store that was not finished: it is in the way of the next attempt.
    pub(super) fn remove_files(&self) {
        let _ = self.files.remove(&self.names.current);
        let _ = self.files.remove(&self.names.log(self.writer().tried));
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
