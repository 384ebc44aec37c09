//! The HTTP headers that say of a call what is no part of its JSON-RPC: between nodes, and from callers outside.

/// Where the call is to go: what [`Target`](super::Target) reads.
pub const ON: &str = "p2p-on";
/// How much time the caller still has, in milliseconds. Time left, not a time of day, so that clocks need not agree.
pub const TIMEOUT_MS: &str = "p2p-timeout-ms";
/// In whose name a node sends a call, if not in its own. The only value is [`ANONYMOUS`]: a name can be given up here, never taken.
pub const CALLER: &str = "p2p-caller";
/// Nobody's name.
pub const ANONYMOUS: &str = "anonymous";
/// Who began the chain of calls, for the audit log. Believed from nodes only.
pub const ORIGIN: &str = "p2p-origin";
/// W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";

/// What all headers of the protocol's own begin with, those that are yet to come included.
pub const PREFIX: &str = "p2p-";
