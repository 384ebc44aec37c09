//! The whole file of one save: [header](super::header), records, end mark.
//!
//! A record is `kind u8 | length u32 | sealed`. An entry holds `path length u16 | path | value`, in the order of the
//! paths; the end mark holds `count of entries u64` and nothing follows it. All are sealed with AES-256-GCM under one key,
//! HKDF(data key, the 32 random bytes of this save), with the record's index as nonce and
//! `archive id | generation | index | kind` as associated data. So no nonce is used twice under a key, and a record that is
//! changed, moved, dropped, or taken from another save does not open.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod forged;

use super::{
    Entries, Place,
    checks::{Check, holds},
    crypto::{self, Cipher, Key, NONCE, TAG},
    entries::{ENTRY_OVERHEAD, MAX_ENTRIES, MAX_PATH, MAX_TOTAL, MAX_VALUE},
    error::Fault,
    header::{Header, Reader, Unlock, Unverified},
};

/// Most bytes of a file.
pub(super) const MAX_FILE: usize = MAX_TOTAL + 4096;

const MAX_RECORD: usize = 2 + MAX_PATH + MAX_VALUE + TAG;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Entry = 1,
    End = 2,
}

/// What a file was found to hold.
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) data_key: Key,
    pub(super) entries: Entries,
}

/// The file that holds `entries`.
pub(super) fn encode(header: &Header, data_key: &Key, entries: &Entries) -> Result<Vec<u8>, Fault> {
    let start = header.encode(data_key)?;
    let sealer = Records::new(header, data_key)?;
    // Reserved in whole: growing would leave unsealed text behind in freed memory.
    let mut file = Vec::with_capacity(start.len() + entries.size() + ENTRY_OVERHEAD + 8);
    file.extend_from_slice(&start);
    let mut count = 0;
    for (path, value) in entries.iter() {
        let length = u16::try_from(path.len()).map_err(|_| Fault::TooLarge("a path", MAX_PATH, "bytes"))?;
        sealer.seal(&mut file, count, Kind::Entry, &[&length.to_be_bytes(), path.as_bytes(), value])?;
        count += 1;
    }
    sealer.seal(&mut file, count, Kind::End, &[&count.to_be_bytes()])?;
    Ok(file)
}

/// Opens a file with a password or recovery key and checks every byte of it.
pub(super) fn decode(file: &[u8], unlock: Unlock<'_>) -> Result<Opened, Fault> {
    if file.len() > MAX_FILE {
        return Err(Fault::Damaged(Place::Size));
    }
    let (header, data_key, body) = Unverified::decode(file)?.unlock(unlock)?;
    let entries = decode_records(&header, &data_key, body)?;
    Ok(Opened { header, data_key, entries })
}

/// The same, where the data key is known.
pub(super) fn reopen(file: &[u8], data_key: &Key) -> Result<Opened, Fault> {
    let (header, body) = Unverified::decode(file)?.verify(data_key)?;
    let entries = decode_records(&header, data_key, body)?;
    Ok(Opened { header, data_key: data_key.clone(), entries })
}

fn decode_records(header: &Header, data_key: &Key, body: &[u8]) -> Result<Entries, Fault> {
    let opener = Records::new(header, data_key)?;
    let mut entries = Entries::default();
    let mut body = Reader { rest: body, place: Place::End };
    let (mut index, mut ended) = (0, false);
    while !ended && !body.rest.is_empty() {
        body.place = Place::Record(index);
        let damaged = Fault::Damaged(body.place);
        let kind = match body.array()? {
            [1] if entries.len() < MAX_ENTRIES => Kind::Entry,
            [2] => Kind::End,
            _ => return Err(damaged),
        };
        let length = u32::from_be_bytes(body.array()?);
        let within = |length: &usize| holds(Check::RecordLength, *length <= MAX_RECORD);
        let length = usize::try_from(length).ok().filter(within).ok_or(damaged)?;
        let text = opener.open(index, kind, body.take(length)?).ok_or(damaged)?;
        if kind == Kind::Entry {
            put_entry(&mut entries, &text).ok_or(damaged)?;
            index += 1;
        } else if holds(Check::EndCount, text.as_slice() == index.to_be_bytes()) {
            ended = true;
        } else {
            return Err(Fault::Damaged(Place::End));
        }
    }
    if !holds(Check::EndMark, ended) {
        return Err(Fault::Truncated(Place::End));
    }
    if !holds(Check::AfterEnd, body.rest.is_empty()) {
        return Err(Fault::Damaged(Place::AfterEnd));
    }
    entries.mark_unchanged();
    Ok(entries)
}

fn put_entry(entries: &mut Entries, text: &[u8]) -> Option<()> {
    let (path, value) = split_entry(text)?;
    // They were written in order, each path once.
    if !holds(Check::RecordOrder, entries.last_path().is_none_or(|last| last < path)) {
        return None;
    }
    entries.put(path, value).ok()
}

fn split_entry(text: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = text.split_first_chunk()?;
    let (path, value) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(path).ok()?, value))
}

/// Seals and opens the records of one save.
struct Records<'a> {
    header: &'a Header,
    cipher: Cipher,
}

impl<'a> Records<'a> {
    fn new(header: &'a Header, data_key: &Key) -> Result<Self, Fault> {
        let key = crypto::derive(data_key.bytes(), &header.seed, b"p2p store records")?;
        Ok(Self { header, cipher: Cipher::new(&key)? })
    }

    fn seal(&self, file: &mut Vec<u8>, index: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), Fault> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let sealed = u32::try_from(length + TAG).map_err(|_| Fault::TooLarge("a record", MAX_RECORD, "bytes"))?;
        file.push(kind as u8);
        file.extend_from_slice(&sealed.to_be_bytes());
        let start = file.len();
        for part in parts {
            file.extend_from_slice(part);
        }
        let tag = self.cipher.seal(nonce(index), &self.aad(index, kind), &mut file[start..])?;
        file.extend_from_slice(&tag);
        debug_assert_eq!(file.len(), start + length + TAG);
        Ok(())
    }

    fn open(&self, index: u64, kind: Kind, sealed: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        self.cipher.open(nonce(index), &self.aad(index, kind), sealed)
    }

    fn aad(&self, index: u64, kind: Kind) -> [u8; 33] {
        let mut aad = [0; 33];
        aad[..16].copy_from_slice(&self.header.keyring.archive);
        aad[16..24].copy_from_slice(&self.header.generation.to_be_bytes());
        aad[24..32].copy_from_slice(&index.to_be_bytes());
        aad[32] = kind as u8;
        aad
    }
}

fn nonce(index: u64) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce[NONCE - 8..].copy_from_slice(&index.to_be_bytes());
    nonce
}
