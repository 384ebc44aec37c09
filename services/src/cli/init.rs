//! `p2p init`: makes a cluster and its first coordinator.

use clap::Args;
use p2p_runtime::{
    node::{self, InitOptions, Initialised},
    storage::{Store, StoreError},
};
use serde_json::json;

use super::{
    Invocation,
    address::with_port,
    error::CliError,
    node_args::NodeArgs,
    output::{self, Format},
    password::{PasswordArgs, Purpose},
};

/// Makes a new cluster: its root certificate, its first coordinator, the encrypted store
///
/// Nothing runs yet; `start` does that. The recovery key is shown this once: it opens the store when the password is lost.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} init --dir /var/lib/p2p --advertise 10.0.0.5
  {program} init --node-id head --listen 0.0.0.0:9001 --capability gpu --password-file /run/secrets/p2p")]
pub(super) struct InitArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Makes a cluster.
pub(super) async fn run(args: InitArgs, invocation: &Invocation) -> Result<(), CliError> {
    let dir = invocation.dir.clone();
    // Asked here as well, so that nobody types a password in vain.
    if Store::exists(&dir)? {
        return Err(StoreError::Exists { file: dir.join("store.p2p") }.into());
    }
    let NodeArgs { node_id, advertise, listen, capabilities } = args.node;
    let password = args.password.read(Purpose::New)?;
    let made = node::init(InitOptions { dir, password, node_id, advertise, listen, capabilities }).await?;
    report(&made, invocation);
    Ok(())
}

fn report(made: &Initialised, invocation: &Invocation) {
    let (identity, config) = (&made.enrolment.identity, &made.enrolment.config);
    let address = match config.listen.port() {
        0 => format!("{}, at a port that is chosen when it first starts", config.advertise),
        port => with_port(&config.advertise, port),
    };
    let (peer, fingerprint) = (identity.peer(), identity.root().key_hash().to_string());
    let (recovery_key, start) = (made.recovery_key.reveal(), invocation.command("start"));
    match invocation.format {
        Format::Json => output::json_line(&json!({
            "node_id": peer.node_id,
            "cluster_id": peer.cluster,
            "dir": invocation.dir,
            "advertise": config.advertise,
            "listen": config.listen,
            "root_fingerprint": fingerprint,
            "recovery_key": *recovery_key,
            "next": start,
        })),
        Format::Table => {
            let facts = output::pairs(&[
                ("cluster", peer.cluster.to_string()),
                ("coordinator", peer.node_id.to_string()),
                ("address", address),
                ("root", format!("sha256:{fingerprint}")),
                ("folder", invocation.dir.display().to_string()),
                ("recovery key", recovery_key.to_string()),
            ]);
            output::line(format!(
                "{facts}\n\nWrite the recovery key down and keep it elsewhere: it opens the store when the password is lost,\n\
                 and is not shown again.\n\nNext: {start}"
            ));
        }
    }
}
