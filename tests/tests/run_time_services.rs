//! Services that exist only at run time: a description and a handler, hosted, announced, called by name, and taken away again.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Cluster, sees, web::Web};
use p2p_client::{call::CallError, protocol::ServiceDescriptor};
use p2p_runtime::service::{DescribedCall, RegistryError};
use p2p_services::prelude::*;
use serde_json::{Value, json};

/// What a thermometer can be asked.
fn thermometer() -> Value {
    json!({
        "format": 1,
        "name": "thermometer",
        "version": "2.1.0",
        "description": "Tells how warm it is.",
        "methods": [
            {
                "name": "read",
                "description": "The temperature in a room.",
                "params": [
                    { "name": "room", "schema": { "type": "string" }, "required": true },
                    { "name": "unit", "schema": { "type": "string", "default": "C" }, "required": false },
                    { "name": "digits", "schema": { "type": ["integer", "null"] }, "required": false },
                ],
                "result": { "type": "object" },
                "access": "anonymous",
                "read_only": true,
            },
            { "name": "reset", "params": [], "result": { "type": "null" }, "access": { "role": "coordinator" }, "timeout_ms": 1_000 },
        ],
    })
}

fn described(json: Value) -> ServiceDescriptor {
    serde_json::from_value(json).unwrap()
}

/// Answers with what it was asked.
async fn echo(cx: CallContext, call: DescribedCall) -> Result<Value> {
    match call.method.as_str() {
        "read" => Ok(json!({ "on": cx.node(), "asked": call.params })),
        "reset" => std::future::pending().await,
        other => Err(Error::msg(format!("no {other} here"))),
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_description_is_hosted_announced_and_taken_away_while_the_node_runs() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let (cx, proxy) = (workers[0].context(), coordinator.proxy());
    cx.register_service(described(thermometer()), echo).unwrap();

    let members = sees(&coordinator, |members| members.hosting("thermometer").count() == 1).await;
    let summary = &members.get(workers[0].id()).unwrap().services["thermometer"];
    assert_eq!((summary.version.as_str(), summary.fingerprint), ("2.1.0", described(thermometer()).fingerprint()));

    // From another node, by position and by name; what was not given is its default, or left out.
    let answer = proxy.call("thermometer/read", json!(["hall"])).await.unwrap();
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    assert_eq!(answer, json!({ "on": "worker-1", "asked": { "room": "hall", "unit": "C" } }));
    // From outside, and with what `/services` says of it.
    let anonymous = Web::anonymous(cluster.host(common::worker_ip(99)), &workers[0]);
    let asked = anonymous.call("thermometer/read", json!({ "unit": "F", "room": "attic" })).await.unwrap();
    assert_eq!(asked["asked"], json!({ "room": "attic", "unit": "F" }));
    let listed = Web::operator(cluster.dir("worker-1")).get("/services").await.json();
    let listed = &listed["thermometer"];
    assert_eq!(listed["description"], "Tells how warm it is.");
    assert_eq!(listed["metrics"]["read"]["calls"], 2);

    cx.unregister_service("thermometer").unwrap();
    sees(&coordinator, |members| members.hosting("thermometer").count() == 0).await;
    let error = proxy.call("thermometer/read", json!(["hall"])).await.unwrap_err();
    assert!(matches!(error, CallError::NotFound(_)), "{error}");
    cx.register_service(described(thermometer()), echo).unwrap();
}

#[tokio::test(start_paused = true)]
async fn access_time_limits_and_params_are_kept_as_the_description_has_them() {
    let (_cluster, coordinator, workers) = Cluster::of(1).await;
    workers[0].context().register_service(described(thermometer()), echo).unwrap();
    sees(&coordinator, |members| members.hosting("thermometer").count() == 1).await;
    let (there, here) = (coordinator.proxy(), workers[0].proxy());

    let denied = here.call("thermometer/reset", json!({})).await.unwrap_err();
    assert!(matches!(denied, CallError::Denied(_)), "{denied}");
    let late = there.call("thermometer/reset", json!({})).await.unwrap_err();
    assert!(matches!(late, CallError::Deadline { .. }), "{late}");
    for (params, said) in [
        (json!({}), "parameter `room` is missing"),
        (json!({ "room": "hall", "floor": 1 }), "unknown parameter `floor`"),
        (json!(["hall", "C", 1, 2]), "too many"),
        (json!("hall"), "an object or an array of parameters"),
    ] {
        let error = there.call("thermometer/read", params).await.unwrap_err();
        assert!(matches!(&error, CallError::InvalidParams(text) if text.contains(said)), "{error} does not say {said:?}");
    }
}

/// No params.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

#[tokio::test]
async fn a_description_that_cannot_be_used_is_refused_with_the_reason() {
    let (_cluster, coordinator, _workers) = Cluster::of(0).await;
    let cx = coordinator.context();
    let method = |name: &str| json!({ "name": name, "params": [], "result": {} });
    let param = || json!({ "name": "x", "schema": {}, "required": true });
    let changed = |key: &str, value: Value| {
        let mut json = thermometer();
        json[key] = value;
        described(json)
    };
    for (descriptor, said) in [
        (changed("format", json!(9)), "its format is 9, and this version knows 1"),
        (changed("methods", json!([])), "it has no methods"),
        (changed("name", json!("Thermo")), "\"Thermo\" cannot be a name on the wire; use 1 to 63 of a-z, 0-9 and _"),
        (changed("methods", json!([method("a/b")])), "\"a/b\" cannot be a name on the wire"),
        (changed("methods", json!([method("a"), method("a")])), "two methods are called \"a\""),
        (
            changed("methods", json!([{ "name": "a", "params": [param(), param()], "result": {} }])),
            "two parameters of a are called \"x\"",
        ),
        (
            changed("methods", json!([{ "name": "a", "params": [], "result": {}, "item": {} }])),
            "\"a\" streams, and the handler gives one result",
        ),
    ] {
        let error = cx.register_service(descriptor, echo).unwrap_err();
        assert!(matches!(error, RegistryError::BadDescriptor { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error} does not say {said:?}");
    }
    let error = cx.register_service(changed("name", json!("probe")), echo).unwrap_err();
    assert_eq!(error, RegistryError::Duplicate("probe".to_owned()));
    let error = cx.unregister_service("probe").unwrap_err();
    assert_eq!(error.to_string(), "nothing was registered at run time as \"probe\"; there are: none");
    cx.register_service(changed("name", json!("other")), echo).unwrap();
    let error = cx.unregister_service("nobody").unwrap_err();
    assert_eq!(error.to_string(), "nothing was registered at run time as \"nobody\"; there are: other");
    let error = cx.register_method("other/more", |_, _: Nothing| async { Ok(1) }).unwrap_err();
    assert_eq!(error, RegistryError::NotDynamic("other".to_owned()));
}
