//! The membership of many nodes on a virtual clock: how fast they find each other and notice deaths, and what it costs.
//!
//! `cargo bench --bench membership_sim -- [NODES] [SEED]`; 1000 nodes unless said.

use std::time::{Duration, Instant};

use p2p_client::protocol::NodeStatus;
use p2p_runtime::network::{AttestError, Attestor, Engine, GossipState, Input, MemberEvent, MembershipConfig, Output, Setup};

#[path = "../src/network/simulation.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is the tests', which use more of it")]
mod simulation;

use simulation::{Condition, Sim};

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let nodes = usize::try_from(numbers.first().copied().unwrap_or(1000)).unwrap_or(1000).max(10);
    let mut sim = Sim::new(numbers.get(1).copied().unwrap_or(1));
    let sent = |sim: &Sim| sim.nodes.iter().map(|node| node.engine.counters().bytes_sent).sum::<u64>() / nodes as u64;
    let clock = Instant::now();

    let took = sim.cluster(nodes);
    println!("{nodes} nodes that join within 1 s: all see all after {took:.1?}, {} KB a node", sent(&sim) / 1000);

    sim.run_for(Duration::from_secs(30));
    let before = sent(&sim);
    let idle = 20;
    let at = sim.now;
    sim.run_for(Duration::from_secs(idle));
    let failed = sim.count_events(at, |event| matches!(event, MemberEvent::Failed(_)));
    println!("idle: {} B/s a node; {failed} needless failures", (sent(&sim) - before) / idle);

    let at = sim.now;
    let crashed = [nodes / 4, nodes / 2, nodes - 1];
    for index in crashed {
        sim.set_condition(index, Condition::Silent);
    }
    let known = sim.run_while(Duration::from_mins(1), |sim| !crashed.iter().all(|of| sim.all_see(*of, NodeStatus::Dead)));
    let mut times: Vec<Duration> = sim
        .nodes
        .iter()
        .flat_map(|node| &node.events)
        .filter(|(when, _)| *when >= at)
        .filter(|(_, event)| matches!(event, MemberEvent::Failed(_)))
        .map(|(when, _)| when.saturating_sub(at))
        .collect();
    times.sort_unstable();
    let half = times.get(times.len() / 2).copied().unwrap_or_default();
    println!("crash of 3: known to half after {half:.1?}, to all ({known}) after {:.1?}", sim.since(at));

    println!("{:.1?} of this machine's time", clock.elapsed());
}
