//! What a token says (RFC 9068, sections 2.1 and 2.2).

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use p2p_client::protocol::{ClusterId, NodeId, Role, Scopes};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, IgnoredAny},
};

use super::checks::{Check, bound};

/// The one algorithm (RFC 8037, section 3.1).
pub(super) const ALGORITHM: &str = "EdDSA";
/// The one type (RFC 9068, section 2.1).
pub(super) const TYPE: &str = "at+jwt";

/// The header. Members that are not known are passed over, as RFC 7515 has it, since `crit` names those that must not be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    /// Whatever its value is, nothing is understood of it.
    #[serde(default, skip_serializing, deserialize_with = "present")]
    pub(super) crit: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Header {
    pub(super) fn signed_by(kid: &str) -> Self {
        Self { alg: ALGORITHM.to_owned(), typ: Some(TYPE.to_owned()), kid: Some(kid.to_owned()), crit: false }
    }
}

/// The claims. All must be there; serde refuses one that stands twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The coordinator, as its certificate names it.
    pub(super) iss: String,
    /// The client.
    pub(super) sub: String,
    /// The cluster. (A list of audiences is refused: coordinators write none.)
    pub(super) aud: Audience,
    /// The client again (RFC 8693, section 4.3).
    pub(super) client_id: String,
    pub(super) iat: u64,
    pub(super) nbf: u64,
    pub(super) exp: u64,
    pub(super) jti: TokenId,
    #[serde(default)]
    pub(super) scope: Scopes,
    /// What its bearer must prove besides (RFC 7800, section 3.1).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "understood")]
    pub(super) cnf: Option<Confirmation>,
}

/// Whom a token is for, which it must say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Audience(pub(super) String);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Of a member that is not there, serde makes what stands for none.
        let unstated = bound(Check::AudienceStated, None, Some(String::new()));
        let stated = Option::<String>::deserialize(deserializer)?.or(unstated);
        stated.map(Self).ok_or_else(|| D::Error::missing_field("aud"))
    }
}

/// The bearer must have the certificate of this node. The node's id is named and not the certificate (as RFC 8705 has it): the token outlives
/// the certificate's renewal, and the id is bound to the node's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    #[serde(rename = "p2p:node")]
    pub(super) node: NodeId,
}

/// What is not understood of it is an error, which ends the reading. Only the tests of this crate have another way: they can pass it over.
fn understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Confirmation>, D::Error> {
    #[cfg(test)]
    if super::checks::is_left_out(Check::Confirmation) {
        return serde_json::Value::deserialize(deserializer).map(|cnf| serde_json::from_value(cnf).ok());
    }
    Option::deserialize(deserializer)
}

/// A coordinator's name in tokens: the one in its certificate.
pub(super) fn issuer_name(cluster: &ClusterId, node: &NodeId) -> String {
    format!("p2p://{cluster}/{}/{node}", Role::Coordinator)
}

/// A token's id: that of the credential that it was made for, and one of its own, in hexadecimal. It is no secret. Both are random, but for the credential of a
/// node, which comes from its name: all of its tokens have one, at every coordinator.
///
/// Revoking the credential's part revokes all of its tokens.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct TokenId(String);

/// How many hexadecimal digits the two parts have.
const CREDENTIAL_DIGITS: usize = 16;
const OWN_DIGITS: usize = 32;

/// A text that is no token id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no token id: one has 16 and 32 hexadecimal digits with a dot between them, as the audit log shows them")]
pub(crate) struct InvalidTokenId(String);

impl TokenId {
    /// A fresh one for this credential.
    pub(super) fn fresh(credential: &str) -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self(format!("{credential}.{}", random_hex::<{ OWN_DIGITS / 2 }>()?)))
    }

    /// The id of a fresh credential.
    pub(super) fn fresh_credential() -> Result<String, aws_lc_rs::error::Unspecified> {
        random_hex::<{ CREDENTIAL_DIGITS / 2 }>()
    }

    /// The id of the credential of a node, which is its certificate.
    pub(super) fn credential_of_node(node: &NodeId) -> String {
        let hash = digest(&SHA256, format!("p2p-token-credential/1 {node}").as_bytes());
        hex(&hash.as_ref()[..CREDENTIAL_DIGITS / 2])
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the credential that it was made for.
    pub(super) fn credential(&self) -> &str {
        self.0.split_once('.').map_or("", |(credential, _)| credential)
    }
}

fn random_hex<const N: usize>() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for TokenId {
    type Err = InvalidTokenId;

    fn from_str(text: &str) -> Result<Self, InvalidTokenId> {
        match text.split_once('.') {
            Some((credential, own)) if is_hex(credential, CREDENTIAL_DIGITS) && is_hex(own, OWN_DIGITS) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidTokenId(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = InvalidTokenId;
    fn try_from(text: String) -> Result<Self, InvalidTokenId> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}
