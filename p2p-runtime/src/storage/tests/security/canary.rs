//! Case 11: a secret that would be recognised anywhere is searched for in every file and in everything that is printed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::super::put_all;
use crate::storage::{
    Password, Store, StoreError, StoreOptions,
    checks::{Check, without},
};

const CANARY: &str = "canary-7c1e9b44-secret";

/// Makes a store in this folder with a canary in its archive, in each kept one, in logs and in a backup. Gives its recovery key, revealed.
fn fill(dir: &Path) -> String {
    let password = Password::new("canary-password-5d0f").unwrap();
    let (store, key) = Store::create(dir, &password).unwrap();
    for round in 0..5 {
        put_all(&store, &[("canary/path", CANARY), (&format!("canary/{round}"), CANARY)]).unwrap();
        store.save().unwrap();
    }
    store.remove("canary/0").unwrap();
    store.save().unwrap();
    // In the log, too.
    put_all(&store, &[("canary/log", CANARY)]).unwrap();
    store.remove("canary/1").unwrap();
    store.update(|_| Ok::<_, StoreError>(())).unwrap();
    assert!(store.revision().records == 2 && !store.is_unsaved());
    StoreOptions::new().write_backup(dir.join("backup"), &store.backup().unwrap()).unwrap();
    let entries = store.update(|entries| Ok::<_, StoreError>(format!("{entries:?}"))).unwrap();
    let shown = format!("{store:?} {key:?} {password:?} {:?} {entries}", store.get("canary/path"));
    assert!(!shown.contains("canary"), "{shown}");
    key.reveal().to_string()
}

/// The store's files, which only their user may read, and what is in them.
fn files_in(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |path: PathBuf| {
        assert_private(&path);
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
    };
    fs::read_dir(dir).unwrap().map(|file| read(file.unwrap().path())).collect()
}

/// The names of those in which this secret stands.
fn names_with<'a>(files: &'a BTreeMap<String, Vec<u8>>, secret: &str) -> Vec<&'a str> {
    let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    files.iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name.as_str()).collect()
}

/// The files of the store but its lock, sorted.
const FILES: [&str; 9] = [
    "backup",
    "store-4.log",
    "store-5.log",
    "store-6.log",
    "store-7.log",
    "store.p2p",
    "store.p2p.1",
    "store.p2p.2",
    "store.p2p.3",
];

#[test]
fn case_11_no_file_and_no_debug_output_contains_a_secret_or_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let revealed = fill(dir.path());
    let files = files_in(dir.path());
    let (lock, others): (Vec<_>, Vec<_>) = files.keys().partition(|name| *name == "store.lock");
    assert_eq!((lock.len(), others), (1, FILES.map(str::to_owned).iter().collect()));
    for secret in ["canary", &CANARY[8..], &revealed, &revealed.replace('-', "")] {
        assert!(names_with(&files, secret).is_empty(), "{:?}", names_with(&files, secret));
    }
}

#[test]
fn case_11_control_without_the_cipher_the_same_search_finds_path_and_value_in_all_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    without(&[Check::Cipher], || fill(dir.path()));
    let files = files_in(dir.path());
    // Between save 6 and the next one nothing was written to the log.
    let wanted: Vec<_> = FILES.into_iter().filter(|name| *name != "store-6.log").collect();
    for secret in ["canary/", &CANARY[8..]] {
        assert_eq!(names_with(&files, secret), wanted, "{secret}");
    }
}

#[cfg(unix)]
fn assert_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
}

#[cfg(not(unix))]
fn assert_private(_: &Path) {}
