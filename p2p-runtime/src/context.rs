//! [`Context`]: what components and services are given instead of globals.

use std::{
    any::{Any, TypeId, type_name},
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak},
    time::Duration,
};

use p2p_client::{
    protocol::{NodeId, Role, ServiceDescriptor},
    proxy::{Caller, Proxy},
    service::{CallContext, Error, Metrics, Result},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::AuditLog,
    component::{ComponentError, ComponentStatus, Components, WeakComponents},
    network::Membership,
    secrets::{Keeper, Secrets, SecretsError},
    service::{DescribedCall, Health, HealthBoard, Registry, RegistryError},
};

/// How long one shutdown handler may take.
const HANDLER_TIME: Duration = Duration::from_secs(10);

type ShutdownHandler = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What the parts of one node share: values by type, components by name, the registry, and the way to shut down.
///
/// It is cheap to clone. There is one for each node, and no global one: several nodes live in one process without knowing of each other.
///
/// What a service or component is given knows whose it is, for the [secrets](Self::secrets) that it keeps.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
    /// Whose context it is: `services/NAME`, `components/NAME`.
    owner: Option<Arc<str>>,
}

struct Inner {
    node_id: NodeId,
    role: Role,
    shared: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    registry: Registry,
    /// By service.
    metrics: RwLock<HashMap<Box<str>, Metrics>>,
    health: HealthBoard,
    // Weak, as its components hold this context.
    components: OnceLock<WeakComponents>,
    membership: OnceLock<Membership>,
    // Weak, as the caller itself belongs to the node that holds this context.
    caller: OnceLock<Weak<dyn Caller>>,
    shutdown: CancellationToken,
    shutdown_handlers: Mutex<Vec<ShutdownHandler>>,
    keeper: OnceLock<Keeper>,
    audit: AuditLog,
}

impl Context {
    pub(crate) fn new(node_id: NodeId, role: Role) -> Self {
        let inner = Inner {
            node_id,
            role,
            shared: RwLock::default(),
            registry: Registry::default(),
            metrics: RwLock::default(),
            health: HealthBoard::default(),
            components: OnceLock::new(),
            membership: OnceLock::new(),
            caller: OnceLock::new(),
            shutdown: CancellationToken::new(),
            shutdown_handlers: Mutex::default(),
            keeper: OnceLock::new(),
            audit: AuditLog::default(),
        };
        Self { inner: Arc::new(inner), owner: None }
    }

    /// The same, as that of a service.
    pub(crate) fn of_service(&self, name: &str) -> Self {
        self.owned_by("services", name)
    }

    /// The same, as that of a component.
    pub(crate) fn of_component(&self, name: &str) -> Self {
        self.owned_by("components", name)
    }

    fn owned_by(&self, kind: &str, name: &str) -> Self {
        // A name with a slash must not reach into another's.
        let owner = format!("{kind}/{}", name.replace('/', "%2F"));
        Self { inner: self.inner.clone(), owner: Some(owner.into()) }
    }

    /// Says where secrets are kept.
    pub(crate) fn set_keeper(&self, keeper: Keeper) {
        let _ = self.inner.keeper.set(keeper);
    }

    /// What this service or component keeps in the node's encrypted store, in a namespace of its own: `services/NAME/…` or
    /// `components/NAME/…`.
    ///
    /// # Errors
    /// [`SecretsError::NoOwner`] on a context that was not given to a service or component: the node's own, or that of a call.
    pub fn secrets(&self) -> Result<Secrets, SecretsError> {
        let owner = self.owner.as_deref().ok_or(SecretsError::NoOwner)?;
        let keeper = self.inner.keeper.get().ok_or(SecretsError::Stopped)?;
        Ok(Secrets::new(keeper.clone(), owner))
    }

    /// Where denials and administrative acts are written.
    pub(crate) fn audit(&self) -> &AuditLog {
        &self.inner.audit
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::new("test".parse().unwrap(), Role::Worker)
    }

    /// The node's name.
    pub fn node_id(&self) -> &NodeId {
        &self.inner.node_id
    }

    /// What the node is.
    pub fn role(&self) -> Role {
        self.inner.role
    }

    /// Shares a value with all parts of the node, under its type; an earlier one of the type is replaced and returned.
    pub fn provide<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let mut shared = self.inner.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.insert(TypeId::of::<T>(), Arc::new(value)).and_then(|earlier| earlier.downcast().ok())
    }

    /// The shared value of this type, if a part of the node has provided one.
    pub fn shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let shared = self.inner.shared.read().unwrap_or_else(PoisonError::into_inner);
        shared.get(&TypeId::of::<T>()).cloned().and_then(|value| value.downcast().ok())
    }

    /// The shared value of this type.
    ///
    /// # Errors
    /// When nobody has provided one: the part that does has to be a dependency of the one that asks.
    pub fn require<T: Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        self.shared().ok_or_else(|| {
            Error::msg(format!("no part of the node has provided a {} yet; depend on the component that does", type_name::<T>()))
        })
    }

    /// The methods that this node hosts.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The metrics of a service on this node, by its name on the wire, for what is counted outside of its methods: by `initialize`, or a
    /// task of its own. In a method it is `cx.metrics()`. They stay when the service stops, and are there before it starts.
    ///
    /// ```
    /// use p2p_runtime::prelude::*;
    ///
    /// pub struct Greeter {
    ///     visits: Counter,
    /// }
    ///
    /// #[service]
    /// impl Greeter {
    ///     pub async fn new(cx: &Context) -> Result<Self> {
    ///         Ok(Self { visits: cx.metrics("greeter").counter("visits") })
    ///     }
    ///
    ///     #[service_method(public)]
    ///     pub async fn greet(&self, name: String) -> Result<String> {
    ///         self.visits.add(1);
    ///         Ok(format!("Hello, {name}"))
    ///     }
    /// }
    /// ```
    pub fn metrics(&self, service: &str) -> Metrics {
        let known = self.inner.metrics.read().unwrap_or_else(PoisonError::into_inner).get(service).cloned();
        known.unwrap_or_else(|| {
            let mut metrics = self.inner.metrics.write().unwrap_or_else(PoisonError::into_inner);
            metrics.entry(service.into()).or_default().clone()
        })
    }

    /// What the services with a health check of their own said last, by name.
    pub fn health(&self) -> Arc<BTreeMap<String, Health>> {
        self.inner.health.all()
    }

    pub(crate) fn health_board(&self) -> &HealthBoard {
        &self.inner.health
    }

    /// Hosts a method that exists only at run time: `path` is `service/method`, params are an object that decodes into `P`.
    ///
    /// It is for nodes of this cluster. Registering a path again replaces the method.
    ///
    /// ```
    /// # use p2p_runtime::prelude::*;
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Double {
    ///     number: u32,
    /// }
    /// # fn example(cx: &Context) -> Result<(), p2p_runtime::service::RegistryError> {
    /// cx.register_method("math/double", |_cx, p: Double| async move { Ok(p.number * 2) })
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the path is not `service/method`, or the service is one that was written with `#[service]`.
    pub fn register_method<P, T, F, R>(&self, path: &str, handler: F) -> Result<(), RegistryError>
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        T: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(CallContext, P) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        self.inner.registry.register_method(path, handler)
    }

    /// Hosts a service that exists only at run time and comes with a description of its own: a gateway's, or one that a program of
    /// another kind offers. `handler` serves all its methods. The service can be called by name from everywhere, stands in `/services`
    /// and is announced to the cluster, until it is [unregistered](Self::unregister_service).
    ///
    /// Access, time limits, required params and defaults are kept as the description has them. That values fit their schemas is not
    /// checked: the handler answers with an error where they do not.
    ///
    /// ```
    /// use p2p_runtime::{prelude::*, service::DescribedCall};
    /// use serde_json::{Value, json};
    ///
    /// # fn example(cx: &Context) -> Result<()> {
    /// let described = serde_json::from_value(json!({
    ///     "format": 1,
    ///     "name": "thermometer",
    ///     "version": "1.0.0",
    ///     "methods": [{
    ///         "name": "read",
    ///         "params": [{ "name": "unit", "schema": { "type": "string", "default": "C" }, "required": false }],
    ///         "result": { "type": "number" },
    ///         "access": "public",
    ///     }],
    /// }))?;
    /// cx.register_service(described, |_cx, call: DescribedCall| async move {
    ///     Ok(if call.params["unit"] == "F" { 70.7 } else { 21.5 })
    /// })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the description cannot be used, or there is a service of its name; the text says what to change.
    pub fn register_service<T, F, R>(&self, descriptor: ServiceDescriptor, handler: F) -> Result<(), RegistryError>
    where
        T: Serialize + Send + 'static,
        F: Fn(CallContext, DescribedCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        self.inner.registry.register_service(descriptor, handler)
    }

    /// Takes away a service that was registered at run time, by [`register_service`](Self::register_service) or method by method. The
    /// cluster is told; calls that run end as they would.
    ///
    /// # Errors
    /// When nothing of this name was registered at run time; the error lists what was.
    pub fn unregister_service(&self, service: &str) -> Result<(), RegistryError> {
        self.inner.registry.unregister_service(service)
    }

    /// Where calls begin. Those of a context that outlives its node fail with `NoRoute`.
    pub fn proxy(&self) -> Proxy {
        Proxy::new(self.caller())
    }

    pub(crate) fn caller(&self) -> Arc<dyn Caller> {
        let caller = self.inner.caller.get().and_then(Weak::upgrade);
        caller.unwrap_or_else(|| Arc::new(crate::service::Nowhere::new(self.node_id().clone(), self.role())))
    }

    pub(crate) fn set_caller(&self, caller: &Arc<dyn Caller>) {
        let _ = self.inner.caller.set(Arc::downgrade(caller));
    }

    /// Who is in the cluster. There once the component `network` runs.
    pub fn membership(&self) -> Option<&Membership> {
        self.inner.membership.get()
    }

    pub(crate) fn set_membership(&self, membership: Membership) {
        let _ = self.inner.membership.set(membership);
    }

    pub(crate) fn set_components(&self, components: &Components) {
        let _ = self.inner.components.set(components.downgrade());
    }

    pub(crate) fn all_components(&self) -> Option<Components> {
        self.inner.components.get().and_then(WeakComponents::upgrade)
    }

    /// The node's components, in the order in which they started.
    pub fn components(&self) -> Vec<ComponentStatus> {
        self.all_components().as_ref().map(Components::list).unwrap_or_default()
    }

    /// What is known of a component, if there is one of this name.
    pub fn component(&self, name: &str) -> Option<ComponentStatus> {
        self.require_component(name).ok()
    }

    /// What is known of a component.
    ///
    /// # Errors
    /// When there is none of this name; the error lists those that there are.
    pub fn require_component(&self, name: &str) -> Result<ComponentStatus, ComponentError> {
        match self.all_components() {
            Some(components) => components.get(name),
            None => Err(ComponentError::Unknown { name: name.to_owned(), known: "none yet".to_owned() }),
        }
    }

    /// Has `handler` run as the node shuts down, before its components stop; the last added runs first. It has 10 seconds.
    pub fn add_shutdown_handler<F, R>(&self, handler: F)
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let mut handlers = self.inner.shutdown_handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.push(Box::new(move || Box::pin(handler())));
    }

    /// Runs the handlers, also those that are added meanwhile. One that hangs or panics does not keep the node from stopping.
    pub(crate) async fn run_shutdown_handlers(&self) {
        let next = || self.inner.shutdown_handlers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(handler) = next() {
            // A task of its own, so that a panic is its own.
            match tokio::time::timeout(HANDLER_TIME, tokio::spawn(async move { handler().await })).await {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => tracing::error!(%panic, "a shutdown handler panicked"),
                Err(_) => {
                    tracing::error!("a shutdown handler took longer than {} s; going on without it", HANDLER_TIME.as_secs());
                }
            }
        }
    }

    /// Asks the node to shut down.
    pub fn shut_down(&self) {
        self.inner.shutdown.cancel();
    }

    /// Is cancelled when somebody asks the node to shut down.
    pub(crate) fn shutdown_token(&self) -> CancellationToken {
        self.inner.shutdown.clone()
    }

    /// Waits until somebody asks the node to shut down.
    pub async fn wait_for_shutdown(&self) {
        self.inner.shutdown.cancelled().await;
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, {})", self.inner.node_id, self.inner.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shared_by_type() {
        let cx = Context::for_tests();
        assert_eq!(cx.provide(7_u32), None);
        cx.provide("seven");
        assert_eq!(cx.shared::<u32>().as_deref(), Some(&7));
        assert_eq!(cx.shared::<&str>().as_deref(), Some(&"seven"));
        assert!(cx.require::<u64>().unwrap_err().to_string().contains("no part of the node has provided a u64"));
        assert_eq!(cx.provide(8_u32).as_deref(), Some(&7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_handler_that_hangs_or_panics_does_not_keep_the_others_from_running() {
        let cx = Context::for_tests();
        let (told, hears) = tokio::sync::oneshot::channel();
        cx.add_shutdown_handler(move || async move { assert_eq!(told.send(()), Ok(())) });
        cx.add_shutdown_handler(|| async { panic!("expected by this test") });
        cx.add_shutdown_handler(std::future::pending);
        cx.run_shutdown_handlers().await;
        assert_eq!(hears.await, Ok(()));
    }

    #[tokio::test]
    async fn secrets_belong_to_the_service_or_component_that_the_context_was_given_to() {
        let cx = Context::for_tests();
        cx.set_keeper(Keeper::Memory(Arc::default()));
        let error = cx.secrets().unwrap_err();
        assert!(error.to_string().contains("`new`, `initialize` or `start`"), "{error}");
        let service = cx.of_service("mail").secrets().unwrap();
        let component = cx.of_component("mail").secrets().unwrap();
        let sly = cx.of_component("x/../mail").secrets().unwrap();
        service.put("a", "service").await.unwrap();
        component.put("a", "component").await.unwrap();
        assert_eq!(service.get("a").unwrap().unwrap().expose(), b"service");
        assert_eq!(component.get("a").unwrap().unwrap().expose(), b"component");
        assert!(sly.get("a").unwrap().is_none());
    }

    #[tokio::test]
    async fn shutdown_handlers_run_last_added_first() {
        let cx = Context::for_tests();
        let log = Arc::new(Mutex::new(Vec::new()));
        for number in [1, 2] {
            let log = log.clone();
            cx.add_shutdown_handler(move || async move { log.lock().unwrap().push(number) });
        }
        cx.shut_down();
        cx.wait_for_shutdown().await;
        cx.run_shutdown_handlers().await;
        assert_eq!(*log.lock().unwrap(), [2, 1]);
    }
}
