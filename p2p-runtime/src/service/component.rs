//! The component `service`: runs the services, and tells the cluster what this node hosts.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use p2p_client::{
    protocol::{ServiceHealth, ServiceSummary},
    service::Result,
};
use tokio_util::sync::CancellationToken;

use crate::{component::Component, context::Context};

use super::{Registry, ServiceManager};

/// Starts and stops services, and keeps the node's announcement of them up to date.
pub(crate) struct ServiceComponent {
    manager: ServiceManager,
    announcing: Mutex<Option<CancellationToken>>,
}

impl ServiceComponent {
    pub(crate) fn new(manager: ServiceManager) -> Self {
        Self { manager, announcing: Mutex::default() }
    }
}

impl Component for ServiceComponent {
    fn name(&self) -> &'static str {
        "service"
    }

    fn dependencies(&self) -> &'static [&'static str] {
        &["network", "cache"]
    }

    async fn start(&self, cx: &Context) -> Result<()> {
        let changes = cx.registry().changes();
        self.manager.start(cx).await?;
        announce(cx).await;
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow(cx.clone(), changes)));
        *self.announcing.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        Ok(())
    }

    async fn stop(&self, cx: &Context) -> Result<()> {
        if let Some(announcing) = self.announcing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            announcing.cancel();
        }
        self.manager.stop(cx).await;
        Ok(())
    }
}

/// Tells the cluster of every later change: methods can be registered while the node runs.
async fn follow(cx: Context, mut changes: tokio::sync::watch::Receiver<u64>) {
    changes.mark_unchanged();
    eprintln!("DBG follow");
    while changes.changed().await.is_ok() {
    eprintln!("DBG changed");
        announce(&cx).await;
    }
}

async fn announce(cx: &Context) {
    let Some(membership) = cx.membership() else { return };
    let services = summaries(cx.registry());
    if let Err(error) = membership.update_me(move |me| me.services = services).await {
        tracing::error!(%error, "the cluster could not be told what this node hosts");
    }
}

fn summaries(registry: &Registry) -> BTreeMap<String, ServiceSummary> {
    let summary = |service: super::registry::ServiceListing| {
        let descriptor = service.descriptor;
        let summary = ServiceSummary {
            version: descriptor.version.to_string(),
            fingerprint: descriptor.fingerprint(),
            health: ServiceHealth::Healthy,
        };
        (descriptor.name.into_owned(), summary)
    };
    registry.list().into_iter().map(summary).collect()
}
