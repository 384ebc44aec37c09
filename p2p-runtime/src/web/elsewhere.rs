//! Join tokens that another coordinator made.
//!
//! Only the coordinator that made a token can spend it. One that is asked with a token it does not know asks the others whose it is, by
//! `GET /internal/ca/token/{id}` over mutual TLS, and sends the node there. Nothing is proved when it does: anybody can make it ask. So only a
//! few lookups run at a time, each for a short while.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{
    checks::bound,
    identity::{Refused, TokenId, join::Seed},
    transport::ShownCertificate,
};

use super::{
    ca,
    coordinators::first_of,
    requester::{Refusal, Requester},
    state::WebState,
};

/// Where coordinators ask each other for a join token; its id follows.
pub(super) const TOKEN_PATH: &str = "/internal/ca/token";
/// How many lookups run at a time.
const AT_ONCE: usize = 4;
/// For how long one waits for its turn.
const TURN: Duration = Duration::from_secs(1);

/// What is checked here, by name; see [`crate::checks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// That only a few lookups run at a time.
    AtOnce,
}

/// The lookups that may run at a time.
pub(crate) struct Lookups(Semaphore);

impl Default for Lookups {
    fn default() -> Self {
        Self(Semaphore::new(bound(Check::AtOnce, AT_ONCE, Semaphore::MAX_PERMITS)))
    }
}

impl Lookups {
    /// Waits until another lookup may run.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refused> {
        timeout(TURN, self.0.acquire()).await.ok().and_then(Result::ok).ok_or(Refused::Busy)
    }
}

/// Whether the coordinator that answers made the token.
#[derive(Serialize, Deserialize)]
pub(super) struct IsMine {
    knows: bool,
}

/// Tells another coordinator whether a join token was made here. Whether it still lets anybody in, the node is told when it comes.
pub(super) async fn is_mine(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    shown: Option<Extension<ShownCertificate>>,
    Path(token): Path<TokenId>,
) -> Result<Json<IsMine>, Refusal> {
    ca::coordinator(&state, &requester, shown, "token lookup")?;
    Ok(Json(IsMine { knows: state.issuer.as_ref().is_some_and(|issuer| issuer.knows_token(token)) }))
}

/// Looks for the coordinator that made a token, which is not this one.
///
/// # Errors
/// [`Refused::Elsewhere`] names it; [`Refused::Busy`] where too many lookups run. Where nobody knows the token there is nothing to send the node
/// on for.
pub(super) async fn look_up(state: &WebState, token: TokenId) -> Result<(), Refused> {
    let _turn = state.lookups.turn().await?;
    maker(state, token).await.map_or(Ok(()), |coordinator| Err(Refused::Elsewhere { coordinator }))
}

/// The other coordinator that made the token. One that cannot be reached could not let the node in, either.
async fn maker(state: &WebState, token: TokenId) -> Option<Seed> {
    let path = format!("{TOKEN_PATH}/{token}");
    let peer = first_of(state, &path, |IsMine { knows }: &IsMine| *knows).await?;
    Some(Seed { node_id: peer.node_id, authority: peer.authority.to_string() })
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::checks::without;

    /// How many of ten lookups that come at once run at once.
    async fn run_at_once(lookups: &Lookups) -> usize {
        let turns = join_all((0..10).map(|_| lookups.turn())).await;
        assert!(turns.iter().all(|turn| turn.is_ok() || turn.as_ref().is_err_and(|refused| *refused == Refused::Busy)));
        turns.iter().filter(|turn| turn.is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn case_28_a_few_lookups_run_at_a_time_and_when_they_are_done_as_many_others() {
        let lookups = Lookups::default();
        assert_eq!(run_at_once(&lookups).await, AT_ONCE);
        assert_eq!(run_at_once(&lookups).await, AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn case_28_control_without_a_bound_each_made_up_token_asks_all_coordinators() {
        let lookups = without(&[Check::AtOnce], Lookups::default);
        assert_eq!(run_at_once(&lookups).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_gets_its_turn_when_another_ends_in_time() {
        let lookups = Lookups::default();
        let mut running = join_all((0..AT_ONCE).map(|_| lookups.turn())).await;
        let ends = async {
            tokio::time::sleep(TURN / 2).await;
            running.pop();
        };
        let (turn, ()) = tokio::join!(lookups.turn(), ends);
        assert!(turn.is_ok());
    }
}
