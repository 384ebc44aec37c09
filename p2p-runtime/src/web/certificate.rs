//! The node's own certificate, for the operator on the node's own socket.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use p2p_client::{
    protocol::{ClusterId, ErrorCode, NodeId, Role, RpcError, UnixMillis},
    revocation::KeyHash,
};
use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use crate::identity::{
    Host,
    join::LeftOut,
    renewal::{CertificateInfo, RenewError, Schedule},
};

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// `GET /admin/cert`: what the node's certificate says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateReply {
    /// The node.
    pub node_id: NodeId,
    /// What it may do.
    pub role: Role,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The addresses that it was issued for.
    pub addresses: Vec<Host>,
    /// From when it is valid.
    pub from: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
    /// When the node renews it by itself.
    pub renewed_at: UnixMillis,
    /// The SHA-256 of the certificate, in hexadecimal.
    pub sha256: String,
    /// The SHA-256 of its public key.
    pub key: KeyHash,
}

/// `POST /admin/cert/renew`: the new certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewalReply {
    /// What it says.
    pub certificate: CertificateReply,
    /// Addresses that could not be proved, and are not in it.
    pub left_out: Vec<LeftOut>,
}

impl From<&CertificateInfo> for CertificateReply {
    fn from(info: &CertificateInfo) -> Self {
        let millis = |time: UnixTime| UnixMillis(time.as_secs().saturating_mul(1000));
        let peer = info.peer.clone();
        let due = Schedule::new(peer.node_id.clone()).due(info.from, info.until);
        Self {
            node_id: peer.node_id,
            role: peer.role,
            cluster: peer.cluster,
            addresses: info.addresses.clone(),
            from: millis(info.from),
            until: millis(info.until),
            renewed_at: millis(due),
            sha256: info.hash.to_string(),
            key: info.key,
        }
    }
}

pub(super) async fn show(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<CertificateReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/cert")?;
    current(&state).map(Json)
}

fn current(state: &WebState) -> Result<CertificateReply, Refusal> {
    let failed = |text: String| Refusal(StatusCode::INTERNAL_SERVER_ERROR, RpcError::new(ErrorCode::INTERNAL, text));
    state.identity.certificate().map(|info| CertificateReply::from(&info)).map_err(|error| failed(error.to_string()))
}

pub(super) async fn renew(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<RenewalReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/cert/renew")?;
    let renewed = state.renewer.renew().await;
    state.cx.audit().done(requester.subject("cert renew"), renewed.as_ref().map(|_| ""));
    let left_out = renewed.map_err(|error| refusal(&error))?;
    Ok(Json(RenewalReply { certificate: current(&state)?, left_out }))
}

fn refusal(error: &RenewError) -> Refusal {
    let (status, code) = match error {
        RenewError::NoCoordinator | RenewError::Unreachable { .. } => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::UNAVAILABLE),
        RenewError::Refused(_) => (StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL),
    };
    Refusal(status, RpcError::new(code, error.to_string()))
}
