//! `system`: what machine a node runs on, and how busy it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Message,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Reader, from_json, to_json};

    /// The value's JSON is serde_json's, and is read back straight.
    #[track_caller]
    fn assert_own_form<T: Message + PartialEq + std::fmt::Debug>(value: &T) {
        let json = to_json(value).unwrap();
        assert_eq!(json, serde_json::to_vec(value).unwrap());
        let mut reader = Reader::new(std::str::from_utf8(&json).unwrap());
        assert_eq!(T::read(&mut reader).as_ref(), Some(value));
        assert!(reader.is_at_end());
        let spaced = serde_json::to_vec_pretty(value).unwrap();
        assert_eq!(&from_json::<T>(&spaced).unwrap(), value);
    }

    #[test]
    fn what_a_node_tells_of_its_machine_travels_in_its_own_form() {
        let disk = DiskInfo { mount_point: "/\n".into(), file_system: "ext4".into(), total_bytes: u64::MAX, available_bytes: 0 };
        assert_own_form(&SystemInfo {
            node_id: "worker-1".parse().unwrap(),
            hostname: "ada".into(),
            os: "Debian \"12\"".into(),
            kernel: "6.1".into(),
            architecture: "x86_64".into(),
            cpu_count: 2,
            memory_total_bytes: 1 << 33,
            disks: vec![disk.clone(), disk],
            uptime_seconds: 1,
            version: "0.1.0".into(),
        });
        assert_own_form(&SystemMetrics {
            load_average: [0.25, 1.0, 1e-7],
            cpu_percent: 12.3,
            memory_total_bytes: 2,
            memory_used_bytes: 1,
            process_memory_bytes: 0,
        });
    }
}
