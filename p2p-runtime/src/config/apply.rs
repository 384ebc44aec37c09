//! What the configuration means to the node's parts.

use p2p_client::wire::{session::SessionLimits, sessions::SessionsConfig};

use crate::{limits::addresses::TrustedProxies, network::MembershipConfig, transport::ListenerLimits, web::rpc::BodyLimits};

use super::{ConnectionConfig, GossipConfig, ProxyConfig, SessionConfig};

/// A count that lies in its range, as its part counts it.
fn count<T: TryFrom<u64>>(value: u64, most: T) -> T {
    T::try_from(value).unwrap_or(most)
}

impl From<&ConnectionConfig> for ListenerLimits {
    fn from(config: &ConnectionConfig) -> Self {
        Self {
            max_connections: count(config.max, usize::MAX),
            max_per_address: count(config.max_per_address, usize::MAX),
            handshake_timeout: config.handshake_timeout,
            header_timeout: config.header_timeout,
            max_header_bytes: count(config.max_header_size.get(), u32::MAX),
            max_headers: count(config.max_headers, usize::MAX),
            max_streams: count(config.max_streams, u32::MAX),
            max_pending_resets: count(config.max_pending_resets, usize::MAX),
            max_error_resets: count(config.max_error_resets, usize::MAX),
            keep_alive: config.keep_alive,
            keep_alive_timeout: config.keep_alive_timeout,
            grace: config.grace,
        }
    }
}

impl From<&ConnectionConfig> for BodyLimits {
    fn from(config: &ConnectionConfig) -> Self {
        Self { max: config.max_body.as_usize(), timeout: config.body_timeout }
    }
}

impl From<&SessionConfig> for SessionsConfig {
    fn from(config: &SessionConfig) -> Self {
        let limits = SessionLimits {
            max_calls: count(config.max_calls, u32::MAX),
            max_waiting: config.max_waiting.as_usize(),
            max_parked: config.max_parked.as_usize(),
            write_timeout: config.write_timeout,
            keep_alive: config.keep_alive,
            keep_alive_timeout: config.keep_alive_timeout,
            idle: config.idle,
            ..SessionLimits::default()
        };
        Self {
            max_peers: count(config.max_peers, usize::MAX),
            connect_timeout: config.connect_timeout,
            limits,
            ..Self::default()
        }
    }
}

impl From<&GossipConfig> for MembershipConfig {
    fn from(config: &GossipConfig) -> Self {
        Self {
            probe_period: config.probe_period,
            probe_rtt: config.probe_timeout,
            suspicion: config.suspicion,
            sync_min: config.interval_min,
            sync_max: config.interval_max,
            sync_peers: count(config.max_targets, usize::MAX),
            compress_above: if config.compression_enabled { config.compression_threshold.as_usize() } else { usize::MAX },
            ..Self::default()
        }
    }
}

impl From<&ProxyConfig> for TrustedProxies {
    fn from(config: &ProxyConfig) -> Self {
        Self { networks: config.trusted.clone(), header: config.header }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_parts() {
        let (connections, sessions, gossip) = (ConnectionConfig::default(), SessionConfig::default(), GossipConfig::default());
        assert_eq!(format!("{:?}", ListenerLimits::from(&connections)), format!("{:?}", ListenerLimits::default()));
        assert_eq!(format!("{:?}", BodyLimits::from(&connections)), format!("{:?}", BodyLimits::default()));
        assert_eq!(format!("{:?}", SessionsConfig::from(&sessions)), format!("{:?}", SessionsConfig::default()));
        assert_eq!(MembershipConfig::from(&gossip), MembershipConfig::default());
        assert_eq!(super::super::CacheConfig::default().capacity.get(), crate::cache::Cache::DEFAULT_CAPACITY);
    }

    #[test]
    fn without_compression_nothing_is_long_enough_to_be_compressed() {
        let gossip = GossipConfig { compression_enabled: false, ..GossipConfig::default() };
        assert_eq!(MembershipConfig::from(&gossip).compress_above, usize::MAX);
    }
}
