//! A token as it travels.

use std::{fmt, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use zeroize::Zeroizing;

use super::BearerRefused;

/// A token as text. Whoever has it is the client: it is never printed, and wiped when the last clone goes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BearerToken(Arc<Zeroizing<String>>);

impl BearerToken {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The token of a request, if it shows one (RFC 6750, section 2.1).
    ///
    /// # Errors
    /// What is shown is something else: it is refused, as the request is not to go on as if nothing were shown.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, BearerRefused> {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = shown.next() else { return Ok(None) };
        if shown.next().is_some() {
            return Err(BearerRefused::SeveralShown);
        }
        let text = value.to_str().map_err(|_| BearerRefused::NotBearer)?;
        let (scheme, token) = text.split_once(' ').ok_or(BearerRefused::NotBearer)?;
        if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(Self::new(token.trim()))) } else { Err(BearerRefused::NotBearer) }
    }

    /// The text. What is copied out of here is no longer wiped by anyone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The value of the header by which the token is passed on.
    pub(crate) fn header(&self) -> (String, String) {
        (AUTHORIZATION.to_string(), format!("Bearer {}", self.reveal()))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}
