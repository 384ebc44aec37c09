//! The checks by which a coordinator lets in only whom it may, by name; see [`crate::checks`]. What binds a proof to its attempt is named in
//! `join::checks`.

#[cfg(test)]
pub(super) use crate::checks::is_left_out;
pub(super) use crate::checks::{as_here, bound};

/// What is checked, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The second look at a candidate, where its certificate is written: what the first found may be over since its addresses were called.
    AtTheWrite,
    /// That of a certificate request only the key is taken.
    #[cfg(test)]
    OnlyTheKey,
    /// How many authorities there may be below one: none below a coordinator's.
    PathLength,
}
