//! `p2p services`: what the node hosts.

use std::collections::BTreeMap;

use p2p_client::protocol::Access;
use p2p_runtime::web::ServiceStatus;

use super::{
    Invocation,
    error::CliError,
    json,
    output::{self, Format},
    signature,
    socket::{Ask, Socket, decode, text},
};

/// Lists the services.
pub(super) async fn run(invocation: &Invocation) -> Result<(), CliError> {
    let answer = Socket::of(invocation).ask(Ask::get("/services")).await?;
    match invocation.format {
        Format::Json => output::line(json::pretty(text(&answer)?)),
        Format::Table => {
            let services: BTreeMap<String, ServiceStatus> = decode(&answer)?;
            output::line(output::table(["SERVICE", "VERSION", "METHOD", "ACCESS", "CALLS"], services.values().flat_map(rows)));
        }
    }
    Ok(())
}

/// A row for each method; the service is named in the first.
fn rows(service: &ServiceStatus) -> Vec<[String; 5]> {
    let described = &service.descriptor;
    let row = |(index, method): (usize, &p2p_client::protocol::MethodDescriptor)| {
        let calls = service.metrics.get(&*method.name).map_or(0, |counted| counted.calls);
        let first = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
        [first(&described.name), first(&described.version), signature::of(method), access(&method.access), calls.to_string()]
    };
    described.methods.iter().enumerate().map(row).collect()
}

/// An access class, as it is written in a program.
fn access(access: &Access) -> String {
    match access {
        Access::Nodes => "nodes".to_owned(),
        Access::Public => "public".to_owned(),
        Access::Scope(scope) => format!("scope {scope}"),
        Access::Role(role) => format!("role {role}"),
        Access::Anonymous => "anonymous".to_owned(),
        other => other.to_string(),
    }
}
