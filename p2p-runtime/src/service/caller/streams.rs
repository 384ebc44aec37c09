//! Opening streams at other nodes: on the session, or as lines of JSON from a peer that speaks no sessions.

use futures::{StreamExt, stream};
use http::{HeaderValue, header};
use p2p_client::{
    call::{Failure, Head, Items, Opened, Opening, UnderWay, Verdict},
    protocol::{CallerId, NDJSON, StreamLine},
    proxy::Peer,
    wire::{
        Lines,
        http::RequestLimits,
        session::{ItemStream, MAX_INLINE, Outcome, StreamOpening, message::Answer},
        sessions::Way,
    },
};
use tokio::time::Instant;

use super::{
    NodeCaller,
    send::{failed, longest, message, of, read},
};

/// How many items of a stream may be on their way to this node. The method waits while they are not taken.
const CREDIT: u32 = 64;
/// The longest line of a stream of lines, in bytes: an item, or an error with its data.
const MAX_LINE: usize = 1 << 20;

impl NodeCaller {
    /// Opens a stream in this node's own name, or in nobody's; see [`send_for`](Self::send_for).
    ///
    /// It counts as a call under way while it is being opened. An open stream does not: it may last for days and do nothing. Nor is its
    /// opening measured, as a method may wait in it for what it streams.
    pub(crate) async fn open_for(
        &self,
        caller: &CallerId,
        head: &Head,
        to: &Peer,
        body: &[u8],
        is_said: bool,
    ) -> Result<Opened, Failure> {
        let mut under_way = self.count(head, to);
        under_way.is_unlike_others();
        let opened = self.open_by(caller, head, to, body, is_said, &mut under_way).await;
        under_way.ended(Verdict::of_result(&opened));
        opened
    }

    async fn open_by(
        &self,
        caller: &CallerId,
        head: &Head,
        to: &Peer,
        body: &[u8],
        is_said: bool,
        under_way: &mut UnderWay,
    ) -> Result<Opened, Failure> {
        if longest(head, body) > MAX_INLINE || !head.headers.is_empty() {
            return self.open_lines(caller, head, to, body, is_said).await;
        }
        let path = head.method.path();
        let mut call = message(head, &path, body, caller);
        call.credit = Some(CREDIT);
        loop {
            let (way, is_fresh) = match self.sessions.there(&to.node_id) {
                Some(way) => (way, false),
                None => {
                    under_way.connects();
                    let opened = self.open_way(head, to).await?;
                    under_way.is_connected();
                    opened
                }
            };
            let Way::Session(session) = way else { return self.open_lines(caller, head, to, body, is_said).await };
            call.timeout = is_said.then(|| head.deadline.saturating_duration_since(Instant::now()));
            let outcome = match session.open(&call, head.deadline).await {
                Err(outcome) => outcome,
                Ok(mut items) => match items.opened().await {
                    StreamOpening::Open => return Ok(Opened::Items(of_session(items, head, to))),
                    StreamOpening::Answered(outcome) => outcome,
                },
            };
            match outcome {
                busy @ Outcome::Busy { .. } => {
                    under_way.is_held_back();
                    return self.read_outcome(head, to, busy).await.map(Opened::Answered);
                }
                // As for a call with one result: a fresh session tells how things are.
                Outcome::NotSent(_) if !is_fresh => self.sessions.forget(&session),
                outcome => return self.read_outcome(head, to, outcome).await.map(Opened::Answered),
            }
        }
    }

    /// Opens a stream by an HTTP request of its own.
    async fn open_lines(&self, caller: &CallerId, head: &Head, to: &Peer, body: &[u8], is_said: bool) -> Result<Opened, Failure> {
        let left = head.deadline.saturating_duration_since(Instant::now());
        let mut request = Self::request(caller, head, is_said.then_some(left), body)?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(NDJSON));
        let response = self.pool.open(to, request, left).await.map_err(|failure| failed(&failure, head, to, left))?;
        let (parts, body) = response.into_parts();
        if parts.headers.get(header::CONTENT_TYPE).is_some_and(|form| form == NDJSON) {
            return Ok(Opened::Items(of_lines(body.lines(MAX_LINE), to)));
        }
        // It is the answer to a call after all, and the deadline of that holds.
        let rest = RequestLimits::within(head.deadline.saturating_duration_since(Instant::now()));
        let whole = body.whole(rest).await;
        let whole = whole.map_err(|failure| failed(&failure, head, to, left))?;
        read(&http::Response::from_parts(parts, whole), to).map(Opened::Answered)
    }

    /// What [`Caller::open`](p2p_client::proxy::Caller::open) does.
    pub(super) fn open_in_own_name<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        Box::pin(self.open_for(&self.identity, head, to, body, true))
    }
}

/// The items that come on a session.
fn of_session(items: ItemStream, head: &Head, to: &Peer) -> Items {
    let (to, path) = (to.clone(), head.method.path().into_owned());
    items.map(move |item| item.map_err(|outcome| broken_off(outcome, &to, &path))).boxed()
}

/// Why an open stream ended before its end.
fn broken_off(outcome: Outcome, to: &Peer, path: &str) -> Failure {
    match outcome {
        Outcome::Answered(Answer::Error(error)) => Failure::Answered(error),
        Outcome::Answered(_) => Failure::Lost(of(to, &"it ended its stream with a large result, where there is none")),
        Outcome::Lost(ended) | Outcome::NotSent(ended) => Failure::Lost(of(to, &ended)),
        Outcome::Busy { .. } => Failure::Lost(of(to, &"it ended its stream as one that was never opened")),
        Outcome::Deadline => Failure::Deadline(path.to_owned()),
    }
}

/// The items that come as lines. What is cut off is lost, never just at its end.
fn of_lines(lines: Lines, from: &Peer) -> Items {
    let reading = Some((lines, from.clone()));
    stream::unfold(reading, |reading| async {
        let (mut lines, from) = reading?;
        let line = match lines.next().await {
            Some(Ok(line)) => line,
            Some(Err(failure)) => return Some((Err(Failure::Lost(of(&from, &failure))), None)),
            None => return Some((Err(Failure::Lost(of(&from, &"the stream broke off before its end"))), None)),
        };
        match StreamLine::parse(&line) {
            Some(StreamLine::Item(item)) => Some((Ok(line.slice_ref(item.get().as_bytes())), Some((lines, from)))),
            Some(StreamLine::End) => None,
            Some(StreamLine::Failed(error)) => Some((Err(Failure::Answered(error)), None)),
            None => Some((Err(Failure::Lost(of(&from, &"a line of the stream is neither an item nor its end"))), None)),
        }
    })
    .boxed()
}
