//! `p2p store cat`: what an entry holds.

use std::io::{self, IsTerminal, Write};

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

/// Prints what an entry holds, byte for byte
///
/// A private key, and what is no text, is not printed to a terminal unless --reveal says so.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} store cat config/node.yaml
  {program} store cat identity/node.key > node.key")]
pub(super) struct CatArgs {
    /// The entry's path, as ls lists it
    #[arg(value_name = "PATH")]
    path: String,

    /// Print it to a terminal, whatever it is
    #[arg(long)]
    reveal: bool,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Prints it.
pub(super) async fn run(args: CatArgs, invocation: &Invocation) -> Result<(), CliError> {
    let password = password(&args.password, invocation)?;
    let command = StoreCommand::Get { path: args.path.clone() };
    let reply = carry_out(command, Unlocked::Password(password), invocation).await?;
    let StoreReply::Get { value } = &reply else { return Err(unexpected()) };
    if !args.reveal && io::stdout().is_terminal() {
        refuse_for_terminals(&args.path, value.expose())?;
    }
    match invocation.format {
        Format::Json => {
            let size = value.expose().len();
            let encoded = serde_json::to_value(&reply).map_err(|error| CliError::BadAnswer(error.to_string()))?;
            output::json_line(&json!({ "path": args.path, "size": size, "base64": encoded["value"] }));
        }
        Format::Table => {
            let mut out = io::stdout().lock();
            let _ = out.write_all(value.expose()).and_then(|()| out.flush());
        }
    }
    Ok(())
}

/// Refuses what would be on the screen, and in its history, for whoever looks on.
fn refuse_for_terminals(path: &str, value: &[u8]) -> Result<(), CliError> {
    let what = if is_private_key(path, value) {
        "a private key"
    } else if std::str::from_utf8(value).is_err() {
        "no text"
    } else {
        return Ok(());
    };
    Err(CliError::NotForTerminals { path: path.to_owned(), what })
}

/// By its name, or by what it looks like: PEM, or PKCS #8 in DER.
fn is_private_key(path: &str, value: &[u8]) -> bool {
    let pem = value.windows(11).any(|window| window == b"PRIVATE KEY");
    // SEQUENCE, whose first member is the version 0 or 1, followed by another SEQUENCE.
    let der = value.first() == Some(&0x30) && value.iter().take(8).len() == 8 && {
        let start = &value[..8];
        start.windows(4).any(|window| window[..2] == [2, 1] && window[2] <= 1 && window[3] == 0x30)
    };
    std::path::Path::new(path).extension().is_some_and(|ending| ending == "key") || pem || der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_and_what_is_no_text_are_not_for_terminals() {
        let pkcs8 = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3];
        for (path, value, what) in [
            ("identity/node.key", &b"x"[..], "a private key"),
            ("a", b"-----BEGIN PRIVATE KEY-----", "a private key"),
            ("a", b"\n-----BEGIN EC PRIVATE KEY-----", "a private key"),
            ("a", &pkcs8, "a private key"),
            ("a", &[0xff, 0xfe], "no text"),
        ] {
            let error = refuse_for_terminals(path, value).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("--reveal"), "{error}");
        }
        for (path, value) in [("config/node.yaml", &b"listen: 0.0.0.0:1"[..]), ("a", b""), ("a", b"-----BEGIN CERTIFICATE-----")]
        {
            refuse_for_terminals(path, value).unwrap();
        }
    }
}
