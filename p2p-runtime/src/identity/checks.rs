//! The checks by which a coordinator lets in only whom it may, by name; see [`crate::checks`]. What binds a proof to its attempt is named in
//! `join::checks`.

#[cfg(test)]
pub(super) use crate::checks::is_left_out;
pub(super) use crate::checks::{bound, holds};

/// What is checked, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// That a token has a use left.
    Uses,
    /// That its time is not over.
    Expiry,
    /// That nobody took it back.
    NotRevoked,
    /// That its id is bound to no other key, as far as this coordinator knows.
    KeyOfId,
    /// That no other coordinator has bound the id to another key.
    KeyElsewhere,
    /// That it is renewed by its last certificate.
    LastCertificate,
    /// The second look at a candidate, where its certificate is written: what the first found may be over since its addresses were called.
    AtTheWrite,
    /// The third look, once that is written and before it is handed out: a revocation does not wait for the write.
    BehindTheWrite,
    /// That the use of a token and what it was for are one write.
    #[cfg(test)]
    OneWrite,
    /// That of a certificate request only the key is taken.
    #[cfg(test)]
    OnlyTheKey,
    /// How many authorities there may be below one: none below a coordinator's.
    PathLength,
}
