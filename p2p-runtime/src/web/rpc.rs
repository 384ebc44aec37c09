//! JSON-RPC 2.0 over bytes: what a body asks for, and what is answered to it.
//!
//! A body goes through once: its nesting is bounded, its text checked, each request decoded without building a `Value`, and
//! handed to an [`RpcDispatch`]; what comes back is written into one response, or one array of responses in the order of the
//! requests. Notifications are executed and never answered. How a body is read
//! within bounds is [`read_body`]'s matter.

mod body;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod straight;

use std::{fmt, future::Future, sync::Arc};

use futures::{StreamExt, future::BoxFuture, stream};
use p2p_client::{
    codec::is_deeper_than,
    protocol::{
        ErrorCode, RpcError,
        envelope::{Id, Request, Response as Answer},
    },
    wire::Room,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

pub use body::{BodyError, BodyLimits, DEFAULT_BODY_TIMEOUT, DEFAULT_MAX_BODY, read_body, read_body_within};

/// The deepest nesting that is taken. serde_json stops at the same depth, but only where it looks inside.
pub const MAX_DEPTH: usize = p2p_client::codec::MAX_DEPTH;
/// The most requests in a batch.
pub const MAX_BATCH: usize = 1_000;
/// How many requests of a batch run at a time.
pub const BATCH_CONCURRENCY: usize = 64;
/// How many bytes of answers a batch may have: 64 MiB. What does not fit is left out, and its further calls are refused.
pub const MAX_BATCH_ANSWER: usize = 64 * 1024 * 1024;

/// An error of so many bytes is told in any case.
const SHORT: usize = 1_024;

/// Executes calls.
pub trait RpcDispatch: Sync {
    /// Executes one call and gives the result's JSON. `params` is an object or an array, as it came. Dropping the future cancels
    /// the call. Whether the caller wants an answer makes no difference here.
    fn call<'a>(
        &'a self,
        method: &'a str,
        params: Option<&'a RawValue>,
    ) -> impl Future<Output = Result<Vec<u8>, RpcError>> + Send + 'a;

    /// The same for a call of a batch, whose results share this room: one that does not fit any more is an error in its place. Where results come from elsewhere,
    /// they are to be read into the room, so that many at a time do not take the memory before anybody looks.
    fn call_of_batch<'a>(
        &'a self,
        method: &'a str,
        params: Option<&'a RawValue>,
        room: &'a Arc<Room>,
    ) -> impl Future<Output = Result<Vec<u8>, RpcError>> + Send + 'a {
        async move {
            let json = self.call(method, params).await?;
            fits(room, json.len())?;
            Ok(json)
        }
    }
}

/// Takes the room for a result, or says that it does not fit.
pub(crate) fn fits(room: &Room, bytes: usize) -> Result<(), RpcError> {
    room.take(bytes).map_err(|no_room| RpcError::new(ErrorCode::INTERNAL, no_room.to_string()))
}

/// Answers a body. `None` when there is nothing to answer: it held notifications only.
///
/// ```
/// use p2p_client::protocol::{ErrorCode, RpcError};
/// use p2p_runtime::web::rpc::{RpcDispatch, handle};
/// use serde_json::value::RawValue;
///
/// struct Echo;
/// impl RpcDispatch for Echo {
///     async fn call<'a>(&'a self, method: &'a str, params: Option<&'a RawValue>) -> Result<Vec<u8>, RpcError> {
///         match (method, params) {
///             ("echo", Some(params)) => Ok(params.get().into()),
///             _ => Err(RpcError::new(ErrorCode::METHOD_NOT_FOUND, "there is only echo")),
///         }
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let answer = handle(br#"{"jsonrpc":"2.0","method":"echo","params":[1],"id":7}"#, &Echo).await;
/// assert_eq!(answer.as_deref(), Some(&br#"{"jsonrpc":"2.0","result":[1],"id":7}"#[..]));
/// # });
/// ```
pub async fn handle<D: RpcDispatch>(body: &[u8], dispatch: &D) -> Option<Vec<u8>> {
    match parse(body) {
        Ok(Message::Single(request)) => execute(Ok(request), dispatch).await,
        Ok(Message::Batch(entries)) => execute_all(entries, dispatch, &Room::of_batch(MAX_BATCH_ANSWER)).await,
        Err(invalid) => Some(invalid.answer()),
    }
}

/// The one request that a body is, if it is one and wants an answer. Of all else [`handle`] makes what it makes of it.
pub(super) fn single(body: &[u8]) -> Option<Request<'_>> {
    match parse(body) {
        Ok(Message::Single(request)) if !request.is_notification() => Some(request),
        _ => None,
    }
}

/// The response to a request, with its id.
pub(super) fn response(id: Option<Id<'_>>, outcome: Result<&[u8], &RpcError>) -> Vec<u8> {
    Answer { id, outcome }.to_json()
}

/// Executes the requests of a batch, some at a time, and writes their responses in their order.
async fn execute_all<D: RpcDispatch>(entries: Vec<&RawValue>, dispatch: &D, room: &Arc<Room>) -> Option<Vec<u8>> {
    // Boxed one by one: a closure over borrowed entries would not be general enough for the compiler to see it is `Send`.
    let mut waiting: Vec<BoxFuture<'_, Option<Vec<u8>>>> = Vec::with_capacity(entries.len());
    for entry in entries {
        waiting.push(Box::pin(execute_within(room, parse_request(entry.get()), dispatch)));
    }
    let mut answers = stream::iter(waiting).buffered(BATCH_CONCURRENCY);
    let mut out = Vec::new();
    while let Some(answer) = answers.next().await {
        if let Some(answer) = answer {
            out.push(if out.is_empty() { b'[' } else { b',' });
            out.extend_from_slice(&answer);
        }
    }
    if out.is_empty() {
        return None;
    }
    out.push(b']');
    Some(out)
}

/// The answer to a call that is not executed, as something did not fit into the room any more.
fn refused(room: &Room, id: Id<'_>) -> Option<Vec<u8>> {
    room.has_refused().then(|| {
        let text =
            format!("not executed: what is answered to this batch takes more than {} bytes already; split the batch", room.max());
        Answer { id: Some(id), outcome: Err(&RpcError::new(ErrorCode::INVALID_REQUEST, text)) }.to_json()
    })
}

/// [`execute`], as long as there is room for the answer. Notifications are executed in any case; what they give takes room as well, though nobody is told.
async fn execute_within<D: RpcDispatch>(
    room: &Arc<Room>,
    request: Result<Request<'_>, Invalid<'_>>,
    dispatch: &D,
) -> Option<Vec<u8>> {
    let request = match request {
        Ok(request) => request,
        Err(invalid) => return Some(invalid.answer()),
    };
    if let Some(id) = request.id
        && let Some(refused) = refused(room, id)
    {
        return Some(refused);
    }
    let outcome = dispatch.call_of_batch(&request.method, request.params, room).await;
    let outcome = outcome.map_err(|error| within(room, error));
    let id = request.id?;
    Some(Answer { id: Some(id), outcome: outcome.as_deref() }.to_json())
}

/// An error that is long takes room, too; where it does not fit, that is said in its place.
fn within(room: &Room, error: RpcError) -> RpcError {
    let bytes = error.message.len() + error.data.as_ref().map_or(0, |data| data.get().len());
    if bytes <= SHORT { error } else { fits(room, bytes).map_or_else(|no_room| no_room, |()| error) }
}

/// Reads a body that is nothing but params, as `POST /rpc/{service}/{method}` takes it. An empty body means no params.
///
/// # Errors
/// A parse error where it is no JSON or too deep, an invalid request where it is neither an object nor an array.
pub fn params(body: &[u8]) -> Result<Option<&RawValue>, RpcError> {
    let text = check_text(body)?;
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let params: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    if is_structured(params) { Ok(Some(params)) } else { Err(RpcError::new(ErrorCode::INVALID_REQUEST, UNSTRUCTURED)) }
}

/// Executes one request and writes its response, if it wants one.
async fn execute<D: RpcDispatch>(request: Result<Request<'_>, Invalid<'_>>, dispatch: &D) -> Option<Vec<u8>> {
    let request = match request {
        Ok(request) => request,
        Err(invalid) => return Some(invalid.answer()),
    };
    let outcome = dispatch.call(&request.method, request.params).await;
    let id = request.id?;
    Some(Answer { id: Some(id), outcome: outcome.as_deref() }.to_json())
}

/// What a body holds.
enum Message<'a> {
    Single(Request<'a>),
    Batch(Vec<&'a RawValue>),
}

/// What is no request, and the id to answer with, where it could be read.
struct Invalid<'a> {
    id: Option<Id<'a>>,
    error: RpcError,
}

impl Invalid<'_> {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { id: None, error: RpcError::new(code, message) }
    }

    fn answer(&self) -> Vec<u8> {
        Answer { id: self.id, outcome: Err(&self.error) }.to_json()
    }
}

impl From<RpcError> for Invalid<'_> {
    fn from(error: RpcError) -> Self {
        Self { id: None, error }
    }
}

const UNSTRUCTURED: &str = "params must be an object or an array";

fn not_json(why: &dyn fmt::Display) -> RpcError {
    RpcError::new(ErrorCode::PARSE, format!("the body is not JSON: {why}"))
}

/// Makes text of a body, if it is UTF-8 without a byte order mark and not too deep.
fn check_text(body: &[u8]) -> Result<&str, RpcError> {
    let refuse = |why: String| RpcError::new(ErrorCode::PARSE, why);
    let text = std::str::from_utf8(body).map_err(|error| refuse(format!("the body is not UTF-8: {error}")))?;
    if is_deeper_than(body, MAX_DEPTH) {
        return Err(refuse(format!("the JSON is nested deeper than {MAX_DEPTH} levels")));
    }
    if text.starts_with('\u{feff}') {
        return Err(refuse("the body begins with a byte order mark; JSON is sent without one".into()));
    }
    Ok(text)
}

/// Whether a JSON text begins with this character, after white space.
fn begins_with(text: &str, first: char) -> bool {
    text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(first)
}

fn is_structured(params: &RawValue) -> bool {
    params.get().starts_with(['{', '['])
}

fn parse(body: &[u8]) -> Result<Message<'_>, Invalid<'_>> {
    let text = check_text(body)?;
    if let Some(request) = straight::request(text) {
        return Ok(Message::Single(request));
    }
    if !begins_with(text, '[') {
        return parse_request(text).map(Message::Single);
    }
    let Batch { entries, more } = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    if entries.is_empty() {
        return Err(Invalid::new(ErrorCode::INVALID_REQUEST, "the batch is empty"));
    }
    if more {
        return Err(Invalid::new(
            ErrorCode::INVALID_REQUEST,
            format!("the batch holds more than {MAX_BATCH} requests; split it"),
        ));
    }
    Ok(Message::Batch(entries))
}

/// Decodes one request. What is wrong with it is told apart only once something is.
fn parse_request(text: &str) -> Result<Request<'_>, Invalid<'_>> {
    // A struct may be written as an array to serde, but not in JSON-RPC.
    let is_object = begins_with(text, '{');
    let error = match serde_json::from_str::<Request<'_>>(text) {
        Ok(request) if is_object => {
            let fits = match request.params {
                Some(params) => is_structured(params),
                // serde takes a null for an absent member.
                None => serde_json::from_str::<OnlyParams<'_>>(text).is_ok_and(|found| found.params.is_none()),
            };
            if fits {
                return Ok(request);
            }
            return Err(Invalid { id: request.id, error: RpcError::new(ErrorCode::INVALID_REQUEST, UNSTRUCTURED) });
        }
        Ok(_) => None,
        Err(error) => Some(error),
    };
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(&error))?;
    let (id, why) = match error.filter(|_| is_object) {
        None => (None, "it is no object".to_owned()),
        Some(error) => (serde_json::from_str::<OnlyId<'_>>(text).ok().and_then(|found| found.id), error.to_string()),
    };
    let error = RpcError::new(ErrorCode::INVALID_REQUEST, format!("this is no JSON-RPC 2.0 request: {why}"));
    Err(Invalid { id, error })
}

/// Reads the id of what is otherwise no request, so that the answer can bear it.
#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<Id<'a>>,
}

/// Finds params that are null.
#[derive(Deserialize)]
struct OnlyParams<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// Tells a null from an absent member.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The entries of an array, as far as a batch may go.
struct Batch<'a> {
    entries: Vec<&'a RawValue>,
    more: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Batch<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Batch<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of requests")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Batch<'de>, A::Error> {
                let mut entries = Vec::new();
                while entries.len() < MAX_BATCH {
                    match seq.next_element()? {
                        Some(entry) => entries.push(entry),
                        None => return Ok(Batch { entries, more: false }),
                    }
                }
                let mut more = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Batch { entries, more })
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

#[cfg(test)]
mod tests;
