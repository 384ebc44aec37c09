//! Why a coordinator does not let a node in. It travels as JSON and arrives typed at the joiner.

use p2p_client::{
    protocol::{NodeId, Role},
    revocation::{KeyHash, Reason},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::messages::{JOIN_VERSION, LeftOut, Seed};
use crate::identity::token_table::TokenRefused;

/// Why a coordinator does not let a node in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refused {
    /// The joiner speaks another version.
    #[error("the node speaks version {got} of the join protocol, the coordinator version {JOIN_VERSION}; upgrade the older one")]
    Version {
        /// The joiner's version.
        got: u32,
    },
    /// The request cannot be understood.
    #[error("the join request is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// Too many joins, or renewals, are under way.
    #[error("too many joins or renewals are under way at this coordinator; try again in a minute")]
    Busy,
    /// The nonce is not of this connection, was used, or is too old.
    #[error(
        "this join attempt is unknown on this connection: it took longer than a minute, or was already used; start the join again"
    )]
    UnknownAttempt,
    /// The signature is not the token's.
    #[error(
        "the proof does not fit the join token: the request was altered on the way, or the token was made up; use the token as it was printed"
    )]
    BadProof,
    /// The token does not let this node in.
    #[error("{0}")]
    Token(#[from] TokenRefused),
    /// Another coordinator made the token; it alone can spend it.
    #[error("the join token was made by {}; join there, at {}", .coordinator.node_id, .coordinator.authority)]
    Elsewhere {
        /// Which one, and where it is.
        coordinator: Seed,
    },
    /// The certificate request is not usable.
    #[error("{reason}")]
    BadRequest {
        /// Why.
        reason: String,
    },
    /// The node id belongs to another key.
    #[error(
        "the node id {node_id} already belongs to another key; choose another --node-id, or, if that node is gone for good, have an operator \
         revoke it and let it in again: `p2p node revoke {node_id}`, `p2p token create --node-id {node_id}`"
    )]
    NodeBound {
        /// The node id.
        node_id: NodeId,
    },
    /// The id of a node that asks for another certificate is bound to another key.
    #[error(
        "{} has bound {node_id} to the key {key}, and this node has another one; if the node with that key is gone, have an operator revoke that key and nothing \
         else: `p2p node revoke --key {key}`; if it is not, stop one of the two: it needs another name",
        .coordinator.as_ref().map_or("this coordinator", NodeId::as_str)
    )]
    OtherKey {
        /// The node id.
        node_id: NodeId,
        /// The key to which it is bound.
        key: KeyHash,
        /// Which other coordinator has done that; none where it is the one that was asked.
        #[serde(default)]
        coordinator: Option<NodeId>,
    },
    /// A node that asks for another certificate has joined in another role since it got the one that it shows.
    #[error(
        "{node_id} shows its certificate as a {shown}, and has joined again as a {role} since; if the node's folder was copied or restored, stop the copy; \
         if this is the one to stay, join again in its folder, with a fresh token for the role that it is to have: `p2p token create --role ROLE`, \
         `p2p join --again --role ROLE`"
    )]
    OtherRole {
        /// The node id.
        node_id: NodeId,
        /// Its role, by the last certificate that was made for it.
        role: Role,
        /// The role in the certificate that was shown.
        shown: Role,
    },
    /// The node was revoked.
    #[error(
        "the node {node_id} was revoked; choose another --node-id, \
         or have an operator let it in again by a token that names it: `p2p token create --node-id {node_id}`"
    )]
    NodeRevoked {
        /// The node id.
        node_id: NodeId,
    },
    /// The key was revoked.
    #[error("the key of the node {node_id} was revoked; join with a new one, under a fresh --dir")]
    KeyRevoked {
        /// The node id.
        node_id: NodeId,
    },
    /// The authority that has certified the node was revoked.
    #[error(
        "the authority that has certified {node_id} was revoked, and its certificate is good for nothing any more; join again in the node's folder, with a \
         fresh token: `p2p join --again`"
    )]
    AuthorityRevoked {
        /// The node id.
        node_id: NodeId,
    },
    /// An operator said no.
    #[error(
        "an operator denied that {node_id} joins{}; ask the operators why, and join again with a fresh token if they let you",
        because(.reason)
    )]
    Denied {
        /// The node id.
        node_id: NodeId,
        /// Why, if the operator said it.
        reason: Reason,
    },
    /// No operator said yes in time.
    #[error("no operator approved {node_id} within the time for it; ask one for a fresh token, and to approve, and join again")]
    NotApproved {
        /// The node id.
        node_id: NodeId,
    },
    /// Too many nodes wait for an operator.
    #[error(
        "{max} nodes wait for approval at this coordinator, and there is no room for more; have an operator look at them \
         (`p2p node pending`), then join again: the token was not used"
    )]
    TooManyWait {
        /// How many may wait.
        max: usize,
    },
    /// The certificate was renewed before.
    #[error(
        "the certificate of {node_id} that was shown was renewed before; if the node's folder was copied or restored, stop the copy, \
         and join again with a fresh token if this is the one to stay: `p2p join --again`"
    )]
    Superseded {
        /// The node id.
        node_id: NodeId,
    },
    /// Another coordinator could not be asked what it knows of the node.
    #[error(
        "the coordinator {coordinator} did not say whether {node_id} has another key or a newer certificate; nothing was used up, so try again in a minute; \
         if it still does not answer then, see its log: it is not well, or is of an earlier version: upgrade it; or stop it until then: nobody waits for the answer of a coordinator that is dead"
    )]
    Unanswered {
        /// Who did not answer.
        coordinator: NodeId,
        /// Of whom it was asked.
        node_id: NodeId,
    },
    /// The node is being renewed.
    #[error(
        "another renewal of {node_id} is under way at this coordinator; try again in a minute; if the node has asked only once, its folder is in use twice: \
         stop the copy"
    )]
    UnderWay {
        /// The node id.
        node_id: NodeId,
    },
    /// It took the coordinator so long that nobody waits for the answer.
    #[error(
        "the coordinator came to this request only after more than {seconds} s, when nobody waits for the answer any more; nothing was used up, so try again in \
         a minute; if that stays so, look at the load of its machine and its disk"
    )]
    TooLate {
        /// After how many seconds nothing is written any more.
        seconds: u64,
    },
    /// Not one claimed address was proved.
    #[error(
        "none of the claimed addresses answered on port {port}: {}; open that port towards the coordinator while joining, \
         or name the right address with --advertise",
        list(tried)
    )]
    NoAddressProved {
        /// The port that was called.
        port: u16,
        /// Each address, and why it was not proved.
        tried: Vec<LeftOut>,
    },
    /// The coordinator has no authority to issue certificates, or none under the root that is wanted.
    #[error(
        "the coordinator has no issuing authority under the cluster's root yet; it gets one from a coordinator that holds the root key: start \
         one, `p2p ca show` says which do, and try again"
    )]
    NoAuthority,
    /// The coordinator could not do it.
    #[error("the coordinator could not finish the join ({reason}); its log says more; nothing was used up, so try again")]
    Unavailable {
        /// In short, why.
        reason: String,
    },
    /// A reason that this version does not know.
    #[error("{message}")]
    Other {
        /// The coordinator's own words.
        message: String,
    },
}

fn because(reason: &Reason) -> String {
    if reason.as_str().is_empty() { String::new() } else { format!(" ({})", reason.as_str()) }
}

fn list(tried: &[LeftOut]) -> String {
    tried.iter().map(LeftOut::to_string).collect::<Vec<_>>().join("; ")
}

impl Refused {
    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Version { .. } | Self::Malformed { .. } | Self::BadRequest { .. } | Self::Other { .. } => 400,
            Self::UnknownAttempt | Self::BadProof | Self::Token(_) | Self::Denied { .. } | Self::NotApproved { .. } => 403,
            Self::NodeBound { .. }
            | Self::OtherKey { .. }
            | Self::OtherRole { .. }
            | Self::NodeRevoked { .. }
            | Self::KeyRevoked { .. }
            | Self::AuthorityRevoked { .. }
            | Self::Superseded { .. } => 409,
            // RFC 9110, section 15.5.20.
            Self::Elsewhere { .. } => 421,
            Self::NoAddressProved { .. } => 422,
            Self::Unavailable { .. } => 500,
            Self::Busy
            | Self::UnderWay { .. }
            | Self::TooLate { .. }
            | Self::TooManyWait { .. }
            | Self::Unanswered { .. }
            | Self::NoAuthority => 503,
        }
    }

    /// Whether every coordinator has to say the same to a node that asks for another certificate: it is not to go on to one that knows less.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NodeBound { .. }
                | Self::OtherKey { .. }
                | Self::OtherRole { .. }
                | Self::NodeRevoked { .. }
                | Self::KeyRevoked { .. }
                | Self::AuthorityRevoked { .. }
                | Self::Superseded { .. }
        )
    }

    /// The JSON body: `{"error": {"code": …, "message": …, …}}`.
    pub fn to_body(&self) -> Value {
        let mut error = serde_json::to_value(self).unwrap_or_else(|_| json!({ "code": "other" }));
        error["message"] = Value::String(self.to_string());
        json!({ "error": error })
    }

    /// Reads a JSON body; what this version does not know becomes [`Refused::Other`]. `None` when it is no such body.
    pub fn from_body(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let error = body.get("error")?;
        serde_json::from_value(error.clone())
            .ok()
            .or_else(|| Some(Self::Other { message: error.get("message")?.as_str()?.chars().take(1000).collect() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_arrives_as_it_was_said() {
        let tried = vec![LeftOut { address: "10.0.0.1".parse().unwrap(), reason: "no answer".into() }];
        for refused in [
            Refused::Version { got: 7 },
            Refused::Busy,
            Refused::NoAuthority,
            Refused::Token(TokenRefused::Used),
            Refused::Token(TokenRefused::Role { allowed: Role::Worker, wanted: Role::Coordinator }),
            Refused::NodeBound { node_id: "a".parse().unwrap() },
            Refused::OtherKey { node_id: "a".parse().unwrap(), key: KeyHash::new([7; 32]), coordinator: None },
            Refused::OtherRole { node_id: "a".parse().unwrap(), role: Role::Worker, shown: Role::Coordinator },
            Refused::NodeRevoked { node_id: "a".parse().unwrap() },
            Refused::KeyRevoked { node_id: "a".parse().unwrap() },
            Refused::AuthorityRevoked { node_id: "a".parse().unwrap() },
            Refused::Superseded { node_id: "a".parse().unwrap() },
            Refused::Denied { node_id: "a".parse().unwrap(), reason: Reason::try_from("not ours".to_owned()).unwrap() },
            Refused::NotApproved { node_id: "a".parse().unwrap() },
            Refused::TooManyWait { max: 256 },
            Refused::TooLate { seconds: 12 },
            Refused::UnderWay { node_id: "a".parse().unwrap() },
            Refused::Unanswered { coordinator: "c".parse().unwrap(), node_id: "a".parse().unwrap() },
            Refused::NoAddressProved { port: 8802, tried },
            Refused::Elsewhere { coordinator: Seed { node_id: "c".parse().unwrap(), authority: "10.0.0.2:8001".into() } },
        ] {
            let body = serde_json::to_vec(&refused.to_body()).unwrap();
            assert_eq!(Refused::from_body(&body).unwrap(), refused);
        }
    }

    #[test]
    fn a_reason_of_a_newer_version_keeps_its_words() {
        let body = br#"{"error":{"code":"moon_phase","message":"wait for the full moon"}}"#;
        assert_eq!(Refused::from_body(body).unwrap().to_string(), "wait for the full moon");
        assert!(Refused::from_body(b"<html>").is_none());
    }
}
