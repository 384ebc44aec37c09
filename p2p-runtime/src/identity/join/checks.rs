//! What binds the proof of a join to just this attempt, its answer to the token, and what else a join goes by, by name; see
//! [`crate::checks`].

pub(super) use crate::checks::{bound, holds};

/// What a proof is bound to, or an answer, and what a join goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::identity) enum Check {
    /// The connection: the attempt is of this one, and the proof signs it.
    Channel,
    /// The nonce of the attempt, which the proof signs.
    Nonce,
    /// The certificate request, which the proof signs.
    Request,
    /// The root that the token names, which is the answer's.
    Root,
    /// The coordinator's clock, by which its certificate is to be valid.
    ToldClock,
}
