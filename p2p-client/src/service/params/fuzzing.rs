//! A method's parameters against serde_json, under fuzzing. `cargo test` runs the same with inputs of its own.
//!
//! The parameters of one method are read in both of this crate's ways, and by serde_json into a struct of the same fields. All three have to agree on
//! what is valid and on what it means.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

use crate::codec::{Generated, Plain, fuzzing::Shape, is_deeper_than};

use super::{DefaultJson, ObjectWriter, ParamError, ParamSpec, Params};

/// The deepest that serde_json reads.
const DEPTH: usize = 127;

/// Parameters of every kind: one that has to be there, some that need not be, a type with a reader of its own and one without, and one with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names are those of the parameters")]
pub struct Given {
    pub who: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Value>,
    /// Given or not; and where it was, a number or `null`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "is_default_limit")]
    pub limit: Option<Option<u8>>,
}

/// What a host takes where `limit` was not given.
const DEFAULT_LIMIT: Option<u8> = Some(7);

/// Whether a proxy leaves the limit out: it writes what was given, unless that is the default.
#[allow(
    clippy::option_option,
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the field's type, as serde asks"
)]
fn is_default_limit(limit: &Option<Option<u8>>) -> bool {
    limit.is_none_or(|limit| limit == DEFAULT_LIMIT)
}

/// Tells a `null` from a field that is missing.
#[allow(clippy::option_option, reason = "these are the three cases: a number, `null`, and nothing")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u8>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

const NAMES: &[ParamSpec] = &[
    ParamSpec { name: Cow::Borrowed("who") },
    ParamSpec { name: Cow::Borrowed("times") },
    ParamSpec { name: Cow::Borrowed("shape") },
    ParamSpec { name: Cow::Borrowed("any") },
    ParamSpec { name: Cow::Borrowed("limit") },
];

impl Given {
    /// Reads them as generated code does first.
    pub fn straight(json: &str) -> Option<Self> {
        Params::new(Some(json)).straight(|params| {
            Some(Self {
                who: params.take(Generated, ",\"who\":")?,
                times: params.take(Generated, ",\"times\":")?,
                shape: params.take(Generated, ",\"shape\":")?,
                any: params.take(Plain, ",\"any\":")?,
                limit: params.take_given::<Option<u8>>(Generated, ",\"limit\":")?,
            })
        })
    }

    /// Reads them as generated code does where that was of no use.
    ///
    /// # Errors
    /// What the caller is told.
    pub fn split(json: &str) -> Result<Self, ParamError> {
        let mut slots = Params::new(Some(json)).split(NAMES)?;
        Ok(Self {
            who: slots.take(0)?,
            times: slots.take(1)?,
            shape: slots.take(2)?,
            any: slots.take(3)?,
            limit: slots.take_given(4)?,
        })
    }

    /// Writes them as a proxy does.
    ///
    /// # Errors
    /// Those of serde_json.
    pub fn write(&self) -> serde_json::Result<String> {
        static DEFAULT: DefaultJson = DefaultJson::new();
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        object.field(Generated, ",\"who\":", &self.who)?;
        object.field(Generated, ",\"times\":", &self.times)?;
        object.field(Generated, ",\"shape\":", &self.shape)?;
        object.field(Plain, ",\"any\":", &self.any)?;
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        object.unless_default(Generated, ",\"limit\":", &limit, &DEFAULT, || DEFAULT_LIMIT)?;
        object.end();
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// What serde_json alone makes of them. Those by position are given their names first.
    fn by_serde_json(json: &str) -> Result<Self, String> {
        let told = |error: serde_json::Error| error.to_string();
        if !json.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('[') {
            return serde_json::from_str(json).map_err(told);
        }
        let values: Vec<&RawValue> = serde_json::from_str(json).map_err(told)?;
        if values.len() > NAMES.len() {
            return Err("too many".to_owned());
        }
        let members = NAMES.iter().zip(values).map(|(spec, value)| format!("\"{}\":{}", spec.name, value.get()));
        serde_json::from_str(&format!("{{{}}}", members.collect::<Vec<_>>().join(","))).map_err(told)
    }
}

/// Reads `input` as the parameters of a method.
///
/// # Panics
/// When one way of reading gives another value than the others, or takes what they refuse.
pub fn params(input: &[u8]) {
    let Ok(json) = std::str::from_utf8(input) else { return };
    let (straight, split) = (Given::straight(json), Given::split(json));
    if let Some(straight) = &straight {
        assert_eq!(split.as_ref(), Ok(straight), "read straight: {json}");
    }
    // Each parameter may be as deep by itself as the whole is to serde_json.
    if is_deeper_than(input, DEPTH) {
        return;
    }
    match (split, Given::by_serde_json(json)) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours, theirs, "{json}");
            survives(&ours);
        }
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{json}: {ours:?}, but serde_json says {theirs:?}"),
    }
}

/// What is written is what serde_json writes, and is read straight, as what it was.
///
/// # Panics
/// When it is not.
pub fn survives(given: &Given) {
    let json = given.write().expect("they were read from JSON");
    // A `null` that says nothing is left out.
    let meant = Given { any: given.any.clone().filter(|any| !any.is_null()), ..given.clone() };
    assert_eq!(json, serde_json::to_string(&meant).expect("they were read from JSON"));
    let read = Given::straight(&json);
    // serde_json itself may miss the nearest fraction by a bit, so that it is the judge of what is read.
    assert_eq!(read, Given::by_serde_json(&json).ok(), "{json}");
    assert!(read.is_some(), "{json} is as a proxy writes it");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{
        codec::tests::{
            mutations::mutated,
            properties::{check, rng, shape, text},
        },
        fuzzing::run,
    };

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(text(), inner, 0..3).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn given() -> impl Strategy<Value = Given> {
        let (shape, any_value) = (prop::option::of(shape()), prop::option::of(value()));
        (text(), any::<Option<u8>>(), shape, any_value, any::<Option<Option<u8>>>())
            .prop_map(|(who, times, shape, any, limit)| Given { who, times, shape, any, limit })
    }

    #[test]
    fn params_agree_with_serde_json_as_they_are_written_and_whatever_becomes_of_that() {
        check(256, &(given(), any::<u64>()), |(given, seed)| {
            survives(&given);
            let json = given.write().unwrap();
            let mut rng = rng(seed);
            for _ in 0..8 {
                params(&mutated(json.as_bytes(), &mut rng));
            }
        });
    }

    #[test]
    fn params_by_position_agree_with_serde_json() {
        check(256, &(given(), 0_usize..7, any::<u64>()), |(given, count, seed)| {
            let Given { who, times, shape, any, limit } = given;
            let members = serde_json::json!([who, times, shape, any, limit, null]);
            let some: Vec<_> = members.as_array().unwrap().iter().take(count).collect();
            let json = serde_json::to_vec(&some).unwrap();
            params(&json);
            params(&mutated(&json, &mut rng(seed)));
        });
    }

    #[test]
    fn any_json_is_judged_as_serde_json_judges_it() {
        check(512, &value(), |value| params(value.to_string().as_bytes()));
    }

    #[test]
    fn what_makes_no_sense_is_judged_alike() {
        let tokens = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\u0077",
            "null",
            "1e9",
            "-0",
            " ",
            "\"who\":\"x\"",
            ",\"times\":",
            ",\"any\":",
            ",\"limit\":",
        ];
        run("params", 20_000, &tokens, corpus, params);
    }

    fn corpus() -> Vec<(&'static str, Vec<u8>)> {
        [
            ("as_written", r#"{"who":"Ada","times":2,"shape":{"TWO":[3,"x"]},"any":{"a":[1,null]},"limit":9}"#),
            ("only_what_must_be", r#"{"who":"A\nda"}"#),
            ("nulls", r#"{"who":"Ada","times":null,"shape":null,"any":null,"limit":null}"#),
            ("another_order", r#"{ "limit": 7, "any": 1e3, "who": "Ada", "shape": "NOTHING-AT-ALL" }"#),
            ("escaped_name", r#"{"w\u0068o":"Ada"}"#),
            ("by_position", r#"["Ada", 2, {"FEW":{"BigSide":1}}, [[]], null]"#),
            ("some_by_position", r#"["Ada"]"#),
            ("too_many", r#"["Ada",1,null,null,2,3]"#),
            ("twice", r#"{"who":"Ada","who":"B"}"#),
            ("unknown", r#"{"who":"Ada","whom":1}"#),
            ("missing", r#"{"times":1}"#),
            ("wrong_type", r#"{"who":1,"times":300}"#),
            ("no_params", "null"),
            ("empty", "{}"),
        ]
        .map(|(name, text)| (name, text.as_bytes().to_vec()))
        .into()
    }
}
