//! What the store does on a real disk when nothing fails, and when its user errs.

use std::{fs, sync::Arc};

use super::{content, owned, password, put_all};
use crate::storage::{Password, Secret, Store, StoreError, StoreOptions, Unlock};

#[test]
fn what_was_saved_is_there_when_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::create(dir.path().join("node"), &password()).unwrap();
    let large = vec![7; 1 << 20];
    store.put("large", large.clone()).unwrap();
    store.put("empty", "").unwrap();
    store.put("gone", "soon").unwrap();
    assert!(store.is_unsaved());
    store.save().unwrap();
    assert!(!store.is_unsaved());
    assert_eq!(store.remove("gone").unwrap().expose(), b"soon");
    assert!(store.remove("never there").is_none());
    store.save().unwrap();
    assert_eq!(store.generation(), 3);
    drop(store);

    let store = Store::open(dir.path().join("node"), &password()).unwrap();
    assert_eq!(store.list(""), ["empty", "large"]);
    assert_eq!(store.get("large").unwrap().expose(), large);
    assert_eq!(store.get("empty").unwrap().expose(), b"");
    assert!(store.get("gone").is_none());
    assert_eq!(store.generation(), 3);
}

#[test]
fn a_save_with_nothing_to_save_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::create(dir.path(), &password()).unwrap();
    store.save().unwrap();
    store.update(|entries| Ok::<_, StoreError>(entries.len())).unwrap();
    assert_eq!(store.generation(), 1);
}

#[test]
fn an_update_that_its_own_closure_refuses_changes_nothing() {
    #[derive(Debug)]
    enum Refused {
        Used,
        Store(#[allow(dead_code)] StoreError),
    }
    impl From<StoreError> for Refused {
        fn from(error: StoreError) -> Self {
            Self::Store(error)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::create(dir.path(), &password()).unwrap();
    let refused = store.update(|entries| {
        entries.put("tokens/1", "used")?;
        if entries.contains("tokens/1") { Err(Refused::Used) } else { Ok(()) }
    });
    assert!(matches!(refused, Err(Refused::Used)));
    assert!(store.list("").is_empty() && !store.is_unsaved() && store.generation() == 1);
}

#[test]
fn many_threads_share_a_store_and_no_update_of_theirs_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::create(dir.path(), &password()).unwrap();
    let store = Arc::new(store);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for round in 0..5 {
                    store.put(&format!("{thread}/put/{round}"), "x").unwrap();
                    put_all(&store, &[(&format!("{thread}/updated/{round}"), "x")]).unwrap();
                    assert!(store.get(&format!("{thread}/put/{round}")).is_some());
                }
            });
        }
    });
    assert_eq!(store.list("").len(), 40);
    assert!(!store.is_unsaved());
}

#[test]
fn a_panic_in_an_update_leaves_the_store_usable_and_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::create(dir.path(), &password()).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.update(|entries| -> Result<(), StoreError> {
            entries.put("half", "done")?;
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());
    put_all(&store, &[("after", "it")]).unwrap();
    assert_eq!(content(&store), owned(&[("after", "it")]));
}

#[test]
fn a_store_is_never_made_over_another() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!Store::exists(dir.path()).unwrap());
    drop(Store::create(dir.path(), &password()).unwrap());
    assert!(Store::exists(dir.path()).unwrap());
    let before = fs::read(dir.path().join("store.p2p")).unwrap();
    let error = Store::create(dir.path(), &password()).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }) && error.to_string().contains("`p2p start`"), "{error}");
    // Not over what is no store at all, either.
    fs::write(dir.path().join("store.p2p"), "precious").unwrap();
    assert!(matches!(Store::create(dir.path(), &password()), Err(StoreError::Exists { .. })));
    assert_eq!(fs::read(dir.path().join("store.p2p")).unwrap(), b"precious");
    fs::write(dir.path().join("store.p2p"), before).unwrap();
    Store::open(dir.path(), &password()).unwrap();
}

#[test]
fn the_advice_given_for_a_damaged_store_works() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = Store::create(dir.path(), &password()).unwrap();
    put_all(&store, &[("a", "before")]).unwrap();
    store.save().unwrap();
    put_all(&store, &[("a", "after")]).unwrap();
    store.save().unwrap();
    drop(store);
    let file = dir.path().join("store.p2p");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    let error = Store::open_with_recovery(dir.path(), &key).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), bytes, "the damaged file is left for whoever looks into it");
    assert!(error.to_string().contains("`p2p store recover`"), "{error}");

    let recovery = StoreOptions::new().recover(dir.path(), Unlock::Recovery(&key)).unwrap();
    let (store, aside) = recovery.carry_out(|_| Ok::<_, StoreError>(())).unwrap();
    assert_eq!(content(&store), owned(&[("a", "after")]), "the save before it, with its log, has all of it");
    assert_eq!(fs::read(aside.join("store.p2p")).unwrap(), bytes, "the damaged file is put aside");
    put_all(&store, &[("a", "after")]).unwrap();
}

#[test]
fn a_folder_without_a_store_says_how_to_make_one_and_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    for missing in [dir.path().to_path_buf(), dir.path().join("not/there")] {
        let error = Store::open(&missing, &password()).unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("`p2p init`") && error.to_string().contains("`p2p join`"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_recovery_key_opens_the_store_and_the_password_can_be_set_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = Store::create(dir.path(), &password()).unwrap();
    put_all(&store, &[("a", "b")]).unwrap();
    drop(store);
    let key = key.reveal().parse().unwrap();
    let store = Store::open_with_recovery(dir.path(), &key).unwrap();
    store.put("unsaved", "too").unwrap();
    let new = Password::new("another one").unwrap();
    store.change_password(&new).unwrap();
    drop(store);
    assert!(matches!(Store::open(dir.path(), &password()), Err(StoreError::WrongPassword { .. })));
    let store = Store::open(dir.path(), &new).unwrap();
    assert_eq!(content(&store), owned(&[("a", "b"), ("unsaved", "too")]));
    drop(store);
    Store::open_with_recovery(dir.path(), &key).unwrap();
}

#[test]
fn more_derivation_rounds_can_be_asked_for_and_are_not_taken_back_by_a_new_password() {
    for rounds in [0, 599_999, 10_000_001] {
        let error = StoreOptions::new().kdf_rounds(rounds).unwrap_err();
        assert!(matches!(error, StoreError::KdfRoundsOutOfRange { .. }) && error.to_string().contains("600000"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new().kdf_rounds(700_000).unwrap();
    drop(options.create(dir.path(), &password()).unwrap());
    let rounds = || fs::read(dir.path().join("store.p2p")).unwrap()[71..75].to_vec();
    assert_eq!(rounds(), 700_000_u32.to_be_bytes());
    let store = Store::open(dir.path(), &password()).unwrap();
    store.change_password(&Password::new("new").unwrap()).unwrap();
    assert_eq!(rounds(), 700_000_u32.to_be_bytes());
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_to_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("a file");
    fs::write(&blocked, "").unwrap();
    let error = Store::create(blocked.join("node"), &password()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }) && error.to_string().contains("may write there"), "{error}");
}

#[test]
fn a_secret_taken_from_the_store_stays_readable_after_its_entry_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::create(dir.path(), &password()).unwrap();
    store.put("key", Secret::from("first")).unwrap();
    let taken = store.get("key").unwrap();
    store.put("key", "second").unwrap();
    assert_eq!((taken.expose(), store.get("key").unwrap().expose()), (&b"first"[..], &b"second"[..]));
}
