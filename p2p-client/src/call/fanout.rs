//! [`Replies`]: a result from each of many nodes.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use crate::{
    protocol::{NodeId, One},
    proxy::{Leg, Route},
    service::{NoError, ServiceError},
};

use super::{
    CallError, CallOptions, Failure, First, Head, MethodRef, Outgoing, Quorum, TooFew,
    outgoing::{Decode, decoded},
};

/// A call to many nodes that has done nothing yet.
///
/// Awaiting it gives [`Answers`], every node's result. [`stream`](Self::stream) gives them as they come, [`first`](Self::first) the
/// first success, [`quorum`](Self::quorum) so many of them. Who is asked is settled when it is first polled, and each node is asked
/// once; a node that does not answer is in the result, with its error. A failure that concerns no single node (a service that nobody
/// hosts) is the answer of the node that calls. A [`Client`](crate::client::Client) outside of the cluster, which goes by the name of `client`
/// there, asks all by one request to a node, so that all answers come together.
///
/// ```
/// # use p2p_client::{contracts::system::SystemProxyExt as _, protocol::{Many, Role}, proxy::Proxy, service::Result};
/// # async fn example(proxy: Proxy) -> Result<()> {
/// let everywhere = proxy.system().on_all(Role::Worker).get_system_info().await.all_ok()?;
/// let (fastest, info) = proxy.system().on_all(Many::Others).get_system_info().first().await?;
/// let two_of_them = proxy.system().on_all(Many::All).get_system_info().quorum(2).await?;
/// # Ok(()) }
/// ```
#[must_use = "a call does nothing until it is awaited"]
pub struct Replies<T, E = NoError> {
    options: CallOptions,
    state: State<T, E>,
}

type Start = Box<dyn FnOnce(CallOptions) -> Result<(Outgoing, Vec<u8>), Failure> + Send>;
pub(super) type Reply<T, E> = (NodeId, Result<T, CallError<E>>);

/// A fan-out that is made by one request: each node's result, or why nothing is known of any. See
/// [`Caller::ask_all`](crate::proxy::Caller::ask_all).
pub type AskingAll = BoxFuture<'static, Result<Vec<(NodeId, Result<Bytes, Failure>)>, Failure>>;

struct Unsent<T> {
    start: Start,
    decode: Decode<T>,
    method: MethodRef,
    me: NodeId,
}

enum State<T, E> {
    Ready(Option<Unsent<T>>),
    Running { method: MethodRef, legs: Legs<T, E>, asked: Asked, answers: Vec<Reply<T, E>> },
}

/// Where replies come from.
enum Legs<T, E> {
    /// Each node is sent to.
    Each(FuturesUnordered<BoxFuture<'static, Reply<T, E>>>),
    /// All of them are asked by one request.
    AtOnce(BoxFuture<'static, (Asked, Vec<Reply<T, E>>)>),
    /// All replies are there.
    There(std::vec::IntoIter<Reply<T, E>>),
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// So many nodes.
    Nodes(usize),
    /// Nobody: why is the one reply.
    Nobody,
    /// One request asks them, and it is not answered; or it failed after it was sent, and how is the one reply.
    Unknown,
}

impl Asked {
    /// How many, if that is known.
    pub(super) fn count(self) -> Option<usize> {
        match self {
            Self::Nodes(count) => Some(count),
            Self::Nobody => Some(0),
            Self::Unknown => None,
        }
    }
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

    /// The first success, and whose it is. The other nodes' calls are cancelled then.
    ///
    /// It fails with [`TooFew`](super::TooFew), which says why each node failed, once all of them have.
    pub fn first(self) -> First<T, E> {
        First::new(self.quorum(1))
    }

    /// The first `wanted` successes, each with its node, in the order in which they came. The other nodes' calls are cancelled then.
    ///
    /// It fails with [`TooFew`](super::TooFew) as soon as so many cannot be had any more: at once, with nothing sent, where fewer nodes
    /// fit the target. (A client outside learns who fits with the answers.) A quorum of 0 is there without asking anybody.
    pub fn quorum(self, wanted: usize) -> Quorum<T, E> {
        Quorum::new(self, wanted)
    }

    pub(super) fn method(&self) -> Option<MethodRef> {
        match &self.state {
            State::Ready(unsent) => unsent.as_ref().map(|unsent| unsent.method.clone()),
            State::Running { method, .. } => Some(method.clone()),
        }
    }

    /// Settles who is asked, if that was not done before.
    pub(super) fn asked(&mut self) -> Asked {
        self.begin();
        match &self.state {
            State::Running { asked, .. } => *asked,
            State::Ready(_) => Asked::Nobody,
        }
    }

    /// The replies that are there and were not taken yet, where all came together.
    pub(super) fn into_there(self) -> Vec<Reply<T, E>> {
        match self.state {
            State::Running { legs: Legs::There(replies), .. } => replies.collect(),
            _ => Vec::new(),
        }
    }

    /// Settles who is asked, once. Nothing is sent before the legs are polled.
    fn begin(&mut self) {
        let State::Ready(ready) = &mut self.state else { return };
        let Some(Unsent { start, decode, method, me }) = ready.take() else { return };
        let begun = start(std::mem::take(&mut self.options)).and_then(|begun| Legs::begin(begun, decode, &me));
        let (asked, legs) = begun.unwrap_or_else(|failure| {
            let error = CallError::from_failure(failure, &method.path());
            (Asked::Nobody, Legs::There(vec![(me, Err(error))].into_iter()))
        });
        self.state = State::Running { method, asked, legs, answers: Vec::new() };
    }

    pub(super) fn poll_next_reply(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reply<T, E>>> {
        self.begin();
        let State::Running { legs, asked, .. } = &mut self.state else { return Poll::Ready(None) };
        loop {
            match legs {
                Legs::Each(each) => return each.poll_next_unpin(cx),
                Legs::There(replies) => return Poll::Ready(replies.next()),
                Legs::AtOnce(answered) => {
                    let (who, replies) = ready!(answered.poll_unpin(cx));
                    *asked = who;
                    *legs = Legs::There(replies.into_iter());
                }
            }
        }
    }
}

impl<T: Send + 'static, E: ServiceError> Legs<T, E> {
    fn begin((out, body): (Outgoing, Vec<u8>), decode: Decode<T>, me: &NodeId) -> Result<(Asked, Self), Failure> {
        let body = Bytes::from(body);
        if let Some(asking) = out.caller.clone().ask_all(&out.head, &body) {
            let answered = ask_all(asking, decode, out.head, me.clone());
            return Ok((Asked::Unknown, Self::AtOnce(answered.boxed())));
        }
        let targets = out.caller.resolve_all(&out.head)?;
        let out = Arc::new(out);
        let each: FuturesUnordered<_> =
            targets.into_iter().map(|leg| ask(out.clone(), leg, body.clone(), decode).boxed()).collect();
        Ok((Asked::Nodes(each.len()), Self::Each(each)))
    }
}

/// A whole fan-out by one request, and who turned out to be asked. `me` is the caller, whose answer a failure of the whole is.
async fn ask_all<T, E: ServiceError>(asking: AskingAll, decode: Decode<T>, head: Head, me: NodeId) -> (Asked, Vec<Reply<T, E>>) {
    match asking.await {
        Ok(answers) => {
            let replies = answers.into_iter().map(|(node, answer)| (node, decoded(answer, decode, &head)));
            let replies: Vec<_> = replies.collect();
            (Asked::Nodes(replies.len()), replies)
        }
        Err(failure) => {
            let error: CallError<E> = head.failed(failure);
            (if error.may_have_run() { Asked::Unknown } else { Asked::Nobody }, vec![(me, Err(error))])
        }
    }
}

/// One node's part of a fan-out.
async fn ask<T, E: ServiceError>(out: Arc<Outgoing>, leg: Leg, body: Bytes, decode: Decode<T>) -> Reply<T, E> {
    let mut own_head = None;
    let route = match leg.route {
        // A node that was named, and starts.
        Err(nobody @ Failure::NotYet(_)) => {
            let head = Head { target: One::Node(leg.node_id.clone()).into(), ..out.head.clone() };
            Box::pin(own_head.insert(Box::new(head)).later(&*out.caller, nobody)).await
        }
        route => route,
    };
    let answer = match route {
        Err(failure) => Err(failure),
        Ok(Route::Here(service)) => out.serve_here(&service, &body).await,
        Ok(Route::Peer(peer)) => out.caller.send(own_head.as_deref().unwrap_or(&out.head), &peer, &body).await,
        Ok(Route::Differing(peer, version)) => out.fitted_there(&peer, version, &body).await,
    };
    (leg.node_id, decoded(answer, decode, &out.head))
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
            State::Running { method, asked, answers, .. } => {
                Answers { method: Some(method.clone()), asked: *asked, replies: std::mem::take(answers) }
            }
            State::Ready(_) => Answers { method: None, asked: Asked::Nobody, replies: Vec::new() },
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

/// The values of the nodes that succeeded.
pub type Values<T> = Vec<(NodeId, T)>;

/// The errors of the nodes that failed, or did not answer in time.
pub type Failures<E = NoError> = Vec<(NodeId, CallError<E>)>;

/// Every asked node's result, in the order in which they came.
#[derive(Debug)]
pub struct Answers<T, E = NoError> {
    method: Option<MethodRef>,
    asked: Asked,
    replies: Vec<Reply<T, E>>,
}

impl<T, E> Answers<T, E> {
    /// How many nodes were asked; `None` where a [`Client`](crate::client::Client) lost the one request that asked them, and it may have been
    /// served.
    pub fn asked(&self) -> Option<usize> {
        self.asked.count()
    }

    /// How many results there are.
    pub fn len(&self) -> usize {
        self.replies.len()
    }

    /// Whether there are none, as nobody fits the target.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// The results, each with its node.
    pub fn iter(&self) -> std::slice::Iter<'_, Reply<T, E>> {
        self.replies.iter()
    }

    /// The values, and the failures (those who did not answer in time among them), each with its node.
    pub fn into_parts(self) -> (Values<T>, Failures<E>) {
        let (mut values, mut failures) = (Vec::new(), Vec::new());
        for (node, reply) in self.replies {
            match reply {
                Ok(value) => values.push((node, value)),
                Err(error) => failures.push((node, error)),
            }
        }
        (values, failures)
    }

    /// Every node's value, if every node gave one and there was one at least.
    ///
    /// # Errors
    /// [`TooFew`]: what became of each node; or that no node fits the target.
    pub fn all_ok(self) -> Result<Values<T>, TooFew<E>> {
        let (method, asked) = (self.method.clone(), self.asked);
        let (succeeded, failed) = self.into_parts();
        match asked {
            Asked::Nodes(count) if count > 0 && failed.is_empty() => Ok(succeeded),
            _ => Err(TooFew::new(method.as_ref(), asked.count().unwrap_or(1).max(1), asked, succeeded, failed)),
        }
    }
}

impl<T, E> IntoIterator for Answers<T, E> {
    type Item = Reply<T, E>;
    type IntoIter = std::vec::IntoIter<Reply<T, E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.replies.into_iter()
    }
}

impl<'a, T, E> IntoIterator for &'a Answers<T, E> {
    type Item = &'a Reply<T, E>;
    type IntoIter = std::slice::Iter<'a, Reply<T, E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
