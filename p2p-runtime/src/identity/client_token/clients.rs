//! The clients that a coordinator knows: a pure table, with time coming from outside.
//!
//! It holds the hash of each client's secret and never the secret, so that who steals the table gets no token by it. A secret is 256 random
//! bits: no guessing finds it, and a plain SHA-256 of it is as good as a slow one.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use p2p_client::protocol::{NodeId, Scopes, UnixMillis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{DEFAULT_TTL, GrantRefused, MAX_TTL, claims::TokenId};
use crate::identity::codec;

/// How every secret begins, so that people and scanners of code know one when they see it.
const PREFIX: &str = "p2p-secret-";
/// How many clients one coordinator keeps at most.
const MAX_CLIENTS: usize = 10_000;

/// The name of a client at its coordinator: 1 to 63 lower-case letters, digits, dots, hyphens and underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientName(Box<str>);

/// A text that is no name of a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no client's name: it has 1 to 63 of the characters a-z, 0-9, '.', '-' and '_', such as ci-bot")]
pub struct InvalidClientName(String);

impl ClientName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientName {
    type Err = InvalidClientName;

    fn from_str(text: &str) -> Result<Self, InvalidClientName> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if (1..=63).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidClientName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for ClientName {
    type Error = InvalidClientName;
    fn try_from(text: String) -> Result<Self, InvalidClientName> {
        text.parse()
    }
}

impl From<ClientName> for String {
    fn from(name: ClientName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientName({self})")
    }
}

/// A client's name in the cluster: `NAME@COORDINATOR`, which says who keeps its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientId {
    pub(crate) name: ClientName,
    pub(crate) keeper: NodeId,
}

impl ClientId {
    /// Reads a name. One that does not say who keeps the credential means that this node does.
    pub(crate) fn parse(text: &str, here: &NodeId) -> Result<Self, GrantRefused> {
        let (name, keeper) = match text.split_once('@') {
            Some((name, keeper)) => (name, keeper.parse().map_err(|_| GrantRefused::InvalidClient)?),
            None => (text, here.clone()),
        };
        Ok(Self { name: name.parse().map_err(|_| GrantRefused::InvalidClient)?, keeper })
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.keeper)
    }
}

/// A client's secret. It is shown once, to the operator who made it; `Debug` does not show it, and it is wiped when it goes.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// What somebody says is a client's secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    fn generate() -> Result<Self, GrantRefused> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| GrantRefused::Crypto)?;
        let text = Zeroizing::new(codec::encode(&*bytes));
        Ok(Self(Zeroizing::new(format!("{PREFIX}{}", *text))))
    }

    /// The secret as text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        hash
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// What a new client may have.
#[derive(Debug, Clone)]
pub(crate) struct ClientOptions {
    /// The scopes that its tokens may have.
    pub(crate) scopes: Scopes,
    /// How long its tokens are good.
    pub(crate) token_ttl: Duration,
    /// For how long the credential itself is good; for ever unless said.
    pub(crate) expires_in: Option<Duration>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { scopes: Scopes::default(), token_ttl: DEFAULT_TTL, expires_in: None }
    }
}

/// What a coordinator knows of a client. None of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// The credential's own id, with which the ids of its tokens begin.
    pub credential: String,
    /// The scopes that its tokens may have.
    pub scopes: Scopes,
    /// How long its tokens are good, in seconds.
    pub token_ttl_s: u64,
    /// When it was made.
    pub created: UnixMillis,
    /// When the credential stops working.
    #[serde(default)]
    pub expires: Option<UnixMillis>,
    #[serde(with = "codec::base64_array")]
    secret_sha256: [u8; 32],
}

/// The clients of one coordinator, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClientTable {
    clients: BTreeMap<ClientName, ClientRecord>,
}

impl ClientTable {
    pub(super) fn create(
        &mut self,
        name: ClientName,
        options: ClientOptions,
        now: UnixMillis,
    ) -> Result<ClientSecret, GrantRefused> {
        if self.clients.contains_key(&name) {
            return Err(GrantRefused::Exists(name.into()));
        }
        if self.clients.len() >= MAX_CLIENTS {
            return Err(GrantRefused::TooMany(self.clients.len()));
        }
        let ClientOptions { scopes, token_ttl, expires_in } = options;
        let secret = ClientSecret::generate()?;
        let record = ClientRecord {
            credential: TokenId::fresh_credential().map_err(|_| GrantRefused::Crypto)?,
            scopes,
            token_ttl_s: check_ttl(token_ttl, MAX_TTL)?.as_secs(),
            created: now,
            expires: expires_in.map(|span| UnixMillis(now.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))),
            secret_sha256: secret.hash(),
        };
        self.clients.insert(name, record);
        Ok(secret)
    }

    pub(super) fn remove(&mut self, name: &ClientName) -> Option<ClientRecord> {
        self.clients.remove(name)
    }

    pub(super) fn get(&self, name: &ClientName) -> Option<&ClientRecord> {
        self.clients.get(name)
    }

    pub(super) fn list(&self) -> impl Iterator<Item = (&ClientName, &ClientRecord)> {
        self.clients.iter()
    }

    /// The client of this name, if this is its secret. A name that is not known takes as long as one that is, and is told the same.
    pub(super) fn authenticate(
        &self,
        name: &ClientName,
        secret: &ClientSecret,
        now: UnixMillis,
    ) -> Result<&ClientRecord, GrantRefused> {
        let record = self.clients.get(name);
        let expected = record.map_or([0; 32], |record| record.secret_sha256);
        let fits = verify_slices_are_equal(&expected, &secret.hash()).is_ok();
        match record.filter(|_| fits) {
            None => Err(GrantRefused::InvalidClient),
            Some(record) if record.expires.is_some_and(|expires| expires <= now) => Err(GrantRefused::CredentialExpired),
            Some(record) => Ok(record),
        }
    }
}

/// A time that a token may have.
pub(super) fn check_ttl(wanted: Duration, max: Duration) -> Result<Duration, GrantRefused> {
    if (Duration::from_secs(1)..=max).contains(&wanted) { Ok(wanted) } else { Err(GrantRefused::InvalidTtl { max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn name(text: &str) -> ClientName {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_known_by_its_secret_and_by_no_other() {
        let mut table = ClientTable::default();
        let secret = table.create(name("ci"), ClientOptions::default(), NOW).unwrap();
        let other = table.create(name("other"), ClientOptions::default(), NOW).unwrap();
        assert!(secret.reveal().starts_with("p2p-secret-") && secret.reveal().len() == PREFIX.len() + 43);
        assert_eq!(table.authenticate(&name("ci"), &secret, NOW).unwrap(), table.get(&name("ci")).unwrap());
        for (who, wrong) in
            [("ci", &other), ("nobody", &secret), ("ci", &ClientSecret::new("")), ("ci", &ClientSecret::new("p2p-secret-"))]
        {
            assert!(matches!(table.authenticate(&name(who), wrong, NOW), Err(GrantRefused::InvalidClient)), "{who}");
        }
        assert!(table.remove(&name("ci")).is_some() && table.remove(&name("ci")).is_none());
        assert!(matches!(table.authenticate(&name("ci"), &secret, NOW), Err(GrantRefused::InvalidClient)));
    }

    #[test]
    fn a_name_is_taken_once_and_a_removed_client_is_another_when_it_is_made_again() {
        let mut table = ClientTable::default();
        table.create(name("ci"), ClientOptions::default(), NOW).unwrap();
        assert!(matches!(table.create(name("ci"), ClientOptions::default(), NOW), Err(GrantRefused::Exists(_))));
        let first = table.remove(&name("ci")).unwrap();
        table.create(name("ci"), ClientOptions::default(), NOW).unwrap();
        assert_ne!(table.get(&name("ci")).unwrap().credential, first.credential);
    }

    #[test]
    fn a_credential_with_an_end_ends() {
        let mut table = ClientTable::default();
        let options = ClientOptions { expires_in: Some(Duration::from_mins(1)), ..ClientOptions::default() };
        let secret = table.create(name("ci"), options, NOW).unwrap();
        assert!(table.authenticate(&name("ci"), &secret, UnixMillis(NOW.0 + 59_999)).is_ok());
        let ended = table.authenticate(&name("ci"), &secret, UnixMillis(NOW.0 + 60_000));
        assert!(matches!(ended, Err(GrantRefused::CredentialExpired)));
    }

    #[test]
    fn no_client_gets_tokens_for_more_than_a_day_or_for_no_time() {
        for ttl in [Duration::ZERO, Duration::from_millis(999), MAX_TTL + Duration::from_secs(1)] {
            let options = ClientOptions { token_ttl: ttl, ..ClientOptions::default() };
            let refused = ClientTable::default().create(name("ci"), options, NOW).unwrap_err();
            assert!(refused.to_string().contains("between 1 s and 86400 s"), "{refused}");
        }
    }

    #[test]
    fn the_stored_table_holds_no_secret() {
        let mut table = ClientTable::default();
        let secret = table.create(name("ci"), ClientOptions::default(), NOW).unwrap();
        let stored = serde_json::to_string(&table).unwrap();
        assert!(!stored.contains(&secret.reveal()[PREFIX.len()..]));
        assert_eq!(serde_json::from_str::<ClientTable>(&stored).unwrap(), table);
        assert!(!format!("{secret:?} {table:?}").contains(&secret.reveal()[PREFIX.len()..]));
    }

    #[test]
    fn names_are_plain() {
        for bad in ["", "a@b", "A", "a b", "ü", &"x".repeat(64), "a:b"] {
            assert!(bad.parse::<ClientName>().is_err(), "{bad}");
        }
        let here: NodeId = "here".parse().unwrap();
        let id = ClientId::parse("ci.bot_2@coordinator-1", &here).unwrap();
        assert_eq!(
            (id.name.as_str(), id.keeper.as_str(), id.to_string()),
            ("ci.bot_2", "coordinator-1", "ci.bot_2@coordinator-1".to_owned())
        );
        assert_eq!(ClientId::parse("ci", &here).unwrap().to_string(), "ci@here");
        for bad in ["", "ci@", "@c", "ci@c@d", "ci@C"] {
            assert!(ClientId::parse(bad, &here).is_err(), "{bad}");
        }
    }
}
