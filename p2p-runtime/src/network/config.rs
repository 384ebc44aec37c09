//! The settings of membership. The defaults are those that did best in simulation (`benches/membership_sim.rs`).

use std::time::Duration;

/// How membership probes, gossips and compares.
///
/// ```
/// use std::time::Duration;
/// use p2p_runtime::network::MembershipConfig;
///
/// // A noisy host: wait longer before a silent node is taken for dead.
/// let config = MembershipConfig { suspicion: Duration::from_secs(2), ..MembershipConfig::default() };
/// assert_eq!(config.probe_period, Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipConfig {
    /// How often one other node is probed.
    pub probe_period: Duration,
    /// How long a probed node may take to answer before others are asked to probe it too. Must be below `probe_period`.
    pub probe_rtt: Duration,
    /// How many others are asked to probe a node that does not answer; also how many nodes a gossip goes to.
    pub indirect_probes: usize,
    /// How long a suspected node has to refute before it is taken for dead.
    pub suspicion: Duration,
    /// How often news is gossiped while there is news.
    pub gossip_period: Duration,
    /// How long a dead or left node is remembered.
    pub remove_down_after: Duration,
    /// The shortest time between two comparisons with other nodes while everything agrees.
    pub sync_min: Duration,
    /// The longest time between two comparisons while everything agrees.
    pub sync_max: Duration,
    /// The time between two comparisons while this node joins or has found a difference.
    pub sync_joining: Duration,
    /// With how many nodes a node compares itself in one round, at most.
    pub sync_peers: usize,
    /// Frames whose content is longer than this many bytes are compressed.
    pub compress_above: usize,
    /// The first pause between two attempts to find the cluster; it doubles up to `seek_max`.
    pub seek_min: Duration,
    /// The longest pause between two attempts to find the cluster.
    pub seek_max: Duration,
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(500),
            probe_rtt: Duration::from_millis(150),
            indirect_probes: 3,
            suspicion: Duration::from_millis(1500),
            gossip_period: Duration::from_millis(100),
            remove_down_after: Duration::from_hours(24),
            sync_min: Duration::from_secs(5),
            sync_max: Duration::from_secs(30),
            sync_joining: Duration::from_millis(500),
            sync_peers: 5,
            compress_above: 1024,
            seek_min: Duration::from_millis(250),
            seek_max: Duration::from_secs(5),
        }
    }
}
