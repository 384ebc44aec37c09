//! Calls from a program outside of the cluster, by [`Client`]: to real nodes, over TCP and TLS.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::stream;
use p2p_client::client::{BearerToken, Client, ClientBuilder};
use p2p_runtime::{
    testing::{RunningCluster, TestCluster},
    transport::ListenerLimits,
};
use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

/// Nothing here takes this long unless it hangs.
const HANGING: Duration = Duration::from_mins(1);

/// Waits for something that will come.
async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(HANGING, what).await.expect("this should have happened long ago")
}

/// What the services of all nodes tell the test.
#[derive(Default)]
struct Seen {
    /// How many calls wait.
    waiting: watch::Sender<u32>,
    /// How many of them are gone.
    gone: watch::Sender<u32>,
    /// How many items were made.
    produced: AtomicU64,
}

/// A call that waits, or a stream that is open.
struct Waiting(Arc<Seen>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.gone.send_modify(|gone| *gone += 1);
    }
}

/// What people buy at.
struct Stall(Arc<Seen>);

/// Why nothing was sold.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum StallError {
    SoldOut { left: u32 },
}

impl std::fmt::Display for StallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sold out")
    }
}

impl std::error::Error for StallError {}

/// A stall.
#[service(version = "1.0.0")]
impl Stall {
    /// The node that serves the call.
    #[service_method(anonymous, idempotent)]
    async fn place(&self, cx: &CallContext) -> Result<String> {
        Ok(cx.node().to_string())
    }

    /// The trace that the call belongs to.
    #[service_method(anonymous)]
    async fn trace(&self, cx: &CallContext) -> Result<String> {
        Ok(cx.trace().to_string())
    }

    /// Sells at most three.
    #[service_method(anonymous)]
    async fn sell(&self, count: u32) -> Result<u32, StallError> {
        3_u32.checked_sub(count).ok_or(StallError::SoldOut { left: 3 })
    }

    /// Fails on workers.
    #[service_method(anonymous)]
    async fn coordinate(&self, cx: &CallContext) -> Result<String> {
        if cx.node().as_str() == "coordinator" { Ok("done".to_owned()) } else { Err(Error::msg("no coordinator")) }
    }

    /// Until its caller has had enough; on a node of this name at once.
    #[service_method(anonymous)]
    async fn wait(&self, cx: &CallContext, unless: Option<String>) -> Result<String> {
        if unless.is_some_and(|node| cx.node().as_str() == node) {
            return Ok(cx.node().to_string());
        }
        let _waiting = self.begin();
        std::future::pending().await
    }

    /// The same, of which two are as good as one.
    #[service_method(anonymous, idempotent)]
    async fn wait_again(&self, cx: &CallContext, unless: String) -> Result<String> {
        self.wait(cx, Some(unless)).await
    }

    /// Texts of a thousand characters, without an end.
    #[service_method(anonymous)]
    async fn texts(&self) -> Result<impl Stream<Item = String>> {
        let open = self.begin();
        Ok(stream::repeat_with(move || {
            open.0.produced.fetch_add(1, Relaxed);
            "x".repeat(1_000)
        }))
    }

    /// Counts down; then it fails.
    #[service_method(anonymous)]
    async fn count_down(&self, from: u32) -> Result<impl Stream<Item = Result<u32>>> {
        Ok(stream::iter((1..=from).rev()).map(Ok).chain(stream::iter([Err(Error::msg("no more"))])))
    }

    /// For clients with a token.
    #[service_method(public)]
    async fn for_clients(&self) -> Result<()> {
        Ok(())
    }

    /// For clients with the scope.
    #[service_method(scope = "stall:read")]
    async fn for_scope(&self) -> Result<()> {
        Ok(())
    }

    /// For nodes.
    #[service_method]
    async fn for_nodes(&self) -> Result<()> {
        Ok(())
    }
}

impl Stall {
    fn begin(&self) -> Waiting {
        self.0.waiting.send_modify(|waiting| *waiting += 1);
        Waiting(self.0.clone())
    }
}

/// The contract of a stall as it is not hosted anywhere yet.
mod newer {
    use p2p_services::prelude::*;

    /// A stall that wraps things.
    #[service(name = "stall", version = "1.1.0", proxy = "NewerStall", accessor = "newer_stall")]
    pub(crate) trait Stall {
        /// Sells, in paper of a colour.
        #[service_method(anonymous)]
        async fn sell(&self, count: u32, paper: Option<String>) -> Result<u32>;
    }
}
use newer::NewerStallExt as _;

/// A cluster whose nodes all have a stall.
async fn cluster(workers: usize) -> (RunningCluster, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    let shared = seen.clone();
    let cluster = TestCluster::new().coordinator().workers(workers).serve(move || Stall(shared.clone()));
    (soon(cluster.start()).await.unwrap(), seen)
}

/// A client of the cluster that knows this node.
fn knowing(node: &Node) -> ClientBuilder {
    Client::builder(&node.url()).unwrap().root_fingerprint(&node.root_fingerprint().to_string())
}

fn client(node: &Node) -> Client {
    knowing(node).build().unwrap()
}

async fn reached(counter: &watch::Sender<u32>, count: u32) {
    soon(counter.subscribe().wait_for(|now| *now >= count)).await.unwrap();
}

/// An address at which nobody listens.
fn nobody() -> String {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("https://{}", taken.local_addr().unwrap())
}

/// The way to a node by an address of its own, until it is cut. (Whom a client reaches it knows by the certificate, not by the address.)
struct Relay {
    url: String,
    relaying: JoinHandle<()>,
}

impl Relay {
    async fn to(node: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, node) = (format!("https://{}", listener.local_addr().unwrap()), node.authority());
        let relaying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(&node).await.unwrap();
                connections.spawn(async move { drop(copy_bidirectional(&mut near, &mut far).await) });
            }
        });
        Self { url, relaying }
    }

    /// Breaks all connections, and takes no more.
    fn cut(&self) {
        self.relaying.abort();
    }
}

#[tokio::test]
async fn a_client_calls_by_the_same_proxies_as_a_node_and_by_targets() {
    let (cluster, _) = cluster(2).await;
    let inside: StallProxy = cluster.worker(1).proxy().stall();
    let outside: StallProxy = client(cluster.worker(1)).proxy().stall();
    assert_eq!(outside.place().await.unwrap(), inside.place().await.unwrap());
    assert_eq!(outside.on("worker-2").place().await.unwrap(), "worker-2");
    assert_eq!(outside.on(Role::Coordinator).place().await.unwrap(), "coordinator");
    let error = outside.on("worker-9").place().await.unwrap_err();
    assert!(matches!(&error, CallError::NoRoute(said) if said.contains("node=worker-9")), "{error}");
    let error = outside.on(Capability::from("two words")).place().await.unwrap_err();
    assert!(matches!(&error, CallError::NoRoute(said) if said.contains("no node can fit")), "{error}");
    cluster.stop_all().await;
}

#[tokio::test]
async fn names_that_are_known_only_at_run_time_are_called_as_well() {
    let (cluster, _) = cluster(1).await;
    let proxy = client(cluster.coordinator()).proxy();
    let place = proxy.call("stall/place", ()).on("worker-1").await.unwrap();
    assert_eq!(place.get(), "\"worker-1\"");
    let left = proxy.call("stall/sell", json!({ "count": 1 })).await.unwrap();
    assert_eq!(left.get(), "2");
    let all = proxy.call("stall/place", ()).on_all(Many::All).await.all_ok().unwrap();
    assert_eq!(all.len(), 2);
    let mut items = proxy.open("stall/count_down", json!([2])).await.unwrap();
    assert_eq!(soon(items.next()).await.unwrap().unwrap().get(), "2");
    let error = proxy.call("stall/steal", ()).await.unwrap_err();
    assert!(matches!(&error, CallError::NotFound(said) if said.contains("steal")), "{error}");
}

#[tokio::test]
async fn a_services_own_error_arrives_typed() {
    let (cluster, _) = cluster(1).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    assert_eq!(stall.sell(1).await.unwrap(), 2);
    for stall in [stall.on("coordinator"), stall.on("worker-1")] {
        let error = stall.sell(4).await.unwrap_err();
        assert!(matches!(error, CallError::Service(StallError::SoldOut { left: 3 })), "{error:?}");
    }
}

#[tokio::test]
async fn a_call_belongs_to_the_trace_of_the_program() {
    let (cluster, _) = cluster(0).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let chain = p2p_client::service::Chain { trace: Some(trace.parse().unwrap()), ..Default::default() };
    let client = client(cluster.coordinator());
    assert_eq!(client.proxy().within(chain).stall().trace().await.unwrap(), trace);
    assert_ne!(client.proxy().stall().trace().await.unwrap(), client.proxy().stall().trace().await.unwrap());
}

#[tokio::test]
async fn what_is_not_for_anyone_is_denied_and_the_refusal_says_what_a_token_would_change() {
    let (cluster, _) = cluster(0).await;
    let node = cluster.coordinator();
    let stall = client(node).proxy().stall();
    for (refused, said) in [
        (stall.for_clients().await, "one that the cluster issued, given by .token(…), lets it call this"),
        (stall.for_scope().await, "one with the scope \"stall:read\", given by .token(…)"),
        (stall.for_nodes().await, "none would open this"),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, CallError::Denied(_)), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = client(node).proxy().call("stall/for_clients", ()).await.unwrap_err();
    assert!(error.to_string().contains("sends no token"), "{error}");

    let with_token = knowing(node).token(BearerToken::new("not.a.token").unwrap()).build().unwrap();
    let error = with_token.proxy().stall().for_nodes().await.unwrap_err();
    assert!(!error.to_string().contains("sends no token"), "{error}");
}

#[tokio::test]
async fn headers_of_the_protocols_own_are_refused_and_nothing_is_sent() {
    let (cluster, _) = cluster(0).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    for (name, said) in [("Authorization", ".token(…)"), ("p2p-on", "begin with p2p-"), ("P2P-Caller", "rename p2p-caller")] {
        let error = stall.sell(1).header(name, "x").await.unwrap_err();
        assert!(matches!(&error, CallError::InvalidParams(text) if text.contains(said)), "{error}");
    }
    assert_eq!(stall.sell(1).header("x-request-id", "7").await.unwrap(), 2);
}

#[tokio::test]
async fn a_stream_waits_for_its_reader_and_ends_with_it() {
    let (cluster, seen) = cluster(1).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    for (round, node) in (1..).zip(["coordinator", "worker-1"]) {
        seen.produced.store(0, Relaxed);
        let mut texts = soon(stall.on(node).texts()).await.unwrap();
        for taken in 1..=500 {
            assert_eq!(soon(texts.next()).await.unwrap().unwrap().len(), 1_000);
            let produced = seen.produced.load(Relaxed);
            assert!(produced <= taken + 1_024, "{node} made {produced}, and {taken} were taken");
        }
        drop(texts);
        reached(&seen.gone, round).await;
    }
}

#[tokio::test]
async fn streams_that_nobody_reads_hold_up_neither_calls_nor_other_streams() {
    let (cluster, seen) = cluster(0).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(soon(stall.texts()).await.unwrap());
    }
    // By now each of them has come as far as it comes.
    for _ in 0..20 {
        soon(stall.place()).await.unwrap();
    }
    let mut items = soon(stall.count_down(300)).await.unwrap();
    for expected in (1..=300).rev() {
        assert_eq!(soon(items.next()).await.unwrap().unwrap(), expected);
    }
    let error = soon(items.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("no more"), "{error}");
    assert!(items.next().await.is_none());
    drop(unread);
    reached(&seen.gone, 40).await;
}

#[tokio::test]
async fn a_fan_out_is_one_request_whose_answers_are_each_nodes_own() {
    let (cluster, _) = cluster(2).await;
    let stall = client(cluster.worker(1)).proxy().stall();
    let ids = |answers: Vec<(NodeId, String)>| answers.into_iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>();
    for target in [Many::All, Many::Others] {
        let answers = stall.on_all(target).place().await;
        assert_eq!(answers.asked(), Some(3));
        let all = answers.all_ok().unwrap();
        assert!(all.iter().all(|(id, place)| *id == **place));
        assert_eq!(ids(all), ["coordinator", "worker-1", "worker-2"]);
    }
    assert_eq!(ids(stall.on_all(Role::Worker).place().await.all_ok().unwrap()), ["worker-1", "worker-2"]);

    // One that fails is in the result, with its error.
    let (done, failed) = stall.on_all(Many::All).coordinate().await.into_parts();
    assert_eq!((ids(done), failed.len()), (vec!["coordinator".to_owned()], 2));
    assert!(failed.iter().all(|(_, error)| matches!(error, CallError::Internal(text) if text == "no coordinator")), "{failed:?}");
    let gone: NodeId = "worker-9".parse().unwrap();
    let answers = stall.on_all([gone.clone(), "worker-2".parse().unwrap()]).place().await;
    let (done, failed) = answers.into_parts();
    assert_eq!((ids(done), failed[0].0.clone()), (vec!["worker-2".to_owned()], gone));
    assert!(matches!(failed[0].1, CallError::NoRoute(_)), "{failed:?}");
}

#[tokio::test]
async fn replies_the_first_success_and_quorums_are_had_from_outside() {
    let (cluster, _) = cluster(2).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    let replies: Vec<_> = soon(stall.on_all(Many::All).place().stream().collect::<Vec<_>>()).await;
    assert_eq!(replies.len(), 3);
    let (node, said) = stall.on_all(Many::All).coordinate().first().await.unwrap();
    assert_eq!((node.as_str(), said.as_str()), ("coordinator", "done"));
    assert_eq!(stall.on_all(Many::All).place().quorum(2).await.unwrap().len(), 2);
    let error = stall.on_all(Many::All).coordinate().quorum(2).await.unwrap_err();
    assert_eq!((error.asked(), error.succeeded().len(), error.failed().len()), (Some(3), 1, 2));
    let error = stall.on_all(Role::Worker).place().quorum(3).await.unwrap_err();
    assert_eq!(error.succeeded().len(), 2, "they have run, and it says so: {error}");
    assert!(!error.to_string().contains("nothing was sent"), "{error}");
}

#[tokio::test]
async fn a_fan_out_to_nobody_is_empty_as_it_is_for_a_node() {
    let (cluster, _) = cluster(1).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    let answers = stall.on_all(Capability::from("gpu")).place().await;
    assert_eq!((answers.len(), answers.asked()), (0, Some(0)));
    let said = answers.all_ok().unwrap_err().to_string();
    assert_eq!(said, "stall/place was to succeed on 1, and no node fits the target and hosts the service");
    let error = stall.on_all(Role::Worker).place().quorum(0).await;
    assert!(error.unwrap().is_empty());

    // A list of nobody sends nothing: it is empty where nobody could be reached.
    let alone = Client::builder(&nobody()).unwrap().root_fingerprint(&"a".repeat(64)).build().unwrap().proxy().stall();
    assert!(alone.on_all(Vec::new()).place().await.is_empty());
    let error = alone.on_all(Vec::new()).place().first().await.unwrap_err();
    assert_eq!(error.asked(), Some(0));
    let answers = alone.on_all(Many::All).place().await;
    assert_eq!((answers.len(), answers.asked()), (1, Some(0)));
    let error = answers.all_ok().unwrap_err();
    assert!(error.to_string().contains("nobody could be asked") && error.to_string().contains("nobody listens"), "{error}");
    assert_eq!(error.failed()[0].0.as_str(), "client");
}

#[tokio::test]
async fn a_fan_out_that_was_lost_does_not_say_who_was_asked() {
    let (cluster, seen) = cluster(1).await;
    let relay = Relay::to(cluster.worker(1)).await;
    let root = cluster.coordinator().root_fingerprint().to_string();
    let client = Client::builder(&relay.url).unwrap().also(&cluster.coordinator().url()).root_fingerprint(&root).build().unwrap();
    let stall = client.proxy().stall();
    let asking = tokio::spawn(async move { stall.on_all(Many::All).wait(None).await });
    reached(&seen.waiting, 2).await;
    relay.cut();
    let answers = soon(asking).await.unwrap();
    assert_eq!((answers.asked(), answers.len()), (None, 1));
    let error = answers.all_ok().unwrap_err();
    assert_eq!(error.asked(), None);
    assert!(error.to_string().contains("who was asked is not known: https://"), "{error}");
    assert!(matches!(error.failed()[0].1, CallError::Transport { may_have_run: true, .. }), "{error}");
}

#[tokio::test]
async fn a_deadline_ends_the_call_here_and_there() {
    let (cluster, seen) = cluster(1).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    let began = Instant::now();
    for (round, node) in (1..).zip(["coordinator", "worker-1"]) {
        // The way there is open before, so that the time is that of the method.
        soon(stall.on(node).place()).await.unwrap();
        let error = stall.on(node).wait(None).timeout(Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(&error, CallError::Deadline { method, .. } if method == "stall/wait"), "{error}");
        reached(&seen.gone, round).await;
    }
    assert!(began.elapsed() < Duration::from_secs(25), "the method's own limit is longer: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_node_that_is_late_takes_no_other_nodes_answer_with_it() {
    let (cluster, _) = cluster(1).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    soon(stall.on_all(Many::All).place()).await.all_ok().unwrap();
    let asked = stall.on_all(Many::All).wait(Some("coordinator".to_owned())).timeout(Duration::from_secs(2));
    let (done, late) = soon(asked).await.into_parts();
    assert_eq!(done.len(), 1, "{late:?}");
    assert!(matches!(&late[..], [(node, CallError::Deadline { .. })] if *node == *"worker-1"), "{late:?}");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_where_it_runs() {
    let (cluster, seen) = cluster(1).await;
    let stall = client(cluster.coordinator()).proxy().stall();
    for (round, node) in (1..).zip(["coordinator", "worker-1"]) {
        let call = tokio::spawn(stall.on(node).wait(None));
        reached(&seen.waiting, round).await;
        assert_eq!(*seen.gone.borrow(), round - 1);
        call.abort();
        reached(&seen.gone, round).await;
    }
    let all = stall.on_all(Many::All).wait(None);
    let all = tokio::spawn(async move { all.await.len() });
    reached(&seen.waiting, 4).await;
    all.abort();
    reached(&seen.gone, 4).await;
}

#[tokio::test]
async fn the_next_endpoint_is_asked_where_the_first_cannot_be_reached() {
    let (cluster, _) = cluster(2).await;
    let relay = Relay::to(cluster.worker(1)).await;
    let root = cluster.coordinator().root_fingerprint().to_string();
    let builder = || Client::builder(&nobody()).unwrap().also(&relay.url).also(&cluster.worker(2).url()).root_fingerprint(&root);
    let stall = builder().build().unwrap().proxy().stall();
    // Also where the method is not idempotent: nothing was sent.
    assert_eq!(stall.sell(1).await.unwrap(), 2);
    assert_eq!(stall.place().await.unwrap(), "worker-1");
    let streaming = builder().build().unwrap().proxy().stall();
    assert_eq!(soon(soon(streaming.count_down(7)).await.unwrap().next()).await.unwrap().unwrap(), 7);
    let asking_all = builder().build().unwrap().proxy().stall();
    assert_eq!(asking_all.on_all(Many::All).sell(2).await.all_ok().unwrap().len(), 3);

    relay.cut();
    assert_eq!(stall.place().await.unwrap(), "worker-2");
    assert_eq!(stall.sell(1).await.unwrap(), 2);
}

#[tokio::test]
async fn a_call_whose_node_was_lost_goes_on_only_where_it_may_run_twice() {
    let (cluster, seen) = cluster(2).await;
    let relay = Relay::to(cluster.worker(1)).await;
    let root = cluster.coordinator().root_fingerprint().to_string();
    let client = Client::builder(&relay.url).unwrap().also(&cluster.worker(2).url()).root_fingerprint(&root).build().unwrap();
    let stall = client.proxy().stall();
    let once = tokio::spawn(stall.wait(Some("worker-2".to_owned())));
    let again = tokio::spawn(stall.wait_again("worker-2".to_owned()));
    let by_name = client.proxy().call("stall/wait_again", json!({ "unless": "worker-2" }));
    let by_name = tokio::spawn(by_name);
    reached(&seen.waiting, 3).await;
    relay.cut();
    let error = soon(once).await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::Transport { may_have_run: true, .. }), "{error}");
    assert_eq!(soon(again).await.unwrap().unwrap(), "worker-2");
    // Of a method that is known by its name alone a client knows nothing.
    let error = soon(by_name).await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::Transport { may_have_run: true, .. }), "{error}");
    // What was lost is cancelled where it ran.
    reached(&seen.gone, 3).await;
}

#[tokio::test]
async fn a_call_at_a_node_that_stops_goes_on_where_it_may_run_twice() {
    let seen = Arc::<Seen>::default();
    let shared = seen.clone();
    let hurried = || ListenerLimits { grace: Duration::from_millis(100), ..ListenerLimits::default() };
    let cluster = TestCluster::new().coordinator().workers(2).serve(move || Stall(shared.clone()));
    let mut cluster = soon(cluster.configure(move |node| node.listener_limits(hurried())).start()).await.unwrap();
    let client = knowing(cluster.worker(1)).also(&cluster.worker(2).url()).build().unwrap();
    let stall = client.proxy().stall();
    let once = tokio::spawn(stall.wait(Some("worker-2".to_owned())));
    let again = tokio::spawn(stall.wait_again("worker-2".to_owned()));
    reached(&seen.waiting, 2).await;
    soon(cluster.stop("worker-1")).await.unwrap();
    let error = soon(once).await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::Transport { may_have_run: true, .. }), "{error}");
    assert_eq!(soon(again).await.unwrap().unwrap(), "worker-2");
    assert_eq!(stall.place().await.unwrap(), "worker-2");
}

#[tokio::test]
async fn where_nobody_can_be_reached_the_reason_of_each_endpoint_is_told() {
    let (here, other) = (cluster(0).await.0, cluster(0).await.0);
    let (dead, foreign) = (nobody(), other.coordinator().url());
    let root = here.coordinator().root_fingerprint().to_string();
    let client = Client::builder(&dead).unwrap().also(&foreign).root_fingerprint(&root).build().unwrap();
    for error in [client.proxy().stall().sell(1).await.unwrap_err(), client.proxy().stall().sell(1).retry(1).await.unwrap_err()] {
        assert!(matches!(error, CallError::Transport { may_have_run: false, .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.starts_with("none of the 2 endpoints took the call: (1) "), "{said}");
        assert!(said.contains(&format!("{dead}: nobody listens at ")), "{said}");
        assert!(said.contains(&format!("(2) {foreign}: ")) && said.contains("not of the cluster that is meant"), "{said}");
    }
}

#[tokio::test]
async fn a_node_under_another_root_is_refused_and_both_fingerprints_are_told() {
    let (here, other) = (cluster(0).await.0, cluster(0).await.0);
    let (expected, found) = (here.coordinator().root_fingerprint(), other.coordinator().root_fingerprint());
    let client = Client::builder(&other.coordinator().url()).unwrap().root_fingerprint(&format!("sha256:{expected}")).build();
    let error = client.unwrap().proxy().stall().sell(1).await.unwrap_err();
    let said = error.to_string();
    for part in [&format!("its root is sha256:{found}"), &format!("the fingerprint sha256:{expected}"), "p2p init"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(error.is_safe_to_retry(), "nothing was sent");
}

#[tokio::test]
async fn a_client_may_be_given_the_roots_certificate_in_the_place_of_its_fingerprint() {
    use p2p_runtime::{identity::NodeIdentity, node::StoreVault};
    let (cluster, _) = cluster(0).await;
    let node = cluster.coordinator();
    let identity = NodeIdentity::load(&StoreVault::new(node.store().clone())).unwrap().unwrap();
    let client = Client::builder(&node.url()).unwrap().root_der(identity.root().der().clone()).build().unwrap();
    assert_eq!(client.proxy().stall().place().await.unwrap(), "coordinator");
}

#[tokio::test]
async fn what_the_hosts_version_does_not_know_the_host_refuses() {
    let (cluster, _) = cluster(0).await;
    let stall = client(cluster.coordinator()).proxy().newer_stall();
    assert_eq!(stall.sell(1, None).await.unwrap(), 2, "what is not set is not sent");
    let error = stall.sell(1, Some("green".to_owned())).await.unwrap_err();
    assert!(matches!(&error, CallError::InvalidParams(said) if said.contains("paper") && said.contains("count")), "{error:?}");
}
