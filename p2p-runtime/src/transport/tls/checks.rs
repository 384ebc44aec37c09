//! What the serving end of TLS insists on, by name; see [`crate::checks`]. What a peer's certificates are checked for is named in
//! `p2p-client`, beside the checks.

pub(in crate::transport) use crate::checks::bound;

/// What is insisted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Check {
    /// That TLS 1.3 is spoken, and nothing older.
    Version,
    /// That every handshake is a whole one, in which the client's certificate is verified.
    WholeHandshake,
    /// That a node is asked after for as long as its connection lasts, and not in the handshake alone.
    Guard,
}
