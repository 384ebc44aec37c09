//! From what is known to what subscribers are told.

use std::sync::Arc;

use p2p_client::protocol::{NodeId, NodeInfo, NodeStatus};

use super::{super::MemberEvent, Engine, Output, Seat};

impl Engine {
    /// The status that a seat comes to, whatever was shown before.
    pub(super) fn status_of(&self, seat: &Seat) -> NodeStatus {
        let left = self
            .records
            .get(&seat.peer.node_id)
            .is_some_and(|record| record.left && record.announcement.epoch >= seat.peer.epoch);
        if self.is_expelled(&seat.peer.node_id) {
            return NodeStatus::Revoked;
        }
        match (left, seat.up, seat.suspected) {
            (true, ..) => NodeStatus::Left,
            (false, true, false) => NodeStatus::Alive,
            (false, true, true) => NodeStatus::Suspected,
            (false, false, _) => NodeStatus::Dead,
        }
    }

    /// Tells subscribers what has changed of a node. `updated`: its statement is a new one.
    pub(super) fn show(&mut self, node_id: &NodeId, updated: bool, out: &mut Vec<Output>) {
        let (Some(seat), Some(record)) = (self.seats.get(node_id), self.records.get(node_id)) else { return };
        let status = self.status_of(seat);
        let up = matches!(status, NodeStatus::Alive | NodeStatus::Suspected);
        let was_up = matches!(seat.shown, Some(NodeStatus::Alive | NodeStatus::Suspected));
        // A node that came back may host other services now: it is shown again once it has said so in its new life.
        if up && !was_up && record.announcement.epoch < seat.peer.epoch {
            return;
        }
        let info = with_status(&record.info, status);
        let event = |make: fn(Arc<NodeInfo>) -> MemberEvent, info: &Arc<NodeInfo>| Output::Event(make(Arc::clone(info)));
        match (seat.shown, status) {
            (Some(before), now) if before == now => {
                if updated && up {
                    out.push(event(MemberEvent::Updated, &info));
                }
                return;
            }
            // It was dead or gone before this node heard of it: nothing to tell.
            (None, NodeStatus::Dead | NodeStatus::Left | NodeStatus::Revoked) => return,
            (None | Some(NodeStatus::Left | NodeStatus::Revoked), NodeStatus::Alive) => {
                out.push(event(MemberEvent::Joined, &info));
            }
            (None | Some(NodeStatus::Left | NodeStatus::Revoked), NodeStatus::Suspected) => {
                let alive = with_status(&record.info, NodeStatus::Alive);
                out.push(event(MemberEvent::Joined, &alive));
                out.push(event(MemberEvent::Suspected, &info));
            }
            (Some(_), NodeStatus::Alive) => out.push(event(MemberEvent::Recovered, &info)),
            (Some(NodeStatus::Dead), NodeStatus::Suspected) => {
                let alive = with_status(&record.info, NodeStatus::Alive);
                out.push(event(MemberEvent::Recovered, &alive));
                out.push(event(MemberEvent::Suspected, &info));
            }
            (Some(_), NodeStatus::Suspected) => out.push(event(MemberEvent::Suspected, &info)),
            (Some(_), NodeStatus::Dead) => out.push(event(MemberEvent::Failed, &info)),
            (Some(_), NodeStatus::Left | NodeStatus::Revoked) => out.push(event(MemberEvent::Left, &info)),
        }
        if let Some(seat) = self.seats.get_mut(node_id) {
            seat.shown = Some(status);
        }
    }
}

/// A statement's own status is "alive", so that the usual case needs no copy.
fn with_status(info: &Arc<NodeInfo>, status: NodeStatus) -> Arc<NodeInfo> {
    if info.status == status { Arc::clone(info) } else { Arc::new(NodeInfo { status, ..NodeInfo::clone(info) }) }
}
