//! `p2p store passwd`: sets another password.

use std::path::PathBuf;

use clap::Args;
use p2p_runtime::storage::{StoreCommand, StoreReply};
use serde_json::json;

use super::{
    super::{
        Invocation,
        error::CliError,
        output::{self, Format},
        password,
    },
    access::{carry_out, refuse_missing, unexpected},
    unlock::UnlockArgs,
};

/// Sets another password for the store; the recovery key stays good
///
/// With --recovery-key-file it works without the old password. Backups and earlier saves still open with the old one: after a password
/// became known, replace the secrets as well.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} store passwd
  {program} store passwd --recovery-key-file recovery-key
  {program} store passwd --password-file old --new-password-file new")]
pub(super) struct PasswdArgs {
    /// Read the new password from this file [otherwise: the terminal]
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_fd")]
    new_password_file: Option<PathBuf>,

    /// Read the new password from this open file descriptor
    #[arg(long, value_name = "N")]
    new_password_fd: Option<u32>,

    #[command(flatten)]
    unlock: UnlockArgs,
}

/// Sets it.
pub(super) async fn run(args: PasswdArgs, invocation: &Invocation) -> Result<(), CliError> {
    refuse_missing(invocation)?;
    let unlocked = args.unlock.read()?;
    let new = password::read_new(args.new_password_file, args.new_password_fd)?;
    let reply = carry_out(StoreCommand::ChangePassword { new: new.to_secret() }, unlocked, invocation).await?;
    let StoreReply::ChangePassword = reply else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "changed": true })),
        Format::Table => output::line("The store opens with the new password from now on, and with the recovery key as before."),
    }
    Ok(())
}
