//! Whether the build that is measured has its checks: tried once for each pair of nodes, before anything is measured on it.
//!
//! What was left out to be quicker would be found here: access, deadlines, cancellation, and the judgement of methods and params. A pair
//! that lacks one is not measured.

use std::{future::pending, time::Duration};

use anyhow::{Context as _, Result, ensure};
use p2p_services::prelude::*;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// How long a node may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

type Answer<T> = p2p_services::prelude::Result<T>;

/// What is called to see whether calls are checked.
#[derive(Default)]
pub(crate) struct Checked {
    began: Events,
    dropped: Events,
}

/// Something that happens again and again, and can be waited for.
struct Events(Semaphore);

impl Default for Events {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Events {
    fn note(&self) {
        self.0.add_permits(1);
    }

    async fn next(&self) -> Answer<()> {
        self.0.acquire().await?.forget();
        Ok(())
    }
}

/// Notes that a method's future was dropped.
struct NoteDrop<'a>(&'a Events);

impl Drop for NoteDrop<'_> {
    fn drop(&mut self) {
        self.0.note();
    }
}

#[service(version = "1.0.0")]
impl Checked {
    /// Not for the client, which is a worker.
    #[service_method(role = "coordinator")]
    async fn for_coordinators(&self) -> Answer<()> {
        Ok(())
    }

    /// Never answers.
    #[service_method]
    async fn wait(&self) -> Answer<()> {
        let _noted = NoteDrop(&self.dropped);
        self.began.note();
        pending().await
    }

    /// Answers once a call that waits has begun.
    #[service_method]
    async fn began(&self) -> Answer<()> {
        self.began.next().await
    }

    /// Answers once a call that waited was dropped.
    #[service_method]
    async fn dropped(&self) -> Answer<()> {
        self.dropped.next().await
    }

    /// Takes a number.
    #[service_method]
    async fn number(&self, n: u32) -> Answer<u32> {
        Ok(n)
    }
}

/// Tries every check on the server's node.
///
/// # Errors
/// Which one does not hold.
pub(super) async fn hold(proxy: &Proxy, server: &NodeId) -> Result<()> {
    access(proxy, server).await.context("access")?;
    deadline(proxy, server).await.context("deadlines")?;
    cancellation(proxy, server).await.context("cancellation")?;
    judgement(proxy, server).await.context("the judgement of calls")
}

async fn access(proxy: &Proxy, server: &NodeId) -> Result<()> {
    let checked = proxy.checked().on(server);
    let refused = checked.for_coordinators().await;
    ensure!(matches!(refused, Err(CallError::Denied(_))), "a worker called what is for coordinators, and got {refused:?}");
    Ok(())
}

async fn deadline(proxy: &Proxy, server: &NodeId) -> Result<()> {
    let checked = proxy.checked().on(server);
    let began = Instant::now();
    let late = checked.wait().timeout(SHORT).await;
    ensure!(matches!(late, Err(CallError::Deadline { .. })), "a call that is never answered ended with {late:?}");
    ensure!(began.elapsed() < PATIENCE, "a call with a time of {SHORT:?} ended after {:?}", began.elapsed());
    checked.began().await?;
    // The server ends it as well.
    timeout(PATIENCE, checked.dropped()).await.context("its method ran on")?.map_err(Into::into)
}

async fn cancellation(proxy: &Proxy, server: &NodeId) -> Result<()> {
    let checked = proxy.checked().on(server);
    let mut waiting = Box::pin(checked.wait());
    // It is begun, and then nobody waits for it any more.
    tokio::select! {
        ended = &mut waiting => anyhow::bail!("a call that is never answered ended with {ended:?}"),
        began = checked.began() => began?,
    }
    drop(waiting);
    timeout(PATIENCE, checked.dropped()).await.context("the method of a call that was dropped ran on")?.map_err(Into::into)
}

async fn judgement(proxy: &Proxy, server: &NodeId) -> Result<()> {
    let unknown = proxy.call("checked/nothing", ()).on(server).await;
    ensure!(matches!(unknown, Err(CallError::NotFound(_))), "a method that there is not answered {unknown:?}");
    let wrong = proxy.call("checked/number", serde_json::json!({ "n": "one" })).on(server).await;
    ensure!(matches!(wrong, Err(CallError::InvalidParams(_))), "a text in the place of a number was answered by {wrong:?}");
    let right = proxy.call("checked/number", serde_json::json!({ "n": 1 })).on(server).await?;
    ensure!(right.get() == "1", "the number 1 came back as {right}");
    Ok(())
}
