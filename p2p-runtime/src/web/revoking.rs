//! Revoking by the operator, over the node's own socket: nodes, keys and tokens; and what was revoked.

use std::{fmt, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use p2p_client::{
    protocol::{ErrorCode, NodeId, RpcError, UnixMillis},
    revocation::{KeyHash, Reason, Statement, Subject},
};
use serde::{Deserialize, Serialize};

use crate::identity::{Issuer, RevokeError, TokenId, TokenRecord};

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
    /// A node, with the key that this coordinator knows it by.
    Node(NodeId),
    /// A key, and with it all that it signed.
    Key(KeyHash),
    /// A join token, of any coordinator.
    Token(TokenId),
}

impl fmt::Display for RevokeWhat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node_id) => write!(f, "node {node_id}"),
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
    let (whom, reason) = (request.what.to_string(), request.reason.clone());
    let (subjects, known) = subjects(&state, request.what)?;
    let made = state.ledger.revoke(subjects, request.reason).await;
    state.cx.audit().done(requester.subject("revoke").to(&whom), made.as_ref().map(|_| reason.as_str()));
    let made = made.map_err(|error| refusal(&error))?;
    Ok(Json(RevokeReply { made: made.iter().map(RevocationInfo::from).collect(), known }))
}

/// What to say to take this back, and whether this node has heard of it.
fn subjects(state: &WebState, what: RevokeWhat) -> Result<(Vec<Subject>, bool), Refusal> {
    match what {
        RevokeWhat::Node(node_id) => {
            let issued = match &state.issuer {
                Some(issuer) => issuer.issued(&node_id).map_err(internal)?,
                None => None,
            };
            let is_member = state.cx.membership().is_some_and(|membership| membership.members().get(&node_id).is_some());
            let known = issued.is_some() || is_member;
            let mut subjects = vec![Subject::Node { node_id }];
            // Its key, too: another coordinator may be renewing its certificate at this moment.
            subjects.extend(issued.map(|issued| Subject::Key { key: issued.key.into() }));
            Ok((subjects, known))
        }
        RevokeWhat::Key(key) => Ok((vec![Subject::Key { key }], true)),
        RevokeWhat::Token(id) => {
            let record = state.issuer.iter().flat_map(Issuer::tokens).find(|record| record.id == id);
            let expires = record.as_ref().map(|record| record.expires);
            Ok((vec![Subject::JoinToken { id: id.to_string(), expires }], record.is_some()))
        }
    }
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
        RevokeError::NotCoordinator | RevokeError::Itself { .. } => (StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL),
    };
    Refusal(status, RpcError::new(code, error.to_string()))
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, RpcError::new(ErrorCode::INTERNAL, error.to_string()))
}
