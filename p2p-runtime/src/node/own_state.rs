//! How far this node's store has come: what the node says of it to others, and what it does when they remember more.

use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, FutureExt};
use p2p_client::{
    audit::{Line, Outcome},
    protocol::NodeId,
};
use tokio::task::spawn_blocking;

use crate::{
    identity::{Attestor, IdentityError, Issuer, Vault, VaultError},
    network::standing::{Claim, OwnState, Said, Standing},
    storage::Store,
};

use super::{NodeError, lives::Lives, set_back::SetBack, vault::StoreVault};

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
        let store = self.store.upgrade()?;
        let claim = standing(&store).and_then(|(_, standing)| {
            let said = |key| Said::new(self.node_id.clone(), key, standing).to_text();
            self.attestor.sign_note(said).map_err(|error| IdentityError::Damaged(error.to_string()).into())
        });
        match claim {
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
            // What is not its own word is not looked into. It may also be of the key that the node had before it joined anew.
            let was = was.filter(|_| self.attestor.is_own_note(&claim.text, &claim.signature));
            let (Some(was), Some(store)) = (was, self.store.upgrade()) else { return false };
            let noted = match standing(&store).map(|(lives, now)| lives.is_behind(&now, &was.standing)) {
                Ok(true) => self.note(store, was.standing).await,
                Ok(false) => return false,
                Err(error) => Err(error),
            };
            if let Err(error) = &noted {
                tracing::error!(%error, "this node's store went back in time, and that could not be noted; it is tried again");
            }
            noted.is_ok()
        }
        .boxed()
    }
}

impl Own {
    /// Takes back the open join tokens of a store that is an older copy, and marks it: as one write.
    async fn note(&self, store: Arc<Store>, was: Standing) -> Result<(), NodeError> {
        let found = store.revision();
        let mark = {
            let store = store.clone();
            move |voided| SetBack::older_copy(&store, &was, voided).map_err(VaultError::new)
        };
        let voided_tokens = match &self.issuer {
            Some(issuer) => issuer.void_open_tokens(mark).await.map(|voided| voided.tokens.len()),
            None => spawn_blocking(move || StoreVault::new(store).update(mark(0)?).map(|()| 0)).await?,
        };
        let voided_tokens = voided_tokens.map_err(IdentityError::from)?;
        tracing::error!(
            node = %self.node_id,
            %found,
            was = %was.revision,
            voided_tokens,
            "an older copy of this node's store was put back: what was acknowledged since is lost. It takes what was revoked since from the other \
             nodes; make new join tokens with `p2p token create`, and find out who put it back"
        );
        let reason = format!("an older copy of the store was put back; {voided_tokens} open join tokens were taken back");
        Line::new(format_args!("node {}", self.node_id), "store", Outcome::Done)
            .whom("join tokens")
            .from("here")
            .reason(reason)
            .write();
        Ok(())
    }
}

/// How far a store has come, in which life.
fn standing(store: &Store) -> Result<(Lives, Standing), NodeError> {
    let lives = Lives::load(store)?;
    let standing = lives.standing(SetBack::turned(store)?, store.revision());
    Ok((lives, standing))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use p2p_client::revocation::KeyHash;

    use super::*;
    use crate::{identity::tests::cluster, storage::Password};

    #[tokio::test]
    async fn what_a_node_did_not_sign_itself_is_not_looked_into_whatever_it_says() {
        let (identity, _) = cluster();
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::create(folder.path(), &Password::new("for a test").unwrap()).unwrap().0);
        Lives::begin(&store).unwrap();
        let node_id = identity.peer().node_id.clone();
        let own = Own { node_id: node_id.clone(), attestor: identity.attestor(), store: Arc::downgrade(&store), issuer: None };
        let last = Standing { epoch: u64::MAX, turned: 0, ..standing(&store).unwrap().1 };
        let text = |key| Said::new(node_id.clone(), key, last).to_text();
        let made_up = text(KeyHash::new([7; 32])).unwrap();
        assert!(!own.shown(Claim { text: made_up, signature: Bytes::from_static(b"none") }).await);
        assert_eq!(SetBack::turned(&store).unwrap(), 0, "nothing is noted");
        let (text, signature) = own.attestor.sign_note(text).unwrap();
        assert!(own.shown(Claim { text, signature }).await, "control: its own word is believed");
        assert_ne!(SetBack::turned(&store).unwrap(), 0);
    }
}
