//! The measured node.

use std::path::Path;

use p2p_runtime::{config::RateLimitConfig, node::Enrolment};
use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::password;

/// What the measured method answers: about 240 bytes of JSON with the envelope.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(crate) struct Seen {
    id: u64,
    name: String,
    address: String,
    port: u16,
    healthy: bool,
    load: f64,
    capabilities: Vec<String>,
    uptime_s: u64,
    note: String,
}

/// The measured service.
#[derive(Default)]
struct Bench;

#[service(version = "1.0.0")]
impl Bench {
    /// Makes something small of its parameters.
    #[service_method(anonymous, read_only)]
    async fn look(&self, id: u64, name: String) -> Result<Seen> {
        Ok(Seen {
            id,
            name,
            address: "198.51.100.17".to_owned(),
            port: 8002,
            healthy: true,
            load: 0.25,
            capabilities: vec!["gpu".to_owned(), "eu-west".to_owned()],
            uptime_s: 86_400,
            note: "what a small answer of a service looks like".to_owned(),
        })
    }
}

/// Limits that are looked at for each call, and never reached: all of them come from one address.
fn raised() -> RateLimitConfig {
    RateLimitConfig { rpc_requests: 1_000_000_000, rpc_burst: 1_000_000_000, ..RateLimitConfig::default() }
}

/// Runs the node as `p2p start` does, but with raised limits of the nameless, and says where it is reached.
pub(crate) async fn run(dir: &Path) -> Result<()> {
    let enrolment = Enrolment::open(dir, password()?).await?;
    let node = Node::builder().enrolment(enrolment).rate_limit(raised()).serve(Bench).start().await?;
    println!("{}", node.authority());
    node.run_until_shutdown().await?;
    Ok(())
}
