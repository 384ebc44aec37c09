//! Calling any JSON-RPC 2.0 server by HTTPS, with batches that make themselves.
//!
//! ```text
//! JsonRpcCall -> Driver (Batcher: what goes when) -> Link (one POST) -> answers (whose is what) -> JsonRpcCall
//! ```
//! Calls that are made while a request is under way, or in the same turn of the scheduler, go to the server together as one batch
//! (specification section 6), within [`BatchLimits`]; a call without company goes as a single request. Answers are told apart by
//! id. What is wrong with one answer is told to its call only: see [`JsonRpcError`]. A server that takes no batches is noticed and
//! spoken to singly from then on; calls of the refused batch are sent again where none of them can have run.
//!
//! Nodes of a cluster are not called this way, but by [`Proxy`](crate::proxy::Proxy).
//!
//! The server is spoken to by HTTP/1.1 over TLS 1.3, on at most [`BatchLimits::max_in_flight`] connections, which are kept. No roots
//! are trusted but those that are given: this crate brings no list of public authorities. Plain `http://` is for servers on this
//! machine only.
//!
//! ```no_run
//! use p2p_client::json_rpc::JsonRpcClient;
//!
//! #[derive(serde::Serialize)]
//! struct At {
//!     height: u64,
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = JsonRpcClient::builder("https://rpc.example.org/v1")
//!     .root_pem(&std::fs::read("authority.pem")?)
//!     .header("authorization", "Bearer abc")
//!     .build()?;
//! // One request to the server, with both calls in it.
//! let (height, hash) =
//!     futures::try_join!(client.call::<u64>("chain/height", ()), client.call::<String>("chain/hash", At { height: 7 }))?;
//! client.notify("chain/seen", [height]).await?;
//! # drop(hash);
//! # Ok(())
//! # }
//! ```

mod answers;
mod batcher;
mod client;
mod driver;
mod error;
mod link;

pub use batcher::BatchLimits;
pub use client::{JsonRpcCall, JsonRpcClient, JsonRpcClientBuilder};
pub use error::{JsonRpcClientError, JsonRpcError};

#[cfg(test)]
mod tests;
