//! Code that calls services, tested without any: mocks stand in for them.
//!
//! ```sh
//! cargo run --example mocks   # shows it, and ends by itself
//! cargo test --example mocks  # the tests at the end of this file
//! ```
//! Mocks need the feature `testing` of `p2p-client`, `p2p-runtime` or `p2p-services`, which is for `[dev-dependencies]`.

use std::time::Duration;

use p2p_services::{prelude::*, testing::MockSystem};

/// The code under test. It takes a `Proxy`, as everything that calls does, and cannot tell mocks from a cluster.
///
/// # Errors
/// When the coordinator does not answer.
pub async fn report(proxy: &Proxy) -> Result<String> {
    let coordinator = proxy.system().on(Role::Coordinator).get_system_info().timeout(Duration::from_secs(1)).await?;
    let mut lines = vec![format!("{} coordinates", coordinator.hostname)];
    for (node, answer) in proxy.system().on_all(Role::Worker).get_system_metrics().await {
        lines.push(match answer {
            Ok(metrics) if metrics.load_average[0] > 4.0 => format!("{node} is busy"),
            Ok(_) => format!("{node} is fine"),
            Err(error) => format!("{node}: {error}"),
        });
    }
    Ok(lines.join("\n"))
}

/// A small cluster: one worker is busy, and one does not let us ask.
fn a_mocked_cluster(system: &MockSystem) -> Proxy {
    system.on_get_system_info(|call| Ok(machine(call.node().clone())));
    system.on_get_system_metrics(|_| Ok(load(7.5))).at("worker-1");
    system.on_get_system_metrics(|_| Err(CallError::Denied("not for you".to_owned()))).at("worker-2");
    system.on_get_system_metrics(|_| async { Ok(load(0.3)) }); // everywhere else; a future will do, too
    Proxy::mock().coordinator().workers(3).with(system).proxy()
}

#[tokio::main]
async fn main() -> Result<()> {
    let system = MockSystem::new();
    let proxy = a_mocked_cluster(&system);

    println!("What the code under test makes of its answers:\n");
    println!("{}", report(&proxy).await?);

    println!("\nWhat it asked:\n");
    for call in system.calls() {
        println!("  {} of {} (target {}), params {}", call.path(), call.node(), call.target(), call.params());
    }

    println!("\nA method of which nothing was said:\n");
    let untold = Proxy::mock().with(&MockSystem::new()).proxy();
    if let Err(error) = report(&untold).await {
        println!("  {error}");
    }
    system.verify()?;
    println!("\nDone.");
    Ok(())
}

fn machine(node_id: NodeId) -> SystemInfo {
    SystemInfo {
        hostname: format!("host-of-{node_id}"),
        node_id,
        os: "Debian GNU/Linux 12".to_owned(),
        kernel: "6.1".to_owned(),
        architecture: "x86_64".to_owned(),
        cpu_count: 4,
        memory_total_bytes: 8 << 30,
        disks: Vec::new(),
        uptime_seconds: 3600,
        version: "0.1.0".to_owned(),
    }
}

fn load(one_minute: f64) -> SystemMetrics {
    SystemMetrics {
        load_average: [one_minute, 0.0, 0.0],
        cpu_percent: 0.0,
        memory_total_bytes: 8 << 30,
        memory_used_bytes: 1 << 30,
        process_memory_bytes: 32 << 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_worker_has_a_line_whatever_it_answers() -> Result<()> {
        let system = MockSystem::new();
        let said = report(&a_mocked_cluster(&system)).await?;
        let lines: Vec<_> = said.lines().collect();
        let wanted = ["host-of-coordinator coordinates", "worker-1 is busy", "worker-2: denied: not for you", "worker-3 is fine"];
        assert_eq!(lines, wanted);
        assert_eq!(system.calls().len(), 4);
        Ok(())
    }

    #[tokio::test]
    async fn without_a_coordinator_there_is_no_report() {
        let system = MockSystem::new();
        let error = report(&Proxy::mock().workers(1).with(&system).proxy()).await.unwrap_err();
        assert_eq!(error.to_string(), "no route: no node fits role=coordinator; the mock's nodes are: worker-1");
        assert!(system.calls().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_is_slow_is_given_up_after_a_second() {
        let system = MockSystem::new();
        system.on_get_system_info(|_| std::future::pending()).once();
        let error = report(&Proxy::mock().with(&system).proxy()).await.unwrap_err();
        assert!(error.to_string().starts_with("system/get_system_info did not answer in time"), "{error}");
        system.verify().expect("it was asked once");
    }
}
