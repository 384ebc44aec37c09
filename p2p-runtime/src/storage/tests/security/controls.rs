//! What the attacks of cases 3, 4, 5, 7, 8 and 9 on the archive do where the check that stops them is left out: the store itself, less
//! that check.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    super::{
        content,
        disk::{SimDisk, Trouble},
        owned, put_all, reopen, stored,
    },
    attacks::{
        ARCHIVE, ENTRIES, FRAME, HASH, HOSTILE_ROUNDS, LATER, MAC, ORDERS, ROUNDS, SALT, SLOT, SLOTS, Victim, passwords,
        rounds_to_run, sealed, with_slots,
    },
};
use crate::storage::{
    Password, Place, StoreError, StoreOptions,
    checks::{Check, without},
    header::{MAX_KDF_ROUNDS, MIN_KDF_ROUNDS},
};

/// All of them but one.
fn but(checks: &[Check], kept: Check) -> Vec<Check> {
    checks.iter().copied().filter(|check| *check != kept).collect()
}

#[test]
fn case_03_control_without_its_hash_flipped_bits_of_the_header_pass_or_are_called_a_wrong_key() {
    let victim = Victim::new();
    for (bit, flipped) in victim.flipped_headers() {
        let opened = without(&[Check::HeaderHash], || victim.open(&flipped));
        // What the slot is opened with, and the slot itself behind its kind.
        let used = [ARCHIVE, SLOTS.start + SLOT + 1..SLOTS.end];
        match bit / 8 {
            at if HASH.contains(&at) => assert_eq!(opened.unwrap(), owned(ENTRIES), "bit {bit}"),
            at if used.iter().any(|part| part.contains(&at)) => {
                assert!(matches!(opened, Err(StoreError::WrongRecoveryKey { .. })), "bit {bit}: {opened:?}");
            }
            // Another check stops them.
            _ => assert!(opened.is_err(), "bit {bit}"),
        }
    }
}

#[test]
fn case_03_control_without_its_mac_whoever_makes_the_headers_hash_right_changes_the_passwords_slot_and_rounds() {
    let victim = Victim::new();
    let rounds = u32::from_be_bytes(victim.bytes[ROUNDS].try_into().unwrap());
    for (bit, forged) in victim.forged_headers() {
        let opened = without(&[Check::HeaderMac], || victim.open(&forged));
        let within = || {
            let other = u32::from_be_bytes(forged[ROUNDS].try_into().unwrap());
            assert_ne!(rounds, other);
            (MIN_KDF_ROUNDS..=MAX_KDF_ROUNDS).contains(&other)
        };
        let unused = [SALT, SLOTS.start + 1..SLOTS.start + SLOT, MAC];
        let passes = unused.iter().any(|part| part.contains(&(bit / 8))) || (ROUNDS.contains(&(bit / 8)) && within());
        assert_eq!(opened.is_ok(), passes, "bit {bit}: {opened:?}");
    }
}

#[test]
fn case_03_control_without_their_tags_flipped_bits_of_records_change_what_the_store_holds() {
    let victim = Victim::new();
    let records = victim.records();
    for (at, flipped) in victim.flipped_bodies() {
        let opened = without(&[Check::Tag], || victim.open(&flipped));
        let index = records.iter().position(|record| record.contains(&at)).unwrap();
        let tag = records[index].end - 16;
        let value = ENTRIES.get(index).map_or(tag, |(path, _)| records[index].start + FRAME + 2 + path.len());
        if at >= tag {
            assert_eq!(opened.unwrap(), owned(ENTRIES), "byte {at}");
        } else if at >= value {
            let changed = opened.unwrap();
            assert!(changed.len() == ENTRIES.len() && changed[index] != owned(ENTRIES)[index], "byte {at}: {changed:?}");
        }
    }
}

#[test]
fn case_04_control_without_the_end_mark_a_file_that_is_cut_between_records_is_taken_for_whole() {
    let victim = Victim::new();
    let records = victim.records();
    for length in 0..victim.bytes.len() {
        let opened = without(&[Check::EndMark], || victim.open(&victim.bytes[..length]));
        match records.iter().position(|record| record.start == length) {
            Some(index) => assert_eq!(opened.unwrap(), owned(&ENTRIES[..index]), "{length}"),
            None => assert!(opened.is_err(), "{length}"),
        }
    }
}

#[test]
fn case_04_control_without_a_look_behind_the_end_mark_bytes_may_follow_it() {
    let victim = Victim::new();
    let opened = without(&[Check::AfterEnd], || victim.open(&[&victim.bytes[..], &[0]].concat()));
    assert_eq!(opened.unwrap(), owned(ENTRIES));
}

/// Several checks see that a record is not where it was written, so that one of them can be wrong. The attack passes where all are left
/// out, and each alone stops it.
#[test]
fn case_05_control_records_that_are_not_bound_to_their_place_are_taken_in_any_order_again_and_left_out() {
    for (order, checks) in ORDERS {
        let attack = || {
            let victim = Victim::new();
            victim.open(&victim.rearranged(order))
        };
        let wanted: Vec<_> = owned(ENTRIES).into_iter().enumerate().filter(|(index, _)| order.contains(index)).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(_, entry)| entry).collect();
        assert_eq!(without(checks, attack).unwrap(), wanted, "{order:?}");
        for kept in *checks {
            let refused = without(&but(checks, *kept), attack);
            assert!(refused.is_err(), "{order:?} with {kept:?} alone: {refused:?}");
        }
    }
}

#[test]
fn case_05_control_without_count_or_order_an_archive_that_is_sealed_wrongly_passes() {
    for count in [0, 1, 3] {
        assert_eq!(without(&[Check::EndCount], || sealed(&["a", "b"], count)), Ok(2), "{count}");
    }
    for (paths, entries) in [(["b", "a"], 2), (["a", "a"], 1)] {
        assert_eq!(without(&[Check::RecordOrder], || sealed(&paths, 2)), Ok(entries), "{paths:?}");
    }
}

/// The key and the associated data both bind a record to its save.
#[test]
fn case_05_control_records_that_are_not_bound_to_their_save_bring_back_an_earlier_value() {
    let attack = || {
        let first = Victim::new();
        let second = first.later();
        second.spliced(&first).map(|(_, spliced)| second.open(&spliced)).collect::<Vec<_>>()
    };
    let bindings = [Check::Salt, Check::Aad];
    for (index, opened) in without(&bindings, attack).into_iter().enumerate() {
        let mut mixed = owned(LATER);
        if let Some(entry) = mixed.get_mut(index) {
            *entry = owned(ENTRIES)[index].clone();
        }
        assert_eq!(opened.unwrap(), mixed, "record {index}");
    }
    for kept in bindings {
        assert!(without(&but(&bindings, kept), attack).iter().all(Result::is_err), "with {kept:?} alone");
    }
}

#[test]
fn case_07_control_without_the_headers_hash_damage_is_called_a_wrong_password() {
    let victim = Victim::new();
    let [right, _] = passwords();
    for (at, flipped) in victim.flipped_slots() {
        let opened = without(&[Check::HeaderHash], || victim.open_by(&right, &flipped));
        assert!(matches!(opened, Err(StoreError::WrongPassword { .. })), "byte {at}: {opened:?}");
    }
}

#[test]
fn case_07_control_without_the_slots_tag_a_wrong_password_is_called_damage() {
    let victim = Victim::new();
    let [_, wrong] = passwords();
    let opened = without(&[Check::Tag], || victim.open_by(&wrong, &victim.bytes));
    assert!(matches!(opened, Err(StoreError::Damaged { place: Place::Header, .. })), "{opened:?}");
}

#[test]
fn case_08_control_without_bounds_the_rounds_that_somebody_wrote_are_run() {
    let victim = Victim::new();
    for rounds in HOSTILE_ROUNDS {
        let bytes = victim.rewritten(ROUNDS, &rounds.to_be_bytes());
        // Of the most, opening would run for a quarter of an hour.
        assert_eq!(without(&[Check::KdfRounds], || rounds_to_run(&bytes)), Ok(rounds));
        if rounds <= MIN_KDF_ROUNDS {
            let opened = without(&[Check::KdfRounds], || victim.open_by(&passwords()[0], &bytes));
            assert!(matches!(opened, Err(StoreError::WrongPassword { .. })), "{rounds}: {opened:?}");
        }
    }
}

#[test]
fn case_08_control_without_bounds_one_round_guards_a_store_and_its_password_is_guessed() {
    let disk = SimDisk::default();
    let options = StoreOptions::on(Arc::new(disk.clone()));
    let secret = Password::new("0815").unwrap();
    let guessed = without(&[Check::KdfRounds], || {
        options.kdf_rounds(1).unwrap().create("node", &secret).unwrap();
        let options = StoreOptions::on(Arc::new(disk.clone()));
        // Many guesses in the time of one of the product's.
        let mut guesses = (0..10_000).map(|guess| format!("{guess:04}"));
        guesses.find(|guess| options.open("node", &Password::new(guess.as_str()).unwrap()).is_ok())
    });
    assert_eq!(guessed.as_deref(), Some("0815"));
    let refused = StoreOptions::on(Arc::new(disk)).open("node", &secret).unwrap_err();
    assert!(matches!(refused, StoreError::HostileKdf { rounds: 1, .. }), "{refused}");
}

/// What is read is never more than the file has, whatever a length says: what the bounds stop is a program that dies, and damage that is
/// called a cut, for which people look for the rest of the file.
#[test]
fn case_08_control_without_bounds_a_length_kills_the_program_or_is_called_a_cut() {
    let victim = Victim::new();
    for length in [1025, u32::MAX] {
        let opened = without(&[Check::HeaderLength], || victim.open(&victim.with_header_length(length)));
        assert!(matches!(opened, Err(StoreError::Truncated { place: Place::Header, .. })), "{length}: {opened:?}");
    }
    for length in [0, 13] {
        let opening = || without(&[Check::HeaderLength], || victim.open(&victim.with_header_length(length)));
        assert!(catch_unwind(AssertUnwindSafe(opening)).is_err(), "{length}");
    }
    let opened = without(&[Check::RecordLength], || victim.open(&victim.with_record_length(u32::MAX)));
    assert!(matches!(opened, Err(StoreError::Truncated { place: Place::Record(0), .. })), "{opened:?}");
}

#[test]
fn case_08_control_without_a_bound_a_signed_header_brings_as_many_slots_as_it_has_room_for() {
    for count in 9..=12 {
        assert_eq!(without(&[Check::SlotCount], || with_slots(count)), Ok(()), "{count}");
    }
}

#[test]
fn case_09_control_of_two_who_write_without_a_lock_the_later_one_takes_away_what_the_other_saved() {
    let (disk, key) = stored(&[("kept", "by both")]);
    // The same store, opened twice: a copy of the disk knows nothing of the lock.
    let beside = disk.copy(Trouble::None);
    let (one, other) = (reopen(&disk, &key).unwrap(), reopen(&beside, &key).unwrap());
    for (store, path) in [(&one, "one"), (&other, "other")] {
        put_all(store, &[(path, "acknowledged")]).unwrap();
        store.save().unwrap();
    }
    drop((one, other));
    // Both wrote files of the same names, the other one last.
    for path in beside.names() {
        disk.set_content(&path, &beside.content(&path).unwrap());
    }
    let found = content(&reopen(&disk.copy(Trouble::None), &key).unwrap());
    assert_eq!(found, owned(&[("kept", "by both"), ("other", "acknowledged")]));
}
