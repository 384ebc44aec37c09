//! Requests to join that an operator decides about, where the token says so.
//!
//! ```text
//!           proof and addresses were checked, the token's use was taken
//!                          │
//!                       Waiting ──── 7 days ───► expired
//!   approve, of what      │   │
//!   was shown, exactly    │   └─ deny ──────────► Denied
//!                      Approved ── 7 days ──────► expired
//!   it asks again         │   └─ deny ──────────► Denied
//!                       Joined
//! ```
//!
//! A request is one of a key: what is approved is that key, under that name, in that role, at those addresses. [`Approvals`] is the table of
//! them, pure, with time coming from outside; the issuer keeps it, each request an entry of the store. Decided and expired requests are
//! remembered for a while, so that the node and the operator are told what became of them.

use p2p_client::protocol::UnixMillis;

mod error;
mod table;
#[cfg(test)]
mod tests;

pub(super) use self::table::{Approvals, JoinRequest, Standing};
pub use self::{
    error::ApprovalError,
    table::{MAX_WAITING, PendingNode},
};

/// A request as it was stored, where something can still be decided about it.
pub(crate) fn open_request(stored: &[u8], now: UnixMillis) -> Option<PendingNode> {
    serde_json::from_slice::<JoinRequest>(stored).ok().filter(|request| request.is_open(now)).map(|request| request.shown())
}

/// Where requests stand in the store, each under its key.
pub(crate) const FOLDER: &str = "ca/pending/";
