//! `p2p config`: what an operator can set of a node.
//!
//! ```text
//! show ──────────────── read ─┐
//! set, unset, edit ─ read ─ ConfigDocument, checked ─ write ─┬─ a node runs: its socket, with the password (access)
//!                                                            └─ none runs: its store, opened with the password
//! default ─ the list of settings itself
//! ```

mod access;
mod default;
mod edit;
mod set;
mod show;
mod unset;

use clap::{Args, Subcommand};

use super::{Invocation, error::CliError};

/// Shows and changes the node's configuration, which is in its encrypted store
///
/// The store's password is asked for each time. What is changed is checked first; what a running node takes at once counts from then on, and
/// for the rest it is said that the node has to be started again.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} config show
  {program} config set rate_limit.rpc_requests 600
  {program} config edit")]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigSubcommand,
}

#[derive(Subcommand)]
enum ConfigSubcommand {
    Show(show::ShowArgs),
    Set(set::SetArgs),
    Unset(unset::UnsetArgs),
    Edit(edit::EditArgs),
    /// Prints every setting with its default, what it takes and what it is for
    #[command(after_help = "Example:\n  {program} config default\n  {program} config default --output json")]
    Default,
}

/// Does one of them.
pub(super) async fn run(args: ConfigArgs, invocation: &Invocation) -> Result<(), CliError> {
    match args.command {
        ConfigSubcommand::Show(args) => show::run(args, invocation).await,
        ConfigSubcommand::Set(args) => set::run(args, invocation).await,
        ConfigSubcommand::Unset(args) => unset::run(args, invocation).await,
        ConfigSubcommand::Edit(args) => edit::run(args, invocation).await,
        ConfigSubcommand::Default => {
            default::run(invocation);
            Ok(())
        }
    }
}
