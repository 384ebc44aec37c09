//! [`BearerToken`]: what a client shows to be more than anonymous.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

/// A token that names a client to the cluster, sent with each call as `Authorization: Bearer …` (RFC 6750, 2.1). It cannot be printed, and is
/// overwritten when its last clone goes.
///
/// ```
/// use p2p_client::client::BearerToken;
///
/// let token = BearerToken::new(String::from("eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"))?;
/// assert_eq!(format!("{token:?}"), "BearerToken(..)");
/// # Ok::<(), p2p_client::client::InvalidToken>(())
/// ```
#[derive(Clone)]
pub struct BearerToken(HeaderValue);

/// A text that is no token. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// There is nothing.
    #[error("the token is empty; give the whole text that the cluster issued")]
    Empty,
    /// A character cannot be in a token.
    #[error(
        "the token holds a character that no token has (at place {place}); copy only the token, without spaces and line ends"
    )]
    BadCharacter {
        /// Which character, counted from 1.
        place: usize,
    },
}

impl BearerToken {
    /// Takes over a `String`; a `&str` is copied. Nothing is trimmed.
    ///
    /// # Errors
    /// [`InvalidToken`] unless it has the form of a bearer token.
    pub fn new(token: impl Into<String>) -> Result<Self, InvalidToken> {
        let token = Zeroizing::new(token.into());
        if token.is_empty() {
            return Err(InvalidToken::Empty);
        }
        let bad = |byte: u8| !(byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        if let Some(place) = token.bytes().position(bad) {
            return Err(InvalidToken::BadCharacter { place: place + 1 });
        }
        let mut credentials = Zeroizing::new(Vec::with_capacity("Bearer ".len() + token.len()));
        credentials.extend_from_slice(b"Bearer ");
        credentials.extend_from_slice(token.as_bytes());
        // The bytes stay where they are, whatever clones there are of the header, and go with the last of these.
        let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(credentials)).map_err(|_| InvalidToken::Empty)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// The value of the header `authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_as_it_is_and_shown_nowhere() {
        let token = BearerToken::new("a.b-c_d~e+f/g==").unwrap();
        assert_eq!(token.header().as_bytes(), b"Bearer a.b-c_d~e+f/g==");
        assert_eq!(format!("{token:?} {:?}", token.header()), "BearerToken(..) Sensitive");
    }

    #[test]
    fn what_is_no_token_is_refused_by_its_place_and_not_repeated() {
        assert_eq!(BearerToken::new("").unwrap_err(), InvalidToken::Empty);
        for (text, place) in [("secret\n", 7), (" secret", 1), ("sec ret", 4), ("sécret", 2)] {
            let error = BearerToken::new(text).unwrap_err();
            assert_eq!(error, InvalidToken::BadCharacter { place });
            assert!(!error.to_string().contains("ret"), "{error}");
        }
    }
}
