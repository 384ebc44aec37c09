//! Streams that break when somebody wants them to.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::live::Registration;

/// The means to break a stream at once, for whoever reads or writes.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    broken: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Cut {
    /// Breaks the stream.
    pub(crate) fn cut(&self) {
        self.broken.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    /// Runs one step of reading, unless the stream is broken. The waker is kept only where there is something to wait for.
    pub(crate) fn reading<T>(
        &self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.step(&self.reader, cx, step)
    }

    /// The same for writing.
    pub(crate) fn writing<T>(
        &self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.step(&self.writer, cx, step)
    }

    fn step<T>(
        &self,
        waker: &AtomicWaker,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.broken.load(Ordering::Acquire) {
            return Poll::Ready(Err(cut_error()));
        }
        let stepped = step(cx);
        if stepped.is_pending() {
            waker.register(cx.waker());
            // It may have been cut before the waker was there.
            if self.broken.load(Ordering::Acquire) {
                return Poll::Ready(Err(cut_error()));
            }
        }
        stepped
    }
}

fn cut_error() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut on purpose")
}

/// A stream to a node that breaks as soon as the node's certificate is revoked. Made by [`Revocations::guard`](super::Revocations::guard).
pub struct Guarded<S> {
    inner: S,
    cut: Arc<Cut>,
    _registered: Registration,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, cut: Arc<Cut>, registered: Registration) -> Self {
        Self { inner, cut, _registered: registered }
    }
}

impl<S: fmt::Debug> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.cut.reading(cx, |cx| Pin::new(&mut this.inner).poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.cut.writing(cx, |cx| Pin::new(&mut this.inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.cut.writing(cx, |cx| Pin::new(&mut this.inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.cut.writing(cx, |cx| Pin::new(&mut this.inner).poll_flush(cx))
    }

    /// Says goodbye, also where the stream was cut: the other end learns at once that it is over.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
