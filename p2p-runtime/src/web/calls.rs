//! Calls over HTTP: JSON-RPC at `/rpc`, and one route for each method.

use std::{future::Future, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path, Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use p2p_client::{
    call::CallOptions,
    protocol::{ErrorCode, RpcError, Target},
    service::Params,
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::service::Inbound;

use super::{
    headers,
    requester::{Refusal, Requester},
    rpc::{self, RpcDispatch, read_body_within},
    state::WebState,
};

/// `POST /rpc`
pub(super) async fn json_rpc(State(state): State<Arc<WebState>>, request: Request) -> Result<Response, Response> {
    let _running = state.running.enter();
    let (calls, body) = Calls::read(&state, request).await?;
    Ok(match rpc::handle(&body, &calls).await {
        Some(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// `POST /rpc/{service}/{method}`: the body is the params, the answer is the result.
pub(super) async fn one_method(
    State(state): State<Arc<WebState>>,
    Path((service, method)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Response> {
    let _running = state.running.enter();
    let (calls, body) = Calls::read(&state, request).await?;
    let params = rpc::params(&body).map_err(refused)?;
    let json = calls.call(&format!("{service}/{method}"), params).await.map_err(refused)?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// What all calls of one request share.
struct Calls<'a> {
    state: &'a WebState,
    requester: Requester,
    target: Option<Target>,
    headers: HeaderMap,
}

impl<'a> Calls<'a> {
    /// Reads a request: who sent it, where it is to go, its body.
    async fn read(state: &'a WebState, request: Request) -> Result<(Self, Bytes), Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(requester) = Requester::from_request_parts(&mut parts, &()).await;
        let target = target(parts.uri.query(), &parts.headers).map_err(IntoResponse::into_response)?;
        let body = read_body_within(body, state.body_limits).await.map_err(IntoResponse::into_response)?;
        Ok((Self { state, requester, target, headers: parts.headers }, body))
    }
}

impl RpcDispatch for Calls<'_> {
    fn call<'a>(
        &'a self,
        method: &'a str,
        params: Option<&'a RawValue>,
    ) -> impl Future<Output = Result<Vec<u8>, RpcError>> + Send + 'a {
        let timeout = headers::timeout(&self.headers).unwrap_or(CallOptions::DEFAULT_TIMEOUT);
        let inbound = Inbound {
            path: method,
            params: Params::new(params.map(RawValue::get)),
            caller: self.requester.caller.clone(),
            from_node: self.requester.from_node,
            target: self.target.clone(),
            deadline: Instant::now() + timeout.min(MAX_TIMEOUT),
            trace: headers::trace(&self.headers),
            origin: self.requester.from_node.then(|| headers::origin(&self.headers)).flatten(),
        };
        self.state.dispatcher.call(inbound)
    }
}

/// No caller keeps a call alive for longer than this, whatever it says: one hour.
const MAX_TIMEOUT: std::time::Duration = std::time::Duration::from_hours(1);

/// Where the call is to go: `?on=`, or the header.
fn target(query: Option<&str>, headers: &HeaderMap) -> Result<Option<Target>, Refusal> {
    let pairs = query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
    let from_query = pairs.clone().find(|(name, _)| *name == "on").map(|(_, value)| unescaped(value));
    let Some(text) = from_query.or_else(|| headers::on(headers).map(str::to_owned)) else { return Ok(None) };
    match text.parse() {
        Ok(target) => Ok(Some(target)),
        Err(error) => {
            let error: p2p_client::protocol::ParseTargetError = error;
            Err(Refusal(StatusCode::BAD_REQUEST, RpcError::new(ErrorCode::INVALID_REQUEST, error.to_string())))
        }
    }
}

/// Undoes percent-encoding (RFC 3986, section 2.1). What is no encoding stays as it is, and is refused by what reads it.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The HTTP status that says of an error what HTTP can say.
fn refused(error: RpcError) -> Response {
    let status = match error.code {
        ErrorCode::PARSE | ErrorCode::INVALID_REQUEST | ErrorCode::INVALID_PARAMS => StatusCode::BAD_REQUEST,
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        ErrorCode::DENIED => StatusCode::FORBIDDEN,
        ErrorCode::DEADLINE => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::NO_ROUTE | ErrorCode::UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::TRANSPORT => StatusCode::BAD_GATEWAY,
        ErrorCode::SERVICE => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal(status, error).into_response()
}
