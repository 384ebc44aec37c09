//! `p2p join`: enrols a node in a cluster, and runs it.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use p2p_client::protocol::{Role, UnixMillis};
use p2p_runtime::{
    identity::{JoinEvent, JoinToken, TokenError},
    node::{self, JoinClusterOptions, NodeBuilder},
    storage::{RecoveryKey, Store},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Invocation, address, duration,
    error::CliError,
    node_args::NodeArgs,
    output::{self, Format},
    password::{Kept, PasswordArgs, Purpose, read_private_file, read_secret},
    running,
};

/// The variable that may hold the join token.
pub(super) const VARIABLE: &str = "P2P_JOIN_TOKEN";

/// Enrols this node in a cluster, and then runs it as `start` does
///
/// The token comes by --token, --token-file, P2P_JOIN_TOKEN or standard input. It names the cluster's root key, so that nothing is
/// trusted on first sight. While the node joins, the coordinator must reach it on port 8802. A join that was refused or interrupted
/// can be tried again in the same folder. Where the token asks for an operator's approval, the node says what the operator has to do, and
/// waits; it may be interrupted, and goes on waiting when the command is given again.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} join 10.0.0.5 --token P2PJ1.…
  {program} join head.example:8001 --token-file /run/secrets/token --node-id worker-1 --capability gpu
  ssh head {program} token create --quiet | {program} join head")]
pub(super) struct JoinArgs {
    /// A coordinator's address; without a port it is 8001
    #[arg(value_name = "ADDR", value_parser = address::authority)]
    authority: String,

    /// The join token. Other users of this machine can see arguments: on a shared one, use another way
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Read the join token from this file, which no other user may read
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,

    /// What to join as; the token must be for the same
    #[arg(long, value_name = "ROLE", default_value_t = Role::Worker)]
    role: Role,

    /// Join again although this node's own certificate looks good: where the coordinator that issued it was revoked
    #[arg(long)]
    again: bool,

    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Joins, and runs the node.
pub(super) async fn run(
    args: JoinArgs,
    invocation: &Invocation,
    prepare: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> Result<(), CliError> {
    // First the token: it is checked before anybody types a password.
    let token = token(&args)?;
    let purpose = if Store::exists(&invocation.dir)? { Purpose::Open } else { Purpose::New };
    let password = args.password.read(purpose)?;

    let (format, program) = (invocation.format, invocation.program.clone());
    let NodeArgs { node_id, advertise, listen, capabilities } = args.node;
    let options = JoinClusterOptions {
        role: args.role,
        again: args.again,
        node_id,
        advertise,
        listen,
        capabilities,
        progress: Arc::new(move |event| tell(format, &program, &event)),
        store_made: Box::new(move |key| tell_recovery_key(format, key)),
        ..JoinClusterOptions::new(&invocation.dir, password, args.authority, token)
    };
    let joined = node::join(options).await?;
    running::serve(joined.enrolment, None, invocation, prepare).await
}

/// Gets the token.
fn token(args: &JoinArgs) -> Result<JoinToken, CliError> {
    if let Some(token) = &args.token {
        return Ok(token.parse()?);
    }
    if let Some(path) = &args.token_file {
        return parse(&read_private_file(path, Kept::JoinToken)?);
    }
    if let Some(value) = std::env::var_os(VARIABLE) {
        return parse(&Zeroizing::new(value.into_encoded_bytes()));
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(CliError::NoToken);
    }
    if args.password.take_stdin() {
        return Err(CliError::OneInput);
    }
    let read = read_secret(stdin.lock(), "standard input".to_owned())?;
    if read.trim_ascii().is_empty() { Err(CliError::NoToken) } else { parse(&read) }
}

fn parse(token: &[u8]) -> Result<JoinToken, CliError> {
    let token = std::str::from_utf8(token).map_err(|_| TokenError::WrongPrefix)?;
    Ok(token.parse()?)
}

/// Shows the recovery key, once.
fn tell_recovery_key(format: Format, key: &RecoveryKey) {
    let key = key.reveal();
    match format {
        Format::Json => output::json_line(&json!({ "event": "store_made", "recovery_key": *key })),
        Format::Table => output::line(format!(
            "recovery key  {}\n\nWrite it down and keep it elsewhere: it opens this node's store when the password is lost,\n\
             and is not shown again.\n",
            *key
        )),
    }
}

/// Shows a step.
fn tell(format: Format, program: &str, event: &JoinEvent) {
    let (step, text) = step(program, event);
    match format {
        Format::Json => output::json_line(&step),
        Format::Table => output::line(text),
    }
}

/// A step, for programs and for people.
fn step(program: &str, event: &JoinEvent) -> (Value, String) {
    match event {
        JoinEvent::Connecting { authority } => {
            (json!({ "event": "connecting", "authority": authority }), format!("Connecting to {authority} …"))
        }
        JoinEvent::Verified { node_id } => (
            json!({ "event": "verified", "node_id": node_id }),
            format!("The coordinator has the root key that the token names. Joining as {node_id} …"),
        ),
        JoinEvent::SentOn { coordinator } => (
            json!({ "event": "sent_on", "coordinator": coordinator.node_id, "authority": coordinator.authority }),
            format!("the token was made by {}: joining there, at {}", coordinator.node_id, coordinator.authority),
        ),
        JoinEvent::ClockSkew { ahead_s } => (
            json!({ "event": "clock_skew", "ahead_seconds": ahead_s }),
            format!(
                "This machine's clock is {} s {} the coordinator's: set the wrong one right (NTP), or the two may refuse each other's certificates.",
                ahead_s.unsigned_abs(),
                if *ahead_s > 0 { "ahead of" } else { "behind" }
            ),
        ),
        JoinEvent::WaitingForTurn { wait } => (
            json!({ "event": "waiting_for_turn", "wait_ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }),
            format!("The coordinator takes no more requests from this address for now: waiting {} ms …", wait.as_millis()),
        ),
        JoinEvent::WaitingForPort { port } => (
            json!({ "event": "waiting_for_port", "port": port }),
            format!("Port {port} is held by another process, which may be joining too; waiting for it …"),
        ),
        JoinEvent::Answering { port } => {
            (json!({ "event": "answering", "port": port }), format!("Answering the coordinator's challenge on port {port} …"))
        }
        JoinEvent::WaitingForApproval { coordinator, node_id, key, within } => (
            json!({
                "event": "waiting_for_approval", "coordinator": coordinator, "node_id": node_id, "key": key,
                "within_seconds": within.as_secs(),
            }),
            format!(
                "waiting for approval: on the coordinator {coordinator} run `{program} node approve {node_id}` (key sha256:{key}).\n\
                 It can be approved for {}. If this is interrupted, the same command goes on.",
                in_minutes(*within)
            ),
        ),
        JoinEvent::CoordinatorAway { authority, reason, wait, left } => (
            json!({
                "event": "coordinator_away", "authority": authority, "reason": reason,
                "wait_ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "left_seconds": left.as_secs(),
            }),
            format!(
                "still waiting: the coordinator at {authority} cannot be asked ({reason}); it keeps the request, which expires in {}.\n\
                 Asking again in {} s. If it stays away, see that it runs and can be reached from here …",
                in_minutes(*left),
                wait.as_secs().max(1)
            ),
        ),
        JoinEvent::Issued { left_out } => {
            let not_in_it = left_out.iter().map(|one| format!("\nNot in it is {} ({}).", one.address, one.reason));
            let text = format!("The certificate is there.{}", not_in_it.collect::<String>());
            (json!({ "event": "issued", "left_out": left_out }), text)
        }
        // Steps of a later version of the node.
        other => (json!({ "event": "other" }), format!("{other:?}")),
    }
}

/// A time as people say it, in whole minutes: what an answer took on its way does not make it six days instead of seven.
fn in_minutes(left: Duration) -> String {
    duration::left(UnixMillis(left.as_secs().div_ceil(60) * 60_000), UnixMillis(0))
}

#[cfg(test)]
mod tests {
    use p2p_runtime::identity::join::Seed;

    use super::*;

    #[test]
    fn who_joins_is_told_at_which_coordinator() {
        let coordinator = Seed { node_id: "coordinator-2".parse().unwrap(), authority: "10.0.0.2:8001".into() };
        let (told, text) = step("p2p", &JoinEvent::SentOn { coordinator });
        assert_eq!(text, "the token was made by coordinator-2: joining there, at 10.0.0.2:8001");
        assert_eq!(told, json!({ "event": "sent_on", "coordinator": "coordinator-2", "authority": "10.0.0.2:8001" }));
    }

    #[test]
    fn a_joiner_whose_clock_is_off_is_told_by_how_much_and_in_which_direction_and_what_to_do() {
        for (ahead_s, said) in [(660, "660 s ahead of"), (-31_536_060, "31536060 s behind")] {
            let (told, text) = step("p2p", &JoinEvent::ClockSkew { ahead_s });
            assert_eq!(
                text,
                format!(
                    "This machine's clock is {said} the coordinator's: set the wrong one right (NTP), or the two may refuse each other's \
                     certificates."
                )
            );
            assert_eq!(told, json!({ "event": "clock_skew", "ahead_seconds": ahead_s }));
        }
    }

    #[test]
    fn who_waits_for_a_coordinator_that_is_away_is_told_that_the_request_is_kept_for_how_long_and_what_to_look_at() {
        let (wait, left) = (Duration::from_secs(30), Duration::from_secs(7 * 86_400 - 30));
        let (authority, reason) = ("10.0.0.2:8001".to_owned(), "no connection: connection refused".to_owned());
        let (told, text) = step("p2p", &JoinEvent::CoordinatorAway { authority, reason, wait, left });
        assert_eq!(
            text,
            "still waiting: the coordinator at 10.0.0.2:8001 cannot be asked (no connection: connection refused); it keeps the request, \
             which expires in 7 days.\nAsking again in 30 s. If it stays away, see that it runs and can be reached from here …"
        );
        assert_eq!((&told["left_seconds"], &told["wait_ms"]), (&json!(604_770), &json!(30_000)));
    }
}
