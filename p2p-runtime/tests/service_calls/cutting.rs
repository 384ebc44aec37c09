//! What ends a call early: its deadline, a panic, its caller going away. Nothing of it reaches beyond the call.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, poll};
use p2p_client::{call::CallError, protocol::Role};
use p2p_runtime::{
    prelude::{CallContext, Error, Result},
    service,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::cluster::Cluster;

#[derive(Default)]
struct Worker {
    go: Arc<Notify>,
    ended: Arc<Mutex<Option<oneshot::Sender<&'static str>>>>,
}

/// Tells how a method ended.
struct Ending(Arc<Mutex<Option<oneshot::Sender<&'static str>>>>);

impl Ending {
    fn tell(&self, how: &'static str) {
        if let Some(tell) = self.0.lock().unwrap().take() {
            let _ = tell.send(how);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.tell("dropped");
    }
}

#[service]
impl Worker {
    #[service_method(timeout = "2s")]
    async fn hang(&self) -> Result<()> {
        pending().await
    }

    #[service_method]
    async fn hang_long(&self) -> Result<()> {
        pending().await
    }

    #[service_method]
    async fn panic(&self, at_once: bool) -> Result<()> {
        if !at_once {
            tokio::task::yield_now().await;
        }
        panic!("expected by this test")
    }

    #[service_method]
    async fn time_left(&self, cx: &CallContext) -> Result<Duration> {
        Ok(cx.time_left())
    }

    #[service_method(detached)]
    async fn work_on(&self) -> Result<()> {
        self.work().await
    }

    #[service_method]
    async fn work_along(&self) -> Result<()> {
        self.work().await
    }

    #[service_method]
    async fn fail(&self) -> Result<()> {
        Err(Error::msg("no"))
    }

    async fn work(&self) -> Result<()> {
        let ending = Ending(self.ended.clone());
        self.go.notified().await;
        ending.tell("finished");
        Ok(())
    }
}

fn here_and_there() -> Cluster {
    Cluster::default()
        .node("here", Role::Worker)
        .node("there", Role::Worker)
        .serve("here", Worker::default())
        .serve("there", Worker::default())
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_own_timeout_or_the_methods_or_after_thirty_seconds() {
    let cluster = here_and_there();
    for node in ["here", "there"] {
        let worker = cluster.proxy("here").worker().on(node);
        let second = Duration::from_secs(1);
        for (call, path, after) in [
            (worker.hang(), "worker/hang", 2 * second),
            (worker.hang().timeout(second), "worker/hang", second),
            (worker.hang_long().timeout(7 * second), "worker/hang_long", 7 * second),
            (worker.hang_long(), "worker/hang_long", 30 * second),
        ] {
            let began = Instant::now();
            match call.await {
                Err(CallError::Deadline { method, .. }) => assert_eq!(method, path, "{node}"),
                other => panic!("{node}: {other:?}"),
            }
            assert_eq!(began.elapsed(), after, "{node}: {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_methods_own_limit_holds_also_where_the_caller_gives_more_time() {
    let cluster = here_and_there();
    for node in ["here", "there"] {
        let began = Instant::now();
        let ended = cluster.proxy("here").worker().on(node).hang().timeout(Duration::from_secs(9)).await;
        assert!(matches!(ended, Err(CallError::Deadline { .. })), "{node}: {ended:?}");
        assert_eq!(began.elapsed(), Duration::from_secs(2), "{node}");
    }
}

#[tokio::test]
async fn a_timeout_beyond_all_time_is_a_long_one() {
    let cluster = here_and_there();
    for node in ["here", "there"] {
        let left = cluster.proxy("here").worker().on(node).time_left().timeout(Duration::MAX).await.unwrap();
        assert!(left > Duration::from_hours(24 * 365), "{node}: {left:?}");
    }
}

#[tokio::test]
async fn a_panic_ends_its_call_and_nothing_else() {
    let cluster = here_and_there();
    for node in ["here", "there"] {
        for at_once in [true, false] {
            let worker = cluster.proxy("here").worker().on(node);
            match worker.panic(at_once).await {
                Err(CallError::Internal(text)) => {
                    assert_eq!(text, "worker/panic panicked; its node's log says where", "{node}");
                }
                other => panic!("{node}: {other:?}"),
            }
            worker.time_left().await.unwrap();
        }
    }
}

#[tokio::test]
async fn calls_are_counted_with_those_that_failed_panicked_or_were_dropped() {
    let cluster = here_and_there();
    for node in ["here", "there"] {
        let worker = cluster.proxy("here").worker().on(node);
        worker.time_left().await.unwrap();
        worker.fail().await.unwrap_err();
        worker.panic(true).await.unwrap_err();
        let mut dropped = worker.hang();
        assert!(poll!(&mut dropped).is_pending());
        let hosted = cluster.hosted(node, "worker").unwrap();
        let counted = |name: &str| {
            let snapshot = hosted.stats(hosted.method(name).unwrap().index).unwrap().snapshot();
            (snapshot.calls, snapshot.in_flight, snapshot.errors)
        };
        assert_eq!(counted("hang"), (1, 1, 0), "{node}");
        drop(dropped);
        assert_eq!(counted("hang"), (1, 0, 1), "{node}");
        assert_eq!(counted("time_left"), (1, 0, 0), "{node}");
        assert_eq!(counted("fail"), (1, 0, 1), "{node}");
        assert_eq!(counted("panic"), (1, 0, 1), "{node}");
    }
}

#[tokio::test]
async fn dropping_a_call_ends_its_method_unless_that_is_detached() {
    for node in ["here", "there"] {
        for (detached, how) in [(false, "dropped"), (true, "finished")] {
            let (tell, told) = oneshot::channel();
            let worker = Worker { go: Arc::default(), ended: Arc::new(Mutex::new(Some(tell))) };
            let go = worker.go.clone();
            let cluster = Cluster::default().node("here", Role::Worker).node("there", Role::Worker).serve(node, worker);
            let proxy = cluster.proxy("here").worker();
            let mut call = if detached { proxy.work_on() } else { proxy.work_along() };
            assert!((&mut call).now_or_never().is_none(), "{node}: it waits");
            // Let a detached method come to its waiting, before its caller goes away.
            tokio::task::yield_now().await;
            drop(call);
            go.notify_one();
            assert_eq!(told.await.unwrap(), how, "{node}");
        }
    }
}
