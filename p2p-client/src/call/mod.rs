//! Calls as values: [`Call`] for one result or one [`Streaming`], [`Replies`] for one from each of many nodes, [`CallError`] when it fails.
//!
//! ```text
//! proxy method -> Call { options, pending } --first poll--> Outgoing -> resolve -> here: the object itself, guarded
//!                                                                              -> peer: encode, send, decode
//! ```
//! Nothing happens until a call is polled; dropping it cancels it.

mod error;
mod fanout;
mod here;
mod load;
mod opening;
mod options;
mod outgoing;
mod pause;
mod quorum;
mod sending;
mod single;
mod streaming;

pub use error::{CallError, Failure, TimedOut};
pub use fanout::{Answers, Failures, Replies, ReplyStream, Values};
pub use here::Here;
pub(crate) use here::at_hand;
pub use load::{PeerLoad, UnderWay};
pub use opening::{Items, OpenHere, Opened, Opening, open_guarded};
pub use options::{CallOptions, Headers};
#[doc(hidden)]
pub use outgoing::Codec;
pub(crate) use outgoing::{Begun, encoded};
pub use outgoing::{Head, MethodRef, Outgoing, serve_guarded, unknown_method};
#[cfg(any(test, feature = "testing"))]
pub(crate) use outgoing::{limit, unknown_method_of};
pub use quorum::{First, Quorum, TooFew};
pub use sending::{Sending, Settle};
pub use single::Call;
pub use streaming::Streaming;
