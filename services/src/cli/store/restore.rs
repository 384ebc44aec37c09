//! `p2p store restore`: a store from a backup.

use std::path::PathBuf;

use clap::Args;
use p2p_runtime::{
    node,
    storage::{Store, StoreError},
};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{
    super::{
        Invocation,
        error::CliError,
        output::{self, Format},
    },
    unlock::UnlockArgs,
};

/// Makes the store of a node in a new folder from a backup
///
/// The node is the one that was backed up: never run both. Join tokens that were open are taken back, as they may have been used since.
#[derive(Args)]
#[command(after_help = "Example:\n  {program} store restore /backups/head-monday --dir /var/lib/p2p-restored")]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    unlock: UnlockArgs,
}

/// Restores it.
pub(super) async fn run(args: RestoreArgs, invocation: &Invocation) -> Result<(), CliError> {
    let (file, dir) = (args.file, invocation.dir.clone());
    // Asked here as well, so that nobody types a password in vain.
    if Store::exists(&dir)? {
        return Err(StoreError::Exists { file: dir.join("store.p2p") }.into());
    }
    let unlocked = args.unlock.read()?;
    let done = spawn_blocking(move || node::restore(&file, &dir, unlocked.as_unlock()));
    let mark = done.await.map_err(|lost| CliError::Argument(lost.to_string()))??;
    let next = invocation.command("start");
    match invocation.format {
        Format::Json => {
            output::json_line(&json!({ "dir": invocation.dir, "voided_tokens": mark.voided_tokens, "next": next }));
        }
        Format::Table => output::line(format!(
            "The store is in {}. Join tokens taken back: {}.\nStop the node that was backed up, if it still runs.\n\nNext: {next}",
            invocation.dir.display(),
            mark.voided_tokens,
        )),
    }
    Ok(())
}
