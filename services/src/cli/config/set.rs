//! `p2p config set`: sets a key.

use std::io::{self, IsTerminal};

use clap::Args;
use p2p_runtime::config::ConfigDocument;
use zeroize::Zeroizing;

use super::{
    super::{
        Invocation,
        error::CliError,
        password::{PasswordArgs, read_secret},
    },
    access::Access,
};

/// The value that says where the value is.
const STANDARD_INPUT: &str = "-";

/// Sets a key of the configuration
///
/// Other users of this machine can see arguments: a value with a secret in it, such as a redis.url with a password, is given as -, and read from
/// standard input.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} config set rate_limit.rpc_requests 600
  {program} config set connections.body_timeout 1m
  {program} config set proxies.trusted 10.0.0.7,10.1.0.0/16
  {program} config set redis.url - < redis-url")]
pub(super) struct SetArgs {
    /// Which key; `config default` lists all
    #[arg(value_name = "KEY")]
    key: String,

    /// Its value: as in YAML, or a list with commas; - reads it from standard input
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Sets it.
pub(super) async fn run(args: SetArgs, invocation: &Invocation) -> Result<(), CliError> {
    let value = value(&args, invocation)?;
    let access = Access::new(&args.password, invocation)?;
    let was = access.read().await?;
    let document = ConfigDocument::parse(&was)?.with(&args.key, &value)?;
    access.write(was, &document).await
}

fn value(args: &SetArgs, invocation: &Invocation) -> Result<Zeroizing<String>, CliError> {
    if args.value != STANDARD_INPUT {
        return Ok(Zeroizing::new(args.value.clone()));
    }
    let key = &args.key;
    let again = || invocation.command(&format!("config set {key} -"));
    if args.password.take_stdin() {
        let text = "standard input cannot give both the password and the value; give the password with --password-file";
        return Err(CliError::Argument(text.to_owned()));
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let text = format!(
            "the value of {key} is read from standard input, which is a terminal here, where it could be seen; write it into a file that you \
             alone may read, and type `{} < FILE`",
            again()
        );
        return Err(CliError::Argument(text));
    }
    let read = read_secret(stdin.lock(), "standard input".to_owned())?;
    match std::str::from_utf8(&read) {
        Ok(text) if !text.trim().is_empty() => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) => Err(CliError::Argument(format!(
            "standard input holds no value for {key}; type `{} < FILE` with a file that holds it, or take the key out with `config unset`",
            again()
        ))),
        Err(_) => {
            Err(CliError::Argument(format!("standard input holds no UTF-8, so that it is no value of {key}; give it as text")))
        }
    }
}
