//! `p2p start`: runs an enrolled node.

use std::net::SocketAddr;

use clap::Args;
use p2p_runtime::node::{Enrolment, NodeBuilder, NodeError};
use p2p_runtime::storage::Store;

use super::{
    Invocation,
    error::CliError,
    password::{PasswordArgs, Purpose},
    running,
};

/// Runs the node in this folder, in the foreground, until SIGINT or SIGTERM
///
/// It finishes the calls that run, saves, and ends with status 0; a second signal ends it at once. With --output json it prints one
/// line, `{"event":"ready",…}`, once it serves.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} start
  {program} start --dir /var/lib/p2p --password-file /run/secrets/p2p --output json")]
pub(super) struct StartArgs {
    /// Listen here this time, instead of where it was told when it was enrolled
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Runs the node.
pub(super) async fn run(
    args: StartArgs,
    invocation: &Invocation,
    prepare: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> Result<(), CliError> {
    let dir = invocation.dir.clone();
    if !Store::exists(&dir)? {
        return Err(NodeError::NotEnrolled { dir }.into());
    }
    let enrolment = Enrolment::open(dir, args.password.read(Purpose::Open)?).await?;
    running::serve(enrolment, args.listen, invocation, prepare).await
}
