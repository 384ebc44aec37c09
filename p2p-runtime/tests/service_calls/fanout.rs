//! A call to many nodes: every node's result, as they come or all together.

use std::collections::BTreeMap;

use futures::StreamExt;
use p2p_client::{
    call::CallError,
    protocol::{Many, Role},
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
    assert!(answers.all_ok().is_err());
}

#[tokio::test]
async fn a_fan_out_to_nobody_says_so() {
    let cluster = Cluster::default().node("alone", Role::Coordinator).serve("alone", Number(Some(1)));
    let answers = cluster.proxy("alone").number().on_all(Role::Worker).get(0).await;
    assert!(answers.is_empty());
    assert!(matches!(answers.all_ok(), Err(CallError::NoRoute(_))));
}

#[tokio::test]
async fn params_are_encoded_once_for_all_nodes() {
    let cluster = three();
    cluster.proxy("boss").number().on_all(Role::Worker).get(7).await.all_ok().unwrap();
    let bodies: Vec<_> = cluster.sent().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [r#"{"plus":7}"#, r#"{"plus":7}"#]);
}
