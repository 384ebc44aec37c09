//! `p2p store put`: makes or replaces an entry.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use clap::Args;
use p2p_runtime::storage::{Secret, StoreCommand, StoreReply};
use serde_json::json;
use zeroize::Zeroizing;

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

/// The most that an entry holds.
const LIMIT: u64 = 16 << 20;

/// Makes an entry, or replaces what it holds; durable when the command ends
///
/// The value comes by standard input or from --file, byte for byte, a newline at its end included; never by an argument, which every
/// user of the machine could read. A running node may hold what it read at its start: for config/, identity/ and ca/ stop it first.
#[derive(Args)]
#[command(after_help = "\
Example:
  printf %s \"$SMTP_PASSWORD\" | {program} store put services/mailer/smtp-password
  {program} store put services/web/tls.pem --file tls.pem")]
pub(super) struct PutArgs {
    /// The entry's path: names joined by /
    #[arg(value_name = "PATH")]
    path: String,

    /// Read the value from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Puts it.
pub(super) async fn run(args: PutArgs, invocation: &Invocation) -> Result<(), CliError> {
    if args.file.is_none() && args.password.take_stdin() {
        let text = "standard input cannot give both the password and the value; give the value with --file, or the password with \
                    --password-file";
        return Err(CliError::Argument(text.to_owned()));
    }
    let password = password(&args.password, invocation)?;
    let value = value(args.file)?;
    let size = value.expose().len();
    let command = StoreCommand::Put { path: args.path.clone(), value };
    let reply = carry_out(command, Unlocked::Password(password), invocation).await?;
    let StoreReply::Put { replaced } = reply else { return Err(unexpected()) };
    match invocation.format {
        Format::Json => output::json_line(&json!({ "path": args.path, "size": size, "replaced": replaced })),
        Format::Table => {
            let how = if replaced { ", in place of what it held" } else { "" };
            output::line(format!("{} holds {size} bytes{how}.", args.path));
        }
    }
    Ok(())
}

fn value(file: Option<PathBuf>) -> Result<Secret, CliError> {
    match file {
        Some(path) => {
            let what = path.display().to_string();
            match File::open(path) {
                Ok(file) => read(file, what),
                Err(source) => Err(CliError::Unreadable { what, source }),
            }
        }
        None if io::stdin().is_terminal() => {
            let text = "the value comes by standard input or from --file; a terminal would show it: `p2p store put PATH < FILE`";
            Err(CliError::Argument(text.to_owned()))
        }
        None => read(io::stdin().lock(), "standard input".to_owned()),
    }
}

fn read(reader: impl Read, what: String) -> Result<Secret, CliError> {
    let mut value = Zeroizing::new(Vec::new());
    match reader.take(LIMIT + 1).read_to_end(&mut value) {
        Err(source) => Err(CliError::Unreadable { what, source }),
        Ok(length) if length as u64 > LIMIT => Err(CliError::TooLong { what, limit: LIMIT }),
        Ok(_) => Ok(value.into()),
    }
}
