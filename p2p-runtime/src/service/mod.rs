//! Hosting services: how a node gets its service objects, keeps them, and serves and makes calls.
//!
//! ```text
//! #[service] -> ServiceEntry (inventory) -> ServiceManager: make, initialize -> Registry
//! inbound request -> Dispatcher: access -> Registry -> the object, guarded      (or forwarded)
//! session of a peer -> SessionHost -> Dispatcher
//! proxy -> NodeCaller: Registry (here), Membership (peer) -> the object, or the peer's session
//! ```

mod caller;
mod choice;
mod component;
mod definitions;
mod described;
mod descriptors;
mod dispatch;
mod dynamic;
mod expected;
mod forwarded;
mod health;
mod hosting;
mod loads;
mod manager;
mod program;
mod registry;
mod sessions;
mod versions;

pub use caller::NodeCaller;
pub(crate) use caller::Nowhere;
pub(crate) use component::ServiceComponent;
#[cfg(feature = "testing")]
pub(crate) use component::summaries;
pub use described::DescribedCall;
pub(crate) use descriptors::Descriptors;
pub use dispatch::{Dispatcher, Inbound};
#[cfg(feature = "testing")]
pub(crate) use dispatch::{open, serve};
pub use expected::{ExpectedService, MissingServices, NotHosted, ServiceTable};
pub(crate) use health::HealthBoard;
pub use health::{Health, HealthFuture};
pub use hosting::{
    ConstructorOutcome, DefaultProbe, HealthOutcome, HookFuture, HookOutcome, Hosted, Hosting, Lifecycle, LifecycleProbe, Made,
    ServiceEntry, ViaDefault, ViaLifecycle, ViaNoDefault, ViaNoLifecycle, made_once,
};
pub use manager::ServiceManager;
pub use program::descriptors_of_program;
pub use registry::{Registry, RegistryError, ServiceListing};
pub(crate) use sessions::{AcceptSessions, SessionHost};
