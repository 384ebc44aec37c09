//! What comes back of a call that was sent on, as its caller is told: bounded, and without the names of nodes where these are not for it.
//!
//! A result becomes part of an answer of ours without being decoded. So it is looked at before: it has to be one JSON value, which is not nested
//! deeper than a request may be. The results of a call to many nodes are bounded together as well, by a [`Room`](p2p_client::wire::Room).

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use p2p_client::{
    call::{Failure, Items},
    codec::is_deeper_than,
    protocol::{ErrorCode, NodeAnswer, NodeId, One, RpcError},
};
use serde::{Serialize, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::web::rpc::MAX_DEPTH;

use super::Inbound;

/// How many bytes all nodes together may answer to one call: 48 MiB. With what is around it, the whole is something that a client which takes 64 MiB can
/// still read.
pub(super) const MAX_FAN_OUT_ANSWER: usize = 48 * 1024 * 1024;

/// A result that goes into an answer of ours: what is no JSON value by itself must not become part of one that is around it, and what is too deep
/// might take the stack of whoever decodes it.
pub(super) fn checked(json: Bytes, from: &NodeId) -> Result<Bytes, Failure> {
    serde_json::from_slice::<&RawValue>(&json).map_err(|error| no_json(from, &error))?;
    shallow(json)
}

/// The same for one of many answers.
fn own_value(json: &Bytes, from: &NodeId) -> Result<Box<RawValue>, Failure> {
    let result: Box<RawValue> = serde_json::from_slice(json).map_err(|error| no_json(from, &error))?;
    if is_too_deep(json) { Err(too_deep()) } else { Ok(result) }
}

fn no_json(from: &NodeId, error: &serde_json::Error) -> Failure {
    Failure::Lost(format!("the result of node {from} is no JSON: {error}"))
}

fn shallow(json: Bytes) -> Result<Bytes, Failure> {
    if is_too_deep(&json) { Err(too_deep()) } else { Ok(json) }
}

fn is_too_deep(json: &[u8]) -> bool {
    is_deeper_than(json, MAX_DEPTH)
}

fn too_deep() -> Failure {
    let text =
        format!("the result is nested deeper than {MAX_DEPTH} levels, and is not passed on; have the method return less depth");
    Failure::NotTaken(text)
}

/// The items of another node, whose end is told as to this caller.
pub(super) fn retold(items: Items, call: &Inbound<'_>) -> Items {
    let names_nodes = call.may_know_nodes;
    let bounded = items.map(|item| item.and_then(shallow).map_err(with_shallow_data));
    if names_nodes { bounded.boxed() } else { bounded.map_err(unnamed).boxed() }
}

/// What a caller is told of a call that could not be forwarded. Who may not read who is in the cluster and where is not told so here.
pub(super) fn told(failure: Failure, call: &Inbound<'_>) -> RpcError {
    let failure = with_shallow_data(failure);
    if call.may_know_nodes {
        return failure.into_rpc();
    }
    match failure {
        Failure::NoRoute(_) | Failure::NotYet(_) => {
            let (service, _) = call.path.split_once('/').unwrap_or_default();
            let target = call.target.as_ref().map_or_else(|| One::Any.to_string(), ToString::to_string);
            Failure::NoRoute(format!("no node that is alive fits {target} and hosts {service}"))
        }
        other => unnamed(other),
    }
    .into_rpc()
}

/// A failure without a word of which node it was.
fn unnamed(failure: Failure) -> Failure {
    match failure {
        Failure::NotSent(_) => Failure::NotSent("the node that was to be asked could not be reached".to_owned()),
        Failure::Lost(_) => Failure::Lost("the node that was asked was lost before it answered".to_owned()),
        other => other,
    }
}

/// A failure whose data is no deeper than a result may be.
fn with_shallow_data(failure: Failure) -> Failure {
    match failure {
        Failure::Answered(RpcError { code, message, data: Some(data) }) if is_too_deep(data.get().as_bytes()) => {
            let text = format!("{message} (its data is nested deeper than {MAX_DEPTH} levels, and is not passed on)");
            Failure::Answered(RpcError::new(code, text))
        }
        other => other,
    }
}

/// The result of a call to many nodes, by their ids.
pub(super) struct Answers(Vec<(NodeId, NodeAnswer)>);

impl Answers {
    /// What each node answered, as this caller is told.
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    pub(super) fn add(&mut self, node: NodeId, answer: Result<Bytes, Failure>, call: &Inbound<'_>) {
        let answer = match answer.and_then(|json| own_value(&json, &node)) {
            Ok(result) => NodeAnswer::Result(result),
            Err(failure) => NodeAnswer::Error(told(failure, call)),
        };
        self.0.push((node, answer));
    }

    /// The JSON of all, in the order of the nodes' ids.
    ///
    /// # Errors
    /// None that is known; each part is JSON already.
    pub(super) fn into_json(mut self) -> Result<Vec<u8>, RpcError> {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        serde_json::to_vec(&self).map_err(|error| RpcError::new(ErrorCode::INTERNAL, error.to_string()))
    }
}

impl Serialize for Answers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (node, answer) in &self.0 {
            map.serialize_entry(node, answer)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Bytes {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels)).into()
    }

    fn worker() -> NodeId {
        "worker-1".parse().unwrap()
    }

    #[test]
    fn a_result_may_be_as_deep_as_a_request_and_no_deeper_however_deep_that_is() {
        assert_eq!(checked(nested(MAX_DEPTH), &worker()).unwrap(), nested(MAX_DEPTH));
        for levels in [MAX_DEPTH + 1, 1_000_000] {
            for refused in [checked(nested(levels), &worker()).unwrap_err(), own_value(&nested(levels), &worker()).unwrap_err()] {
                assert!(matches!(&refused, Failure::NotTaken(text) if text.starts_with("the result is nested deeper than 127")));
            }
        }
    }

    #[test]
    fn what_is_no_json_value_by_itself_is_no_result() {
        for json in ["", "1},{\"id\":2", "[", "\u{feff}1"] {
            let json = Bytes::from(json);
            for refused in [checked(json.clone(), &worker()).unwrap_err(), own_value(&json, &worker()).unwrap_err()] {
                assert!(matches!(&refused, Failure::Lost(text) if text.starts_with("the result of node worker-1 is no JSON")));
            }
        }
    }

    #[test]
    fn an_error_with_deep_data_loses_that_and_says_so() {
        let error = |levels| {
            let json = String::from_utf8(nested(levels).to_vec()).unwrap();
            Failure::Answered(RpcError {
                code: ErrorCode::SERVICE,
                message: "no".to_owned(),
                data: Some(RawValue::from_string(json).unwrap()),
            })
        };
        let Failure::Answered(kept) = with_shallow_data(error(MAX_DEPTH)) else { panic!() };
        assert!(kept.data.is_some() && kept.message == "no");
        let Failure::Answered(cut) = with_shallow_data(error(MAX_DEPTH + 1)) else { panic!() };
        assert!(cut.data.is_none() && cut.code == ErrorCode::SERVICE);
        assert_eq!(cut.message, "no (its data is nested deeper than 127 levels, and is not passed on)");
    }
}
