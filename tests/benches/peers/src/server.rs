//! The server's process: hosts one design until its standard input is closed.

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;

use crate::{
    cases::Runtime,
    cpu,
    designs::{Design, hyper_h2, jsonrpsee, p2p, tarpc, tonic},
    messages::{self, Ready},
};

/// Runs the process.
pub(crate) fn run(design: Design, runtime: Runtime, cores: &[usize], dir: &Path) -> Result<()> {
    cpu::pin(cores)?;
    let control = cpu::tell_time()?;
    messages::exit_when_input_closes();
    runtime.build()?.block_on(async {
        if design.server() == Design::P2p {
            let (node, address, entry) = p2p::serve(dir).await?;
            messages::say(&Ready { address, control, entry: Some(entry) })?;
            return Ok(node.run_until_shutdown().await?);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening on loopback")?;
        let address = listener.local_addr()?.to_string();
        messages::say(&Ready { address, control, entry: None })?;
        match design {
            Design::Tonic => tonic::serve(listener, dir).await,
            Design::TarpcBincode => tarpc::serve(listener, dir).await,
            Design::JsonrpseeHttp => jsonrpsee::serve(listener, dir).await,
            Design::HyperH2 => hyper_h2::serve(listener, dir).await,
            Design::P2p | Design::P2pForeign | Design::TonicStream => {
                bail!("{design} is served by {}; start that", design.server())
            }
        }
    })
}
