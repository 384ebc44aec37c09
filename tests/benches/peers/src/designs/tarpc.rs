//! tarpc with bincode, length-delimited on TLS, as its example for TLS has it.

use std::path::Path;

use anyhow::Result;
use futures::StreamExt;
use tarpc::{
    client, context, serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
    tokio_util::codec::LengthDelimitedCodec,
};
use tokio::net::TcpListener;

use super::{Methods, Typed};
use crate::{
    calls::{self, EchoReply, EchoRequest, PageReply, PageRequest, ReportReply, ReportRequest},
    tls,
};

#[tarpc::service]
trait Bench {
    async fn echo(request: EchoRequest) -> EchoReply;
    async fn page(request: PageRequest) -> PageReply;
    async fn report(request: ReportRequest) -> ReportReply;
}

#[derive(Clone)]
struct Server;

impl Bench for Server {
    async fn echo(self, _: context::Context, request: EchoRequest) -> EchoReply {
        calls::echo(request)
    }

    async fn page(self, _: context::Context, request: PageRequest) -> PageReply {
        calls::page(&request)
    }

    async fn report(self, _: context::Context, request: ReportRequest) -> ReportReply {
        calls::report(request)
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, certificates: &Path) -> Result<()> {
    let acceptor = tls::server(certificates, &[])?;
    loop {
        let stream = tls::accept(&listener, &acceptor).await?;
        let framed = LengthDelimitedCodec::builder().new_framed(stream);
        let transport = serde_transport::new(framed, Bincode::default());
        let answering = BaseChannel::with_defaults(transport).execute(Server.serve()).for_each(|call| async {
            tokio::spawn(call);
        });
        tokio::spawn(answering);
    }
}

/// Connects.
pub(crate) async fn connect(address: &str, certificates: &Path) -> Result<Typed<Client>> {
    let stream = tls::connect(certificates, address, &[]).await?;
    let framed = LengthDelimitedCodec::builder().new_framed(stream);
    let transport = serde_transport::new(framed, Bincode::default());
    Ok(Typed(Client(BenchClient::new(client::Config::default(), transport).spawn())))
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Client(BenchClient);

impl Methods for Client {
    async fn echo(&self, request: EchoRequest) -> Result<EchoReply> {
        Ok(self.0.echo(context::current(), request).await?)
    }

    async fn page(&self, request: PageRequest) -> Result<PageReply> {
        Ok(self.0.page(context::current(), request).await?)
    }

    async fn report(&self, request: ReportRequest) -> Result<ReportReply> {
        Ok(self.0.report(context::current(), request).await?)
    }
}
