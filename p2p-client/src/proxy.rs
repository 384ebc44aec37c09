//! [`Proxy`], from which typed proxies are made, and [`Caller`], the one seam below them.
//!
//! A node, a client outside of the cluster, a balancer and a mock all implement or wrap [`Caller`]; nothing above it knows about
//! wires, nothing below it knows about types.

mod named;

use std::{
    fmt,
    future::{Future, ready},
    sync::Arc,
    task::Waker,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::sync::watch;

pub use self::named::NamedCall;

use crate::{
    call::{
        AskingAll, Begun, Call, CallError, Codec, Failure, Head, Here, MethodRef, Opening, Outgoing, Replies, Sending, Started,
        Streaming, at_hand, encoded,
    },
    protocol::{CallerId, Denied, Fingerprint, Many, NodeId, One, Target, compatibility::Fit},
    service::{Chain, Definition, HostedService, LazyDescriptor, MethodSpec, Metrics, Outcome, StreamOutcome},
    wire::session::{self, message::Answer},
};

/// What stands below every proxy: first resolve a target, then send.
///
/// The two are apart so that a call which stays on its node is never forced through bytes.
pub trait Caller: Send + Sync + 'static {
    /// The node in whose name calls are made.
    fn node_id(&self) -> &NodeId;

    /// Who a service on this node sees as the caller of a local call.
    fn identity(&self) -> &CallerId;

    /// Where the services of this node keep metrics of their own, by the service's name; `None` where there is no such place.
    fn metrics(&self, _service: &str) -> Option<Metrics> {
        None
    }

    /// Is told that a call in this node's own name was refused here, and why, for whoever keeps a log of that.
    fn denied(&self, _method: &MethodSpec, _why: &Denied, _chain: Option<&Chain>) {}

    /// Becomes true when this node stops and ends the streams that are open on it; `None` where nobody says so.
    fn stopping(&self) -> Option<watch::Receiver<bool>> {
        None
    }

    /// The object on this node that serves such a call, where that is settled by what is hosted here alone: the short way of the
    /// calls that stay. `None` leaves it to [`resolve`](Self::resolve), which comes to the same node; unless it is written, all go there.
    fn here(&self, _service: &str, _target: &One) -> Option<Arc<dyn HostedService>> {
        None
    }

    /// Chooses where a call with one result goes.
    ///
    /// # Errors
    /// [`Failure::NoRoute`] names the target; an unknown service lists the known ones. [`Failure::NotYet`] where a node that starts may be
    /// who is sought.
    fn resolve(&self, head: &Head) -> Result<Route, Failure>;

    /// Chooses once more where a call goes that had [nowhere to go yet](Failure::NotYet), and waits for it: for a time that this caller
    /// thinks right, until the head's deadline at the latest. Unless it is written, nobody is waited for.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    fn resolve_later<'a>(&'a self, head: &'a Head) -> BoxFuture<'a, Result<Route, Failure>> {
        Box::pin(ready(self.resolve(head)))
    }

    /// Settles who is asked by a fan-out.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    fn resolve_all(&self, head: &Head) -> Result<Vec<Leg>, Failure>;

    /// Asks everybody whom a fan-out is to by one request of its own, where this caller does that: who was asked is known with the answers then.
    /// Unless it is written, nobody does: the members are [resolved](Self::resolve_all), and each of them is sent to. `params` is their JSON.
    fn ask_all(self: Arc<Self>, _head: &Head, _params: &Bytes) -> Option<AskingAll> {
        None
    }

    /// How this call is fitted to a host whose version of the service, which this fingerprint names, is not the
    /// caller's. Asked where a target was resolved to [`Route::Differing`]; a caller that never says so need not
    /// implement it.
    ///
    /// # Errors
    /// When the host's version cannot be found out.
    fn fit<'a>(&'a self, head: &'a Head, to: &'a Peer, version: Fingerprint) -> BoxFuture<'a, Result<Arc<Fit>, Failure>> {
        let _ = (head, to, version);
        Box::pin(ready(Ok(Arc::new(Fit::AsItIs))))
    }

    /// How this call is fitted to another version of its service than the caller's, `own`, that is hosted on this node. A caller that keeps
    /// what it found out for other nodes keeps this as well.
    fn fit_here(&self, head: &Head, own: &LazyDescriptor, hosted: &dyn HostedService) -> Arc<Fit> {
        Arc::new(Fit::of(own.get(), &hosted.describe(), head.method.method()))
    }

    /// Whether a call by name that was lost at one node, where it may have run, may be made again at the next: whether both say that its method
    /// is idempotent. (Of a call by its proxy that is known.) It is asked only then; unless it is written, nobody knows.
    fn may_run_twice<'a>(&'a self, _head: &'a Head, _lost_at: &'a Peer, _next: &'a Route) -> BoxFuture<'a, bool> {
        Box::pin(ready(false))
    }

    /// Sends a call at once, where the way to its node is there and nothing has to be waited for. Whatever is said of it wakes `waker`; what
    /// it ends with, other than a result, is [settled](Self::settle). `None` leaves it to [`send`](Self::send); unless it is written, all are.
    fn start(&self, _head: &Head, _to: &Peer, _body: &[u8], _waker: &Waker) -> Option<Started> {
        None
    }

    /// Goes on with a call that was [started](Self::start) and ended with anything but a result: sends it again where it was surely not served,
    /// fetches a large result, or says how it failed. `body` is there only where it was not served. Unless it is written, how it failed is said.
    fn settle<'a>(
        &'a self,
        head: &'a Head,
        to: &'a Peer,
        _body: &'a [u8],
        outcome: session::Outcome,
    ) -> BoxFuture<'a, Result<Bytes, Failure>> {
        Box::pin(ready(said(head, to, outcome)))
    }

    /// Sends a call and waits for its result's JSON, until the head's deadline at the latest. `body` is the params' JSON. Dropping the future
    /// cancels the call.
    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a>;

    /// Sends a call whose caller takes a stream, and waits until that is open, until the head's deadline at the latest. `body` is the
    /// params' JSON. A method that does not stream may answer instead. Unless it is written, streams can only be opened on this node.
    fn open<'a>(&'a self, _head: &'a Head, to: &'a Peer, _body: &'a [u8]) -> Opening<'a> {
        let text = format!("no stream can be opened at {} from here", to.node_id);
        Box::pin(ready(Err(Failure::NotSent(text))))
    }
}

/// What a call on a session ended with, as its caller is told where nothing more is done about it.
fn said(head: &Head, to: &Peer, outcome: session::Outcome) -> Result<Bytes, Failure> {
    let of = |what: &dyn fmt::Display| format!("node {} at {}: {what}", to.node_id, to.authority);
    Err(match outcome {
        session::Outcome::Answered(Answer::Result(json)) => return Ok(json),
        session::Outcome::Answered(Answer::Error(error)) => Failure::Answered(error),
        session::Outcome::Answered(Answer::Body { size, .. }) => {
            Failure::Lost(of(&format_args!("the result has {size} bytes, and nobody here fetches what is that large")))
        }
        session::Outcome::Deadline => Failure::Deadline(head.method.path().into_owned()),
        session::Outcome::NotSent(ended) => Failure::NotSent(of(&ended)),
        session::Outcome::Busy { streams } => {
            Failure::NotSent(of(&format_args!("{streams} streams are open there, as many as may be")))
        }
        session::Outcome::Lost(ended) => Failure::Lost(of(&ended)),
    })
}

/// Where a call goes.
#[derive(Clone)]
pub enum Route {
    /// To an object on this node.
    Here(Arc<dyn HostedService>),
    /// To another node.
    Peer(Arc<Peer>),
    /// To another node, whose version of the service has this fingerprint, and may not understand the call: it is
    /// fitted before it is sent.
    Differing(Arc<Peer>, Fingerprint),
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
            Self::Differing(peer, version) => write!(f, "Differing({peer:?}, {version})"),
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

    /// What its calls go through: for a caller of one's own that wraps it.
    pub fn caller(&self) -> &Arc<dyn Caller> {
        &self.caller
    }

    /// The same proxy, whose calls inherit from the call around them.
    #[must_use]
    pub fn within(mut self, chain: Chain) -> Self {
        self.chain = Some(Arc::new(chain));
        self
    }

    /// A call whose method is known only at run time, with params as JSON: an object by name, an array by position, or `()` for none. It goes here if
    /// the service is hosted here, else to the best node that hosts it, unless `.on(…)` or `.on_all(…)` says otherwise.
    ///
    /// ```
    /// # use p2p_client::{protocol::Role, proxy::Proxy, service::Result};
    /// use serde_json::{Value, json};
    ///
    /// # async fn example(proxy: Proxy) -> Result<()> {
    /// let greeting = proxy.call("greeter/greet", json!({ "name": "Ada" })).await?;
    /// let greeting: Value = serde_json::from_str(greeting.get())?;
    ///
    /// proxy.call("greeter/greet", json!({ "name": "Ada" })).on("worker-123").await?;
    /// let (node, fastest) = proxy.call("greeter/greet", json!(["Ada"])).on_all(Role::Worker).first().await?;
    /// # Ok(()) }
    /// ```
    pub fn call(&self, path: &str, params: impl Serialize) -> NamedCall {
        NamedCall::new(self.clone(), path, params)
    }

    /// Opens the stream of a method whose name is known only at run time, with params and a target as of [`call`](Self::call). The items are
    /// JSON.
    ///
    /// ```no_run
    /// # async fn example(proxy: p2p_client::proxy::Proxy) -> Result<(), p2p_client::call::CallError> {
    /// use futures::StreamExt;
    ///
    /// let mut numbers = proxy.open("counter/count", serde_json::json!({ "from": 3 })).on("worker-123").await?;
    /// while let Some(number) = numbers.next().await {
    ///     println!("{}", number?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn open(&self, path: &str, params: impl Serialize) -> NamedCall<Streaming<Box<RawValue>>> {
        NamedCall::opening(self.clone(), path, params)
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
        Call::new(move |options, _| {
            Outgoing::new(caller, MethodRef::Known(method), Target::One(target), chain, std::mem::take(options))
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
                Call::new(move |options, waker| match at_hand::<S>(&*caller, method, &target) {
                    Some(service) => match Here::begin(caller, service, method, chain, options.timeout) {
                        Ok(here) => Begun::Here(local(here, params)),
                        Err(failure) => Begun::Failed(CallError::from_failure(failure, &method.path)),
                    },
                    None => Outgoing::new(caller, MethodRef::Known(method), Target::One(target), chain, std::mem::take(options))
                        .begin::<S, P, R, L, F>(method, params, codec, local, waker),
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
            Ok((Outgoing::new(caller, MethodRef::Known(method), target, chain, options), body))
        })
    }
}
