//! Cases 3, 4, 5, 7 and 8, on the archive: bits, lengths, records, parameters that damage or somebody changed.

use std::{ops::Range, path::Path, sync::Arc};

use super::super::{
    content,
    disk::{SimDisk, Trouble},
    owned, password, put_all, reopen, stored,
};
use crate::storage::{Password, Place, RecoveryKey, StoreError, StoreOptions, crypto};

const FILE: &str = "node/store.p2p";
const ENTRIES: &[(&str, &str)] = &[("a", "value of a"), ("b", "value of b"), ("c", "")];
/// Where the header's parts are; see the format.
const VERSION: Range<usize> = 8..10;
const ROUNDS: Range<usize> = 71..75;
const SLOTS: Range<usize> = 108..230;
const SIGNED: usize = 231;
const HEADER: usize = 295;
/// What begins each record: its length and its kind.
const FRAME: usize = 5;

fn file(disk: &SimDisk) -> Vec<u8> {
    disk.content(Path::new(FILE)).unwrap()
}

/// Opens the store of this disk with other bytes in the place of its archive.
fn open(disk: &SimDisk, bytes: &[u8], key: &RecoveryKey) -> Result<Vec<(String, String)>, StoreError> {
    let disk = disk.copy(Trouble::None);
    disk.set_content(Path::new(FILE), bytes);
    let opened = reopen(&disk, key).map(|store| content(&store));
    assert_eq!(file(&disk), bytes, "opening changed the file");
    opened
}

/// Makes the header's hash right again, as someone who changes a file on purpose would.
fn rehash(bytes: &mut [u8]) {
    let hash = crypto::sha256(&bytes[..HEADER - 32]);
    bytes[HEADER - 32..HEADER].copy_from_slice(&hash);
}

/// The records' places in the file.
fn records(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = HEADER;
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap());
        let end = at + 5 + usize::try_from(length).unwrap();
        found.push(at..end);
        at = end;
    }
    found
}

#[test]
fn case_03_every_flipped_bit_of_the_header_is_refused_and_never_as_a_wrong_key() {
    let (disk, key) = stored(ENTRIES);
    let bytes = file(&disk);
    assert_eq!(open(&disk, &bytes, &key).unwrap(), owned(ENTRIES));
    for bit in 0..HEADER * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = open(&disk, &flipped, &key).unwrap_err();
        let known = match bit / 8 {
            at if VERSION.contains(&at) => matches!(error, StoreError::UnsupportedVersion { .. }),
            at if at < VERSION.start => matches!(error, StoreError::Damaged { place: Place::Start, .. }),
            _ => matches!(
                error,
                StoreError::Damaged { place: Place::Header, .. } | StoreError::Truncated { place: Place::Header, .. }
            ),
        };
        assert!(known, "bit {bit}: {error}");
    }
}

#[test]
fn case_03_every_flipped_bit_of_the_header_is_refused_even_with_its_hash_made_right_again() {
    let (disk, key) = stored(ENTRIES);
    let bytes = file(&disk);
    for bit in 0..(HEADER - 32) * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        rehash(&mut flipped);
        assert!(open(&disk, &flipped, &key).is_err(), "bit {bit}");
    }
    // The password's slot and parameters are not used when opening by recovery key, and yet may not be changed.
    for at in ROUNDS.chain(SLOTS.start..SLOTS.start + 61) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        rehash(&mut flipped);
        let error = open(&disk, &flipped, &key).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { place: Place::Header, .. } | StoreError::HostileKdf { .. }), "{error}");
    }
}

#[test]
fn case_03_flipped_bits_of_the_body_are_refused_with_the_record_they_are_in() {
    let (disk, key) = stored(ENTRIES);
    let bytes = file(&disk);
    let records = records(&bytes);
    assert_eq!(records.len(), ENTRIES.len() + 1);
    for at in HEADER..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = open(&disk, &flipped, &key).unwrap_err();
        let record = records.iter().position(|record| record.contains(&at)).unwrap() as u64;
        let (StoreError::Damaged { place, .. } | StoreError::Truncated { place, .. }) = error else { panic!("{error}") };
        assert_eq!(place, Place::Record(record), "byte {at}");
        assert!(error.to_string().contains("`p2p store recover`"), "{error}");
    }
}

#[test]
fn case_04_a_file_cut_at_any_byte_is_refused_as_cut_short() {
    let (disk, key) = stored(ENTRIES);
    let bytes = file(&disk);
    for length in 0..bytes.len() {
        let error = open(&disk, &bytes[..length], &key).unwrap_err();
        assert!(matches!(error, StoreError::Truncated { .. }), "{length}: {error}");
    }
}

#[test]
fn case_04_bytes_after_the_end_are_refused() {
    let (disk, key) = stored(ENTRIES);
    let error = open(&disk, &[file(&disk), vec![0]].concat(), &key).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::AfterEnd, .. }), "{error}");
}

#[test]
fn case_05_records_swapped_repeated_or_left_out_are_refused() {
    let (disk, key) = stored(ENTRIES);
    let bytes = file(&disk);
    let records = records(&bytes);
    let rearranged = |order: &[usize]| {
        let mut other = bytes[..HEADER].to_vec();
        for &record in order {
            other.extend_from_slice(&bytes[records[record].clone()]);
        }
        open(&disk, &other, &key)
    };
    assert!(rearranged(&[0, 1, 2, 3]).is_ok());
    for order in [&[1, 0, 2, 3][..], &[0, 0, 1, 2, 3], &[0, 1, 3], &[3], &[0, 1, 2], &[0, 1, 2, 2, 3], &[0, 1, 2, 3, 3]] {
        assert!(rearranged(order).is_err(), "{order:?}");
    }
}

#[test]
fn case_05_parts_of_another_save_of_the_same_store_are_refused() {
    let (disk, key) = stored(ENTRIES);
    let first = file(&disk);
    let store = reopen(&disk, &key).unwrap();
    put_all(&store, ENTRIES).unwrap();
    store.save().unwrap();
    let second = file(&disk);
    let records = records(&second);
    assert_ne!(first, second);
    for record in records {
        let mut spliced = second.clone();
        spliced[record.clone()].copy_from_slice(&first[record]);
        assert!(matches!(open(&disk, &spliced, &key), Err(StoreError::Damaged { .. })));
    }
    let mixed = [&first[..HEADER], &second[HEADER..]].concat();
    assert!(matches!(open(&disk, &mixed, &key), Err(StoreError::Damaged { place: Place::Record(0), .. })));
    // The generation of one on the header of the other, with the hash made right.
    let mut renumbered = second.clone();
    renumbered[30..38].copy_from_slice(&first[30..38]);
    rehash(&mut renumbered);
    assert!(matches!(open(&disk, &renumbered, &key), Err(StoreError::Damaged { place: Place::Header, .. })));
}

#[test]
fn case_05_a_key_slot_of_another_archive_does_not_fit() {
    let ((disk, _), (other, key)) = (stored(ENTRIES), stored(ENTRIES));
    let mut bytes = file(&disk);
    bytes[SLOTS].copy_from_slice(&file(&other)[SLOTS]);
    rehash(&mut bytes);
    assert!(matches!(open(&disk, &bytes, &key), Err(StoreError::WrongRecoveryKey { .. })));
}

#[test]
fn case_08_too_few_or_too_many_derivation_rounds_are_refused_before_they_are_run() {
    let (disk, _) = stored(&[]);
    for rounds in [0, 1, 599_999, 10_000_001, u32::MAX] {
        let mut bytes = file(&disk);
        bytes[ROUNDS].copy_from_slice(&rounds.to_be_bytes());
        rehash(&mut bytes);
        let hostile = SimDisk::default();
        hostile.set_content(Path::new(FILE), &bytes);
        let error = StoreOptions::on(Arc::new(hostile)).open("node", &password()).unwrap_err();
        assert!(matches!(error, StoreError::HostileKdf { rounds: found, .. } if found == rounds), "{error}");
        assert!(error.to_string().contains("restore a backup"));
    }
}

#[test]
fn case_08_lengths_and_counts_are_bounded_before_anything_is_read_by_them() {
    let (disk, key) = stored(ENTRIES);
    let bytes = file(&disk);
    for length in [0_u32, 13, 77, 1025, u32::MAX] {
        let mut other = bytes.clone();
        other[10..14].copy_from_slice(&length.to_be_bytes());
        assert!(matches!(open(&disk, &other, &key), Err(StoreError::Damaged { place: Place::Header, .. })), "{length}");
    }
    for count in [0, 1, 3, 9, 255] {
        let mut other = bytes.clone();
        other[SLOTS.start - 1] = count;
        rehash(&mut other);
        assert!(matches!(open(&disk, &other, &key), Err(StoreError::Damaged { place: Place::Header, .. })), "{count}");
    }
    let mut other = bytes.clone();
    other[HEADER + 1..HEADER + 5].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(open(&disk, &other, &key), Err(StoreError::Damaged { place: Place::Record(0), .. })));
}

#[test]
fn a_newer_format_says_that_a_newer_program_is_needed() {
    let (disk, key) = stored(ENTRIES);
    let mut bytes = file(&disk);
    bytes[VERSION].copy_from_slice(&3_u16.to_be_bytes());
    let error = open(&disk, &bytes, &key).unwrap_err();
    assert!(matches!(error, StoreError::UnsupportedVersion { found: 3, .. }));
    assert!(error.to_string().contains("newer `p2p`"), "{error}");
}

#[test]
fn something_else_than_a_store_is_said_to_be_none() {
    let (disk, key) = stored(&[]);
    let error = open(&disk, b"-----BEGIN CERTIFICATE-----", &key).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::Start, .. }));
    assert!(error.to_string().contains("not those of a store"), "{error}");
}

#[test]
fn case_07_a_wrong_password_is_told_from_damage() {
    let (disk, key) = stored(ENTRIES);
    let options = StoreOptions::on(Arc::new(disk.clone()));
    let wrong = Password::new("correct horse battery stapler").unwrap();
    let error = options.open("node", &wrong).unwrap_err();
    assert!(matches!(error, StoreError::WrongPassword { .. }) && error.to_string().contains("recovery key"), "{error}");

    let mut bytes = file(&disk);
    bytes[SIGNED - 1] ^= 1;
    disk.set_content(Path::new(FILE), &bytes);
    for password in [wrong, password()] {
        assert!(matches!(options.open("node", &password), Err(StoreError::Damaged { place: Place::Header, .. })));
    }
    let (_, other) = stored(&[]);
    bytes[SIGNED - 1] ^= 1;
    assert!(matches!(open(&disk, &bytes, &other), Err(StoreError::WrongRecoveryKey { .. })));
    assert!(open(&disk, &bytes, &key).is_ok());
}

#[test]
fn case_12_two_saves_of_the_same_content_share_no_ciphertext() {
    let (disk, key) = stored(&[("path", "a value that is longer than a few blocks of the cipher, so that repeats would show")]);
    let first = file(&disk);
    let store = reopen(&disk, &key).unwrap();
    store.put("path", store.get("path").unwrap()).unwrap();
    store.save().unwrap();
    let second = file(&disk);
    // The frame that begins each record is alike in both files, five bytes; eight more that are alike by chance are not to be expected
    // in the lifetime of this test (one run in 2^60 or so), while a keystream that is used twice repeats all of the value's blocks.
    let windows = |bytes: &[u8]| bytes[HEADER..].windows(FRAME + 8).map(<[u8]>::to_vec).collect::<std::collections::HashSet<_>>();
    let shared: Vec<_> = windows(&first).intersection(&windows(&second)).cloned().collect();
    assert!(shared.is_empty(), "{shared:?}");
    assert_ne!(first[38..70], second[38..70], "the seed of the save");
}
