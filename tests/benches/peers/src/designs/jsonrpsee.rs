//! jsonrpsee over HTTP: its client with a TLS configuration of ours, its server as a service on accepted TLS connections.
//!
//! Its client offers HTTP/2 and HTTP/1.1; its server speaks both. Here they agree on HTTP/2, so that all calls share a connection.

use std::path::Path;

use anyhow::Result;
use jsonrpsee::{
    core::RpcResult,
    http_client::{HttpClient, HttpClientBuilder},
    proc_macros::rpc,
    server::{Server as RpcServer, ServerConfig, serve_with_graceful_shutdown, stop_channel},
};
use tokio::net::TcpListener;

use super::{Methods, Typed};
use crate::{
    calls::{self, EchoReply, EchoRequest, PageReply, PageRequest, ReportReply, ReportRequest},
    tls,
};

/// As a service, its bound on connections (100 unless said) bounds requests at a time: what is beyond it gets status 429.
const MAX_AT_ONCE: u32 = 20_000;

#[rpc(server, client)]
trait Bench {
    #[method(name = "echo")]
    async fn echo(&self, request: EchoRequest) -> RpcResult<EchoReply>;

    #[method(name = "page")]
    async fn page(&self, request: PageRequest) -> RpcResult<PageReply>;

    #[method(name = "report")]
    async fn report(&self, request: ReportRequest) -> RpcResult<ReportReply>;
}

struct Service;

#[jsonrpsee::core::async_trait]
impl BenchServer for Service {
    async fn echo(&self, request: EchoRequest) -> RpcResult<EchoReply> {
        Ok(calls::echo(request))
    }

    async fn page(&self, request: PageRequest) -> RpcResult<PageReply> {
        Ok(calls::page(&request))
    }

    async fn report(&self, request: ReportRequest) -> RpcResult<ReportReply> {
        Ok(calls::report(request))
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, certificates: &Path) -> Result<()> {
    let acceptor = tls::server(certificates, &[b"h2", b"http/1.1"])?;
    let config = ServerConfig::builder().max_connections(MAX_AT_ONCE).build();
    let (stop, _running) = stop_channel();
    let service = RpcServer::builder().set_config(config).to_service_builder().build(Service.into_rpc(), stop.clone());
    loop {
        let stream = tls::accept(&listener, &acceptor).await?;
        tokio::spawn(serve_with_graceful_shutdown(stream, service.clone(), stop.clone().shutdown()));
    }
}

/// Connects.
pub(crate) fn connect(address: &str, certificates: &Path) -> Result<Typed<HttpClient>> {
    let (_, port) = address.rsplit_once(':').unwrap_or(("", address));
    let client = HttpClientBuilder::default()
        .with_custom_cert_store(tls::client_config(certificates)?)
        .build(format!("https://{}:{port}", tls::SERVER_NAME))?;
    Ok(Typed(client))
}

impl Methods for HttpClient {
    async fn echo(&self, request: EchoRequest) -> Result<EchoReply> {
        Ok(BenchClient::echo(self, request).await?)
    }

    async fn page(&self, request: PageRequest) -> Result<PageReply> {
        Ok(BenchClient::page(self, request).await?)
    }

    async fn report(&self, request: ReportRequest) -> Result<ReportReply> {
        Ok(BenchClient::report(self, request).await?)
    }
}
