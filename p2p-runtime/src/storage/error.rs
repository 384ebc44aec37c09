//! What can go wrong with the store, each with its next step.
//!
//! The format ([`super::header`], [`super::archive`]) reports a [`Fault`], which knows nothing of files; the store
//! gives it the file's name and it becomes a [`StoreError`].

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{
    Revision,
    header::{MAX_KDF_ROUNDS, MIN_KDF_ROUNDS, VERSION},
};

/// Why the store refused or failed. Every message names the file and says what to do next; none contains a secret.
///
/// ```
/// use p2p_runtime::storage::{Password, Store, StoreError};
///
/// let error = Store::open("/nowhere", &Password::new("correct horse")?).unwrap_err();
/// assert!(matches!(error, StoreError::NotFound { .. }));
/// assert!(error.to_string().contains("`p2p init`"));
/// # Ok::<(), StoreError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder has no store.
    #[error("there is no store in {}: make one with `p2p init`, or with `p2p join` to enter a cluster; or name the node's folder with --dir", dir.display())]
    NotFound {
        /// The folder that was looked into.
        dir: PathBuf,
    },

    /// The store's file is gone, but the save before it is still there.
    #[error("{} is gone, but an earlier save of it, {}, is there: bring it back with `p2p store recover`, or restore a backup", file.display(), kept.display())]
    OnlyEarlierSave {
        /// The file that should be there.
        file: PathBuf,
        /// The newest earlier save.
        kept: PathBuf,
    },

    /// The log beside the file is gone: what was acknowledged since the save is not there.
    #[error("{} is gone, which holds what was acknowledged since {} was saved: put it back, or go on without it with `p2p store recover`", log.display(), file.display())]
    LogMissing {
        /// The store's file.
        file: PathBuf,
        /// The log that should be beside it.
        log: PathBuf,
    },

    /// The file is an earlier save than one that was in use here.
    #[error("{} is save {found}, but save {newer} was in use here: an older file was put in its place; put the newer one back, or settle on what there is with `p2p store recover`", file.display())]
    RolledBack {
        /// The store's file.
        file: PathBuf,
        /// The save that it is.
        found: u64,
        /// The newest save of which there are traces.
        newer: u64,
    },

    /// Somebody remembers a later revision of this store.
    #[error("{} is at revision {found}, but was at {remembered} before: an older copy of it was put back; put the newest one back, or have the node join again", file.display())]
    OlderThanRemembered {
        /// The store's file.
        file: PathBuf,
        /// How far it has come.
        found: Revision,
        /// How far it had come.
        remembered: Revision,
    },

    /// The file is a backup, which is no store.
    #[error("{} is a backup: make a store of it with `p2p store restore`, which also voids the join tokens that were open then", file.display())]
    IsBackup {
        /// The file.
        file: PathBuf,
    },

    /// Nothing in the folder can be read.
    #[error("none of the saves in {} can be read: restore a backup in another folder with `p2p store restore`", dir.display())]
    NothingGood {
        /// The store's folder.
        dir: PathBuf,
    },

    /// A file is in the way of a backup. It was not touched.
    #[error("{} exists already and was left as it is: name another file for the backup", file.display())]
    BackupExists {
        /// The file that is in the way.
        file: PathBuf,
    },

    /// The file is a store, and no backup.
    #[error("{} is no backup but a store of its own, whose newest writes are in its log: make a backup of it with `p2p store backup`", file.display())]
    NoBackup {
        /// The file.
        file: PathBuf,
    },

    /// A store, or an earlier save of one, is there already. It was not touched.
    #[error("{} exists already and was left as it is: run its node with `p2p start`, or name another folder with --dir", file.display())]
    Exists {
        /// The file that is in the way.
        file: PathBuf,
    },

    /// The password is not the one that the store was made with.
    #[error("wrong password for {}: try again, or open it with the recovery key that `p2p init` printed", file.display())]
    WrongPassword {
        /// The store's file.
        file: PathBuf,
    },

    /// The recovery key belongs to another store.
    #[error("wrong recovery key for {}: it is well formed but belongs to another store; look for the one printed when this store was made", file.display())]
    WrongRecoveryKey {
        /// The store's file.
        file: PathBuf,
    },

    /// What was typed is not a recovery key.
    #[error("this is not a recovery key ({why}): type it as it was printed, 8 groups of 5 letters and digits")]
    MalformedRecoveryKey {
        /// What is wrong with it, without repeating it.
        why: MalformedKey,
    },

    /// A password of no characters.
    #[error("the password is empty: give one of at least one character")]
    EmptyPassword,

    /// The file is not what was saved.
    #[error("{} is damaged ({place}): nothing was changed; `p2p store verify` shows what is good, `p2p store recover` brings it back, or restore a backup", file.display())]
    Damaged {
        /// The store's file.
        file: PathBuf,
        /// Where the damage was found.
        place: Place,
    },

    /// The file ends too early.
    #[error("{} is cut short (in {place}): nothing was changed; `p2p store verify` shows what is good, `p2p store recover` brings it back, or restore a backup", file.display())]
    Truncated {
        /// The store's file.
        file: PathBuf,
        /// What was being read when the file ended.
        place: Place,
    },

    /// The store was written by a newer program.
    #[error("{} has format {found}, and this program reads up to format {VERSION}: open it with a newer `p2p`", file.display())]
    UnsupportedVersion {
        /// The store's file.
        file: PathBuf,
        /// The format the file says it has.
        found: u16,
    },

    /// The file asks for a password derivation that is too weak to be ours, or so long that it would block the node.
    #[error("{} asks for {rounds} rounds of password derivation, outside {MIN_KDF_ROUNDS} to {MAX_KDF_ROUNDS}: no `p2p` wrote it so; restore a backup", file.display())]
    HostileKdf {
        /// The store's file.
        file: PathBuf,
        /// The rounds it asks for.
        rounds: u32,
    },

    /// The options ask for too few or too many rounds.
    #[error("{rounds} rounds of password derivation are outside {MIN_KDF_ROUNDS} to {MAX_KDF_ROUNDS}: choose a number between")]
    KdfRoundsOutOfRange {
        /// The rounds that were asked for.
        rounds: u32,
    },

    /// Another process has the store open.
    #[error("{} is in use by {}: stop it first, or talk to it through its socket", file.display(), Holder(*pid))]
    Locked {
        /// The store's file.
        file: PathBuf,
        /// The process that has it open, where it can be told.
        pid: Option<u32>,
    },

    /// No room for the new file. The file that was there is untouched.
    #[error("no room on the disk while {doing} {}: free some space and save again; what was saved before is untouched", file.display())]
    DiskFull {
        /// What was being done.
        doing: &'static str,
        /// The file it was done to.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The system refused to read or write.
    #[error("{doing} {} failed ({source}): check that the disk is well and that this user may write there, then try again", file.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file it was done to.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// What was written came back different.
    #[error("{} reads back differently from what was written: disk or memory is failing; what was saved before is untouched, copy it to another disk", file.display())]
    Unfaithful {
        /// The file that was written.
        file: PathBuf,
    },

    /// An entry or the whole store is larger than the format allows.
    #[error("{what} may have at most {limit} {unit}: keep large data outside the store")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The largest size allowed.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },

    /// There is no such entry.
    #[error("the store has no entry {}: `p2p store ls` lists those that it has", path.escape_default())]
    NoEntry {
        /// The path that was given.
        path: String,
    },

    /// An entry's path is not one.
    #[error("`{}` is no path for an entry ({why}): use names joined by `/`, such as `certs/node.pem`", path.escape_default())]
    BadPath {
        /// The path that was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },

    /// The cryptographic library or the system's random numbers failed.
    #[error(
        "{doing} failed inside the cryptographic library: try again; if it stays, the system gives no random numbers or the build is broken"
    )]
    Crypto {
        /// What was being done.
        doing: &'static str,
    },
}

impl StoreError {
    /// Names what was being done to which file when the system refused; a full disk has its own error.
    pub(super) fn io(doing: &'static str, file: &Path, source: io::Error) -> Self {
        let file = file.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { doing, file, source },
            _ => Self::Io { doing, file, source },
        }
    }
}

/// Where in the file something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The first bytes are not those of a store.
    Start,
    /// The header.
    Header,
    /// The record with this number, counted from 0.
    Record(u64),
    /// The mark that closes the file.
    End,
    /// Bytes after the mark that closes the file.
    AfterEnd,
    /// The file is larger than a store can be.
    Size,
    /// The file belongs to another save than the one that it stands beside.
    OtherSave,
    /// The room of a log for further records.
    Room,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("its first bytes are not those of a store"),
            Self::Header => f.write_str("the header"),
            Self::Record(index) => write!(f, "record {index}"),
            Self::End => f.write_str("the end mark"),
            Self::AfterEnd => f.write_str("something follows the end mark"),
            Self::Size => f.write_str("it is larger than a store can be"),
            Self::OtherSave => f.write_str("it belongs to another save"),
            Self::Room => f.write_str("the room for further records"),
        }
    }
}

/// What is wrong with a typed recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedKey {
    /// Too few or too many characters.
    #[error("it has {found} letters and digits instead of {wanted}")]
    Length {
        /// Letters and digits found.
        found: usize,
        /// Letters and digits of a recovery key.
        wanted: usize,
    },
    /// A character that recovery keys do not have.
    #[error("character {position} is none that a recovery key has")]
    Character {
        /// Its position, counted from 1.
        position: usize,
    },
    /// All characters are possible, but together they are wrong.
    #[error("it has a typing mistake")]
    Checksum,
}

/// What the format found wrong; it becomes a [`StoreError`] once the file is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes are not what was saved.
    Damaged(Place),
    /// The bytes end too early.
    Truncated(Place),
    /// A format this program does not know.
    Version(u16),
    /// Rounds outside the bounds.
    Kdf(u32),
    /// No slot opens with this secret.
    WrongSecret,
    /// The cryptographic library failed.
    Crypto(&'static str),
    /// More or larger than the format holds.
    TooLarge(&'static str, usize, &'static str),
}

impl Fault {
    /// Names the file that the fault was found in. `wrong_secret` is the error for a password or key that opens nothing.
    pub(super) fn in_file(self, file: &Path, wrong_secret: fn(PathBuf) -> StoreError) -> StoreError {
        let file = file.to_path_buf();
        match self {
            Self::Damaged(place) => StoreError::Damaged { file, place },
            Self::Truncated(place) => StoreError::Truncated { file, place },
            Self::Version(found) => StoreError::UnsupportedVersion { file, found },
            Self::Kdf(rounds) => StoreError::HostileKdf { file, rounds },
            Self::WrongSecret => wrong_secret(file),
            Self::Crypto(doing) => StoreError::Crypto { doing },
            Self::TooLarge(what, limit, unit) => StoreError::TooLarge { what, limit, unit },
        }
    }
}

/// The process that has the store open, as a reader wants to see it.
struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) if pid == std::process::id() => write!(f, "this process itself ({pid})"),
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}
