//! Who may have outlived the revocation of an authority: whoever held its key could make nodes of any name, and these could have themselves certified by
//! other coordinators, or be given authorities of their own, before it was revoked.
//!
//! Nobody is revoked for that: honest nodes come the same way. They are named, each by the coordinator that has a record of it, so that operators look at them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::NodeId,
    revocation::{Changes, KeyHash, RevocationSet, Subject},
};
use tokio::task::spawn_blocking;

use super::rotation::Rotator;
use crate::identity::{Ledger, VaultError, lineage::Lineage};

/// What the audit log calls it.
pub(crate) const DESCENDS: &str = "descends from a revoked key";

/// The keys that are known to be revoked, and who revoked each: those that come are told from those that were there.
pub(super) struct RevokedKeys {
    changes: Changes,
    known: HashSet<KeyHash>,
}

impl RevokedKeys {
    /// From now on.
    pub(super) fn follow(ledger: &Ledger) -> Self {
        // In this order: what comes in between is told as well.
        let changes = ledger.revocations().subscribe();
        let known = keys(&ledger.revocations().set()).map(|(key, _)| key).collect();
        Self { changes, known }
    }

    /// The keys that are revoked, and were not when this was last asked, each with who revoked it.
    fn fresh(&mut self, set: &RevocationSet) -> BTreeMap<KeyHash, NodeId> {
        keys(set).filter(|(key, _)| self.known.insert(*key)).map(|(key, by)| (key, by.clone())).collect()
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

    /// Names, for as long as the node runs, who descends from a key that another coordinator revokes. What is revoked here is answered to the operator.
    pub(super) async fn name_descendants(self, mut revoked: RevokedKeys) {
        let (ledger, me) = (self.parts().ledger.clone(), self.parts().cx.node_id().clone());
        if self.parts().issuer.is_none() {
            return;
        }
        loop {
            revoked.changes.next().await;
            let mut fresh = revoked.fresh(&ledger.revocations().set());
            fresh.retain(|_, by| *by != me);
            if fresh.is_empty() {
                continue;
            }
            match self.lineage().await {
                Ok(lineage) => name(&lineage, &fresh, &ledger.revocations().set()),
                Err(error) => tracing::error!(
                    error,
                    "a key was revoked, and it cannot be told who has got a certificate here by it; see whether the store is whole: `p2p store verify`"
                ),
            }
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
