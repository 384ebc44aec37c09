//! [`Proxy`], from which typed proxies are made, and [`Caller`], the one seam below them.
//!
//! A node, a client outside of the cluster, a balancer and a mock all implement or wrap [`Caller`]; nothing above it knows about
//! wires, nothing below it knows about types.

use std::{
    fmt,
    future::{Future, Ready},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    call::{
        Begun, Call, CallError, Codec, Failure, Head, Here, MethodRef, Opening, Outgoing, Replies, Sending, Streaming, encoded,
    },
    protocol::{CallerId, Many, NodeId, One, Target},
    service::{Chain, Definition, HostedService, MethodSpec, Outcome, StreamOutcome},
};

/// What stands below every proxy: first resolve a target, then send.
///
/// The two are apart so that a call which stays on its node is never forced through bytes.
pub trait Caller: Send + Sync + 'static {
    /// The node in whose name calls are made.
    fn node_id(&self) -> &NodeId;

    /// Who a service on this node sees as the caller of a local call.
    fn identity(&self) -> &CallerId;

    /// Chooses where a call with one result goes.
    ///
    /// # Errors
    /// [`Failure::NoRoute`] names the target; an unknown service lists the known ones.
    fn resolve(&self, head: &Head) -> Result<Route, Failure>;

    /// Settles who is asked by a fan-out.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure>;

    /// Sends a call and waits for its result's JSON, until the head's deadline at the latest. `body` is the params' JSON. Dropping the future
    /// cancels the call.
    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a>;

    /// Sends a call whose caller takes a stream, and waits until that is open, until the head's deadline at the latest. `body` is the
    /// params' JSON. A method that does not stream may answer instead. Unless it is written, streams can only be opened on this node.
    fn open<'a>(&'a self, _head: &'a Head, to: &'a Peer, _body: &'a [u8]) -> Opening<'a> {
        let text = format!("no stream can be opened at {} from here", to.node_id);
        Box::pin(std::future::ready(Err(Failure::NotSent(text))))
    }
}

/// Where a call goes.
#[derive(Clone)]
pub enum Route {
    /// To an object on this node.
    Here(Arc<dyn HostedService>),
    /// To another node.
    Peer(Peer),
}

/// One node's part of a fan-out.
#[derive(Debug)]
pub struct Leg {
    /// The node.
    pub node_id: NodeId,
    /// The way to it, or why there is none.
    pub route: Result<Route, Failure>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(service) => write!(f, "Here({})", service.spec().name),
            Self::Peer(peer) => peer.fmt(f),
        }
    }
}

/// A node to send to.
pub use crate::wire::PeerRef as Peer;

/// Where calls begin. Typed proxies are made from it by the extension traits that the macros write: `proxy.greeter()`.
#[derive(Clone)]
pub struct Proxy {
    caller: Arc<dyn Caller>,
    chain: Option<Arc<Chain>>,
}

impl Proxy {
    /// A proxy over a caller.
    pub fn new(caller: Arc<dyn Caller>) -> Self {
        Self { caller, chain: None }
    }

    /// The same proxy, whose calls inherit from the call around them.
    #[must_use]
    pub fn within(mut self, chain: Chain) -> Self {
        self.chain = Some(Arc::new(chain));
        self
    }

    /// A call whose method is known only at run time, with params as JSON: an object by name or an array by position.
    ///
    /// ```no_run
    /// # async fn example(proxy: p2p_client::proxy::Proxy) -> Result<(), p2p_client::call::CallError> {
    /// let greeting = proxy.call("greeter/greet", serde_json::json!({ "name": "Ada" })).await?;
    /// # Ok(()) }
    /// ```
    pub fn call(&self, path: &str, params: impl Serialize) -> Call<Box<RawValue>> {
        self.call_on(One::Any, path, params)
    }

    /// [`call`](Self::call), to a node of choice.
    pub fn call_on(&self, target: impl Into<One>, path: &str, params: impl Serialize) -> Call<Box<RawValue>> {
        let (method, body) = (named(path), serde_json::to_vec(&params));
        let (caller, chain, target) = (self.caller.clone(), self.chain.clone(), Target::One(target.into()));
        Call::new(move |options| {
            Begun::<Ready<_>, _, _>::Encoded(Box::pin(async move {
                let body = body.map_err(|error| CallError::InvalidParams(format!("the params do not serialise: {error}")))?;
                Outgoing::new(caller, method?, target, chain.as_ref(), options)
                    .run_json(body, |json| serde_json::from_slice(json))
                    .await
            }))
        })
    }

    /// Opens the stream of a method whose name is known only at run time. The items are JSON.
    ///
    /// ```no_run
    /// # async fn example(proxy: p2p_client::proxy::Proxy) -> Result<(), p2p_client::call::CallError> {
    /// use futures::StreamExt;
    ///
    /// let mut numbers = proxy.open("counter/count", serde_json::json!({ "from": 3 })).await?;
    /// while let Some(number) = numbers.next().await {
    ///     println!("{}", number?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn open(&self, path: &str, params: impl Serialize) -> Call<Streaming<Box<RawValue>>> {
        self.open_on(One::Any, path, params)
    }

    /// [`open`](Self::open), at a node of choice.
    pub fn open_on(&self, target: impl Into<One>, path: &str, params: impl Serialize) -> Call<Streaming<Box<RawValue>>> {
        let (method, body) = (named(path), serde_json::to_vec(&params));
        let (caller, chain, target) = (self.caller.clone(), self.chain.clone(), Target::One(target.into()));
        Call::new(move |options| {
            Begun::<Ready<_>, _, _>::Encoded(Box::pin(async move {
                let body = body.map_err(|error| CallError::InvalidParams(format!("the params do not serialise: {error}")))?;
                Outgoing::new(caller, method?, target, chain.as_ref(), options)
                    .open_json(body, |json| serde_json::from_slice(json))
                    .await
            }))
        })
    }
}

fn named(path: &str) -> Result<MethodRef, CallError> {
    match path.split_once('/') {
        Some((service, method)) if !service.is_empty() && !method.is_empty() => {
            Ok(MethodRef::Named(Arc::new((service.to_owned(), method.to_owned()))))
        }
        _ => Err(CallError::NotFound(format!("{path:?} names no method; write service/method, such as system/get_system_info"))),
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.caller.node_id())
    }
}

/// What every generated proxy holds: where calls begin, and where they go.
#[derive(Debug, Clone)]
pub struct ProxyCore<K> {
    proxy: Proxy,
    kind: K,
}

impl ProxyCore<Anywhere> {
    /// For calls to wherever the service is.
    pub fn new(proxy: &Proxy) -> Self {
        Self { proxy: proxy.clone(), kind: Anywhere }
    }

    /// For calls to one node of choice.
    pub fn on(&self, target: impl Into<One>) -> ProxyCore<OnOne> {
        ProxyCore { proxy: self.proxy.clone(), kind: OnOne(target.into()) }
    }

    /// For calls to many nodes.
    pub fn on_all(&self, target: impl Into<Many>) -> ProxyCore<OnMany> {
        ProxyCore { proxy: self.proxy.clone(), kind: OnMany(target.into()) }
    }
}

impl<K: TargetKind> ProxyCore<K> {
    /// Makes the call. Written by the macros: `codec` writes the params and reads the result, `local` runs the method on the object itself.
    pub fn call<S, P, R, L, F>(
        &self,
        method: &'static MethodSpec,
        params: P,
        codec: Codec<P, R::Ok>,
        local: L,
    ) -> K::Reply<R::Ok, R::Err>
    where
        S: Definition + ?Sized,
        P: Send + 'static,
        R: Outcome + 'static,
        L: FnOnce(Here<S>, P) -> F + Send + 'static,
        F: Future<Output = Result<R::Ok, CallError<R::Err>>> + Send + 'static,
    {
        K::call::<S, P, R, L, F>(self, method, params, codec, local)
    }
}

impl<T: OneTarget> ProxyCore<T> {
    /// Makes the call that opens a stream. Written by the macros: `codec` writes the params and reads an item, `local` runs the method on the
    /// object itself.
    pub fn open<S, P, K, O, L, F>(
        &self,
        method: &'static MethodSpec,
        params: P,
        codec: Codec<P, O::Value>,
        local: L,
    ) -> Call<Streaming<O::Value, O::Err>, O::Err>
    where
        S: Definition + ?Sized,
        P: Send + 'static,
        O: StreamOutcome<K> + 'static,
        L: FnOnce(Here<S>, P) -> F + Send + 'static,
        F: Future<Output = Result<Streaming<O::Value, O::Err>, CallError<O::Err>>> + Send + 'static,
    {
        let (caller, chain, target) = (self.proxy.caller.clone(), self.proxy.chain.clone(), self.kind.one());
        Call::new(move |options| {
            Outgoing::new(caller, MethodRef::Known(method), Target::One(target), chain.as_ref(), options)
                .begin_stream::<S, P, K, O, L, F>(method, params, codec, local)
        })
    }
}

/// A target of one node: there a stream can be opened.
#[diagnostic::on_unimplemented(
    message = "a stream is opened on one node at a time",
    label = "this proxy calls many nodes",
    note = "open one on each node: `.on(\"worker-1\")`, and take from all by `futures::stream::select_all`"
)]
pub trait OneTarget: TargetKind {
    #[doc(hidden)]
    fn one(&self) -> One;
}

impl OneTarget for Anywhere {
    fn one(&self) -> One {
        One::Any
    }
}

impl OneTarget for OnOne {
    fn one(&self) -> One {
        self.0.clone()
    }
}

/// What a target makes of a call: [`Call`] for one node, [`Replies`] for many. Sealed.
pub trait TargetKind: Clone + Send + Sync + sealed::Sealed + 'static {
    /// What a proxy's method returns.
    type Reply<T: Serialize + DeserializeOwned + Send + 'static, E: crate::service::ServiceError>;

    #[doc(hidden)]
    fn call<S, P, R, L, F>(
        core: &ProxyCore<Self>,
        method: &'static MethodSpec,
        params: P,
        codec: Codec<P, R::Ok>,
        local: L,
    ) -> Self::Reply<R::Ok, R::Err>
    where
        S: Definition + ?Sized,
        P: Send + 'static,
        R: Outcome + 'static,
        L: FnOnce(Here<S>, P) -> F + Send + 'static,
        F: Future<Output = Result<R::Ok, CallError<R::Err>>> + Send + 'static;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Anywhere {}
    impl Sealed for super::OnOne {}
    impl Sealed for super::OnMany {}
}

/// No target: here if the service is hosted here, else the best node that hosts it.
#[derive(Debug, Clone, Copy)]
pub struct Anywhere;

/// One node of choice.
#[derive(Debug, Clone)]
pub struct OnOne(One);

/// Many nodes.
#[derive(Debug, Clone)]
pub struct OnMany(Many);

macro_rules! one_result {
    ($kind:ty, $core:ident => $target:expr) => {
        impl TargetKind for $kind {
            type Reply<T: Serialize + DeserializeOwned + Send + 'static, E: crate::service::ServiceError> = Call<T, E>;

            fn call<S, P, R, L, F>(
                $core: &ProxyCore<Self>,
                method: &'static MethodSpec,
                params: P,
                codec: Codec<P, R::Ok>,
                local: L,
            ) -> Call<R::Ok, R::Err>
            where
                S: Definition + ?Sized,
                P: Send + 'static,
                R: Outcome + 'static,
                L: FnOnce(Here<S>, P) -> F + Send + 'static,
                F: Future<Output = Result<R::Ok, CallError<R::Err>>> + Send + 'static,
            {
                let (caller, chain, target) = ($core.proxy.caller.clone(), $core.proxy.chain.clone(), $target);
                Call::new(move |options| {
                    Outgoing::new(caller, MethodRef::Known(method), Target::One(target), chain.as_ref(), options)
                        .begin::<S, P, R, L, F>(method, params, codec, local)
                })
            }
        }
    };
}

one_result!(Anywhere, core => One::Any);
one_result!(OnOne, core => core.kind.0.clone());

impl TargetKind for OnMany {
    type Reply<T: Serialize + DeserializeOwned + Send + 'static, E: crate::service::ServiceError> = Replies<T, E>;

    fn call<S, P, R, L, F>(
        core: &ProxyCore<Self>,
        method: &'static MethodSpec,
        params: P,
        codec: Codec<P, R::Ok>,
        _: L,
    ) -> Replies<R::Ok, R::Err>
    where
        S: Definition + ?Sized,
        P: Send + 'static,
        R: Outcome + 'static,
        L: FnOnce(Here<S>, P) -> F + Send + 'static,
        F: Future<Output = Result<R::Ok, CallError<R::Err>>> + Send + 'static,
    {
        let (caller, chain) = (core.proxy.caller.clone(), core.proxy.chain.clone());
        let target = Target::Many(core.kind.0.clone());
        let me = caller.node_id().clone();
        Replies::new(me, MethodRef::Known(method), codec.decode, move |options| {
            let body = encoded(&params, codec.encode)?;
            Ok((Outgoing::new(caller, MethodRef::Known(method), target, chain.as_ref(), options), body))
        })
    }
}
