//! Cases 1 and 9: a process killed while it writes, and one that finds the store in use by another process.

use std::{
    env,
    io::{BufRead as _, BufReader, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::super::{password, put_all};
use crate::storage::{RecoveryKey, Store, StoreError};

const DIR: &str = "P2P_TEST_STORE_DIR";
const KEYS: &str = "P2P_TEST_STORE_KEYS";
/// How often a process that writes is killed, in the middle of what it does.
const KILLS: usize = 1000;
/// Processes that are killed again and again, side by side.
const PROCESSES: usize = 2;
/// Stores that each of them writes to, from a thread each: starting a process takes longer than a hundred writes.
const STORES: usize = 4;

/// The other process: saves one number after the other in each of its stores, and says each once it is saved.
#[test]
#[ignore = "this is the process that the other tests here start and kill"]
fn saves_until_killed() {
    let (Ok(dir), Ok(keys)) = (env::var(DIR), env::var(KEYS)) else { return };
    std::thread::scope(|scope| {
        for (store, key) in keys.split(' ').enumerate() {
            let dir = store_in(Path::new(&dir), store);
            scope.spawn(move || save_until_killed(store, &Store::open_with_recovery(dir, &key.parse().unwrap()).unwrap()));
        }
    });
}

fn save_until_killed(which: usize, store: &Store) {
    let mut number = saved_number(store);
    // Straight to the pipe; it ends by itself when nobody listens any more.
    let say = |number: u32| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nsaved {which} {number}").and_then(|()| out.flush())
    };
    while say(number).is_ok() {
        number += 1;
        let text = number.to_string();
        put_all(store, &[("number", &text), ("again", &text), ("filler", &"x".repeat(number as usize % 5000))]).unwrap();
        if number.is_multiple_of(3) {
            store.save().unwrap();
        }
    }
}

fn store_in(dir: &Path, which: usize) -> PathBuf {
    dir.join(which.to_string())
}

fn saved_number(store: &Store) -> u32 {
    let read = |path| store.get(path).map_or(0, |text| std::str::from_utf8(text.expose()).unwrap().parse().unwrap());
    assert_eq!(read("number"), read("again"), "an update was torn");
    read("number")
}

fn start(name: &str, dir: &Path, keys: &[RecoveryKey]) -> (Child, BufReader<ChildStdout>) {
    let this = module_path!().split_once("::").unwrap().1;
    let keys: Vec<_> = keys.iter().map(|key| key.reveal().to_string()).collect();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("{this}::{name}"), "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(KEYS, keys.join(" "))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// The next store and number that the process says it saved; `None` when it is gone.
fn next_saved(out: &mut BufReader<ChildStdout>) -> Option<(usize, u32)> {
    loop {
        let mut line = String::new();
        if out.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        // A line that the kill cut off acknowledges nothing.
        if let Some(said) = line.strip_prefix("saved ").and_then(|rest| rest.strip_suffix('\n')) {
            let (store, number) = said.split_once(' ').unwrap();
            return Some((store.parse().unwrap(), number.parse().unwrap()));
        }
    }
}

/// Kills it a moment later: it is writing by then.
fn kill_somewhere(child: &mut Child, random: &mut StdRng) {
    for _ in 0..random.random_range(0..100_000) {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn case_01_writers_of_stores_that_are_killed_1000_times_lose_nothing_that_was_said_to_be_saved() {
    let seed: u64 = rand::rng().random();
    eprintln!("seed {seed}");
    let kills = KILLS / PROCESSES;
    let found: Vec<_> = std::thread::scope(|scope| {
        let killers = (0..PROCESSES).map(|number| scope.spawn(move || kill_again_and_again(seed ^ number as u64, kills)));
        killers.collect::<Vec<_>>().into_iter().map(|killer| killer.join().unwrap()).collect()
    });
    let (saves, records) = found.iter().fold((0, 0), |(saves, records), more| (saves + more.0, records + more.1));
    eprintln!(
        "{KILLS} kills of the writers of {STORES} stores: {saves} in the middle of a save, {records} with records in the log"
    );
    assert!(saves > 0 && records > 0, "the kills hit saves and logs");
}

/// A folder in memory, where there is such a thing: a kill takes nothing from the system, so that what syncs cost would only be
/// waited for.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Gives how many kills left an unfinished save behind, and how many a log with records.
fn kill_again_and_again(seed: u64, kills: usize) -> (usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let dir = quick_folder();
    let keys: Vec<_> = (0..STORES).map(|which| Store::create(store_in(dir.path(), which), &password()).unwrap().1).collect();
    let (mut unfinished, mut logged, mut known) = (0, 0, [0; STORES]);
    for kill in 0..kills {
        let (mut child, mut out) = start("saves_until_killed", dir.path(), &keys);
        let mut acknowledged = [0; STORES];
        for _ in 0..random.random_range(STORES..6 * STORES) {
            let (store, number) = next_saved(&mut out).expect("the process ended before it was killed");
            acknowledged[store] = number;
        }
        kill_somewhere(&mut child, &mut random);
        while let Some((store, number)) = next_saved(&mut out) {
            acknowledged[store] = number;
        }
        for (which, key) in keys.iter().enumerate() {
            let dir = store_in(dir.path(), which);
            unfinished += usize::from(dir.join("store.p2p.new").exists());
            let store = Store::open_with_recovery(dir, key).unwrap();
            logged += usize::from(store.revision().records > 0);
            let (found, said) = (saved_number(&store), acknowledged[which]);
            assert!(found >= known[which], "kill {kill}, store {which}: {found} after {} was read", known[which]);
            // One write may have ended, or nearly, without a word; also of one that said nothing this time.
            let said = said.max(known[which]);
            assert!(found == said || found == said + 1, "kill {kill}, store {which}: {found} after {said} was acknowledged");
            known[which] = found;
        }
    }
    (unfinished, logged)
}

/// Writes as nobody should: over the only copy, syncing it as it goes.
#[test]
#[ignore = "this is the process that the control here starts and kills"]
fn writes_in_place_until_killed() {
    let Ok(dir) = env::var(DIR) else { return };
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(Path::new(&dir).join("file")).unwrap();
    let mut out = std::io::stdout().lock();
    for number in 1_u8.. {
        file.seek(std::io::SeekFrom::Start(0)).unwrap();
        for _ in 0..64 {
            file.write_all(&[number; 1024]).unwrap();
        }
        file.sync_data().unwrap();
        writeln!(out, "\nsaved 0 {number}").and_then(|()| out.flush()).unwrap();
    }
}

#[test]
fn case_01_control_the_same_kills_tear_a_file_that_is_written_in_place() {
    // Where syncing takes no time, so that the kills fall into the writes.
    let dir = quick_folder();
    let mut random = StdRng::seed_from_u64(1);
    // As many kills as it takes: it is torn in most.
    let torn = (0..200).any(|_| {
        let (mut child, mut out) = start("writes_in_place_until_killed", dir.path(), &[]);
        next_saved(&mut out).unwrap();
        kill_somewhere(&mut child, &mut random);
        let found = std::fs::read(dir.path().join("file")).unwrap();
        found.iter().any(|byte| *byte != found[0])
    });
    assert!(torn);
}

#[test]
fn case_09_a_store_in_use_by_another_process_names_it_and_is_free_when_that_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = store_in(parent.path(), 0);
    let (store, key) = Store::create(&dir, &password()).unwrap();
    drop(store);
    let keys = [key];
    let (mut child, mut out) = start("saves_until_killed", parent.path(), &keys);
    next_saved(&mut out).unwrap();
    let error = Store::open_with_recovery(&dir, &keys[0]).unwrap_err();
    assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == child.id()), "{error}");
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    Store::open_with_recovery(&dir, &keys[0]).unwrap();
}

#[test]
fn case_09_a_second_opening_is_refused_with_the_process_that_has_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = Store::create(dir.path(), &password()).unwrap();
    let error = Store::open_with_recovery(dir.path(), &key).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == own), "{error}");
    assert!(error.to_string().contains(&own.to_string()), "{error}");
    drop(store);
    Store::open_with_recovery(dir.path(), &key).unwrap();
}
