//! Bringing back what is left of a store: the newest save that is good, with what is good of its log.
//!
//! Looking comes first and changes nothing. Only [`Recovery::carry_out`] writes: it puts all files that were there aside, into a
//! folder of their own, and then saves what was brought back with a number that no save had before.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    Entries, Revision, SaveReport, Store, StoreError, StoreOptions, Unlock, Verification,
    archive::MAX_FILE,
    crypto::Key,
    files::{FileLock, Files},
    header::Header,
    load::{Wrong, highest_used},
    options::lock,
    replace::{Names, copy},
    store::Parts,
    survey::{Condition, find_key, survey},
};

/// What can be brought back of a store, and what cannot. Made by [`StoreOptions::recover`].
pub struct Recovery {
    options: StoreOptions,
    names: Names,
    lock: Box<dyn FileLock>,
    data_key: Key,
    /// The newest header that the data key vouches for: the password is that of it.
    newest: Header,
    verification: Verification,
    source: SaveReport,
    entries: Entries,
}

impl StoreOptions {
    /// Checks the store in `dir`, its log and every save that is kept, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Locked`]; and where the password or key opens none of the saves, what the newest
    /// of them says. What is wrong with a file is no error but in the report.
    pub fn verify(&self, dir: impl AsRef<Path>, unlock: Unlock<'_>) -> Result<Verification, StoreError> {
        let names = Names::in_dir(dir.as_ref());
        let files = &*self.files;
        let (data_key, _) = find_key(files, &names, unlock, wrong(unlock))?;
        let _lock = lock(files, &names)?;
        verify(files, &names, &data_key)
    }

    /// Looks for what can be brought back of the store in `dir`. It changes nothing yet, and keeps other processes out.
    ///
    /// # Errors
    /// As [`verify`](Self::verify); and [`StoreError::NothingGood`] where no save is readable.
    pub fn recover(&self, dir: impl AsRef<Path>, unlock: Unlock<'_>) -> Result<Recovery, StoreError> {
        let names = Names::in_dir(dir.as_ref());
        let (data_key, newest) = find_key(&*self.files, &names, unlock, wrong(unlock))?;
        let lock = lock(&*self.files, &names)?;
        let looked = survey(&*self.files, &names, &data_key)?;
        let verification = Verification { saves: looked.iter().map(|looked| looked.report.clone()).collect() };
        let good = looked.into_iter().filter_map(|looked| Some((looked.report, looked.entries?)));
        let newest_good = good.reduce(|best, next| if next.0.revision > best.0.revision { next } else { best });
        let Some((source, entries)) = newest_good else { return Err(StoreError::NothingGood { dir: names.dir }) };
        Ok(Recovery { options: self.clone(), names, lock, data_key, newest, verification, source, entries })
    }
}

/// The error for what opens nothing.
pub(super) fn wrong(unlock: Unlock<'_>) -> Wrong {
    match unlock {
        Unlock::Password(_) => |file| StoreError::WrongPassword { file },
        Unlock::Recovery(_) => |file| StoreError::WrongRecoveryKey { file },
    }
}

/// Checks all of a store's files.
pub(super) fn verify(files: &dyn Files, names: &Names, data_key: &Key) -> Result<Verification, StoreError> {
    Ok(Verification { saves: survey(files, names, data_key)?.into_iter().map(|looked| looked.report).collect() })
}

impl Recovery {
    /// What was found of each save.
    pub fn verification(&self) -> &Verification {
        &self.verification
    }

    /// Whether there is anything to do: a store that opens with all that was acknowledged needs none.
    pub fn is_needed(&self) -> bool {
        !self.verification.is_sound()
    }

    /// The save that would be brought back.
    pub fn source(&self) -> &SaveReport {
        &self.source
    }

    /// What is lost by it, a sentence for each.
    pub fn losses(&self) -> Vec<String> {
        let Some(revision) = self.source.revision else { return Vec::new() };
        let newer = self.verification.saves.iter().take_while(|save| save.file != self.source.file);
        let unreadable = newer.filter(|save| matches!(save.condition, Condition::Damaged(_)));
        let source = std::iter::once(&self.source).filter(|save| !save.condition.is_sound());
        let lost = |save: &SaveReport| {
            format!(
                "{}: {}; what was written after revision {revision}, if anything, is lost",
                save.file.display(),
                save.condition
            )
        };
        unreadable.chain(source).map(lost).collect()
    }

    /// Puts the files aside and makes what is good the store, which is then open. `change` may change entries before: what has to
    /// be done to a store that went back in time.
    ///
    /// Gives the store, and the folder to which its files were put.
    ///
    /// # Errors
    /// What `change` returns; [`StoreError::Io`], [`StoreError::DiskFull`]. The files that were there are still where they were.
    pub fn carry_out<E: From<StoreError>>(
        mut self,
        change: impl FnOnce(&mut Entries) -> Result<(), E>,
    ) -> Result<(Store, PathBuf), E> {
        change(&mut self.entries)?;
        let aside = self.put_aside()?;
        let generation = highest_used(&*self.options.files, &self.names, &self.newest, &self.data_key)?;
        let parts = Parts {
            keyring: self.newest.keyring.clone(),
            data_key: self.data_key,
            rounds: self.options.rounds()?,
            entries: self.entries,
            revision: Revision { generation, records: 0 },
            on_disk: false,
            unfinished: false,
        };
        let store = Store::of(&self.options, self.names, self.lock, parts);
        store.save_without_keeping()?;
        Ok((store, aside))
    }

    fn put_aside(&self) -> Result<PathBuf, StoreError> {
        let (files, names) = (&*self.options.files, &self.names);
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |error| StoreError::io("putting aside", &path, error)
        };
        let mut number = 1;
        let aside = loop {
            let aside = names.dir.join(format!("store.aside.{number}"));
            if !files.exists(&aside).map_err(failed(&aside))? {
                break aside;
            }
            number += 1;
        };
        files.create_dir(&aside).map_err(failed(&aside))?;
        let logs = names.logs(files).map_err(failed(&names.dir))?.into_iter().map(|(_, path)| path);
        for path in names.saves().chain(logs).collect::<Vec<_>>() {
            let Some(name) = path.file_name() else { continue };
            if files.exists(&path).map_err(failed(&path))? {
                put(files, &path, &aside.join(name)).map_err(failed(&path))?;
            }
        }
        files.sync_dir(&aside).map_err(failed(&aside))?;
        Ok(aside)
    }
}

/// A second name where the file system has such, otherwise a copy.
fn put(files: &dyn Files, from: &Path, to: &Path) -> io::Result<()> {
    files.link(from, to).or_else(|_| copy(files, from, to, MAX_FILE + 1))
}
