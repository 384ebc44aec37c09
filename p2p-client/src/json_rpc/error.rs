//! Why a call to a foreign server failed.

use std::time::Duration;

use http::StatusCode;

use crate::{
    protocol::RpcError,
    wire::{http::SendFailure, tls::TlsError},
};

/// Why a call failed. What concerns a whole batch is given to each of its calls.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JsonRpcError {
    /// The server answered with an error. Codes from −32000 to −32099 mean what this server says they mean.
    #[error("the server answered with error {}: {}", .0.code.0, .0.message)]
    Answered(RpcError),
    /// The params cannot be sent. Nothing was.
    #[error("the params of {method} cannot be sent: {reason}")]
    Params {
        /// The method.
        method: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The result is of another form than the caller asked for.
    #[error("the result of {method} is not what was asked for: {reason}; compare the type with the server's documentation")]
    Result {
        /// The method.
        method: String,
        /// Where they differ.
        reason: String,
    },
    /// The request did not come through.
    #[error(transparent)]
    Transport(#[from] SendFailure),
    /// The server answered with an HTTP error and no JSON-RPC.
    #[error("the server answered HTTP {status}: {said}; check the URL and the headers")]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        said: String,
    },
    /// The server's answer is no JSON-RPC 2.0.
    #[error("the server's answer is no JSON-RPC 2.0: {0}")]
    Protocol(String),
    /// The answer to a batch holds none for this call.
    #[error("the server's answer to a batch holds none for this call{}; it may have run", .hint.as_ref().map_or_else(String::new, |said| format!(", but an error for a call that it does not name: {said}")))]
    Missing {
        /// An error without an id in the same answer.
        hint: Option<String>,
    },
    /// The answer to a batch holds several for this call.
    #[error("the server answered this call {times} times, so that none of the answers can be trusted; it has run")]
    Duplicate {
        /// How often.
        times: usize,
    },
    /// The time for the call ran out.
    #[error("{method} did not answer within {} ms; give it more with .timeout(…)", .after.as_millis())]
    Deadline {
        /// The method.
        method: String,
        /// The time it had.
        after: Duration,
        /// Whether the call may have been sent.
        may_have_run: bool,
    },
    /// Too many calls wait to be sent. This one was not.
    #[error("too many calls wait to be sent; make fewer at a time, or raise BatchLimits::max_waiting")]
    TooMany,
    /// The runtime that the client was made in has ended.
    #[error("the client's runtime has ended; make a client in the one that is running")]
    Closed,
}

impl JsonRpcError {
    /// Whether the same call can be made again without the risk that it runs twice: it surely did not run.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::Transport(failure) => failure.is_not_sent(),
            Self::Deadline { may_have_run, .. } => !may_have_run,
            Self::TooMany => true,
            _ => false,
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonRpcClientError {
    /// The URL cannot be used.
    #[error("{url:?} cannot be called: {reason}; it looks like https://rpc.example.org/v1")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Calls would be readable on the way.
    #[error("{url:?} is not encrypted; plain HTTP is spoken on this machine only, so use https://")]
    Plaintext {
        /// The URL.
        url: String,
    },
    /// Nobody is trusted.
    #[error(
        "no root certificate was given, so that no server can be trusted; give the one of the server's authority with .root_pem(…)"
    )]
    NoRoots,
    /// What was given as a root certificate is none.
    #[error("the root certificate cannot be used: {0}")]
    Root(String),
    /// A header cannot be sent.
    #[error("the header {name:?} cannot be sent: a name or a value has characters that HTTP does not allow")]
    Header {
        /// Its name.
        name: String,
    },
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no runtime to run in.
    #[error("a JSON-RPC client needs a tokio runtime; make it inside of one")]
    NoRuntime,
}
