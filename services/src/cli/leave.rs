//! `p2p leave`: takes the node out of its cluster for good.

use p2p_runtime::web::LeaveReply;
use serde_json::json;

use super::{
    Invocation,
    error::CliError,
    output::{self, Format},
    socket::{Ask, Socket, decode},
};

/// Has the node leave, and waits until it has stopped.
pub(super) async fn run(invocation: &Invocation) -> Result<(), CliError> {
    let socket = Socket::of(invocation);
    let LeaveReply { node_id } = decode(&socket.ask(Ask::post("/admin/leave", Vec::new())).await?)?;
    socket.wait_until_stopped().await?;
    match invocation.format {
        Format::Json => output::json_line(&json!({ "node_id": node_id, "left": true })),
        Format::Table => output::line(format!(
            "{node_id} has left its cluster and stopped. Its folder {} can be removed; to come back, join anew in another.",
            invocation.dir.display()
        )),
    }
    Ok(())
}
