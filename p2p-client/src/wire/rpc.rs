//! A call as an HTTP request of its own: `POST /rpc`, and what its response means for the call.
//!
//! ```text
//! Head, params -> request -> Exchange: HttpPool -> the result's JSON, or the items of a stream, or how it failed
//! ```
//! Nodes call each other so where a session will not do; clients outside of the cluster always.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use tokio::time::Instant;

use super::{
    Lines, PeerRef,
    http::{Lost, RequestLimits, SendFailure},
    pool::HttpPool,
};
use crate::{
    call::{Failure, Head, Items, Opened},
    protocol::{
        ErrorCode, NDJSON, RpcError, StreamLine,
        envelope::{Reply, write_request},
        headers,
    },
    service::Trace,
};

/// The longest line of a stream of lines, in bytes: an item, or an error with its data.
const MAX_LINE: usize = 1 << 20;

/// The request of a call: its JSON-RPC, the headers that its caller added, and what is left of its time, if that `is_said`. Who asks, and where
/// the call is to go, is for whoever sends it to add.
///
/// # Errors
/// A header of the caller's that cannot be sent, or is the protocol's own.
pub fn request(head: &Head, is_said: bool, trace: Trace, params: &[u8]) -> Result<Request<Full<Bytes>>, Failure> {
    let path = head.method.path();
    let mut envelope = Vec::with_capacity(params.len() + path.len() + 64);
    write_request(&mut envelope, 1, &path, params);
    let mut request =
        Request::post("/rpc").body(Full::new(envelope.into())).map_err(|error| Failure::NotSent(error.to_string()))?;
    let sent = request.headers_mut();
    for (name, value) in head.headers.iter() {
        let (name, value) = header(name, value)?;
        sent.append(name, value);
    }
    sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if is_said {
        sent.insert(headers::TIMEOUT_MS, u64::try_from(left(head).as_millis()).unwrap_or(u64::MAX).into());
    }
    if let Ok(trace) = HeaderValue::try_from(trace.to_string()) {
        sent.insert(headers::TRACEPARENT, trace);
    }
    if let Some(origin) = head.origin().and_then(|origin| HeaderValue::try_from(&**origin).ok()) {
        sent.insert(headers::ORIGIN, origin);
    }
    Ok(request)
}

/// A header that the caller added. One that cannot be sent to this peer cannot be sent to any.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let name = HeaderName::try_from(name).map_err(|_| hopeless(format!("{name:?} is no header name")))?;
    if name.as_str().starts_with(headers::PREFIX) {
        return Err(hopeless(format!("headers that begin with {} are the protocol's own; rename {name}", headers::PREFIX)));
    }
    let mut value = HeaderValue::try_from(value).map_err(|_| hopeless(format!("the value of {name} cannot be sent")))?;
    // A token has no place in the tables of header compression (RFC 7541, section 7.1.3).
    value.set_sensitive(name == AUTHORIZATION);
    Ok((name, value))
}

/// A call that nobody would take as it is, so that it is of no use to try it again, or elsewhere.
pub(crate) fn hopeless(text: String) -> Failure {
    Failure::Answered(RpcError::new(ErrorCode::INVALID_PARAMS, text))
}

/// What is left of a call's time.
fn left(head: &Head) -> Duration {
    head.deadline.saturating_duration_since(Instant::now())
}

/// One request to a peer, within the call's time, and the reading of its response.
pub struct Exchange<'a> {
    /// What it goes by.
    pub pool: &'a HttpPool,
    /// The other end.
    pub to: &'a PeerRef,
    /// The other end, as callers are told of it.
    pub whom: &'a (dyn Display + Sync),
    /// The call.
    pub head: &'a Head,
}

impl Exchange<'_> {
    /// Sends a request of [`request`], and reads its result's JSON.
    ///
    /// # Errors
    /// What the other end answered instead, or how it failed.
    pub async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        let left = left(self.head);
        let response = self.pool.request(self.to, request, self.limits(left)).await;
        self.read(&response.map_err(|failure| self.failed(&failure, left))?)
    }

    /// Sends a request of [`request`] whose caller takes a stream, and waits for its head. Dropping the items ends the method.
    ///
    /// # Errors
    /// What the other end answered instead, or how it failed.
    pub async fn open(&self, mut request: Request<Full<Bytes>>) -> Result<Opened, Failure> {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(NDJSON));
        let within = left(self.head);
        let response = self.pool.open(self.to, request, within).await.map_err(|failure| self.failed(&failure, within))?;
        let (parts, body) = response.into_parts();
        if parts.headers.get(CONTENT_TYPE).is_some_and(|form| form == NDJSON) {
            return Ok(Opened::Items(items(body.lines(MAX_LINE), self.whom.to_string())));
        }
        // It is the answer to a call after all, and the deadline of that holds.
        let rest = left(self.head);
        let whole = body.whole(self.limits(rest)).await.map_err(|failure| self.failed(&failure, rest))?;
        self.read(&Response::from_parts(parts, whole)).map(Opened::Answered)
    }

    /// The bounds of a request that has so much time.
    pub fn limits(&self, left: Duration) -> RequestLimits {
        RequestLimits { room: self.head.room.clone(), ..RequestLimits::within(left) }
    }

    /// The result's JSON of a response.
    fn read(&self, response: &Response<Bytes>) -> Result<Bytes, Failure> {
        let (whom, body) = (self.whom, response.body());
        let is_unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        match serde_json::from_slice::<Reply<'_>>(body) {
            // The node that was asked says of itself that it ends before the call does.
            Ok(Reply { error: Some(error), .. }) if is_unavailable && error.code == ErrorCode::TRANSPORT => {
                Err(Failure::Lost(of(whom, &error.message)))
            }
            Ok(Reply { error: Some(error), .. }) => Err(Failure::Answered(error)),
            Ok(Reply { result: Some(result), .. }) => Ok(body.slice_ref(result.get().as_bytes())),
            _ if is_unavailable => Err(Failure::NotSent(format!("{whom} is starting or stopping"))),
            _ => Err(Failure::Lost(format!("{whom} answered {} and no JSON-RPC response", response.status()))),
        }
    }

    /// What a failed request means for the call, whose time `left` was when it was sent.
    pub fn failed(&self, failure: &SendFailure, left: Duration) -> Failure {
        if left.is_zero() || self.head.deadline <= Instant::now() {
            return Failure::Deadline(self.head.method.path().into_owned());
        }
        match failure {
            SendFailure::NotSent { reason } => Failure::NotSent(of(self.whom, reason)),
            SendFailure::Lost { reason: Lost::TooLarge { limit } } => Failure::NotTaken(format!(
                "the answer is larger than {limit} bytes, and more is not taken at once; ask for less at a time"
            )),
            SendFailure::Lost { reason: Lost::NoRoom(no_room) } => Failure::NotTaken(no_room.to_string()),
            SendFailure::Lost { reason } => Failure::Lost(of(self.whom, reason)),
        }
    }
}

/// What happened, and with whom.
fn of(whom: &dyn Display, reason: &dyn Display) -> String {
    format!("{whom}: {reason}")
}

/// The items that come as lines. What is cut off is lost, never just at its end.
fn items(lines: Lines, whom: String) -> Items {
    stream::unfold(Some((lines, whom)), |reading| async {
        let (mut lines, whom) = reading?;
        let line = match lines.next().await {
            Some(Ok(line)) => line,
            Some(Err(failure)) => return Some((Err(Failure::Lost(of(&whom, &failure))), None)),
            None => return Some((Err(Failure::Lost(of(&whom, &"the stream broke off before its end"))), None)),
        };
        match StreamLine::parse(&line) {
            Some(StreamLine::Item(item)) => Some((Ok(line.slice_ref(item.get().as_bytes())), Some((lines, whom)))),
            Some(StreamLine::End) => None,
            Some(StreamLine::Failed(error)) => Some((Err(Failure::Answered(error)), None)),
            None => Some((Err(Failure::Lost(of(&whom, &"a line of the stream is neither an item nor its end"))), None)),
        }
    })
    .boxed()
}
