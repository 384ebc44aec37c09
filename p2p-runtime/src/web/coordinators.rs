//! Questions that one of the other coordinators can answer: which of them made a join token, at which of them a node waits.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use http_body_util::Full;
use p2p_client::{
    protocol::Role,
    wire::{PeerRef, http::RequestLimits},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::state::WebState;

/// How many are asked at a time: all of them, but for very many.
const AT_ONCE: usize = 64;
/// How long they may take, all together.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024;

/// The first of the other coordinators that gives the answer which is looked for, at this path. All are asked at once, and whoever cannot be reached
/// or takes long keeps nobody waiting.
pub(super) async fn first_of<A: DeserializeOwned>(state: &WebState, path: &str, is_it: impl Fn(&A) -> bool) -> Option<PeerRef> {
    let asked = others(state).into_iter().map(|peer| async move {
        let answer = ask(state, &peer, path).await;
        (peer, answer)
    });
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let found = async {
        while let Some((peer, answer)) = answers.next().await {
            if answer.is_some_and(|answer| is_it(&answer)) {
                return Some(peer);
            }
        }
        None
    };
    timeout(PATIENCE, found).await.ok().flatten()
}

/// The coordinators that can be asked, without this node.
fn others(state: &WebState) -> Vec<PeerRef> {
    let Some(membership) = state.cx.membership() else { return Vec::new() };
    let members = membership.members();
    let coordinators = members.peers().filter(|(info, _)| info.role == Role::Coordinator && info.is_callable());
    coordinators.filter(|(info, _)| info.node_id != *state.cx.node_id()).map(|(_, peer)| PeerRef::clone(peer)).collect()
}

async fn ask<A: DeserializeOwned>(state: &WebState, peer: &PeerRef, path: &str) -> Option<A> {
    let request = Request::get(path).body(Full::new(Bytes::new())).ok()?;
    let limits = RequestLimits { max_response: MAX_ANSWER, ..RequestLimits::within(PATIENCE) };
    let answer = state.pool.request(peer, request, limits).await.ok()?;
    serde_json::from_slice(answer.body()).ok()
}
