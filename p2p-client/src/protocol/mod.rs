//! What nodes and callers say to each other: identifiers, targets, the JSON-RPC envelope, error codes, descriptions.
//!
//! Nothing here does IO. Every type that crosses the wire or stands in a file is defined in this module, so that the
//! calling side and the hosting side cannot disagree about it.

mod access;
pub mod compatibility;
mod descriptor;
pub mod envelope;
mod error;
mod fan_out;
pub mod headers;
mod id;
mod ndjson;
mod node_info;
mod role;
mod scopes;
mod shape;
mod target;

pub(crate) use access::same;
pub use access::{Access, CallerId, ClientIdentity, Denied};
pub use descriptor::{Fingerprint, MethodDescriptor, ParamDescriptor, ServiceDescriptor};
pub use error::{ErrorCode, RpcError};
pub use fan_out::NodeAnswer;
pub use id::{ClusterId, InvalidId, NodeId};
pub use ndjson::{NDJSON, StreamLine};
pub use node_info::{NodeInfo, NodeStatus, ServiceHealth, ServiceSummary, UnixMillis};
pub use role::{Capability, InvalidCapability, Role, UnknownRole};
pub use scopes::{InvalidScope, Scopes};
pub use shape::definition_name;
pub use target::{Candidate, Many, One, ParseTargetError, Target};
