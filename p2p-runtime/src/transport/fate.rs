//! One end of a connection of a network for tests, and the fate that both ends share.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that connected.
    Client,
    /// The one that accepted.
    Server,
}

/// What the network does to a connection.
#[derive(Default)]
pub(crate) struct Fate(Mutex<State>);

#[derive(Default)]
struct State {
    parted: bool,
    reset_by: Option<Side>,
    /// Whoever waits, by end and direction.
    waiting: [Option<Waker>; 4],
}

impl Fate {
    /// While it is parted, nothing passes in either direction.
    pub(crate) fn set_parted(&self, parted: bool) {
        let mut state = self.state();
        state.parted = parted;
        state.wake();
    }

    /// The machine at this end is gone. The other end hears of it unless it is parted.
    pub(crate) fn reset_by(&self, side: Side) {
        let mut state = self.state();
        state.reset_by = Some(side);
        state.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        self.waiting.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }

    fn is_reset_at(&self, side: Side) -> bool {
        self.reset_by.is_some_and(|by| by == side || !self.parted)
    }
}

/// One end of a connection.
pub(crate) struct End<S> {
    stream: S,
    fate: Arc<Fate>,
    side: Side,
    /// Whether the stream keeps what is written while the ends are parted. A pipe does, as its other end does not read; a socket would
    /// deliver it.
    keeps: bool,
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

impl<S> End<S> {
    /// An end of a pipe.
    pub(crate) fn of_pipe(stream: S, fate: Arc<Fate>, side: Side) -> Self {
        Self { stream, fate, side, keeps: true }
    }

    /// An end of a socket.
    #[cfg(feature = "testing")]
    pub(crate) fn of_socket(stream: S, fate: Arc<Fate>, side: Side) -> Self {
        Self { stream, fate, side, keeps: false }
    }

    /// Whether the bytes may move; if not yet, the task is woken when that changes.
    fn poll_fate(&self, cx: &Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        let mut state = self.fate.state();
        if state.is_reset_at(self.side) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let slot = match (self.side, direction) {
            (Side::Client, Direction::Read) => 0,
            (Side::Client, Direction::Write) => 1,
            (Side::Server, Direction::Read) => 2,
            (Side::Server, Direction::Write) => 3,
        };
        match &mut state.waiting[slot] {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        let passes = matches!(direction, Direction::Write) && self.keeps;
        if state.parted && !passes { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for End<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.poll_fate(cx, Direction::Read) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_read(cx, buf),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for End<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.poll_fate(cx, Direction::Write) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_write(cx, buf),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A farewell does not get through either; but a pipe's reader does not see it before the partition has healed.
        if !self.keeps && self.poll_fate(cx, Direction::Write).is_pending() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
