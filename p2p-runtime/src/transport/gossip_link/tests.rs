use std::sync::atomic::{AtomicUsize, Ordering};

use p2p_client::{
    protocol::{ClusterId, Role},
    wire::{
        dial::DialError,
        net::{Listener, Network},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use super::*;
use crate::transport::{MemoryHost, MemoryNetwork};

/// Stands for TLS: each end tells the other its number in one byte.
struct Plain {
    host: MemoryHost,
    me: u8,
    dials: Arc<AtomicUsize>,
}

impl GossipDial for Plain {
    fn dial<'a>(&'a self, authority: &'a str, _: Option<&'a NodeId>) -> BoxFuture<'a, Result<(NodeId, BoxStream), DialError>> {
        Box::pin(async move {
            self.dials.fetch_add(1, Ordering::Relaxed);
            let failed = |error| DialError::network(authority, error);
            let mut stream = self.host.connect(authority).await.map_err(failed)?;
            stream.write_u8(self.me).await.map_err(failed)?;
            let there = stream.read_u8().await.map_err(failed)?;
            Ok((id(there), stream))
        })
    }
}

fn id(number: u8) -> NodeId {
    format!("n{number}").parse().unwrap()
}

fn ip(number: u8) -> [u8; 4] {
    [10, 0, 0, number]
}

fn authority(number: u8) -> String {
    format!("10.0.0.{number}:7000")
}

fn peer(number: u8) -> PeerRef {
    PeerRef { node_id: id(number), authority: authority(number).into() }
}

/// A node that has nothing but a link.
struct Node {
    link: GossipLink,
    events: mpsc::Receiver<LinkEvent>,
    dials: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

async fn start_with(network: &MemoryNetwork, number: u8, config: GossipLinkConfig) -> Node {
    let host = network.host(ip(number));
    let mut listener: Box<dyn Listener> = host.listen(authority(number).parse().unwrap()).await.unwrap();
    let (sender, events) = mpsc::channel(1024);
    let dials = Arc::new(AtomicUsize::new(0));
    let link = GossipLink::new(Arc::new(Plain { host, me: number, dials: dials.clone() }), sender, config);
    let accepting = link.clone();
    let listening = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let link = accepting.clone();
            tokio::spawn(async move {
                let Ok(from) = stream.read_u8().await else { return };
                if stream.write_u8(number).await.is_ok() {
                    let cluster = ClusterId::from_root_key_hash(&[1; 32]);
                    link.accept(PeerIdentity { node_id: id(from), role: Role::Worker, cluster }, stream).await;
                }
            });
        }
    });
    Node { link, events, dials, listening }
}

async fn start(network: &MemoryNetwork, number: u8) -> Node {
    start_with(network, number, GossipLinkConfig::default()).await
}

impl Node {
    async fn next(&mut self) -> LinkEvent {
        self.events.recv().await.unwrap()
    }

    fn dials(&self) -> usize {
        self.dials.load(Ordering::Relaxed)
    }
}

fn frame(from: u8, text: &'static str) -> LinkEvent {
    LinkEvent::Frame { from: id(from), frame: Bytes::from(text) }
}

fn unreachable(number: u8, refused: bool) -> LinkEvent {
    LinkEvent::Unreachable { node_id: id(number), refused }
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_in_order_under_the_name_of_their_sender_on_one_connection() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    for text in ["one", "two", "three"] {
        a.link.send(&peer(2), text.into());
    }
    for text in ["one", "two", "three"] {
        assert_eq!(b.next().await, frame(1, text));
    }
    a.link.send(&peer(2), "four".into());
    assert_eq!(b.next().await, frame(1, "four"));
    assert_eq!(a.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_use_the_connection_that_the_peer_opened() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    a.link.send(&peer(2), "ping".into());
    assert_eq!(b.next().await, frame(1, "ping"));
    b.link.send(&peer(1), "pong".into());
    assert_eq!(a.next().await, frame(2, "pong"));
    assert_eq!((a.dials(), b.dials()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_seed_is_reached_by_its_address_alone_and_then_known_by_its_name() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    a.link.send_seed(&authority(2), "hello".into());
    assert_eq!(b.next().await, frame(1, "hello"));
    a.link.send(&peer(2), "again".into());
    a.link.send_seed(&authority(2), "still".into());
    assert_eq!((b.next().await, b.next().await), (frame(1, "again"), frame(1, "still")));
    assert_eq!(a.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_where_nobody_listens_is_unreachable_by_refusal_and_one_without_an_answer_by_time() {
    let network = MemoryNetwork::new();
    let mut a = start(&network, 1).await;
    a.link.send(&peer(2), "x".into());
    assert_eq!(a.next().await, unreachable(2, true));
    network.partition(ip(1), ip(3));
    let began = Instant::now();
    a.link.send(&peer(3), "x".into());
    assert_eq!(a.next().await, unreachable(3, false));
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_killed_is_reported_at_once_and_reached_again_when_it_is_back() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    a.link.send(&peer(2), "x".into());
    assert_eq!(b.next().await, frame(1, "x"));
    // The sign of life has to be there: only what worked once is tried again.
    tokio::time::advance(Duration::from_secs(1)).await;
    let began = Instant::now();
    network.kill(ip(2));
    b.listening.abort();
    assert_eq!(a.next().await, unreachable(2, true));
    assert_eq!(began.elapsed().as_millis(), 0);
    let mut b = start(&network, 2).await;
    a.link.send(&peer(2), "y".into());
    assert_eq!(b.next().await, frame(1, "y"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_behind_a_partition_falls_silent_and_frames_pass_as_soon_as_it_heals() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    a.link.send(&peer(2), "before".into());
    assert_eq!(b.next().await, frame(1, "before"));
    tokio::time::advance(Duration::from_secs(1)).await;
    network.partition(ip(1), ip(2));
    let began = Instant::now();
    a.link.send(&peer(2), "into the dark".into());
    assert_eq!(a.next().await, unreachable(2, false));
    assert_eq!(began.elapsed().as_secs(), 4, "3 s of silence, 1 s for a new connection");
    network.heal(ip(1), ip(2));
    a.link.send(&peer(2), "after".into());
    // What was on its way before may come first, as with TCP.
    while b.next().await != frame(1, "after") {}
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_connection_makes_room_and_is_not_reported() {
    let network = MemoryNetwork::new();
    let mut a = start_with(&network, 1, GossipLinkConfig { max_peers: 2, ..GossipLinkConfig::default() }).await;
    let mut others = [start(&network, 2).await, start(&network, 3).await, start(&network, 4).await];
    for (number, other) in (2..).zip(&mut others) {
        a.link.send(&peer(number), "x".into());
        assert_eq!(other.next().await, frame(1, "x"));
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    a.link.send(&peer(2), "y".into());
    assert_eq!(others[0].next().await, frame(1, "y"));
    assert_eq!(a.dials(), 4);
    assert!(a.events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed_and_not_reported() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    a.link.send(&peer(2), "x".into());
    assert_eq!(b.next().await, frame(1, "x"));
    tokio::time::sleep(Duration::from_secs(61)).await; // of paused time
    assert!(a.link.inner.tasks.is_empty());
    assert!(a.events.try_recv().is_err() && b.events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_too_many_waiting_frames_is_dropped() {
    let network = MemoryNetwork::new();
    let a = start_with(&network, 1, GossipLinkConfig { max_waiting: 2, ..GossipLinkConfig::default() }).await;
    let mut b = start(&network, 2).await;
    for text in ["one", "two", "three"] {
        a.link.send(&peer(2), text.into());
    }
    assert_eq!((b.next().await, b.next().await), (frame(1, "two"), frame(1, "three")));
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_the_limit_closes_the_connection_and_is_not_delivered() {
    let network = MemoryNetwork::new();
    let mut b = start(&network, 2).await;
    let mut stream = network.host(ip(1)).connect(&authority(2)).await.unwrap();
    stream.write_all(&[1]).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 2);
    stream.write_u32(u32::try_from(MAX_FRAME + 1).unwrap()).await.unwrap();
    let mut rest = Vec::new();
    // Closed, with or without a reset.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty() && b.events.try_recv().is_err());

    let a = start(&network, 1).await;
    a.link.send(&peer(2), vec![0; MAX_FRAME + 1].into());
    assert_eq!(a.dials(), 0, "one's own is not sent");
    a.link.send(&peer(2), vec![7; MAX_FRAME].into());
    assert!(matches!(b.next().await, LinkEvent::Frame { frame, .. } if frame.len() == MAX_FRAME));
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_sends_waits_within_bounds_and_the_frames_of_another_beside_it() {
    const LARGE: usize = 256 * 1024;
    const SMALL: usize = 100;
    let network = MemoryNetwork::new();
    let (a, mut b, c) = (start(&network, 1).await, start(&network, 2).await, start(&network, 3).await);
    for _ in 0..64 {
        a.link.send(&peer(2), vec![0; LARGE].into());
    }
    // Until nothing moves any more, by a clock that runs on only then.
    let until_all_waits = || sleep(Duration::from_millis(500));
    until_all_waits().await;
    assert_eq!(b.events.len(), intake::SHARE / LARGE);
    c.link.send(&peer(2), "beside".into());
    until_all_waits().await;
    for _ in 0..intake::SHARE / LARGE {
        assert!(matches!(b.next().await, LinkEvent::Frame { from, .. } if from == id(1)));
    }
    assert_eq!(b.next().await, frame(3, "beside"));
    for _ in intake::SHARE / LARGE..64 {
        assert!(matches!(b.next().await, LinkEvent::Frame { from, .. } if from == id(1)), "nothing is lost");
    }
    for _ in 0..2 {
        for _ in 0..200 {
            c.link.send(&peer(2), vec![0; SMALL].into());
        }
        until_all_waits().await;
    }
    assert_eq!(b.events.len(), 256, "small ones are counted, too");
}

#[tokio::test(start_paused = true)]
async fn a_peer_keeps_a_few_connections_to_us_and_the_oldest_makes_room() {
    let network = MemoryNetwork::new();
    let _b = start(&network, 2).await;
    let host = network.host(ip(1));
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = host.connect(&authority(2)).await.unwrap();
        stream.write_u8(1).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 2);
        streams.push(stream);
    }
    assert!(streams[0].read_u8().await.is_err(), "the first is closed");
    streams[4].write_all(&[0, 0, 0, 1, b'x']).await.unwrap();
    assert_eq!(streams[4].read_u32().await.unwrap(), 0, "the last answers with a sign of life");
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_waits_first() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    a.link.send(&peer(2), "farewell".into());
    a.link.close(Duration::from_secs(1)).await;
    assert_eq!(b.next().await, frame(1, "farewell"));
    a.link.send(&peer(2), "too late".into());
    assert_eq!(a.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_every_connection_at_once_is_unreachable_and_not_tried_for_ever() {
    let network = MemoryNetwork::new();
    let mut a = start(&network, 1).await;
    let mut listener = network.host(ip(2)).listen(authority(2).parse().unwrap()).await.unwrap();
    let rude = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Greets, gives a sign of life, and leaves.
            let _ = stream.write_all(&[2, 0, 0, 0, 0]).await;
        }
    });
    for _ in 0..100 {
        a.link.send(&peer(2), "x".into());
    }
    assert_eq!(a.next().await, unreachable(2, false));
    assert!(a.dials() <= 4, "{} connections", a.dials());
    rude.abort();
}

/// A peer to which connecting hangs, and that has been tried in vain so often.
async fn tried_in_vain(network: &MemoryNetwork, times: usize) -> (Node, Node) {
    let (mut a, b) = (start(network, 1).await, start(network, 2).await);
    network.partition(ip(1), ip(2));
    for _ in 0..times {
        a.link.send(&peer(2), "lost".into());
        assert_eq!(a.next().await, unreachable(2, false));
    }
    assert_eq!(a.dials(), times);
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_timed_out_is_dialled_again_after_a_pause_and_frames_for_it_wait_so_long() {
    let network = MemoryNetwork::new();
    let (a, mut b) = tried_in_vain(&network, 1).await;
    network.heal(ip(1), ip(2));
    let failed = Instant::now();
    a.link.send(&peer(2), "held back".into());
    a.link.send(&peer(2), "this too".into());
    assert_eq!((b.next().await, b.next().await), (frame(1, "held back"), frame(1, "this too")));
    let took = failed.elapsed();
    assert!(took >= Duration::from_millis(250) && took <= Duration::from_millis(800), "{took:?}");
    assert_eq!(a.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_by_itself_ends_the_pause_and_gets_what_was_held_back() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = tried_in_vain(&network, 4).await;
    network.heal(ip(1), ip(2));
    let failed = Instant::now();
    a.link.send(&peer(2), "held back".into());
    b.link.send(&peer(1), "here I am".into());
    assert_eq!(a.next().await, frame(2, "here I am"));
    assert_eq!(b.next().await, frame(1, "held back"));
    assert!(failed.elapsed() < Duration::from_millis(100), "{:?}", failed.elapsed());
    assert_eq!(a.dials(), 4, "it went over the peer's own connection");
    // And that is gone by the time the pause is over: nobody dials for nothing.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(a.dials(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_refuses_is_tried_with_every_frame_and_others_do_not_wait_for_one_that_is_silent() {
    let network = MemoryNetwork::new();
    let (mut a, b) = tried_in_vain(&network, 2).await;
    let mut c = start(&network, 3).await;
    let began = Instant::now();
    a.link.send(&peer(3), "another".into());
    assert_eq!(c.next().await, frame(1, "another"));
    c.listening.abort();
    drop(b);
    for _ in 0..3 {
        a.link.send(&peer(4), "nobody listens".into());
        assert_eq!(a.next().await, unreachable(4, true));
    }
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_waits_for_its_turn_gets_its_frames_when_it_comes_by_itself_and_is_not_dialled() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    let began = Instant::now();
    for silent in 11..19 {
        network.partition(ip(1), ip(silent));
        a.link.send(&peer(silent), "into the dark".into());
    }
    a.link.send(&peer(2), "held back".into());
    b.link.send(&peer(1), "here I am".into());
    assert_eq!((a.next().await, b.next().await), (frame(2, "here I am"), frame(1, "held back")));
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    for _ in 11..19 {
        assert!(matches!(a.next().await, LinkEvent::Unreachable { refused: false, .. }));
    }
    tokio::time::sleep(Duration::from_secs(10)).await; // of paused time
    assert_eq!((a.dials(), b.dials()), (8, 1));
}

#[tokio::test(start_paused = true)]
async fn however_many_peers_are_silent_another_is_dialled_at_once() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = (start(&network, 1).await, start(&network, 2).await);
    for silent in 11..51 {
        network.partition(ip(1), ip(silent));
        a.link.send(&peer(silent), "into the dark".into());
    }
    for _ in 11..51 {
        assert!(matches!(a.next().await, LinkEvent::Unreachable { refused: false, .. }));
    }
    for silent in 11..51 {
        a.link.send(&peer(silent), "again".into());
    }
    // Some pauses are over then.
    while a.dials() == 40 {
        tokio::time::sleep(Duration::from_millis(10)).await; // of paused time
    }
    let began = Instant::now();
    a.link.send(&peer(2), "news".into());
    assert_eq!(b.next().await, frame(1, "news"));
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}
