//! A node whose store goes back in time: restored from a backup, recovered from an earlier save, or replaced by an older copy.
//!
//! What happened since is not in it. So its open join tokens are taken back, as they may have let somebody in since, with the requests that
//! wait for an operator's approval; and the store is marked ([`SetBack`]), so that the node knows that others have revocations and counters
//! that it has not. When it last happened stays in the store, for whoever remembers how far it had come (`network::standing`).

use std::path::{Path, PathBuf};

use p2p_client::protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::{
    audit::offline::{self, Act},
    identity::{self, Change, Voided, VoidedOne},
    network::standing::Standing,
    storage::{Entries, Recovery, Revision, Secret, Store, StoreOptions, Unlock},
};

use super::NodeError;

/// Where the mark stands in the store.
const MARK: &str = "state/set_back";
/// Where it stands when the store last went back.
const TURNED: &str = "state/set_back_at";

/// The mark of a store that went back in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBack {
    /// When it went back, by this machine's clock.
    pub at: UnixMillis,
    /// What it went back to; where that is known.
    pub to: Option<Revision>,
    /// By what.
    pub by: SetBackBy,
    /// How many join tokens were taken back by it.
    pub voided_tokens: usize,
}

/// How a store went back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetBackBy {
    /// A backup was restored.
    Restore,
    /// An earlier save was recovered.
    Recovery,
    /// An older copy of its files was put in their place, and other nodes remembered more.
    OlderCopy,
}

impl SetBack {
    /// The mark of this store, if it has one.
    ///
    /// # Errors
    /// [`NodeError::Identity`] where the mark cannot be read.
    pub fn load(store: &Store) -> Result<Option<Self>, NodeError> {
        let Some(mark) = store.get(MARK) else { return Ok(None) };
        serde_json::from_slice(mark.expose()).map(Some).map_err(|error| damaged(&error))
    }

    /// Takes the mark away: for when the node has what happened since from its peers.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub fn settle(store: &Store) -> Result<(), NodeError> {
        store.update(|entries| {
            entries.remove(MARK);
            Ok(())
        })
    }

    /// Takes back the open tokens of a store that goes back in time, and marks it.
    fn mark(entries: &mut Entries, to: Option<Revision>, by: SetBackBy) -> Result<Self, NodeError> {
        let at = UnixMillis::now();
        let voided = void(entries, at)?;
        note(entries, by, &voided)?;
        let voided_tokens = voided.tokens.len();
        let turned = later(turned(entries.get(TURNED))?, at);
        let mark = Self { at, to, by, voided_tokens };
        entries.put(TURNED, turned.to_string())?;
        entries.put(MARK, mark.to_json()?)?;
        Ok(mark)
    }

    /// What marks the store of a running node, which others remember to have come so far.
    pub(super) fn older_copy(store: &Store, was: &Standing, voided_tokens: usize) -> Result<Vec<Change>, NodeError> {
        let at = UnixMillis::now();
        let mark = Self { at, to: Some(store.revision()), by: SetBackBy::OlderCopy, voided_tokens };
        let turned = later(was.turned, at).to_string();
        Ok(vec![Change::Put(TURNED.into(), turned.into_bytes().into()), Change::Put(MARK.into(), mark.to_json()?.into())])
    }

    /// When this store last went back in time, as far as it knows: in milliseconds, or 0.
    pub(super) fn turned(store: &Store) -> Result<u64, NodeError> {
        turned(store.get(TURNED))
    }

    fn to_json(&self) -> Result<Vec<u8>, NodeError> {
        serde_json::to_vec(self).map_err(|error| damaged(&error))
    }
}

/// Takes back the open tokens, and the requests that wait for an operator.
fn void(entries: &mut Entries, at: UnixMillis) -> Result<Voided, NodeError> {
    let mut voided = Voided::default();
    if let Some(stored) = entries.get(identity::TOKENS) {
        let (tokens, taken_back) = identity::void_open_tokens(stored.expose(), at)?;
        entries.put(identity::TOKENS, tokens)?;
        voided.tokens = taken_back;
    }
    // What was decided about them since is not known; their nodes need a fresh token.
    for request in entries.list(identity::approval::FOLDER) {
        let stored = entries.remove(&request);
        voided.requests.extend(stored.and_then(|stored| identity::approval::open_request(stored.expose(), at)));
    }
    Ok(voided)
}

/// Keeps for the audit log that somebody put the store back, and what that took with it.
fn note(entries: &mut Entries, by: SetBackBy, voided: &Voided) -> Result<(), NodeError> {
    let what = match by {
        SetBackBy::Restore => "store restore",
        SetBackBy::Recovery => "store recover",
        // Nobody did that by a command.
        SetBackBy::OlderCopy => return Ok(()),
    };
    offline::note(entries, Act::now(what))?;
    for VoidedOne { what, whom, why } in voided.each("stood open in a store that went back in time") {
        offline::note(entries, Act::now(what).to(whom).saying(why))?;
    }
    Ok(())
}

/// Now, and later than the last time whatever the clock says: each time is told from all others.
fn later(last: u64, now: UnixMillis) -> u64 {
    now.0.max(last.saturating_add(1))
}

fn turned(stored: Option<Secret>) -> Result<u64, NodeError> {
    stored.map_or(Ok(0), |stored| serde_json::from_slice(stored.expose()).map_err(|error| damaged(&error)))
}

fn damaged(error: &serde_json::Error) -> NodeError {
    identity::IdentityError::Damaged(format!("the mark of a restored store: {error}")).into()
}

/// Makes a node's store in `dir` of a backup. It takes 0.1 s of computing.
///
/// # Errors
/// [`NodeError::Store`] where the backup does not open, or a store is in the way.
pub fn restore(backup: &Path, dir: &Path, unlock: Unlock<'_>) -> Result<SetBack, NodeError> {
    let mut mark = None;
    StoreOptions::new().restore(backup, dir, unlock, |entries| {
        mark = Some(SetBack::mark(entries, None, SetBackBy::Restore)?);
        Ok::<_, NodeError>(())
    })?;
    mark.ok_or(NodeError::Unsaid("a backup"))
}

/// Brings back what a recovery found. Gives the mark, and the folder to which the files were put that were there.
///
/// # Errors
/// [`NodeError::Store`]; the files are then still where they were.
pub fn recover(recovery: Recovery) -> Result<(SetBack, PathBuf), NodeError> {
    let mut mark = None;
    let to = recovery.source().revision;
    let (_, aside) = recovery.carry_out(|entries| {
        mark = Some(SetBack::mark(entries, to, SetBackBy::Recovery)?);
        Ok::<_, NodeError>(())
    })?;
    Ok((mark.ok_or(NodeError::Unsaid("a recovery"))?, aside))
}
