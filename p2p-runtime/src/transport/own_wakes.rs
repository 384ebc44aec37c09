//! Wakes that an HTTP/1 connection would give itself for nothing.
//!
//! hyper hands a body on over a channel: whoever takes a piece wakes the sender, which is to read the next. Over HTTP/1 both ends
//! are one task, and most bodies are one piece: without more ado every request would have its connection polled a second time, to
//! find that nothing is to be done.
//!
//! ```text
//! runtime -> OwnWakes (polls with a ConnectionWaker) -> hyper -> handler -> take_frame
//!   a wake by this thread while a piece is taken is held back; it is given after all, unless the body has ended
//! ```
//! Wakes by other threads, and at any other time, are passed on at once.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;
use hyper::body::{Body, Frame};

thread_local! {
    /// Whether this thread is taking a piece of a body.
    static TAKING: Cell<bool> = const { Cell::new(false) };
    /// The wake that was held back meanwhile.
    static HELD_BACK: Cell<Option<Arc<ConnectionWaker>>> = const { Cell::new(None) };
}

/// Wakes the task that drives a connection.
struct ConnectionWaker {
    task: AtomicWaker,
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        if !TAKING.get() {
            self.task.wake();
        } else if let Some(other) = HELD_BACK.replace(Some(self)) {
            // Two connections cannot be woken by one body; should they be, none is forgotten.
            other.task.wake();
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if TAKING.get() {
            self.clone().wake();
        } else {
            self.task.wake();
        }
    }
}

/// Holds back, while it lives, what wakes a connection on this thread.
struct Taking;

impl Taking {
    fn begin() -> Self {
        TAKING.set(true);
        Self
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        TAKING.set(false);
    }
}

/// Drives a connection, whose bodies are read by [`take_frame`].
pub(super) struct OwnWakes<C> {
    connection: C,
    own: Arc<ConnectionWaker>,
    waker: Waker,
}

impl<C> OwnWakes<C> {
    pub(super) fn new(connection: C) -> Self {
        let own = Arc::new(ConnectionWaker { task: AtomicWaker::new() });
        Self { connection, waker: own.clone().into(), own }
    }

    pub(super) fn get_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

impl<C: Future + Unpin> Future for OwnWakes<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        this.own.task.register(cx.waker());
        Pin::new(&mut this.connection).poll(&mut Context::from_waker(&this.waker))
    }
}

/// Takes the next piece of a body. Where the body has ended with it, the connection is not woken to read on.
pub(crate) async fn take_frame<B: Body + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|cx| {
        let taking = Taking::begin();
        let polled = Pin::new(&mut *body).poll_frame(cx);
        drop(taking);
        if let Some(held_back) = HELD_BACK.take()
            && !body.is_end_stream()
        {
            held_back.wake();
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Answers with the body, and how many pieces it came in.
    async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut body = request.into_body();
        let (mut pieces, mut whole) = (0, Vec::new());
        while let Some(frame) = take_frame(&mut body).await {
            whole.extend_from_slice(&frame.unwrap().into_data().unwrap());
            pieces += 1;
        }
        Ok(Response::new(Full::from(format!("{pieces}: {}", String::from_utf8(whole).unwrap()))))
    }

    /// A connection that is polled by hand, as a runtime would: whenever it was woken.
    struct Polled {
        connection: Pin<Box<dyn Future<Output = hyper::Result<()>>>>,
        woken: Arc<Count>,
        client: DuplexStream,
    }

    impl Polled {
        fn new() -> Self {
            let (client, server) = tokio::io::duplex(4096);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(echo));
            let mut polled = Self { connection: Box::pin(OwnWakes::new(Box::pin(connection))), woken: Arc::default(), client };
            polled.poll();
            polled
        }

        fn poll(&mut self) {
            let waker = Waker::from(self.woken.clone());
            assert!(self.connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }

        /// Sends this, and polls until the connection has nothing more to do. Gives how many polls that were.
        async fn send(&mut self, text: &str) -> usize {
            self.client.write_all(text.as_bytes()).await.unwrap();
            let mut polls = 0;
            while self.woken.0.swap(0, Ordering::SeqCst) > 0 {
                self.poll();
                polls += 1;
            }
            polls
        }

        async fn answer(&mut self) -> String {
            let mut said = vec![0; 4096];
            let length = self.client.read(&mut said).await.unwrap();
            String::from_utf8(said[..length].to_vec()).unwrap()
        }
    }

    #[tokio::test]
    async fn a_request_in_one_piece_is_answered_by_one_poll_of_its_connection() {
        let mut polled = Polled::new();
        for _ in 0..3 {
            assert_eq!(polled.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nfour").await, 1);
            let answer = polled.answer().await;
            assert!(answer.ends_with("\r\n\r\n1: four"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_body_that_goes_on_is_read_to_its_end() {
        let mut polled = Polled::new();
        polled.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nfour").await;
        polled.send("more").await;
        let answer = polled.answer().await;
        assert!(answer.ends_with("\r\n\r\n2: fourmore"), "{answer}");
        // Both are there at once here, and the second is read because the first was taken.
        polled.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n4\r\nmore\r\n0\r\n\r\n").await;
        let answer = polled.answer().await;
        assert!(answer.ends_with("\r\n\r\n2: fourmore"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_waits_for_leave_to_send_its_body_is_given_it() {
        let mut polled = Polled::new();
        polled.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await;
        assert_eq!(polled.answer().await, "HTTP/1.1 100 Continue\r\n\r\n");
        polled.send("four").await;
        let answer = polled.answer().await;
        assert!(answer.ends_with("\r\n\r\n1: four"), "{answer}");
    }

    #[tokio::test]
    async fn a_wake_by_another_thread_is_passed_on_while_a_piece_is_taken() {
        let woken = Arc::new(Count::default());
        let waker = ConnectionWaker { task: AtomicWaker::new() };
        waker.task.register(&Waker::from(woken.clone()));
        let waker = Arc::new(waker);
        let _taking = Taking::begin();
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }
}
