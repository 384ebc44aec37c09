//! Backups: one file with everything that a store holds, in the archive's own format, opened by the same password.
//!
//! A backup says in its header that it is one. It cannot be put in a store's place by copying: [`StoreOptions::restore`] does that,
//! and lets whoever calls it change what must not go back in time.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    Entries, Revision, Store, StoreError, StoreOptions, Unlock,
    archive::{self, MAX_FILE, Opened},
    crypto,
    files::Files,
    header::{Form, Header},
    load::{highest_used, read_archive},
    options::{lock, refuse_existing},
    recover::wrong,
    replace::{Names, write_new},
    store::Parts,
};

impl Store {
    /// A backup of what the store holds at this instant, in one piece, also while others write to it. Write it with
    /// [`StoreOptions::write_backup`].
    ///
    /// # Errors
    /// [`StoreError::Crypto`].
    pub fn backup(&self) -> Result<Vec<u8>, StoreError> {
        self.encoded(|keyring, data_key, generation, entries| {
            let header = Header { keyring: keyring.clone(), generation, seed: crypto::random()?, form: Form::Backup };
            archive::encode(&header, data_key, entries)
        })
    }
}

impl StoreOptions {
    /// Writes a backup to a file of this name, durably. Only this user can read it.
    ///
    /// # Errors
    /// [`StoreError::BackupExists`], [`StoreError::DiskFull`], [`StoreError::Io`], [`StoreError::Unfaithful`]; then there is no new file
    /// of this name, or, where only its folder could not be synced, the whole backup.
    pub fn write_backup(&self, path: impl AsRef<Path>, backup: &[u8]) -> Result<(), StoreError> {
        let (files, path) = (&*self.files, path.as_ref());
        let failed = |doing| move |error| StoreError::io(doing, path, error);
        if files.exists(path).map_err(failed("looking for"))? {
            return Err(StoreError::BackupExists { file: path.to_path_buf() });
        }
        let unfinished = free_beside(files, path).map_err(failed("looking beside"))?;
        let written = write_new(files, &unfinished, backup, MAX_FILE + 1, |_| true).map(drop);
        let written = written.and_then(|()| files.rename(&unfinished, path).map_err(failed("renaming")));
        if written.is_err() {
            let _ = files.remove(&unfinished);
            return written;
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files.sync_dir(dir).map_err(failed("syncing the folder of"))
    }

    /// Makes a store in `dir` of a backup. Password and recovery key are those of the backup. `change` sees the entries before they
    /// are written.
    ///
    /// # Errors
    /// What `change` returns; [`StoreError::Exists`], [`StoreError::NoBackup`]; and as [`Store::open`], about the backup.
    pub fn restore<E: From<StoreError>>(
        &self,
        backup: impl AsRef<Path>,
        dir: impl AsRef<Path>,
        unlock: Unlock<'_>,
        change: impl FnOnce(&mut Entries) -> Result<(), E>,
    ) -> Result<Store, E> {
        let (files, names) = (&*self.files, Names::in_dir(dir.as_ref()));
        refuse_existing(files, &names)?;
        let Opened { header, data_key, mut entries } = read_archive(files, backup.as_ref(), unlock, wrong(unlock))?;
        if header.form == Form::Logged {
            return Err(StoreError::NoBackup { file: backup.as_ref().to_path_buf() }.into());
        }
        change(&mut entries)?;
        files.create_dir(&names.dir).map_err(|error| StoreError::io("creating the folder", &names.dir, error))?;
        let lock = lock(files, &names)?;
        refuse_existing(files, &names)?;
        // Where only the archives were removed, the logs of later saves are still there.
        let generation = highest_used(files, &names, &header, &data_key)?;
        let parts = Parts {
            keyring: header.keyring,
            data_key,
            rounds: self.rounds()?,
            entries,
            revision: Revision { generation, records: 0 },
            on_disk: false,
            unfinished: false,
        };
        let store = Store::of(self, names, lock, parts);
        if let Err(error) = store.save() {
            // It is in the way of the next attempt.
            store.remove_files();
            return Err(error.into());
        }
        Ok(store)
    }
}

/// A name beside this one that nothing has. What has one of them may be somebody's file as well as what a backup left that was cut off.
fn free_beside(files: &dyn Files, path: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u32;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 1 { ".new".to_owned() } else { format!(".new.{number}") });
        if !files.exists(Path::new(&name))? {
            return Ok(name.into());
        }
        number += 1;
    }
}
