//! Cases 3, 4, 5, 7 and 8, on the archive: bits, lengths, records, parameters that damage or somebody changed.

use std::path::Path;

use super::{
    super::{disk::SimDisk, owned, password, reopen, stored},
    attacks::{
        ENTRIES, FILE, FRAME, GENERATION, HEADER, HOSTILE_ROUNDS, LATER, MAC, ORDERS, ROUNDS, SALT, SEED, SLOT, SLOTS, VERSION,
        Victim, passwords, rounds_to_run, sealed, with_slots,
    },
};
use crate::storage::{Place, StoreError, error::Fault};

fn file(disk: &SimDisk) -> Vec<u8> {
    disk.content(Path::new(FILE)).unwrap()
}

#[test]
fn case_03_every_flipped_bit_of_the_header_is_refused_and_never_as_a_wrong_key() {
    let victim = Victim::new();
    assert_eq!(victim.open(&victim.bytes).unwrap(), owned(ENTRIES));
    for (bit, flipped) in victim.flipped_headers() {
        let error = victim.open(&flipped).unwrap_err();
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
    let victim = Victim::new();
    let unused = [ROUNDS, SALT, SLOTS.start..SLOTS.start + SLOT, MAC];
    for (bit, forged) in victim.forged_headers() {
        let error = victim.open(&forged).unwrap_err();
        // The password's slot and parameters are not used when opening by recovery key, and yet may not be changed.
        if unused.iter().any(|part| part.contains(&(bit / 8))) {
            let known = matches!(error, StoreError::Damaged { place: Place::Header, .. } | StoreError::HostileKdf { .. });
            assert!(known, "bit {bit}: {error}");
        }
    }
}

#[test]
fn case_03_flipped_bits_of_the_body_are_refused_with_the_record_they_are_in() {
    let victim = Victim::new();
    let records = victim.records();
    assert_eq!(records.len(), ENTRIES.len() + 1);
    for (at, flipped) in victim.flipped_bodies() {
        let error = victim.open(&flipped).unwrap_err();
        let record = records.iter().position(|record| record.contains(&at)).unwrap() as u64;
        let (StoreError::Damaged { place, .. } | StoreError::Truncated { place, .. }) = error else { panic!("{error}") };
        assert_eq!(place, Place::Record(record), "byte {at}");
        assert!(error.to_string().contains("`p2p store recover`"), "{error}");
    }
}

#[test]
fn case_04_a_file_cut_at_any_byte_is_refused_as_cut_short() {
    let victim = Victim::new();
    for length in 0..victim.bytes.len() {
        let error = victim.open(&victim.bytes[..length]).unwrap_err();
        assert!(matches!(error, StoreError::Truncated { .. }), "{length}: {error}");
    }
}

#[test]
fn case_04_bytes_after_the_end_are_refused() {
    let victim = Victim::new();
    let error = victim.open(&[&victim.bytes[..], &[0]].concat()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::AfterEnd, .. }), "{error}");
}

#[test]
fn case_05_records_swapped_repeated_or_left_out_are_refused() {
    let victim = Victim::new();
    assert_eq!(victim.rearranged(&[0, 1, 2, 3]), victim.bytes);
    for (order, _) in ORDERS {
        let error = victim.open(&victim.rearranged(order)).unwrap_err();
        // The first one that is out of its place is named: it does not even open there.
        let moved = (0_u64..).zip(*order).find(|(place, record)| *place != **record as u64);
        let (StoreError::Damaged { place, .. } | StoreError::Truncated { place, .. }) = error else {
            panic!("{order:?}: {error}")
        };
        let wanted = match *order {
            [0, 1, 2] => Place::End,
            [0, 1, 2, 3, ..] => Place::AfterEnd,
            _ => Place::Record(moved.unwrap().0),
        };
        assert_eq!(place, wanted, "{order:?}");
    }
}

#[test]
fn case_05_an_archive_whose_author_has_the_key_and_yet_miscounts_or_misorders_it_is_refused() {
    assert_eq!(sealed(&["a", "b"], 2), Ok(2));
    for count in [0, 1, 3] {
        assert_eq!(sealed(&["a", "b"], count), Err(Fault::Damaged(Place::End)), "{count}");
    }
    for paths in [["b", "a"], ["a", "a"]] {
        assert_eq!(sealed(&paths, 2), Err(Fault::Damaged(Place::Record(1))), "{paths:?}");
    }
}

#[test]
fn case_05_parts_of_another_save_of_the_same_store_are_refused() {
    let first = Victim::new();
    let second = first.later();
    assert_eq!(second.open(&second.bytes).unwrap(), owned(LATER));
    for (index, spliced) in second.spliced(&first) {
        assert_ne!(spliced, second.bytes);
        let error = second.open(&spliced).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { place: Place::Record(at), .. } if at == index as u64), "{index}: {error}");
    }
    let mixed = [&first.bytes[..HEADER], &second.bytes[HEADER..]].concat();
    assert!(matches!(second.open(&mixed), Err(StoreError::Damaged { place: Place::Record(0), .. })));
    // The generation or the random bytes of one on the header of the other, with the hash made right.
    for place in [GENERATION, SEED] {
        let renumbered = second.rewritten(place.clone(), &first.bytes[place]);
        assert!(matches!(second.open(&renumbered), Err(StoreError::Damaged { place: Place::Header, .. })));
    }
}

#[test]
fn case_05_a_key_slot_of_another_archive_does_not_fit() {
    let (victim, other) = (Victim::new(), Victim::new());
    let bytes = victim.rewritten(SLOTS, &other.bytes[SLOTS]);
    let opened = victim.open_by_key_of(&other, &bytes);
    assert!(matches!(opened, Err(StoreError::WrongRecoveryKey { .. })));
}

#[test]
fn case_08_too_few_or_too_many_derivation_rounds_are_refused_before_they_are_run() {
    let victim = Victim::new();
    for rounds in HOSTILE_ROUNDS.into_iter().chain([0]) {
        let bytes = victim.rewritten(ROUNDS, &rounds.to_be_bytes());
        assert_eq!(rounds_to_run(&bytes), Err(Fault::Kdf(rounds)));
        let error = victim.open_by(&password(), &bytes).unwrap_err();
        assert!(matches!(error, StoreError::HostileKdf { rounds: found, .. } if found == rounds), "{error}");
        assert!(error.to_string().contains("restore a backup"));
    }
}

#[test]
fn case_08_lengths_and_counts_are_bounded_before_anything_is_read_by_them() {
    let victim = Victim::new();
    for length in [0, 13, 77, 1025, u32::MAX] {
        let opened = victim.open(&victim.with_header_length(length));
        assert!(matches!(opened, Err(StoreError::Damaged { place: Place::Header, .. })), "{length}");
    }
    for count in [0, 1, 3, 9, 255] {
        let opened = victim.open(&victim.rewritten(SLOTS.start - 1..SLOTS.start, &[count]));
        assert!(matches!(opened, Err(StoreError::Damaged { place: Place::Header, .. })), "{count}");
    }
    let opened = victim.open(&victim.with_record_length(u32::MAX));
    assert!(matches!(opened, Err(StoreError::Damaged { place: Place::Record(0), .. })));
}

#[test]
fn case_08_more_key_slots_than_a_store_has_are_refused_also_where_the_header_is_signed() {
    for count in 0..=12 {
        let wanted = if count <= 8 { Ok(()) } else { Err(Fault::Damaged(Place::Header)) };
        assert_eq!(with_slots(count), wanted, "{count}");
    }
}

#[test]
fn a_newer_format_says_that_a_newer_program_is_needed() {
    let victim = Victim::new();
    let mut bytes = victim.bytes.clone();
    bytes[VERSION].copy_from_slice(&3_u16.to_be_bytes());
    let error = victim.open(&bytes).unwrap_err();
    assert!(matches!(error, StoreError::UnsupportedVersion { found: 3, .. }));
    assert!(error.to_string().contains("newer `p2p`"), "{error}");
}

#[test]
fn something_else_than_a_store_is_said_to_be_none() {
    let error = Victim::new().open(b"-----BEGIN CERTIFICATE-----").unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::Start, .. }));
    assert!(error.to_string().contains("not those of a store"), "{error}");
}

#[test]
fn case_07_a_wrong_password_is_told_from_damage() {
    let victim = Victim::new();
    let [right, wrong] = passwords();
    let error = victim.open_by(&wrong, &victim.bytes).unwrap_err();
    assert!(matches!(error, StoreError::WrongPassword { .. }) && error.to_string().contains("recovery key"), "{error}");
    // Whatever is damaged that the password's key or its slot depend on, and whichever password is tried.
    for (at, flipped) in victim.flipped_slots() {
        for password in [&right, &wrong] {
            let error = victim.open_by(password, &flipped).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { place: Place::Header, .. }), "byte {at}: {error}");
        }
    }
    let other = Victim::new();
    assert!(matches!(victim.open_by_key_of(&other, &victim.bytes), Err(StoreError::WrongRecoveryKey { .. })));
    assert!(victim.open(&victim.bytes).is_ok());
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
