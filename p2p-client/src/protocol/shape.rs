//! Which JSON a schema lets through, in a form of our own: what fingerprints are made of, and what versions are compared by.
//!
//! ```text
//! JSON Schema (as schemars wrote it) -> Shape::of -> Canonical (fingerprint)
//!                                                 -> compatibility (does a reader take what a writer gives?)
//! ```
//! The same JSON can be described by many schemas: `{"type": ["string", "null"]}` is `{"anyOf": [{"type": "string"},
//! {"type": "null"}]}`. Both are one [`Shape`], so that another release of the library that writes schemas does not make
//! another version of every service.

mod canonical;

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

pub(super) use canonical::Canonical;

/// Keywords that only people read, and what says nothing about which JSON fits.
const SAYS_NOTHING: [&str; 11] = [
    "contentMediaType",
    "title",
    "description",
    "examples",
    "$schema",
    "$comment",
    "$defs",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// Keywords that stand for conditions by themselves.
const COMBINES: [&str; 4] = ["$ref", "anyOf", "oneOf", "allOf"];

/// Keywords that are understood beside a type, or beside the values that stand for one.
const OF_VALUES: &str = "type const enum format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf \
    pattern minLength maxLength contentEncoding items prefixItems minItems maxItems uniqueItems contains \
    properties required additionalProperties unevaluatedProperties patternProperties propertyNames minProperties maxProperties dependentRequired";

/// Keywords that are left as they are: they must be the same, or be absent where values are read.
pub(super) type Rules = BTreeMap<String, String>;

/// Which JSON a schema lets through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Any,
    Never,
    Null,
    Boolean,
    Number(Rules),
    Integer {
        least: Option<i128>,
        most: Option<i128>,
        rules: Rules,
    },
    Text(Rules),
    /// One value, as canonical JSON.
    Literal(String),
    List {
        items: Box<Shape>,
        rules: Rules,
    },
    Tuple(Vec<Shape>),
    Object {
        fields: BTreeMap<String, Field>,
        others: Box<Shape>,
        rules: Rules,
    },
    /// Any of these; sorted, and at least two.
    OneOf(Vec<Shape>),
    /// A definition, by its name.
    Named(String),
    /// What is described by means that are not understood here, as canonical JSON.
    Opaque(String),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field {
    pub(super) shape: Shape,
    pub(super) required: bool,
}

impl Shape {
    /// Reads a schema.
    pub(super) fn of(schema: &Value) -> Self {
        match schema {
            Value::Bool(true) => Self::Any,
            Value::Object(map) => Self::of_keywords(map),
            _ => Self::Never,
        }
    }

    /// Each group of keywords is a condition of its own; all of them hold.
    fn of_keywords(map: &Map<String, Value>) -> Self {
        let mut conditions = Vec::new();
        if let Some(path) = map.get("$ref").and_then(Value::as_str) {
            conditions.push(definition_name(path).map_or_else(|| opaque(map), Self::Named));
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(choices) = map.get(name).and_then(Value::as_array) {
                conditions.push(Self::one_of(choices.iter().map(Self::of)));
            }
        }
        if let Some(parts) = map.get("allOf").and_then(Value::as_array) {
            conditions.extend(parts.iter().map(Self::of));
        }
        let values = Self::of_values(map);
        if has_other_conditions(map, values.is_some()) {
            return opaque(map);
        }
        conditions.extend(values);
        conditions.into_iter().reduce(|a, b| a.and(b, map)).unwrap_or_else(|| if is_open(map) { Self::Any } else { opaque(map) })
    }

    /// `const`, `enum`, or `type` with what belongs to it.
    fn of_values(map: &Map<String, Value>) -> Option<Self> {
        if let Some(value) = map.get("const") {
            return Some(literal(value));
        }
        if let Some(values) = map.get("enum").and_then(Value::as_array) {
            return Some(Self::one_of(values.iter().map(literal)));
        }
        match map.get("type") {
            Some(Value::String(name)) => Some(Self::of_type(name, map)),
            Some(Value::Array(names)) => {
                Some(Self::one_of(names.iter().filter_map(Value::as_str).map(|name| Self::of_type(name, map))))
            }
            _ if map.contains_key("properties") => Some(Self::of_type("object", map)),
            _ => None,
        }
    }

    fn of_type(name: &str, map: &Map<String, Value>) -> Self {
        match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "number" => Self::Number(rules(map, &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"])),
            "integer" => {
                let (least, most) = range(map);
                Self::Integer { least, most, rules: rules(map, &["exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) }
            }
            "string" => Self::Text(rules(map, &["pattern", "format", "minLength", "maxLength", "contentEncoding"])),
            "array" => Self::of_array(map),
            "object" => Self::of_object(map),
            _ => opaque(map),
        }
    }

    fn of_array(map: &Map<String, Value>) -> Self {
        let places = map.get("prefixItems").and_then(Value::as_array);
        let is_as_long = |name: &str, places: &[Value]| map.get(name).and_then(Value::as_u64) == Some(places.len() as u64);
        match places {
            Some(places) if is_as_long("minItems", places) && is_as_long("maxItems", places) => {
                Self::Tuple(places.iter().map(Self::of).collect())
            }
            Some(_) => opaque(map),
            None => Self::List {
                items: Box::new(map.get("items").map_or(Self::Any, Self::of)),
                rules: rules(map, &["minItems", "maxItems", "uniqueItems", "contains"]),
            },
        }
    }

    fn of_object(map: &Map<String, Value>) -> Self {
        let required: BTreeSet<&str> =
            map.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = map.get("properties").and_then(Value::as_object);
        let field = |(name, schema): (&String, &Value)| {
            (name.clone(), Field { shape: Self::of(schema), required: required.contains(name.as_str()) })
        };
        let others = map.get("additionalProperties").or_else(|| map.get("unevaluatedProperties"));
        Self::Object {
            fields: properties.into_iter().flatten().map(field).collect(),
            others: Box::new(others.map_or(Self::Any, Self::of)),
            rules: rules(map, &["patternProperties", "propertyNames", "minProperties", "maxProperties", "dependentRequired"]),
        }
    }

    fn one_of(choices: impl IntoIterator<Item = Self>) -> Self {
        let mut all = BTreeSet::new();
        for choice in choices {
            match choice {
                Self::OneOf(inner) => all.extend(inner),
                Self::Never => {}
                other => {
                    all.insert(other);
                }
            }
        }
        let mut all: Vec<_> = all.into_iter().collect();
        match all.len() {
            0 => Self::Never,
            1 => all.remove(0),
            _ => Self::OneOf(all),
        }
    }

    /// The same without null among its choices.
    pub(super) fn without_null(self) -> Self {
        match self {
            Self::OneOf(choices) => Self::one_of(choices.into_iter().filter(|choice| *choice != Self::Null)),
            other => other,
        }
    }

    /// What fits both. `whole` is where they stand, should that not be something that is understood here.
    fn and(self, other: Self, whole: &Map<String, Value>) -> Self {
        match (self, other) {
            (Self::Any, shape) | (shape, Self::Any) => shape,
            (a, b) if a == b => a,
            (Self::OneOf(choices), shape) | (shape, Self::OneOf(choices)) => {
                Self::one_of(choices.into_iter().map(|choice| choice.and(shape.clone(), whole)))
            }
            (Self::Object { mut fields, others, rules }, Self::Object { fields: more, others: others_too, rules: rules_too })
                if rules == rules_too =>
            {
                for (name, field) in more {
                    let joined = match fields.remove(&name) {
                        Some(known) => {
                            Field { required: known.required || field.required, shape: known.shape.and(field.shape, whole) }
                        }
                        None => field,
                    };
                    fields.insert(name, joined);
                }
                Self::Object { fields, others: Box::new(others.and(*others_too, whole)), rules }
            }
            _ => opaque(whole),
        }
    }

    /// What it is called in a sentence.
    pub(super) fn called(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Never => "nothing".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Boolean => "a boolean".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Integer { least, most, .. } => match (least, most) {
                (None, None) => "a whole number".to_owned(),
                (Some(least), None) => format!("a whole number from {least}"),
                (None, Some(most)) => format!("a whole number up to {most}"),
                (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
            },
            Self::Text(_) => "text".to_owned(),
            Self::Literal(json) => json.clone(),
            Self::List { .. } => "a list".to_owned(),
            Self::Tuple(places) => format!("a list of {}", places.len()),
            Self::Object { fields, .. } if fields.is_empty() => "a map".to_owned(),
            Self::Object { fields, .. } => {
                format!("an object of {}", fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Self::OneOf(choices) => choices.iter().map(Self::called).collect::<Vec<_>>().join(" or "),
            Self::Named(name) => name.clone(),
            Self::Opaque(_) => "something that cannot be compared".to_owned(),
        }
    }
}

/// The name of the definition that a reference leads to: `#/$defs/NAME`, where NAME is a JSON pointer's part (RFC 6901, 3) in a URI's
/// fragment (6), and so written with `~1`, `~0` and percents.
///
/// ```
/// use p2p_client::protocol::definition_name;
///
/// assert_eq!(definition_name("#/$defs/Gr%C3%B6%C3%9Fe").as_deref(), Some("Größe"));
/// assert_eq!(definition_name("#/$defs/a~1b%3Cc%3E").as_deref(), Some("a/b<c>"));
/// assert_eq!(definition_name("https://example.org/schema"), None);
/// ```
pub fn definition_name(reference: &str) -> Option<String> {
    let name = percent_decode_str(reference.strip_prefix("#/$defs/")?).decode_utf8_lossy();
    Some(name.replace("~1", "/").replace("~0", "~"))
}

/// Whether nothing in a schema restricts what fits.
fn is_open(map: &Map<String, Value>) -> bool {
    map.keys().all(|key| says_nothing(key))
}

/// Keywords for people and other programs, among them those of a vendor (OpenAPI, specification extensions).
fn says_nothing(key: &str) -> bool {
    SAYS_NOTHING.contains(&key) || key.starts_with("x-")
}

/// Whether there is a condition that is not understood here, or not where it stands: beside no type.
fn has_other_conditions(map: &Map<String, Value>, has_values: bool) -> bool {
    let is_understood = |key: &str| COMBINES.contains(&key) || (has_values && OF_VALUES.split(' ').any(|known| known == key));
    let combines = map.keys().any(|key| COMBINES.contains(&key.as_str()));
    (combines || has_values) && map.keys().any(|key| !says_nothing(key) && !is_understood(key))
}

fn opaque(map: &Map<String, Value>) -> Shape {
    Shape::Opaque(canonical_schema(&Value::Object(map.clone())))
}

fn literal(value: &Value) -> Shape {
    if value.is_null() { Shape::Null } else { Shape::Literal(exact_json(value)) }
}

fn rules(map: &Map<String, Value>, names: &[&str]) -> Rules {
    names.iter().filter_map(|name| Some(((*name).to_owned(), canonical_schema(map.get(*name)?)))).collect()
}

/// The least and the greatest whole number that fits: by `minimum` and `maximum`, and by a `format` that names a type of Rust's.
fn range(map: &Map<String, Value>) -> (Option<i128>, Option<i128>) {
    let (least, most) = match map.get("format").and_then(Value::as_str) {
        Some("uint8") => (Some(0), Some(i128::from(u8::MAX))),
        Some("uint16") => (Some(0), Some(i128::from(u16::MAX))),
        Some("uint32") => (Some(0), Some(i128::from(u32::MAX))),
        Some("uint64" | "uint") => (Some(0), Some(i128::from(u64::MAX))),
        Some("uint128") => (Some(0), None),
        Some("int8") => (Some(i128::from(i8::MIN)), Some(i128::from(i8::MAX))),
        Some("int16") => (Some(i128::from(i16::MIN)), Some(i128::from(i16::MAX))),
        Some("int32") => (Some(i128::from(i32::MIN)), Some(i128::from(i32::MAX))),
        Some("int64" | "int") => (Some(i128::from(i64::MIN)), Some(i128::from(i64::MAX))),
        _ => (None, None),
    };
    let said = |name: &str| map.get(name).and_then(whole);
    let tighter = |a: Option<i128>, b: Option<i128>, pick: fn(i128, i128) -> i128| match (a, b) {
        (Some(a), Some(b)) => Some(pick(a, b)),
        (a, b) => a.or(b),
    };
    (tighter(least, said("minimum"), i128::max), tighter(most, said("maximum"), i128::min))
}

/// A whole number, also where it is written as `0.0`.
pub(super) fn whole(value: &Value) -> Option<i128> {
    let plain = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    plain.or_else(|| value.as_f64()?.to_string().parse().ok())
}

/// A schema as JSON, with sorted keys and without what only people read.
fn canonical_schema(schema: &Value) -> String {
    match schema {
        Value::Object(map) => {
            let keys = map.keys().filter(|key| !says_nothing(key));
            object_json(keys, |key| match (key, &map[key]) {
                // What stands below these are names that users chose: a field called `title` counts.
                ("properties" | "patternProperties", Value::Object(names)) => {
                    object_json(names.keys(), |name| canonical_schema(&names[name]))
                }
                ("const" | "enum" | "required", value) => exact_json(value),
                (_, schema) => canonical_schema(schema),
            })
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical_schema).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

/// A value as JSON, with sorted keys.
pub(super) fn exact_json(value: &Value) -> String {
    match value {
        Value::Object(map) => object_json(map.keys(), |key| exact_json(&map[key])),
        Value::Array(items) => format!("[{}]", items.iter().map(exact_json).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

fn object_json<'a>(keys: impl Iterator<Item = &'a String>, member: impl Fn(&str) -> String) -> String {
    let mut keys: Vec<_> = keys.collect();
    keys.sort();
    let members: Vec<_> = keys.iter().map(|key| format!("{}:{}", Value::from(key.as_str()), member(key))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(schema: &Value, definitions: &Value) -> String {
        let definitions = serde_json::from_value(definitions.clone()).unwrap();
        let mut canonical = Canonical::new(&definitions, String::new());
        canonical.schema(schema);
        canonical.text
    }

    #[test]
    fn schemas_that_let_the_same_json_through_are_one_shape() {
        for (one, other) in [
            (json!({"type": ["string", "null"]}), json!({"anyOf": [{"type": "null"}, {"type": "string"}]})),
            (json!({"type": "integer", "format": "uint8"}), json!({"type": "integer", "minimum": 0.0, "maximum": 255})),
            (
                json!({"enum": ["a", "b"]}),
                json!({"oneOf": [{"const": "b"}, {"type": "string", "const": "a", "description": "A"}]}),
            ),
            (json!({"$ref": "#/$defs/Id"}), json!({"type": "string"})),
            (json!({"title": "T", "description": "d", "default": 1}), json!(true)),
            (
                json!({"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}}, {"properties": {"b": true}}]}),
                json!({"type": "object", "properties": {"b": {}, "a": {"type": "null"}}}),
            ),
        ] {
            let definitions = json!({"Id": {"type": "string", "title": "Id"}});
            assert_eq!(text(&one, &definitions), text(&other, &definitions), "{one} {other}");
        }
    }

    #[test]
    fn what_a_type_is_called_does_not_count_and_a_type_may_hold_itself() {
        let tree = |name: &str| json!({(name): {"type": "object", "properties": {"next": {"$ref": format!("#/$defs/{name}")}}}});
        let of = |name: &str| text(&json!({"$ref": format!("#/$defs/{name}")}), &tree(name));
        assert_eq!(of("Tree"), of("Node"));
        assert_eq!(of("Tree"), "#0=object{\"next\"?:#0,..any}");
    }

    #[test]
    fn a_flattened_enum_is_its_variants_each_with_the_other_fields() {
        let schema = json!({
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "required": ["id"],
            "oneOf": [
                {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
            ],
        });
        let said = text(&schema, &json!({}));
        assert_eq!(said, "<object{\"a\":null,\"id\":text,..any},object{\"b\":null,\"id\":text,..any},>");
    }

    #[test]
    fn what_is_not_understood_is_kept_to_the_letter() {
        let schema = json!({"not": {"type": "string", "title": "t"}});
        assert_eq!(text(&schema, &json!({})), "?{\"not\":{\"type\":\"string\"}}");
    }
}
