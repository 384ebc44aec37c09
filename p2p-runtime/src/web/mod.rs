//! The node's HTTP side: the same methods for every other language, the documents, health, joining, administration.
//!
//! ```text
//! transport (who is at the other end) -> routes -> requester (who asks) -> Dispatcher, documents, Issuer
//! ```
//! What may be read without a name is said route by route in [`routes`]; methods decide for themselves.

mod admin;
mod bodies;
mod calls;
mod component;
mod documents;
pub(crate) mod headers;
mod joining;
mod requester;
mod routes;
pub mod rpc;
mod running;
mod state;
mod streams;

/// Where results that were too large for a session are fetched; the ticket follows.
pub(crate) const BODY_PATH: &str = "/internal/session/body";

pub use admin::{LeaveReply, TokenReply, TokenRequest};
pub(crate) use component::WebServerComponent;
pub use documents::{Health, MethodStatus, ServiceStatus};
pub(crate) use running::RunningRequests;
pub(crate) use state::WebState;
