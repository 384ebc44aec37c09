//! JSON-RPC error objects and their codes (JSON-RPC 2.0 specification, section 5.1).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::codec::{
    MAX_DEPTH,
    bounded::{is_too_deep, write_by_serde},
};

/// A JSON-RPC error code. Ours lie in −32000…−32099, the range that the specification leaves to servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ErrorCode(pub i64);

impl ErrorCode {
    /// The body is not JSON.
    pub const PARSE: Self = Self(-32700);
    /// The JSON is no request.
    pub const INVALID_REQUEST: Self = Self(-32600);
    /// There is no such service or method.
    pub const METHOD_NOT_FOUND: Self = Self(-32601);
    /// The params do not fit the method.
    pub const INVALID_PARAMS: Self = Self(-32602);
    /// The method failed.
    pub const INTERNAL: Self = Self(-32603);
    /// The method answered with an error of its own type, which is in `data`.
    pub const SERVICE: Self = Self(-32000);
    /// The caller may not call this.
    pub const DENIED: Self = Self(-32001);
    /// The time given for the call ran out.
    pub const DEADLINE: Self = Self(-32002);
    /// The caller gave the call up.
    pub const CANCELLED: Self = Self(-32003);
    /// No node fits the target.
    pub const NO_ROUTE: Self = Self(-32004);
    /// The host's version of the service does not know what was asked.
    pub const INCOMPATIBLE: Self = Self(-32005);
    /// The node that was to be asked could not be reached, or was lost before it answered.
    pub const TRANSPORT: Self = Self(-32006);
    /// The node is starting or stopping.
    pub const UNAVAILABLE: Self = Self(-32007);
    /// The caller makes more calls than the node takes of one caller. `data` says when to come again: `{"retry_after_ms": 600}`.
    pub const RATE_LIMITED: Self = Self(-32008);

    /// The code's name, as the documents list it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PARSE => "parse_error",
            Self::INVALID_REQUEST => "invalid_request",
            Self::METHOD_NOT_FOUND => "method_not_found",
            Self::INVALID_PARAMS => "invalid_params",
            Self::INTERNAL => "internal",
            Self::SERVICE => "service",
            Self::DENIED => "denied",
            Self::DEADLINE => "deadline",
            Self::CANCELLED => "cancelled",
            Self::NO_ROUTE => "no_route",
            Self::INCOMPATIBLE => "incompatible",
            Self::TRANSPORT => "transport",
            Self::UNAVAILABLE => "unavailable",
            Self::RATE_LIMITED => "rate_limited",
            _ => "unknown",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// The error object of a JSON-RPC response.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RpcError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
    /// More, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub data: Option<Box<RawValue>>,
}

/// Tells `null` data (that of an error type without fields) from none.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl RpcError {
    /// An error without data.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same error with `data`, which is left out should it not serialise; where it is nested too deep, the message says so.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        let mut json = Vec::new();
        match write_by_serde(data, &mut json) {
            Ok(()) => self.data = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok()),
            Err(error) => {
                self.data = None;
                if is_too_deep(&error) {
                    let text = format!(" (its data is nested deeper than {MAX_DEPTH} levels, and is not passed on)");
                    self.message.push_str(&text);
                }
            }
        }
        self
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for RpcError {}

impl From<super::Denied> for RpcError {
    fn from(denied: super::Denied) -> Self {
        Self::new(ErrorCode::DENIED, denied.to_string())
    }
}
