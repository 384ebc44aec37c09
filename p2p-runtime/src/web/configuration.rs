//! The node's configuration, for the operator on the node's own socket: `POST /admin/config`.
//!
//! As with the store, the password is asked for. What can change while the node runs counts when the answer is sent.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use p2p_client::protocol::{ErrorCode, RpcError};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigCommand, ConfigError, ConfigReply, NodeConfig, changed_keys},
    storage::{Secret, base64_secret},
};

use super::{
    requester::{Refusal, Requester},
    state::WebState,
    store::{blocking, check_password, store_of},
};

/// `POST /admin/config`: what to do, and the password that allows it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// The store's password.
    #[serde(with = "base64_secret")]
    pub password: Secret,
    /// What to do.
    pub command: ConfigCommand,
}

pub(super) async fn configure(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(request): Json<ConfigRequest>,
) -> Result<Json<ConfigReply>, Refusal> {
    const ROUTE: &str = "/admin/config";
    requester.must_be_operator(&state, ROUTE)?;
    let ConfigRequest { password, command } = request;
    let what = command.in_audit();
    if let Err(refused) = check_password(&state, password).await {
        state.cx.audit().denied(requester.subject(&what), Some(&refused.1.message));
        return Err(refused);
    }
    let done = carry_out(&state, command).await;
    let keys = done.as_ref().map(|reply| changed_keys(&reply.changed)).map_err(|refused| &refused.1.message);
    state.cx.audit().done(requester.subject(&what), keys.as_deref().map_err(|error| *error));
    done.map(Json)
}

async fn carry_out(state: &WebState, command: ConfigCommand) -> Result<ConfigReply, Refusal> {
    // One at a time, so that what was stored last is what counts in the end.
    let _turn = state.config.changing().await;
    let store = store_of(state)?;
    let writes = matches!(command, ConfigCommand::Write { .. });
    let (reply, config) = blocking(move || {
        let reply = command.carry_out(&store)?;
        let config = if writes { Some(NodeConfig::load(&store)?) } else { None };
        Ok::<_, ConfigError>((reply, config))
    })
    .await?;
    if let Some(config) = config {
        state.config.apply(config);
    }
    Ok(reply)
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        let status = match error {
            ConfigError::Store(error) => return error.into(),
            ConfigError::Missing => StatusCode::NOT_FOUND,
            ConfigError::Mistakes(_) => StatusCode::BAD_REQUEST,
            ConfigError::Changed => StatusCode::CONFLICT,
        };
        Self(status, RpcError::new(ErrorCode::INVALID_REQUEST, error.to_string()))
    }
}
