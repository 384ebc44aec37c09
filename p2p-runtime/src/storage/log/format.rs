//! The bytes of a log: its head, its records, and the rest.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::storage::{
    Entries, Place,
    checks::{Check, holds},
    crypto::{self, Cipher, HASH, Key, NONCE, TAG},
    error::Fault,
    header::{ArchiveId, Header, Reader},
};

/// What is written as a whole or not at all: disks write a multiple of it.
pub(in crate::storage) const CHUNK: usize = 64;
/// Bytes before the first record.
pub(in crate::storage) const HEAD: usize = 3 * CHUNK;
/// Most bytes of a log.
pub(in crate::storage) const MAX_LOG: usize = HEAD + MAX_ROOM;

const MAGIC: &[u8; 8] = b"P2PSTLOG";
const VERSION: u16 = 1;
const MIN_ROOM: usize = 64 << 10;
const MAX_ROOM: usize = 16 << 20;
const SIGNED: usize = HEAD - HASH;
/// A record's length, kind, and MAC of both.
const FRAME: usize = 4 + 1 + TAG;
/// The only kind of record so far.
const CHANGES: u8 = 1;
const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// How much room for records a log has beside an archive of this size: a quarter of it, within bounds.
pub(in crate::storage) fn room_for(archive: usize) -> usize {
    (archive / 4).next_multiple_of(CHUNK).clamp(MIN_ROOM, MAX_ROOM)
}

/// Which save a log belongs to, and what its keys come from.
pub(super) struct Head {
    archive: ArchiveId,
    generation: u64,
    /// The random bytes of the save.
    save: [u8; 32],
    /// The random bytes of the log.
    seed: [u8; 32],
    /// Bytes of the whole file.
    pub(super) length: usize,
}

impl Head {
    fn new(save: &Header, room: usize) -> Result<Self, Fault> {
        let Header { keyring, generation, seed, .. } = save;
        let length = HEAD + room.min(MAX_ROOM);
        Ok(Self { archive: keyring.archive, generation: *generation, save: *seed, seed: crypto::random()?, length })
    }

    fn encode(&self, data_key: &Key) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.archive);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.save);
        bytes.extend_from_slice(&self.seed);
        bytes.extend_from_slice(&(self.length as u64).to_be_bytes());
        bytes.resize(SIGNED, 0);
        let mac = crypto::mac(&head_key(data_key, &self.archive)?, &bytes);
        bytes.extend_from_slice(&mac);
        Ok(bytes)
    }

    /// Reads a head that was written with this data key.
    pub(super) fn decode(file: &[u8], data_key: &Key) -> Result<Self, Fault> {
        let damaged = Fault::Damaged(Place::Header);
        if !file.starts_with(&MAGIC[..MAGIC.len().min(file.len())]) {
            return Err(Fault::Damaged(Place::Start));
        }
        let mut reader = Reader { rest: file, place: Place::Header };
        let (signed, mac) = (reader.take(SIGNED)?, reader.take(HASH)?);
        let mut fields = Reader { rest: &signed[MAGIC.len()..], place: Place::Header };
        let version = u16::from_be_bytes(fields.array()?);
        let head = Self {
            archive: fields.array()?,
            generation: u64::from_be_bytes(fields.array()?),
            save: fields.array()?,
            seed: fields.array()?,
            length: usize::try_from(u64::from_be_bytes(fields.array()?)).map_err(|_| damaged)?,
        };
        if version > VERSION {
            return Err(Fault::Version(version));
        }
        let key = head_key(data_key, &head.archive)?;
        let sound = holds(Check::LogMac, crypto::mac_is(&key, signed, mac))
            && (HEAD..=MAX_LOG).contains(&head.length)
            && head.length.is_multiple_of(CHUNK);
        if sound { Ok(head) } else { Err(damaged) }
    }

    /// Whether it is that of the log of this save.
    pub(super) fn is_of(&self, save: &Header) -> bool {
        self.archive == save.keyring.archive && self.generation == save.generation && self.save == save.seed
    }
}

fn head_key(data_key: &Key, archive: &ArchiveId) -> Result<Key, Fault> {
    crypto::derive(data_key.bytes(), archive, b"p2p store log head")
}

/// What a log is sealed and opened with.
pub(super) struct Keys {
    head: Head,
    records: Cipher,
    frames: Key,
    rest: Cipher,
}

impl Keys {
    pub(super) fn new(head: Head, data_key: &Key) -> Result<Self, Fault> {
        let of = |purpose| crypto::derive(data_key.bytes(), &head.seed, purpose);
        let (records, frames, rest) = (of(b"p2p store log records")?, of(b"p2p store log frames")?, of(b"p2p store log rest")?);
        Ok(Self { records: Cipher::new(&records)?, frames, rest: Cipher::new(&rest)?, head })
    }

    /// What stands behind the head where no record was written yet.
    pub(super) fn rest(&self) -> Result<Vec<u8>, Fault> {
        let mut rest = vec![0; self.head.length - HEAD];
        self.rest.seal([0; NONCE], b"", &mut rest)?;
        Ok(rest)
    }

    /// The record's place among `bytes`, which begin with it; `None` where its frame is not one that was written.
    pub(super) fn frame(&self, index: u64, bytes: &[u8]) -> Option<Range<usize>> {
        let (frame, _) = bytes.split_first_chunk::<FRAME>()?;
        let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let whole = self.seal_frame(index, frame[4], length);
        let length = usize::try_from(length).ok()?;
        let sound = holds(Check::FrameMac, crypto::same(&whole, frame)) && frame[4] == CHANGES;
        sound.then_some(FRAME..FRAME + length)
    }

    /// What a sealed record holds.
    pub(super) fn open(&self, index: u64, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.records.open(nonce(index), &self.aad(index), sealed)
    }

    fn seal_frame(&self, index: u64, kind: u8, length: u32) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame[4] = kind;
        let mut signed = [0; 13];
        signed[..8].copy_from_slice(&index.to_be_bytes());
        signed[8..].copy_from_slice(&frame[..5]);
        frame[5..].copy_from_slice(&crypto::mac(&self.frames, &signed)[..TAG]);
        frame
    }

    fn aad(&self, index: u64) -> [u8; 33] {
        let mut aad = [0; 33];
        aad[..16].copy_from_slice(&self.head.archive);
        aad[16..24].copy_from_slice(&self.head.generation.to_be_bytes());
        aad[24..32].copy_from_slice(&index.to_be_bytes());
        aad[32] = CHANGES;
        aad
    }
}

fn nonce(index: u64) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce[NONCE - 8..].copy_from_slice(&index.to_be_bytes());
    nonce
}

/// Seals the records of a log, one after the other.
pub(in crate::storage) struct Sealer {
    keys: Keys,
    next: u64,
    end: usize,
}

impl Sealer {
    /// A new log for this save, and the file that it begins as.
    pub(in crate::storage) fn new(save: &Header, data_key: &Key, room: usize) -> Result<(Self, Vec<u8>), Fault> {
        let head = Head::new(save, room)?;
        let mut file = head.encode(data_key)?;
        let keys = Keys::new(head, data_key)?;
        file.append(&mut keys.rest()?);
        Ok((Self { keys, next: 0, end: HEAD }, file))
    }

    /// How many records were sealed.
    pub(in crate::storage) fn records(&self) -> u64 {
        self.next
    }

    /// Where the next record belongs.
    pub(in crate::storage) fn end(&self) -> usize {
        self.end
    }

    /// Seals the unsaved changes of `entries`; `None` where there is no room for them.
    pub(in crate::storage) fn seal(&mut self, entries: &Entries) -> Result<Option<Vec<u8>>, Fault> {
        let length = encoded_length(entries);
        let whole = (FRAME + length + TAG).next_multiple_of(CHUNK);
        if whole > self.keys.head.length - self.end {
            return Ok(None);
        }
        let too_large = |_| Fault::TooLarge("a record", MAX_ROOM, "bytes");
        let frame = self.keys.seal_frame(self.next, CHANGES, u32::try_from(whole - FRAME).map_err(too_large)?);
        // Reserved in whole: growing would leave unsealed text behind in freed memory.
        let mut record = Vec::with_capacity(whole);
        record.extend_from_slice(&frame);
        encode_changes(entries, &mut record)?;
        debug_assert_eq!(record.len(), FRAME + length);
        record.resize(whole - TAG, 0);
        let tag = self.keys.records.seal(nonce(self.next), &self.keys.aad(self.next), &mut record[FRAME..])?;
        record.extend_from_slice(&tag);
        self.next += 1;
        self.end += whole;
        Ok(Some(record))
    }
}

fn encoded_length(entries: &Entries) -> usize {
    let of = |(path, value): (&str, Option<&[u8]>)| 1 + 2 + path.len() + value.map_or(0, |value| 4 + value.len());
    4 + entries.changes().map(of).sum::<usize>()
}

pub(in crate::storage) fn encode_changes(entries: &Entries, record: &mut Vec<u8>) -> Result<(), Fault> {
    let too_large = |_| Fault::TooLarge("a record", MAX_ROOM, "bytes");
    let count = u32::try_from(entries.changes().count()).map_err(too_large)?;
    record.extend_from_slice(&count.to_be_bytes());
    for (path, value) in entries.changes() {
        record.push(if value.is_some() { PUT } else { REMOVE });
        record.extend_from_slice(&u16::try_from(path.len()).map_err(too_large)?.to_be_bytes());
        record.extend_from_slice(path.as_bytes());
        if let Some(value) = value {
            record.extend_from_slice(&u32::try_from(value.len()).map_err(too_large)?.to_be_bytes());
            record.extend_from_slice(value);
        }
    }
    Ok(())
}

/// Applies what a record holds; `None` where no program writes such a record.
pub(in crate::storage) fn apply_changes(record: &[u8], entries: &mut Entries) -> Option<()> {
    let mut fields = Reader { rest: record, place: Place::Room };
    let count = u32::from_be_bytes(fields.array().ok()?);
    for _ in 0..count {
        let [kind] = fields.array().ok()?;
        let length = u16::from_be_bytes(fields.array().ok()?);
        let path = std::str::from_utf8(fields.take(length.into()).ok()?).ok()?;
        match kind {
            PUT => {
                let length = usize::try_from(u32::from_be_bytes(fields.array().ok()?)).ok()?;
                entries.put(path, fields.take(length).ok()?).ok()?;
            }
            REMOVE => drop(entries.remove(path)),
            _ => return None,
        }
    }
    fields.rest.iter().all(|byte| *byte == 0).then_some(())
}

/// The head of `file`, if that is a log of the same archive as this save.
fn head_beside(file: &[u8], save: &Header, data_key: &Key) -> Option<Head> {
    Head::decode(file, data_key).ok().filter(|head| head.archive == save.keyring.archive)
}

/// The number of the save that `file` is the log of, if that is a save of the same archive as this one. The name of a file says nothing: whoever
/// may write to the folder chooses it.
pub(in crate::storage) fn made_by(file: &[u8], save: &Header, data_key: &Key) -> Option<u64> {
    head_beside(file, save, data_key).map(|head| head.generation)
}

/// Whether `file` is a log of the same archive, made by a later save than this one, that was written to.
pub(in crate::storage) fn made_after(file: &[u8], save: &Header, data_key: &Key) -> Result<Option<u64>, Fault> {
    let Some(head) = head_beside(file, save, data_key).filter(|head| head.generation > save.generation) else { return Ok(None) };
    let (generation, keys) = (head.generation, Keys::new(head, data_key)?);
    let written = keys.frame(0, &file[HEAD..]).is_some();
    Ok(written.then_some(generation))
}
