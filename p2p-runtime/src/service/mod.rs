//! Hosting services: how a node gets its service objects, keeps them, and serves and makes calls.
//!
//! ```text
//! #[service] -> ServiceEntry (inventory) -> ServiceManager: make, initialize -> Registry
//! inbound request -> Dispatcher: access -> Registry -> the object, guarded      (or forwarded)
//! session of a peer -> SessionHost -> Dispatcher
//! proxy -> NodeCaller: Registry (here), Membership (peer) -> the object, or the peer's session
//! ```

mod caller;
mod component;
mod dispatch;
mod dynamic;
mod hosting;
mod manager;
mod registry;
mod sessions;

pub use caller::NodeCaller;
pub(crate) use caller::Nowhere;
pub(crate) use component::ServiceComponent;
#[cfg(feature = "testing")]
pub(crate) use component::summaries;
#[cfg(feature = "testing")]
pub(crate) use dispatch::serve;
pub use dispatch::{Dispatcher, Inbound};
pub use hosting::{
    DefaultProbe, HookFuture, Hosted, Hosting, Lifecycle, LifecycleProbe, ServiceEntry, ViaDefault, ViaLifecycle, ViaNoDefault,
    ViaNoLifecycle,
};
pub use manager::ServiceManager;
pub use registry::{Registry, RegistryError, ServiceListing};
pub(crate) use sessions::{AcceptSessions, SessionHost};
