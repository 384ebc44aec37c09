//! The issuing authority of a coordinator: under which root it stands, how it is replaced while the node runs, and what it has issued.

use std::sync::Arc;

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{NodeId, Role, UnixMillis},
    revocation::{KeyHash, RevocationSet},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        approval::{Approvals, PendingNode},
        ca::{IssuingCa, NODE_VALIDITY, NodeNames, is_signed_by},
        error::IdentityError,
        join::Refused,
        key::{NodeKey, PublicKey},
        rotation::AllIssued,
        token::TokenId,
        token_table::TokenRecord,
        vault::{Change, Vault, VaultError},
    },
    ISSUING_CERT, ISSUING_KEY, Inner, IssuedNode, Issuer, NODES, TokenTable, approving, lock, node_change, tokens_change,
};

/// A coordinator's authority to issue certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Until when it is valid.
    pub until: UnixMillis,
    /// The key of the root that it stands under: the root's fingerprint.
    pub root: KeyHash,
    /// Its own key: who has this key makes nodes of any name, until it is revoked.
    pub key: KeyHash,
}

/// What was taken back although no operator asked for it: it stands on a root that is not trusted any more, or in a store that went back in time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Voided {
    /// Which open tokens.
    pub(crate) tokens: Vec<TokenId>,
    /// Which requests to join.
    pub(crate) requests: Vec<PendingNode>,
}

/// One of them, as the audit log tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VoidedOne {
    pub(crate) what: &'static str,
    pub(crate) whom: String,
    pub(crate) why: String,
}

impl Voided {
    /// All of it; `because` says what is wrong with the tokens: "names a root that …".
    pub(crate) fn each(&self, because: &str) -> impl Iterator<Item = VoidedOne> {
        let tokens = self.tokens.iter().map(move |token| VoidedOne {
            what: "take back the join token",
            whom: token.to_string(),
            why: format!("it {because}"),
        });
        let requests = self.requests.iter().map(move |node| {
            let was = if node.approved.is_some() { "it was approved" } else { "nothing was decided" };
            let why = format!("token {} {because}; {was}", node.token);
            VoidedOne { what: "drop the request to join", whom: node.in_audit(), why }
        });
        tokens.chain(requests)
    }

    /// Tells the audit log of each.
    fn tell(&self, because: &str) {
        for VoidedOne { what, whom, why } in self.each(because) {
            Line::new("this node", what, Outcome::Done).whom(whom).from("here").reason(why).write();
        }
    }
}

impl Inner {
    /// The authority and the key of the root that it stands under, if that is one that is trusted and wanted. One that was revoked is none: nobody would
    /// believe what it issues.
    pub(super) fn ca(&self, under: Option<KeyHash>) -> Result<(Arc<IssuingCa>, KeyHash), Refused> {
        let ca = self.ca.load_full().filter(|ca| !self.is_revoked(ca)).ok_or(Refused::NoAuthority)?;
        let known = self.ledger.roots().known();
        let root = known.trusted().find(|root| is_signed_by(root, ca.certificate())).ok_or(Refused::NoAuthority)?;
        let root = root.key_hash().into();
        if under.is_some_and(|under| under != root) { Err(Refused::NoAuthority) } else { Ok((ca, root)) }
    }

    fn is_revoked(&self, ca: &IssuingCa) -> bool {
        self.ledger.revocations().is_key_revoked(&ca.key().public().thumbprint().into())
    }

    /// Issues a certificate. Gives the chain to show with it, and the key of the root that it leads to.
    pub(super) fn certify(
        &self,
        key: &PublicKey,
        names: &NodeNames<'_>,
        now: UnixTime,
        under: Option<KeyHash>,
    ) -> Result<(Vec<CertificateDer<'static>>, KeyHash), Refused> {
        let (ca, root) = self.ca(under)?;
        let chain = ca.issue(key, names, now)?;
        Ok((self.ledger.roots().known().present(&chain), root))
    }

    /// Takes back all open tokens and the requests that came by some; `more` is written with that, as one.
    fn void_open_tokens(&self, more: impl FnOnce(usize) -> Result<Vec<Change>, VaultError>) -> Result<Voided, VaultError> {
        let _writing = lock(&self.writing);
        let now = (self.options.clock)();
        let mut next = TokenTable::clone(&self.tokens.load());
        let approvals = self.approvals.load_full();
        let voided = Voided { tokens: next.void_open(now), requests: approvals.open(now) };
        let mut changes = vec![tokens_change(&next)?];
        changes.extend(approving::changes(&approvals, &Approvals::default())?);
        changes.extend(more(voided.tokens.len())?);
        self.vault.update(changes)?;
        self.tokens.store(Arc::new(next));
        self.approvals.store(Arc::new(Approvals::default()));
        self.decided.send_replace(());
        Ok(voided)
    }

    /// The key of the cluster's root, and since when it is that, as far as it is known.
    fn root(&self) -> (KeyHash, Option<UnixMillis>) {
        let known = self.ledger.roots().known();
        (known.current().key_hash().into(), known.completed().map(|(at, _)| at))
    }

    /// Whether this token names a root that is not the cluster's any more.
    pub(super) fn is_outdated(&self, token: &TokenRecord) -> bool {
        let (root, since) = self.root();
        token.is_outdated(root, since)
    }

    fn void_outdated(&self) -> Result<Voided, VaultError> {
        let _writing = lock(&self.writing);
        let (now, (root, since)) = ((self.options.clock)(), self.root());
        let mut tokens = TokenTable::clone(&self.tokens.load());
        let before = self.approvals.load_full();
        let mut approvals = Approvals::clone(&before);
        let is_outdated = |token| tokens.get(token).is_some_and(|token| token.is_outdated(root, since));
        let requests = approvals.drop_those_by(is_outdated, now);
        let voided = Voided { tokens: tokens.void_outdated(root, since, now), requests };
        if voided == Voided::default() {
            return Ok(voided);
        }
        let mut changes = vec![tokens_change(&tokens)?];
        changes.extend(approving::changes(&before, &approvals)?);
        self.vault.update(changes)?;
        self.tokens.store(Arc::new(tokens));
        self.approvals.store(Arc::new(approvals));
        self.decided.send_replace(());
        Ok(voided)
    }

    fn note_left(&self, node_id: &NodeId) -> Result<(), Refused> {
        let _writing = lock(&self.writing);
        let Some(node) = self.bound(node_id)? else { return Ok(()) };
        Ok(self.vault.update(vec![node_change(&IssuedNode { has_left: true, ..node })?])?)
    }
}

impl Issuer {
    /// This coordinator's authority; `None` until it has one under a root that is trusted.
    pub fn authority(&self) -> Option<Authority> {
        let (ca, root) = self.0.ca(None).ok()?;
        let (_, until) = super::super::ca::validity(ca.certificate()).ok()?;
        Some(Authority { until, root, key: ca.key().public().thumbprint().into() })
    }

    /// Whether it needs an authority under the root under which certificates are to be made, or another key, as its own was revoked.
    pub(crate) fn needs_authority(&self) -> bool {
        let known = self.0.ledger.roots().known();
        self.0.ca.load().as_ref().is_none_or(|ca| !known.is_wanted(ca.certificate()) || self.0.is_revoked(ca))
    }

    /// Takes this authority, which the root has signed, into use: into the store first.
    ///
    /// # Errors
    /// It is none for this key under the root that is wanted, or the store fails; then the old one stays in use.
    pub(crate) async fn adopt_authority(&self, key: NodeKey, cert: CertificateDer<'static>) -> Result<(), IdentityError> {
        self.blocking(move |inner| {
            let _writing = lock(&inner.writing);
            let known = inner.ledger.roots().known();
            let ca = IssuingCa::from_parts(key, cert, known.wanted().clone())?;
            if !known.is_wanted(ca.certificate()) {
                return Err(super::super::ca::CaError::NotAnAuthority("it is not under the cluster's root".into()).into());
            }
            inner.vault.update(vec![
                Change::Put(ISSUING_KEY.into(), ca.key().to_pkcs8()),
                Change::Put(ISSUING_CERT.into(), ca.certificate().to_vec().into()),
            ])?;
            inner.ca.store(Some(Arc::new(ca)));
            Ok(())
        })
        .await
        .unwrap_or_else(|lost| Err(lost.into()))
    }

    /// Takes back all open tokens with the requests that wait for an operator, writes `more` with that, which is told how many tokens there were: where
    /// the store turned out to be an older copy. Whoever waits is told, and so is the audit log of each.
    ///
    /// # Errors
    /// The store fails; the tokens then still work.
    pub(crate) async fn void_open_tokens(
        &self,
        more: impl FnOnce(usize) -> Result<Vec<Change>, VaultError> + Send + 'static,
    ) -> Result<Voided, VaultError> {
        let voided = self.blocking(move |inner| inner.void_open_tokens(more)).await.flatten()?;
        voided.tell("stood open in an older copy of the store, which was put back");
        Ok(voided)
    }

    /// Takes back the open tokens that name another root than the one that is trusted, with the requests that wait for an operator by such tokens:
    /// whoever waits is told, and so is the audit log, of each token and request.
    ///
    /// # Errors
    /// The store fails; then they still stand in the lists.
    pub(crate) async fn void_outdated(&self) -> Result<Voided, VaultError> {
        let voided = self.blocking(Inner::void_outdated).await.flatten()?;
        voided.tell("names a root that is not trusted any more");
        Ok(voided)
    }

    /// Notes that a node has left for good, so that nobody waits for it.
    pub(crate) async fn note_left(&self, node_id: NodeId) -> Result<(), Refused> {
        self.blocking(move |inner| inner.note_left(&node_id)).await.unwrap_or_else(|lost| Err(lost.into()))
    }

    /// All nodes whose certificates this coordinator issued and are still valid at `now`, and those whose records are damaged.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) fn all_issued(&self, now: UnixMillis) -> Result<AllIssued, VaultError> {
        let mut issued = self.ever_issued()?;
        let life = u64::try_from(NODE_VALIDITY.as_millis()).unwrap_or(u64::MAX);
        issued.nodes.retain(|node| node.written().0.saturating_add(life) > now.0);
        Ok(issued)
    }

    /// All nodes whose certificates this coordinator ever issued, and those whose records are damaged.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) fn ever_issued(&self) -> Result<AllIssued, VaultError> {
        all_records(&*self.0.vault)
    }
}

/// The coordinators that were let in here, by the records in this store: without those that have left since, or were revoked. How old a record is says
/// nothing: a coordinator renews itself.
///
/// # Errors
/// The store fails.
pub(crate) fn let_in_coordinators(vault: &dyn Vault, revoked: &RevocationSet) -> Result<Vec<NodeId>, VaultError> {
    let is_one = |node: &IssuedNode| {
        node.role == Role::Coordinator && !node.has_left && !revoked.is_revoked(&node.node_id, &node.key.into())
    };
    Ok(all_records(vault)?.nodes.into_iter().filter(is_one).map(|node| node.node_id).collect())
}

/// All records in a coordinator's store.
fn all_records(vault: &dyn Vault) -> Result<AllIssued, VaultError> {
    let (mut nodes, mut damaged) = (Vec::new(), Vec::new());
    for path in vault.list(NODES)? {
        let name = path.strip_prefix(NODES).and_then(|name| name.strip_suffix(".json"));
        let Some(node_id) = name.and_then(|name| name.parse().ok()) else { continue };
        let Some(stored) = vault.get(&path)? else { continue };
        match serde_json::from_slice::<IssuedNode>(&stored) {
            Ok(node) => nodes.push(node),
            Err(error) => {
                tracing::error!(%node_id, %error, "the record of this node is damaged");
                damaged.push(node_id);
            }
        }
    }
    Ok(AllIssued { nodes, damaged })
}
