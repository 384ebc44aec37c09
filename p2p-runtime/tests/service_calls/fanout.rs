//! A call to many nodes: every node's result, as they come or all together.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use p2p_client::{
    call::CallError,
    protocol::{Capability, ErrorCode, Many, Role},
};
use p2p_runtime::{
    prelude::{CallContext, Error, Result},
    service,
};

use crate::cluster::Cluster;

/// Answers with its number, or fails.
struct Number(Option<u32>);

#[service]
impl Number {
    #[service_method]
    async fn get(&self, cx: &CallContext, plus: u32) -> Result<String> {
        let number = self.0.ok_or_else(|| Error::msg("no number here"))?;
        Ok(format!("{}: {}", cx.node(), number + plus))
    }
}

/// Answers at once, fails at once, or never ends, and then tells how it ended.
#[derive(Clone, Default)]
struct Slow {
    at_once: Option<bool>,
    ended: Arc<Mutex<&'static str>>,
}

impl Slow {
    fn ready() -> Self {
        Self { at_once: Some(true), ..Self::default() }
    }

    fn failing() -> Self {
        Self { at_once: Some(false), ..Self::default() }
    }

    fn seen(&self) -> &'static str {
        *self.ended.lock().unwrap()
    }
}

/// Says that it was dropped.
struct Dropped(Arc<Mutex<&'static str>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = "dropped";
    }
}

#[service]
impl Slow {
    #[service_method]
    async fn get(&self) -> Result<u32> {
        match self.at_once {
            Some(true) => Ok(1),
            Some(false) => Err(Error::msg("no")),
            None => {
                let _dropped = Dropped(self.ended.clone());
                pending().await
            }
        }
    }
}

fn three() -> Cluster {
    Cluster::default()
        .node("boss", Role::Coordinator)
        .node("one", Role::Worker)
        .node("two", Role::Worker)
        .node("idle", Role::Worker)
        .serve("boss", Number(Some(0)))
        .serve("one", Number(Some(1)))
        .serve("two", Number(Some(2)))
}

#[tokio::test]
async fn every_node_that_fits_and_hosts_the_service_answers_once() {
    let cluster = three();
    let answers = cluster.proxy("boss").number().on_all(Role::Worker).get(10).await;
    assert_eq!(answers.len(), 2);
    let mut all = answers.all_ok().unwrap();
    all.sort();
    let texts: Vec<_> = all.iter().map(|(node, text)| (node.as_str(), text.as_str())).collect();
    assert_eq!(texts, [("one", "one: 11"), ("two", "two: 12")]);
    let everyone = cluster.proxy("boss").number().on_all(Many::All).get(10).await.all_ok().unwrap();
    assert_eq!(everyone.len(), 3, "the asking node is one of them");
}

#[tokio::test]
async fn a_stream_gives_the_answers_as_they_come() {
    let mut replies = three().proxy("boss").number().on_all(Many::Others).get(0).stream();
    let mut seen = BTreeMap::new();
    while let Some((node, reply)) = replies.next().await {
        seen.insert(node.to_string(), reply.unwrap());
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), ["one: 1", "two: 2"]);
}

#[tokio::test]
async fn a_node_that_fails_is_in_the_result_and_takes_nothing_from_the_others() {
    let cluster = three().serve("one", Number(None));
    cluster.cut_off("two");
    let answers = cluster.proxy("boss").number().on_all(Many::All).get(0).await;
    let by_node: BTreeMap<_, _> = answers.iter().map(|(node, reply)| (node.as_str(), reply)).collect();
    assert_eq!(by_node["boss"].as_ref().unwrap(), "boss: 0");
    assert!(matches!(by_node["one"], Err(CallError::Internal(text)) if text == "no number here"));
    assert!(matches!(by_node["two"], Err(CallError::Transport { may_have_run: false, .. })));
    let error = answers.all_ok().unwrap_err();
    let mut failed: Vec<_> = error.failed().iter().map(|(node, error)| format!("{node}: {error}")).collect();
    failed.sort();
    assert_eq!(failed, ["one: no number here", "two: two cannot be reached; the call was not sent"]);
    let text = error.to_string();
    assert!(text.starts_with("number/get was to succeed on 3 of 3 nodes, and 2 failed: "), "{text}");
}

#[tokio::test]
async fn a_fan_out_to_nobody_says_so() {
    let cluster = Cluster::default().node("alone", Role::Coordinator).serve("alone", Number(Some(1)));
    let answers = cluster.proxy("alone").number().on_all(Role::Worker).get(0).await;
    assert!(answers.is_empty());
    let error = answers.all_ok().unwrap_err();
    assert_eq!(error.to_string(), "number/get was to succeed on 1, and no node fits the target and hosts the service");
    assert_eq!((error.asked(), error.wanted()), (Some(0), 1));
}

#[tokio::test]
async fn params_are_encoded_once_for_all_nodes() {
    let cluster = three();
    cluster.proxy("boss").number().on_all(Role::Worker).get(7).await.all_ok().unwrap();
    let bodies: Vec<_> = cluster.sent().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [r#"{"plus":7}"#, r#"{"plus":7}"#]);
}

#[tokio::test]
async fn the_first_success_is_enough_and_the_others_are_cancelled() {
    let slow = Slow::default();
    let cluster = three().serve("boss", slow.clone()).serve("one", Slow::ready()).serve("two", Slow::failing());
    let (node, answer) = cluster.proxy("idle").slow().on_all(Many::All).get().first().await.unwrap();
    assert_eq!((node.as_str(), answer), ("one", 1));
    assert_eq!(slow.seen(), "dropped", "whoever has not answered is not waited for");
}

#[tokio::test]
async fn where_all_fail_the_first_success_is_an_error_that_names_each() {
    let cluster = three().serve("boss", Number(None)).serve("one", Number(None));
    cluster.cut_off("two");
    let error = cluster.proxy("boss").number().on_all(Many::All).get(0).first().await.unwrap_err();
    let mut failed: Vec<_> = error.failed().iter().map(|(node, error)| format!("{node}: {error}")).collect();
    failed.sort();
    let wanted = ["boss: no number here", "one: no number here", "two: two cannot be reached; the call was not sent"];
    assert_eq!((error.wanted(), error.asked(), failed), (1, Some(3), wanted.map(str::to_owned).into()));
    let text = error.to_string();
    assert!(text.starts_with("number/get was to succeed on 1 of 3 nodes, and 3 failed: "), "{text}");
    assert!(wanted.iter().all(|failed| text.contains(failed)), "{text}");
}

#[tokio::test]
async fn a_quorum_is_there_as_soon_as_so_many_succeeded() {
    let slow = Slow::default();
    let cluster = three().serve("boss", slow.clone()).serve("one", Slow::ready()).serve("two", Slow::ready());
    let two = cluster.proxy("idle").slow().on_all(Many::All).get().quorum(2).await.unwrap();
    let mut nodes: Vec<_> = two.iter().map(|(node, _)| node.as_str()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["one", "two"]);
    assert_eq!(slow.seen(), "dropped");
}

#[tokio::test]
async fn a_quorum_that_cannot_be_had_any_more_is_not_waited_for_and_says_who_said_what() {
    let slow = Slow::default();
    let cluster = three().serve("boss", slow.clone()).serve("one", Slow::ready()).serve("two", Slow::failing());
    let error = cluster.proxy("idle").slow().on_all(Many::All).get().quorum(3).await.unwrap_err();
    assert_eq!(slow.seen(), "dropped", "two of three have answered, and one of them no");
    let failed: Vec<_> = error.failed().iter().map(|(node, _)| node.as_str()).collect();
    assert_eq!(failed, ["two"]);
    let text = error.to_string();
    assert!(text.starts_with("slow/get was to succeed on 3 of 3 nodes, and 1 failed: two: no"), "{text}");
}

#[tokio::test]
async fn a_quorum_of_more_nodes_than_fit_is_refused_before_anything_is_sent() {
    let cluster = three();
    let error = cluster.proxy("boss").number().on_all(Role::Worker).get(0).quorum(3).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "number/get was to succeed on 3 of 2 nodes, and so many do not fit the target and host the service; nothing was sent"
    );
    assert_eq!(cluster.sent(), []);
    let alone = Cluster::default().node("alone", Role::Coordinator).serve("alone", Number(Some(1)));
    let error = alone.proxy("alone").number().on_all(Role::Worker).get(0).first().await.unwrap_err();
    assert_eq!(error.to_string(), "number/get was to succeed on 1, and no node fits the target and hosts the service");
}

#[tokio::test]
async fn a_target_that_cannot_be_resolved_is_the_reason_why_there_is_no_quorum() {
    // The stand-in for a cluster knows no capabilities.
    let error = three().proxy("boss").number().on_all(Capability::from("gpu")).get(0).quorum(2).await.unwrap_err();
    let text = "number/get was to succeed on 2, and nobody could be asked: no route: nobody fits all,capability=gpu";
    assert_eq!(error.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_in_time_is_in_the_result_and_a_quorum_of_late_ones_stays_a_deadline() {
    let cluster = three().serve("boss", Slow::ready()).serve("one", Slow::default());
    let slow = cluster.proxy("boss").slow();
    let answers = slow.on_all(Many::All).get().timeout(Duration::from_secs(1)).await;
    let (values, failures) = answers.into_parts();
    assert_eq!(values.iter().map(|(node, value)| (node.as_str(), *value)).collect::<Vec<_>>(), [("boss", 1)]);
    assert!(matches!(&failures[..], [(node, CallError::Deadline { .. })] if node.as_str() == "one"), "{failures:?}");

    let error = slow.on_all(Many::Others).get().timeout(Duration::from_secs(1)).first().await.unwrap_err();
    assert_eq!(Error::from(error).to_rpc().code, ErrorCode::DEADLINE);
}

#[tokio::test]
async fn a_quorum_of_nobody_is_there_without_asking() {
    let cluster = three();
    assert_eq!(cluster.proxy("boss").number().on_all(Many::All).get(0).quorum(0).await.unwrap(), []);
    assert_eq!(cluster.sent(), []);
}
