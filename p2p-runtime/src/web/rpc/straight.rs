//! Requests in the form that most clients give them, read without a decoder for their members.

use std::borrow::Cow;

use p2p_client::protocol::envelope::{Id, Request, Version};
use serde_json::value::RawValue;

use super::is_structured;

const BEGIN: &str = r#"{"jsonrpc":"2.0","method":""#;
const PARAMS: &str = r#"","params":"#;
const ID: &str = r#","id":"#;

/// Reads `{"jsonrpc":"2.0","method":"…","params":…,"id":1}`: the members of the specification's examples in their order, without white
/// space. `None` says that a text has another form, or is no request.
pub(super) fn request(text: &str) -> Option<Request<'_>> {
    let rest = text.strip_prefix(BEGIN)?.strip_suffix('}')?;
    let end = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
    let (method, rest) = rest.split_at(end);
    let rest = rest.strip_prefix(PARAMS)?;
    let digits = rest.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (params, id) = rest.split_at(rest.len() - digits);
    // What is one value by itself cannot hold the end of this request, wherever else these characters stand.
    let params: &RawValue = serde_json::from_str(params.strip_suffix(ID)?).ok()?;
    let id: Id<'_> = serde_json::from_str(id).ok()?;
    is_structured(params).then_some(Request {
        jsonrpc: Version,
        method: Cow::Borrowed(method),
        params: Some(params),
        id: Some(id),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::fuzzing::agrees, *};

    const REQUESTS: [&str; 6] = [
        r#"{"jsonrpc":"2.0","method":"a/b","params":{"x":[1,"y"]},"id":1}"#,
        r#"{"jsonrpc":"2.0","method":"a/b","params":[],"id":0}"#,
        r#"{"jsonrpc":"2.0","method":"a/b","params": [ 1 ] ,"id":18446744073709551616}"#,
        r#"{"jsonrpc":"2.0","method":"","params":{},"id":7}"#,
        r#"{"jsonrpc":"2.0","method":"größe/m","params":{"id":1,"s":"\",\"id\":2}"},"id":3}"#,
        r#"{"jsonrpc":"2.0","method":"a/b","params":{"jsonrpc":"1.0","method":[]},"id":4}"#,
    ];

    #[test]
    fn the_usual_form_is_read_as_the_decoder_reads_it() {
        for text in REQUESTS {
            assert!(agrees(text), "{text}");
        }
    }

    #[test]
    fn another_form_is_left_to_the_decoder() {
        for text in [
            r#"{"jsonrpc":"2.0","method":"a\/b","params":[],"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":[],"id":01}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":[],"id":"1"}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":[],"id":}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":null,"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":1,"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":[],"id":1,"id":2}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":[],"params":[],"id":2}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":{"x":1,"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":[1}],"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":,"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"a/b","params":[],"id":1} "#,
            r#"{"jsonrpc":"2.0","method":"a/b","id":1}"#,
        ] {
            assert!(request(text).is_none(), "{text}");
        }
    }
}
