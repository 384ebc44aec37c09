//! Carries what is said of the cluster's roots: so little, and so seldom, that it goes whole.
//!
//! ```text
//! made here ──────► Told to all members at once
//! heard of  ──────► learn (signature, store), then Told to some others, who say nothing if they know it
//! a member appears, and now and then ──► Digest ──► where it differs: Told ──► Told, if that is something else again
//! ```

use p2p_client::{
    protocol::NodeId,
    revocation::StatementId,
    wire::tls::{RootKeyHash, TrustedRoot},
};

use super::{Audience, Courier, TOLD_AT_ONCE, TOLD_ON, Talk};
use crate::identity::{
    Ledger,
    rotation::{Succession, Told},
};

/// The root, and the one that is to come: when these change, there is news.
pub(super) type Standing = (RootKeyHash, Option<RootKeyHash>);

pub(super) fn standing(ledger: &Ledger) -> Standing {
    let known: &Succession = &ledger.roots().known();
    (known.current().key_hash(), known.next().map(TrustedRoot::key_hash))
}

impl Courier {
    /// Whatever was begun or completed here and not heard from others is told to all.
    pub(super) async fn roots_changed(&mut self) {
        self.tell_roots(TOLD_AT_ONCE);
        self.ledger.set_aside().await;
    }

    fn tell_roots(&mut self, how_many: usize) {
        let now = standing(&self.ledger);
        if std::mem::replace(&mut self.roots_told, now) != now {
            let told = Box::new(self.ledger.roots().known().told());
            self.tell(Audience::Some(how_many), &Talk::Told { told, ask: false });
        }
    }

    /// What this node knows of the roots, in short.
    pub(super) fn roots_id(&self) -> StatementId {
        self.ledger.roots().known().id()
    }

    pub(super) fn compare_roots(&self, from: &NodeId, theirs: StatementId) {
        let known = self.ledger.roots().known();
        if known.id() != theirs {
            self.answer(from, &Talk::Told { told: Box::new(known.told()), ask: true });
        }
    }

    pub(super) async fn take_roots(&mut self, from: &NodeId, told: Told, ask: bool) {
        let theirs = told.clone();
        match self.ledger.roots().learn(told).await {
            Ok(true) => {
                self.tell_roots(TOLD_ON);
                self.ledger.set_aside().await;
                // What the other has revoked may be believed only now.
                self.compare(Audience::Node(from.clone()));
            }
            Ok(false) => {
                let known = self.ledger.roots().known().told();
                if ask && known != theirs {
                    self.answer(from, &Talk::Told { told: Box::new(known), ask: false });
                }
            }
            Err(error) => {
                let carrier = format!("node {from}");
                self.audit.refused(&carrier, "change the root", &carrier, error);
            }
        }
    }
}
