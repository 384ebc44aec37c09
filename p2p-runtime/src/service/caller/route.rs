//! Where calls go: targets, resolved against what this node hosts and against the membership's view.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use p2p_client::{
    call::{Failure, Head},
    protocol::{ErrorCode, Many, NodeId, NodeInfo, NodeStatus, One, RpcError, ServiceSummary},
    proxy::{Leg, Peer, Route},
};

use crate::network::HostingPeer;

use super::{super::choice::choose, NodeCaller, random, starting::not_told_yet};

impl NodeCaller {
    /// Whom one result is asked of, without regard to where this call came from.
    pub(super) fn choose(&self, head: &Head, one: &One) -> Result<Route, Failure> {
        let service = head.method.service();
        let here = || {
            self.here(head).ok_or_else(|| {
                let hosted = self.cx.registry().names().join(", ");
                no_route(format!("node {} does not host {service}; it hosts: {hosted}", self.cx.node_id()))
            })
        };
        match one {
            One::Any => match self.here(head) {
                Some(route) => Ok(route),
                None => self.best(head, "member", |_| true),
            },
            One::Node(id) if id == self.cx.node_id() => here(),
            One::Node(id) => self.named(head, id),
            One::NoSuchNode(text) => Err(no_route(format!("{text:?} is no node id; an id looks like \"worker-123\""))),
            One::Role(role) if *role == self.cx.role() && self.here(head).is_some() => here(),
            One::Role(role) => self.best(head, role.as_str(), |info| one.fits(info.into())),
            One::Capability(label) => {
                let fits = |info: &NodeInfo| one.fits(info.into());
                let mine = self.members().is_some_and(|members| members.get(self.cx.node_id()).is_some_and(|me| fits(me)));
                match self.here(head).filter(|_| mine) {
                    Some(route) => Ok(route),
                    None => self.best(head, &format!("node with the capability {label}"), fits),
                }
            }
        }
    }

    /// The object on this node, unless it was tried already.
    fn here(&self, head: &Head) -> Option<Route> {
        let hosted = self.cx.registry().get(head.method.service())?;
        (!head.tried.contains(self.cx.node_id())).then_some(Route::Here(hosted))
    }

    /// A node that was asked for by its id.
    fn named(&self, head: &Head, id: &NodeId) -> Result<Route, Failure> {
        let members = self.members().ok_or_else(not_yet)?;
        let Some((info, peer)) = members.peer(id) else {
            let known: Vec<_> = members.iter().map(|info| info.node_id.to_string()).collect();
            return Err(no_route(format!("no member is called {id}; the members are: {}", known.join(", "))));
        };
        if !info.is_callable() {
            let state = match info.status {
                NodeStatus::Left => "has left",
                NodeStatus::Revoked => "was revoked",
                _ => "is dead",
            };
            return Err(no_route(format!("node {id} {state}; calls go to members that are alive")));
        }
        if head.tried.contains(id) {
            return Err(no_route(format!("node {id} could not be reached")));
        }
        let service = head.method.service();
        let Some(hosted) = info.services.get(service) else {
            if info.is_starting() {
                return Err(not_told_yet(id));
            }
            let hosts: Vec<_> = info.services.keys().map(String::as_str).collect();
            return Err(no_route(format!("node {id} does not host {service}; it hosts: {}", hosts.join(", "))));
        };
        Ok(self.way(head, peer, hosted))
    }

    /// The best of the members that fit: those that are alive and well before all others, and of them the less busy one of two.
    fn best(&self, head: &Head, wanted: &str, fits: impl Fn(&NodeInfo) -> bool) -> Result<Route, Failure> {
        let members = self.members().ok_or_else(not_yet)?;
        let service = head.method.service();
        let fits = |info: &NodeInfo| !head.tried.contains(&info.node_id) && fits(info);
        let hosts = || members.other_hosts(service).iter().filter(|host| fits(&host.info));
        let well = || hosts().filter(|host| host.is_well);
        let turn = self.turn.fetch_add(1, Relaxed);
        let cost = |host: &&HostingPeer| self.loads.cost(&host.peer.node_id, head.began);
        let chosen = choose(well, turn, random, cost).or_else(|| choose(hosts, turn, random, cost));
        if let Some(host) = chosen
            && let Some(hosted) = host.info.services.get(service)
        {
            return Ok(self.way(head, &host.peer, hosted));
        }
        if let Some(starting) = self.starting(&members, fits) {
            return Err(not_told_yet(&starting.node_id));
        }
        Err(if self.is_known(service) {
            no_route(format!("no {wanted} that is alive hosts {service}"))
        } else {
            self.not_hosted(service)
        })
    }

    /// The way to a host: as it is where its version of the service is the caller's, or is known to understand the caller's calls.
    fn way(&self, head: &Head, peer: &Arc<Peer>, hosted: &ServiceSummary) -> Route {
        match head.method.spec().and_then(|spec| spec.descriptor) {
            Some(own) if own.fingerprint() != hosted.fingerprint => {
                if self.versions.is_as_it_is(own.fingerprint(), hosted.fingerprint, head.method.method()) {
                    Route::Peer(peer.clone())
                } else {
                    Route::Differing(peer.clone(), hosted.fingerprint)
                }
            }
            _ => Route::Peer(peer.clone()),
        }
    }

    fn is_known(&self, service: &str) -> bool {
        let by_members = self.members().is_some_and(|members| members.iter().any(|info| info.services.contains_key(service)));
        by_members || self.cx.registry().get(service).is_some()
    }

    fn not_hosted(&self, service: &str) -> Failure {
        let mut known = self.cx.registry().names();
        if let Some(members) = self.members() {
            known.extend(members.iter().filter(|info| info.is_callable()).flat_map(|info| info.services.keys().cloned()));
        }
        known.sort();
        known.dedup();
        let text = format!("no node of the cluster hosts a service {service:?}; there are: {}", known.join(", "));
        Failure::Answered(RpcError::new(ErrorCode::METHOD_NOT_FOUND, text))
    }

    pub(super) fn everyone(&self, head: &Head, many: &Many) -> Result<Vec<Leg>, Failure> {
        if let Many::Nodes(ids) = many {
            // Each once, however often it was named: a call is not to run twice.
            let ids: BTreeSet<&NodeId> = ids.iter().collect();
            let leg = |id: &NodeId| Leg { node_id: id.clone(), route: self.choose(head, &One::Node(id.clone())) };
            return Ok(ids.into_iter().map(leg).collect());
        }
        let members = self.members().ok_or_else(not_yet)?;
        let me = self.cx.node_id();
        let fits = |info: &NodeInfo| info.is_callable() && many.fits(info.into(), me);
        let service = head.method.service();
        let mut legs = Vec::new();
        for (info, peer) in members.peers().filter(|(info, _)| fits(info)) {
            let route = if info.node_id == *me {
                self.here(head)
            } else {
                info.services.get(service).map(|hosted| self.way(head, peer, hosted))
            };
            legs.extend(route.map(|route| Leg { node_id: info.node_id.clone(), route: Ok(route) }));
        }
        if legs.is_empty() && !self.is_known(service) {
            let starting = self.starting(&members, |info| many.fits(info.into(), me));
            return Err(starting.map_or_else(|| self.not_hosted(service), |starting| not_told_yet(&starting.node_id)));
        }
        Ok(legs)
    }
}

pub(super) fn no_route(text: String) -> Failure {
    Failure::NoRoute(text)
}

pub(super) fn not_yet() -> Failure {
    Failure::NotSent("the node is not part of the cluster yet; wait until it runs".to_owned())
}
