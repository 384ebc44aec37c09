//! Bounds of what connections may cost.

use std::time::Duration;

/// Bounds of a listener and its connections. The defaults suit a node.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// The most open connections; more are closed as soon as they come. Default: 10,240.
    pub max_connections: usize,
    /// The most open connections of one address (of one /64, for IPv6), on a network. Default: 1,024.
    pub max_per_address: usize,
    /// The time for the TLS handshake. Default: 10 s.
    pub handshake_timeout: Duration,
    /// The time for a request's headers, and for an HTTP/2 client's opening words. An HTTP/1 connection that sends no further
    /// request within this time is closed too. Default: 10 s.
    pub header_timeout: Duration,
    /// The most bytes of headers in a request. Default: 16 KiB.
    pub max_header_bytes: u32,
    /// The most headers in an HTTP/1 request. Default: 100.
    pub max_headers: usize,
    /// The most requests at a time on one HTTP/2 connection. Default: 1024.
    pub max_streams: u32,
    /// How many streams a client may reset before they were handled, until its connection is cut (rapid reset). Default: 20.
    pub max_pending_resets: usize,
    /// How many streams a client may make us reset by its own errors, until its connection is cut. Default: 128.
    pub max_error_resets: usize,
    /// How often an HTTP/2 client is asked for a sign of life. Default: 10 s.
    pub keep_alive: Duration,
    /// How long it may take to give one. Default: 5 s.
    pub keep_alive_timeout: Duration,
    /// How long running requests may go on after shutdown began. Default: 10 s.
    pub grace: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_240,
            max_per_address: 1_024,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1024,
            max_headers: 100,
            max_streams: 1024,
            max_pending_resets: 20,
            max_error_resets: 128,
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            grace: Duration::from_secs(10),
        }
    }
}
