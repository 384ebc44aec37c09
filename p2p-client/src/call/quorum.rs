//! [`First`] and [`Quorum`]: as much of a fan-out as is needed.
//!
//! Replies are taken as they come and sorted into successes and failures, until there are as many successes as are wanted, or so many
//! cannot be had any more. Whoever has not answered by then is not waited for: the legs are dropped, which cancels their calls.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    protocol::NodeId,
    service::{NoError, ServiceError},
};

use super::{CallError, Failures, MethodRef, Replies, Values, fanout::Asked};

/// The first successes of a fan-out, as many as are wanted. Made by [`Replies::quorum`].
#[must_use = "a call does nothing until it is awaited"]
pub struct Quorum<T, E = NoError> {
    /// `None` once it is decided.
    replies: Option<Replies<T, E>>,
    method: Option<MethodRef>,
    wanted: usize,
    succeeded: Values<T>,
    failed: Failures<E>,
}

// Nothing in it is pinned in place: the legs stand in boxes.
impl<T, E> Unpin for Quorum<T, E> {}

impl<T: Send + 'static, E: ServiceError> Quorum<T, E> {
    pub(super) fn new(replies: Replies<T, E>, wanted: usize) -> Self {
        Self { method: replies.method(), replies: Some(replies), wanted, succeeded: Vec::new(), failed: Vec::new() }
    }

    fn poll_decided(&mut self, cx: &mut Context<'_>) -> Poll<Result<Values<T>, TooFew<E>>> {
        loop {
            if self.succeeded.len() >= self.wanted {
                return Poll::Ready(Ok(self.succeed()));
            }
            let Some(replies) = &mut self.replies else { return Poll::Ready(Err(self.fail(Asked::Nobody))) };
            if let asked @ Asked::Nodes(count) = replies.asked()
                && count.saturating_sub(self.failed.len()) < self.wanted
            {
                return Poll::Ready(Err(self.fail(asked)));
            }
            match replies.poll_next_reply(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((node, Ok(value)))) => self.succeeded.push((node, value)),
                Poll::Ready(Some((node, Err(error)))) => self.failed.push((node, error)),
                Poll::Ready(None) => {
                    let asked = replies.asked();
                    return Poll::Ready(Err(self.fail(asked)));
                }
            }
        }
    }

    fn succeed(&mut self) -> Values<T> {
        self.replies = None;
        std::mem::take(&mut self.succeeded)
    }

    fn fail(&mut self, asked: Asked) -> TooFew<E> {
        for (node, reply) in self.replies.take().into_iter().flat_map(Replies::into_there) {
            match reply {
                Ok(value) => self.succeeded.push((node, value)),
                Err(error) => self.failed.push((node, error)),
            }
        }
        let (succeeded, failed) = (std::mem::take(&mut self.succeeded), std::mem::take(&mut self.failed));
        TooFew::new(self.method.as_ref(), self.wanted, asked, succeeded, failed)
    }
}

impl<T: Send + 'static, E: ServiceError> Future for Quorum<T, E> {
    type Output = Result<Values<T>, TooFew<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_decided(cx)
    }
}

impl<T, E> fmt::Debug for Quorum<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum").field("wanted", &self.wanted).field("replies", &self.replies).finish_non_exhaustive()
    }
}

/// The first success of a fan-out. Made by [`Replies::first`].
#[derive(Debug)]
#[must_use = "a call does nothing until it is awaited"]
pub struct First<T, E = NoError>(Quorum<T, E>);

impl<T: Send + 'static, E: ServiceError> First<T, E> {
    pub(super) fn new(one: Quorum<T, E>) -> Self {
        Self(one)
    }
}

impl<T: Send + 'static, E: ServiceError> Future for First<T, E> {
    type Output = Result<(NodeId, T), TooFew<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let one = &mut self.get_mut().0;
        one.poll_decided(cx).map(|decided| decided.and_then(|mut values| values.pop().ok_or_else(|| one.fail(Asked::Nobody))))
    }
}

/// Fewer nodes of a fan-out succeeded than were wanted. It says what became of each node that was asked.
#[derive(Debug)]
pub struct TooFew<E = NoError> {
    method: String,
    wanted: usize,
    asked: Asked,
    succeeded: Vec<NodeId>,
    failed: Failures<E>,
}

impl<E> TooFew<E> {
    pub(super) fn new<T>(
        method: Option<&MethodRef>,
        wanted: usize,
        asked: Asked,
        succeeded: Values<T>,
        failed: Failures<E>,
    ) -> Self {
        let method = method.map(|method| method.path().into_owned()).unwrap_or_default();
        Self { method, wanted, asked, succeeded: succeeded.into_iter().map(|(node, _)| node).collect(), failed }
    }

    /// How many successes were wanted.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// How many nodes fit the target and host the service. Those that neither succeeded nor failed were not waited for. `None` where that is not
    /// known, as of [`Answers::asked`](super::Answers::asked).
    pub fn asked(&self) -> Option<usize> {
        self.asked.count()
    }

    /// The nodes that succeeded: their calls have run.
    pub fn succeeded(&self) -> &[NodeId] {
        &self.succeeded
    }

    /// The nodes that failed or did not answer in time, each with its error.
    pub fn failed(&self) -> &[(NodeId, CallError<E>)] {
        &self.failed
    }
}

impl<E: fmt::Display> fmt::Display for TooFew<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, wanted, asked, succeeded, failed } = self;
        let asked = match (asked, failed.first()) {
            (Asked::Nobody, Some((_, error))) => {
                return write!(f, "{method} was to succeed on {wanted}, and nobody could be asked: {error}");
            }
            (Asked::Unknown, failed) => {
                write!(f, "{method} was to succeed on {wanted}, and who was asked is not known")?;
                return failed.map_or(Ok(()), |(_, error)| write!(f, ": {error}"));
            }
            (Asked::Nodes(0), _) | (Asked::Nobody, None) => {
                return write!(f, "{method} was to succeed on {wanted}, and no node fits the target and hosts the service");
            }
            (Asked::Nodes(asked), _) => asked,
        };
        let nodes = if *asked == 1 { "node" } else { "nodes" };
        write!(f, "{method} was to succeed on {wanted} of {asked} {nodes}, and ")?;
        if failed.is_empty() {
            f.write_str("so many do not fit the target and host the service")?;
        } else {
            write!(f, "{} failed", failed.len())?;
        }
        if failed.is_empty() && succeeded.is_empty() {
            return f.write_str("; nothing was sent");
        }
        for (index, (node, error)) in failed.iter().enumerate() {
            write!(f, "{} {node}: {error}", if index == 0 { ":" } else { ";" })?;
        }
        if !succeeded.is_empty() {
            f.write_str("; it succeeded on")?;
            for (index, node) in succeeded.iter().enumerate() {
                write!(f, "{} {node}", if index == 0 { "" } else { "," })?;
            }
        }
        Ok(())
    }
}

impl<E: ServiceError> StdError for TooFew<E> {
    /// A deadline where it was nothing but deadlines: so it stays one in a call around this one.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let all_late = self.failed.iter().all(|(_, error)| matches!(error, CallError::Deadline { .. }));
        self.failed.first().filter(|_| all_late).map(|(_, error)| error as &(dyn StdError + 'static))
    }
}
