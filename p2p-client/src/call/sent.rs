//! [`Sent`]: a call that went out on a session at hand with its first poll, and waits for its result.
//!
//! Most calls between nodes are of this kind, so that they have one allocation, which holds what is needed should anything but a result come:
//! only then are the params written again, and the call goes the way of every other (see [`settling`](super::settling)).

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures::future::BoxFuture;

use crate::{
    proxy::{Peer, Route},
    service::ServiceError,
    wire::session::{Outcome, message::Answer},
};

use super::{
    Begun, CallError, Failure, Outgoing, Started, decoded, encoded,
    outgoing::{Codec, Encode, encode_into},
};

/// Params that took more room than this do not keep it for those after them.
const KEPT: usize = 64 * 1024;

impl Outgoing {
    /// Sends the call now, where there is a session at hand; else as soon as there is a way to the node. `waker` is woken by its outcome.
    pub(super) fn send_off<P, T, E, F>(self, peer: Arc<Peer>, params: P, codec: Codec<P, T>, waker: &Waker) -> Begun<F, T, E>
    where
        P: Send + 'static,
        T: 'static,
        E: ServiceError,
    {
        let start = |body: &mut Vec<u8>| self.caller.start(&self.head, &peer, body, waker).ok_or_else(|| own(body));
        match with_encoded(&params, codec.encode, start) {
            Ok(Ok(started)) => Begun::Encoded(Box::pin(Sent {
                call: Some(Call { out: self, peer, params, codec, started }),
                is_registered: true,
                settling: None,
            })),
            Ok(Err(body)) => Begun::Encoded(Box::pin(self.run_encoded(Ok(Route::Peer(peer)), body, codec.decode))),
            Err(failure) => Begun::Failed(self.fail(failure)),
        }
    }
}

/// Params to be kept. Few are copied; where there are many, so is what they stand in.
fn own(body: &mut Vec<u8>) -> Vec<u8> {
    if body.capacity() > KEPT { std::mem::take(body) } else { body.clone() }
}

/// Writes params where those of the calls before on this thread were written, and has them looked at.
fn with_encoded<P, R>(params: &P, encode: Encode<P>, look: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R, Failure> {
    thread_local! {
        static BODY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken and not borrowed: a type's own serialiser may make calls. (A thread that ends has none any more.)
    let mut body = BODY.try_with(Cell::take).unwrap_or_default();
    body.clear();
    let looked = encode_into(params, encode, &mut body).map(|()| look(&mut body));
    if body.capacity() <= KEPT {
        let _ends = BODY.try_with(|kept| kept.set(body));
    }
    looked
}

/// A call that was sent.
struct Sent<P, T, E> {
    call: Option<Call<P, T>>,
    /// Whoever polls for the first time does so in the poll that sent it, and is woken.
    is_registered: bool,
    /// Set once something else than a result came.
    settling: Option<BoxFuture<'static, Result<T, CallError<E>>>>,
}

/// What a call needs to go on by other ways.
struct Call<P, T> {
    out: Outgoing,
    peer: Arc<Peer>,
    params: P,
    codec: Codec<P, T>,
    started: Started,
}

// Nothing of it is pinned but what stands in boxes.
impl<P, T, E> Unpin for Sent<P, T, E> {}

impl<P, T, E> Future for Sent<P, T, E>
where
    P: Send + 'static,
    T: 'static,
    E: ServiceError,
{
    type Output = Result<T, CallError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.is_registered) {
            return Poll::Pending;
        }
        if let Some(call) = &mut self.call {
            let outcome = ready!(call.started.poll(cx));
            if let Outcome::Answered(Answer::Result(json)) = outcome {
                return Poll::Ready(decoded(Ok(json), call.codec.decode, &call.out.head));
            }
            let call = self.call.take();
            self.settling = call.map(|call| -> BoxFuture<'static, _> { Box::pin(call.settle(outcome)) });
        }
        match &mut self.settling {
            Some(settling) => settling.as_mut().poll(cx),
            None => Poll::Pending, // it has ended, and is polled again all the same
        }
    }
}

impl<P, T> Call<P, T> {
    /// Goes on with a call that ended with anything but a result on its session. The params are written again only for who is to read them.
    async fn settle<E: ServiceError>(mut self, outcome: Outcome) -> Result<T, CallError<E>> {
        let mut body = Vec::new();
        if matches!(outcome, Outcome::NotSent(_)) {
            match encoded(&self.params, self.codec.encode) {
                Ok(again) => body = again,
                Err(failure) => return Err(self.out.fail(failure)),
            }
        }
        let mut answer = self.out.caller.settle(&self.out.head, &self.peer, &body, outcome).await;
        if let Err(failure) = &answer
            && self.out.head.may_go_on(failure)
            && let Ok(body) = encoded(&self.params, self.codec.encode)
        {
            answer = self.out.settled(self.peer, answer, &body).await;
        }
        decoded(answer, self.codec.decode, &self.out.head)
    }
}
