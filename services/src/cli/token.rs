//! `p2p token create`: makes what lets a new node in.

use std::{num::NonZeroU32, time::Duration};

use clap::{Args, Subcommand};
use p2p_client::protocol::{NodeId, Role};
use p2p_runtime::{
    identity::TokenOptions,
    node::{self, Enrolment, NodeError},
    storage::Store,
    web::{TokenReply, TokenRequest},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Invocation,
    address::with_port,
    duration,
    error::CliError,
    output::{self, Format},
    password::{PasswordArgs, Purpose},
    socket::{Ask, Socket, decode},
};

/// Makes join tokens, which let new nodes in
#[derive(Args)]
#[command(after_help = "Example:\n  {program} token create")]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    Create(CreateArgs),
}

/// Makes a join token, and prints it with the command that uses it
///
/// The coordinator in this folder is asked, or its store opened when it does not run. The token is shown this once.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} token create
  {program} token create --role coordinator --ttl 15m
  {program} token create --uses 20 --ttl 7d --quiet > token")]
struct CreateArgs {
    /// The role of the node that joins with it
    #[arg(long, value_name = "ROLE", default_value_t = Role::Worker)]
    role: Role,

    /// How long it is good
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration::parse)]
    ttl: Duration,

    /// For how many nodes it is good
    #[arg(long, value_name = "N", default_value = "1")]
    uses: NonZeroU32,

    /// The only node id that it is good for
    #[arg(long, value_name = "ID")]
    node_id: Option<NodeId>,

    /// Print the token and nothing else
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Makes a token.
pub(super) async fn run(args: TokenArgs, invocation: &Invocation) -> Result<(), CliError> {
    let TokenCommand::Create(args) = args.command;
    let request = TokenRequest {
        role: args.role,
        // Less than a second would be nothing.
        ttl_seconds: args.ttl.as_secs().max(1),
        uses: args.uses,
        node_id: args.node_id.clone(),
    };
    let body = serde_json::to_vec(&request).map_err(|error| CliError::Argument(error.to_string()))?;
    let reply = match Socket::of(invocation).try_ask(Ask::post("/admin/token", body)).await? {
        Some(answer) => decode(&answer)?,
        None => offline(&args, request.into(), invocation).await?,
    };
    report(&args, reply, invocation);
    Ok(())
}

/// Makes it in the store of a coordinator that does not run.
async fn offline(args: &CreateArgs, options: TokenOptions, invocation: &Invocation) -> Result<TokenReply, CliError> {
    let dir = invocation.dir.clone();
    if !Store::exists(&dir)? {
        return Err(NodeError::NotEnrolled { dir }.into());
    }
    let enrolment = Enrolment::open(dir, args.password.read(Purpose::Open)?).await?;
    let token = node::create_token_offline(&enrolment, options).await?;
    let authority = match enrolment.config.listen.port() {
        0 => format!("{}:PORT", enrolment.config.advertise),
        port => with_port(&enrolment.config.advertise, port),
    };
    Ok(TokenReply { token: token.reveal().to_string(), authority })
}

fn report(args: &CreateArgs, reply: TokenReply, invocation: &Invocation) {
    let (token, authority) = (Zeroizing::new(reply.token), reply.authority);
    match invocation.format {
        Format::Json => output::json_line(&json!({ "token": *token, "authority": authority })),
        Format::Table if args.quiet => output::line(&*token),
        Format::Table => {
            let role = if args.role == Role::Worker { String::new() } else { format!(" --role {}", args.role) };
            let node_id = args.node_id.as_ref().map(|id| format!(" --node-id {id}")).unwrap_or_default();
            let lets_in = match args.uses.get() {
                1 => format!("one {}", args.role),
                many => format!("{many} nodes as {}", args.role),
            };
            output::line(format!(
                "{}\n\nIt lets {lets_in} in within {}, and is not shown again. On the other machine:\n\n  {} join {authority}{role}{node_id} --token {}",
                *token,
                duration::show(args.ttl),
                invocation.program,
                *token,
            ));
        }
    }
}
