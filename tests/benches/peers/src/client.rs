//! The client's process: connects to one server, and measures what it is told to, until its standard input is closed.

use std::{path::Path, thread};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;

use crate::{
    cases::Runtime,
    cpu::{self, Remote},
    designs::{Design, Typed, hyper_h2, jsonrpsee, p2p, tarpc, tonic},
    load::{self, Sample},
    messages::{self, Finished, Order, Ready},
};

/// Runs the process.
pub(crate) fn run(design: Design, runtime: Runtime, cores: &[usize], dir: &Path) -> Result<()> {
    cpu::pin(cores)?;
    let server: Ready = messages::hear()?.context("nobody said where the server is; `run` starts this process")?;
    // Orders come by a thread of their own, so that the runtime runs on while there are none: connections must be kept alive.
    let (send, orders) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while let Ok(Some(order)) = messages::hear::<Order>() {
            if send.send(order).is_err() {
                return;
            }
        }
    });
    runtime.build()?.block_on(async {
        // In a task, as the callers are: what runs beside the workers of a runtime would wake them from outside.
        let dir = dir.to_owned();
        tokio::spawn(async move { serve_orders(design, &dir, &server, orders).await }).await?
    })
}

async fn serve_orders(design: Design, dir: &Path, server: &Ready, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<()> {
    let clients = Clients::connect(design, dir, server).await?;
    let mut server = Remote::connect(server.control)?;
    messages::say(&Finished::Connected)?;
    while let Some(order) = orders.recv().await {
        let finished = match clients.measure(order, &mut server).await {
            Ok(sample) => Finished::Measured(sample),
            Err(error) => Finished::Failed(format!("{error:#}")),
        };
        messages::say(&finished)?;
    }
    clients.end().await;
    Ok(())
}

/// The clients of one server.
enum Clients {
    P2p(p2p::Joined),
    Tonic { unary: Typed<tonic::Unary>, stream: Typed<tonic::OneStream> },
    Tarpc(Typed<tarpc::Client>),
    Jsonrpsee(Typed<::jsonrpsee::http_client::HttpClient>),
    Hyper(hyper_h2::Client),
}

impl Clients {
    async fn connect(design: Design, dir: &Path, server: &Ready) -> Result<Self> {
        let address = &server.address;
        Ok(match design.server() {
            Design::Tonic => {
                Self::Tonic { unary: tonic::connect(address, dir).await?, stream: tonic::connect_stream(address, dir).await? }
            }
            Design::TarpcBincode => Self::Tarpc(tarpc::connect(address, dir).await?),
            Design::JsonrpseeHttp => Self::Jsonrpsee(jsonrpsee::connect(address, dir)?),
            Design::HyperH2 => Self::Hyper(hyper_h2::connect(address, dir).await?),
            Design::P2p | Design::P2pForeign | Design::TonicStream => {
                let entry = server.entry.as_ref().context("the server's node did not say how to join its cluster")?;
                Self::P2p(p2p::connect(dir, address, entry).await?)
            }
        })
    }

    async fn measure(&self, Order { design, load, times }: Order, server: &mut Remote) -> Result<Sample> {
        match (self, design) {
            (Self::P2p(joined), Design::P2p) => load::put(&joined.client(), load, times, server).await,
            (Self::P2p(joined), Design::P2pForeign) => load::put(&joined.foreign_client(), load, times, server).await,
            (Self::Tonic { unary, .. }, Design::Tonic) => load::put(unary, load, times, server).await,
            (Self::Tonic { stream, .. }, Design::TonicStream) => load::put(stream, load, times, server).await,
            (Self::Tarpc(client), Design::TarpcBincode) => load::put(client, load, times, server).await,
            (Self::Jsonrpsee(client), Design::JsonrpseeHttp) => load::put(client, load, times, server).await,
            (Self::Hyper(client), Design::HyperH2) => load::put(client, load, times, server).await,
            _ => bail!("this process is connected to another design's server than {design}'s; start a client for it"),
        }
    }

    /// Closes what has an order to be closed in.
    async fn end(self) {
        if let Self::P2p(joined) = self {
            joined.stop().await;
        }
    }
}
