//! What a call costs that stays on its node: nanoseconds and allocations, next to calling the same method directly.
//!
//! `cargo run --release -p p2p-bench --bin local_call [calls a round]`
//!
//! All ways are run in turn, round after round, so that what the machine does beside them falls on all alike; the median round
//! counts. A local call is typed from end to end; it resolves its target, checks access, keeps a panic within the call, runs under a
//! deadline and is counted and timed, which takes two looks at the clock.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::BoxFuture;
use p2p_bench::{
    alloc::{Counting, allocations},
    stats::{median, table},
};
use p2p_client::{
    call::{Failure, Head, Sending},
    protocol::{CallerId, NodeId, One, Role},
    proxy::{Caller, Leg, Peer, Proxy, Route},
    service::{HostedService, Result},
};
use p2p_runtime::{service, service::Hosted};
use rustc_hash::FxHashMap;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A service of its own.
#[derive(Default)]
struct Tally(AtomicU64);

#[service(version = "1.0.0")]
impl Tally {
    /// Adds, and gives what there was before.
    #[service_method]
    async fn add(&self, n: u64) -> Result<u64> {
        Ok(self.0.fetch_add(n, Relaxed))
    }
}

/// A contract.
#[service(version = "1.0.0")]
trait Counter {
    /// Adds, and gives what there was before.
    async fn add(&self, n: u64) -> Result<u64>;
}

/// Its host.
#[derive(Default)]
struct AtomicCounter(AtomicU64);

#[service]
impl Counter for AtomicCounter {
    async fn add(&self, n: u64) -> Result<u64> {
        Ok(self.0.fetch_add(n, Relaxed))
    }
}

/// What a node resolves with, less the network: one look into a table that is replaced as a whole.
struct OneNode {
    node_id: NodeId,
    identity: CallerId,
    table: ArcSwap<FxHashMap<Box<str>, Arc<dyn HostedService>>>,
}

impl OneNode {
    fn new(services: impl IntoIterator<Item = Arc<dyn HostedService>>) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let node_id: NodeId = "bench".parse()?;
        let table = services.into_iter().map(|service| (service.spec().name.as_ref().into(), service)).collect();
        let identity = CallerId::Node { id: node_id.clone(), role: Role::Worker };
        Ok(Self { node_id, identity, table: ArcSwap::from_pointee(table) })
    }
}

impl Caller for OneNode {
    fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    fn identity(&self) -> &CallerId {
        &self.identity
    }

    fn here(&self, service: &str, _: &One) -> Option<Arc<dyn HostedService>> {
        self.table.load().get(service).cloned()
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        let hosted = self.table.load().get(head.method.service()).cloned();
        hosted
            .filter(|_| !head.tried.contains(&self.node_id))
            .map(Route::Here)
            .ok_or_else(|| Failure::NoRoute(head.method.service().to_owned()))
    }

    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure> {
        Ok(vec![Leg { node_id: self.node_id.clone(), route: self.resolve(head) }])
    }

    fn send<'a>(&'a self, _: &'a Head, to: &'a Peer, _: &'a [u8]) -> Sending<'a> {
        let failure = Failure::NoRoute(to.node_id.to_string());
        let sending: BoxFuture<'a, Result<Bytes, Failure>> = Box::pin(std::future::ready(Err(failure)));
        sending.into()
    }
}

const ROUNDS: usize = 25;

/// The rounds of one way to call.
struct Way {
    name: &'static str,
    nanos: Vec<f64>,
    allocations: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let calls: u32 = std::env::args().nth(1).map_or(Ok(200_000), |calls| calls.parse())?;
    let (tally, counter) = (Arc::new(Tally::default()), Arc::new(AtomicCounter::default()));
    let node = OneNode::new([tally.clone().host().service().clone(), counter.clone().host().service().clone()])?;
    let proxy = Proxy::new(Arc::new(node));
    let (tally_proxy, counter_proxy) = (proxy.tally(), proxy.counter());
    let object: Arc<dyn DynCounter> = counter.clone();

    let names = [
        "own: the method itself",
        "own: typed local call",
        "own: … with .timeout(…)",
        "own: … through proxy.tally() each time",
        "contract: the method itself, boxed",
        "contract: typed local call",
    ];
    let mut ways = names.map(|name| Way { name, nanos: Vec::new(), allocations: 0.0 });
    for round in 0..=ROUNDS {
        for (index, way) in ways.iter_mut().enumerate() {
            let (began, before) = (Instant::now(), allocations());
            for n in 0..u64::from(calls) {
                let n = black_box(n);
                let answer = match index {
                    0 => black_box(&tally).add(n).await.ok(),
                    1 => black_box(&tally_proxy).add(n).await.ok(),
                    2 => black_box(&tally_proxy).add(n).timeout(Duration::from_secs(2)).await.ok(),
                    3 => black_box(&proxy).tally().add(n).await.ok(),
                    4 => black_box(&object).add_boxed(n).await.ok(),
                    _ => black_box(&counter_proxy).add(n).await.ok(),
                };
                assert!(black_box(answer).is_some(), "{} failed", way.name);
            }
            let (nanos, allocated) = (began.elapsed().as_secs_f64() * 1e9, allocations() - before);
            // The first round warms up.
            if round > 0 {
                way.nanos.push(nanos / f64::from(calls));
                way.allocations = f64::from(u32::try_from(allocated)?) / f64::from(calls);
            }
        }
    }
    let clock = clock_read();
    println!("median of {ROUNDS} rounds of {calls} calls; one look at the clock takes {clock:.0} ns\n");
    println!("{}", table(&["", "ns", "best", "allocations", "of direct", "more ns"], &rows(&ways)));
    Ok(())
}

fn rows(ways: &[Way]) -> Vec<Vec<String>> {
    ways.iter()
        .enumerate()
        .map(|(index, way)| {
            let direct = median(&ways[if index < 4 { 0 } else { 4 }].nanos);
            let mid = median(&way.nanos);
            let best = way.nanos.iter().copied().fold(f64::INFINITY, f64::min);
            vec![
                way.name.to_owned(),
                format!("{mid:.1}"),
                format!("{best:.1}"),
                format!("{:.2}", way.allocations),
                format!("{:.1}×", mid / direct),
                format!("{:.1}", mid - direct),
            ]
        })
        .collect()
}

/// What a contract's method costs directly, held as contracts are held: behind `dyn`, its future in a box.
trait DynCounter: Send + Sync {
    fn add_boxed(&self, n: u64) -> BoxFuture<'_, Result<u64>>;
}

impl DynCounter for AtomicCounter {
    fn add_boxed(&self, n: u64) -> BoxFuture<'_, Result<u64>> {
        Box::pin(self.add(n))
    }
}

/// Nanoseconds of one look at the clock.
fn clock_read() -> f64 {
    let (began, reads) = (Instant::now(), 1_000_000_u32);
    for _ in 0..reads {
        black_box(Instant::now());
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(reads)
}
