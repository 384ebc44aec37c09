//! [`Sending`]: a call on its way to a peer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{
    proxy::Peer,
    wire::session::{InFlight, Outcome, message::Answer},
};

use super::{Failure, Head, UnderWay, Verdict};

/// A call that is being sent: what [`Caller::send`](crate::proxy::Caller::send) returns. Any boxed future is one (`.into()`).
#[must_use = "a call that is not awaited is cancelled"]
pub struct Sending<'a>(On<'a>);

/// By which way a call is sent.
enum On<'a> {
    Boxed(BoxFuture<'a, Result<Bytes, Failure>>),
    /// On a session that was at hand: most calls are, and need no box.
    Session {
        in_flight: InFlight,
        settle: &'a dyn Settle,
        call: (&'a Head, &'a Peer, &'a [u8]),
        under_way: Option<UnderWay>,
    },
}

/// What is done about a call on a session that ended with anything but a result on that very session.
pub trait Settle: Send + Sync {
    /// Goes on: sends the call again where it was surely not served, fetches a large result, or says how it failed.
    fn settle<'a>(
        &'a self,
        head: &'a Head,
        to: &'a Peer,
        body: &'a [u8],
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<Bytes, Failure>>;
}

impl<'a> Sending<'a> {
    /// A call that was sent on a session.
    pub fn on_session(in_flight: InFlight, settle: &'a dyn Settle, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Self {
        Self(On::Session { in_flight, settle, call: (head, to, body), under_way: None })
    }

    /// The same, counted as under way to its peer until it is answered. (What is boxed counts itself.)
    pub fn counted(mut self, call: UnderWay) -> Self {
        if let On::Session { under_way, .. } = &mut self.0 {
            *under_way = Some(call);
        }
        self
    }
}

impl<'a> From<BoxFuture<'a, Result<Bytes, Failure>>> for Sending<'a> {
    fn from(sending: BoxFuture<'a, Result<Bytes, Failure>>) -> Self {
        Self(On::Boxed(sending))
    }
}

impl Future for Sending<'_> {
    type Output = Result<Bytes, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                On::Boxed(sending) => return sending.as_mut().poll(cx),
                On::Session { in_flight, settle, call: (head, to, body), under_way } => {
                    let outcome = ready!(Pin::new(in_flight).poll(cx));
                    if let Some(call) = under_way.take() {
                        call.ended(Verdict::of_outcome(&outcome));
                    }
                    match outcome {
                        Outcome::Answered(Answer::Result(json)) => return Poll::Ready(Ok(json)),
                        outcome => {
                            let settling = settle.settle(head, to, body, outcome);
                            self.0 = On::Boxed(settling);
                        }
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
