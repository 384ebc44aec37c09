//! Shows coordinators what this node alone keeps since the root was changed: whoever said it may be gone, so that no coordinator knows of it.
//!
//! ```text
//! a coordinator appears, and now and then ──► Stranded ──► it says it again, under the new root, or tells its operator
//! ```

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{NodeId, NodeInfo, Role},
    revocation::StatementId,
};
use rand::seq::IteratorRandom;

use super::{Courier, Talk, others};
use crate::identity::revocation::SignedStatement;

/// An operator is told of so many at most: whoever makes them up is not to fill the log.
const MAX_OPEN: usize = 256;

impl Courier {
    pub(super) fn show_stranded(&self, to: &NodeInfo) {
        if to.role != Role::Coordinator {
            return;
        }
        let stranded = self.ledger.to_be_said_again();
        if !stranded.is_empty() {
            self.answer(&to.node_id, &Talk::Stranded(stranded));
        }
    }

    /// To one coordinator that is there.
    pub(super) fn show_stranded_to_any(&self) {
        let members = self.membership.members();
        if let Some(info) = others(&members).filter(|info| info.role == Role::Coordinator).choose(&mut rand::rng()) {
            self.show_stranded(info);
        }
    }

    pub(super) async fn take_up(&mut self, from: &NodeId, statements: Vec<SignedStatement>) {
        let ids: Vec<StatementId> = statements.iter().map(SignedStatement::id).collect();
        if ids.iter().all(|id| self.open.contains(id)) {
            return;
        }
        let taken_up = match self.ledger.take_up(statements).await {
            Ok(taken_up) => taken_up,
            Err(error) => {
                tracing::debug!(%from, %error, "what another node keeps from under an earlier root was not taken up");
                return;
            }
        };
        for statement in &taken_up.again {
            tracing::info!(%from, subject = %statement.subject, "what was revoked under an earlier root, and no coordinator knew, is revoked again");
        }
        let carrier = format!("node {from}");
        for (id, statement) in taken_up.open {
            if self.open.len() >= MAX_OPEN || !self.open.insert(id) {
                continue;
            }
            tracing::warn!(
                %from,
                subject = %statement.subject,
                by = %statement.by.node_id,
                "this is revoked there by a coordinator under an earlier root of whom this one knows nothing; no other node believes it: if it is right, revoke \
                 it here (`p2p node revoke`)"
            );
            Line::new(&carrier, "revoke under an earlier root", Outcome::Pending).whom(&statement.subject).from(&carrier).write();
        }
    }
}
