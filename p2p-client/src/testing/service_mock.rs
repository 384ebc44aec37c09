//! [`ServiceMock`]: what stands behind every `MockKv`. It keeps what a test said, chooses the answer of a call, and notes both.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    call::{Failure, Head, unknown_method_of},
    protocol::{ErrorCode, One, RpcError},
    service::{Params, ServiceSpec},
};

use super::{Answering, MockCall, cluster::MockNode};

/// A mock of one service: its expectations, and the calls that it got. Clones are the same mock.
///
/// The macros put a type with a method for each of the service's in front of it: `MockKv`, with `on_get`, `on_put`.
#[derive(Clone)]
pub struct ServiceMock(Arc<Shared>);

struct Shared {
    spec: &'static ServiceSpec,
    /// The type in front, such as `MockKv`.
    name: &'static str,
    /// What a test writes to have a method answered, by the method's place.
    lines: &'static [&'static str],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    calls: Vec<MockCall>,
    /// What was said to callers that no rule fitted.
    unanswered: Vec<String>,
}

type Closure = Box<dyn FnMut(MockCall, Params<'_>) -> Result<Answering, RpcError> + Send>;

/// One expectation.
struct Rule {
    method: usize,
    at: Option<One>,
    times: Option<usize>,
    answered: usize,
    closure: Arc<Mutex<Closure>>,
}

impl Rule {
    fn fits(&self, method: usize, node: &MockNode) -> bool {
        self.method == method
            && self.times.is_none_or(|times| self.answered < times)
            && self.at.as_ref().is_none_or(|at| at.fits(node.as_candidate()))
    }
}

impl ServiceMock {
    /// Used by generated code.
    #[doc(hidden)]
    pub fn new(spec: &'static ServiceSpec, name: &'static str, lines: &'static [&'static str]) -> Self {
        Self(Arc::new(Shared { spec, name, lines, state: Mutex::default() }))
    }

    /// Used by generated code: `closure` answers the method at this place.
    #[doc(hidden)]
    pub fn expect(
        &self,
        method: usize,
        closure: impl FnMut(MockCall, Params<'_>) -> Result<Answering, RpcError> + Send + 'static,
    ) -> Expectation {
        let mut state = self.state();
        let closure: Closure = Box::new(closure);
        state.rules.push(Rule { method, at: None, times: None, answered: 0, closure: Arc::new(Mutex::new(closure)) });
        Expectation { mock: self.clone(), place: state.rules.len() - 1 }
    }

    /// The calls that came, the first first: also those that had no answer.
    pub fn calls(&self) -> Vec<MockCall> {
        self.state().calls.clone()
    }

    /// Whether all came as it was said: each expectation with a number ([`once`](Expectation::once), [`times`](Expectation::times))
    /// was used as often, and nothing was asked that had no answer.
    ///
    /// # Errors
    /// [`Unmet`] lists what did not.
    pub fn verify(&self) -> Result<(), Unmet> {
        let state = self.state();
        let missing = state.rules.iter().filter_map(|rule| {
            let (times, name) = (rule.times.filter(|times| *times != rule.answered)?, &self.0.spec.methods[rule.method].path);
            let place = rule.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
            Some(format!("{name}{place} was to be called {}, and was {}", count(times), count(rule.answered)))
        });
        let unmet: Vec<String> = missing.chain(state.unanswered.iter().cloned()).collect();
        if unmet.is_empty() { Ok(()) } else { Err(Unmet { mock: self.0.name, unmet }) }
    }

    pub(super) fn service(&self) -> &'static str {
        &self.0.spec.name
    }

    /// Notes a call, and begins the answer of the first expectation that fits it. Of a call that has none, [`verify`](Self::verify) tells.
    pub(super) fn answer(&self, head: &Head, node: &MockNode, params: &str) -> Result<Answering, Failure> {
        let call = MockCall::new(head, &node.id, params.to_owned());
        let (place, closure) = self.note(head, node, &call)?;
        // Not under the mock's own lock: a closure may look at the mock, or add to it.
        let mut closure = lock(&closure);
        closure(call.clone(), Params::new(Some(params))).map_err(|error| self.take_back(place, &call, error))
    }

    /// A call whose params do not fit used no expectation up, and had no answer.
    fn take_back(&self, place: usize, call: &MockCall, error: RpcError) -> Failure {
        let mut state = self.state();
        if let Some(rule) = state.rules.get_mut(place) {
            rule.answered -= 1;
        }
        let text = format!("{} got {} with {}: {}", self.0.name, call.path(), call.params_json(), error.message);
        state.unanswered.push(text);
        Failure::Answered(error)
    }

    /// Notes a call, and uses the first expectation that fits it: its place, and what it answers with.
    fn note(&self, head: &Head, node: &MockNode, call: &MockCall) -> Result<(usize, Arc<Mutex<Closure>>), Failure> {
        let mut state = self.state();
        state.calls.push(call.clone());
        let name = head.method.method();
        let Some(method) = self.0.spec.methods.iter().find(|method| method.name == name) else {
            let error = unknown_method_of(self.0.spec, name);
            state.unanswered.push(error.message.clone());
            return Err(error.into());
        };
        // What was said of a target goes before what was said of all; else the first said is the first used.
        let fitting = |wants_target: bool| move |rule: &Rule| rule.at.is_some() == wants_target && rule.fits(method.index, node);
        let place = state.rules.iter().position(fitting(true)).or_else(|| state.rules.iter().position(fitting(false)));
        if let Some((place, rule)) = place.and_then(|place| Some((place, state.rules.get_mut(place)?))) {
            rule.answered += 1;
            return Ok((place, rule.closure.clone()));
        }
        let text = self.no_answer(&state, method.index, call);
        state.unanswered.push(text.clone());
        Err(RpcError::new(ErrorCode::INTERNAL, text).into())
    }

    /// What a test reads whose code called a method that it had said nothing of.
    fn no_answer(&self, state: &State, method: usize, call: &MockCall) -> String {
        let Shared { name, lines, .. } = &*self.0;
        let line = lines.get(method).unwrap_or(&"");
        let others = state.rules.iter().filter(|rule| rule.method == method).count();
        let why = match others {
            0 => String::new(),
            _ => format!(" (what was said of it, {}, is used up or for other targets)", count(others)),
        };
        format!(
            "{name} has no answer for {} at {} with {}{why}; say one before the call: mock.{line}",
            call.path(),
            call.node(),
            call.params_json()
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

/// A closure that panicked has failed its test; what it left behind is whole as far as the mock is concerned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(number: usize) -> String {
    match number {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        _ => format!("{number} times"),
    }
}

impl fmt::Debug for ServiceMock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct(self.0.name).field("expectations", &state.rules.len()).field("calls", &state.calls).finish()
    }
}

/// What a test said of a method, to be narrowed. It holds as it is already: nothing has to be done with this.
///
/// Expectations of a target ([`at`](Self::at)) are looked at before those of all targets; among equals, the first that was said and is not
/// used up answers. So a queue of answers is a few expectations for [`once`](Self::once) each.
#[derive(Clone)]
pub struct Expectation {
    mock: ServiceMock,
    place: usize,
}

impl Expectation {
    /// Answers only calls that reach a node which fits: by its id, its role, a capability.
    #[allow(clippy::return_self_not_must_use, reason = "the expectation holds whether or not this is looked at")]
    pub fn at(self, target: impl Into<One>) -> Self {
        let target = target.into();
        self.change(|rule| rule.at = Some(target));
        self
    }

    /// Answers one call, and no more; [`verify`](ServiceMock::verify) then asks that it came.
    #[allow(clippy::return_self_not_must_use, reason = "the expectation holds whether or not this is looked at")]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Answers this many calls, and no more; [`verify`](ServiceMock::verify) then asks that all came. With 0, none may come.
    #[allow(clippy::return_self_not_must_use, reason = "the expectation holds whether or not this is looked at")]
    pub fn times(self, times: usize) -> Self {
        self.change(|rule| rule.times = Some(times));
        self
    }

    /// How many calls it answered so far.
    pub fn answered(&self) -> usize {
        self.mock.state().rules.get(self.place).map_or(0, |rule| rule.answered)
    }

    fn change(&self, change: impl FnOnce(&mut Rule)) {
        if let Some(rule) = self.mock.state().rules.get_mut(self.place) {
            change(rule);
        }
    }
}

impl fmt::Debug for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expectation").field("mock", &self.mock.0.name).field("answered", &self.answered()).finish_non_exhaustive()
    }
}

/// What a test said of a mock and what did not come true, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{mock} was not called as the test said:\n  {}", .unmet.join("\n  "))]
pub struct Unmet {
    mock: &'static str,
    unmet: Vec<String>,
}
