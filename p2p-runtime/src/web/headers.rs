//! The headers by which one node tells another what belongs to a call but is no part of it.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use p2p_client::service::Trace;

/// How much time the caller still has, in milliseconds. Time left, not a time of day, so that clocks need not agree.
pub(crate) const TIMEOUT_MS: &str = "p2p-timeout-ms";
/// Where the call is to go: what `Target` reads.
pub(crate) const ON: &str = "p2p-on";
/// In whose name a node sends a call, if not in its own. The only value is [`ANONYMOUS`]: a name can be given up here, never taken.
pub(crate) const CALLER: &str = "p2p-caller";
/// Nobody's name.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// Who began the chain of calls, for the audit log. Believed from nodes only.
pub(crate) const ORIGIN: &str = "p2p-origin";
/// W3C Trace Context.
pub(crate) const TRACEPARENT: &str = "traceparent";

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The time that the caller gives, if it says so.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    text(headers, TIMEOUT_MS).and_then(|text| text.parse().ok()).map(Duration::from_millis)
}

/// The trace, if there is one and it can be read; a damaged one is as none (W3C Trace Context, section 3.2.2.5).
pub(crate) fn trace(headers: &HeaderMap) -> Option<Trace> {
    text(headers, TRACEPARENT).and_then(|text| text.parse().ok())
}

/// The origin.
pub(crate) fn origin(headers: &HeaderMap) -> Option<Arc<str>> {
    text(headers, ORIGIN).map(Into::into)
}

/// Whether the sender gave its name up.
pub(crate) fn is_anonymous(headers: &HeaderMap) -> bool {
    headers.contains_key(CALLER)
}

/// Where the call is to go.
pub(crate) fn on(headers: &HeaderMap) -> Option<&str> {
    text(headers, ON)
}
