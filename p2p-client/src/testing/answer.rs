//! What a mock's closure may return: a result, or for a method that streams, a stream; or a future of one.

use std::future::{Future, ready};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture};
use serde::Serialize;

use crate::{
    call::{CallError, Failure, Opened, RetryAfter},
    protocol::{ErrorCode, RpcError},
    service::{Outcome, ServiceError, StreamOutcome},
    wire::session::{ItemError, MAX_INLINE},
};

/// An answer that is being given: the result's JSON, or the JSON of the items; or how the call failed.
pub type Answering = BoxFuture<'static, Result<Opened, Failure>>;

/// What a mock can answer for a method that returns `R`: what the method's caller gets, `Result<T, CallError<E>>`, or a future of that.
///
/// `M` tells the two apart ([`Now`], [`Later`]) and is found by the compiler. Anything else is refused:
///
/// ```compile_fail,E0277
/// # use p2p_client::contracts::system::MockSystem;
/// MockSystem::new().on_get_system_info(|_| "a host");
/// ```
#[diagnostic::on_unimplemented(
    message = "a mock cannot answer with `{Self}`",
    label = "not what the caller of the method gets",
    note = "return `Ok(value)` or `Err(CallError::…)`, an own error as `Err(CallError::Service(error))`; or a future of that: `async move {{ … }}`"
)]
// `R` has no bound here, so that a result that cannot be one is told of once, where the method stands, and not by its mock as well.
pub trait Answer<R, M> {
    /// Begins to answer.
    fn begin(self) -> Answering;
}

/// Marks an answer that is at hand.
#[derive(Debug)]
pub enum Now {}

/// Marks an answer that is a future.
#[derive(Debug)]
pub enum Later {}

impl<R: Outcome> Answer<R, Now> for Result<R::Ok, CallError<R::Err>> {
    fn begin(self) -> Answering {
        ready(encode::<R>(self)).boxed()
    }
}

#[diagnostic::do_not_recommend]
impl<R: Outcome + 'static, F: Future<Output = Result<R::Ok, CallError<R::Err>>> + Send + 'static> Answer<R, Later> for F {
    fn begin(self) -> Answering {
        self.map(encode::<R>).boxed()
    }
}

fn encode<R: Outcome>(result: Result<R::Ok, CallError<R::Err>>) -> Result<Opened, Failure> {
    let value = result.map_err(failure)?;
    json(&value, "the result").map(Opened::Answered)
}

fn json(value: &impl Serialize, what: &str) -> Result<Bytes, Failure> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(json.into()),
        Err(error) => Err(RpcError::new(ErrorCode::INTERNAL, format!("{what} does not serialise: {error}")).into()),
    }
}

/// What a mock can answer for a method that streams: `Ok` of a stream, or the error of opening it; or a future of that.
///
/// The stream's items are the values that the method's caller gets; or results of them, `Result<T, CallError<E>>`, for a stream that breaks:
/// it ends with its first error. `M` tells these forms apart ([`Now`] or [`Later`], [`Whole`] or [`Breaking`]) and is found by the compiler.
/// A stream without items says of which type they would be: `stream::empty::<u64>()`; so does one that is never opened:
/// `Err::<stream::Empty<u64>, _>(…)`.
///
/// ```
/// # use futures::{StreamExt, stream};
/// # use p2p_client::{call::CallError, proxy::Proxy, service, service::{Result, Stream}};
/// #[service]
/// pub trait Counter {
///     #[service_method(read_only)]
///     async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>>;
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let counter = MockCounter::new();
/// let proxy = Proxy::mock().with(&counter).proxy();
/// counter.on_count(|_, from| Ok(stream::iter(from..))).once();
/// counter.on_count(|_, from| Ok(stream::iter([Ok(from), Err(CallError::Cancelled)])));
///
/// assert_eq!(proxy.counter().count(3).await?.take(2).map(Result::unwrap).collect::<Vec<_>>().await, [3, 4]);
/// let broken: Vec<_> = proxy.counter().count(3).await?.collect().await;
/// assert!(matches!(broken[..], [Ok(3), Err(CallError::Cancelled)]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a mock cannot stream with `{Self}`",
    label = "not a stream of what the caller of the method gets",
    note = "return `Ok(stream)` or `Err(CallError::…)`, or a future of that; the stream's items are values, or `Result<T, CallError<E>>` for one that breaks"
)]
pub trait StreamAnswer<K, O, M> {
    /// Begins to answer.
    fn begin(self) -> Answering;
}

/// Marks a stream whose items are values.
#[derive(Debug)]
pub enum Whole {}

/// Marks a stream whose items are results: it may break.
#[derive(Debug)]
pub enum Breaking {}

impl<K, O: StreamOutcome<K>, S: Stream<Item = O::Value> + Send + 'static> StreamAnswer<K, O, (Now, Whole)>
    for Result<S, CallError<O::Err>>
{
    fn begin(self) -> Answering {
        ready(opened(self.map(|items| items.map(Ok)))).boxed()
    }
}

#[diagnostic::do_not_recommend]
impl<K, O, S> StreamAnswer<K, O, (Now, Breaking)> for Result<S, CallError<O::Err>>
where
    O: StreamOutcome<K>,
    S: Stream<Item = Result<O::Value, CallError<O::Err>>> + Send + 'static,
{
    fn begin(self) -> Answering {
        ready(opened(self)).boxed()
    }
}

#[diagnostic::do_not_recommend]
impl<K, O, S, F> StreamAnswer<K, O, (Later, Whole)> for F
where
    O: StreamOutcome<K>,
    S: Stream<Item = O::Value> + Send + 'static,
    F: Future<Output = Result<S, CallError<O::Err>>> + Send + 'static,
{
    fn begin(self) -> Answering {
        self.map(|answer| opened(answer.map(|items| items.map(Ok)))).boxed()
    }
}

#[diagnostic::do_not_recommend]
impl<K, O, S, F> StreamAnswer<K, O, (Later, Breaking)> for F
where
    O: StreamOutcome<K>,
    S: Stream<Item = Result<O::Value, CallError<O::Err>>> + Send + 'static,
    F: Future<Output = Result<S, CallError<O::Err>>> + Send + 'static,
{
    fn begin(self) -> Answering {
        self.map(opened).boxed()
    }
}

fn opened<T: Serialize + 'static, E: ServiceError>(
    answer: Result<impl Stream<Item = Result<T, CallError<E>>> + Send + 'static, CallError<E>>,
) -> Result<Opened, Failure> {
    Ok(Opened::Items(answer.map_err(failure)?.map(item).boxed()))
}

/// An item as a session would carry it.
fn item<T: Serialize, E: ServiceError>(item: Result<T, CallError<E>>) -> Result<Bytes, Failure> {
    let json = json(&item.map_err(failure)?, "an item of the stream")?;
    if json.len() > MAX_INLINE {
        let error = ItemError::TooLong { size: json.len() };
        return Err(RpcError::new(ErrorCode::INTERNAL, error.to_string()).into());
    }
    Ok(json)
}

/// The failure that the seam reports, so that the caller is told of this error.
fn failure<E: ServiceError>(error: CallError<E>) -> Failure {
    let (code, message) = match error {
        CallError::Service(own) => return RpcError::new(ErrorCode::SERVICE, own.to_string()).with_data(&own).into(),
        CallError::UnknownService { message, data } => return RpcError { code: ErrorCode::SERVICE, message, data }.into(),
        CallError::Deadline { method, .. } => return Failure::Deadline(method),
        CallError::NoRoute(text) => return Failure::NoRoute(text),
        CallError::Transport { reason, may_have_run: true } => return Failure::Lost(reason),
        CallError::Transport { reason, may_have_run: false } => return Failure::NotSent(reason),
        CallError::RateLimited { reason, retry_after } => {
            let error = RpcError::new(ErrorCode::RATE_LIMITED, reason);
            return retry_after.map_or(error.clone(), |after| error.with_data(&RetryAfter::from(after))).into();
        }
        CallError::Denied(text) => (ErrorCode::DENIED, text),
        CallError::Cancelled => (ErrorCode::CANCELLED, "the call was cancelled".to_owned()),
        CallError::NotFound(text) => (ErrorCode::METHOD_NOT_FOUND, text),
        CallError::Incompatible(text) => (ErrorCode::INCOMPATIBLE, text),
        CallError::InvalidParams(text) => (ErrorCode::INVALID_PARAMS, text),
        CallError::Internal(text) => (ErrorCode::INTERNAL, text),
    };
    RpcError::new(code, message).into()
}
