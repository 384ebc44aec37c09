//! Case 6: a disk that is full, fails a step, or gives back other bytes; and a sync that failed is not asked again.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        content,
        disk::{SimDisk, Trouble},
        owned, put_all, reopen,
    },
    seasoned,
};
use crate::storage::{
    RecoveryKey, StoreError, StoreOptions,
    checks::{Check, without},
    files::{FileLock, Files, LockError, NewFile},
};

const OLD: &[(&str, &str)] = &[("certs/node.pem", "the old certificate"), ("kept", "always")];
const NEW: &[(&str, &str)] = &[("certs/node.pem", "the new certificate, longer than before"), ("keys/node", "new")];
const BOTH: &[(&str, &str)] =
    &[("certs/node.pem", "the new certificate, longer than before"), ("kept", "always"), ("keys/node", "new")];

/// What becomes of a file that is written.
type Wrap = fn(Box<dyn NewFile>) -> Box<dyn NewFile>;

/// A disk whose new files are something else.
struct Wrapping {
    disk: SimDisk,
    wrap: Wrap,
}

impl Files for Wrapping {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.disk.read(path, limit)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        self.disk.create(path).map(self.wrap)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        self.disk.lock(path)
    }
}

/// The steps of opening and of the first write, which is a save; and the one that commits it.
fn steps_of_update(disk: &SimDisk, key: &RecoveryKey) -> (Vec<&'static str>, usize) {
    let disk = disk.copy(Trouble::None);
    put_all(&reopen(&disk, key).unwrap(), NEW).unwrap();
    let steps = disk.steps();
    let committed = steps.iter().rposition(|name| *name == "sync_dir").unwrap();
    (steps, committed)
}

#[test]
fn case_06_a_step_that_fails_leaves_memory_unsaved_and_the_file_whole_and_the_next_save_works() {
    let (disk, key) = seasoned(OLD);
    let opening = {
        let disk = disk.copy(Trouble::None);
        drop(reopen(&disk, &key).unwrap());
        disk.steps().len()
    };
    let (_, committed) = steps_of_update(&disk, &key);
    // What comes behind is tidying up.
    for step in opening..=committed {
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            let failing = disk.copy(Trouble::FailAt(step, kind));
            let store = reopen(&failing, &key).unwrap();
            for (path, value) in NEW {
                store.put(path, *value).unwrap();
            }
            let error = store.save().unwrap_err();
            let name = failing.steps()[step];
            match kind {
                ErrorKind::StorageFull => assert!(matches!(error, StoreError::DiskFull { .. }), "{name}: {error}"),
                _ => assert!(matches!(error, StoreError::Io { .. }), "{name}: {error}"),
            }
            assert!(store.is_unsaved(), "{name}");
            assert_eq!(content(&store), owned(BOTH), "{name}");
            let on_disk = content(&reopen(&failing.copy(Trouble::None), &key).unwrap());
            let expected = if step == committed { BOTH } else { OLD };
            assert_eq!(on_disk, owned(expected), "after a failed {name}");

            store.save().unwrap();
            assert!(!store.is_unsaved());
            assert!(!failing.sync_was_retried(), "a file was synced again after its sync had failed");
            for after in failing.after_power_cut() {
                assert_eq!(content(&reopen(&after, &key).unwrap()), owned(BOTH), "{name}");
            }
        }
    }
}

/// The control: what it writes asks a sync again that has failed. It is no check that keeps the store from that, but that it does nothing of the kind: there is
/// nothing to leave out. So the control is the product on files which do it.
struct AsksAgain(Box<dyn NewFile>);

impl NewFile for AsksAgain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes)
    }

    fn write_at(&mut self, start: usize, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(start, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync().or_else(|_| self.0.sync())
    }
}

/// Opens the store of this disk, whose files are wrapped so, and makes a write that is a save and one that goes to the log.
fn write_twice(disk: &SimDisk, key: &RecoveryKey, wrap: Wrap) -> Result<(), StoreError> {
    let files = Arc::new(Wrapping { disk: disk.clone(), wrap });
    let store = StoreOptions::on(files).open_with_recovery("node", key)?;
    put_all(&store, &[("kept", "always")])?;
    put_all(&store, NEW)
}

#[test]
fn case_06_control_a_store_that_asks_a_failed_sync_again_acknowledges_what_a_power_cut_takes_away() {
    let (disk, key) = seasoned(OLD);
    let whole = disk.copy(Trouble::None);
    write_twice(&whole, &key, |file| file).unwrap();
    let syncs: Vec<_> = whole.steps().iter().enumerate().filter(|(_, name)| **name == "sync").map(|(step, _)| step).collect();
    assert!(syncs.len() >= 3, "the archive's, its log's, and that of the record in the log");
    for step in syncs {
        let trouble = Trouble::FailAt(step, ErrorKind::Other);
        assert!(write_twice(&disk.copy(trouble), &key, |file| file).is_err(), "the store asks nothing again");
        let asked_again = disk.copy(trouble);
        write_twice(&asked_again, &key, |file| Box::new(AsksAgain(file))).unwrap();
        assert!(asked_again.sync_was_retried());
        let lost = |after: SimDisk| reopen(&after, &key).map_or(true, |store| content(&store) != owned(BOTH));
        assert!(asked_again.after_power_cut().into_iter().any(lost), "sync {step}");
    }
}

#[test]
fn case_06_an_update_that_fails_changes_nothing_in_memory_either() {
    let (disk, key) = seasoned(OLD);
    for step in ["create", "write", "sync", "link", "rename", "sync_dir"] {
        let (steps, _) = steps_of_update(&disk, &key);
        let at = steps.iter().rposition(|name| *name == step).unwrap();
        let failing = disk.copy(Trouble::FailAt(at, ErrorKind::Other));
        let store = reopen(&failing, &key).unwrap();
        put_all(&store, NEW).unwrap_err();
        assert_eq!(content(&store), owned(OLD), "{step}");
        // Where it cannot be known what is on the disk, saving settles it.
        store.save().unwrap();
        assert_eq!(content(&reopen(&failing.copy(Trouble::None), &key).unwrap()), owned(OLD), "{step}");
    }
}

#[test]
fn case_06_a_full_disk_says_so_and_leaves_nothing_behind_that_takes_room() {
    let (disk, key) = seasoned(OLD);
    let (steps, _) = steps_of_update(&disk, &key);
    let names = disk.names();
    for (write, _) in steps.iter().enumerate().filter(|(_, name)| **name == "write") {
        let full = disk.copy(Trouble::FailAt(write, ErrorKind::StorageFull));
        let error = put_all(&reopen(&full, &key).unwrap(), NEW).unwrap_err();
        assert!(error.to_string().contains("free some space"), "{error}");
        assert_eq!(full.names(), names);
    }
}

/// Flips one bit of whatever is written.
struct BadFile(Box<dyn NewFile>);

impl NewFile for BadFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        self.0.write(&bytes)
    }

    fn write_at(&mut self, start: usize, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(start, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

/// What comes of a save on this disk, which is a bad one.
fn save_on_bad_disk(disk: &SimDisk, key: &RecoveryKey) -> Result<(), StoreError> {
    let bad = Wrapping { disk: disk.clone(), wrap: |file| Box::new(BadFile(file)) };
    put_all(&StoreOptions::on(Arc::new(bad)).open_with_recovery("node", key)?, NEW)
}

#[test]
fn case_06_a_disk_that_gives_back_other_bytes_than_were_written_is_noticed_before_the_old_file_goes() {
    let (disk, key) = seasoned(OLD);
    let error = save_on_bad_disk(&disk, &key).unwrap_err();
    assert!(matches!(error, StoreError::Unfaithful { .. }) && error.to_string().contains("failing"), "{error}");
    assert_eq!(content(&reopen(&disk, &key).unwrap()), owned(OLD));
}

#[test]
fn case_06_control_a_store_that_does_not_read_what_it_wrote_acknowledges_what_cannot_be_opened() {
    let (disk, key) = seasoned(OLD);
    without(&[Check::ReadBack], || save_on_bad_disk(&disk, &key)).unwrap();
    reopen(&disk, &key).unwrap_err();
}

#[test]
fn case_06_a_log_that_fails_is_given_up_and_the_next_write_is_a_save_on_new_files() {
    for step in ["write_at", "sync"] {
        let (disk, key) = seasoned(OLD);
        let steps = {
            let disk = disk.copy(Trouble::None);
            let store = reopen(&disk, &key).unwrap();
            put_all(&store, &[("kept", "always")]).unwrap();
            put_all(&store, NEW).unwrap();
            disk.steps()
        };
        let at = steps.iter().rposition(|name| *name == step).unwrap();
        assert!(at > steps.iter().position(|name| *name == "rename").unwrap(), "it is the log's: {steps:?}");
        let failing = disk.copy(Trouble::FailAt(at, ErrorKind::Other));
        let store = reopen(&failing, &key).unwrap();
        put_all(&store, &[("kept", "always")]).unwrap();
        let generation = store.generation();

        let error = put_all(&store, NEW).unwrap_err();
        assert!(matches!(&error, StoreError::Io { file, .. } if file.ends_with(format!("store-{generation}.log"))), "{error}");
        assert!(store.is_unsaved() && content(&store) == owned(OLD));
        put_all(&store, NEW).unwrap();
        assert_eq!((store.generation(), store.is_unsaved()), (generation + 1, false));
        assert!(!failing.sync_was_retried(), "the log was synced again after its sync had failed");
        for after in failing.after_power_cut() {
            assert_eq!(content(&reopen(&after, &key).unwrap()), owned(BOTH), "{step}");
        }
    }
}

#[test]
fn case_06_a_full_disk_does_not_keep_the_log_from_being_written_to() {
    let (disk, key) = seasoned(OLD);
    let store = reopen(&disk, &key).unwrap();
    put_all(&store, &[("kept", "always")]).unwrap();
    let before = disk.steps().len();
    put_all(&store, NEW).unwrap();
    let steps = disk.steps().split_off(before);
    assert_eq!(steps, ["write_at", "sync"], "it takes no room, and no more than this");
}
