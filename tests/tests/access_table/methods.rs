//! Calls: every way in × every caller × every access.

use p2p_client::protocol::ErrorCode;
use serde_json::{Value, json};

use super::{
    Line, Table, WHO, Who, assert_told,
    common::{self, Cluster, log::Log, web::Answer},
};

/// How the call comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `POST /rpc`
    Rpc,
    /// `POST /rpc/{service}/{method}`
    Path,
    /// In a batch, beside a call that anyone may make.
    Batch,
    /// By a caller that takes a stream.
    Stream,
    /// A notification, which nobody answers.
    Notification,
    /// To another node that is named.
    Forwarded,
    /// The same, by the path of the method.
    ForwardedPath,
    /// To another node, by a caller that takes a stream.
    ForwardedStream,
    /// To all nodes.
    Everywhere,
}

const WAYS: [Way; 9] = [
    Way::Rpc,
    Way::Path,
    Way::Batch,
    Way::Stream,
    Way::Notification,
    Way::Forwarded,
    Way::ForwardedPath,
    Way::ForwardedStream,
    Way::Everywhere,
];

/// The methods, and who may call them: in the order of [`WHO`] a worker, a coordinator, the operator, clients without and with the scope, nobody.
const METHODS: [(&str, [bool; 6]); 6] = [
    ("for_nodes", [true, true, true, false, false, false]),
    ("for_clients", [true, true, true, true, true, false]),
    ("for_scope", [true, true, true, false, true, false]),
    ("for_coordinators", [false, true, false, false, false, false]),
    ("for_workers", [true, false, false, false, false, false]),
    ("for_anyone", [true, true, true, true, true, true]),
];

/// The same in parts, each in a cluster of its own: of equal denials a node writes five lines within ten seconds, and counts the others.
const PARTS: [&[Way]; 3] = [
    &[Way::Rpc, Way::Path, Way::Batch, Way::Stream, Way::Notification],
    &[Way::Forwarded, Way::ForwardedPath, Way::ForwardedStream],
    &[Way::Everywhere],
];

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Served,
    Denied,
    /// A node is to send its calls itself.
    NotForwarded,
}

fn expected(way: Way, who: Who, row: [bool; 6]) -> Outcome {
    let is_forwarded = matches!(way, Way::Forwarded | Way::ForwardedPath | Way::ForwardedStream | Way::Everywhere);
    if is_forwarded && who.is_node() {
        return Outcome::NotForwarded;
    }
    let counts_as = if is_forwarded && way != Way::Everywhere { who.sent_on() } else { who };
    if counts_as.may(row) { Outcome::Served } else { Outcome::Denied }
}

/// What the audit log says of a call: who is refused, by the node that he asks. (One that sends a call on and knows the method refuses itself what
/// the target would refuse.)
fn told(way: Way, who: Who, row: [bool; 6]) -> Vec<Line<'static>> {
    match expected(way, who, row) {
        Outcome::NotForwarded => Vec::new(),
        _ if way == Way::Everywhere => {
            let sent_on = Line { who: who.sent_on().in_audit(), ..Line::of(who) };
            // By the node itself, and of each of the two others.
            let here = (!who.may(row)).then(|| Line::of(who));
            let there = (!who.sent_on().may(row)).then_some([sent_on, sent_on]);
            here.into_iter().chain(there.into_iter().flatten()).collect()
        }
        Outcome::Denied if matches!(way, Way::Forwarded | Way::ForwardedPath | Way::ForwardedStream) => {
            vec![Line { who: who.sent_on().in_audit(), ..Line::of(who) }]
        }
        Outcome::Denied => vec![Line::of(who)],
        Outcome::Served => Vec::new(),
    }
}

impl Table {
    /// Makes the call, and gives what became of it.
    async fn call(&self, way: Way, who: Who, method: &str) -> Outcome {
        let (web, path) = (self.web(who), method_path(method));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": path, "params": params(method) });
        let lines = || web.clone().header("accept", "application/x-ndjson");
        match way {
            Way::Rpc => outcome(&web.rpc(body.to_string()).await.json()),
            Way::Path => by_status(&web.post(&format!("/rpc/{path}"), params(method).to_string()).await),
            Way::Batch => {
                let beside = json!({ "jsonrpc": "2.0", "id": 2, "method": "probe/repeat", "params": { "text": "x" } });
                let answers = web.rpc(json!([body, beside]).to_string()).await.json();
                assert_eq!(answers[1]["result"], "x", "{who:?}: the others of a batch are served");
                outcome(&answers[0])
            }
            Way::Stream => outcome(&last_line(&lines().rpc(body.to_string()).await)),
            Way::Notification => {
                let before = *self.coordinator.probe.counted.borrow();
                let mut body = body;
                body.as_object_mut().unwrap().remove("id");
                let answer = web.rpc(body.to_string()).await;
                assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{who:?}");
                if *self.coordinator.probe.counted.borrow() > before { Outcome::Served } else { Outcome::Denied }
            }
            Way::Forwarded => outcome(&web.post("/rpc?on=worker-2", body.to_string()).await.json()),
            Way::ForwardedPath => by_status(&web.post(&format!("/rpc/{path}?on=worker-2"), params(method).to_string()).await),
            Way::ForwardedStream => outcome(&last_line(&lines().post("/rpc?on=worker-2", body.to_string()).await)),
            Way::Everywhere => {
                let answer = web.post("/rpc?on=all", body.to_string()).await.json();
                if answer.get("error").is_some() { outcome(&answer) } else { self.everywhere(who, method, &answer["result"]) }
            }
        }
    }

    /// Each node answers for itself. What counts is this node's own answer; the others have the operator for a node.
    fn everywhere(&self, who: Who, method: &str, answers: &Value) -> Outcome {
        let row = METHODS.iter().find(|(name, _)| *name == method).unwrap().1;
        let counts_as = who.sent_on();
        for worker in &self.workers {
            let there = if answers[worker.id().as_str()].get("result").is_some() { Outcome::Served } else { Outcome::Denied };
            assert_eq!(there == Outcome::Served, counts_as.may(row), "{who:?} {method} at {}: {answers}", worker.id());
        }
        outcome(&answers["coordinator"])
    }
}

fn method_path(method: &str) -> String {
    // What anyone may call takes other params.
    if method == "for_anyone" { "probe/look".to_owned() } else { format!("probe/{method}") }
}

fn params(method: &str) -> Value {
    if method == "for_anyone" { json!({}) } else { json!({ "number": 7 }) }
}

fn last_line(answer: &Answer) -> Value {
    let text = std::str::from_utf8(&answer.body).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or_else(|| panic!("{answer:?}"))).unwrap()
}

fn by_status(answer: &Answer) -> Outcome {
    match answer.status.as_u16() {
        200 => Outcome::Served,
        403 => Outcome::Denied,
        400 => Outcome::NotForwarded,
        _ => panic!("{answer:?}"),
    }
}

fn outcome(answer: &Value) -> Outcome {
    match answer.get("error") {
        None => {
            assert!(answer.get("result").is_some(), "{answer}");
            Outcome::Served
        }
        Some(error) if error["code"] == ErrorCode::DENIED.0 => {
            assert!(error["message"].as_str().unwrap().contains(": it is for "), "{error}");
            Outcome::Denied
        }
        Some(error) if error["code"] == ErrorCode::INVALID_REQUEST.0 => Outcome::NotForwarded,
        Some(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn every_way_in_has_the_outcome_of_the_table_for_every_caller_and_access_and_each_denial_its_line() {
    let log = Log::capture();
    let mut cases = 0;
    for part in PARTS {
        let table = Table::new().await;
        for way in part {
            for who in WHO {
                for (method, row) in METHODS {
                    // The effect of a notification is seen of one method that counts.
                    if *way == Way::Notification && method != "for_nodes" {
                        continue;
                    }
                    let (before, case) = (log.mark(), format!("{way:?} {who:?} {method}"));
                    assert_eq!(table.call(*way, who, method).await, expected(*way, who, row), "{case}");
                    assert_told(log.denials_since(before), &method_path(method), &told(*way, who, row), &case);
                    cases += 1;
                }
            }
        }
        assert!(table.web(Who::Operator).is_served().await);
    }
    assert_eq!(PARTS.concat(), WAYS);
    assert_eq!(cases, 8 * (8 * 6) + 8);
}

#[tokio::test]
async fn a_denial_by_the_target_of_a_forwarded_call_is_told_there_in_the_name_of_its_caller_with_who_began_it() {
    let log = Log::capture();
    // The forwarder hosts no probe, and so knows nothing of its methods.
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(common::Plan::coordinator().without_probe()).await;
    let mut workers = Vec::new();
    for number in 1..=2 {
        workers.push(cluster.worker(common::Plan::worker(number), &coordinator).await);
    }
    common::sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    let table = Table::of((cluster, coordinator, workers)).await;
    for who in [Who::Operator, Who::Client, Who::Scoped, Who::Anonymous] {
        let line = Line { who: who.sent_on().in_audit(), from: "node coordinator", origin: who.in_audit() };
        for way in [Way::Forwarded, Way::ForwardedPath, Way::ForwardedStream] {
            let (before, case) = (log.mark(), format!("{way:?} {who:?}"));
            assert_eq!(table.call(way, who, "for_workers").await, Outcome::Denied, "{case}");
            assert_told(log.denials_since(before), "probe/for_workers", &[line], &case);
        }
        let before = log.mark();
        let note = json!({ "jsonrpc": "2.0", "method": "probe/for_workers", "params": { "number": 7 } }).to_string();
        assert_eq!(table.web(who).post("/rpc?on=worker-2", note).await.status, 204);
        assert_told(log.denials_since(before), "probe/for_workers", &[line], &format!("a notification of {who:?}"));
        // Each of the two.
        let before = log.mark();
        let answers = table.web(who).call_at("/rpc?on=all", "probe/for_workers", json!({ "number": 7 })).await.unwrap();
        for worker in ["worker-1", "worker-2"] {
            assert_eq!(outcome(&answers[worker]), Outcome::Denied, "{who:?} {worker}: {answers}");
        }
        assert_told(log.denials_since(before), "probe/for_workers", &[line, line], &format!("everywhere {who:?}"));
    }
}

#[tokio::test]
async fn a_call_that_is_made_while_serving_one_has_the_rights_of_the_node_that_makes_it() {
    let table = Table::new().await;
    for who in WHO {
        let web = table.web(who);
        // Made by the coordinator: to itself, and to another node.
        for node in ["coordinator", "worker-2"] {
            for (method, [_, coordinator, ..]) in METHODS.iter().filter(|(method, _)| *method != "for_anyone") {
                let answer = web.call("probe/relay", json!({ "node": node, "method": method })).await;
                match answer {
                    Ok(number) => assert!(*coordinator && number == 7, "{who:?} {node} {method}"),
                    // (To the outer caller it is an error of the method that it called.)
                    Err((_, said)) => {
                        assert!(
                            !coordinator && said.contains("node coordinator (coordinator) may not call"),
                            "{who:?} {node} {method}: {said}"
                        );
                    }
                }
            }
        }
    }
    // Who began the chain is told, and decides nothing.
    let scoped = table.web(Who::Scoped);
    let seen = scoped.call("probe/look_from_here", json!({ "node": "worker-2" })).await.unwrap();
    assert_eq!(
        (&seen["caller"], &seen["origin"]),
        (&json!("node coordinator (coordinator)"), &json!("client scoped@coordinator"))
    );
}

#[tokio::test]
async fn a_denial_of_what_a_method_calls_is_told_in_the_name_of_its_node_with_who_began_the_chain() {
    let log = Log::capture();
    let table = Table::new().await;
    for who in [Who::Operator, Who::Worker, Who::Client, Who::Anonymous] {
        for (node, from) in [("coordinator", "here"), ("worker-2", "node coordinator")] {
            let (before, case) = (log.mark(), format!("{who:?} {node}"));
            table.web(who).call("probe/relay", json!({ "node": node, "method": "for_workers" })).await.unwrap_err();
            let line = Line { who: Who::Coordinator.in_audit(), from, origin: who.in_audit() };
            assert_told(log.denials_since(before), "probe/for_workers", &[line], &case);
        }
    }
}

#[tokio::test]
async fn a_stream_for_a_scope_is_open_to_those_who_have_it_here_and_at_another_node() {
    let table = Table::new().await;
    for path in ["/rpc", "/rpc?on=worker-2"] {
        for who in [Who::Operator, Who::Client, Who::Scoped, Who::Anonymous] {
            let web = table.web(who).header("accept", "application/x-ndjson");
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "probe/count_for_scope", "params": { "number": 3 } });
            let answer = web.post(path, body.to_string()).await;
            if matches!(who, Who::Operator | Who::Scoped) {
                let text = std::str::from_utf8(&answer.body).unwrap();
                let lines: Vec<_> = text.lines().collect();
                assert_eq!(lines[..3], ["{\"item\":1}", "{\"item\":2}", "{\"item\":3}"], "{who:?} {path}");
                assert_eq!(lines.len(), 4);
            } else {
                assert_eq!(outcome(&last_line(&answer)), Outcome::Denied, "{who:?} {path}");
            }
        }
    }
}
