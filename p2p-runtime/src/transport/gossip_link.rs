//! Carries membership frames between nodes, on connections of their own, so that they never wait behind calls.
//!
//! A frame goes from [`FrameLink::send`] into the outbox of the peer's *lane*, a connection in either direction: the one that
//! this node opened, or one that the peer opened and that answers may use. A lane's task writes what waits in its outbox,
//! together, and reads frames, which become [`LinkEvent::Frame`] under the name in the peer's certificate. At most
//! [`GossipLinkConfig::max_peers`] own connections are kept; the least recently used one makes room.
//!
//! Whoever receives frames and has none to send answers with an empty frame. So a connection that carries nothing any more
//! (a dead or parted peer) is noticed within [`GossipLinkConfig::silence`], not when TCP gives up, and the first frame after
//! a partition does not wait for TCP's retransmission. A connection that broke is opened again at once; if that fails too, the peer
//! is reported as [`LinkEvent::Unreachable`].
//!
//! Only [so many](pace) peers are dialled at a time, and after a dial that has timed out the next one comes [later and later](backoff).
//! Frames for the peer wait meanwhile, or go to it as soon as it comes by itself.

mod backoff;
mod dial;
mod frames;
mod intake;
mod lane;
mod lanes;
mod pace;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use p2p_client::{
    protocol::NodeId,
    wire::{
        dial::DialError,
        net::BoxStream,
        tls::{PeerIdentity, TlsError},
    },
};
use rand::RngExt;
use tokio::{
    sync::mpsc,
    time::{Instant, error::Elapsed, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use backoff::Backoff;
pub use dial::{GossipDial, TlsGossipDial};
use intake::Intake;
use lane::{Ended, Outbox, pump};
use lanes::{Lanes, Target};
use pace::{Pace, Turn};

use super::listener::GossipAcceptor;
use crate::network::link::{FrameLink, LinkEvent, MAX_FRAME, PeerRef};

/// A peer that lets connections die younger than this, this many times in a row, is not connected again at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const MAX_SHORT_LIVES: u32 = 3;
/// How often a person is told of what only a person can mend.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Bounds of a [`GossipLink`].
#[derive(Debug, Clone)]
pub struct GossipLinkConfig {
    /// The most connections that this node keeps open itself. Default: 128, as many as are told at once what is revoked here.
    pub max_peers: usize,
    /// The largest frame, in bytes. Default: [`MAX_FRAME`], the largest that membership reads.
    pub max_frame: usize,
    /// How many frames wait for a peer; the oldest is dropped for a new one beyond that. Default: 256.
    pub max_waiting: usize,
    /// The time for connecting, with TLS. Default: 1 s.
    pub connect_timeout: Duration,
    /// The time in which the system has to take 64 KiB of frames. Default: 2 s.
    pub write_timeout: Duration,
    /// How long a peer may be silent after frames were written to it. Default: 3 s.
    pub silence: Duration,
    /// How long an unused connection is kept. Default: 60 s.
    pub idle: Duration,
    /// The most connections that one peer may keep to this node; the oldest is closed for a new one. Default: 4.
    pub max_inbound: usize,
}

impl Default for GossipLinkConfig {
    fn default() -> Self {
        Self {
            max_peers: 128,
            max_frame: MAX_FRAME,
            max_waiting: 256,
            connect_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(2),
            silence: Duration::from_secs(3),
            idle: Duration::from_mins(1),
            max_inbound: 4,
        }
    }
}

/// The connections of membership. Cheap to clone; clones share the connections.
///
/// It is both ends: a [`FrameLink`] to send with, and the [`GossipAcceptor`] of the listener.
#[derive(Clone)]
pub struct GossipLink {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Arc<dyn GossipDial>,
    intake: Intake,
    config: GossipLinkConfig,
    lanes: Lanes,
    backoff: Mutex<Backoff>,
    pace: Pace,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// When it was last said that a member has another root.
    told: Mutex<Option<Instant>>,
}

impl GossipLink {
    /// Carries frames over connections of this dialler, and reports to `events`. Use it inside a tokio runtime.
    pub fn new(dial: Arc<dyn GossipDial>, events: mpsc::Sender<LinkEvent>, config: GossipLinkConfig) -> Self {
        let lanes = Lanes::new(config.max_peers, config.max_waiting);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (backoff, told) = (Mutex::default(), Mutex::default());
        let intake = Intake::new(events);
        Self { inner: Arc::new(Inner { dial, intake, config, lanes, backoff, pace: Pace::new(), stop, tasks, told }) }
    }

    /// Writes what waits, within `grace`, and closes every connection. Frames sent afterwards are dropped.
    pub async fn close(&self, grace: Duration) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        if timeout(grace, self.inner.tasks.wait()).await.is_err() {
            tracing::debug!(connections = self.inner.tasks.len(), "membership connections cut before all frames were written");
        }
    }

    fn send_to(&self, target: Target, frame: Bytes) {
        let inner = &self.inner;
        if inner.stop.is_cancelled() {
            return;
        }
        if frame.len() > inner.config.max_frame {
            tracing::error!(
                bytes = frame.len(),
                limit = inner.config.max_frame,
                "a membership frame over the limit was not sent"
            );
            return;
        }
        if let Some((serial, outbox)) = inner.lanes.push(&target, frame) {
            inner.tasks.spawn(inner.clone().run_outgoing(target, serial, outbox));
        }
    }
}

impl fmt::Debug for GossipLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GossipLink").field("connections", &self.inner.tasks.len()).finish_non_exhaustive()
    }
}

impl FrameLink for GossipLink {
    fn send(&self, to: &PeerRef, frame: Bytes) {
        self.send_to(Target::Node(to.clone()), frame);
    }

    fn send_seed(&self, authority: &str, frame: Bytes) {
        self.send_to(Target::Seed(authority.to_owned()), frame);
    }
}

impl GossipAcceptor for GossipLink {
    fn accept(&self, peer: PeerIdentity, stream: BoxStream) -> BoxFuture<'static, ()> {
        let inner = self.inner.clone();
        Box::pin(async move { inner.run_inbound(peer.node_id, stream).await })
    }
}

impl Inner {
    /// Connects, carries frames until the connection ends, and connects again if it broke.
    async fn run_outgoing(self: Arc<Self>, target: Target, serial: u64, outbox: Arc<Outbox>) {
        let (mut short_lives, mut worked) = (0, false);
        let mut turn = self.wait_for_turn(&target).await;
        if !self.lanes.is_dialled(&target, serial) && outbox.is_empty() {
            return;
        }
        loop {
            if self.stop.is_cancelled() && outbox.is_empty() {
                return self.lanes.remove(serial);
            }
            let (refused, said) = match self.dial_once(&target, turn.take()).await {
                Ok(Ok((node, stream))) => {
                    if matches!(target, Target::Seed(_)) {
                        self.lanes.learn(&node, serial, &outbox);
                    }
                    let began = Instant::now();
                    let (ended, heard) = pump(stream, &outbox, &node, &self.intake, &self.config, &self.stop).await;
                    if heard {
                        worked = true;
                        self.backoff().reached(&node);
                    }
                    short_lives = if began.elapsed() < SHORT_LIFE { short_lives + 1 } else { 0 };
                    match ended {
                        Ended::InOrder if self.lanes.remove_if_empty(serial, &outbox) => return,
                        Ended::Forbidden => return self.lanes.remove(serial),
                        // Only what worked once is worth a second try at once.
                        Ended::InOrder | Ended::Broken if heard && short_lives < MAX_SHORT_LIVES => continue,
                        Ended::InOrder | Ended::Broken => (false, "the connection was closed at once".to_owned()),
                    }
                }
                Ok(Err(error)) => {
                    self.tell_of_another_root(&target, &error);
                    (error.is_refusal(), error.to_string())
                }
                Err(_) => (false, format!("no connection within {:?}", self.config.connect_timeout)),
            };
            // That nobody listens is told at no cost; and what passed until now is to pass again as soon as it can.
            if let Some(node_id) = target.node_id().filter(|_| !refused && !worked) {
                self.backoff().failed(node_id, Instant::now(), rand::rng().random_range(0.0..1.0));
            }
            self.lanes.remove(serial);
            tracing::debug!(peer = target.authority(), reason = said, "cannot reach a member");
            if let Some(node_id) = target.node_id().filter(|_| !self.stop.is_cancelled()) {
                self.intake.unreachable(node_id.clone(), refused).await;
            }
            return;
        }
    }

    /// Dials once. Its turn ends with that.
    async fn dial_once(
        &self,
        target: &Target,
        turn: Option<Turn<'_>>,
    ) -> Result<Result<(NodeId, BoxStream), DialError>, Elapsed> {
        let (began, limit) = (Instant::now(), self.config.connect_timeout);
        let dialled = timeout(limit, self.dial.dial(target.authority(), target.node_id())).await;
        // That it was refused says nothing of how long connecting takes.
        if let Some(turn) = turn.filter(|_| !matches!(dialled, Ok(Err(_)))) {
            turn.ended(began.elapsed(), limit);
        }
        dialled
    }

    /// A peer that could not be reached before is not dialled at once, and all others are not dialled together. Seeds are: who looks for
    /// them makes pauses of its own. Who stops waits no more.
    async fn wait_for_turn(&self, target: &Target) -> Option<Turn<'_>> {
        let node_id = target.node_id()?;
        let pause = self.backoff().wait(node_id, Instant::now());
        if !pause.is_zero() {
            self.stop.run_until_cancelled(sleep(pause)).await;
        }
        let is_silent = self.backoff().is_silent(node_id, Instant::now());
        self.stop.run_until_cancelled(self.pace.turn(is_silent)).await.flatten()
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the two missed a change of the root, and does not come back by itself.
    fn tell_of_another_root(&self, target: &Target, error: &DialError) {
        if !matches!(error, DialError::Tls { source: TlsError::ForeignCa { .. }, .. }) {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(peer = target.authority(), %error, "a member has another root than this node");
        }
    }

    /// Carries frames on a connection that the peer opened.
    async fn run_inbound(self: Arc<Self>, node: NodeId, stream: BoxStream) {
        self.backoff().reached(&node);
        let outbox = Arc::new(Outbox::new(self.config.max_waiting));
        let admitted = self.lanes.admit(&node, &outbox, self.config.max_inbound, self.stop.child_token());
        let (ended, _) = pump(stream, &outbox, &node, &self.intake, &self.config, &admitted.stop).await;
        let left = self.lanes.dismiss(&node, admitted.serial);
        // Somebody counted on this connection: what it left goes over an own one, which also shows whether the peer is there.
        let Some(authority) = left.filter(|_| !self.stop.is_cancelled()) else { return };
        let frames = outbox.drain();
        if frames.is_empty() && !matches!(ended, Ended::Broken) {
            return;
        }
        let target = Target::Node(PeerRef { node_id: node, authority: authority.into() });
        if let Some((serial, outbox)) = self.lanes.reopen(&target, frames) {
            self.tasks.spawn(self.clone().run_outgoing(target, serial, outbox));
        }
    }
}

#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
