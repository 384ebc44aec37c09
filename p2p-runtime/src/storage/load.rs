//! From files to entries: an archive with its log, and whether it is the newest that was in use.

use std::{io, path::PathBuf};

use super::{
    Entries, StoreError,
    archive::{self, MAX_FILE, Opened},
    crypto::Key,
    error::Fault,
    files::Files,
    header::{Form, Header, MAX_HEADER, Unlock, Unverified},
    log::{self, End, MAX_LOG, Replay},
    replace::{KEPT, Names},
};

/// What a store's files were found to hold.
pub(super) struct Loaded {
    pub(super) header: Header,
    pub(super) data_key: Key,
    pub(super) entries: Entries,
    /// Records of the log that are in the entries.
    pub(super) records: u64,
    /// Whether a write that was cut off, and never acknowledged, was found and left out.
    pub(super) unfinished: bool,
}

/// Gives the error for a password or key that opens nothing.
pub(super) type Wrong = fn(PathBuf) -> StoreError;

/// Reads the store, and refuses it where anything about it is not as it was written.
pub(super) fn load(files: &dyn Files, names: &Names, unlock: Unlock<'_>, wrong: Wrong) -> Result<Loaded, StoreError> {
    let file = names.current.clone();
    let Opened { header, data_key, mut entries } = read_archive(files, &file, unlock, wrong)?;
    if header.form == Form::Backup {
        return Err(StoreError::IsBackup { file });
    }
    if let Some(newer) = newest_trace(files, names, &header, &data_key)? {
        return Err(StoreError::RolledBack { file, found: header.generation, newer });
    }
    let mut loaded_log = Replay { records: 0, end: End::Whole };
    if header.form == Form::Logged {
        loaded_log = replay_log(files, names, &header, &data_key, &mut entries)?;
    }
    let unfinished = match loaded_log.end {
        End::Whole => false,
        End::Unfinished => true,
        End::Broken(fault) => return Err(fault.in_file(&names.log(header.generation), wrong)),
    };
    entries.mark_unchanged();
    Ok(Loaded { header, data_key, entries, records: loaded_log.records, unfinished })
}

/// Reads an archive without its log.
pub(super) fn read_archive(
    files: &dyn Files,
    path: &std::path::Path,
    unlock: Unlock<'_>,
    wrong: Wrong,
) -> Result<Opened, StoreError> {
    let bytes = files.read(path, MAX_FILE + 1).map_err(|error| StoreError::io("reading", path, error))?;
    archive::decode(&bytes, unlock).map_err(|fault| fault.in_file(path, wrong))
}

/// Applies the log of this save, as far as it is good.
pub(super) fn replay_log(
    files: &dyn Files,
    names: &Names,
    save: &Header,
    data_key: &Key,
    entries: &mut Entries,
) -> Result<Replay, StoreError> {
    let path = names.log(save.generation);
    let bytes = files.read(&path, MAX_LOG + 1).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::LogMissing { file: names.current.clone(), log: path.clone() },
        _ => StoreError::io("reading", &path, error),
    })?;
    let broken = |fault: Fault| fault.in_file(&path, |file| StoreError::WrongPassword { file });
    log::replay(&bytes, save, data_key, entries).map_err(broken)
}

/// The number of a save of this archive that is newer than this one and was in use here, if there are traces of one.
///
/// A kept save is one; so is a log with a record. A log without a record may be that of a save that was cut off.
pub(super) fn newest_trace(files: &dyn Files, names: &Names, save: &Header, data_key: &Key) -> Result<Option<u64>, StoreError> {
    let listed = names.logs(files).map_err(|error| StoreError::io("listing", &names.dir, error))?;
    let mut newest = None;
    for (_, path) in listed.into_iter().filter(|(generation, _)| *generation > save.generation) {
        let bytes = files.read(&path, MAX_LOG + 1).map_err(|error| StoreError::io("reading", &path, error))?;
        let trace = log::made_after(&bytes, save, data_key).unwrap_or_default();
        newest = newest.max(trace);
    }
    for path in (1..=KEPT).map(|back| names.kept(back)) {
        let start = match files.read(&path, MAX_HEADER) {
            Ok(start) => start,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io("reading", &path, error)),
        };
        let header = Unverified::decode(&start).and_then(|found| found.verify(data_key)).map(|(header, _)| header);
        if let Ok(header) = header
            && header.keyring.archive == save.keyring.archive
            && header.generation > save.generation
        {
            newest = newest.max(Some(header.generation));
        }
    }
    Ok(newest)
}

/// The highest number of a save of this archive of which there is any trace in the folder. A save that goes on from an earlier one gets a
/// higher number than this: otherwise the traces would have it taken for an older file put back.
pub(super) fn highest_used(files: &dyn Files, names: &Names, save: &Header, data_key: &Key) -> Result<u64, StoreError> {
    let mut highest = newest_trace(files, names, save, data_key)?.unwrap_or_default().max(save.generation);
    for (_, path) in names.logs(files).map_err(|error| StoreError::io("listing", &names.dir, error))? {
        let bytes = files.read(&path, MAX_LOG + 1).map_err(|error| StoreError::io("reading", &path, error))?;
        highest = highest.max(log::made_by(&bytes, save, data_key).unwrap_or_default());
    }
    Ok(highest)
}
