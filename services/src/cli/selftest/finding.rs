//! What a check found.

use std::fmt::Display;

/// What a check found: what the node did, and whether that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It did what it should.
    Held(String),
    /// It did not; the text says what to do.
    Failed(String),
    /// This does not apply to the node, for this reason.
    Skipped(String),
    /// The node did not let it be tried for now, for this reason: what it would have done is not known.
    PutOff(&'static str),
    /// This is tried on no node that is in use, for this reason.
    LeftOut(&'static str),
}

/// A finding, unless the check could not be made.
pub(super) type Found = Result<Finding, NotTried>;

/// Why a check could not be made. Any error becomes one.
#[derive(Debug)]
pub(super) enum NotTried {
    /// The node puts nameless callers off.
    TooSoon,
    /// Something went wrong.
    Because(String),
}

impl<E: std::error::Error> From<E> for NotTried {
    fn from(error: E) -> Self {
        Self::Because(error.to_string())
    }
}

impl From<NotTried> for Finding {
    fn from(reason: NotTried) -> Self {
        match reason {
            NotTried::TooSoon => Self::PutOff("its limit for nameless callers is reached; try again in a minute"),
            NotTried::Because(why) => Self::Failed(format!("it could not be tried: {why}")),
        }
    }
}

impl Finding {
    pub(super) fn held(did: impl Display) -> Self {
        Self::Held(did.to_string())
    }

    pub(super) fn failed(did: impl Display) -> Self {
        Self::Failed(did.to_string())
    }

    /// What an attack over the network came to: what to do about a success is the same for all.
    pub(super) fn withstood(held: bool, did: impl Display) -> Self {
        if held {
            Self::held(did)
        } else {
            Self::failed(format!("{did}; let no stranger reach its port until another version runs"))
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Held(text) | Self::Failed(text) | Self::Skipped(text) => text,
            Self::PutOff(why) | Self::LeftOut(why) => why,
        }
    }

    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Held(_) => "ok",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
            Self::PutOff(_) => "PUT OFF",
            Self::LeftOut(_) => "not tried",
        }
    }
}
