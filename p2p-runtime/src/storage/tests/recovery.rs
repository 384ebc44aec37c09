//! Verifying and recovering: what is found of a damaged store, what is brought back, and that the original stays.

use std::{path::Path, sync::Arc};

use super::{
    content,
    disk::{SimDisk, Trouble},
    owned, put_all, reopen, stored,
};
use crate::storage::{
    Condition, Recovery, RecoveryKey, Revision, StoreError, StoreOptions, Unlock, Verification, files::Files as _,
};

const CURRENT: &str = "node/store.p2p";

/// Saves 1 (empty), 2 (`a`) and 3 (`b`), and `c` in the log of save 3.
fn store() -> (SimDisk, RecoveryKey) {
    let (disk, key) = stored(&[("v", "a")]);
    let store = reopen(&disk, &key).unwrap();
    put_all(&store, &[("v", "b")]).unwrap();
    put_all(&store, &[("v", "c")]).unwrap();
    drop(store);
    (disk, key)
}

fn verify(disk: &SimDisk, key: &RecoveryKey) -> Verification {
    StoreOptions::on(Arc::new(disk.clone())).verify("node", Unlock::Recovery(key)).unwrap()
}

fn recover(disk: &SimDisk, key: &RecoveryKey) -> Result<Recovery, StoreError> {
    StoreOptions::on(Arc::new(disk.clone())).recover("node", Unlock::Recovery(key))
}

fn flip(disk: &SimDisk, path: &str, at: usize) {
    let mut bytes = disk.content(Path::new(path)).unwrap();
    bytes[at] ^= 1;
    disk.set_content(Path::new(path), &bytes);
}

/// All files of a disk but the lock.
fn files(disk: &SimDisk) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let names = disk.names().into_iter().filter(|name| !name.ends_with("store.lock"));
    names.map(|name| (name.clone(), disk.content(&name).unwrap())).collect()
}

/// Recovers, and checks that what was there is put aside unchanged, and that the store opens afterwards.
fn carried_out(disk: &SimDisk, key: &RecoveryKey) -> Vec<(String, String)> {
    let before = files(disk);
    let recovery = recover(disk, key).unwrap();
    assert!(recovery.is_needed() && !recovery.losses().is_empty());
    assert_eq!(files(disk), before, "looking changed something");
    let (store, aside) = recovery.carry_out(|_| Ok::<_, StoreError>(())).unwrap();
    assert_eq!(aside, Path::new("node/store.aside.1"));
    for (name, bytes) in before {
        assert_eq!(disk.content(&aside.join(name.file_name().unwrap())), Some(bytes), "{}", name.display());
    }
    let found = content(&store);
    drop(store);
    assert_eq!(content(&reopen(disk, key).unwrap()), found);
    assert!(verify(disk, key).is_sound());
    // It is durable.
    for after in disk.after_power_cut() {
        assert_eq!(content(&reopen(&after, key).unwrap()), found);
    }
    found
}

#[test]
fn a_sound_store_is_verified_with_all_that_is_kept_and_needs_no_recovery() {
    let (disk, key) = store();
    let before = files(&disk);
    let found = verify(&disk, &key);
    assert!(found.is_sound());
    let of = |generation, records| Some(Revision { generation, records });
    let revisions: Vec<_> = found.saves.iter().map(|save| (save.revision, save.entries)).collect();
    // The log of the first save holds what the second one was made of.
    assert_eq!(revisions, [(of(3, 1), Some(1)), (of(2, 0), Some(1)), (of(1, 1), Some(1))]);
    assert!(found.saves.iter().all(|save| save.condition == Condition::Sound));
    let recovery = recover(&disk, &key).unwrap();
    assert!(!recovery.is_needed() && recovery.losses().is_empty());
    assert_eq!(files(&disk), before);
}

#[test]
fn a_damaged_archive_is_recovered_from_the_save_before_it() {
    let (disk, key) = store();
    flip(&disk, CURRENT, 300);
    let found = verify(&disk, &key);
    assert!(!found.is_sound());
    assert_eq!(found.saves[0].condition, Condition::Damaged("damaged (record 0)".to_owned()));
    assert!(found.saves[1].condition.is_sound());
    assert_eq!(
        recover(&disk, &key).unwrap().losses(),
        ["node/store.p2p: damaged (record 0); what was written after revision 2.0, if anything, is lost"]
    );
    assert_eq!(carried_out(&disk, &key), owned(&[("v", "a")]));
}

#[test]
fn a_broken_or_missing_log_is_recovered_up_to_where_it_is_good() {
    let (disk, key) = store();
    let broken = disk.copy(Trouble::None);
    flip(&broken, "node/store-3.log", 200);
    assert!(matches!(&verify(&broken, &key).saves[0].condition, Condition::LogBroken(why) if why.contains("record 0")));
    assert_eq!(carried_out(&broken, &key), owned(&[("v", "b")]));

    let gone = disk.copy(Trouble::None);
    gone.remove(Path::new("node/store-3.log")).unwrap();
    assert_eq!(verify(&gone, &key).saves[0].condition, Condition::LogBroken("its log is gone".to_owned()));
    assert_eq!(carried_out(&gone, &key), owned(&[("v", "b")]));
}

#[test]
fn an_archive_that_is_gone_or_older_is_recovered_to_the_newest_that_is_there() {
    let (disk, key) = store();
    let gone = disk.copy(Trouble::None);
    gone.remove(Path::new(CURRENT)).unwrap();
    assert_eq!(verify(&gone, &key).saves[0].condition, Condition::Damaged("it is gone".to_owned()));
    assert_eq!(carried_out(&gone, &key), owned(&[("v", "a")]));

    let older = disk.copy(Trouble::None);
    older.set_content(Path::new(CURRENT), &disk.content(Path::new("node/store.p2p.1")).unwrap());
    assert!(matches!(&verify(&older, &key).saves[0].condition, Condition::RolledBack(why) if why.contains("save 3")));
    assert_eq!(carried_out(&older, &key), owned(&[("v", "a")]));
    // Its number is higher than any that was in use.
    assert_eq!(reopen(&older, &key).unwrap().generation(), 4);
}

#[test]
fn a_recovery_can_change_what_must_not_go_back_in_time_and_one_that_is_refused_changes_nothing() {
    let (disk, key) = store();
    flip(&disk, CURRENT, 300);
    let before = files(&disk);
    let refused = recover(&disk, &key).unwrap().carry_out(|_| Err(StoreError::EmptyPassword));
    assert!(matches!(refused, Err(StoreError::EmptyPassword)));
    assert_eq!(files(&disk), before);
    let recovery = recover(&disk, &key).unwrap();
    let (store, _) = recovery.carry_out(|entries| entries.put("mark", "recovered")).unwrap();
    assert_eq!(content(&store), owned(&[("mark", "recovered"), ("v", "a")]));
}

#[test]
fn where_nothing_is_good_or_the_key_is_wrong_it_is_said_and_nothing_changed() {
    let (disk, key) = store();
    let (_, other) = stored(&[]);
    assert!(matches!(recover(&disk, &other), Err(StoreError::WrongRecoveryKey { .. })));
    for path in [CURRENT, "node/store.p2p.1", "node/store.p2p.2"] {
        let end = disk.content(Path::new(path)).unwrap().len() - 1;
        flip(&disk, path, end);
    }
    let before = files(&disk);
    let error = recover(&disk, &key).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::NothingGood { .. }) && error.to_string().contains("`p2p store restore`"), "{error}");
    assert_eq!(files(&disk), before);
    let empty = SimDisk::default();
    assert!(matches!(recover(&empty, &key), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_recovery_keeps_other_processes_out_and_needs_the_store_closed() {
    let (disk, key) = store();
    let open = reopen(&disk, &key).unwrap();
    assert!(matches!(recover(&disk, &key), Err(StoreError::Locked { .. })));
    drop(open);
    let recovery = recover(&disk, &key).unwrap();
    assert!(matches!(reopen(&disk, &key), Err(StoreError::Locked { .. })));
    drop(recovery);
    reopen(&disk, &key).unwrap();
}

#[test]
fn files_that_are_called_as_logs_of_much_later_saves_leave_a_store_that_can_be_written() {
    for planted in [u64::MAX, u64::MAX - 1] {
        let (disk, key) = store();
        let name = format!("node/store-{planted}.log");
        disk.set_content(Path::new(&name), b"");
        flip(&disk, CURRENT, 300);
        carried_out(&disk, &key);
        let store = reopen(&disk, &key).unwrap();
        assert!(store.revision().generation < 10, "{}", store.revision());
        put_all(&store, &[("v", "written")]).unwrap();
        assert!(content(&store).contains(&("v".to_owned(), "written".to_owned())));
    }
}
