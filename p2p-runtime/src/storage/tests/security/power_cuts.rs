//! Case 2: the power is cut before any step of any write, and what was not synced stays or goes in any combination.

use std::{path::Path, sync::Arc};

use super::{
    super::{
        content,
        disk::{SimDisk, Trouble},
        password, put_all, reopen,
    },
    seasoned,
};
use crate::storage::{
    RecoveryKey, Store, StoreError, StoreOptions,
    checks::{Check, without},
};

/// So many writes: the first is a save, some are records of its log, one finds the log full and is a save again.
const WRITES: u32 = 9;

/// Opens the store and writes number after number, until the power is gone; gives the last one that was acknowledged.
fn write_numbers(disk: &SimDisk, key: &RecoveryKey) -> u32 {
    let Ok(store) = reopen(disk, key) else { return 0 };
    (1..=WRITES).take_while(|number| write(&store, *number).is_ok()).last().unwrap_or(0)
}

fn write(store: &Store, number: u32) -> Result<(), StoreError> {
    let text = number.to_string();
    put_all(store, &[("first", &text), ("filler", &"x".repeat(number as usize * 9)), ("last", &text)])
}

/// The number that a store holds; `None` where it does not open, or holds half a write.
fn number(disk: &SimDisk, key: &RecoveryKey) -> Option<u32> {
    let store = reopen(disk, key).ok()?;
    let read = |path| store.get(path).map_or(0, |text| std::str::from_utf8(text.expose()).unwrap().parse::<u32>().unwrap());
    (read("first") == read("last")).then(|| read("first"))
}

/// Cuts the power before each step, and before none; gives how many ends held neither all that was acknowledged, nor that and
/// the one write more that was on its way.
fn losses_over_all_cuts(disk: &SimDisk, key: &RecoveryKey) -> usize {
    let all = disk.copy(Trouble::None);
    assert_eq!(write_numbers(&all, key), WRITES);
    let (mut losses, mut ends) = (0, 0);
    for cut in 0..=all.steps().len() {
        let running = disk.copy(Trouble::CutAt(cut));
        let acknowledged = write_numbers(&running, key);
        for after in running.after_power_cut() {
            ends += 1;
            match number(&after, key) {
                Some(found) if found == acknowledged || found == acknowledged + 1 => {
                    // What the cut left lying about is in nobody's way.
                    if ends % 8 == 0 {
                        assert_eq!(write_numbers(&after, key), WRITES, "cut {cut}");
                        assert_eq!(number(&after, key), Some(WRITES), "cut {cut}");
                    }
                }
                _ => losses += 1,
            }
        }
    }
    eprintln!("{losses} losses in {ends} ends of {} cuts", all.steps().len() + 1);
    losses
}

#[test]
fn case_02_a_power_cut_at_any_step_of_saves_and_log_writes_loses_nothing_acknowledged_and_tears_nothing() {
    let (disk, key) = seasoned(&[]);
    let steps = {
        let disk = disk.copy(Trouble::None);
        write_numbers(&disk, &key);
        disk.steps()
    };
    let count = |name| steps.iter().filter(|step| **step == name).count();
    assert!(count("write_at") >= 5 && count("rename") >= 2, "the writes pass through log and archive: {steps:?}");
    assert_eq!(losses_over_all_cuts(&disk, &key), 0);
}

#[test]
fn case_02_the_same_holds_where_the_file_system_has_no_second_names() {
    let (disk, key) = seasoned(&[]);
    disk.have_no_links();
    assert_eq!(losses_over_all_cuts(&disk, &key), 0);
}

#[test]
fn case_02_control_the_same_cuts_do_lose_data_when_either_sync_does_nothing() {
    for syncs in [&["sync"], &["sync_dir"]] {
        let (disk, key) = seasoned(&[]);
        disk.let_idle(syncs);
        assert_ne!(losses_over_all_cuts(&disk, &key), 0, "{syncs:?}");
    }
}

#[test]
fn case_02_control_the_same_cuts_do_lose_data_when_a_save_is_written_in_place() {
    let (disk, key) = seasoned(&[]);
    assert_ne!(without(&[Check::OwnName], || losses_over_all_cuts(&disk, &key)), 0);
}

#[test]
fn case_02_a_power_cut_while_a_store_is_made_leaves_a_whole_one_or_a_folder_to_make_one_in() {
    let attempt = |disk: &SimDisk| StoreOptions::on(Arc::new(disk.clone())).create("node", &password());
    let whole = SimDisk::default();
    drop(attempt(&whole).unwrap());
    for cut in 0..=whole.steps().len() {
        let disk = SimDisk::default().copy(Trouble::CutAt(cut));
        let made = attempt(&disk).ok().map(|(_, key)| key);
        for (number, after) in disk.after_power_cut().into_iter().enumerate() {
            let whole = after.content(Path::new("node/store.p2p")).is_some();
            match &made {
                Some(key) => assert_eq!(content(&reopen(&after, key).unwrap()), []),
                // Each costs a password derivation: not all of them.
                None if whole && number < 2 => {
                    StoreOptions::on(Arc::new(after)).open("node", &password()).unwrap();
                }
                None => assert!(whole || !after.names().iter().any(|name| name.ends_with("store.p2p.1"))),
            }
        }
    }
}
