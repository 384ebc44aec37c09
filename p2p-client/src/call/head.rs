//! [`Head`]: what a call is, apart from its params.

use std::{borrow::Cow, sync::Arc};

use tokio::time::Instant;

use crate::{
    protocol::{NodeId, Target},
    proxy::{Caller, Peer, Route},
    service::{Chain, MethodSpec, ServiceError, Trace},
    wire::Room,
};

use super::{CallError, Failure, Headers};

/// Which method is called.
#[derive(Debug, Clone)]
pub enum MethodRef {
    /// One that a proxy knows.
    Known(&'static MethodSpec),
    /// One whose name is known only at run time: service and method.
    Named(Arc<(String, String)>),
}

impl MethodRef {
    /// The service's name.
    pub fn service(&self) -> &str {
        match self {
            Self::Known(spec) => &spec.service,
            Self::Named(names) => &names.0,
        }
    }

    /// The method's name.
    pub fn method(&self) -> &str {
        match self {
            Self::Known(spec) => &spec.name,
            Self::Named(names) => &names.1,
        }
    }

    /// `service/method`.
    pub fn path(&self) -> Cow<'_, str> {
        match self {
            Self::Known(spec) => Cow::Borrowed(&spec.path),
            Self::Named(names) => Cow::Owned(format!("{}/{}", names.0, names.1)),
        }
    }

    /// What the tables say of it, where they are known.
    pub fn spec(&self) -> Option<&'static MethodSpec> {
        match self {
            Self::Known(spec) => Some(spec),
            Self::Named(_) => None,
        }
    }
}

/// All that routing and sending need to know of a call, its params aside.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which method.
    pub method: MethodRef,
    /// Where to.
    pub target: Target,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// When the call was first polled.
    pub began: Instant,
    /// What it inherits from the call around it.
    pub chain: Option<Arc<Chain>>,
    /// Headers that the caller added.
    pub headers: Headers,
    /// Nodes that were tried without success, to be avoided.
    pub tried: Vec<NodeId>,
    /// Whether this is what the call began with: nothing was waited for since then, neither another node, nor a pause, nor a description.
    pub is_first_try: bool,
    /// What its answer shares with those to other calls, so that all of them together are bounded. (A proxy's own calls share nothing.)
    pub room: Option<Arc<Room>>,
}

impl Head {
    /// The trace that it belongs to, if the call around it had one.
    pub fn trace(&self) -> Option<Trace> {
        self.chain.as_ref().and_then(|chain| chain.trace)
    }

    /// Who began the chain of calls, where this is not the first of them.
    pub fn origin(&self) -> Option<&Arc<str>> {
        self.chain.as_ref().and_then(|chain| chain.origin.as_ref())
    }

    /// What the call's maker is told of its failure.
    pub(super) fn failed<E: ServiceError>(&self, failure: Failure) -> CallError<E> {
        CallError::of_call(failure, &self.method.path(), self.is_nested())
    }

    /// Whether the call is made while another is served.
    pub(super) fn is_nested(&self) -> bool {
        self.chain.is_some()
    }

    /// Where the call goes that failed at `peer`: to the next that fits, where it surely did not run or may run twice. `failed` is what its
    /// caller is told where nobody is left.
    ///
    /// # Errors
    /// How it failed, where it may go nowhere.
    pub async fn elsewhere(
        &mut self,
        caller: &dyn Caller,
        peer: Arc<Peer>,
        failure: Failure,
        failed: &mut Option<Failure>,
    ) -> Result<Result<Route, Failure>, Failure> {
        // Of a method that is known by its name alone the hosts have to say whether it may run twice.
        let is_to_be_asked = self.method.spec().is_none() && matches!(failure, Failure::Lost(_));
        if !is_to_be_asked && !self.may_go_on(&failure) {
            return Err(failure);
        }
        self.tried.push(peer.node_id.clone());
        self.is_first_try = false;
        let next = caller.resolve(self);
        if is_to_be_asked {
            match &next {
                Ok(next) if caller.may_run_twice(self, &peer, next).await => {}
                _ => return Err(failure),
            }
        }
        tracing::debug!(peer = %peer.node_id, %failure, "trying elsewhere");
        *failed = Some(worse(failed.take(), failure));
        Ok(next)
    }

    /// Where a call goes that has nowhere to go: where nobody is there *yet*, that is waited for, as long as its caller thinks right.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub async fn later(&mut self, caller: &dyn Caller, nobody: Failure) -> Result<Route, Failure> {
        if !matches!(nobody, Failure::NotYet(_)) {
            return Err(nobody);
        }
        self.is_first_try = false;
        tracing::debug!(method = %self.method.path(), why = %nobody, "waiting for a node that starts");
        caller.resolve_later(self).await
    }

    /// Whether a call that failed so may be sent again, as far as its caller knows the method.
    pub(super) fn may_go_on(&self, failure: &Failure) -> bool {
        let idempotent = self.method.spec().is_some_and(|spec| spec.idempotent);
        failure.surely_not_run() || (idempotent && matches!(failure, Failure::Lost(_)))
    }
}

/// Of two failures, what is told: once a call may have run, no later refusal can say that it has not; and who said when to come again has said more
/// than who could not be reached.
fn worse(earlier: Option<Failure>, later: Failure) -> Failure {
    match earlier {
        Some(earlier) if later.surely_not_run() && !earlier.surely_not_run() => earlier,
        Some(earlier) if later.surely_not_run() && earlier.retry_after() > later.retry_after() => earlier,
        _ => later,
    }
}
