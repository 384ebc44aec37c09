//! From a type under `#[service]` to an object that a node hosts.

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Weak},
};

use p2p_client::{
    protocol::Role,
    service::{Error, HostedService, Result, ServiceSpec},
};

use crate::context::Context;

use super::{
    Health,
    health::{HealthFuture, HealthHook},
};

/// A future of a lifecycle step.
pub type HookFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
type Hook = Box<dyn Fn(Context) -> HookFuture + Send + Sync>;

/// A service object with what the node does as it starts and stops it.
pub struct Hosting {
    pub(crate) service: Arc<dyn HostedService>,
    pub(crate) initialize: Option<Hook>,
    pub(crate) cleanup: Option<Hook>,
    pub(crate) health: Option<HealthHook>,
    /// Whether `initialize` and `cleanup` are those of [`Lifecycle`], which an object has once, however often it is hosted.
    of_object: [bool; 2],
}

impl Hosting {
    /// A service without lifecycle hooks.
    pub fn new(service: Arc<dyn HostedService>) -> Self {
        Self { service, initialize: None, cleanup: None, health: None, of_object: [false; 2] }
    }

    /// The service itself, as a registry keeps it.
    pub fn service(&self) -> &Arc<dyn HostedService> {
        &self.service
    }

    /// Has `hook` run before the service takes calls.
    #[must_use]
    pub fn initialize(mut self, hook: impl Fn(Context) -> HookFuture + Send + Sync + 'static) -> Self {
        self.initialize = Some(Box::new(hook));
        self.of_object[0] = false;
        self
    }

    /// Has `hook` run after the service took its last call.
    #[must_use]
    pub fn cleanup(mut self, hook: impl Fn(Context) -> HookFuture + Send + Sync + 'static) -> Self {
        self.cleanup = Some(Box::new(hook));
        self.of_object[1] = false;
        self
    }

    /// Has `hook` say how well the service is, whenever that is asked.
    #[must_use]
    pub fn health(mut self, hook: impl Fn(Context) -> HealthFuture + Send + Sync + 'static) -> Self {
        self.health = Some(Arc::new(hook));
        self
    }
}

/// An object that a node made of a type under `#[service]`. A type that hosts several contracts is made once.
pub struct Made<T> {
    object: Arc<T>,
    is_first: bool,
}

/// Where a node finds what it made of a type, as long as that is hosted.
struct MadeOf<T>(Weak<T>);

/// The object of a type: what `make` makes, or what it made before.
///
/// # Errors
/// Those of `make`.
pub async fn made_once<T: Send + Sync + 'static>(
    cx: &Context,
    make: impl Future<Output = Result<Option<Arc<T>>>>,
) -> Result<Option<Made<T>>> {
    if let Some(object) = cx.shared::<MadeOf<T>>().and_then(|made| made.0.upgrade()) {
        return Ok(Some(Made { object, is_first: false }));
    }
    let Some(object) = make.await? else { return Ok(None) };
    cx.provide(MadeOf(Arc::downgrade(&object)));
    Ok(Some(Made { object, is_first: true }))
}

impl<T> Made<T> {
    /// The object as a node hosts it. Its [`Lifecycle`] is that of its first hosting.
    pub fn hosted(self, host: fn(Arc<T>) -> Hosting) -> Hosting {
        let mut hosting = host(self.object);
        if !self.is_first && hosting.of_object[0] {
            hosting.initialize = None;
        }
        if !self.is_first && hosting.of_object[1] {
            hosting.cleanup = None;
        }
        hosting
    }
}

/// What can be given to `Node::builder().serve(…)`: a type under `#[service]`. `M` tells contracts on one type apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no service",
    label = "this type is under no #[service]",
    note = "write #[service] on its impl block, with #[service_method] on the methods that callers can reach"
)]
pub trait Hosted<M>: Send + Sync + Sized + 'static {
    /// The service's tables.
    fn spec() -> &'static ServiceSpec;

    /// The object as a node hosts it.
    fn host(self: Arc<Self>) -> Hosting;
}

/// Lifecycle hooks for the host of a contract, whose `impl` block has no room for methods of its own.
///
/// A service of its own can write `async fn initialize(&self)`, `async fn cleanup(&self)` and `async fn health(&self)` into its block instead; what
/// stands there is called in the place of the same of this trait.
pub trait Lifecycle: Send + Sync + 'static {
    /// Runs before the service takes calls.
    fn initialize(&self, cx: &Context) -> impl Future<Output = Result<()>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Runs after the service took its last call.
    fn cleanup(&self, cx: &Context) -> impl Future<Output = Result<()>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Says how well the service is. It is asked every 10 seconds.
    fn health(&self, cx: &Context) -> impl Future<Output = Health> + Send {
        let _ = cx;
        async { Health::healthy() }
    }
}

/// What `initialize` and `cleanup` of a service may return: `Result<()>`, with any error that `?` takes.
#[diagnostic::on_unimplemented(
    message = "a service's `initialize` and `cleanup` cannot return `{Self}`",
    label = "the node has to know whether it went well",
    note = "write `async fn initialize(&self) -> Result<()>`, or with `cx: &Context` after `&self`; or rename it, where the node is not to call it"
)]
pub trait HookOutcome {
    /// What the node is told.
    ///
    /// # Errors
    /// The hook's own.
    fn settled(self) -> Result<()>;
}

impl<E: Into<Error>> HookOutcome for std::result::Result<(), E> {
    fn settled(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

/// What `health` of a service may return: [`Health`].
#[diagnostic::on_unimplemented(
    message = "a service's `health` cannot return `{Self}`",
    label = "not how well a service is",
    note = "write `async fn health(&self) -> Health`, or with `cx: &Context` after `&self`; or rename it, where the node is not to call it"
)]
pub trait HealthOutcome {
    /// What the node is told.
    fn settled(self) -> Health;
}

impl HealthOutcome for Health {
    fn settled(self) -> Health {
        self
    }
}

/// What may make a service `T`: `Result<T>`, with any error that `?` takes.
#[diagnostic::on_unimplemented(
    message = "what makes a service cannot return `{Self}`",
    label = "not the service, or why there is none",
    note = "write `async fn new(cx: &Context) -> Result<Self>`; or rename it, where the node is not to call it, and hand the service to `.serve(…)`"
)]
pub trait ConstructorOutcome<T> {
    /// The service.
    ///
    /// # Errors
    /// The constructor's own.
    fn settled(self) -> Result<T>;
}

impl<T, E: Into<Error>> ConstructorOutcome<T> for std::result::Result<T, E> {
    fn settled(self) -> Result<T> {
        self.map_err(Into::into)
    }
}

type Make = for<'a> fn(&'a Context) -> Pin<Box<dyn Future<Output = Result<Option<Hosting>>> + Send + 'a>>;

/// One service that the program contains: written by `#[service]`, gathered by inventory.
pub struct ServiceEntry {
    /// The module in which it was written.
    pub(crate) module: &'static str,
    pub(crate) spec: fn() -> &'static ServiceSpec,
    /// The roles that host it, beside what its contract says; none means all.
    pub(crate) roles: &'static [Role],
    /// Makes the object; `None` where it has neither `Default` nor a constructor, and has to be handed in.
    pub(crate) make: Make,
}

impl ServiceEntry {
    /// Used by generated code.
    pub const fn new(module: &'static str, spec: fn() -> &'static ServiceSpec, roles: &'static [Role], make: Make) -> Self {
        Self { module, spec, roles, make }
    }

    /// The service's name on the wire.
    pub fn name(&self) -> &'static str {
        &(self.spec)().name
    }

    /// Whether a node of this role hosts it.
    pub(crate) fn is_for(&self, role: Role) -> bool {
        (self.spec)().is_for(role) && (self.roles.is_empty() || self.roles.contains(&role))
    }

    /// The roles that host it.
    pub(crate) fn for_roles(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.is_for(*role)).collect()
    }
}

inventory::collect!(ServiceEntry);

/// Finds out whether a type has `Default`. (Method resolution tries [`ViaDefault`] first, as it needs one borrow less.)
pub struct DefaultProbe<T>(PhantomData<T>);

impl<T> DefaultProbe<T> {
    /// A probe of `T`.
    #[allow(clippy::new_without_default, reason = "generated code calls it by name")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// For types with `Default`.
pub trait ViaDefault<T> {
    /// The default object.
    fn make(&self) -> Option<Arc<T>>;
}

impl<T: Default> ViaDefault<T> for DefaultProbe<T> {
    fn make(&self) -> Option<Arc<T>> {
        Some(Arc::new(T::default()))
    }
}

/// For all others.
pub trait ViaNoDefault<T> {
    /// Nothing.
    fn make(&self) -> Option<Arc<T>>;
}

impl<T> ViaNoDefault<T> for &DefaultProbe<T> {
    fn make(&self) -> Option<Arc<T>> {
        None
    }
}

/// Finds out whether a host has [`Lifecycle`] hooks, in the same way.
pub struct LifecycleProbe<T>(pub Arc<T>);

/// For hosts with [`Lifecycle`].
pub trait ViaLifecycle {
    /// Adds the host's hooks.
    fn hooks(&self, hosting: Hosting) -> Hosting;
}

impl<T: Lifecycle> ViaLifecycle for LifecycleProbe<T> {
    fn hooks(&self, hosting: Hosting) -> Hosting {
        let (starting, stopping, asked) = (self.0.clone(), self.0.clone(), self.0.clone());
        let hosting = hosting
            .initialize(move |cx| {
                let object = starting.clone();
                Box::pin(async move { object.initialize(&cx).await })
            })
            .cleanup(move |cx| {
                let object = stopping.clone();
                Box::pin(async move { object.cleanup(&cx).await })
            })
            .health(move |cx| {
                let object = asked.clone();
                Box::pin(async move { object.health(&cx).await })
            });
        Hosting { of_object: [true; 2], ..hosting }
    }
}

/// For all others.
pub trait ViaNoLifecycle {
    /// Adds nothing.
    fn hooks(&self, hosting: Hosting) -> Hosting;
}

impl<T> ViaNoLifecycle for &LifecycleProbe<T> {
    fn hooks(&self, hosting: Hosting) -> Hosting {
        hosting
    }
}
