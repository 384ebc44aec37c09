//! `p2p ca show|rotate|share`: the cluster's root, and who issues certificates.

use std::time::Duration;

use clap::{Args, Subcommand};
use p2p_client::protocol::{NodeId, Role, UnixMillis};
use p2p_runtime::web::{CaReply, OtherRootShown, RootShown, RotateReply, RotateRequest, RotationShown, ShareRequest};
use serde_json::json;
use tokio::time::sleep;

use super::{
    Invocation,
    duration::left,
    error::CliError,
    json, nodes,
    output::{self, Format},
    socket::{Ask, Socket, decode, text},
};

/// How often a change of the root is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Names in one line, at most.
const NAMES: usize = 8;

/// Shows the cluster's root and who issues certificates, changes the root, and hands its key on
#[derive(Args)]
#[command(after_help = "Example:\n  {program} ca show\n  {program} ca rotate")]
pub(super) struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Subcommand)]
enum CaCommand {
    /// Shows the root that is trusted, who holds its key, what this node issues by, and how far a change of the root is
    #[command(after_help = "Example:\n  {program} ca show\n  {program} ca show --output json")]
    Show,
    Rotate(RotateArgs),
    Share(ShareArgs),
}

/// Changes the cluster's root: makes a new one, has everyone certified anew, and drops the old one
///
/// Run it on a coordinator that holds the root key. Both roots are trusted until every node has its new certificate; calls go on. The node does the
/// work: the command shows how far it is, and can be interrupted and run again. Nodes that are away keep it waiting; with --finish they are left behind.
/// Then open join tokens are void, and programs outside need the new fingerprint.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} ca rotate
  {program} ca rotate --detach  (the node goes on by itself; `{program} ca show` shows how far it is)
  {program} ca rotate --finish")]
struct RotateArgs {
    /// Drop the old root now: nodes that were not certified anew have to join again, with a token
    #[arg(long, conflicts_with_all = ["start_over", "detach"])]
    finish: bool,

    /// Begin anew, where the coordinator that had begun is lost for good
    #[arg(long)]
    start_over: bool,

    /// Begin, and do not wait for the end
    #[arg(long)]
    detach: bool,
}

/// Gives the root key to another coordinator, so that it can add coordinators and change the root as well
///
/// Run it on a coordinator that holds the key. The key goes over mutual TLS from store to store, and both nodes write it into their audit logs.
#[derive(Args)]
#[command(after_help = "Example:\n  {program} ca share coordinator-2")]
struct ShareArgs {
    /// The coordinator that is to hold the key as well
    #[arg(value_name = "ID")]
    node_id: NodeId,
}

/// Carries the command out.
pub(super) async fn run(args: CaArgs, invocation: &Invocation) -> Result<(), CliError> {
    let socket = Socket::of(invocation);
    match args.command {
        CaCommand::Show => show(&socket, invocation).await,
        CaCommand::Rotate(args) => rotate(args, &socket, invocation).await,
        CaCommand::Share(args) => share(args, &socket, invocation).await,
    }
}

async fn show(socket: &Socket<'_>, invocation: &Invocation) -> Result<(), CliError> {
    let answer = socket.ask(Ask::get("/admin/ca")).await?;
    match invocation.format {
        Format::Json => output::line(json::pretty(text(&answer)?)),
        Format::Table => output::line(table(&decode(&answer)?, UnixMillis::now())),
    }
    Ok(())
}

fn table(ca: &CaReply, now: UnixMillis) -> String {
    let since = ca.since.as_ref().map_or_else(
        || format!("{}, with the cluster", nodes::ago(ca.root.from, now)),
        |(at, by)| format!("{}, changed by {by}", nodes::ago(*at, now)),
    );
    let authority = match (&ca.authority, ca.role) {
        (Some(authority), _) if authority.root.to_string() == ca.root.fingerprint => {
            format!("under this root, valid for {}", left(authority.until, now))
        }
        (Some(authority), _) => format!("under the next root, valid for {}", left(authority.until, now)),
        (None, Role::Coordinator) => "none yet: it waits for a coordinator that holds the root key".to_owned(),
        (None, _) => "none: this node is a worker".to_owned(),
    };
    let mut rows = vec![
        ("cluster", ca.cluster.to_string()),
        ("root", format!("sha256:{}", ca.root.fingerprint)),
        ("since", since),
        ("valid for", left(ca.root.until, now)),
        ("root key", held_by(&ca.root, &ca.node_id)),
        ("issues", authority),
    ];
    rows.extend(ca.authority.iter().map(|authority| ("by key", authority.key.to_string())));
    if let Some(rotation) = &ca.rotation {
        let RotationShown { next, begun, by, .. } = rotation;
        rows.extend([
            ("next root", format!("sha256:{}", next.fingerprint)),
            ("begun", format!("{}, by {by}", nodes::ago(*begun, now))),
            ("its key", held_by(next, &ca.node_id)),
            ("certified", standing(rotation)),
        ]);
    }
    rows.extend(ca.unheard_of.iter().map(|other| ("other root", other_root(other))));
    output::pairs(&rows)
}

/// Halves of a split cluster that changed the root each by itself are one again only by a decision.
fn other_root(other: &OtherRootShown) -> String {
    format!(
        "sha256:{}, which {} has and this node never heard of: the root was changed on both sides of a split, or one of the two missed a change; decide which \
         root stays: each node of the other half joins again in its folder, with a fresh token of the half that stays",
        other.fingerprint, other.shown_by
    )
}

fn held_by(root: &RootShown, me: &NodeId) -> String {
    let name = |node_id: &NodeId| if node_id == me { format!("{node_id} (this node)") } else { node_id.to_string() };
    match root.held_by.as_slice() {
        [] => "none of the nodes that are alive holds it".to_owned(),
        nodes => format!("held by {}", output::list(nodes.iter().map(name))),
    }
}

/// "3 of 5; missing: a, b (away)"
fn standing(rotation: &RotationShown) -> String {
    let progress = &rotation.progress;
    let (nodes, missing) = (progress.nodes, progress.missing.len());
    let done = format!("{} of {nodes} nodes", nodes - missing.min(nodes));
    let unasked = match progress.unasked.as_slice() {
        [] => String::new(),
        unasked => format!("; not known whom {} let in (away)", output::list(unasked)),
    };
    if missing == 0 {
        return format!("{done}{unasked}");
    }
    let name = |node: &p2p_runtime::identity::rotation::Missing| {
        if node.is_away { format!("{} (away)", node.node_id) } else { node.node_id.to_string() }
    };
    let mut names: Vec<_> = progress.missing.iter().take(NAMES).map(name).collect();
    if missing > NAMES {
        names.push(format!("{} more", missing - NAMES));
    }
    format!("{done}; missing: {}{unasked}", output::list(names))
}

async fn rotate(args: RotateArgs, socket: &Socket<'_>, invocation: &Invocation) -> Result<(), CliError> {
    let RotateArgs { finish, start_over, detach } = args;
    let body =
        serde_json::to_vec(&RotateRequest { finish, start_over }).map_err(|error| CliError::Argument(error.to_string()))?;
    let answer = socket.ask(Ask::post("/admin/ca/rotate", body)).await?;
    let from = match decode(&answer)? {
        RotateReply::Finished { left_behind } => {
            if invocation.format == Format::Json {
                output::line(json::pretty(text(&answer)?));
                return Ok(());
            }
            report_left_behind(&left_behind, invocation);
            return report_end(socket, invocation).await;
        }
        RotateReply::Begun { from } => from,
        RotateReply::GoesOn { from } => {
            if invocation.format == Format::Table {
                output::line("The change of the root goes on.");
            }
            from
        }
    };
    if detach {
        return show(socket, invocation).await;
    }
    if invocation.format == Format::Table {
        output::line(format!(
            "Both roots are trusted while everyone gets a new certificate. Ctrl-C ends this display only; `{}` shows how far it is.",
            invocation.command("ca show")
        ));
    }
    follow(&from, socket, invocation).await?;
    report_end(socket, invocation).await
}

/// Waits until the old root is dropped, and says how far it is whenever that changes.
async fn follow(from: &str, socket: &Socket<'_>, invocation: &Invocation) -> Result<(), CliError> {
    let mut said = String::new();
    loop {
        let ca: CaReply = decode(&socket.ask(Ask::get("/admin/ca")).await?)?;
        if ca.root.fingerprint != from {
            return Ok(());
        }
        if let Some(rotation) = &ca.rotation {
            let now = standing(rotation);
            if now != said && invocation.format == Format::Table {
                output::line(format!("certified anew: {now}"));
                let only_away = !rotation.progress.is_done() && rotation.progress.missing.iter().all(|node| node.is_away);
                if only_away {
                    output::line(format!(
                        "Waiting for nodes that are away: start them, take them out with `{}`, or leave them behind with `{}`.",
                        invocation.command("node revoke ID"),
                        invocation.command("ca rotate --finish"),
                    ));
                }
            }
            said = now;
        }
        sleep(LOOK).await;
    }
}

fn report_left_behind(left: &p2p_runtime::identity::rotation::Progress, invocation: &Invocation) {
    if !left.unasked.is_empty() {
        output::line(format!(
            "{} could not be asked: nodes that only these coordinators have let in may be left behind, too.",
            output::list(&left.unasked)
        ));
    }
    if left.missing.is_empty() {
        return;
    }
    output::line(format!(
        "Left behind: {}. No node speaks with them any more. Each joins again in its own folder, with a token that `{}` makes here; it keeps its id.",
        output::list(left.missing.iter().map(|node| &node.node_id)),
        invocation.command("token create"),
    ));
}

async fn report_end(socket: &Socket<'_>, invocation: &Invocation) -> Result<(), CliError> {
    let answer = socket.ask(Ask::get("/admin/ca")).await?;
    let ca: CaReply = decode(&answer)?;
    match invocation.format {
        Format::Json => output::line(json::pretty(text(&answer)?)),
        Format::Table => output::line(format!(
            "The cluster's root is sha256:{} now, and the old one is not trusted any more; its key is erased.\n\
             Next: a fresh backup (`{}`), as older ones hold the old root; new join tokens; the new fingerprint for programs outside; and, where other \
             coordinators held the old key, `{}`.",
            ca.root.fingerprint,
            invocation.command("store backup FILE"),
            invocation.command("ca share ID"),
        )),
    }
    Ok(())
}

async fn share(args: ShareArgs, socket: &Socket<'_>, invocation: &Invocation) -> Result<(), CliError> {
    let request = ShareRequest { node_id: args.node_id };
    let body = serde_json::to_vec(&request).map_err(|error| CliError::Argument(error.to_string()))?;
    let answer = socket.ask(Ask { within: Duration::from_secs(30), ..Ask::post("/admin/ca/share", body) }).await?;
    let ShareRequest { node_id } = decode(&answer)?;
    match invocation.format {
        Format::Json => output::json_line(&json!({ "shared_with": node_id })),
        Format::Table => output::line(format!(
            "{node_id} holds the root key now, too: it can add coordinators, and change the root. To take that back, revoke the node and change the root."
        )),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use p2p_runtime::identity::rotation::{Missing, Progress};

    use super::*;

    #[test]
    fn how_far_a_change_is_names_who_is_missing_and_not_hundreds() {
        let next = RootShown {
            fingerprint: "ab".into(),
            from: UnixMillis(0),
            until: UnixMillis(0),
            held_by: vec![],
            is_held_here: true,
        };
        let missing =
            |count: usize| (0..count).map(|n| Missing { node_id: format!("w-{n}").parse().unwrap(), is_away: n == 0 }).collect();
        let rotation = |missing: Vec<Missing>| RotationShown {
            next: next.clone(),
            begun: UnixMillis(0),
            by: "c".parse().unwrap(),
            progress: Progress { nodes: 300, missing, unasked: vec![] },
        };
        assert_eq!(standing(&rotation(missing(0))), "300 of 300 nodes");
        assert_eq!(standing(&rotation(missing(2))), "298 of 300 nodes; missing: w-0 (away), w-1");
        assert!(standing(&rotation(missing(100))).ends_with("w-7, 92 more"));
        let mut unasked = rotation(missing(0));
        unasked.progress.unasked.push("d".parse().unwrap());
        assert_eq!(standing(&unasked), "300 of 300 nodes; not known whom d let in (away)");
    }
}
