//! A method's signature in one line, from its JSON Schemas: `greet(name: string, loud?: boolean) -> Greeting`.

use p2p_client::protocol::{MethodDescriptor, ParamDescriptor, definition_name};
use serde_json::Value;

use super::output;

/// The signature.
pub(super) fn of(method: &MethodDescriptor) -> String {
    let param = |param: &ParamDescriptor| {
        let optional = if param.required { "" } else { "?" };
        format!("{}{optional}: {}", param.name, kind(&param.schema))
    };
    format!("{}({}) -> {}", method.name, output::list(method.params.iter().map(param)), kind(&method.result))
}

/// The name of what a schema describes.
fn kind(schema: &Value) -> String {
    let text = |name: &str| schema.get(name).and_then(Value::as_str);
    if let Some(path) = text("$ref") {
        return definition_name(path).unwrap_or_else(|| path.to_owned());
    }
    for name in ["anyOf", "oneOf"] {
        if let Some(kinds) = schema.get(name).and_then(Value::as_array) {
            return any_of(kinds.iter().map(kind).collect());
        }
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            let items = schema.get("items").map_or_else(|| "any".to_owned(), kind);
            if items.contains(' ') { format!("({items})[]") } else { format!("{items}[]") }
        }
        Some(Value::String(name)) if name == "object" => text("title").unwrap_or("object").to_owned(),
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => any_of(names.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ if schema.get("const").is_some() || schema.get("enum").is_some() => text("title").unwrap_or("string").to_owned(),
        _ => text("title").unwrap_or("any").to_owned(),
    }
}

fn any_of(mut kinds: Vec<String>) -> String {
    kinds.dedup();
    kinds.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_are_named_as_a_reader_would() {
        for (schema, name) in [
            (json!({"type": "string"}), "string"),
            (json!({"$ref": "#/$defs/Greeting"}), "Greeting"),
            (json!({"$ref": "#/$defs/Gr%C3%B6%C3%9Fe"}), "Größe"),
            (json!({"type": "array", "items": {"$ref": "#/$defs/Disk"}}), "Disk[]"),
            (json!({"type": ["string", "null"]}), "string | null"),
            (json!({"type": "array", "items": {"type": ["string", "null"]}}), "(string | null)[]"),
            (json!({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}), "A | null"),
            (json!({"oneOf": [{"type": "string", "const": "a"}, {"type": "string", "const": "b"}]}), "string"),
            (json!({"type": "object", "title": "Point"}), "Point"),
            (json!(true), "any"),
            (json!({}), "any"),
        ] {
            assert_eq!(kind(&schema), name, "{schema}");
        }
    }
}
