//! Cases 1 and 9: a process killed while it writes, and one that finds the store in use by another process.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::super::{password, put_all};
use crate::storage::{
    RecoveryKey, Store, StoreError,
    checks::{Check, without},
};

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
    save_all_until_killed(&[]);
}

/// The same, by stores that write a save over the one before.
#[test]
#[ignore = "this is the process that the control here starts and kills"]
fn saves_in_place_until_killed() {
    save_all_until_killed(&[Check::OwnName]);
}

fn save_all_until_killed(left_out: &[Check]) {
    let (Ok(dir), Ok(keys)) = (env::var(DIR), env::var(KEYS)) else { return };
    std::thread::scope(|scope| {
        for (store, key) in keys.split(' ').enumerate() {
            let dir = store_in(Path::new(&dir), store);
            let save = move || save_until_killed(store, &Store::open_with_recovery(dir, &key.parse().unwrap()).unwrap());
            scope.spawn(move || without(left_out, save));
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
    let mut victims = Victims::new(seed);
    for kill in 0..kills {
        victims.kill("saves_until_killed").unwrap_or_else(|loss| panic!("kill {kill}, {loss}"));
    }
    (victims.unfinished, victims.logged)
}

/// The stores of a process that is killed.
struct Victims {
    random: StdRng,
    dir: tempfile::TempDir,
    keys: Vec<RecoveryKey>,
    /// What was read of each so far.
    known: [u32; STORES],
    /// How many kills left an unfinished save behind.
    unfinished: usize,
    /// How many left a log with records.
    logged: usize,
}

impl Victims {
    fn new(seed: u64) -> Self {
        let dir = quick_folder();
        let keys = (0..STORES).map(|which| Store::create(store_in(dir.path(), which), &password()).unwrap().1).collect();
        Self { random: StdRng::seed_from_u64(seed), dir, keys, known: [0; STORES], unfinished: 0, logged: 0 }
    }

    /// Has this process write to them, kills it somewhere, and looks at what it leaves; says what of it was lost.
    fn kill(&mut self, process: &str) -> Result<(), String> {
        let (mut child, mut out) = start(process, self.dir.path(), &self.keys);
        let mut acknowledged = [0; STORES];
        for _ in 0..self.random.random_range(STORES..6 * STORES) {
            let (store, number) = next_saved(&mut out).expect("the process ended before it was killed");
            acknowledged[store] = number;
        }
        kill_somewhere(&mut child, &mut self.random);
        while let Some((store, number)) = next_saved(&mut out) {
            acknowledged[store] = number;
        }
        acknowledged
            .iter()
            .enumerate()
            .try_for_each(|(which, said)| self.look_at(which, *said).map_err(|loss| format!("store {which}: {loss}")))
    }

    fn look_at(&mut self, which: usize, said: u32) -> Result<(), String> {
        let (dir, known) = (store_in(self.dir.path(), which), &mut self.known[which]);
        self.unfinished += usize::from(dir.join("store.p2p.new").exists());
        let store = Store::open_with_recovery(dir, &self.keys[which]).map_err(|error| error.to_string())?;
        self.logged += usize::from(store.revision().records > 0);
        let found = saved_number(&store);
        if found < *known {
            return Err(format!("{found} after {known} was read"));
        }
        // One write may have ended, or nearly, without a word; also of one that said nothing this time.
        let said = said.max(*known);
        if found != said && found != said + 1 {
            return Err(format!("{found} after {said} was acknowledged"));
        }
        *known = found;
        Ok(())
    }
}

#[test]
fn case_01_control_the_same_kills_tear_stores_that_write_a_save_in_the_place_of_the_one_before() {
    let mut victims = Victims::new(1);
    // As many kills as it takes: one in fifteen or so hits it, so that it is not left to chance whether one of all does.
    let loss = (0..KILLS).find_map(|_| victims.kill("saves_in_place_until_killed").err());
    eprintln!("{}", loss.expect("a kill falls into a save"));
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
