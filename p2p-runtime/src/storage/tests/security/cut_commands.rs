//! Case 2 for what an operator does with a store: recover, restore, backup and a change of the password, with the power cut before any
//! step of it.
//!
//! What is found afterwards is the old state or the new one, the new one where the command had said that it is done; nothing that was
//! acknowledged before is gone; and the command can be given again, where the power may be cut once more.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{
    content,
    disk::{SimDisk, Trouble},
    owned, password, put_all, reopen, stored,
};
use crate::storage::{Password, RecoveryKey, Store, StoreError, StoreOptions, Unlock, files::Files as _};

const CURRENT: &str = "node/store.p2p";
const BACKUP: &str = "backups/monday";
/// What a command may change in the entries on its way.
const MARK: (&str, &str) = ("mark", "set back");
/// What is written to the store right after the command.
const AFTER: (&str, &str) = ("v", "written after it");

type Content = Vec<(String, String)>;

fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions::on(Arc::new(disk.clone()))
}

/// How far a command had come when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    /// That it is done.
    Done,
    /// And that a write after it is.
    Written,
}

/// How far a command came that gives the open store.
fn said(outcome: Result<Store, StoreError>) -> Said {
    match outcome.map(|store| put_all(&store, &[AFTER])) {
        Ok(Ok(())) => Said::Written,
        Ok(Err(_)) => Said::Done,
        Err(_) => Said::Nothing,
    }
}

/// Gives a command once for each of its steps, with the power cut before that, and once with no cut; `look` is shown every end. Gives
/// how many there were.
fn cut_everywhere(disk: &SimDisk, command: impl Fn(&SimDisk) -> Said, mut look: impl FnMut(&SimDisk, Said)) -> usize {
    let whole = disk.copy(Trouble::None);
    assert_eq!(command(&whole), Said::Written, "without a cut it works");
    let mut ends = 0;
    for cut in 0..=whole.steps().len() {
        let running = disk.copy(Trouble::CutAt(cut));
        let said = command(&running);
        for after in running.after_power_cut() {
            ends += 1;
            look(&after, said);
        }
    }
    ends
}

/// One of so many ends has the command given again, with the power cut a second time.
const SECOND_CUT: usize = 8;
/// One of so many ends has the command given again.
const GIVEN_AGAIN: usize = 3;

/// The same, and of the ends some have the command given again and cut again, at a step that moves on from end to end.
fn cut_twice(disk: &SimDisk, command: impl Fn(&SimDisk) -> Said, mut look: impl FnMut(&SimDisk, Said)) {
    let steps = {
        let whole = disk.copy(Trouble::None);
        command(&whole);
        whole.steps().len()
    };
    let (mut second, mut ends) = (0, 0);
    let first = cut_everywhere(disk, &command, |after, said| {
        look(after, said);
        second += 1;
        if said == Said::Nothing && second % SECOND_CUT == 0 {
            let again = after.copy(Trouble::CutAt(second / SECOND_CUT * 7 % steps));
            let said = command(&again);
            let found = again.after_power_cut();
            // The plain cases: nothing stayed, everything did.
            for after in found.first().into_iter().chain(found.last()) {
                ends += 1;
                look(after, said);
            }
        }
    });
    eprintln!("{first} ends of the first cut, {ends} of a second one");
}

/// Entries with others put over them.
fn with(entries: &[(String, String)], put: &[(&str, &str)]) -> Content {
    let mut all: std::collections::BTreeMap<_, _> = entries.iter().cloned().collect();
    all.extend(owned(put));
    all.into_iter().collect()
}

/// Saves up to the fourth with all its earlier ones, and a record in its log.
fn store() -> (SimDisk, RecoveryKey) {
    let (disk, key) = stored(&[("v", "first"), ("kept", "always")]);
    for round in ["second", "third"] {
        put_all(&reopen(&disk, &key).unwrap(), &[("v", round)]).unwrap();
    }
    let store = reopen(&disk, &key).unwrap();
    put_all(&store, &[("v", "fourth")]).unwrap();
    put_all(&store, &[("v", "fourth and more")]).unwrap();
    assert_eq!((store.revision().generation, store.revision().records), (5, 1));
    drop(store);
    (disk, key)
}

mod recovering {
    use super::*;

    /// What is wrong with a store, and how it comes to that.
    type Damage = (&'static str, fn(&SimDisk));

    /// What may have happened to a store before it is recovered.
    const DAMAGES: [Damage; 6] = [
        ("its archive is damaged", |disk| flip(disk, CURRENT, 300)),
        ("its archive is gone", |disk| disk.remove(Path::new(CURRENT)).unwrap()),
        ("its log is broken", |disk| flip(disk, "node/store-5.log", 200)),
        ("its log is gone", |disk| disk.remove(Path::new("node/store-5.log")).unwrap()),
        ("an older file is in its place", |disk| put_older_in_place(disk)),
        ("an older file is in its place, and the newer logs are gone", |disk| {
            put_older_in_place(disk);
            for log in ["node/store-5.log", "node/store-4.log", "node/store-3.log"] {
                disk.remove(Path::new(log)).unwrap();
            }
        }),
    ];

    fn flip(disk: &SimDisk, path: &str, at: usize) {
        let mut bytes = disk.content(Path::new(path)).unwrap();
        bytes[at] ^= 1;
        disk.set_content(Path::new(path), &bytes);
    }

    fn put_older_in_place(disk: &SimDisk) {
        let older = disk.content(Path::new("node/store.p2p.3")).unwrap();
        disk.set_content(Path::new(CURRENT), &older);
    }

    fn recover(disk: &SimDisk, key: &RecoveryKey) -> Result<Store, StoreError> {
        let recovery = options(disk).recover("node", Unlock::Recovery(key))?;
        let (store, _) = recovery.carry_out(|entries| entries.put(MARK.0, MARK.1))?;
        Ok(store)
    }

    /// Every file as it was, in its place or put aside.
    fn assert_nothing_is_gone(found: &SimDisk, before: &[(PathBuf, Vec<u8>)], what: &str) {
        let aside: HashSet<PathBuf> = found.names().iter().filter_map(|name| Some(name.parent()?.to_path_buf())).collect();
        for (name, bytes) in before {
            let places = aside.iter().map(|dir| dir.join(name.file_name().unwrap()));
            assert!(places.into_iter().any(|place| found.content(&place).as_ref() == Some(bytes)), "{what}: {}", name.display());
        }
    }

    fn recovers_whatever_is_cut(disk: &SimDisk, key: &RecoveryKey, causes: &[Damage]) {
        for (what, damage) in causes {
            let damaged = disk.copy(Trouble::None);
            damage(&damaged);
            damaged.sync_dir(Path::new("node")).unwrap();
            let before: Vec<_> = damaged.names().into_iter().filter(|name| !name.ends_with("store.lock")).collect();
            let before: Vec<_> = before.into_iter().map(|name| (name.clone(), damaged.content(&name).unwrap())).collect();
            let recovered = damaged.copy(Trouble::None);
            let wanted = content(&recover(&recovered, key).unwrap());
            assert_eq!(wanted.iter().filter(|(path, _)| path == "kept" || path == MARK.0).count(), 2, "{what}: {wanted:?}");
            assert_eq!(content(&reopen(&recovered, key).unwrap()), wanted, "{what}: without a cut");
            let written = with(&wanted, &[AFTER]);
            let mut ends = 0;

            cut_twice(
                &damaged,
                |disk| said(recover(disk, key)),
                |after, said| {
                    ends += 1;
                    assert_nothing_is_gone(after, &before, what);
                    let found = reopen(&after.copy(Trouble::None), key).map(|store| content(&store));
                    match found {
                        Ok(found) if found == written => {}
                        Ok(found) => assert!(found == wanted && said < Said::Written, "{what}: after {said:?} {found:?}"),
                        Err(error) if ends % GIVEN_AGAIN != 0 => assert_eq!(said, Said::Nothing, "{what}: {error}"),
                        Err(error) => {
                            assert_eq!(said, Said::Nothing, "{what}: {error}");
                            let again = after.copy(Trouble::None);
                            assert_eq!(content(&recover(&again, key).unwrap()), wanted, "{what}: given again");
                            assert_eq!(content(&reopen(&again, key).unwrap()), wanted, "{what}: opened again");
                            assert_nothing_is_gone(&again, &before, what);
                        }
                    }
                },
            );
        }
    }

    #[test]
    fn case_02_a_recovery_that_is_cut_off_anywhere_has_brought_back_all_or_can_be_done_again() {
        let (disk, key) = store();
        recovers_whatever_is_cut(&disk, &key, &DAMAGES);
    }

    #[test]
    fn case_02_a_recovery_may_be_cut_off_also_where_files_have_one_name_only_and_are_put_aside_as_copies() {
        let (disk, key) = store();
        disk.have_no_links();
        recovers_whatever_is_cut(&disk, &key, &DAMAGES[..1]);
    }

    #[test]
    fn case_02_control_a_recovery_that_syncs_nothing_says_that_it_is_done_and_may_be_undone_by_a_cut() {
        for syncs in [&["sync"], &["sync_dir"]] {
            let (disk, key) = store();
            flip(&disk, CURRENT, 300);
            disk.let_idle(syncs);
            drop(recover(&disk, &key).unwrap());
            assert!(disk.after_power_cut().iter().any(|after| reopen(after, &key).is_err()), "{syncs:?}");
        }
    }
}

mod restoring {
    use super::*;

    /// A backup in its folder, of a store that then went on; gives what the backup holds.
    fn backed_up() -> (SimDisk, RecoveryKey, Content) {
        let (disk, key) = super::store();
        let store = reopen(&disk, &key).unwrap();
        options(&disk).write_backup(BACKUP, &store.backup().unwrap()).unwrap();
        let held = content(&store);
        drop(store);
        for round in ["went on", "went on and on"] {
            let store = reopen(&disk, &key).unwrap();
            put_all(&store, &[("v", round)]).unwrap();
            put_all(&store, &[("kept", round)]).unwrap();
        }
        (disk, key, held)
    }

    fn restore(disk: &SimDisk, key: &RecoveryKey, dir: &str) -> Result<Store, StoreError> {
        options(disk).restore(BACKUP, dir, Unlock::Recovery(key), |entries| entries.put(MARK.0, MARK.1))
    }

    fn restores_whatever_is_cut(disk: &SimDisk, key: &RecoveryKey, dir: &str, held: &[(String, String)]) {
        let backup = disk.content(Path::new(BACKUP));
        let wanted = with(held, &[MARK]);
        let written = with(&wanted, &[AFTER]);
        cut_twice(
            disk,
            |disk| said(restore(disk, key, dir)),
            |after, said| {
                assert_eq!(after.content(Path::new(BACKUP)), backup);
                match options(&after.copy(Trouble::None)).open_with_recovery(dir, key).map(|store| content(&store)) {
                    Ok(found) if found == written => {}
                    Ok(found) => assert!(found == wanted && said < Said::Written, "after {said:?} {found:?}"),
                    Err(error) => {
                        assert!(matches!(error, StoreError::NotFound { .. }), "half a store: {error}");
                        assert_eq!(said, Said::Nothing);
                        let again = after.copy(Trouble::None);
                        assert_eq!(content(&restore(&again, key, dir).unwrap()), wanted, "given again");
                        assert_eq!(content(&options(&again).open_with_recovery(dir, key).unwrap()), wanted, "opened again");
                    }
                }
            },
        );
    }

    #[test]
    fn case_02_a_restore_into_a_new_folder_that_is_cut_off_anywhere_has_made_the_whole_store_or_none() {
        let (disk, key, held) = backed_up();
        restores_whatever_is_cut(&disk, &key, "new", &held);
        disk.have_no_links();
        restores_whatever_is_cut(&disk, &key, "new", &held);
    }

    #[test]
    fn case_02_a_restore_into_the_folder_of_which_only_the_archives_were_removed_is_not_led_astray_by_the_logs() {
        let (disk, key, held) = backed_up();
        for name in disk.names() {
            if name.starts_with("node") && name.extension().is_none_or(|extension| extension != "log") {
                disk.remove(&name).unwrap();
            }
        }
        disk.sync_dir(Path::new("node")).unwrap();
        assert!(disk.names().iter().filter(|name| name.starts_with("node")).count() >= 2, "{:?}", disk.names());
        restores_whatever_is_cut(&disk, &key, "node", &held);
    }

    #[test]
    fn case_02_a_restore_where_a_store_is_changes_none_of_it_whenever_the_power_is_cut() {
        let (disk, key, _) = backed_up();
        let before = content(&reopen(&disk, &key).unwrap());
        let whole = disk.copy(Trouble::None);
        assert!(matches!(restore(&whole, &key, "node"), Err(StoreError::Exists { .. })));
        for cut in 0..=whole.steps().len() {
            let running = disk.copy(Trouble::CutAt(cut));
            restore(&running, &key, "node").unwrap_err();
            for after in running.after_power_cut() {
                assert_eq!(content(&reopen(&after, &key).unwrap()), before);
            }
        }
    }

    #[test]
    fn case_02_control_a_restore_that_syncs_nothing_says_that_it_is_done_and_a_cut_leaves_half_a_store_or_none() {
        for syncs in [&["sync"], &["sync_dir"]] {
            let (disk, key, _) = backed_up();
            disk.let_idle(syncs);
            drop(restore(&disk, &key, "new").unwrap());
            let opens = |after: &SimDisk| options(after).open_with_recovery("new", &key).is_ok();
            assert!(!disk.after_power_cut().iter().all(opens), "{syncs:?}");
        }
    }
}

mod backing_up {
    use super::*;

    const TUESDAY: &str = "backups/tuesday";

    fn restored(disk: &SimDisk, key: &RecoveryKey, backup: &str) -> Result<Content, StoreError> {
        let disk = disk.copy(Trouble::None);
        let store = options(&disk).restore(backup, "elsewhere", Unlock::Recovery(key), |_| Ok::<_, StoreError>(()))?;
        Ok(content(&store))
    }

    /// A store with Monday's backup, which then went on; its content on Monday, and what Tuesday's backup is to be.
    fn on_tuesday() -> (SimDisk, RecoveryKey, Content, Vec<u8>) {
        let (disk, key) = super::store();
        let store = reopen(&disk, &key).unwrap();
        let monday = content(&store);
        options(&disk).write_backup(BACKUP, &store.backup().unwrap()).unwrap();
        put_all(&store, &[("v", "of tuesday")]).unwrap();
        let bytes = store.backup().unwrap();
        (disk, key, monday, bytes)
    }

    fn write(disk: &SimDisk, to: &str, bytes: &[u8]) -> Said {
        if options(disk).write_backup(to, bytes).is_ok() { Said::Written } else { Said::Nothing }
    }

    #[test]
    fn case_02_a_backup_that_is_cut_off_anywhere_is_whole_under_its_name_or_has_none_and_no_half_one_is_taken_for_whole() {
        let (disk, key, monday, bytes) = on_tuesday();
        let (tuesday, running) = (restored_of(&disk, &key, &bytes), content(&reopen(&disk, &key).unwrap()));
        let (mut halves, mut wholes) = (0, 0);
        cut_twice(
            &disk,
            |disk| write(disk, TUESDAY, &bytes),
            |after, said| {
                assert_eq!(restored(after, &key, BACKUP).unwrap(), monday, "the earlier one is as it was");
                assert_eq!(content(&reopen(&after.copy(Trouble::None), &key).unwrap()), running, "and so is the store");
                match after.content(Path::new(TUESDAY)) {
                    Some(found) => assert_eq!(found, bytes),
                    None => assert_eq!(said, Said::Nothing),
                }
                // What was left under the name of an unfinished one is refused, unless it is all there.
                if after.content(Path::new("backups/tuesday.new")).is_some() {
                    match restored(after, &key, "backups/tuesday.new") {
                        Ok(found) => {
                            wholes += 1;
                            assert_eq!(found, tuesday);
                        }
                        Err(StoreError::Truncated { .. } | StoreError::Damaged { .. }) => halves += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                let again = after.copy(Trouble::None);
                let is_there = after.content(Path::new(TUESDAY)).is_some();
                match options(&again).write_backup(TUESDAY, &bytes) {
                    Ok(()) => assert!(!is_there),
                    Err(error) => assert!(is_there && matches!(error, StoreError::BackupExists { .. }), "{error}"),
                }
                assert_eq!(restored(&again, &key, TUESDAY).unwrap(), tuesday);
            },
        );
        assert!(halves > 0 && wholes > 0, "{halves} halves, {wholes} wholes");
    }

    /// What a backup of these bytes holds.
    fn restored_of(disk: &SimDisk, key: &RecoveryKey, bytes: &[u8]) -> Content {
        let disk = disk.copy(Trouble::None);
        disk.set_content(Path::new(TUESDAY), bytes);
        restored(&disk, key, TUESDAY).unwrap()
    }

    #[test]
    fn case_02_a_backup_under_a_name_that_is_taken_leaves_the_earlier_one_whenever_the_power_is_cut() {
        let (disk, key, monday, bytes) = on_tuesday();
        let whole = disk.copy(Trouble::None);
        assert!(matches!(options(&whole).write_backup(BACKUP, &bytes), Err(StoreError::BackupExists { .. })));
        for cut in 0..=whole.steps().len() {
            let running = disk.copy(Trouble::CutAt(cut));
            options(&running).write_backup(BACKUP, &bytes).unwrap_err();
            for after in running.after_power_cut() {
                assert_eq!(restored(&after, &key, BACKUP).unwrap(), monday);
            }
        }
    }

    #[test]
    fn case_02_control_a_backup_written_over_the_earlier_one_is_torn_by_a_cut_and_the_earlier_one_gone() {
        let (disk, key, _, bytes) = on_tuesday();
        disk.remove(Path::new(BACKUP)).unwrap();
        let mut file = disk.create(Path::new(BACKUP)).unwrap();
        file.write(&bytes).unwrap();
        disk.sync_dir(Path::new("backups")).unwrap();
        assert!(disk.after_power_cut().iter().any(|after| restored(after, &key, BACKUP).is_err()));
    }
}

mod changing_the_password {
    use super::*;

    fn new() -> Password {
        Password::new("another one").unwrap()
    }

    fn opens(disk: &SimDisk, password: &Password) -> bool {
        match options(&disk.copy(Trouble::None)).open("node", password) {
            Ok(_) => true,
            Err(StoreError::WrongPassword { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn case_02_a_change_of_the_password_that_is_cut_off_anywhere_leaves_the_old_or_the_new_one_and_the_recovery_key() {
        let (disk, key) = store();
        let (before, old) = (content(&reopen(&disk, &key).unwrap()), disk.content(Path::new(CURRENT)));
        assert!(opens(&disk, &password()) && !opens(&disk, &new()));
        let after_it = with(&before, &[AFTER]);
        // Archives whose password is known already: each other one costs a derivation.
        let mut with_new = HashSet::new();
        let (mut still_old, mut changed) = (0, 0);
        cut_everywhere(
            &disk,
            |disk| said(reopen(disk, &key).and_then(|store| store.change_password(&new()).map(|()| store))),
            |after, said| {
                let found = content(&reopen(&after.copy(Trouble::None), &key).unwrap());
                assert!(found == after_it || found == before && said < Said::Written, "after {said:?} {found:?}");
                let archive = after.content(Path::new(CURRENT));
                if archive == old {
                    assert_eq!((said, &found), (Said::Nothing, &before));
                    still_old += 1;
                } else {
                    changed += 1;
                    if with_new.insert(archive) {
                        assert!(opens(after, &new()));
                    }
                }
            },
        );
        assert!(still_old > 0 && changed > 0, "{still_old} old, {changed} new");
    }
}
