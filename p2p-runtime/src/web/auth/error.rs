//! Errors as OAuth 2.0 has them (RFC 6749, section 5.2).

use std::fmt;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
use p2p_client::protocol::InvalidScope;
use serde_json::json;

use crate::identity::GrantRefused;

/// Why no token was given or revoked: a word for programs, a sentence for people.
#[derive(Debug)]
pub(crate) struct AuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl AuthError {
    pub(super) fn new(status: StatusCode, error: &'static str, description: &str) -> Self {
        Self { status, error, description: description.to_owned() }
    }

    pub(super) fn invalid_request(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    pub(super) fn invalid_client(description: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    pub(super) fn unavailable(description: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description)
    }

    /// Nothing says who it is.
    pub(super) fn no_proof() -> Self {
        Self::invalid_client(
            "nothing proves who asks: send client_id and client_secret, which `p2p client create` on a coordinator makes; \
             or come with a node's certificate",
        )
    }

    /// Whether somebody was refused for who he is.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self.error, "invalid_client" | "invalid_scope" | "invalid_token")
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.description)
    }
}

impl From<GrantRefused> for AuthError {
    fn from(refused: GrantRefused) -> Self {
        let text = refused.to_string();
        match refused {
            GrantRefused::InvalidClient | GrantRefused::CredentialExpired => Self::invalid_client(&text),
            GrantRefused::InvalidScope { .. } => Self::new(StatusCode::BAD_REQUEST, "invalid_scope", &text),
            GrantRefused::Crypto | GrantRefused::Vault(_) | GrantRefused::Revoke(_) | GrantRefused::Damaged(_) => {
                tracing::error!(error = %refused, "no token could be made");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the node failed; its log tells more")
            }
            _ => Self::invalid_request(&text),
        }
    }
}

impl From<InvalidScope> for AuthError {
    fn from(invalid: InvalidScope) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", &invalid.to_string())
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = super::not_kept((self.status, Json(body)).into_response());
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"p2p\""));
        }
        response
    }
}
