//! Calls whose method is known only at run time.

use std::{pin::pin, time::Duration};

use futures::future::join_all;
use p2p_client::{
    call::CallError,
    protocol::{Many, Role},
};
use p2p_runtime::{
    prelude::{CallContext, Result},
    service,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;

struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    async fn greet(&self, cx: &CallContext, name: String) -> Result<String> {
        Ok(format!("Hello, {name}, from {}", cx.node()))
    }

    #[service_method]
    async fn hang(&self) -> Result<()> {
        std::future::pending().await
    }
}

fn two() -> Cluster {
    Cluster::default().node("here", Role::Coordinator).node("there", Role::Worker).serve("here", Greeter).serve("there", Greeter)
}

#[tokio::test]
async fn a_call_by_name_goes_where_its_target_says_with_params_by_name_or_by_position() {
    let proxy = two().proxy("here");
    let here = proxy.call("greeter/greet", json!({ "name": "Ada" })).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(here.get()).unwrap(), "Hello, Ada, from here");
    let there = proxy.call("greeter/greet", json!(["Ada"])).on(Role::Worker).await.unwrap();
    assert_eq!(there.get(), r#""Hello, Ada, from there""#);
    // What is JSON already is sent as it stands.
    let again = proxy.call("greeter/greet", serde_json::value::to_raw_value(&("Bob",)).unwrap()).on("there").await.unwrap();
    assert_eq!(again.get(), r#""Hello, Bob, from there""#);
}

#[tokio::test]
async fn a_call_by_name_to_many_gives_every_nodes_json() {
    let proxy = two().proxy("here");
    let greet = || proxy.call("greeter/greet", json!({ "name": "Ada" }));
    let all = greet().on_all(Many::All).await.all_ok().unwrap();
    let mut texts: Vec<_> = all.iter().map(|(_, json)| json.get()).collect();
    texts.sort_unstable();
    assert_eq!(texts, [r#""Hello, Ada, from here""#, r#""Hello, Ada, from there""#]);
    let (node, _) = greet().on_all(Many::Others).first().await.unwrap();
    assert_eq!(node.as_str(), "there");
}

#[tokio::test(start_paused = true)]
async fn a_call_by_name_takes_options_and_can_be_joined_as_it_is() {
    let proxy = two().proxy("here");
    let late = proxy.call("greeter/hang", ()).timeout(Duration::from_secs(1)).await;
    assert!(matches!(&late, Err(CallError::Deadline { method, .. }) if method == "greeter/hang"), "{late:?}");
    let both = join_all(["Ada", "Bob"].map(|name| proxy.call("greeter/greet", [name]))).await;
    assert!(both.into_iter().all(|greeting| greeting.is_ok()));
    let none: Vec<_> = join_all(
        [proxy.call("greeter/hang", ()), proxy.call("greeter/hang", [0; 0])].map(|call| call.timeout(Duration::from_secs(1))),
    )
    .await;
    assert!(
        none.iter().all(|late| matches!(late, Err(CallError::Deadline { .. }))),
        "no params are (), or an empty list: {none:?}"
    );
    let mut polled = pin!(proxy.call("greeter/greet", ["Ada"]));
    assert_eq!(polled.as_mut().await.unwrap().get(), r#""Hello, Ada, from here""#);
}

/// Serialises to nothing.
struct Broken;

impl Serialize for Broken {
    fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it is broken"))
    }
}

#[tokio::test]
async fn a_call_by_name_that_names_nothing_or_cannot_be_written_says_so_and_is_not_sent() {
    let cluster = two();
    let proxy = cluster.proxy("here");
    for path in ["greeter", "/greet", "greeter/", ""] {
        let error = proxy.call(path, ()).on("there").await.unwrap_err();
        assert_eq!(error.to_string(), format!("{path:?} names no method; write service/method, such as system/get_system_info"));
        let error = proxy.call(path, ()).on_all(Many::All).await.all_ok().unwrap_err();
        assert!(matches!(error.failed(), [(_, CallError::NotFound(_))]), "{error}");
    }
    let error = proxy.call("greeter/greet", Broken).on("there").await.unwrap_err();
    assert!(matches!(error, CallError::InvalidParams(_)), "{error}");
    assert_eq!(error.to_string(), "the params of greeter/greet do not serialise: it is broken");
    assert_eq!(cluster.sent(), []);
}
