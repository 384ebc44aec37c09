//! How well services are: what each says of itself when it is asked.
//!
//! ```text
//! async fn health(&self) -> Health --every 10 s--> HealthBoard -> /health, /services
//!                                                             -> the node's announcement -> callers, who avoid the unhealthy
//! ```

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures::future::join_all;
use p2p_client::protocol::ServiceHealth;
use serde::{Deserialize, Serialize};

use crate::context::Context;

/// How long a service may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// How well a service is. Returned by its `async fn health(&self) -> Health`; one that has none is healthy as long as it is hosted.
///
/// ```
/// use p2p_runtime::prelude::*;
///
/// #[derive(Default)]
/// pub struct Printer {
///     sheets: std::sync::atomic::AtomicU32,
/// }
///
/// #[service]
/// impl Printer {
///     #[service_method]
///     pub async fn print(&self, text: &str) -> Result<()> {
///         Ok(())
///     }
///
///     async fn health(&self) -> Health {
///         match self.sheets.load(std::sync::atomic::Ordering::Relaxed) {
///             0 => Health::unhealthy("out of paper"),
///             1..10 => Health::degraded("nearly out of paper"),
///             _ => Health::healthy(),
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Whether it can take calls.
    pub status: ServiceHealth,
    /// What is wrong, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// All is well.
    pub fn healthy() -> Self {
        Self::default()
    }

    /// It takes calls, but something is wrong.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self { status: ServiceHealth::Degraded, reason: Some(reason.into()) }
    }

    /// It cannot do its work. Calls go to other hosts, where there are any that are better.
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self { status: ServiceHealth::Unhealthy, reason: Some(reason.into()) }
    }
}

/// A future that ends with what a service says of itself.
pub type HealthFuture = Pin<Box<dyn Future<Output = Health> + Send>>;
pub(super) type HealthHook = Arc<dyn Fn(Context) -> HealthFuture + Send + Sync>;

/// What the services with a health check of their own said last, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthBoard(Arc<ArcSwap<BTreeMap<String, Health>>>);

impl HealthBoard {
    /// What was said last.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, Health>> {
        self.0.load_full()
    }

    /// Notes what was said, and tells whether callers have to know of a change.
    pub(super) fn note(&self, said: BTreeMap<String, Health>) -> bool {
        let before = self.0.swap(Arc::new(said));
        let now = self.0.load();
        let status =
            |said: &BTreeMap<String, Health>, name: &String| said.get(name).map(|health| health.status).unwrap_or_default();
        before.keys().chain(now.keys()).any(|name| status(&before, name) != status(&now, name))
    }
}

/// Asks these services how they are, side by side. One that takes too long or panics is not well.
pub(super) async fn ask(hooks: Vec<(String, HealthHook)>, cx: &Context) -> BTreeMap<String, Health> {
    let asked = hooks.into_iter().map(|(name, hook)| async move {
        let health = ask_one(&hook, &cx.of_service(&name)).await;
        if health.status != ServiceHealth::Healthy {
            tracing::warn!(service = %name, reason = health.reason.as_deref(), "is {:?}", health.status);
        }
        (name, health)
    });
    join_all(asked).await.into_iter().collect()
}

async fn ask_one(hook: &HealthHook, cx: &Context) -> Health {
    let (hook, cx) = (hook.clone(), cx.clone());
    // A task of its own, so that a panic is its own.
    let mut asking = tokio::spawn(async move { hook(cx).await });
    match tokio::time::timeout(PATIENCE, &mut asking).await {
        Ok(Ok(health)) => health,
        Ok(Err(_)) => Health::unhealthy("its health check panicked; the node's log says where"),
        Err(_) => {
            asking.abort();
            Health::unhealthy(format!("its health check took longer than {} s", PATIENCE.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook<F: Future<Output = Health> + Send + 'static>(health: impl Fn() -> F + Send + Sync + 'static) -> HealthHook {
        Arc::new(move |_| Box::pin(health()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_health_check_that_hangs_or_panics_is_that_of_an_unhealthy_service_and_delays_no_other() {
        let hooks = vec![
            ("fine".to_owned(), hook(|| async { Health::healthy() })),
            ("hangs".to_owned(), hook(std::future::pending)),
            ("panics".to_owned(), hook(|| async { panic!("expected by this test") })),
        ];
        let said = ask(hooks, &Context::for_tests()).await;
        assert_eq!(said["fine"], Health::healthy());
        assert_eq!(said["hangs"], Health::unhealthy("its health check took longer than 5 s"));
        assert_eq!(said["panics"], Health::unhealthy("its health check panicked; the node's log says where"));
    }

    #[test]
    fn callers_have_to_know_of_a_status_that_changed_and_not_of_another_reason() {
        let board = HealthBoard::default();
        let said = |health: Health| BTreeMap::from([("printer".to_owned(), health)]);
        assert!(!board.note(said(Health::healthy())), "as was assumed");
        assert!(board.note(said(Health::degraded("few sheets"))));
        assert!(!board.note(said(Health::degraded("fewer sheets"))));
        assert_eq!(board.all()["printer"].reason.as_deref(), Some("fewer sheets"));
        assert!(board.note(BTreeMap::new()), "it is hosted no longer");
    }
}
