//! `p2p store ls`: which entries there are.

use clap::Args;
use p2p_runtime::storage::{StoreCommand, StoreReply};
use serde_json::json;

use super::{
    super::{
        Invocation,
        error::CliError,
        output::{self, Format},
        password::PasswordArgs,
    },
    access::{carry_out, password, unexpected},
    unlock::Unlocked,
};

/// Lists the entries of the store, with their sizes in bytes
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} store ls
  {program} store ls services/ --output json")]
pub(super) struct LsArgs {
    /// Only those whose paths begin so
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Lists them.
pub(super) async fn run(args: LsArgs, invocation: &Invocation) -> Result<(), CliError> {
    let password = password(&args.password, invocation)?;
    let command = StoreCommand::List { prefix: args.prefix };
    let reply = carry_out(command, Unlocked::Password(password), invocation).await?;
    let StoreReply::List { entries } = reply else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!(entries)),
        Format::Table => {
            output::line(output::table(["PATH", "SIZE"], entries.into_iter().map(|entry| [entry.path, entry.size.to_string()])));
        }
    }
    Ok(())
}
