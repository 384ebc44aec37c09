//! Who is let in, and how: the limits of the token, the binding of the node id, what was revoked, and what an operator has decided; then the
//! one durable write.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use p2p_client::{protocol::NodeId, revocation::KeyHash};
use rustls_pki_types::UnixTime;

#[cfg(test)]
use super::super::checks::is_left_out;
use super::{
    super::{
        address::Host,
        approval::{Approvals, JoinRequest, Standing},
        ca::{CertificateHash, NodeNames},
        checks::{Check, bound, holds},
        join::{Candidate, CertReply, Issued, LeftOut, Refused},
        token::TokenId,
        token_table::{Approval, TokenRefused, TokenTable},
        vault::{Change, Vault, VaultError},
    },
    Arrival, Inner, IssuedNode, NotedElsewhere, approving, lock, node_change, tokens_change,
};

/// How a candidate is let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admission {
    /// It takes a use of its token.
    spends: bool,
    /// It was revoked, and that ends for its new key.
    readmits: bool,
    /// What an operator has to do with it.
    pub(super) approving: Approving,
}

/// What an operator has to do with a candidate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Approving {
    /// Nothing.
    NotNeeded,
    /// To decide about it, which is to be noted.
    ToBeAsked,
    /// To decide about it, which is noted.
    Waits,
    /// It is approved, at these addresses.
    Given(Vec<Host>),
}

impl Inner {
    /// Whether and how this candidate is let in. A node that has its certificate by this token and this key asks again,
    /// because the answer was lost, or as an operator had to decide: that takes no use of its token.
    pub(super) fn admit(&self, candidate: &Candidate) -> Result<Admission, Refused> {
        let (key, node_id) = (candidate.key.thumbprint(), &candidate.node_id);
        let readmits = self.may_ask(node_id, &key.into(), candidate.token)?;
        if readmits && self.is_its_key(node_id, &key.into())? {
            return Err(Refused::KeyRevoked { node_id: node_id.clone() });
        }
        let bound = self.bound_now(node_id)?;
        let again = bound.as_ref().is_some_and(|node| node.token == Some(candidate.token) && node.role == candidate.role);
        // Another coordinator may have let a node of this name in; then it is known by what it says of itself.
        let belongs_to = bound.map(|node| node.key.into()).or(self.key_seen(node_id)).or(self.seen(node_id)?);
        if !readmits && !holds(Check::KeyOfId, belongs_to.is_none_or(|owner| owner == key.into())) {
            return Err(Refused::NodeBound { node_id: node_id.clone() });
        }
        let (tokens, now) = (self.tokens.load(), (self.options.clock)());
        let standing = self.approvals.load().standing(candidate, now)?;
        let has_asked = standing != Standing::New;
        let spends = match tokens.authorise(candidate.token, candidate.role, node_id, now) {
            Ok(_) => !has_asked && (!again || readmits),
            // Its use was taken when the request was noted; how long an operator took is not the node's fault.
            Err(TokenRefused::Used | TokenRefused::Expired { .. }) if has_asked => false,
            Err(TokenRefused::Used) if again && !readmits => false,
            Err(refused) => return Err(refused.into()),
        };
        let needs_approval = tokens.get(candidate.token).is_some_and(|token| token.approval == Approval::Manual);
        let approving = match standing {
            _ if !needs_approval => Approving::NotNeeded,
            Standing::New | Standing::Moved => Approving::ToBeAsked,
            Standing::Waiting => Approving::Waits,
            Standing::Approved(addresses) => Approving::Given(addresses),
        };
        Ok(Admission { spends, readmits, approving })
    }

    /// By which key the node was last seen in the cluster, unless that was taken back.
    fn key_seen(&self, node_id: &NodeId) -> Option<KeyHash> {
        self.ledger.roots().key_seen(node_id).filter(|key| !self.ledger.revocations().is_revoked(node_id, key))
    }

    /// Whether a node that was revoked had this key: it is let in again with a new one.
    fn is_its_key(&self, node_id: &NodeId, key: &KeyHash) -> Result<bool, Refused> {
        let noted = self.bound(node_id)?.map(|node| node.key.into());
        Ok(noted.or_else(|| self.ledger.roots().key_seen(node_id)).is_some_and(|noted| noted == *key))
    }

    /// Whether no other coordinator has bound the name of this candidate to another key. Where an operator lets it in again, what was bound before was
    /// taken back.
    pub(super) fn is_free(
        &self,
        candidate: &Candidate,
        admission: &Admission,
        elsewhere: &[NotedElsewhere],
    ) -> Result<(), Refused> {
        if admission.readmits {
            return Ok(());
        }
        let is_free = self.records(None, elsewhere).is_free_for(&candidate.key.thumbprint().into());
        if !holds(Check::KeyElsewhere, is_free.inspect_err(|other| self.told.of(other)).is_ok()) {
            return Err(Refused::NodeBound { node_id: candidate.node_id.clone() });
        }
        Ok(())
    }

    /// Whether nothing was taken back that this node needs to join; and whether it was revoked itself, and is let in again by this token.
    pub(super) fn may_ask(&self, node_id: &NodeId, key: &KeyHash, token: TokenId) -> Result<bool, Refused> {
        let set = self.ledger.revocations().set();
        if set.is_key_revoked(key) {
            return Err(Refused::KeyRevoked { node_id: node_id.clone() });
        }
        let tokens = self.tokens.load();
        let record = tokens.get(token);
        if record.is_some_and(|record| self.is_outdated(record)) {
            return Err(TokenRefused::OldRoot.into());
        }
        let is_revoked = set.is_join_token_revoked(&token.to_string()) || record.is_some_and(|record| record.revoked);
        if !holds(Check::NotRevoked, !is_revoked) {
            return Err(TokenRefused::Revoked.into());
        }
        let Some(revoked_at) = set.revoked_at(node_id) else { return Ok(false) };
        // An operator lets it in again by a token that was made for it by name after it was revoked.
        if record.is_some_and(|record| record.node_id.as_ref() == Some(node_id) && record.created > revoked_at) {
            Ok(true)
        } else {
            Err(Refused::NodeRevoked { node_id: node_id.clone() })
        }
    }

    /// Lets the candidate in, as far as nobody else has to: issues the certificate, or notes that an operator is asked. How it is let in was found
    /// before anybody was called, and is looked at once more, by nobody else at the same time.
    pub(super) fn issue(
        &self,
        candidate: &Candidate,
        found: Admission,
        elsewhere: &[NotedElsewhere],
        mut proved: Vec<Host>,
        mut left_out: Vec<LeftOut>,
        arrived: Arrival,
    ) -> Result<CertReply, Refused> {
        let _writing = lock(&self.writing);
        arrived.must_be_in_time()?;
        let admission = bound(Check::AtTheWrite, self.admit(candidate), Ok(found))?;
        if let Approving::Given(approved) = &admission.approving {
            let moved = proved.extract_if(.., |host| !approved.contains(host)).collect::<Vec<_>>();
            if proved.is_empty() {
                // It lives elsewhere now, which nobody has approved.
                return self.note(candidate, &moved, admission.spends);
            }
            let reason = "it is not among the addresses that an operator approved";
            left_out.extend(moved.into_iter().map(|address| LeftOut { address, reason: reason.into() }));
        }
        match admission.approving {
            Approving::Waits => Ok(self.on_hold(&candidate.key.thumbprint().into())),
            Approving::ToBeAsked => self.note(candidate, &proved, admission.spends),
            Approving::NotNeeded | Approving::Given(_) => {
                self.let_in(candidate, elsewhere, &proved, left_out, &admission).map(CertReply::Issued)
            }
        }
    }

    /// Notes that an operator is asked. That and the use of the token are one durable write.
    fn note(&self, candidate: &Candidate, proved: &[Host], spends: bool) -> Result<CertReply, Refused> {
        let (key, clock) = (candidate.key.thumbprint().into(), (self.options.clock)());
        let mut approvals = Approvals::clone(&self.approvals.load());
        approvals.ask(JoinRequest::of(candidate, proved, clock), clock)?;
        self.write(approvals, spends.then_some(candidate.token), Vec::new())?;
        tracing::info!(node_id = %candidate.node_id, %key, token = %candidate.token, "a node waits for approval");
        Ok(self.on_hold(&key))
    }

    /// Issues the certificate. The use of the token, the binding of the node id and the end of the request are one durable write, before which
    /// the certificate exists nowhere but here.
    fn let_in(
        &self,
        candidate: &Candidate,
        elsewhere: &[NotedElsewhere],
        proved: &[Host],
        left_out: Vec<LeftOut>,
        admission: &Admission,
    ) -> Result<Issued, Refused> {
        let clock = (self.options.clock)();
        let names = NodeNames { node_id: &candidate.node_id, role: candidate.role, addresses: proved };
        let now = UnixTime::since_unix_epoch(Duration::from_millis(clock.0));
        let (chain, root) = self.certify(&candidate.key, &names, now, None)?;
        let times = self.records(self.bound(&candidate.node_id)?.as_ref(), elsewhere).after(clock);
        let record = IssuedNode {
            node_id: candidate.node_id.clone(),
            role: candidate.role,
            key: candidate.key.thumbprint(),
            token: Some(candidate.token),
            issued: times.issued,
            written: times.written(),
            certificate: chain.first().map(CertificateHash::of),
            previous: None,
            root: Some(root),
            has_left: false,
            // It stands on its token: whatever it stood on before, an operator lets it in anew.
            stood_on: BTreeSet::new(),
        };
        let mut approvals = Approvals::clone(&self.approvals.load());
        match admission.approving {
            Approving::Given(_) => approvals.joined(&record.key.into()),
            _ => approvals.remove(&record.key.into()),
        }
        let mut changes = vec![node_change(&record)?];
        let mut readmission = None;
        if admission.readmits {
            let prepared = self.ledger.prepare_readmission(record.node_id.clone(), record.key.into())?;
            changes.push(prepared.change()?);
            readmission = Some(prepared);
        }
        self.write(approvals, admission.spends.then_some(candidate.token), changes)?;
        if let Some(readmission) = readmission {
            self.ledger.take_effect(readmission);
        }
        // Once more: a revocation does not wait for this write. One that was acknowledged before the certificate is handed out is seen here.
        bound(Check::BehindTheWrite, self.may_ask(&record.node_id, &record.key.into(), candidate.token), Ok(false))?;
        tracing::info!(node_id = %record.node_id, role = %record.role, token = %candidate.token, "let a node join");
        Ok(Issued::new(&chain, self.ledger.roots().current().cluster().clone(), (self.options.seed)(), left_out, clock))
    }

    /// Makes these requests, the use of this token and what goes with them durable, as one, and lets them take effect. The caller holds
    /// `writing`.
    fn write(&self, approvals: Approvals, spent: Option<TokenId>, others: Vec<Change>) -> Result<(), VaultError> {
        let mut tokens = TokenTable::clone(&self.tokens.load());
        // Written also where nothing of it has changed: what a join leaves behind has one form.
        if let Some(token) = spent {
            tokens.spend(token);
        }
        let mut changes = vec![tokens_change(&tokens)?];
        changes.extend(others);
        changes.extend(approving::changes(&self.approvals.load(), &approvals)?);
        as_one(&*self.vault, changes)?;
        self.tokens.store(Arc::new(tokens));
        self.approvals.store(Arc::new(approvals));
        Ok(())
    }
}

/// Makes what belongs together durable by one write.
fn as_one(vault: &dyn Vault, changes: Vec<Change>) -> Result<(), VaultError> {
    #[cfg(test)]
    if is_left_out(Check::OneWrite) {
        return changes.into_iter().try_for_each(|change| vault.update(vec![change]));
    }
    vault.update(changes)
}
