//! What a method is told of its call, and what the calls that it makes inherit.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use p2p_client::{
    call::CallError,
    protocol::{CallerId, Role},
};
use p2p_runtime::{
    prelude::{CallContext, Error, Result},
    service,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cluster::Cluster;

/// What a method saw.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Seen {
    node: String,
    caller: String,
    origin: Option<String>,
    time_left: Duration,
}

struct Relay;

#[service]
impl Relay {
    #[service_method(anonymous)]
    async fn look(&self, cx: &CallContext) -> Result<Seen> {
        Ok(Seen {
            node: cx.node().to_string(),
            caller: cx.caller().to_string(),
            origin: cx.origin().map(str::to_owned),
            time_left: cx.time_left(),
        })
    }

    #[service_method(anonymous)]
    async fn pass_on(&self, to: String, cx: &CallContext, after: Duration, given: Duration) -> Result<Seen> {
        tokio::time::sleep(after).await;
        Ok(cx.proxy().relay().on(to.as_str()).look().timeout(given).await?)
    }

    #[service_method(anonymous)]
    async fn trace(&self, cx: &CallContext) -> Result<String> {
        Ok(cx.trace().to_string())
    }

    /// The trace of this call, and those that two calls made in it belong to.
    #[service_method(anonymous)]
    async fn traces(&self, cx: &CallContext, to: [String; 2]) -> Result<Vec<String>> {
        let mut traces = Vec::new();
        for node in &to {
            traces.push(cx.proxy().relay().on(node.as_str()).trace().await?);
        }
        traces.push(cx.trace().to_string());
        Ok(traces)
    }

    /// The trace of this call, and those of two calls that tasks make which it has spawned.
    #[service_method(anonymous)]
    async fn traces_of_tasks(&self, cx: &CallContext, to: String) -> Result<Vec<String>> {
        let tasks = [to.clone(), to].map(|to| {
            let cx = cx.clone();
            tokio::spawn(async move { cx.proxy().relay().on(to.as_str()).trace().await })
        });
        let mut traces = Vec::new();
        for task in tasks {
            traces.push(task.await??);
        }
        traces.push(cx.trace().to_string());
        Ok(traces)
    }

    #[service_method]
    async fn hang(&self) -> Result<()> {
        std::future::pending().await
    }

    #[service_method]
    async fn wait_for_it(&self, cx: &CallContext, to: String) -> Result<()> {
        Ok(cx.proxy().relay().on(to.as_str()).hang().timeout(Duration::from_mins(1)).await?)
    }

    #[service_method]
    async fn fail(&self) -> Result<()> {
        Err(Error::msg("it is broken"))
    }

    #[service_method]
    async fn fail_there(&self, cx: &CallContext, to: String) -> Result<()> {
        Ok(cx.proxy().relay().on(to.as_str()).fail().await?)
    }

    #[service_method]
    async fn fail_far_away(&self, cx: &CallContext, via: String, to: String) -> Result<()> {
        Ok(cx.proxy().relay().on(via.as_str()).fail_there(to).await?)
    }

    #[service_method]
    async fn fail_by_name(&self, cx: &CallContext, to: String) -> Result<()> {
        cx.proxy().call("relay/fail", ()).on(to).await?;
        Ok(())
    }

    #[service_method]
    async fn fail_everywhere(&self, cx: &CallContext) -> Result<String> {
        let replies = cx.proxy().relay().on_all(Role::Worker).fail().await;
        Ok(replies.into_iter().filter_map(|(_, reply)| reply.err()).map(|error| error.to_string()).collect::<Vec<_>>().join("; "))
    }

    #[service_method]
    async fn fail_in_a_stream(&self) -> Result<impl Stream<Item = Result<u8>>> {
        Ok(stream::iter([Ok(1), Err(Error::msg("it tore"))]))
    }

    #[service_method]
    async fn take_from(&self, cx: &CallContext, to: String) -> Result<()> {
        let mut items = cx.proxy().relay().on(to.as_str()).fail_in_a_stream().await?;
        while let Some(item) = items.next().await {
            item?;
        }
        Ok(())
    }
}

fn cluster() -> Cluster {
    Cluster::default()
        .node("a", Role::Coordinator)
        .node("b", Role::Worker)
        .node("c", Role::Worker)
        .serve("a", Relay)
        .serve("b", Relay)
        .serve("c", Relay)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_call_made_while_serving_one_has_the_time_that_is_left_and_knows_who_began() {
    let cluster = cluster();
    for (via, to) in [("a", "a"), ("a", "b"), ("b", "b"), ("b", "c"), ("b", "a")] {
        let relay = cluster.proxy("a").relay().on(via);
        let role = if via == "a" { "coordinator" } else { "worker" };
        let seen = relay.pass_on(to, 2 * SECOND, 60 * SECOND).timeout(5 * SECOND).await.unwrap();
        let expected = Seen {
            node: to.to_owned(),
            caller: format!("node {via} ({role})"),
            origin: Some("node a (coordinator)".to_owned()),
            time_left: 3 * SECOND,
        };
        assert_eq!(seen, expected, "{via} to {to}");
        let seen = relay.pass_on(to, SECOND, SECOND).await.unwrap();
        assert_eq!(seen.time_left, SECOND, "a call may be given less than what is left");
    }
}

#[tokio::test(start_paused = true)]
async fn all_calls_of_a_chain_belong_to_one_trace_wherever_it_began() {
    let cluster = cluster();
    let mut seen = std::collections::BTreeSet::new();
    for via in ["a", "b"] {
        for to in [["a", "a"], ["b", "c"], ["c", "c"], ["a", "c"]] {
            let traces = cluster.proxy("a").relay().on(via).traces(to.map(str::to_owned)).await.unwrap();
            assert!(traces.iter().all(|trace| *trace == traces[0]), "{via} to {to:?}: {traces:?}");
            assert!(seen.insert(traces[0].clone()), "another chain belongs to another trace");
        }
        let traces = cluster.proxy("a").relay().on(via).traces_of_tasks("c".to_owned()).await.unwrap();
        assert!(traces.iter().all(|trace| *trace == traces[0]), "what a method has spawned belongs to it: {traces:?}");
        assert!(seen.insert(traces[0].clone()), "another chain belongs to another trace");
    }
}

#[tokio::test(start_paused = true)]
async fn the_caller_is_who_asks_and_a_forwarded_call_is_made_in_the_nodes_own_name() {
    let cluster = cluster();
    let nobody = cluster.proxy_as("a", CallerId::Anonymous);
    let seen = nobody.relay().on("b").look().await.unwrap();
    assert_eq!((seen.caller.as_str(), seen.origin), ("an anonymous caller", None));
    let seen = nobody.relay().on("b").pass_on("c", Duration::ZERO, SECOND).await.unwrap();
    assert_eq!(seen.caller, "node b (worker)");
    assert_eq!(seen.origin.as_deref(), Some("an anonymous caller"));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_stays_a_deadline_through_a_chain_of_calls() {
    let cluster = cluster();
    for (via, to) in [("a", "a"), ("a", "b"), ("b", "c")] {
        let began = Instant::now();
        match cluster.proxy("a").relay().on(via).wait_for_it(to).timeout(4 * SECOND).await {
            Err(CallError::Deadline { .. }) => assert_eq!(began.elapsed(), 4 * SECOND, "{via} to {to}"),
            other => panic!("{via} to {to}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn who_made_the_call_around_a_failed_one_reads_which_it_was() {
    let cluster = cluster();
    for (via, to) in [("a", "a"), ("a", "b"), ("b", "c")] {
        let relay = cluster.proxy("a").relay().on(via);
        let said = relay.fail_there(to).await.unwrap_err();
        assert!(matches!(&said, CallError::Internal(text) if text == "relay/fail: it is broken"), "{via} to {to}: {said:?}");
        assert!(!said.is_safe_to_retry());
        let said = relay.fail_by_name(to).await.unwrap_err();
        assert_eq!(said.to_string(), "relay/fail: it is broken", "{via} to {to}");
        let said = relay.take_from(to).await.unwrap_err();
        assert_eq!(said.to_string(), "relay/fail_in_a_stream: it tore", "{via} to {to}");
        let said = relay.fail_far_away(via, to).await.unwrap_err();
        assert_eq!(said.to_string(), "relay/fail_there: relay/fail: it is broken", "{via} to {to}");
        assert_eq!(relay.fail().await.unwrap_err().to_string(), "it is broken", "this caller knows what it called");
    }
    let said = cluster.proxy("a").relay().on("a").fail_everywhere().await.unwrap();
    assert_eq!(said, "relay/fail: it is broken; relay/fail: it is broken");
}
