//! `system`: what machine a node runs on, and how busy it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    protocol::NodeId,
    service,
    service::{CallContext, Result},
};

/// Facts about a node's machine, and its load.
#[service(version = "1.0.0")]
pub trait System {
    /// What the machine is: host name, operating system, architecture, processors, memory, disks, uptime.
    #[service_method(public, read_only, timeout = "5s")]
    async fn get_system_info(&self, cx: &CallContext) -> Result<SystemInfo>;

    /// How busy the machine and the node's own process are now.
    #[service_method(public, read_only, timeout = "5s")]
    async fn get_system_metrics(&self) -> Result<SystemMetrics>;
}

/// What a node's machine is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemInfo {
    /// The node that answers.
    pub node_id: NodeId,
    /// The machine's host name.
    pub hostname: String,
    /// The operating system with its version, such as `Debian GNU/Linux 12`.
    pub os: String,
    /// The kernel's version.
    pub kernel: String,
    /// The processor architecture, such as `x86_64`.
    pub architecture: String,
    /// How many processors the node may use.
    pub cpu_count: usize,
    /// The machine's memory, in bytes.
    pub memory_total_bytes: u64,
    /// Its mounted disks.
    pub disks: Vec<DiskInfo>,
    /// How long the machine has been up, in seconds.
    pub uptime_seconds: u64,
    /// The version of the node's software.
    pub version: String,
}

/// One mounted disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiskInfo {
    /// Where it is mounted.
    pub mount_point: String,
    /// Its file system, such as `ext4`.
    pub file_system: String,
    /// Its size, in bytes.
    pub total_bytes: u64,
    /// What is free for users, in bytes.
    pub available_bytes: u64,
}

/// How busy a node's machine is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemMetrics {
    /// The load averages over 1, 5 and 15 minutes, where the system has them.
    pub load_average: [f64; 3],
    /// The share of all processors in use since the last time that somebody asked, 0 to 100.
    pub cpu_percent: f32,
    /// The machine's memory, in bytes.
    pub memory_total_bytes: u64,
    /// What of it is in use, in bytes.
    pub memory_used_bytes: u64,
    /// What the node's own process holds in memory, in bytes.
    pub process_memory_bytes: u64,
}
