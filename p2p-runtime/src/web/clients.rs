//! The clients that this coordinator makes tokens for: `POST /admin/clients`, by the operator on the node's own socket.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::StatusCode;
use p2p_client::protocol::{ErrorCode, RpcError, Scopes, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::{
    identity::{
        ClientName, DEFAULT_TTL, GrantRefused, MAX_TTL, RevokeError,
        client_token::{ClientOptions, InvalidTokenId, TokenAuthority, TokenId},
    },
    node::publish_token_keys,
    storage::{Secret, base64_secret},
};

use super::{
    requester::{Refusal, Requester},
    state::WebState,
};

/// Where it is.
const ROUTE: &str = "/admin/clients";

/// `POST /admin/clients`: what to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientCommand {
    /// Makes a client.
    Create {
        /// Its name at this coordinator.
        name: ClientName,
        /// The scopes that its tokens may have, with spaces between them.
        #[serde(default)]
        scopes: Scopes,
        /// How long its tokens are good, in seconds; 15 minutes unless said.
        #[serde(default)]
        ttl_seconds: Option<u64>,
        /// For how long the credential itself is good, in seconds; for ever unless said.
        #[serde(default)]
        expires_seconds: Option<u64>,
    },
    /// Lists the clients.
    List,
    /// Removes a client, and revokes its tokens.
    Remove {
        /// Which.
        name: ClientName,
    },
    /// Takes one token back.
    Revoke {
        /// Its id, as the audit log shows it.
        token_id: String,
    },
    /// Lets go of the keys that sign tokens, and makes a fresh one: every token of this coordinator ends.
    ReplaceKeys,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum ClientReply {
    /// The client, with its secret.
    Create(ClientCreated),
    /// The clients, in order.
    List {
        /// Each of them.
        clients: Vec<ClientShown>,
    },
    /// It is gone, and its tokens are revoked.
    Remove,
    /// It is revoked.
    Revoke,
    /// There is a fresh key.
    ReplaceKeys,
}

/// A client that was made. Its secret is shown this once, and kept nowhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClientCreated {
    /// Its name in the cluster, by which it asks for tokens.
    pub client_id: String,
    /// Its secret.
    #[serde(with = "base64_secret")]
    pub secret: Secret,
    /// Where it asks for tokens.
    pub url: String,
}

/// A client, without its secret, which nobody has but the client.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClientShown {
    /// Its name in the cluster.
    pub client_id: String,
    /// What its tokens may have.
    pub scopes: Scopes,
    /// How long its tokens are good, in seconds.
    pub ttl_seconds: u64,
    /// When it was made.
    pub created: UnixMillis,
    /// When the credential stops working.
    pub expires: Option<UnixMillis>,
}

impl ClientCommand {
    /// It as the audit log tells of it: what, to whom, and what more there is to say.
    fn told(&self) -> (&'static str, String, String) {
        let nothing = String::new;
        match self {
            Self::Create { name, scopes, .. } => ("client create", name.to_string(), format!("scopes {:?}", scopes.to_string())),
            Self::List => ("client list", nothing(), nothing()),
            Self::Remove { name } => ("client remove", name.to_string(), nothing()),
            Self::Revoke { token_id } => ("token revoke", token_id.clone(), nothing()),
            Self::ReplaceKeys => ("client replace-keys", nothing(), nothing()),
        }
    }
}

pub(super) async fn administer(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(command): Json<ClientCommand>,
) -> Result<Json<ClientReply>, Refusal> {
    requester.must_be_operator(&state, ROUTE)?;
    let (what, whom, more) = command.told();
    let Some(authority) = &state.tokens.authority else {
        let text = "this node makes no tokens; run `p2p client` on a coordinator";
        state.cx.audit().done(requester.subject(what).to(&whom), Err(&text));
        return Err(Refusal(StatusCode::CONFLICT, RpcError::new(ErrorCode::INVALID_REQUEST, text)));
    };
    let done = carry_out(&state, authority, command).await;
    let outcome = done.as_ref().map(|_| &*more).map_err(|refused| &refused.1.message);
    state.cx.audit().done(requester.subject(what).to(&whom), outcome);
    done.map(Json)
}

async fn carry_out(state: &WebState, authority: &TokenAuthority, command: ClientCommand) -> Result<ClientReply, Refusal> {
    match command {
        ClientCommand::Create { name, scopes, ttl_seconds, expires_seconds } => {
            let options = ClientOptions {
                scopes,
                token_ttl: ttl_seconds.map_or(DEFAULT_TTL, Duration::from_secs),
                expires_in: expires_seconds.map(Duration::from_secs),
            };
            let (id, secret) = authority.create_client(name, options).await.map_err(|error| refusal(&error))?;
            let me = state.cx.membership().and_then(|membership| membership.members().get(state.cx.node_id()).cloned());
            let url = me.map(|me| me.url()).unwrap_or_default();
            Ok(ClientReply::Create(ClientCreated { client_id: id.to_string(), secret: Secret::from(secret.reveal()), url }))
        }
        ClientCommand::List => Ok(ClientReply::List { clients: list(authority) }),
        ClientCommand::Remove { name } => match authority.remove_client(name.clone()).await.map_err(|error| refusal(&error))? {
            Some(_) => Ok(ClientReply::Remove),
            None => Err(unknown(authority, &name)),
        },
        ClientCommand::Revoke { token_id } => revoke(state, &token_id).await,
        ClientCommand::ReplaceKeys => {
            authority.replace_keys().await.map_err(|error| refusal(&error))?;
            publish_token_keys(&state.cx, state.tokens.verifier.ring(), authority).await;
            Ok(ClientReply::ReplaceKeys)
        }
    }
}

/// Takes a token back of which only the id is known: it is remembered for as long as any token can be good.
async fn revoke(state: &WebState, token_id: &str) -> Result<ClientReply, Refusal> {
    let invalid =
        |error: InvalidTokenId| Refusal(StatusCode::BAD_REQUEST, RpcError::new(ErrorCode::INVALID_REQUEST, error.to_string()));
    let id: TokenId = token_id.parse().map_err(invalid)?;
    let verifier = &state.tokens.verifier;
    let longest = u64::try_from((MAX_TTL + MAX_TTL / 24).as_millis()).unwrap_or(u64::MAX);
    let until = UnixMillis(verifier.now().0.saturating_add(longest));
    verifier.revoked().revoke(id.as_str(), until).await.map_err(|error| refusal(&error))?;
    Ok(ClientReply::Revoke)
}

fn list(authority: &TokenAuthority) -> Vec<ClientShown> {
    let shown = |(id, record): (crate::identity::client_token::ClientId, crate::identity::ClientRecord)| ClientShown {
        client_id: id.to_string(),
        scopes: record.scopes,
        ttl_seconds: record.token_ttl_s,
        created: record.created,
        expires: record.expires,
    };
    authority.clients().into_iter().map(shown).collect()
}

/// There is no client of this name.
pub(super) fn unknown(authority: &TokenAuthority, name: &ClientName) -> Refusal {
    let known: Vec<_> = authority.clients().into_iter().map(|(id, _)| id.name.to_string()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let text = format!("there is no client {:?} at this coordinator; there are: {known}", name.as_str());
    Refusal(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::INVALID_REQUEST, text))
}

fn refusal(error: &GrantRefused) -> Refusal {
    let (status, code) = match error {
        GrantRefused::Exists(_)
        | GrantRefused::TooMany(_)
        | GrantRefused::Revoke(RevokeError::SingleTokens { .. } | RevokeError::Full(_)) => {
            (StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST)
        }
        GrantRefused::Crypto | GrantRefused::Vault(_) | GrantRefused::Revoke(_) | GrantRefused::Damaged(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL)
        }
        _ => (StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST),
    };
    Refusal(status, RpcError::new(code, error.to_string()))
}
