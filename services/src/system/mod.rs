//! The host of the contract [`system`](p2p_client::contracts::system): what machine this is, and how busy it is.

use std::sync::{Mutex, PoisonError};

use p2p_client::contracts::system::{DiskInfo, System, SystemInfo, SystemMetrics};
use sysinfo::{Disks, ProcessRefreshKind, ProcessesToUpdate, System as Machine};

use crate::prelude::{CallContext, Result};

/// Asks the operating system. Hosted by every node.
#[derive(Default)]
pub struct SystemHost {
    /// Kept between calls, as processor load is a difference of two readings.
    machine: Mutex<Option<Machine>>,
}

#[crate::service]
impl System for SystemHost {
    async fn get_system_info(&self, cx: &CallContext) -> Result<SystemInfo> {
        let node_id = cx.node().clone();
        // The disks of a machine may be slow to ask, such as one on a network.
        Ok(tokio::task::spawn_blocking(move || describe(node_id)).await??)
    }

    async fn get_system_metrics(&self) -> Result<SystemMetrics> {
        let mut slot = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = match &mut *slot {
            Some(machine) => machine,
            empty => empty.insert(Machine::new()?),
        };
        measure(machine)
    }
}

fn describe(node_id: p2p_client::protocol::NodeId) -> std::result::Result<SystemInfo, sysinfo::Error> {
    let mut machine = Machine::new()?;
    machine.refresh_memory();
    let cpu_count = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(SystemInfo {
        node_id,
        hostname: Machine::host_name().unwrap_or_default(),
        os: Machine::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned()),
        kernel: Machine::kernel_version().unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpu_count,
        memory_total_bytes: machine.total_memory(),
        disks: disks()?,
        uptime_seconds: Machine::uptime().unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The mounted disks that have a size; what only looks like a disk has none.
fn disks() -> std::result::Result<Vec<DiskInfo>, sysinfo::Error> {
    let disks = Disks::new_with_refreshed_list()?;
    let described = disks.iter().filter(|disk| disk.total_space() > 0).map(|disk| DiskInfo {
        mount_point: disk.mount_point().to_string_lossy().into_owned(),
        file_system: disk.file_system().to_string_lossy().into_owned(),
        total_bytes: disk.total_space(),
        available_bytes: disk.available_space(),
    });
    Ok(described.collect())
}

fn measure(machine: &mut Machine) -> Result<SystemMetrics> {
    machine.refresh_memory();
    machine.refresh_cpu_usage();
    let me = sysinfo::get_current_pid()?;
    machine.refresh_processes_specifics(ProcessesToUpdate::Some(&[me]), true, ProcessRefreshKind::nothing().with_memory());
    let load = Machine::load_average().unwrap_or_default();
    Ok(SystemMetrics {
        load_average: [load.one, load.five, load.fifteen],
        cpu_percent: machine.global_cpu_usage(),
        memory_total_bytes: machine.total_memory(),
        memory_used_bytes: machine.used_memory(),
        process_memory_bytes: machine.process(me).map(sysinfo::Process::memory).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_machine_is_described_and_measured_as_the_system_tells() {
        let info = describe("here".parse().unwrap()).unwrap();
        assert!(info.cpu_count > 0 && info.memory_total_bytes > 1 << 20, "{info:?}");
        assert_eq!(info.hostname, std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
        let metrics = SystemHost::default().get_system_metrics().await.unwrap();
        assert!(metrics.memory_used_bytes < metrics.memory_total_bytes, "{metrics:?}");
        assert!(metrics.process_memory_bytes > 1 << 20, "{metrics:?}");
    }
}
