//! Where frames that came in wait for membership: bounded in bytes, of each connection and of all together.
//!
//! A connection whose share is used up is read no further until membership has looked at what came by it. So whoever sends more than is
//! looked at waits himself, and others' frames wait for no more than his share.

use std::sync::Arc;

use bytes::Bytes;
use p2p_client::protocol::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::network::link::LinkEvent;

/// How many bytes may wait of one connection.
pub(super) const SHARE: usize = 1024 * 1024;
/// How many may wait of all together.
const ALL: usize = 64 * 1024 * 1024;
/// What a frame counts at least: a small one may take long to look at, too.
const LEAST: usize = 4 * 1024;

/// The way to membership.
pub(super) struct Intake {
    events: mpsc::Sender<LinkEvent>,
    room: Arc<Semaphore>,
}

/// A connection's share of it.
pub(super) struct Share<'a> {
    intake: &'a Intake,
    room: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(events: mpsc::Sender<LinkEvent>) -> Self {
        Self { events, room: Arc::new(Semaphore::new(ALL)) }
    }

    /// For one connection.
    pub(super) fn share(&self) -> Share<'_> {
        Share { intake: self, room: Arc::new(Semaphore::new(SHARE)) }
    }

    /// Reports that a peer cannot be reached.
    pub(super) async fn unreachable(&self, node_id: NodeId, refused: bool) {
        // Whoever listened may be gone; then there is nobody to tell.
        let _ = self.events.send(LinkEvent::Unreachable { node_id, refused }).await;
    }
}

impl Share<'_> {
    /// Hands a frame on once there is room for it. Says whether anybody takes frames.
    pub(super) async fn put(&self, from: &NodeId, frame: Bytes) -> bool {
        let size = u32::try_from(frame.len().clamp(LEAST, SHARE)).unwrap_or(u32::MAX);
        let Ok(own) = self.room.clone().acquire_many_owned(size).await else { return false };
        let Ok(all) = self.intake.room.clone().acquire_many_owned(size).await else { return false };
        let frame = Bytes::from_owner(Waiting { frame, _room: [own, all] });
        self.intake.events.send(LinkEvent::Frame { from: from.clone(), frame }).await.is_ok()
    }
}

/// A frame that takes up room until it was looked at.
struct Waiting {
    frame: Bytes,
    _room: [OwnedSemaphorePermit; 2],
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}
