//! From the answer to a request to what each of its calls is told. It does no IO.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::protocol::{ErrorCode, RpcError, envelope::present_raw};

use super::JsonRpcError;

/// What a call is told: the result's JSON, or the error.
pub(super) type Outcome = Result<Box<RawValue>, JsonRpcError>;

/// A call of a request, as far as the answer has to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its number, which is its id on the wire.
    pub(super) number: u64,
    /// Whether it wants no answer.
    pub(super) notification: bool,
}

/// What an answer means.
#[derive(Debug)]
pub(super) struct Settled {
    /// What each call is told. Empty where they are to be sent again, as none can have run.
    pub(super) outcomes: Vec<(u64, Outcome)>,
    /// What the server takes from now on.
    pub(super) takes: Takes,
}

/// What a server takes, by its answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// As many calls as these.
    AsMany,
    /// Fewer calls at a time, perhaps.
    Fewer,
    /// No batches.
    Singly,
}

/// Reads the answer to one request that held these calls.
pub(super) fn settle(asked: &[Asked], status: StatusCode, body: &Bytes) -> Settled {
    match asked {
        [one] => Settled { outcomes: vec![(one.number, settle_one(*one, status, body))], takes: Takes::AsMany },
        _ => settle_batch(asked, status, body),
    }
}

fn settle_one(asked: Asked, status: StatusCode, body: &Bytes) -> Outcome {
    if asked.notification {
        return if status.is_success() { Ok(RawValue::NULL.to_owned()) } else { Err(refusal(status, body)) };
    }
    let reply: Reply<'_> = match serde_json::from_slice(body) {
        Ok(reply) => reply,
        Err(_) if !status.is_success() => return Err(refusal(status, body)),
        Err(error) => return Err(JsonRpcError::Protocol(format!("{error}; it begins with {:?}", beginning(body)))),
    };
    match (reply.number(), &reply.error) {
        (Some(number), _) if number == asked.number => reply.outcome(),
        // The server could not tell the id: there was only one call that it can mean.
        (None, Some(_)) => reply.outcome(),
        _ if !status.is_success() => Err(refusal(status, body)),
        _ => Err(JsonRpcError::Protocol("its id is not that of the call".to_owned())),
    }
}

fn settle_batch(asked: &[Asked], status: StatusCode, body: &Bytes) -> Settled {
    if let Ok(Replies(replies)) = serde_json::from_slice(body) {
        return Settled { outcomes: sort(asked, &replies), takes: Takes::AsMany };
    }
    let all = |error: &JsonRpcError| asked.iter().map(|call| (call.number, Err(error.clone()))).collect();
    let reply = serde_json::from_slice::<Reply<'_>>(body).ok().and_then(|reply| reply.error);
    match reply {
        // What was not understood as a batch was not run (JSON-RPC 2.0, section 6).
        Some(error) if matches!(error.code, ErrorCode::PARSE | ErrorCode::INVALID_REQUEST) => {
            let takes = if status == StatusCode::PAYLOAD_TOO_LARGE { Takes::Fewer } else { Takes::Singly };
            Settled { outcomes: Vec::new(), takes }
        }
        Some(error) => Settled { outcomes: all(&JsonRpcError::Answered(error)), takes: Takes::Singly },
        None if status.is_success() && asked.iter().all(|call| call.notification) => {
            let outcomes = asked.iter().map(|call| (call.number, Ok(RawValue::NULL.to_owned()))).collect();
            Settled { outcomes, takes: Takes::AsMany }
        }
        None if status.is_success() => {
            let error = JsonRpcError::Protocol(format!("it is no array, and begins with {:?}", beginning(body)));
            Settled { outcomes: all(&error), takes: Takes::Singly }
        }
        None if status == StatusCode::PAYLOAD_TOO_LARGE => Settled { outcomes: Vec::new(), takes: Takes::Fewer },
        // One call can be what is wrong with many, of two it is the form.
        None if says_no_to_the_form(status) => {
            Settled { outcomes: Vec::new(), takes: if asked.len() > 2 { Takes::Fewer } else { Takes::Singly } }
        }
        None => {
            let takes = if chokes(status) { Takes::Singly } else { Takes::AsMany };
            Settled { outcomes: all(&refusal(status, body)), takes }
        }
    }
}

/// Whether a status means that the request was not even looked into because of what it is.
fn says_no_to_the_form(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::NOT_IMPLEMENTED
    )
}

/// Whether a status may come from a server that does not expect an array. It says nothing of what ran before.
fn chokes(status: StatusCode) -> bool {
    status == StatusCode::INTERNAL_SERVER_ERROR
}

/// Gives each call its reply. Replies to nobody are passed over.
fn sort(asked: &[Asked], replies: &[Reply<'_>]) -> Vec<(u64, Outcome)> {
    let mut by_number: BTreeMap<u64, (usize, &Reply<'_>)> = BTreeMap::new();
    let mut hint = None;
    for reply in replies {
        match (reply.number(), &reply.error) {
            (Some(number), _) => by_number.entry(number).or_insert((0, reply)).0 += 1,
            (None, Some(error)) => hint = Some(error.to_string()),
            (None, None) => tracing::warn!("a JSON-RPC server sent an answer without an id of ours"),
        }
    }
    let outcomes = asked
        .iter()
        .map(|call| {
            let outcome = match by_number.remove(&call.number) {
                _ if call.notification => Ok(RawValue::NULL.to_owned()),
                None => Err(JsonRpcError::Missing { hint: hint.clone() }),
                Some((1, reply)) => reply.outcome(),
                Some((times, _)) => Err(JsonRpcError::Duplicate { times }),
            };
            (call.number, outcome)
        })
        .collect();
    if !by_number.is_empty() {
        tracing::warn!(ids = ?by_number.keys(), "a JSON-RPC server answered calls that were not in the batch");
    }
    outcomes
}

/// An HTTP error: what it says as JSON-RPC, or else its status and its first words.
fn refusal(status: StatusCode, body: &Bytes) -> JsonRpcError {
    match serde_json::from_slice::<Reply<'_>>(body).ok().and_then(|reply| reply.error) {
        Some(error) => JsonRpcError::Answered(error),
        None => JsonRpcError::Status { status, said: beginning(body) },
    }
}

/// The most characters of a body that an error repeats.
const BEGINNING: usize = 120;

fn beginning(body: &Bytes) -> String {
    String::from_utf8_lossy(&body[..body.len().min(4 * BEGINNING)]).chars().take(BEGINNING).collect()
}

/// One response, as foreign servers send it.
#[derive(Debug, Deserialize)]
struct Reply<'a> {
    jsonrpc: Option<String>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present_raw")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

impl Reply<'_> {
    /// The number of the call that it answers; ours are numbers and nothing else.
    fn number(&self) -> Option<u64> {
        self.id.and_then(|id| id.get().parse().ok())
    }

    fn outcome(&self) -> Outcome {
        let protocol = |why: &str| Err(JsonRpcError::Protocol(why.to_owned()));
        match (self.jsonrpc.as_deref(), self.result, &self.error) {
            (Some("2.0"), Some(result), None) => Ok(result.to_owned()),
            (Some("2.0"), None, Some(error)) => Err(JsonRpcError::Answered(error.clone())),
            (Some("2.0"), Some(_), Some(_)) => protocol("it holds a result and an error"),
            (Some("2.0"), None, None) => protocol("it holds neither a result nor an error"),
            _ => protocol("its member jsonrpc is not \"2.0\""),
        }
    }
}

/// The responses of a batch. What is no response among them is passed over, and leaves its call without one.
struct Replies<'a>(Vec<Reply<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Replies<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Replies<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of responses")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Replies<'de>, A::Error> {
                let mut replies = Vec::new();
                while let Some(entry) = seq.next_element::<&RawValue>()? {
                    match serde_json::from_str(entry.get()) {
                        Ok(reply) => replies.push(reply),
                        Err(error) => tracing::warn!(%error, "a JSON-RPC server sent what is no response in a batch"),
                    }
                }
                Ok(Replies(replies))
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(numbers: &[u64]) -> Vec<Asked> {
        numbers.iter().map(|&number| Asked { number, notification: false }).collect()
    }

    fn told(asked: &[Asked], status: u16, body: &'static str) -> (Vec<String>, Takes) {
        let settled = settle(asked, StatusCode::from_u16(status).unwrap(), &Bytes::from_static(body.as_bytes()));
        let said = |(number, outcome): &(u64, Outcome)| match outcome {
            Ok(json) => format!("{number}: {}", json.get()),
            Err(error) => format!("{number}: error: {error}"),
        };
        (settled.outcomes.iter().map(said).collect(), settled.takes)
    }

    #[test]
    fn answers_are_sorted_by_id_however_they_come() {
        let body = r#"[{"jsonrpc":"2.0","id":3,"error":{"code":-32001,"message":"no"}},{"jsonrpc":"2.0","id":2,"result":null}]"#;
        assert_eq!(
            told(&calls(&[2, 3]), 200, body),
            (vec!["2: null".into(), "3: error: the server answered with error -32001: no".into()], Takes::AsMany)
        );
    }

    #[test]
    fn missing_double_and_foreign_answers_concern_their_calls_only() {
        let body = r#"[{"jsonrpc":"2.0","id":1,"result":1},{"jsonrpc":"2.0","id":1,"result":2},{"jsonrpc":"2.0","id":9,"result":9},
            {"jsonrpc":"2.0","id":3,"result":"well"},{"jsonrpc":"2.0","id":"3","result":0},7,
            {"jsonrpc":"2.0","id":4,"result":1,"error":{"code":1,"message":"x"}},{"jsonrpc":"2.0","id":5},{"id":6,"result":1}]"#;
        let (said, takes) = told(&calls(&[1, 2, 3, 4, 5, 6]), 200, body);
        for (said, wanted) in said.iter().zip([
            "1: error: the server answered this call 2 times",
            "2: error: the server's answer to a batch holds none for this call; it may have run",
            "3: \"well\"",
            "4: error: the server's answer is no JSON-RPC 2.0: it holds a result and an error",
            "5: error: the server's answer is no JSON-RPC 2.0: it holds neither",
            "6: error: the server's answer is no JSON-RPC 2.0: its member jsonrpc",
        ]) {
            assert!(said.starts_with(wanted), "{said}");
        }
        assert_eq!((said.len(), takes), (6, Takes::AsMany));
    }

    #[test]
    fn an_error_without_an_id_is_a_hint_to_the_call_that_has_no_answer() {
        let body =
            r#"[{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"what?"}},{"jsonrpc":"2.0","id":1,"result":1}]"#;
        let (said, _) = told(&calls(&[1, 2]), 200, body);
        assert!(
            said[0] == "1: 1" && said[1].contains("an error for a call that it does not name: invalid_request (-32600): what?")
        );
    }

    #[test]
    fn a_refusal_of_the_batch_sends_its_calls_again_only_where_none_can_have_run() {
        let refused = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}"#;
        for (status, body, again, takes) in [
            (200, refused, true, Takes::Singly),
            (400, refused, true, Takes::Singly),
            (413, refused, true, Takes::Fewer),
            (413, "too much", true, Takes::Fewer),
            (400, "", true, Takes::Fewer),
            (500, "oh", false, Takes::Singly),
            (200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"oh"}}"#, false, Takes::Singly),
            (200, "well", false, Takes::Singly),
        ] {
            let (said, told) = told(&calls(&[1, 2, 3]), status, body);
            assert_eq!((said.is_empty(), told), (again, takes), "{status} {body}: {said:?}");
        }
        assert_eq!(told(&calls(&[1, 2]), 400, ""), (Vec::new(), Takes::Singly));
        assert_eq!(told(&calls(&[1, 2]), 413, ""), (Vec::new(), Takes::Fewer), "two calls can be too large together");
        for status in [401, 403, 404, 429, 502, 503] {
            let (said, takes) = told(&calls(&[1, 2]), status, "later");
            assert_eq!((said.len(), takes), (2, Takes::AsMany), "{status} says nothing about batches");
            assert!(said[0].contains(&format!("HTTP {status}")) && said[0].contains("later"), "{said:?}");
        }
    }

    #[test]
    fn a_single_answer_needs_the_right_id_unless_it_is_an_error_without_one() {
        let ask = |status, body| told(&calls(&[7]), status, body).0.remove(0);
        assert_eq!(ask(200, r#"{"jsonrpc":"2.0","id":7,"result":[1]}"#), "7: [1]");
        assert!(ask(200, r#"{"jsonrpc":"2.0","id":8,"result":[1]}"#).contains("its id is not that of the call"));
        assert!(ask(200, r#"{"jsonrpc":"2.0","id":null,"result":[1]}"#).contains("its id is not that of the call"));
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"bad"}}"#;
        assert_eq!(ask(200, error), "7: error: the server answered with error -32700: bad");
        assert_eq!(ask(500, error), "7: error: the server answered with error -32700: bad");
        assert!(ask(200, "<html>").contains("it begins with \"<html>\""));
        assert!(ask(502, "<html>").contains("HTTP 502 Bad Gateway: <html>"));
    }

    #[test]
    fn a_notification_is_content_with_any_success() {
        let one = [Asked { number: 1, notification: true }];
        let two = [one[0], Asked { number: 2, notification: true }];
        assert_eq!(told(&one, 204, "").0, ["1: null"]);
        assert_eq!(told(&two, 204, "").0, ["1: null", "2: null"]);
        assert!(told(&one, 503, "").0[0].contains("HTTP 503"));
        let mixed = [Asked { number: 1, notification: true }, Asked { number: 2, notification: false }];
        assert_eq!(told(&mixed, 200, r#"[{"jsonrpc":"2.0","id":2,"result":2}]"#).0, ["1: null", "2: 2"]);
    }
}
