//! The component `service`: runs the services, and tells the cluster what this node hosts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use p2p_client::{
    protocol::{NodeInfo, ServiceSummary},
    service::Result,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{component::Component, context::Context};

use super::{Health, Registry, ServiceManager};

/// How often services are asked how they are.
const HEALTH_PERIOD: Duration = Duration::from_secs(10);

/// Starts and stops services.
pub(crate) struct ServiceComponent {
    manager: Arc<ServiceManager>,
    announcing: CancellationToken,
}

/// Tells the cluster what the services' node hosts, and keeps that up to date until the component stops.
pub(crate) struct Announcer {
    manager: Arc<ServiceManager>,
    stop: CancellationToken,
}

impl ServiceComponent {
    pub(crate) fn new(manager: ServiceManager) -> Self {
        Self { manager: Arc::new(manager), announcing: CancellationToken::new() }
    }

    /// What is to begin once the node takes calls.
    pub(crate) fn announcer(&self) -> Announcer {
        Announcer { manager: self.manager.clone(), stop: self.announcing.clone() }
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
        self.manager.start(cx).await?;
        self.manager.check_health(cx).await;
        Ok(())
    }

    async fn stop(&self, cx: &Context) -> Result<()> {
        self.announcing.cancel();
        // What did not clean up is in the log; the component itself has stopped all the same.
        let _told = self.manager.stop(cx).await;
        Ok(())
    }
}

impl Announcer {
    /// Tells the cluster for the first time. Before the node takes calls nobody is to know: they would be sent here, and refused.
    pub(crate) async fn begin(self, cx: &Context) {
        // Before the first announcement, so that what is registered during or right after it is announced too.
        let changes = cx.registry().changes();
        announce(cx).await;
        tokio::spawn(follow(cx.clone(), changes, self.stop.clone()));
        if self.manager.has_health_checks() {
            tokio::spawn(watch_health(cx.clone(), self.manager, self.stop));
        }
    }
}

/// Tells the cluster of every later change: methods can be registered while the node runs.
async fn follow(cx: Context, mut changes: tokio::sync::watch::Receiver<u64>, stop: CancellationToken) {
    loop {
        // Biased, as services that stop are changes as well, and by then there may be no cluster to tell.
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            heard = changes.changed() => if heard.is_err() { return },
        }
        announce(&cx).await;
    }
}

/// Asks the services how they are, and tells the cluster where that has changed.
async fn watch_health(cx: Context, manager: Arc<ServiceManager>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(HEALTH_PERIOD)).await.is_some() {
        if manager.check_health(&cx).await && !stop.is_cancelled() {
            announce(&cx).await;
        }
    }
}

async fn announce(cx: &Context) {
    let Some(membership) = cx.membership() else { return };
    let services = summaries(cx.registry(), &cx.health());
    let say = move |me: &mut NodeInfo| {
        me.services = services;
        me.metadata.remove(NodeInfo::STARTING);
    };
    if let Err(error) = membership.update_me(say).await {
        tracing::error!(%error, "the cluster could not be told what this node hosts; calls to it from other nodes fail until it can");
        // It has started all the same: nobody is to wait for it.
        let started = membership.update_me(|me| drop(me.metadata.remove(NodeInfo::STARTING))).await;
        started.unwrap_or_else(|error| tracing::error!(%error, "nor that it has started"));
    }
}

/// What the cluster is told of what is hosted.
pub(crate) fn summaries(registry: &Registry, health: &BTreeMap<String, Health>) -> BTreeMap<String, ServiceSummary> {
    let summary = |service: super::registry::ServiceListing| {
        let descriptor = service.descriptor;
        let health = health.get(&*descriptor.name).map(|health| health.status).unwrap_or_default();
        let summary = ServiceSummary { version: descriptor.version.to_string(), fingerprint: descriptor.fingerprint(), health };
        (descriptor.name.into_owned(), summary)
    };
    registry.list().into_iter().map(summary).collect()
}
