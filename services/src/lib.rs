//! The services that every P2P Core node can host, and the `p2p` command.
//!
//! A program that depends on this crate hosts them on its nodes, beside its own services, and is by [`cli::run`] a full node and its
//! own command line.

// The attribute writes `::p2p_services::…`, here as well.
extern crate self as p2p_services;

pub mod cli;
pub mod system;

/// What tests of programs that depend on this crate need: `p2p_runtime::testing`, and mocks of the built-in services.
#[cfg(feature = "testing")]
pub mod testing {
    pub use p2p_client::contracts::system::MockSystem;
    pub use p2p_runtime::testing::*;
}

#[doc(hidden)]
pub use p2p_runtime::__private;

/// What most programs need: the runtime's prelude, and the built-in services' proxies and types.
pub mod prelude {
    pub use p2p_client::contracts::system::{DiskInfo, System, SystemInfo, SystemMetrics, SystemProxy, SystemProxyExt};
    // Not the runtime's `service`, which would write the runtime's path.
    pub use p2p_runtime::prelude::{
        Access, Blob, Call, CallContext, CallError, CallerId, Capability, Component, ComponentState, Context, Counter, Error,
        FailedCall, Gauge, Health, Lifecycle, Many, Metrics, Node, NodeError, NodeId, NodeInfo, NodeStatus, One, Password, Proxy,
        Replies, Result, Role, Stream, StreamExt, Streaming, Timer,
    };

    pub use crate::{FromCallError, Message, service, service_method};
}

pub use p2p_client::codec::Message;
/// The derive [`p2p_client::FromCallError`](macro@p2p_client::FromCallError), for programs that depend on this crate.
pub use p2p_macros::FromCallErrorOfServices as FromCallError;
/// Makes a type a [`p2p_client::codec::Message`]: JSON by code of its own, for params and results.
pub use p2p_macros::MessageOfServices as Message;
pub use p2p_macros::service_method;
/// The attribute [`p2p_runtime::service`](macro@p2p_runtime::service), for programs that depend on this crate.
pub use p2p_macros::service_of_services as service;
pub use p2p_runtime::register_services;
