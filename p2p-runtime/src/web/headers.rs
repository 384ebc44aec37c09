//! Reading the headers that say what belongs to a call but is no part of it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use p2p_client::{
    protocol::headers::{CALLER, ON, ORIGIN, TIMEOUT_MS, TRACEPARENT},
    service::Trace,
};

/// What a request's headers say of its call. They are looked through once: few as they are, that is faster than five look-ups.
#[derive(Debug, Default)]
pub(crate) struct CallHeaders<'a> {
    on: Option<&'a HeaderValue>,
    timeout: Option<&'a HeaderValue>,
    trace: Option<&'a HeaderValue>,
    origin: Option<&'a HeaderValue>,
}

impl<'a> CallHeaders<'a> {
    /// Finds them. Of one that is given several times, the first counts.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let place = match name.as_str() {
                ON => &mut found.on,
                TIMEOUT_MS => &mut found.timeout,
                TRACEPARENT => &mut found.trace,
                ORIGIN => &mut found.origin,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        found
    }

    /// Where the call is to go.
    pub(crate) fn on(&self) -> Result<Option<&'a str>, String> {
        control(self.on, ON, "p2p-on: role=worker")
    }

    /// The time that the caller gives, if it says so.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, String> {
        let form = "p2p-timeout-ms: 5000";
        let Some(text) = control(self.timeout, TIMEOUT_MS, form)? else { return Ok(None) };
        text.parse()
            .map(|ms| Some(Duration::from_millis(ms)))
            .map_err(|_| format!("{text:?} is no time; the header looks like {form}"))
    }

    /// The trace, if there is one and it can be read; a damaged one is as none (W3C Trace Context, section 3.2.2.5).
    pub(crate) fn trace(&self) -> Option<Trace> {
        self.trace?.to_str().ok()?.parse().ok()
    }

    /// The origin.
    pub(crate) fn origin(&self) -> Option<Arc<str>> {
        self.origin?.to_str().ok().map(Into::into)
    }
}

/// A header that decides about the call: one that cannot be read is refused, as the call is not to go on as if it were not there.
fn control<'a>(value: Option<&'a HeaderValue>, name: &str, form: &str) -> Result<Option<&'a str>, String> {
    match value {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| format!("the header {name} cannot be read; it looks like {form}")),
    }
}

/// Whether the sender gave its name up.
pub(crate) fn is_anonymous(headers: &HeaderMap) -> bool {
    headers.contains_key(CALLER)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn map(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn each_header_is_found_among_others_and_the_first_of_several_counts() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = map(&[
            ("host", b"a"),
            (ON, b"role=worker"),
            (ON, b"any"),
            (TIMEOUT_MS, b"1500"),
            (TRACEPARENT, trace.as_bytes()),
            (ORIGIN, b"node-1"),
        ]);
        let found = CallHeaders::of(&headers);
        assert_eq!(found.on(), Ok(Some("role=worker")));
        assert_eq!(found.timeout(), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(found.trace(), trace.parse().ok());
        assert_eq!(found.origin().as_deref(), Some("node-1"));
        let none = map(&[("host", b"a")]);
        let none = CallHeaders::of(&none);
        assert_eq!((none.on(), none.timeout(), none.trace(), none.origin()), (Ok(None), Ok(None), None, None));
    }

    #[test]
    fn a_header_that_decides_and_cannot_be_read_is_refused_with_its_form() {
        let headers = map(&[(ON, b"\xff"), (TIMEOUT_MS, b"soon"), (TRACEPARENT, b"damaged")]);
        let found = CallHeaders::of(&headers);
        assert_eq!(found.on().unwrap_err(), "the header p2p-on cannot be read; it looks like p2p-on: role=worker");
        assert_eq!(found.timeout().unwrap_err(), "\"soon\" is no time; the header looks like p2p-timeout-ms: 5000");
        assert_eq!(found.trace(), None);
    }
}
