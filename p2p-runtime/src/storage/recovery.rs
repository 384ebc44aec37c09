//! The recovery key: the second way into a store, for the day the password is lost.
//!
//! 22 random bytes and 3 bytes of checksum make 40 characters of Crockford's base32, which has no letters that are
//! mistaken for digits. They are shown in 8 groups of 5. The checksum tells a typing mistake from a wrong key.

use std::{fmt, str::FromStr};

use zeroize::Zeroizing;

use super::{
    StoreError, crypto,
    error::{Fault, MalformedKey},
};

/// Random bytes in a recovery key: 176 bits, so that no derivation rounds are needed.
const KEY: usize = 22;
const CHECKSUM: usize = 3;
const CHARACTERS: usize = 40;
const GROUP: usize = 5;
/// Crockford's base32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Opens a store whose password is lost. It is shown only by [`reveal`](Self::reveal), and read back with [`str::parse`].
///
/// Lower case, spaces, missing or extra hyphens, and the letters I, L and O for 1 and 0 are understood.
///
/// ```
/// use p2p_runtime::storage::RecoveryKey;
///
/// let error = "ABCDE-FGH".parse::<RecoveryKey>().unwrap_err();
/// assert!(error.to_string().contains("8 letters and digits instead of 40"));
/// ```
pub struct RecoveryKey(Box<Zeroizing<[u8; KEY]>>);

impl RecoveryKey {
    /// A new one, from the system's random numbers.
    pub(super) fn generate() -> Result<Self, Fault> {
        let mut key = Self(Box::default());
        crypto::fill_random(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// The key as people write it down, such as `7Z4GQ-…`. Show it once, where the operator sees it, and keep it nowhere.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0_u8; KEY + CHECKSUM]);
        bytes[..KEY].copy_from_slice(self.0.as_slice());
        bytes[KEY..].copy_from_slice(&checksum(self.bytes()));
        // Reserved in whole, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(CHARACTERS + CHARACTERS / GROUP));
        for position in 0..CHARACTERS {
            if position > 0 && position % GROUP == 0 {
                text.push('-');
            }
            let value = (0..5).fold(0_usize, |value, bit| {
                let at = position * 5 + bit;
                value << 1 | usize::from(bytes[at / 8] >> (7 - at % 8) & 1)
            });
            text.push(char::from(ALPHABET[value]));
        }
        text
    }

    /// The bytes that the slot's key is derived from.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl FromStr for RecoveryKey {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        read(text).map_err(|why| StoreError::MalformedRecoveryKey { why })
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(..)")
    }
}

fn read(text: &str) -> Result<RecoveryKey, MalformedKey> {
    let mut bytes = Zeroizing::new([0_u8; KEY + CHECKSUM]);
    let mut found = 0;
    for (index, character) in text.chars().enumerate() {
        if character == '-' || character.is_whitespace() {
            continue;
        }
        let value = value_of(character).ok_or(MalformedKey::Character { position: index + 1 })?;
        if found < CHARACTERS {
            for bit in 0..5 {
                let at = found * 5 + bit;
                bytes[at / 8] |= (value >> (4 - bit) & 1) << (7 - at % 8);
            }
        }
        found += 1;
    }
    if found != CHARACTERS {
        return Err(MalformedKey::Length { found, wanted: CHARACTERS });
    }
    let mut key = RecoveryKey(Box::default());
    key.0.copy_from_slice(&bytes[..KEY]);
    if checksum(key.bytes()) != bytes[KEY..] {
        return Err(MalformedKey::Checksum);
    }
    Ok(key)
}

fn value_of(character: char) -> Option<u8> {
    let character = match character.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    let position = ALPHABET.iter().position(|&known| char::from(known) == character)?;
    u8::try_from(position).ok()
}

fn checksum(key: &[u8]) -> [u8; CHECKSUM] {
    let hash = crypto::sha256(key);
    [hash[0], hash[1], hash[2]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> MalformedKey {
        match text.parse::<RecoveryKey>().unwrap_err() {
            StoreError::MalformedRecoveryKey { why } => why,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_key_reads_back_as_it_was_shown_also_when_typed_carelessly() {
        for _ in 0..100 {
            let key = RecoveryKey::generate().unwrap();
            let shown = key.reveal();
            assert_eq!(shown.split('-').map(str::len).collect::<Vec<_>>(), [5; 8]);
            let careless = format!(" {} ", shown.to_lowercase().replace('-', " ").replace('1', "l").replace('0', "o"));
            assert_eq!(shown.parse::<RecoveryKey>().unwrap().bytes(), key.bytes());
            assert_eq!(careless.parse::<RecoveryKey>().unwrap().bytes(), key.bytes());
        }
    }

    #[test]
    fn every_single_typing_mistake_is_noticed() {
        let shown = RecoveryKey(Box::new(Zeroizing::new(*b"0123456789abcdefghijkl"))).reveal();
        for at in (0..shown.len()).filter(|at| shown.as_bytes()[*at] != b'-') {
            for &other in ALPHABET.iter().filter(|other| **other != shown.as_bytes()[at]) {
                let mut typed = shown.as_bytes().to_vec();
                typed[at] = other;
                assert_eq!(why(&String::from_utf8(typed).unwrap()), MalformedKey::Checksum);
            }
        }
    }

    #[test]
    fn a_key_of_the_wrong_length_or_with_a_foreign_character_says_so() {
        assert_eq!(why("ABCDE"), MalformedKey::Length { found: 5, wanted: 40 });
        assert_eq!(why(&"A".repeat(1000)), MalformedKey::Length { found: 1000, wanted: 40 });
        assert_eq!(why("AB!"), MalformedKey::Character { position: 3 });
        assert_eq!(why(""), MalformedKey::Length { found: 0, wanted: 40 });
    }

    #[test]
    fn debug_shows_nothing_of_a_recovery_key() {
        assert_eq!(format!("{:?}", RecoveryKey::generate().unwrap()), "RecoveryKey(..)");
    }
}
