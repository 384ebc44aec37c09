//! What a coordinator says when it takes something back.
//!
//! A statement is signed as the JSON text that [`Statement::encode`] gives, and kept and passed on as these very bytes, so that a node may pass
//! on what a later version has added. Its [id](StatementId) is the hash of the text.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::KeyHash;
use crate::{
    hex,
    protocol::{NodeId, UnixMillis},
};

/// The version of the text.
const FORMAT: u32 = 1;
/// The longest text of a statement, in bytes.
pub const MAX_STATEMENT: usize = 2 * 1024;
/// The longest reason, in bytes.
pub const MAX_REASON: usize = 256;
/// The longest name of a client's token, in bytes.
const MAX_TOKEN: usize = 128;

/// Names a statement: the first 16 bytes of the SHA-256 of its text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatementId([u8; 16]);

impl StatementId {
    /// The id of the statement with this text.
    pub fn of(text: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&hex::sha256(text)[..16]);
        Self(id)
    }

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatementId({self})")
    }
}

/// The id of a client's token (`jti`, RFC 7519, section 4.1.7): 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientTokenId(String);

/// A text that is no [`ClientTokenId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id of a client's token has 1 to {MAX_TOKEN} visible ASCII characters; give the token's `jti` as it stands in it")]
pub struct InvalidTokenName;

impl ClientTokenId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names one token, whose id has a dot, and not a credential with all the tokens that were made for it.
    pub fn is_single(&self) -> bool {
        self.0.contains('.')
    }

    /// The id of the credential that it is, or that its token was made for: what stands before the dot.
    pub fn credential(&self) -> &str {
        self.0.split_once('.').map_or(self.as_str(), |(credential, _)| credential)
    }
}

impl TryFrom<String> for ClientTokenId {
    type Error = InvalidTokenName;
    fn try_from(text: String) -> Result<Self, InvalidTokenName> {
        let good = (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(text)) } else { Err(InvalidTokenName) }
    }
}

impl From<ClientTokenId> for String {
    fn from(id: ClientTokenId) -> Self {
        id.0
    }
}

impl fmt::Display for ClientTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why something was taken back: one line of at most 256 bytes, which may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// A text that is no [`Reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a reason is one line of at most {MAX_REASON} bytes; shorten it")]
pub struct InvalidReason;

impl Reason {
    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reason {
    type Error = InvalidReason;
    fn try_from(text: String) -> Result<Self, InvalidReason> {
        // A line break could forge lines of a log.
        let good = text.len() <= MAX_REASON && !text.chars().any(char::is_control);
        if good { Ok(Self(text)) } else { Err(InvalidReason) }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// A node: no certificate in its name is good any more, but for a key that is readmitted later.
    Node {
        /// The node.
        node_id: NodeId,
    },
    /// A key: no certificate for it is good any more, nor any that it signed. For good.
    Key {
        /// The key.
        key: KeyHash,
    },
    /// A join token: it lets nobody in any more. For good.
    JoinToken {
        /// Its id: 16 hexadecimal digits.
        id: String,
        /// When it stops working by itself; from then on the statement is not needed. Not known of another coordinator's token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<UnixMillis>,
    },
    /// A token of a client outside: nobody is served for it any more. For good.
    ClientToken {
        /// Its `jti`.
        id: ClientTokenId,
        /// When it stops working by itself; from then on the statement is not needed.
        expires: UnixMillis,
    },
    /// A revoked node that an operator has let in again, with another key: its certificates for this key are good.
    Readmission {
        /// The node.
        node_id: NodeId,
        /// Its new key.
        key: KeyHash,
    },
}

impl Subject {
    /// Whether it is one token of a client, and not all that were made for a credential.
    pub fn is_single_token(&self) -> bool {
        matches!(self, Self::ClientToken { id, .. } if id.is_single())
    }

    /// When a statement about it is not needed any more.
    pub const fn expires(&self) -> Option<UnixMillis> {
        match self {
            Self::JoinToken { expires, .. } => *expires,
            Self::ClientToken { expires, .. } => Some(*expires),
            Self::Node { .. } | Self::Key { .. } | Self::Readmission { .. } => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { node_id } => write!(f, "node {node_id}"),
            Self::Key { key } => write!(f, "key {key}"),
            Self::JoinToken { id, .. } => write!(f, "join token {id}"),
            Self::ClientToken { id, .. } => write!(f, "client token {id}"),
            Self::Readmission { node_id, key } => write!(f, "node {node_id} again, with key {key}"),
        }
    }
}

/// Who says it: a coordinator, and the key that signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The coordinator.
    pub node_id: NodeId,
    /// Its key.
    pub key: KeyHash,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is about.
    pub subject: Subject,
    /// When it was made, by its author's clock.
    pub at: UnixMillis,
    /// Who made it.
    pub by: Author,
    /// Why.
    pub reason: Reason,
}

/// A statement as text.
#[derive(Serialize, Deserialize)]
struct Text {
    format: u32,
    subject: Subject,
    at: UnixMillis,
    by: Author,
    #[serde(default)]
    reason: Reason,
}

/// A text that is no statement that this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadStatement {
    /// It is too long.
    #[error("a revocation of {0} bytes was ignored: they have at most {MAX_STATEMENT}")]
    TooLong(usize),
    /// It is of a newer version.
    #[error(
        "a revocation of format {0} was ignored, this node reads format {FORMAT}; upgrade this node, as it may miss what was revoked"
    )]
    NewerFormat(u32),
    /// It is something else.
    #[error("a revocation was ignored that cannot be read: {0}")]
    Malformed(String),
}

impl Statement {
    /// Its text, which is what is signed.
    ///
    /// # Errors
    /// None in practice: these parts always make JSON.
    pub fn encode(&self) -> Result<Vec<u8>, BadStatement> {
        let Self { subject, at, by, reason } = self.clone();
        let text = serde_json::to_vec(&Text { format: FORMAT, subject, at, by, reason });
        text.map_err(|error| BadStatement::Malformed(error.to_string()))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`BadStatement`] says what is wrong with it.
    pub fn decode(text: &[u8]) -> Result<Self, BadStatement> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        if text.len() > MAX_STATEMENT {
            return Err(BadStatement::TooLong(text.len()));
        }
        let malformed = |error: serde_json::Error| BadStatement::Malformed(error.to_string());
        let Head { format } = serde_json::from_slice(text).map_err(malformed)?;
        if format > FORMAT {
            return Err(BadStatement::NewerFormat(format));
        }
        let Text { subject, at, by, reason, .. } = serde_json::from_slice(text).map_err(malformed)?;
        Ok(Self { subject, at, by, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(subject: Subject) -> Statement {
        let by = Author { node_id: "coordinator".parse().unwrap(), key: KeyHash::new([7; 32]) };
        Statement { subject, at: UnixMillis(5), by, reason: Reason::try_from("lost laptop".to_owned()).unwrap() }
    }

    #[test]
    fn a_statement_survives_its_text_which_has_the_documented_form() {
        let node_id: NodeId = "w".parse().unwrap();
        for subject in [
            Subject::Node { node_id: node_id.clone() },
            Subject::Key { key: KeyHash::new([1; 32]) },
            Subject::JoinToken { id: "00ff".into(), expires: None },
            Subject::ClientToken { id: ClientTokenId::try_from("j-1".to_owned()).unwrap(), expires: UnixMillis(9) },
            Subject::Readmission { node_id: node_id.clone(), key: KeyHash::new([2; 32]) },
        ] {
            let statement = statement(subject);
            assert_eq!(Statement::decode(&statement.encode().unwrap()).unwrap(), statement);
        }
        let text = String::from_utf8(statement(Subject::Node { node_id }).encode().unwrap()).unwrap();
        let key = "07".repeat(32);
        assert_eq!(
            text,
            format!(
                r#"{{"format":1,"subject":{{"kind":"node","node_id":"w"}},"at":5,"by":{{"node_id":"coordinator","key":"{key}"}},"reason":"lost laptop"}}"#
            )
        );
    }

    #[test]
    fn what_is_no_statement_is_told_apart() {
        let said = |text: &[u8]| Statement::decode(text).unwrap_err().to_string();
        assert!(said(b"{").contains("cannot be read"));
        assert!(said(br#"{"format":2,"what":"else"}"#).contains("upgrade this node"));
        assert!(said(&vec![b' '; MAX_STATEMENT + 1]).contains("at most 2048"));
        let good = String::from_utf8(statement(Subject::Key { key: KeyHash::new([1; 32]) }).encode().unwrap()).unwrap();
        for (good_part, bad_part) in
            [("lost laptop", r"lost\nlaptop"), ("lost laptop", &"x".repeat(257)), (r#""key":"01"#, r#""key":"0x"#)]
        {
            assert!(said(good.replacen(good_part, bad_part, 1).as_bytes()).contains("cannot be read"), "{bad_part}");
        }
    }
}
