//! [`FailedCall`]: a failed call inside of a service's own error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::ErrorCode;

use super::CallError;

/// A failed call as a value that travels, for a service's own error: what became of a call that its method made in turn.
///
/// A [`CallError`] itself cannot travel inside of another service's error. `#[derive(FromCallError)]` makes this of it, so that `?` does in a
/// method that returns `Result<T, E>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct FailedCall {
    /// What kind of failure it was: the code of JSON-RPC.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
}

impl FailedCall {
    /// Whether the time for the call ran out.
    pub fn is_deadline(&self) -> bool {
        self.code == ErrorCode::DEADLINE
    }
}

impl<E: std::fmt::Display> From<CallError<E>> for FailedCall {
    fn from(error: CallError<E>) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// Its sentence.
impl From<FailedCall> for String {
    fn from(failed: FailedCall) -> Self {
        failed.message
    }
}

/// What the variant of an own error may hold that a failed call becomes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made of a failed call",
    label = "what is under #[from_call] holds the failed call",
    note = "let it hold a `FailedCall` (its code and its sentence), a `String` (its sentence), a type with `From<FailedCall>`, or nothing"
)]
pub trait HoldsFailedCall {
    /// What it holds of the failed call.
    fn of_failed(failed: FailedCall) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: From<FailedCall>> HoldsFailedCall for T {
    fn of_failed(failed: FailedCall) -> Self {
        failed.into()
    }
}
