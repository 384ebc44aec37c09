//! [`Replies`]: a result from each of many nodes.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use crate::{
    protocol::NodeId,
    proxy::{Leg, Route},
    service::{NoError, ServiceError},
};

use super::{
    CallError, CallOptions, Failure, MethodRef, Outgoing,
    outgoing::{Decode, decoded},
};

/// A call to many nodes that has done nothing yet.
///
/// Awaiting it gives [`Answers`], every node's result. [`stream`](Self::stream) gives them as they come. Who is asked is settled
/// when it is first polled; a node that does not answer is in the result, with its error. A failure that concerns no single node (a
/// service that nobody hosts) is the answer of the node that calls.
#[must_use = "a call does nothing until it is awaited"]
pub struct Replies<T, E = NoError> {
    options: CallOptions,
    state: State<T, E>,
}

type Start = Box<dyn FnOnce(CallOptions) -> Result<(Outgoing, Vec<u8>), Failure> + Send>;
type Reply<T, E> = (NodeId, Result<T, CallError<E>>);

struct Unsent<T> {
    start: Start,
    decode: Decode<T>,
    method: MethodRef,
    me: NodeId,
}

enum State<T, E> {
    Ready(Option<Unsent<T>>),
    Running { legs: FuturesUnordered<BoxFuture<'static, Reply<T, E>>>, answers: Vec<Reply<T, E>> },
}

// Nothing in it is pinned in place: the legs stand in boxes.
impl<T, E> Unpin for Replies<T, E> {}

impl<T: Send + 'static, E: ServiceError> Replies<T, E> {
    /// `me` is the node that calls: a failure of the whole is its answer.
    pub(crate) fn new(
        me: NodeId,
        method: MethodRef,
        decode: Decode<T>,
        start: impl FnOnce(CallOptions) -> Result<(Outgoing, Vec<u8>), Failure> + Send + 'static,
    ) -> Self {
        Self { options: CallOptions::default(), state: State::Ready(Some(Unsent { start: Box::new(start), decode, method, me })) }
    }

    /// Gives each node this much time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sends a header along.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.headers.push(name.into(), value.into());
        self
    }

    /// The results as they come, each with the node that gave it. Where nobody fits the target, it ends at once.
    pub fn stream(self) -> ReplyStream<T, E> {
        ReplyStream(self)
    }

    /// Sends to every node that fits, once.
    fn begin(&mut self) {
        let State::Ready(ready) = &mut self.state else { return };
        let Some(Unsent { start, decode, method, me }) = ready.take() else { return };
        let legs =
            start(std::mem::take(&mut self.options)).and_then(|begun| Self::legs(begun, decode)).unwrap_or_else(|failure| {
                let error = CallError::from_failure(failure, &method.path());
                std::iter::once(std::future::ready((me, Err(error))).boxed()).collect()
            });
        self.state = State::Running { legs, answers: Vec::new() };
    }

    fn legs(
        (out, body): (Outgoing, Vec<u8>),
        decode: Decode<T>,
    ) -> Result<FuturesUnordered<BoxFuture<'static, Reply<T, E>>>, Failure> {
        let targets = out.caller.resolve_all(&out.head)?;
        let (out, body) = (Arc::new(out), Arc::new(body));
        Ok(targets.into_iter().map(|leg| ask(out.clone(), leg, body.clone(), decode).boxed()).collect())
    }

    fn poll_next_reply(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reply<T, E>>> {
        self.begin();
        match &mut self.state {
            State::Running { legs, .. } => legs.poll_next_unpin(cx),
            State::Ready(_) => Poll::Ready(None),
        }
    }
}

/// One node's part of a fan-out.
async fn ask<T, E: ServiceError>(out: Arc<Outgoing>, leg: Leg, body: Arc<Vec<u8>>, decode: Decode<T>) -> Reply<T, E> {
    let answer = match leg.route {
        Err(failure) => Err(failure),
        Ok(Route::Here(service)) => out.serve_here(&service, &body).await,
        Ok(Route::Peer(peer)) => out.caller.send(&out.head, &peer, &body).await,
        Ok(Route::Differing(peer, version)) => out.send_fitted(&peer, version, &body).await,
    };
    (leg.node_id, decoded(answer, decode, &out.head.method))
}

impl<T: Send + 'static, E: ServiceError> Future for Replies<T, E> {
    type Output = Answers<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answers<T, E>> {
        let this = self.get_mut();
        while let Some(reply) = ready!(this.poll_next_reply(cx)) {
            if let State::Running { answers, .. } = &mut this.state {
                answers.push(reply);
            }
        }
        Poll::Ready(match &mut this.state {
            State::Running { answers, .. } => Answers { answers: std::mem::take(answers) },
            State::Ready(_) => Answers { answers: Vec::new() },
        })
    }
}

impl<T, E> fmt::Debug for Replies<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The results of a fan-out as they come.
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct ReplyStream<T, E = NoError>(Replies<T, E>);

impl<T: Send + 'static, E: ServiceError> Stream for ReplyStream<T, E> {
    type Item = Reply<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.poll_next_reply(cx)
    }
}

/// Every asked node's result, in the order in which they came.
#[derive(Debug)]
pub struct Answers<T, E = NoError> {
    answers: Vec<Reply<T, E>>,
}

impl<T, E> Answers<T, E> {
    /// How many nodes were asked.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nobody was asked.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The results, each with its node.
    pub fn iter(&self) -> std::slice::Iter<'_, Reply<T, E>> {
        self.answers.iter()
    }

    /// Every node's value, if every node gave one and there was one at least.
    ///
    /// # Errors
    /// The first error, or `NoRoute` when no node fits the target.
    pub fn all_ok(self) -> Result<Vec<(NodeId, T)>, CallError<E>> {
        if self.answers.is_empty() {
            return Err(CallError::NoRoute("no node fits the target and hosts the service".to_owned()));
        }
        self.answers.into_iter().map(|(node, reply)| Ok((node, reply?))).collect()
    }
}

impl<T, E> IntoIterator for Answers<T, E> {
    type Item = Reply<T, E>;
    type IntoIter = std::vec::IntoIter<Reply<T, E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.answers.into_iter()
    }
}

impl<'a, T, E> IntoIterator for &'a Answers<T, E> {
    type Item = &'a Reply<T, E>;
    type IntoIter = std::slice::Iter<'a, Reply<T, E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
