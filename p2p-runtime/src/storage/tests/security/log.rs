//! Cases 3, 4 and 5, on the log: what damage or somebody did to it, and what merely a loss of power.

use std::path::{Path, PathBuf};

use super::super::{
    content,
    disk::{SimDisk, Trouble},
    owned, put_all, reopen, stored,
};
use crate::storage::{
    Place, RecoveryKey, StoreError,
    files::Files as _,
    log::{CHUNK, HEAD},
};

/// A store whose log has records, closed without a save.
struct Logged {
    disk: SimDisk,
    key: RecoveryKey,
    path: PathBuf,
    /// The log without records, and after each.
    states: Vec<Vec<u8>>,
}

/// What the store holds with all records, with the last one left out, and so on.
const LONG: &str = "a value that is so long that its record takes more than a single chunk of the log";
const VALUES: [&str; 4] =
    ["saved", "first", LONG, "third, and this one too takes more than a single chunk of the log, or even two"];

impl Logged {
    fn new() -> Self {
        let (disk, key) = stored(&[]);
        let store = reopen(&disk, &key).unwrap();
        put_all(&store, &[("value", VALUES[0])]).unwrap();
        let path = Path::new("node").join(format!("store-{}.log", store.generation()));
        let log = || disk.content(&path).unwrap();
        let mut states = vec![log()];
        for value in &VALUES[1..] {
            put_all(&store, &[("value", value)]).unwrap();
            states.push(log());
        }
        assert_eq!(store.revision().records, 3);
        drop(store);
        Self { disk, key, path, states }
    }

    fn log(&self) -> &[u8] {
        &self.states[3]
    }

    /// Where the record begins and ends: what its write changed.
    fn record(&self, index: usize) -> std::ops::Range<usize> {
        let chunks = self.states[index].chunks(CHUNK).zip(self.states[index + 1].chunks(CHUNK));
        let changed: Vec<_> = chunks.enumerate().filter(|(_, (before, after))| before != after).map(|(chunk, _)| chunk).collect();
        changed[0] * CHUNK..(changed[changed.len() - 1] + 1) * CHUNK
    }

    /// Opens the store with these bytes as log; the number of records that are found, and whether one was dropped.
    fn open(&self, log: &[u8]) -> Result<(usize, bool), StoreError> {
        let disk = self.disk.copy(Trouble::None);
        disk.set_content(&self.path, log);
        let store = reopen(&disk, &self.key)?;
        assert_eq!(disk.content(&self.path).unwrap(), log, "opening changed the log");
        let records = usize::try_from(store.revision().records).unwrap();
        assert_eq!(content(&store), owned(&[("value", VALUES[records])]));
        Ok((records, store.dropped_unfinished_write()))
    }
}

#[test]
fn case_03_every_flipped_bit_of_the_log_is_refused_or_takes_nothing_away() {
    let logged = Logged::new();
    assert_eq!(logged.open(logged.log()).unwrap(), (3, false));
    for at in 0..logged.log().len() {
        for bit in [at % 8, (at + 3) % 8] {
            let mut flipped = logged.log().to_vec();
            flipped[at] ^= 1 << bit;
            if at >= logged.record(2).end + CHUNK {
                // It looks like a write of which the beginning never came. Nothing that was acknowledged is missing.
                assert_eq!(logged.open(&flipped).unwrap(), (3, true), "byte {at}");
                continue;
            }
            let error = logged.open(&flipped).unwrap_err();
            let file = match &error {
                StoreError::Damaged { file, .. } | StoreError::UnsupportedVersion { file, .. } => file,
                other => panic!("byte {at}: {other}"),
            };
            assert_eq!(*file, logged.path, "byte {at}");
            let wanted = (0..3).find(|index| logged.record(*index).contains(&at));
            if let (Some(index), StoreError::Damaged { place, .. }) = (wanted, &error) {
                assert_eq!(*place, Place::Record(index as u64), "byte {at}: {error}");
            }
            assert!(!error.to_string().contains("saved") && error.to_string().contains("p2p"), "{error}");
        }
    }
}

#[test]
fn case_04_a_log_cut_at_any_byte_is_refused_and_so_is_one_that_is_longer() {
    let logged = Logged::new();
    for length in 0..logged.log().len() {
        let error = logged.open(&logged.log()[..length]).unwrap_err();
        assert!(matches!(error, StoreError::Truncated { .. }), "{length}: {error}");
    }
    let error = logged.open(&[logged.log(), &[0]].concat()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::AfterEnd, .. }), "{error}");
}

#[test]
fn case_04_acknowledged_records_taken_off_the_end_are_noticed_where_the_file_keeps_its_length() {
    let logged = Logged::new();
    let body = logged.log().len() - HEAD;
    for from in (0..3).map(|index| logged.record(index).start) {
        let other = |fill: &dyn Fn(usize) -> u8| {
            let mut log = logged.log().to_vec();
            for (at, byte) in log.iter_mut().enumerate().skip(from) {
                *byte = fill(at);
            }
            logged.open(&log)
        };
        for fill in [&|_| 0, &|at: usize| logged.log()[HEAD + (at * 7 + 64) % body]] as [&dyn Fn(usize) -> u8; 2] {
            let error = other(fill).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { place: Place::Record(_), .. }), "{error}");
        }
    }
}

/// This is why the rest is a key stream, and what remains possible: only the bytes from before a record hide it.
#[test]
fn case_04_control_with_a_copy_of_the_bytes_from_before_a_record_it_is_gone_unseen() {
    let logged = Logged::new();
    for records in 0..3 {
        assert_eq!(logged.open(&logged.states[records]).unwrap(), (records, false));
    }
}

#[test]
fn case_05_records_swapped_repeated_or_left_out_within_the_log_are_refused() {
    let logged = Logged::new();
    let (first, second, third) = (logged.record(0), logged.record(1), logged.record(2));
    let empty = &logged.states[0];
    for order in [&[&second, &first, &third][..], &[&first, &third], &[&second], &[&first, &first], &[&first, &second, &second]] {
        let mut log = empty.clone();
        let mut at = HEAD;
        for record in order {
            log[at..at + record.len()].copy_from_slice(&logged.log()[(*record).clone()]);
            at += record.len();
        }
        let error = logged.open(&log).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{order:?}: {error}");
    }
}

#[test]
fn case_05_a_log_of_another_save_or_of_another_store_or_none_is_refused() {
    let logged = Logged::new();
    let other = Logged::new();
    let error = logged.open(other.log()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::Header, .. }), "{error}");

    let store = reopen(&logged.disk, &logged.key).unwrap();
    let at = store.generation();
    put_all(&store, &[("value", "later")]).unwrap();
    put_all(&store, &[("value", "in the later log")]).unwrap();
    let later = Path::new("node").join(format!("store-{}.log", at + 1));
    let newer = logged.disk.content(&later).unwrap();
    drop(store);
    let own = |log: &[u8]| {
        let disk = logged.disk.copy(Trouble::None);
        disk.set_content(&later, log);
        reopen(&disk, &logged.key).map(drop).unwrap_err()
    };
    let error = own(logged.log());
    assert!(matches!(error, StoreError::Damaged { place: Place::OtherSave, .. }), "{error}");
    let spliced = [&newer[..HEAD], &logged.log()[HEAD..]].concat();
    assert!(matches!(own(&spliced), StoreError::Damaged { place: Place::Record(0), .. }));

    let disk = logged.disk.copy(Trouble::None);
    disk.remove(&later).unwrap();
    let error = reopen(&disk, &logged.key).unwrap_err();
    assert!(matches!(&error, StoreError::LogMissing { log, .. } if *log == later), "{error}");
    assert!(error.to_string().contains("put it back") && error.to_string().contains("`p2p store recover`"), "{error}");
}

#[test]
fn case_05_a_record_of_which_a_chunk_was_never_written_is_dropped_and_said_if_it_is_the_last_and_damage_if_not() {
    let logged = Logged::new();
    for index in 0..3 {
        let record = logged.record(index);
        let chunks = record.len() / CHUNK;
        for missing in 1..1_u32 << chunks {
            let mut log = logged.log().to_vec();
            for chunk in (0..chunks).filter(|chunk| missing >> chunk & 1 == 1) {
                let at = record.start + chunk * CHUNK..record.start + (chunk + 1) * CHUNK;
                log[at.clone()].copy_from_slice(&logged.states[0][at]);
            }
            let all = missing + 1 == 1 << chunks;
            match (index, logged.open(&log)) {
                (2, Ok(found)) => assert_eq!(found, (2, !all)),
                // Without its own first chunk it cannot be told how long it was, and whether it is the last.
                (_, Ok(found)) if missing & 1 == 1 => assert_eq!(found, (index, true)),
                (0 | 1, Err(StoreError::Damaged { place, .. })) => assert_eq!(place, Place::Record(index as u64)),
                (_, other) => panic!("record {index} without {missing:b}: {other:?}"),
            }
        }
    }
}

#[test]
fn case_05_an_acknowledged_record_cannot_be_made_to_look_unfinished_by_a_longer_length() {
    let logged = Logged::new();
    let last = logged.record(2);
    for longer in [1, 2, 5] {
        let mut log = logged.log().to_vec();
        let length = u32::from_be_bytes(log[last.start..last.start + 4].try_into().unwrap());
        log[last.start..last.start + 4].copy_from_slice(&(length + longer * 64).to_be_bytes());
        let error = logged.open(&log).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { place: Place::Record(2), .. }), "{error}");
    }
}

#[test]
fn after_an_unfinished_write_the_next_one_is_a_save_and_nothing_of_it_comes_back() {
    let logged = Logged::new();
    let last = logged.record(2);
    let mut log = logged.log().to_vec();
    log[last.start..last.start + CHUNK].copy_from_slice(&logged.states[0][last.start..last.start + CHUNK]);
    logged.disk.set_content(&logged.path, &log);
    let store = reopen(&logged.disk, &logged.key).unwrap();
    assert!(store.dropped_unfinished_write());
    let generation = store.generation();
    put_all(&store, &[("other", "x")]).unwrap();
    assert_eq!(store.generation(), generation + 1);
    drop(store);
    let store = reopen(&logged.disk, &logged.key).unwrap();
    assert!(!store.dropped_unfinished_write());
    assert_eq!(content(&store), owned(&[("other", "x"), ("value", VALUES[2])]));
}
