//! Tokens of clients outside of the cluster: short-lived JWTs that a coordinator signs and every node verifies.
//!
//! ```text
//! coordinator: p2p client create ─► ClientTable ─┐
//!              POST /auth/token, with its secret ─┴► TokenAuthority ─► SigningKeys ─► a token
//!                                                        │ public halves, in the coordinator's signed NodeInfo
//! every node:  authorization: Bearer … ─► TokenVerifier ─┴─ KeyRing, RevokedTokens ─► ClientIdentity
//! ```
//! A token is a JWT (RFC 7519) in the profile for access tokens (RFC 9068), signed by EdDSA on Ed25519 (RFC 8037) and by nothing else.
//! There is one key for each coordinator, which never leaves its store. What a node believes is the key ring: keys that a coordinator
//! announces under the signature of its certificate. A worker can announce none. Why it is so is in decision 22.

mod authority;
mod bearer;
mod checks;
mod claims;
mod clients;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod jws;
mod keys;
mod revoked;
mod ring;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    authority::{IssuedToken, Proof, TokenAuthority},
    bearer::BearerToken,
    claims::{InvalidTokenId, TokenId},
    clients::{ClientId, ClientOptions},
    revoked::RevokedTokens,
    ring::{KeyRing, METADATA},
    verify::{Standing, TokenVerifier},
};
pub use self::{
    clients::{ClientName, ClientRecord, ClientSecret, InvalidClientName},
    error::{BearerRefused, GrantRefused},
};

use std::time::Duration;

/// How long a token is good unless its client was made with another time: 15 minutes.
pub const DEFAULT_TTL: Duration = Duration::from_mins(15);
/// How long a token is good at most: 24 hours.
pub const MAX_TTL: Duration = Duration::from_hours(24);
/// By how much clocks of nodes may differ: a minute.
const LEEWAY: Duration = Duration::from_mins(1);

/// Whole seconds since the Unix epoch, as JWTs count (RFC 7519, section 2).
fn seconds(time: p2p_client::protocol::UnixMillis) -> u64 {
    time.0 / 1000
}
