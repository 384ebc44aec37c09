//! Headers that no store would write, made for fuzzing by someone who has the data key.

use std::num::NonZeroU32;

use super::{Form, Header, Kdf, Keyring, MAGIC, MIN_KDF_ROUNDS, Slot, SlotKind, WRAPPED, header_key};
use crate::storage::crypto::{self, HASH, Key, NONCE};

/// Bytes before the fields: magic, version, length.
pub(in crate::storage) const PREFIX: usize = 14;
/// Bytes behind the fields: MAC and hash.
#[cfg(test)]
pub(in crate::storage) const TRAILER: usize = 2 * HASH;

/// A header with these fields, whatever they are, signed as it has to be.
pub(in crate::storage) fn signed(version: u16, fields: &[u8], data_key: &Key) -> Vec<u8> {
    let length = u32::try_from(PREFIX + fields.len() + 2 * HASH).unwrap_or(u32::MAX);
    let mut bytes = [MAGIC.as_slice(), &version.to_be_bytes(), &length.to_be_bytes(), fields].concat();
    let archive = fields.first_chunk().copied().unwrap_or_default();
    let key = header_key(data_key, &archive).expect("a key that is one");
    bytes.extend_from_slice(&crypto::mac(&key, &bytes));
    bytes.extend_from_slice(&crypto::sha256(&bytes));
    bytes
}

impl Header {
    /// A header that is the same each time. Its slots open with nothing.
    pub(in crate::storage) fn sample() -> Self {
        let kdf = Kdf { rounds: NonZeroU32::new(MIN_KDF_ROUNDS).expect("more than none"), salt: [3; 32] };
        let slot = |kind| Slot { kind, nonce: [4; NONCE], wrapped: [5; WRAPPED] };
        let slots = vec![slot(SlotKind::Password), slot(SlotKind::Recovery)];
        let keyring = Keyring { archive: [1; 16], kdf, slots };
        Self { keyring, generation: 9, seed: [2; 32], form: Form::Logged }
    }

    /// The rounds of its password derivation.
    pub(in crate::storage) fn rounds(&self) -> u32 {
        self.keyring.kdf.rounds.get()
    }
}
