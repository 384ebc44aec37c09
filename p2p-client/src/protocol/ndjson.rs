//! A stream over HTTP as lines of JSON (`application/x-ndjson`): `{"item":…}` for each item, then one line that tells how it ended.
//!
//! The last line is the JSON-RPC response of the call, `{"jsonrpc":"2.0","result":null,"id":1}` or one with an `error`; where there is no
//! JSON-RPC around it, only `{"result":null}` or `{"error":…}`. A body that ends without such a line was cut off.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RpcError, envelope::present_raw};

/// The media type.
pub const NDJSON: &str = "application/x-ndjson";

/// One line.
#[derive(Debug)]
pub enum StreamLine<'a> {
    /// An item's JSON.
    Item(&'a RawValue),
    /// The stream ended well.
    End,
    /// It did not.
    Failed(RpcError),
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present_raw")]
    item: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present_raw")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

impl<'a> StreamLine<'a> {
    /// Reads a line.
    ///
    /// ```
    /// use p2p_client::protocol::StreamLine;
    ///
    /// assert!(matches!(StreamLine::parse(br#"{"item":3}"#), Some(StreamLine::Item(item)) if item.get() == "3"));
    /// assert!(matches!(StreamLine::parse(br#"{"jsonrpc":"2.0","result":null,"id":1}"#), Some(StreamLine::End)));
    /// assert!(StreamLine::parse(br#"{"item":[1,"#).is_none()); // cut off
    /// ```
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        match serde_json::from_slice(line).ok()? {
            Members { item: Some(item), result: None, error: None } => Some(Self::Item(item)),
            Members { item: None, result: Some(_), error: None } => Some(Self::End),
            Members { item: None, result: None, error: Some(error) } => Some(Self::Failed(error)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_item_or_an_end_and_nothing_else() {
        assert!(matches!(StreamLine::parse(br#"{"item":null}"#), Some(StreamLine::Item(item)) if item.get() == "null"));
        assert!(matches!(StreamLine::parse(br#"{"result":null}"#), Some(StreamLine::End)));
        let failed = br#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"no more"},"id":7}"#;
        assert!(matches!(StreamLine::parse(failed), Some(StreamLine::Failed(error)) if error.message == "no more"));
        for none in
            ["", "{}", "3", "{\"item\":", r#"{"item":1,"result":null}"#, r#"{"result":null,"error":{"code":1,"message":""}}"#]
        {
            assert!(StreamLine::parse(none.as_bytes()).is_none(), "{none}");
        }
    }
}
