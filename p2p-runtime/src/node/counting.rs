//! Who has a certificate under the next root, while the root is being changed: by this coordinator's records, by what nodes show, and by the records of the
//! other coordinators, which let in nodes of their own.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use p2p_client::{
    protocol::{NodeId, NodeStatus, Role, UnixMillis},
    revocation::KeyHash,
    wire::tls::TrustedRoot,
};
use tokio::task::spawn_blocking;

use super::{renewer::other_coordinators, rotation::Rotator};
use crate::{
    identity::{
        IssuedNode, RotateError, certified,
        rotation::{self, AllIssued, Known, Presence, Progress},
    },
    network::Membership,
};

/// What the other coordinators said, when they were last asked, that they have issued.
pub(super) type Elsewhere = BTreeMap<NodeId, AllIssued>;

/// A node that has got its first certificate starts within so long, in milliseconds.
const STARTS: u64 = 60_000;

/// Whether this node is about to start for the first time: it trusts the root that its token names, and has to hear of the change before that is
/// dropped, or it would be left behind with its token spent.
fn is_joining(node: &IssuedNode, now: UnixMillis) -> bool {
    node.token.is_some() && node.previous.is_none() && now.0 < node.written().0.saturating_add(STARTS)
}

impl Rotator {
    /// Asks the other coordinators which nodes they have issued certificates for. Who does not answer is counted as [not
    /// asked](Progress::unasked).
    pub(super) async fn ask_elsewhere(&self) {
        let parts = self.parts();
        let coordinators = other_coordinators(&parts.cx);
        let asked = coordinators.iter().map(async |coordinator| match rotation::ask_for_issued(self.way(), coordinator).await {
            Ok(issued) => Some((coordinator.node_id.clone(), issued)),
            Err(error) => {
                tracing::warn!(coordinator = %coordinator.node_id, error, "it did not say which nodes it has let in");
                None
            }
        });
        let said = join_all(asked).await.into_iter().flatten().collect();
        *self.elsewhere() = said;
    }

    /// How far the change of the root is; `None` where there is none. What other coordinators have issued counts as they last said it.
    pub(crate) async fn progress(&self) -> Result<Option<Progress>, RotateError> {
        let Some(next) = self.parts().ledger.roots().known().next().map(TrustedRoot::key_hash) else { return Ok(None) };
        let this = self.clone();
        let counted = spawn_blocking(move || this.count(next.into())).await;
        counted.map_err(|lost| RotateError::Records(lost.to_string())).flatten().map(Some)
    }

    /// Who has a certificate under the next root. Reads a record for each node, and looks at what each has shown.
    fn count(&self, next: KeyHash) -> Result<Progress, RotateError> {
        let parts = self.parts();
        let (roots, me) = (parts.ledger.roots(), parts.cx.node_id());
        let now = UnixMillis::now();
        let (own, said) = (self.issued_here(now)?, self.elsewhere());
        let revoked = parts.ledger.revocations().set();
        let elsewhere = said.values().flat_map(|said| &said.nodes);
        let is_reissued = |node: &IssuedNode| node.root == Some(next) && !is_joining(node, now);
        let (mut nodes, mut coordinators) = (BTreeMap::new(), BTreeSet::new());
        for (node_id, by_records) in certified(&own.nodes, elsewhere, &revoked, now, is_reissued) {
            let presence = if by_records.is_gone { Presence::Gone } else { Presence::Away };
            if by_records.is_coordinator {
                coordinators.insert(node_id.clone());
            }
            let has_shown = roots.has_shown_wanted(&node_id);
            nodes.insert(node_id, Known { presence, has_shown, was_issued: by_records.has_new });
        }
        for node_id in own.damaged.iter().chain(said.values().flat_map(|said| &said.damaged)) {
            let has_shown = roots.has_shown_wanted(node_id);
            nodes.entry(node_id.clone()).or_insert(Known { presence: Presence::Away, has_shown, was_issued: false });
        }
        let members = parts.cx.membership().map(Membership::members);
        for info in members.iter().flat_map(|members| members.iter()) {
            let presence = match info.status {
                NodeStatus::Dead => Presence::Away,
                NodeStatus::Left | NodeStatus::Revoked => Presence::Gone,
                _ => Presence::Here,
            };
            if info.role == Role::Coordinator {
                coordinators.insert(info.node_id.clone());
            }
            let has_shown = if info.node_id == *me { !roots.is_outdated() } else { roots.has_shown_wanted(&info.node_id) };
            let was_issued = nodes.get(&info.node_id).is_some_and(|node| node.was_issued);
            nodes.insert(info.node_id.clone(), Known { presence, has_shown, was_issued });
        }
        let is_there = |node_id: &NodeId| nodes.get(node_id).is_some_and(|known| known.presence != Presence::Gone);
        coordinators.retain(|node_id| node_id != me && is_there(node_id) && !said.contains_key(node_id));
        Ok(Progress::of(&nodes).without(coordinators))
    }

    /// What this coordinator has issued itself.
    fn issued_here(&self, now: UnixMillis) -> Result<AllIssued, RotateError> {
        let Some(issuer) = &self.parts().issuer else { return Ok(AllIssued::default()) };
        issuer.all_issued(now).map_err(|error| RotateError::Records(error.to_string()))
    }
}
