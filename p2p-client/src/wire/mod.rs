//! Connections: the network below, TLS, and sessions and HTTP to peers.
//!
//! ```text
//! Sessions, HttpPool -> Dial -> ClientTls -> Network
//! ```
//! [`sessions`] keeps one session with each peer, by which calls go ([`session`]); what is too large for it goes by [`pool`].
//! [`net`] is the one seam to the network; [`tls`] verifies who is at the other end; [`dial`] joins the two; [`pool`] keeps one HTTP/2
//! connection to each peer; [`http`] is a request and what may become of it; [`rpc`] is a call as such a request.

pub mod dial;
pub mod http;
pub mod net;
#[cfg(test)]
mod paused;
pub mod pool;
mod read_ahead;
mod room;
pub mod rpc;
pub mod session;
pub mod sessions;
mod streamed;
pub mod tls;

pub use dial::PeerRef;
pub use room::{NoRoom, Room, Whose};
pub use streamed::{Lines, Streamed};
