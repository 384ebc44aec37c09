//! What a node that wants to join can reach: the root certificate (two of them while the root is being changed), and the join itself; and where those that have joined renew.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{StatusCode, header::CONTENT_TYPE};
use p2p_client::{
    protocol::{CallerId, ErrorCode, RpcError},
    wire::tls::ChannelBinding,
};

use crate::{
    audit::{Subject, Whence},
    identity::{
        CertRequest,
        join::encode_outcome,
        renewal::{self, RenewRequest},
    },
    transport::{RemoteAddr, ShownCertificate},
};

use super::{
    requester::{Refusal, Requester},
    rpc::{BodyLimits, read_body_within},
    state::WebState,
};

/// A CSR and its proof take some 2 KB.
const MAX_REQUEST: usize = 64 * 1024;

pub(super) async fn ca_cert(State(state): State<Arc<WebState>>) -> impl IntoResponse {
    let known = state.ledger.roots().known();
    let roots: String = [known.current()].into_iter().chain(known.next()).map(|root| pem(root.der())).collect();
    ([(CONTENT_TYPE, "application/x-pem-file")], roots)
}

/// A certificate as text (RFC 7468, section 5).
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

pub(super) async fn cert_request(
    State(state): State<Arc<WebState>>,
    channel: Option<Extension<ChannelBinding>>,
    remote: Option<Extension<RemoteAddr>>,
    request: Request,
) -> Result<Response, Refusal> {
    let Some(issuer) = &state.issuer else {
        let text = "this node issues no certificates; join at a coordinator: `p2p nodes` shows which nodes are";
        return Err(Refusal(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::METHOD_NOT_FOUND, text)));
    };
    let (Some(Extension(channel)), Some(Extension(RemoteAddr(remote)))) = (channel, remote) else {
        let text = "joining goes over TLS, to the node's address";
        return Err(Refusal(StatusCode::BAD_REQUEST, RpcError::new(ErrorCode::INVALID_REQUEST, text)));
    };
    let limits = BodyLimits { max: MAX_REQUEST, ..state.config.live().body_limits };
    let body = match read_body_within(request.into_body(), limits).await {
        Ok(body) => body,
        Err(error) => return Ok(error.into_response()),
    };
    let outcome = match CertRequest::from_json(&body) {
        Ok(request) => issuer.handle(request, channel, remote).await,
        Err(refused) => Err(refused),
    };
    if let Err(refused) = &outcome {
        let from = Whence::Address(remote.ip());
        let subject = Subject { who: &CallerId::Anonymous, what: "join", from: &from, trace: None, origin: None };
        state.cx.audit().denied(subject, Some(refused));
    }
    let (status, body) = encode_outcome(&outcome);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

pub(super) async fn cert_renew(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
    request: Request,
) -> Result<Response, Refusal> {
    let Some(Extension(ShownCertificate(shown))) = shown else {
        let text = "a certificate is renewed over a connection on which it is shown; join with `p2p join` to get a first one";
        return Err(Refusal(StatusCode::FORBIDDEN, RpcError::new(ErrorCode::DENIED, text)));
    };
    let Some(issuer) = &state.issuer else {
        let text = "this node issues no certificates; ask a coordinator: `p2p nodes` shows which nodes are";
        return Err(Refusal(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::METHOD_NOT_FOUND, text)));
    };
    let limits = BodyLimits { max: renewal::MAX_REQUEST, ..state.config.live().body_limits };
    let body = match read_body_within(request.into_body(), limits).await {
        Ok(body) => body,
        Err(error) => return Ok(error.into_response()),
    };
    let outcome = match RenewRequest::from_json(&body) {
        Ok(request) => issuer.renew(request, &shown).await,
        Err(refused) => Err(refused),
    };
    if let Err(refused) = &outcome {
        state.cx.audit().denied(requester.subject("cert renew"), Some(refused));
    }
    let (status, body) = renewal::encode_reply(&outcome);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}
