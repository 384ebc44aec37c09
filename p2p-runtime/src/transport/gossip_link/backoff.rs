//! When a peer that could not be reached is dialled again: ever later, and not by all nodes at once.
//!
//! A dial that has timed out has cost both ends a part of a handshake. Where many nodes start at once on few processors, most of them time out, and whoever
//! repeated them at once would keep all others from getting through. That nobody listens is told at no cost, and is no reason to wait. Nothing here reads a
//! clock or makes a random number.

use std::{collections::HashMap, time::Duration};

use p2p_client::protocol::NodeId;
use tokio::time::Instant;

/// The pause after the first failure, about; each further one doubles it.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause, about: a peer that comes back without a word waits no longer.
const LONGEST: Duration = Duration::from_secs(4);
/// So long after its pause a peer's failures are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// Those that can be forgotten are looked for when so many more are known.
const SWEEP: usize = 256;

/// The peers that could not be reached.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    peers: HashMap<NodeId, Pause>,
    sweep_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    failures: u32,
    until: Instant,
}

impl Backoff {
    /// How long to wait before this peer is dialled.
    pub(super) fn wait(&self, peer: &NodeId, now: Instant) -> Duration {
        self.peers.get(peer).map_or(Duration::ZERO, |pause| pause.until.saturating_duration_since(now))
    }

    /// A dial has failed. `chance` is a random number from 0 to 1, which keeps nodes apart that started together.
    pub(super) fn failed(&mut self, peer: &NodeId, now: Instant, chance: f64) {
        self.sweep(now);
        let failures = self.peers.get(peer).filter(|pause| !pause.is_forgotten(now)).map_or(0, |pause| pause.failures);
        let pause = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST).mul_f64(0.5 + chance.clamp(0.0, 1.0));
        self.peers.insert(peer.clone(), Pause { failures: failures + 1, until: now + pause });
    }

    /// It was heard from it.
    pub(super) fn reached(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
    }

    /// A cluster that loses many nodes for good does not keep their names for ever.
    fn sweep(&mut self, now: Instant) {
        if self.peers.len() > self.sweep_at {
            self.peers.retain(|_, pause| !pause.is_forgotten(now));
            self.sweep_at = self.peers.len() + SWEEP;
        }
    }
}

impl Pause {
    fn is_forgotten(&self, now: Instant) -> bool {
        now >= self.until + FORGOTTEN
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet, VecDeque};

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn node(number: usize) -> NodeId {
        format!("n{number}").parse().unwrap()
    }

    #[test]
    fn each_failure_doubles_the_pause_up_to_a_limit_and_a_word_from_the_peer_ends_it() {
        let (mut backoff, now, peer) = (Backoff::default(), Instant::now(), node(1));
        assert_eq!(backoff.wait(&peer, now), Duration::ZERO, "who never failed is dialled at once");
        for pause in [500, 1000, 2000, 4000, 4000] {
            backoff.failed(&peer, now, 0.5);
            assert_eq!(backoff.wait(&peer, now), Duration::from_millis(pause));
        }
        assert_eq!(backoff.wait(&peer, now + Duration::from_secs(3)), Duration::from_secs(1));
        assert_eq!(backoff.wait(&node(2), now), Duration::ZERO, "nobody waits for another's sake");
        backoff.reached(&peer);
        assert_eq!(backoff.wait(&peer, now), Duration::ZERO);
    }

    #[test]
    fn nodes_that_failed_together_do_not_try_again_together_and_what_is_long_ago_is_forgotten() {
        let (mut backoff, now, peer) = (Backoff::default(), Instant::now(), node(1));
        backoff.failed(&peer, now, 0.0);
        assert_eq!(backoff.wait(&peer, now), FIRST / 2);
        let later = now + FIRST / 2 + FORGOTTEN;
        backoff.failed(&peer, later, 1.0);
        assert_eq!(backoff.wait(&peer, later), FIRST * 3 / 2, "it counts as the first one");
        for number in 0..10 * SWEEP {
            backoff.failed(&node(number), later + (FORGOTTEN + LONGEST * 2) * u32::try_from(number).unwrap(), 0.5);
        }
        assert!(backoff.peers.len() <= SWEEP + 2, "{}", backoff.peers.len());
    }

    const NODES: usize = 100;
    const PAIRS: usize = NODES * (NODES - 1) / 2;
    const TICK: Duration = Duration::from_millis(10);
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
    const HANDSHAKES_IN_A_TICK: f64 = 10.0;

    /// A hundred nodes that start at once on a machine that makes a thousand handshakes in a second, one after the other in the order in which they were begun.
    /// Each node has frames for thirty others in each tenth of a second. A dial that times out leaves `wasted` of a handshake's work behind.
    struct Storm {
        rng: StdRng,
        wasted: f64,
        now: Instant,
        backoffs: Option<Vec<Backoff>>,
        /// Which node dials which, since when; before it waits.
        dialling: HashMap<(usize, usize), Option<Instant>>,
        waiting: BTreeMap<(Instant, usize), (usize, usize)>,
        handshakes: VecDeque<(Instant, usize, usize)>,
        connected: HashSet<(usize, usize)>,
        dials: usize,
        serial: usize,
    }

    /// How often they dialled, and how long it took until all were connected; `None` where they were not within the time.
    fn start_together(with_pauses: bool, wasted: f64, seed: u64, within: Duration) -> (usize, Option<Duration>) {
        let start = Instant::now();
        let mut storm = Storm {
            rng: StdRng::seed_from_u64(seed),
            wasted,
            now: start,
            backoffs: with_pauses.then(|| (0..NODES).map(|_| Backoff::default()).collect()),
            dialling: HashMap::new(),
            waiting: BTreeMap::new(),
            handshakes: VecDeque::new(),
            connected: HashSet::new(),
            dials: 0,
            serial: 0,
        };
        for tick in 0.. {
            if storm.connected.len() == PAIRS {
                return (storm.dials, Some(storm.now - start));
            }
            if storm.now > start + within {
                break;
            }
            storm.time_out();
            for from in (0..NODES).filter(|from| (tick + from) % 10 == 0) {
                storm.send_frames(from);
            }
            storm.dial();
            storm.shake_hands();
            storm.now += TICK;
        }
        (storm.dials, None)
    }

    fn pair(a: usize, b: usize) -> (usize, usize) {
        (a.min(b), a.max(b))
    }

    impl Storm {
        fn time_out(&mut self) {
            let late =
                |(_, since): &(&(usize, usize), &Option<Instant>)| since.is_some_and(|at| self.now >= at + CONNECT_TIMEOUT);
            let mut late: Vec<_> = self.dialling.iter().filter(late).map(|(who, _)| *who).collect();
            late.sort_unstable();
            for (from, to) in late {
                self.dialling.remove(&(from, to));
                if let Some(backoffs) = &mut self.backoffs {
                    backoffs[from].failed(&node(to), self.now, self.rng.random_range(0.0..1.0));
                }
            }
        }

        fn send_frames(&mut self, from: usize) {
            for _ in 0..30 {
                let to = self.rng.random_range(0..NODES);
                if to == from || self.connected.contains(&pair(from, to)) || self.dialling.contains_key(&(from, to)) {
                    continue;
                }
                let pause = self.backoffs.as_ref().map_or(Duration::ZERO, |all| all[from].wait(&node(to), self.now));
                self.dialling.insert((from, to), None);
                self.serial += 1;
                self.waiting.insert((self.now + pause, self.serial), (from, to));
            }
        }

        fn dial(&mut self) {
            while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= self.now) {
                let (from, to) = first.remove();
                if self.connected.contains(&pair(from, to)) {
                    self.dialling.remove(&(from, to));
                    continue;
                }
                self.dialling.insert((from, to), Some(self.now));
                self.handshakes.push_back((self.now, from, to));
                self.dials += 1;
            }
        }

        fn shake_hands(&mut self) {
            let mut left = HANDSHAKES_IN_A_TICK;
            while left > 0.0
                && let Some((at, from, to)) = self.handshakes.pop_front()
            {
                if self.dialling.get(&(from, to)) != Some(&Some(at)) {
                    left -= self.wasted;
                    continue;
                }
                left -= 1.0;
                self.dialling.remove(&(from, to));
                self.connected.insert(pair(from, to));
                if let Some(backoffs) = &mut self.backoffs {
                    backoffs[from].reached(&node(to));
                    backoffs[to].reached(&node(from));
                }
            }
        }
    }

    #[test]
    fn a_hundred_nodes_that_start_at_once_on_few_processors_dial_less_often_and_are_connected_as_soon_or_at_all() {
        for seed in 0..2 {
            for (wasted, within) in [(0.1, Duration::from_mins(1)), (0.3, Duration::from_secs(30))] {
                let (at_once, without) = start_together(false, wasted, seed, within);
                let (dials, took) = start_together(true, wasted, seed, within);
                println!("{wasted} wasted: {at_once} dials in {without:?} without pauses, {dials} in {took:?} with them");
                let took = took.expect("all are connected");
                match without {
                    Some(without) => {
                        assert!(dials < at_once * 4 / 5, "{dials} of {at_once}");
                        assert!(took < without + Duration::from_secs(1), "{took:?} after {without:?}");
                    }
                    None => assert!(dials < at_once / 3, "{dials} of {at_once}, which connected them not even in {within:?}"),
                }
            }
        }
    }
}
