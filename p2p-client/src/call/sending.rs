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
    proxy::{Caller, Peer},
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
        started: Started,
        caller: &'a dyn Caller,
        call: (&'a Head, &'a Peer, &'a [u8]),
    },
}

/// A call that was sent on a session: what [`Caller::start`] returns. Dropping it cancels the call.
#[must_use = "a call that is not awaited is cancelled"]
#[derive(Debug)]
pub struct Started {
    in_flight: InFlight,
    under_way: Option<UnderWay>,
}

impl Started {
    /// A call that is in flight, and counted as under way to its peer until it is answered.
    pub fn new(in_flight: InFlight, under_way: UnderWay) -> Self {
        Self { in_flight, under_way: Some(under_way) }
    }

    /// Its outcome. All but a result is for [`Caller::settle`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = ready!(Pin::new(&mut self.in_flight).poll(cx));
        if let Some(call) = self.under_way.take() {
            call.ended(Verdict::of_outcome(&outcome));
        }
        Poll::Ready(outcome)
    }
}

impl<'a> Sending<'a> {
    /// A call that was sent on a session. (What is boxed counts itself.)
    pub fn on_session(started: Started, caller: &'a dyn Caller, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Self {
        Self(On::Session { started, caller, call: (head, to, body) })
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
                On::Session { started, caller, call: (head, to, body) } => match ready!(started.poll(cx)) {
                    Outcome::Answered(Answer::Result(json)) => return Poll::Ready(Ok(json)),
                    outcome => {
                        let settling = caller.settle(head, to, body, outcome);
                        self.0 = On::Boxed(settling);
                    }
                },
            }
        }
    }
}

impl fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
