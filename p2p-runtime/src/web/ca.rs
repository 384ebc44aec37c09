//! The cluster's authorities: shown to the operator, who changes the root and hands its key on; and what coordinators ask of each other.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
};
use http::StatusCode;
use http_body_util::BodyExt;
use p2p_client::{
    protocol::{CallerId, ClusterId, ErrorCode, NodeId, Role, RpcError, UnixMillis},
    revocation::KeyHash,
    wire::tls::{ChannelBinding, OtherRoot, TrustedRoot},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    identity::{
        Authority, IssuedNode, Issuer, RotateError,
        rotation::{
            AllIssued, AuthorityReply, AuthorityRequest, BadAuthorityRequest, NotShared, Progress, RootHandover, Rotation,
        },
        shown::Shown,
        validity,
    },
    node::ShareError,
    transport::ShownCertificate,
};

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// Whom what coordinators ask of each other is for.
const FOR_COORDINATORS: &str =
    "for coordinators of this cluster, each in its own name, on a connection on which they show their certificates";
/// The largest request of another coordinator, in bytes.
const MAX_REQUEST: usize = 16 * 1024;

/// `GET /admin/ca`: the cluster's authorities, as this node knows them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaReply {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node that answers.
    pub node_id: NodeId,
    /// What it may do.
    pub role: Role,
    /// The cluster's root.
    pub root: RootShown,
    /// When that became the only root, and by which coordinator; of a cluster's first root nothing is known.
    pub since: Option<(UnixMillis, NodeId)>,
    /// This coordinator's authority to issue certificates.
    pub authority: Option<Authority>,
    /// The change of the root that is under way.
    pub rotation: Option<RotationShown>,
    /// Roots of this cluster's name that others have shown since this node started, and that it never heard of: halves of a split cluster may have changed the
    /// root each by itself.
    #[serde(default)]
    pub unheard_of: Vec<OtherRootShown>,
}

/// Another root than this node's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OtherRootShown {
    /// The SHA-256 of its public key, in hexadecimal.
    pub fingerprint: String,
    /// Who has shown it, by a certificate that this node cannot check.
    pub shown_by: NodeId,
}

/// A root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootShown {
    /// The SHA-256 of its public key, in hexadecimal.
    pub fingerprint: String,
    /// From when its certificate is valid.
    pub from: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
    /// The coordinators that are in the cluster now and say that they hold its key.
    pub held_by: Vec<NodeId>,
    /// Whether this node holds its key.
    pub is_held_here: bool,
}

/// A change of the root that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RotationShown {
    /// The root that comes.
    pub next: RootShown,
    /// When it was begun.
    pub begun: UnixMillis,
    /// By which coordinator.
    pub by: NodeId,
    /// Who was certified anew, as far as this node knows.
    pub progress: Progress,
}

/// `POST /admin/ca/rotate`: change the root.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Drop the old root now, although nodes have not been certified anew.
    #[serde(default)]
    pub finish: bool,
    /// Begin anew, as the node that began it is lost.
    #[serde(default)]
    pub start_over: bool,
}

/// The answer: what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum RotateReply {
    /// It has begun.
    Begun {
        /// The fingerprint of the old root.
        from: String,
    },
    /// It had begun before, and goes on.
    GoesOn {
        /// The fingerprint of the old root.
        from: String,
    },
    /// The old root is dropped.
    Finished {
        /// Those that have to join again.
        left_behind: Progress,
    },
}

/// `POST /admin/ca/share`: give the root key to this coordinator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareRequest {
    /// Which one.
    pub node_id: NodeId,
}

pub(super) async fn show(State(state): State<Arc<WebState>>, requester: Requester) -> Result<Json<CaReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/ca")?;
    let known = state.ledger.roots().known();
    let progress = state.rotator.progress().await.map_err(|error| refusal(&error))?;
    let rotation = match (known.next(), known.begun(), progress) {
        (Some(next), Some((begun, by, _)), Some(progress)) => {
            Some(RotationShown { next: root_shown(&state, next)?, begun, by: by.clone(), progress })
        }
        _ => None,
    };
    Ok(Json(CaReply {
        cluster: known.current().cluster().clone(),
        node_id: state.cx.node_id().clone(),
        role: state.cx.role(),
        root: root_shown(&state, known.current())?,
        since: known.completed().map(|(at, by)| (at, by.clone())),
        authority: state.issuer.as_ref().and_then(Issuer::authority),
        rotation,
        unheard_of: state.rotator.unheard_of().into_iter().map(OtherRootShown::from).collect(),
    }))
}

impl From<OtherRoot> for OtherRootShown {
    fn from(OtherRoot { root, shown_by }: OtherRoot) -> Self {
        Self { fingerprint: root.to_string(), shown_by }
    }
}

fn root_shown(state: &WebState, root: &TrustedRoot) -> Result<RootShown, Refusal> {
    let (from, until) = validity(root.der()).map_err(|error| refusal(&error.into()))?;
    let is_held_here = state.rotator.keys().and_then(|keys| keys.is_held(root)).unwrap_or(false);
    let mut held_by = state.rotator.holders(root);
    if is_held_here && !held_by.contains(state.cx.node_id()) {
        held_by.push(state.cx.node_id().clone());
    }
    Ok(RootShown { fingerprint: root.key_hash().to_string(), from, until, held_by, is_held_here })
}

pub(super) async fn rotate(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(request): Json<RotateRequest>,
) -> Result<Json<RotateReply>, Refusal> {
    requester.must_be_operator(&state, "/admin/ca/rotate")?;
    let from = state.ledger.roots().current().key_hash().to_string();
    let done = if request.finish {
        state.rotator.finish().await.map(|left_behind| RotateReply::Finished { left_behind })
    } else {
        state.rotator.begin(request.start_over).await.map(|rotation| match rotation {
            Rotation::Begun => RotateReply::Begun { from },
            Rotation::GoesOn => RotateReply::GoesOn { from },
        })
    };
    let what = match request {
        RotateRequest { finish: true, .. } => "ca rotate --finish",
        RotateRequest { start_over: true, .. } => "ca rotate --start-over",
        RotateRequest { .. } => "ca rotate",
    };
    state.cx.audit().done(requester.subject(what), done.as_ref().map(|_| ""));
    done.map(Json).map_err(|error| refusal(&error))
}

pub(super) async fn share(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(request): Json<ShareRequest>,
) -> Result<Json<ShareRequest>, Refusal> {
    requester.must_be_operator(&state, "/admin/ca/share")?;
    let done = state.rotator.share(&request.node_id).await;
    state.cx.audit().done(requester.subject(&format!("ca share {}", request.node_id)), done.as_ref().map(|()| ""));
    match done {
        Ok(()) => Ok(Json(request)),
        Err(ShareError::Rotate(error)) => Err(refusal(&error)),
        Err(error) => Err(Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, error.to_string()))),
    }
}

/// The coordinator at the other end, by the certificate that it has shown, and in whose own name it asks; nobody else has any business here. What it
/// sends on for somebody without a name, or for a client, is lent nothing by its certificate.
pub(super) fn coordinator(
    state: &WebState,
    requester: &Requester,
    shown: Option<Extension<ShownCertificate>>,
    what: &str,
) -> Result<Shown, Refusal> {
    let shown = shown.and_then(|Extension(ShownCertificate(chain))| Shown::read(&chain).ok());
    let asks_itself = |shown: &Shown| match &requester.caller {
        CallerId::Node { id, role } => {
            let peer = &shown.certificate.peer;
            *id == peer.node_id && *role == Role::Coordinator && peer.role == Role::Coordinator
        }
        _ => false,
    };
    if let Some(shown) = shown.filter(asks_itself) {
        return Ok(shown);
    }
    state.cx.audit().denied(requester.subject(what), Some(&format!("it is {FOR_COORDINATORS}")));
    let text = format!("{what} is {FOR_COORDINATORS}");
    Err(Refusal(StatusCode::FORBIDDEN, RpcError::new(ErrorCode::DENIED, text)))
}

/// Gives another coordinator its issuing authority, where the root key is here.
pub(super) async fn authority(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
    channel: Option<Extension<ChannelBinding>>,
    request: Request,
) -> Result<Json<AuthorityReply>, Refusal> {
    let peer = coordinator(&state, &requester, shown, "ca authority")?;
    let Some(Extension(channel)) = channel else { return Err(unreadable(&"it did not come over TLS")) };
    let body = to_bytes(request.into_body(), MAX_REQUEST).await.map_err(|error| unreadable(&error))?;
    let request: AuthorityRequest = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
    let key = request.proved_key(peer.node_id(), &channel).map_err(|error| match error {
        BadAuthorityRequest::Key(error) => unreadable(&error),
        error @ BadAuthorityRequest::NotProved { .. } => {
            state.cx.audit().denied(requester.subject("ca authority"), Some(&error));
            Refusal(StatusCode::FORBIDDEN, RpcError::new(ErrorCode::DENIED, error.to_string()))
        }
    })?;
    let whom = format!("key {}", KeyHash::from(key.thumbprint()));
    let issued = match state.rotator.keys() {
        Ok(keys) => keys.grant_authority(peer, key).await.map_err(|error| {
            state.cx.audit().denied(requester.subject("ca authority").to(&whom), Some(&error));
            refusal(&error)
        })?,
        Err(_) => None,
    };
    let Some(certificate) = issued else {
        let text = "this coordinator does not hold the root key; `p2p ca show` says which do";
        return Err(Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, text)));
    };
    state.cx.audit().done::<RotateError>(requester.subject("ca authority").to(&whom), Ok(""));
    Ok(Json(AuthorityReply { certificate: certificate.to_vec() }))
}

/// Tells another coordinator which nodes this one has issued certificates for: it is not to drop the old root without them.
pub(super) async fn issued(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
) -> Result<Json<AllIssued>, Refusal> {
    coordinator(&state, &requester, shown, "ca issued")?;
    let Some(issuer) = state.issuer.clone() else { return Ok(Json(AllIssued::default())) };
    let read = tokio::task::spawn_blocking(move || issuer.all_issued(UnixMillis::now())).await;
    let records = |error: &dyn std::fmt::Display| refusal(&RotateError::Records(error.to_string()));
    read.map_err(|lost| records(&lost))?.map(Json).map_err(|error| records(&error))
}

/// Tells another coordinator what this one has noted of a node: that is not to get there what it would not get here.
pub(super) async fn record(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
    Path(node_id): Path<NodeId>,
) -> Result<Json<Option<IssuedNode>>, Refusal> {
    coordinator(&state, &requester, shown, "ca record")?;
    let Some(issuer) = state.issuer.clone() else { return Ok(Json(None)) };
    let read = tokio::task::spawn_blocking(move || issuer.issued(&node_id)).await;
    let records = |error: &dyn std::fmt::Display| refusal(&RotateError::Records(error.to_string()));
    read.map_err(|lost| records(&lost))?.map(Json).map_err(|error| records(&error))
}

/// Reads a body with secrets into memory that is wiped, and that does not grow and so leaves no copies.
async fn secret_body(mut body: Body) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut whole = Zeroizing::new(Vec::with_capacity(MAX_REQUEST));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreadable(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > MAX_REQUEST {
            return Err(unreadable(&format_args!("it has more than {MAX_REQUEST} bytes")));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole)
}

/// Takes root keys that another coordinator hands over: those of roots that are trusted here, and no others.
pub(super) async fn take_root_key(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
    request: Request,
) -> Result<Json<serde_json::Value>, Refusal> {
    coordinator(&state, &requester, shown, "ca share")?;
    let body = secret_body(request.into_body()).await?;
    let RootHandover(offered) = RootHandover::decode(&body).ok_or_else(|| unreadable(&"it holds no keys"))?;
    let keys = state.rotator.keys().map_err(|_| {
        let error = NotShared::NotCoordinator { node_id: state.cx.node_id().clone() };
        Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, error.to_string()))
    })?;
    let taken = keys.take_over(offered).await;
    state.cx.audit().done(requester.subject("ca share"), taken.as_ref().map(|_| "took the root key"));
    if taken.map_err(|error| refusal(&error))? == 0 {
        let text = "what was handed over is no key of a root that this node trusts; wait a moment, and try again";
        return Err(Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, text)));
    }
    state.rotator.took_over().await;
    Ok(Json(serde_json::json!({})))
}

fn unreadable(error: &impl std::fmt::Display) -> Refusal {
    let text = format!("the request cannot be read: {error}; are both coordinators of the same version?");
    Refusal(StatusCode::BAD_REQUEST, RpcError::new(ErrorCode::INVALID_REQUEST, text))
}

fn refusal(error: &RotateError) -> Refusal {
    let (status, code) = match error {
        RotateError::NotCoordinator { .. }
        | RotateError::NoRootKey { .. }
        | RotateError::BegunElsewhere { .. }
        | RotateError::NotBegun => (StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST),
        RotateError::TakenBack { .. } | RotateError::KeyOfAnother { .. } => (StatusCode::FORBIDDEN, ErrorCode::DENIED),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL),
    };
    Refusal(status, RpcError::new(code, error.to_string()))
}
