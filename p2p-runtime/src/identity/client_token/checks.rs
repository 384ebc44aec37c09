//! The checks by which a node stops the attacks of the security cases on tokens, by name; see [`crate::checks`].

#[cfg(test)]
pub(super) use crate::checks::is_left_out;
pub(super) use crate::checks::{bound, holds};

/// What of a token is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// That it says it is signed by the one algorithm.
    Algorithm,
    /// That it says it is an access token.
    Type,
    /// That it has no critical extensions.
    Critical,
    /// That the key which it names is a coordinator's. Where this is left out, any key of a coordinator is taken for it.
    Key,
    /// That this key signed it, by the one algorithm: there is no code that verifies by another.
    Signature,
    /// That it is in the name of a coordinator that has the key.
    Issuer,
    /// That it says whom it is for.
    AudienceStated,
    /// That it is for this cluster.
    Audience,
    /// That it is good for no longer than any token may be.
    Lifetime,
    /// That neither it nor its credential was revoked.
    Revoked,
    /// That what its bearer must prove besides is understood.
    #[cfg(test)]
    Confirmation,
    /// That it comes with the certificate to which it is bound.
    Certificate,
}
