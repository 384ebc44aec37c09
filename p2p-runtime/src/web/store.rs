//! The node's store, for the operator on the node's own socket: `POST /admin/store`.
//!
//! Whoever may open the socket still has to say the store's password: a program that runs as the node's user reads no keys by
//! asking. Passwords are checked one at a time, so that guessing does not take the node's processors.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use p2p_client::protocol::{ErrorCode, RpcError};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::storage::{Password, Secret, Store, StoreCommand, StoreError, StoreReply, base64_secret};

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// The largest request: a value of the largest size in base64, and its path.
pub(super) const MAX_BODY: usize = 24 << 20;

/// `POST /admin/store`: what to do, and the password that allows it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRequest {
    /// The store's password.
    #[serde(with = "base64_secret")]
    pub password: Secret,
    /// What to do.
    pub command: StoreCommand,
}

pub(super) async fn administer(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(request): Json<StoreRequest>,
) -> Result<Json<StoreReply>, Refusal> {
    const ROUTE: &str = "/admin/store";
    requester.must_be_operator(&state, ROUTE)?;
    let StoreRequest { password, command } = request;
    let (what, path) = (format!("store {}", command.name()), command.path().unwrap_or_default().to_owned());
    let subject = requester.subject(&what).to(&path);
    if let Err(refused) = check_password(&state, password).await {
        state.cx.audit().denied(subject, Some(&refused.1.message));
        return Err(refused);
    }
    let store = store_of(&state)?;
    let done = blocking(move || command.carry_out(&store)).await;
    state.cx.audit().done(subject, done.as_ref().map(|_| "").map_err(|refused| &refused.1.message));
    done.map(Json)
}

/// Whether this is the store's password. One is checked at a time.
pub(super) async fn check_password(state: &WebState, password: Secret) -> Result<(), Refusal> {
    let store = store_of(state)?;
    in_turn(&state.checking_password, move || store.check_password(&Password::new(password.expose())?)).await
}

/// Does one piece of work at a time. The turn ends with the work and not with the request, so that nobody gets another one by hanging up.
async fn in_turn<T, E>(turns: &Arc<Mutex<()>>, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Refusal>
where
    T: Send + 'static,
    E: Into<Refusal> + Send + 'static,
{
    let turn = turns.clone().lock_owned().await;
    blocking(move || {
        let done = work();
        drop(turn);
        done
    })
    .await
}

pub(super) fn store_of(state: &WebState) -> Result<Arc<Store>, Refusal> {
    let stopping = || {
        let text = "the node is stopping; ask again when it has stopped, then without it";
        Refusal(StatusCode::SERVICE_UNAVAILABLE, RpcError::new(ErrorCode::INTERNAL, text))
    };
    state.store.upgrade().ok_or_else(stopping)
}

/// Does what takes computing or the disk away from the node's tasks.
pub(super) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Refusal>
where
    T: Send + 'static,
    E: Into<Refusal> + Send + 'static,
{
    match spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.into()),
        Err(lost) => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, RpcError::new(ErrorCode::INTERNAL, lost.to_string()))),
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let (status, code) = match error {
            StoreError::WrongPassword { .. } => (StatusCode::FORBIDDEN, ErrorCode::DENIED),
            StoreError::NoEntry { .. } => (StatusCode::NOT_FOUND, ErrorCode::INVALID_REQUEST),
            StoreError::BadPath { .. } | StoreError::TooLarge { .. } | StoreError::EmptyPassword => {
                (StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST)
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL),
        };
        Self(status, RpcError::new(code, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_hangs_up_gets_no_other_turn_before_the_work_is_done() {
        let turns = Arc::new(Mutex::new(()));
        let (started, has_started) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        let work = move || {
            started.send(()).unwrap();
            may_finish.recv().unwrap();
            Ok::<_, StoreError>(())
        };
        let asking = tokio::spawn({
            let turns = turns.clone();
            async move { in_turn(&turns, work).await.is_ok() }
        });
        spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();
        asking.abort();
        asking.await.unwrap_err();
        let mut next = Box::pin(in_turn(&turns, || Ok::<_, StoreError>(7)));
        assert!((&mut next).now_or_never().is_none(), "the work of the first still runs");
        finish.send(()).unwrap();
        assert_eq!(next.await.ok(), Some(7));
    }
}
