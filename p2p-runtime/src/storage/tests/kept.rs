//! The saves that are kept, and what is left of those that were not finished.

use std::{io::ErrorKind, path::Path, sync::Arc};

use super::{
    content,
    disk::{SimDisk, Trouble},
    owned, password, put_all, reopen, stored,
};
use crate::storage::{Place, Store, StoreError, StoreOptions, files::Files as _};

const OLD: &[(&str, &str)] = &[("certs/node.pem", "the old certificate"), ("kept", "always")];
const NEW: &[(&str, &str)] = &[("certs/node.pem", "the new certificate, longer than before"), ("keys/node", "new")];
const BOTH: &[(&str, &str)] =
    &[("certs/node.pem", "the new certificate, longer than before"), ("kept", "always"), ("keys/node", "new")];

#[test]
fn the_last_three_saves_are_kept_each_once_also_after_failures() {
    let (disk, key) = stored(&[]);
    let kept = |disk: &SimDisk| -> Vec<Option<String>> {
        let at = |name: &str| {
            let bytes = disk.content(&Path::new("node").join(name))?;
            // Away from the newer ones, which would show that it is older.
            let other = disk.copy(Trouble::None);
            for newer in ["store.p2p.1", "store.p2p.2", "store.p2p.3"] {
                let _ = other.remove(&Path::new("node").join(newer));
            }
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
    let (disk, key) = stored(OLD);
    disk.remove(Path::new("node/store.p2p")).unwrap();
    let error = reopen(&disk, &key).unwrap_err();
    assert!(matches!(&error, StoreError::OnlyEarlierSave { kept, .. } if kept.ends_with("store.p2p.1")), "{error}");
    assert!(error.to_string().contains("`p2p store recover`"));
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
    let (disk, key) = stored(OLD);
    disk.set_content(Path::new("node/store.p2p.new"), b"half a sto");
    put_all(&reopen(&disk, &key).unwrap(), NEW).unwrap();
    assert_eq!(content(&reopen(&disk, &key).unwrap()), owned(BOTH));
    assert!(disk.content(Path::new("node/store.p2p.new")).is_none());
}

#[test]
fn an_empty_file_is_cut_short_and_not_a_new_store() {
    let (disk, key) = stored(OLD);
    disk.set_content(Path::new("node/store.p2p"), b"");
    let error = reopen(&disk, &key).unwrap_err();
    assert!(matches!(error, StoreError::Truncated { place: Place::Header, .. }), "{error}");
}
