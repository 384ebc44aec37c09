//! [`RunningConfig`]: the configuration of a node that runs, of which some can change.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use p2p_client::protocol::Access;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::{
    limits::{Limits, addresses::TrustedProxies},
    web::rpc::BodyLimits,
};

use super::{HttpAccess, NodeConfig, RateLimitConfig};

/// What the program says in the place of the configuration, whatever that says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) documents: Option<Access>,
    pub(crate) body_limits: Option<BodyLimits>,
    pub(crate) rate_limit: Option<RateLimitConfig>,
}

/// What can change while the node runs.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) http_access: HttpAccess,
    pub(crate) body_limits: BodyLimits,
    pub(crate) proxies: TrustedProxies,
}

/// The configuration of a running node. Clones are the same.
#[derive(Clone)]
pub(crate) struct RunningConfig {
    inner: Arc<Inner>,
}

struct Inner {
    overrides: Overrides,
    limits: Arc<Limits>,
    live: ArcSwap<Live>,
    changing: Mutex<()>,
    current: watch::Sender<Arc<NodeConfig>>,
}

impl RunningConfig {
    pub(crate) fn new(config: NodeConfig, overrides: Overrides) -> Self {
        let limits = Limits::new(overrides.rate_limit(&config));
        let live = ArcSwap::from_pointee(overrides.live(&config));
        let (current, _) = watch::channel(Arc::new(config));
        Self { inner: Arc::new(Inner { overrides, limits, live, changing: Mutex::default(), current }) }
    }

    /// What counts now.
    pub(crate) fn live(&self) -> Guard<Arc<Live>> {
        self.inner.live.load()
    }

    /// How many calls are taken of whom.
    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.inner.limits
    }

    /// The configuration, and every later one.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<NodeConfig>> {
        self.inner.current.subscribe()
    }

    /// Held by whoever changes what is stored, until it is taken over.
    pub(crate) async fn changing(&self) -> MutexGuard<'_, ()> {
        self.inner.changing.lock().await
    }

    /// Takes another configuration, as far as that goes without a restart.
    pub(crate) fn apply(&self, config: NodeConfig) {
        let Inner { overrides, limits, live, current, .. } = &*self.inner;
        limits.change(overrides.rate_limit(&config));
        live.store(Arc::new(overrides.live(&config)));
        current.send_replace(Arc::new(config));
    }
}

impl Overrides {
    fn live(&self, config: &NodeConfig) -> Live {
        let http_access = match &self.documents {
            Some(access) => HttpAccess {
                services: access.clone(),
                cluster_nodes: access.clone(),
                metrics: access.clone(),
                documents: access.clone(),
            },
            None => config.http_access.clone(),
        };
        let body_limits = self.body_limits.unwrap_or_else(|| BodyLimits::from(&config.connections));
        Live { http_access, body_limits, proxies: TrustedProxies::from(&config.proxies) }
    }

    fn rate_limit<'a>(&'a self, config: &'a NodeConfig) -> &'a RateLimitConfig {
        self.rate_limit.as_ref().unwrap_or(&config.rate_limit)
    }
}

impl fmt::Debug for RunningConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningConfig").field("live", &self.live()).finish_non_exhaustive()
    }
}
