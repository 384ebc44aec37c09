//! Hosting services: how a node gets its service objects, keeps them, and serves and makes calls.
//!
//! ```text
//! #[service] -> ServiceEntry (inventory) -> ServiceManager: make, initialize -> Registry
//! inbound request -> Dispatcher: access -> Registry -> the object, guarded      (or forwarded)
//! proxy -> NodeCaller: Registry (here), Membership (peer) -> the object, or the pool
//! ```

mod caller;
mod component;
mod dispatch;
mod dynamic;
mod hosting;
mod manager;
mod registry;

pub use caller::NodeCaller;
pub(crate) use caller::Nowhere;
pub(crate) use component::ServiceComponent;
pub use dispatch::{Dispatcher, Inbound};
pub use hosting::{
    DefaultProbe, HookFuture, Hosted, Hosting, Lifecycle, LifecycleProbe, ServiceEntry, ViaDefault, ViaLifecycle, ViaNoDefault,
    ViaNoLifecycle,
};
pub use manager::ServiceManager;
pub use registry::{Registry, RegistryError, ServiceListing};
