//! Finding what matters in JSON text, many bytes at a time.

const ONES: u64 = u64::MAX / 255;
const HIGH_BITS: u64 = ONES << 7;

/// How many bytes stand before the first that JSON strings cannot hold as it is: a quote, a backslash, a control character.
#[inline]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    // Most strings are short: a few words find their ends sooner than blocks would.
    const WORDS_FIRST: usize = 4;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(WORDS_FIRST).enumerate() {
        if let Some(at) = special_in_word(*word) {
            return index * 8 + at;
        }
    }
    if words.len() > WORDS_FIRST {
        return plain_len_of_long(bytes, WORDS_FIRST * 8);
    }
    plain_len_to_end(bytes, words.len() * 8)
}

/// [`plain_len`] from `clean` on in blocks, whose loop the compiler turns into vector instructions.
#[inline(never)]
fn plain_len_of_long(bytes: &[u8], clean: usize) -> usize {
    let (blocks, _) = bytes[clean..].as_chunks::<64>();
    let clean = clean + blocks.iter().take_while(|block| !has_special(block)).count() * 64;
    let (words, _) = bytes[clean..].as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = special_in_word(*word) {
            return clean + index * 8 + at;
        }
    }
    plain_len_to_end(bytes, clean + words.len() * 8)
}

/// [`plain_len`] where all but the last few bytes are known to be plain: one look at these, together with some before them.
#[inline]
fn plain_len_to_end(bytes: &[u8], clean: usize) -> usize {
    let last = bytes.last_chunk().copied().or_else(|| two_halves(bytes));
    if last.is_some_and(|word| special_in_word(word).is_none()) {
        return bytes.len();
    }
    clean + bytes[clean..].iter().position(|byte| is_special(*byte)).unwrap_or(bytes.len() - clean)
}

/// The first and the last four of four to seven bytes.
#[inline]
fn two_halves(bytes: &[u8]) -> Option<[u8; 8]> {
    let mut word = [0; 8];
    word[..4].copy_from_slice(bytes.first_chunk::<4>()?);
    word[4..].copy_from_slice(bytes.last_chunk::<4>()?);
    Some(word)
}

/// Whether a byte ends a run that stands in a JSON string as it is.
#[inline]
#[allow(clippy::needless_bitwise_bool, reason = "short-circuits would keep blocks from being vectors")]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[inline]
fn has_special(block: &[u8; 64]) -> bool {
    block.iter().fold(false, |found, byte| found | is_special(*byte))
}

/// The place of the first special byte of eight, by arithmetic on all at once: subtracting `n` from a byte below `n` borrows, which
/// sets its high bit. A borrow runs only upwards, so that the lowest mark is true whatever stands above it.
#[inline]
fn special_in_word(word: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    let marks = (below(word, 0x20) | quote | backslash) & HIGH_BITS;
    (marks != 0).then_some(marks.trailing_zeros() as usize / 8)
}

/// Whether brackets in this JSON are nested more than `limit` deep. It takes no stack, however deep they are.
#[must_use]
pub fn is_deeper_than(json: &[u8], limit: usize) -> bool {
    // Few bytes are not deep, nor are few brackets; and to count them is much faster than to follow them.
    if json.len() <= limit || json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands_and_whatever_follows() {
        for length in 0..200 {
            let clean: Vec<u8> = (0..length).map(|i| b'a' + u8::try_from(i % 26).unwrap()).collect();
            assert_eq!(plain_len(&clean), length);
            for at in 0..length {
                for special in [0, 0x1f, b'"', b'\\'] {
                    let mut bytes = clean.clone();
                    bytes[at] = special;
                    bytes[length - 1] = special;
                    assert_eq!(plain_len(&bytes), at, "{special} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn every_other_byte_is_plain_beside_every_special_one() {
        for plain in (0x20..=0xff).filter(|byte| !matches!(byte, b'"' | b'\\')) {
            for special in [0, 1, 0x1f, b'"', b'\\'] {
                let mut bytes = [plain; 8];
                assert_eq!(plain_len(&bytes), 8, "{plain}");
                bytes[5] = special;
                assert_eq!(plain_len(&bytes), 5, "{special} after {plain}");
            }
        }
    }

    #[test]
    fn brackets_in_strings_are_not_nesting() {
        let in_string = format!("[\"{}\\\"{}\"]", "[".repeat(300), "{".repeat(300));
        assert!(!is_deeper_than(in_string.as_bytes(), 1));
        assert!(is_deeper_than(b"[[[ ]]]", 2));
        assert!(!is_deeper_than(b"[[[ ]]]", 3));
        assert!(!is_deeper_than(b"[[],[],[],[]]", 2));
    }
}
