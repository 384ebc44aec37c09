//! The view of the cluster at one moment.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use p2p_client::{
    protocol::{Capability, NodeId, NodeInfo, NodeStatus, Role, UnixMillis},
    wire::PeerRef,
};

use super::{
    MemberEvent,
    hosts::{HostingPeer, Hosts},
};

/// Everybody that a node knows of, itself included, at one moment. Getting it costs one atomic load; it never changes.
///
/// Dead and left nodes stay in it until they are forgotten (24 hours by default), with that status.
#[derive(Debug, Clone)]
pub struct Members {
    me: NodeId,
    by_id: BTreeMap<NodeId, Member>,
    /// Made when it is first asked for.
    hosts: OnceLock<Arc<Hosts>>,
}

#[derive(Debug, Clone)]
struct Member {
    info: Arc<NodeInfo>,
    /// How it is called, made once: every call asks for it.
    peer: Arc<PeerRef>,
    /// Shared by all snapshots, so that hearing from a node does not make a new one.
    heard: Arc<AtomicU64>,
}

impl Members {
    pub(super) fn alone(me: Arc<NodeInfo>) -> Self {
        let mut members = Self { me: me.node_id.clone(), by_id: BTreeMap::new(), hosts: OnceLock::new() };
        members.put(me);
        members
    }

    /// The node whose view this is.
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// What is known of a node. Its `last_seen` is not kept up to date here; see [`last_seen`](Self::last_seen).
    pub fn get(&self, node_id: &NodeId) -> Option<&Arc<NodeInfo>> {
        self.by_id.get(node_id).map(|member| &member.info)
    }

    /// What is known of a node, and how it is called.
    pub(crate) fn peer(&self, node_id: &NodeId) -> Option<(&Arc<NodeInfo>, &Arc<PeerRef>)> {
        self.by_id.get(node_id).map(|member| (&member.info, &member.peer))
    }

    /// Everybody, with how they are called.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&Arc<NodeInfo>, &Arc<PeerRef>)> {
        self.by_id.values().map(|member| (&member.info, &member.peer))
    }

    /// Those that host a service and can be called, but this node.
    pub(crate) fn other_hosts(&self, service: &str) -> &[HostingPeer] {
        let others = || self.peers().filter(|(info, _)| info.node_id != self.me);
        self.hosts.get_or_init(|| Arc::new(Hosts::of(others()))).of_service(service)
    }

    /// When this node last heard from another, directly or by an event about it; for itself, now.
    pub fn last_seen(&self, node_id: &NodeId) -> Option<UnixMillis> {
        if *node_id == self.me {
            return Some(UnixMillis::now());
        }
        self.by_id.get(node_id).map(|member| UnixMillis(member.heard.load(Ordering::Relaxed)))
    }

    /// Everybody, by id, whatever their status.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<NodeInfo>> {
        self.by_id.values().map(|member| &member.info)
    }

    /// Everybody, by id, each with its `last_seen`: for showing.
    pub fn list(&self) -> Vec<NodeInfo> {
        let seen = |info: &Arc<NodeInfo>| self.last_seen(&info.node_id).unwrap_or_default();
        self.iter().map(|info| NodeInfo { last_seen: seen(info), ..NodeInfo::clone(info) }).collect()
    }

    /// Those that are alive and not suspected.
    pub fn alive(&self) -> impl Iterator<Item = &Arc<NodeInfo>> {
        self.iter().filter(|info| info.status == NodeStatus::Alive)
    }

    /// Those of a role that can be called.
    pub fn by_role(&self, role: Role) -> impl Iterator<Item = &Arc<NodeInfo>> {
        self.iter().filter(move |info| info.role == role && info.is_callable())
    }

    /// Those with a capability that can be called.
    pub fn by_capability<'a>(&'a self, capability: &'a Capability) -> impl Iterator<Item = &'a Arc<NodeInfo>> {
        self.iter().filter(move |info| info.capabilities.contains(capability) && info.is_callable())
    }

    /// Those that host a service, by its name, and can be called.
    pub fn hosting<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Arc<NodeInfo>> {
        self.iter().filter(move |info| info.services.contains_key(service) && info.is_callable())
    }

    /// How many nodes are known, whatever their status.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody is known. It never is so: a node knows itself.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn put(&mut self, info: Arc<NodeInfo>) {
        self.hosts.take();
        let heard = self.by_id.get(&info.node_id).map_or_else(Arc::default, |member| Arc::clone(&member.heard));
        let peer = Arc::new(PeerRef { node_id: info.node_id.clone(), authority: info.authority().into() });
        self.by_id.insert(info.node_id.clone(), Member { info, peer, heard });
    }

    pub(super) fn heard(&self, node_id: &NodeId) {
        if let Some(member) = self.by_id.get(node_id) {
            member.heard.store(UnixMillis::now().0, Ordering::Relaxed);
        }
    }

    pub(super) fn forget(&mut self, node_id: &NodeId) {
        self.hosts.take();
        self.by_id.remove(node_id);
    }

    /// The events that lead from an earlier view to this one, without what happened and passed in between.
    pub(super) fn since(&self, earlier: &BTreeMap<NodeId, Arc<NodeInfo>>) -> Vec<MemberEvent> {
        let mut events = Vec::new();
        for info in self.iter() {
            let before = earlier.get(&info.node_id);
            if before.is_some_and(|before| Arc::ptr_eq(before, info) || **before == **info) {
                continue;
            }
            let make = match (before.map(|before| before.status), info.status) {
                (Some(before), now) if before == now => MemberEvent::Updated,
                (None | Some(NodeStatus::Left | NodeStatus::Revoked), NodeStatus::Alive) => MemberEvent::Joined,
                (Some(_), NodeStatus::Alive) => MemberEvent::Recovered,
                (_, NodeStatus::Suspected) => MemberEvent::Suspected,
                (_, NodeStatus::Dead) => MemberEvent::Failed,
                (_, NodeStatus::Left | NodeStatus::Revoked) => MemberEvent::Left,
            };
            if before.is_none() && make(Arc::clone(info)) != MemberEvent::Joined(Arc::clone(info)) {
                events.push(MemberEvent::Joined(Arc::new(NodeInfo { status: NodeStatus::Alive, ..NodeInfo::clone(info) })));
            }
            events.push(make(Arc::clone(info)));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, role: Role, status: NodeStatus) -> Arc<NodeInfo> {
        let text = format!(
            r#"{{"node_id":"{name}","address":"10.0.0.1","port":1,"role":"{role}","capabilities":["gpu"],
               "services":{{"greeter":{{"version":"1.0.0","fingerprint":"{}"}}}}}}"#,
            "00".repeat(16)
        );
        let info: NodeInfo = serde_json::from_str(&text).unwrap();
        Arc::new(NodeInfo { status, ..info })
    }

    #[test]
    fn members_are_found_by_what_they_are_and_only_if_they_can_be_called() {
        let mut members = Members::alone(info("a", Role::Coordinator, NodeStatus::Alive));
        members.put(info("b", Role::Worker, NodeStatus::Suspected));
        members.put(info("c", Role::Worker, NodeStatus::Dead));
        let names = |found: Vec<&Arc<NodeInfo>>| found.iter().map(|info| info.node_id.to_string()).collect::<Vec<_>>();
        assert_eq!(names(members.iter().collect()), ["a", "b", "c"]);
        assert_eq!(names(members.alive().collect()), ["a"]);
        assert_eq!(names(members.by_role(Role::Worker).collect()), ["b"]);
        assert_eq!(names(members.by_capability(&"gpu".into()).collect()), ["a", "b"]);
        assert_eq!(names(members.hosting("greeter").collect()), ["a", "b"]);
        assert_eq!(names(members.hosting("other").collect()), [""; 0]);
        assert!(members.last_seen(members.me()).unwrap() > UnixMillis(0));
    }

    #[test]
    fn the_hosts_of_a_service_are_those_of_the_view_as_it_is() {
        let mut members = Members::alone(info("a", Role::Coordinator, NodeStatus::Alive));
        let hosts = |members: &Members| {
            let hosts = members.other_hosts("greeter").iter();
            hosts.map(|host| (host.info.node_id.to_string(), host.is_well)).collect::<Vec<_>>()
        };
        assert_eq!(hosts(&members), [], "a node is none of its others");
        members.put(info("b", Role::Worker, NodeStatus::Suspected));
        members.put(info("c", Role::Worker, NodeStatus::Alive));
        assert_eq!(hosts(&members), [("b".to_owned(), false), ("c".to_owned(), true)]);
        let earlier = members.clone();
        members.put(info("c", Role::Worker, NodeStatus::Dead));
        assert_eq!(hosts(&members), [("b".to_owned(), false)]);
        members.forget(&"b".parse().unwrap());
        assert_eq!(hosts(&members), []);
        assert_eq!(hosts(&earlier).len(), 2, "a view does not change");
        assert!(members.other_hosts("other").is_empty());
    }

    #[test]
    fn a_subscriber_that_fell_behind_is_led_to_the_present_view() {
        let me = info("a", Role::Coordinator, NodeStatus::Alive);
        let mut members = Members::alone(Arc::clone(&me));
        let earlier: BTreeMap<_, _> = [(me.node_id.clone(), me), {
            let info = info("b", Role::Worker, NodeStatus::Alive);
            (info.node_id.clone(), info)
        }]
        .into();
        let (b, c, d) = (
            info("b", Role::Worker, NodeStatus::Dead),
            info("c", Role::Worker, NodeStatus::Alive),
            info("d", Role::Worker, NodeStatus::Left),
        );
        for info in [&b, &c, &d] {
            members.put(Arc::clone(info));
        }
        let d_alive = info("d", Role::Worker, NodeStatus::Alive);
        assert_eq!(
            members.since(&earlier),
            [MemberEvent::Failed(b), MemberEvent::Joined(c), MemberEvent::Joined(d_alive), MemberEvent::Left(d)]
        );
    }
}
