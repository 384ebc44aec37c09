//! Draws every request from the budget of whoever asks, before its body is read.
//!
//! `POST /rpc` does it by itself ([`draw`]), as it goes past the router; all other routes are behind [`limit`]. A request pays for one call;
//! the further calls of a batch are drawn one by one ([`Drawn`]).

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use p2p_client::{
    protocol::{CallerId, NodeId},
    wire::tls::PeerIdentity,
};

use crate::{
    limits::{Budget, OverLimit},
    transport::{RemoteAddr, over_limit},
};

use super::{requester::Requester, state::WebState};

/// The one route with the budget of health.
const HEALTH: &str = "/health";

/// Who is drawn from: by his name, or by where he is.
pub(super) struct Drawn {
    peer: Option<NodeId>,
    address: Option<IpAddr>,
    /// Whether the call that the request has paid for was made.
    is_used: AtomicBool,
}

impl Drawn {
    /// Draws a call of a request: the first was paid for with the request.
    ///
    /// # Errors
    /// [`OverLimit`].
    pub(super) fn call(&self, state: &WebState, caller: &CallerId) -> Result<(), OverLimit> {
        if !self.is_used.swap(true, Relaxed) {
            return Ok(());
        }
        state.config.limits().draw(caller, self.peer.as_ref(), self.address, Budget::Rpc)
    }
}

/// Draws a request.
///
/// # Errors
/// [`OverLimit`].
pub(super) fn draw(
    state: &WebState,
    caller: &CallerId,
    peer: Option<&PeerIdentity>,
    remote: Option<IpAddr>,
    headers: &HeaderMap,
    budget: Budget,
) -> Result<Drawn, OverLimit> {
    let address = remote.map(|remote| state.config.live().proxies.client(remote, headers));
    let peer = peer.map(|peer| peer.node_id.clone());
    state.config.limits().draw(caller, peer.as_ref(), address, budget)?;
    Ok(Drawn { peer, address, is_used: AtomicBool::new(false) })
}

/// Answers 429 to whoever asks too much, and passes all others on.
pub(super) async fn limit(State(state): State<Arc<WebState>>, request: Request, next: Next) -> Response {
    let budget = if request.uri().path() == HEALTH { Budget::Health } else { Budget::Rpc };
    let (mut parts, body) = request.into_parts();
    let (caller, requester) = match Requester::from_request_parts(&mut parts, &state).await {
        Ok(requester) => (requester.caller.clone(), Ok(requester)),
        // Whoever is not let in pays as a nameless one.
        Err(refused) => (CallerId::Anonymous, Err(refused)),
    };
    let (peer, remote) = (parts.extensions.get::<PeerIdentity>(), parts.extensions.get::<RemoteAddr>());
    match draw(&state, &caller, peer, remote.map(|remote| remote.0.ip()), &parts.headers, budget) {
        Err(over) => over_limit(over),
        Ok(drawn) => match requester {
            Err(refused) => refused.told(&state),
            Ok(requester) => {
                parts.extensions.insert(requester);
                parts.extensions.insert(Arc::new(drawn));
                next.run(Request::from_parts(parts, body)).await
            }
        },
    }
}
