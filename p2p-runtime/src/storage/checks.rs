//! The checks by which the store stops the attacks of the security cases, by name; see [`crate::checks`].

pub(super) use crate::checks::{bound, holds};
#[cfg(test)]
pub(super) use crate::checks::{is_left_out, without};

/// What is checked, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The name that a save has of its own while it is written, until it takes the place of the one before.
    OwnName,
    /// The header's length, before anything is read by it.
    HeaderLength,
    /// The header's hash: damage is told from a wrong password, before the password is put through its rounds.
    HeaderHash,
    /// The header's MAC: someone who makes the hash right again is noticed.
    HeaderMac,
    /// The rounds of password derivation, before they are run.
    KdfRounds,
    /// The count of key slots, before they are read.
    SlotCount,
    /// A record's length, before it is read.
    RecordLength,
    /// That the records come in the order of their paths, each once.
    RecordOrder,
    /// That the end mark counts the records before it.
    EndCount,
    /// That an archive ends with its end mark.
    EndMark,
    /// That nothing follows the end mark.
    AfterEnd,
    /// The MAC of a log's head, its length included.
    LogMac,
    /// That a log is that of this save.
    LogOfSave,
    /// That a log is as long as it was made.
    LogLength,
    /// That room in a log is what was written there when the log was made.
    LogRoom,
    /// The MAC of the frame of a log's record, its number included.
    FrameMac,
    /// The cipher: nothing is written as it is.
    #[cfg(test)]
    Cipher,
    /// The tag of what was sealed.
    #[cfg(test)]
    Tag,
    /// The nonce under which it was sealed: a record's number.
    Nonce,
    /// What it was sealed as: whose, of which save, at which place.
    Aad,
    /// What a key is derived from beside a secret: random bytes of the save or log, the archive's id.
    Salt,
    /// That a new file, read again, is what was written, before it takes the place of the one before.
    ReadBack,
}
