//! The log beside the archive: what was acknowledged since the last save.
//!
//! Each save makes a log of its own, full-sized from the start, before the save takes its place under the store's name:
//!
//! ```text
//! head: magic "P2PSTLOG" 8 | version u16 | archive id 16 | generation u64 | seed of the save 32
//!       seed of the log 32 | length of the file u64 | zeros | MAC under the data key 32            192 bytes in all
//! record 0 | record 1 | … | the rest
//! ```
//!
//! A record is the changes of one acknowledged write: `length u32 | kind u8 | MAC of index, kind, length 16 | sealed`, sealed
//! with AES-256-GCM under HKDF(data key, seed of the log), its index as nonce, and `archive id | generation | index | kind`
//! as associated data. It is padded to whole chunks of 64 bytes. The rest is a key stream under a key of its own: whoever has
//! no key cannot tell it from records, nor write it.
//!
//! # One life, one log
//! A log is written to only by the process that made it. The next process reads it; its first write is a save, with the next
//! generation and a new log. So no key seals two records under one index, whatever became of the writes of a process
//! that was killed, and nothing is built upon a record that was read but perhaps never reached the disk. For the same reason a
//! log is given up at the first write or sync that fails.
//!
//! # What the end of a log says
//! - Only the rest follows: the log is whole.
//! - A record of which some chunk is still that of the rest: its write was cut off by a loss of power. It was not
//!   acknowledged, and is dropped.
//! - Anything else is damage, or somebody's doing: chunks are written as a whole, so a record that was written in all its chunks
//!   is one that opens. A record that was taken off the end would have to be overwritten with the key stream,
//!   which only a copy of the log from before that record holds.
//!
//! So a log can be put back only as a whole, to a state that somebody copied, with the archive that it belongs to. A single
//! machine cannot see that; see [`Revision`](super::Revision).

mod format;
mod replay;

use std::io;

#[cfg(test)]
pub(super) use format::{CHUNK, HEAD};
pub(super) use format::{MAX_LOG, Sealer, made_after, made_by, room_for};
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use format::{apply_changes, encode_changes};
pub(super) use replay::{End, Replay, replay};

use super::{Entries, error::Fault, files::NewFile};

/// The log of this process: the file, and what seals records for it.
pub(super) struct LogFile {
    file: Box<dyn NewFile>,
    sealer: Sealer,
}

/// What became of a record.
pub(super) enum Appended {
    /// It is on the disk.
    Durably,
    /// It does not fit; nothing was written.
    NoRoom,
}

/// Why a record was not appended.
pub(super) enum AppendError {
    /// It could not be made.
    Fault(Fault),
    /// The disk failed: what it holds is not known, and this log may not be used again.
    Io(&'static str, io::Error),
}

impl LogFile {
    pub(super) fn new(file: Box<dyn NewFile>, sealer: Sealer) -> Self {
        Self { file, sealer }
    }

    /// How many records it has.
    pub(super) fn records(&self) -> u64 {
        self.sealer.records()
    }

    /// Appends the unsaved changes of `entries` as one record, durably.
    pub(super) fn append(&mut self, entries: &Entries) -> Result<Appended, AppendError> {
        let at = self.sealer.end();
        let Some(record) = self.sealer.seal(entries).map_err(AppendError::Fault)? else { return Ok(Appended::NoRoom) };
        self.file.write_at(at, &record).map_err(|error| AppendError::Io("writing to", error))?;
        self.file.sync().map_err(|error| AppendError::Io("syncing", error))?;
        Ok(Appended::Durably)
    }
}
