//! `p2p store backup`: one file with everything.

use std::path::PathBuf;

use clap::Args;
use p2p_runtime::storage::{StoreCommand, StoreOptions, StoreReply};
use serde_json::json;
use tokio::task::spawn_blocking;

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

/// Writes everything that the store holds into one file, also while the node runs
///
/// The file is sealed as the store is: its password and recovery key open it. `store restore` makes a store of it.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} store backup /backups/head-monday
  {program} store backup \"/backups/head-$(date +%F)\" --password-file /run/secrets/p2p")]
pub(super) struct BackupArgs {
    /// The file to write; none of this name may be there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Writes it.
pub(super) async fn run(args: BackupArgs, invocation: &Invocation) -> Result<(), CliError> {
    let password = password(&args.password, invocation)?;
    let reply = carry_out(StoreCommand::Backup, Unlocked::Password(password), invocation).await?;
    let StoreReply::Backup { bytes, revision } = reply else { return Err(unexpected()) };
    let (file, size) = (args.file.clone(), bytes.expose().len());
    let written = spawn_blocking(move || StoreOptions::new().write_backup(file, bytes.expose()));
    written.await.map_err(|lost| CliError::Argument(lost.to_string()))??;
    match invocation.format {
        Format::Json => output::json_line(&json!({ "file": args.file, "size": size, "revision": revision })),
        Format::Table => output::line(format!("{} holds revision {revision} of the store, {size} bytes.", args.file.display())),
    }
    Ok(())
}
