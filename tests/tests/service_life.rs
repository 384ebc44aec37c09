//! What services have without inheriting it: health checks, metrics of their own, and where they are shown.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use common::{Cluster, Plan, sees, token, web::Web};
use p2p_client::protocol::ServiceHealth;
use p2p_runtime::identity::TokenOptions;
use p2p_services::prelude::*;
use serde_json::json;

/// Prints as long as there is paper, and counts what it does.
struct Printer {
    sheets: Arc<AtomicU32>,
}

#[service(version = "1.0.0")]
impl Printer {
    async fn initialize(&self, cx: &Context) -> Result<()> {
        cx.metrics("printer").counter("starts").add(1);
        Ok(())
    }

    /// Prints, and says where.
    #[service_method]
    async fn print(&self, cx: &CallContext, pages: u64) -> Result<String> {
        if pages == 0 {
            return Err(Error::msg("nothing to print"));
        }
        let metrics = cx.metrics();
        let _time = metrics.time("printing");
        metrics.counter("pages").add(pages);
        metrics.gauge("tray").set(f64::from(self.sheets.load(Relaxed)));
        Ok(cx.node().to_string())
    }

    async fn health(&self, cx: &Context) -> Health {
        match self.sheets.load(Relaxed) {
            0 => Health::unhealthy(format!("the printer of {} is out of paper", cx.node_id())),
            1..10 => Health::degraded("nearly out of paper"),
            _ => Health::healthy(),
        }
    }
}

/// A coordinator without, and two workers with a printer each, whose sheets can be counted.
async fn two_printers() -> (Cluster, [common::Member; 3], [Arc<AtomicU32>; 2]) {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator()).await;
    let sheets = [Arc::new(AtomicU32::new(100)), Arc::new(AtomicU32::new(100))];
    let join = async |number: u8, sheets: &Arc<AtomicU32>| {
        let plan = Plan::worker(number);
        let token = token(&coordinator, TokenOptions::default()).await;
        let enrolment = cluster.join(&plan, &coordinator.authority(), token).await.unwrap();
        let printer = Printer { sheets: sheets.clone() };
        cluster.start_with(plan, enrolment, |builder| builder.serve(printer)).await.unwrap()
    };
    let (one, two) = (join(1, &sheets[0]).await, join(2, &sheets[1]).await);
    sees(&coordinator, |members| members.hosting("printer").count() == 2).await;
    (cluster, [coordinator, one, two], sheets)
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_well_says_so_and_calls_go_to_others() {
    let (cluster, [coordinator, one, _two], sheets) = two_printers().await;
    let health_is = |wanted: ServiceHealth| {
        let id = one.id().clone();
        move |members: &p2p_runtime::network::Members| members.get(&id).unwrap().services["printer"].health == wanted
    };
    let printers = async || {
        let mut served = Vec::new();
        for _ in 0..4 {
            served.push(coordinator.proxy().printer().print(1).await.unwrap());
        }
        served.sort();
        served
    };
    assert_eq!(printers().await, ["worker-1", "worker-1", "worker-2", "worker-2"]);

    sheets[0].store(0, Relaxed);
    sees(&coordinator, health_is(ServiceHealth::Unhealthy)).await;
    assert_eq!(printers().await, ["worker-2"; 4]);
    // One that is not well is asked where there is no other, and answers if it can.
    assert_eq!(coordinator.proxy().printer().on("worker-1").print(1).await.unwrap(), "worker-1");
    sheets[1].store(0, Relaxed);

    let operator = Web::operator(cluster.dir("worker-1"));
    let health = operator.get("/health").await.json();
    let reason = "the printer of worker-1 is out of paper";
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["services"]["printer"], json!({ "status": "unhealthy", "reason": reason }));
    assert_eq!(operator.get("/services").await.json()["printer"]["health"]["reason"], reason);
    // Who may not read what a node hosts is told that something is wrong, and no more.
    let health = Web::anonymous(cluster.host(common::worker_ip(99)), &one).get("/health").await.json();
    assert_eq!((&health["status"], health.get("services")), (&json!("degraded"), None));

    sheets[0].store(5, Relaxed);
    sees(&coordinator, health_is(ServiceHealth::Degraded)).await;
    sees(&coordinator, |members| {
        members.hosting("printer").any(|two| two.services["printer"].health == ServiceHealth::Unhealthy)
    })
    .await;
    assert_eq!(printers().await, ["worker-1"; 4], "degraded is better than unhealthy");
    sheets[0].store(50, Relaxed);
    sees(&coordinator, health_is(ServiceHealth::Healthy)).await;
    assert!(operator.is_served().await);
}

#[tokio::test(start_paused = true)]
async fn what_a_service_counts_of_its_own_is_shown_beside_what_is_counted_of_its_methods() {
    let (cluster, [coordinator, one, _two], _sheets) = two_printers().await;
    // From here, from another node, and from outside.
    one.proxy().printer().print(2).await.unwrap();
    coordinator.proxy().printer().on("worker-1").print(3).await.unwrap();
    Web::operator(cluster.dir("worker-1")).call("printer/print", json!({ "pages": 4 })).await.unwrap();

    let listed = Web::operator(cluster.dir("worker-1")).get("/services").await.json();
    let printer = &listed["printer"];
    assert_eq!(printer["metrics"]["print"]["calls"], 3);
    let own = &printer["own_metrics"];
    assert_eq!(own["counters"], json!({ "pages": 9, "starts": 1 }));
    assert_eq!(own["gauges"], json!({ "tray": 100.0 }));
    assert_eq!(own["timers"]["printing"]["count"], 3);
    let elsewhere = Web::operator(cluster.dir("worker-2")).get("/services").await.json();
    assert_eq!(elsewhere["printer"]["own_metrics"]["counters"], json!({ "starts": 1 }), "each node has its own");
    assert_eq!(listed["system"]["own_metrics"], json!({}), "and each service");
    assert_eq!(one.context().metrics("printer").counter("pages").value(), 9);
}

/// The value of a sample, by its name and labels as they are written.
fn sample(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("there is no {sample} in:\n{metrics}")).parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_a_node_counts_can_be_read_by_prometheus() {
    let (cluster, [coordinator, one, _two], sheets) = two_printers().await;
    coordinator.proxy().printer().on("worker-1").print(3).await.unwrap();
    assert!(coordinator.proxy().printer().on("worker-1").print(0).await.is_err());
    sheets[0].store(0, Relaxed);
    let id = one.id().clone();
    sees(&coordinator, move |members| members.get(&id).unwrap().services["printer"].health == ServiceHealth::Unhealthy).await;

    let operator = Web::operator(cluster.dir("worker-1"));
    let answer = operator.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let metrics = String::from_utf8(answer.body.to_vec()).unwrap();
    let counted = operator.get("/services").await.json();
    let print = &counted["printer"]["metrics"]["print"];
    for (name, expected) in [
        (r#"p2p_node_info{node_id="worker-1",role="worker",version="0.1.0"}"#, 1.0),
        (r#"p2p_component_running{component="network"}"#, 1.0),
        (r#"p2p_members{status="alive"}"#, 3.0),
        (r#"p2p_members{status="dead"}"#, 0.0),
        (r#"p2p_refused_requests_total{budget="rpc"}"#, 0.0),
        (r#"p2p_service_health{service="printer",status="healthy"}"#, 0.0),
        (r#"p2p_service_health{service="printer",status="unhealthy"}"#, 1.0),
        (r#"p2p_method_calls_total{service="printer",method="print"}"#, 2.0),
        (r#"p2p_method_errors_total{service="printer",method="print"}"#, 1.0),
        (r#"p2p_method_calls_in_flight{service="printer",method="print"}"#, 0.0),
        (r#"p2p_method_duration_seconds_total{service="printer",method="print"}"#, print["total_ms"].as_f64().unwrap() / 1000.0),
        (r#"p2p_service_counter_total{service="printer",name="pages"}"#, 3.0),
        (r#"p2p_service_gauge{service="printer",name="tray"}"#, 100.0),
        (r#"p2p_service_timer_runs_total{service="printer",name="printing"}"#, 1.0),
        (r#"p2p_service_metrics_left_out_total{service="printer"}"#, 0.0),
    ] {
        assert_eq!(sample(&metrics, name).to_bits(), expected.to_bits(), "{name} in:\n{metrics}");
    }
    let expires = Duration::from_secs_f64(sample(&metrics, "p2p_certificate_expires_timestamp_seconds"));
    let left = expires.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    assert!((Duration::from_hours(364 * 24)..=Duration::from_hours(366 * 24)).contains(&left), "{left:?}");
    assert!(metrics.ends_with("# EOF\n"));
}

/// The names of samples and their labels, of one line.
fn name_and_labels(sample: &str) -> (String, Vec<String>) {
    let (name, labels) = sample.split_once('{').unwrap_or_else(|| (sample.split(' ').next().unwrap(), ""));
    let labels = labels.split('"').step_by(2).filter_map(|label| label.trim_start_matches(',').strip_suffix('='));
    (name.to_owned(), labels.map(str::to_owned).collect())
}

#[tokio::test(start_paused = true)]
async fn the_documentation_names_each_sample_with_its_labels_and_no_other() {
    let (cluster, [coordinator, _one, _two], _sheets) = two_printers().await;
    coordinator.proxy().printer().on("worker-1").print(3).await.unwrap();
    let answer = Web::operator(cluster.dir("worker-1")).get("/metrics").await;
    let metrics = String::from_utf8(answer.body.to_vec()).unwrap();
    let told: BTreeMap<_, _> = metrics.lines().filter(|line| !line.starts_with('#')).map(name_and_labels).collect();

    let document = include_str!("../../docs/metrics.md");
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = document.lines().filter(|line| line.starts_with("| `p2p_"));
    let documented: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').collect();
            (words(cells[1]).remove(0), words(cells[2]))
        })
        .collect();
    assert_eq!(documented, told);
}

/// A contract, whose host has its health check by a trait.
#[service(version = "1.0.0")]
trait Scale {
    /// The weight.
    async fn weigh(&self) -> Result<u32>;
}

struct BrokenScale;

#[service]
impl Scale for BrokenScale {
    async fn weigh(&self) -> Result<u32> {
        Ok(0)
    }
}

impl Lifecycle for BrokenScale {
    async fn health(&self, _: &Context) -> Health {
        Health::degraded("it always shows 0")
    }
}

#[tokio::test]
async fn the_host_of_a_contract_has_a_health_check_too_which_is_known_once_its_node_serves() {
    let cluster = Cluster::new();
    let plan = Plan::coordinator();
    let enrolment = cluster.init(&plan).await.unwrap();
    let node = cluster.start_with(plan, enrolment, |builder| builder.serve(BrokenScale)).await.unwrap();
    assert_eq!(node.proxy().scale().weigh().await.unwrap(), 0);
    assert_eq!(node.context().health()["scale"], Health::degraded("it always shows 0"));
    let members = node.members().members();
    assert_eq!(members.get(node.id()).unwrap().services["scale"].health, ServiceHealth::Degraded);
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// Puts a log where services find it.
struct KeepsLog(Log);

impl Component for KeepsLog {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn start(&self, cx: &Context) -> Result<()> {
        cx.provide(self.0.clone());
        Ok(())
    }

    async fn stop(&self, _: &Context) -> Result<()> {
        Ok(())
    }
}

/// Made by each node for itself, from what its parts share.
struct Diary(Log);

#[service(version = "1.0.0")]
impl Diary {
    async fn new(cx: &Context) -> Result<Self> {
        let log = cx.shared::<Log>().map(|log| Log::clone(&log)).unwrap_or_default();
        log.note("new");
        Ok(Self(log))
    }

    async fn initialize(&self, cx: &Context) -> Result<()> {
        assert!(cx.registry().get("diary").is_none(), "it takes no calls yet");
        self.0.note("initialize");
        Ok(())
    }

    async fn cleanup(&self, cx: &Context) -> Result<()> {
        assert!(cx.registry().get("diary").is_none(), "it takes no calls any more");
        self.0.note("cleanup");
        Ok(())
    }

    /// Writes.
    #[service_method]
    async fn write(&self) -> Result<()> {
        self.0.note("write");
        Ok(())
    }
}

#[tokio::test]
async fn a_service_is_made_initialized_called_and_cleaned_up_in_this_order() {
    let cluster = Cluster::new();
    let plan = Plan::coordinator();
    let enrolment = cluster.init(&plan).await.unwrap();
    let log = Log::default();
    let node = cluster.start_with(plan, enrolment, |builder| builder.component(KeepsLog(log.clone()))).await.unwrap();
    node.proxy().diary().write().await.unwrap();
    node.node.stop().await;
    assert_eq!(log.all(), ["new", "initialize", "write", "cleanup"]);
}

/// Fails to come up.
struct Stubborn;

#[service]
impl Stubborn {
    async fn initialize(&self) -> Result<()> {
        Err(Error::msg("no database answers"))
    }

    /// Is never called.
    #[service_method]
    async fn never(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_service_that_does_not_initialize_keeps_its_node_from_starting_and_the_others_are_cleaned_up() {
    let cluster = Cluster::new();
    let plan = Plan::coordinator();
    let enrolment = cluster.init(&plan).await.unwrap();
    let log = Log::default();
    let with = |builder: p2p_runtime::node::NodeBuilder| builder.serve(Diary(log.clone())).serve(Stubborn);
    let error = cluster.start_with(plan, enrolment, with).await.err().unwrap();
    assert!(error.to_string().contains("service \"stubborn\" did not initialize: no database answers"), "{error}");
    assert_eq!(log.all(), ["initialize", "cleanup"]);
}
