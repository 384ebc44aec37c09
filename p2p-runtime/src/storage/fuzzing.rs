//! A store's files under fuzzing. `cargo test` runs the same with inputs of its own.
//!
//! What reaches the inner readers has to be sealed or signed, so the targets hold the key: they ask what a file could do whose author
//! knows it, such as a program of another version.

use super::{
    Entries,
    archive::{self, forged::Sealing},
    crypto::Key,
    header::{self, Header, MAX_KDF_ROUNDS, MIN_KDF_ROUNDS, Unverified, forged},
    log,
};

fn key() -> Key {
    Key::from_slice(&[7; 32])
}

/// Reads the header of a store.
///
/// The first byte says what the rest is: where its lowest bit is set, the fields of a header, which get their magic, version (the next
/// bit), length, MAC and hash; else a whole file.
///
/// # Panics
/// When a header is taken that is out of bounds, that nobody signed, or that is not written as it was read.
pub fn store_header(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let version = if mode & 2 == 0 { header::VERSION } else { header::VERSION - 1 };
    let signed = mode & 1 == 1;
    let file = if signed { forged::signed(version, rest, &key()) } else { rest.to_vec() };
    let Ok(unverified) = Unverified::decode(&file) else { return };
    assert!((MIN_KDF_ROUNDS..=MAX_KDF_ROUNDS).contains(&unverified.claimed().rounds()));
    match unverified.verify(&key()) {
        Ok((header, rest)) => {
            assert!(rest.is_empty() || !signed);
            if version == header::VERSION && signed {
                assert_eq!(header.encode(&key()).ok(), Some(file.clone()));
            }
        }
        Err(_) => assert!(!signed, "a header that was signed is refused"),
    }
}

/// Reads the records of an archive and of a log, sealed as they have to be.
///
/// The data is cut into records: kind, length, and as many bytes.
///
/// # Panics
/// When what is read is not the same once it was written and read again.
pub fn store_record(data: &[u8]) {
    let header = Header::sample();
    let mut logged = Entries::default();
    for (_, text) in cut(data) {
        if log::apply_changes(text, &mut logged).is_some() {
            check_log(&logged);
        }
    }
    let file = sealed(&header, data);
    if let Ok(opened) = archive::reopen(&file, &key()) {
        let again = archive::encode(&header, &key(), &opened.entries).expect("what was read is within bounds");
        assert_eq!(again, file, "the same entries are written otherwise");
    }
}

/// Cuts data into records: each one's kind and its text.
fn cut(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [kind, length, more @ ..] = data else { return None };
        let (text, after) = more.split_at(usize::from(*length).min(more.len()));
        data = after;
        Some((*kind, text))
    })
}

/// An archive of these records.
fn sealed(header: &Header, data: &[u8]) -> Vec<u8> {
    let mut sealing = Sealing::new(header, &key()).expect("a key that is one");
    for (kind, text) in cut(data) {
        sealing.seal(kind, text).expect("it is short");
    }
    sealing.finish()
}

/// What a log changed is changed in the same way by a record that is written of it.
fn check_log(entries: &Entries) {
    let mut record = Vec::new();
    log::encode_changes(entries, &mut record).expect("what was read is within bounds");
    let mut again = Entries::default();
    log::apply_changes(&record, &mut again).expect("what was written is read");
    assert!(again.iter().eq(entries.iter()));
}

#[cfg(test)]
mod tests {
    use p2p_client::fuzzing::run;

    use super::*;

    #[test]
    fn a_header_is_within_bounds_and_signed_or_refused() {
        run("store_header", 20_000, &[], headers, store_header);
    }

    #[test]
    fn records_are_read_as_they_were_written_or_not_at_all() {
        run("store_record", 20_000, &["certs/node.pem", "..", "//", "\u{1}", "\0\0\0\u{1}"], records, store_record);
    }

    #[test]
    fn the_files_that_inputs_are_made_from_are_understood() {
        let [(_, whole), _, _] = headers().try_into().unwrap();
        assert!(Unverified::decode(&whole[1..]).unwrap().verify(&key()).is_ok());
        let [(_, archive), (_, empty), (_, changes)] = records().try_into().unwrap();
        let held = |data: &[u8]| archive::reopen(&sealed(&Header::sample(), data), &key()).map(|opened| opened.entries.len());
        assert_eq!((held(&archive), held(&empty)), (Ok(2), Ok(0)));
        let mut logged = Entries::default();
        assert!(cut(&changes).all(|(_, text)| log::apply_changes(text, &mut logged).is_some()));
        assert_eq!(logged.list(""), ["a/b"]);
    }

    fn headers() -> Vec<(&'static str, Vec<u8>)> {
        let whole = Header::sample().encode(&key()).unwrap();
        let fields = whole[forged::PREFIX..whole.len() - forged::TRAILER].to_vec();
        let with = |mode: u8, rest: &[u8]| [&[mode], rest].concat();
        vec![("file", with(0, &whole)), ("fields", with(1, &fields)), ("older", with(3, &fields[..fields.len() - 1]))]
    }

    fn records() -> Vec<(&'static str, Vec<u8>)> {
        let record = |kind: u8, text: &[u8]| [&[kind, u8::try_from(text.len()).unwrap()], text].concat();
        let entry = |path: &str, value: &str| {
            let length = u16::try_from(path.len()).unwrap().to_be_bytes();
            record(1, &[&length, path.as_bytes(), value.as_bytes()].concat())
        };
        let mut entries = Entries::default();
        entries.put("a/b", "value").unwrap();
        entries.put("c", "").unwrap();
        entries.remove("c");
        let mut changes = Vec::new();
        log::encode_changes(&entries, &mut changes).unwrap();
        let archive = [entry("a/b", "value"), entry("c", ""), record(2, &2_u64.to_be_bytes())].concat();
        vec![("archive", archive), ("empty", record(2, &0_u64.to_be_bytes())), ("changes", record(1, &changes))]
    }
}
