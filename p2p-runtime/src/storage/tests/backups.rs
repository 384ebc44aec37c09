//! Backups: one file, of one instant, which is no store before it is restored.

use std::{io::ErrorKind, path::Path, sync::Arc};

use super::{
    content,
    disk::{SimDisk, Trouble},
    owned, put_all, reopen, stored,
};
use crate::storage::{RecoveryKey, Store, StoreError, StoreOptions, Unlock};

const BACKUP: &str = "backups/monday";

/// A disk with a backup of a store with `a` in its archive and `b` in its log, which then went on to `c`.
fn backed_up() -> (SimDisk, RecoveryKey) {
    let (disk, key) = stored(&[("v", "a")]);
    let store = reopen(&disk, &key).unwrap();
    put_all(&store, &[("w", "saved")]).unwrap();
    put_all(&store, &[("v", "b")]).unwrap();
    assert_eq!(store.revision().records, 1);
    options(&disk).write_backup(BACKUP, &store.backup().unwrap()).unwrap();
    put_all(&store, &[("v", "c")]).unwrap();
    (disk, key)
}

fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions::on(Arc::new(disk.clone()))
}

fn restore(disk: &SimDisk, key: &RecoveryKey, dir: &str) -> Result<Store, StoreError> {
    options(disk).restore(BACKUP, dir, Unlock::Recovery(key), |entries| entries.put("mark", "restored"))
}

#[test]
fn a_backup_holds_what_the_running_store_held_and_is_restored_with_what_has_to_change() {
    let (disk, key) = backed_up();
    let store = restore(&disk, &key, "new").unwrap();
    let wanted = owned(&[("mark", "restored"), ("v", "b"), ("w", "saved")]);
    assert_eq!(content(&store), wanted);
    drop(store);
    for after in disk.after_power_cut() {
        let found = options(&after).open_with_recovery("new", &key).unwrap();
        assert_eq!(content(&found), wanted);
    }
    assert_eq!(content(&reopen(&disk, &key).unwrap()), owned(&[("v", "c"), ("w", "saved")]), "the store itself went on");
}

#[test]
fn a_backup_is_never_written_over_a_file_and_a_failed_one_leaves_none() {
    let (disk, key) = backed_up();
    let store = reopen(&disk, &key).unwrap();
    let bytes = store.backup().unwrap();
    let error = options(&disk).write_backup(BACKUP, &bytes).unwrap_err();
    assert!(matches!(error, StoreError::BackupExists { .. }) && error.to_string().contains("another file"), "{error}");

    let names = disk.names();
    let steps = {
        let disk = disk.copy(Trouble::None);
        options(&disk).write_backup("backups/tuesday", &bytes).unwrap();
        disk.steps().len()
    };
    for step in 0..steps - 1 {
        let failing = disk.copy(Trouble::FailAt(step, ErrorKind::StorageFull));
        let error = options(&failing).write_backup("backups/tuesday", &bytes).unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        assert_eq!(failing.names(), names, "step {step}");
    }
}

#[test]
fn a_backup_leaves_what_somebody_has_under_the_name_of_an_unfinished_one() {
    let (disk, key) = backed_up();
    let bytes = reopen(&disk, &key).unwrap().backup().unwrap();
    for other in ["backups/tuesday.new", "backups/tuesday.new.2"] {
        disk.set_content(Path::new(other), b"somebody's");
    }
    let names = disk.names().len();
    options(&disk).write_backup("backups/tuesday", &bytes).unwrap();
    assert_eq!(disk.content(Path::new("backups/tuesday")).unwrap(), bytes);
    assert_eq!(disk.content(Path::new("backups/tuesday.new")).unwrap(), b"somebody's");
    assert_eq!(disk.names().len(), names + 1, "and nothing of its own is left");
}

#[test]
fn a_backup_copied_into_the_place_of_a_store_and_a_store_given_as_backup_are_refused() {
    let (disk, key) = backed_up();
    let copied = disk.copy(Trouble::None);
    copied.set_content(Path::new("node/store.p2p"), &disk.content(Path::new(BACKUP)).unwrap());
    let error = reopen(&copied, &key).unwrap_err();
    assert!(matches!(error, StoreError::IsBackup { .. }) && error.to_string().contains("`p2p store restore`"), "{error}");

    disk.set_content(Path::new(BACKUP), &disk.content(Path::new("node/store.p2p")).unwrap());
    let error = restore(&disk, &key, "new").unwrap_err();
    assert!(matches!(error, StoreError::NoBackup { .. }) && error.to_string().contains("`p2p store backup`"), "{error}");
}

#[test]
fn a_backup_is_not_restored_over_a_store_nor_with_another_key_nor_when_damaged() {
    let (disk, key) = backed_up();
    assert!(matches!(restore(&disk, &key, "node"), Err(StoreError::Exists { .. })));
    let (_, other) = stored(&[]);
    assert!(matches!(restore(&disk, &other, "new"), Err(StoreError::WrongRecoveryKey { .. })));
    let mut bytes = disk.content(Path::new(BACKUP)).unwrap();
    let middle = bytes.len() - 40;
    bytes[middle] ^= 1;
    disk.set_content(Path::new(BACKUP), &bytes);
    assert!(matches!(restore(&disk, &key, "new"), Err(StoreError::Damaged { .. })));
    assert!(!disk.names().iter().any(|name| name.starts_with("new")));
}
