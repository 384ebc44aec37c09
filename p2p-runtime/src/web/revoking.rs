//! Revoking by the operator, over the node's own socket: nodes, keys and tokens; and what was revoked.

use std::{collections::BTreeSet, fmt, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use p2p_client::{
    protocol::{ErrorCode, NodeId, RpcError, UnixMillis},
    revocation::{KeyHash, Reason, RevocationSet, Statement, Subject},
};
use serde::{Deserialize, Serialize};

use crate::{
    identity::{Issuer, RevokeError, TokenId, TokenRecord},
    node::{DESCENDS, IssuedBefore, RevokeNodeError, RevokedNode},
};

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// `POST /admin/revoke`: what to take back, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// What.
    pub what: RevokeWhat,
    /// Why.
    #[serde(default)]
    pub reason: Reason,
}

/// What an operator takes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeWhat {
    /// A node, with the key that this coordinator knows it by; and, of a coordinator, with all that it has issued.
    Node(NodeId),
    /// The same, of a coordinator that is lost and whose store nobody can have: what it has issued stays good.
    LostCoordinator(NodeId),
    /// A key, and with it all that it signed.
    Key(KeyHash),
    /// A join token, of any coordinator.
    Token(TokenId),
}

impl RevokeWhat {
    /// The node that is meant.
    fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Node(node_id) | Self::LostCoordinator(node_id) => Some(node_id),
            Self::Key(_) | Self::Token(_) => None,
        }
    }

    /// What is done, as the audit log has it.
    fn act(&self) -> &'static str {
        if matches!(self, Self::LostCoordinator(_)) { "revoke --keep-issued" } else { "revoke" }
    }
}

impl fmt::Display for RevokeWhat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node_id) | Self::LostCoordinator(node_id) => write!(f, "node {node_id}"),
            Self::Key(key) => write!(f, "key {key}"),
            Self::Token(id) => write!(f, "join token {id}"),
        }
    }
}

/// The answer: what was revoked by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeReply {
    /// The statements that were made; none where all was revoked before.
    pub made: Vec<RevocationInfo>,
    /// Whether this coordinator has ever heard of what was named.
    pub known: bool,
    /// Other nodes that are out with it: it had let them in again after they were revoked.
    #[serde(default)]
    pub out_again: BTreeSet<NodeId>,
    /// Nodes that are out with it, as it had issued their certificates: they join again in their folders.
    #[serde(default)]
    pub stranded: BTreeSet<NodeId>,
    /// Nodes that may outlive what was revoked: while they stood on it, they got a certificate or an authority of the coordinator that answers. They are
    /// not revoked: operators look at them.
    #[serde(default)]
    pub descended: BTreeSet<NodeId>,
    /// Whether it may have the root key, as it was given it or has ever said so: whoever has its store then makes authorities of any name, until there is a new root.
    #[serde(default)]
    pub held_root_key: bool,
    /// Its issuing authorities that are still in force: as it was asked for, or as this node's own certificate stands on them.
    #[serde(default)]
    pub kept: BTreeSet<KeyHash>,
    /// Nodes that were last seen with a certificate by one of these.
    #[serde(default)]
    pub on_kept: BTreeSet<NodeId>,
    /// Whether it is a coordinator of which no issuing authority is known: if it had one, that is in force.
    #[serde(default)]
    pub without_authority: bool,
}

/// A revocation, for reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevocationInfo {
    /// What was revoked.
    pub subject: Subject,
    /// When, by its author's clock.
    pub at: UnixMillis,
    /// By which coordinator.
    pub by: NodeId,
    /// Why.
    pub reason: Reason,
}

impl From<&Statement> for RevocationInfo {
    fn from(statement: &Statement) -> Self {
        let Statement { subject, at, by, reason } = statement.clone();
        Self { subject, at, by: by.node_id, reason }
    }
}

pub(super) async fn revoke(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(request): Json<RevokeRequest>,
) -> Result<Json<RevokeReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/revoke")?;
    let (act, whom, reason) = (request.what.act(), request.what.to_string(), request.reason.clone());
    let named = request.what.node().cloned();
    let before = state.ledger.revocations().set();
    let done = carry_out(&state, request).await;
    state.cx.audit().done(requester.subject(act).to(&whom), done.as_ref().map(|_| reason.as_str()));
    let revoked = done.map_err(|error| match error {
        RevokeNodeError::Revoke(error) => refusal(&error),
        RevokeNodeError::StillThere { .. }
        | RevokeNodeError::NothingIssued { .. }
        | RevokeNodeError::NoSuchCoordinator { .. } => {
            Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, error.to_string()))
        }
        other => internal(other),
    })?;
    let RevokedNode { made, is_known, stranded, descended, held_root_key, kept, on_kept, without_authority } = revoked;
    for key in &kept {
        state.cx.audit().done::<RevokeNodeError>(requester.subject("keep in force").to(&format!("key {key}")), Ok(&whom));
    }
    for node_id in &descended {
        state.cx.audit().pending(requester.subject(DESCENDS).to(&format!("node {node_id}")), &whom);
    }
    let out_again = out_again(&before, &state.ledger.revocations().set(), named.as_ref());
    let made = made.iter().map(RevocationInfo::from).collect();
    Ok(Json(RevokeReply {
        made,
        known: is_known,
        out_again,
        stranded,
        descended,
        held_root_key,
        kept,
        on_kept,
        without_authority,
    }))
}

async fn carry_out(state: &WebState, RevokeRequest { what, reason }: RevokeRequest) -> Result<RevokedNode, RevokeNodeError> {
    let (subject, is_known) = match what {
        RevokeWhat::Node(node_id) => return state.rotator.revoke_node(node_id, reason, IssuedBefore::Revoked).await,
        RevokeWhat::LostCoordinator(node_id) => {
            return state.rotator.revoke_node(node_id, reason, IssuedBefore::Kept).await;
        }
        RevokeWhat::Key(key) => return state.rotator.revoke_key(key, reason).await,
        RevokeWhat::Token(id) => {
            let record = state.issuer.iter().flat_map(Issuer::tokens).find(|record| record.id == id);
            let expires = record.as_ref().map(|record| record.expires);
            (Subject::JoinToken { id: id.to_string(), expires }, record.is_some())
        }
    };
    let made = state.ledger.revoke(vec![subject], reason).await?;
    Ok(RevokedNode { made, is_known, ..RevokedNode::default() })
}

/// The nodes that are revoked now and were not before, but for the one that was meant.
fn out_again(before: &RevocationSet, after: &RevocationSet, meant: Option<&NodeId>) -> BTreeSet<NodeId> {
    after.nodes().filter(|node_id| Some(*node_id) != meant && before.revoked_at(node_id).is_none()).cloned().collect()
}

pub(super) async fn revocations(
    State(state): State<Arc<WebState>>,
    requester: Requester,
) -> Result<Json<Vec<RevocationInfo>>, Refusal> {
    requester.must_be_operator(&state, "/admin/revocations")?;
    let set = state.ledger.revocations().set();
    let mut all: Vec<_> = set.iter().map(|(_, statement)| RevocationInfo::from(&**statement)).collect();
    all.sort_by_key(|revocation| revocation.at);
    Ok(Json(all))
}

pub(super) async fn tokens(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<Vec<TokenRecord>>, Refusal> {
    requester.must_be_operator(&state, "/admin/tokens")?;
    match &state.issuer {
        Some(issuer) => Ok(Json(issuer.tokens())),
        None => {
            let text = "this node issues no tokens; run `p2p token list` on a coordinator";
            Err(Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, text)))
        }
    }
}

fn refusal(error: &RevokeError) -> Refusal {
    let (status, code) = match error {
        RevokeError::NotCoordinator
        | RevokeError::Itself { .. }
        | RevokeError::OwnAuthority { .. }
        | RevokeError::OwnIssuing { .. }
        | RevokeError::Full(_)
        | RevokeError::SingleTokens { .. } => (StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL),
    };
    Refusal(status, RpcError::new(code, error.to_string()))
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, RpcError::new(ErrorCode::INTERNAL, error.to_string()))
}

#[cfg(test)]
mod tests {
    use p2p_client::revocation::{Author, SetFull, StatementId};

    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn what_the_operator_can_do_something_about_is_a_conflict() {
        let conflicts = [
            RevokeError::NotCoordinator,
            RevokeError::Itself { node_id: node("c") },
            RevokeError::OwnAuthority { key: KeyHash::new([1; 32]) },
            RevokeError::OwnIssuing { key: KeyHash::new([1; 32]) },
            RevokeError::Full(SetFull),
            RevokeError::SingleTokens { credential: "c".to_owned() },
        ];
        for error in conflicts {
            let Refusal(status, said) = refusal(&error);
            assert_eq!((status, said.code, said.message), (StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST, error.to_string()));
        }
        let broken = RevokeError::Vault(crate::identity::VaultError::new(std::io::Error::other("the disk is full")));
        assert_eq!(refusal(&broken).0, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn nodes_that_a_revoked_coordinator_had_let_in_again_are_named_and_the_one_that_was_meant_is_not() {
        let said = |at: u64, by: &str, subject: Subject| {
            let by = Author { node_id: node(by), key: KeyHash::new([by.as_bytes()[0]; 32]) };
            let statement = Statement { subject, at: UnixMillis(at), by, reason: Reason::default() };
            (StatementId::of(&statement.encode().unwrap()), statement)
        };
        let revoked = |name: &str| Subject::Node { node_id: node(name) };
        let mut before = RevocationSet::default();
        before.extend([
            said(1, "c", revoked("w")),
            said(2, "c", revoked("v")),
            said(3, "d", Subject::Readmission { node_id: node("w"), key: KeyHash::new([2; 32]) }),
        ]);
        let mut after = before.clone();
        after.extend([said(4, "c", revoked("d"))]);
        assert_eq!(out_again(&before, &after, Some(&node("d"))), [node("w")].into());
        assert!(out_again(&after, &after, Some(&node("d"))).is_empty());
    }
}
