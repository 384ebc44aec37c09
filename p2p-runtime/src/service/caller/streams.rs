//! Opening streams at other nodes: on the session, or as lines of JSON from a peer that speaks no sessions.

use futures::StreamExt;
use p2p_client::{
    call::{Failure, Head, Items, Opened, Opening, UnderWay, Verdict},
    protocol::CallerId,
    proxy::Peer,
    wire::{
        session::{ItemStream, MAX_INLINE, Outcome, StreamOpening, message::Answer},
        sessions::Way,
    },
};
use tokio::time::Instant;

use super::{
    NodeCaller,
    send::{Named, longest, message, of, request},
};

/// How many items of a stream may be on their way to this node. The method waits while they are not taken.
const CREDIT: u32 = 64;

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
        self.exchange(head, to, &Named(to)).open(request(caller, head, is_said, body)?).await
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
