//! A node in the foreground: what `start` and `join` end in.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use p2p_runtime::{
    config::NodeConfig,
    node::{Enrolment, Node, NodeBuilder},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Invocation,
    error::CliError,
    logging::Log,
    output::{self, Format},
    socket::socket_in,
};

/// Starts the node, says so, and runs it until somebody asks it to stop.
pub(super) async fn serve(
    enrolment: Enrolment,
    listen: Option<SocketAddr>,
    invocation: &Invocation,
    prepare: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> Result<(), CliError> {
    let cluster = enrolment.identity.peer().cluster.to_string();
    let level = enrolment.config.log_level;
    let mut builder = Node::builder().enrolment(enrolment);
    if let Some(listen) = listen {
        builder = builder.listen(listen);
    }
    invocation.log.set_level(level);
    let node = prepare(builder).start().await?;
    tokio::spawn(follow(node.config(), invocation.log.clone()));
    let ready = match invocation.format {
        Format::Json => for_programs(&node, &cluster, invocation).to_string(),
        Format::Table => for_people(&node, &cluster, invocation),
    };
    let mut running = pin!(node.run_until_shutdown());
    // It is polled first, so that a signal is heeded from before the node says that it is ready.
    tokio::select! {
        biased;
        ended = &mut running => return Ok(ended?),
        () = async { output::line(ready) } => {}
    }
    Ok(running.await?)
}

/// Logs as much as the configuration says, also when that is changed while the node runs.
async fn follow(mut config: watch::Receiver<Arc<NodeConfig>>, log: Log) {
    while config.changed().await.is_ok() {
        let level = config.borrow_and_update().log_level;
        log.set_level(level);
    }
}

fn for_programs(node: &Node, cluster: &str, invocation: &Invocation) -> Value {
    json!({
        "event": "ready",
        "node_id": node.id(),
        "role": node.role(),
        "cluster_id": cluster,
        "address": node.authority(),
        "url": node.url(),
        "health": format!("{}/health", node.url()),
        "socket": socket_in(&invocation.dir),
        "services": node.context().registry().names(),
    })
}

fn for_people(node: &Node, cluster: &str, invocation: &Invocation) -> String {
    let facts = output::pairs(&[
        ("node", format!("{} ({})", node.id(), node.role())),
        ("cluster", cluster.to_owned()),
        ("address", node.url()),
        ("health", format!("{}/health", node.url())),
        ("socket", socket_in(&invocation.dir).display().to_string()),
    ]);
    let services = output::table(
        ["SERVICE", "VERSION", "METHODS"],
        node.context().registry().list().into_iter().map(|service| {
            let descriptor = service.descriptor;
            let methods = output::list(descriptor.methods.iter().map(|method| &method.name));
            [descriptor.name.to_string(), descriptor.version.to_string(), methods]
        }),
    );
    format!("{facts}\n\n{services}\n\nThe node serves. Ctrl-C or `{}` stops it.", invocation.command("stop"))
}
