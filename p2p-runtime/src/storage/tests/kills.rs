//! A process killed while it saves, and one that finds the store in use by another process.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{password, put_all};
use crate::storage::{RecoveryKey, Store, StoreError};

const DIR: &str = "P2P_TEST_STORE_DIR";
const KEY: &str = "P2P_TEST_STORE_KEY";
const KILLS: u32 = 60;

/// The other process: saves one number after the other, and says each once it is saved.
#[test]
#[ignore = "this is the process that the other tests here start and kill"]
fn saves_until_killed() {
    let (Ok(dir), Ok(key)) = (env::var(DIR), env::var(KEY)) else { return };
    let store = Store::open_with_recovery(dir, &key.parse().unwrap()).unwrap();
    let mut number = saved_number(&store);
    // Straight to the pipe; it ends by itself when nobody listens any more.
    let mut out = std::io::stdout().lock();
    while writeln!(out, "\nsaved {number}").and_then(|()| out.flush()).is_ok() {
        number += 1;
        let text = number.to_string();
        put_all(&store, &[("number", &text), ("again", &text), ("filler", &"x".repeat(number as usize % 5000))]).unwrap();
    }
}

fn saved_number(store: &Store) -> u32 {
    let read = |path| store.get(path).map_or(0, |text| std::str::from_utf8(text.expose()).unwrap().parse().unwrap());
    assert_eq!(read("number"), read("again"), "an update was torn");
    read("number")
}

fn start(dir: &Path, key: &RecoveryKey) -> (Child, BufReader<ChildStdout>) {
    let this = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("{this}::saves_until_killed"), "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(KEY, key.reveal().as_str())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// The next number that the process says it saved; `None` when it is gone.
fn next_saved(out: &mut BufReader<ChildStdout>) -> Option<u32> {
    loop {
        let mut line = String::new();
        if out.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        // A line that the kill cut off acknowledges nothing.
        if let Some(number) = line.strip_prefix("saved ").and_then(|rest| rest.strip_suffix('\n')) {
            return Some(number.parse().unwrap());
        }
    }
}

#[test]
fn a_process_killed_while_saving_loses_nothing_that_it_said_was_saved() {
    let seed = rand::rng().random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = Store::create(dir.path(), &password()).unwrap();
    drop(store);
    let mut unfinished = 0;
    for kill in 0..KILLS {
        let (mut child, mut out) = start(dir.path(), &key);
        let mut acknowledged = 0;
        for _ in 0..random.random_range(1..4) {
            acknowledged = next_saved(&mut out).expect("the process ended before it was killed");
        }
        // It is saving the next one now; kill it somewhere in there.
        for _ in 0..random.random_range(0..200_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(number) = next_saved(&mut out) {
            acknowledged = number;
        }
        unfinished += u32::from(dir.path().join("store.p2p.new").exists());
        let store = Store::open_with_recovery(dir.path(), &key).unwrap();
        let found = saved_number(&store);
        assert!(found == acknowledged || found == acknowledged + 1, "kill {kill}: {found} after {acknowledged} was acknowledged");
    }
    eprintln!("{unfinished} of {KILLS} kills left an unfinished file behind");
}

#[test]
fn a_store_in_use_by_another_process_names_it_and_is_free_when_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = Store::create(dir.path(), &password()).unwrap();
    drop(store);
    let (mut child, mut out) = start(dir.path(), &key);
    next_saved(&mut out).unwrap();
    let error = Store::open_with_recovery(dir.path(), &key).unwrap_err();
    assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == child.id()), "{error}");
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    Store::open_with_recovery(dir.path(), &key).unwrap();
}
