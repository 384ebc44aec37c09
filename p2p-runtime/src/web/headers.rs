//! The headers by which one node tells another what belongs to a call but is no part of it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};
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

/// The same names, ready to be looked up.
static TIMEOUT_MS_NAME: HeaderName = HeaderName::from_static(TIMEOUT_MS);
static ON_NAME: HeaderName = HeaderName::from_static(ON);
static CALLER_NAME: HeaderName = HeaderName::from_static(CALLER);
static ORIGIN_NAME: HeaderName = HeaderName::from_static(ORIGIN);
static TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A header that decides about the call: one that cannot be read is refused, as the call is not to go on as if it were not there.
fn control<'a>(headers: &'a HeaderMap, name: &HeaderName, form: &str) -> Result<Option<&'a str>, String> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| format!("the header {name} cannot be read; it looks like {form}")),
    }
}

/// The time that the caller gives, if it says so.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, String> {
    let form = "p2p-timeout-ms: 5000";
    let Some(text) = control(headers, &TIMEOUT_MS_NAME, form)? else { return Ok(None) };
    text.parse()
        .map(|ms| Some(Duration::from_millis(ms)))
        .map_err(|_| format!("{text:?} is no time; the header looks like {form}"))
}

/// The trace, if there is one and it can be read; a damaged one is as none (W3C Trace Context, section 3.2.2.5).
pub(crate) fn trace(headers: &HeaderMap) -> Option<Trace> {
    text(headers, &TRACEPARENT_NAME).and_then(|text| text.parse().ok())
}

/// The origin.
pub(crate) fn origin(headers: &HeaderMap) -> Option<Arc<str>> {
    text(headers, &ORIGIN_NAME).map(Into::into)
}

/// Whether the sender gave its name up.
pub(crate) fn is_anonymous(headers: &HeaderMap) -> bool {
    headers.contains_key(&CALLER_NAME)
}

/// Where the call is to go.
pub(crate) fn on(headers: &HeaderMap) -> Result<Option<&str>, String> {
    control(headers, &ON_NAME, "p2p-on: role=worker")
}
