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

mod error;
mod table;
#[cfg(test)]
mod tests;

pub(super) use self::table::{Approvals, JoinRequest, Standing};
pub use self::{
    error::ApprovalError,
    table::{MAX_WAITING, PendingNode},
};

/// Where requests stand in the store, each under its key.
pub(crate) const FOLDER: &str = "ca/pending/";
