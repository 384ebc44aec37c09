//! Two ends of a session, or one end and a peer that says what the test wants; and what they serve.

use std::{
    future::Future,
    sync::{Mutex, atomic::AtomicU32},
    time::SystemTime,
};

use bytes::BytesMut;
use h2::{RecvStream, SendStream, server};
use http::{Request, Response};
use tokio::{
    io::{DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
};

use super::*;
use crate::wire::{
    dial::PeerRef,
    session::{
        connect::{self, CONNECTION_WINDOW, FRAME, STREAM_WINDOW},
        frame::{FrameReader, write_frame},
        message::Incoming,
    },
};

/// Nothing in these tests takes this long unless it hangs.
const HANGING: Duration = Duration::from_mins(20);

/// Waits for something that will come. (The clocks of tests that wait for long are paused.)
pub(in crate::wire) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(HANGING, what).await.expect("this should have happened long ago")
}

/// What the ends of tests serve, each method by a name.
pub(in crate::wire) struct Service {
    /// How many calls that wait have begun.
    pub(in crate::wire) begun: watch::Sender<u32>,
    /// How many of those were dropped, ended or not.
    pub(in crate::wire) dropped: watch::Sender<u32>,
    /// Whether those that wait may go on.
    pub(in crate::wire) open: watch::Sender<bool>,
    /// How many items were sent.
    pub(in crate::wire) items: AtomicU32,
    /// In which tasks the slow calls were polled first.
    pub(in crate::wire) tasks: Mutex<Vec<tokio::task::Id>>,
}

struct Begun(Arc<Service>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.dropped.send_modify(|count| *count += 1);
    }
}

impl Service {
    pub(in crate::wire) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
            open: watch::Sender::new(false),
            items: AtomicU32::new(0),
            tasks: Mutex::default(),
        })
    }

    /// Waits until a counter is there.
    pub(in crate::wire) async fn reached(counter: &watch::Sender<u32>, count: u32) {
        soon(counter.subscribe().wait_for(|now| *now >= count)).await.unwrap();
    }

    async fn run(self: Arc<Self>, call: &Incoming, items: Option<ItemSink>) -> Result<Vec<u8>, RpcError> {
        let params = call.params().unwrap_or("null");
        let number = || params.trim_matches(['[', ']']).parse::<u32>().unwrap();
        match call.method() {
            "echo" => {}
            "later" => tokio::task::yield_now().await,
            "timeout" => return Ok(call.timeout.unwrap().as_millis().to_string().into_bytes()),
            "wait" => {
                let _begun = Begun(self.clone());
                self.begun.send_modify(|count| *count += 1);
                self.open.subscribe().wait_for(|open| *open).await.unwrap();
            }
            "open_and_wait" => {
                let _begun = Begun(self.clone());
                items.as_ref().unwrap().open();
                self.open.subscribe().wait_for(|open| *open).await.unwrap();
            }
            "panic" => panic!("this panic is part of a test"),
            "panic_later" => {
                tokio::task::yield_now().await;
                panic!("this panic is part of a test");
            }
            "slow" => {
                self.tasks.lock().unwrap().push(tokio::task::id());
                // What blocks is the very thing that is tested.
                let began = std::time::Instant::now();
                while began.elapsed() < Duration::from_millis(2) {}
            }
            "large" => return Ok(vec![b'7'; number() as usize]),
            "refuse" => return Err(RpcError::new(ErrorCode::SERVICE, "not today")),
            "items_of" => {
                let item = vec![b'7'; number() as usize];
                if let Err(error) = items.as_ref().unwrap().send(&item).await {
                    return Err(RpcError::new(ErrorCode::SERVICE, error.to_string()));
                }
            }
            "count" | "count_and_fail" => {
                let _begun = Begun(self.clone());
                for item in 0..number() {
                    items.as_ref().unwrap().send(item.to_string().as_bytes()).await.expect("somebody listens");
                    self.items.fetch_add(1, Relaxed);
                }
                if call.method() == "count_and_fail" {
                    return Err(RpcError::new(ErrorCode::SERVICE, "it failed in the end"));
                }
            }
            other => panic!("there is no {other}"),
        }
        Ok(params.as_bytes().to_vec())
    }
}

/// A service as what serves calls. (The trait is not the service's own as it needs the `Arc`.)
pub(in crate::wire) struct Serves(pub(in crate::wire) Arc<Service>);

impl Serve for Serves {
    fn serve(&self, call: Incoming, received: Instant, items: Option<ItemSink>) -> ServeCall {
        assert_ne!(call.method(), "panic_at_once", "this panic is part of a test");
        let service = self.0.clone();
        let deadline = received + call.timeout.unwrap_or(Duration::from_mins(1));
        Box::pin(async move { Served { outcome: service.run(&call, items).await, deadline, ended: None } })
    }
}

pub(in crate::wire) fn peer() -> PeerRef {
    PeerRef { node_id: "worker-1".parse().unwrap(), authority: "10.0.0.1:8001".into() }
}

/// Two ends, each with its service.
pub(in crate::wire) struct Pair {
    pub(in crate::wire) client: Session,
    pub(in crate::wire) server: Session,
    pub(in crate::wire) at_client: Arc<Service>,
    pub(in crate::wire) at_server: Arc<Service>,
}

impl Pair {
    pub(in crate::wire) async fn new() -> Self {
        Self::within(SessionLimits::default()).await
    }

    /// Both ends within these limits.
    pub(in crate::wire) async fn within(limits: SessionLimits) -> Self {
        Self::until(limits, None).await
    }

    /// The client's end until the certificate of the server ends.
    pub(in crate::wire) async fn until(limits: SessionLimits, expires: Option<SystemTime>) -> Self {
        let (ours, theirs) = duplex(64 * 1024);
        let (at_client, at_server) = (Service::new(), Service::new());
        let accepted = tokio::spawn(accept(theirs, limits.clone(), at_server.clone()));
        let serve = Arc::new(Serves(at_client.clone()));
        let client = soon(connect::open(Box::new(ours), &peer(), expires, limits, serve)).await.unwrap();
        let server = soon(accepted).await.unwrap();
        Self { client, server, at_client, at_server }
    }

    /// Whether both ends still do their work.
    pub(in crate::wire) async fn works(&self) -> bool {
        for session in [&self.client, &self.server] {
            if result(soon(session.call(&call("echo", "5"), in_time())).await) != "5" {
                return false;
            }
        }
        *self.at_client.begun.borrow() == 0
    }
}

/// Takes the session that is opened on a stream, and drives it in a task.
pub(in crate::wire) async fn accept(stream: DuplexStream, limits: SessionLimits, service: Arc<Service>) -> Session {
    let mut connection = server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let send = respond.send_response(agree_on(&request, limits.max_calls), false).unwrap();
    let peer_calls = request.headers()[CALLS_HEADER].to_str().unwrap().parse().unwrap();
    let serve = Arc::new(Serves(service));
    let node_id = "worker-2".parse().unwrap();
    let (session, mut driver) = Session::new(node_id, limits, peer_calls, serve, send, request.into_body());
    tokio::spawn(async move {
        let ended = poll_fn(|cx| {
            loop {
                let closed = connection.poll_closed(cx);
                match driver.poll(cx) {
                    Err(ended) => return Poll::Ready(ended),
                    Ok(_) if closed.is_ready() => return Poll::Ready(Ended::Broken("it was closed".to_owned())),
                    Ok(Turn::Sent) => {}
                    Ok(Turn::Idle) => return Poll::Pending,
                }
            }
        })
        .await;
        driver.end_with(&ended);
        drop(driver);
        let _closed = tokio::time::timeout(LAST_WORDS, poll_fn(|cx| connection.poll_closed(cx))).await;
    });
    session
}

fn agree_on(request: &Request<RecvStream>, max_calls: u32) -> Response<()> {
    assert_eq!(request.uri().path(), PATH);
    assert_eq!(request.headers()[VERSION_HEADER], "1");
    Response::builder().header(VERSION_HEADER, 1).header(CALLS_HEADER, max_calls).body(()).unwrap()
}

/// A peer that says what the test wants, on a connection that works.
pub(in crate::wire) struct RawPeer {
    pub(in crate::wire) send: SendStream<Bytes>,
    receive: RecvStream,
    reader: FrameReader,
    /// How many HTTP/2 frames with data came in.
    pub(in crate::wire) frames: usize,
    is_reading: watch::Sender<bool>,
    _connection: JoinHandle<()>,
}

impl RawPeer {
    /// A session to such a peer, which takes `max_calls` calls.
    pub(in crate::wire) async fn new(limits: SessionLimits, max_calls: u32) -> (Session, Arc<Service>, Self) {
        let (ours, theirs) = duplex(64 * 1024);
        let accepted = tokio::spawn(Self::accept(theirs, max_calls));
        let service = Service::new();
        let serve = Arc::new(Serves(service.clone()));
        let session = soon(connect::open(Box::new(ours), &peer(), None, limits, serve)).await.unwrap();
        (session, service, soon(accepted).await.unwrap())
    }

    /// The same, of which the test gives the session's driver its turns.
    pub(in crate::wire) async fn by_hand(max_calls: u32) -> (Session, Driver, Self) {
        let (ours, theirs) = duplex(64 * 1024);
        let accepted = tokio::spawn(Self::accept(theirs, max_calls));
        let (requests, connection) = h2::client::handshake(ours).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("https://worker-1{PATH}")).header(VERSION_HEADER, "1").body(()).unwrap();
        let (response, send) = soon(requests.ready()).await.unwrap().send_request(request, false).unwrap();
        let receive = soon(response).await.unwrap().into_body();
        let serve = Arc::new(Serves(Service::new()));
        let node_id = peer().node_id;
        let (session, driver) = Session::new(node_id, SessionLimits::default(), max_calls, serve, send, receive);
        (session, driver, soon(accepted).await.unwrap())
    }

    /// Takes the session that is opened on a stream, and says and reads nothing by itself.
    pub(in crate::wire) async fn accept(stream: DuplexStream, max_calls: u32) -> Self {
        let mut connection = server::Builder::new().max_frame_size(FRAME).handshake::<_, Bytes>(stream).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let send = respond.send_response(agree_on(&request, max_calls), false).unwrap();
        let is_reading = watch::Sender::new(true);
        let mut reads = is_reading.subscribe();
        let driven = async move {
            tokio::select! {
                _closed = poll_fn(|cx| connection.poll_closed(cx)) => {}
                // It keeps the connection, and does nothing with it any more.
                () = async { drop(reads.wait_for(|reads| !reads).await) } => std::future::pending().await,
            }
            drop(connection);
        };
        let receive = request.into_body();
        let reader = FrameReader::new(usize::MAX);
        Self { send, receive, reader, frames: 0, is_reading, _connection: tokio::spawn(driven) }
    }

    /// Sends bytes as they are.
    pub(in crate::wire) fn send(&mut self, bytes: impl Into<Bytes>) {
        self.send.send_data(bytes.into(), false).unwrap();
    }

    /// Sends a message.
    pub(in crate::wire) fn say(&mut self, message: impl AsRef<[u8]>) {
        let mut out = BytesMut::new();
        write_frame(&mut out, |out| out.extend_from_slice(message.as_ref()));
        self.send(out);
    }

    /// Sends the end of the stream.
    pub(in crate::wire) fn end(&mut self) {
        self.send.send_data(Bytes::new(), true).unwrap();
    }

    /// Does nothing from now on, as a machine that hangs.
    pub(in crate::wire) fn freeze(&self) {
        self.is_reading.send_replace(false);
    }

    /// The next message; `None` at the end of the stream.
    pub(in crate::wire) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.reader.next().unwrap() {
                return Some(Message::parse(frame).unwrap());
            }
            let piece = soon(self.receive.data()).await?.ok()?;
            self.receive.flow_control().release_capacity(piece.len()).unwrap();
            self.frames += 1;
            self.reader.push(piece);
        }
    }

    /// The next call.
    pub(in crate::wire) async fn next_call(&mut self) -> Incoming {
        match self.next().await {
            Some(Message::Call(call)) => call,
            other => panic!("{other:?} is no call"),
        }
    }

    /// The reason with which the session was closed.
    pub(in crate::wire) async fn farewell(&mut self) -> String {
        loop {
            match self.next().await {
                Some(Message::GoAway { reason, .. }) => return reason,
                Some(_) => {}
                None => panic!("the stream ended without a farewell"),
            }
        }
    }
}

/// A call of one of the methods.
pub(in crate::wire) fn call<'a>(method: &'a str, params: &'a str) -> Outgoing<'a> {
    Outgoing { method, params: params.as_bytes(), timeout: None, trace: None, is_anonymous: false, origin: None, credit: None }
}

/// A deadline that is not reached.
pub(in crate::wire) fn in_time() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

/// The JSON of a call that went well.
#[track_caller]
pub(in crate::wire) fn result(outcome: Outcome) -> String {
    match outcome {
        Outcome::Answered(Answer::Result(json)) => String::from_utf8(json.to_vec()).unwrap(),
        other => panic!("it should have gone well: {other:?}"),
    }
}

/// The code of a call that was refused.
#[track_caller]
pub(in crate::wire) fn refusal(outcome: Outcome) -> RpcError {
    match outcome {
        Outcome::Answered(Answer::Error(error)) => error,
        other => panic!("it should have been refused: {other:?}"),
    }
}

/// A call in a task of its own, that has been begun.
pub(in crate::wire) fn spawn_call(session: &Session, method: &'static str, params: &str) -> JoinHandle<Outcome> {
    let (session, params) = (session.clone(), params.to_owned());
    tokio::spawn(async move { session.call(&call(method, &params), in_time()).await })
}

/// Lets every other task have its turn, some times over.
pub(in crate::wire) async fn let_others_run() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
