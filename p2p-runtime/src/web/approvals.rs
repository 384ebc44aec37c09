//! The nodes that wait for an operator to let them in: `POST /admin/approvals`, by the operator on the node's own socket.
//!
//! A request waits at the coordinator that the node asked. The others, and workers, ask around where it is, by `GET /internal/pending/{node}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use p2p_client::{
    protocol::{Access, ErrorCode, NodeId, RpcError},
    revocation::{KeyHash, Reason},
};
use serde::{Deserialize, Serialize};

use crate::identity::{ApprovalError, Issuer, PendingNode};

use super::{
    coordinators::first_of,
    requester::{Refusal, Requester},
    state::WebState,
};

/// Where nodes ask each other whether a node waits there; its id follows.
pub(super) const PENDING_PATH: &str = "/internal/pending";

/// `POST /admin/approvals`: what to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum ApprovalCommand {
    /// Lists the nodes that wait.
    List,
    /// Shows the one that waits under a name.
    Find {
        /// The name.
        node_id: NodeId,
        /// Its key, where more than one wants that name.
        #[serde(default)]
        key: Option<KeyHash>,
    },
    /// Lets a node in.
    Approve {
        /// Which, exactly as it was shown.
        node: PendingNode,
    },
    /// Lets it not in.
    Deny {
        /// Which, exactly as it was shown.
        node: PendingNode,
        /// Why; the node is told.
        #[serde(default)]
        reason: Reason,
    },
}

/// What the audit log calls it that a node is let in.
const APPROVE: &str = "node approve";
/// And that it is not.
const DENY: &str = "node deny";

impl ApprovalCommand {
    /// What is decided, and about which node. The others only ask.
    const fn decides(&self) -> Option<(&'static str, &PendingNode)> {
        match self {
            Self::List | Self::Find { .. } => None,
            Self::Approve { node } => Some((APPROVE, node)),
            Self::Deny { node, .. } => Some((DENY, node)),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum ApprovalReply {
    /// Those that wait, the oldest first.
    List {
        /// Each of them.
        nodes: Vec<PendingNode>,
    },
    /// The one.
    Find {
        /// It.
        node: PendingNode,
    },
    /// It gets its certificate when it asks next.
    Approve,
    /// It gets none.
    Deny,
}

/// The answer to a node that asks whether another one waits here.
#[derive(Serialize, Deserialize)]
pub(super) struct IsPending {
    waits: bool,
}

pub(super) async fn administer(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(command): Json<ApprovalCommand>,
) -> Result<Json<ApprovalReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/approvals")?;
    let Some(issuer) = &state.issuer else {
        let refused = not_here(&state, &command).await;
        if let Some((what, node)) = command.decides() {
            state.cx.audit().done(requester.subject(what).to(&node.in_audit()), Err(&refused.1.message));
        }
        return Err(refused);
    };
    let reply = match command {
        ApprovalCommand::List => ApprovalReply::List { nodes: issuer.pending() },
        ApprovalCommand::Find { node_id, key } => match issuer.find_pending(&node_id, key.as_ref()) {
            Ok(node) => ApprovalReply::Find { node },
            Err(error) => return Err(nowhere(&state, error).await),
        },
        ApprovalCommand::Approve { node } => {
            approve(&state, &requester, issuer, node).await?;
            ApprovalReply::Approve
        }
        ApprovalCommand::Deny { node, reason } => {
            deny(&state, &requester, issuer, node, reason).await?;
            ApprovalReply::Deny
        }
    };
    Ok(Json(reply))
}

async fn approve(state: &WebState, requester: &Requester, issuer: &Issuer, node: PendingNode) -> Result<(), Refusal> {
    let (whom, more) = told(&node);
    let approved = issuer.approve(node).await;
    state.cx.audit().done(requester.subject(APPROVE).to(&whom), approved.as_ref().map(|()| &*more));
    approved.map_err(|error| refusal(&error))
}

async fn deny(
    state: &WebState,
    requester: &Requester,
    issuer: &Issuer,
    node: PendingNode,
    reason: Reason,
) -> Result<(), Refusal> {
    let (whom, why) = (told(&node).0, reason.clone());
    let denied = issuer.deny(node, reason).await;
    state.cx.audit().done(requester.subject(DENY).to(&whom), denied.as_ref().map(|()| why.as_str()));
    denied.map_err(|error| refusal(&error))
}

/// A node as the audit log tells of it: who it is, and what more was approved with it.
fn told(node: &PendingNode) -> (String, String) {
    let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
    (node.in_audit(), format!("token {}, addresses {}", node.token, addresses.join(", ")))
}

pub(super) async fn is_pending(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Path(node_id): Path<NodeId>,
) -> Result<Json<IsPending>, Refusal> {
    requester.may_read(&state, &Access::Nodes, PENDING_PATH)?;
    let waits = state.issuer.as_ref().is_some_and(|issuer| issuer.pending().iter().any(|node| node.node_id == node_id));
    Ok(Json(IsPending { waits }))
}

/// A worker lets nobody in.
async fn not_here(state: &WebState, command: &ApprovalCommand) -> Refusal {
    let at = match command {
        ApprovalCommand::List => None,
        ApprovalCommand::Find { node_id, .. } => Some(node_id),
        ApprovalCommand::Approve { node } | ApprovalCommand::Deny { node, .. } => Some(&node.node_id),
    };
    let at = match at {
        Some(node_id) => coordinator_of(state, node_id).await,
        None => None,
    };
    let text = match at {
        Some(coordinator) => {
            format!("this node lets nobody in; the request waits at coordinator {coordinator}: run the command there")
        }
        None => "this node lets nobody in; run the command on a coordinator: `p2p nodes` shows which nodes are".to_owned(),
    };
    Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, text))
}

/// Where nobody of a name waits here, the other coordinators are asked.
async fn nowhere(state: &WebState, error: ApprovalError) -> Refusal {
    if let ApprovalError::Unknown { node_id, .. } = &error
        && let Some(coordinator) = coordinator_of(state, node_id).await
    {
        let text = format!("{node_id} does not wait here but at coordinator {coordinator}; run the command there");
        return Refusal(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::INVALID_REQUEST, text));
    }
    refusal(&error)
}

/// The other coordinator at which this node waits. One that cannot be reached cannot be administered now, either.
async fn coordinator_of(state: &WebState, node_id: &NodeId) -> Option<NodeId> {
    let path = format!("{PENDING_PATH}/{node_id}");
    first_of(state, &path, |IsPending { waits }: &IsPending| *waits).await.map(|peer| peer.node_id)
}

fn refusal(error: &ApprovalError) -> Refusal {
    let (status, code) = match error {
        ApprovalError::Vault(_) => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL),
        ApprovalError::Unknown { .. } | ApprovalError::OtherKey { .. } => (StatusCode::NOT_FOUND, ErrorCode::INVALID_REQUEST),
        _ => (StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST),
    };
    Refusal(status, RpcError::new(code, error.to_string()))
}
