//! Tests of the store as a whole: what it does, and what it does when files, disks and processes fail it.

mod backups;
pub(crate) mod disk;
mod kept;
mod recovery;
mod security;
mod usage;

use std::sync::Arc;

use super::{Password, RecoveryKey, Store, StoreError, StoreOptions};
use disk::SimDisk;

fn password() -> Password {
    Password::new("correct horse battery staple").unwrap()
}

/// A new store in a folder of its own, for as long as that is kept.
pub(crate) fn in_a_folder() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path(), &password()).unwrap().0;
    (dir, store)
}

/// A store on a simulated disk with these entries saved in its archive, already closed again. Opened with the recovery key it costs no
/// password derivation.
pub(crate) fn stored(entries: &[(&str, &str)]) -> (SimDisk, RecoveryKey) {
    let disk = SimDisk::default();
    let (store, key) = StoreOptions::on(Arc::new(disk.clone())).create("node", &password()).unwrap();
    put_all(&store, entries).unwrap();
    store.save().unwrap();
    (disk, key)
}

fn put_all(store: &Store, entries: &[(&str, &str)]) -> Result<(), StoreError> {
    store.update(|all| entries.iter().try_for_each(|(path, value)| all.put(path, *value)))
}

pub(crate) fn reopen(disk: &SimDisk, key: &RecoveryKey) -> Result<Store, StoreError> {
    StoreOptions::on(Arc::new(disk.clone())).open_with_recovery("node", key)
}

/// All entries, readable.
fn content(store: &Store) -> Vec<(String, String)> {
    let text = |path: &str| String::from_utf8_lossy(store.get(path).unwrap().expose()).into_owned();
    store.list("").into_iter().map(|path| (path.clone(), text(&path))).collect()
}

fn owned(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}
