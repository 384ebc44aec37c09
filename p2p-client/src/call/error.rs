//! How a call can fail, seen from the caller.

use std::{error::Error, fmt, time::Duration};

use serde_json::value::RawValue;

use crate::{
    protocol::{ErrorCode, RpcError},
    service::{NoError, ServiceError},
};

/// Why a call failed. `E` is the service's own error type.
///
/// Of a call that was made while another was served, by [`CallContext::proxy`](crate::service::CallContext::proxy), the texts name the method:
/// by `?` they reach whoever made the call around it, who knows nothing of this one. (An error of the service's own type says what it says.)
/// There it is an internal error, which is never safe to retry; but a deadline stays a deadline, and what was cancelled stays that.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError<E = NoError> {
    /// The method answered with an error of its own type.
    Service(E),
    /// The method answered with an error of its own type that this caller's version of the type does not know.
    UnknownService {
        /// The error's text.
        message: String,
        /// The error's JSON.
        data: Option<Box<RawValue>>,
    },
    /// The caller may not call this method.
    Denied(String),
    /// The node takes no more calls of this caller for now. The call did not run.
    RateLimited {
        /// Which limit it was, and when to try again.
        reason: String,
        /// How long to wait, where it was said.
        retry_after: Option<Duration>,
    },
    /// The time given for the call ran out.
    Deadline {
        /// The path of the method that did not answer: the called one, or one that it called in turn.
        method: String,
        /// Marks the error wherever it becomes the source of another.
        cause: TimedOut,
    },
    /// The call was cancelled at the other end.
    Cancelled,
    /// No node fits the target and hosts the service.
    NoRoute(String),
    /// There is no such service or method.
    NotFound(String),
    /// The host's version of the service does not know what was asked, or not in this form: then nothing was sent, or the method did not run.
    /// Or its result cannot be read by this version.
    Incompatible(String),
    /// The peer could not be reached, or was lost before it answered.
    Transport {
        /// What happened.
        reason: String,
        /// Whether the peer may have served the call. If not, it is safe to call again.
        may_have_run: bool,
    },
    /// The parameters do not fit the method; the text names the one that does not.
    InvalidParams(String),
    /// The method failed.
    Internal(String),
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(own) => own.fmt(f),
            Self::UnknownService { message, .. } => {
                write!(f, "the service answered with an error that this version does not know: {message}")
            }
            Self::Denied(text) => write!(f, "denied: {text}"),
            Self::Deadline { method, .. } => {
                write!(f, "{method} did not answer in time; give it more with .timeout(…), or look at what it waits for")
            }
            Self::Cancelled => f.write_str("the call was cancelled"),
            Self::NoRoute(text) => write!(f, "no route: {text}"),
            Self::Incompatible(text) => write!(f, "incompatible: {text}"),
            Self::Transport { reason, may_have_run: true } => write!(f, "{reason}; the call may have run"),
            Self::Transport { reason, may_have_run: false } => write!(f, "{reason}; the call was not sent"),
            Self::RateLimited { reason: text, .. } | Self::NotFound(text) | Self::InvalidParams(text) | Self::Internal(text) => {
                f.write_str(text)
            }
        }
    }
}

/// By its source an error is known for a deadline, or for a call that was cancelled, whatever the error type of the call.
impl<E: Error> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Deadline { cause, .. } => Some(cause),
            Self::Cancelled => Some(&WasCancelled),
            _ => None,
        }
    }
}

impl<E> CallError<E> {
    /// The code under which it travels.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Service(_) | Self::UnknownService { .. } => ErrorCode::SERVICE,
            Self::Denied(_) => ErrorCode::DENIED,
            Self::RateLimited { .. } => ErrorCode::RATE_LIMITED,
            Self::Deadline { .. } => ErrorCode::DEADLINE,
            Self::Cancelled => ErrorCode::CANCELLED,
            Self::NoRoute(_) => ErrorCode::NO_ROUTE,
            Self::NotFound(_) => ErrorCode::METHOD_NOT_FOUND,
            Self::Incompatible(_) => ErrorCode::INCOMPATIBLE,
            Self::Transport { .. } => ErrorCode::TRANSPORT,
            Self::InvalidParams(_) => ErrorCode::INVALID_PARAMS,
            Self::Internal(_) => ErrorCode::INTERNAL,
        }
    }

    /// The same, whose text names the method.
    fn naming(mut self, method: &str) -> Self {
        match &mut self {
            Self::UnknownService { message: text, .. }
            | Self::RateLimited { reason: text, .. }
            | Self::Transport { reason: text, .. }
            | Self::Denied(text)
            | Self::NoRoute(text)
            | Self::NotFound(text)
            | Self::Incompatible(text)
            | Self::InvalidParams(text)
            | Self::Internal(text)
                if !names(text, method) =>
            {
                *text = format!("{method}: {text}");
            }
            // It names it already, or has a text of its own.
            _ => {}
        }
        self
    }

    /// Whether making the same call again may help, and cannot run it twice: nobody took it, and somebody may the next time. (Of the others, some
    /// may have run, and some would only be refused again.)
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::Transport { may_have_run, .. } => !may_have_run,
            Self::NoRoute(_) | Self::RateLimited { .. } => true,
            _ => false,
        }
    }
}

impl<E> CallError<E> {
    /// Whether somebody may have served the call, though it failed.
    pub(crate) fn may_have_run(&self) -> bool {
        match self {
            Self::Transport { may_have_run, .. } => *may_have_run,
            Self::Service(_) | Self::UnknownService { .. } | Self::Deadline { .. } | Self::Cancelled | Self::Internal(_) => true,
            Self::Denied(_)
            | Self::RateLimited { .. }
            | Self::NoRoute(_)
            | Self::NotFound(_)
            | Self::Incompatible(_)
            | Self::InvalidParams(_) => false,
        }
    }
}

/// Whether a text speaks of this method, and not of one whose name is longer, at either end.
fn names(text: &str, method: &str) -> bool {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let stands_alone = |at: usize| !text[..at].ends_with(is_of_names) && !text[at + method.len()..].starts_with(is_of_names);
    text.match_indices(method).any(|(at, _)| stands_alone(at))
}

/// The source of every error that is a deadline, whatever the error type of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time for it ran out")]
pub struct TimedOut;

/// The source of every error that is a cancelled call, whatever the error type of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waited for it any more")]
pub(crate) struct WasCancelled;

/// A failed call before the service's error type is known: what the seam below proxies reports.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The other end answered with an error.
    #[error(transparent)]
    Answered(#[from] RpcError),
    /// The call was surely not served.
    #[error("{0}")]
    NotSent(String),
    /// The call was sent, and no answer came.
    #[error("{0}")]
    Lost(String),
    /// The call was served, and its answer is longer or deeper than is taken. It would be elsewhere, too.
    #[error("{0}")]
    NotTaken(String),
    /// The time ran out.
    #[error("{0} did not answer in time")]
    Deadline(String),
    /// Nobody to send it to.
    #[error("{0}")]
    NoRoute(String),
    /// Nobody to send it to now; a node that starts may take it in a moment.
    #[error("{0}")]
    NotYet(String),
    /// The host's version of the service does not know what was asked. Nothing was sent.
    #[error("{0}")]
    Incompatible(String),
}

impl Failure {
    /// Whether the call surely did not run.
    pub fn surely_not_run(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::NoRoute(_) | Self::NotYet(_) | Self::Incompatible(_) => true,
            Self::Answered(error) => matches!(error.code, ErrorCode::UNAVAILABLE | ErrorCode::RATE_LIMITED),
            Self::Lost(_) | Self::NotTaken(_) | Self::Deadline(_) => false,
        }
    }

    /// When the call may come again, where its host said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered(error) if error.code == ErrorCode::RATE_LIMITED => RetryAfter::of(error),
            _ => None,
        }
    }

    /// The failure as an error object, for a node that forwards it.
    pub fn into_rpc(self) -> RpcError {
        match self {
            Self::Answered(error) => error,
            Self::NotSent(reason) => RpcError::new(ErrorCode::TRANSPORT, reason).with_data(&MayHaveRun { may_have_run: false }),
            Self::Lost(reason) => RpcError::new(ErrorCode::TRANSPORT, reason).with_data(&MayHaveRun { may_have_run: true }),
            Self::NotTaken(reason) => RpcError::new(ErrorCode::INTERNAL, reason),
            Self::Deadline(method) => RpcError::new(ErrorCode::DEADLINE, format!("{method} did not answer in time")),
            Self::NoRoute(reason) | Self::NotYet(reason) => RpcError::new(ErrorCode::NO_ROUTE, reason),
            Self::Incompatible(reason) => RpcError::new(ErrorCode::INCOMPATIBLE, reason),
        }
    }
}

/// The `data` of a call over a limit.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct RetryAfter {
    /// How long to wait, in milliseconds.
    pub retry_after_ms: u64,
}

impl From<Duration> for RetryAfter {
    fn from(after: Duration) -> Self {
        // Rounded up: a caller that comes a moment early is refused again.
        Self { retry_after_ms: u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX) }
    }
}

impl RetryAfter {
    /// What an error says of when to come again.
    pub fn of(error: &RpcError) -> Option<Duration> {
        let told: Self = serde_json::from_str(error.data.as_deref()?.get()).ok()?;
        Some(Duration::from_millis(told.retry_after_ms))
    }
}

/// The `data` of a transport error.
#[derive(serde::Serialize, serde::Deserialize)]
struct MayHaveRun {
    may_have_run: bool,
}

impl<E: ServiceError> CallError<E> {
    /// Reads a failure of `method` as an error of the method's own type.
    pub fn from_failure(failure: Failure, method: &str) -> Self {
        match failure {
            Failure::Answered(error) => Self::from_rpc(error, method),
            Failure::NotSent(reason) => Self::Transport { reason, may_have_run: false },
            Failure::Lost(reason) => Self::Transport { reason, may_have_run: true },
            Failure::NotTaken(reason) => Self::Internal(reason),
            Failure::Deadline(method) => Self::Deadline { method, cause: TimedOut },
            Failure::NoRoute(reason) | Failure::NotYet(reason) => Self::NoRoute(reason),
            Failure::Incompatible(reason) => Self::Incompatible(reason),
        }
    }

    /// The same, which names the method where the call was made while another was served.
    pub(crate) fn of_call(failure: Failure, method: &str, is_nested: bool) -> Self {
        let error = Self::from_failure(failure, method);
        if is_nested { error.naming(method) } else { error }
    }

    fn from_rpc(error: RpcError, method: &str) -> Self {
        if error.code == ErrorCode::RATE_LIMITED {
            return Self::RateLimited { retry_after: RetryAfter::of(&error), reason: error.message };
        }
        let RpcError { code, message, data } = error;
        match code {
            ErrorCode::SERVICE => match data.as_deref().map(|data| serde_json::from_str(data.get())) {
                Some(Ok(own)) => Self::Service(own),
                _ => Self::UnknownService { message, data },
            },
            ErrorCode::DENIED => Self::Denied(message),
            ErrorCode::DEADLINE => {
                // Whose time ran out is in the text, where it is ours.
                let method = message.split_once(" did not answer in time").map_or(method, |(inner, _)| inner);
                Self::Deadline { method: method.to_owned(), cause: TimedOut }
            }
            ErrorCode::CANCELLED => Self::Cancelled,
            ErrorCode::NO_ROUTE => Self::NoRoute(message),
            ErrorCode::METHOD_NOT_FOUND => Self::NotFound(message),
            ErrorCode::INCOMPATIBLE | ErrorCode::INVALID_REQUEST => Self::Incompatible(message),
            ErrorCode::UNAVAILABLE => Self::Transport { reason: message, may_have_run: false },
            ErrorCode::TRANSPORT => {
                let told: Option<MayHaveRun> = data.and_then(|data| serde_json::from_str(data.get()).ok());
                Self::Transport { reason: message, may_have_run: told.is_none_or(|told| told.may_have_run) }
            }
            ErrorCode::INVALID_PARAMS => Self::InvalidParams(message),
            _ => Self::Internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_the_call_may_have_run_also_after_being_forwarded() {
        for (failure, safe) in [
            (Failure::NotSent("refused".into()), true),
            (Failure::Lost("reset".into()), false),
            (Failure::NotTaken("too long".into()), false),
            (Failure::NoRoute("nobody".into()), true),
            (Failure::NotYet("it starts".into()), true),
            (Failure::Deadline("a/b".into()), false),
        ] {
            let forwarded = Failure::Answered(failure.into_rpc());
            let error = CallError::<NoError>::from_failure(forwarded, "a/b");
            assert_eq!(error.is_safe_to_retry(), safe, "{error}");
        }
    }

    #[test]
    fn only_a_call_that_nobody_took_may_be_made_again_with_hope_and_without_risk() {
        let text = || "why".to_owned();
        let transport = |may_have_run| CallError::Transport { reason: text(), may_have_run };
        let unknown = CallError::UnknownService { message: text(), data: None };
        let deadline = CallError::from_failure(Failure::Deadline("a/b".into()), "a/b");
        for (error, safe) in [
            (transport(false), true),
            (CallError::NoRoute(text()), true),
            (CallError::RateLimited { reason: text(), retry_after: None }, true),
            (transport(true), false),
            (deadline, false),
            (CallError::Cancelled, false),
            (unknown, false),
            (CallError::Internal(text()), false),
            // Surely not run, and of no use to repeat.
            (CallError::Denied(text()), false),
            (CallError::NotFound(text()), false),
            (CallError::Incompatible(text()), false),
            (CallError::InvalidParams(text()), false),
        ] {
            let error: CallError<NoError> = error;
            assert_eq!(error.is_safe_to_retry(), safe, "{error}");
        }
    }

    #[test]
    fn a_deadline_that_an_inner_call_ran_into_stays_one_and_names_the_inner_method() {
        #[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema, thiserror::Error)]
        #[error("full")]
        struct Full;
        let inner = CallError::<Full>::from_failure(Failure::Deadline("kv/get".into()), "kv/get");
        let told = crate::service::Error::from(inner).to_rpc();
        assert_eq!(told.code, ErrorCode::DEADLINE);
        match CallError::<NoError>::from_failure(told.into(), "greeter/greet") {
            CallError::Deadline { method, .. } => assert_eq!(method, "kv/get"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_failed_call_within_another_names_its_method_whatever_its_kind_and_only_once() {
        let answered = |code, text: &str| Failure::Answered(RpcError::new(code, text));
        for (failure, said) in [
            (answered(ErrorCode::INTERNAL, "the disk is full"), "kv/get: the disk is full"),
            (
                answered(ErrorCode::INTERNAL, "kv/get panicked; its node's log says where"),
                "kv/get panicked; its node's log says where",
            ),
            (answered(ErrorCode::INTERNAL, "disk/read: it is broken"), "kv/get: disk/read: it is broken"),
            (answered(ErrorCode::INTERNAL, "kv/get_all: it is broken"), "kv/get: kv/get_all: it is broken"),
            (answered(ErrorCode::INTERNAL, "my_kv/get: the disk is full"), "kv/get: my_kv/get: the disk is full"),
            (answered(ErrorCode::INTERNAL, "`kv/get`: it is broken"), "`kv/get`: it is broken"),
            (answered(ErrorCode::RATE_LIMITED, "too many calls"), "kv/get: too many calls"),
            (answered(ErrorCode::INVALID_PARAMS, "parameter `key` is missing"), "kv/get: parameter `key` is missing"),
            (answered(ErrorCode::METHOD_NOT_FOUND, "there is no such service"), "kv/get: there is no such service"),
            (
                answered(ErrorCode::DENIED, "an anonymous caller may not call kv/get"),
                "denied: an anonymous caller may not call kv/get",
            ),
            (Failure::NoRoute("nobody is there".to_owned()), "no route: kv/get: nobody is there"),
            (Failure::Lost("node b was lost".to_owned()), "kv/get: node b was lost; the call may have run"),
            (Failure::NotSent("node b is away".to_owned()), "kv/get: node b is away; the call was not sent"),
        ] {
            let plain = CallError::<NoError>::of_call(failure.clone(), "kv/get", false);
            let nested = CallError::<NoError>::of_call(failure, "kv/get", true);
            assert_eq!(nested.to_string(), said);
            assert_eq!((plain.code(), plain.is_safe_to_retry()), (nested.code(), nested.is_safe_to_retry()));
            let outside = crate::service::Error::from(nested).to_rpc();
            assert_eq!((outside.code, outside.message.as_str()), (ErrorCode::INTERNAL, said));
        }
        let plain = CallError::<NoError>::of_call(answered(ErrorCode::INTERNAL, "the disk is full"), "kv/get", false);
        assert_eq!(plain.to_string(), "the disk is full", "who made the call itself knows which it was");
    }

    #[test]
    fn a_call_that_was_cancelled_stays_so_for_who_called_around_it_whatever_its_error_type() {
        #[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema, thiserror::Error)]
        #[error("full")]
        struct Full;
        assert_eq!(crate::service::Error::from(CallError::<Full>::Cancelled).to_rpc().code, ErrorCode::CANCELLED);
        assert_eq!(crate::service::Error::from(CallError::<NoError>::Cancelled).to_rpc().code, ErrorCode::CANCELLED);
        assert_eq!(crate::service::Error::from(CallError::Service(Full)).to_rpc().code, ErrorCode::INTERNAL);
    }

    #[test]
    fn a_call_over_a_limit_tells_when_to_come_again() {
        let error = RpcError::new(ErrorCode::RATE_LIMITED, "too many").with_data(&RetryAfter { retry_after_ms: 600 });
        match CallError::<NoError>::from_failure(error.into(), "a/b") {
            CallError::RateLimited { reason, retry_after } => {
                assert_eq!((reason.as_str(), retry_after), ("too many", Some(Duration::from_millis(600))));
            }
            other => panic!("{other}"),
        }
        let bare = CallError::<NoError>::from_failure(RpcError::new(ErrorCode::RATE_LIMITED, "too many").into(), "a/b");
        assert!(matches!(bare, CallError::RateLimited { retry_after: None, .. }), "{bare}");
    }

    #[test]
    fn a_services_own_error_that_the_caller_does_not_know_keeps_its_json() {
        let error = RpcError::new(ErrorCode::SERVICE, "new kind").with_data("Frozen");
        match CallError::<NoError>::from_failure(error.into(), "a/b") {
            CallError::UnknownService { message, data } => {
                assert_eq!((message.as_str(), data.unwrap().get()), ("new kind", "\"Frozen\""));
            }
            other => panic!("{other}"),
        }
    }
}
