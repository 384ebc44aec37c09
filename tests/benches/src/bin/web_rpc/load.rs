//! The load: `wrk`, and what it and the kernel say afterwards.

use std::{fs, path::Path, process::Command, time::Duration};

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::Full;
use p2p_client::wire::{
    http::{RequestLimits, one_shot},
    net::{Network, TcpNetwork},
    tls::{ALPN_HTTP1, ClientTls, Expect, TlsMaterial, TrustedRoot},
};
use p2p_services::prelude::*;

use crate::PATIENCE;

/// The measured request.
pub(crate) const REQUEST: &str = r#"{"jsonrpc":"2.0","method":"bench/look","params":{"id":42,"name":"worker-17"},"id":1}"#;

/// What wrk sends, and how it says what it saw: `calls microseconds p50 p99 errors`.
const SCRIPT: &str = include_str!("post.lua");

/// One round's load.
pub(crate) struct Load {
    pub(crate) seconds: u64,
    pub(crate) connections: u32,
}

/// What one round gave.
pub(crate) struct Sample {
    pub(crate) calls_per_s: f64,
    pub(crate) server_cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Load {
    /// Loads a server for one round, and counts the CPU time that its process took for it.
    pub(crate) fn run(&self, authority: &str, pid: u32, dir: &Path) -> Result<Sample> {
        let script = dir.join("post.lua");
        fs::write(&script, SCRIPT)?;
        let before = cpu(pid)?;
        let output = Command::new("wrk")
            .args(["-t1", "-c", &self.connections.to_string(), "-d", &format!("{}s", self.seconds), "-s"])
            .arg(&script)
            .arg(format!("https://{authority}/rpc"))
            .env("RPC_BODY", REQUEST)
            .output()
            .map_err(|error| Error::msg(format!("cannot run wrk ({error}); tests/bench-rpc installs it")))?;
        let spent = cpu(pid)?.saturating_sub(before);
        let said = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<f64> = said
            .lines()
            .find_map(|line| line.strip_prefix("figures "))
            .map(|line| line.split(' ').filter_map(|figure| figure.parse().ok()).collect())
            .unwrap_or_default();
        let &[calls, micros, p50_us, p99_us, errors] = figures.as_slice() else {
            return Err(Error::msg(format!("wrk gave no figures: {said}{}", String::from_utf8_lossy(&output.stderr))));
        };
        if errors > 0.0 || calls < 1.0 {
            return Err(Error::msg(format!("{errors} of {calls} calls failed, so that the round does not count: {said}")));
        }
        let server_cpu_us = spent.as_secs_f64() * 1e6 / calls;
        Ok(Sample { calls_per_s: calls / micros * 1e6, server_cpu_us, p50_us, p99_us })
    }
}

/// The CPU time that a process has taken, its children's not counted (proc(5), `/proc/PID/schedstat` of each thread).
fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += stat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Makes the measured request once, and gives the answer's body.
pub(crate) async fn fetch(authority: &str, root: &TrustedRoot) -> Result<String> {
    let stream = TcpNetwork.connect(authority).await?;
    let tls = ClientTls::new(TlsMaterial::trusting(root.clone()));
    let stream = tls.connect(stream, Expect::AnyNode, &[ALPN_HTTP1]).await?;
    let request =
        Request::post("/rpc").header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from_static(REQUEST.as_bytes())))?;
    let response = one_shot(Box::new(stream), request, RequestLimits::within(PATIENCE)).await?;
    let body = String::from_utf8(response.body().to_vec())?;
    if response.status() != 200 || !body.contains(r#""result":"#) {
        return Err(Error::msg(format!("the measured request is not answered as it should be: {} {body}", response.status())));
    }
    Ok(body)
}
