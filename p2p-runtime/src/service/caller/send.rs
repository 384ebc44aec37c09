//! Sending calls: on the peer's session, or by HTTP.

use std::{
    fmt::{self, Display},
    task::Waker,
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use p2p_client::{
    call::{Failure, Head, Started, UnderWay, Verdict},
    protocol::{CallerId, NodeId, headers},
    proxy::Peer,
    service::Trace,
    wire::{
        rpc::{self, Exchange},
        session::{
            MAX_INLINE, Outcome,
            message::{Answer, Outgoing},
        },
        sessions::Way,
    },
};
use rand::RngExt;
use tokio::time::{Instant, timeout_at};

use crate::web::BODY_PATH;

use super::{NodeCaller, with_random};

impl NodeCaller {
    /// Counts a call to a peer, from now on.
    pub(super) fn count(&self, head: &Head, to: &Peer) -> UnderWay {
        let is_member = |id: &NodeId| self.members().is_some_and(|members| members.get(id).is_some());
        let mut call = self.loads.begin(&to.node_id, head.began, is_member);
        if !head.is_first_try {
            call.is_unlike_others();
        }
        call
    }

    /// Sends a call in this node's own name, or in nobody's: a forwarder's certificate lends nothing to a caller without a name.
    ///
    /// Unless the deadline `is_said`, the other node is not told of it, and goes by the method's own limit.
    pub(crate) async fn send_for(
        &self,
        caller: &CallerId,
        head: &Head,
        to: &Peer,
        body: &[u8],
        is_said: bool,
    ) -> Result<Bytes, Failure> {
        let mut under_way = self.count(head, to);
        let answer = self.send_by(caller, head, to, body, is_said, &mut under_way).await;
        under_way.ended(Verdict::of_result(&answer));
        answer
    }

    async fn send_by(
        &self,
        caller: &CallerId,
        head: &Head,
        to: &Peer,
        body: &[u8],
        is_said: bool,
        under_way: &mut UnderWay,
    ) -> Result<Bytes, Failure> {
        // Headers are for what stands between nodes and reads HTTP; large bodies would hold up the small ones.
        // (What is rare stands in boxes of its own here and below, so that what is not stays small.)
        if longest(head, body) > MAX_INLINE || !head.headers.is_empty() {
            under_way.is_unlike_others();
            return Box::pin(self.post(caller, head, to, body, is_said)).await;
        }
        let path = head.method.path();
        let mut call = message(head, &path, body, caller);
        loop {
            let (way, is_fresh) = match self.sessions.there(&to.node_id) {
                Some(way) => (way, false),
                None => {
                    under_way.connects();
                    let opened = Box::pin(self.open_way(head, to)).await?;
                    under_way.is_connected();
                    opened
                }
            };
            let Way::Session(session) = way else {
                return Box::pin(self.post(caller, head, to, body, is_said)).await;
            };
            call.timeout = is_said.then(|| head.deadline.saturating_duration_since(Instant::now()));
            match session.call(&call, head.deadline).await {
                Outcome::NotSent(_) if !is_fresh => {
                    // It may have been about to end for long; a fresh one tells how things are.
                    self.sessions.forget(&session);
                }
                outcome => return self.read_outcome(head, to, outcome).await,
            }
        }
    }

    /// Makes a call at once, where there is a session at hand and nothing about the call is unusual.
    pub(super) fn start_on_session(&self, head: &Head, to: &Peer, body: &[u8], waker: Option<&Waker>) -> Option<Started> {
        if longest(head, body) > MAX_INLINE || !head.headers.is_empty() || !head.is_first_try {
            return None;
        }
        let Some(Way::Session(session)) = self.sessions.there(&to.node_id) else { return None };
        let path = head.method.path();
        // At its first try a call was begun just now.
        let timeout = Some(head.deadline.saturating_duration_since(head.began));
        let call = Outgoing { timeout, ..message(head, &path, body, &self.identity) };
        let in_flight = session.start(&call, head.deadline, waker)?;
        Some(Started::new(in_flight, self.count(head, to)))
    }

    pub(super) async fn read_outcome(&self, head: &Head, to: &Peer, outcome: Outcome) -> Result<Bytes, Failure> {
        match outcome {
            Outcome::Answered(Answer::Result(json)) => {
                take_room(head, json.len())?;
                Ok(json)
            }
            Outcome::Answered(Answer::Error(error)) => {
                take_room(head, error.message.len() + error.data.as_ref().map_or(0, |data| data.get().len()))?;
                Err(Failure::Answered(error))
            }
            Outcome::Answered(Answer::Body { ticket, .. }) => Box::pin(self.fetch(head, to, ticket)).await,
            Outcome::Deadline => Err(Failure::Deadline(head.method.path().into_owned())),
            Outcome::Lost(ended) => Err(Failure::Lost(of(to, &ended))),
            Outcome::NotSent(ended) => Err(Failure::NotSent(of(to, &ended))),
            Outcome::Busy { streams } => {
                let why =
                    format!("{streams} streams of this node are open there, as many as may be; end some, or open it elsewhere");
                Err(Failure::NotSent(of(to, &why)))
            }
        }
    }

    pub(super) async fn open_way(&self, head: &Head, to: &Peer) -> Result<(Way, bool), Failure> {
        match timeout_at(head.deadline, self.sessions.way(to)).await {
            Ok(Ok(way)) => Ok(way),
            Ok(Err(no_way)) => Err(Failure::NotSent(of(to, &no_way))),
            Err(_) => Err(Failure::Deadline(head.method.path().into_owned())),
        }
    }

    /// Fetches a result that was too large for the session.
    async fn fetch(&self, head: &Head, to: &Peer, ticket: u64) -> Result<Bytes, Failure> {
        let request = Request::get(format!("{BODY_PATH}/{ticket}")).body(Full::default());
        let request = request.map_err(|error| Failure::Lost(error.to_string()))?;
        let left = head.deadline.saturating_duration_since(Instant::now());
        let whom = Named(to);
        let exchange = self.exchange(head, to, &whom);
        let response = self.pool.request(to, request, exchange.limits(left)).await;
        // The call has run, whatever happens to its result.
        match response {
            Ok(response) if response.status() == StatusCode::OK => Ok(response.into_body()),
            Ok(response) => Err(Failure::Lost(of(to, &format_args!("the result could not be fetched ({})", response.status())))),
            Err(failure) => match exchange.failed(&failure, left) {
                Failure::NotSent(reason) => Err(Failure::Lost(reason)),
                other => Err(other),
            },
        }
    }

    /// Sends a call as an HTTP request of its own.
    async fn post(&self, caller: &CallerId, head: &Head, to: &Peer, body: &[u8], is_said: bool) -> Result<Bytes, Failure> {
        self.exchange(head, to, &Named(to)).answer(request(caller, head, is_said, body)?).await
    }

    pub(super) fn exchange<'a>(&'a self, head: &'a Head, to: &'a Peer, whom: &'a Named<'a>) -> Exchange<'a> {
        Exchange { pool: &self.pool, to, whom, head }
    }
}

/// The HTTP request of a call that is made in a node's name, or in nobody's.
pub(super) fn request(caller: &CallerId, head: &Head, is_said: bool, body: &[u8]) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = rpc::request(head, is_said, head.trace().unwrap_or_else(new_trace), body)?;
    if *caller == CallerId::Anonymous {
        request.headers_mut().insert(headers::CALLER, HeaderValue::from_static(headers::ANONYMOUS));
    }
    Ok(request)
}

/// Takes the room that an answer on a session needs beside others, where it shares some. (What is read by HTTP takes it as it comes.)
pub(in crate::service) fn take_room(head: &Head, bytes: usize) -> Result<(), Failure> {
    let Some(room) = &head.room else { return Ok(()) };
    room.take(bytes).map_err(|no_room| Failure::NotTaken(no_room.to_string()))
}

/// A call's message, its time limit aside. One that continues no trace names none: the node that serves it begins one, should it be asked for,
/// and nobody between the two would have read it.
pub(super) fn message<'a>(head: &'a Head, path: &'a str, body: &'a [u8], caller: &CallerId) -> Outgoing<'a> {
    Outgoing {
        method: path,
        params: body,
        timeout: None,
        trace: head.trace(),
        is_anonymous: *caller == CallerId::Anonymous,
        origin: head.origin().map(|origin| &**origin),
        credit: None,
    }
}

/// How long a call's message can become, what is of fixed size aside. The method and the origin may be anything that somebody outside
/// wrote, of which JSON makes six bytes for one; a message that is too long would end the session, with everybody's calls.
pub(super) fn longest(head: &Head, body: &[u8]) -> usize {
    let texts = head.method.service().len() + head.method.method().len() + head.origin().map_or(0, |origin| origin.len());
    body.len() + 6 * texts.saturating_sub(USUAL_TEXTS)
}

/// How many bytes of a method's path and an origin have their place in every message, beside the largest body.
const USUAL_TEXTS: usize = 1_024;

/// A trace that continues nothing. Nobody must be kept from guessing it, so that its randomness need not be costly.
fn new_trace() -> Trace {
    Trace::root(with_random(RngExt::random))
}

/// A node as callers are told of it.
pub(super) struct Named<'a>(pub(super) &'a Peer);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} at {}", self.0.node_id, self.0.authority)
    }
}

/// What happened, and with whom.
pub(super) fn of(to: &Peer, reason: &dyn Display) -> String {
    format!("{}: {reason}", Named(to))
}
