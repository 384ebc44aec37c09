//! `p2p cert show|renew`: the node's own certificate.

use clap::{Args, Subcommand};
use p2p_client::protocol::UnixMillis;
use p2p_runtime::web::{CertificateReply, RenewalReply};

use super::{
    Invocation, duration,
    error::CliError,
    json,
    output::{self, Format},
    socket::{Ask, Socket, decode, text},
};

/// Shows and renews the certificate of the node in this folder
#[derive(Args)]
#[command(after_help = "Example:\n  {program} cert show")]
pub(super) struct CertArgs {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Subcommand)]
enum CertCommand {
    /// Shows whose it is, how long it is good, and when it is renewed
    #[command(after_help = "Example:\n  {program} cert show\n  {program} cert show --output json")]
    Show,
    /// Renews it now; calls go on
    ///
    /// The node does it by itself 30 days before the end, and when its address has changed.
    #[command(after_help = "Example:\n  {program} cert renew")]
    Renew,
}

/// Carries the command out.
pub(super) async fn run(args: CertArgs, invocation: &Invocation) -> Result<(), CliError> {
    let socket = Socket::of(invocation);
    let answer = match args.command {
        CertCommand::Show => socket.ask(Ask::get("/admin/cert")).await?,
        CertCommand::Renew => socket.ask(Ask { within: RENEWAL_TIME, ..Ask::post("/admin/cert/renew", Vec::new()) }).await?,
    };
    if invocation.format == Format::Json {
        output::line(json::pretty(text(&answer)?));
        return Ok(());
    }
    match args.command {
        CertCommand::Show => output::line(table(&decode(&answer)?)),
        CertCommand::Renew => {
            let RenewalReply { certificate, left_out } = decode(&answer)?;
            output::line(table(&certificate));
            for address in left_out {
                output::line(format!("Not in it, as it could not be proved: {address}"));
            }
        }
    }
    Ok(())
}

/// Every coordinator may be asked, and calls new addresses.
const RENEWAL_TIME: std::time::Duration = std::time::Duration::from_mins(1);

fn table(certificate: &CertificateReply) -> String {
    let now = UnixMillis::now();
    let addresses = output::list(&certificate.addresses);
    output::pairs(&[
        ("node", format!("{} ({})", certificate.node_id, certificate.role)),
        ("cluster", certificate.cluster.to_string()),
        ("addresses", if addresses.is_empty() { "none proved".to_owned() } else { addresses }),
        ("valid for", duration::left(certificate.until, now)),
        ("renewed in", duration::left(certificate.renewed_at, now)),
        ("certificate", certificate.sha256.clone()),
        ("key", certificate.key.to_string()),
    ])
}
