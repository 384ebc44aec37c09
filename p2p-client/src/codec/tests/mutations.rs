//! Changes to valid JSON, of which some keep it valid: what another program could send, or a broken one.

use proptest::{prelude::Rng, test_runner::TestRng};
use serde_json::Value;

/// The JSON with one to three changes.
pub(crate) fn mutated(json: &[u8], rng: &mut TestRng) -> Vec<u8> {
    let mut bytes = json.to_vec();
    for _ in 0..=below(rng, 3) {
        bytes = changed(bytes, rng);
    }
    bytes
}

fn changed(mut bytes: Vec<u8>, rng: &mut TestRng) -> Vec<u8> {
    let at = below(rng, bytes.len() + 1);
    match below(rng, 12) {
        0 => flip(&mut bytes, rng),
        1 => bytes.truncate(at),
        2 => insert(&mut bytes, at, pick(rng, &[" ", "\n", "\t", "\r\n"])),
        3 => insert(
            &mut bytes,
            at,
            pick(rng, &["null", "0", "-0", "1e2", "1.0", "18446744073709551616", "-9223372036854775809", "{}", "[]", "\"\""]),
        ),
        4 => {
            insert(&mut bytes, at, pick(rng, &["\\", "\\u0041", "\\ud83d", "\\ud83d\\ude00", "\\n", "\\/", "\\x", "\u{1}", "ä"]));
        }
        5 => insert(&mut bytes, at, pick(rng, &[",", ":", "\"", "{", "}", "[", "]"])),
        6 => space_after_commas(&mut bytes),
        7 => escape_a_letter(&mut bytes, at),
        8 => replace_a_number(&mut bytes, at, rng),
        9 => return reordered(&bytes, rng),
        10 => return with_a_member_twice(&bytes, rng),
        _ => {
            if at < bytes.len() {
                bytes.remove(at);
            }
        }
    }
    bytes
}

fn below(rng: &mut TestRng, limit: usize) -> usize {
    usize::try_from(rng.next_u64() % u64::try_from(limit.max(1)).unwrap()).unwrap()
}

fn pick<'a>(rng: &mut TestRng, of: &[&'a str]) -> &'a str {
    of[below(rng, of.len())]
}

fn insert(bytes: &mut Vec<u8>, at: usize, text: &str) {
    bytes.splice(at..at, text.bytes());
}

fn flip(bytes: &mut [u8], rng: &mut TestRng) {
    let (at, bit) = (below(rng, bytes.len()), below(rng, 8));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// As many programs write it.
fn space_after_commas(bytes: &mut Vec<u8>) {
    *bytes = bytes.iter().flat_map(|byte| if matches!(byte, b',' | b':') { vec![*byte, b' '] } else { vec![*byte] }).collect();
}

/// `a` becomes `\u0061`, which means the same inside of a string and nothing outside.
fn escape_a_letter(bytes: &mut Vec<u8>, from: usize) {
    if let Some(at) = (from..bytes.len()).find(|at| bytes[*at].is_ascii_lowercase()) {
        let escape = format!("\\u{:04x}", bytes[at]);
        bytes.splice(at..=at, escape.bytes());
    }
}

fn replace_a_number(bytes: &mut Vec<u8>, from: usize, rng: &mut TestRng) {
    const NUMBERS: &[&str] = &[
        "0",
        "-0",
        "-0.0",
        "00",
        "255",
        "256",
        "-128",
        "-129",
        "65536",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "1e2",
        "1E+2",
        "1.0",
        "0.1",
        "1e400",
        "1e-400",
        "123456789012345.678",
        "340282366920938463463374607431768211456",
        "1.",
        "-",
        "true",
    ];
    if let Some(at) = (from..bytes.len()).find(|at| bytes[*at].is_ascii_digit()) {
        let end = (at..bytes.len()).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(bytes.len());
        bytes.splice(at..end, pick(rng, NUMBERS).bytes());
    }
}

/// The members of the object, or of the first object inside, in another order, one perhaps left out or added.
fn reordered(bytes: &[u8], rng: &mut TestRng) -> Vec<u8> {
    let Ok(Value::Object(map)) = serde_json::from_slice(bytes) else { return bytes.to_vec() };
    let mut members: Vec<(String, Value)> = map.into_iter().collect();
    for last in (1..members.len()).rev() {
        members.swap(last, below(rng, last + 1));
    }
    match below(rng, 4) {
        0 => drop(members.pop()),
        1 => members.push(("unknown".into(), Value::Null)),
        _ => {}
    }
    object(&members)
}

fn with_a_member_twice(bytes: &[u8], rng: &mut TestRng) -> Vec<u8> {
    let Ok(Value::Object(map)) = serde_json::from_slice(bytes) else { return bytes.to_vec() };
    let mut members: Vec<(String, Value)> = map.into_iter().collect();
    if let Some(one) = members.get(below(rng, members.len())).cloned() {
        members.insert(below(rng, members.len() + 1), one);
    }
    object(&members)
}

fn object(members: &[(String, Value)]) -> Vec<u8> {
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap())).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}
