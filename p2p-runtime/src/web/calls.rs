//! Calls over HTTP: JSON-RPC at `/rpc`, and one route for each method.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, Path, Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use p2p_client::{
    call::Failure,
    protocol::{ErrorCode, ParseTargetError, RpcError, Target},
    service::{Params, Trace},
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    service::Inbound,
    transport::{error_response, unavailable},
};

use super::{
    headers,
    requester::{Refusal, Requester},
    rpc::{self, RpcDispatch, read_body_within},
    state::WebState,
};

/// `POST /rpc`
pub(super) async fn json_rpc(State(state): State<Arc<WebState>>, request: Request) -> Result<Response, Response> {
    let _running = state.running.enter().ok_or_else(unavailable)?;
    let (calls, body) = Calls::read(&state, request).await?;
    let answered = state.running.unless_cut(rpc::handle(&body, &calls)).await.ok_or_else(cut_off)?;
    Ok(match answered {
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
    let _running = state.running.enter().ok_or_else(unavailable)?;
    let (calls, body) = Calls::read(&state, request).await?;
    let params = rpc::params(&body).map_err(refused)?;
    let path = format!("{service}/{method}");
    let answered = state.running.unless_cut(calls.call(&path, params)).await.ok_or_else(cut_off)?;
    Ok(([(CONTENT_TYPE, "application/json")], answered.map_err(refused)?).into_response())
}

/// The answer to a request that did not end before the node did. What it asked for has begun, and may have had its effect.
fn cut_off() -> Response {
    let failure = Failure::Lost("the node stopped before the call ended".to_owned());
    error_response(StatusCode::SERVICE_UNAVAILABLE, &failure.into_rpc())
}

/// What all calls of one request share.
struct Calls<'a> {
    state: &'a WebState,
    requester: Requester,
    target: Option<Target>,
    /// When the request came: what counts for all calls of a batch.
    received: Instant,
    timeout: Option<Duration>,
    trace: Option<Trace>,
    origin: Option<Arc<str>>,
}

impl<'a> Calls<'a> {
    /// Reads a request: who sent it, where it is to go, how long it may take, its body.
    async fn read(state: &'a WebState, request: Request) -> Result<(Self, Bytes), Response> {
        let received = Instant::now();
        let (mut parts, body) = request.into_parts();
        let Ok(requester) = Requester::from_request_parts(&mut parts, &()).await;
        let invalid = |text: String| error_response(StatusCode::BAD_REQUEST, &RpcError::new(ErrorCode::INVALID_REQUEST, text));
        let target = target(parts.uri.query(), &parts.headers).map_err(invalid)?;
        let timeout = headers::timeout(&parts.headers).map_err(invalid)?;
        let body = read_body_within(body, state.body_limits).await.map_err(IntoResponse::into_response)?;
        let trace = headers::trace(&parts.headers);
        let origin = requester.from_node.then(|| headers::origin(&parts.headers)).flatten();
        Ok((Self { state, requester, target, received, timeout, trace, origin }, body))
    }
}

impl RpcDispatch for Calls<'_> {
    fn call<'a>(
        &'a self,
        method: &'a str,
        params: Option<&'a RawValue>,
    ) -> impl Future<Output = Result<Vec<u8>, RpcError>> + Send + 'a {
        let inbound = Inbound {
            path: method,
            params: Params::new(params.map(RawValue::get)),
            caller: self.requester.caller.clone(),
            from_node: self.requester.from_node,
            target: self.target.clone(),
            received: self.received,
            timeout: self.timeout,
            trace: self.trace,
            origin: self.origin.clone(),
        };
        self.state.dispatcher.call(inbound)
    }
}

/// Where the call is to go: `?on=`, or the header.
fn target(query: Option<&str>, headers: &HeaderMap) -> Result<Option<Target>, String> {
    let mut pairs = query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
    let from_query = pairs.find(|(name, _)| *name == "on").map(|(_, value)| unescaped(value));
    let text = match from_query {
        Some(text) => Some(text),
        None => headers::on(headers)?.map(str::to_owned),
    };
    text.map(|text| text.parse().map_err(|error: ParseTargetError| error.to_string())).transpose()
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
