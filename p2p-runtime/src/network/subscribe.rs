//! Handing changes to subscribers so that nothing is missed.
//!
//! The snapshot is replaced and the event sent under one lock, and a subscription takes both under the same lock: an event is either
//! in the first snapshot or in the stream, never in neither. A subscriber that falls too far behind is led to the present by
//! comparing what it was told with what is so; what happened and passed meanwhile is left out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, Guard};
use p2p_client::protocol::{NodeId, NodeInfo};
use tokio::sync::broadcast;

use super::{MemberEvent, Members};

/// Events that a slow subscriber may have waiting.
const WAITING: usize = 1024;

/// The present view, and those who follow it.
#[derive(Debug)]
pub(super) struct Board {
    members: ArcSwap<Members>,
    events: Mutex<Option<broadcast::Sender<MemberEvent>>>,
}

impl Board {
    pub(super) fn new(members: Members) -> Self {
        let (events, _) = broadcast::channel(WAITING);
        Self { members: ArcSwap::from_pointee(members), events: Mutex::new(Some(events)) }
    }

    pub(super) fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// The same, for a short look: nothing is counted.
    pub(super) fn look(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    pub(super) fn publish(&self, events: Vec<MemberEvent>, forgotten: &[NodeId]) {
        let sender = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut members = Members::clone(&self.members.load());
        for event in &events {
            members.put(Arc::clone(event.info()));
            members.heard(event.node_id());
        }
        for node_id in forgotten {
            members.forget(node_id);
        }
        self.members.store(Arc::new(members));
        if let Some(sender) = sender.as_ref() {
            for event in events {
                // Without subscribers there is nobody to tell.
                let _nobody = sender.send(event);
            }
        }
    }

    /// Ends every stream once what waits in it was read.
    pub(super) fn close(&self) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn subscribe(self: &Arc<Self>) -> (Arc<Members>, EventStream) {
        let (members, events) = self.join();
        let told = members.iter().map(|info| (info.node_id.clone(), Arc::clone(info))).collect();
        (members, EventStream { board: Arc::clone(self), events, told, waiting: VecDeque::new() })
    }

    fn join(&self) -> (Arc<Members>, Option<broadcast::Receiver<MemberEvent>>) {
        let sender = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        (self.members.load_full(), sender.as_ref().map(broadcast::Sender::subscribe))
    }
}

/// The changes after a snapshot, in their order.
#[derive(Debug)]
pub struct EventStream {
    board: Arc<Board>,
    events: Option<broadcast::Receiver<MemberEvent>>,
    told: BTreeMap<NodeId, Arc<NodeInfo>>,
    waiting: VecDeque<MemberEvent>,
}

impl EventStream {
    /// The next change; `None` once the node's membership has stopped. Cancelling a waiting call loses nothing.
    pub async fn next(&mut self) -> Option<MemberEvent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.told.insert(event.node_id().clone(), Arc::clone(event.info()));
                return Some(event);
            }
            match self.events.as_mut()?.recv().await {
                Ok(event) => self.waiting.push_back(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let (members, events) = self.board.join();
                    self.waiting = members.since(&self.told).into();
                    self.events = events;
                }
                Err(broadcast::error::RecvError::Closed) => self.events = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, port: u16) -> Arc<NodeInfo> {
        let text = format!(r#"{{"node_id":"{name}","address":"h","port":{port},"role":"worker"}}"#);
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    #[tokio::test]
    async fn an_event_is_in_the_snapshot_or_in_the_stream() {
        let board = Arc::new(Board::new(Members::alone(info("me", 1))));
        board.publish(vec![MemberEvent::Joined(info("a", 1))], &[]);
        let (members, mut events) = board.subscribe();
        board.publish(vec![MemberEvent::Joined(info("b", 1))], &[]);
        board.close();
        assert_eq!(members.len(), 2);
        assert_eq!(events.next().await, Some(MemberEvent::Joined(info("b", 1))));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_still_learns_how_things_are() {
        let board = Arc::new(Board::new(Members::alone(info("me", 1))));
        let (_, mut events) = board.subscribe();
        board.publish(vec![MemberEvent::Joined(info("a", 0))], &[]);
        let last = u16::try_from(WAITING).unwrap() * 2;
        for port in 1..=last {
            board.publish(vec![MemberEvent::Updated(info("a", port))], &[]);
        }
        assert_eq!(events.next().await, Some(MemberEvent::Joined(info("a", last))));
        board.publish(vec![MemberEvent::Failed(info("a", 5))], &[]);
        assert_eq!(events.next().await, Some(MemberEvent::Failed(info("a", 5))));
    }
}
