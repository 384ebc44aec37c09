//! What has to run as long as the node does: where it ends by itself, that is said, and it begins again.
//!
//! It ends by itself only through a mistake in this program. A node that goes on without it would look whole and be deaf, which nobody
//! would notice; one that stopped would let whoever found the mistake stop all nodes. So its component is reported as failed, and it
//! begins anew.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinError, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::context::Context;

/// How long after its end something begins again: what ends it each time is not to occupy the machine.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs what `begin` gives until it is done; where either panics, says so in the name of this component, and begins again. `what` says in
/// the log what does not happen meanwhile.
pub(super) async fn keep_up<F>(
    component: &'static str,
    what: &'static str,
    cx: Context,
    begin: impl Fn() -> F + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let begin = Arc::new(begin);
    while let Err(lost) = run(begin.clone()).await {
        failed(component, &cx);
        tracing::error!(
            component,
            %lost,
            "{what} ended by itself; it begins again in {} s: please report this, with the lines before it",
            PAUSE.as_secs()
        );
        sleep(PAUSE).await;
        if let Some(components) = cx.all_components() {
            components.recovered(component);
        }
    }
}

/// Begins in a task of its own, so that a panic is its own, also one in the beginning; it goes with whoever waits for it.
async fn run<F>(begin: Arc<impl Fn() -> F + Send + Sync + 'static>) -> Result<(), JoinError>
where
    F: Future<Output = ()> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(async move { begin().await })).await
}

/// What this component runs has ended by itself.
pub(super) fn failed(component: &'static str, cx: &Context) {
    if let Some(components) = cx.all_components() {
        components.failed(component);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use p2p_client::service::Result;
    use tokio::{sync::Notify, time::Instant};

    use super::*;
    use crate::component::{Component, ComponentState, Components};

    struct Part;

    impl Component for Part {
        fn name(&self) -> &'static str {
            "part"
        }
        async fn start(&self, _: &Context) -> Result<()> {
            Ok(())
        }
        async fn stop(&self, _: &Context) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_by_itself_is_reported_and_begins_again_until_it_is_done() {
        let (cx, components) = (Context::for_tests(), Components::new(vec![Arc::new(Part)]).unwrap());
        cx.set_components(&components);
        components.start(&cx).await.unwrap();
        let (has_begun, tries, done) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let state = (has_begun.clone(), tries, done.clone());
        let begin = move || {
            let (has_begun, tries, done) = state.clone();
            async move {
                has_begun.notify_one();
                assert!(tries.fetch_add(1, Ordering::Relaxed) >= 2, "a mistake");
                done.notified().await;
            }
        };
        let kept = tokio::spawn(keep_up("part", "this", cx.clone(), begin));
        for ended in 0..3 {
            let at = Instant::now();
            has_begun.notified().await;
            assert_eq!(at.elapsed(), if ended == 0 { Duration::ZERO } else { PAUSE });
        }
        let status = components.get("part").unwrap();
        assert_eq!((status.state, status.error_count), (ComponentState::Running, 2));
        done.notify_one();
        kept.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_panics_before_it_has_begun_is_reported_and_begins_again_too() {
        let (cx, components) = (Context::for_tests(), Components::new(vec![Arc::new(Part)]).unwrap());
        cx.set_components(&components);
        components.start(&cx).await.unwrap();
        let tries = AtomicU32::new(0);
        let begin = move || {
            assert!(tries.fetch_add(1, Ordering::Relaxed) >= 2, "a mistake");
            async {}
        };
        keep_up("part", "this", cx, begin).await;
        let status = components.get("part").unwrap();
        assert_eq!((status.state, status.error_count), (ComponentState::Running, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_component_is_shown_as_failed_as_long_as_what_it_runs_does_not_and_stays_so_where_it_stops() {
        let (cx, components) = (Context::for_tests(), Components::new(vec![Arc::new(Part)]).unwrap());
        cx.set_components(&components);
        components.start(&cx).await.unwrap();
        failed("part", &cx);
        assert_eq!(components.get("part").unwrap().state, ComponentState::Error);
        components.recovered("part");
        assert_eq!(components.get("part").unwrap().state, ComponentState::Running);
        components.stop(&cx).await;
        components.recovered("part");
        assert_eq!(components.get("part").unwrap().state, ComponentState::Stopped, "it does not run again");
    }
}
