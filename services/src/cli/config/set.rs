//! `p2p config set`: sets a key.

use clap::Args;
use p2p_runtime::config::ConfigDocument;

use super::{
    super::{Invocation, error::CliError, password::PasswordArgs},
    access::Access,
};

/// Sets a key of the configuration
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} config set rate_limit.rpc_requests 600
  {program} config set connections.body_timeout 1m
  {program} config set proxies.trusted 10.0.0.7,10.1.0.0/16")]
pub(super) struct SetArgs {
    /// Which key; `config default` lists all
    #[arg(value_name = "KEY")]
    key: String,

    /// Its value: as in YAML, or a list with commas
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Sets it.
pub(super) async fn run(args: SetArgs, invocation: &Invocation) -> Result<(), CliError> {
    let access = Access::new(&args.password, invocation)?;
    let was = access.read().await?;
    let document = ConfigDocument::parse(&was)?.with(&args.key, &args.value)?;
    access.write(was, &document).await
}
