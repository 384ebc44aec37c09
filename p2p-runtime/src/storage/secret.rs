//! Values that must not be seen: the password, and what the entries hold.
//!
//! Both overwrite their bytes when they go, and neither can be printed: `Debug` says only what kind of value it is.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use super::StoreError;

/// The password of a store. It is never empty, never printed, and overwritten when dropped.
///
/// ```
/// use p2p_runtime::storage::Password;
///
/// let password = Password::new(String::from("correct horse battery staple"))?;
/// assert_eq!(format!("{password:?}"), "Password(..)");
/// assert!(Password::new("").is_err());
/// # Ok::<(), p2p_runtime::storage::StoreError>(())
/// ```
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes over a `String` or `Vec<u8>` without copying it; a `&str` or `&[u8]` is copied. Nothing is trimmed.
    ///
    /// # Errors
    /// [`StoreError::EmptyPassword`].
    pub fn new(password: impl Into<Vec<u8>>) -> Result<Self, StoreError> {
        let password = Zeroizing::new(password.into());
        if password.is_empty() { Err(StoreError::EmptyPassword) } else { Ok(Self(password)) }
    }

    /// The password as a secret value: to hand it to a node over its own socket.
    pub fn to_secret(&self) -> Secret {
        Secret::from(self.bytes())
    }

    /// The bytes that the key is derived from.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What an entry of the store holds. Clones share the bytes, which are overwritten when the last one goes.
///
/// ```
/// use p2p_runtime::storage::Secret;
///
/// let secret = Secret::from("-----BEGIN PRIVATE KEY-----");
/// assert_eq!(secret.expose().len(), 27);
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// ```
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// The bytes. What is copied out of here is no longer overwritten by anyone.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Zeroizing::new(bytes).into()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_password_is_refused_and_the_error_says_what_to_do() {
        let error = Password::new(Vec::new()).unwrap_err();
        assert!(matches!(error, StoreError::EmptyPassword));
        assert!(error.to_string().contains("give one"));
    }

    #[test]
    fn debug_shows_nothing_of_a_password_or_an_entry() {
        let password = Password::new("hunter2hunter2").unwrap();
        assert_eq!(format!("{password:?} {:#?}", Secret::from("hunter2")), "Password(..) Secret(..)");
    }
}
