//! [`Loads`]: how busy each peer is, as seen from this node.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use p2p_client::{
    call::{PeerLoad, UnderWay},
    protocol::NodeId,
};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// The load of every peer that was called. Reading it takes no lock; it is written when a peer is called for the first time.
#[derive(Default)]
pub(super) struct Loads(ArcSwap<FxHashMap<NodeId, Arc<PeerLoad>>>);

impl Loads {
    /// What the next call to a peer would cost, to be compared with the same of others.
    pub(super) fn cost(&self, peer: &NodeId, now: Instant) -> u64 {
        self.0.load().get(peer).map_or(PeerLoad::COST_OF_THE_UNKNOWN, |load| load.cost(now))
    }

    /// Counts a call that begins. `is_member` tells which of the others are still worth remembering.
    pub(super) fn begin(&self, peer: &NodeId, now: Instant, is_member: impl Fn(&NodeId) -> bool) -> UnderWay {
        let known = self.0.load().get(peer).cloned();
        UnderWay::new(known.unwrap_or_else(|| self.add(peer, now, is_member)), now)
    }

    fn add(&self, peer: &NodeId, now: Instant, is_member: impl Fn(&NodeId) -> bool) -> Arc<PeerLoad> {
        let fresh = Arc::new(PeerLoad::new(now));
        let mut load = fresh.clone();
        self.0.rcu(|loads| {
            let mut loads = FxHashMap::clone(loads);
            loads.retain(|peer, _| is_member(peer));
            // Somebody else may have been first.
            load = loads.entry(peer.clone()).or_insert_with(|| fresh.clone()).clone();
            loads
        });
        load
    }
}

impl fmt::Debug for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.load().iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_no_member_any_more_is_forgotten_when_another_is_called_for_the_first_time() {
        let (loads, now) = (Loads::default(), Instant::now());
        let id = |name: &str| name.parse::<NodeId>().unwrap();
        let _one = loads.begin(&id("one"), now, |_| true);
        let two = loads.begin(&id("two"), now, |_| true);
        let busy = 2 * PeerLoad::COST_OF_THE_UNKNOWN;
        assert_eq!((loads.cost(&id("one"), now), loads.cost(&id("two"), now)), (busy, busy));
        drop(two);
        assert_eq!(loads.cost(&id("two"), now), PeerLoad::COST_OF_THE_UNKNOWN);
        let _three = loads.begin(&id("three"), now, |peer| peer.as_str() != "one");
        assert_eq!(loads.cost(&id("one"), now), PeerLoad::COST_OF_THE_UNKNOWN);
        assert_eq!(loads.cost(&id("three"), now), busy);
    }
}
