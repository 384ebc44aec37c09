//! Where in a JSON Schema other schemas stand.

use serde_json::{Map, Value};

/// A schema's members, with the schemas among them rewritten. What is no schema stays as it is: values that users chose, such as a `default`, and
/// `true` and `false` where they are known everywhere.
pub(super) fn rewritten(map: &Map<String, Value>, rewrite: impl Fn(&Value) -> Value) -> Map<String, Value> {
    map.iter().map(|(key, value)| (key.clone(), member(key, value, &rewrite))).collect()
}

fn member(key: &str, value: &Value, rewrite: impl Fn(&Value) -> Value) -> Value {
    match (key, value) {
        // What stands below these are names that users chose.
        ("properties" | "patternProperties" | "dependentSchemas", Value::Object(names)) => {
            names.iter().map(|(name, schema)| (name.clone(), rewrite(schema))).collect()
        }
        ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => schemas.iter().map(rewrite).collect(),
        ("items" | "contains" | "not" | "if" | "then" | "else" | "propertyNames", schema)
        | ("additionalProperties" | "unevaluatedProperties" | "unevaluatedItems", schema @ Value::Object(_)) => rewrite(schema),
        (_, value) => value.clone(),
    }
}
