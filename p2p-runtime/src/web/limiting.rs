//! Draws every request from the budget of whoever asks, before its body is read.
//!
//! `POST /rpc` does it by itself ([`draw`]), as it goes past the router; all other routes are behind [`limit`]. A request pays for one call;
//! the further calls of a batch are drawn one by one ([`Drawn`]).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use p2p_client::protocol::CallerId;

use crate::{
    audit::Whence,
    limits::{Budget, OverLimit},
    transport::over_limit,
};

use super::{requester::Requester, state::WebState};

/// The one route with the budget of health.
const HEALTH: &str = "/health";

/// Who is drawn from: by his name, or by where he is.
pub(super) struct Drawn {
    from: Whence,
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
        draw_from(state, caller, &self.from, Budget::Rpc)
    }
}

/// Draws a request. Whoever shows a bad token pays as [one without a name](super::requester::BadToken::who).
///
/// # Errors
/// [`OverLimit`].
pub(super) fn draw(state: &WebState, requester: &Requester, budget: Budget) -> Result<Drawn, OverLimit> {
    draw_from(state, &requester.caller, &requester.from, budget)?;
    Ok(Drawn { from: requester.from.clone(), is_used: AtomicBool::new(false) })
}

fn draw_from(state: &WebState, caller: &CallerId, from: &Whence, budget: Budget) -> Result<(), OverLimit> {
    state.config.limits().draw(caller, from.node(), from.address(), budget)
}

/// Answers 429 to whoever asks too much, and passes all others on.
pub(super) async fn limit(State(state): State<Arc<WebState>>, request: Request, next: Next) -> Response {
    let budget = if request.uri().path() == HEALTH { Budget::Health } else { Budget::Rpc };
    let (mut parts, body) = request.into_parts();
    let requester = Requester::from_request_parts(&mut parts, &state).await;
    let drawn = match draw(&state, requester.as_ref().unwrap_or_else(|bad| bad.who()), budget) {
        Ok(drawn) => drawn,
        Err(over) => return over_limit(over),
    };
    match requester {
        Err(bad) => bad.told(&state),
        Ok(requester) => {
            parts.extensions.insert(requester);
            parts.extensions.insert(Arc::new(drawn));
            next.run(Request::from_parts(parts, body)).await
        }
    }
}
