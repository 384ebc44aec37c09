//! Reading from a socket as much as there is, at once.
//!
//! TLS asks for 4 KiB at a time, which would be a system call for each; a batch of calls is many times as long. The buffer for it is borrowed from
//! the thread for as long as something is left in it, so that a connection that is idle holds none.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once, in bytes.
const SIZE: usize = 64 * 1024;
/// How many buffers a thread keeps at hand.
const SPARE: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn borrow() -> Box<[u8]> {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}

fn give_back(buffer: Box<[u8]>) {
    BUFFERS.with_borrow_mut(|spare| {
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    });
}

/// A stream that is read ahead.
#[derive(Debug)]
pub(super) struct ReadAhead<S> {
    inner: S,
    ahead: Option<Ahead>,
}

/// What was read and not yet asked for.
#[derive(Debug)]
struct Ahead {
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, ahead: None }
    }

    /// Hands on what was read, and the buffer back once it is empty.
    fn hand_on(&mut self, mut ahead: Ahead, buf: &mut ReadBuf<'_>) {
        let length = (ahead.end - ahead.begin).min(buf.remaining());
        buf.put_slice(&ahead.buffer[ahead.begin..ahead.begin + length]);
        ahead.begin += length;
        if ahead.begin == ahead.end {
            give_back(ahead.buffer);
        } else {
            self.ahead = Some(ahead);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(ahead) = self.ahead.take() {
            self.hand_on(ahead, buf);
            return Poll::Ready(Ok(()));
        }
        if buf.remaining() >= SIZE {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let mut buffer = borrow();
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut read);
        let end = read.filled().len();
        if !matches!(polled, Poll::Ready(Ok(()))) || end == 0 {
            give_back(buffer);
            ready!(polled)?;
            return Poll::Ready(Ok(()));
        }
        self.hand_on(Ahead { buffer, begin: 0, end }, buf);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_come_whole_and_in_order_whatever_sizes_they_are_asked_for_in() {
        let sent: Vec<u8> = (0..300_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        let (ours, mut theirs) = duplex(100_000);
        let writing = sent.clone();
        let writer = tokio::spawn(async move { theirs.write_all(&writing).await.unwrap() });
        let mut stream = ReadAhead::new(ours);
        let (mut got, mut size) = (Vec::new(), 1);
        loop {
            let mut piece = vec![0; size];
            let length = stream.read(&mut piece).await.unwrap();
            if length == 0 {
                break;
            }
            got.extend_from_slice(&piece[..length]);
            size = size * 3 % 100_003 + 1;
        }
        writer.await.unwrap();
        assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
    }

    #[tokio::test]
    async fn a_stream_of_which_all_was_read_holds_no_buffer() {
        let (ours, mut theirs) = duplex(1_000);
        let mut stream = ReadAhead::new(ours);
        theirs.write_all(b"12345").await.unwrap();
        let mut piece = [0; 3];
        stream.read_exact(&mut piece).await.unwrap();
        assert!(stream.ahead.is_some());
        stream.read_exact(&mut piece[..2]).await.unwrap();
        assert!(stream.ahead.is_none());
        assert_eq!(&piece, b"453");
        drop(theirs);
        assert_eq!(stream.read(&mut piece).await.unwrap(), 0, "the end is told as it is");
        assert!(stream.ahead.is_none());
    }
}
