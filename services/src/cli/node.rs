//! `p2p node`: lets nodes in that wait for it, takes nodes back, and shows what was taken back.

mod approval;

use clap::{Args, Subcommand};
use p2p_client::{
    protocol::NodeId,
    revocation::{KeyHash, Reason, Subject},
};
use p2p_runtime::web::{RevocationInfo, RevokeReply, RevokeRequest, RevokeWhat};
use serde_json::json;

use super::{
    Invocation,
    error::CliError,
    json, nodes,
    output::{self, Format},
    socket::{Ask, Socket, decode, text},
};

/// Lets nodes into the cluster that wait for it, and takes nodes out that do not go by themselves
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} node pending
  {program} node approve worker-7
  {program} node revoke worker-3 --reason \"stolen laptop\"")]
pub(super) struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Subcommand)]
enum NodeCommand {
    /// Lists the nodes that wait for approval at the coordinator in this folder
    ///
    /// They have joined with a token of `token create --approve manual`. What is shown of them was proved: the key, and that the addresses are
    /// theirs.
    #[command(after_help = "Example:\n  {program} node pending\n  {program} node pending --output json")]
    Pending,
    Approve(approval::ApproveArgs),
    Deny(approval::DenyArgs),
    Revoke(RevokeArgs),
    /// Lists what was revoked: nodes, keys and tokens, with when, by whom and why
    #[command(after_help = "Example:\n  {program} node revoked\n  {program} node revoked --output json")]
    Revoked,
}

/// Revokes a node for good: no other node speaks with it any more, and open connections are cut
///
/// Run it on a coordinator. The revocation is signed, kept, and spread at once; nodes that are away get it when they are back. The node
/// comes back only with a new key, by a token that names it: `token create --node-id ID`. Of a coordinator, all that it has issued is revoked with
/// it, as whoever has its store makes nodes of any name: nodes that it certified join again. (--keep-issued spares them.) Nodes that stood on it when
/// they got a certificate or an authority of another coordinator are named, and not revoked.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} node revoke worker-3
  {program} node revoke worker-3 --reason \"stolen laptop\"
  {program} node revoke coordinator-2 --keep-issued --reason \"its disk died\"
  {program} node revoke --key 5c0f…9e  (a key, by the SHA-256 of its public half, with all that it signed)")]
struct RevokeArgs {
    /// The node
    #[arg(value_name = "ID", required_unless_present = "key")]
    node_id: Option<NodeId>,

    /// A key in the place of a node: the SHA-256 of its SubjectPublicKeyInfo, in hexadecimal
    #[arg(long, value_name = "SHA256", conflicts_with = "node_id")]
    key: Option<KeyHash>,

    /// Of a coordinator, keep what it has issued in force. Only for one that is dead, and whose store nobody can have, backups included: whoever has
    /// it lets in nodes of any name
    #[arg(long, conflicts_with = "key")]
    keep_issued: bool,

    /// Why; every node shows it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: Reason,
}

/// Reads a reason.
pub(super) fn reason(text: &str) -> Result<Reason, String> {
    Reason::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Carries the command out.
pub(super) async fn run(args: NodeArgs, invocation: &Invocation) -> Result<(), CliError> {
    match args.command {
        NodeCommand::Pending => approval::pending(invocation).await,
        NodeCommand::Approve(args) => approval::approve(args, invocation).await,
        NodeCommand::Deny(args) => approval::deny(args, invocation).await,
        NodeCommand::Revoke(RevokeArgs { node_id, key, keep_issued, reason }) => {
            let what = match (node_id, key) {
                (Some(node_id), _) if keep_issued => RevokeWhat::LostCoordinator(node_id),
                (Some(node_id), _) => RevokeWhat::Node(node_id),
                (None, Some(key)) => RevokeWhat::Key(key),
                (None, None) => return Err(CliError::Argument("name the node, or a key with --key".to_owned())),
            };
            let reply = revoke(RevokeRequest { what: what.clone(), reason }, invocation).await?;
            report(&what, &reply, invocation);
            Ok(())
        }
        NodeCommand::Revoked => list(invocation).await,
    }
}

/// Asks the node to revoke.
pub(super) async fn revoke(request: RevokeRequest, invocation: &Invocation) -> Result<RevokeReply, CliError> {
    let body = serde_json::to_vec(&request).map_err(|error| CliError::Argument(error.to_string()))?;
    decode(&Socket::of(invocation).ask(Ask::post("/admin/revoke", body)).await?)
}

fn report(what: &RevokeWhat, reply: &RevokeReply, invocation: &Invocation) {
    let name = what.to_string();
    match invocation.format {
        Format::Json => output::json_line(&json!({
            "revoked": reply.made, "known": reply.known, "out_again": reply.out_again, "stranded": reply.stranded,
            "descended": reply.descended, "held_root_key": reply.held_root_key, "kept": reply.kept,
        })),
        Format::Table if reply.made.is_empty() => {
            output::line(format!("{name} was revoked before; nothing has changed."));
            follows(what, reply, invocation);
        }
        Format::Table => {
            output::line(format!(
                "{name} is revoked. The other nodes are being told; those that are away learn of it when they are back."
            ));
            match what {
                RevokeWhat::Node(node_id) | RevokeWhat::LostCoordinator(node_id) if reply.known => {
                    let again = invocation.command(&format!("token create --node-id {node_id}"));
                    output::line(format!("To let it in again, with a new key: `{again}`."));
                }
                RevokeWhat::Node(_) | RevokeWhat::LostCoordinator(_) => {
                    output::line(format!(
                        "No node of this name is known here: check the name with `{}`.",
                        invocation.command("nodes")
                    ));
                }
                RevokeWhat::Key(_) | RevokeWhat::Token(_) => {}
            }
            for line in along(what, &reply.made) {
                output::line(line);
            }
            follows(what, reply, invocation);
            for node_id in &reply.out_again {
                let again = invocation.command(&format!("token create --node-id {node_id}"));
                output::line(format!(
                    "Out with it is {node_id}, which it had let in again. To let that in once more: `{again}`."
                ));
            }
        }
    }
}

/// What was revoked by the same command beside what was named, one line each: nobody is to find out by what fails.
fn along(what: &RevokeWhat, made: &[RevocationInfo]) -> Vec<String> {
    let is_named = |subject: &Subject| match (what, subject) {
        (RevokeWhat::Node(named) | RevokeWhat::LostCoordinator(named), Subject::Node { node_id }) => named == node_id,
        (RevokeWhat::Key(named), Subject::Key { key }) => named == key,
        (RevokeWhat::Token(_), _) => true,
        _ => false,
    };
    let others = made.iter().filter(|revocation| !is_named(&revocation.subject));
    let line = |revocation: &RevocationInfo| match &revocation.subject {
        Subject::Readmission { node_id, .. } => {
            format!("{node_id}, which it had let in again, stays in by the word of this node.")
        }
        other => format!("Revoked with it: {} {}.", kind(other), name(other)),
    };
    others.map(line).collect()
}

/// Says what follows for others, now as ever: also where nothing was left to revoke.
fn follows(what: &RevokeWhat, reply: &RevokeReply, invocation: &Invocation) {
    if !reply.stranded.is_empty() {
        output::line(format!(
            "Out with it, as it had issued their certificates: {}. Each joins again in its own folder, with `{}` and a token that `{}` makes here; it keeps its \
             id.",
            output::list(&reply.stranded),
            invocation.command("join --again ADDR"),
            invocation.command("token create"),
        ));
    }
    outlives(what, reply, invocation);
    for key in &reply.kept {
        output::line(kept(key, what, invocation));
    }
    if !reply.on_kept.is_empty() {
        output::line(format!("On what is in force still stand, as they were last seen: {}.", output::list(&reply.on_kept)));
    }
    if reply.without_authority {
        output::line(format!(
            "It is a coordinator, and no issuing authority of it is known here: if it has one, that is in force, with what it has issued. Run the command on a \
             coordinator that holds the root key (`{}` says which do).",
            invocation.command("ca show"),
        ));
    }
}

/// Says who may outlive what was revoked.
fn outlives(what: &RevokeWhat, reply: &RevokeReply, invocation: &Invocation) {
    if !reply.descended.is_empty() {
        output::line(format!(
            "Not revoked, but certified or given an authority here while they stood on what is revoked: {}. Whoever had its keys may have made them. Revoke \
             those that nobody knows: `{}`. The other coordinators name those of their own in their logs.",
            output::list(&reply.descended),
            invocation.command("node revoke ID"),
        ));
    }
    if reply.held_root_key && !matches!(what, RevokeWhat::LostCoordinator(_)) {
        output::line(format!(
            "It holds the root key, or once did: whoever has that makes authorities of any name, which nobody can name. If somebody may have its store, give the cluster \
             a new root: `{}`.",
            invocation.command("ca rotate"),
        ));
    }
}

/// What is to be done about an authority that is still in force.
fn kept(key: &KeyHash, what: &RevokeWhat, invocation: &Invocation) -> String {
    let revoke = invocation.command(&format!("node revoke --key {key}"));
    if matches!(what, RevokeWhat::LostCoordinator(_)) {
        return format!(
            "Still in force is its issuing authority {key}, with what that has issued: whoever has its key lets in nodes of any name. Once these nodes \
             were certified by other coordinators (`{} cert renew` does it on each; by itself it happens before a certificate runs out), revoke it, too: `{revoke}`.",
            invocation.program
        );
    }
    format!(
        "Still in force is its issuing authority {key}: this node's own certificate stands on it. Revoke it on another coordinator: `{revoke}`."
    )
}

async fn list(invocation: &Invocation) -> Result<(), CliError> {
    let answer = Socket::of(invocation).ask(Ask::get("/admin/revocations")).await?;
    match invocation.format {
        Format::Json => output::line(json::pretty(text(&answer)?)),
        Format::Table => {
            let all: Vec<RevocationInfo> = decode(&answer)?;
            let now = p2p_client::protocol::UnixMillis::now();
            let rows = all.iter().map(|revocation| {
                let RevocationInfo { subject, at, by, reason } = revocation;
                [kind(subject).to_owned(), name(subject), nodes::ago(*at, now), by.to_string(), reason.as_str().to_owned()]
            });
            output::line(output::table(["WHAT", "WHICH", "WHEN", "BY", "WHY"], rows));
        }
    }
    Ok(())
}

fn kind(subject: &Subject) -> &'static str {
    match subject {
        Subject::Node { .. } => "node",
        Subject::Key { .. } => "key",
        Subject::JoinToken { .. } => "join token",
        Subject::ClientToken { .. } => "client token",
        Subject::Readmission { .. } => "node, let in again",
    }
}

fn name(subject: &Subject) -> String {
    match subject {
        Subject::Node { node_id } | Subject::Readmission { node_id, .. } => node_id.to_string(),
        Subject::Key { key } => key.to_string(),
        Subject::JoinToken { id, .. } => id.clone(),
        Subject::ClientToken { id, .. } => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::protocol::UnixMillis;

    use super::*;

    #[test]
    fn what_is_revoked_beside_the_node_is_told_and_what_was_named_is_not_told_twice() {
        let (node_id, other): (NodeId, NodeId) = ("c".parse().unwrap(), "w".parse().unwrap());
        let key = KeyHash::new([7; 32]);
        let subjects =
            [Subject::Node { node_id: node_id.clone() }, Subject::Key { key }, Subject::Readmission { node_id: other, key }];
        let info = |subject| RevocationInfo { subject, at: UnixMillis(1), by: "b".parse().unwrap(), reason: Reason::default() };
        let made = subjects.map(info);
        assert_eq!(
            along(&RevokeWhat::LostCoordinator(node_id), &made),
            [
                format!("Revoked with it: key {key}."),
                "w, which it had let in again, stays in by the word of this node.".to_owned()
            ]
        );
        assert!(along(&RevokeWhat::Key(key), &made[1..2]).is_empty());
    }
}
