//! Power cuts, failing steps and full disks, on the simulated disk.

use std::{io::ErrorKind, path::Path, sync::Arc};

use super::{content, disk::Trouble, owned, password, put_all, reopen, stored};
use crate::storage::{Place, RecoveryKey, Store, StoreError, StoreOptions, files::Files as _, tests::disk::SimDisk};

const OLD: &[(&str, &str)] = &[("certs/node.pem", "the old certificate"), ("kept", "always")];
const NEW: &[(&str, &str)] = &[("certs/node.pem", "the new certificate, longer than before"), ("keys/node", "new")];
const BOTH: &[(&str, &str)] =
    &[("certs/node.pem", "the new certificate, longer than before"), ("kept", "always"), ("keys/node", "new")];
/// Ways in which what was not synced may have stayed, tried at each cut.
const OUTCOMES: u64 = 60;

/// A disk whose store was saved often enough that every earlier save has its place, last with [`OLD`].
fn seasoned() -> (SimDisk, RecoveryKey) {
    let (disk, key) = stored(&[("certs/node.pem", "older still")]);
    for round in ["1", "2", "3"] {
        put_all(&reopen(&disk, &key).unwrap(), &[("kept", round)]).unwrap();
    }
    put_all(&reopen(&disk, &key).unwrap(), OLD).unwrap();
    (disk, key)
}

fn steps_of_update(disk: &SimDisk, key: &RecoveryKey) -> usize {
    let disk = disk.copy(Trouble::None);
    put_all(&reopen(&disk, key).unwrap(), NEW).unwrap();
    disk.steps().len()
}

/// Cuts the power before each step of opening and updating, and before none; gives how many ends were neither the old nor,
/// once acknowledged, the new content.
fn losses_over_all_cuts(disk: &SimDisk, key: &RecoveryKey) -> usize {
    let mut losses = 0;
    for cut in 0..=steps_of_update(disk, key) {
        let running = disk.copy(Trouble::CutAt(cut));
        let acknowledged = reopen(&running, key).and_then(|store| put_all(&store, NEW)).is_ok();
        for seed in 0..OUTCOMES {
            let after = running.after_power_cut(seed);
            let found = reopen(&after, key).map(|store| content(&store));
            let whole = match &found {
                Ok(found) => *found == owned(BOTH) || (*found == owned(OLD) && !acknowledged),
                Err(_) => false,
            };
            losses += usize::from(!whole);
            if whole {
                // What the cut left lying about is in nobody's way.
                put_all(&reopen(&after, key).unwrap(), NEW).unwrap();
                assert_eq!(content(&reopen(&after, key).unwrap()), owned(BOTH), "cut {cut}, seed {seed}");
            }
        }
    }
    losses
}

#[test]
fn a_power_cut_at_any_step_leaves_the_old_or_the_new_content_and_the_new_once_acknowledged() {
    let (disk, key) = seasoned();
    assert_eq!(losses_over_all_cuts(&disk, &key), 0);
}

#[test]
fn the_same_holds_where_the_file_system_has_no_second_names() {
    let (disk, key) = seasoned();
    disk.have_no_links();
    assert_eq!(losses_over_all_cuts(&disk, &key), 0);
}

#[test]
fn control_the_same_cuts_do_lose_data_when_either_sync_does_nothing() {
    for syncs in [&["sync"], &["sync_dir"]] {
        let (disk, key) = seasoned();
        disk.let_idle(syncs);
        assert_ne!(losses_over_all_cuts(&disk, &key), 0, "{syncs:?}");
    }
}

#[test]
fn control_writing_in_place_loses_data_at_a_power_cut() {
    let (disk, key) = seasoned();
    let path = Path::new("node/store.p2p");
    let bytes = disk.content(path).unwrap();
    disk.remove(path).unwrap();
    let mut file = disk.create(path).unwrap();
    file.write(&bytes).unwrap();
    assert!((0..OUTCOMES).any(|seed| reopen(&disk.after_power_cut(seed), &key).is_err()));
    file.sync().unwrap();
    disk.sync_dir(Path::new("node")).unwrap();
    assert!((0..OUTCOMES).all(|seed| reopen(&disk.after_power_cut(seed), &key).is_ok()));
}

#[test]
fn a_power_cut_while_a_store_is_made_leaves_a_whole_one_or_a_folder_to_make_one_in() {
    let attempt = |disk: &SimDisk| StoreOptions::on(Arc::new(disk.clone())).create("node", &password());
    let whole = SimDisk::default();
    drop(attempt(&whole).unwrap());
    for cut in 0..=whole.steps().len() {
        let disk = SimDisk::default().copy(Trouble::CutAt(cut));
        let made = attempt(&disk).ok().map(|(_, key)| key);
        for seed in 0..OUTCOMES {
            let after = disk.after_power_cut(seed);
            let whole = after.content(Path::new("node/store.p2p")).is_some();
            match &made {
                Some(key) => assert_eq!(content(&reopen(&after, key).unwrap()), []),
                // Each costs a password derivation: not all of them.
                None if whole && seed < 2 => {
                    StoreOptions::on(Arc::new(after)).open("node", &password()).unwrap();
                }
                None => assert!(whole || !after.names().iter().any(|name| name.ends_with("store.p2p.1"))),
            }
        }
    }
}

#[test]
fn a_step_that_fails_leaves_memory_unsaved_and_the_file_whole_and_the_next_save_works() {
    let (disk, key) = seasoned();
    let opening = {
        let disk = disk.copy(Trouble::None);
        drop(reopen(&disk, &key).unwrap());
        disk.steps().len()
    };
    for step in opening..steps_of_update(&disk, &key) {
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
            let expected = if name == "sync_dir" { BOTH } else { OLD };
            assert_eq!(on_disk, owned(expected), "after a failed {name}");

            store.save().unwrap();
            assert!(!store.is_unsaved());
            assert!(!failing.sync_was_retried(), "a file was synced again after its sync had failed");
            for seed in 0..OUTCOMES {
                let store = reopen(&failing.after_power_cut(seed), &key).unwrap();
                assert_eq!(content(&store), owned(BOTH), "{name}, seed {seed}");
            }
        }
    }
}

#[test]
fn control_syncing_a_file_again_after_its_sync_failed_reports_success_and_loses_it() {
    let disk = SimDisk::default().copy(Trouble::FailAt(2, ErrorKind::Other));
    let path = Path::new("file");
    let mut file = disk.create(path).unwrap();
    file.write(b"content").unwrap();
    file.sync().unwrap_err();
    file.sync().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    assert!(disk.sync_was_retried());
    assert_ne!(disk.after_power_cut(0).content(path).unwrap(), b"content");
}

#[test]
fn an_update_that_fails_changes_nothing_in_memory_either() {
    let (disk, key) = seasoned();
    for step in ["create", "write", "sync", "link", "rename", "sync_dir"] {
        let steps = {
            let disk = disk.copy(Trouble::None);
            put_all(&reopen(&disk, &key).unwrap(), NEW).unwrap();
            disk.steps()
        };
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
fn a_full_disk_says_so_and_leaves_nothing_behind_that_takes_room() {
    let (disk, key) = seasoned();
    let steps = steps_of_update(&disk, &key);
    let write = {
        let disk = disk.copy(Trouble::None);
        put_all(&reopen(&disk, &key).unwrap(), NEW).unwrap();
        disk.steps().iter().position(|name| *name == "write").unwrap()
    };
    assert!(write < steps);
    let names = disk.names();
    let full = disk.copy(Trouble::FailAt(write, ErrorKind::StorageFull));
    let error = put_all(&reopen(&full, &key).unwrap(), NEW).unwrap_err();
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(full.names(), names);
}

#[test]
fn a_disk_that_gives_back_other_bytes_than_were_written_is_noticed_before_the_old_file_goes() {
    /// Flips one bit of whatever is written.
    struct Bad(SimDisk);
    struct BadFile(Box<dyn crate::storage::files::NewFile>);
    impl crate::storage::files::NewFile for BadFile {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            self.0.write(&bytes)
        }
        fn sync(&mut self) -> std::io::Result<()> {
            self.0.sync()
        }
    }
    impl crate::storage::files::Files for Bad {
        fn create_dir(&self, dir: &Path) -> std::io::Result<()> {
            self.0.create_dir(dir)
        }
        fn exists(&self, path: &Path) -> std::io::Result<bool> {
            self.0.exists(path)
        }
        fn read(&self, path: &Path, limit: usize) -> std::io::Result<Vec<u8>> {
            self.0.read(path, limit)
        }
        fn create(&self, path: &Path) -> std::io::Result<Box<dyn crate::storage::files::NewFile>> {
            Ok(Box::new(BadFile(self.0.create(path)?)))
        }
        fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
            self.0.rename(from, to)
        }
        fn link(&self, from: &Path, to: &Path) -> std::io::Result<()> {
            self.0.link(from, to)
        }
        fn remove(&self, path: &Path) -> std::io::Result<()> {
            self.0.remove(path)
        }
        fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
            self.0.sync_dir(dir)
        }
        fn lock(&self, path: &Path) -> Result<Box<dyn crate::storage::files::FileLock>, crate::storage::files::LockError> {
            self.0.lock(path)
        }
    }
    let (disk, key) = seasoned();
    let store = StoreOptions::on(Arc::new(Bad(disk.clone()))).open_with_recovery("node", &key).unwrap();
    let error = put_all(&store, NEW).unwrap_err();
    assert!(matches!(error, StoreError::Unfaithful { .. }) && error.to_string().contains("failing"), "{error}");
    drop(store);
    assert_eq!(content(&reopen(&disk, &key).unwrap()), owned(OLD));
}

#[test]
fn the_last_three_saves_are_kept_each_once_also_after_failures() {
    let (disk, key) = stored(&[]);
    let kept = |disk: &SimDisk| -> Vec<Option<String>> {
        let at = |name: &str| {
            let bytes = disk.content(&Path::new("node").join(name))?;
            let other = SimDisk::default();
            other.set_content(Path::new("node/store.p2p"), &bytes);
            content(&reopen(&other, &key).unwrap()).pop().map(|(_, value)| value)
        };
        ["store.p2p", "store.p2p.1", "store.p2p.2", "store.p2p.3"].map(at).to_vec()
    };
    let versions = |names: [&str; 4]| names.map(|name| Some(name.to_owned())).to_vec();
    let save = |store: &Store, value: &str| put_all(store, &[("v", value)]);
    for value in ["a", "b", "c", "d", "e"] {
        save(&reopen(&disk, &key).unwrap(), value).unwrap();
    }
    assert_eq!(kept(&disk), versions(["e", "d", "c", "b"]));
    // The last rename fails again and again: the current file is kept as `.1` once, and pushes out one.
    for _ in 0..5 {
        let steps = {
            let disk = disk.copy(Trouble::None);
            save(&reopen(&disk, &key).unwrap(), "f").unwrap();
            disk.steps()
        };
        let last = steps.iter().rposition(|name| *name == "rename").unwrap();
        let failing = disk.copy(Trouble::FailAt(last, ErrorKind::Other));
        save(&reopen(&failing, &key).unwrap(), "f").unwrap_err();
        assert_eq!(kept(&failing), versions(["e", "e", "d", "c"]));
        let again = failing.copy(Trouble::None);
        save(&reopen(&again, &key).unwrap(), "f").unwrap();
        assert_eq!(kept(&again), versions(["f", "e", "d", "c"]));
    }
}

#[test]
fn a_store_whose_file_is_gone_is_not_made_anew_and_the_error_names_the_earlier_save() {
    let (disk, key) = seasoned();
    disk.remove(Path::new("node/store.p2p")).unwrap();
    let error = reopen(&disk, &key).unwrap_err();
    assert!(matches!(&error, StoreError::OnlyEarlierSave { kept, .. } if kept.ends_with("store.p2p.1")), "{error}");
    assert!(error.to_string().contains("copy that one"));
    let error = StoreOptions::on(Arc::new(disk)).create("node", &password()).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
}

#[test]
fn a_store_that_could_not_be_made_is_not_in_the_way_of_the_next_attempt() {
    let disk = SimDisk::default();
    drop(StoreOptions::on(Arc::new(disk.clone())).create("node", &password()).unwrap());
    let last = disk.steps().iter().rposition(|name| *name == "sync_dir").unwrap();
    let disk = SimDisk::default().copy(Trouble::FailAt(last, ErrorKind::Other));
    let options = StoreOptions::on(Arc::new(disk));
    options.create("node", &password()).unwrap_err();
    options.create("node", &password()).unwrap();
}

#[test]
fn an_unfinished_file_of_a_killed_save_is_ignored_and_replaced() {
    let (disk, key) = seasoned();
    disk.set_content(Path::new("node/store.p2p.new"), b"half a sto");
    put_all(&reopen(&disk, &key).unwrap(), NEW).unwrap();
    assert_eq!(content(&reopen(&disk, &key).unwrap()), owned(BOTH));
    assert!(disk.content(Path::new("node/store.p2p.new")).is_none());
}

#[test]
fn an_empty_file_is_cut_short_and_not_a_new_store() {
    let (disk, key) = seasoned();
    disk.set_content(Path::new("node/store.p2p"), b"");
    let error = reopen(&disk, &key).unwrap_err();
    assert!(matches!(error, StoreError::Truncated { place: Place::Header, .. }), "{error}");
}
