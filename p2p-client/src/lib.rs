//! The calling side of P2P Core.
//!
//! A program that only calls services depends on this crate (and on the crates that hold its contracts); it never compiles a node.
//! A node uses the same parts for its outgoing calls.
//!
//! - [`protocol`]: what is said: identifiers, targets, JSON-RPC, descriptions.
//! - [`mod@service`]: what a service is; [`contracts`]: those of the built-in services.
//! - [`client`]: the entry for programs outside of the cluster.
//! - [`proxy`]: where calls begin, and the one seam below; [`call`]: calls as values.
//! - [`codec`]: the JSON of params and results, by code made for their types.
//! - [`json_rpc`]: calls to foreign JSON-RPC servers.
//! - [`revocation`]: nodes, keys and tokens that were taken back.
//! - [`audit`]: the form of the audit log's lines.
//! - `testing`, with the feature of that name: mocks, for the tests of code that calls.

// The attribute writes `::p2p_client::…`, here as well.
extern crate self as p2p_client;

pub mod audit;
pub mod call;
pub mod client;
pub mod codec;
pub mod contracts;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hex;
pub mod json_rpc;
pub mod protocol;
pub mod proxy;
pub mod revocation;
pub mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wire;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

// Around the mocks that `#[service]` writes. The feature tested here is this crate's, where `cfg` in what the attribute writes would
// test one of the crate that it writes into; and where it is off, mocks cost their tokens and nothing more.
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __mocks {
    ($($mocks:tt)*) => { $($mocks)* };
}
#[cfg(not(any(test, feature = "testing")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __mocks {
    ($($mocks:tt)*) => {};
}

pub use self::codec::Message;
/// Makes an own error enum of a failed call, so that `?` takes the error of a call that a method makes in turn.
///
/// The variant under `#[from_call]` is what every [`CallError`](call::CallError) becomes, of whatever service. It holds a
/// [`FailedCall`](call::FailedCall) (its code and its sentence, which names the method), a `String` (its sentence), a type of your own with
/// `From<FailedCall>`, or nothing. What is to become another variant is matched before the `?`.
///
/// ```
/// use p2p_client::{
///     FromCallError,
///     call::{CallError, FailedCall},
///     proxy::Proxy,
///     service,
/// };
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Keeps how many there are of each item.
/// #[service]
/// pub trait Stock {
///     /// Takes one.
///     async fn take(&self, item: &str) -> p2p_client::service::Result<u64>;
/// }
///
/// /// Why nothing was ordered.
/// #[derive(Debug, Serialize, Deserialize, JsonSchema, FromCallError)]
/// pub enum OrderError {
///     /// There is nothing in the basket.
///     Empty,
///     /// Another service failed.
///     #[from_call]
///     Failed(FailedCall),
/// }
///
/// /// What a method does that returns `Result<u64, OrderError>`.
/// async fn order(proxy: &Proxy, items: &[String]) -> Result<u64, OrderError> {
///     let item = items.first().ok_or(OrderError::Empty)?;
///     Ok(proxy.stock().take(item).await?)
/// }
///
/// let failed: CallError = CallError::Internal("stock/take: the disk is full".into());
/// match OrderError::from(failed) {
///     OrderError::Failed(failed) => assert_eq!(failed.message, "stock/take: the disk is full"),
///     OrderError::Empty => unreachable!(),
/// }
/// ```
pub use p2p_macros::FromCallErrorOfClient as FromCallError;
/// Makes a type a [`codec::Message`].
pub use p2p_macros::MessageOfClient as Message;
pub use p2p_macros::service_method;
/// Makes a `trait` a contract: a proxy to call it by, and the tables that its hosts and its documents are made from.
///
/// ```
/// use p2p_client::{proxy::Proxy, service, service::Result};
///
/// /// Keeps values under keys.
/// #[service(version = "1.2.0")]
/// pub trait Kv {
///     /// The value under a key, if there is one.
///     #[service_method(public, read_only)]
///     async fn get(&self, key: &str) -> Result<Option<String>>;
///
///     /// Sets a value.
///     #[service_method(public, idempotent)]
///     async fn put(&self, key: String, value: String) -> Result<()>;
/// }
///
/// # async fn example(proxy: Proxy) -> Result<()> {
/// proxy.kv().put("colour", "green").await?;
/// assert_eq!(proxy.kv().get("colour").await?.as_deref(), Some("green"));
/// # Ok(()) }
/// ```
///
/// Every method of the trait is served. Access, timeouts and names stand here; a host writes bodies:
/// `#[service] impl Kv for MemoryKv { … }`, with the attribute of `p2p_runtime` or `p2p_services`. All that it may say of a method is who can
/// call it there, where these are fewer: `#[service_method(nodes)]`.
///
/// With this crate's feature `testing` there is a mock of it as well, `MockKv`: see `p2p_client::testing`.
pub use p2p_macros::service_of_client as service;
