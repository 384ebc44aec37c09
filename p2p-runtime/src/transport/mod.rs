//! Connections in: accepting them, securing them, and handing them to what they are for.
//!
//! Data flows so: [`serve`] accepts a stream from a [`Listener`](p2p_client::wire::net::Listener) → a [`Handshake`] makes it a
//! [`Secured`] one (TLS; the Unix socket needs none) → the agreed protocol decides: HTTP requests go to the routes in the
//! [`HttpHandler`], marked with where they came from ([`PeerIdentity`](p2p_client::wire::tls::PeerIdentity), [`RemoteAddr`],
//! [`Ingress`], [`ChannelBinding`](p2p_client::wire::tls::ChannelBinding)); membership frames go to a [`GossipAcceptor`], of
//! which [`GossipLink`] is the real one. Every step is bounded by [`ListenerLimits`].

mod component;
mod connection;
mod crowd;
pub(crate) mod fate;
mod gossip_link;
mod handler;
mod handshake;
mod limits;
mod listener;
mod memory;
mod node_http2;
mod own_wakes;
mod rest;
mod timer;
pub mod tls;
#[cfg(unix)]
mod unix;

pub(crate) use component::{TransportComponent, TransportParts};
pub use gossip_link::{GossipDial, GossipLink, GossipLinkConfig, TlsGossipDial};
pub(crate) use handler::{AnswerBody, Origin, Shortcut, ShownCertificate, error_response, over_limit, retry_after, unavailable};
pub use handler::{HttpHandler, Ingress, RemoteAddr};
pub use handshake::{Handshake, HandshakeError, Protocol, Secured};
pub use limits::ListenerLimits;
pub use listener::{GossipAcceptor, Server, serve};
pub use memory::{MemoryHost, MemoryNetwork};
#[cfg(test)]
pub(crate) use node_http2::NoSessions;
pub use node_http2::SessionAcceptor;
pub(crate) use own_wakes::take_frame;
pub(crate) use rest::RequestBody;
#[cfg(unix)]
pub use unix::{UnixSocket, UnixSocketError, serve_unix};
