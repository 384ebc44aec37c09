//! Why a session ended, and the rules that a peer can break.

use std::time::Duration;

use super::super::{frame::FrameError, message::MessageError};

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// This end closed it in good order.
    #[error("the session was closed: {0}")]
    Closed(String),
    /// The other end closed it in good order.
    #[error("the peer closed the session: {0}")]
    Left(String),
    /// The connection broke, or its other end is gone.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The other end broke the rules of the protocol.
    #[error("the peer broke the session's protocol: {0}")]
    Violation(#[from] Violation),
    /// The other end takes nothing of what is sent.
    #[error("the peer has not read for {} s", .0.as_secs())]
    NotReading(Duration),
    /// The other end gives no sign of life.
    #[error("the peer gave no sign of life for {} s", .0.as_secs())]
    Silent(Duration),
    /// A certificate of one of the ends is not valid any more.
    #[error("the certificate of the connection has expired")]
    CertificateExpired,
}

/// A broken rule of the protocol: the session ends with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that holds no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A call's id is not above all before it.
    #[error("the call id {id} was used before, or is below {last}; ids must grow")]
    DuplicateId {
        /// The id.
        id: u64,
        /// The highest before it.
        last: u64,
    },
    /// An answer or item for a call that was never made, or was answered already.
    #[error("there is no call {id} that could be answered")]
    UnknownId {
        /// The id.
        id: u64,
    },
    /// More calls at a time than were allowed.
    #[error("more than {limit} calls at a time")]
    TooManyCalls {
        /// How many were allowed.
        limit: u32,
    },
    /// More items of a stream than there was leave for.
    #[error("more items of the stream {id} than there was credit for")]
    TooManyItems {
        /// The call that opened it.
        id: u64,
    },
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Self {
        Self::Violation(error.into())
    }
}

impl From<MessageError> for Ended {
    fn from(error: MessageError) -> Self {
        Self::Violation(error.into())
    }
}
