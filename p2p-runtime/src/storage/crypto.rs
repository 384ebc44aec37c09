//! The few cryptographic steps that the format needs, over aws-lc-rs.
//!
//! Keys are [`Key`]s: 32 bytes on the heap that are overwritten when dropped. Which key is derived from which, and what
//! for, is said where it is used: [`super::header`] and [`super::archive`].

#[cfg(test)]
mod loose;

use std::num::NonZeroU32;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    constant_time, digest, hkdf, hmac, pbkdf2, rand,
};
use zeroize::Zeroizing;

use super::{
    checks::{Check, bound},
    error::Fault,
};

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// Bytes of an AES-GCM nonce.
pub(super) const NONCE: usize = 12;
/// Bytes that AES-GCM adds.
pub(super) const TAG: usize = 16;
/// Bytes of a SHA-256 hash, and of a MAC with it.
pub(super) const HASH: usize = 32;

/// A secret key. Boxed, so that moving it leaves no copy behind.
#[derive(Clone)]
pub(super) struct Key(Box<Zeroizing<[u8; KEY]>>);

impl Key {
    /// A new random key.
    pub(super) fn random() -> Result<Self, Fault> {
        Self::filled(fill_random)
    }

    /// A key whose bytes `fill` writes in place.
    fn filled(fill: impl FnOnce(&mut [u8]) -> Result<(), Fault>) -> Result<Self, Fault> {
        let mut key = Self(Box::default());
        fill(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// The key of these bytes.
    pub(super) fn from_slice(bytes: &[u8; KEY]) -> Self {
        let mut key = Self(Box::default());
        key.0.copy_from_slice(bytes);
        key
    }

    pub(super) fn bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

/// Fills `bytes` from the system's random numbers.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), Fault> {
    rand::fill(bytes).map_err(|_| Fault::Crypto("drawing random numbers"))
}

/// `N` random bytes; not for keys, since the array is copied when moved.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// The SHA-256 hash of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> [u8; HASH] {
    let mut hash = [0; HASH];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// HKDF-SHA256 of `secret`; `purpose` keeps keys for different purposes apart.
pub(super) fn derive(secret: &[u8], salt: &[u8], purpose: &'static [u8]) -> Result<Key, Fault> {
    let failed = |_| Fault::Crypto("deriving a key");
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, bound(Check::Salt, salt, b"")).extract(secret);
    Key::filled(|bytes| prk.expand(&[purpose], hkdf::HKDF_SHA256).map_err(failed)?.fill(bytes).map_err(failed))
}

/// PBKDF2-HMAC-SHA256 of a password: about 0.1 s for 600,000 rounds. The caller has bounded `rounds`.
pub(super) fn derive_slowly(password: &[u8], salt: &[u8], rounds: NonZeroU32) -> Result<Key, Fault> {
    Key::filled(|bytes| {
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password, bytes);
        Ok(())
    })
}

/// HMAC-SHA256 of `bytes`.
pub(super) fn mac(key: &Key, bytes: &[u8]) -> [u8; HASH] {
    let mut tag = [0; HASH];
    tag.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()), bytes).as_ref());
    tag
}

/// Compares in constant time whether `tag` is the HMAC-SHA256 of `bytes`.
pub(super) fn mac_is(key: &Key, bytes: &[u8], tag: &[u8]) -> bool {
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()), bytes, tag).is_ok()
}

/// Compares in constant time.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// AES-256-GCM under one key.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    /// Whoever makes one sees to it that no nonce is used twice under `key`.
    pub(super) fn new(key: &Key) -> Result<Self, Fault> {
        let key = UnboundKey::new(&AES_256_GCM, key.bytes()).map_err(|_| Fault::Crypto("preparing AES-256-GCM"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `text` in place and gives the tag that belongs behind it.
    pub(super) fn seal(&self, nonce: [u8; NONCE], aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG], Fault> {
        #[cfg(test)]
        if loose::leaves_plain() {
            return Ok([0; TAG]);
        }
        let (nonce, aad) = bound_to(nonce, aad);
        let sealed = self.0.seal_in_place_separate_tag(nonce, aad, text);
        let mut tag = [0; TAG];
        tag.copy_from_slice(sealed.map_err(|_| Fault::Crypto("encrypting"))?.as_ref());
        Ok(tag)
    }

    /// Decrypts `sealed`, text and tag; `None` where it is not what was sealed so.
    pub(super) fn open(&self, nonce: [u8; NONCE], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (text, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        let mut text = Zeroizing::new(text.to_vec());
        #[cfg(test)]
        if loose::takes_any_tag() {
            return self.open_untagged(nonce, aad, text);
        }
        let (nonce, aad) = bound_to(nonce, aad);
        self.0.open_in_place_separate_tag(nonce, aad, tag, &mut text).ok()?;
        Some(text)
    }
}

fn bound_to(nonce: [u8; NONCE], aad: &[u8]) -> (Nonce, Aad<&[u8]>) {
    let nonce = bound(Check::Nonce, nonce, [0; NONCE]);
    (Nonce::assume_unique_for_key(nonce), Aad::from(bound(Check::Aad, aad, b"")))
}
