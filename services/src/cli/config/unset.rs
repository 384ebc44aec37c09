//! `p2p config unset`: gives a key its default again.

use clap::Args;
use p2p_runtime::config::ConfigDocument;

use super::{
    super::{Invocation, error::CliError, password::PasswordArgs},
    access::Access,
};

/// Gives a key of the configuration its default again
#[derive(Args)]
#[command(after_help = "Example:\n  {program} config unset rate_limit.rpc_requests")]
pub(super) struct UnsetArgs {
    /// Which key
    #[arg(value_name = "KEY")]
    key: String,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Unsets it.
pub(super) async fn run(args: UnsetArgs, invocation: &Invocation) -> Result<(), CliError> {
    let access = Access::new(&args.password, invocation)?;
    let was = access.read().await?;
    let document = ConfigDocument::parse(&was)?.without(&args.key)?;
    access.write(was, &document).await
}
