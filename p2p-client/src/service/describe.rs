//! Building a [`ServiceDescriptor`], called by what the macros write.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

use crate::protocol::{MethodDescriptor, ParamDescriptor, ServiceDescriptor};

use super::{MethodSpec, Outcome, Parameter, ServiceSpec, StreamOutcome, params::may_be_left_out};

/// Collects the schemas of a service's methods.
#[derive(Debug)]
pub struct Describe {
    schemas: SchemaGenerator,
    descriptor: ServiceDescriptor,
}

impl Describe {
    /// Begins the description of a service.
    pub fn new(spec: &'static ServiceSpec, description: &'static str) -> Self {
        let descriptor = ServiceDescriptor {
            format: ServiceDescriptor::FORMAT,
            name: spec.name.clone(),
            version: spec.version.clone(),
            description: description.into(),
            methods: Vec::with_capacity(spec.methods.len()),
            definitions: std::collections::BTreeMap::new(),
        };
        Self { schemas: SchemaSettings::draft2020_12().into_generator(), descriptor }
    }

    /// Adds a method whose outcome is `R`; its parameters follow.
    pub fn method<R: Outcome>(&mut self, spec: &MethodSpec, description: &'static str) {
        let result = self.schemas.subschema_for::<R::Ok>().to_value();
        let error = R::error_schema(&mut self.schemas).map(schemars::Schema::to_value);
        self.descriptor.methods.push(MethodDescriptor { error, ..method_of(spec, description, result) });
    }

    /// Adds a method that streams, whose outcome is `R`; its parameters follow.
    pub fn stream<K, R: StreamOutcome<K>>(&mut self, spec: &MethodSpec, description: &'static str) {
        let item = Some(self.schemas.subschema_for::<R::Value>().to_value());
        let result = self.schemas.subschema_for::<()>().to_value();
        let error = R::error_schema(&mut self.schemas).map(schemars::Schema::to_value);
        self.descriptor.methods.push(MethodDescriptor { item, error, ..method_of(spec, description, result) });
    }

    /// Adds the next parameter, of type `T`, to the method added last.
    pub fn param<T: Parameter>(&mut self, name: &'static str, default: Option<Value>) {
        let mut schema = self.schemas.subschema_for::<T>().to_value();
        let required = default.is_none() && !may_be_left_out::<T>();
        if let (Some(default), Value::Object(map)) = (default, &mut schema) {
            map.insert("default".to_owned(), default);
        }
        if let Some(method) = self.descriptor.methods.last_mut() {
            method.params.push(ParamDescriptor { name: name.into(), schema, required });
        }
    }

    /// The finished description.
    pub fn finish(mut self) -> ServiceDescriptor {
        self.descriptor.definitions = self.schemas.take_definitions(true).into_iter().collect();
        self.descriptor
    }
}

/// A method's description, from its tables and the schema of its result; parameters and an own error follow.
pub fn method_of(spec: &MethodSpec, description: &'static str, result: Value) -> MethodDescriptor {
    MethodDescriptor {
        name: spec.name.clone(),
        description: description.into(),
        params: Vec::with_capacity(spec.params.len()),
        result,
        item: None,
        error: None,
        access: spec.access.clone(),
        idempotent: spec.idempotent,
        read_only: spec.read_only,
        detached: spec.detached,
        timeout_ms: spec.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
    }
}
