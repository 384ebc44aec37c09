//! [`Hosts`]: who hosts what, of one view of the cluster, as calls look for it.

use std::sync::Arc;

use p2p_client::{
    protocol::{NodeInfo, NodeStatus, ServiceHealth},
    wire::PeerRef,
};
use rustc_hash::FxHashMap;

/// A node that hosts a service and can be called.
#[derive(Debug)]
pub(crate) struct HostingPeer {
    /// What is known of it.
    pub(crate) info: Arc<NodeInfo>,
    /// How it is called.
    pub(crate) peer: Arc<PeerRef>,
    /// It is alive, and does not say of the service that it is unhealthy.
    pub(crate) is_well: bool,
}

/// The hosts of each service. It is made of a whole view at the first call after that changed: calls are many, and changes few.
#[derive(Debug)]
pub(super) struct Hosts(FxHashMap<Box<str>, Vec<HostingPeer>>);

impl Hosts {
    pub(super) fn of<'a>(members: impl Iterator<Item = (&'a Arc<NodeInfo>, &'a Arc<PeerRef>)>) -> Self {
        let mut hosts: FxHashMap<Box<str>, Vec<HostingPeer>> = FxHashMap::default();
        for (info, peer) in members.filter(|(info, _)| info.is_callable()) {
            for (service, summary) in &info.services {
                let is_well = info.status == NodeStatus::Alive && summary.health != ServiceHealth::Unhealthy;
                let host = HostingPeer { info: info.clone(), peer: peer.clone(), is_well };
                match hosts.get_mut(service.as_str()) {
                    Some(others) => others.push(host),
                    None => drop(hosts.insert(service.as_str().into(), vec![host])),
                }
            }
        }
        Self(hosts)
    }

    /// Those of a service, by id.
    pub(super) fn of_service(&self, service: &str) -> &[HostingPeer] {
        self.0.get(service).map_or(&[], Vec::as_slice)
    }
}
