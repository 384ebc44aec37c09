//! Renewing a node's certificate, while the node runs and its calls go on.
//!
//! Data flows so. The node's [pace](Pace), by its [schedule](Schedule), says when. [`renew`] asks a coordinator over a connection of its own, on which the node shows the
//! certificate that it has: that, and a request signed by the same key, is all the proof there is to give. Only an address that the old certificate did not
//! have is proved as in joining, by a challenge. The coordinator's end is [`Issuer::renew`](super::Issuer::renew).
//! What comes back is durable before it is used ([`NodeIdentity::take_renewed`](super::NodeIdentity::take_renewed)).
//!
//! The key stays: a node id is bound to it, and changing it needs an operator.

mod driver;
mod messages;
mod schedule;
#[cfg(test)]
mod tests;
mod validity;

pub(crate) use driver::renew;
pub use driver::{RenewError, Renewed};
pub(crate) use messages::{MAX_REQUEST, PATH, encode_reply};
pub use messages::{RENEW_VERSION, RenewReply, RenewRequest};
pub(super) use schedule::LONGEST_RETRY;
pub use schedule::{Next, Pace, Schedule};
pub use validity::CertificateInfo;
