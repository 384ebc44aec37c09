//! `p2p stop`: stops the node in good order.

use p2p_runtime::web::LeaveReply;
use serde_json::json;

use super::{
    Invocation,
    error::CliError,
    output::{self, Format},
    socket::{Ask, Socket, decode},
};

/// Stops the node, and waits until it has stopped.
pub(super) async fn run(invocation: &Invocation) -> Result<(), CliError> {
    let socket = Socket::of(invocation);
    let LeaveReply { node_id } = decode(&socket.ask(Ask::post("/admin/stop", Vec::new())).await?)?;
    socket.wait_until_stopped().await?;
    match invocation.format {
        Format::Json => output::json_line(&json!({ "node_id": node_id, "stopped": true })),
        Format::Table => output::line(format!("{node_id} has stopped; `{}` brings it back.", invocation.command("start"))),
    }
    Ok(())
}
