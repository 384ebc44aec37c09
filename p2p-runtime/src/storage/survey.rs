//! Looking through all of a store's files without changing any: what each save holds, with its log, and what is wrong with it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Entries, Revision, StoreError,
    archive::{self, MAX_FILE, Opened},
    crypto::Key,
    error::Fault,
    files::Files,
    header::{Form, Header, Unlock, Unverified},
    load::{Wrong, newest_trace, replay_log},
    log::End,
    options::refuse_missing,
    replace::Names,
};

/// What was found in a store's folder: the store itself and the saves that are kept, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Each save that is there.
    pub saves: Vec<SaveReport>,
}

/// What was found of one save and its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveReport {
    /// The archive.
    pub file: PathBuf,
    /// How far it had come, with its log; `None` where the archive is not readable.
    pub revision: Option<Revision>,
    /// How many entries it has, with its log.
    pub entries: Option<usize>,
    /// Whether it is as it was written.
    pub condition: Condition,
}

/// What is wrong with a save, if anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "condition", content = "why", rename_all = "snake_case")]
pub enum Condition {
    /// It is as it was written.
    Sound,
    /// Its last write was cut off before it was acknowledged. Nothing is lost; the write is left out.
    Unfinished,
    /// The archive is good, and of its log only what stands before this.
    LogBroken(String),
    /// An older file was put in its place.
    RolledBack(String),
    /// The archive is not readable.
    Damaged(String),
}

impl Condition {
    /// Whether a store in this condition opens, and has all that was acknowledged.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Sound | Self::Unfinished)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound => f.write_str("sound"),
            Self::Unfinished => f.write_str("sound; a write that was cut off before it was acknowledged is left out"),
            Self::LogBroken(why) | Self::RolledBack(why) | Self::Damaged(why) => f.write_str(why),
        }
    }
}

impl Verification {
    /// Whether the store itself opens, and has all that was acknowledged.
    pub fn is_sound(&self) -> bool {
        self.saves.first().is_some_and(|save| save.condition.is_sound())
    }
}

/// A report with what it was made from.
pub(super) struct Looked {
    pub(super) report: SaveReport,
    /// What the save holds, where its archive is good, with as much of its log as is.
    pub(super) entries: Option<Entries>,
}

/// The data key, and the newest header that it vouches for: one damaged file does not keep the others from being read.
pub(super) fn find_key(files: &dyn Files, names: &Names, unlock: Unlock<'_>, wrong: Wrong) -> Result<(Key, Header), StoreError> {
    let missing = refuse_missing(files, names).err();
    if let Some(error @ StoreError::NotFound { .. }) = missing {
        return Err(error);
    }
    let mut first = None;
    for path in names.saves() {
        if !files.exists(&path).map_err(|error| StoreError::io("looking for", &path, error))? {
            continue;
        }
        let bytes = files.read(&path, MAX_FILE + 1).map_err(|error| StoreError::io("reading", &path, error))?;
        match Unverified::decode(&bytes).and_then(|header| header.unlock(unlock)) {
            Ok((header, data_key, _)) => return Ok((data_key, header)),
            Err(fault) => first = first.or(Some(fault.in_file(&path, wrong))),
        }
    }
    Err(first.unwrap_or(StoreError::NotFound { dir: names.dir.clone() }))
}

/// Looks at each save that is there.
pub(super) fn survey(files: &dyn Files, names: &Names, data_key: &Key) -> Result<Vec<Looked>, StoreError> {
    let mut found = Vec::new();
    for path in names.saves() {
        // The store itself is reported also where it is gone.
        if path == names.current || files.exists(&path).map_err(|error| StoreError::io("looking for", &path, error))? {
            found.push(look(files, names, &path, data_key));
        }
    }
    Ok(found)
}

fn look(files: &dyn Files, names: &Names, path: &Path, data_key: &Key) -> Looked {
    let read = files.read(path, MAX_FILE + 1).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "it is gone".to_owned(),
        _ => format!("it cannot be read: {error}"),
    });
    let opened = read.and_then(|bytes| archive::reopen(&bytes, data_key).map_err(of_fault));
    let Opened { header, mut entries, .. } = match opened {
        Ok(opened) => opened,
        Err(why) => {
            let report =
                SaveReport { file: path.to_path_buf(), revision: None, entries: None, condition: Condition::Damaged(why) };
            return Looked { report, entries: None };
        }
    };
    let (records, mut condition) = with_log(files, names, &header, data_key, &mut entries);
    if path == names.current && condition.is_sound() {
        match newest_trace(files, names, &header, data_key) {
            Ok(None) => {}
            Ok(Some(newer)) => {
                let why = format!("an older file was put in its place: save {newer} was in use here");
                condition = Condition::RolledBack(why);
            }
            Err(error) => condition = Condition::Damaged(error.to_string()),
        }
    }
    let revision = Some(Revision { generation: header.generation, records });
    let report = SaveReport { file: path.to_path_buf(), revision, entries: Some(entries.len()), condition };
    Looked { report, entries: Some(entries) }
}

/// Applies the log of a save as far as it is good.
fn with_log(files: &dyn Files, names: &Names, header: &Header, data_key: &Key, entries: &mut Entries) -> (u64, Condition) {
    match header.form {
        Form::Alone => return (0, Condition::Sound),
        Form::Backup => return (0, Condition::Damaged("it is a backup, and no store before it is restored".to_owned())),
        Form::Logged => {}
    }
    match replay_log(files, names, header, data_key, entries) {
        Ok(replay) => (
            replay.records,
            match replay.end {
                End::Whole => Condition::Sound,
                End::Unfinished => Condition::Unfinished,
                End::Broken(fault) => Condition::LogBroken(format!("its log is broken: {}", of_fault(fault))),
            },
        ),
        Err(StoreError::LogMissing { .. }) => (0, Condition::LogBroken("its log is gone".to_owned())),
        Err(StoreError::Damaged { place, .. }) => (0, Condition::LogBroken(format!("its log is broken: damaged ({place})"))),
        Err(error) => (0, Condition::LogBroken(format!("its log is broken: {error}"))),
    }
}

fn of_fault(fault: Fault) -> String {
    match fault {
        Fault::Damaged(place) => format!("damaged ({place})"),
        Fault::Truncated(place) => format!("cut short (in {place})"),
        Fault::Version(version) => format!("of format {version}, which this program does not read"),
        other => format!("unreadable ({other:?})"),
    }
}
