use std::{convert::Infallible, future::pending, io, net::SocketAddr};

use futures::future::{BoxFuture, join_all};
use hyper::{body::Incoming, server::conn::http2 as server, service::service_fn};
use tokio::{
    io::duplex,
    sync::{Notify, Semaphore, mpsc},
};

use super::*;
use crate::wire::{dial::Dialled, net::BoxStream};

type Handler = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync>;

/// A peer in this process: every dial opens a connection to an HTTP/2 server of its own.
struct Peers {
    dials: AtomicUsize,
    gate: Semaphore,
    refuse: AtomicBool,
    handler: Handler,
    connections: Mutex<Vec<AbortHandle>>,
    stop: Notify,
    ended: mpsc::UnboundedSender<NodeId>,
}

impl Peers {
    fn new(handler: Handler) -> (Arc<Self>, mpsc::UnboundedReceiver<NodeId>) {
        let (ended, ends) = mpsc::unbounded_channel();
        let peers = Self {
            dials: AtomicUsize::new(0),
            gate: Semaphore::new(1_000),
            refuse: AtomicBool::new(false),
            handler,
            connections: Mutex::default(),
            stop: Notify::new(),
            ended,
        };
        (Arc::new(peers), ends)
    }

    fn dials(&self) -> usize {
        self.dials.load(Ordering::Relaxed)
    }

    fn kill_connections(&self) {
        self.connections.lock().unwrap().drain(..).for_each(|task| task.abort());
    }
}

struct DialPeers(Arc<Peers>);

impl Dial for DialPeers {
    fn dial<'a>(&'a self, peer: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
        Box::pin(async move {
            let peers = &self.0;
            peers.dials.fetch_add(1, Ordering::Relaxed);
            peers.gate.acquire().await.unwrap().forget();
            if peers.refuse.load(Ordering::Relaxed) {
                return Err(DialError::network(&peer.authority, io::Error::from(io::ErrorKind::ConnectionRefused)));
            }
            let (ours, theirs) = duplex(64 * 1024);
            let (peers, node) = (peers.clone(), peer.node_id.clone());
            let task = tokio::spawn({
                let peers = peers.clone();
                async move {
                    let handler = peers.handler.clone();
                    let service = service_fn(move |request| {
                        let answer = handler(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let connection = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(theirs), service);
                    let mut connection = pin!(connection);
                    tokio::select! {
                        _ = &mut connection => {}
                        () = peers.stop.notified() => {
                            connection.as_mut().graceful_shutdown();
                            let _ = connection.await;
                        }
                    }
                    peers.ended.send(node).unwrap();
                }
            });
            peers.connections.lock().unwrap().push(task.abort_handle());
            Ok(Dialled::from(Box::new(ours) as BoxStream))
        })
    }
}

fn hello() -> Handler {
    Arc::new(|_| Box::pin(async { Response::new(Full::from("hello")) }))
}

fn peer(name: &str) -> PeerRef {
    PeerRef { node_id: name.parse().unwrap(), authority: SocketAddr::from(([10, 0, 0, 1], 8001)).to_string().into() }
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/x").body(Full::default()).unwrap()
}

async fn ask(pool: &HttpPool, name: &str) -> Result<Response<Bytes>, SendFailure> {
    pool.request(&peer(name), get(), RequestLimits::default()).await
}

/// Lets other tasks run until the pool has noticed that its connections are gone.
async fn until_disconnected(pool: &HttpPool) {
    while !pool.connected().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_attempt_and_one_connection() {
    let (peers, _ends) = Peers::new(hello());
    peers.gate.forget_permits(1_000);
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    let opener = async {
        while peers.dials() == 0 {
            tokio::task::yield_now().await;
        }
        peers.gate.add_permits(1_000);
    };
    let (answers, ()) = tokio::join!(join_all((0..50).map(|_| ask(&pool, "a"))), opener);
    assert!(answers.into_iter().all(|answer| answer.unwrap().into_body() == "hello"));
    assert_eq!(ask(&pool, "a").await.unwrap().status(), 200);
    assert_eq!(peers.dials(), 1);
}

#[tokio::test]
async fn an_attempt_that_fails_fails_for_everyone_who_waited_and_the_next_call_tries_again() {
    let (peers, _ends) = Peers::new(hello());
    peers.refuse.store(true, Ordering::Relaxed);
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    for failure in join_all((0..10).map(|_| ask(&pool, "a"))).await {
        let failure = failure.unwrap_err();
        assert!(failure.is_not_sent());
        assert!(failure.to_string().starts_with("not sent: nobody listens at 10.0.0.1:8001"), "{failure}");
    }
    assert_eq!(peers.dials(), 1);
    peers.refuse.store(false, Ordering::Relaxed);
    ask(&pool, "a").await.unwrap();
}

#[tokio::test]
async fn giving_up_does_not_end_the_attempt_that_others_wait_for() {
    let (peers, _ends) = Peers::new(hello());
    peers.gate.forget_permits(1_000);
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    let first = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, "a").await }
    });
    while peers.dials() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    peers.gate.add_permits(1_000);
    ask(&pool, "a").await.unwrap();
    assert_eq!(peers.dials(), 1);
}

#[tokio::test]
async fn a_peer_that_was_restarted_is_connected_again() {
    let (peers, _ends) = Peers::new(hello());
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    ask(&pool, "a").await.unwrap();
    peers.kill_connections();
    until_disconnected(&pool).await;
    ask(&pool, "a").await.unwrap();
    assert_eq!(peers.dials(), 2);
}

#[tokio::test]
async fn a_connection_that_breaks_while_the_peer_works_has_lost_the_request() {
    let taken = Arc::new(Notify::new());
    let handler: Handler = {
        let taken = taken.clone();
        Arc::new(move |_| {
            taken.notify_one();
            Box::pin(pending())
        })
    };
    let (peers, _ends) = Peers::new(handler);
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    let (answer, ()) = tokio::join!(ask(&pool, "a"), async {
        taken.notified().await;
        peers.kill_connections();
    });
    let failure = answer.unwrap_err();
    assert!(matches!(failure, SendFailure::Lost { reason: Lost::Broken(_) }), "{failure}");
    assert_eq!(peers.dials(), 1, "what may have run is not sent again");
}

#[tokio::test]
async fn a_peer_that_shuts_down_finishes_its_request_and_the_next_goes_to_a_new_connection() {
    let (taken, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler: Handler = {
        let (taken, go_on) = (taken.clone(), go_on.clone());
        Arc::new(move |request| {
            let (taken, go_on) = (taken.clone(), go_on.clone());
            Box::pin(async move {
                if request.uri().path() == "/slow" {
                    taken.notify_one();
                    go_on.notified().await;
                }
                Response::new(Full::from("done"))
            })
        })
    };
    let (peers, _ends) = Peers::new(handler);
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    let slow = Request::get("/slow").body(Full::default()).unwrap();
    let slow = async { pool.request(&peer("a"), slow, RequestLimits::default()).await };
    let (slow, ()) = tokio::join!(slow, async {
        taken.notified().await;
        peers.stop.notify_one();
        // Requests go out until the GOAWAY is there; not one of them may fail.
        while peers.dials() == 1 {
            assert_eq!(ask(&pool, "a").await.unwrap().into_body(), "done");
        }
        go_on.notify_one();
    });
    assert_eq!(slow.unwrap().into_body(), "done");
}

#[tokio::test]
async fn a_stream_that_the_peer_refused_was_not_sent() {
    struct Refusing;
    impl Dial for Refusing {
        fn dial<'a>(&'a self, _: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
            Box::pin(async {
                let (ours, theirs) = duplex(64 * 1024);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(theirs).await.unwrap();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                });
                Ok(Dialled::from(Box::new(ours) as BoxStream))
            })
        }
    }
    let failure = ask(&HttpPool::new(Arc::new(Refusing)), "a").await.unwrap_err();
    assert!(matches!(failure, SendFailure::NotSent { reason: NotSent::Busy }), "{failure}");
}

#[tokio::test]
async fn dropping_a_request_cancels_it_at_the_peer_and_keeps_the_connection() {
    struct Cancelled(Arc<Notify>);
    impl Drop for Cancelled {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (taken, cancelled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler: Handler = {
        let (taken, cancelled) = (taken.clone(), cancelled.clone());
        Arc::new(move |request| {
            let (taken, cancelled) = (taken.clone(), cancelled.clone());
            Box::pin(async move {
                if request.uri().path() == "/slow" {
                    let _guard = Cancelled(cancelled);
                    taken.notify_one();
                    pending::<()>().await;
                }
                Response::new(Full::from("done"))
            })
        })
    };
    let (peers, _ends) = Peers::new(handler);
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    let slow = Request::get("/slow").body(Full::default()).unwrap();
    let peer = peer("a");
    tokio::select! {
        _ = pool.request(&peer, slow, RequestLimits::default()) => unreachable!("it never answers"),
        () = taken.notified() => {}
    }
    cancelled.notified().await;
    ask(&pool, "a").await.unwrap();
    assert_eq!(peers.dials(), 1);
}

#[tokio::test]
async fn the_least_recently_used_connection_makes_room() {
    let (peers, mut ends) = Peers::new(hello());
    let config = PoolConfig { max_peers: 2, ..PoolConfig::default() };
    let pool = HttpPool::with_config(Arc::new(DialPeers(peers.clone())), config);
    ask(&pool, "a").await.unwrap();
    let later = Duration::from_millis(5);
    tokio::time::pause();
    tokio::time::advance(later).await;
    ask(&pool, "b").await.unwrap();
    tokio::time::advance(later).await;
    ask(&pool, "a").await.unwrap();
    tokio::time::advance(later).await;
    ask(&pool, "c").await.unwrap();
    assert_eq!(ends.recv().await.unwrap(), "b");
    let mut connected = pool.connected();
    connected.sort();
    assert_eq!(connected, ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_closed() {
    let (peers, mut ends) = Peers::new(hello());
    let config = PoolConfig { idle: Duration::from_mins(1), ..PoolConfig::default() };
    let pool = HttpPool::with_config(Arc::new(DialPeers(peers.clone())), config);
    let began = Instant::now();
    ask(&pool, "a").await.unwrap();
    assert_eq!(ends.recv().await.unwrap(), "a");
    assert_eq!(began.elapsed().as_secs(), 60);
    assert!(pool.connected().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_gives_no_sign_of_life_has_lost_the_request() {
    struct Silent(Mutex<Vec<tokio::io::DuplexStream>>);
    impl Dial for Silent {
        fn dial<'a>(&'a self, _: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
            let (ours, theirs) = duplex(64 * 1024);
            self.0.lock().unwrap().push(theirs);
            Box::pin(async { Ok(Dialled::from(Box::new(ours) as BoxStream)) })
        }
    }
    let began = Instant::now();
    let failure = ask(&HttpPool::new(Arc::new(Silent(Mutex::default()))), "a").await.unwrap_err();
    assert!(!failure.is_not_sent(), "{failure}");
    assert_eq!(began.elapsed().as_secs(), 15, "10 s until the ping, 5 s for its answer");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_a_connection_was_sent_nothing() {
    let (peers, _ends) = Peers::new(hello());
    peers.gate.forget_permits(1_000);
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    let failure = ask(&pool, "a").await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "not sent: 10.0.0.1:8001 did not answer within 5000 ms; check the network between here and there"
    );
    let failure = pool.request(&peer("a"), get(), RequestLimits::within(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(failure, SendFailure::NotSent { reason: NotSent::TimedOut { .. } }), "{failure}");
}

#[tokio::test]
async fn a_response_over_the_limit_is_refused() {
    let (peers, _ends) = Peers::new(hello());
    let pool = HttpPool::new(Arc::new(DialPeers(peers)));
    let limits = RequestLimits { max_response: 4, ..RequestLimits::default() };
    let failure = pool.request(&peer("a"), get(), limits).await.unwrap_err();
    assert!(matches!(failure, SendFailure::Lost { reason: Lost::TooLarge { limit: 4 } }), "{failure}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_anything_is_sent() {
    let (peers, _ends) = Peers::new(hello());
    let pool = HttpPool::new(Arc::new(DialPeers(peers.clone())));
    let nowhere = PeerRef { node_id: "a".parse().unwrap(), authority: "not an address".into() };
    let failure = pool.request(&nowhere, get(), RequestLimits::default()).await.unwrap_err();
    assert!(failure.to_string().contains("is no address"), "{failure}");
    assert_eq!(peers.dials(), 0);
}

#[tokio::test]
async fn cutting_a_peer_ends_what_is_in_flight() {
    let taken = Arc::new(Notify::new());
    let handler: Handler = {
        let taken = taken.clone();
        Arc::new(move |_| {
            taken.notify_one();
            Box::pin(pending())
        })
    };
    let (peers, _ends) = Peers::new(handler);
    let pool = HttpPool::new(Arc::new(DialPeers(peers)));
    let (answer, ()) = tokio::join!(ask(&pool, "a"), async {
        taken.notified().await;
        pool.cut(&peer("a").node_id);
    });
    assert!(!answer.unwrap_err().is_not_sent());
}
