//! The hosting side of P2P Core: the node.
//!
//! ```text
//! node      puts the parts together; enrolment before the first start
//! transport connections in          network   who is in the cluster
//! service   hosting, dispatch       web       the HTTP side
//! cache     what is kept a while    identity  keys, certificates, joining
//! storage   the encrypted store     context   what the parts share
//! secrets   what services keep in the store   audit     who was refused what
//! config    what an operator can set          limits    how many calls of whom
//! ```
//! A node's parts are [components](component); what a service or component is given is the [`Context`](context::Context).

// The attribute writes `::p2p_runtime::…`, here as well.
extern crate self as p2p_runtime;

pub mod audit;
pub mod cache;
mod checks;
pub mod component;
pub mod config;
pub mod context;
mod dates;
#[cfg(test)]
mod debug_of_secrets;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing {
    //! What fuzz targets run, which the tests run as well.

    pub use crate::{
        identity::{
            client_token::fuzzing::client_token,
            fuzzing::{csr, join_message, join_token},
        },
        network::fuzzing::{gossip_frame, revocations},
        storage::fuzzing::{store_header, store_record},
        web::rpc::fuzzing::rpc_envelope,
    };
}
pub mod identity;
pub mod limits;
pub mod network;
pub mod node;
mod once_a_minute;
pub mod persistence;
pub mod secrets;
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
        call::{Call, CallError, FailedCall, Replies, Streaming},
        protocol::{Access, CallerId, Capability, ClientIdentity, Many, NodeId, NodeInfo, NodeStatus, One, Role},
        proxy::Proxy,
        service::{Blob, CallContext, Counter, Error, Gauge, Metrics, Result, Timer},
    };
    // What a method that streams is written with, and what its callers take items by.
    pub use futures::{Stream, StreamExt};

    pub use crate::{
        FromCallError, Message,
        component::{Component, ComponentState},
        context::Context,
        node::{Node, NodeError},
        secrets::Secrets,
        service,
        service::{Health, Lifecycle},
        service_method,
        storage::Password,
    };
}

pub use p2p_client::codec::Message;
/// The derive [`p2p_client::FromCallError`](macro@p2p_client::FromCallError), for programs that depend on this crate.
pub use p2p_macros::FromCallErrorOfRuntime as FromCallError;
/// Makes a type a [`p2p_client::codec::Message`]: JSON by code of its own, for params and results.
pub use p2p_macros::MessageOfRuntime as Message;
/// Marks a method of a service that can be called from other nodes: `async fn` with `&self`, returning `Result<T>` or `Result<T, E>`; or
/// `Result<impl Stream<Item = T>>`, which [streams](p2p_client::call::Streaming).
///
/// | word | meaning |
/// |---|---|
/// | (none), `nodes` | for nodes of this cluster and operators |
/// | `public` | also for every client with a token |
/// | `scope = "…"` | also for clients whose token has the scope |
/// | `role = "coordinator"` | for nodes of that role only |
/// | `anonymous` | for anyone |
/// | `idempotent` | may be sent again when an answer was lost |
/// | `read_only` | changes nothing; idempotent, too |
/// | `timeout = "2s"` | its time limit (`ms`, `s`, `m`, `h`), of a stream for its opening; 30 seconds where neither it nor the caller says |
/// | `detached` | runs on when its caller goes away, which [`cancelled`](p2p_client::service::CallContext::cancelled) tells it |
/// | `track_metrics = false` | is not counted |
/// | `rename = "…"` | its name on the wire |
///
/// Parameters are named on the wire as they are here. `Option<T>` may be left out; `#[arg(default = 10)]` gives a default,
/// `#[arg(rename = "…")]` another name. `&str`, `&[T]` and `&T` are lent to the method and need not be cloned by callers.
/// `cx: &CallContext` is no parameter: it tells who calls, how much time is left, and when nobody waits any more.
pub use p2p_macros::service_method;
/// Makes a service of an `impl` block: what stands in it under [`service_method`](macro@service_method) can be called from other nodes.
///
/// ```
/// use p2p_runtime::prelude::*;
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// pub struct Greeting {
///     text: String,
/// }
///
/// /// Greets people. (Doc comments become descriptions in the schemas.)
/// #[derive(Default)]
/// pub struct Greeter;
///
/// #[service(version = "1.0.0")]
/// impl Greeter {
///     /// Says hello.
///     #[service_method(public, idempotent, timeout = "2s")]
///     pub async fn greet(&self, cx: &CallContext, name: String) -> Result<Greeting> {
///         Ok(Greeting { text: format!("Hello, {name}, from {}", cx.node()) })
///     }
/// }
///
/// # async fn example(node: Node) -> Result<()> {
/// let proxy = node.proxy();
/// let greeting = proxy.greeter().greet("Ada").await?; // here if hosted here, else the best peer
/// let greeting = proxy.greeter().on("worker-123").greet("Ada").await?;
/// let greetings = proxy.greeter().on_all(Role::Worker).greet("Ada").await.all_ok()?;
/// # Ok(()) }
/// ```
///
/// # Where it stands
/// | on | makes |
/// |---|---|
/// | `impl Greeter` | a service: proxy, tables, and hosting |
/// | `trait Kv` | a contract: proxy and tables, for crates that know no host |
/// | `impl Kv for MemoryKv` | a host of that contract |
///
/// The methods of a host are what the contract says of them. A host can let fewer in, by an access word on its method, and never more, which does
/// not compile. Its own tables and description say so, wherever they are read.
///
/// ```
/// use p2p_runtime::prelude::*;
///
/// #[service]
/// pub trait Kv {
///     #[service_method(public, read_only)]
///     async fn get(&self, key: &str) -> Result<Option<String>>;
/// }
///
/// /// Keeps what is nobody's business outside of the cluster.
/// #[derive(Default)]
/// pub struct Secrets;
///
/// #[service]
/// impl Kv for Secrets {
///     #[service_method(nodes)]
///     async fn get(&self, key: &str) -> Result<Option<String>> {
///         Ok(None)
///     }
/// }
/// ```
///
/// Of a host that is generic the compiler finds that out where it is handed to a node:
///
/// ```compile_fail
/// # use p2p_runtime::prelude::*;
/// #[service]
/// pub trait Kv {
///     #[service_method(public)]
///     async fn size(&self) -> Result<usize>;
/// }
///
/// pub struct Kept<T>(Vec<T>);
///
/// #[service]
/// impl<T: Send + Sync + 'static> Kv for Kept<T> {
///     #[service_method(anonymous)] // that is more than `public`
///     async fn size(&self) -> Result<usize> {
///         Ok(self.0.len())
///     }
/// }
///
/// Node::builder().serve(Kept(vec![1]));
/// ```
///
/// # What it takes
/// | word | meaning | unless said |
/// |---|---|---|
/// | `name = "…"` | the name on the wire | the type's, in snake case |
/// | `version = "…"` | semantic version | the crate's |
/// | `description = "…"` | description | the doc comment |
/// | `roles = [coordinator, worker]` | which nodes host it | all |
/// | `init = path` | an `async fn(&Context) -> Result<Self>` that makes it | `Self::new`, if it is one, else `Default` |
/// | `proxy = "…"`, `accessor = "…"`, `mock = "…"` | names of generated items | `GreeterProxy`, `greeter`, `MockGreeter` |
/// | `host = "MemoryAsKv"` | on `impl Kv for Memory`: a type by which that hosting is named, as in `.serve::<_, MemoryAsKv>(memory)`, where a type hosts several contracts | |
/// | `crate = "…"` | where this crate is | `::p2p_runtime` |
///
/// # How a service is made
/// By `async fn new(cx: &Context) -> Result<Self>` if the block has one, else by `Default`, else not at all: then it has to be
/// handed to [`serve`](node::NodeBuilder::serve). (A `new` that takes anything else is the type's own affair.) A type that hosts several contracts is made
/// once. `async fn initialize(&self)` runs before it takes calls, `async fn cleanup(&self)`
/// after the last one. `async fn health(&self) -> Health` says how well it is, every 10 seconds ([`Health`](service::Health)). All three
/// may take `cx: &Context`. The host of a contract has the trait [`Lifecycle`](service::Lifecycle) for that; a service of its own can have it, too.
///
/// # What is counted
/// Calls, errors and times of each method, without a word. `cx.metrics()` has counters, gauges and timers of the service's own
/// ([`Metrics`](p2p_client::service::Metrics)).
pub use p2p_macros::service_of_runtime as service;
