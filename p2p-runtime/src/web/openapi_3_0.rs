//! The OpenAPI document once more, in version 3.0.3, for programs that write clients and read no later one.
//!
//! The documents differ in how they describe JSON: 3.1 takes JSON Schema of 2020, 3.0 a dialect of an older one, in which null is a mark beside a
//! type, a reference stands alone, and places in a list cannot be told apart. What the dialect cannot say is left out, so that it
//! lets more through and never less.

use serde_json::{Map, Value, json};

use super::schemas::rewritten;

/// Keywords that the dialect lacks, and that only narrow what fits.
const UNKNOWN: [&str; 18] = [
    "$schema",
    "$comment",
    "$defs",
    "examples",
    "prefixItems",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "const",
    "contentEncoding",
    "contentMediaType",
];

/// An OpenAPI 3.1 document of ours in version 3.0.3.
pub fn openapi_3_0(document: &Value) -> Value {
    let mut older = walked(document);
    older["openapi"] = "3.0.3".into();
    // Certificates are no scheme of it: what only nodes may call is without any, and says so in words.
    if let Some(schemes) = older["components"]["securitySchemes"].as_object_mut() {
        schemes.remove("node");
    }
    for operation in older["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        without_certificates(&mut operation["post"]);
    }
    older
}

/// Everything of a document, with its schemas rewritten.
fn walked(part: &Value) -> Value {
    match part {
        Value::Object(map) => {
            let member = |(key, value): (&String, &Value)| {
                let value = match (key.as_str(), value) {
                    ("schema", schema) => dialect(schema),
                    ("schemas", Value::Object(types)) => {
                        types.iter().map(|(name, schema)| (name.clone(), dialect(schema))).collect()
                    }
                    (_, other) => walked(other),
                };
                (key.clone(), value)
            };
            map.iter().map(member).collect()
        }
        Value::Array(items) => items.iter().map(walked).collect(),
        plain => plain.clone(),
    }
}

fn without_certificates(operation: &mut Value) {
    let Some(ways) = operation["security"].as_array_mut() else { return };
    if ways.is_empty() {
        return;
    }
    ways.retain(|way| way.get("node").is_none());
    // Scopes are for OAuth there.
    let scopes: Vec<Value> =
        ways.iter_mut().filter_map(|way| Some(std::mem::replace(way.get_mut("token")?, json!([])))).collect();
    let said = match scopes.first() {
        None => "For nodes of the cluster, by their certificate.".to_owned(),
        Some(Value::Array(scopes)) if !scopes.is_empty() => {
            let names: Vec<_> = scopes.iter().filter_map(Value::as_str).collect();
            format!("For nodes of the cluster, and for tokens with the scope {}.", names.join(", "))
        }
        Some(_) => return,
    };
    let described = operation["description"].as_str().map(|own| format!("{own}\n\n{said}")).unwrap_or(said);
    operation["description"] = described.into();
    if operation["security"] == json!([])
        && let Some(operation) = operation.as_object_mut()
    {
        operation.remove("security");
    }
}

/// A schema in the dialect.
fn dialect(schema: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let (map, is_nullable) = without_null(map);
    let mut map = rewritten(&map, dialect);
    values_and_bounds(&mut map);
    places(&mut map);
    others(&mut map);
    if map.get("required").is_some_and(|names| *names == json!([])) {
        map.remove("required");
    }
    map.retain(|key, _| !UNKNOWN.contains(&key.as_str()));
    // Beside a reference nothing else is looked at.
    if (map.len() > 1 || is_nullable)
        && let Some(reference) = map.remove("$ref")
    {
        map.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
    if is_nullable {
        map.insert("nullable".to_owned(), true.into());
    }
    Value::Object(map)
}

/// The schema without null among its types and choices, and whether it was there.
fn without_null(map: &Map<String, Value>) -> (Map<String, Value>, bool) {
    let mut map = map.clone();
    let mut found = false;
    match map.get("type") {
        Some(Value::String(name)) if name == "null" => {
            // A type there must be.
            map.insert("type".to_owned(), "string".into());
            map.insert("enum".to_owned(), json!([null]));
            return (map, true);
        }
        Some(Value::Array(names)) => {
            let others: Vec<_> = names.iter().filter(|name| **name != "null").cloned().collect();
            found = others.len() < names.len();
            match <[Value; 1]>::try_from(others) {
                Ok([one]) => map.insert("type".to_owned(), one),
                Err(many) => {
                    map.remove("type");
                    map.insert("anyOf".to_owned(), many.into_iter().map(|name| json!({ "type": name })).collect())
                }
            };
        }
        _ => {}
    }
    for key in ["anyOf", "oneOf"] {
        let Some(Value::Array(choices)) = map.get(key) else { continue };
        let others: Vec<_> = choices.iter().filter(|choice| choice["type"] != "null").cloned().collect();
        if others.len() == choices.len() {
            continue;
        }
        found = true;
        match <[Value; 1]>::try_from(others) {
            Ok([Value::Object(one)]) => {
                map.remove(key);
                // What is said of the whole counts more than what is said of the one.
                for (name, value) in one {
                    map.entry(name).or_insert(value);
                }
            }
            Ok(other) => drop(map.insert(key.to_owned(), other.into())),
            Err(many) => drop(map.insert(key.to_owned(), many.into())),
        }
    }
    (map, found)
}

/// `const`, `examples`, encodings, and bounds that are not reached themselves.
fn values_and_bounds(map: &mut Map<String, Value>) {
    if let Some(value) = map.get("const").cloned() {
        map.insert("enum".to_owned(), json!([value]));
    }
    if let Some(example) = map.get("examples").and_then(|examples| examples.get(0)).cloned() {
        map.insert("example".to_owned(), example);
    }
    if map.get("contentEncoding").is_some_and(|encoding| encoding == "base64") {
        map.insert("format".to_owned(), "byte".into());
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(value) = map.get(exclusive).filter(|value| value.is_number()).cloned() {
            map.insert(bound.to_owned(), value);
            map.insert(exclusive.to_owned(), true.into());
        }
    }
}

/// A list whose places differ: as a list of any of them, of the same length.
fn places(map: &mut Map<String, Value>) {
    if let Some(Value::Array(places)) = map.get("prefixItems") {
        let mut kinds: Vec<Value> = Vec::new();
        for place in places {
            if !kinds.contains(place) {
                kinds.push(place.clone());
            }
        }
        let items = <[Value; 1]>::try_from(kinds).map_or_else(|kinds| json!({ "anyOf": kinds }), |[one]| one);
        map.insert("items".to_owned(), items);
    }
    if map.get("type").is_some_and(|kind| kind == "array") {
        map.entry("items").or_insert_with(|| json!({}));
    }
}

/// The members of an object that have no name of their own.
fn others(map: &mut Map<String, Value>) {
    if let Some(Value::Object(patterns)) = map.get("patternProperties") {
        let kinds: Vec<_> = patterns.values().cloned().collect();
        let kinds = <[Value; 1]>::try_from(kinds).map_or_else(|kinds| json!({ "anyOf": kinds }), |[one]| one);
        map.insert("additionalProperties".to_owned(), kinds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_means_of_json_schema_has_its_like_in_the_dialect() {
        for (schema, older) in [
            (
                json!({ "type": ["string", "null"], "default": null }),
                json!({ "type": "string", "nullable": true, "default": null }),
            ),
            (json!({ "type": ["string", "integer"] }), json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] })),
            (json!({ "type": "null" }), json!({ "type": "string", "enum": [null], "nullable": true })),
            (
                json!({ "anyOf": [{ "$ref": "#/components/schemas/a.B" }, { "type": "null" }] }),
                json!({ "allOf": [{ "$ref": "#/components/schemas/a.B" }], "nullable": true }),
            ),
            (
                json!({ "$ref": "#/components/schemas/a.B", "description": "d" }),
                json!({ "allOf": [{ "$ref": "#/components/schemas/a.B" }], "description": "d" }),
            ),
            (json!({ "$ref": "#/components/schemas/a.B" }), json!({ "$ref": "#/components/schemas/a.B" })),
            (
                json!({ "type": "string", "const": "a", "examples": ["a"] }),
                json!({ "type": "string", "enum": ["a"], "example": "a" }),
            ),
            (
                json!({ "type": "number", "exclusiveMinimum": 0 }),
                json!({ "type": "number", "minimum": 0, "exclusiveMinimum": true }),
            ),
            (
                json!({ "type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [{ "type": "string" }, { "type": "number" }] }),
                json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": { "anyOf": [{ "type": "string" }, { "type": "number" }] } }),
            ),
            (
                json!({ "type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [{ "type": "string" }, { "type": "string" }] }),
                json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": { "type": "string" } }),
            ),
            (
                json!({ "type": "object", "patternProperties": { "^[0-9]+$": { "const": 1 } }, "additionalProperties": false }),
                json!({ "type": "object", "additionalProperties": { "enum": [1] } }),
            ),
            (
                json!({ "type": "object", "properties": { "const": { "type": ["null", "boolean"] } }, "required": [] }),
                json!({ "type": "object", "properties": { "const": { "type": "boolean", "nullable": true } } }),
            ),
            (json!({ "type": "string", "contentEncoding": "base64" }), json!({ "type": "string", "format": "byte" })),
        ] {
            assert_eq!(dialect(&schema), older, "{schema}");
        }
    }

    #[test]
    fn who_may_call_is_said_in_words_where_there_is_no_scheme_for_it() {
        let told = |security: Value| {
            let operation = json!({ "description": "d", "security": security });
            let document = json!({
                "openapi": "3.1.0", "paths": { "/a": { "post": operation } },
                "components": { "securitySchemes": { "node": {}, "token": {} } }
            });
            let older = openapi_3_0(&document);
            assert_eq!(older["components"]["securitySchemes"], json!({ "token": {} }));
            older["paths"]["/a"]["post"].clone()
        };
        assert_eq!(told(json!([])), json!({ "description": "d", "security": [] }));
        assert_eq!(told(json!([{ "node": [] }, { "token": [] }])), json!({ "description": "d", "security": [{ "token": [] }] }));
        let scoped = "d\n\nFor nodes of the cluster, and for tokens with the scope s.";
        assert_eq!(
            told(json!([{ "node": [] }, { "token": ["s"] }])),
            json!({ "description": scoped, "security": [{ "token": [] }] })
        );
        assert_eq!(
            told(json!([{ "node": ["worker"] }])),
            json!({ "description": "d\n\nFor nodes of the cluster, by their certificate." })
        );
    }
}
