//! `GET /metrics`: what the node counts, for programs that watch it.
//!
//! The form is that of [OpenMetrics 1.0](https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md), as text, which Prometheus
//! reads. What is told is what `/services` and `/health` tell, in families of samples; `docs/metrics.md` lists them.

use std::{fmt, sync::Arc};

use axum::{extract::State, response::IntoResponse};
use http::{StatusCode, header::CONTENT_TYPE};
use p2p_client::{
    protocol::{ErrorCode, NodeStatus, RpcError, ServiceHealth},
    service::{MethodSnapshot, MetricsSnapshot},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, text::encode},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit},
};

use crate::component::ComponentState;

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// Before the name of each family.
const PREFIX: &str = "p2p";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(State(state): State<Arc<WebState>>, requester: Requester) -> Result<impl IntoResponse, Refusal> {
    requester.may_read(&state, &state.config.live().http_access.metrics, "/metrics")?;
    let mut families = of_the_node(&state);
    families.extend(of_services(&state));
    let text = text(families).map_err(|fmt::Error| {
        let text = "the node's metrics could not be written as text; this is a mistake in the program";
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, RpcError::new(ErrorCode::INTERNAL, text))
    })?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text))
}

/// Samples of one name.
#[derive(Debug)]
struct Family {
    /// Without [`PREFIX`], unit, and what kinds add.
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    samples: Vec<Sample>,
}

/// A value, by what tells it from others of its family.
#[derive(Debug)]
struct Sample {
    labels: Labels,
    value: Value,
}

type Labels = Vec<(&'static str, String)>;

#[derive(Debug, Clone, Copy)]
enum Value {
    Count(u64),
    Number(f64),
}

impl Family {
    /// Of what only grows.
    fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: None, kind: MetricType::Counter, samples: Vec::new() }
    }

    /// Of what there is now.
    fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { kind: MetricType::Gauge, ..Self::counter(name, help) }
    }

    /// Of what something is, as labels.
    fn info(name: &'static str, help: &'static str) -> Self {
        Self { kind: MetricType::Info, ..Self::counter(name, help) }
    }

    fn in_seconds(self) -> Self {
        Self { unit: Some(Unit::Seconds), ..self }
    }

    fn with(mut self, labels: Labels, value: Value) -> Self {
        self.push(labels, value);
        self
    }

    fn push(&mut self, labels: Labels, value: Value) {
        self.samples.push(Sample { labels, value });
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Count(is_so.into())
    }
}

/// What is told of the node, its components and whom it knows.
fn of_the_node(state: &WebState) -> Vec<Family> {
    let cx = &state.cx;
    let who = vec![
        ("node_id", cx.node_id().to_string()),
        ("role", cx.role().to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut certificate =
        Family::gauge("certificate_expires_timestamp", "Until when the node's certificate is valid (Unix time)").in_seconds();
    if let Ok(info) = state.identity.certificate() {
        certificate.push(Vec::new(), info.until.as_secs().into());
    }
    let mut components = Family::gauge("component_running", "Whether a component of the node runs");
    for component in cx.components() {
        let is_running = component.state == ComponentState::Running;
        components.push(vec![("component", component.name.to_owned())], is_running.into());
    }
    let mut members = Family::gauge("members", "Nodes of the cluster that this one knows, itself among them");
    let known = cx.membership().map(crate::network::Membership::members);
    for status in [NodeStatus::Alive, NodeStatus::Suspected, NodeStatus::Dead, NodeStatus::Left, NodeStatus::Revoked] {
        let number = known.iter().flat_map(|members| members.iter()).filter(|member| member.status == status).count();
        members.push(vec![("status", status.to_string())], number.into());
    }
    let refused = state.config.limits().refused();
    let mut refusals = Family::counter("refused_requests", "Requests that were refused as their sender made too many");
    for (budget, number) in [("rpc", refused.rpc), ("health", refused.health), ("node", refused.node)] {
        refusals.push(vec![("budget", budget.to_owned())], number.into());
    }
    vec![
        Family::info("node", "The node").with(who, 1_u64.into()),
        Family::gauge("uptime", "How long the node has been running")
            .in_seconds()
            .with(Vec::new(), state.started.elapsed().as_secs_f64().into()),
        certificate,
        components,
        members,
        refusals,
    ]
}

/// What is told of the services that the node hosts, and what they count of their own.
fn of_services(state: &WebState) -> Vec<Family> {
    let (mut methods, mut own) = (Methods::default(), Own::default());
    let mut health = Family::gauge("service_health", "What a service says of itself: 1 for what it is");
    let reports = state.cx.health();
    for service in state.cx.registry().list() {
        let name = service.descriptor.name.to_string();
        for (method, counted) in service.descriptor.methods.iter().zip(&service.counters) {
            methods.push(&name, &method.name, counted);
        }
        own.push(&name, state.cx.metrics(&name).snapshot());
        let is = reports.get(&name).map(|report| report.status).unwrap_or_default();
        for (word, status) in
            [("healthy", ServiceHealth::Healthy), ("degraded", ServiceHealth::Degraded), ("unhealthy", ServiceHealth::Unhealthy)]
        {
            health.push(vec![("service", name.clone()), ("status", word.to_owned())], (is == status).into());
        }
    }
    [health].into_iter().chain(methods.families()).chain(own.families()).collect()
}

/// What is counted of methods.
struct Methods {
    calls: Family,
    errors: Family,
    in_flight: Family,
    duration: Family,
}

impl Default for Methods {
    fn default() -> Self {
        Self {
            calls: Family::counter("method_calls", "Calls begun"),
            errors: Family::counter("method_errors", "Calls that failed, or that nobody waited for to the end"),
            in_flight: Family::gauge("method_calls_in_flight", "Calls that run now"),
            duration: Family::counter("method_duration", "Time spent in ended calls").in_seconds(),
        }
    }
}

impl Methods {
    fn push(&mut self, service: &str, method: &str, counted: &MethodSnapshot) {
        let labels = || vec![("service", service.to_owned()), ("method", method.to_owned())];
        self.calls.push(labels(), counted.calls.into());
        self.errors.push(labels(), counted.errors.into());
        self.in_flight.push(labels(), counted.in_flight.into());
        self.duration.push(labels(), counted.total.as_secs_f64().into());
    }

    fn families(self) -> [Family; 4] {
        [self.calls, self.errors, self.in_flight, self.duration]
    }
}

/// What services count of their own, by the names that they give.
struct Own {
    counters: Family,
    gauges: Family,
    runs: Family,
    duration: Family,
    longest: Family,
    left_out: Family,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            counters: Family::counter("service_counter", "A counter of a service"),
            gauges: Family::gauge("service_gauge", "A gauge of a service"),
            runs: Family::counter("service_timer_runs", "How often a timer of a service has run"),
            duration: Family::counter("service_timer", "How long a timer of a service has run altogether").in_seconds(),
            longest: Family::gauge("service_timer_longest", "How long a timer of a service has run at most").in_seconds(),
            left_out: Family::counter(
                "service_metrics_left_out",
                "How often a service has asked for a metric that is not kept, as it has too many or the name is too long",
            ),
        }
    }
}

impl Own {
    fn push(&mut self, service: &str, counted: MetricsSnapshot) {
        let labels = |name: String| vec![("service", service.to_owned()), ("name", name)];
        for (name, count) in counted.counters {
            self.counters.push(labels(name), count.into());
        }
        for (name, value) in counted.gauges {
            self.gauges.push(labels(name), value.into());
        }
        for (name, timer) in counted.timers {
            self.runs.push(labels(name.clone()), timer.count.into());
            self.duration.push(labels(name.clone()), (timer.total_ms / 1000.0).into());
            self.longest.push(labels(name), (timer.longest_ms / 1000.0).into());
        }
        self.left_out.push(vec![("service", service.to_owned())], counted.left_out.into());
    }

    fn families(self) -> [Family; 6] {
        [self.counters, self.gauges, self.runs, self.duration, self.longest, self.left_out]
    }
}

fn text(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), self.kind)?;
        self.samples.iter().try_for_each(|Sample { labels, value }| match self.kind {
            MetricType::Info => encoder.encode_info(labels),
            kind if labels.is_empty() => value.encode(kind, &mut encoder),
            kind => value.encode(kind, &mut encoder.encode_family(labels)?),
        })
    }
}

impl Value {
    fn encode(self, kind: MetricType, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        const NO_EXEMPLAR: Option<&Exemplar<Labels, f64>> = None;
        match (kind, self) {
            (MetricType::Counter, Self::Count(count)) => encoder.encode_counter(&count, NO_EXEMPLAR),
            (MetricType::Counter, Self::Number(number)) => encoder.encode_counter(&number, NO_EXEMPLAR),
            (_, Self::Count(count)) => encoder.encode_gauge(&count),
            (_, Self::Number(number)) => encoder.encode_gauge(&number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn families_are_written_as_open_metrics_with_unit_and_labels_that_are_escaped() {
        let mut own = Own::default();
        let metrics = p2p_client::service::Metrics::default();
        metrics.counter("odd \"name\"\nof \\ two lines").add(3);
        metrics.gauge("queue").set(2.5);
        metrics.timer("query").record(Duration::from_millis(1500));
        own.push("shop", metrics.snapshot());
        let node = Family::info("node", "The node").with(vec![("node_id", "n-1".to_owned())], 1_u64.into());
        let uptime = Family::gauge("uptime", "Up").in_seconds().with(Vec::new(), 7_u64.into());
        let all = [node, uptime].into_iter().chain(own.families()).collect();
        let expected = r#"# HELP p2p_node The node
# TYPE p2p_node info
p2p_node_info{node_id="n-1"} 1
# HELP p2p_uptime_seconds Up
# TYPE p2p_uptime_seconds gauge
# UNIT p2p_uptime_seconds seconds
p2p_uptime_seconds 7
# HELP p2p_service_counter A counter of a service
# TYPE p2p_service_counter counter
p2p_service_counter_total{service="shop",name="odd \"name\"\nof \\ two lines"} 3
# HELP p2p_service_gauge A gauge of a service
# TYPE p2p_service_gauge gauge
p2p_service_gauge{service="shop",name="queue"} 2.5
# HELP p2p_service_timer_runs How often a timer of a service has run
# TYPE p2p_service_timer_runs counter
p2p_service_timer_runs_total{service="shop",name="query"} 1
# HELP p2p_service_timer_seconds How long a timer of a service has run altogether
# TYPE p2p_service_timer_seconds counter
# UNIT p2p_service_timer_seconds seconds
p2p_service_timer_seconds_total{service="shop",name="query"} 1.5
# HELP p2p_service_timer_longest_seconds How long a timer of a service has run at most
# TYPE p2p_service_timer_longest_seconds gauge
# UNIT p2p_service_timer_longest_seconds seconds
p2p_service_timer_longest_seconds{service="shop",name="query"} 1.5
# HELP p2p_service_metrics_left_out How often a service has asked for a metric that is not kept, as it has too many or the name is too long
# TYPE p2p_service_metrics_left_out counter
p2p_service_metrics_left_out_total{service="shop"} 0
# EOF
"#;
        assert_eq!(text(all).unwrap(), expected);
    }
}
