//! The sections of the configuration: each setting once, with its type, default, range, and what it is for.
//!
//! From this list come the structs, the checks, the messages, `p2p config show` and the table of docs/configuration.md.

use std::{net::SocketAddr, time::Duration};

use p2p_client::protocol::{Access, Capability};

use crate::{
    identity::{Host, join::MAX_ADDRESSES},
    limits::addresses::{ForwardedBy, Network},
};

use super::{
    NodeConfig,
    setting::{Setting, ranged, unranged},
    value::{ByteSize, LogLevel, SecretUrl},
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const HOUR: Duration = secs(3_600);

/// A section: a struct of its settings with their defaults, and the list of them.
///
/// A line is `[When] name: Type = default;`, or `[When] name: Type = default, least => most;`.
macro_rules! section {
    (
        $(#[$outer:meta])*
        struct $name:ident = $section:ident {
            $($(#[doc = $doc:literal])+ [$effect:ident] $field:ident: $type:ty = $default:expr $(, $least:expr => $most:expr)?;)+
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            fn settings() -> Vec<Setting> {
                vec![$(
                    section!(@setting concat!(stringify!($section), ".", stringify!($field)), concat!($($doc),+), $effect,
                        $section.$field, $type $(, $least => $most)?),
                )+]
            }
        }
    };
    (@setting $key:expr, $what:expr, $effect:ident, $section:ident.$field:ident, $type:ty, $least:expr => $most:expr) => {
        ranged::<$type>($key, $what, super::Effect::$effect, $least, $most, |c| &c.$section.$field, |c| &mut c.$section.$field)
    };
    (@setting $key:expr, $what:expr, $effect:ident, $section:ident.$field:ident, $type:ty) => {
        unranged::<$type>($key, $what, super::Effect::$effect, |c| &c.$section.$field, |c| &mut c.$section.$field)
    };
}

section! {
    /// Who may read the documents that a node serves beside its methods.
    struct HttpAccess = http_access {
        /// Who may read `GET /services`, and in `/health` what services say of themselves
        [Live] services: Access = Access::Public;
        /// Who may read `GET /cluster/nodes`
        [Live] cluster_nodes: Access = Access::Public;
        /// Who may read `GET /metrics`
        [Live] metrics: Access = Access::Public;
        /// Who may read `GET /openapi.json`, `/openapi-3.0.json`, `/openrpc.json` and call `rpc.discover`
        [Live] documents: Access = Access::Public;
    }
}

section! {
    /// How many calls the node takes of whom.
    struct RateLimitConfig = rate_limit {
        /// Whether callers are limited at all
        [Live] enabled: bool = true;
        /// Calls and documents a minute, of each client with a token, and of each address without
        [Live] rpc_requests: u64 = 100, 1 => 1_000_000_000;
        /// How many of them at once
        [Live] rpc_burst: u64 = 20, 1 => 1_000_000_000;
        /// Requests for `GET /health` a minute, of each client or address
        [Live] health_requests: u64 = 300, 1 => 1_000_000_000;
        /// How many of them at once
        [Live] health_burst: u64 = 50, 1 => 1_000_000_000;
        /// Calls a minute of each node of the cluster
        [Live] node_requests: u64 = 60_000_000, 1 => 1_000_000_000;
        /// How many of them at once
        [Live] node_burst: u64 = 1_000_000, 1 => 1_000_000_000;
        /// About how many clients, and how many addresses, are told apart, at 17 bytes each
        [Restart] max_keys: u64 = 65_536, 64 => 16_777_216;
    }
}

section! {
    /// Proxies between the node and its clients.
    struct ProxyConfig = proxies {
        /// Whose word about a client's address is taken
        [Live] trusted: Vec<Network> = Vec::new();
        /// The header in which they give it; the other one is not looked at
        [Live] header: ForwardedBy = ForwardedBy::XForwardedFor;
    }
}

section! {
    /// What connections and requests may cost.
    struct ConnectionConfig = connections {
        /// Open connections at a time; more are closed as soon as they come
        [Restart] max: u64 = 10_240, 1 => 1_000_000;
        /// Open connections at a time of one address (a /64 of IPv6); raise it behind a proxy
        [Restart] max_per_address: u64 = 1_024, 1 => 1_000_000;
        /// The time for the TLS handshake
        [Restart] handshake_timeout: Duration = secs(10), ms(100) => HOUR;
        /// The time for a request's headers, and for a further request on an open HTTP/1 connection
        [Restart] header_timeout: Duration = secs(10), ms(100) => HOUR;
        /// Bytes of headers in a request
        [Restart] max_header_size: ByteSize = ByteSize::kib(16), ByteSize::kib(1) => ByteSize::mib(1);
        /// Headers in an HTTP/1 request
        [Restart] max_headers: u64 = 100, 10 => 10_000;
        /// The time for a request's body
        [Live] body_timeout: Duration = secs(30), ms(100) => HOUR;
        /// Bytes of a request's body
        [Live] max_body: ByteSize = ByteSize::mib(4), ByteSize::kib(1) => ByteSize::mib(1_024);
        /// Requests at a time on one HTTP/2 connection
        [Restart] max_streams: u64 = 1_024, 1 => 65_535;
        /// Streams that an HTTP/2 client may reset before they were handled, until its connection is cut
        [Restart] max_pending_resets: u64 = 20, 1 => 10_000;
        /// Streams that an HTTP/2 client may make the node reset by errors of its own, until its connection is cut
        [Restart] max_error_resets: u64 = 128, 1 => 10_000;
        /// How often an HTTP/2 client is asked for a sign of life
        [Restart] keep_alive: Duration = secs(10), ms(100) => HOUR;
        /// How long it may take to give one
        [Restart] keep_alive_timeout: Duration = secs(5), ms(100) => HOUR;
        /// How long running requests and calls may go on after a shutdown began
        [Restart] grace: Duration = secs(10), ms(0) => HOUR;
    }
}

section! {
    /// Sessions between this node and the others.
    struct SessionConfig = sessions {
        /// Sessions to call by; the least recently used one makes room
        [Restart] max_peers: u64 = 1_024, 1 => 100_000;
        /// The time for connecting, TLS and agreeing on a version
        [Restart] connect_timeout: Duration = secs(5), ms(100) => secs(300);
        /// Unanswered calls of the other end at a time; it holds further ones back
        [Restart] max_calls: u64 = 1_024, 1 => 1_000_000;
        /// Bytes that wait to be sent until callers have to wait
        [Restart] max_waiting: ByteSize = ByteSize::kib(256), ByteSize::kib(64) => ByteSize::mib(64);
        /// Bytes of large answers that wait to be fetched
        [Restart] max_parked: ByteSize = ByteSize::mib(64), ByteSize::mib(1) => ByteSize::mib(16_384);
        /// How long the other end may take no byte of what waits for it
        [Restart] write_timeout: Duration = secs(30), ms(100) => HOUR;
        /// How often the other end is asked for a sign of life
        [Restart] keep_alive: Duration = secs(10), ms(100) => HOUR;
        /// How long it may take to give one
        [Restart] keep_alive_timeout: Duration = secs(5), ms(100) => HOUR;
        /// How long a session without calls is kept
        [Restart] idle: Duration = secs(300), secs(1) => secs(86_400);
    }
}

section! {
    /// How nodes find each other and notice failures. Nodes of one cluster should agree on it.
    struct GossipConfig = gossip {
        /// The shortest time between two comparisons with other nodes while everything agrees
        [Restart] interval_min: Duration = secs(5), ms(100) => HOUR;
        /// The longest
        [Restart] interval_max: Duration = secs(30), ms(100) => HOUR;
        /// With how many nodes a node compares itself in one round
        [Restart] max_targets: u64 = 5, 1 => 100;
        /// Whether long frames are compressed (LZ4)
        [Restart] compression_enabled: bool = true;
        /// How long is long
        [Restart] compression_threshold: ByteSize = ByteSize::kib(1), ByteSize::bytes(64) => ByteSize::mib(4);
        /// How often one other node is probed
        [Restart] probe_period: Duration = ms(500), ms(50) => secs(60);
        /// How long it may take to answer before others are asked to probe it too; below the period
        [Restart] probe_timeout: Duration = ms(150), ms(10) => secs(60);
        /// How long a suspected node has to refute before it is taken for dead
        [Restart] suspicion: Duration = ms(1_500), ms(100) => secs(600);
    }
}

section! {
    /// The encrypted store.
    struct StoreConfig = store {
        /// How long what was put into it and not saved may stand in memory alone
        [Restart] autosave: Duration = secs(5), ms(100) => HOUR;
    }
}

section! {
    /// What is kept in memory for a while.
    struct CacheConfig = cache {
        /// What it may take
        [Restart] capacity: ByteSize = ByteSize::mib(16), ByteSize::kib(64) => ByteSize::mib(1_048_576);
    }
}

section! {
    /// A cache that nodes share.
    struct RedisConfig = redis {
        /// Whether the cache is shared by Redis. This version keeps it in the node's memory, and says so at start where this is on
        [Unread] enabled: bool = false;
        /// Where Redis is; where that holds a password, `p2p config set redis.url -` reads it from standard input
        [Unread] url: SecretUrl = SecretUrl::default();
    }
}

impl RateLimitConfig {
    /// Nobody is limited.
    pub fn unlimited() -> Self {
        Self { enabled: false, ..Self::default() }
    }
}

/// All settings, in the order in which they are shown.
pub(super) fn all() -> Vec<Setting> {
    use super::Effect::{Live, Restart};
    let mut all = vec![
        unranged::<SocketAddr>("listen", " Where the node listens", Restart, |c| &c.listen, |c| &mut c.listen).required(),
        unranged::<bool>(
            "port_is_fixed",
            " Whether a taken port is an error; otherwise the next free one is taken, and kept",
            Restart,
            |c| &c.port_is_fixed,
            |c| &mut c.port_is_fixed,
        ),
        unranged::<Host>(
            "advertise",
            " The address under which other nodes reach it",
            Restart,
            |c| &c.advertise,
            |c| &mut c.advertise,
        )
        .required(),
        unranged::<Vec<Host>>(
            "advertise_also",
            " Further addresses of it, such as one of IPv6 beside one of IPv4: proved and certified as well, for clients that come by them",
            Restart,
            |c| &c.advertise_also,
            |c| &mut c.advertise_also,
        ),
        unranged::<Vec<Capability>>("capabilities", " Labels to route by", Restart, |c| &c.capabilities, |c| &mut c.capabilities),
        unranged::<Vec<String>>("seeds", " Nodes to find the cluster by", Restart, |c| &c.seeds, |c| &mut c.seeds),
        unranged::<LogLevel>(
            "log_level",
            " How much is logged beside the audit log; RUST_LOG and -v say it louder",
            Live,
            |c| &c.log_level,
            |c| &mut c.log_level,
        ),
    ];
    for section in [
        HttpAccess::settings(),
        RateLimitConfig::settings(),
        ProxyConfig::settings(),
        ConnectionConfig::settings(),
        SessionConfig::settings(),
        GossipConfig::settings(),
        StoreConfig::settings(),
        CacheConfig::settings(),
        RedisConfig::settings(),
    ] {
        all.extend(section);
    }
    all
}

/// What only several settings together can break: the key that is told, and what it has to be.
pub(super) fn contradictions(config: &NodeConfig) -> Vec<(&'static str, String)> {
    let gossip = &config.gossip;
    let mut found = Vec::new();
    if config.addresses().len() > MAX_ADDRESSES {
        found.push(("advertise_also", format!("a certificate is for at most {MAX_ADDRESSES} addresses; name fewer")));
    }
    if gossip.interval_max < gossip.interval_min {
        found.push(("gossip.interval_max", format!("at least gossip.interval_min, which is {:?}", gossip.interval_min)));
    }
    if gossip.probe_timeout >= gossip.probe_period {
        found.push(("gossip.probe_timeout", format!("less than gossip.probe_period, which is {:?}", gossip.probe_period)));
    }
    found
}
