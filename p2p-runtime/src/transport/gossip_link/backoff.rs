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

    /// Whether this peer could not be reached lately.
    pub(super) fn is_silent(&self, peer: &NodeId, now: Instant) -> bool {
        self.peers.get(peer).is_some_and(|pause| !pause.is_forgotten(now))
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
}
