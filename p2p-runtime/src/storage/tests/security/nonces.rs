//! Case 12: no key stream is ever used twice, over a million records of saves and logs, as seen from outside: what is known of the
//! text is taken off the sealed bytes, and what remains, the key stream, must never repeat.

use std::{collections::HashSet, num::NonZeroU32, panic::catch_unwind};

use crate::storage::{
    Entries, Password, RecoveryKey, archive,
    checks::{Check, without},
    crypto::{self, Key},
    header::{Form, Header, Keyring, MIN_KDF_ROUNDS},
    log::{HEAD, Sealer},
};

const RECORDS: usize = 1_000_000;
/// Of a record's frame in an archive, and in a log.
const FRAMES: [usize; 2] = [5, 21];
/// Enough of a key stream to know it again.
type Stream = u128;

/// Notices a key stream that was seen before.
#[derive(Default)]
struct Checker(HashSet<Stream>);

impl Checker {
    /// Whether this one is new.
    fn is_new(&mut self, text: &[u8], sealed: &[u8]) -> bool {
        let first = |bytes: &[u8]| u128::from_be_bytes(*bytes.first_chunk().unwrap());
        self.0.insert(first(text) ^ first(sealed))
    }
}

fn path(index: usize) -> String {
    format!("nonces/{index:08}")
}

/// A new archive, and one of its saves after the other.
struct Saves {
    keyring: Keyring,
    data_key: Key,
    generation: u64,
}

impl Saves {
    fn new() -> Self {
        let data_key = Key::random().unwrap();
        let rounds = NonZeroU32::new(MIN_KDF_ROUNDS).unwrap();
        let keyring = Keyring::new(&data_key, &Password::new("x").unwrap(), &RecoveryKey::generate().unwrap(), rounds).unwrap();
        Self { keyring, data_key, generation: 0 }
    }

    fn next(&mut self) -> Header {
        self.generation += 1;
        let seed = crypto::random().unwrap();
        Header { keyring: self.keyring.clone(), generation: self.generation, seed, form: Form::Logged }
    }
}

/// Half of the records, in saves of the same entries.
fn check_archives(checker: &mut Checker, saves: &mut Saves) {
    const EACH: usize = 50_000;
    let mut entries = Entries::default();
    let paths: Vec<_> = (0..EACH).map(path).collect();
    for path in &paths {
        entries.put(path, "").unwrap();
    }
    for _ in 0..RECORDS / 2 / EACH {
        let header = saves.next();
        let start = header.encode(&saves.data_key).unwrap().len();
        let file = archive::encode(&header, &saves.data_key, &entries).unwrap();
        let record = FRAMES[0] + 2 + path(0).len() + crypto::TAG;
        for (index, sealed) in file[start..].chunks_exact(record).take(EACH).enumerate() {
            let mut text = [0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            text[2..].copy_from_slice(paths[index].as_bytes());
            assert!(checker.is_new(&text, &sealed[FRAMES[0]..]), "save {}, record {index}", header.generation);
        }
    }
}

/// The other half, in logs.
fn check_logs(checker: &mut Checker, saves: &mut Saves) {
    const EACH: usize = 10_000;
    let mut change = Entries::default();
    change.put(&path(0), "").unwrap();
    let text = [&1_u32.to_be_bytes()[..], &[1], &15_u16.to_be_bytes(), path(0).as_bytes()].concat();
    for _ in 0..RECORDS / 2 / EACH {
        let (mut sealer, file) = Sealer::new(&saves.next(), &saves.data_key, EACH * 64).unwrap();
        for index in 0..EACH {
            let at = sealer.end();
            let record = sealer.seal(&change).unwrap().unwrap();
            assert!(checker.is_new(&text, &record[FRAMES[1]..]), "log of save {}, record {index}", saves.generation);
            // Nor is it the key stream that stood in its place.
            assert!(checker.is_new(&[0; 16], &file[at..]), "the rest of the log of save {}", saves.generation);
        }
        assert!(sealer.end() > HEAD && sealer.seal(&change).unwrap().is_none(), "the log is full");
    }
}

#[test]
fn case_12_a_million_records_of_saves_and_logs_share_no_key_stream() {
    let (mut checker, mut saves) = (Checker::default(), Saves::new());
    check_archives(&mut checker, &mut saves);
    check_logs(&mut checker, &mut saves);
    assert_eq!(checker.0.len(), RECORDS + RECORDS / 2, "each record, and the rest where the logs' records stand");
}

#[test]
fn case_12_control_records_that_are_sealed_without_their_number_share_a_key_stream_and_that_is_noticed() {
    for check in [check_archives, check_logs] {
        let found = without(&[Check::Nonce], || catch_unwind(|| check(&mut Checker::default(), &mut Saves::new())));
        let message = *found.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("record 1"), "{message}");
    }
}
