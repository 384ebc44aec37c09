//! Values and errors keep their types, here without ever being JSON, and there through JSON.

use p2p_client::{call::CallError, protocol::Role};
use p2p_runtime::{prelude::Result, service};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cluster::Cluster;

/// A value that must never become JSON.
#[derive(Debug, PartialEq)]
struct Untouchable(u8);

impl Serialize for Untouchable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("a local call serialised a value")
    }
}

impl<'de> Deserialize<'de> for Untouchable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("a local call deserialised a value")
    }
}

impl JsonSchema for Untouchable {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Untouchable".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum BankError {
    NoSuchAccount,
    Overdrawn { missing: u64 },
}

impl std::fmt::Display for BankError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchAccount => f.write_str("there is no such account"),
            Self::Overdrawn { missing } => write!(f, "{missing} are missing"),
        }
    }
}

impl std::error::Error for BankError {}

struct Bank;

#[service]
impl Bank {
    #[service_method]
    async fn pass(&self, value: Untouchable) -> Result<Untouchable> {
        Ok(Untouchable(value.0 + 1))
    }

    #[service_method]
    async fn withdraw(&self, account: String, amount: u64) -> Result<u64, BankError> {
        if account != "ada" {
            return Err(BankError::NoSuchAccount);
        }
        100_u64.checked_sub(amount).ok_or_else(|| BankError::Overdrawn { missing: amount - 100 })
    }

    #[service_method]
    async fn parse(&self, text: &str, among: &[String]) -> Result<u16> {
        if among.iter().any(|one| one == text) {
            return Ok(0);
        }
        Ok(text.parse()?)
    }
}

fn here_and_there() -> Cluster {
    Cluster::default().node("here", Role::Worker).node("there", Role::Worker).serve("here", Bank).serve("there", Bank)
}

#[tokio::test]
async fn a_local_call_reaches_the_object_itself_and_makes_no_json() {
    let cluster = here_and_there();
    let answer = cluster.proxy("here").bank().pass(Untouchable(1)).await;
    assert_eq!(answer.unwrap(), Untouchable(2));
    assert_eq!(cluster.sent(), []);
}

#[tokio::test]
async fn a_services_own_error_arrives_typed_from_here_and_from_there() {
    let cluster = here_and_there();
    for node in ["here", "there"] {
        let bank = cluster.proxy("here").bank().on(node);
        assert_eq!(bank.withdraw("ada", 30).await.unwrap(), 70, "{node}");
        match bank.withdraw("ada", 130).await {
            Err(CallError::Service(own)) => assert_eq!(own, BankError::Overdrawn { missing: 30 }, "{node}"),
            other => panic!("{node}: {other:?}"),
        }
        match bank.withdraw("bob", 1).await {
            Err(CallError::Service(BankError::NoSuchAccount)) => {}
            other => panic!("{node}: {other:?}"),
        }
    }
    assert_eq!(cluster.sent().len(), 3, "only the calls to the other node are messages");
}

#[tokio::test]
async fn any_other_error_arrives_as_its_sentence_from_here_and_from_there() {
    let cluster = here_and_there();
    for node in ["here", "there"] {
        match cluster.proxy("here").bank().on(node).parse("x", &[]).await {
            Err(CallError::Internal(text)) => assert_eq!(text, "invalid digit found in string", "{node}"),
            other => panic!("{node}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn borrowed_arguments_are_lent_by_the_caller_and_to_the_method() {
    let cluster = here_and_there();
    let among = vec!["x".to_owned()];
    for node in ["here", "there"] {
        let call = {
            let text = String::from("x");
            cluster.proxy("here").bank().on(node).parse(&text, &among)
        };
        assert_eq!(call.await.unwrap(), 0, "{node}: a call owns what it was lent");
    }
}

#[tokio::test]
async fn a_call_that_surely_did_not_run_goes_to_the_next_host() {
    let cluster = Cluster::default()
        .node("a", Role::Worker)
        .node("b", Role::Worker)
        .node("caller", Role::Coordinator)
        .serve("a", Bank)
        .serve("b", Bank);
    cluster.cut_off("a");
    assert_eq!(cluster.proxy("caller").bank().withdraw("ada", 1).await.unwrap(), 99);
    cluster.cut_off("b");
    let error = cluster.proxy("caller").bank().withdraw("ada", 1).await.unwrap_err();
    assert!(error.is_safe_to_retry(), "{error}");
}
