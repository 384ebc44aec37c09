//! The result of a call to many nodes, for callers outside: `{"worker-1": {"result": …}, "worker-2": {"error": …}}`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::RpcError;

/// What one node answered. The answers of all stand in one object, by the nodes' ids.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeAnswer {
    /// The result's JSON.
    Result(Box<RawValue>),
    /// Why there is none.
    Error(RpcError),
}
