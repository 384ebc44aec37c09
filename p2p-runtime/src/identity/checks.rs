//! The checks by which identities stop the attacks of the security cases, by name; see [`crate::checks`]. What binds a join to its
//! connection is named in `join::checks`.

pub(super) use crate::checks::{bound, carried, holds};

/// What is checked, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
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
