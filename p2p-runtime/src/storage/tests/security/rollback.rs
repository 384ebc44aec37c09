//! Case 10: older files put back. What the folder still shows is noticed here; all of it put back is noticed only by who remembers.
//!
//! The other half is the cluster's: a node tells its peers its [`Revision`], and who remembers a later one says so (`network::standing`).

use std::path::Path;

use super::super::{
    content,
    disk::{SimDisk, Trouble},
    owned, put_all, reopen, stored,
};
use crate::storage::{RecoveryKey, Revision, StoreError, files::Files as _};

/// A store that was saved with `a`, then with `b`, and has `c` in its log; and the disk as it was at each.
fn three_states() -> ([SimDisk; 3], RecoveryKey) {
    let (disk, key) = stored(&[("v", "a")]);
    let a = disk.copy(Trouble::None);
    let store = reopen(&disk, &key).unwrap();
    put_all(&store, &[("v", "b")]).unwrap();
    let b = disk.copy(Trouble::None);
    put_all(&store, &[("v", "c")]).unwrap();
    drop(store);
    ([a, b, disk], key)
}

#[test]
fn case_10_an_older_save_put_in_the_place_of_the_newest_is_noticed_by_what_the_newer_left() {
    let ([old, _, disk], key) = three_states();
    let current = Path::new("node/store.p2p");
    let rolled_back = disk.copy(Trouble::None);
    rolled_back.set_content(current, &old.content(current).unwrap());
    let error = reopen(&rolled_back, &key).unwrap_err();
    assert!(matches!(error, StoreError::RolledBack { found: 2, newer: 3, .. }), "{error}");
    assert!(error.to_string().contains("is save 2, but save 3 was in use here"), "{error}");
    assert!(error.to_string().contains("`p2p store recover`"), "{error}");
    // A kept save alone shows it, too.
    let kept = rolled_back.copy(Trouble::None);
    kept.remove(Path::new("node/store-3.log")).unwrap();
    kept.set_content(Path::new("node/store.p2p.2"), &disk.content(current).unwrap());
    assert!(matches!(reopen(&kept, &key), Err(StoreError::RolledBack { newer: 3, .. })));
    // What a save that was cut off has left shows nothing: it was never in use.
    let unfinished = old.copy(Trouble::None);
    let ([_, other, _], _) = three_states();
    unfinished.set_content(Path::new("node/store-9.log"), &other.content(Path::new("node/store-3.log")).unwrap());
    reopen(&unfinished, &key).unwrap();
}

#[test]
fn case_10_a_store_older_than_somebody_remembers_is_said_to_be_so() {
    let (states, key) = three_states();
    let revisions: Vec<_> = states.iter().map(|disk| reopen(disk, &key).unwrap().revision()).collect();
    let of = |generation, records| Revision { generation, records };
    assert_eq!(revisions, [of(2, 0), of(3, 0), of(3, 1)]);
    for (at, disk) in states.iter().enumerate() {
        let store = reopen(disk, &key).unwrap();
        for (later, remembered) in revisions.iter().enumerate() {
            let checked = store.check_not_older_than(*remembered);
            assert_eq!(checked.is_ok(), at >= later, "{at} {later}");
            if let Err(error) = checked {
                let text = error.to_string();
                assert!(
                    text.contains(&format!("revision {}", revisions[at])) && text.contains(&remembered.to_string()),
                    "{text}"
                );
            }
        }
    }
}

/// Nothing on one machine can tell this: it is what was acknowledged once.
#[test]
fn case_10_control_all_files_put_back_open_as_they_did_then() {
    let ([a, b, _], key) = three_states();
    for (disk, value) in [(a, "a"), (b, "b")] {
        assert_eq!(content(&reopen(&disk, &key).unwrap()), owned(&[("v", value)]));
    }
}
