//! Properties that hold for all values, and for all bytes. A failure prints the seed and the smallest case (`PROPTEST_RNG_SEED` runs it
//! again).

use std::fmt::Debug;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngAlgorithm, RngSeed, TestRng, TestRunner},
};
use serde_json::json;

use crate::codec::{
    Message,
    fuzzing::{
        Bytes, Delegated, Everyday, Generic, Lists, Maps, Newtype, Numbers, Optional, Pair, Renamed, Shape, Tree, Unaware, Wide,
        Word, agree, agree_on_writing, codec,
    },
    read_whole, to_json,
};
use crate::{fuzzing::run, protocol::Role, service::Blob};

use super::mutations::mutated;

/// Runs a property many times, from a seed that is printed when it fails.
pub(crate) fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value)) {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand_seed);
    let config = ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() };
    let run = TestRunner::new(config).run(strategy, |value| {
        property(value);
        Ok(())
    });
    if let Err(error) = run {
        panic!("with PROPTEST_RNG_SEED={seed}: {error}");
    }
}

/// A seed that differs from run to run.
fn rand_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}

/// Texts with what escapes and scanning could stumble over.
pub(crate) fn text() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z]{0,40}".boxed(),
        any::<String>().boxed(),
        vec(
            prop_oneof![
                "[a-z ]{0,9}",
                Just("\"".to_owned()),
                Just("\\".into()),
                Just("\n\u{1}\u{7f}".into()),
                Just("ä😀\u{2028}".into())
            ],
            0..20
        )
        .prop_map(|pieces| pieces.concat())
        .boxed(),
    ]
    .boxed()
}

fn node() -> impl Strategy<Value = crate::protocol::NodeId> {
    "[a-z0-9]{1,10}".prop_map(|name| name.parse().unwrap())
}

fn everyday() -> impl Strategy<Value = Everyday> {
    (text(), node(), any::<u64>(), vec(text(), 0..4)).prop_map(|(text, node, count, tags)| Everyday { text, node, count, tags })
}

fn fraction() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        (any::<i32>(), 0_u8..9).prop_map(|(digits, places)| f64::from(digits) / 10_f64.powi(places.into())),
    ]
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let whole = (any::<(u8, u16, u32, u64, u128)>(), any::<(i8, i16, i32, i64, i128)>(), any::<(usize, isize)>());
    let f32s = any::<f32>().prop_filter("finite", |value| value.is_finite());
    (whole, f32s, fraction()).prop_map(|(((u8, u16, u32, u64, u128), (i8, i16, i32, i64, i128), (usize, isize)), f32, f64)| {
        Numbers { u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64, usize, isize }
    })
}

fn optional() -> impl Strategy<Value = Optional> {
    (any::<(Option<u8>, Option<u8>, u8)>(), vec(any::<bool>(), 0..4), prop::option::of(text())).prop_map(
        |((first, always, third), second, last)| {
            // `Some(None)` is written as `None` is, by serde_json as well.
            Optional { first, second, always: always.map(Some), third, unsent: 0, last }
        },
    )
}

/// Values of an enum with variants of every kind.
pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::NothingAtAll),
        Just(Shape::Odd()),
        Just(Shape::None {}),
        Just(Shape::Unit(())),
        (any::<u8>(), text()).prop_map(|(number, text)| Shape::Two(number, text)),
    ];
    leaf.prop_recursive(6, 12, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Shape::One(Box::new(inner))),
            (any::<u8>(), prop::option::of(inner))
                .prop_map(|(big_side, inner)| Shape::Few { big_side, small_side: inner.map(Box::new) }),
        ]
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = text().prop_map(|name| Tree { name: name.into(), children: Vec::new() });
    leaf.prop_recursive(5, 20, 3, |inner| {
        (text(), vec(inner, 0..3)).prop_map(|(name, children)| Tree { name: name.into(), children })
    })
}

fn unaware() -> impl Strategy<Value = Unaware> {
    (text(), any::<i64>(), any::<bool>()).prop_map(|(text, number, nested)| Unaware {
        any: if nested { json!({ "text": text, "list": [number, null, [[]]] }) } else { json!(number) },
    })
}

fn delegated() -> impl Strategy<Value = Delegated> {
    (any::<(u8, u32, u8)>(), unaware(), prop::collection::btree_map(any::<u8>(), unaware(), 0..3)).prop_map(
        |((before, millis, after), unaware, keys)| Delegated {
            before,
            unaware,
            time: std::time::Duration::from_millis(millis.into()),
            keys,
            after,
        },
    )
}

fn wide() -> impl Strategy<Value = Wide> {
    (text(), any::<bool>(), prop::option::of(everyday())).prop_map(|(text, coordinator, rest)| Wide {
        text: text.into(),
        role: if coordinator { Role::Coordinator } else { Role::Worker },
        rest: rest.map(Box::new),
    })
}

fn maps() -> impl Strategy<Value = Maps> {
    (prop::collection::btree_map(text(), fraction(), 0..4), prop::collection::hash_map(text(), any::<Option<bool>>(), 0..4))
        .prop_map(|(sorted, hashed)| Maps { sorted, hashed })
}

fn lists() -> impl Strategy<Value = Lists> {
    (vec(any::<u8>(), 0..20), vec((text(), fraction()), 0..3), vec(vec(any::<i64>(), 0..4), 0..4))
        .prop_map(|(bytes, pairs, nested)| Lists { bytes, pairs, none: [], nested })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let blob = || vec(any::<u8>(), 0..40).prop_map(Blob::from);
    (blob(), vec(prop::option::of(blob()), 0..3)).prop_map(|(blob, parts)| Bytes { blob, parts })
}

fn pair() -> impl Strategy<Value = Pair> {
    any::<(bool, i8, char)>().prop_map(|(other, number, c)| Pair(if other { Word::Other } else { Word::OneWord }, (number, c)))
}

fn renamed() -> impl Strategy<Value = Renamed> {
    any::<(char, bool)>().prop_map(|(first_name, kind)| Renamed { first_name, r#type: kind, r#loop: () })
}

/// What is written is what serde_json writes, and is read again without serde_json's help; and whatever becomes of that JSON, both
/// read the same of it.
fn holds_for<T: Message + PartialEq + Debug + Clone>(values: impl Strategy<Value = T>) {
    check(128, &(values, any::<u64>()), |(value, seed)| {
        agree_on_writing(&value);
        let json = to_json(&value).unwrap();
        // serde_json itself may miss the nearest fraction by a bit, so that it is the judge of what is read.
        let theirs: T = serde_json::from_slice(&json).unwrap();
        assert_eq!(read_whole::<T>(&json), Some(theirs), "{}", String::from_utf8_lossy(&json));
        let mut rng = rng(seed);
        for _ in 0..8 {
            agree::<T>(&mutated(&json, &mut rng));
        }
    });
}

/// The source of numbers that is made from this one.
pub(crate) fn rng(seed: u64) -> TestRng {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::XorShift, &bytes)
}

macro_rules! properties {
    ($($name:ident: $values:expr;)*) => {$(
        #[test]
        fn $name() {
            holds_for($values);
        }
    )*};
}

properties! {
    structs_agree_with_serde_json: everyday();
    numbers_agree_with_serde_json: numbers();
    names_agree_with_serde_json: renamed();
    fields_that_may_be_left_out_agree_with_serde_json: optional();
    enums_agree_with_serde_json: shape();
    nested_types_agree_with_serde_json: tree();
    delegated_fields_agree_with_serde_json: delegated();
    boxes_and_roles_agree_with_serde_json: wide();
    maps_agree_with_serde_json: maps();
    lists_agree_with_serde_json: lists();
    bytes_agree_with_serde_json: bytes();
    tuples_agree_with_serde_json: pair();
    newtypes_agree_with_serde_json: prop::option::of(text()).prop_map(Newtype);
    generics_agree_with_serde_json: (vec(shape(), 0..3), prop::option::of(shape())).prop_map(|(items, one)| Generic { items, one });
}

#[test]
fn the_corpus_of_the_fuzzer_and_changes_of_it_are_judged_as_serde_json_judges_them() {
    let tokens = ["{", "}", "[", "]", ",", ":", "\"", "\\u0041", "null", "true", "1e9", "-0", " ", "256", "\u{e9}"];
    // It is written by hand, a file for each shape of type.
    run("codec", 2_000, &tokens, Vec::new, codec);
}

#[test]
fn any_bytes_are_judged_as_serde_json_judges_them() {
    check(512, &vec(any::<u8>(), 0..64), |bytes| codec(&bytes));
}

#[test]
fn any_json_is_judged_as_serde_json_judges_it_whatever_type_it_was_made_for() {
    let made = prop_oneof![
        everyday().prop_map(|value| to_json(&value).unwrap()),
        numbers().prop_map(|value| to_json(&value).unwrap()),
        shape().prop_map(|value| to_json(&value).unwrap()),
        optional().prop_map(|value| to_json(&value).unwrap()),
        lists().prop_map(|value| to_json(&value).unwrap()),
        bytes().prop_map(|value| to_json(&value).unwrap()),
    ];
    check(128, &made, |json| codec(&json));
}
