//! `p2p node pending|approve|deny`: an operator decides which nodes come in.
//!
//! What is approved is what was shown. The request is looked up first, shown, and then named whole: the coordinator refuses where
//! it is another one by then. Whoever sits at a terminal compares the key; a program names it with `--key`.

use std::str::FromStr;

use clap::Args;
use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::{KeyHash, Reason},
};
use p2p_runtime::{
    identity::PendingNode,
    web::{ApprovalCommand, ApprovalReply},
};
use serde_json::json;

use super::{
    super::{
        Invocation, consent, duration,
        error::CliError,
        nodes,
        output::{self, Format},
        socket::{Ask, Socket, decode},
    },
    reason,
};

/// Lets a node in that waits for approval: this key under this name, in this role, at these addresses
///
/// Compare the key with the one that `join` shows on the node itself. Without --key the request is shown, and the command asks. The node
/// gets its certificate within seconds, or when it asks next. Run it on the coordinator that the node asked.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} node approve worker-7
  {program} node approve worker-7 --key sha256:5c0f…9e")]
pub(super) struct ApproveArgs {
    /// The node, as `node pending` shows it
    #[arg(value_name = "ID")]
    node_id: NodeId,

    /// Its key, as `join` shows it on the node; then nothing is asked
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    key: Option<KeyHash>,
}

/// Refuses a node that waits for approval
///
/// The node is told, and why. Its use of the token is not given back. An approval of which the node has made no use is taken back by it.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} node deny worker-7 --reason \"not one of ours\"
  {program} node deny worker-7 --key sha256:5c0f…9e")]
pub(super) struct DenyArgs {
    /// The node, as `node pending` shows it
    #[arg(value_name = "ID")]
    node_id: NodeId,

    /// Its key, where several nodes want the same name
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    key: Option<KeyHash>,

    /// Why; the node is told
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: Reason,
}

/// A key as `join` and `node pending` show it.
fn fingerprint(text: &str) -> Result<KeyHash, String> {
    text.strip_prefix("sha256:").unwrap_or(text).parse().map_err(|error: <KeyHash as FromStr>::Err| error.to_string())
}

/// Lists the nodes that wait.
pub(super) async fn pending(invocation: &Invocation) -> Result<(), CliError> {
    let ApprovalReply::List { nodes } = ask(&ApprovalCommand::List, invocation).await? else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!(nodes)),
        Format::Table if nodes.is_empty() => output::line("No node waits for approval at this coordinator."),
        Format::Table => {
            let now = UnixMillis::now();
            let header = ["NODE", "ROLE", "ADDRESSES", "KEY", "TOKEN", "SINCE", "EXPIRES IN", "STATE"];
            output::line(output::table(header, nodes.iter().map(|node| row(node, now))));
        }
    }
    Ok(())
}

fn row(node: &PendingNode, now: UnixMillis) -> [String; 8] {
    [
        node.node_id.to_string(),
        node.role.to_string(),
        addresses(node),
        format!("sha256:{}", node.key),
        node.token.to_string(),
        nodes::ago(node.since, now),
        duration::left(node.expires, now),
        if node.approved.is_some() { "approved, has not come yet" } else { "waits" }.to_owned(),
    ]
}

fn addresses(node: &PendingNode) -> String {
    output::list(&node.addresses)
}

/// Lets a node in.
pub(super) async fn approve(args: ApproveArgs, invocation: &Invocation) -> Result<(), CliError> {
    let node = find(args.node_id, args.key, invocation).await?;
    if node.approved.is_none() && args.key.is_none() && !agreed(&node)? {
        let again = invocation.command(&format!("node approve {} --key sha256:{}", node.node_id, node.key));
        return Err(CliError::NotApproved { again });
    }
    let command = ApprovalCommand::Approve { node: node.clone() };
    let ApprovalReply::Approve = ask(&command, invocation).await? else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "approved": node })),
        Format::Table => output::line(format!(
            "{} is approved as a {}, at {}, with the key sha256:{}. It gets its certificate when it asks next.",
            node.node_id,
            node.role,
            addresses(&node),
            node.key
        )),
    }
    Ok(())
}

/// Refuses a node.
pub(super) async fn deny(args: DenyArgs, invocation: &Invocation) -> Result<(), CliError> {
    let node = find(args.node_id, args.key, invocation).await?;
    let command = ApprovalCommand::Deny { node: node.clone(), reason: args.reason };
    let ApprovalReply::Deny = ask(&command, invocation).await? else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "denied": node })),
        Format::Table => output::line(format!(
            "{} with the key sha256:{} is denied, and is told so. Its use of the token {} is not given back.",
            node.node_id, node.key, node.token
        )),
    }
    Ok(())
}

async fn find(node_id: NodeId, key: Option<KeyHash>, invocation: &Invocation) -> Result<PendingNode, CliError> {
    match ask(&ApprovalCommand::Find { node_id, key }, invocation).await? {
        ApprovalReply::Find { node } => Ok(node),
        _ => Err(unexpected()),
    }
}

/// Shows the request, and asks whoever sits there.
fn agreed(node: &PendingNode) -> Result<bool, CliError> {
    let facts = output::pairs(&[
        ("node", format!("{} ({})", node.node_id, node.role)),
        ("addresses", addresses(node)),
        ("key", format!("sha256:{}", node.key)),
        ("token", node.token.to_string()),
        ("since", nodes::ago(node.since, UnixMillis::now())),
    ]);
    consent::given(&format!("{facts}\n\nLet it in? Compare the key with that which the node shows."))
}

async fn ask(command: &ApprovalCommand, invocation: &Invocation) -> Result<ApprovalReply, CliError> {
    let body = serde_json::to_vec(command).map_err(|error| CliError::Argument(error.to_string()))?;
    decode(&Socket::of(invocation).ask(Ask::post("/admin/approvals", body)).await?)
}

fn unexpected() -> CliError {
    CliError::BadAnswer("it answers another question".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown_and_bare() {
        let hex = "5c".repeat(32);
        assert_eq!(fingerprint(&format!("sha256:{hex}")), fingerprint(&hex));
        assert!(fingerprint("sha256:5c").unwrap_err().contains("64 hexadecimal digits"));
    }
}
