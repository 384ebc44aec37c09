//! `p2p store`: what an operator does with the node's encrypted store.
//!
//! ```text
//! ls, cat, put, rm, passwd, backup, verify ─ StoreCommand ─┬─ a node runs: its socket, with the password (access)
//!                                                          └─ none runs: its store, opened with the password
//! recover, restore ─ files that no node has open           unlock: the password, or the recovery key
//! ```

mod access;
mod backup;
mod cat;
mod ls;
mod passwd;
mod put;
mod recover;
mod restore;
mod rm;
mod unlock;
mod verify;

use clap::{Args, Subcommand};

use super::{Invocation, error::CliError};

pub(super) use access::password;

/// Reads and changes the node's encrypted store, checks it, and backs it up
///
/// The store's password is asked for each time, also where the node runs and does it. With --output json results are JSON, and values in
/// base64.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} store ls
  {program} store put services/mailer/smtp-password < password
  {program} store backup /backups/node-$(date +%F)")]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    command: StoreSubcommand,
}

#[derive(Subcommand)]
enum StoreSubcommand {
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Put(put::PutArgs),
    Rm(rm::RmArgs),
    Verify(verify::VerifyArgs),
    Recover(recover::RecoverArgs),
    Passwd(passwd::PasswdArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
}

/// Does one of them.
pub(super) async fn run(args: StoreArgs, invocation: &Invocation) -> Result<(), CliError> {
    match args.command {
        StoreSubcommand::Ls(args) => ls::run(args, invocation).await,
        StoreSubcommand::Cat(args) => cat::run(args, invocation).await,
        StoreSubcommand::Put(args) => put::run(args, invocation).await,
        StoreSubcommand::Rm(args) => rm::run(args, invocation).await,
        StoreSubcommand::Verify(args) => verify::run(args, invocation).await,
        StoreSubcommand::Recover(args) => recover::run(args, invocation).await,
        StoreSubcommand::Passwd(args) => passwd::run(args, invocation).await,
        StoreSubcommand::Backup(args) => backup::run(args, invocation).await,
        StoreSubcommand::Restore(args) => restore::run(args, invocation).await,
    }
}
