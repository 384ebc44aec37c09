//! The named types of several services in one document, under names that cannot collide.

use std::collections::BTreeMap;

use p2p_client::protocol::{ServiceDescriptor, definition_name};
use serde_json::{Map, Value, json};

use super::schemas::rewritten;

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
            // They mean the same, and programs that write clients do not know the others.
            Value::Bool(true) => json!({}),
            Value::Bool(false) => json!({ "not": {} }),
            Value::Object(map) => {
                let mut map = rewritten(map, |schema| self.schema(schema));
                if let Some(Value::String(path)) = map.get_mut("$ref") {
                    *path = self.reference(path);
                }
                Value::Object(enumerated(map))
            }
            plain => plain.clone(),
        }
    }

    fn reference(&self, path: &str) -> String {
        let own = definition_name(path);
        own.and_then(|own| self.names.get(&own)).map_or_else(|| path.to_owned(), |name| format!("{SCHEMAS}{name}"))
    }
}

/// A choice of texts, each with words of its own, as a list of values; the words go into the description. As a choice of schemas most programs
/// that write clients make a type of each.
fn enumerated(mut map: Map<String, Value>) -> Map<String, Value> {
    let Some(choices) = map.get("oneOf").and_then(Value::as_array).filter(|_| !map.contains_key("type")) else { return map };
    let Some(choices) = choices.iter().map(texts).collect::<Option<Vec<_>>>() else { return map };
    let own = map.get("description").and_then(Value::as_str).map(str::to_owned);
    let told = choices.iter().filter_map(|(values, words)| {
        let names: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        Some(format!("- {}: {}", names.join(", "), (*words)?.replace('\n', " ")))
    });
    let told = told.collect::<Vec<_>>().join("\n");
    let description = own.into_iter().chain((!told.is_empty()).then_some(told)).collect::<Vec<_>>().join("\n\n");
    let values = choices.into_iter().flat_map(|(values, _)| values).collect();
    map.remove("oneOf");
    map.insert("type".to_owned(), "string".into());
    map.insert("enum".to_owned(), values);
    if !description.is_empty() {
        map.insert("description".to_owned(), description.into());
    }
    map
}

/// The texts that a schema lets through and nothing else, and its words.
fn texts(schema: &Value) -> Option<(Vec<&str>, Option<&str>)> {
    let map = schema.as_object()?;
    if map.keys().any(|key| !matches!(key.as_str(), "type" | "const" | "enum" | "description" | "title" | "deprecated")) {
        return None;
    }
    let values = match (map.get("const"), map.get("enum")) {
        (Some(value), None) => vec![value.as_str()?],
        (None, Some(Value::Array(values))) => values.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    Some((values, map.get("description").and_then(Value::as_str)))
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
            "$defs": {"A<B>": {"type": "object", "properties": {"$ref": {"$ref": "#/$defs/A_B_"}}}, "A_B_": {"const": {"$ref": "#/$defs/A_B_"}},
                "Größe": {"type": "array", "items": {"$ref": "#/$defs/Gr%C3%B6%C3%9Fe"}}}
        }))
        .unwrap();
        let components = Components::of(&service);
        assert_eq!(
            Value::Object(components.schemas(&service)),
            json!({
                "s.A_B_": {"type": "object", "properties": {"$ref": {"$ref": "#/components/schemas/s.A_B__2"}}},
                "s.A_B__2": {"const": {"$ref": "#/$defs/A_B_"}},
                "s.Gr__e": {"type": "array", "items": {"$ref": "#/components/schemas/s.Gr__e"}},
            })
        );
    }

    fn written(schema: &Value) -> Value {
        let service = json!({ "format": 1, "name": "s", "version": "1.0.0", "methods": [] });
        Components::of(&serde_json::from_value(service).unwrap()).schema(schema)
    }

    #[test]
    fn a_schema_is_never_a_bare_true_or_false() {
        assert_eq!(written(&json!(true)), json!({}));
        let schema = json!({
            "type": "object", "properties": { "a": true, "b": { "type": "array", "items": true, "uniqueItems": true } },
            "additionalProperties": false, "x-own": true, "anyOf": [false], "default": true
        });
        assert_eq!(
            written(&schema),
            json!({
                "type": "object", "properties": { "a": {}, "b": { "type": "array", "items": {}, "uniqueItems": true } },
                "additionalProperties": false, "x-own": true, "anyOf": [{ "not": {} }], "default": true
            })
        );
    }

    #[test]
    fn a_choice_of_texts_is_a_list_of_values_with_their_words() {
        let order = json!({
            "description": "In which order.",
            "oneOf": [
                { "type": "string", "const": "title", "description": "By title,\nfrom A." },
                { "type": "string", "enum": ["newest", "oldest"] },
            ],
        });
        let listed = json!({
            "description": "In which order.\n\n- `title`: By title, from A.", "type": "string", "enum": ["title", "newest", "oldest"]
        });
        assert_eq!(written(&order), listed);
        let mixed = json!({ "oneOf": [{ "type": "string", "const": "a" }, { "type": "object", "properties": {} }] });
        assert_eq!(written(&mixed), mixed);
    }
}
