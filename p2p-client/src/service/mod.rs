//! What a service is, for callers and hosts alike: its tables, the context of a call, its result, its parameters.
//!
//! The macros write a [`Definition`] for each service: constant tables ([`ServiceSpec`], [`MethodSpec`]) and one function
//! that serves a method from JSON. A hosted object stands behind [`HostedService`], which a node keeps in its registry.
//! A call that stays on the node finds the object itself there ([`Local`]), and never sees JSON.

mod blob;
mod cancellation;
mod context;
mod describe;
mod due;
mod error;
mod guard;
mod lazy_descriptor;
mod metrics;
mod narrowed;
mod object;
mod outcome;
mod param_tuple;
mod parameter;
mod params;
mod spec;
mod stats;
mod stopwatch;
pub mod stream;

/// What the return type of a method that streams is written with: `Result<impl Stream<Item = T>>`. It is that of the crate `futures`.
pub use futures::Stream;

pub use blob::Blob;
pub(crate) use cancellation::UntilAnswered;
pub use context::{CallContext, Chain, ParseTraceError, Trace};
pub use describe::{Describe, method_of};
pub use due::Due;
pub(crate) use due::after;
pub use error::{Error, Result};
pub use guard::{Cut, Guarded, TimeLimit};
pub use lazy_descriptor::LazyDescriptor;
pub use metrics::{Counter, Gauge, MAX_METRIC_NAME, MAX_METRICS, Metrics, MetricsSnapshot, Timer, TimerSnapshot, Timing};
#[doc(hidden)]
pub use narrowed::Narrowed;
pub use object::{Definition, HostedService, Local, ServeFuture};
pub use outcome::{Failed, NoError, Outcome, ServiceError};
#[doc(hidden)]
pub use param_tuple::{NoDefault, ParamForm, ParamForms, WithDefault};
pub use parameter::Parameter;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use params::fuzzing;
pub use params::{DefaultJson, ObjectWriter, ParamError, Params, Slots, Straight};
pub use spec::{MethodSpec, ParamSpec, ServiceSpec};
pub use stats::{MethodSnapshot, MethodStats, Running, RunningStream};
pub(crate) use stopwatch::Stopwatch;
pub use stream::{StreamItem, StreamOutcome, StreamSink};
