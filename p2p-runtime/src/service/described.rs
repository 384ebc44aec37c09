//! Services that come with a description of their own, made by hand or received from elsewhere: one handler serves all their methods.
//!
//! The description is checked once. A call's params are parted by it (names, positions, what is required, defaults), and reach the
//! handler as an object by name; that their values fit the schemas is for the handler to say.

use std::{any::Any, borrow::Cow, collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use p2p_client::{
    __private::encode_result,
    codec::Plain,
    protocol::{ErrorCode, Fingerprint, MethodDescriptor, ParamDescriptor, RpcError, ServiceDescriptor},
    service::{CallContext, HostedService, MethodSpec, MethodStats, ParamSpec, Params, Result, ServeFuture, ServiceSpec},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::registry::{RegistryError, is_wire_name};

/// What a handler is asked: which method, with which params.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedCall {
    /// The method's name.
    pub method: String,
    /// The params by name: those that were given, and the defaults of the others.
    pub params: Map<String, Value>,
}

type Handler = dyn Fn(CallContext, DescribedCall) -> ServeFuture<'static> + Send + Sync;

/// A service with a description and a handler.
pub(super) struct DescribedService {
    spec: ServiceSpec,
    descriptor: ServiceDescriptor,
    fingerprint: Fingerprint,
    handler: Box<Handler>,
    stats: Box<[MethodStats]>,
}

impl DescribedService {
    /// Checks the description.
    pub(super) fn new<T, F, R>(descriptor: ServiceDescriptor, handler: F) -> Result<Self, RegistryError>
    where
        T: Serialize + Send + 'static,
        F: Fn(CallContext, DescribedCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        check(&descriptor).map_err(|reason| RegistryError::BadDescriptor { service: descriptor.name.to_string(), reason })?;
        let handler = Arc::new(handler);
        let handler: Box<Handler> = Box::new(move |cx, call| {
            let handler = handler.clone();
            // All of it inside of the future, so that a panic stays within the call.
            Box::pin(async move { answer(handler(cx, call).await) })
        });
        let spec = spec(&descriptor);
        let stats = descriptor.methods.iter().map(|_| MethodStats::default()).collect();
        Ok(Self { spec, fingerprint: descriptor.fingerprint(), descriptor, handler, stats })
    }
}

fn answer<T: Serialize + Send + 'static>(outcome: Result<T>) -> Result<Vec<u8>, RpcError> {
    let value = outcome.map_err(|error| {
        tracing::debug!(?error, "a method failed");
        error.to_rpc()
    })?;
    encode_result(Plain, value)
}

/// Says what is wrong with a description.
fn check(descriptor: &ServiceDescriptor) -> Result<(), String> {
    if descriptor.format != ServiceDescriptor::FORMAT {
        return Err(format!("its format is {}, and this version knows {}", descriptor.format, ServiceDescriptor::FORMAT));
    }
    if descriptor.methods.is_empty() {
        return Err("it has no methods".to_owned());
    }
    let mut seen = BTreeSet::new();
    let names = std::iter::once(&descriptor.name).chain(descriptor.methods.iter().map(|method| &method.name));
    for name in names.clone() {
        if !is_wire_name(name) {
            return Err(format!("{name:?} cannot be a name on the wire; use 1 to 63 of a-z, 0-9 and _, a letter first"));
        }
    }
    for name in names.skip(1) {
        if !seen.insert(name) {
            return Err(format!("two methods are called {name:?}"));
        }
    }
    if let Some(method) = descriptor.methods.iter().find(|method| method.item.is_some()) {
        let name = &method.name;
        return Err(format!(
            "{name:?} streams, and the handler gives one result; leave out its \"item\", or write it with #[service]"
        ));
    }
    descriptor.methods.iter().try_for_each(check_params)
}

fn check_params(method: &MethodDescriptor) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match method.params.iter().find(|param| !seen.insert(&param.name)) {
        Some(twice) => Err(format!("two parameters of {} are called {:?}", method.name, twice.name)),
        None => Ok(()),
    }
}

fn spec(descriptor: &ServiceDescriptor) -> ServiceSpec {
    let method = |(index, method): (usize, &MethodDescriptor)| MethodSpec {
        descriptor: None,
        service: descriptor.name.clone(),
        name: method.name.clone(),
        path: format!("{}/{}", descriptor.name, method.name).into(),
        index,
        params: method.params.iter().map(|param| ParamSpec { name: param.name.clone() }).collect(),
        access: method.access.clone(),
        idempotent: method.idempotent || method.read_only,
        read_only: method.read_only,
        detached: method.detached,
        track_metrics: true,
        streams: false,
        timeout: method.timeout_ms.map(Duration::from_millis),
    };
    ServiceSpec {
        name: descriptor.name.clone(),
        version: descriptor.version.clone(),
        methods: descriptor.methods.iter().enumerate().map(method).collect(),
        roles: Cow::Borrowed(&[]),
    }
}

/// The params by name.
fn by_name(method: &MethodDescriptor, names: &[ParamSpec], params: Params<'_>) -> Result<Map<String, Value>, RpcError> {
    let given = params.split(names)?.into_given();
    let mut by_name = Map::new();
    for (param, given) in method.params.iter().zip(given) {
        let value = match given {
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|error| RpcError::new(ErrorCode::INVALID_PARAMS, format!("parameter `{}`: {error}", param.name)))?,
            None => match left_out(param)? {
                Some(default) => default,
                None => continue,
            },
        };
        by_name.insert(param.name.to_string(), value);
    }
    Ok(by_name)
}

/// What stands for a parameter that was not given.
fn left_out(param: &ParamDescriptor) -> Result<Option<Value>, RpcError> {
    if param.required {
        return Err(RpcError::new(ErrorCode::INVALID_PARAMS, format!("parameter `{}` is missing", param.name)));
    }
    Ok(param.schema.get("default").cloned())
}

impl HostedService for DescribedService {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn describe(&self) -> ServiceDescriptor {
        self.descriptor.clone()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn serve<'a>(&'a self, index: usize, cx: &'a CallContext, params: Params<'a>) -> ServeFuture<'a> {
        let (Some(method), Some(spec)) = (self.descriptor.methods.get(index), self.spec.methods.get(index)) else {
            return p2p_client::__private::no_such_method("registered at run time", cx, params);
        };
        Box::pin(async move {
            let params = by_name(method, &spec.params, params)?;
            (self.handler)(cx.clone(), DescribedCall { method: method.name.to_string(), params }).await
        })
    }

    fn stats(&self, index: usize) -> Option<&MethodStats> {
        self.stats.get(index)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_fingerprint_is_that_of_the_description() {
        let text =
            r#"{"format":1,"name":"kv","version":"1.0.0","methods":[{"name":"get","params":[],"result":{},"access":"nodes"}]}"#;
        let descriptor: ServiceDescriptor = serde_json::from_str(text).unwrap();
        let fingerprint = descriptor.fingerprint();
        let service = DescribedService::new(descriptor, |_, _| async { Ok(1) }).unwrap();
        assert_eq!(service.fingerprint(), fingerprint);
        assert_eq!(service.describe().fingerprint(), fingerprint);
    }
}
