//! Talks to the node that runs in the folder, over its socket: one request, one connection.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::Full;
use p2p_client::{
    protocol::{ErrorCode, NDJSON, RpcError},
    wire::{
        Lines,
        http::{RequestLimits, SendFailure, one_shot, one_shot_streamed},
    },
};
use p2p_runtime::storage::{Store, StoreError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::{Invocation, error::CliError};

/// How long a node may take for what it does by itself.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// How long a node may take to stop: it finishes the calls that run.
const STOP_TIME: Duration = Duration::from_mins(1);

/// The socket of a node.
pub(super) struct Socket<'a> {
    invocation: &'a Invocation,
    path: PathBuf,
}

/// What is asked of the node.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) within: Duration,
    /// The largest answer, in bytes.
    pub(super) max_answer: usize,
}

impl Ask {
    /// A document.
    pub(super) fn get(path: &'static str) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: Bytes::new(),
            within: ANSWER_TIME,
            max_answer: RequestLimits::default().max_response,
        }
    }

    /// Something to be done.
    pub(super) fn post(path: &'static str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get(path) }
    }

    /// Something to be done that takes a password or a secret: its text is overwritten once it was sent.
    pub(super) fn post_secret(path: &'static str, request: &impl Serialize) -> Result<Self, CliError> {
        let body = serde_json::to_vec(request).map_err(|error| CliError::Argument(error.to_string()))?;
        Ok(Self::post(path, Bytes::from_owner(Zeroizing::new(body))))
    }
}

impl Ask {
    fn into_request(self) -> Result<Request<Full<Bytes>>, CliError> {
        let mut request = Request::builder().method(self.method).uri(self.path).header(CONTENT_TYPE, "application/json");
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::from(self.body)).map_err(|error| CliError::Argument(format!("this cannot be sent: {error}")))
    }
}

/// The answer to a call whose method may stream.
pub(super) enum Reading {
    /// It streams: these are its lines.
    Items(Lines),
    /// It does not: this is the body.
    Answer(Bytes),
}

/// The longest line of a stream, in bytes: an item, or an error with its data.
const MAX_LINE: usize = 1 << 20;

/// The body of an answer, unless it refuses.
fn accepted(status: StatusCode, body: Bytes) -> Result<Bytes, CliError> {
    if status.is_success() {
        return Ok(body);
    }
    let said = |_| RpcError::new(ErrorCode::INTERNAL, format!("the node answered with HTTP status {status}"));
    let error = serde_json::from_slice::<Refusal>(&body).map_or_else(said, |refusal| refusal.error);
    Err(CliError::Refused { error })
}

/// The body of an answer that refuses.
#[derive(Deserialize)]
struct Refusal {
    error: RpcError,
}

impl<'a> Socket<'a> {
    /// The socket of the node in the folder.
    pub(super) fn of(invocation: &'a Invocation) -> Self {
        Self { invocation, path: socket_in(&invocation.dir) }
    }

    /// Connects; `None` where no node runs.
    async fn connect(&self) -> Result<Option<UnixStream>, CliError> {
        match UnixStream::connect(&self.path).await {
            Ok(stream) => Ok(Some(stream)),
            // Nothing there, or what a process that was killed has left behind.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(CliError::NotYours { path: self.path.clone() }),
            Err(source) => Err(CliError::Socket { path: self.path.clone(), source }),
        }
    }

    /// Asks the node, and gives its answer's body; `None` where no node runs.
    pub(super) async fn try_ask(&self, ask: Ask) -> Result<Option<Bytes>, CliError> {
        let Some(stream) = self.connect().await? else { return Ok(None) };
        let limits = RequestLimits { max_response: ask.max_answer, ..RequestLimits::within(ask.within) };
        let answer = one_shot(Box::new(stream), ask.into_request()?, limits).await.map_err(|source| self.no_answer(source))?;
        let (head, body) = answer.into_parts();
        accepted(head.status, body).map(Some)
    }

    /// Makes a call whose method may stream. The time is that until the answer begins.
    pub(super) async fn open(&self, mut ask: Ask) -> Result<Reading, CliError> {
        let Some(stream) = self.connect().await? else { return Err(self.nobody()) };
        let within = ask.within;
        ask.headers.push((ACCEPT.as_str(), NDJSON.to_owned()));
        let answer = one_shot_streamed(Box::new(stream), ask.into_request()?, within).await;
        let (head, body) = answer.map_err(|source| self.no_answer(source))?.into_parts();
        if head.headers.get(CONTENT_TYPE).is_some_and(|form| form == NDJSON) {
            return Ok(Reading::Items(body.lines(MAX_LINE)));
        }
        let body = body.whole(RequestLimits::default()).await.map_err(|source| self.no_answer(source))?;
        accepted(head.status, body).map(Reading::Answer)
    }

    pub(super) fn no_answer(&self, source: SendFailure) -> CliError {
        CliError::NoAnswer { dir: self.invocation.dir.clone(), source }
    }

    /// Asks the node, and gives its answer's body.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Bytes, CliError> {
        match self.try_ask(ask).await? {
            Some(body) => Ok(body),
            None => Err(self.nobody()),
        }
    }

    /// Why there is nobody to talk to.
    fn nobody(&self) -> CliError {
        let dir = self.invocation.dir.clone();
        match Store::exists(&dir) {
            Ok(false) => StoreError::NotFound { dir }.into(),
            _ => CliError::NoNode { dir, start: self.invocation.command("start") },
        }
    }

    /// Waits until the node that runs in the folder has stopped: until it lets go of its store.
    pub(super) async fn wait_until_stopped(&self) -> Result<(), CliError> {
        let lock = self.invocation.dir.join("store.lock");
        let unlocked = tokio::task::spawn_blocking(move || match OpenOptions::new().read(true).open(lock) {
            Ok(file) => file.lock_shared(),
            // The folder went with the node.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        });
        match tokio::time::timeout(STOP_TIME, unlocked).await {
            Err(_) => Err(CliError::StillRunning { dir: self.invocation.dir.clone(), after: STOP_TIME }),
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(source))) => Err(CliError::Socket { path: self.path.clone(), source }),
            Ok(Err(lost)) => Err(CliError::Socket { path: self.path.clone(), source: io::Error::other(lost) }),
        }
    }
}

/// Where the socket of the node in this folder is.
pub(super) fn socket_in(dir: &Path) -> PathBuf {
    dir.join("p2p.sock")
}

/// Reads an answer.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(body).map_err(|error| CliError::BadAnswer(error.to_string()))
}

/// An answer as text.
pub(super) fn text(body: &[u8]) -> Result<&str, CliError> {
    std::str::from_utf8(body).map_err(|error| CliError::BadAnswer(error.to_string()))
}
