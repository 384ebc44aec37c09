//! The tokens that a coordinator has given out: a pure table, with time coming from outside.
//!
//! It holds public keys and limits only. Used, revoked and expired tokens stay for a while, so that whoever tries one is
//! told what is wrong with it instead of that it is unknown.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU32, time::Duration};

use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::KeyHash,
};
use serde::{Deserialize, Serialize};

use super::{
    address::Host,
    checks::{Check, holds},
    networks::AllowedNetworks,
    token::{JoinToken, TokenId, TokenKey, TokenKeyError},
};

/// How long a token is remembered after it expired.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// Who lets in a node that has proved its token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// The token is enough.
    #[default]
    Auto,
    /// An operator approves each node, by its key: `p2p node approve`.
    Manual,
}

/// A text that is no [`Approval`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of approval; write auto (the token is enough) or manual (an operator approves each node)")]
pub struct UnknownApproval(String);

impl std::str::FromStr for Approval {
    type Err = UnknownApproval;

    fn from_str(text: &str) -> Result<Self, UnknownApproval> {
        match text {
            "auto" => Ok(Self::Auto),
            "manual" => Ok(Self::Manual),
            other => Err(UnknownApproval(other.chars().take(40).collect())),
        }
    }
}

impl std::fmt::Display for Approval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        })
    }
}

/// What a new token allows.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// The role that nodes get with it.
    pub role: Role,
    /// How many nodes it lets in.
    pub uses: NonZeroU32,
    /// How long it is good for.
    pub ttl: Duration,
    /// The one node that may use it, if it is meant for one.
    pub node_id: Option<NodeId>,
    /// Who lets its nodes in.
    pub approval: Approval,
    /// Where it may be used: the node's connection comes from there, and every address that the node claims is there.
    pub networks: AllowedNetworks,
}

impl TokenOptions {
    /// They as the audit log tells of them.
    pub(crate) fn in_audit(&self) -> String {
        let Self { role, uses, approval, networks, .. } = self;
        let networks = if networks.is_anywhere() { String::new() } else { format!(", only in {networks}") };
        format!("role {role}, uses {uses}, approval {approval}{networks}")
    }
}

impl Default for TokenOptions {
    /// One worker, within 24 hours, without an operator, from anywhere.
    fn default() -> Self {
        Self {
            role: Role::Worker,
            uses: NonZeroU32::MIN,
            ttl: Duration::from_hours(24),
            node_id: None,
            approval: Approval::Auto,
            networks: AllowedNetworks::default(),
        }
    }
}

/// What a coordinator knows of a token. None of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its name.
    pub id: TokenId,
    /// The public half of its key.
    pub key: TokenKey,
    /// The role that nodes get with it.
    pub role: Role,
    /// How many more nodes it lets in.
    pub uses_left: u32,
    /// When it was made.
    pub created: UnixMillis,
    /// When it stops working.
    pub expires: UnixMillis,
    /// The one node that may use it.
    pub node_id: Option<NodeId>,
    /// Whether an operator took it back.
    pub revoked: bool,
    /// Who lets its nodes in.
    #[serde(default)]
    pub approval: Approval,
    /// The key of the root that it names.
    #[serde(default)]
    pub root: Option<KeyHash>,
    /// Where it may be used.
    #[serde(default)]
    pub networks: AllowedNetworks,
}

impl TokenRecord {
    /// Whether it names another root than this, so that nobody who has it can believe the cluster's nodes. Of one that does not say which root it
    /// names, that is so if it was made before this became the root.
    pub(super) fn is_outdated(&self, root: KeyHash, since: Option<UnixMillis>) -> bool {
        match self.root {
            Some(named) => named != root,
            None => since.is_some_and(|since| self.created < since),
        }
    }
}

/// Why a token does not let this node in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "token", rename_all = "snake_case")]
pub enum TokenRefused {
    /// No such token was made here, or so long ago that it is forgotten.
    #[error(
        "no coordinator that can be reached knows the join token; start the coordinator that made it and try again, or make a new one \
         with `p2p token create`"
    )]
    Unknown,
    /// Its time is over.
    #[error("the join token expired {} min ago; make a new one with `p2p token create`", .ago_s / 60)]
    Expired {
        /// How long ago, in seconds.
        ago_s: u64,
    },
    /// It has let in as many nodes as it may.
    #[error("the join token was already used; make a new one with `p2p token create`")]
    Used,
    /// An operator took it back.
    #[error("the join token was revoked; make a new one with `p2p token create`")]
    Revoked,
    /// It names a root that is not the cluster's any more.
    #[error("the cluster's root was changed since the join token was made; make a new one with `p2p token create`")]
    OldRoot,
    /// It is for another role.
    #[error(
        "the join token is for a {allowed}, not for a {wanted}; join as a {allowed}, or make one with `p2p token create --role {wanted}`"
    )]
    Role {
        /// The role it is for.
        allowed: Role,
        /// The role that was asked for.
        wanted: Role,
    },
    /// It is for another node.
    #[error("the join token is for the node {only} only; join under that name, or make a new one with `p2p token create`")]
    Node {
        /// The node it is for.
        only: NodeId,
    },
    /// It is not for use from there.
    #[error(
        "the join token may be used only in {networks}, and the node's connection comes from {address}; join from in there, or make one for \
         that address with `p2p token create --cidr`"
    )]
    From {
        /// Where the connection comes from.
        address: IpAddr,
        /// Where the token may be used.
        networks: AllowedNetworks,
    },
    /// It is not for nodes with such an address.
    #[error(
        "the join token may be used only in {networks}, and the node claims the address {address}; name addresses in there, and no host names, \
         with --advertise, or make one for that address with `p2p token create --cidr`"
    )]
    Claims {
        /// The address, or a host name, of which nobody knows where it is.
        address: Host,
        /// Where the token may be used.
        networks: AllowedNetworks,
    },
}

/// All tokens of a coordinator, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTable {
    records: BTreeMap<TokenId, TokenRecord>,
}

impl TokenTable {
    /// Notes a fresh token, and forgets those that expired long ago.
    ///
    /// # Errors
    /// The token's key cannot be derived.
    pub fn create(&mut self, token: &JoinToken, options: TokenOptions, now: UnixMillis) -> Result<&TokenRecord, TokenKeyError> {
        let remembered = millis(REMEMBERED);
        self.records.retain(|_, record| record.expires.0.saturating_add(remembered) > now.0);
        let record = TokenRecord {
            id: token.id(),
            key: token.public_key()?,
            role: options.role,
            uses_left: options.uses.get(),
            created: now,
            expires: UnixMillis(now.0.saturating_add(millis(options.ttl))),
            node_id: options.node_id,
            revoked: false,
            approval: options.approval,
            root: Some(token.root().into()),
            networks: options.networks,
        };
        Ok(self.records.entry(token.id()).or_insert(record))
    }

    /// All tokens that are remembered, by id.
    pub fn list(&self) -> impl Iterator<Item = &TokenRecord> {
        self.records.values()
    }

    /// One token.
    pub fn get(&self, id: TokenId) -> Option<&TokenRecord> {
        self.records.get(&id)
    }

    /// Takes a token back. False when there is none of that id.
    pub fn revoke(&mut self, id: TokenId) -> bool {
        self.records.get_mut(&id).map(|record| record.revoked = true).is_some()
    }

    /// Takes back every token that could still let somebody in: what became of them since is not known to a table that was
    /// restored. Gives which there were.
    pub fn void_open(&mut self, now: UnixMillis) -> Vec<TokenId> {
        self.void(now, |_| true)
    }

    /// Takes back every token that could still let somebody in and names another root than this; one that does not say which it names, if it was made
    /// before this became the root. Gives which there were.
    pub fn void_outdated(&mut self, root: KeyHash, since: Option<UnixMillis>, now: UnixMillis) -> Vec<TokenId> {
        self.void(now, |record| record.is_outdated(root, since))
    }

    fn void(&mut self, now: UnixMillis, goes: impl Fn(&TokenRecord) -> bool) -> Vec<TokenId> {
        let open = self.records.values_mut().filter(|record| !record.revoked && record.uses_left > 0 && now < record.expires);
        let goes = open.filter(|record| goes(record));
        goes.map(|record| {
            record.revoked = true;
            record.id
        })
        .collect()
    }

    /// Whether this token lets a node of this name and role in. Says nothing about whether the node has the token.
    ///
    /// # Errors
    /// The rule that forbids it. A token whose uses are gone gives [`TokenRefused::Used`] only if nothing else is wrong
    /// with it.
    pub fn authorise(&self, id: TokenId, role: Role, node_id: &NodeId, now: UnixMillis) -> Result<&TokenRecord, TokenRefused> {
        let record = self.get(id).ok_or(TokenRefused::Unknown)?;
        if !holds(Check::NotRevoked, !record.revoked) {
            return Err(TokenRefused::Revoked);
        }
        if !holds(Check::Expiry, now < record.expires) {
            return Err(TokenRefused::Expired { ago_s: (now.0 - record.expires.0) / 1000 });
        }
        if record.role != role {
            return Err(TokenRefused::Role { allowed: record.role, wanted: role });
        }
        match &record.node_id {
            Some(only) if only != node_id => Err(TokenRefused::Node { only: only.clone() }),
            _ if !holds(Check::Uses, record.uses_left > 0) => Err(TokenRefused::Used),
            _ => Ok(record),
        }
    }

    /// Whether this token may be used by a node that asks from this address and claims these. Of a token that is not known it says nothing.
    ///
    /// # Errors
    /// [`TokenRefused::From`] and [`TokenRefused::Claims`] name the address that is outside.
    pub fn admits(&self, id: TokenId, from: IpAddr, claimed: &[Host]) -> Result<(), TokenRefused> {
        self.get(id).map_or(Ok(()), |record| record.networks.admit(from, claimed))
    }

    /// Takes one use away. Call it after [`TokenTable::authorise`], and make the table durable with what the use was for.
    pub fn spend(&mut self, id: TokenId) {
        if let Some(record) = self.records.get_mut(&id) {
            record.uses_left = record.uses_left.saturating_sub(1);
        }
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use p2p_client::wire::tls::RootKeyHash;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000_000_000);

    fn table(options: TokenOptions) -> (TokenTable, TokenId) {
        let token = JoinToken::generate(RootKeyHash::new([1; 32])).unwrap();
        let mut table = TokenTable::default();
        table.create(&token, options, NOW).unwrap();
        (table, token.id())
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn a_token_lets_in_as_many_nodes_as_it_says() {
        let (mut table, id) = table(TokenOptions { uses: NonZeroU32::new(2).unwrap(), ..TokenOptions::default() });
        for _ in 0..2 {
            table.authorise(id, Role::Worker, &node("a"), NOW).unwrap();
            table.spend(id);
        }
        assert_eq!(table.authorise(id, Role::Worker, &node("a"), NOW), Err(TokenRefused::Used));
    }

    #[test]
    fn a_token_is_refused_with_the_rule_that_it_breaks() {
        let (mut table, id) = table(TokenOptions { node_id: Some(node("only")), ..TokenOptions::default() });
        let other = JoinToken::generate(RootKeyHash::new([1; 32])).unwrap().id();
        assert_eq!(table.authorise(other, Role::Worker, &node("only"), NOW), Err(TokenRefused::Unknown));
        let wrong_role = TokenRefused::Role { allowed: Role::Worker, wanted: Role::Coordinator };
        assert_eq!(table.authorise(id, Role::Coordinator, &node("only"), NOW), Err(wrong_role));
        assert_eq!(table.authorise(id, Role::Worker, &node("b"), NOW), Err(TokenRefused::Node { only: node("only") }));
        let later = UnixMillis(NOW.0 + 86_400_000 + 90_000);
        let expired = table.authorise(id, Role::Worker, &node("only"), later).unwrap_err();
        assert_eq!(expired, TokenRefused::Expired { ago_s: 90 });
        assert!(expired.to_string().contains("expired 1 min ago"));
        assert!(table.revoke(id));
        assert!(!table.revoke(other));
        assert_eq!(table.authorise(id, Role::Worker, &node("only"), NOW), Err(TokenRefused::Revoked));
    }

    #[test]
    fn a_kind_of_approval_is_read_as_it_is_written_and_a_token_of_an_earlier_version_needs_none() {
        for kind in [Approval::Auto, Approval::Manual] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("maybe".parse::<Approval>().unwrap_err().to_string().contains("write auto"));
        let (table, id) = table(TokenOptions { approval: Approval::Manual, ..TokenOptions::default() });
        assert_eq!(table.get(id).unwrap().approval, Approval::Manual);
        let mut stored = serde_json::to_value(table.get(id).unwrap()).unwrap();
        stored.as_object_mut().unwrap().remove("approval");
        assert_eq!(serde_json::from_value::<TokenRecord>(stored).unwrap().approval, Approval::Auto);
    }

    #[test]
    fn a_token_keeps_its_networks_and_one_of_an_earlier_version_may_be_used_anywhere() {
        let networks = AllowedNetworks::from(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let (table, id) = table(TokenOptions { networks: networks.clone(), ..TokenOptions::default() });
        let mut stored = serde_json::to_value(table.get(id).unwrap()).unwrap();
        assert_eq!(stored["networks"], serde_json::json!(["10.0.0.0/8", "fd00::/8"]));
        assert_eq!(serde_json::from_value::<TokenRecord>(stored.clone()).unwrap().networks, networks);
        stored.as_object_mut().unwrap().remove("networks");
        assert!(serde_json::from_value::<TokenRecord>(stored).unwrap().networks.is_anywhere());
    }

    #[test]
    fn open_tokens_are_voided_and_those_that_let_nobody_in_anyway_are_not_counted() {
        let (mut table, id) = table(TokenOptions::default());
        let others: Vec<_> = (0..3).map(|_| JoinToken::generate(RootKeyHash::new([1; 32])).unwrap()).collect();
        let short = TokenOptions { ttl: Duration::from_secs(1), ..TokenOptions::default() };
        for (token, options) in others.iter().zip([TokenOptions::default(), TokenOptions::default(), short]) {
            table.create(token, options, NOW).unwrap();
        }
        table.spend(others[0].id());
        table.revoke(others[1].id());
        let later = UnixMillis(NOW.0 + 2000);
        assert_eq!(table.void_open(later), [id]);
        assert_eq!(table.authorise(id, Role::Worker, &node("a"), later), Err(TokenRefused::Revoked));
        assert_eq!(table.authorise(others[0].id(), Role::Worker, &node("a"), later), Err(TokenRefused::Used));
        assert_eq!(table.void_open(later), []);
    }

    #[test]
    fn the_table_survives_its_stored_form_and_forgets_old_tokens() {
        let (mut table, id) = table(TokenOptions::default());
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<TokenTable>(&text).unwrap(), table);
        let next = JoinToken::generate(RootKeyHash::new([1; 32])).unwrap();
        table.create(&next, TokenOptions::default(), UnixMillis(NOW.0 + 40 * 86_400_000)).unwrap();
        assert!(table.get(id).is_none());
        assert_eq!(table.list().count(), 1);
    }
}
