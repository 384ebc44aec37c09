//! [`Component`]: a part of a node with a lifecycle, and the order in which components start and stop.
//!
//! Components name what they depend on. [`Components`] works out an order before anything starts, starts in it, and stops
//! in reverse. When one fails to start, those that run are stopped again.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use p2p_client::service::{Error, Result};

use crate::context::Context;

/// A part of the node that starts and stops with it.
///
/// ```
/// use p2p_runtime::prelude::*;
///
/// struct Mailer;
///
/// impl Component for Mailer {
///     fn name(&self) -> &'static str {
///         "mailer"
///     }
///
///     fn dependencies(&self) -> &'static [&'static str] {
///         &["cache"] // it starts after the cache, and stops before it
///     }
///
///     async fn start(&self, cx: &Context) -> Result<()> {
///         cx.provide(MailQueue::default());
///         Ok(())
///     }
///
///     async fn stop(&self, _: &Context) -> Result<()> {
///         Ok(())
///     }
/// }
///
/// #[derive(Default)]
/// struct MailQueue;
/// ```
pub trait Component: Send + Sync + 'static {
    /// The component's name, unique in its node.
    fn name(&self) -> &'static str;

    /// The names of the components that run before this one starts and after it has stopped.
    fn dependencies(&self) -> &'static [&'static str] {
        &[]
    }

    /// Starts it. What it depends on runs.
    fn start(&self, cx: &Context) -> impl Future<Output = Result<()>> + Send;

    /// Stops it. What it depends on still runs. It is called once, and also where `start` failed half way.
    fn stop(&self, cx: &Context) -> impl Future<Output = Result<()>> + Send;
}

type LifecycleFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// [`Component`] as an object.
pub(crate) trait AnyComponent: Send + Sync {
    fn name(&self) -> &'static str;
    fn dependencies(&self) -> &'static [&'static str];
    fn start<'a>(&'a self, cx: &'a Context) -> LifecycleFuture<'a>;
    fn stop<'a>(&'a self, cx: &'a Context) -> LifecycleFuture<'a>;
}

impl<C: Component> AnyComponent for C {
    fn name(&self) -> &'static str {
        Component::name(self)
    }
    fn dependencies(&self) -> &'static [&'static str] {
        Component::dependencies(self)
    }
    fn start<'a>(&'a self, cx: &'a Context) -> LifecycleFuture<'a> {
        Box::pin(Component::start(self, cx))
    }
    fn stop<'a>(&'a self, cx: &'a Context) -> LifecycleFuture<'a> {
        Box::pin(Component::stop(self, cx))
    }
}

/// Where a component is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ComponentState {
    /// Not started yet.
    NotInitialized,
    /// `start` runs.
    Initializing,
    /// Started.
    Running,
    /// `stop` runs.
    Stopping,
    /// Stopped.
    Stopped,
    /// `start` or `stop` failed, or what it runs ended by itself.
    Error,
}

impl fmt::Display for ComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotInitialized => "not initialized",
            Self::Initializing => "initializing",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Error => "error",
        })
    }
}

/// What is known of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentStatus {
    /// Its name.
    pub name: &'static str,
    /// Where it is in its life.
    pub state: ComponentState,
    /// How long ago it began to run.
    pub running_for: Option<Duration>,
    /// How often it failed: to start, to stop, or while it ran.
    pub error_count: u32,
}

/// A set of components that cannot be started, or one of them that could not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// Two have the same name.
    #[error("two components are called {0:?}; a name stands for one component")]
    Duplicate(&'static str),
    /// One depends on what is not there.
    #[error("component {component:?} depends on {missing:?}, which is not there; the components are: {known}")]
    Missing {
        /// Which one.
        component: &'static str,
        /// What it wants.
        missing: &'static str,
        /// What there is.
        known: String,
    },
    /// They wait for each other.
    #[error("components depend on each other in a circle: {0}")]
    Cycle(String),
    /// One failed to start. Those that ran were stopped again.
    #[error("component {component:?} did not start: {reason}")]
    Start {
        /// Which one.
        component: &'static str,
        /// What it said.
        reason: Error,
    },
    /// There is none of this name.
    #[error("there is no component {name:?}; the components are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
}

/// A node's components and their states.
#[derive(Clone, Default)]
pub(crate) struct Components(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// In starting order.
    ordered: Vec<Arc<dyn AnyComponent>>,
    states: Mutex<BTreeMap<&'static str, Record>>,
}

/// The components as the context knows them. They hold the context, so it must not hold them.
pub(crate) struct WeakComponents(Weak<Inner>);

impl WeakComponents {
    /// The components, while their node lives.
    pub(crate) fn upgrade(&self) -> Option<Components> {
        self.0.upgrade().map(Components)
    }
}

struct Record {
    state: ComponentState,
    started: Option<Instant>,
    errors: u32,
}

impl Components {
    /// Puts components in an order in which each comes after what it depends on; otherwise as they were given.
    pub(crate) fn new(components: Vec<Arc<dyn AnyComponent>>) -> Result<Self, ComponentError> {
        let ordered = in_order(components)?;
        let fresh = |component: &Arc<dyn AnyComponent>| {
            (component.name(), Record { state: ComponentState::NotInitialized, started: None, errors: 0 })
        };
        let states = Mutex::new(ordered.iter().map(fresh).collect());
        Ok(Self(Arc::new(Inner { ordered, states })))
    }

    /// A handle that does not keep them.
    pub(crate) fn downgrade(&self) -> WeakComponents {
        WeakComponents(Arc::downgrade(&self.0))
    }

    /// Starts all. When one fails, stops those that were started, and says which failed.
    pub(crate) async fn start(&self, cx: &Context) -> Result<(), ComponentError> {
        for (index, component) in self.0.ordered.iter().enumerate() {
            let name = component.name();
            self.set(name, ComponentState::Initializing);
            if let Err(error) = component.start(&cx.of_component(name)).await {
                self.set(name, ComponentState::Error);
                tracing::error!(component = name, %error, "did not start");
                self.stop_first(index + 1, cx).await;
                return Err(ComponentError::Start { component: name, reason: error });
            }
            self.set(name, ComponentState::Running);
            tracing::debug!(component = name, "running");
        }
        Ok(())
    }

    /// Stops all, the last started first. One that fails does not keep the others from stopping.
    pub(crate) async fn stop(&self, cx: &Context) {
        self.stop_first(self.0.ordered.len(), cx).await;
    }

    async fn stop_first(&self, count: usize, cx: &Context) {
        for component in self.0.ordered[..count].iter().rev() {
            let name = component.name();
            let failed_to_start = self.state(name) == Some(ComponentState::Error);
            if !failed_to_start {
                self.set(name, ComponentState::Stopping);
            }
            match component.stop(&cx.of_component(name)).await {
                Ok(()) if failed_to_start => {}
                Ok(()) => self.set(name, ComponentState::Stopped),
                Err(error) => {
                    self.set(name, ComponentState::Error);
                    tracing::error!(component = name, %error, "did not stop cleanly");
                }
            }
        }
    }

    /// The components, in starting order.
    pub(crate) fn list(&self) -> Vec<ComponentStatus> {
        self.0.ordered.iter().filter_map(|component| self.get(component.name()).ok()).collect()
    }

    /// What is known of one.
    pub(crate) fn get(&self, name: &str) -> Result<ComponentStatus, ComponentError> {
        let states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get_key_value(name) {
            Some((name, record)) => Ok(ComponentStatus {
                name,
                state: record.state,
                running_for: record.started.map(|started| started.elapsed()),
                error_count: record.errors,
            }),
            None => {
                let known = states.keys().copied().collect::<Vec<_>>().join(", ");
                Err(ComponentError::Unknown { name: name.to_owned(), known })
            }
        }
    }

    /// What this one runs has ended by itself.
    pub(crate) fn failed(&self, name: &'static str) {
        self.set(name, ComponentState::Error);
    }

    /// What had ended by itself runs again.
    pub(crate) fn recovered(&self, name: &'static str) {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have begun to stop meanwhile.
        if let Some(record) = states.get_mut(name).filter(|record| record.state == ComponentState::Error) {
            record.state = ComponentState::Running;
        }
    }

    fn state(&self, name: &str) -> Option<ComponentState> {
        self.get(name).ok().map(|status| status.state)
    }

    fn set(&self, name: &'static str, state: ComponentState) {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = states.get_mut(name) {
            record.state = state;
            match state {
                ComponentState::Running => record.started = Some(Instant::now()),
                ComponentState::Error => record.errors = record.errors.saturating_add(1),
                _ => {}
            }
        }
    }
}

/// Kahn's algorithm, which keeps the given order among components that do not depend on each other.
fn in_order(mut waiting: Vec<Arc<dyn AnyComponent>>) -> Result<Vec<Arc<dyn AnyComponent>>, ComponentError> {
    let names: Vec<_> = waiting.iter().map(|component| component.name()).collect();
    if let Some((_, twice)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        return Err(ComponentError::Duplicate(twice));
    }
    for component in &waiting {
        if let Some(missing) = component.dependencies().iter().find(|dependency| !names.contains(dependency)) {
            return Err(ComponentError::Missing { component: component.name(), missing, known: names.join(", ") });
        }
    }
    let mut ordered: Vec<Arc<dyn AnyComponent>> = Vec::new();
    while !waiting.is_empty() {
        let is_done = |name: &&str| ordered.iter().any(|done| done.name() == *name);
        match waiting.iter().position(|component| component.dependencies().iter().all(is_done)) {
            Some(next) => ordered.push(waiting.remove(next)),
            None => {
                let circle: Vec<_> = waiting
                    .iter()
                    .map(|component| format!("{} (needs {})", component.name(), component.dependencies().join(", ")))
                    .collect();
                return Err(ComponentError::Cycle(circle.join(", ")));
            }
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Part {
        name: &'static str,
        needs: &'static [&'static str],
        log: Arc<Mutex<Vec<String>>>,
        fails: bool,
    }

    impl Component for Part {
        fn name(&self) -> &'static str {
            self.name
        }
        fn dependencies(&self) -> &'static [&'static str] {
            self.needs
        }
        async fn start(&self, _: &Context) -> Result<()> {
            self.log.lock().unwrap().push(format!("+{}", self.name));
            if self.fails { Err(Error::msg("no luck")) } else { Ok(()) }
        }
        async fn stop(&self, _: &Context) -> Result<()> {
            self.log.lock().unwrap().push(format!("-{}", self.name));
            Ok(())
        }
    }

    fn parts(log: &Arc<Mutex<Vec<String>>>, of: &[(&'static str, &'static [&'static str], bool)]) -> Vec<Arc<dyn AnyComponent>> {
        of.iter()
            .map(|&(name, needs, fails)| Arc::new(Part { name, needs, log: log.clone(), fails }) as Arc<dyn AnyComponent>)
            .collect()
    }

    #[tokio::test]
    async fn components_start_after_what_they_need_and_stop_in_reverse() {
        let log = Arc::default();
        let parts = parts(
            &log,
            &[("web", &["service"], false), ("service", &["net", "cache"], false), ("cache", &[], false), ("net", &[], false)],
        );
        let components = Components::new(parts).unwrap();
        let cx = Context::for_tests();
        components.start(&cx).await.unwrap();
        assert!(components.list().iter().all(|part| part.state == ComponentState::Running && part.running_for.is_some()));
        components.stop(&cx).await;
        assert_eq!(log.lock().unwrap().join(" "), "+cache +net +service +web -web -service -net -cache");
        assert!(components.list().iter().all(|part| part.state == ComponentState::Stopped));
    }

    #[tokio::test]
    async fn when_one_does_not_start_those_before_it_are_stopped_and_it_is_named() {
        let log = Arc::default();
        let components = Components::new(parts(&log, &[("a", &[], false), ("b", &["a"], true), ("c", &["b"], false)])).unwrap();
        let cx = Context::for_tests();
        let said = components.start(&cx).await.unwrap_err().to_string();
        assert_eq!(said, "component \"b\" did not start: no luck");
        assert_eq!(log.lock().unwrap().join(" "), "+a +b -b -a");
        let b = components.get("b").unwrap();
        assert_eq!((b.state, b.error_count), (ComponentState::Error, 1));
        assert_eq!(components.get("c").unwrap().state, ComponentState::NotInitialized);
    }

    #[test]
    fn a_circle_a_gap_and_a_double_are_refused_before_anything_starts() {
        let log = Arc::default();
        let said = |of: &[(&'static str, &'static [&'static str], bool)]| match Components::new(parts(&log, of)) {
            Ok(_) => panic!("it was taken"),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            said(&[("a", &["b"], false), ("b", &["a"], false)]),
            "components depend on each other in a circle: a (needs b), b (needs a)"
        );
        assert_eq!(said(&[("a", &["x"], false)]), "component \"a\" depends on \"x\", which is not there; the components are: a");
        assert_eq!(
            said(&[("a", &[], false), ("a", &[], false)]),
            "two components are called \"a\"; a name stands for one component"
        );
        assert!(log.lock().unwrap().is_empty());
    }
}
