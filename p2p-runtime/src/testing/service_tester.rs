//! [`ServiceTester`]: one service by itself, with all that a node does for it and no node around it.
//!
//! ```text
//! ServiceTester -> ServiceManager: initialize -> Registry                                  (as on a node)
//! proxy()     -> Alone: the object itself, or what the test put beside the service
//! proxy_as(…) -> Outside: access, deadline, params from JSON, as the dispatcher has it     (as from another node)
//! ```

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use p2p_client::{
    call::{Failure, Head, Opened, Opening, Sending},
    protocol::{
        CallerId, Candidate, Fingerprint, Many, NodeId, One, Role, ServiceHealth, ServiceSummary, Target, compatibility::Fit,
    },
    proxy::{Caller, Leg, Peer, Proxy, Route},
    service::{Error, MethodSnapshot, MethodStats, Metrics, Params, Result},
};
use tokio::time::Instant;

use crate::{
    context::Context,
    secrets::Keeper,
    service::{Hosted, Hosting, Inbound, ServiceManager, open, serve, summaries},
};

/// Tests one service without a node: says what is around it, and starts it.
///
/// Its `initialize` runs, calls are checked, counted and kept to their deadlines as on a node, and `stop` runs its `cleanup`.
///
/// ```
/// use p2p_runtime::{prelude::*, testing::ServiceTester};
///
/// /// Counts.
/// #[derive(Default)]
/// pub struct Counter;
///
/// #[service]
/// impl Counter {
///     /// For nodes and operators, as nothing else is said.
///     #[service_method]
///     pub async fn double(&self, number: u32) -> Result<u32> {
///         number.checked_mul(2).ok_or_else(|| Error::msg("too large"))
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<()> {
/// let tested = ServiceTester::new(Counter).start().await?;
/// assert_eq!(tested.proxy().counter().double(21).await?, 42);
/// assert!(tested.proxy().counter().double(u32::MAX).await.is_err());
///
/// let by_name = tested.proxy().call("counter/double", serde_json::json!({ "number": 4 })).await?;
/// assert_eq!(by_name.get(), "8");
///
/// let stranger = tested.proxy_as(CallerId::Anonymous);
/// assert!(matches!(stranger.counter().double(1).await, Err(CallError::Denied(_))));
///
/// let counted = tested.metrics("double")?;
/// assert_eq!((counted.calls, counted.errors), (3, 1)); // who was denied is not counted: it was no call
/// tested.stop().await
/// # }
/// ```
#[must_use = "a service does nothing until it is started"]
pub struct ServiceTester<T> {
    service: Arc<T>,
    hosting: Hosting,
    role: Role,
    beside: Option<Proxy>,
}

impl<T> ServiceTester<T> {
    /// Tests this service: its own type, or the host of a contract.
    pub fn new<M>(service: T) -> Self
    where
        T: Hosted<M>,
    {
        let service = Arc::new(service);
        Self { hosting: service.clone().host(), service, role: Role::Worker, beside: None }
    }

    /// Sends the calls that the service makes to others (`cx.proxy()`) through this proxy: one with mocks, say. Without it, they find nobody.
    pub fn calling(mut self, others: Proxy) -> Self {
        self.beside = Some(others);
        self
    }

    /// The role of the node that the service believes it is on; a worker unless said.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Starts the service.
    ///
    /// # Errors
    /// When its `initialize` fails.
    pub async fn start(self) -> Result<TestedService<T>> {
        let cx = Context::new("tested".parse()?, self.role);
        let identity = CallerId::Node { id: cx.node_id().clone(), role: self.role };
        let alone = Arc::new(Alone { cx: cx.clone(), identity, beside: self.beside.map(|proxy| proxy.caller().clone()) });
        cx.set_caller(&(alone.clone() as Arc<dyn Caller>));
        cx.set_keeper(Keeper::Memory(Arc::default()));
        let name = self.hosting.service().spec().name.to_string();
        let manager = ServiceManager::new(vec![self.hosting], false);
        manager.start(&cx).await?;
        Ok(TestedService { service: self.service, name, cx, manager, alone })
    }
}

impl<T> fmt::Debug for ServiceTester<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTester").field("service", &self.hosting.service().spec().name).finish_non_exhaustive()
    }
}

/// A service that runs by itself: see [`ServiceTester`].
pub struct TestedService<T> {
    service: Arc<T>,
    name: String,
    cx: Context,
    manager: ServiceManager,
    alone: Arc<Alone>,
}

impl<T> TestedService<T> {
    /// The service object.
    pub fn service(&self) -> &T {
        &self.service
    }

    /// The context that the service is given: what it `require`s can be provided here, unless its `initialize` wants it.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// Calls the service as its own node does: with Rust values, on the object itself.
    pub fn proxy(&self) -> Proxy {
        Proxy::new(self.alone.clone())
    }

    /// Calls the service as this caller, by JSON, as calls come in from elsewhere: access is checked, and `cx.caller()` is the caller.
    pub fn proxy_as(&self, caller: CallerId) -> Proxy {
        Proxy::new(Arc::new(Outside { alone: self.alone.clone(), caller }))
    }

    /// What was counted of a method: calls, errors, time.
    ///
    /// # Errors
    /// When the service has no such method; the error lists those that it has.
    pub fn metrics(&self, method: &str) -> Result<MethodSnapshot> {
        let (hosted, spec) = self.cx.registry().find(&self.name, method)?;
        Ok(hosted.stats(spec.index).map(MethodStats::snapshot).unwrap_or_default())
    }

    /// What the cluster would be told of the service: version, fingerprint, health. Its health check is asked for that.
    ///
    /// # Errors
    /// When it is not hosted any more.
    pub async fn announced(&self) -> Result<ServiceSummary> {
        self.manager.check_health(&self.cx).await;
        summaries(self.cx.registry(), &self.cx.health())
            .remove(&self.name)
            .ok_or_else(|| Error::msg(format!("service {:?} is not hosted any more", self.name)))
    }

    /// Whether the service can take calls, as the cluster would be told.
    ///
    /// # Errors
    /// When it is not hosted any more.
    pub async fn health(&self) -> Result<ServiceHealth> {
        Ok(self.announced().await?.health)
    }

    /// Stops the service in good order.
    ///
    /// # Errors
    /// When its `cleanup` fails.
    pub async fn stop(self) -> Result<()> {
        self.cx.shut_down();
        self.cx.run_shutdown_handlers().await;
        self.manager.stop(&self.cx).await
    }
}

impl<T> fmt::Debug for TestedService<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestedService").field("service", &self.name).finish_non_exhaustive()
    }
}

/// What stands below the service's own proxies: the service, and what the test put beside it.
struct Alone {
    cx: Context,
    identity: CallerId,
    beside: Option<Arc<dyn Caller>>,
}

impl Alone {
    /// The service, if it is meant.
    fn here(&self, head: &Head, target: &One) -> Option<Route> {
        let is_me = target.fits(self.as_candidate());
        let hosted = self.cx.registry().get(head.method.service()).filter(|_| is_me)?;
        (!head.tried.contains(self.cx.node_id())).then_some(Route::Here(hosted))
    }

    fn here_of_many(&self, head: &Head, target: &Many) -> Option<Leg> {
        let me = self.cx.node_id();
        let route = self.here(head, &One::Any).filter(|_| target.fits(self.as_candidate(), me))?;
        Some(Leg { node_id: me.clone(), route: Ok(route) })
    }

    fn as_candidate(&self) -> Candidate<'_> {
        Candidate { node_id: self.cx.node_id(), role: self.cx.role(), capabilities: &[] }
    }

    /// The caller of everything else.
    fn beside(&self, head: &Head) -> Result<&Arc<dyn Caller>, Failure> {
        self.beside.as_ref().ok_or_else(|| {
            let text = format!(
                "{} to {} leaves the service, which is tested alone; give it a mock: \
                 ServiceTester::new(…).calling(Proxy::mock().with(&mock).proxy())",
                head.method.path(),
                head.target
            );
            Failure::NoRoute(text)
        })
    }
}

impl Caller for Alone {
    fn node_id(&self) -> &NodeId {
        self.cx.node_id()
    }

    fn identity(&self) -> &CallerId {
        &self.identity
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        let here = match &head.target {
            Target::One(one) => self.here(head, one),
            Target::Many(_) => None,
        };
        here.map_or_else(|| self.beside(head)?.resolve(head), Ok)
    }

    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure> {
        let here = match &head.target {
            Target::Many(many) => self.here_of_many(head, many),
            Target::One(one) => self.here(head, one).map(|route| Leg { node_id: self.cx.node_id().clone(), route: Ok(route) }),
        };
        let beside = self.beside(head).and_then(|beside| beside.resolve_all(head));
        match (here, beside) {
            (None, beside) => beside,
            (Some(here), Ok(mut others)) => {
                // Should a mock answer for this node as well: it is the service that is tested.
                others.retain(|leg| leg.node_id != here.node_id);
                others.insert(0, here);
                Ok(others)
            }
            // Others need not host it, nor be there; but who is asked for by name is told of.
            (Some(here), Err(nobody)) => {
                let mut legs = nowhere(&head.target, &here.node_id, &nobody.to_string());
                legs.insert(0, here);
                Ok(legs)
            }
        }
    }

    fn metrics(&self, service: &str) -> Option<Metrics> {
        Some(self.cx.metrics(service))
    }

    fn fit<'a>(&'a self, head: &'a Head, to: &'a Peer, version: Fingerprint) -> BoxFuture<'a, Result<Arc<Fit>, Failure>> {
        match self.beside(head) {
            Ok(beside) => beside.fit(head, to, version),
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        }
    }

    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        match self.beside(head) {
            Ok(beside) => beside.send(head, to, body),
            Err(failure) => {
                let failed: BoxFuture<'a, _> = Box::pin(std::future::ready(Err(failure)));
                failed.into()
            }
        }
    }

    fn open<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        match self.beside(head) {
            Ok(beside) => beside.open(head, to, body),
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        }
    }
}

/// A leg for each node but `me` that is asked for by its id, each once; none of them leads anywhere.
fn nowhere(target: &Target, me: &NodeId, why: &str) -> Vec<Leg> {
    let Target::Many(Many::Nodes(ids)) = target else { return Vec::new() };
    let others: BTreeSet<&NodeId> = ids.iter().filter(|id| *id != me).collect();
    others.into_iter().map(|id| Leg { node_id: id.clone(), route: Err(Failure::NoRoute(why.to_owned())) }).collect()
}

/// What stands below the proxies of a caller elsewhere: every call reaches the service, as JSON.
struct Outside {
    alone: Arc<Alone>,
    caller: CallerId,
}

impl Outside {
    async fn serve(&self, head: &Head, body: &[u8]) -> Result<Bytes, Failure> {
        let path = head.method.path();
        let call = self.inbound(head, &path, body)?;
        let (hosted, spec) = self.alone.cx.registry().find(head.method.service(), head.method.method())?;
        Ok(serve(self.alone.clone(), self.alone.cx.audit(), &hosted, &spec.name, &call).await?.into())
    }

    async fn open_stream(&self, head: &Head, body: &[u8]) -> Result<Opened, Failure> {
        let path = head.method.path();
        let call = self.inbound(head, &path, body)?;
        let (hosted, spec) = self.alone.cx.registry().find(head.method.service(), head.method.method())?;
        Ok(open(self.alone.clone(), self.alone.cx.audit(), &hosted, &spec.name, &call).await?)
    }

    fn only_here(&self, target: &Target) -> String {
        format!("only the service that is tested can be called so, on node {}, and not {target}", self.node_id())
    }

    /// The call as it comes in from elsewhere.
    fn inbound<'a>(&self, head: &Head, path: &'a str, body: &'a [u8]) -> Result<Inbound<'a>, Failure> {
        let json = std::str::from_utf8(body).map_err(|error| Failure::NotSent(error.to_string()))?;
        let received = Instant::now();
        Ok(Inbound {
            path,
            params: Params::new(Some(json)),
            caller: self.caller.clone(),
            token: None,
            from: crate::audit::Whence::Network,
            from_node: false,
            target: None,
            may_know_nodes: true,
            received,
            timeout: Some(head.deadline.saturating_duration_since(received)),
            trace: head.trace(),
            origin: head.origin().cloned(),
            room: None,
        })
    }
}

impl Caller for Outside {
    fn node_id(&self) -> &NodeId {
        self.alone.node_id()
    }

    fn identity(&self) -> &CallerId {
        &self.caller
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        let is_meant = match &head.target {
            Target::One(one) => self.alone.here(head, one).is_some(),
            Target::Many(many) => self.alone.here_of_many(head, many).is_some(),
        };
        if is_meant {
            return Ok(Route::Peer(Arc::new(Peer { node_id: self.node_id().clone(), authority: "tested".into() })));
        }
        Err(Failure::NoRoute(self.only_here(&head.target)))
    }

    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure> {
        let me = self.node_id();
        let mut legs = nowhere(&head.target, me, &self.only_here(&head.target));
        match self.resolve(head) {
            Ok(route) => legs.insert(0, Leg { node_id: me.clone(), route: Ok(route) }),
            Err(failure) if legs.is_empty() => return Err(failure),
            Err(_) => {}
        }
        Ok(legs)
    }

    fn send<'a>(&'a self, head: &'a Head, _: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        let serving: BoxFuture<'a, _> = Box::pin(self.serve(head, body));
        serving.into()
    }

    fn open<'a>(&'a self, head: &'a Head, _: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        Box::pin(self.open_stream(head, body))
    }
}
