//! `p2p store recover`: brings back what is left of a damaged store.

use std::path::Path;

use clap::Args;
use p2p_runtime::{
    node::{self, SetBack},
    storage::{Recovery, StoreOptions},
};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{
    super::{
        Invocation, consent,
        error::CliError,
        output::{self, Format},
    },
    access::refuse_missing,
    unlock::UnlockArgs,
    verify,
};

/// Brings back the newest good state of a damaged store, after saying what is lost
///
/// It changes nothing before it is told to: by --yes, or by "yes" at the terminal. All files are then put aside, into a folder beside
/// them. Join tokens that were open are taken back, as they may have been used since.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} store recover
  {program} store recover --yes --password-file /run/secrets/p2p")]
pub(super) struct RecoverArgs {
    /// Do it, without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    unlock: UnlockArgs,
}

/// Recovers it.
pub(super) async fn run(args: RecoverArgs, invocation: &Invocation) -> Result<(), CliError> {
    refuse_missing(invocation)?;
    let (unlocked, dir) = (args.unlock.read()?, invocation.dir.clone());
    let looking = spawn_blocking(move || StoreOptions::new().recover(dir, unlocked.as_unlock()));
    let recovery = looking.await.map_err(|lost| CliError::Argument(lost.to_string()))??;
    if !recovery.is_needed() {
        say_whole(invocation);
        return Ok(());
    }
    let losses = recovery.losses();
    if invocation.format == Format::Table {
        output::line(format!("{}\n\n{}", verify::table(recovery.verification()), losses.join("\n")));
    }
    if !args.yes && !asked(&recovery)? {
        return Err(CliError::NoConsent { again: invocation.command("store recover --yes") });
    }
    let done = spawn_blocking(move || node::recover(recovery));
    let (mark, aside) = done.await.map_err(|lost| CliError::Argument(lost.to_string()))??;
    report(&mark, &aside, &losses, invocation);
    Ok(())
}

fn say_whole(invocation: &Invocation) {
    match invocation.format {
        Format::Json => output::json_line(&json!({ "needed": false })),
        Format::Table => output::line("The store is whole: nothing to recover, and nothing was changed."),
    }
}

/// Asks whoever sits there.
fn asked(recovery: &Recovery) -> Result<bool, CliError> {
    let from = recovery.source().file.display();
    consent::given(&format!("\nBring back what is in {from}? All files are put aside first."))
}

fn report(mark: &SetBack, aside: &Path, losses: &[String], invocation: &Invocation) {
    match invocation.format {
        Format::Json => output::json_line(&json!({
            "needed": true, "to": mark.to, "lost": losses, "aside": aside, "voided_tokens": mark.voided_tokens,
        })),
        Format::Table => {
            let to = mark.to.map(|revision| revision.to_string()).unwrap_or_default();
            output::line(format!(
                "\nThe store is that of revision {to} again. What was there is in {}. Join tokens taken back: {}.\nNext: {}",
                aside.display(),
                mark.voided_tokens,
                invocation.command("start"),
            ));
        }
    }
}
