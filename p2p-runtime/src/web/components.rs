//! The named types of several services in one document, under names that cannot collide.

use std::collections::BTreeMap;

use p2p_client::protocol::ServiceDescriptor;
use serde_json::{Map, Value};

/// Where the types of a document stand.
const SCHEMAS: &str = "#/components/schemas/";

/// The types of one service, as a document names them: `greeter.Greeting` for the `Greeting` of the service `greeter`.
pub(super) struct Components {
    names: BTreeMap<String, String>,
}

impl Components {
    /// Names a service's types.
    pub(super) fn of(service: &ServiceDescriptor) -> Self {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for own in service.definitions.keys() {
            let plain = format!("{}.{}", service.name, component_name(own));
            let is_free = |name: &String| names.values().all(|taken| taken != name);
            let others = (2..).map(|number| format!("{plain}_{number}"));
            let free = std::iter::once(plain.clone()).chain(others).find(is_free);
            names.extend(free.map(|name| (own.clone(), name)));
        }
        Self { names }
    }

    /// The service's types, by the names that they have here.
    pub(super) fn schemas(&self, service: &ServiceDescriptor) -> Map<String, Value> {
        let schema = |(own, schema): (&String, &Value)| Some((self.names.get(own)?.clone(), self.schema(schema)));
        service.definitions.iter().filter_map(schema).collect()
    }

    /// A schema of the service, with the types that it refers to under the names that they have here.
    pub(super) fn schema(&self, schema: &Value) -> Value {
        match schema {
            Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), self.member(key, value))).collect()),
            Value::Array(items) => items.iter().map(|item| self.schema(item)).collect(),
            plain => plain.clone(),
        }
    }

    fn member(&self, key: &str, value: &Value) -> Value {
        match (key, value) {
            ("$ref", Value::String(path)) => self.reference(path).into(),
            // What stands below these are names that users chose.
            ("properties" | "patternProperties", Value::Object(names)) => {
                names.iter().map(|(name, schema)| (name.clone(), self.schema(schema))).collect()
            }
            // And these are values, not schemas.
            ("default" | "const" | "enum" | "examples" | "required", value) => value.clone(),
            (_, value) => self.schema(value),
        }
    }

    fn reference(&self, path: &str) -> String {
        let own = path.strip_prefix("#/$defs/").map(|name| name.replace("~1", "/").replace("~0", "~"));
        own.and_then(|own| self.names.get(&own)).map_or_else(|| path.to_owned(), |name| format!("{SCHEMAS}{name}"))
    }
}

/// A name as OpenAPI allows it for a component: letters, digits, `.`, `-` and `_`.
fn component_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_follow_their_types_and_values_are_left_alone() {
        let service: ServiceDescriptor = serde_json::from_value(json!({
            "format": 1, "name": "s", "version": "1.0.0", "methods": [],
            "$defs": {"A<B>": {"type": "object", "properties": {"$ref": {"$ref": "#/$defs/A_B_"}}}, "A_B_": {"const": {"$ref": "#/$defs/A_B_"}}}
        }))
        .unwrap();
        let components = Components::of(&service);
        assert_eq!(
            Value::Object(components.schemas(&service)),
            json!({
                "s.A_B_": {"type": "object", "properties": {"$ref": {"$ref": "#/components/schemas/s.A_B__2"}}},
                "s.A_B__2": {"const": {"$ref": "#/$defs/A_B_"}},
            })
        );
    }
}
