//! The JSON-RPC 2.0 envelope (specification sections 4 and 5), decoded without building a `Value`.
//!
//! A request keeps its params and id as the bytes that came in; the method's own decoder reads them later, once, and
//! a forwarder passes them on untouched.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;

use super::RpcError;

/// One request or notification.
#[derive(Debug, Deserialize)]
pub struct Request<'a> {
    /// The version, which must be the string `2.0`.
    pub jsonrpc: Version,
    /// The method's path, such as `greeter/greet`. (A `Cow`, as JSON may write `greeter\/greet`.)
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// The params as they came: an object or an array.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// The id as it came. Absent in a notification; present and `null` is an id (discouraged by the specification).
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<Id<'a>>,
}

impl Request<'_> {
    /// Whether no answer is wanted.
    pub fn is_notification(&self) -> bool {
        self.id.is_none()
    }
}

/// The `jsonrpc` member. Anything but `"2.0"` is refused when it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if text == "2.0" { Ok(Self) } else { Err(D::Error::custom(format_args!("jsonrpc must be \"2.0\", not {text:?}"))) }
    }
}

/// A request's id: a string, a number or null, kept as it came so that it is echoed to the letter.
#[derive(Debug, Clone, Copy)]
pub struct Id<'a>(&'a RawValue);

impl Id<'_> {
    /// The id's JSON.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl Serialize for Id<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9' | b'n') => Ok(Self(raw)),
            _ => Err(D::Error::custom("id must be a string, a number or null")),
        }
    }
}

/// Tells a `null` id from an absent one, which `Option` alone would not.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id<'a>>, D::Error> {
    Id::deserialize(deserializer).map(Some)
}

/// Tells a `null` result from an absent one.
pub(crate) fn present_raw<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'de RawValue>::deserialize(deserializer).map(Some)
}

/// One response, as it is sent. Exactly one of `result` and `error` is written.
#[derive(Debug)]
pub struct Response<'a> {
    /// The id of the request, or `None` (sent as null) where it could not be read.
    pub id: Option<Id<'a>>,
    /// The result's JSON, or the error.
    pub outcome: Result<&'a [u8], &'a RpcError>,
}

impl Response<'_> {
    /// What stands around a result and an id.
    const AROUND: usize = r#"{"jsonrpc":"2.0","result":,"id":}"#.len();
    /// What most errors fit into.
    const ERROR: usize = 160;

    /// The response's JSON. That of a result takes exactly the memory that it needs.
    pub fn to_json(&self) -> Vec<u8> {
        let outcome = self.outcome.map_or(Self::ERROR, <[u8]>::len);
        let id = self.id.as_ref().map_or("null", Id::get).len();
        let mut out = Vec::with_capacity(Self::AROUND + outcome + id);
        self.write(&mut out);
        out
    }

    /// Appends the response's JSON to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"jsonrpc":"2.0","#);
        match self.outcome {
            Ok(result) => {
                out.extend_from_slice(br#""result":"#);
                out.extend_from_slice(result);
            }
            Err(error) => {
                out.extend_from_slice(br#""error":"#);
                write_json(error, out);
            }
        }
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(self.id.as_ref().map_or("null", Id::get).as_bytes());
        out.push(b'}');
    }
}

/// One response, as it is received.
#[derive(Debug, Deserialize)]
pub struct Reply<'a> {
    /// The result's JSON, if the call succeeded. (`null` is a result, too: that of a method which returns nothing.)
    #[serde(borrow, default, deserialize_with = "present_raw")]
    pub result: Option<&'a RawValue>,
    /// The error, if it failed.
    #[serde(default)]
    pub error: Option<RpcError>,
}

/// Writes a request with a number for its id; `params` is JSON already.
pub fn write_request(out: &mut Vec<u8>, id: u64, method: &str, params: &[u8]) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
    write_json(method, out);
    out.extend_from_slice(br#","params":"#);
    out.extend_from_slice(params);
    out.extend_from_slice(br#","id":"#);
    write_json(&id, out);
    out.push(b'}');
}

/// Writes what cannot fail to serialise: strings, numbers, and error objects whose `data` is JSON already.
fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let before = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request<'_>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_keeps_params_and_id_to_the_letter() {
        let request = parse(r#"{"jsonrpc":"2.0","method":"a\/b","params":{"x": 1.0},"id":1e2}"#).unwrap();
        assert_eq!(request.method, "a/b");
        assert_eq!(request.params.unwrap().get(), r#"{"x": 1.0}"#);
        assert_eq!(request.id.unwrap().get(), "1e2");
    }

    #[test]
    fn a_null_id_is_an_id_and_no_id_is_a_notification() {
        assert!(!parse(r#"{"jsonrpc":"2.0","method":"m","id":null}"#).unwrap().is_notification());
        assert!(parse(r#"{"jsonrpc":"2.0","method":"m"}"#).unwrap().is_notification());
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        for (text, why) in [
            (r#"{"jsonrpc":"1.0","method":"m"}"#, "must be \\\"2.0\\\""),
            (r#"{"method":"m"}"#, "missing field `jsonrpc`"),
            (r#"{"jsonrpc":"2.0","method":1}"#, "expected a string"),
            (r#"{"jsonrpc":"2.0","method":"m","id":{}}"#, "id must be"),
            (r#"{"jsonrpc":"2.0","method":"m","method":"n"}"#, "duplicate field `method`"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(&why.replace("\\\"", "\"")), "{text}: {said}");
        }
    }

    #[test]
    fn null_is_a_result_and_the_data_of_an_error_like_any_other() {
        let reply: Reply<'_> = serde_json::from_str(r#"{"jsonrpc":"2.0","result":null,"id":1}"#).unwrap();
        assert_eq!(reply.result.unwrap().get(), "null");
        assert!(serde_json::from_str::<Reply<'_>>(r#"{"jsonrpc":"2.0","id":1}"#).unwrap().result.is_none());
        let text = r#"{"error":{"code":-32000,"message":"full","data":null}}"#;
        let reply: Reply<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(reply.error.unwrap().data.unwrap().get(), "null");
    }

    #[test]
    fn a_response_has_a_result_or_an_error_never_both() {
        let mut out = Vec::new();
        Response { id: None, outcome: Err(&RpcError::new(super::super::ErrorCode::PARSE, "no \"JSON\"")) }.write(&mut out);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"no \"JSON\""},"id":null}"#
        );
        let request = parse(r#"{"jsonrpc":"2.0","method":"m","id":"x"}"#).unwrap();
        out.clear();
        let response = Response { id: request.id, outcome: Ok(b"[1]") };
        response.write(&mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), r#"{"jsonrpc":"2.0","result":[1],"id":"x"}"#);
        let whole = response.to_json();
        assert_eq!((&whole, whole.capacity()), (&out, out.len()));
    }
}
