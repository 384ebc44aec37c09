//! Writing JSON: keys that are constants, and strings.

use super::scan::plain_len;

/// Appends a key that was made when the program was compiled: `,"node":`. The comma is left out after an opening brace.
#[inline]
pub fn write_key(out: &mut Vec<u8>, key: &'static str) {
    // No value ends with a brace that opens.
    let key = key.as_bytes();
    out.extend_from_slice(if out.last() == Some(&b'{') { &key[1..] } else { key });
}

/// Moving a text of this many bytes costs more than room that is not needed.
const LONG: usize = 4_096;

/// Appends a string in quotes, escaped as serde_json does it.
#[inline]
pub(super) fn write_str(text: &str, out: &mut Vec<u8>) {
    let (plain, special) = split_plain(text.as_bytes());
    // What follows a long text is short: with room for it, the text need not be moved to where there is more.
    let after = if text.len() < LONG { 2 } else { 64 };
    out.reserve(text.len() + after);
    out.push(b'"');
    out.extend_from_slice(plain);
    if !special.is_empty() {
        write_escaped(special, out);
    }
    out.push(b'"');
}

/// Appends what begins with a byte that is to be escaped.
#[inline(never)]
fn write_escaped(mut special: &[u8], out: &mut Vec<u8>) {
    while let Some((byte, after)) = special.split_first() {
        write_escape(*byte, out);
        let (plain, rest) = split_plain(after);
        out.extend_from_slice(plain);
        special = rest;
    }
}

#[inline]
fn split_plain(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(plain_len(bytes))
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_escaped_as_serde_json_does_it() {
        let all: String = (0..0x250).filter_map(char::from_u32).chain(['\u{2028}', '\u{ffff}', '😀']).collect();
        for text in [all.as_str(), "", "\"", "a\nb", "\u{7f}", &"x".repeat(1000)] {
            let mut out = Vec::new();
            write_str(text, &mut out);
            assert_eq!(out, serde_json::to_vec(text).unwrap());
        }
    }

    #[test]
    fn a_key_is_parted_by_a_comma_from_what_stands_before_it() {
        let mut out = b"{".to_vec();
        write_key(&mut out, ",\"a\":");
        out.push(b'1');
        write_key(&mut out, ",\"b\":");
        assert_eq!(out, br#"{"a":1,"b":"#);
    }
}
