//! What the attacks of cases 3, 4, 5, 7, 8 and 9 do where the check that stops them is left out: the store's own steps, less one.

use std::{num::NonZeroU32, path::Path};

use zeroize::Zeroizing;

use super::super::{content, disk::Trouble, owned, put_all, reopen, stored};
use crate::storage::crypto::{self, Cipher, HASH, Key, NONCE};

const FILE: &str = "node/store.p2p";

/// Seals each record by itself: nothing says which one it is, of which save, or which is the last.
struct Loose(Cipher);

impl Loose {
    fn new() -> Self {
        Self(Cipher::new(&Key::random().unwrap()).unwrap())
    }

    fn seal(&self, text: &str) -> Vec<u8> {
        let nonce: [u8; NONCE] = crypto::random().unwrap();
        let mut sealed = text.as_bytes().to_vec();
        let tag = self.0.seal(nonce, b"", &mut sealed).unwrap();
        let length = u32::try_from(sealed.len() + tag.len()).unwrap();
        [&nonce[..], &length.to_be_bytes(), &sealed, &tag].concat()
    }

    /// Reads records until there are none; `None` where one does not open.
    fn read(&self, mut file: &[u8]) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        while let Some((nonce, rest)) = file.split_first_chunk::<NONCE>() {
            let (length, rest) = rest.split_first_chunk()?;
            let (sealed, rest) = rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
            texts.push(String::from_utf8(self.0.open(*nonce, b"", sealed)?.to_vec()).ok()?);
            file = rest;
        }
        Some(texts)
    }
}

/// Reads a file that a plain hash guards.
fn read_hashed(file: &[u8]) -> Option<&[u8]> {
    let (text, hash) = file.split_at_checked(file.len().checked_sub(HASH)?)?;
    crypto::same(&crypto::sha256(text), hash).then_some(text)
}

/// A data key in a slot that a password opens, with no hash that tells damage from another password.
struct BareSlot {
    salt: [u8; 32],
    rounds: NonZeroU32,
    nonce: [u8; NONCE],
    wrapped: Vec<u8>,
}

impl BareSlot {
    fn new(password: &[u8], rounds: NonZeroU32) -> Self {
        let (salt, nonce) = (crypto::random().unwrap(), crypto::random().unwrap());
        let key = crypto::derive_slowly(password, &salt, rounds).unwrap();
        let mut wrapped = Key::random().unwrap().bytes().to_vec();
        let tag = Cipher::new(&key).unwrap().seal(nonce, b"", &mut wrapped).unwrap();
        wrapped.extend_from_slice(&tag);
        Self { salt, rounds, nonce, wrapped }
    }

    fn open(&self, password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let key = crypto::derive_slowly(password, &self.salt, self.rounds).unwrap();
        Cipher::new(&key).unwrap().open(self.nonce, b"", &self.wrapped)
    }
}

#[test]
fn case_03_control_a_plain_hash_lets_every_flipped_bit_pass_whose_author_makes_it_right_again() {
    let text = b"role = worker";
    let file = [&text[..], &crypto::sha256(text)].concat();
    assert_eq!(read_hashed(&file), Some(&text[..]));
    for bit in 0..text.len() * 8 {
        let mut flipped = text.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let file = [flipped.clone(), crypto::sha256(&flipped).to_vec()].concat();
        assert_eq!(read_hashed(&file), Some(&flipped[..]), "bit {bit}");
    }
}

#[test]
fn case_04_control_without_an_end_mark_a_file_that_is_cut_between_records_is_taken_for_whole() {
    let loose = Loose::new();
    let (first, second) = (loose.seal("a"), loose.seal("b"));
    assert_eq!(loose.read(&[first.clone(), second].concat()).unwrap(), ["a", "b"]);
    assert_eq!(loose.read(&first).unwrap(), ["a"]);
}

#[test]
fn case_05_control_records_without_a_number_are_taken_in_any_order_again_and_from_another_save() {
    let loose = Loose::new();
    let (old, first, second) = (loose.seal("revoked: no"), loose.seal("revoked: yes"), loose.seal("b"));
    let taken = |records: &[&Vec<u8>]| loose.read(&records.iter().copied().flatten().copied().collect::<Vec<_>>()).unwrap();
    assert_eq!(taken(&[&second, &first]), ["b", "revoked: yes"]);
    assert_eq!(taken(&[&first, &first, &second]), ["revoked: yes", "revoked: yes", "b"]);
    assert_eq!(taken(&[&old, &second]), ["revoked: no", "b"]);
}

#[test]
fn case_07_control_without_the_headers_hash_damage_and_a_wrong_password_look_the_same() {
    let few = NonZeroU32::new(10).unwrap();
    let mut slot = BareSlot::new(b"right", few);
    assert!(slot.open(b"right").is_some());
    let wrong_password = slot.open(b"wrong");
    slot.wrapped[0] ^= 1;
    let damage = slot.open(b"right");
    assert_eq!((wrong_password, damage), (None, None));
}

#[test]
fn case_08_control_without_bounds_one_round_guards_a_store_and_a_length_takes_memory_that_the_file_does_not_have() {
    // Thousands of guesses in the time of one of the store's.
    let slot = BareSlot::new(b"1234", NonZeroU32::MIN);
    let found = (0..10_000).map(|guess| format!("{guess:04}")).find(|guess| slot.open(guess.as_bytes()).is_some());
    assert_eq!(found.as_deref(), Some("1234"));

    let (disk, _) = stored(&[("a", "value")]);
    let file = disk.content(Path::new(FILE)).unwrap();
    let mut buffer = Vec::<u8>::new();
    let reserved = buffer.try_reserve_exact(u32::MAX.try_into().unwrap());
    // It is either refused for want of memory, or has it all.
    assert!(reserved.is_err() || buffer.capacity() > 1_000_000 * file.len(), "{} bytes for {}", buffer.capacity(), file.len());
}

#[test]
fn case_09_control_of_two_who_write_without_a_lock_the_later_one_takes_away_what_the_other_saved() {
    let (disk, key) = stored(&[("kept", "by both")]);
    // The same store, opened twice: a copy of the disk knows nothing of the lock.
    let beside = disk.copy(Trouble::None);
    let (one, other) = (reopen(&disk, &key).unwrap(), reopen(&beside, &key).unwrap());
    for (store, path) in [(&one, "one"), (&other, "other")] {
        put_all(store, &[(path, "acknowledged")]).unwrap();
        store.save().unwrap();
    }
    drop((one, other));
    // Both wrote files of the same names, the other one last.
    for path in beside.names() {
        disk.set_content(&path, &beside.content(&path).unwrap());
    }
    let found = content(&reopen(&disk.copy(Trouble::None), &key).unwrap());
    assert_eq!(found, owned(&[("kept", "by both"), ("other", "acknowledged")]));
}
