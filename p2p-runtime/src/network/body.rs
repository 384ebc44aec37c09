//! What a node says of itself: its `NodeInfo`, signed, and the short announcement that a new one exists.
//!
//! A statement travels and is stored as the very bytes that were signed, so that a node passes on what it does not fully
//! understand without breaking the signature.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use p2p_client::protocol::{NodeId, NodeInfo, NodeStatus, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{AttestError, Attestor};

/// Bytes of a statement's hash that announcements carry.
pub(super) const HASH_LEN: usize = 16;
/// The longest statement, in bytes: a few hundred services.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// Opens the signed bytes, so that no other signature of the node's key can pass for one of these.
const DOMAIN: &[u8] = b"p2p-node-info/1\0";
const FORMAT: u8 = 1;

/// Says that a node has made a statement, without the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) node_id: NodeId,
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) hash: [u8; HASH_LEN],
}

impl Announcement {
    /// Of two statements the later holds; between two of one version, which no honest node makes, the hash decides, so that
    /// all nodes decide alike.
    pub(super) fn order(&self) -> (u64, u64, [u8; HASH_LEN]) {
        (self.epoch, self.version, self.hash)
    }
}

/// A statement as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedBody {
    pub(super) message: Bytes,
    pub(super) attestation: Bytes,
}

/// The content of a statement.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    format: u8,
    epoch: u64,
    version: u64,
    /// The node goes for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    left: bool,
    info: NodeInfo,
}

/// A statement that was made here or verified.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) announcement: Announcement,
    pub(super) left: bool,
    pub(super) info: Arc<NodeInfo>,
    pub(super) signed: SignedBody,
}

/// Why a statement was not made or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the others would accept.
    #[error("the node's description has {0} bytes, at most {MAX_BODY} are allowed; shorten its metadata or host fewer services")]
    TooLong(usize),
    /// It does not say what a statement must.
    #[error("a node's statement cannot be read: {0}; it was ignored")]
    Unreadable(String),
    /// It is of another version.
    #[error("a node's statement cannot be read: it has format {0}, this node reads format {FORMAT}; it was ignored")]
    OtherFormat(u32),
    /// It is not signed by the node it speaks of, or this node could not sign its own.
    #[error(transparent)]
    Attest(#[from] AttestError),
}

/// Why this is not read: another version may say something else in it.
fn unreadable(message: &[u8], cause: &serde_json::Error) -> BodyError {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    match serde_json::from_slice(message) {
        Ok(Head { format }) if format != u32::from(FORMAT) => BodyError::OtherFormat(format),
        _ => BodyError::Unreadable(cause.to_string()),
    }
}

impl BodyError {
    /// Whether an honest node may have passed it on: one of another version, or one that knows another certificate of the node.
    pub(super) const fn may_be_honest(&self) -> bool {
        matches!(self, Self::OtherFormat(_) | Self::Attest(_))
    }
}

fn to_sign(message: &[u8]) -> Vec<u8> {
    [DOMAIN, message].concat()
}

fn hash_of(message: &[u8]) -> [u8; HASH_LEN] {
    let mut hash = [0; HASH_LEN];
    hash.copy_from_slice(&digest(&SHA256, message).as_ref()[..HASH_LEN]);
    hash
}

/// Without what the viewing node adds; that is not part of what is signed.
pub(super) fn bare(mut info: NodeInfo) -> NodeInfo {
    info.last_seen = UnixMillis::default();
    info.status = NodeStatus::default();
    info
}

impl Record {
    /// Makes and signs this node's own statement.
    pub(super) fn sign(info: NodeInfo, epoch: u64, version: u64, left: bool, by: &dyn Attestor) -> Result<Self, BodyError> {
        let content = Content { format: FORMAT, epoch, version, left, info: bare(info) };
        let message = serde_json::to_vec(&content).map_err(|cause| BodyError::Unreadable(cause.to_string()))?;
        if message.len() > MAX_BODY {
            return Err(BodyError::TooLong(message.len()));
        }
        let attestation = by.sign(&to_sign(&message))?;
        let signed = SignedBody { message: message.into(), attestation };
        Ok(Self::new(content, signed))
    }

    fn new(content: Content, signed: SignedBody) -> Self {
        let Content { epoch, version, left, info, .. } = content;
        let announcement = Announcement { node_id: info.node_id.clone(), epoch, version, hash: hash_of(&signed.message) };
        Self { announcement, left, info: Arc::new(bare(info)), signed }
    }

    /// Reads a statement without believing it yet.
    pub(super) fn read(signed: SignedBody) -> Result<Self, BodyError> {
        if signed.message.len() + signed.attestation.len() > MAX_BODY + 16 * 1024 {
            return Err(BodyError::TooLong(signed.message.len() + signed.attestation.len()));
        }
        let content: Content = serde_json::from_slice(&signed.message).map_err(|cause| unreadable(&signed.message, &cause))?;
        if content.format != FORMAT {
            return Err(BodyError::OtherFormat(content.format.into()));
        }
        Ok(Self::new(content, signed))
    }

    /// Checks that the node it speaks of signed it, and has the role that it claims.
    pub(super) fn verify(&self, by: &dyn Attestor) -> Result<(), BodyError> {
        let Self { announcement, info, signed, .. } = self;
        Ok(by.verify(&announcement.node_id, info.role, &to_sign(&signed.message), &signed.attestation)?)
    }

    pub(super) fn is_newer_than(&self, other: &Announcement) -> bool {
        self.announcement.order() > other.order()
    }
}
