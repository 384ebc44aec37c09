//! What generated code names. Not for people: it may change with any release.

pub use std::{
    borrow::{Borrow, Cow, ToOwned},
    string::String,
    sync::Arc,
};

pub use serde::{Serialize, de::DeserializeOwned};
pub use serde_json::Result as JsonResult;

pub use crate::__mocks as mocks;
#[cfg(any(test, feature = "testing"))]
pub use crate::testing::{Answer, Expectation, MockCall, ServiceMock, StreamAnswer};
pub use crate::{
    call::{Call, CallError, Codec, FailedCall, Here, HoldsFailedCall, Streaming},
    codec::{Form, Message, Plain, Probe, Reader, ViaMessage, ViaSerde, absent, item_probe, result_probe, write_key},
    protocol::{Access, Many, One, Role, ServiceDescriptor},
    proxy::{Anywhere, OnMany, OnOne, OneTarget, Proxy, ProxyCore, TargetKind},
    service::{
        CallContext, DefaultJson, Definition, Describe, Failed, HostedService, LazyDescriptor, Local, MethodSpec, Narrowed,
        NoDefault, Outcome, ParamForms, ParamSpec, Params, ServeFuture, ServiceSpec, StreamOutcome, WithDefault,
        stream::{JsonItems, Results, StreamOf, TakeItems, Values, feed},
    },
};
use crate::{
    codec::bounded::{drop_deep, unwritten},
    protocol::{ErrorCode, RpcError, same},
    service::ServiceError,
};

/// What a contract's proxy type knows of a host `T`: its tables, and how to hold it as an object.
pub trait Contract<T> {
    /// The contract's tables.
    fn spec() -> &'static ServiceSpec;
    /// The host as a node keeps it, by the tables of its hosting: the contract's, or narrower ones.
    fn local(host: Arc<T>, spec: &'static ServiceSpec) -> Arc<dyn HostedService>;
}

/// Whether a host lets in only whom its contract does, too. `contract` says it by the methods' names in Rust; of a method that the contract
/// lacks the compiler speaks.
pub const fn stays_within(contract: &[(&str, Access)], method: &str, host: &Access) -> bool {
    let mut index = 0;
    while index < contract.len() {
        if same(contract[index].0.as_bytes(), method.as_bytes()) {
            return host.is_within(&contract[index].1);
        }
        index += 1;
    }
    true
}

/// A method's params as values.
///
/// # Errors
/// When they do not fit the method; the text names the parameter.
#[inline]
pub fn read<V>(forms: impl ParamForms<V>, params: Params<'_>, method: &MethodSpec) -> Result<V, RpcError> {
    forms.read(params, &method.params)
}

/// A method's return value as a response: the JSON of its value, in its type's form, or what a caller outside is told of its failure.
///
/// # Errors
/// The failure, or that the value does not serialise.
pub fn encode_outcome<R: Outcome>(form: impl Form<R::Ok>, outcome: R) -> Result<Vec<u8>, RpcError> {
    match outcome.into_result() {
        Ok(value) => encode_result(form, value),
        Err(failed) => Err(failure(failed)),
    }
}

/// A result as a response.
///
/// # Errors
/// The value does not serialise, or is nested too deep.
pub fn encode_result<T: Serialize + Send + 'static>(form: impl Form<T>, value: T) -> Result<Vec<u8>, RpcError> {
    form.encode(&value).map_err(|error| RpcError::new(ErrorCode::INTERNAL, unwritten("the result", value, &error)))
}

fn failure<E: ServiceError>(failed: Failed<E>) -> RpcError {
    if let Failed::Other(error) = &failed {
        tracing::debug!(?error, "a method failed");
    }
    let told = failed.to_rpc();
    if let (Failed::Service(error), None) = (failed, &told.data) {
        drop_deep(error);
    }
    told
}

/// Takes the items of a method that streams as JSON, in their type's form.
///
/// # Errors
/// When the call's caller did not ask for a stream.
pub fn json_items<K, O: StreamOutcome<K>, F: Form<O::Value>>(form: F, cx: &CallContext) -> Result<JsonItems<'_, F>, RpcError> {
    JsonItems::new(form, cx)
}

/// The end of a stream as a response: null, or what a caller outside is told of its failure.
///
/// # Errors
/// The failure.
pub fn encode_end<E: ServiceError>(ended: Result<(), Failed<E>>) -> Result<Vec<u8>, RpcError> {
    match ended {
        Ok(()) => Ok(b"null".to_vec()),
        Err(failed) => Err(failure(failed)),
    }
}

/// Answers a call whose index no method has; only a registry that mixed up its tables could make one.
pub fn no_such_method<'a>(service: &'static str, _: &'a CallContext, _: Params<'a>) -> ServeFuture<'a> {
    let error = RpcError::new(ErrorCode::METHOD_NOT_FOUND, format!("service {service} has no method at that place"));
    Box::pin(std::future::ready(Err(error)))
}

/// A default as the schema shows it; nothing, should it not serialise.
pub fn to_value<T: Serialize>(value: &T) -> Option<serde_json::Value> {
    serde_json::to_value(value).ok()
}
