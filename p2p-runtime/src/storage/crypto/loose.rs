//! What sealing and opening are without one of their guards, for the controls of the security cases.

use zeroize::Zeroizing;

use super::{Cipher, NONCE};
use crate::storage::checks::{Check, is_left_out};

/// Whether texts are to be written as they are.
pub(super) fn leaves_plain() -> bool {
    is_left_out(Check::Cipher)
}

/// Whether a text is to be taken whatever its tag says.
pub(super) fn takes_any_tag() -> bool {
    is_left_out(Check::Tag) || leaves_plain()
}

impl Cipher {
    /// Without its tag a sealed text is text and key stream: what seals it opens it.
    pub(super) fn open_untagged(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        mut text: Zeroizing<Vec<u8>>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        self.seal(nonce, aad, &mut text).ok()?;
        Some(text)
    }
}
