//! Nodes for examples: on this machine only, each with its own folder, key and store. [`quickstart`](../quickstart.rs) shows the same step
//! by step.

use std::{net::Ipv4Addr, path::Path};

use p2p_runtime::{
    identity::{Host, TokenOptions},
    node::{Enrolment, InitOptions, JoinClusterOptions, init, join},
};
use p2p_services::prelude::*;

const LOOPBACK: Host = Host::Ip(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));

/// Makes a cluster, whose coordinator is to be started with what is returned.
pub(crate) async fn new_cluster(folder: &Path) -> Result<Enrolment> {
    let options = InitOptions {
        dir: folder.join("coordinator"),
        password: Password::new("a password for this run")?,
        node_id: Some("coordinator".parse()?),
        advertise: Some(LOOPBACK),
        listen: None,
        capabilities: Vec::new(),
    };
    Ok(init(options).await?.enrolment)
}

/// Joins the coordinator's cluster; the worker is to be started with what is returned.
pub(crate) async fn join_cluster(folder: &Path, node_id: &str, coordinator: &Node) -> Result<Enrolment> {
    let issuer = coordinator.issuer().ok_or_else(|| Error::msg("the coordinator issues tokens"))?;
    let token = issuer.create_token(TokenOptions::default()).await?;
    let password = Password::new("another password for this run")?;
    let options = JoinClusterOptions {
        node_id: Some(node_id.parse()?),
        advertise: Some(LOOPBACK),
        ..JoinClusterOptions::new(folder.join(node_id), password, coordinator.authority(), token)
    };
    Ok(join(options).await?.enrolment)
}
