//! `p2p token create|list|revoke`: what lets new nodes in.

use std::{num::NonZeroU32, time::Duration};

use clap::{Args, Subcommand};
use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::Reason,
};
use p2p_runtime::{
    identity::{AllowedNetworks, Approval, TokenId, TokenOptions, TokenRecord},
    limits::addresses::Network,
    node::{Enrolment, NodeError, create_token_offline},
    storage::Store,
    web::{RevokeRequest, RevokeWhat, TokenReply, TokenRequest},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Invocation,
    address::with_port,
    duration,
    error::CliError,
    json, node,
    output::{self, Format},
    password::{PasswordArgs, Purpose},
    socket::{Ask, Socket, decode, text},
};

/// Makes join tokens, which let new nodes in; lists them, and takes them back
#[derive(Args)]
#[command(after_help = "Example:\n  {program} token create")]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    Create(CreateArgs),
    /// Lists the join tokens that the coordinator in this folder has made
    #[command(after_help = "Example:\n  {program} token list\n  {program} token list --output json")]
    List,
    Revoke(RevokeArgs),
}

/// Takes a join token back, whichever coordinator made it
///
/// Nodes that have joined with it stay. Run it on a coordinator; all of them refuse the token from then on.
#[derive(Args)]
#[command(after_help = "Example:\n  {program} token revoke 00d1f3a55b7c92e8")]
struct RevokeArgs {
    /// The token's id, as `token list` shows it
    #[arg(value_name = "ID")]
    id: TokenId,

    /// Why; every node shows it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = node::reason)]
    reason: Reason,
}

/// Makes a join token, and prints it with the command that uses it
///
/// The coordinator in this folder is asked, or its store opened when it does not run. The token is shown this once.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} token create
  {program} token create --role coordinator --ttl 15m
  {program} token create --uses 20 --approve manual   (an operator lets each node in)
  {program} token create --cidr 10.1.0.0/16,fd00:1::/64
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

    /// Who lets its nodes in: `auto`, the token is enough; `manual`, an operator approves each of them with `node approve`
    #[arg(long, value_name = "KIND", default_value_t = Approval::Auto)]
    approve: Approval,

    /// The only networks that it may be used in: the node that joins connects from there, and every address that it advertises is there. Such as
    /// `10.1.0.0/16`, `2001:db8::/32` or `10.1.2.3`; without it, anywhere. It binds the join alone: when the node's address changes later, its certificate is
    /// renewed for the new one, wherever that is
    #[arg(long, value_name = "NET", value_delimiter = ',')]
    cidr: Vec<Network>,

    /// Print the token and nothing else
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Carries the command out.
pub(super) async fn run(args: TokenArgs, invocation: &Invocation) -> Result<(), CliError> {
    match args.command {
        TokenCommand::Create(args) => create(args, invocation).await,
        TokenCommand::List => list(invocation).await,
        TokenCommand::Revoke(RevokeArgs { id, reason }) => {
            let reply = node::revoke(RevokeRequest { what: RevokeWhat::Token(id), reason }, invocation).await?;
            match invocation.format {
                Format::Json => output::json_line(&json!({ "revoked": reply.made, "known": reply.known })),
                Format::Table if reply.made.is_empty() => output::line(format!("The join token {id} was revoked before.")),
                Format::Table => output::line(format!("The join token {id} lets nobody in any more.")),
            }
            Ok(())
        }
    }
}

async fn list(invocation: &Invocation) -> Result<(), CliError> {
    let answer = Socket::of(invocation).ask(Ask::get("/admin/tokens")).await?;
    match invocation.format {
        Format::Json => output::line(json::pretty(text(&answer)?)),
        Format::Table => {
            let (tokens, now): (Vec<TokenRecord>, _) = (decode(&answer)?, UnixMillis::now());
            let rows = tokens.iter().map(|token| {
                let only = token.node_id.as_ref().map(ToString::to_string).unwrap_or_default();
                let TokenRecord { id, role, uses_left, approval, networks, .. } = token;
                let (id, role, uses_left) = (id.to_string(), role.to_string(), uses_left.to_string());
                [id, role, uses_left, only, networks.to_string(), approval.to_string(), state(token, now)]
            });
            output::line(output::table(["TOKEN", "ROLE", "USES LEFT", "ONLY FOR", "NETWORKS", "APPROVAL", "STATE"], rows));
        }
    }
    Ok(())
}

/// Whether a token still lets somebody in.
fn state(token: &TokenRecord, now: UnixMillis) -> String {
    match token.expires.0.saturating_sub(now.0) {
        _ if token.revoked => "revoked".to_owned(),
        0 => "expired".to_owned(),
        _ if token.uses_left == 0 => "used".to_owned(),
        _ => format!("good for {}", duration::left(token.expires, now)),
    }
}

/// Makes a token.
async fn create(args: CreateArgs, invocation: &Invocation) -> Result<(), CliError> {
    let request = TokenRequest {
        role: args.role,
        // Less than a second would be nothing.
        ttl_seconds: args.ttl.as_secs().max(1),
        uses: args.uses,
        node_id: args.node_id.clone(),
        approval: args.approve,
        networks: args.cidr.clone().into(),
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
    let token = create_token_offline(&enrolment, options).await?;
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
            let networks = match AllowedNetworks::from(args.cidr.clone()) {
                anywhere if anywhere.is_anywhere() => String::new(),
                networks => format!(", only in {networks}"),
            };
            let approved = match args.approve {
                Approval::Auto => String::new(),
                Approval::Manual => {
                    format!(", each once it was approved with `{}`", invocation.command("node approve ID"))
                }
            };
            output::line(format!(
                "{}\n\nIt lets {lets_in} in within {}{networks}{approved}, and is not shown again. On the other machine:\n\n  {} join {authority}{role}{node_id} --token {}",
                *token,
                duration::show(args.ttl),
                invocation.program,
                *token,
            ));
        }
    }
}
