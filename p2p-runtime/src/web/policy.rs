//! Who may call what, explained: `POST /admin/policy`, by the operator on the node's own socket.
//!
//! It is answered by the very tables that decide, and nothing is called.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use p2p_client::{
    protocol::{Access, CallerId, ClientIdentity, ErrorCode, NodeId, Role, RpcError, Scopes},
    revocation::{KeyHash, Subject},
};
use serde::{Deserialize, Serialize};

use crate::{
    dates::date,
    identity::{ClientName, ClientRecord, IssuedNode, client_token::ClientId},
};

use super::{
    calls::RPC_PATH,
    catalogue::{DISCOVER, describe},
    clients::unknown,
    requester::{Refusal, Requester},
    routes::{RouteFor, route_for},
    state::WebState,
};

/// `POST /admin/policy`: whether somebody may call something.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// `node:ID`, `role:worker`, `client:NAME`, `scope:A,B`, `anonymous` or `operator`.
    pub who: String,
    /// `service/method`, or a route such as `/services`.
    pub what: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether the call would be let in.
    pub allowed: bool,
    /// Who was meant.
    pub who: String,
    /// What was meant.
    pub what: String,
    /// Whom it is for.
    pub access: String,
    /// One sentence that says why.
    pub reason: String,
}

pub(super) async fn explain(
    State(state): State<Arc<WebState>>,
    requester: Requester,
    Json(question): Json<PolicyQuestion>,
) -> Result<Json<Explanation>, Refusal> {
    requester.must_be_operator(&state, "/admin/policy")?;
    let Meant { who, barred } = meant(&state, &question.who)?;
    // A method has a route of its own, and is the same there.
    let method = question.what.strip_prefix(RPC_PATH).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&question.what);
    let explanation = if method.starts_with('/') { of_route(&state, &who, method) } else { of_method(&state, who, method).await };
    let explanation = explanation?;
    Ok(Json(match barred {
        Some(reason) => Explanation { allowed: false, reason, ..explanation },
        None => explanation,
    }))
}

/// Whom somebody means.
struct Meant {
    who: CallerId,
    /// Why it may call nothing, whatever its tables say.
    barred: Option<String>,
}

impl From<CallerId> for Meant {
    fn from(who: CallerId) -> Self {
        Self { who, barred: None }
    }
}

fn of_route(state: &WebState, who: &CallerId, path: &str) -> Result<Explanation, Refusal> {
    let path = path.split('?').next().unwrap_or_default();
    match route_for(path, &state.config.live().http_access) {
        Some(RouteFor::Access(access)) => Ok(decide(who, path, access, "")),
        Some(RouteFor::Certified) => {
            Ok(decided(who, path, matches!(who, CallerId::Node { .. }), "nodes, each by the certificate that it shows"))
        }
        Some(RouteFor::Operator) => Ok(decided(who, path, *who == CallerId::Operator, "the operator, on the node's own socket")),
        None => {
            let text =
                format!("there is nothing at {path}; routes are such as /services, /cluster/nodes, /openapi.json and /health");
            Err(refused(StatusCode::NOT_FOUND, ErrorCode::METHOD_NOT_FOUND, text))
        }
    }
}

async fn of_method(state: &WebState, who: CallerId, path: &str) -> Result<Explanation, Refusal> {
    if path == DISCOVER {
        return Ok(decide(&who, path, &state.config.live().http_access.documents, ""));
    }
    let Some((service, name)) = path.split_once('/') else {
        let text = format!(
            "{path:?} names no method; write service/method, such as system/get_system_info, or a route, such as /services"
        );
        return Err(refused(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, text));
    };
    let (descriptor, host) = describe(state, service).await.map_err(|error| Refusal(StatusCode::NOT_FOUND, error))?;
    let Some(method) = descriptor.methods.iter().find(|method| method.name == name) else {
        let known: Vec<_> = descriptor.methods.iter().map(|method| &*method.name).collect();
        let text = format!("service {service} has no method {name}; it has: {}", known.join(", "));
        return Err(refused(StatusCode::NOT_FOUND, ErrorCode::METHOD_NOT_FOUND, text));
    };
    let (who, mut note) = match (&host, who) {
        (Some(_), CallerId::Operator) => {
            let itself = CallerId::Node { id: state.cx.node_id().clone(), role: state.cx.role() };
            (itself, " (as which the operator of this node counts on other nodes)".to_owned())
        }
        (_, who) => (who, String::new()),
    };
    if let Some(host) = host {
        note = format!("{note}, as node {host} describes it; this node does not host it");
    }
    Ok(decide(&who, path, &method.access, &note))
}

/// Of a route that is for nobody whom methods have a word for.
fn decided(who: &CallerId, path: &str, allowed: bool, whom: &str) -> Explanation {
    let reason = format!("{who} {} use {path}: it is for {whom}", if allowed { "may" } else { "may not" });
    Explanation { allowed, who: who.to_string(), what: path.to_owned(), access: whom.to_owned(), reason }
}

fn decide(who: &CallerId, what: &str, access: &Access, note: &str) -> Explanation {
    let (allowed, reason) = match access.check(who, what) {
        Ok(()) => (true, format!("{who} may call {what}: it is for {access}{note}")),
        Err(denied) => (false, format!("{denied}{note}")),
    };
    Explanation { allowed, who: who.to_string(), what: what.to_owned(), access: access.to_string(), reason }
}

/// Whom somebody means.
fn meant(state: &WebState, who: &str) -> Result<Meant, Refusal> {
    let invalid = |text: String| refused(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, text);
    match who.split_once(':') {
        None if who == "anonymous" => Ok(CallerId::Anonymous.into()),
        None if who == "operator" => Ok(CallerId::Operator.into()),
        Some(("node", id)) => {
            node(state, id.parse().map_err(|error: p2p_client::protocol::InvalidId| invalid(error.to_string()))?)
        }
        Some(("role", role)) => {
            let role: Role = role.parse().map_err(|error: p2p_client::protocol::UnknownRole| invalid(error.to_string()))?;
            let id =
                format!("some-{role}").parse().map_err(|error: p2p_client::protocol::InvalidId| invalid(error.to_string()))?;
            Ok(CallerId::Node { id, role }.into())
        }
        Some(("client", name)) => client(state, name),
        Some(("scope" | "scopes", scopes)) => {
            let scopes: Scopes = scopes
                .replace(',', " ")
                .parse()
                .map_err(|error: p2p_client::protocol::InvalidScope| invalid(error.to_string()))?;
            let name = format!("with the scopes {:?}", scopes.to_string());
            Ok(CallerId::Client(Arc::new(ClientIdentity::new(name, scopes, ""))).into())
        }
        _ => {
            Err(invalid(format!("{who:?} is nobody; write node:ID, role:worker, client:NAME, scope:A,B, anonymous or operator")))
        }
    }
}

/// A member, with the role that its certificate gives it; or a node that was revoked.
fn node(state: &WebState, id: NodeId) -> Result<Meant, Refusal> {
    let members = state.cx.membership().map(crate::network::Membership::members);
    let issued = state.issuer.as_ref().and_then(|issuer| issuer.issued(&id).ok().flatten());
    let barred = revoked(state, &id, issued.as_ref());
    let member = members.as_ref().and_then(|members| members.get(&id)).map(|info| info.role);
    // What a revoked node was may not be known here any more, and does not matter.
    let was = || barred.is_some().then(|| issued.map_or(Role::Worker, |issued| issued.role));
    match member.or_else(was) {
        Some(role) => Ok(Meant { who: CallerId::Node { id, role }, barred }),
        None => {
            let known: Vec<_> = members.iter().flat_map(|members| members.iter()).map(|info| info.node_id.to_string()).collect();
            let text = format!("no member is called {id}; the members are: {}", known.join(", "));
            Err(refused(StatusCode::NOT_FOUND, ErrorCode::INVALID_REQUEST, text))
        }
    }
}

/// Why this node may call nothing, if it was revoked.
fn revoked(state: &WebState, id: &NodeId, issued: Option<&IssuedNode>) -> Option<String> {
    let set = state.ledger.revocations().set();
    let key = issued.map(|issued| KeyHash::from(issued.key)).filter(|key| set.is_key_revoked(key));
    let of_it = |subject: &Subject| match subject {
        Subject::Node { node_id } => node_id == id && set.revoked_at(id).is_some(),
        Subject::Key { key: of } => key == Some(*of),
        _ => false,
    };
    let statement = set.iter().map(|(_, statement)| statement).filter(|statement| of_it(&statement.subject));
    let statement = statement.max_by_key(|statement| statement.at)?;
    let why = if statement.reason.as_str().is_empty() { String::new() } else { format!(" ({})", statement.reason.as_str()) };
    Some(format!(
        "node {id} may call nothing: {} was revoked on {} by {}{why}; `p2p token create --node-id {id}` lets it in again, with a new key",
        if matches!(statement.subject, Subject::Key { .. }) { "its key" } else { "it" },
        date(statement.at),
        statement.by.node_id,
    ))
}

/// Why this client gets no tokens, if it does not.
fn credential_ended(state: &WebState, id: &ClientId, record: &ClientRecord) -> Option<String> {
    let verifier = &state.tokens.verifier;
    let again = format!("`p2p client remove {0}` and `p2p client create {0}` make a new one", id.name);
    if verifier.revoked().is_credential_revoked(&record.credential) {
        return Some(format!("client {id} may call nothing: its credential was revoked; {again}"));
    }
    let expired = record.expires.filter(|at| *at <= verifier.now())?;
    Some(format!(
        "client {id} gets no tokens any more: credential expired on {}; {again}. A token that it got before is good until its own end",
        date(expired)
    ))
}

/// A client of this coordinator, with all the scopes that it may have.
fn client(state: &WebState, name: &str) -> Result<Meant, Refusal> {
    let Some(authority) = &state.tokens.authority else {
        let text = "this node keeps no clients; ask on the coordinator that made it, or by scope:A,B";
        return Err(refused(StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST, text.to_owned()));
    };
    let me = state.cx.node_id();
    let (name, keeper) = name.split_once('@').unwrap_or((name, me.as_str()));
    if *me != *keeper {
        let text = format!("the client is kept by {keeper}; ask there, or by scope:A,B");
        return Err(refused(StatusCode::CONFLICT, ErrorCode::INVALID_REQUEST, text));
    }
    let name: ClientName = name.parse().map_err(|error: crate::identity::InvalidClientName| {
        refused(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, error.to_string())
    })?;
    let record = authority.client(&name).ok_or_else(|| unknown(authority, &name))?;
    let id = ClientId { name, keeper: me.clone() };
    let barred = credential_ended(state, &id, &record);
    Ok(Meant { who: CallerId::Client(Arc::new(ClientIdentity::new(id.to_string(), record.scopes, ""))), barred })
}

fn refused(status: StatusCode, code: ErrorCode, text: String) -> Refusal {
    Refusal(status, RpcError::new(code, text))
}
