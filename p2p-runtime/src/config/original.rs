//! The keys of the original's `P2PConfig`, and what became of each.

use serde_json::Value;

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is this key now, and may still be written in the old spelling.
    Is(&'static str),
    /// The same; a bare number is so many of these.
    Of(&'static str, &'static str),
    /// It can only be this: so it is taken where it says so, and not kept.
    Only(bool, &'static str),
    /// It is refused, for this reason.
    Refused(&'static str),
}

impl Fate {
    /// The key that it is now.
    pub(super) fn now(self) -> Option<&'static str> {
        match self {
            Self::Is(now) | Self::Of(now, _) => Some(now),
            Self::Only(..) | Self::Refused(_) => None,
        }
    }
}

use Fate::{Is, Of, Only, Refused};

const IN_CERTIFICATE: &str =
    "it stands in the node's certificate, and is said once, to `p2p init` or `p2p join`; remove the line";
const IN_STORE: &str = "keys and certificates are in the encrypted store, never in files; remove the line";
const IN_FOLDER: &str = "it lies in the node's folder, which --dir names; remove the line";
const OWN_KEY: &str =
    "tokens are signed with a key that the cluster makes for itself (EdDSA); there is no secret to share; remove the line";

/// All of them, in the original's order.
pub(super) const KEYS: &[(&str, Fate)] = &[
    ("node_id", Refused(IN_CERTIFICATE)),
    ("port", Refused("it is part of listen: `p2p config set listen 0.0.0.0:8001`")),
    ("bind_address", Refused("it is part of listen: `p2p config set listen 0.0.0.0:8001`")),
    ("coordinator_mode", Refused(IN_CERTIFICATE)),
    ("coordinator_addresses", Is("seeds")),
    ("redis_url", Is("redis.url")),
    ("redis_enabled", Is("redis.enabled")),
    ("gossip_interval_min", Of("gossip.interval_min", "s")),
    ("gossip_interval_max", Of("gossip.interval_max", "s")),
    ("gossip_compression_enabled", Is("gossip.compression_enabled")),
    ("compression_enabled", Is("gossip.compression_enabled")),
    ("compression_threshold", Of("gossip.compression_threshold", " B")),
    ("max_gossip_targets", Is("gossip.max_targets")),
    ("https_enabled", Only(true, "without TLS anyone on the way could read and change what nodes say; remove the line")),
    ("ssl_cert_file", Refused(IN_STORE)),
    ("ssl_key_file", Refused(IN_STORE)),
    ("ssl_ca_cert_file", Refused(IN_STORE)),
    ("ssl_verify", Only(true, "a certificate that is not verified proves nothing; remove the line, and join with a token")),
    ("rate_limit_enabled", Is("rate_limit.enabled")),
    ("rate_limit_rpc_requests", Is("rate_limit.rpc_requests")),
    ("rate_limit_rpc_burst", Is("rate_limit.rpc_burst")),
    ("rate_limit_health_requests", Is("rate_limit.health_requests")),
    ("rate_limit_health_burst", Is("rate_limit.health_burst")),
    ("state_directory", Refused(IN_FOLDER)),
    ("jwt_blacklist_file", Refused("revocations are in the encrypted store, and spread to every node; remove the line")),
    ("gossip_state_file", Refused(IN_FOLDER)),
    ("JWT_SECRET_KEY", Refused(OWN_KEY)),
    ("JWT_ALGORITHM", Refused("HS256 makes everyone who can check a token able to make one; tokens are EdDSA; remove the line")),
    ("JWT_EXPIRATION_HOURS", Refused("tokens for clients live for minutes, not for days; remove the line")),
];

/// What became of a key, if the original had it.
pub(super) fn fate(key: &str) -> Option<Fate> {
    KEYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, fate)| *fate)
}

/// A number with the unit that the original meant.
pub(super) fn with_unit(value: &Value, unit: &str) -> Value {
    if value.is_number() { format!("{value}{unit}").into() } else { value.clone() }
}
