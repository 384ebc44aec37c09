//! What a node that wants to join can reach: the root certificate (two of them while the root is being changed), and the join itself; and where those that have joined renew.

use std::{net::SocketAddr, sync::Arc};

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
        Answered, Arrival, CertReply, CertRequest, Issuer, Refused,
        join::encode_outcome,
        renewal::{self, RenewReply, RenewRequest},
    },
    transport::{RemoteAddr, ShownCertificate, over_limit},
};

use super::{
    elsewhere,
    requester::{Refusal, Requester},
    rpc::{BodyLimits, read_body_within},
    state::WebState,
};

/// A CSR and its proof take some 2 KB.
const MAX_REQUEST: usize = 64 * 1024;

pub(super) async fn ca_cert(State(state): State<Arc<WebState>>) -> impl IntoResponse {
    let known = state.ledger.roots().known();
    let roots: String = known.trusted().map(|root| pem(root.der())).collect();
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
    // No header counts here, whatever proxies are trusted: the proof is bound to the TLS connection, so that whoever writes one is the joiner itself.
    let (Some(Extension(channel)), Some(Extension(RemoteAddr(remote)))) = (channel, remote) else {
        let text = "joining goes over TLS, to the node's address";
        return Err(Refusal(StatusCode::BAD_REQUEST, RpcError::new(ErrorCode::INVALID_REQUEST, text)));
    };
    let limits = BodyLimits { max: MAX_REQUEST, ..state.config.live().body_limits };
    let body = match read_body_within(request.into_body(), limits).await {
        Ok(body) => body,
        Err(error) => return Ok(error.into_response()),
    };
    let answered = match CertRequest::from_json(&body) {
        Ok(wait @ CertRequest::Wait(_)) => unless_stopping(&state, issuer.answer(wait, channel, remote)).await,
        Ok(request) => answer(&state, issuer, request, channel, remote).await,
        Err(refused) => Answered { node_id: None, outcome: Err(refused) },
    };
    tell(&state, &answered, remote);
    let outcome = answered.outcome;
    let (status, body) = encode_outcome(&outcome);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Answers a node; one that comes with another coordinator's token is sent there.
async fn answer(
    state: &WebState,
    issuer: &Issuer,
    request: CertRequest,
    channel: ChannelBinding,
    remote: SocketAddr,
) -> Answered {
    let unknown = match &request {
        CertRequest::Hello(hello) => Some(hello.token_id).filter(|token| !issuer.knows_token(*token)),
        _ => None,
    };
    let mut answered = issuer.answer(request, channel, remote).await;
    // By now the request is known to be sound, and its address to have no more than its share of attempts.
    if let (Some(token), true) = (unknown, answered.outcome.is_ok())
        && let Err(refused) = elsewhere::look_up(state, token).await
    {
        answered.outcome = Err(refused);
    }
    answered
}

/// Answers to nodes that wait for an operator are held back. They never hold up a coordinator that stops.
async fn unless_stopping(state: &WebState, answer: impl Future<Output = Answered>) -> Answered {
    let stopping = || {
        let refused = Refused::Unavailable { reason: "it is stopping".into() };
        Answered { node_id: None, outcome: Err(refused) }
    };
    state.cx.shutdown_token().run_until_cancelled(answer).await.unwrap_or_else(stopping)
}

/// The audit log is told who was let in, who waits for an operator, and who was refused.
fn tell(state: &WebState, answered: &Answered, remote: SocketAddr) {
    let from = Whence::Address(remote.ip());
    let node_id = answered.node_id.as_ref().map(ToString::to_string);
    let subject =
        Subject { who: &CallerId::Anonymous, what: "join", whom: node_id.as_deref(), from: &from, trace: None, origin: None };
    match &answered.outcome {
        Ok(CertReply::Issued(_)) => state.cx.audit().done::<Refused>(subject, Ok("")),
        Ok(CertReply::Waiting(_)) if node_id.is_some() => state.cx.audit().pending(subject, "an operator has to approve it"),
        // Steps on the way.
        Ok(_) | Err(Refused::Elsewhere { .. }) => {}
        Err(refused) => state.cx.audit().denied(subject, Some(refused)),
    }
}

pub(super) async fn cert_renew(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
    request: Request,
) -> Result<Response, Refusal> {
    let arrived = Arrival::now();
    // Whoever gives its name up, or speaks for a client, is lent nothing by the certificate of the connection.
    let shown = shown.filter(|_| matches!(requester.caller, CallerId::Node { .. }));
    let Some(Extension(ShownCertificate(shown))) = shown else {
        state.cx.audit().denied(requester.subject("cert renew"), Some(&"no certificate is shown"));
        let text = "a certificate is renewed over a connection on which it is shown, by its node; join with `p2p join` to get a first one";
        return Err(Refusal(StatusCode::FORBIDDEN, RpcError::new(ErrorCode::DENIED, text)));
    };
    let Some(issuer) = &state.issuer else {
        let text = "this node issues no certificates; ask a coordinator: `p2p nodes` shows which nodes are";
        return Err(Refusal(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::METHOD_NOT_FOUND, text)));
    };
    // Each costs a question to every other coordinator, a write and a line of the audit log.
    if let CallerId::Node { id, .. } = &requester.caller
        && let Err(over) = state.config.limits().draw_credentials(id)
    {
        return Ok(over_limit(over));
    }
    let limits = BodyLimits { max: renewal::MAX_REQUEST, ..state.config.live().body_limits };
    let body = match read_body_within(request.into_body(), limits).await {
        Ok(body) => body,
        Err(error) => return Ok(error.into_response()),
    };
    let outcome = match RenewRequest::from_json(&body) {
        Ok(request) => issuer.renew_since(arrived, request, &shown).await,
        Err(refused) => Err(refused),
    };
    let node_id = requester.peer().map(ToString::to_string).unwrap_or_default();
    let subject = requester.subject("cert renew").to(&node_id);
    match &outcome {
        Ok(RenewReply::Issued(_)) => state.cx.audit().done::<Refused>(subject, Ok("")),
        Ok(RenewReply::Challenge { .. }) => {}
        Err(refused) => state.cx.audit().denied(subject, Some(refused)),
    }
    let (status, body) = renewal::encode_reply(&outcome);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}
