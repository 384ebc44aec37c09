//! The seam between membership and the connections that carry its frames.
//!
//! Membership hands out finished frames and is handed the frames that arrived; it never opens a connection itself. An
//! implementation keeps its own small pool of mutual-TLS connections (ALPN `p2p-gossip/1`), never behind other traffic.

use bytes::Bytes;
use p2p_client::protocol::NodeId;

/// The longest frame that membership sends or reads, in bytes. A link may refuse longer ones unread.
pub const MAX_FRAME: usize = 256 * 1024 + 64;

/// A node, and where it can be reached; the link verifies the node against the certificate.
pub use p2p_client::wire::PeerRef;

/// Carries frames to other nodes: best effort, at most once, in any order.
pub trait FrameLink: Send + Sync + 'static {
    /// Queues a frame for a node. Never blocks; may drop the frame when the node cannot be reached or its queue is full.
    fn send(&self, to: &PeerRef, frame: Bytes);

    /// Queues a frame for whichever node of this cluster answers at `authority` (`host:port`).
    ///
    /// Seeds are known by address only. The certificate must be one of this cluster; which node it names is learned
    /// from the answer. The answer comes as any other frame does: to the sender's advertised address.
    fn send_seed(&self, authority: &str, frame: Bytes);
}

/// What the link reports to membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// A frame arrived on a connection whose certificate names `from`.
    Frame {
        /// The node of the peer's certificate, never a name from the frame.
        from: NodeId,
        /// The frame as it was sent.
        frame: Bytes,
    },
    /// A node could not be reached: connecting failed, or an established connection broke and a new one failed too.
    ///
    /// An idle connection that was closed in good order must not be reported.
    Unreachable {
        /// The node that was meant.
        node_id: NodeId,
        /// The machine answered that nobody listens (connection refused or reset). This is taken as an early suspicion; a
        /// time-out is left to the probes.
        refused: bool,
    },
}
