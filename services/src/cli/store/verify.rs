//! `p2p store verify`: checks the store's files, and changes none.

use clap::Args;
use p2p_runtime::storage::{SaveReport, StoreCommand, StoreReply, Verification};
use serde_json::json;

use super::{
    super::{
        Invocation,
        error::CliError,
        output::{self, Format},
    },
    access::{carry_out, refuse_missing, unexpected},
    unlock::UnlockArgs,
};

/// Checks every byte of the store, its log and the saves that are kept; changes nothing
///
/// Ends with status 1 where the store itself is not whole.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} store verify
  {program} store verify --output json")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    unlock: UnlockArgs,
}

/// Checks it.
pub(super) async fn run(args: VerifyArgs, invocation: &Invocation) -> Result<(), CliError> {
    refuse_missing(invocation)?;
    let reply = carry_out(StoreCommand::Verify, args.unlock.read()?, invocation).await?;
    let StoreReply::Verify { found } = reply else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "sound": found.is_sound(), "saves": found.saves })),
        Format::Table => output::line(table(&found)),
    }
    if found.is_sound() { Ok(()) } else { Err(CliError::StoreNotWhole { recover: invocation.command("store recover") }) }
}

/// What was found, a line for each save.
pub(super) fn table(found: &Verification) -> String {
    let row = |save: &SaveReport| {
        let name = save.file.file_name().unwrap_or(save.file.as_os_str()).to_string_lossy().into_owned();
        let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let revision = shown(save.revision.map(|revision| revision.to_string()));
        [name, revision, shown(save.entries.map(|entries| entries.to_string())), save.condition.to_string()]
    };
    output::table(["FILE", "REVISION", "ENTRIES", "CONDITION"], found.saves.iter().map(row))
}
