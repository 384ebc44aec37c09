//! `p2p policy explain`: whether somebody may call something, and why.

use clap::{Args, Subcommand};
use p2p_runtime::web::{Explanation, PolicyQuestion};

use super::{
    Invocation,
    error::CliError,
    output::{self, Format},
    socket::{Ask, Socket, decode},
};

/// Explains who may call what
#[derive(Args)]
#[command(after_help = "Example:\n  {program} policy explain anonymous system/get_system_info")]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicySubcommand,
}

#[derive(Subcommand)]
enum PolicySubcommand {
    Explain(ExplainArgs),
}

/// Says whether somebody may call a method or read a route, and why
///
/// The node in this folder answers by the tables that decide about calls. Nothing is called. A method that only other nodes host is looked up
/// there.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} policy explain node:worker-1 system/get_system_info
  {program} policy explain role:worker system/get_system_info
  {program} policy explain client:ci-bot orders/list
  {program} policy explain scope:orders:read,stock:read orders/list
  {program} policy explain anonymous /services")]
struct ExplainArgs {
    /// node:ID, role:worker, role:coordinator, client:NAME, scope:A,B, anonymous or operator
    #[arg(value_name = "WHO")]
    who: String,

    /// service/method, or a route such as /services
    #[arg(value_name = "METHOD")]
    what: String,
}

/// Explains it.
pub(super) async fn run(args: PolicyArgs, invocation: &Invocation) -> Result<(), CliError> {
    let PolicySubcommand::Explain(ExplainArgs { who, what }) = args.command;
    let question = PolicyQuestion { who, what };
    let body = serde_json::to_vec(&question).map_err(|error| CliError::Argument(error.to_string()))?;
    let explanation: Explanation = decode(&Socket::of(invocation).ask(Ask::post("/admin/policy", body)).await?)?;
    match invocation.format {
        Format::Json => output::json_line(&serde_json::json!(explanation)),
        Format::Table => {
            let word = if explanation.allowed { "allowed" } else { "denied" };
            output::line(invocation.in_own_name(&format!("{word}: {}", explanation.reason)));
        }
    }
    Ok(())
}
