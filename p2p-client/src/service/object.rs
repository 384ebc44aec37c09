//! A service object, as a node hosts it.

use std::{
    any::{Any, TypeId},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
};

use crate::protocol::{Access, Fingerprint, RpcError, ServiceDescriptor};

use super::{CallContext, LazyDescriptor, MethodSpec, MethodStats, Params, ServiceSpec};

/// A served call: ends with the result's JSON, or with an error.
pub type ServeFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, RpcError>> + Send + 'a>>;

/// What the macros write for each service: its tables, and how a method is served from JSON.
pub trait Definition: Send + Sync + 'static {
    /// The service's tables.
    const SPEC: &'static ServiceSpec;

    /// The service's full description.
    fn describe() -> ServiceDescriptor;

    /// Serves the method with this index: decodes params, runs it, encodes the result.
    fn serve<'a>(&'a self, index: usize, cx: &'a CallContext, params: Params<'a>) -> ServeFuture<'a>;
}

/// A service as the registry knows it, whatever its type: made by the macros, or put together at run time.
pub trait HostedService: Send + Sync + 'static {
    /// The service's tables.
    fn spec(&self) -> &ServiceSpec;

    /// The tables of its contract. They differ from its own only in who may call, where this host lets in fewer: what holds for all its hosts.
    /// Unless it is written, there is no such difference.
    fn contract(&self) -> &ServiceSpec {
        self.spec()
    }

    /// Serves the method with this index from JSON. Access was checked; the deadline and panics are the caller's to guard.
    fn serve<'a>(&'a self, index: usize, cx: &'a CallContext, params: Params<'a>) -> ServeFuture<'a>;

    /// The service's full description.
    fn describe(&self) -> ServiceDescriptor;

    /// The fingerprint of its description. Typed calls on the same node compare it each time: whatever is not made by the macros keeps it.
    fn fingerprint(&self) -> Fingerprint {
        self.describe().fingerprint()
    }

    /// The counters of the method with this index.
    fn stats(&self, index: usize) -> Option<&MethodStats>;

    /// The object itself, for calls that stay on the node.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;

    /// The type behind `dyn`, so that [`into_any`](Self::into_any) need not be tried.
    fn type_of(&self) -> TypeId {
        TypeId::of::<Self>()
    }
}

impl dyn HostedService {
    /// The method with this name.
    pub fn method(&self, name: &str) -> Option<&MethodSpec> {
        self.spec().method(name)
    }
}

/// A service object of a known type, with its counters. `S` is the type itself, or a contract's `dyn` object.
pub struct Local<S: Definition + ?Sized> {
    object: Arc<S>,
    /// Those of the type, but for who may call: a contract's host may let in fewer.
    spec: &'static ServiceSpec,
    stats: Box<[MethodStats]>,
}

impl<S: Definition + ?Sized> Local<S> {
    /// Makes an object ready to be hosted.
    pub fn new(object: Arc<S>) -> Self {
        Self::by(object, S::SPEC)
    }

    /// The same, by the tables of its hosting.
    pub fn by(object: Arc<S>, spec: &'static ServiceSpec) -> Self {
        Self { object, spec, stats: spec.methods.iter().map(|_| MethodStats::default()).collect() }
    }

    /// Who may call a method of the type, here.
    pub(crate) fn access(&self, method: &'static MethodSpec) -> &'static Access {
        self.spec.methods.get(method.index).map_or(&method.access, |here| &here.access)
    }

    /// The object.
    pub fn object(&self) -> &S {
        &self.object
    }
}

impl<S: Definition + ?Sized> fmt::Debug for Local<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({})", S::SPEC.name)
    }
}

impl<S: Definition + ?Sized> HostedService for Local<S> {
    fn spec(&self) -> &ServiceSpec {
        self.spec
    }

    fn contract(&self) -> &ServiceSpec {
        S::SPEC
    }

    fn serve<'a>(&'a self, index: usize, cx: &'a CallContext, params: Params<'a>) -> ServeFuture<'a> {
        self.object.serve(index, cx, params)
    }

    fn describe(&self) -> ServiceDescriptor {
        self.spec.descriptor().map_or_else(S::describe, |descriptor| descriptor.get().clone())
    }

    fn fingerprint(&self) -> Fingerprint {
        self.spec.descriptor().map_or_else(|| S::describe().fingerprint(), LazyDescriptor::fingerprint)
    }

    fn stats(&self, index: usize) -> Option<&MethodStats> {
        self.stats.get(index)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
