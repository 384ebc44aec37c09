#![allow(clippy::needless_pass_by_value, reason = "schemas are written where they are passed")]

use serde_json::{Value, json};

use super::*;
use crate::protocol::Access;

/// A service with one method, `m`, which takes `params` (name, schema, whether it is required) and gives `result`.
fn service(params: &[(&str, Value, bool)], result: Value) -> ServiceDescriptor {
    let params: Vec<_> =
        params.iter().map(|(name, schema, required)| json!({"name": name, "schema": schema, "required": required})).collect();
    let methods = json!([{"name": "m", "params": params, "result": result}]);
    serde_json::from_value(json!({"format": 1, "name": "s", "version": "1.0.0", "methods": methods})).unwrap()
}

fn results(reads: Value, writes: Value) -> Vec<(Effect, String)> {
    let differences = compare(&service(&[], reads), &service(&[], writes));
    differences.into_iter().map(|found| (found.effect, found.text)).collect()
}

fn params(caller: &[(&str, Value, bool)], host: &[(&str, Value, bool)]) -> Vec<(Effect, String)> {
    let differences = compare(&service(caller, json!(true)), &service(host, json!(true)));
    differences.into_iter().map(|found| (found.effect, found.text)).collect()
}

fn fitted(caller: &[(&str, Value, bool)], host: &[(&str, Value, bool)], body: &str) -> Result<String, String> {
    let fit = Fit::of(&service(caller, json!(true)), &service(host, json!(true)), "m");
    let body = fit.params(body.as_bytes()).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body.into_owned()).unwrap())
}

fn text() -> Value {
    json!({"type": "string"})
}

fn object(required: &[&str], fields: Value) -> Value {
    json!({"type": "object", "properties": fields, "required": required})
}

#[test]
fn equal_versions_do_not_differ() {
    let one = service(&[("a", text(), true)], object(&["x"], json!({"x": {"type": ["null", "integer"]}})));
    assert_eq!(compare(&one, &one), []);
    assert_eq!(Fit::of(&one, &one, "m"), Fit::AsItIs);
}

#[test]
fn a_new_method_or_field_or_a_parameter_that_may_be_left_out_is_compatible() {
    let old = service(&[], object(&["x"], json!({"x": text()})));
    let mut new = service(&[("a", text(), false)], object(&["x", "y"], json!({"x": text(), "y": text()})));
    new.methods.push(MethodDescriptor { name: "n".into(), ..new.methods[0].clone() });
    let differences = compare(&old, &new);
    assert!(differences.iter().all(|found| found.effect == Effect::Compatible), "{differences:?}");
    let texts: Vec<_> = differences.iter().map(|found| (found.method.as_deref().unwrap(), found.text.as_str())).collect();
    assert_eq!(
        texts,
        [
            ("m", "the parameter `a` is new, and may be left out"),
            ("m", "result.y: the field is given, and not looked at by who does not know it"),
            ("n", "the method is new"),
        ]
    );
    assert_eq!(Fit::of(&old, &new, "m"), Fit::AsItIs);
}

#[test]
fn a_method_a_field_or_a_parameter_that_is_gone_or_newly_required_is_breaking() {
    let breaking = |found: Vec<(Effect, String)>| {
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, Effect::Breaking, "{found:?}");
        found[0].1.clone()
    };
    assert_eq!(breaking(params(&[("a", text(), false)], &[])), "the parameter `a` is gone");
    assert_eq!(breaking(params(&[], &[("a", text(), true)])), "the parameter `a` is new, and required");
    assert_eq!(breaking(params(&[("a", text(), false)], &[("a", text(), true)])), "the parameter `a` is required now");
    let gone = results(object(&["x"], json!({"x": text()})), object(&[], json!({})));
    assert_eq!(breaking(gone), "result.x: the field is required, and not given");
    let mut without = service(&[], json!(true));
    without.methods[0].name = "other".into();
    let differences = compare(&service(&[], json!(true)), &without);
    assert_eq!((differences[0].effect, differences[0].text.as_str()), (Effect::Breaking, "the method is gone"));
}

#[test]
fn values_go_where_more_is_taken_and_not_where_less_is() {
    let byte = json!({"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255});
    let word = json!({"type": "integer", "format": "uint16"});
    assert_eq!(results(word.clone(), byte.clone()), []);
    assert_eq!(
        results(byte, word.clone()),
        [(
            Effect::Breaking,
            "result: a whole number from 0 to 65535 is given where a whole number from 0 to 255 is expected".into()
        )]
    );
    assert_eq!(results(json!({"type": "number"}), word.clone()), []);
    assert_eq!(results(json!({"type": ["string", "null"]}), text()), []);
    assert_eq!(
        results(text(), json!({"type": ["string", "null"]})),
        [(Effect::Breaking, "result: null is given where text is expected".into())]
    );
    assert_eq!(params(&[("a", word, true)], &[("a", text(), true)])[0].0, Effect::Breaking);
}

#[test]
fn a_new_variant_is_not_known_where_it_is_read_and_a_lost_one_is_not_missed() {
    let (two, three) = (json!({"enum": ["a", "b"]}), json!({"enum": ["a", "b", "c"]}));
    assert_eq!(results(two.clone(), three.clone()), [(Effect::Breaking, "result: \"c\" is given, and not known".into())]);
    assert_eq!(results(three, two), []);
}

/// An enum of structs, as serde tags it inside: each variant with a field of the given shape.
fn tagged(variants: &[&str], field: &Value) -> Value {
    let variant = |name: &&str| object(&["is", "holds"], json!({"is": {"const": name}, "holds": field}));
    json!({"oneOf": variants.iter().map(variant).collect::<Vec<_>>()})
}

#[test]
fn variants_are_told_apart_by_their_tags_however_deep_they_are_nested() {
    let names: Vec<String> = (0..12).map(|number| format!("v{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let nested = |leaf: Value| (0..1).fold(leaf, |inner, _| tagged(&names[..3], &inner));
    // Each with each would be compared a million times.
    let deep = |leaf: Value| tagged(&names, &tagged(&names, &nested(leaf)));
    assert_eq!(results(deep(text()), deep(text())), []);
    let found = results(deep(text()), deep(json!({"type": "boolean"})));
    assert!(
        found
            .iter()
            .all(|(effect, text)| *effect == Effect::Breaking && text.ends_with("a boolean is given where text is expected"))
    );
    assert_eq!(results(tagged(&["a"], &text()), tagged(&["a", "b"], &text())).len(), 1);
}

#[test]
fn what_was_compared_for_a_shape_that_did_not_fit_is_compared_again_where_it_matters() {
    let with = |x: Value| {
        let both = json!({"anyOf": [
            object(&[], json!({"a": {"$ref": "#/$defs/X"}, "b": text()})),
            object(&[], json!({"b": {"type": "integer"}})),
        ]});
        let mut service = service(&[], object(&["first", "second"], json!({"first": both, "second": {"$ref": "#/$defs/X"}})));
        service.definitions.insert("X".into(), x);
        service
    };
    let old = with(object(&["x"], json!({"x": text()})));
    let mut new = with(object(&["x"], json!({"x": {"type": "boolean"}})));
    new.methods[0].result["properties"]["first"] = object(&[], json!({"a": {"$ref": "#/$defs/X"}, "b": {"type": "integer"}}));
    let texts: Vec<_> = compare(&old, &new).into_iter().map(|found| found.text).collect();
    assert!(texts.contains(&"result.second.x: a boolean is given where text is expected".to_owned()), "{texts:?}");
}

#[test]
fn a_new_error_is_compatible_as_it_arrives_as_unknown() {
    let with = |error: Value| {
        let mut service = service(&[], json!(true));
        service.methods[0].error = Some(error);
        service
    };
    let differences = compare(&with(json!({"enum": ["Full"]})), &with(json!({"enum": ["Full", "Frozen"]})));
    assert_eq!(differences[0].effect, Effect::Compatible);
    assert!(
        differences[0].text.contains("\"Frozen\" is given") && differences[0].text.contains("UnknownService"),
        "{differences:?}"
    );
}

#[test]
fn what_cannot_be_compared_is_unclear_and_holds_no_call_back() {
    let negated = |name: &str| json!({"not": {"const": name}});
    let found = results(negated("a"), negated("b"));
    assert_eq!(found, [(Effect::Unclear, "result: its schema changed in a way that cannot be compared".into())]);
    let fit = Fit::of(&service(&[], negated("a")), &service(&[], negated("b")), "m");
    assert_eq!(fit, Fit::AsItIs);
}

#[test]
fn types_that_hold_themselves_are_compared_to_their_end() {
    let list = |extra: &str| {
        let mut service = service(&[], json!({"$ref": "#/$defs/List"}));
        let fields = json!({"next": {"anyOf": [{"$ref": "#/$defs/List"}, {"type": "null"}]}, (extra): text()});
        service.definitions.insert("List".into(), object(&["next", extra], fields));
        service
    };
    assert_eq!(compare(&list("a"), &list("a")), []);
    let differences = compare(&list("a"), &list("b"));
    let texts: Vec<_> = differences.iter().map(|found| found.text.as_str()).collect();
    assert!(texts.contains(&"result.a: the field is required, and not given"), "{texts:?}");
}

#[test]
fn narrower_access_is_breaking_for_people_and_holds_no_call_back() {
    let with = |access| {
        let mut service = service(&[], json!(true));
        service.methods[0].access = access;
        service
    };
    let (open, closed) = (with(Access::Public), with(Access::Nodes));
    assert_eq!(compare(&open, &closed)[0].effect, Effect::Breaking);
    assert_eq!(compare(&closed, &open)[0].effect, Effect::Compatible);
    assert_eq!(Fit::of(&open, &closed, "m"), Fit::AsItIs);
}

#[test]
fn a_parameter_that_the_host_lacks_holds_a_call_back_only_if_it_is_set() {
    let (new, old) = ([("a", text(), true), ("b", text(), false)], [("a", text(), true)]);
    assert_eq!(fitted(&new, &old, r#"{"a":"x"}"#), Ok(r#"{"a":"x"}"#.into()));
    assert_eq!(
        fitted(&new, &old, r#"{"a":"x","b":"y"}"#),
        Err("it has no parameter `b`, which is set here; leave it out, or update the host".into())
    );
    let required = [("a", text(), true), ("b", text(), true)];
    assert_eq!(
        fitted(&new, &required, r#"{"a":"x"}"#),
        Err("it requires the parameter `b`, which is left out here; set it".into())
    );
    assert_eq!(fitted(&new, &required, r#"{"a":"x","b":"y"}"#), Ok(r#"{"a":"x","b":"y"}"#.into()));
}

#[test]
fn a_call_that_no_host_of_the_other_version_serves_says_what_to_update() {
    let needed = fitted(&[], &[("a", text(), true)], "{}").unwrap_err();
    assert_eq!(needed, "it requires the parameter `a`, which this caller does not know; update the caller");
    let retyped = fitted(&[("a", text(), true)], &[("a", json!({"type": "boolean"}), true)], r#"{"a":"x"}"#).unwrap_err();
    assert_eq!(retyped, "parameter `a`: text is given where a boolean is expected; update the older of the two");
    let (old, new) = (service(&[], json!(true)), service(&[], text()));
    let untyped = Fit::of(&new, &old, "m").params(b"{}").unwrap_err().to_string();
    assert_eq!(untyped, "result: anything is given where text is expected; update the older of the two");
    let mut without = old.clone();
    without.methods.clear();
    let gone = Fit::of(&old, &without, "m").params(b"{}").unwrap_err();
    assert_eq!(gone.to_string(), "it has no such method; update the host");
}

#[test]
fn a_default_that_the_host_does_not_share_is_sent() {
    let with = |default: u8| [("n", json!({"type": "integer", "default": default}), false), ("o", text(), false)];
    assert_eq!(fitted(&with(1), &with(2), "{}"), Ok(r#"{"n":1}"#.into()));
    assert_eq!(fitted(&with(1), &with(2), r#"{"o":"}"}"#), Ok(r#"{"o":"}","n":1}"#.into()));
    assert_eq!(fitted(&with(1), &with(2), r#"{"n":3}"#), Ok(r#"{"n":3}"#.into()));
    assert_eq!(fitted(&with(1), &with(1), "{}"), Ok("{}".into()));
    let required = [("n", json!({"type": "integer"}), true), ("o", text(), false)];
    assert_eq!(fitted(&with(1), &required, "{}"), Ok(r#"{"n":1}"#.into()));
}

/// A service whose method `m` streams items.
fn streaming(item: Value) -> ServiceDescriptor {
    let mut service = service(&[], json!({"type": "null"}));
    service.methods[0].item = Some(item);
    service
}

#[test]
fn a_method_that_begins_or_ceases_to_stream_is_not_understood() {
    let (once, stream) = (service(&[], text()), streaming(text()));
    let breaking = |caller: &ServiceDescriptor, host: &ServiceDescriptor| {
        let found = compare(caller, host);
        assert_eq!((found.len(), found[0].effect), (1, Effect::Breaking), "{found:?}");
        let refused = Fit::of(caller, host, "m").params(b"{}").unwrap_err().to_string();
        assert_eq!(refused, format!("{}; update the older of the two", found[0].text));
        found[0].text.clone()
    };
    assert_eq!(breaking(&once, &stream), "it streams now, where it gave one result");
    assert_eq!(breaking(&stream, &once), "it gives one result now, where it streamed");
}

#[test]
fn items_are_compared_as_results_are() {
    let with = |fields: &[&str]| {
        let properties: serde_json::Map<_, _> = fields.iter().map(|name| ((*name).to_owned(), text())).collect();
        streaming(object(fields, properties.into()))
    };
    let (one, two) = (with(&["x"]), with(&["x", "y"]));
    assert_eq!(compare(&one, &one), []);
    assert_eq!(Fit::of(&one, &two, "m"), Fit::AsItIs, "a new field is not missed");
    let found = compare(&two, &one);
    assert_eq!((found[0].effect, found[0].text.as_str()), (Effect::Breaking, "item.y: the field is required, and not given"));
}

/// A service that gives a `Node`, which holds `links` of its own kind and a value of this type.
fn linked(links: usize, value: &Value) -> ServiceDescriptor {
    let mut fields = serde_json::Map::from_iter([("value".to_owned(), value.clone())]);
    for number in 0..links {
        fields.insert(format!("next{number}"), json!({"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}));
    }
    let mut service = service(&[], json!({"$ref": "#/$defs/Node"}));
    service.definitions.insert("Node".into(), object(&["value"], fields.into()));
    service
}

#[test]
fn a_type_that_holds_itself_many_times_differs_once() {
    let found = compare(&linked(6, &text()), &linked(6, &json!({"type": "boolean"})));
    let texts: Vec<_> = found.iter().map(|found| found.text.as_str()).collect();
    assert_eq!(texts, ["result.value: a boolean is given where text is expected"]);
}

#[test]
fn what_is_too_much_to_compare_is_unclear_and_ends_soon() {
    // At each level two variants that nothing tells apart, each of which holds the next level.
    let levels = |leaf: &str| {
        let mut service = service(&[], json!({"$ref": "#/$defs/L0"}));
        for level in 0..40 {
            let next = json!({"$ref": format!("#/$defs/L{}", level + 1)});
            let variants = [object(&["x"], json!({"x": next, "a": text()})), object(&["x"], json!({"x": next, "b": text()}))];
            service.definitions.insert(format!("L{level}"), json!({"anyOf": variants}));
        }
        service.definitions.insert("L40".into(), json!({"type": leaf}));
        service
    };
    let found = compare(&levels("string"), &levels("boolean"));
    assert!(found.iter().any(|found| found.effect > Effect::Compatible), "{found:?}");
    let deep = |levels: usize| (0..levels).fold(text(), |inner, _| json!({"type": "array", "items": inner}));
    assert_eq!(results(deep(200), deep(200)), []);
    let found = results(deep(300), deep(300));
    assert_eq!((found.len(), found[0].0), (1, Effect::Unclear), "{found:?}");
    assert!(found[0].1.ends_with(": its types hold too many others to be compared"), "{found:?}");
}

#[test]
fn a_map_whose_values_become_anything_is_breaking() {
    let map = |values: Value| json!({"type": "object", "additionalProperties": values});
    assert_eq!(
        results(map(json!({"type": "integer"})), map(json!(true))),
        [(Effect::Breaking, "result.*: anything is given where a whole number is expected".into())]
    );
    assert_eq!(results(map(json!(true)), map(json!({"type": "integer"}))), []);
    let closed = json!({"type": "object", "properties": {"a": text()}, "additionalProperties": false});
    assert_eq!(results(closed, json!({"type": "object"})).iter().map(|found| found.0).max(), Some(Effect::Compatible));
}

#[test]
fn a_parameter_that_may_no_longer_be_null_is_compatible_where_it_may_be_left_out() {
    let (nullable, defaulted) = (json!({"type": ["string", "null"]}), json!({"type": "string", "default": "x"}));
    assert_eq!(params(&[("a", nullable.clone(), false)], &[("a", defaulted.clone(), false)]), []);
    assert_eq!(fitted(&[("a", nullable.clone(), false)], &[("a", defaulted, false)], r#"{"a":"y"}"#), Ok(r#"{"a":"y"}"#.into()));
    let required = params(&[("a", nullable.clone(), false)], &[("a", text(), true)]);
    assert_eq!(required, [(Effect::Breaking, "the parameter `a` is required now".into())]);
    // Null that is a value like any other is sent.
    let sent = params(&[("a", nullable, true)], &[("a", text(), true)]);
    assert_eq!(sent, [(Effect::Breaking, "parameter `a`: null is given where text is expected".into())]);
    let inside = |kind: Value| [("a", json!({"type": "array", "items": kind}), false)];
    assert_eq!(params(&inside(json!({"type": ["string", "null"]})), &inside(text()))[0].0, Effect::Breaking);
}

#[test]
fn a_default_that_the_host_does_not_take_is_not_sent() {
    let with = |schema: Value| [("n", schema, false)];
    let (text, number) = (json!({"type": "string", "default": "x"}), json!({"type": "integer", "default": 1}));
    for body in ["{}", r#"{"n":"y"}"#] {
        assert!(fitted(&with(text.clone()), &with(number.clone()), body).is_err(), "{body}");
    }
    assert_eq!(
        fitted(&with(text), &with(number), "{}"),
        Err("the default of the parameter `n` was \"x\", which is not taken any more; update the older of the two".into())
    );
    // A narrower type may take it all the same.
    let (word, byte) = (
        json!({"type": "integer", "format": "uint16", "default": 7}),
        json!({"type": "integer", "format": "uint8", "default": 8}),
    );
    assert_eq!(fitted(&with(word), &with(byte), "{}"), Ok(r#"{"n":7}"#.into()));
}

#[test]
fn parameters_in_other_places_are_noticed_by_position_only() {
    let moved = (Effect::Unclear, "its parameters stand in another order, which callers by position notice".to_owned());
    let (ab, ba) = ([("a", text(), true), ("b", text(), true)], [("b", text(), true), ("a", text(), true)]);
    assert_eq!(params(&ab, &ba), std::slice::from_ref(&moved));
    assert_eq!(Fit::of(&service(&ab, json!(true)), &service(&ba, json!(true)), "m"), Fit::AsItIs);
    assert!(params(&ab, &[("a", text(), true), ("c", text(), false), ("b", text(), true)]).contains(&moved));
    assert_eq!(params(&ab, &[("a", text(), true), ("b", text(), true), ("c", text(), false)]).len(), 1);
    assert_eq!(params(&ab, &[("b", text(), true)]).len(), 1, "what follows one that is gone has moved for that reason");
}

#[test]
fn a_condition_that_is_not_understood_is_not_passed_over() {
    let plain = object(&["x"], json!({"x": text()}));
    for (name, condition) in [
        ("not", json!({"required": ["y"]})),
        ("dependentSchemas", json!({"x": {"required": ["y"]}})),
        ("if", json!({"required": ["y"]})),
    ] {
        let mut ruled = plain.clone();
        ruled[name] = condition;
        let found = results(ruled.clone(), plain.clone());
        assert_eq!(found, [(Effect::Unclear, "result: its schema changed in a way that cannot be compared".into())], "{name}");
        assert_eq!(results(ruled.clone(), ruled.clone()), []);
        assert_ne!(service(&[], ruled).fingerprint(), service(&[], plain.clone()).fingerprint(), "{name}");
    }
    let beside_no_type = json!({"$ref": "#/$defs/X", "minLength": 2});
    assert_eq!(results(beside_no_type, json!({"$ref": "#/$defs/X"}))[0].0, Effect::Unclear);
    let mut annotated = plain.clone();
    annotated["x-of-a-vendor"] = json!(1);
    assert_eq!(results(annotated, plain), []);
}

mod names {
    use schemars::{JsonSchema, schema_for};

    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Größe {
        meter: f64,
    }

    mod later {
        #[derive(schemars::JsonSchema)]
        #[allow(dead_code, reason = "only its schema is looked at")]
        pub(super) struct Größe {
            meter: String,
        }
    }

    fn giving(schema: schemars::Schema) -> ServiceDescriptor {
        let mut schema: Value = schema.into();
        let definitions = schema.as_object_mut().unwrap().remove("$defs").unwrap();
        let mut service = service(&[], schema);
        service.definitions = serde_json::from_value(definitions).unwrap();
        service
    }

    #[test]
    fn a_type_whose_name_is_written_with_percents_is_found() {
        let (old, new) = (giving(schema_for!(Vec<Größe>)), giving(schema_for!(Vec<later::Größe>)));
        assert!(old.methods[0].result.to_string().contains("%C3%B6"), "schemars encodes it: {}", old.methods[0].result);
        let found = compare(&old, &new);
        let texts: Vec<_> = found.iter().map(|found| found.text.as_str()).collect();
        assert_eq!(texts, ["result[].meter: text is given where a number is expected"]);
        assert_ne!(old.fingerprint(), new.fingerprint());
    }
}
