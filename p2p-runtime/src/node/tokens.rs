//! Tokens of clients, as a node lives with them: what it knows at its start, what it hears, and the keys that a coordinator makes known.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use p2p_client::{
    protocol::{NodeId, NodeInfo, Role, UnixMillis},
    revocation::{Changes, KeyHash, Revocations},
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    context::Context,
    identity::{
        Clock, IdentityError, Ledger, Vault, VaultError,
        client_token::{KeyRing, METADATA, RevokedTokens, TokenAuthority, TokenVerifier},
    },
    storage::Store,
    web::ClientTokens,
};

use super::{Enrolment, NodeError, vault::WeakVault};

/// How often a coordinator looks whether its key has to be changed.
const LOOK_EVERY: Duration = Duration::from_mins(5);

/// What the node knows of tokens as it starts; on a coordinator, what it makes them with.
pub(super) fn load(enrolment: &Enrolment, ledger: Ledger) -> Result<ClientTokens, NodeError> {
    let vault: Arc<dyn Vault> = Arc::new(WeakVault::new(&enrolment.store));
    let clock: Clock = Arc::new(UnixMillis::now);
    let who = enrolment.identity.peer();
    let ring = KeyRing::load(&*vault)?;
    // What was kept may be from before they were revoked. They make their keys known again.
    for (node_id, _) in readmitted(ledger.revocations()) {
        ring.forget(&node_id, clock());
    }
    let revoked = RevokedTokens::new(ledger);
    let authority = match who.role {
        Role::Coordinator => {
            let refused = |error: crate::identity::GrantRefused| IdentityError::Damaged(error.to_string());
            Some(TokenAuthority::load(vault, who, revoked.clone(), clock.clone()).map_err(refused)?)
        }
        Role::Worker => None,
    };
    if let Some(authority) = &authority {
        ring.announced(&who.node_id, || authority.published(), clock());
    }
    Ok(ClientTokens { verifier: TokenVerifier::new(who.cluster.clone(), ring, revoked, clock), authority })
}

/// What goes on about tokens while the node runs.
pub(super) struct Following {
    ring: KeyRing,
    readmissions: Readmissions,
    authority: Option<TokenAuthority>,
    vault: WeakVault,
}

impl Following {
    pub(super) fn of(tokens: &ClientTokens, revocations: &Revocations, store: &Arc<Store>) -> Self {
        Self {
            ring: tokens.verifier.ring().clone(),
            readmissions: Readmissions::of(revocations),
            authority: tokens.authority.clone(),
            vault: WeakVault::new(store),
        }
    }

    /// Begins, once the node is in its cluster.
    pub(super) fn spawn(self, cx: &Context) {
        let stop = cx.shutdown_token();
        if let Some(authority) = self.authority {
            tokio::spawn(rotate(cx.clone(), authority, self.ring.clone(), stop.clone()));
        }
        tokio::spawn(listen(cx.clone(), self.ring, self.readmissions, self.vault, stop));
    }
}

/// Makes a coordinator's keys known, as they are when that takes effect: to this node, and to the others by what it says of itself. So
/// whoever changed them last, the latest are known in the end.
pub(crate) async fn publish_token_keys(cx: &Context, ring: &KeyRing, authority: &TokenAuthority) {
    ring.announced(cx.node_id(), || authority.published(), UnixMillis::now());
    let Some(membership) = cx.membership() else { return };
    let latest = authority.clone();
    let say = move |me: &mut NodeInfo| drop(me.metadata.insert(METADATA.to_owned(), latest.published().to_metadata()));
    if let Err(error) = membership.update_me(say).await {
        tracing::warn!(%error, "the keys of tokens could not be made known; the others will not believe tokens that they sign");
    }
}

/// Changes a coordinator's key when it is time, until the node stops.
async fn rotate(cx: Context, authority: TokenAuthority, ring: KeyRing, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
        match authority.rotate_if_due().await {
            Ok(true) => {
                tracing::info!("a fresh key signs tokens, in ten minutes");
                publish_token_keys(&cx, &ring, &authority).await;
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the key of tokens could not be changed; trying again in 5 minutes"),
        }
    }
}

/// Takes the keys that coordinators make known, and keeps them for the next start, until the node stops.
async fn listen(cx: Context, ring: KeyRing, mut readmissions: Readmissions, vault: WeakVault, stop: CancellationToken) {
    let Some(membership) = cx.membership().cloned() else { return };
    let (members, mut events) = membership.subscribe();
    // Its own keys a node has at first hand, if it may have any; what it says of itself nobody has checked here.
    let heard = |info: &NodeInfo| info.node_id != *cx.node_id() && ring.heard(info, UnixMillis::now());
    let mut is_new = members.iter().filter(|info| heard(info)).count() > 0;
    loop {
        if is_new && let Err(error) = keep(&ring, &vault).await {
            tracing::warn!(%error, "the coordinators' keys could not be kept; after a restart tokens wait until a coordinator is heard of");
        }
        is_new = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => match event {
                Some(event) => heard(event.info()),
                None => return,
            },
            back = readmissions.next() => {
                let others = back.iter().filter(|node_id| *node_id != cx.node_id());
                let forgotten = others.filter(|node_id| ring.forget(node_id, UnixMillis::now())).count();
                // One of them may have made its new keys known already.
                let heard_again = membership.members().iter().filter(|info| heard(info)).count();
                forgotten + heard_again > 0
            }
        };
    }
}

/// Tells of nodes that are let in again, from when the node loaded its ring: it learns of some before it is in its cluster.
struct Readmissions {
    revocations: Revocations,
    changes: Changes,
    known: BTreeSet<(NodeId, KeyHash)>,
}

impl Readmissions {
    fn of(revocations: &Revocations) -> Self {
        // First, so that nothing is missed in between.
        let changes = revocations.subscribe();
        Self { known: readmitted(revocations), changes, revocations: revocations.clone() }
    }

    /// The nodes that are let in again, none at times.
    async fn next(&mut self) -> BTreeSet<NodeId> {
        self.changes.next().await;
        let before = std::mem::replace(&mut self.known, readmitted(&self.revocations));
        self.known.difference(&before).map(|(node_id, _)| node_id.clone()).collect()
    }
}

/// The nodes that were let in again, with their new keys: nothing that was known of them before counts.
fn readmitted(revocations: &Revocations) -> BTreeSet<(NodeId, KeyHash)> {
    revocations.set().readmitted().map(|(node_id, key)| (node_id.clone(), *key)).collect()
}

async fn keep(ring: &KeyRing, vault: &WeakVault) -> Result<(), VaultError> {
    let (change, vault) = (ring.to_change()?, vault.clone());
    spawn_blocking(move || vault.update(vec![change])).await.map_err(VaultError::new)?
}
