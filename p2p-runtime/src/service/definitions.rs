//! The definitions of methods that were described apart, under names that clash nowhere.
//!
//! Each method that is registered at run time brings the schemas that it refers to. Two types of one name are then one of them under
//! another: `Book2`, with all that refers to it.

use std::collections::{BTreeMap, BTreeSet};

use p2p_client::protocol::MethodDescriptor;
use serde_json::Value;

/// Schemas by name, as `#/$defs/NAME` refers to them.
pub(super) type Definitions = BTreeMap<String, Value>;

const REFERENCE: &str = "#/$defs/";

/// Adds a method's definitions to those of the methods before it, and gives the method as it refers to them there.
pub(super) fn add(known: &mut Definitions, mut method: MethodDescriptor, own: &Definitions) -> MethodDescriptor {
    let renamed = renamed(known, own);
    for (name, schema) in own {
        let mut schema = schema.clone();
        rename(&mut schema, &renamed);
        known.insert(renamed.get(name).unwrap_or(name).clone(), schema);
    }
    let results = [Some(&mut method.result), method.item.as_mut(), method.error.as_mut()];
    let params = method.params.iter_mut().map(|param| &mut param.schema);
    results.into_iter().flatten().chain(params).for_each(|schema| rename(schema, &renamed));
    method
}

/// New names for the definitions that are others than those known by their names, or refer to such.
fn renamed(known: &Definitions, own: &Definitions) -> BTreeMap<String, String> {
    let differs = |name: &String, schema: &Value| known.get(name).is_some_and(|earlier| earlier != schema);
    let mut clashing: BTreeSet<&String> =
        own.iter().filter(|(name, schema)| differs(name, schema)).map(|(name, _)| name).collect();
    loop {
        let refers = |schema: &Value| clashing.iter().any(|name| refers_to(schema, name));
        let more: Vec<_> = own
            .iter()
            .filter(|(name, schema)| known.contains_key(*name) && !clashing.contains(name) && refers(schema))
            .map(|(name, _)| name)
            .collect();
        if more.is_empty() {
            break;
        }
        clashing.extend(more);
    }
    let is_free = |name: &String| !known.contains_key(name) && !own.contains_key(name);
    let new_name = |name: &str| (2..=u32::MAX).map(|number| format!("{name}{number}")).find(is_free);
    clashing.into_iter().filter_map(|name| Some((name.clone(), new_name(name)?))).collect()
}

fn refers_to(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(key, value)| match (key.as_str(), value) {
            ("$ref", Value::String(target)) => target.strip_prefix(REFERENCE) == Some(name),
            (_, value) => refers_to(value, name),
        }),
        Value::Array(items) => items.iter().any(|item| refers_to(item, name)),
        _ => false,
    }
}

fn rename(schema: &mut Value, renamed: &BTreeMap<String, String>) {
    match schema {
        Value::Object(members) => members.iter_mut().for_each(|(key, value)| match (key.as_str(), value) {
            ("$ref", Value::String(target)) => {
                if let Some(new) = target.strip_prefix(REFERENCE).and_then(|name| renamed.get(name)) {
                    *target = format!("{REFERENCE}{new}");
                }
            }
            (_, value) => rename(value, renamed),
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::service::{MethodSpec, method_of};
    use serde_json::json;

    use super::*;

    fn method(result: Value) -> MethodDescriptor {
        let spec = MethodSpec {
            service: "shop".into(),
            name: "get".into(),
            path: "shop/get".into(),
            index: 0,
            params: Vec::new().into(),
            access: p2p_client::protocol::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: false,
            streams: false,
            timeout: None,
            descriptor: None,
        };
        method_of(&spec, "", result)
    }

    fn definitions(of: &Value) -> Definitions {
        of.as_object().unwrap().clone().into_iter().collect()
    }

    #[test]
    fn a_type_of_a_name_that_is_taken_by_another_gets_one_of_its_own_with_all_that_refers_to_it() {
        let to_book = json!({ "$ref": "#/$defs/Book" });
        let mut known = definitions(&json!({
            "Author": { "type": "string" },
            "Book": { "properties": { "by": { "$ref": "#/$defs/Author" } } },
            "Book2": true,
        }));
        let own = definitions(&json!({
            "Author": { "type": "integer" },
            "Book": { "properties": { "by": { "$ref": "#/$defs/Author" } } },
            "Shelf": { "items": to_book },
        }));
        let added = add(&mut known, method(json!([to_book, { "$ref": "#/$defs/Shelf" }])), &own);
        assert_eq!(added.result, json!([{ "$ref": "#/$defs/Book3" }, { "$ref": "#/$defs/Shelf" }]));
        assert_eq!(known["Author"], json!({ "type": "string" }));
        assert_eq!(known["Author2"], json!({ "type": "integer" }));
        assert_eq!(known["Book3"], json!({ "properties": { "by": { "$ref": "#/$defs/Author2" } } }));
        assert_eq!(known["Shelf"], json!({ "items": { "$ref": "#/$defs/Book3" } }));
        assert_eq!(known.len(), 6);
    }

    #[test]
    fn one_type_of_two_methods_is_defined_once() {
        let own = definitions(&json!({ "Book": { "type": "object" } }));
        let mut known = own.clone();
        let described = method(json!({ "$ref": "#/$defs/Book" }));
        assert_eq!(add(&mut known, described.clone(), &own), described);
        assert_eq!(known, own);
    }
}
