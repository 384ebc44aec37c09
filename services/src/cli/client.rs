//! `p2p client`: the clients outside of the cluster that this coordinator makes tokens for.

use std::time::Duration;

use clap::{Args, Subcommand};
use p2p_client::protocol::{Scopes, UnixMillis};
use p2p_runtime::{
    identity::ClientName,
    web::{ClientCommand, ClientCreated, ClientReply, ClientShown},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Invocation, duration,
    error::CliError,
    output::{self, Format},
    socket::{Ask, Socket, decode},
};

/// Makes and removes clients outside of the cluster, which call methods by tokens
///
/// A client has a name and a secret. With them it gets tokens at POST /auth/token of any coordinator, which it shows with its calls.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} client create ci-bot --scope orders:read
  {program} client list
  {program} client remove ci-bot")]
pub(super) struct ClientArgs {
    #[command(subcommand)]
    command: ClientSubcommand,
}

#[derive(Subcommand)]
enum ClientSubcommand {
    Create(CreateArgs),
    /// Lists the clients of the coordinator in this folder
    #[command(after_help = "Example:\n  {program} client list\n  {program} client list --output json")]
    List,
    Remove(RemoveArgs),
    Revoke(RevokeArgs),
    /// Replaces the key that signs tokens: every token of this coordinator ends at once
    ///
    /// For the day that the key may be in others' hands. It changes by itself every 30 days, without a token ending.
    #[command(after_help = "Example:\n  {program} client replace-keys")]
    ReplaceKeys,
}

/// Makes a client, and prints its secret, this once
///
/// Methods that are public are open to every client; those with a scope to clients that have it.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} client create dashboard
  {program} client create ci-bot --scope orders:read --scope stock:read --ttl 1h --expires 90d
  {program} client create ci-bot --scope orders:read --quiet > secret")]
struct CreateArgs {
    /// Its name: of a-z, 0-9, '.', '-' and '_'
    #[arg(value_name = "NAME")]
    name: ClientName,

    /// A scope that its tokens may have; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scopes>,

    /// How long its tokens are good, 24h at most
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse)]
    ttl: Duration,

    /// For how long it can get tokens [default: until it is removed]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    expires: Option<Duration>,

    /// Print the secret and nothing else
    #[arg(short, long)]
    quiet: bool,
}

/// Removes a client: it gets no tokens any more, and those that it has end at once
#[derive(Args)]
#[command(after_help = "Example:\n  {program} client remove ci-bot")]
struct RemoveArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: ClientName,
}

/// Takes one token back, by its id
///
/// The audit log shows the ids of tokens. Who has the token itself can take it back with POST /auth/revoke.
#[derive(Args)]
#[command(after_help = "Example:\n  {program} client revoke 5f0c…e1.9a77…03")]
struct RevokeArgs {
    /// The token's id
    #[arg(value_name = "TOKEN-ID")]
    token_id: String,
}

/// Does one of them.
pub(super) async fn run(args: ClientArgs, invocation: &Invocation) -> Result<(), CliError> {
    match args.command {
        ClientSubcommand::Create(args) => create(args, invocation).await,
        ClientSubcommand::List => list(invocation).await,
        ClientSubcommand::Remove(args) => remove(args.name, invocation).await,
        ClientSubcommand::Revoke(args) => revoke(args.token_id, invocation).await,
        ClientSubcommand::ReplaceKeys => replace_keys(invocation).await,
    }
}

async fn ask(command: &ClientCommand, invocation: &Invocation) -> Result<ClientReply, CliError> {
    let body = serde_json::to_vec(command).map_err(|error| CliError::Argument(error.to_string()))?;
    decode(&Socket::of(invocation).ask(Ask::post("/admin/clients", body)).await?)
}

fn unexpected() -> CliError {
    CliError::BadAnswer("it answers another question".to_owned())
}

async fn create(args: CreateArgs, invocation: &Invocation) -> Result<(), CliError> {
    let words: Vec<_> = args.scopes.iter().map(ToString::to_string).collect();
    let scopes: Scopes =
        words.join(" ").parse().map_err(|error: p2p_client::protocol::InvalidScope| CliError::Argument(error.to_string()))?;
    let command = ClientCommand::Create {
        name: args.name,
        scopes: scopes.clone(),
        ttl_seconds: Some(args.ttl.as_secs()),
        expires_seconds: args.expires.map(|expires| expires.as_secs()),
    };
    let ClientReply::Create(created) = ask(&command, invocation).await? else { return Err(unexpected()) };
    let ClientCreated { client_id, secret, url } = created;
    let secret = Zeroizing::new(std::str::from_utf8(secret.expose()).map_err(|_| unexpected())?.to_owned());
    match invocation.format {
        Format::Json => output::json_line(&json!({ "client_id": client_id, "client_secret": *secret, "url": url })),
        Format::Table if args.quiet => output::line(&*secret),
        Format::Table => {
            let may =
                if scopes.is_empty() { "public methods".to_owned() } else { format!("public methods, and those for {scopes}") };
            output::line(format!(
                "{}\n\nThis is the secret of {client_id}, which may call {may}. It is not shown again. A token, good for {}:\n\n  \
                 curl --cacert root.pem {url}/auth/token -d client_id={client_id} --data-urlencode client_secret@FILE\n\n\
                 The client sends the token with its calls: -H \"authorization: Bearer …\". root.pem is what {url}/internal/ca-cert gives.",
                *secret,
                duration::show(args.ttl),
            ));
        }
    }
    Ok(())
}

async fn list(invocation: &Invocation) -> Result<(), CliError> {
    let ClientReply::List { clients } = ask(&ClientCommand::List, invocation).await? else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&serde_json::to_value(&clients).unwrap_or(Value::Null)),
        Format::Table if clients.is_empty() => {
            output::line(format!("There are no clients; `{}` makes one.", invocation.command("client create NAME")));
        }
        Format::Table => {
            let now = UnixMillis::now();
            output::line(output::table(
                ["CLIENT", "SCOPES", "TOKENS FOR", "EXPIRES"],
                clients.iter().map(|client| row(client, now)),
            ));
        }
    }
    Ok(())
}

fn row(client: &ClientShown, now: UnixMillis) -> [String; 4] {
    let expires = match client.expires {
        None => "never".to_owned(),
        Some(at) if at <= now => "expired".to_owned(),
        Some(at) => format!("in {}", duration::show(Duration::from_secs((at.0 - now.0).div_ceil(60_000) * 60))),
    };
    [client.client_id.clone(), client.scopes.to_string(), duration::show(Duration::from_secs(client.ttl_seconds)), expires]
}

async fn remove(name: ClientName, invocation: &Invocation) -> Result<(), CliError> {
    let ClientReply::Remove = ask(&ClientCommand::Remove { name: name.clone() }, invocation).await? else {
        return Err(unexpected());
    };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "client": name, "removed": true })),
        Format::Table => output::line(format!("{name} is removed, and its tokens are revoked.")),
    }
    Ok(())
}

async fn revoke(token_id: String, invocation: &Invocation) -> Result<(), CliError> {
    let ClientReply::Revoke = ask(&ClientCommand::Revoke { token_id: token_id.clone() }, invocation).await? else {
        return Err(unexpected());
    };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "token_id": token_id, "revoked": true })),
        Format::Table => output::line(format!("The token {token_id} is revoked.")),
    }
    Ok(())
}

async fn replace_keys(invocation: &Invocation) -> Result<(), CliError> {
    let ClientReply::ReplaceKeys = ask(&ClientCommand::ReplaceKeys, invocation).await? else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "replaced": true })),
        Format::Table => output::line("A fresh key signs tokens; all earlier tokens of this coordinator have ended."),
    }
    Ok(())
}
