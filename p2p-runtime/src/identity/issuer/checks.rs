//! The checks by which a coordinator stops whoever wants to be another node, by name; see [`crate::checks`].

pub(super) use crate::checks::holds;

/// What has to be so before a node gets a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::identity) enum Check {
    /// That its id is bound to no other key, as far as this coordinator knows.
    KeyOfId,
    /// That no other coordinator has bound the id to another key.
    KeyElsewhere,
    /// That it is renewed by its last certificate.
    LastCertificate,
}
