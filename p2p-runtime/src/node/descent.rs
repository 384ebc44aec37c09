//! Who may have outlived the revocation of an authority: whoever held its key could make nodes of any name, and these could have themselves certified by
//! other coordinators, or be given authorities of their own, before it was revoked.
//!
//! Nobody is revoked for that: honest nodes come the same way. They are named, each by the coordinator that has a record of it, so that operators look at them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::NodeId,
    revocation::{Changes, KeyHash, RevocationSet, Statement, Subject},
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::rotation::Rotator;
use crate::identity::{Issuer, Ledger, VaultError, lineage::Lineage};

/// What the audit log calls it.
pub(crate) const DESCENDS: &str = "descends from a revoked key";

/// What could not be looked up is looked up again after so long. So long the command that revokes a key here has for naming them by itself.
const AGAIN: Duration = Duration::from_secs(10);

/// Which revoked keys are still to be looked up: all those of which it is not noted in the store that they were. So nothing is lost where the store fails, or
/// the node is killed.
pub(super) struct Search {
    changes: Changes,
    /// Those that were revoked before the node started: no command is at work on them.
    from_before: HashSet<KeyHash>,
    searched: HashSet<KeyHash>,
    /// Whose descendants were named, and of which that could not be noted.
    unnoted: HashSet<KeyHash>,
    /// When keys were first seen to be revoked by this node.
    own: HashMap<KeyHash, Instant>,
}

/// Keys to be looked up, each with who revoked it.
type Due = BTreeMap<KeyHash, NodeId>;

impl Search {
    /// From now on, and of all that is revoked already.
    pub(super) fn follow(ledger: &Ledger) -> Self {
        Self::new(ledger.revocations().subscribe(), &ledger.revocations().set())
    }

    fn new(changes: Changes, set: &RevocationSet) -> Self {
        Self {
            changes,
            from_before: keys(set).map(|(key, _)| key).collect(),
            searched: HashSet::new(),
            unnoted: HashSet::new(),
            own: HashMap::new(),
        }
    }

    /// What is to be looked up now, and whether anything is left for later.
    fn due(&mut self, set: &RevocationSet, me: &NodeId, now: Instant) -> (Due, bool) {
        let (mut due, mut is_any_left) = (Due::new(), false);
        for (key, by) in keys(set).filter(|(key, _)| !self.searched.contains(key)) {
            let is_for_the_command =
                by == me && !self.from_before.contains(&key) && now < *self.own.entry(key).or_insert(now) + AGAIN;
            if is_for_the_command {
                is_any_left = true;
            } else {
                due.insert(key, by.clone());
            }
        }
        (due, is_any_left)
    }

    /// Takes these out of what is due whose descendants were named, but for the note.
    fn unnamed(&self, due: &Due) -> Due {
        due.iter().filter(|(key, _)| !self.unnoted.contains(*key)).map(|(key, by)| (*key, by.clone())).collect()
    }

    fn named(&mut self, due: &Due) {
        self.unnoted.extend(due.keys());
    }

    fn noted(&mut self, due: &Due) {
        for key in due.keys() {
            self.unnoted.remove(key);
            self.own.remove(key);
            self.searched.insert(*key);
        }
    }
}

fn keys(set: &RevocationSet) -> impl Iterator<Item = (KeyHash, &NodeId)> {
    set.iter().filter_map(|(_, statement)| match &statement.subject {
        Subject::Key { key } => Some((*key, &statement.by.node_id)),
        _ => None,
    })
}

impl Rotator {
    /// The nodes that descend from these keys, by this coordinator's records, and were not revoked.
    ///
    /// # Errors
    /// The records cannot be read.
    pub(super) async fn descendants(&self, keys: impl IntoIterator<Item = KeyHash>) -> Result<BTreeSet<NodeId>, String> {
        let mut found = self.lineage().await?.descendants(keys);
        let set = self.parts().ledger.revocations().set();
        found.retain(|node_id| set.revoked_at(node_id).is_none());
        Ok(found)
    }

    async fn lineage(&self) -> Result<Lineage, String> {
        let parts = self.parts();
        let (Some(issuer), Some(keys)) = (parts.issuer.clone(), &parts.keys) else { return Ok(Lineage::default()) };
        let granted = keys.granted().await.map_err(|error| error.to_string())?;
        let me = parts.cx.node_id().clone();
        let read = move || Ok(Lineage::of(&me, &issuer.ever_issued()?.nodes, &granted));
        spawn_blocking(read).await.map_err(|lost| lost.to_string())?.map_err(|error: VaultError| error.to_string())
    }

    /// Names, for as long as the node runs, who descends from a key that another coordinator revokes, and what the command that revoked one here did not come to
    /// name.
    pub(super) async fn name_descendants(self, mut search: Search) {
        let (ledger, me) = (self.parts().ledger.clone(), self.parts().cx.node_id().clone());
        let Some(issuer) = self.parts().issuer.clone() else { return };
        loop {
            let set = ledger.revocations().set();
            let (due, is_any_left) = search.due(&set, &me, Instant::now());
            let is_done = due.is_empty() || self.search(&issuer, &mut search, due).await;
            if is_done && !is_any_left {
                search.changes.next().await;
            } else {
                // Whatever is revoked meanwhile is not kept waiting.
                let _again = timeout(AGAIN, search.changes.next()).await;
            }
        }
    }

    /// Looks these keys up. Says whether it is done.
    async fn search(&self, issuer: &Issuer, search: &mut Search, due: Due) -> bool {
        match self.name_and_note(issuer, search, due).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(
                    error,
                    again_in_s = AGAIN.as_secs(),
                    "a key was revoked, and it cannot be told who has got a certificate here by it; see whether the store is whole: `p2p store verify`"
                );
                false
            }
        }
    }

    async fn name_and_note(&self, issuer: &Issuer, search: &mut Search, mut due: Due) -> Result<(), String> {
        // The command notes it, too.
        search.searched.extend(issuer.searched().await.map_err(|error| error.to_string())?);
        due.retain(|key, _| !search.searched.contains(key));
        let unnamed = search.unnamed(&due);
        if !unnamed.is_empty() {
            name(&self.lineage().await?, &unnamed, &self.parts().ledger.revocations().set());
            search.named(&unnamed);
        }
        issuer.note_searched(due.keys().copied()).await.map_err(|error| error.to_string())?;
        search.noted(&due);
        Ok(())
    }

    /// Notes that who descends from these was named, as the answer to a command. Where that fails, they are named once more.
    pub(super) async fn was_named(&self, made: &[Statement], looked_up: impl IntoIterator<Item = KeyHash>) {
        let Some(issuer) = &self.parts().issuer else { return };
        let made = made.iter().filter_map(|statement| match &statement.subject {
            Subject::Key { key } => Some(*key),
            _ => None,
        });
        let keys: BTreeSet<_> = made.chain(looked_up).collect();
        if let Err(error) = issuer.note_searched(keys).await {
            tracing::warn!(%error, "that the nodes which descend from a revoked key were named was not noted; the log names them once more");
        }
    }
}

fn name(lineage: &Lineage, fresh: &BTreeMap<KeyHash, NodeId>, set: &RevocationSet) {
    for (key, by) in fresh {
        let mut nodes = lineage.descendants([*key]);
        nodes.retain(|node_id| set.revoked_at(node_id).is_none());
        if nodes.is_empty() {
            continue;
        }
        let names = nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            %key,
            %by,
            nodes = names,
            "these nodes got a certificate or an authority here while they stood on a key that is revoked now: whoever had that key may have made them; \
             revoke those that nobody knows, `p2p node revoke ID`"
        );
        for node_id in &nodes {
            let line = Line::new("this node", DESCENDS, Outcome::Pending).whom(format_args!("node {node_id}"));
            line.from(format_args!("node {by}")).reason(format_args!("key {key}")).write();
        }
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::{
        protocol::UnixMillis,
        revocation::{Author, Reason, Revocations, StatementId},
    };

    use super::*;

    fn key(number: u8) -> KeyHash {
        KeyHash::new([number; 32])
    }

    fn revoked(keys: &[(u8, &str)]) -> RevocationSet {
        let mut set = RevocationSet::default();
        set.extend(keys.iter().map(|(number, by)| {
            let by = Author { node_id: by.parse().unwrap(), key: key(99) };
            let statement =
                Statement { subject: Subject::Key { key: key(*number) }, at: UnixMillis(1), by, reason: Reason::default() };
            (StatementId::from_bytes([*number; 16]), statement)
        }));
        set
    }

    fn search(set: &RevocationSet) -> Search {
        Search::new(Revocations::default().subscribe(), set)
    }

    fn due(search: &mut Search, set: &RevocationSet, now: Instant) -> (Vec<u8>, bool) {
        let (due, is_any_left) = search.due(set, &"me".parse().unwrap(), now);
        (due.keys().map(|key| key.as_bytes()[0]).collect(), is_any_left)
    }

    fn those(numbers: &[u8]) -> Due {
        numbers.iter().map(|number| (key(*number), "other".parse().unwrap())).collect()
    }

    #[test]
    fn what_could_not_be_looked_up_stays_due_until_it_is_noted_and_is_named_once() {
        let (now, set) = (Instant::now(), revoked(&[(1, "other"), (2, "other")]));
        let mut search = search(&RevocationSet::default());
        assert_eq!(due(&mut search, &set, now), (vec![1, 2], false));
        assert_eq!(due(&mut search, &set, now), (vec![1, 2], false), "the store failed");
        search.named(&those(&[1]));
        assert_eq!(due(&mut search, &set, now), (vec![1, 2], false), "it could not be noted");
        assert_eq!(search.unnamed(&those(&[1, 2])), those(&[2]));
        search.noted(&those(&[1]));
        assert_eq!(due(&mut search, &set, now), (vec![2], false));
        search.noted(&those(&[2]));
        assert_eq!(due(&mut search, &set, now), (vec![], false));
    }

    #[test]
    fn what_is_revoked_here_is_the_commands_to_name_unless_it_does_not_or_the_node_was_killed() {
        let (now, set) = (Instant::now(), revoked(&[(1, "me"), (2, "me"), (3, "other")]));
        let mut search = search(&revoked(&[(1, "me")]));
        assert_eq!(due(&mut search, &set, now), (vec![1, 3], true), "the first one is from before the start");
        search.noted(&those(&[1, 3]));
        let almost = now + AGAIN - Duration::from_millis(1);
        assert_eq!(due(&mut search, &set, almost), (vec![], true));
        assert_eq!(due(&mut search, &set, now + AGAIN), (vec![2], false));
    }
}
