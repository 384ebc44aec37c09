//! Cases 3, 4 and 5, on the log: what damage or somebody did to it, and what merely a loss of power; each attack with its control, a
//! store that leaves out the check which stops it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::super::{
    content,
    disk::{SimDisk, Trouble},
    owned, put_all, reopen, stored,
};
use crate::storage::{
    Place, RecoveryKey, StoreError,
    checks::{Check, without},
    files::Files as _,
    log::{CHUNK, HEAD},
};

/// Where the head has the length of the file, the zeros behind that, and its MAC; see the format.
const LENGTH: Range<usize> = 98..106;
const ZEROS: Range<usize> = 106..160;
const MAC: Range<usize> = 160..HEAD;
/// Where a record of one value has its frame's MAC, and the value.
const FRAME_MAC: Range<usize> = 5..21;
const VALUE: usize = 37;

/// What a store was found to hold: its value, how many records of the log, and whether one was dropped.
type Found = Result<(String, usize, bool), StoreError>;

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
    fn record(&self, index: usize) -> Range<usize> {
        let chunks = self.states[index].chunks(CHUNK).zip(self.states[index + 1].chunks(CHUNK));
        let changed: Vec<_> = chunks.enumerate().filter(|(_, (before, after))| before != after).map(|(chunk, _)| chunk).collect();
        changed[0] * CHUNK..(changed[changed.len() - 1] + 1) * CHUNK
    }

    /// Opens the store with these bytes as log; the number of records that are found, and whether one was dropped.
    fn open(&self, log: &[u8]) -> Result<(usize, bool), StoreError> {
        let (value, records, dropped) = self.look(log)?;
        assert_eq!(value, VALUES[records]);
        Ok((records, dropped))
    }

    /// The same, whatever the value is.
    fn look(&self, log: &[u8]) -> Found {
        let disk = self.disk.copy(Trouble::None);
        disk.set_content(&self.path, log);
        let store = reopen(&disk, &self.key)?;
        assert_eq!(disk.content(&self.path).unwrap(), log, "opening changed the log");
        let held = content(&store);
        assert_eq!(held.len(), 1, "{held:?}");
        Ok((held[0].1.clone(), usize::try_from(store.revision().records).unwrap(), store.dropped_unfinished_write()))
    }

    fn flipped(&self, at: usize, bit: usize) -> Vec<u8> {
        let mut flipped = self.log().to_vec();
        flipped[at] ^= 1 << bit;
        flipped
    }

    /// Cut before this chunk, by somebody who makes the length in the head fit.
    fn cut_to_fit(&self, at: usize) -> Vec<u8> {
        let mut log = self.log()[..at].to_vec();
        log[LENGTH].copy_from_slice(&(at as u64).to_be_bytes());
        log
    }

    /// With something else from here to the end: zeros, and bytes of the log itself.
    fn overwritten(&self, from: usize) -> [Vec<u8>; 2] {
        let body = self.log().len() - HEAD;
        let fill = |fill: &dyn Fn(usize) -> u8| {
            let end = (from..self.log().len()).map(fill);
            self.log()[..from].iter().copied().chain(end).collect()
        };
        [fill(&|_| 0), fill(&|at| self.log()[HEAD + (at * 7 + 64) % body])]
    }

    /// With these of its records, in this order.
    fn arranged(&self, order: &[usize]) -> Vec<u8> {
        let mut log = self.states[0].clone();
        let mut at = HEAD;
        for record in order.iter().map(|index| self.record(*index)) {
            log[at..at + record.len()].copy_from_slice(&self.log()[record.clone()]);
            at += record.len();
        }
        log
    }

    /// With a greater length in the frame of the last record.
    fn lengthened(&self, chunks: u32) -> Vec<u8> {
        let mut log = self.log().to_vec();
        let at = self.record(2).start;
        let length = u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
        log[at..at + 4].copy_from_slice(&(length + chunks * 64).to_be_bytes());
        log
    }

    /// The same store one save later, with another record in its new log.
    fn later(self) -> (Self, Vec<u8>) {
        let store = reopen(&self.disk, &self.key).unwrap();
        put_all(&store, &[("value", "later")]).unwrap();
        put_all(&store, &[("value", "in the later log")]).unwrap();
        let path = Path::new("node").join(format!("store-{}.log", store.generation()));
        drop(store);
        let newer = self.disk.content(&path).unwrap();
        (Self { path, ..self }, newer)
    }
}

/// What is done with the records of a log.
const ORDERS: [&[usize]; 5] = [&[1, 0, 2], &[0, 2], &[1], &[0, 0], &[0, 1, 1]];

#[test]
fn case_03_every_flipped_bit_of_the_log_is_refused_or_takes_nothing_away() {
    let logged = Logged::new();
    assert_eq!(logged.open(logged.log()).unwrap(), (3, false));
    for at in 0..logged.log().len() {
        for bit in [at % 8, (at + 3) % 8] {
            let flipped = logged.flipped(at, bit);
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
    for at in (HEAD..logged.log().len()).step_by(CHUNK) {
        let error = logged.open(&logged.cut_to_fit(at)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { place: Place::Header, .. }), "{at}: {error}");
    }
}

#[test]
fn case_03_control_without_tags_and_macs_flipped_bits_of_the_log_pass_or_change_what_the_store_holds() {
    let logged = Logged::new();
    let last = logged.record(2).start;
    for at in last + VALUE..last + VALUE + VALUES[3].len() {
        let (value, records, dropped) = without(&[Check::Tag], || logged.look(&logged.flipped(at, at % 8))).unwrap();
        assert!(value != VALUES[3] && (records, dropped) == (3, false), "byte {at}: {value}");
    }
    for at in FRAME_MAC {
        assert_eq!(
            without(&[Check::FrameMac], || logged.open(&logged.flipped(last + at, at % 8))).unwrap(),
            (3, false),
            "byte {at}"
        );
    }
    for at in ZEROS.chain(MAC) {
        assert_eq!(without(&[Check::LogMac], || logged.open(&logged.flipped(at, at % 8))).unwrap(), (3, false), "byte {at}");
    }
}

#[test]
fn case_04_control_without_its_length_a_log_that_is_cut_between_records_is_taken_for_whole() {
    let logged = Logged::new();
    for index in 0..3 {
        let start = logged.record(index).start;
        assert_eq!(without(&[Check::LogLength], || logged.open(&logged.log()[..start])).unwrap(), (index, false));
        assert_eq!(without(&[Check::LogMac], || logged.open(&logged.cut_to_fit(start))).unwrap(), (index, false));
    }
    assert_eq!(without(&[Check::LogLength], || logged.open(&[logged.log(), &[0]].concat())).unwrap(), (3, false));
}

#[test]
fn case_04_acknowledged_records_taken_off_the_end_are_noticed_where_the_file_keeps_its_length() {
    let logged = Logged::new();
    for log in (0..3).flat_map(|index| logged.overwritten(logged.record(index).start)) {
        let error = logged.open(&log).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { place: Place::Record(_), .. }), "{error}");
    }
}

#[test]
fn case_04_control_where_anything_may_be_room_acknowledged_records_are_called_an_unfinished_write() {
    let logged = Logged::new();
    for index in 0..3 {
        for log in logged.overwritten(logged.record(index).start) {
            assert_eq!(without(&[Check::LogRoom], || logged.open(&log)).unwrap(), (index, true));
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
    for order in ORDERS {
        let error = logged.open(&logged.arranged(order)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{order:?}: {error}");
    }
}

/// A record's frame, its nonce and its associated data each bind it to its place.
#[test]
fn case_05_control_records_that_are_not_bound_to_their_place_are_taken_in_any_order_again_and_left_out() {
    let bindings = [Check::FrameMac, Check::Nonce, Check::Aad];
    let attack = || {
        let logged = Logged::new();
        ORDERS.map(|order| logged.look(&logged.arranged(order)))
    };
    for (order, opened) in ORDERS.into_iter().zip(without(&bindings, attack)) {
        let last = VALUES[order[order.len() - 1] + 1].to_owned();
        assert_eq!(opened.unwrap(), (last, order.len(), false), "{order:?}");
    }
    for kept in bindings {
        let others: Vec<_> = bindings.into_iter().filter(|check| *check != kept).collect();
        assert!(without(&others, attack).iter().all(Result::is_err), "with {kept:?} alone");
    }
}

#[test]
fn case_05_a_log_of_another_save_or_of_another_store_or_none_is_refused() {
    let logged = Logged::new();
    let other = Logged::new();
    let error = logged.open(other.log()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::Header, .. }), "{error}");

    let (logged, newer) = logged.later();
    assert_eq!(logged.look(&newer).unwrap(), ("in the later log".to_owned(), 1, false));
    let error = logged.look(logged.log()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place: Place::OtherSave, .. }), "{error}");
    let spliced = [&newer[..HEAD], &logged.log()[HEAD..]].concat();
    assert!(matches!(logged.look(&spliced), Err(StoreError::Damaged { place: Place::Record(0), .. })));

    let disk = logged.disk.copy(Trouble::None);
    disk.remove(&logged.path).unwrap();
    let error = reopen(&disk, &logged.key).unwrap_err();
    assert!(matches!(&error, StoreError::LogMissing { log, .. } if *log == logged.path), "{error}");
    assert!(error.to_string().contains("put it back") && error.to_string().contains("`p2p store recover`"), "{error}");
}

#[test]
fn case_05_control_who_does_not_ask_which_save_a_log_is_of_takes_the_earlier_one() {
    let (logged, _) = Logged::new().later();
    let opened = without(&[Check::LogOfSave], || logged.look(logged.log()));
    assert_eq!(opened.unwrap(), (VALUES[3].to_owned(), 3, false));
}

/// The log's random bytes and the associated data both bind a record to its log.
#[test]
fn case_05_control_records_that_are_not_bound_to_their_log_are_taken_behind_the_head_of_another() {
    let attack = || {
        let (logged, newer) = Logged::new().later();
        logged.look(&[&newer[..HEAD], &logged.log()[HEAD..]].concat())
    };
    assert_eq!(without(&[Check::Salt, Check::Aad], attack).unwrap(), (VALUES[3].to_owned(), 3, false));
    for left_out in [Check::Salt, Check::Aad] {
        assert!(without(&[left_out], attack).is_err(), "without {left_out:?}");
    }
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
    for chunks in [1, 2, 5] {
        let error = logged.open(&logged.lengthened(chunks)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { place: Place::Record(2), .. }), "{error}");
    }
}

#[test]
fn case_05_control_without_the_frames_mac_an_acknowledged_record_is_made_to_look_unfinished() {
    let logged = Logged::new();
    for chunks in [1, 2, 5] {
        assert_eq!(without(&[Check::FrameMac], || logged.open(&logged.lengthened(chunks))).unwrap(), (2, true));
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
