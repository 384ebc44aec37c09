//! Calls over HTTP: JSON-RPC at `/rpc`, and one route for each method.

use std::{borrow::Cow, error::Error, pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{Either, Full};
use hyper::body::Body;
use p2p_client::{
    call::{Failure, Opened, RetryAfter},
    protocol::{ErrorCode, ParseTargetError, RpcError, Target, envelope::Request as RpcRequest},
    service::Params,
    wire::Room,
};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    limits::Budget,
    service::Inbound,
    transport::{AnswerBody, Origin, RequestBody, Shortcut, error_response, over_limit, retry_after, unavailable},
};

use super::{
    catalogue::{DISCOVER, discover},
    headers::CallHeaders,
    limiting::{self, Drawn},
    requester::{Refusal, Requester},
    rpc::{self, RpcDispatch, read_body_within},
    running::RunningRequest,
    state::WebState,
    streams::{Form, Running},
};

/// Where JSON-RPC is spoken.
pub(super) const RPC_PATH: &str = "/rpc";

/// `POST /rpc`. It is called more than all other routes together, and so it is answered without the router: no extensions, no
/// boxed bodies, and a head that is used again.
pub(super) struct JsonRpc(pub(super) Arc<WebState>);

impl Shortcut for JsonRpc {
    fn takes(&self, request: &http::Request<RequestBody>) -> bool {
        request.method() == Method::POST && request.uri().path() == RPC_PATH
    }

    fn answer<'a>(
        &'a self,
        origin: &'a Origin,
        request: http::Request<RequestBody>,
    ) -> BoxFuture<'a, http::Response<AnswerBody>> {
        Box::pin(async move { json_rpc(&self.0, origin, request).await.unwrap_or_else(|refused| refused.map(Either::Right)) })
    }
}

async fn json_rpc(
    state: &WebState,
    origin: &Origin,
    request: http::Request<RequestBody>,
) -> Result<http::Response<AnswerBody>, Response> {
    let running = state.running.enter().ok_or_else(unavailable)?;
    let (parts, body) = request.into_parts();
    let requester = Requester::of(state, origin, &parts.headers, RPC_PATH);
    let who = requester.as_ref().unwrap_or_else(|bad| bad.who());
    let drawn = limiting::draw(state, who, Budget::Rpc).map_err(over_limit)?;
    let requester = requester.map_err(|bad| bad.told(state))?;
    let (calls, body) = Calls::read(state, requester, &drawn, &parts.uri, &parts.headers, body).await?;
    if let Some(form) = Form::accepted(&parts.headers)
        && let Some(call) = rpc::single(&body)
    {
        return Box::pin(stream_or_answer(form, &calls, call, running, parts.headers)).await;
    }
    let answering = pin!(rpc::handle(&body, &calls));
    let answered = state.running.unless_cut(answering).await.ok_or_else(cut_off)?;
    Ok(answer(parts.headers, answered))
}

/// Answers one call of a client that takes a stream: with its items, or as ever where there is none.
async fn stream_or_answer(
    form: Form,
    calls: &Calls<'_>,
    call: RpcRequest<'_>,
    running: RunningRequest,
    headers: HeaderMap,
) -> Result<http::Response<AnswerBody>, Response> {
    let opening = pin!(calls.open(&call.method, call.params));
    let json = match calls.state.running.unless_cut(opening).await.ok_or_else(cut_off)? {
        Ok(Opened::Items(items)) => {
            let id = call.id.map(|id| id.get().to_owned());
            return Ok(form.response(id, items, calls.running(&call.method, running)).map(Either::Right));
        }
        Ok(Opened::Answered(json)) => rpc::response(call.id, Ok(&json)),
        Err(error) => rpc::response(call.id, Err(&error)),
    };
    Ok(answer(headers, Some(json)))
}

/// The response to what was answered, if anything was. Its headers are kept in the map of the request's: hyper takes that back for
/// the next request of the connection, so that none is made or dropped.
fn answer(mut headers: HeaderMap, answered: Option<Vec<u8>>) -> http::Response<AnswerBody> {
    headers.clear();
    let mut response = http::Response::new(Either::Left(Full::default()));
    match answered {
        Some(json) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = Either::Left(Full::new(Bytes::from(json)));
        }
        None => *response.status_mut() = StatusCode::NO_CONTENT,
    }
    *response.headers_mut() = headers;
    response
}

/// Any other verb at [`RPC_PATH`].
pub(super) async fn only_post() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")])
}

/// `POST /rpc/{service}/{method}`: the body is the params, the answer is the result.
pub(super) async fn one_method(
    State(state): State<Arc<WebState>>,
    path: Result<Path<(String, String)>, PathRejection>,
    requester: Requester,
    Extension(drawn): Extension<Arc<Drawn>>,
    request: Request,
) -> Result<Response, Response> {
    let Path((service, method)) = path.map_err(|unread| refused(unreadable_path(&unread)))?;
    let running = state.running.enter().ok_or_else(unavailable)?;
    let (parts, body) = request.into_parts();
    let (calls, body) = Calls::read(&state, requester, &drawn, &parts.uri, &parts.headers, body).await?;
    let params = rpc::params(&body).map_err(refused)?;
    let path = format!("{service}/{method}");
    if let Some(form) = Form::accepted(&parts.headers) {
        let opening = pin!(calls.open(&path, params));
        return match state.running.unless_cut(opening).await.ok_or_else(cut_off)?.map_err(refused)? {
            Opened::Items(items) => Ok(form.response(None, items, calls.running(&path, running))),
            Opened::Answered(json) => Ok(([(CONTENT_TYPE, "application/json")], json).into_response()),
        };
    }
    let answering = pin!(calls.call(&path, params));
    let answered = state.running.unless_cut(answering).await.ok_or_else(cut_off)?;
    Ok(([(CONTENT_TYPE, "application/json")], answered.map_err(refused)?).into_response())
}

fn unreadable_path(unread: &PathRejection) -> RpcError {
    let text = format!("the path names no method ({unread}); write /rpc/service/method, such as /rpc/system/get_system_info");
    RpcError::new(ErrorCode::INVALID_REQUEST, text)
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
    drawn: &'a Drawn,
    target: Option<Target>,
    /// Whether its caller may read who is in the cluster.
    may_know_nodes: bool,
    /// When the request came: what counts for all calls of a batch.
    received: Instant,
    timeout: Option<Duration>,
    origin: Option<Arc<str>>,
}

impl<'a> Calls<'a> {
    /// Reads a request: who sent it, where it is to go, how long it may take, its body.
    async fn read<B>(
        state: &'a WebState,
        mut requester: Requester,
        drawn: &'a Drawn,
        uri: &Uri,
        headers: &HeaderMap,
        body: B,
    ) -> Result<(Self, Bytes), Response>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let received = Instant::now();
        let invalid = |text: String| error_response(StatusCode::BAD_REQUEST, &RpcError::new(ErrorCode::INVALID_REQUEST, text));
        let headers = CallHeaders::of(headers);
        let target = target(uri.query(), &headers).map_err(invalid)?;
        let timeout = headers.timeout().map_err(invalid)?;
        let (limits, may_know_nodes) = {
            let live = state.config.live();
            (live.body_limits, live.http_access.cluster_nodes.allows(&requester.caller))
        };
        let body = read_body_within(body, limits).await.map_err(IntoResponse::into_response)?;
        requester.trace = headers.trace();
        let origin = requester.is_from_node().then(|| headers.origin()).flatten();
        Ok((Self { state, requester, drawn, target, may_know_nodes, received, timeout, origin }, body))
    }

    async fn open(&self, method: &str, params: Option<&RawValue>) -> Result<Opened, RpcError> {
        self.drawn.call(self.state, &self.requester.caller)?;
        if method == DISCOVER {
            return discover(self.state, &self.requester).await.map(|json| Opened::Answered(json.into()));
        }
        self.state.dispatcher.open(self.inbound(method, params, None)).await
    }

    fn inbound<'b>(&self, method: &'b str, params: Option<&'b RawValue>, room: Option<&Arc<Room>>) -> Inbound<'b> {
        Inbound {
            path: method,
            params: Params::new(params.map(RawValue::get)),
            caller: self.requester.caller.clone(),
            token: self.requester.token.clone(),
            from: self.requester.from.clone(),
            from_node: self.requester.is_from_node(),
            target: self.target.clone(),
            may_know_nodes: self.may_know_nodes,
            received: self.received,
            timeout: self.timeout,
            trace: self.requester.trace,
            origin: self.origin.clone(),
            room: room.cloned(),
        }
    }

    fn running(&self, path: &str, this: RunningRequest) -> Running {
        let stopped = p2p_client::call::ended_by_stop(path, self.state.cx.node_id(), &self.requester.caller);
        let token = self.requester.standing.clone().map(|standing| (self.state.tokens.verifier.clone(), standing));
        Running { stream: self.state.running.stream(this), stopped, token }
    }
}

impl RpcDispatch for Calls<'_> {
    async fn call<'a>(&'a self, method: &'a str, params: Option<&'a RawValue>) -> Result<Vec<u8>, RpcError> {
        self.drawn.call(self.state, &self.requester.caller)?;
        if method == DISCOVER {
            // In a box of its own: a call is not to carry the room for a document.
            return Box::pin(discover(self.state, &self.requester)).await;
        }
        self.state.dispatcher.call(self.inbound(method, params, None)).await
    }

    async fn call_of_batch<'a>(
        &'a self,
        method: &'a str,
        params: Option<&'a RawValue>,
        room: &'a Arc<Room>,
    ) -> Result<Vec<u8>, RpcError> {
        if method == DISCOVER {
            let json = self.call(method, params).await?;
            rpc::fits(room, json.len())?;
            return Ok(json);
        }
        self.drawn.call(self.state, &self.requester.caller)?;
        self.state.dispatcher.call(self.inbound(method, params, Some(room))).await
    }
}

/// Where the call is to go: `?on=`, or the header.
fn target(query: Option<&str>, headers: &CallHeaders<'_>) -> Result<Option<Target>, String> {
    // Plus signs stand for themselves (RFC 3986, 3.4): a capability may hold some, and no target holds a space.
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    let pairs = query.into_iter().flat_map(|query| query.split('&')).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs = pairs.map(|(name, value)| (decoded(name), decoded(value)));
    let text = match pairs.find(|(name, _)| name == "on") {
        Some((_, value)) => Some(value),
        None => headers.on()?.map(Cow::Borrowed),
    };
    text.map(|text| text.parse().map_err(|error: ParseTargetError| error.to_string())).transpose()
}

/// The HTTP status that says of an error what HTTP can say: the table of docs/documents.md.
fn refused(error: RpcError) -> Response {
    let status = match error.code {
        ErrorCode::PARSE | ErrorCode::INVALID_REQUEST | ErrorCode::INVALID_PARAMS => StatusCode::BAD_REQUEST,
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        ErrorCode::DENIED => StatusCode::FORBIDDEN,
        ErrorCode::DEADLINE => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::NO_ROUTE | ErrorCode::UNAVAILABLE | ErrorCode::CANCELLED => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::INCOMPATIBLE => StatusCode::NOT_IMPLEMENTED,
        ErrorCode::TRANSPORT => StatusCode::BAD_GATEWAY,
        ErrorCode::SERVICE => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RATE_LIMITED => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let wait = RetryAfter::of(&error);
    let mut response = Refusal(status, error).into_response();
    if let Some(wait) = wait.filter(|_| status == StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(RETRY_AFTER, retry_after(wait));
    }
    response
}
