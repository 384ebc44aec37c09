//! Each shape of type by itself: what is written, what is read straight, and what is left to serde_json.

use std::{fmt::Debug, time::Duration};

use serde_json::{Value, json};

use crate::codec::{
    Message, Plain, Probe, Reader, ViaMessage as _, ViaSerde as _, from_json,
    fuzzing::{
        Deep, Defaulted, Delegated, Empty, Everyday, Flattened, Generic, Hidden, Lists, Newtype, Nothing, Optional, Pair,
        Renamed, Shape, Tagged, Transparent, Tree, Unaware, Unseen, Untagged, Word, agree, agree_on_writing,
    },
    read_whole, to_json,
};

/// The value is written as `json`, as serde_json would, and is read from it without serde_json.
#[track_caller]
fn assert_own_form<T: Message + PartialEq + Debug>(value: &T, json: &str) {
    agree_on_writing(value);
    assert_eq!(String::from_utf8(to_json(value).unwrap()).unwrap(), json);
    assert_eq!(read_whole::<T>(json.as_bytes()).as_ref(), Some(value), "{json}");
    agree::<T>(json.as_bytes());
}

/// The JSON is not read straight, and what comes of it is what serde_json makes of it.
#[track_caller]
fn assert_left_to_serde_json<T: Message + PartialEq + Debug>(json: &str) {
    assert_eq!(read_whole::<T>(json.as_bytes()), None, "{json}");
    agree::<T>(json.as_bytes());
}

fn everyday() -> Everyday {
    Everyday { text: "Hello, Ada".into(), node: "w-1".parse().unwrap(), count: 3, tags: vec!["a".into(), "ä".into()] }
}

#[test]
fn a_struct_is_an_object_in_its_declared_order() {
    assert_own_form(&everyday(), r#"{"text":"Hello, Ada","node":"w-1","count":3,"tags":["a","ä"]}"#);
    assert_own_form(&Empty {}, "{}");
}

#[test]
fn every_other_form_of_the_same_object_is_read_as_serde_json_reads_it() {
    for json in [
        r#"{"node":"w-1","text":"Hello, Ada","count":3,"tags":[]}"#,
        r#" {"text":"Hello, Ada","node":"w-1","count":3,"tags":[]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":3,"tags":[]} "#,
        r#"{"text":"Hello, Ada","node":"w-1","count": 3,"tags":[]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":3,"tags":[],"new":1}"#,
        r#"{"te\u0078t":"Hello, Ada","node":"w-1","count":3,"tags":[]}"#,
        r#"["Hello, Ada","w-1",3,[]]"#,
    ] {
        assert_left_to_serde_json::<Everyday>(json);
        assert!(from_json::<Everyday>(json.as_bytes()).is_ok(), "{json}");
    }
}

#[test]
fn what_is_wrong_is_refused_in_the_words_of_serde_json() {
    for json in [
        r#"{"text":"Hello, Ada","node":"w-1","count":3}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":3,"tags":[],"tags":[]}"#,
        r#"{"text":"Hello, Ada","node":"W 1","count":3,"tags":[]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":03,"tags":[]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":3.0,"tags":[]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":18446744073709551616,"tags":[]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":3,"tags":[,]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":3,"tags":["a",]}"#,
        r#"{"text":"Hello, Ada","node":"w-1","count":3,"tags":[]},"#,
        r#"{"text":"Hello,"#,
        "{\"text\":\"line\nbreak\"",
        "",
    ] {
        assert_left_to_serde_json::<Everyday>(json);
        assert!(from_json::<Everyday>(json.as_bytes()).is_err(), "{json}");
    }
    agree::<Everyday>(b"{\"text\":\"\xff\",\"node\":\"w-1\",\"count\":3,\"tags\":[]}");
    agree::<String>(b"\"\xc3\"");
}

#[test]
fn strings_with_escapes_are_read_in_place() {
    let text = "a \"quoted\"\nline \u{1} \\ 😀".to_owned();
    assert_own_form(&text, r#""a \"quoted\"\nline \u0001 \\ 😀""#);
    assert_own_form(&'\n', r#""\n""#);
    for json in [r#""\ud83d\ude00\/""#, r#""\ud83d""#, r#""\ude00x""#, r#""\x""#, r#""\u12""#, r#""\"#, r#""ab""#, r#""""#] {
        agree::<String>(json.as_bytes());
        agree::<char>(json.as_bytes());
    }
}

#[test]
fn a_string_with_every_escape_may_be_cut_anywhere_and_have_any_letter_after_a_backslash() {
    let json = r#""an ordinary beginning \" \\ \/ \b \f \n \r \t\t and \u00e4, ä""#;
    assert_eq!(read_whole(json.as_bytes()), serde_json::from_str::<String>(json).ok());
    for end in (0..json.len()).filter(|end| json.is_char_boundary(*end)) {
        agree::<String>(&json.as_bytes()[..end]);
        agree::<String>(format!("{}\u{1}\"", &json[..end]).as_bytes());
    }
    for letter in (0..0x250).filter_map(char::from_u32) {
        agree::<String>(format!("\"a\\{letter}b\"").as_bytes());
        agree::<String>(format!("\"a\\n\\{letter}\"").as_bytes());
    }
}

#[test]
fn whole_numbers_are_read_to_their_limits_and_no_further() {
    assert_own_form(&u64::MAX, "18446744073709551615");
    assert_own_form(&i64::MIN, "-9223372036854775808");
    assert_own_form(&i64::MAX, "9223372036854775807");
    assert_own_form(&u128::MAX, "340282366920938463463374607431768211455");
    assert_own_form(&i128::MIN, "-170141183460469231731687303715884105728");
    assert_own_form(&-128_i8, "-128");
    for json in [
        "18446744073709551616",
        "-9223372036854775809",
        "9223372036854775808",
        "256",
        "-129",
        "-0",
        "-1",
        "00",
        "01",
        "-",
        "+1",
        "1e2",
        "1.0",
    ] {
        agree::<u8>(json.as_bytes());
        agree::<i8>(json.as_bytes());
        agree::<u64>(json.as_bytes());
        agree::<i64>(json.as_bytes());
        agree::<u128>(json.as_bytes());
        agree::<i128>(json.as_bytes());
        agree::<f64>(json.as_bytes());
        agree::<f32>(json.as_bytes());
    }
}

#[test]
fn fractions_are_those_of_serde_json_to_the_last_bit() {
    for json in [
        "0.0",
        "-0.0",
        "-0",
        "1.5",
        "0.1",
        "0.30000000000000004",
        "123456.789",
        "-99999999999999.9",
        "999999999999999.9",
        "1e308",
        "1e309",
        "1e-400",
        "4.9e-324",
        "0.1e1",
        "1.",
        ".5",
        "1.5.5",
        "01.5",
        "-.5",
        "1.e5",
        "179769313486231570000000000000.0",
        "3.4028235e38",
        "3.5e38",
    ] {
        agree::<f64>(json.as_bytes());
        agree::<f32>(json.as_bytes());
        let (ours, theirs) = (from_json::<f64>(json.as_bytes()), serde_json::from_str::<f64>(json));
        assert_eq!(ours.ok().map(f64::to_bits), theirs.ok().map(f64::to_bits), "{json}");
    }
    assert_own_form(&1.0_f64, "1.0");
    assert_own_form(&-0.5_f32, "-0.5");
}

#[test]
fn what_is_no_number_is_written_as_null() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(to_json(&value).unwrap(), b"null");
        agree_on_writing(&value);
    }
    agree_on_writing(&f32::NAN);
    assert_left_to_serde_json::<f64>("null");
}

#[test]
fn names_follow_serdes_attributes() {
    let value = Renamed { first_name: 'ä', r#type: true, r#loop: () };
    assert_own_form(&value, r#"{"firstName":"ä","the \"type\"\n":true,"loop":null}"#);
    assert_left_to_serde_json::<Renamed>(r#"{"firstName":"ä","kind":true,"loop":null}"#);
    assert_left_to_serde_json::<Renamed>(r#"{"firstName":"ä","the \"type\"\n":true,"loop":null,"more":1}"#);
}

#[test]
fn fields_that_may_be_left_out_are_read_straight_with_and_without_them() {
    let none = Optional { third: 7, ..Optional::default() };
    assert_own_form(&none, r#"{"always":null,"third":7}"#);
    let all = Optional { first: Some(1), second: vec![true], always: Some(Some(2)), third: 3, unsent: 0, last: Some("x".into()) };
    assert_own_form(&all, r#"{"first":1,"second":[true],"always":2,"third":3,"last":"x"}"#);
    assert_eq!(read_whole::<Optional>(br#"{"always":null}"#), Some(none));
    agree::<Optional>(br#"{"always":null,"unsent":3}"#);
    // Nobody sees from outside what it is; it is not sent, and comes back as its default.
    assert_eq!(from_json::<Optional>(&to_json(&Optional { unsent: 5, ..all.clone() }).unwrap()).unwrap(), all);
}

#[test]
fn a_default_of_the_whole_fills_in_what_is_missing() {
    assert_own_form(&Defaulted { a: 5, b: 6, c: 3 }, r#"{"a":5,"b":6}"#);
    assert_eq!(read_whole::<Defaulted>(b"{}"), Some(Defaulted { a: 1, b: 0, c: 3 }));
    agree::<Defaulted>(b"{}");
}

#[test]
fn enums_have_serdes_default_form() {
    assert_own_form(&Shape::NothingAtAll, r#""NOTHING-AT-ALL""#);
    assert_own_form(&Shape::One(Box::new(Shape::None {})), r#"{"ONE":{"NONE":{}}}"#);
    assert_own_form(&Shape::Two(1, "x".into()), r#"{"TWO":[1,"x"]}"#);
    assert_own_form(&Shape::Few { big_side: 1, small_side: None }, r#"{"FEW":{"BigSide":1}}"#);
    let nested = Shape::Few { big_side: 1, small_side: Some(Box::new(Shape::Unit(()))) };
    assert_own_form(&nested, r#"{"FEW":{"BigSide":1,"SmallSide":{"UNIT":null}}}"#);
    assert_own_form(&Word::OneWord, r#""one_word""#);
    assert_own_form(&Shape::Odd(), r#"{"\u0001odd":[]}"#);
    for json in [r#"{"ODD":[]}"#, r#"{"NOTHING-AT-ALL":null}"#, r#""ONE""#, r#"{"ONE":"x","TWO":1}"#, r#"{"":1}"#, r#""NEW""#] {
        assert_left_to_serde_json::<Shape>(json);
    }
}

#[test]
fn newtypes_are_their_value_and_tuple_structs_are_arrays() {
    assert_own_form(&Newtype(None), "null");
    assert_own_form(&Newtype(Some("x".into())), r#""x""#);
    assert_own_form(&Pair(Word::Other, (-1, '"')), r#"["other",[-1,"\""]]"#);
    assert_own_form(&Nothing, "null");
    assert_own_form(&Transparent { inner: [1, 2, 3] }, "[1,2,3]");
    assert_left_to_serde_json::<Transparent>("[1,2,3,4]");
    assert_left_to_serde_json::<Transparent>("[1,2]");
}

#[test]
fn lists_may_be_empty_and_nested() {
    let lists = Lists { bytes: vec![0, 255], pairs: vec![("a".into(), 0.5)], none: [], nested: vec![vec![], vec![-1]] };
    assert_own_form(&lists, r#"{"bytes":[0,255],"pairs":[["a",0.5]],"none":[],"nested":[[],[-1]]}"#);
}

#[test]
fn fields_that_are_no_messages_are_done_by_serde_json_in_place() {
    let unaware = Unaware { any: json!({"b": [1, null], "a": "\n"}) };
    let value = Delegated {
        before: 1,
        unaware: unaware.clone(),
        time: Duration::from_millis(1500),
        keys: [(3, unaware.clone())].into(),
        after: 2,
    };
    agree_on_writing(&value);
    let json = to_json(&value).unwrap();
    assert_eq!(read_whole::<Delegated>(&json), Some(value));
    let generic = Generic { items: vec![unaware.clone()], one: Some(unaware) };
    agree::<Generic<Wrapped>>(&to_json(&Generic { items: vec![Wrapped(3)], one: None }).unwrap());
    agree::<Unseen>(&serde_json::to_vec(&generic).unwrap());
}

/// A message, to be the argument of a generic one.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, crate::Message)]
struct Wrapped(u8);

#[test]
#[allow(clippy::needless_borrow, reason = "it stands as generated code has it, which does not know whether the borrow is needed")]
fn whether_a_type_is_a_message_is_found_out_where_it_is_known() {
    let _: crate::codec::Generated = (&Probe::<Generic<Wrapped>>::NEW).form();
    let _: Plain = (&Probe::<Generic<Unaware>>::NEW).form();
    let _: Plain = (&Probe::<Value>::NEW).form();
}

#[test]
fn attributes_that_are_not_followed_leave_the_type_to_serde_json() {
    let flattened = Flattened { own: 1, inner: Empty {}, others: [("x".to_owned(), json!([1]))].into() };
    assert_own_form(&flattened, r#"{"own":1,"x":[1]}"#);
    assert_own_form(&Tagged::A { x: 1 }, r#"{"kind":"A","x":1}"#);
    assert_own_form(&Untagged::Text("x".into()), r#""x""#);
    for json in [r#"{"a":1,"b":2}"#, r#"{"a":1,"c":2}"#, r#"{"a":1,"d":2}"#, r#"{"b":1}"#] {
        agree::<Hidden>(json.as_bytes());
    }
}

#[test]
fn nesting_ends_where_that_of_serde_json_ends() {
    for depth in [100, 126, 127, 128, 129, 300] {
        let tree = (1..depth)
            .fold(String::from(r#"{"name":"","children":[]}"#), |inner, _| format!(r#"{{"name":"","children":[{inner}]}}"#));
        agree::<Tree>(tree.as_bytes());
        let shape =
            (1..depth).fold(String::from("null"), |inner, _| format!(r#"{{"ONE":{inner}}}"#)).replace("null", r#"{"UNIT":null}"#);
        agree::<Shape>(shape.as_bytes());
        for inner in 1..=3 {
            let any = format!("{}{}", "[".repeat(inner), "]".repeat(inner));
            let deep = (1..depth).fold(format!(r#"{{"Object":{{"any":{any}}}}}"#), |inner, _| format!(r#"{{"Inner":{inner}}}"#));
            agree::<Deep>(deep.as_bytes());
            let any = format!("{}{}", "[".repeat(depth + inner), "]".repeat(depth + inner));
            agree::<Deep>(format!(r#"{{"List":[{{"Object":{{"any":{any}}}}}]}}"#).as_bytes());
        }
    }
    // The limit is reached by the reader itself, and not only by the one that it falls back to.
    let list =
        |depth: usize| format!("{}{}", r#"{"Inner":"#.repeat(depth), "}".repeat(depth)).replace("{\"Inner\":}", r#"{"List":[]}"#);
    assert!(read_whole::<Deep>(list(126).as_bytes()).is_some());
    assert!(read_whole::<Deep>(list(127).as_bytes()).is_none());
}

#[test]
fn a_reader_that_is_nested_without_end_runs_out_of_depth_and_not_of_stack() {
    let endless = r#"{"Inner":"#.repeat(1_000_000);
    let mut reader = Reader::new(&endless);
    assert_eq!(Deep::read(&mut reader), None);
    agree::<Deep>(endless.as_bytes());
}

#[test]
fn maps_keep_the_last_of_two_values_under_one_key() {
    agree::<crate::codec::fuzzing::Maps>(br#"{"sorted":{"a":1.0,"a":2.5},"hashed":{}}"#);
    agree::<crate::codec::fuzzing::Maps>(br#"{"sorted":{},"hashed":{"\n":null,"x":true}}"#);
}
