//! The start of the store's file: who it is, how to get at its data key, and which save this is.
//!
//! ```text
//! magic "P2PSTORE" 8 | version u16 | header length u32
//! archive id 16 | generation u64 | seed of this save 32
//! derivation u8 | rounds u32 | salt 32
//! slot count u8 | per slot: kind u8, nonce 12, wrapped data key 48
//! form u8: 1 a save with a log beside it, 2 a backup (from version 2 on; version 1 knows no logs)
//! MAC of all the above under the data key 32 | SHA-256 of all the above 32
//! ```
//!
//! Numbers are big-endian. The hash tells accidental damage from a wrong password without any key, and before a
//! password is put through its rounds. The MAC tells a header that its owner did not write. The data key is random and
//! stays for the life of the archive; each slot wraps it under a key of its own: from the password by
//! PBKDF2-HMAC-SHA256, from the recovery key by HKDF.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod forged;

use std::num::NonZeroU32;

use super::{
    Password, RecoveryKey,
    checks::{Check, holds},
    crypto::{self, Cipher, HASH, KEY, Key, NONCE, TAG},
    error::{Fault, Place},
};

/// The format that this program writes, and the newest it reads.
pub(super) const VERSION: u16 = 2;
/// The oldest format that this program reads.
const OLDEST: u16 = 1;
/// Fewest rounds of password derivation, and the default.
pub(super) const MIN_KDF_ROUNDS: u32 = 600_000;
/// Most rounds of password derivation: some 2 s. More in a file would only block whoever opens it.
pub(super) const MAX_KDF_ROUNDS: u32 = 10_000_000;

const MAGIC: &[u8; 8] = b"P2PSTORE";
/// Most bytes of a header.
pub(super) const MAX_HEADER: usize = 1024;
const MAX_SLOTS: usize = 8;
const PBKDF2_HMAC_SHA256: u8 = 1;
const SALT: usize = 32;
const WRAPPED: usize = KEY + TAG;

/// The random name of an archive, the same in all its saves.
pub(super) type ArchiveId = [u8; 16];

/// The decoded header of one save.
#[derive(Clone)]
pub(super) struct Header {
    pub(super) keyring: Keyring,
    /// Counts the saves of the archive.
    pub(super) generation: u64,
    /// Random bytes that make this save's keys differ from any other's.
    pub(super) seed: [u8; 32],
    /// What stands beside it.
    pub(super) form: Form,
}

/// What a file in the store's format is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A save of version 1, which has no log.
    Alone,
    /// A save with its [log](super::log) beside it.
    Logged,
    /// A backup: it has no log, and is no store before it was restored.
    Backup,
}

/// What stays from save to save: the archive's id and the ways to its data key.
#[derive(Clone)]
pub(super) struct Keyring {
    pub(super) archive: ArchiveId,
    kdf: Kdf,
    slots: Vec<Slot>,
}

#[derive(Clone)]
struct Kdf {
    rounds: NonZeroU32,
    salt: [u8; SALT],
}

#[derive(Clone)]
struct Slot {
    kind: SlotKind,
    nonce: [u8; NONCE],
    wrapped: [u8; WRAPPED],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SlotKind {
    Password = 1,
    Recovery = 2,
}

/// What a store is opened with.
#[derive(Debug, Clone, Copy)]
pub enum Unlock<'a> {
    /// Its password.
    Password(&'a Password),
    /// The recovery key that was printed when it was made.
    Recovery(&'a RecoveryKey),
}

/// The rounds, if they are within the bounds.
pub(super) fn checked_rounds(rounds: u32) -> Option<NonZeroU32> {
    let within = |rounds: &NonZeroU32| (MIN_KDF_ROUNDS..=MAX_KDF_ROUNDS).contains(&rounds.get());
    NonZeroU32::new(rounds).filter(|rounds| holds(Check::KdfRounds, within(rounds)))
}

impl Keyring {
    /// A new archive, with its data key wrapped for the password and for the recovery key.
    pub(super) fn new(data_key: &Key, password: &Password, recovery: &RecoveryKey, rounds: NonZeroU32) -> Result<Self, Fault> {
        let kdf = Kdf { rounds, salt: crypto::random()? };
        let mut keyring = Self { archive: crypto::random()?, kdf, slots: Vec::new() };
        for unlock in [Unlock::Password(password), Unlock::Recovery(recovery)] {
            let slot = keyring.wrap(data_key, unlock)?;
            keyring.slots.push(slot);
        }
        Ok(keyring)
    }

    /// The same archive with another password. The rounds never go down.
    pub(super) fn with_password(&self, data_key: &Key, password: &Password, rounds: NonZeroU32) -> Result<Self, Fault> {
        let mut keyring = self.clone();
        keyring.kdf = Kdf { rounds: rounds.max(self.kdf.rounds), salt: crypto::random()? };
        keyring.slots.retain(|slot| slot.kind != SlotKind::Password);
        let slot = keyring.wrap(data_key, Unlock::Password(password))?;
        keyring.slots.insert(0, slot);
        Ok(keyring)
    }

    /// The data key, where one of the slots opens with `unlock`.
    pub(super) fn data_key(&self, unlock: Unlock<'_>) -> Result<Key, Fault> {
        let kind = unlock.kind();
        let cipher = Cipher::new(&self.slot_key(unlock)?)?;
        let aad = self.slot_aad(kind);
        self.slots
            .iter()
            .filter(|slot| slot.kind == kind)
            .find_map(|slot| {
                let opened = cipher.open(slot.nonce, &aad, &slot.wrapped)?;
                Some(Key::from_slice(opened.as_slice().try_into().ok()?))
            })
            .ok_or(Fault::WrongSecret)
    }

    fn wrap(&self, data_key: &Key, unlock: Unlock<'_>) -> Result<Slot, Fault> {
        let kind = unlock.kind();
        let nonce = crypto::random()?;
        let mut bytes = zeroize::Zeroizing::new(*data_key.bytes());
        let tag = Cipher::new(&self.slot_key(unlock)?)?.seal(nonce, &self.slot_aad(kind), bytes.as_mut_slice())?;
        let mut wrapped = [0; WRAPPED];
        wrapped[..KEY].copy_from_slice(bytes.as_slice());
        wrapped[KEY..].copy_from_slice(&tag);
        Ok(Slot { kind, nonce, wrapped })
    }

    fn slot_key(&self, unlock: Unlock<'_>) -> Result<Key, Fault> {
        match unlock {
            Unlock::Password(password) => crypto::derive_slowly(password.bytes(), &self.kdf.salt, self.kdf.rounds),
            Unlock::Recovery(key) => crypto::derive(key.bytes(), &self.archive, b"p2p store recovery slot"),
        }
    }

    fn slot_aad(&self, kind: SlotKind) -> Vec<u8> {
        [b"p2p store slot".as_slice(), &self.archive, &[kind as u8]].concat()
    }
}

impl Unlock<'_> {
    fn kind(self) -> SlotKind {
        match self {
            Self::Password(_) => SlotKind::Password,
            Self::Recovery(_) => SlotKind::Recovery,
        }
    }
}

impl Header {
    /// The header as it stands in the file.
    pub(super) fn encode(&self, data_key: &Key) -> Result<Vec<u8>, Fault> {
        let Keyring { archive, kdf, slots } = &self.keyring;
        let count = u8::try_from(slots.len()).ok().filter(|count| usize::from(*count) <= MAX_SLOTS);
        let count = count.ok_or(Fault::TooLarge("a store", MAX_SLOTS, "key slots"))?;
        let mut bytes = Vec::with_capacity(MAX_HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(archive);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.seed);
        bytes.push(PBKDF2_HMAC_SHA256);
        bytes.extend_from_slice(&kdf.rounds.get().to_be_bytes());
        bytes.extend_from_slice(&kdf.salt);
        bytes.push(count);
        for slot in slots {
            bytes.push(slot.kind as u8);
            bytes.extend_from_slice(&slot.nonce);
            bytes.extend_from_slice(&slot.wrapped);
        }
        bytes.push(match self.form {
            Form::Alone | Form::Logged => 1,
            Form::Backup => 2,
        });
        let length = u32::try_from(bytes.len() + 2 * HASH).map_err(|_| Fault::TooLarge("a header", MAX_HEADER, "bytes"))?;
        bytes[10..14].copy_from_slice(&length.to_be_bytes());
        let mac = crypto::mac(&header_key(data_key, archive)?, &bytes);
        bytes.extend_from_slice(&mac);
        let hash = crypto::sha256(&bytes);
        bytes.extend_from_slice(&hash);
        Ok(bytes)
    }
}

/// A header that is whole and within bounds, but whose author is not yet known.
pub(super) struct Unverified<'a> {
    header: Header,
    signed: &'a [u8],
    mac: &'a [u8],
    body: &'a [u8],
}

impl<'a> Unverified<'a> {
    /// Reads the header at the start of `file` and checks its hash and every bound, without any key.
    pub(super) fn decode(file: &'a [u8]) -> Result<Self, Fault> {
        let mut start = Reader { rest: file, place: Place::Header };
        if !file.starts_with(&MAGIC[..MAGIC.len().min(file.len())]) {
            return Err(Fault::Damaged(Place::Start));
        }
        start.take(MAGIC.len())?;
        let version = u16::from_be_bytes(start.array()?);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(Fault::Version(version));
        }
        let length = u32::from_be_bytes(start.array()?);
        let within = |length: &usize| holds(Check::HeaderLength, (2 * HASH + 14..=MAX_HEADER).contains(length));
        let length = usize::try_from(length).ok().filter(within).ok_or(Fault::Damaged(Place::Header))?;
        let Some((whole, body)) = file.split_at_checked(length) else { return Err(Fault::Truncated(Place::Header)) };
        let (hashed, hash) = whole.split_at(length - HASH);
        if !holds(Check::HeaderHash, crypto::sha256(hashed) == hash) {
            return Err(Fault::Damaged(Place::Header));
        }
        let (signed, mac) = hashed.split_at(hashed.len() - HASH);
        // The hash was right, so whatever is wrong from here on was written so.
        let fields = Reader { rest: &signed[14..], place: Place::Header };
        let header = decode_fields(fields, version).map_err(|fault| match fault {
            Fault::Truncated(place) => Fault::Damaged(place),
            other => other,
        })?;
        Ok(Self { header, signed, mac, body })
    }

    /// What the header says of itself. Nobody has vouched for it.
    pub(super) fn claimed(&self) -> &Header {
        &self.header
    }

    /// Opens a slot and checks that the header was written by someone who had the data key. Gives the header, the data
    /// key, and the records behind the header.
    pub(super) fn unlock(self, unlock: Unlock<'_>) -> Result<(Header, Key, &'a [u8]), Fault> {
        let data_key = self.header.keyring.data_key(unlock)?;
        let (header, body) = self.verify(&data_key)?;
        Ok((header, data_key, body))
    }

    /// The same, where the data key is known.
    pub(super) fn verify(self, data_key: &Key) -> Result<(Header, &'a [u8]), Fault> {
        let key = header_key(data_key, &self.header.keyring.archive)?;
        if !holds(Check::HeaderMac, crypto::mac_is(&key, self.signed, self.mac)) {
            return Err(Fault::Damaged(Place::Header));
        }
        Ok((self.header, self.body))
    }
}

fn header_key(data_key: &Key, archive: &ArchiveId) -> Result<Key, Fault> {
    crypto::derive(data_key.bytes(), archive, b"p2p store header")
}

fn decode_fields(mut fields: Reader<'_>, version: u16) -> Result<Header, Fault> {
    let damaged = Fault::Damaged(Place::Header);
    let archive = fields.array()?;
    let generation = u64::from_be_bytes(fields.array()?);
    let seed = fields.array()?;
    if fields.array()? != [PBKDF2_HMAC_SHA256] {
        return Err(damaged);
    }
    let rounds = u32::from_be_bytes(fields.array()?);
    let rounds = checked_rounds(rounds).ok_or(Fault::Kdf(rounds))?;
    let kdf = Kdf { rounds, salt: fields.array()? };
    let [count] = fields.array()?;
    if !holds(Check::SlotCount, usize::from(count) <= MAX_SLOTS) {
        return Err(damaged);
    }
    let mut slots = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let kind = match fields.array()? {
            [1] => SlotKind::Password,
            [2] => SlotKind::Recovery,
            _ => return Err(damaged),
        };
        slots.push(Slot { kind, nonce: fields.array()?, wrapped: fields.array()? });
    }
    let form = match version {
        OLDEST => Form::Alone,
        _ => match fields.array()? {
            [1] => Form::Logged,
            [2] => Form::Backup,
            _ => return Err(damaged),
        },
    };
    if !fields.rest.is_empty() {
        return Err(damaged);
    }
    Ok(Header { keyring: Keyring { archive, kdf, slots }, generation, seed, form })
}

/// Takes bytes off the front; running out of them is a [`Fault::Truncated`] at `place`.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
    pub(super) place: Place,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Fault::Truncated(self.place))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.try_into().map_err(|_| Fault::Truncated(self.place))
    }
}
