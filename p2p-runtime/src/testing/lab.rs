//! [`Lab`]: the ground that a test cluster stands on, on which its nodes find each other and can be parted and killed.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use p2p_client::wire::net::Network;

use crate::{identity::ChallengeResponder, transport::MemoryNetwork};

/// The number of a node in its cluster, by which its ground knows it.
pub(super) type Place = u8;

/// Networks for the nodes of one cluster, and their faults.
pub(super) trait Lab: Send + Sync + 'static {
    /// The network as the node there has it. After a [`kill`](Self::kill), a fresh one.
    fn network(&self, place: Place) -> Arc<dyn Network>;

    /// The address of the node there.
    fn ip(&self, place: Place) -> IpAddr;

    /// Where it listens, where that is to be said.
    fn listen(&self, place: Place) -> Option<SocketAddr>;

    /// What answers the coordinator's challenge for the node there.
    fn responder(&self, place: Place) -> ChallengeResponder;

    /// Parts two nodes, or ends that.
    fn set_parted(&self, a: Place, b: Place, parted: bool);

    /// Breaks all connections of a node and takes its network away.
    fn kill(&self, place: Place);
}

impl Lab for MemoryNetwork {
    fn network(&self, place: Place) -> Arc<dyn Network> {
        Arc::new(self.host(self.ip(place)))
    }

    fn ip(&self, place: Place) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, place.saturating_add(1)))
    }

    fn listen(&self, _: Place) -> Option<SocketAddr> {
        None
    }

    fn responder(&self, place: Place) -> ChallengeResponder {
        ChallengeResponder::new(self.network(place))
    }

    fn set_parted(&self, a: Place, b: Place, parted: bool) {
        let (a, b) = (self.ip(a), self.ip(b));
        if parted { self.partition(a, b) } else { self.heal(a, b) }
    }

    fn kill(&self, place: Place) {
        MemoryNetwork::kill(self, self.ip(place));
    }
}
