//! [`Streamed`]: a response's body that is read as it comes, whole or line by line.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http::Response;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::http::{Lost, RequestLimits, SendFailure, collect};

/// A response's body that is read as it comes. Dropping it ends the request at the other end.
pub struct Streamed {
    body: Incoming,
    /// What keeps the connection for as long as the body is read.
    _held: Box<dyn Send>,
}

impl Streamed {
    pub(super) fn new(body: Incoming, held: impl Send + 'static) -> Self {
        Self { body, _held: Box::new(held) }
    }

    /// Reads all of it, within these bounds.
    ///
    /// # Errors
    /// [`Lost`]: it broke off, is larger, or took longer.
    pub async fn whole(self, limits: RequestLimits) -> Result<Bytes, SendFailure> {
        let reading = collect(Response::new(self.body), &limits);
        let response = match limits.timeout {
            None => reading.await,
            Some(after) => timeout(after, reading).await.unwrap_or_else(|_| Err(Lost::TimedOut { after }.into())),
        };
        response.map(Response::into_body)
    }

    /// Its lines as they come, without their ends, each of at most `limit` bytes.
    pub fn lines(self, limit: usize) -> Lines {
        Lines { from: Some(self), limit, begun: BytesMut::new(), looked_at: 0 }
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").finish_non_exhaustive()
    }
}

/// The lines of a body. It reads no further than its reader: what is not asked for holds the sender up.
#[derive(Debug)]
pub struct Lines {
    /// None after the end.
    from: Option<Streamed>,
    limit: usize,
    begun: BytesMut,
    /// How much of it holds no end of a line.
    looked_at: usize,
}

impl Lines {
    /// The next line of what has been read.
    fn next_line(&mut self) -> Option<Bytes> {
        let end = self.begun[self.looked_at..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            self.looked_at = self.begun.len();
            return None;
        };
        let mut line = self.begun.split_to(self.looked_at + end + 1);
        self.looked_at = 0;
        line.truncate(line.len() - 1);
        Some(line.freeze())
    }

    fn end<T>(&mut self, last: T) -> T {
        self.from = None;
        last
    }
}

impl Stream for Lines {
    type Item = Result<Bytes, SendFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // After the end there is nothing, whatever is left of a line that was never complete.
            if self.from.is_none() {
                return Poll::Ready(None);
            }
            if let Some(line) = self.next_line() {
                return Poll::Ready(Some(Ok(line)));
            }
            let limit = self.limit;
            if self.begun.len() > limit {
                return Poll::Ready(self.end(Some(Err(Lost::TooLarge { limit }.into()))));
            }
            let Some(from) = &mut self.from else { return Poll::Ready(None) };
            match ready!(Pin::new(&mut from.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.begun.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(self.end(Some(Err(Lost::Broken(std::sync::Arc::new(error)).into())))),
                None => {
                    // What is left is a last line without an end, if anything.
                    let rest = std::mem::take(&mut self.begun).freeze();
                    return Poll::Ready(self.end((!rest.is_empty()).then_some(Ok(rest))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use http::Request;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::wire::http::one_shot_streamed;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    /// A response whose head came, and the end that writes its body.
    async fn response() -> (Streamed, DuplexStream) {
        let (client, mut server) = duplex(4096);
        let answering = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(server.read_u8().await.unwrap());
            }
            server.write_all(HEAD).await.unwrap();
        };
        let request = Request::get("/").body(Full::default()).unwrap();
        let asking = one_shot_streamed(Box::new(client), request, Duration::from_mins(1));
        let (response, ()) = tokio::join!(asking, answering);
        (response.unwrap().into_body(), server)
    }

    async fn write(server: &mut DuplexStream, piece: &str) {
        server.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn lines_come_as_they_are_complete_however_the_body_is_cut() {
        let (body, mut server) = response().await;
        let mut lines = body.lines(100);
        write(&mut server, "one\ntw").await;
        assert_eq!(lines.next().await.unwrap().unwrap(), "one");
        assert!(futures::poll!(lines.next()).is_pending());
        write(&mut server, "o\n\nla").await;
        assert_eq!(lines.next().await.unwrap().unwrap(), "two");
        assert_eq!(lines.next().await.unwrap().unwrap(), "");
        write(&mut server, "st").await;
        server.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "last");
        assert!(lines.next().await.is_none());
    }

    #[tokio::test]
    async fn a_line_over_the_limit_and_a_body_that_breaks_off_are_errors_and_the_end() {
        let (body, mut server) = response().await;
        let mut lines = body.lines(4);
        write(&mut server, "fine\nlonger").await;
        assert_eq!(lines.next().await.unwrap().unwrap(), "fine");
        let error = lines.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("larger than 4 bytes"), "{error}");
        assert!(lines.next().await.is_none());

        let (body, mut server) = response().await;
        let mut lines = body.lines(100);
        write(&mut server, "begun").await;
        drop(server);
        let error = lines.next().await.unwrap().unwrap_err();
        assert!(!error.is_not_sent(), "{error}");
        assert!(lines.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_read_for_as_long_as_there_is_time() {
        let (body, mut server) = response().await;
        write(&mut server, "begun").await;
        let error = body.whole(RequestLimits::within(Duration::from_secs(2))).await.unwrap_err();
        assert_eq!(error.to_string(), "sent, but no response came: the peer took longer than 2000 ms");
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_closes_its_connection() {
        let (body, mut server) = response().await;
        drop(body);
        assert!(server.read_u8().await.is_err(), "nothing more comes");
    }
}
