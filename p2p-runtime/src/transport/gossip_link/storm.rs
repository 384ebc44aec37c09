//! A hundred nodes that start at once on few processors, on a virtual clock: how often they dial, and what becomes of it.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use p2p_client::{
    protocol::{ClusterId, Role},
    wire::net::Network,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Mutex as FairMutex,
    time::sleep_until,
};

use super::*;
use crate::transport::{MemoryHost, MemoryNetwork};

const NODES: u8 = 100;
const PAIRS: usize = NODES as usize * (NODES as usize - 1) / 2;
/// What all processors together take for a handshake, at both ends.
const HANDSHAKE: Duration = Duration::from_millis(1);
/// Each node has a frame for so many others in each tenth of a second.
const FRAMES: usize = 30;

/// The processors that all nodes share: they make one handshake after the other, in the order in which they were begun.
struct Processors {
    busy_until: FairMutex<Instant>,
    /// The work on handshakes that were given up, in microseconds.
    in_vain: AtomicU64,
    /// Of a handshake that is given up, this part of the work was done.
    wasted: f64,
}

/// A handshake that was begun. Unless it ends, it was given up.
struct Begun<'a>(&'a Processors, bool);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.in_vain.fetch_add(u64::try_from(HANDSHAKE.mul_f64(self.0.wasted).as_micros()).unwrap(), Relaxed);
        }
    }
}

impl Processors {
    async fn shake_hands(&self) {
        let mut begun = Begun(self, false);
        let mut busy_until = self.busy_until.lock().await;
        let in_vain = Duration::from_micros(self.in_vain.swap(0, Relaxed));
        *busy_until = (*busy_until).max(Instant::now()) + HANDSHAKE + in_vain;
        sleep_until(*busy_until).await;
        begun.1 = true;
    }
}

/// What became of dials.
#[derive(Debug, Default)]
struct Tally {
    connected: HashSet<(u8, u8)>,
    dials: usize,
    /// Both dialled each other.
    crossed: usize,
    timed_out: usize,
}

/// Also where a test has failed: what then ends is still counted.
fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Dials over the shared processors, and counts.
struct Counting {
    host: MemoryHost,
    me: u8,
    processors: Arc<Processors>,
    tally: Arc<Mutex<Tally>>,
}

/// A dial that runs. Unless it ends, it has timed out.
struct Running<'a>(&'a Mutex<Tally>, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.1 {
            locked(self.0).timed_out += 1;
        }
    }
}

impl GossipDial for Counting {
    fn dial<'a>(&'a self, authority: &'a str, _: Option<&'a NodeId>) -> BoxFuture<'a, Result<(NodeId, BoxStream), DialError>> {
        Box::pin(async move {
            let mut running = Running(&self.tally, false);
            locked(&self.tally).dials += 1;
            self.processors.shake_hands().await;
            let failed = |error| DialError::network(authority, error);
            let mut stream = self.host.connect(authority).await.map_err(failed)?;
            stream.write_u8(self.me).await.map_err(failed)?;
            let there = stream.read_u8().await.map_err(failed)?;
            running.1 = true;
            let mut tally = locked(&self.tally);
            if !tally.connected.insert(pair(self.me, there)) {
                tally.crossed += 1;
            }
            Ok((id(there), stream))
        })
    }
}

fn pair(a: u8, b: u8) -> (u8, u8) {
    (a.min(b), a.max(b))
}

fn id(number: u8) -> NodeId {
    format!("n{number}").parse().unwrap()
}

fn authority(number: u8) -> String {
    format!("10.0.0.{number}:7000")
}

/// A node that has nothing but a link, and reads what comes.
async fn start(network: &MemoryNetwork, me: u8, processors: Arc<Processors>, tally: Arc<Mutex<Tally>>) -> GossipLink {
    let host = network.host([10, 0, 0, me]);
    let mut listener = host.listen(authority(me).parse().unwrap()).await.unwrap();
    let (sender, mut events) = mpsc::channel(1024);
    let link = GossipLink::new(Arc::new(Counting { host, me, processors, tally }), sender, GossipLinkConfig::default());
    let accepting = link.clone();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let link = accepting.clone();
            tokio::spawn(async move {
                let Ok(from) = stream.read_u8().await else { return };
                if stream.write_u8(me).await.is_ok() {
                    let cluster = ClusterId::from_root_key_hash(&[1; 32]);
                    link.accept(PeerIdentity { node_id: id(from), role: Role::Worker, cluster }, stream).await;
                }
            });
        }
    });
    link
}

/// What the nodes did until all were connected with all, and how long that took.
async fn start_together(wasted: f64, seed: u64) -> (Tally, Duration) {
    let (network, began) = (MemoryNetwork::new(), Instant::now());
    let processors = Arc::new(Processors { busy_until: FairMutex::new(began), in_vain: AtomicU64::new(0), wasted });
    let tally: Arc<Mutex<Tally>> = Arc::default();
    let mut links = Vec::new();
    for me in 0..NODES {
        links.push(start(&network, me, processors.clone(), tally.clone()).await);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    for tick in 0.. {
        for from in (0..NODES).filter(|from| (tick + usize::from(*from)) % 10 == 0) {
            for _ in 0..FRAMES {
                let to = rng.random_range(0..NODES);
                // Those that are connected have their frames, too; these cost no dial, and are left out.
                if to != from && !locked(&tally).connected.contains(&pair(from, to)) {
                    links[usize::from(from)].send(&PeerRef { node_id: id(to), authority: authority(to).into() }, "news".into());
                }
            }
        }
        let connected = locked(&tally).connected.len();
        if connected == PAIRS {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{connected} of {PAIRS} are connected after a minute");
        sleep(Duration::from_millis(10)).await; // of paused time
    }
    let took = began.elapsed();
    (std::mem::take(&mut *locked(&tally)), took)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_nodes_that_start_at_once_on_few_processors_dial_hardly_more_often_than_there_are_pairs() {
    for wasted in [0.1, 0.3] {
        let (Tally { dials, crossed, timed_out, .. }, took) = start_together(wasted, 1).await;
        println!("{wasted} wasted: {dials} dials for {PAIRS} pairs, {crossed} crossed, {timed_out} timed out; {took:?}");
        assert!(dials < PAIRS * 3 / 2, "{dials} dials, {crossed} crossed, {timed_out} timed out");
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
}
