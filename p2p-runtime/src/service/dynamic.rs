//! Services that exist only at run time: put together from handlers.

use std::{any::Any, borrow::Cow, future::Future, sync::Arc};

use p2p_client::{
    codec::Plain,
    protocol::{Access, ErrorCode, Fingerprint, MethodDescriptor, ParamDescriptor, RpcError, ServiceDescriptor},
    service::{CallContext, HostedService, MethodSpec, MethodStats, Params, Result, ServeFuture, ServiceSpec, method_of},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};

use super::definitions::{self, Definitions};

type Handler = dyn for<'a> Fn(&'a CallContext, Params<'a>) -> ServeFuture<'a> + Send + Sync;

/// One method of such a service.
#[derive(Clone)]
pub(super) struct DynamicMethod {
    spec: MethodSpec,
    description: MethodDescriptor,
    definitions: Definitions,
    handler: Arc<Handler>,
    stats: Arc<MethodStats>,
}

/// A service put together at run time. Adding a method makes a new one, which shares the others' counters.
pub(super) struct DynamicService {
    spec: ServiceSpec,
    fingerprint: Fingerprint,
    methods: Vec<DynamicMethod>,
}

/// Makes a method of a handler.
pub(super) fn method<P, T, F, R>(service: &str, name: &str, handler: F) -> DynamicMethod
where
    P: DeserializeOwned + JsonSchema + Send + 'static,
    T: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(CallContext, P) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T>> + Send + 'static,
{
    let mut schemas = SchemaSettings::draft2020_12().into_generator();
    let params = schemas.root_schema_for::<P>().to_value();
    let result = schemas.subschema_for::<T>().to_value();
    let params = described_params(&params);
    let definitions = schemas.take_definitions(true).into_iter().collect();
    let spec = MethodSpec {
        service: service.to_owned().into(),
        name: name.to_owned().into(),
        path: format!("{service}/{name}").into(),
        index: 0,
        params: Cow::Owned(Vec::new()),
        access: Access::Nodes,
        idempotent: false,
        read_only: false,
        detached: false,
        track_metrics: true,
        streams: false,
        timeout: None,
        descriptor: None,
    };
    let description = MethodDescriptor { params, ..method_of(&spec, "", result) };
    let handler = Arc::new(handler);
    let handler: Arc<Handler> = Arc::new(move |cx, params| {
        let handler = handler.clone();
        // All of it inside of the future, so that a panic stays within the call.
        Box::pin(
            async move { p2p_client::__private::encode_outcome::<Result<T>>(Plain, handler(cx.clone(), decode(params)?).await) },
        )
    });
    DynamicMethod { spec, description, definitions, handler, stats: Arc::default() }
}

/// The properties of a params type, as the parameters of a method.
fn described_params(schema: &serde_json::Value) -> Vec<ParamDescriptor> {
    let required = schema.get("required").and_then(serde_json::Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| ParamDescriptor { name: name.clone().into(), schema: schema.clone(), required: is_required(name) })
        .collect()
}

fn decode<P: DeserializeOwned>(params: Params<'_>) -> Result<P, RpcError> {
    serde_json::from_str(params.json().unwrap_or("{}"))
        .map_err(|error| RpcError::new(ErrorCode::INVALID_PARAMS, error.to_string()))
}

impl DynamicService {
    pub(super) fn new(name: &str) -> Self {
        let spec = ServiceSpec {
            name: name.to_owned().into(),
            version: Cow::Borrowed("0.0.0"),
            methods: Cow::Owned(Vec::new()),
            roles: Cow::Borrowed(&[]),
        };
        Self::of(spec, Vec::new())
    }

    /// The service with one method more, or another in the place of the one of that name.
    pub(super) fn with(&self, mut added: DynamicMethod) -> Self {
        let mut methods = self.methods.clone();
        match methods.iter_mut().find(|method| method.spec.name == added.spec.name) {
            Some(earlier) => {
                added.spec.index = earlier.spec.index;
                *earlier = added;
            }
            None => {
                added.spec.index = methods.len();
                methods.push(added);
            }
        }
        let mut spec = self.spec.clone();
        spec.methods = methods.iter().map(|method| method.spec.clone()).collect();
        Self::of(spec, methods)
    }

    fn of(spec: ServiceSpec, methods: Vec<DynamicMethod>) -> Self {
        let fingerprint = describe(&spec, &methods).fingerprint();
        Self { spec, fingerprint, methods }
    }
}

fn describe(spec: &ServiceSpec, methods: &[DynamicMethod]) -> ServiceDescriptor {
    let mut definitions = Definitions::new();
    let add = |method: &DynamicMethod| definitions::add(&mut definitions, method.description.clone(), &method.definitions);
    let methods = methods.iter().map(add).collect();
    ServiceDescriptor {
        format: ServiceDescriptor::FORMAT,
        name: spec.name.clone(),
        version: spec.version.clone(),
        description: Cow::Borrowed(""),
        methods,
        definitions,
    }
}

impl HostedService for DynamicService {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn describe(&self) -> ServiceDescriptor {
        describe(&self.spec, &self.methods)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn serve<'a>(&'a self, index: usize, cx: &'a CallContext, params: Params<'a>) -> ServeFuture<'a> {
        match self.methods.get(index) {
            Some(method) => (method.handler)(cx, params),
            None => p2p_client::__private::no_such_method("registered at run time", cx, params),
        }
    }

    fn stats(&self, index: usize) -> Option<&MethodStats> {
        self.methods.get(index).map(|method| &*method.stats)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_fingerprint_is_that_of_the_description_with_every_method() {
        let method = |name| method("kv", name, |_, (): ()| async { Ok(1_u32) });
        let mut seen = Vec::new();
        let empty = DynamicService::new("kv");
        let one = empty.with(method("get"));
        let two = one.with(method("put"));
        for service in [empty, one, two] {
            assert_eq!(service.fingerprint(), service.describe().fingerprint());
            assert!(!seen.contains(&service.fingerprint()), "a method more is another version");
            seen.push(service.fingerprint());
        }
    }
}
