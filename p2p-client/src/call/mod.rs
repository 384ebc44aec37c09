//! Calls as values: [`Call`] for one result or one [`Streaming`], [`Replies`] for one from each of many nodes, [`CallError`] when it fails.
//!
//! ```text
//! proxy method -> Call { options, pending } --first poll--> Outgoing -> resolve -> here: the object itself, guarded
//!                                                                              -> peer: encode, send, decode
//! ```
//! Nothing happens until a call is polled; dropping it cancels it.

mod error;
mod failed_call;
mod fanout;
mod head;
mod here;
mod load;
mod opening;
mod options;
mod outgoing;
mod pause;
mod quorum;
mod sending;
mod sent;
mod serving;
mod settling;
mod single;
mod streaming;

pub(crate) use error::WasCancelled;
pub use error::{CallError, Failure, RetryAfter, TimedOut};
pub use failed_call::FailedCall;
#[doc(hidden)]
pub use failed_call::HoldsFailedCall;
pub use fanout::{Answers, AskingAll, Failures, Replies, ReplyStream, Values};
pub use head::{Head, MethodRef};
pub use here::Here;
pub(crate) use here::at_hand;
pub use load::{PeerLoad, UnderWay, Verdict};
pub use opening::{Items, OpenHere, Opened, Opening};
pub use options::{CallOptions, Headers};
#[doc(hidden)]
pub use outgoing::Codec;
pub use outgoing::Outgoing;
pub(crate) use outgoing::{Begun, decoded, encoded};
pub use quorum::{First, Quorum, TooFew};
pub use sending::{Sending, Started};
pub use serving::{Serving, ended_by_stop, open_guarded, serve_guarded, serve_timed, unknown_method};
#[cfg(any(test, feature = "testing"))]
pub(crate) use serving::{limit, unknown_method_of};
pub use single::Call;
pub use streaming::Streaming;
