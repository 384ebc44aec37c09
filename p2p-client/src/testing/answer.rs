//! What a mock's closure may return: a result, or a future of one.

use std::future::{Future, ready};

use futures::{FutureExt, future::BoxFuture};

use crate::{
    call::{CallError, Failure},
    protocol::{ErrorCode, RpcError},
    service::{Outcome, ServiceError},
};

/// An answer that is being given: the result's JSON, or how the call failed.
pub type Answering = BoxFuture<'static, Result<Vec<u8>, Failure>>;

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

fn encode<R: Outcome>(result: Result<R::Ok, CallError<R::Err>>) -> Result<Vec<u8>, Failure> {
    let value = result.map_err(failure)?;
    serde_json::to_vec(&value)
        .map_err(|error| RpcError::new(ErrorCode::INTERNAL, format!("the result does not serialise: {error}")).into())
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
        CallError::Denied(text) => (ErrorCode::DENIED, text),
        CallError::Cancelled => (ErrorCode::CANCELLED, "the call was cancelled".to_owned()),
        CallError::NotFound(text) => (ErrorCode::METHOD_NOT_FOUND, text),
        CallError::Incompatible(text) => (ErrorCode::INCOMPATIBLE, text),
        CallError::InvalidParams(text) => (ErrorCode::INVALID_PARAMS, text),
        CallError::Internal(text) => (ErrorCode::INTERNAL, text),
    };
    RpcError::new(code, message).into()
}
