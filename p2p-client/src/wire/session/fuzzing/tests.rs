use bytes::{BufMut, BytesMut};

use super::*;
use crate::{
    fuzzing::{Numbers, mutate, run},
    wire::session::frame::write_frame,
};

/// What the inputs are made from; another number tries others.
const SEED: u64 = 20_260;
const INPUTS: u64 = 20_000;

/// What a peer may say, with the ids of the calls that are under way.
const MESSAGES: [&str; 22] = [
    r#"{"jsonrpc":"2.0","id":65536,"result":{"a":[1,2,{"b":"}"}]}}"#,
    r#"{"jsonrpc":"2.0","id":131073,"result":null}"#,
    r#"{"jsonrpc":"2.0","id":196610,"error":{"code":-32001,"message":"no","data":{"x":null}}}"#,
    r#"{"jsonrpc":"2.0","id":262147,"result":"done"}"#,
    r#"{"id":65536,"result":[],"jsonrpc":"2.0"}"#,
    r#"{"jsonrpc":"2.0","method":"$/body","params":{"id":131073,"ticket":9,"size":100000}}"#,
    r#"{"jsonrpc":"2.0","method":"$/item","params":{"id":262147,"item":{"n":1}}}"#,
    r#"{"jsonrpc":"2.0","method":"$/item","params":{"id":262147,"item":null}}"#,
    r#"{"jsonrpc":"2.0","method":"$/credit","params":{"id":1,"n":4294967295}}"#,
    r#"{"jsonrpc":"2.0","method":"$/cancel","params":{"id":1}}"#,
    r#"{"jsonrpc":"2.0","method":"$/cancel","params":{"id":3}}"#,
    r#"{"jsonrpc":"2.0","method":"$/goaway","params":{"taken":2,"reason":"bye \u00e9"}}"#,
    r#"{"jsonrpc":"2.0","method":"$/later","params":[1,2]}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"a/b","credit":2,"params":{}}"#,
    r#"{"jsonrpc":"2.0","id":2,"method":"a/b","timeout_ms":5000,"params":{"x":"y\"z"}}"#,
    r#"{"jsonrpc":"2.0","id":3,"method":"a/b","timeout_ms":1,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","params":[1]}"#,
    r#"{"jsonrpc":"2.0","id":4,"method":"a\/b","caller":"anonymous","origin":"node \"x\"","params":{}}"#,
    r#"{"jsonrpc":"2.0","id":5,"method":"a/b","traceparent":"x","origin":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","params":{}}"#,
    r#"{"jsonrpc":"2.0","id":6,"method":"a/b","params":null}"#,
    r#"{"jsonrpc":"2.0","id":7,"method":"a/b"}"#,
    r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"a/b","params":{}}"#,
    "{ \"params\" : { } , \"method\" : \"a/b\",\n\"id\":9, \"extra\": [1], \"jsonrpc\":\"2.0\" }",
];

/// What means something in a message.
const TOKENS: [&str; 14] =
    ["\"", "\\", "{", "}", ",", ":", "null", "-1", "1e9", "0", "99999999999999999999", "\u{7f}", "[", r#","origin":"x""#];

/// The corpus that the fuzzer begins with: every message, in streams that are each cut in two lengths.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let named = [("answers.bin", 0..5), ("notes.bin", 5..13), ("call.bin", 13..21), ("loose.bin", 21..MESSAGES.len())];
    named
        .map(|(name, which)| {
            (name, [&[2, 5, 17][..], &stream(MESSAGES[which].iter().map(|text| text.as_bytes().to_vec()))].concat())
        })
        .into()
}

/// Messages in their frames.
fn stream(messages: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut stream = BytesMut::new();
    messages.for_each(|message| write_frame(&mut stream, |out| out.put_slice(&message)));
    stream.to_vec()
}

/// One input: valid messages, most of them then spoilt, in the message or in the stream.
fn input(numbers: &mut Numbers) -> Vec<u8> {
    let count = numbers.below(10);
    let mut stream = stream((0..=count).map(|_| {
        let mut message = MESSAGES[numbers.below(MESSAGES.len())].as_bytes().to_vec();
        for _ in 0..[0, 0, 1, 3][numbers.below(4)] {
            mutate(&mut message, &TOKENS, numbers);
        }
        message
    }));
    for _ in 0..[0, 0, 0, 2][numbers.below(4)] {
        mutate(&mut stream, &TOKENS, numbers);
    }
    if numbers.below(50) == 0 {
        stream = (0..numbers.below(300)).map(|_| numbers.byte()).collect();
    }
    let cuts = numbers.below(16);
    let head = std::iter::once(u8::try_from(cuts).unwrap()).chain((0..cuts).map(|_| numbers.byte()));
    head.collect::<Vec<_>>().into_iter().chain(stream).collect()
}

#[test]
fn an_end_of_a_session_keeps_its_rules_with_the_corpus_of_the_fuzzer_and_changes_of_it() {
    run("session", 20_000, &TOKENS, corpus, frames);
}

/// Changes of the corpus mostly spoil its frames. Here they are made around what was changed.
#[test]
fn an_end_of_a_session_keeps_its_rules_whatever_comes_in() {
    println!("seed {SEED}");
    let mut numbers = Numbers::new(SEED);
    for number in 0..INPUTS {
        let input = input(&mut numbers);
        let kept = std::panic::catch_unwind(|| frames(&input)).is_ok();
        assert!(kept, "input {number} of seed {SEED}: {}", input.escape_ascii());
    }
}

#[test]
fn the_messages_that_inputs_are_made_from_are_understood() {
    for message in MESSAGES {
        let frame = Bytes::from_static(message.as_bytes());
        assert!(Message::parse(frame.clone()).is_ok(), "{message}");
        agree(&frame);
    }
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn the_comparison_of_meanings_can_fail() {
    let parse = |json: &'static str| Message::parse(Bytes::from_static(json.as_bytes())).unwrap();
    assert_eq!(meaning(&parse(MESSAGES[13])), meaning(&parse(MESSAGES[14])));
}
