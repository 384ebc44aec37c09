//! Taking a node back, with all by which it could come back: its name, its key, and the authorities of a coordinator.

use std::collections::BTreeSet;

use p2p_client::{
    protocol::{NodeId, NodeInfo, Role},
    revocation::{KeyHash, Reason, RevocationSet, Statement, Subject},
};

use super::rotation::{Rotator, said_to_hold};
use crate::{
    identity::{
        Issuer, RevokeError,
        rotation::{GrantedAuthority, published_authority},
    },
    network::Membership,
};

/// What becomes of the certificates that a coordinator has issued, when it is taken back itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssuedBefore {
    /// Its issuing authorities are revoked with it, and with them all that they have issued: whoever has its store makes nodes of any name.
    Revoked,
    /// They stay in force, as nobody can have its store.
    Kept,
}

/// What came of taking a node back.
#[derive(Debug, Clone, Default)]
pub struct RevokedNode {
    /// What was said; nothing where all of it was said before.
    pub made: Vec<Statement>,
    /// Whether this coordinator has ever heard of the node.
    pub is_known: bool,
    /// The nodes that were last seen with a certificate which this coordinator has issued. No node speaks with them any more: they join again.
    pub stranded: BTreeSet<NodeId>,
    /// The nodes that may outlive what was revoked: while they stood on it, they got a certificate or an authority of this coordinator. Whoever had the revoked
    /// keys may have made them, or they are honest: nobody revokes them but an operator who knows. Other coordinators name those in their own records.
    pub descended: BTreeSet<NodeId>,
    /// Whether the coordinator that was taken back may have the root key: it was given it, or has ever said so as far as this coordinator heard. Then whoever has its store makes authorities of any name, and only a
    /// new root ends that ([`rotate_root`](super::Node::rotate_root)).
    pub held_root_key: bool,
    /// The authorities that were left in force, as it was asked for, or as this node's own certificate stands on them.
    pub kept: BTreeSet<KeyHash>,
    /// The nodes that were last seen with a certificate by one of these.
    pub on_kept: BTreeSet<NodeId>,
    /// Whether it is a coordinator of which no issuing authority is known here: if it had one, that is in force.
    pub without_authority: bool,
}

/// Why a node was not taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeNodeError {
    /// What it was given cannot be read.
    #[error("it cannot be told what the node was given: {0}")]
    Records(String),
    /// It may have somebody's hands on it.
    #[error(
        "{node_id} is alive, or was a moment ago, and what it has issued is kept of a lost coordinator alone; revoke it without --keep-issued, or stop it, and try \
         again when `p2p nodes` shows it as dead"
    )]
    StillThere {
        /// The coordinator.
        node_id: NodeId,
    },
    /// It has issued nothing.
    #[error(
        "{node_id} is a worker, which issues no certificates, so that there is nothing to keep; revoke it without --keep-issued"
    )]
    NothingIssued {
        /// The node.
        node_id: NodeId,
    },
    /// Nobody knows whether it is a coordinator.
    #[error(
        "no coordinator of the name {node_id} is known here; check the name with `p2p nodes`, or run the command on a coordinator that knows it; without \
         --keep-issued the name alone is revoked"
    )]
    NoSuchCoordinator {
        /// The name.
        node_id: NodeId,
    },
    /// It was said; what follows from it cannot be read.
    #[error(
        "it is revoked, but who got a certificate or an authority here by it cannot be told: {0}; see whether the store is whole (`p2p store verify`), and run \
         the command again: it names them, and so does this node's log, as soon as it can be told"
    )]
    Descendants(String),
    /// It was not said.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
}

impl Rotator {
    /// Takes a node back: its name, the key that it is bound to, and, unless they are to be kept, the issuing authorities that it was given.
    pub(crate) async fn revoke_node(
        &self,
        node_id: NodeId,
        reason: Reason,
        issued_before: IssuedBefore,
    ) -> Result<RevokedNode, RevokeNodeError> {
        let parts = self.parts();
        let records = |error: &dyn std::fmt::Display| RevokeNodeError::Records(error.to_string());
        let issued = match &parts.issuer {
            Some(issuer) => issuer.issued(&node_id).map_err(|error| records(&error))?,
            None => None,
        };
        let member = parts.cx.membership().and_then(|membership| membership.members().get(&node_id).cloned());
        let authorities = self.authorities_of(&node_id, member.as_deref()).await?;
        let is_known = issued.is_some() || member.is_some();
        let roles = issued.iter().map(|issued| issued.role).chain(member.iter().map(|info| info.role));
        let is_coordinator = !authorities.is_empty() || roles.into_iter().any(|role| role == Role::Coordinator);
        if issued_before == IssuedBefore::Kept {
            self.is_lost(&node_id, member.as_deref(), is_known, is_coordinator)?;
        }
        let without_authority = is_coordinator && authorities.is_empty();
        if issued_before == IssuedBefore::Revoked && node_id != *parts.cx.node_id() {
            self.stand_off(&authorities).await;
        }
        let granted: Vec<_> =
            self.granted().await?.into_iter().filter(|granted| granted.node_id == node_id).map(|granted| granted.key).collect();
        // What was revoked before stays so.
        let is_open = |key: &KeyHash| !parts.ledger.revocations().is_key_revoked(key);
        let is_kept = |key: &KeyHash| is_open(key) && (issued_before == IssuedBefore::Kept || parts.ledger.stands_on(key));
        let (kept, authorities) = authorities.into_iter().partition::<BTreeSet<_>, _>(is_kept);
        let others_on = |keys| {
            let mut nodes = parts.ledger.roots().standing_on(keys);
            nodes.remove(&node_id);
            nodes
        };
        let (stranded, on_kept) = (others_on(&authorities), others_on(&kept));
        let held_root_key = self.may_hold_a_root(&node_id).await;
        let readmitted = match issued_before {
            IssuedBefore::Kept => readmitted_by(&node_id, &parts.ledger.revocations().set()),
            IssuedBefore::Revoked => Vec::new(),
        };
        let mut subjects = vec![Subject::Node { node_id }];
        // Its key, too: another coordinator may be renewing its certificate at this moment.
        subjects.extend(issued.map(|issued| Subject::Key { key: issued.key.into() }));
        // Nobody believes what an authority under an earlier root has signed; whoever stood on it when the root was changed is found by it.
        let earlier = match issued_before {
            IssuedBefore::Kept => BTreeSet::new(),
            IssuedBefore::Revoked => granted.into_iter().filter(is_open).collect(),
        };
        let authorities: BTreeSet<KeyHash> = authorities.union(&earlier).copied().collect();
        subjects.extend(authorities.iter().map(|key| Subject::Key { key: *key }));
        // By the word of this node, as that of a revoked one does not count.
        subjects.extend(readmitted);
        let made = parts.ledger.revoke(subjects, reason).await?;
        // Not before: what others got meanwhile is found, too.
        let descended = self.descendants(authorities.iter().copied()).await.map_err(RevokeNodeError::Descendants)?;
        self.was_named(&made, authorities).await;
        Ok(RevokedNode { made, is_known, stranded, descended, held_root_key, kept, on_kept, without_authority })
    }

    /// Whether this can be a coordinator that is lost: what it has issued is kept of no other.
    fn is_lost(
        &self,
        node_id: &NodeId,
        member: Option<&NodeInfo>,
        is_known: bool,
        is_coordinator: bool,
    ) -> Result<(), RevokeNodeError> {
        let node_id = node_id.clone();
        if node_id == *self.parts().cx.node_id() {
            // That it is this node itself says more.
            return Ok(());
        }
        if member.is_some_and(NodeInfo::is_callable) {
            return Err(RevokeNodeError::StillThere { node_id });
        }
        if is_coordinator || self.parts().ledger.revocations().set().revoked_at(&node_id).is_some() {
            return Ok(());
        }
        Err(if is_known { RevokeNodeError::NothingIssued { node_id } } else { RevokeNodeError::NoSuchCoordinator { node_id } })
    }

    /// Takes a key back, and with it all that it has signed.
    pub(crate) async fn revoke_key(&self, key: KeyHash, reason: Reason) -> Result<RevokedNode, RevokeNodeError> {
        let parts = self.parts();
        self.stand_off(&[key].into()).await;
        let mut stranded = parts.ledger.roots().standing_on(&[key].into());
        stranded.remove(parts.cx.node_id());
        let owner = self.owner_of(&key).await?;
        let held_root_key = match owner {
            Some(owner) => self.may_hold_a_root(&owner).await,
            None => false,
        };
        let made = parts.ledger.revoke(vec![Subject::Key { key }], reason).await?;
        let descended = self.descendants([key]).await.map_err(RevokeNodeError::Descendants)?;
        self.was_named(&made, [key]).await;
        Ok(RevokedNode { made, is_known: true, stranded, descended, held_root_key, ..RevokedNode::default() })
    }

    /// Whether a coordinator may have the key of a root that is trusted: it says so, has ever said so, was given it, or has changed the root by it.
    ///
    /// Where the records of it cannot be read, it may: what is revoked is not held up by a question that only bears on what else is to be done.
    async fn may_hold_a_root(&self, node_id: &NodeId) -> bool {
        let parts = self.parts();
        let known = parts.ledger.roots().known();
        let changed_it = known.begun().map(|(_, by, _)| by).into_iter().chain(known.completed().map(|(_, by)| by));
        if changed_it.into_iter().any(|by| by == node_id) {
            return true;
        }
        let info = parts.cx.membership().and_then(|membership| membership.members().get(node_id).cloned());
        if info.is_some_and(|info| !said_to_hold(&info, &known).is_empty()) {
            return true;
        }
        let Some(keys) = &parts.keys else { return false };
        match keys.may_hold().await {
            Ok(noted) => noted.any.contains(node_id),
            Err(error) => {
                tracing::warn!(node = %node_id, %error, "whether it was ever given the root key cannot be read; it is taken for one that was");
                true
            }
        }
    }

    /// The coordinator to which this authority was given, as far as it is known here.
    async fn owner_of(&self, key: &KeyHash) -> Result<Option<NodeId>, RevokeNodeError> {
        let granted = self.granted().await?;
        if let Some(granted) = granted.into_iter().find(|granted| granted.key == *key) {
            return Ok(Some(granted.node_id));
        }
        let known = self.parts().ledger.roots().known();
        let members = self.parts().cx.membership().map(Membership::members);
        let mut all = members.iter().flat_map(|members| members.iter());
        Ok(all.find(|info| published_authority(info, &known) == Some(*key)).map(|info| info.node_id.clone()))
    }

    /// The authorities that were given here, whosever they are.
    async fn granted(&self) -> Result<Vec<GrantedAuthority>, RevokeNodeError> {
        match &self.parts().keys {
            Some(keys) => keys.granted().await.map_err(|error| RevokeNodeError::Records(error.to_string())),
            None => Ok(Vec::new()),
        }
    }

    /// Has this node's certificate made anew where it stands on one of these authorities: it may still have the one by which another coordinator let it
    /// in, and can vouch for itself.
    async fn stand_off(&self, authorities: &BTreeSet<KeyHash>) {
        let parts = self.parts();
        // It would stand on these again.
        let own = parts.issuer.as_ref().and_then(Issuer::authority).map(|authority| authority.key);
        let known = parts.ledger.roots().known();
        let stays = |key: &KeyHash| {
            own == Some(*key)
                || known.trusted().any(|root| KeyHash::from(root.key_hash()) == *key)
                || KeyHash::from(parts.identity.key().public().thumbprint()) == *key
        };
        if authorities.iter().any(|key| parts.ledger.stands_on(key) && !stays(key))
            && let Err(error) = parts.renewer.renew().await
        {
            tracing::warn!(%error, "this node's certificate stands on an authority that is to be revoked, and was not renewed");
        }
    }

    /// The issuing authorities of this coordinator under a root that is trusted: those in this node's records, and the one that it [proves](published_authority)
    /// to be its own. What is not proved counts for nothing: whoever has taken a node over could else have the key of an honest one revoked with it; and what
    /// others say of a key does not shield it.
    async fn authorities_of(&self, node_id: &NodeId, info: Option<&NodeInfo>) -> Result<BTreeSet<KeyHash>, RevokeNodeError> {
        let parts = self.parts();
        let granted = self.granted().await?;
        let known = parts.ledger.roots().known();
        let trusted: Vec<KeyHash> = known.trusted().map(|root| root.key_hash().into()).collect();
        let is_theirs = |granted: &&GrantedAuthority| granted.node_id == *node_id && trusted.contains(&granted.root);
        let mut theirs: BTreeSet<_> = granted.iter().filter(is_theirs).map(|granted| granted.key).collect();
        theirs.extend(info.and_then(|info| published_authority(info, &known)));
        Ok(theirs)
    }
}

/// The readmissions that a node has signed, and that are in force by its word. Of one that is revoked there are none.
fn readmitted_by(node_id: &NodeId, set: &RevocationSet) -> Vec<Subject> {
    if set.revoked_at(node_id).is_some() {
        return Vec::new();
    }
    let in_force: BTreeSet<_> = set.readmitted().collect();
    let said = set.iter().filter(|(_, statement)| statement.by.node_id == *node_id).map(|(_, statement)| &statement.subject);
    let readmissions = said.filter(|subject| match subject {
        Subject::Readmission { node_id: readmitted, key } => readmitted != node_id && in_force.contains(&(readmitted, key)),
        _ => false,
    });
    readmissions.cloned().collect()
}
