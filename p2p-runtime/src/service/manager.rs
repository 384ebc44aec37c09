//! [`ServiceManager`]: makes the services that this node hosts, starts them, and stops them.

use std::sync::{Mutex, PoisonError};

use p2p_client::service::{Error, Result};

use crate::{context::Context, node::NodeError};

use super::{
    Hosting, RegistryError, ServiceEntry, ServiceTable,
    health::{self, HealthHook},
};

/// Makes, starts and stops services: those handed to the node, and those that the program contains.
#[derive(Default)]
pub struct ServiceManager {
    /// Handed to the node, before it starts.
    given: Mutex<Vec<Hosting>>,
    /// Started, in order.
    running: Mutex<Vec<Hosting>>,
    /// Whether the services that the program contains are hosted without being named.
    discover: bool,
    /// The names of services without which the node does not start.
    expected: Vec<String>,
}

impl ServiceManager {
    pub(crate) fn new(given: Vec<Hosting>, discover: bool) -> Self {
        Self { given: Mutex::new(given), running: Mutex::default(), discover, expected: Vec::new() }
    }

    /// The same, which does not start without these services.
    pub(crate) fn expecting(mut self, expected: Vec<String>) -> Self {
        self.expected = expected;
        self
    }

    /// Makes all services and starts them, each before the next. One that fails stops the node from starting.
    pub(crate) async fn start(&self, cx: &Context) -> Result<()> {
        let given = std::mem::take(&mut *lock(&self.given));
        let names: Vec<_> = given.iter().map(|hosting| hosting.service.spec().name.clone()).collect();
        for hosting in given {
            self.host(hosting, cx).await?;
        }
        if self.discover {
            // What was handed in stands in the place of what the node would make by itself.
            for entry in inventory::iter::<ServiceEntry>.into_iter().filter(|entry| !names.contains(&(entry.spec)().name)) {
                self.host_entry(entry, cx).await?;
            }
        }
        let table = ServiceTable::of(cx.registry(), cx.role(), self.discover);
        let table = table.check(&self.expected, self.discover).map_err(NodeError::from)?;
        tracing::info!(node = %cx.node_id(), "services:\n{table}");
        Ok(())
    }

    async fn host_entry(&self, entry: &ServiceEntry, cx: &Context) -> Result<()> {
        let name = &(entry.spec)().name;
        if !entry.is_for(cx.role()) {
            return Ok(());
        }
        match (entry.make)(&cx.of_service(name)).await {
            Ok(Some(hosting)) => self.host(hosting, cx).await,
            Ok(None) => {
                tracing::debug!(service = %name, module = entry.module, "not hosted: it has neither Default nor `async fn new(cx: &Context)`; hand it to serve(…)");
                Ok(())
            }
            Err(error) => Err(Error::msg(format!("service {name:?} could not be made: {error}"))),
        }
    }

    async fn host(&self, hosting: Hosting, cx: &Context) -> Result<()> {
        let name = hosting.service.spec().name.clone();
        if cx.registry().get(&name).is_some() {
            return Err(RegistryError::Duplicate(name.into_owned()).into());
        }
        if let Some(initialize) = &hosting.initialize {
            initialize(cx.of_service(&name))
                .await
                .map_err(|error| Error::msg(format!("service {name:?} did not initialize: {error}")))?;
        }
        cx.registry().insert(&hosting.service)?;
        lock(&self.running).push(hosting);
        Ok(())
    }

    /// Asks the services that have a health check how they are, and tells whether callers have to know of a change.
    pub(crate) async fn check_health(&self, cx: &Context) -> bool {
        let said = health::ask(self.health_hooks(), cx).await;
        cx.health_board().note(said)
    }

    /// Whether there is anybody to ask.
    pub(crate) fn has_health_checks(&self) -> bool {
        !self.health_hooks().is_empty()
    }

    fn health_hooks(&self) -> Vec<(String, HealthHook)> {
        let running = lock(&self.running);
        let hook = |hosting: &Hosting| Some((hosting.service.spec().name.to_string(), hosting.health.clone()?));
        running.iter().filter_map(hook).collect()
    }

    /// Stops all services, the last started first. One that fails does not keep the others from stopping; the first such error is returned,
    /// and all are in the log.
    pub(crate) async fn stop(&self, cx: &Context) -> Result<()> {
        let mut outcome = Ok(());
        let running = std::mem::take(&mut *lock(&self.running));
        for hosting in running.into_iter().rev() {
            let name = hosting.service.spec().name.clone();
            cx.registry().remove(&name);
            if let Some(cleanup) = &hosting.cleanup
                && let Err(error) = cleanup(cx.of_service(&name)).await
            {
                tracing::error!(service = %name, %error, "did not clean up");
                outcome = outcome.and(Err(Error::msg(format!("service {name:?} did not clean up: {error}"))));
            }
        }
        // What was registered at run time has nobody to clean up after it, and may hold this very context.
        cx.registry().clear();
        outcome
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
