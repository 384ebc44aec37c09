//! Values and errors keep their types, here without ever being JSON, and there through JSON.

use p2p_client::{
    call::{CallError, FailedCall},
    protocol::{ErrorCode, Role},
    service::Blob,
};
use p2p_runtime::{
    FromCallError,
    prelude::{CallContext, Result},
    service,
};
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

/// An own error that a failed call becomes.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema, FromCallError)]
enum PaymentError {
    Nothing,
    #[from_call]
    Failed(FailedCall),
}

impl std::fmt::Display for PaymentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is nothing to pay"),
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl std::error::Error for PaymentError {}

/// The other forms of such a variant.
#[derive(Debug, PartialEq, FromCallError)]
enum Told {
    #[from_call]
    InWords { why: String },
}

#[derive(Debug, PartialEq, FromCallError)]
#[from_call(crate = "::p2p_client")]
enum Untold<T> {
    #[allow(dead_code)]
    Other(T),
    #[from_call]
    Failed,
}

struct Shop;

#[service]
impl Shop {
    #[service_method]
    async fn pay(&self, cx: &CallContext, from: &str, amount: u64, bank_at: &str) -> Result<u64, PaymentError> {
        if amount == 0 {
            return Err(PaymentError::Nothing);
        }
        Ok(cx.proxy().bank().on(bank_at).withdraw(from, amount).await?)
    }

    #[service_method]
    async fn count_in(&self, cx: &CallContext, text: &str) -> Result<u16, PaymentError> {
        Ok(cx.proxy().bank().parse(text, &[]).await?)
    }
}

/// Something with bytes among its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, p2p_runtime::Message)]
struct Picture {
    name: String,
    pixels: Blob,
}

struct Album;

#[service]
impl Album {
    #[service_method]
    async fn mirror(&self, picture: Picture, frame: Option<Blob>) -> Result<Picture> {
        let pixels = picture.pixels.iter().rev().copied().chain(frame.into_iter().flat_map(Blob::into_vec)).collect();
        Ok(Picture { pixels, ..picture })
    }

    #[service_method]
    async fn pixels(&self, picture: &Picture) -> Result<Blob> {
        Ok(picture.pixels.clone())
    }
}

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

#[tokio::test]
async fn a_failed_call_becomes_the_own_error_of_the_method_that_made_it() {
    let cluster = here_and_there().serve("here", Shop).serve("there", Shop);
    for (node, bank_at) in [("here", "here"), ("here", "there"), ("there", "here"), ("there", "there")] {
        let shop = cluster.proxy("here").shop().on(node);
        assert_eq!(shop.pay("ada", 30, bank_at).await.unwrap(), 70);
        let own = |outcome: Result<u64, CallError<PaymentError>>| match outcome {
            Err(CallError::Service(own)) => own,
            other => panic!("{node} to {bank_at}: {other:?}"),
        };
        assert_eq!(own(shop.pay("ada", 0, bank_at).await), PaymentError::Nothing);
        let overdrawn = FailedCall { code: ErrorCode::SERVICE, message: "30 are missing".to_owned() };
        assert_eq!(own(shop.pay("ada", 130, bank_at).await), PaymentError::Failed(overdrawn));
        match own(shop.pay("ada", 1, "nowhere").await) {
            PaymentError::Failed(failed) => assert_eq!(failed.code, ErrorCode::NO_ROUTE, "{failed}"),
            PaymentError::Nothing => panic!("{node} to {bank_at}"),
        }
    }
    let Err(CallError::Service(PaymentError::Failed(failed))) = cluster.proxy("here").shop().count_in("x").await else {
        panic!("it is no number")
    };
    assert_eq!((failed.code, failed.message.as_str()), (ErrorCode::INTERNAL, "bank/parse: invalid digit found in string"));
    assert!(!failed.is_deadline());
}

#[test]
fn the_variant_of_a_failed_call_holds_it_its_words_or_nothing() {
    let failed = || CallError::<BankError>::Internal("the disk is full".to_owned());
    assert_eq!(Told::from(failed()), Told::InWords { why: "the disk is full".to_owned() });
    assert_eq!(Untold::<u8>::from(failed()), Untold::Failed);
}

#[tokio::test]
async fn bytes_are_the_same_here_and_there_and_travel_as_base64() {
    let cluster =
        Cluster::default().node("here", Role::Worker).node("there", Role::Worker).serve("here", Album).serve("there", Album);
    for node in ["here", "there"] {
        let album = cluster.proxy("here").album().on(node);
        let picture = Picture { name: "dot".to_owned(), pixels: vec![0, 255, 7].into() };
        assert_eq!(album.pixels(&picture).await.unwrap(), [0, 255, 7], "{node}");
        let mirrored = album.mirror(picture, Some(Blob::from(b"!"))).await.unwrap();
        assert_eq!(mirrored, Picture { name: "dot".to_owned(), pixels: vec![7, 255, 0, b'!'].into() }, "{node}");
    }
    let sent = cluster.sent();
    assert_eq!(sent[1].1, r#"{"picture":{"name":"dot","pixels":"AP8H"},"frame":"IQ=="}"#);
    let described = cluster.hosted("here", "album").unwrap().describe();
    let result = &described.method("pixels").unwrap().result;
    assert_eq!(*result, serde_json::json!({ "type": "string", "contentEncoding": "base64" }));
}
