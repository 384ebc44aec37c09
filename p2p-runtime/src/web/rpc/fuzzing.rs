//! The bodies of `POST /rpc` under fuzzing. `cargo test` runs the same with inputs of its own.

use futures::FutureExt;
use p2p_client::protocol::RpcError;
use serde_json::value::RawValue;

use super::{MAX_BATCH, RpcDispatch, handle, parse_request, straight};

/// Answers a body, whatever it is, by a service that answers each call with its params.
///
/// # Panics
/// When the answer is no JSON, or a request that is read without a decoder is not what a decoder reads.
pub fn rpc_envelope(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        agrees(text);
    }
    let answer = handle(data, &Echo).now_or_never().expect("nothing is waited for");
    let Some(answer) = answer else { return };
    let answer: &RawValue = serde_json::from_slice(&answer).expect("an answer is JSON");
    if answer.get().starts_with('[') {
        let answers: Vec<&RawValue> = serde_json::from_str(answer.get()).expect("the answers of a batch");
        assert!((1..=MAX_BATCH).contains(&answers.len()));
    }
}

/// Whatever is read without a decoder is read so by the decoder, too. Says whether it was.
///
/// # Panics
/// When the two do not agree.
pub(super) fn agrees(text: &str) -> bool {
    let Some(straight) = straight::request(text) else { return false };
    let Ok(decoded) = parse_request(text) else { panic!("the decoder refuses {text}") };
    assert_eq!(straight.method, decoded.method, "{text}");
    assert_eq!(straight.params.map(RawValue::get), decoded.params.map(RawValue::get), "{text}");
    assert_eq!(straight.id.map(|id| id.get().to_owned()), decoded.id.map(|id| id.get().to_owned()), "{text}");
    true
}

/// Answers each call with its params.
struct Echo;

impl RpcDispatch for Echo {
    async fn call<'a>(&'a self, _: &'a str, params: Option<&'a RawValue>) -> Result<Vec<u8>, RpcError> {
        Ok(params.map_or("null", RawValue::get).into())
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::fuzzing::run;

    use super::*;

    #[test]
    fn every_body_is_answered_with_json_and_read_the_same_both_ways() {
        let tokens = [
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "1e9",
            "-0",
            "\u{e9}",
            "\u{feff}",
            r#""id":1"#,
            r#""jsonrpc":"2.0""#,
            r#""method":"a/b""#,
            r#""params":[]"#,
        ];
        run("rpc_envelope", 20_000, &tokens, corpus, rpc_envelope);
    }

    fn corpus() -> Vec<(&'static str, Vec<u8>)> {
        [
            ("usual", r#"{"jsonrpc":"2.0","method":"a/b","params":{"x":[1,"y"]},"id":1}"#),
            ("without_params", r#"{"jsonrpc":"2.0","method":"a/b","id":"x"}"#),
            ("another_order", r#"{ "id":null, "params":["\",\"id\":2}"], "method":"a\/b", "jsonrpc":"2.0" }"#),
            ("notification", r#"{"jsonrpc":"2.0","method":"a/b","params":[]}"#),
            ("batch", r#"[{"jsonrpc":"2.0","method":"a/b","params":[1],"id":1},{"jsonrpc":"2.0","method":"c"},7,{"id":2}]"#),
            ("empty_batch", "[]"),
            ("no_request", r#"{"jsonrpc":"1.0","method":7,"params":8,"id":9}"#),
            ("number", "17"),
        ]
        .map(|(name, text)| (name, text.as_bytes().to_vec()))
        .into()
    }
}
