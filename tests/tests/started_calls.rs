//! Calls that go out on a session at hand with their first poll, and what becomes of them when no result comes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    cell::Cell,
    fmt,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use futures::FutureExt;
use p2p_client::{
    call::{Failure, Head, Sending},
    protocol::{CallerId, NodeId},
    proxy::{Caller, Leg, Peer, Proxy, Route},
};
use p2p_runtime::testing::{RunningCluster, TestCluster};
use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use tokio::sync::watch;

thread_local! {
    /// How often a [`Text`] was written by this thread, and after how often it refuses.
    static WRITTEN: Cell<u32> = const { Cell::new(0) };
    static MOST: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// A parameter that notes how often it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Text(String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        WRITTEN.set(WRITTEN.get() + 1);
        if WRITTEN.get() > MOST.get() {
            return Err(S::Error::custom("not again"));
        }
        serializer.serialize_str(&self.0)
    }
}

fn written() -> u32 {
    WRITTEN.replace(0)
}

/// What a method fails with.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Refusal {
    Refused(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Refused(text) = self;
        write!(f, "{text} is refused")
    }
}

impl std::error::Error for Refusal {}

/// Says when it is dropped.
struct Gone(watch::Sender<u32>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send_modify(|gone| *gone += 1);
    }
}

/// Answers in every way that there is.
struct Ways {
    waiting: watch::Sender<Vec<String>>,
    gone: watch::Sender<u32>,
}

#[service]
impl Ways {
    /// With what it was given.
    #[service_method(idempotent)]
    async fn echo(&self, text: Text) -> Result<String> {
        Ok(text.0)
    }

    /// With an error of its own.
    #[service_method(idempotent)]
    async fn refuse(&self, text: Text) -> Result<(), Refusal> {
        Err(Refusal::Refused(text.0))
    }

    /// More than goes by a session.
    #[service_method(idempotent)]
    async fn repeat(&self, text: Text, times: usize) -> Result<String> {
        Ok(text.0.repeat(times))
    }

    /// On the first node that is asked it waits for ever.
    #[service_method(idempotent)]
    async fn second(&self, cx: &CallContext, text: Text) -> Result<String> {
        let me = cx.node().to_string();
        let is_first = self.waiting.send_if_modified(|waiting| {
            let is_first = waiting.is_empty();
            waiting.extend(is_first.then(|| me.clone()));
            is_first
        });
        if is_first {
            std::future::pending::<()>().await;
        }
        Ok(format!("{} by {me}", text.0))
    }

    /// Never.
    #[service_method]
    async fn wait(&self, cx: &CallContext, text: Text) -> Result<String> {
        let _gone = Gone(self.gone.clone());
        self.waiting.send_modify(|waiting| waiting.push(cx.node().to_string()));
        std::future::pending::<()>().await;
        Ok(text.0)
    }
}

/// What calls have come to.
struct Seen {
    /// The nodes where they wait.
    waits: watch::Receiver<Vec<String>>,
    /// How many of those that wait were ended.
    gone: watch::Receiver<u32>,
}

impl Seen {
    /// The node where the first of them waits.
    async fn first(&mut self) -> String {
        self.waits.wait_for(|waiting| !waiting.is_empty()).await.unwrap()[0].clone()
    }
}

/// A coordinator that hosts nothing of it and has a session with each of its workers.
async fn cluster(workers: usize) -> (RunningCluster, Seen) {
    let ((waiting, waits), (gone, is_gone)) = (watch::channel(Vec::new()), watch::channel(0));
    let mut plan = TestCluster::new().coordinator().workers(workers).in_memory();
    for worker in 1..=workers {
        let (waiting, gone) = (waiting.clone(), gone.clone());
        let ways = move || Ways { waiting: waiting.clone(), gone: gone.clone() };
        plan = plan.serve_on(format!("worker-{worker}").as_str(), ways);
    }
    let cluster = plan.start().await.unwrap();
    for worker in 1..=workers {
        let worker: NodeId = format!("worker-{worker}").parse().unwrap();
        assert_eq!(ways(&cluster).on(&worker).echo(Text("warm".into())).await.unwrap(), "warm");
    }
    written();
    (cluster, Seen { waits, gone: is_gone })
}

fn ways(cluster: &RunningCluster) -> WaysProxy {
    cluster.coordinator().proxy().ways()
}

fn hello() -> Text {
    Text("hello".into())
}

#[tokio::test]
async fn params_are_written_once_whatever_the_call_is_answered_with() {
    let (cluster, _) = cluster(1).await;
    assert_eq!(ways(&cluster).echo(hello()).await.unwrap(), "hello");
    assert_eq!(written(), 1);
    let refused = ways(&cluster).refuse(hello()).await.unwrap_err();
    assert!(matches!(&refused, CallError::Service(Refusal::Refused(text)) if text == "hello"), "{refused}");
    assert_eq!(written(), 1);
    assert_eq!(ways(&cluster).repeat(hello(), 100_000).await.unwrap().len(), 500_000);
    assert_eq!(written(), 1);
    let late = ways(&cluster).wait(hello()).timeout(std::time::Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(late, CallError::Deadline { .. }), "{late}");
    assert_eq!(written(), 1);
}

#[tokio::test]
async fn a_call_whose_node_dies_meanwhile_is_written_again_for_the_next_if_it_may_run_twice() {
    let (mut cluster, mut seen) = cluster(2).await;
    let call = ways(&cluster).second(hello());
    let (answer, killed) = tokio::join!(call, async {
        let first = seen.first().await;
        cluster.kill(&first).unwrap();
        first
    });
    let other = if killed == "worker-1" { "worker-2" } else { "worker-1" };
    assert_eq!(answer.unwrap(), format!("hello by {other}"));
    assert_eq!(written(), 2);
}

#[tokio::test]
async fn a_call_that_was_lost_says_so_also_where_its_params_cannot_be_written_again() {
    for (may_run_twice, writes) in [(true, 2), (false, 1)] {
        let (mut cluster, mut seen) = cluster(2).await;
        MOST.set(1);
        let (second, wait) = (ways(&cluster).second(hello()), ways(&cluster).wait(hello()));
        let call = if may_run_twice { second } else { wait };
        let (answer, ()) = tokio::join!(call, async {
            let first = seen.first().await;
            cluster.kill(&first).unwrap();
        });
        MOST.set(u32::MAX);
        let lost = answer.unwrap_err();
        assert!(matches!(lost, CallError::Transport { may_have_run: true, .. }), "{lost}");
        assert_eq!((written(), seen.waits.borrow().len()), (writes, 1), "it was made nowhere else");
    }
}

#[tokio::test]
async fn a_call_that_is_polled_once_and_then_by_another_task_ends_there() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let (cluster, _) = cluster(1).await;
    let mut call = ways(&cluster).echo(hello());
    let nobody = Waker::from(Arc::new(Nobody));
    assert!(matches!(call.poll_unpin(&mut Context::from_waker(&nobody)), Poll::Pending));
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn a_call_that_is_dropped_after_its_first_poll_is_cancelled_where_it_runs() {
    let (cluster, mut seen) = cluster(1).await;
    let mut call = ways(&cluster).wait(hello());
    assert!((&mut call).now_or_never().is_none());
    seen.first().await;
    drop(call);
    seen.gone.wait_for(|gone| *gone == 1).await.unwrap();
}

/// Stands before a node's caller, and counts what comes by.
struct Counting {
    inner: Arc<dyn Caller>,
    sent: std::sync::atomic::AtomicU32,
}

impl Caller for Counting {
    fn node_id(&self) -> &NodeId {
        self.inner.node_id()
    }

    fn identity(&self) -> &CallerId {
        self.inner.identity()
    }

    fn resolve(&self, head: &Head) -> std::result::Result<Route, Failure> {
        self.inner.resolve(head)
    }

    fn resolve_all(&self, head: &Head) -> std::result::Result<Vec<Leg>, Failure> {
        self.inner.resolve_all(head)
    }

    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        self.sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.inner.send(head, to, body)
    }
}

#[tokio::test]
async fn a_caller_that_wraps_a_nodes_and_starts_none_itself_sees_every_call() {
    let (cluster, _) = cluster(1).await;
    let inner = cluster.coordinator().proxy().caller().clone();
    let counting = Arc::new(Counting { inner, sent: 0.into() });
    let ways = Proxy::new(counting.clone()).ways();
    assert_eq!(ways.echo(hello()).await.unwrap(), "hello");
    assert!(matches!(ways.refuse(hello()).await.unwrap_err(), CallError::Service(_)));
    assert_eq!(ways.repeat(hello(), 100_000).await.unwrap().len(), 500_000);
    assert_eq!(counting.sent.load(std::sync::atomic::Ordering::SeqCst), 3);
}
