//! The checks by which identities stop the attacks of the security cases, by name; see [`crate::checks`]. What binds a join to its
//! connection is named in `join::checks`.

#[cfg(test)]
pub(super) use crate::checks::is_left_out;
pub(super) use crate::checks::{bound, carried, holds};

/// What is checked, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
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
    /// That certificates begin before they are made, for clocks that are behind.
    EarlyBeginning,
    /// That no claimed address which leads inside is called.
    InsideAddress,
    /// That the certificates of a statement's author lead to the root, and were valid when it was made.
    AuthorChain,
    /// That the author's key has signed what the statement says.
    AuthorSignature,
    /// What a revocation is signed as, which keeps its signature apart from others of the same key.
    RevocationDomain,
    /// That a revocation is not dated far ahead.
    RevocationDate,
    /// That a coordinator has signed a revocation.
    RevocationRole,
    /// That a revocation is of whom it names as its author.
    RevocationAuthor,
    /// That nothing more is taken from whoever passes on what somebody made up.
    RevocationHearing,
}
