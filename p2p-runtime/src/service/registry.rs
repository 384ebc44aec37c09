//! [`Registry`]: the table of what this node hosts, the single source of truth for it.

use std::{any::TypeId, fmt, future::Future, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use p2p_client::{
    call::unknown_method,
    protocol::{ErrorCode, RpcError, ServiceDescriptor},
    service::{CallContext, HostedService, MethodSnapshot, MethodSpec, Result},
};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use super::{
    described::{DescribedCall, DescribedService},
    dynamic::DynamicService,
};

type Table = FxHashMap<Box<str>, Arc<dyn HostedService>>;

/// What this node hosts. Cloning it gives another handle on the same table; reading it takes no lock.
#[derive(Clone)]
pub struct Registry {
    table: Arc<ArcSwap<Table>>,
    /// Counts changes, so that what the cluster is told can follow.
    changes: Arc<watch::Sender<u64>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { table: Arc::default(), changes: Arc::new(watch::Sender::new(0)) }
    }
}

/// Why a service or method was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two services of one name.
    #[error("two services are called {0:?}; give one another name: #[service(name = \"…\")]")]
    Duplicate(String),
    /// Not `service/method`.
    #[error("{0:?} is no path of a method; write service/method, each of a-z, 0-9 and _, a letter first")]
    InvalidPath(String),
    /// The service was written with `#[service]`, or described as a whole, and has the methods that it has.
    #[error("service {0:?} has the methods with which it was written or described; none can be added to it, nor taken away")]
    NotDynamic(String),
    /// A description that no service can have.
    #[error("the description of service {service:?} cannot be used: {reason}")]
    BadDescriptor {
        /// The name that it gives.
        service: String,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing of this name that was registered at run time.
    #[error("nothing was registered at run time as {name:?}; there are: {known}")]
    NotRegistered {
        /// The service, or the path of the method.
        name: String,
        /// What was registered at run time.
        known: String,
    },
}

/// One hosted service, as [`Registry::list`] shows it.
#[derive(Debug, Clone)]
pub struct ServiceListing {
    /// The service's description.
    pub descriptor: ServiceDescriptor,
    /// Each method's counters, in the order of the description.
    pub counters: Vec<MethodSnapshot>,
}

impl Registry {
    /// The service of this name.
    pub fn get(&self, service: &str) -> Option<Arc<dyn HostedService>> {
        self.table.load().get(service).cloned()
    }

    /// The service and the method that a path names.
    ///
    /// # Errors
    /// `method_not_found`, which lists what there is.
    pub fn find(&self, service: &str, method: &str) -> Result<(Arc<dyn HostedService>, MethodSpec), RpcError> {
        let Some(hosted) = self.get(service) else {
            return Err(RpcError::new(
                ErrorCode::METHOD_NOT_FOUND,
                format!("there is no service {service:?} on this node; it hosts: {}", self.names().join(", ")),
            ));
        };
        match hosted.method(method).cloned() {
            Some(spec) => Ok((hosted, spec)),
            None => Err(unknown_method(&*hosted, method)),
        }
    }

    /// The names of the hosted services, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.table.load().keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    /// What is hosted, sorted by name.
    pub fn list(&self) -> Vec<ServiceListing> {
        let table: Guard<Arc<Table>> = self.table.load();
        let mut services: Vec<_> = table.values().collect();
        services.sort_by(|a, b| a.spec().name.cmp(&b.spec().name));
        let listing = |service: &Arc<dyn HostedService>| ServiceListing {
            descriptor: service.describe(),
            counters: (0..service.spec().methods.len())
                .map(|index| service.stats(index).map(p2p_client::service::MethodStats::snapshot).unwrap_or_default())
                .collect(),
        };
        services.into_iter().map(listing).collect()
    }

    /// Changes as they are made, after which what is hosted should be looked at again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Adds a service.
    ///
    /// # Errors
    /// When there is one of the same name.
    pub(crate) fn insert(&self, service: &Arc<dyn HostedService>) -> Result<(), RegistryError> {
        let name: Box<str> = service.spec().name.as_ref().into();
        let mut taken = false;
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            taken = table.contains_key(&name);
            if !taken {
                table.insert(name.clone(), service.clone());
            }
            table
        });
        if taken {
            return Err(RegistryError::Duplicate(name.into()));
        }
        self.changed();
        Ok(())
    }

    /// Takes a service away.
    pub(crate) fn remove(&self, service: &str) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            table.remove(service);
            table
        });
        self.changed();
    }

    /// Takes all services away, also those that were registered at run time: the node stops.
    pub(crate) fn clear(&self) {
        self.table.store(Arc::default());
        self.changed();
    }

    /// Adds or replaces a method that exists only at run time.
    pub(crate) fn register_method<P, T, F, R>(&self, path: &str, handler: F) -> Result<(), RegistryError>
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        T: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(CallContext, P) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        let (service, method) = path
            .split_once('/')
            .filter(|(service, method)| is_wire_name(service) && is_wire_name(method))
            .ok_or_else(|| RegistryError::InvalidPath(path.to_owned()))?;
        let added = super::dynamic::method(service, method, handler);
        let mut refused = false;
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            let earlier = table.get(service).map(|hosted| hosted.clone().into_any().downcast::<DynamicService>());
            match earlier {
                None => {
                    table.insert(service.into(), Arc::new(DynamicService::new(service).with(added.clone())));
                }
                Some(Ok(dynamic)) => {
                    table.insert(service.into(), Arc::new(dynamic.with(added.clone())));
                }
                Some(Err(_)) => refused = true,
            }
            table
        });
        if refused {
            return Err(RegistryError::NotDynamic(service.to_owned()));
        }
        self.changed();
        Ok(())
    }

    /// Adds a service that has a description and one handler for all its methods.
    pub(crate) fn register_service<T, F, R>(&self, descriptor: ServiceDescriptor, handler: F) -> Result<(), RegistryError>
    where
        T: Serialize + Send + 'static,
        F: Fn(CallContext, DescribedCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        let service: Arc<dyn HostedService> = Arc::new(DescribedService::new(descriptor, handler)?);
        self.insert(&service)
    }

    /// Takes away a service that was registered at run time, as a whole or by its methods. Calls that run end as they would.
    pub(crate) fn unregister_service(&self, service: &str) -> Result<(), RegistryError> {
        let mut refused = Ok(());
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            refused = match table.get(service) {
                Some(hosted) if is_of_run_time(hosted) => Ok(()),
                _ => Err(RegistryError::NotRegistered { name: service.to_owned(), known: registered(&table) }),
            };
            if refused.is_ok() {
                table.remove(service);
            }
            table
        });
        refused?;
        self.changed();
        Ok(())
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.names()).finish()
    }
}

/// Whether a service was registered while the node runs.
fn is_of_run_time(hosted: &Arc<dyn HostedService>) -> bool {
    [TypeId::of::<DynamicService>(), TypeId::of::<DescribedService>()].contains(&hosted.type_of())
}

/// The names of what was registered while the node runs.
fn registered(table: &Table) -> String {
    let mut names: Vec<&str> = table.iter().filter(|(_, hosted)| is_of_run_time(hosted)).map(|(name, _)| &**name).collect();
    names.sort_unstable();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

pub(super) fn is_wire_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
