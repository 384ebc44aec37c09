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

/// So many of what was taken back have a line of their own, so that what was noted before keeps its place among the acts that are kept.
const LINES: usize = 256;
/// So many tokens are named where all are counted.
const NAMED: usize = 3;

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

/// Keeps for the audit log that somebody put the store back, and what that took with it: each, as far as there is room, and in the line before them how many.
fn note(entries: &mut Entries, by: SetBackBy, voided: &Voided) -> Result<(), NodeError> {
    let what = match by {
        SetBackBy::Restore => "store restore",
        SetBackBy::Recovery => "store recover",
        // Nobody did that by a command.
        SetBackBy::OlderCopy => return Ok(()),
    };
    offline::note(entries, Act::now(what).saying(counted(voided)))?;
    for VoidedOne { what, whom, why } in voided.each("stood open in a store that went back in time").take(LINES) {
        offline::note(entries, Act::now(what).to(whom).saying(why))?;
    }
    Ok(())
}

/// How much went, and the first few tokens by their ids.
fn counted(Voided { tokens, requests }: &Voided) -> String {
    if tokens.is_empty() && requests.is_empty() {
        return String::new();
    }
    let named = tokens.iter().take(NAMED).map(ToString::to_string);
    let named: Vec<_> = named.chain((tokens.len() > NAMED).then(|| "…".to_owned())).collect();
    let colon = if named.is_empty() { "" } else { ": " };
    format!(
        "open join tokens taken back: {}, requests to join dropped: {}{colon}{}",
        tokens.len(),
        requests.len(),
        named.join(", ")
    )
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

#[cfg(test)]
mod tests {
    use p2p_client::wire::tls::RootKeyHash;

    use super::*;
    use crate::{
        identity::{JoinToken, TokenOptions, TokenTable, tests::AuditLines},
        storage::tests::in_a_folder,
    };

    /// What the audit log tells of a store with so many open tokens that was restored, and of what was done to it before.
    fn told(open: usize) -> (Vec<String>, Vec<String>) {
        let mut tokens = TokenTable::default();
        for _ in 0..open {
            let token = JoinToken::generate(RootKeyHash::new([1; 32])).unwrap();
            tokens.create(&token, TokenOptions::default(), UnixMillis::now()).unwrap();
        }
        let ids = tokens.list().map(|record| record.id.to_string()).collect();
        let (_dir, store) = in_a_folder();
        let lines = AuditLines::capture();
        let mark = |entries: &mut Entries| {
            entries.put(identity::TOKENS, serde_json::to_vec(&tokens).unwrap())?;
            offline::note(entries, Act::now("store put").to("a/b"))?;
            SetBack::mark(entries, None, SetBackBy::Restore)
        };
        let marked = store.update(mark).unwrap();
        assert_eq!(marked.voided_tokens, open);
        assert!(offline::tell(&store));
        (lines.take(), ids)
    }

    #[test]
    fn a_restore_counts_the_tokens_that_it_took_back_however_many_they_are_and_hides_nothing_that_was_done_before() {
        let (lines, ids) = told(1_100);
        assert!(lines[0].contains("what=\"store put\" whom=\"a/b\""), "{}", lines[0]);
        let counted = format!("open join tokens taken back: 1100, requests to join dropped: 0: {}, …\"", ids[..NAMED].join(", "));
        assert!(lines[1].contains("what=\"store restore\"") && lines[1].contains(&counted), "{counted} in {}", lines[1]);
        let each = &lines[2..];
        assert!(
            each.len() == LINES && each.iter().all(|line| line.contains("what=\"take back the join token\"")),
            "{}",
            each.len()
        );
        assert!(!lines.concat().contains("not kept"));
    }

    #[test]
    fn a_restore_of_a_store_with_few_open_tokens_or_none_names_just_these() {
        let (lines, ids) = told(2);
        let counted = format!("open join tokens taken back: 2, requests to join dropped: 0: {}\"", ids.join(", "));
        assert!(lines[1].contains(&counted), "{counted} in {}", lines[1]);
        assert!(lines.len() == 4 && ids.iter().zip(&lines[2..]).all(|(id, line)| line.contains(id)), "{lines:#?}");
        let (lines, _) = told(0);
        assert!(lines.len() == 2 && lines[1].contains(" UTC\""), "{lines:#?}");
    }
}
