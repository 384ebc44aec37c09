//! What ends a call early: its deadline, a panic, its caller going away. Nothing of it reaches beyond the call, and what the method has
//! spawned is told.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, poll, stream};
use p2p_client::{call::CallError, protocol::Role};
use p2p_runtime::{
    prelude::{CallContext, Error, Result},
    service,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
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

/// A method's context, for a test that looks on.
type Seen = mpsc::UnboundedSender<CallContext>;

/// Shows the contexts of its calls.
struct Watched(Seen);

#[service]
impl Watched {
    #[service_method]
    async fn hang(&self, cx: &CallContext) -> Result<()> {
        self.0.send(cx.clone())?;
        pending().await
    }

    #[service_method(timeout = "2s")]
    async fn hang_briefly(&self, cx: &CallContext) -> Result<()> {
        self.0.send(cx.clone())?;
        pending().await
    }

    #[service_method(detached)]
    async fn work_on(&self, cx: &CallContext) -> Result<()> {
        self.0.send(cx.clone())?;
        cx.cancelled().await;
        self.0.send(cx.clone())?;
        Ok(())
    }

    #[service_method]
    async fn break_down(&self, cx: &CallContext) -> Result<()> {
        self.0.send(cx.clone())?;
        panic!("expected by this test")
    }

    #[service_method]
    async fn answer(&self, cx: &CallContext, well: bool) -> Result<()> {
        self.0.send(cx.clone())?;
        if well { Ok(()) } else { Err(Error::msg("no")) }
    }

    #[service_method]
    async fn numbers(&self, cx: &CallContext) -> Result<impl Stream<Item = u8>> {
        self.0.send(cx.clone())?;
        Ok(stream::iter([1, 2]).chain(stream::pending()))
    }

    /// A stream that ends by itself, well or not.
    #[service_method]
    async fn one_number(&self, cx: &CallContext, well: bool) -> Result<impl Stream<Item = Result<u8>>> {
        self.0.send(cx.clone())?;
        let last = (!well).then(|| Err(Error::msg("no")));
        Ok(stream::iter([Ok(1)]).chain(stream::iter(last)))
    }

    #[service_method]
    async fn refuse_numbers(&self, cx: &CallContext, refuse: bool) -> Result<impl Stream<Item = u8>> {
        self.0.send(cx.clone())?;
        if refuse { Err(Error::msg("no")) } else { Ok(stream::empty()) }
    }
}

/// A contract, whose hosts are held in another way.
#[service]
trait Waits {
    async fn hang(&self, cx: &CallContext) -> Result<()>;
}

struct Waiter(Seen);

#[service]
impl Waits for Waiter {
    async fn hang(&self, cx: &CallContext) -> Result<()> {
        self.0.send(cx.clone())?;
        pending().await
    }
}

/// A cluster whose node `at` hosts what shows its contexts.
fn watched(at: &str) -> (Cluster, mpsc::UnboundedReceiver<CallContext>) {
    let (show, seen) = mpsc::unbounded_channel();
    let cluster = Cluster::default().node("here", Role::Worker).node("there", Role::Worker);
    (cluster.serve(at, Watched(show.clone())).serve(at, Waiter(show)), seen)
}

#[tokio::test(start_paused = true)]
async fn what_a_method_has_spawned_learns_that_the_caller_has_let_the_call_go() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        let proxy = cluster.proxy("here");
        for mut call in [proxy.watched().hang(), proxy.waits().hang()] {
            let began = Instant::now();
            assert!(poll!(&mut call).is_pending());
            let cx = seen.recv().await.unwrap();
            let mut cancelled = Box::pin(cx.cancelled());
            assert!(poll!(&mut cancelled).is_pending() && !cx.is_cancelled(), "{node}: its caller waits");
            drop(call);
            cancelled.await;
            assert!(cx.is_cancelled() && cx.clone().is_cancelled(), "{node}");
            cx.cancelled().await;
            assert_eq!(began.elapsed(), Duration::ZERO, "{node}: not by its deadline");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_detached_method_learns_that_its_caller_has_let_it_go_and_runs_on() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        let began = Instant::now();
        let mut call = cluster.proxy("here").watched().work_on();
        assert!(poll!(&mut call).is_pending());
        let cx = seen.recv().await.unwrap();
        assert!(!cx.is_cancelled(), "{node}: its caller waits");
        drop(call);
        assert!(seen.recv().await.unwrap().is_cancelled(), "{node}");
        assert_eq!(began.elapsed(), Duration::ZERO, "{node}: not by its deadline");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_cancelled_be_the_limit_the_callers_or_the_methods() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        let proxy = cluster.proxy("here").watched();
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        let callers = tokio::spawn(proxy.hang().timeout(second));
        let methods = tokio::spawn(proxy.hang_briefly().timeout(9 * second));
        for after in [second, 2 * second] {
            let cx = seen.recv().await.unwrap();
            cx.cancelled().await;
            assert_eq!(began.elapsed(), after, "{node}");
            assert!(cx.is_cancelled(), "{node}");
        }
        for call in [callers, methods] {
            assert!(matches!(call.await.unwrap(), Err(CallError::Deadline { .. })), "{node}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_method_panics_is_cancelled_for_what_that_has_spawned() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        cluster.proxy("here").watched().break_down().await.unwrap_err();
        assert!(seen.recv().await.unwrap().is_cancelled(), "{node}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_answered_is_not_cancelled_until_its_time_is_over() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        for well in [true, false] {
            let began = Instant::now();
            let answer = cluster.proxy("here").watched().answer(well).timeout(Duration::from_secs(3)).await;
            assert_eq!(answer.is_ok(), well, "{node}");
            let cx = seen.recv().await.unwrap();
            assert!(!cx.is_cancelled(), "{node}");
            cx.cancelled().await;
            assert_eq!(began.elapsed(), Duration::from_secs(3), "{node}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_cancelled_when_it_is_dropped_and_by_no_deadline() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        let mut numbers = cluster.proxy("here").watched().numbers().timeout(Duration::from_secs(1)).await.unwrap();
        let cx = seen.recv().await.unwrap();
        let mut cancelled = Box::pin(cx.cancelled());
        assert_eq!(numbers.next().await.unwrap().unwrap(), 1, "{node}");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(poll!(&mut cancelled).is_pending() && !cx.is_cancelled(), "{node}");
        drop(numbers);
        cancelled.await;
        assert!(cx.is_cancelled(), "{node}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_method_has_spawned_learns_that_its_open_stream_has_ended_by_itself() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        for well in [true, false] {
            let began = Instant::now();
            let mut numbers = cluster.proxy("here").watched().one_number(well).await.unwrap();
            let cx = seen.recv().await.unwrap();
            assert_eq!(numbers.next().await.unwrap().unwrap(), 1, "{node}");
            assert_eq!(numbers.next().await.is_none(), well, "{node}");
            let told = tokio::time::timeout(Duration::from_hours(1), cx.cancelled()).await;
            assert!(told.is_ok() && cx.is_cancelled(), "{node}, well: {well}");
            assert_eq!(began.elapsed(), Duration::ZERO, "{node}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_refused_is_as_any_call_that_was_answered() {
    for node in ["here", "there"] {
        let (cluster, mut seen) = watched(node);
        let began = Instant::now();
        let refused = cluster.proxy("here").watched().refuse_numbers(true).timeout(Duration::from_secs(3)).await;
        assert!(refused.is_err(), "{node}");
        let cx = seen.recv().await.unwrap();
        assert!(!cx.is_cancelled(), "{node}");
        cx.cancelled().await;
        assert_eq!(began.elapsed(), Duration::from_secs(3), "{node}");
    }
}
