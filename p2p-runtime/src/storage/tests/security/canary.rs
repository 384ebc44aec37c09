//! Case 11: a secret that would be recognised anywhere is searched for in every file and in everything that is printed.

use std::{fs, path::Path};

use super::super::put_all;
use crate::storage::{Password, Store, StoreError, StoreOptions};

fn has(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[test]
fn case_11_control_the_search_finds_a_secret_that_is_written_plainly() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), [&[0; 1000][..], b"canary-7c1e9b44-secret", &[0; 1000]].concat()).unwrap();
    assert!(has(&fs::read(file.path()).unwrap(), "canary"));
}

#[test]
fn case_11_no_file_and_no_debug_output_contains_a_secret_or_a_path() {
    const CANARY: &str = "canary-7c1e9b44-secret";
    let dir = tempfile::tempdir().unwrap();
    let password = Password::new("canary-password-5d0f").unwrap();
    let (store, key) = Store::create(dir.path(), &password).unwrap();
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
    StoreOptions::new().write_backup(dir.path().join("backup"), &store.backup().unwrap()).unwrap();
    let entries = store.update(|entries| Ok::<_, StoreError>(format!("{entries:?}"))).unwrap();
    let shown = format!("{store:?} {key:?} {password:?} {:?} {entries}", store.get("canary/path"));
    assert!(!shown.contains("canary"), "{shown}");

    let revealed = key.reveal();
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let expected = [
        "backup",
        "store-4.log",
        "store-5.log",
        "store-6.log",
        "store-7.log",
        "store.lock",
        "store.p2p",
        "store.p2p.1",
        "store.p2p.2",
        "store.p2p.3",
    ];
    assert_eq!(names.iter().map(|name| name.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>(), expected);
    for path in names {
        let bytes = fs::read(&path).unwrap();
        for secret in ["canary", &CANARY[8..], &revealed, &revealed.replace('-', "")] {
            assert!(!has(&bytes, secret), "{}", path.display());
        }
        assert_private(&path);
    }
}

#[cfg(unix)]
fn assert_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
}

#[cfg(not(unix))]
fn assert_private(_: &Path) {}
