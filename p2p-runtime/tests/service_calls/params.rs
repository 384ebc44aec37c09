//! How params come: by name, by position, left out, wrong.

use p2p_client::{call::CallError, protocol::Role};
use p2p_runtime::{prelude::Result, service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_json::{Value, json};

use crate::cluster::Cluster;

struct Printer;

#[service]
impl Printer {
    /// Prints.
    #[service_method]
    async fn print(
        &self,
        text: String,
        #[arg(default = 2)] copies: u8,
        title: Option<String>,
        #[arg(default = vec!["a4".to_owned()], rename = "paperSizes")] paper: Vec<String>,
        r#type: Option<String>,
    ) -> Result<String> {
        Ok(format!("{text} {copies} {title:?} {paper:?} {type:?}"))
    }
}

fn cluster() -> Cluster {
    Cluster::default().node("here", Role::Worker).node("there", Role::Worker).serve("there", Printer)
}

async fn print(params: Value) -> Result<String, String> {
    match cluster().proxy("here").call("printer/print", params).await {
        Ok(json) => Ok(serde_json::from_str(json.get()).unwrap()),
        Err(CallError::InvalidParams(text)) => Err(text),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn params_come_by_name_or_by_position_and_defaults_fill_what_is_left_out() {
    let plain = Ok(r#"hi 2 None ["a4"] None"#.to_owned());
    assert_eq!(print(json!({ "text": "hi" })).await, plain);
    assert_eq!(print(json!(["hi"])).await, plain);
    let full = Ok(r#"hi 3 Some("t") ["a5"] Some("x")"#.to_owned());
    let named = json!({ "type": "x", "paperSizes": ["a5"], "title": "t", "copies": 3, "text": "hi" });
    assert_eq!(print(named).await, full);
    assert_eq!(print(json!(["hi", 3, "t", ["a5"], "x"])).await, full);
    assert_eq!(print(json!(["hi", 3, null])).await, Ok(r#"hi 3 None ["a4"] None"#.to_owned()));
}

#[tokio::test]
async fn wrong_params_are_refused_with_the_parameters_name_and_the_type_that_it_has() {
    for (params, said) in [
        (json!({ "text": 1 }), "parameter `text`: invalid type: integer `1`, expected a string"),
        (json!({ "text": "hi", "copies": 300 }), "parameter `copies`: invalid value: integer `300`, expected u8"),
        (json!(["hi", "many"]), "parameter `copies`: invalid type: string \"many\", expected u8"),
        (json!({}), "parameter `text` is missing; this method takes: text, copies, title, paperSizes, type"),
        (
            json!({ "text": "hi", "colour": 1 }),
            "unknown parameter `colour`; this method takes: text, copies, title, paperSizes, type",
        ),
        (json!(["hi", 1, "t", [], "x", 6]), "too many parameters; this method takes: text, copies, title, paperSizes, type"),
    ] {
        assert_eq!(print(params.clone()).await, Err(said.to_owned()), "{params}");
    }
}

#[tokio::test]
async fn a_proxy_leaves_out_what_says_nothing_or_equals_its_default() {
    let cluster = cluster();
    cluster.proxy("here").printer().print("hi", 2, None, vec![], None).await.unwrap();
    cluster.proxy("here").printer().print("hi", 3, None, vec!["a4".to_owned()], Some("x".to_owned())).await.unwrap();
    let sent: Vec<_> = cluster.sent().into_iter().map(|(_, params)| params).collect();
    assert_eq!(sent, [r#"{"text":"hi","paperSizes":[]}"#, r#"{"text":"hi","copies":3,"type":"x"}"#]);
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_what_there_is() {
    let cluster = cluster();
    let error = cluster.proxy("here").call("printer/scan", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "service printer has no method scan; it has: print");
    let error = cluster.proxy("here").call("scan", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), r#""scan" names no method; write service/method, such as system/get_system_info"#);
}

#[test]
fn the_description_shows_defaults_and_what_is_required() {
    let descriptor = cluster().hosted("there", "printer").unwrap().describe();
    let print = descriptor.method("print").unwrap();
    assert_eq!(print.description, "Prints.");
    let params: Vec<_> = print.params.iter().map(|param| (param.name.as_ref(), param.required)).collect();
    assert_eq!(params, [("text", true), ("copies", false), ("title", false), ("paperSizes", false), ("type", false)]);
    assert_eq!(print.params[1].schema["default"], json!(2));
    assert_eq!(print.params[3].schema["default"], json!(["a4"]));
}

/// A value that has no JSON.
#[derive(Deserialize, JsonSchema)]
struct Unsayable;

impl Serialize for Unsayable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("there are no words for it"))
    }
}

#[derive(Default)]
struct Listener;

#[service]
impl Listener {
    #[service_method]
    async fn tell(&self, what: Unsayable) -> Result<()> {
        let Unsayable = what;
        Ok(())
    }
}

#[tokio::test]
async fn a_parameter_that_does_not_serialise_is_the_callers_mistake_and_not_tried_again() {
    let cluster = Cluster::default().node("here", Role::Worker).node("there", Role::Worker).serve("there", Listener);
    let error = cluster.proxy("here").listener().tell(Unsayable).retry(3).await.unwrap_err();
    assert!(matches!(error, CallError::InvalidParams(_)), "{error:?}");
    assert!(!error.is_safe_to_retry());
    assert_eq!(error.to_string(), "a parameter does not serialise: there are no words for it");
    assert!(cluster.tried().is_empty());
}
