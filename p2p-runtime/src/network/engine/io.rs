//! What goes into the engine and what comes out.

use bytes::Bytes;
use p2p_client::protocol::NodeId;

use super::super::{MemberEvent, PeerRef};

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A frame arrived from the node that its connection's certificate names.
    Frame {
        /// The certificate's node.
        from: NodeId,
        /// The frame.
        frame: Bytes,
    },
    /// The link could not reach a node.
    Unreachable {
        /// The node.
        node_id: NodeId,
        /// Its machine answered that nobody listens.
        refused: bool,
    },
    /// Time has passed: [`Engine::deadline`](super::Engine::deadline) is reached.
    Tick,
}

/// To whom something is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// To this node, if it is up.
    Node(NodeId),
    /// To so many nodes that are up, at random.
    Some(usize),
}

/// Something to be done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send a frame to a node.
    Send {
        /// The node.
        to: PeerRef,
        /// The frame.
        frame: Bytes,
    },
    /// Send a frame to whichever node of the cluster is at an address.
    SendSeed {
        /// `host:port`.
        authority: String,
        /// The frame.
        frame: Bytes,
    },
    /// A member changed.
    Event(MemberEvent),
    /// A node that was dead or left is no longer remembered.
    Forgotten(NodeId),
    /// The ledger of revocations of another node says something.
    Revocations {
        /// The certificate's node.
        from: NodeId,
        /// What it says.
        content: Bytes,
    },
    /// The others were told that this node leaves; nothing more will happen.
    LeaveSpread,
}

/// What went wrong or was refused since the start, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that could not be read.
    pub malformed: u64,
    /// Messages that claimed to be from another node than the certificate's.
    pub forged: u64,
    /// Statements that were not signed by the node they speak of, or not readable.
    pub refused: u64,
    /// Statements older than what is known.
    pub stale: u64,
    /// Times this node had to come back because others took it for dead.
    pub rejoins: u64,
    /// Frames handed to the link.
    pub frames_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
}
