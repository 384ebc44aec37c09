//! Reading a log: its records, in order, and how it ends.

use std::cmp::Ordering;

use crate::storage::{
    Entries, Place,
    checks::{Check, bound, holds},
    crypto::Key,
    error::Fault,
    header::Header,
};

use super::format::{CHUNK, HEAD, Head, Keys, apply_changes};

/// What a log was found to hold.
pub(in crate::storage) struct Replay {
    /// How many records were applied.
    pub(in crate::storage) records: u64,
    /// How the log ends behind them.
    pub(in crate::storage) end: End,
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum End {
    /// With nothing but room.
    Whole,
    /// With a record that was being written when the power went, and was not acknowledged.
    Unfinished,
    /// With something that no program wrote.
    Broken(Fault),
}

/// Applies the records of the log of this save to what the save holds.
///
/// # Errors
/// Where the log does not even begin as that of this save. Where it is broken further on, what stands before is applied, and
/// [`Replay::end`] says it.
pub(in crate::storage) fn replay(file: &[u8], save: &Header, data_key: &Key, entries: &mut Entries) -> Result<Replay, Fault> {
    let head = Head::decode(file, data_key)?;
    if !holds(Check::LogOfSave, head.is_of(save)) {
        return Err(Fault::Damaged(Place::OtherSave));
    }
    let keys = Keys::new(head, data_key)?;
    let rest = keys.rest()?;
    let body = &file[HEAD..];
    let log = Log { keys: &keys, body, rest: &rest, written: written(body, &rest) };
    let (mut records, mut at) = (0, 0);
    let end = loop {
        match log.record(records, at, entries) {
            Ok(length) => at += length,
            Err(end) => break end,
        }
        records += 1;
    };
    // The file has its length from the start, so that a cut shows whatever it left.
    let end = match bound(Check::LogLength, body.len().cmp(&rest.len()), Ordering::Equal) {
        Ordering::Less => End::Broken(Fault::Truncated(Place::Record(records))),
        Ordering::Equal => end,
        Ordering::Greater => End::Broken(Fault::Damaged(Place::AfterEnd)),
    };
    Ok(Replay { records, end })
}

/// How many bytes, in whole chunks, there are up to the last one that was ever written to.
fn written(body: &[u8], rest: &[u8]) -> usize {
    let mut chunks = body.chunks_exact(CHUNK).zip(rest.chunks_exact(CHUNK));
    chunks.rposition(|(chunk, room)| chunk != room).map_or(0, |index| (index + 1) * CHUNK)
}

struct Log<'a> {
    keys: &'a Keys,
    body: &'a [u8],
    /// What the body was before anything was written to it.
    rest: &'a [u8],
    /// Bytes up to the last one that was written to.
    written: usize,
}

impl Log<'_> {
    /// Applies the record at this place and gives its length; or says how the log ends there.
    fn record(&self, index: u64, at: usize, entries: &mut Entries) -> Result<usize, End> {
        if at >= self.written {
            return Err(End::Whole);
        }
        let broken = End::Broken(Fault::Damaged(Place::Record(index)));
        let Some(sealed) = self.keys.frame(index, &self.body[at..]) else {
            // The chunk with the frame itself may be the one that is missing.
            return Err(if self.is_room(at) { End::Unfinished } else { broken });
        };
        let (start, end) = (at + sealed.start, at + sealed.end);
        let opened = self.body.get(start..end).and_then(|sealed| self.keys.open(index, sealed));
        let Some(text) = opened else {
            // What follows was written after this one was acknowledged: then it was whole once.
            let last = self.written <= end;
            let unfinished = (at..end).step_by(CHUNK).any(|chunk| self.is_room(chunk));
            return Err(if last && unfinished { End::Unfinished } else { broken });
        };
        apply_changes(&text, entries).ok_or(broken)?;
        Ok(sealed.end)
    }

    /// Whether the chunk at this place was never written to.
    fn is_room(&self, at: usize) -> bool {
        let same = self.body.get(at..at + CHUNK).is_some_and(|chunk| self.rest.get(at..at + CHUNK) == Some(chunk));
        holds(Check::LogRoom, same)
    }
}
