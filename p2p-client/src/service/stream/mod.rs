//! Methods that stream: what they return, and the way of their items to whoever called.
//!
//! ```text
//! method -> Result<impl Stream> -> feed --item by item--> TakeItems: Handover  -> the caller's stream, on this node
//!                                                                    JsonItems -> StreamSink -> a session, a response
//! ```
//! The method, its stream and the feeding are one future, which owns the service and the values that the stream may borrow from. Each item
//! waits until the one before it was taken, so that a caller who takes none stops the method; dropping the future stops it for good.

mod feed;
mod guard;
mod handover;
mod outcome;
mod sink;

pub use feed::{JsonItems, TakeItems, feed};
pub(crate) use guard::{GuardedStream, StreamCut};
pub use handover::Handover;
pub(crate) use handover::Produced;
pub use outcome::{Results, StreamItem, StreamOf, StreamOutcome, Values};
pub use sink::StreamSink;
pub(crate) use sink::{StreamState, not_asked_for};
