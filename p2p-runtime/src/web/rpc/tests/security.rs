//! Cases 51 and 52 of the project's list of security and fault cases, each with the control that shows what the unsafe variant would do.

use super::*;

#[tokio::test]
async fn case_51_nesting_is_taken_to_127_levels_and_refused_beyond() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"jsonrpc":"2.0","method":"get_data","params":{open}{close},"id":1}}"#)
    };
    assert_eq!(ask(nested(126)).await.unwrap(), result(1, json!(["hello", 5])));
    let (code, _, said) = refusal(nested(127)).await;
    assert_eq!((code, said.as_str()), (-32700, "the JSON is nested deeper than 127 levels"));
    refusal("[".repeat(1_000_000)).await;
    // The control: params that are passed on unread are not looked into by the decoder, however deep they are.
    let deep = nested(100_000);
    let request: Request<'_> = serde_json::from_str(&deep).unwrap();
    assert!(request.params.unwrap().get().len() == 200_000);
}

#[tokio::test]
async fn case_52_a_member_named_twice_is_refused_and_named() {
    let twice = r#"{"jsonrpc":"2.0","method":"a","method":"b","id":1}"#;
    let (code, _, said) = refusal(twice).await;
    assert_eq!(code, -32600);
    assert!(said.contains("duplicate field `method`"), "{said}");
    // The control: a map of whatever comes takes the last, where a proxy that looks for the first has let something else through.
    assert_eq!(serde_json::from_str::<Value>(twice).unwrap()["method"], "b");
}
