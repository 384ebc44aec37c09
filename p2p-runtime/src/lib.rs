//! The hosting side of P2P Core: the node.
//!
//! ```text
//! node      puts the parts together; enrolment before the first start
//! transport connections in          network   who is in the cluster
//! service   hosting, dispatch       web       the HTTP side
//! cache     what is kept a while    identity  keys, certificates, joining
//! storage   the encrypted store     context   what the parts share
//! ```
//! A node's parts are [components](component); what a service or component is given is the [`Context`](context::Context).

// The attribute writes `::p2p_runtime::…`, here as well.
extern crate self as p2p_runtime;

pub mod cache;
pub mod component;
pub mod config;
pub mod context;
pub mod identity;
pub mod network;
pub mod node;
pub mod persistence;
pub mod service;
mod signals;
pub mod storage;
pub mod testing;
pub mod transport;
pub mod web;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

/// What most programs that host services need.
pub mod prelude {
    pub use p2p_client::{
        call::{Call, CallError, Replies},
        protocol::{Access, CallerId, Capability, Many, NodeId, NodeInfo, NodeStatus, One, Role},
        proxy::Proxy,
        service::{CallContext, Error, Result},
    };

    pub use crate::{
        component::{Component, ComponentState},
        context::Context,
        node::{Node, NodeError},
        service,
        service::Lifecycle,
        service_method,
        storage::Password,
    };
}

pub use p2p_macros::service_method;
/// Makes a service of an `impl Type`, a contract of a `trait`, or a contract's host of an `impl Contract for Type`.
pub use p2p_macros::service_of_runtime as service;
