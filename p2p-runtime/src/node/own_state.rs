//! How far this node's store has come: what the node says of it to others, and what it does when they remember more.

use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, FutureExt};
use p2p_client::{
    audit::{Line, Outcome},
    protocol::NodeId,
};
use tokio::task::spawn_blocking;

use crate::{
    identity::{Attestor, IdentityError, Issuer},
    network::standing::{Claim, OwnState, Said, Standing},
    storage::Store,
};

use super::{NodeError, set_back::SetBack};

/// The state of this node.
pub(super) struct Own {
    pub(super) node_id: NodeId,
    pub(super) attestor: Attestor,
    pub(super) store: Weak<Store>,
    /// On a coordinator: who lets nodes in.
    pub(super) issuer: Option<Issuer>,
}

impl OwnState for Own {
    fn claim(&self) -> Option<Claim> {
        let standing = standing(&*self.store.upgrade()?).ok()?;
        let signed = self.attestor.sign_note(|key| Said::new(self.node_id.clone(), key, standing).to_text());
        match signed {
            Ok((text, signature)) => Some(Claim { text, signature }),
            Err(error) => {
                tracing::warn!(%error, "others are not told how far this node's store has come");
                None
            }
        }
    }

    fn shown(&self, claim: Claim) -> BoxFuture<'_, bool> {
        async move {
            let was = claim.said().filter(|said| said.node_id == self.node_id);
            let (Some(was), Some(store)) = (was, self.store.upgrade()) else { return false };
            // It may also be of the key that the node had before it joined anew.
            if !self.attestor.is_own_note(&claim.text, &claim.signature) {
                return false;
            }
            match self.fell_behind(store, was.standing).await {
                Ok(behind) => behind,
                Err(error) => {
                    tracing::error!(%error, "this node's store went back in time, and that could not be noted; it is tried again");
                    false
                }
            }
        }
        .boxed()
    }
}

impl Own {
    /// Compares the store with what it was; where it is behind, takes back its open join tokens and marks it.
    async fn fell_behind(&self, store: Arc<Store>, was: Standing) -> Result<bool, NodeError> {
        let found = standing(&store)?;
        if found >= was {
            return Ok(false);
        }
        let voided_tokens = match &self.issuer {
            Some(issuer) => issuer.void_open_tokens().await.map_err(IdentityError::from)?,
            None => 0,
        };
        let mark = spawn_blocking(move || SetBack::note_older_copy(&store, was, voided_tokens)).await??;
        tracing::error!(
            node = %self.node_id,
            found = %found.revision,
            was = %was.revision,
            voided_tokens = mark.voided_tokens,
            "an older copy of this node's store was put back: what was acknowledged since is lost. It takes what was revoked since from the other \
             nodes; make new join tokens with `p2p token create`, and find out who put it back"
        );
        let reason = format!("an older copy of the store was put back; {} open join tokens were taken back", mark.voided_tokens);
        Line::new(format_args!("node {}", self.node_id), "store", Outcome::Done)
            .whom("join tokens")
            .from("here")
            .reason(reason)
            .write();
        Ok(true)
    }
}

/// How far a store has come.
fn standing(store: &Store) -> Result<Standing, NodeError> {
    Ok(Standing { turns: SetBack::turns(store)?, revision: store.revision() })
}
