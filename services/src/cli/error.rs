//! Why a command failed. Each text is one line and says what to do next.

use std::{io, path::PathBuf, time::Duration};

use p2p_client::{protocol::RpcError, wire::http::SendFailure};
use p2p_runtime::{config::ConfigError, identity::TokenError, node::NodeError, storage::StoreError};

use super::password::Kept;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The node could not be made, enrolled or started.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The store could not be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot be read or written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was given as join token is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is nobody to talk to.
    #[error("no node is running in {}; start it with `{start}`", .dir.display())]
    NoNode {
        dir: PathBuf,
        /// The command that starts it.
        start: String,
    },
    /// The socket is somebody else's.
    #[error("the socket {} is for another user; run the command as the user that runs the node", .path.display())]
    NotYours { path: PathBuf },
    /// The socket cannot be used.
    #[error("cannot talk to the node at {}: {source}; look at the node's log", .path.display())]
    Socket { path: PathBuf, source: io::Error },
    /// The node did not answer.
    #[error("the node in {} gave no answer ({source}); look at its log, or stop it with SIGTERM", .dir.display())]
    NoAnswer { dir: PathBuf, source: SendFailure },
    /// The answer is not one.
    #[error("the node's answer cannot be read: {0}; is it of another version than this command?")]
    BadAnswer(String),
    /// A stream that was cut.
    #[error("the stream broke off before its end, as the node stopped; what came is above; call again for the rest")]
    BrokenOff,
    /// The node, or the node that it asked, refused.
    #[error("{error}{}", data(.error))]
    Refused { error: RpcError },
    /// Some nodes of a call to many failed.
    #[error("{failed} of {asked} nodes failed; their errors are above")]
    SomeFailed { failed: usize, asked: usize },
    /// It did not stop.
    #[error("the node in {} is still stopping after {} s; look at its log, or stop it with SIGKILL", .dir.display(), .after.as_secs())]
    StillRunning { dir: PathBuf, after: Duration },
    /// There is no password.
    #[error(
        "the node's store needs a password and there is no terminal to ask; give it with --password-file FILE, --password-fd N, \
         the systemd credential {}, or P2P_STORE_PASSWORD",
        super::password::CREDENTIAL
    )]
    NoPassword,
    /// Two typed passwords differ.
    #[error("the two passwords differ; run the command again and type the same one twice")]
    PasswordsDiffer,
    /// A file with a secret that others may read.
    #[error(
        "{} may be read by other users (mode {mode:03o}), so that its {} is no secret; `chmod 600` it, and {}",
        .path.display(), .kept.name(), .kept.after_others_read_it()
    )]
    OpenToOthers { path: PathBuf, mode: u32, kept: Kept },
    /// What should not be on a screen.
    #[error("{path} holds {what}, which is not printed to a terminal; redirect it into a file, or say --reveal")]
    NotForTerminals { path: String, what: &'static str },
    /// The store is damaged.
    #[error("the store is not whole; `{recover}` says what can be brought back, and does it when told to")]
    StoreNotWhole { recover: String },
    /// Nobody agreed to a recovery.
    #[error("nothing was changed; `{again}` brings back what is good")]
    NoConsent { again: String },
    /// Nobody agreed that a node is let in.
    #[error("nothing was changed; if that is the key which `p2p join` shows on the node, `{again}` lets it in")]
    NotApproved { again: String },
    /// There is no token.
    #[error(
        "a join token is needed; give it with --token, --token-file, P2P_JOIN_TOKEN or standard input; `p2p token create` on a coordinator makes one"
    )]
    NoToken,
    /// One stream cannot give two secrets.
    #[error(
        "standard input cannot give both the password and the join token; give the token with --token-file, or the password with --password-file"
    )]
    OneInput,
    /// A file or stream that was named cannot be read.
    #[error("cannot read {what}: {source}; check the name and who may read it")]
    Unreadable { what: String, source: io::Error },
    /// A file cannot be written.
    #[error("cannot write to {what}: {source}; make room, or see who may write there")]
    Unwritable { what: String, source: io::Error },
    /// The editor did not do its work.
    #[error("the editor `{editor}` failed ({why}); nothing was changed; name another one with EDITOR")]
    Editor { editor: String, why: String },
    /// The editor took away what it was given.
    #[error(
        "the editor left no file {}, so that there is no text to store; nothing was changed; run `{again}` again, with an editor that saves \
         under the name that it is given",
        .path.display()
    )]
    NoText {
        path: PathBuf,
        /// The command that was run.
        again: String,
    },
    /// What was edited is not stored.
    #[error("{why}; nothing was stored; go on with your text: `{go_on}`")]
    NotTaken { why: Box<Self>, go_on: String },
    /// What was read is too long.
    #[error("{what} holds more than {limit} bytes; is it the right one?")]
    TooLong { what: String, limit: u64 },
    /// A file of contracts cannot be used.
    #[error("{} cannot be compared: {why}; `p2p contract export` writes such a file", .path.display())]
    BadContract { path: PathBuf, why: String },
    /// What the running node hosts cannot be compared, as it cannot be asked.
    #[error(transparent)]
    NotCompared(Box<Self>),
    /// Callers of the old version would fail.
    #[error(
        "{harmful} of {changes} changes can break callers of the old version; keep what they use, or give the service a new name"
    )]
    Breaking { harmful: usize, changes: usize },
    /// The node did not withstand everything.
    #[error(
        "{failed} of {of} checks failed{}; do what the rows marked FAILED say, then run `{again}`{}",
        if *.put_off == 0 { String::new() } else { format!(", and {put_off} not tried") },
        if *.put_off == 0 { "" } else { ", in a minute at the earliest" }
    )]
    NotWithstood { failed: usize, put_off: usize, of: usize, again: String },
    /// The node let not everything be tried.
    #[error(
        "{put_off} of {of} not tried: the node puts callers without a name off for now, as the rows marked PUT OFF say; try again in a \
         minute: `{again}`"
    )]
    PutOff { put_off: usize, of: usize, again: String },
    /// An argument of a call.
    #[error("{0}")]
    Argument(String),
}

impl CliError {
    /// The exit status that says it.
    pub(super) fn status(&self) -> i32 {
        // A check that was not made is told from one that found something.
        match self {
            Self::BadContract { .. } | Self::NotCompared(_) => 2,
            Self::PutOff { .. } => 3,
            _ => 1,
        }
    }
}

/// What an error carries besides its text, as JSON.
fn data(error: &RpcError) -> String {
    error.data.as_ref().map(|data| format!("; data: {}", data.get())).unwrap_or_default()
}
