//! What somebody does to an archive in cases 3, 4, 5, 7 and 8. A case sees each attack refused; its control sees the same attack go
//! unnoticed by a store that leaves out the check which stops it.

use std::{ops::Range, path::Path, sync::Arc};

use super::super::{
    content,
    disk::{SimDisk, Trouble},
    password, put_all, reopen, stored,
};
use crate::storage::{
    Entries, Password, RecoveryKey, Store, StoreError, StoreOptions,
    archive::{self, forged::Sealing},
    checks::Check,
    crypto::{self, Key},
    error::Fault,
    header::{self, Header, Unverified, forged},
};

pub(super) const FILE: &str = "node/store.p2p";
pub(super) const ENTRIES: &[(&str, &str)] = &[("a", "value of a"), ("b", "value of b"), ("c", "")];
/// The same of a later save, just as long.
pub(super) const LATER: &[(&str, &str)] = &[("a", "a changed!"), ("b", "b changed!"), ("c", "")];

/// Where the header's parts are; see the format.
pub(super) const VERSION: Range<usize> = 8..10;
pub(super) const LENGTH: Range<usize> = 10..14;
pub(super) const ARCHIVE: Range<usize> = 14..30;
pub(super) const GENERATION: Range<usize> = 30..38;
pub(super) const SEED: Range<usize> = 38..70;
pub(super) const ROUNDS: Range<usize> = 71..75;
pub(super) const SALT: Range<usize> = 75..107;
pub(super) const SLOTS: Range<usize> = 108..230;
pub(super) const SLOT: usize = 61;
pub(super) const MAC: Range<usize> = 231..263;
pub(super) const HASH: Range<usize> = 263..HEADER;
pub(super) const HEADER: usize = 295;
/// What begins each record: its kind and its length.
pub(super) const FRAME: usize = 5;

/// What a store was found to hold.
pub(super) type Found = Result<Vec<(String, String)>, StoreError>;

/// A store whose archive somebody changes.
pub(super) struct Victim {
    pub(super) disk: SimDisk,
    pub(super) key: Arc<RecoveryKey>,
    /// The archive as it was written.
    pub(super) bytes: Vec<u8>,
}

impl Victim {
    /// Made by the store, which leaves out what the test leaves out.
    pub(super) fn new() -> Self {
        let (disk, key) = stored(ENTRIES);
        let bytes = disk.content(Path::new(FILE)).unwrap();
        Self { disk, key: key.into(), bytes }
    }

    /// The same store one save later.
    pub(super) fn later(&self) -> Self {
        let disk = self.disk.copy(Trouble::None);
        let store = reopen(&disk, &self.key).unwrap();
        put_all(&store, LATER).unwrap();
        store.save().unwrap();
        let bytes = disk.content(Path::new(FILE)).unwrap();
        Self { disk, key: self.key.clone(), bytes }
    }

    /// Opens the store with other bytes in the place of its archive, by its recovery key.
    pub(super) fn open(&self, bytes: &[u8]) -> Found {
        self.open_with(bytes, |disk| reopen(disk, &self.key))
    }

    /// The same by a password.
    pub(super) fn open_by(&self, password: &Password, bytes: &[u8]) -> Found {
        self.open_with(bytes, |disk| StoreOptions::on(Arc::new(disk.clone())).open("node", password))
    }

    /// The same by the recovery key of another store.
    pub(super) fn open_by_key_of(&self, other: &Self, bytes: &[u8]) -> Found {
        self.open_with(bytes, |disk| reopen(disk, &other.key))
    }

    fn open_with(&self, bytes: &[u8], open: impl FnOnce(&SimDisk) -> Result<Store, StoreError>) -> Found {
        let disk = self.disk.copy(Trouble::None);
        disk.set_content(Path::new(FILE), bytes);
        let opened = open(&disk).map(|store| content(&store));
        assert_eq!(disk.content(Path::new(FILE)).unwrap(), bytes, "opening changed the file");
        opened
    }

    /// The records' places in the file.
    pub(super) fn records(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = HEADER;
        while at < self.bytes.len() {
            let length = u32::from_be_bytes(self.bytes[at + 1..at + FRAME].try_into().unwrap());
            let end = at + FRAME + usize::try_from(length).unwrap();
            found.push(at..end);
            at = end;
        }
        found
    }

    /// Each bit of the header flipped.
    pub(super) fn flipped_headers(&self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (0..HEADER * 8).map(|bit| (bit, flipped(&self.bytes, bit)))
    }

    /// The same by somebody who then makes the header's hash right again.
    pub(super) fn forged_headers(&self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (0..HASH.start * 8).map(|bit| (bit, rehashed(flipped(&self.bytes, bit))))
    }

    /// A bit flipped of each byte of the records.
    pub(super) fn flipped_bodies(&self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (HEADER..self.bytes.len()).map(|at| (at, flipped(&self.bytes, at * 8 + at % 8)))
    }

    /// A byte of what the password is put through, and of its slot, flipped.
    pub(super) fn flipped_slots(&self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        [SALT.start, SLOTS.start + 1, SLOTS.start + 13, SLOTS.start + SLOT - 1]
            .into_iter()
            .map(|at| (at, flipped(&self.bytes, at * 8)))
    }

    /// The header with the records in this order, in which some may be missing or repeated.
    pub(super) fn rearranged(&self, order: &[usize]) -> Vec<u8> {
        let records = self.records();
        let in_order = order.iter().flat_map(|record| &self.bytes[records[*record].clone()]);
        self.bytes[..HEADER].iter().chain(in_order).copied().collect()
    }

    /// Each record in the place of that of another save.
    pub(super) fn spliced(&self, other: &Self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        self.records().into_iter().enumerate().map(|(index, record)| {
            let mut bytes = self.bytes.clone();
            bytes[record.clone()].copy_from_slice(&other.bytes[record]);
            (index, bytes)
        })
    }

    /// The archive with these bytes at a place of its header, and the hash made right again.
    pub(super) fn rewritten(&self, place: Range<usize>, bytes: &[u8]) -> Vec<u8> {
        let mut all = self.bytes.clone();
        all[place].copy_from_slice(bytes);
        rehashed(all)
    }

    /// The archive whose header claims another length.
    pub(super) fn with_header_length(&self, length: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[LENGTH].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// The archive whose first record claims another length.
    pub(super) fn with_record_length(&self, length: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[HEADER + 1..HEADER + FRAME].copy_from_slice(&length.to_be_bytes());
        bytes
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// Makes the header's hash right again, as someone who changes a file on purpose would.
fn rehashed(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = crypto::sha256(&bytes[..HASH.start]);
    bytes[HASH].copy_from_slice(&hash);
    bytes
}

/// Orders of the records of [`ENTRIES`], the last of them the end mark, each with all the checks that refuse it.
pub(super) const ORDERS: &[(&[usize], &[Check])] = &[
    (&[1, 0, 2, 3], &[Check::Nonce, Check::Aad, Check::RecordOrder]),
    (&[0, 0, 1, 2, 3], &[Check::Nonce, Check::Aad, Check::RecordOrder, Check::EndCount]),
    (&[0, 1, 2, 2, 3], &[Check::Nonce, Check::Aad, Check::RecordOrder, Check::EndCount]),
    (&[0, 1, 3], &[Check::Nonce, Check::Aad, Check::EndCount]),
    (&[3], &[Check::Nonce, Check::Aad, Check::EndCount]),
    (&[0, 1, 2], &[Check::EndMark]),
    (&[0, 1, 2, 3, 3], &[Check::AfterEnd]),
];

/// Rounds of password derivation that nobody means well with.
pub(super) const HOSTILE_ROUNDS: [u32; 4] = [1, 599_999, 10_000_001, u32::MAX];

/// The rounds that opening this file would run.
pub(super) fn rounds_to_run(file: &[u8]) -> Result<u32, Fault> {
    Unverified::decode(file).map(|header| header.claimed().rounds())
}

/// An archive of entries with these paths and an end mark that counts so many, sealed by somebody who has the data key. How many
/// entries are read of it.
pub(super) fn sealed(paths: &[&str], count: u64) -> Result<usize, Fault> {
    let (header, key) = (Header::sample(), Key::from_slice(&[7; 32]));
    let mut sealing = Sealing::new(&header, &key)?;
    for path in paths {
        let length = u16::try_from(path.len()).unwrap().to_be_bytes();
        sealing.seal(1, &[&length, path.as_bytes(), b"value"].concat())?;
    }
    sealing.seal(2, &count.to_be_bytes())?;
    archive::reopen(&sealing.finish(), &key).map(|opened| Entries::len(&opened.entries))
}

/// A header with so many key slots, signed by somebody who has the data key. Whether it is taken.
pub(super) fn with_slots(count: u8) -> Result<(), Fault> {
    let key = Key::from_slice(&[7; 32]);
    let whole = Header::sample().encode(&key)?;
    let slots = whole[SLOTS.start..SLOTS.start + SLOT].repeat(count.into());
    let fields = [&whole[forged::PREFIX..SLOTS.start - 1], &[count], &slots, &whole[SLOTS.end..MAC.start]].concat();
    Unverified::decode(&forged::signed(header::VERSION, &fields, &key))?.verify(&key).map(drop)
}

/// The store's password, and one that is not.
pub(super) fn passwords() -> [Password; 2] {
    [password(), Password::new("correct horse battery stapler").unwrap()]
}
