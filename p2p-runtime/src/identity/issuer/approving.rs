//! What operators decide about nodes that want to join: kept in the store, and told to the nodes that wait.

use std::time::Duration;

use p2p_client::{
    protocol::NodeId,
    revocation::{KeyHash, Reason},
};
use tokio::time::{Instant, sleep_until};

use super::{
    super::{
        approval::{self, ApprovalError, Approvals, JoinRequest, PendingNode},
        error::IdentityError,
        join::{Applicant, CertReply, Refused, Waiting},
        token_table::TokenRefused,
        vault::{Change, Vault, VaultError, json},
    },
    Inner, Issuer, lock,
};

/// How long the answer to a node that waits is held back, where there is nothing to tell it.
const HOLD: Duration = Duration::from_secs(8);

/// The requests in a coordinator's store.
pub(super) fn load(vault: &dyn Vault) -> Result<Approvals, IdentityError> {
    let mut requests = Vec::new();
    for path in vault.list(approval::FOLDER)? {
        let Some(stored) = vault.get(&path)? else { continue };
        let request: JoinRequest = serde_json::from_slice(&stored)
            .map_err(|error| IdentityError::Damaged(format!("the request to join at {path}: {error}")))?;
        requests.push(request);
    }
    Ok(Approvals::restored(requests))
}

/// What makes a store that holds `before` hold `after`.
pub(super) fn changes(before: &Approvals, after: &Approvals) -> Result<Vec<Change>, VaultError> {
    let path = |key: &KeyHash| format!("{}{key}", approval::FOLDER);
    let change = |(key, request): (KeyHash, Option<&JoinRequest>)| match request {
        Some(request) => Ok(Change::Put(path(&key), json(request)?)),
        None => Ok(Change::Remove(path(&key))),
    };
    after.since(before).map(change).collect()
}

impl Issuer {
    /// The nodes that wait for an operator, and those that were approved and have not come yet; the oldest request first.
    pub fn pending(&self) -> Vec<PendingNode> {
        self.0.approvals.load().open((self.0.options.clock)())
    }

    /// The node that waits under this name; with this key, where one is given.
    ///
    /// # Errors
    /// [`ApprovalError`]: there is none, there are several, or it was decided about before.
    pub fn find_pending(&self, node_id: &NodeId, key: Option<&KeyHash>) -> Result<PendingNode, ApprovalError> {
        self.0.approvals.load().find(node_id, key, (self.0.options.clock)())
    }

    /// Approves the node that was shown: this key under this name, in this role, at these addresses, and nothing else. It is durable when this
    /// returns; the node gets its certificate when it asks next, within a week.
    ///
    /// # Errors
    /// [`ApprovalError`]; nothing has changed then.
    pub async fn approve(&self, shown: PendingNode) -> Result<(), ApprovalError> {
        self.blocking(move |inner| inner.approve(&shown)).await.unwrap_or_else(|lost| Err(lost.into()))
    }

    /// Denies the node that was shown; an approval of which it has made no use is taken back. What it took of its token is not given back.
    ///
    /// # Errors
    /// [`ApprovalError`]; nothing has changed then.
    pub async fn deny(&self, shown: PendingNode, reason: Reason) -> Result<(), ApprovalError> {
        let decide = move |approvals: &mut Approvals, now| approvals.deny(&shown, reason, now).map(drop);
        self.blocking(move |inner| inner.decide(decide)).await.unwrap_or_else(|lost| Err(lost.into()))
    }

    /// Answers a node that waits: as soon as there is something to tell it, or after a while.
    ///
    /// # Errors
    /// Its token names a root that is not the cluster's any more. Such a node is told here: on another connection it would
    /// not believe this coordinator, and ask again and again.
    pub(super) async fn wait(&self, who: &Applicant) -> Result<CertReply, Refused> {
        let mut decided = self.0.decided.subscribe();
        let mut revoked = self.0.ledger.revocations().subscribe();
        let end = Instant::now() + HOLD;
        while self.0.still_waits(&who.key) {
            tokio::select! {
                changed = decided.changed() => if changed.is_err() { break },
                () = revoked.next() => {}
                () = sleep_until(end) => break,
            }
        }
        if self.0.tokens.load().get(who.token).is_some_and(|token| self.0.is_outdated(token)) {
            return Err(TokenRefused::OldRoot.into());
        }
        Ok(self.0.on_hold(&who.key))
    }
}

impl Inner {
    /// What a node with this key is told, for which an operator has to decide.
    pub(super) fn on_hold(&self, key: &KeyHash) -> CertReply {
        let clock = (self.options.clock)();
        let expires = self.approvals.load().get(key).map_or(clock, |request| request.shown().expires);
        CertReply::Waiting(Waiting { coordinator: (self.options.seed)(), decided: !self.still_waits(key), expires, clock })
    }

    /// Whether nothing was decided, and nothing was taken back without which there is nothing to decide.
    fn still_waits(&self, key: &KeyHash) -> bool {
        let approvals = self.approvals.load();
        let shown = approvals.get(key).filter(|_| approvals.is_waiting(key, (self.options.clock)())).map(JoinRequest::shown);
        shown.is_some_and(|shown| self.may_ask(&shown.node_id, key, shown.token).is_ok())
    }

    fn approve(&self, shown: &PendingNode) -> Result<(), ApprovalError> {
        self.decide(|approvals, now| {
            let request = approvals.approve(shown, now)?.shown();
            let readmits = self.may_ask(&request.node_id, &request.key, request.token)?;
            let bound = self.bound_now(&request.node_id)?;
            if !readmits && bound.is_some_and(|node| request.key != node.key.into()) {
                return Err(Refused::NodeBound { node_id: request.node_id }.into());
            }
            Ok(())
        })
    }

    /// Decides, durably, and tells the nodes that wait.
    fn decide(
        &self,
        decide: impl FnOnce(&mut Approvals, p2p_client::protocol::UnixMillis) -> Result<(), ApprovalError>,
    ) -> Result<(), ApprovalError> {
        let _writing = lock(&self.writing);
        let before = self.approvals.load_full();
        let mut approvals = Approvals::clone(&before);
        decide(&mut approvals, (self.options.clock)())?;
        self.vault.update(changes(&before, &approvals)?)?;
        self.approvals.store(approvals.into());
        self.decided.send_replace(());
        Ok(())
    }
}
