//! Mocks: services that answer as a test says, for the tests of code that calls.
//!
//! Every `#[service]` makes one, `MockKv` for `Kv`, in builds with this crate's feature `testing`. Name it among your
//! `[dev-dependencies]`, so that no other build has them: `p2p-client = { version = "…", features = ["testing"] }`.
//!
//! ```
//! use p2p_client::{call::CallError, proxy::Proxy, service, service::Result};
//!
//! #[service]
//! pub trait Kv {
//!     #[service_method(idempotent)]
//!     async fn get(&self, key: &str) -> Result<Option<String>>;
//! }
//!
//! /// The code under test. It takes a `Proxy` and cannot tell a mock from a cluster.
//! async fn colour(proxy: &Proxy) -> String {
//!     match proxy.kv().get("colour").await {
//!         Ok(Some(colour)) => colour,
//!         Ok(None) => "grey".to_owned(),
//!         Err(error) => format!("unknown: {error}"),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let kv = MockKv::new();
//! let proxy = Proxy::mock().with(&kv).proxy();
//!
//! kv.on_get(|_, _| Ok(Some("green".to_owned()))).once();       // the first call
//! kv.on_get(|_, _| async { Err(CallError::Denied("not for you".to_owned())) }); // all others; a future will do, too
//! assert_eq!(colour(&proxy).await, "green");
//! assert_eq!(colour(&proxy).await, "unknown: denied: not for you");
//!
//! assert_eq!(kv.calls().len(), 2);
//! assert_eq!(kv.calls()[0].params(), serde_json::json!({ "key": "colour" }));
//! kv.verify()?; // every `once` and `times` came true, and nothing was asked that had no answer
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! MockKv::on_get -> an expectation of the ServiceMock behind it
//! Proxy::mock().with(&kv).proxy() -> a Proxy over a MockCaller, the seam that nodes implement as well
//! a call -> resolve: which of the mock's nodes -> send: the first expectation that fits -> its answer, as JSON -> the caller's types
//! ```
//! Params and results go through JSON, as they do between nodes. Access is not checked: that is the host's, and tested there.
//!
//! Methods that stream are answered with a stream: `counter.on_count(|_, from| Ok(stream::iter(from..)))`; see [`StreamAnswer`].

mod answer;
mod call;
mod cluster;
mod service_mock;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Answering, Breaking, Later, Now, StreamAnswer, Whole};
pub use call::MockCall;
pub use cluster::MockCluster;
pub use service_mock::{Expectation, ServiceMock, Unmet};
