//! One service without a node: what the tester does for it, and what is around it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use p2p_client::{
    contracts::system::{MockSystem, SystemInfo},
    protocol::{ErrorCode, Many, ServiceHealth},
};
use p2p_runtime::testing::{ServiceTester, TestedService};
use p2p_services::{prelude::*, testing::MockCluster};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Notes what happens to it.
type Diary = Arc<Mutex<Vec<&'static str>>>;

/// Keeps notes by name.
#[derive(Default)]
struct Notes {
    diary: Diary,
    breaks: Option<&'static str>,
    kept: Mutex<BTreeMap<String, String>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum NoteError {
    Missing { name: String },
}

impl std::fmt::Display for NoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no such note")
    }
}

impl std::error::Error for NoteError {}

#[service(version = "1.4.0")]
impl Notes {
    async fn initialize(&self, cx: &Context) -> Result<()> {
        if self.breaks == Some("initialize") {
            return Err(Error::msg("no room for notes"));
        }
        cx.provide(7_u8);
        self.diary.lock().unwrap().push("initialized");
        Ok(())
    }

    async fn health(&self) -> Health {
        if self.kept.lock().unwrap().len() > 1 { Health::degraded("the pad is nearly full") } else { Health::healthy() }
    }

    async fn cleanup(&self) -> Result<()> {
        self.diary.lock().unwrap().push("cleaned up");
        if self.breaks == Some("cleanup") { Err(Error::msg("the notes are lost")) } else { Ok(()) }
    }

    /// What a note says. Also for clients.
    #[service_method(public, idempotent)]
    async fn read(&self, name: &str) -> Result<String, NoteError> {
        self.kept.lock().unwrap().get(name).cloned().ok_or_else(|| NoteError::Missing { name: name.to_owned() })
    }

    /// Makes a note. For nodes and operators.
    #[service_method]
    async fn write(&self, name: String, text: String) -> Result<()> {
        self.kept.lock().unwrap().insert(name, text);
        Ok(())
    }

    /// Forgets all notes. For coordinators.
    #[service_method(role = "coordinator")]
    async fn wipe(&self) -> Result<()> {
        self.kept.lock().unwrap().clear();
        Ok(())
    }

    /// Who calls, and where. For anyone.
    #[service_method(anonymous)]
    async fn who(&self, cx: &CallContext) -> Result<(String, String)> {
        Ok((cx.caller().to_string(), cx.node().to_string()))
    }

    /// Does not end by itself.
    #[service_method(timeout = "2s")]
    async fn never(&self) -> Result<()> {
        pending().await
    }

    /// The names of all notes, one by one. For nodes and operators.
    #[service_method(read_only)]
    async fn names(&self) -> Result<impl Stream<Item = String>> {
        let names: Vec<String> = self.kept.lock().unwrap().keys().cloned().collect();
        Ok(futures::stream::iter(names))
    }

    /// Counts how often it was called.
    #[service_method]
    async fn counted(&self, cx: &CallContext) -> Result<()> {
        cx.metrics().counter("asked").add(1);
        Ok(())
    }

    /// Breaks.
    #[service_method]
    async fn break_down(&self) -> Result<()> {
        panic!("this panic is part of a test")
    }

    /// Makes a call of its own.
    #[service_method(anonymous)]
    async fn where_is_the_coordinator(&self, cx: &CallContext) -> Result<String> {
        Ok(cx.proxy().system().on(Role::Coordinator).get_system_info().await?.hostname)
    }
}

async fn started() -> TestedService<Notes> {
    ServiceTester::new(Notes::default()).start().await.unwrap()
}

fn node(id: &str, role: Role) -> CallerId {
    CallerId::Node { id: id.parse().unwrap(), role }
}

#[tokio::test]
async fn a_service_is_started_called_and_stopped_without_a_node() {
    let diary = Diary::default();
    let notes = Notes { diary: diary.clone(), ..Notes::default() };
    let tested = ServiceTester::new(notes).start().await.unwrap();
    assert_eq!(*diary.lock().unwrap(), ["initialized"]);
    assert_eq!(tested.context().shared::<u8>().as_deref(), Some(&7));

    tested.proxy().notes().write("a", "b").await.unwrap();
    assert_eq!(tested.proxy().notes().read("a").await.unwrap(), "b");
    assert_eq!(tested.proxy().notes().on("tested").read("a").await.unwrap(), "b");
    assert_eq!(tested.proxy().notes().on_all(Many::All).read("a").await.all_ok().unwrap().len(), 1);
    assert_eq!(tested.service().kept.lock().unwrap().len(), 1);
    let by_name = tested.proxy().call("notes/read", json!({ "name": "a" })).await.unwrap();
    assert_eq!(by_name.get(), "\"b\"");

    tested.stop().await.unwrap();
    assert_eq!(*diary.lock().unwrap(), ["initialized", "cleaned up"]);
}

#[tokio::test]
async fn a_hook_that_fails_is_told_to_the_test() {
    let breaking = |at| ServiceTester::new(Notes { breaks: Some(at), ..Notes::default() });
    let error = breaking("initialize").start().await.err().unwrap();
    assert_eq!(error.to_string(), "service \"notes\" did not initialize: no room for notes");
    let error = breaking("cleanup").start().await.unwrap().stop().await.unwrap_err();
    assert_eq!(error.to_string(), "service \"notes\" did not clean up: the notes are lost");
}

#[tokio::test]
async fn access_is_decided_for_the_caller_of_the_tests_choice() {
    let tested = started().await;
    tested.proxy().notes().write("a", "b").await.unwrap();
    let (worker, coordinator) = (node("w", Role::Worker), node("c", Role::Coordinator));
    for (caller, reads, writes, wipes) in [
        (CallerId::Anonymous, false, false, false),
        (CallerId::Operator, true, true, false),
        (worker, true, true, false),
        (coordinator, true, true, true),
    ] {
        let notes = tested.proxy_as(caller.clone()).notes();
        for (allowed, outcome) in [
            (reads, notes.read("a").await.map(drop).map_err(|error| error.to_string())),
            (writes, notes.write("a", "b").await.map_err(|error| error.to_string())),
            (wipes, notes.wipe().await.map_err(|error| error.to_string())),
        ] {
            match outcome {
                Ok(()) => assert!(allowed, "{caller}"),
                Err(said) => assert!(!allowed && said.starts_with(&format!("denied: {caller} may not call notes/")), "{said}"),
            }
        }
    }
    let seen = tested.proxy_as(CallerId::Anonymous).notes().who().await.unwrap();
    assert_eq!(seen, ("an anonymous caller".to_owned(), "tested".to_owned()));
    assert_eq!(tested.proxy().notes().who().await.unwrap().0, "node tested (worker)");
}

#[tokio::test]
async fn a_service_of_a_coordinator_is_tested_as_one() {
    let tested = ServiceTester::new(Notes::default()).role(Role::Coordinator).start().await.unwrap();
    tested.proxy().notes().wipe().await.unwrap();
    tested.proxy().notes().on(Role::Coordinator).wipe().await.unwrap();
    let error = tested.proxy().notes().on(Role::Worker).wipe().await.unwrap_err();
    assert!(matches!(error, CallError::NoRoute(_)), "{error}");
}

#[tokio::test]
async fn errors_arrive_typed_and_params_are_checked_whoever_calls() {
    let tested = started().await;
    for proxy in [tested.proxy(), tested.proxy_as(CallerId::Operator)] {
        match proxy.notes().read("x").await.unwrap_err() {
            CallError::Service(NoteError::Missing { name }) => assert_eq!(name, "x"),
            other => panic!("{other}"),
        }
        let error = proxy.call("notes/read", json!({ "nam": "x" })).await.unwrap_err();
        assert_eq!(error.to_string(), "unknown parameter `nam`; this method takes: name");
        let error = proxy.call("notes/erase", json!({})).await.unwrap_err();
        assert!(error.to_string().starts_with("service notes has no method erase; it has: read, write"), "{error}");
        let error = proxy.notes().break_down().await.unwrap_err();
        assert!(matches!(&error, CallError::Internal(text) if text.contains("notes/break_down panicked")), "{error}");
    }
    let error = tested.proxy_as(CallerId::Operator).notes().on("worker-1").read("x").await.unwrap_err();
    assert!(error.to_string().contains("only the service that is tested can be called so"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn deadlines_hold_as_on_a_node() {
    let tested = started().await;
    for proxy in [tested.proxy(), tested.proxy_as(CallerId::Operator)] {
        let began = tokio::time::Instant::now();
        let error = proxy.notes().never().await.unwrap_err();
        assert!(matches!(error, CallError::Deadline { .. }), "{error}");
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        proxy.notes().never().timeout(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }
}

#[tokio::test]
async fn what_was_counted_and_what_would_be_announced_can_be_looked_at() {
    let tested = started().await;
    let notes = tested.proxy().notes();
    notes.write("a", "b").await.unwrap();
    notes.read("a").await.unwrap();
    notes.read("x").await.unwrap_err();
    tested.proxy_as(CallerId::Operator).notes().read("x").await.unwrap_err();
    tested.proxy_as(CallerId::Anonymous).notes().read("a").await.unwrap_err();
    let read = tested.metrics("read").unwrap();
    assert_eq!((read.calls, read.errors, read.in_flight), (3, 2, 0), "who is denied is not counted");
    assert!(read.total > Duration::ZERO);
    assert_eq!(tested.metrics("write").unwrap().calls, 1);
    let error = tested.metrics("erase").unwrap_err();
    assert!(
        error.to_string().contains(ErrorCode::METHOD_NOT_FOUND.name()) && error.to_string().contains("it has: read"),
        "{error}"
    );

    assert_eq!(tested.health().await.unwrap(), ServiceHealth::Healthy);
    let announced = tested.announced().await.unwrap();
    assert_eq!(announced.version, "1.4.0");
    assert_eq!(announced.fingerprint, tested.context().registry().list()[0].descriptor.fingerprint());
    notes.write("c", "d").await.unwrap();
    assert_eq!(tested.health().await.unwrap(), ServiceHealth::Degraded, "it was asked again");
}

fn info(hostname: &str) -> SystemInfo {
    SystemInfo {
        node_id: "coordinator".parse().unwrap(),
        hostname: hostname.to_owned(),
        os: String::new(),
        kernel: String::new(),
        architecture: String::new(),
        cpu_count: 1,
        memory_total_bytes: 0,
        disks: Vec::new(),
        uptime_seconds: 0,
        version: String::new(),
    }
}

#[tokio::test]
async fn what_the_service_calls_in_turn_is_answered_by_mocks() {
    let system = MockSystem::new();
    system.on_get_system_info(|_| Ok(info("ada"))).at(Role::Coordinator);
    let others: MockCluster = Proxy::mock().coordinator().workers(1).with(&system);
    let tested = ServiceTester::new(Notes::default()).calling(others.proxy()).start().await.unwrap();
    for proxy in [tested.proxy(), tested.proxy_as(CallerId::Anonymous)] {
        assert_eq!(proxy.notes().where_is_the_coordinator().timeout(Duration::from_secs(9)).await.unwrap(), "ada");
    }
    assert!(system.calls().iter().all(|call| call.time_left() <= Duration::from_secs(9)), "deadlines go along");
    // The service is beside the mock's nodes.
    let asked = tested.proxy().notes().on_all(Many::All).who().await;
    assert_eq!(asked.iter().map(|(node, _)| node.as_str()).collect::<Vec<_>>(), ["tested"]);
    system.verify().unwrap();
}

#[tokio::test]
async fn a_call_that_leaves_a_service_without_mocks_says_how_to_give_it_one() {
    let tested = started().await;
    let error = tested.proxy().notes().where_is_the_coordinator().await.unwrap_err();
    let said = "system/get_system_info to role=coordinator leaves the service, which is tested alone; give it a mock: \
                ServiceTester::new(…).calling(Proxy::mock().with(&mock).proxy())";
    assert!(error.to_string().contains(said), "{error}");
}

fn shown<T, E: std::fmt::Display>(answers: impl IntoIterator<Item = (NodeId, Result<T, E>)>) -> Vec<(String, Option<String>)> {
    answers.into_iter().map(|(node, answer)| (node.to_string(), answer.err().map(|error| error.to_string()))).collect()
}

#[tokio::test]
async fn a_fan_out_from_elsewhere_reaches_the_service_only_where_its_node_is_meant() {
    let tested = started().await;
    let proxy = tested.proxy_as(CallerId::Operator);
    for many in [Many::All, Role::Worker.into(), Many::Nodes(vec!["tested".parse().unwrap()])] {
        assert_eq!(shown(proxy.notes().on_all(many).who().await), [("tested".to_owned(), None)]);
    }
    for many in [Many::Others, Role::Coordinator.into()] {
        let error = proxy.notes().on_all(many.clone()).who().await.all_ok().unwrap_err();
        let said = format!("only the service that is tested can be called so, on node tested, and not {many}");
        assert!(error.to_string().contains(&said), "{error}");
    }
}

#[tokio::test]
async fn each_node_that_a_fan_out_names_is_told_of_once_whether_or_not_it_is_there() {
    let tested = started().await;
    let names = || Many::Nodes(["worker-9", "tested", "worker-9"].map(|id| id.parse().unwrap()).to_vec());
    for (proxy, said) in [
        (tested.proxy(), "leaves the service, which is tested alone"),
        (tested.proxy_as(CallerId::Operator), "only the service that is tested can be called so"),
    ] {
        let answers = shown(proxy.notes().on_all(names()).who().await);
        assert_eq!(answers.iter().map(|(node, _)| node.as_str()).collect::<Vec<_>>(), ["tested", "worker-9"]);
        assert_eq!(answers[0].1, None);
        assert!(answers[1].1.as_ref().is_some_and(|error| error.contains(said)), "{answers:?}");
    }
}

#[tokio::test]
async fn a_mock_of_the_service_that_is_tested_does_not_answer_for_its_node() {
    let beside = MockNotes::new();
    beside.on_who(|call| Ok(("a mock".to_owned(), call.node().to_string())));
    let mocked = Proxy::mock().with(&beside).proxy();
    let tested = ServiceTester::new(Notes::default()).calling(mocked).start().await.unwrap();
    let names = Many::Nodes(["tested", "worker-9"].map(|id| id.parse().unwrap()).to_vec());
    let answers = tested.proxy().notes().on_all(names).who().await;
    let shown: Vec<_> = answers.into_iter().map(|(node, answer)| (node.to_string(), answer.unwrap().0)).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].0 == "tested" && shown[0].1 != "a mock", "{shown:?}");
    assert_eq!(shown[1], ("worker-9".to_owned(), "a mock".to_owned()));
}

#[tokio::test]
async fn what_a_service_counts_of_its_own_is_found_in_its_context() {
    let tested = started().await;
    tested.proxy().notes().counted().await.unwrap();
    tested.proxy_as(CallerId::Operator).notes().counted().await.unwrap();
    assert_eq!(tested.context().metrics("notes").snapshot().counters["asked"], 2);
}

/// A contract and its host are tested in the same way, by the contract's proxy.
#[service]
trait Ping {
    /// Answers with the text.
    #[service_method(anonymous)]
    async fn ping(&self, text: &str) -> Result<String>;
}

struct Echo;

#[service]
impl Ping for Echo {
    async fn ping(&self, text: &str) -> Result<String> {
        Ok(text.to_owned())
    }
}

#[tokio::test]
async fn the_host_of_a_contract_is_tested_by_the_contracts_proxy() {
    let tested = ServiceTester::new(Echo).start().await.unwrap();
    assert_eq!(tested.proxy().ping().ping("a").await.unwrap(), "a");
    assert_eq!(tested.proxy_as(CallerId::Anonymous).ping().ping("b").await.unwrap(), "b");
    assert_eq!(tested.metrics("ping").unwrap().calls, 2);
    tested.stop().await.unwrap();
}

#[tokio::test]
async fn a_method_that_streams_is_tested_alone_on_the_object_and_as_from_elsewhere() {
    let tested = started().await;
    for name in ["a", "b"] {
        tested.proxy().notes().write(name, "…").await.unwrap();
    }
    for proxy in [tested.proxy(), tested.proxy_as(CallerId::Operator)] {
        let names = proxy.notes().names().await.unwrap().map(|name| name.unwrap());
        assert_eq!(names.collect::<Vec<_>>().await, ["a", "b"]);
        let by_name = proxy.open("notes/names", json!({})).await.unwrap().map(|name| name.unwrap().get().to_owned());
        assert_eq!(by_name.collect::<Vec<_>>().await, ["\"a\"", "\"b\""]);
    }
    let denied = tested.proxy_as(CallerId::Anonymous).notes().names().await.unwrap_err();
    assert!(matches!(denied, CallError::Denied(_)), "{denied}");
    assert_eq!(tested.metrics("names").unwrap().calls, 4);
}

/// Keeps a secret from its start on.
#[derive(Default)]
struct Mailer;

#[service]
impl Mailer {
    async fn initialize(&self, cx: &Context) -> Result<()> {
        Ok(cx.secrets()?.put("smtp/password", "hunter2").await?)
    }

    async fn cleanup(&self, cx: &Context) -> Result<()> {
        let secret = cx.secrets()?.remove("smtp/password").await?;
        assert_eq!(secret.unwrap().expose(), b"hunter2", "each hook reaches the same secrets");
        Ok(())
    }

    /// Sends nothing.
    #[service_method]
    async fn send(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_service_keeps_secrets_of_its_own_and_the_context_outside_of_it_has_none() {
    let tested = ServiceTester::new(Mailer).start().await.unwrap();
    tested.proxy().mailer().send().await.unwrap();
    let error = tested.context().secrets().unwrap_err();
    assert!(error.to_string().contains("`new`, `initialize` or `start`"), "{error}");
    tested.stop().await.unwrap();
}
