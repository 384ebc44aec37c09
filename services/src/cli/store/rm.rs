//! `p2p store rm`: removes an entry.

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

/// Removes an entry from the store
///
/// Earlier saves in the node's folder, sealed as the store is, keep it until the store was saved three times more.
#[derive(Args)]
#[command(after_help = "Example:\n  {program} store rm services/mailer/smtp-password")]
pub(super) struct RmArgs {
    /// The entry's path, as ls lists it
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Removes it.
pub(super) async fn run(args: RmArgs, invocation: &Invocation) -> Result<(), CliError> {
    let password = password(&args.password, invocation)?;
    let command = StoreCommand::Remove { path: args.path.clone() };
    let reply = carry_out(command, Unlocked::Password(password), invocation).await?;
    let StoreReply::Remove = reply else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "path": args.path, "removed": true })),
        Format::Table => output::line(format!("{} is removed.", args.path)),
    }
    Ok(())
}
