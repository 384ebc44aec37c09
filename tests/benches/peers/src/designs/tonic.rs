//! tonic with its generated messages, client and server, and its own TLS: a unary method for each call, and one stream for all.

use std::{
    collections::HashMap,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use ::tonic::{
    Request, Response, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use anyhow::{Context, Result};
use futures::{Stream, StreamExt};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{Methods, Typed};
use crate::{
    calls::{self, EchoReply, EchoRequest, PageReply, PageRequest, Person, ReportReply, ReportRequest, Row},
    tls::{self, Pem},
};

#[allow(unreachable_pub, missing_docs, clippy::all, clippy::pedantic, reason = "made by tonic-prost-build")]
mod proto {
    tonic::include_proto!("bench");
}

use proto::{bench_client::BenchClient, bench_server};

/// Calls that wait for the stream to take them; as many as tonic's own channel lets wait.
const QUEUE: usize = 1024;

struct Service;

#[::tonic::async_trait]
impl bench_server::Bench for Service {
    type EchoesStream = Pin<Box<dyn Stream<Item = Result<proto::EchoReply, Status>> + Send>>;

    async fn echo(&self, request: Request<proto::EchoRequest>) -> Result<Response<proto::EchoReply>, Status> {
        Ok(Response::new(calls::echo(request.into_inner().into()).into()))
    }

    async fn page(&self, request: Request<proto::PageRequest>) -> Result<Response<proto::PageReply>, Status> {
        let proto::PageRequest { id, bytes } = request.into_inner();
        let PageReply { id, bytes, text } = calls::page(&PageRequest { id, bytes });
        Ok(Response::new(proto::PageReply { id, bytes, text }))
    }

    async fn report(&self, request: Request<proto::ReportRequest>) -> Result<Response<proto::ReportReply>, Status> {
        let proto::ReportRequest { id, user, rows } = request.into_inner();
        Ok(Response::new(calls::report(ReportRequest { id, user, rows }).into()))
    }

    async fn echoes(&self, requests: Request<Streaming<proto::EchoRequest>>) -> Result<Response<Self::EchoesStream>, Status> {
        let replies = requests.into_inner().map(|request| Ok(calls::echo(request?.into()).into()));
        Ok(Response::new(Box::pin(replies)))
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, certificates: &Path) -> Result<()> {
    let pem = Pem::of_server(certificates)?;
    let config = ServerTlsConfig::new()
        .identity(Identity::from_pem(&pem.certificate, &pem.key))
        .client_ca_root(Certificate::from_pem(&pem.root));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = bench_server::BenchServer::new(Service);
    Ok(Server::builder().tls_config(config)?.add_service(service).serve_with_incoming(incoming).await?)
}

async fn channel(address: &str, certificates: &Path) -> Result<Channel> {
    let pem = Pem::of_client(certificates)?;
    let config = ClientTlsConfig::new()
        .domain_name(tls::SERVER_NAME)
        .ca_certificate(Certificate::from_pem(&pem.root))
        .identity(Identity::from_pem(&pem.certificate, &pem.key));
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(config)?;
    endpoint.connect().await.with_context(|| format!("connecting to {address}"))
}

/// Connects for unary calls.
pub(crate) async fn connect(address: &str, certificates: &Path) -> Result<Typed<Unary>> {
    Ok(Typed(Unary(BenchClient::new(channel(address, certificates).await?))))
}

/// Unary calls on one connection.
#[derive(Clone)]
pub(crate) struct Unary(BenchClient<Channel>);

impl Methods for Unary {
    async fn echo(&self, request: EchoRequest) -> Result<EchoReply> {
        Ok(self.0.clone().echo(proto::EchoRequest::from(request)).await?.into_inner().into())
    }

    async fn page(&self, request: PageRequest) -> Result<PageReply> {
        let PageRequest { id, bytes } = request;
        let proto::PageReply { id, bytes, text } = self.0.clone().page(proto::PageRequest { id, bytes }).await?.into_inner();
        Ok(PageReply { id, bytes, text })
    }

    async fn report(&self, request: ReportRequest) -> Result<ReportReply> {
        let ReportRequest { id, user, rows } = request;
        self.0.clone().report(proto::ReportRequest { id, user, rows }).await?.into_inner().try_into()
    }
}

/// Connects and opens the one stream.
pub(crate) async fn connect_stream(address: &str, certificates: &Path) -> Result<Typed<OneStream>> {
    let (send, queue) = mpsc::channel(QUEUE);
    let mut client = BenchClient::new(channel(address, certificates).await?);
    let replies = client.echoes(ReceiverStream::new(queue)).await?.into_inner();
    let waiting = Waiting::default();
    tokio::spawn(hand_out(replies, waiting.clone()));
    Ok(Typed(OneStream { send, waiting }))
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<EchoReply>>>>;

/// Gives each reply to the call that waits for it. When the stream ends, those that still wait learn that it did.
async fn hand_out(mut replies: Streaming<proto::EchoReply>, waiting: Waiting) {
    while let Some(Ok(reply)) = replies.next().await {
        let caller = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&reply.id);
        if let Some(caller) = caller {
            // A caller that went away is not waiting any more.
            let _ = caller.send(reply.into());
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// All calls on one stream.
#[derive(Clone)]
pub(crate) struct OneStream {
    send: mpsc::Sender<proto::EchoRequest>,
    waiting: Waiting,
}

impl Methods for OneStream {
    async fn echo(&self, request: EchoRequest) -> Result<EchoReply> {
        let (caller, reply) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(request.id, caller);
        self.send.send(request.into()).await.context("the stream has ended")?;
        reply.await.context("the stream ended before it answered")
    }

    async fn page(&self, _: PageRequest) -> Result<PageReply> {
        anyhow::bail!("only the small call is made on the stream")
    }

    async fn report(&self, _: ReportRequest) -> Result<ReportReply> {
        anyhow::bail!("only the small call is made on the stream")
    }
}

impl From<proto::EchoRequest> for EchoRequest {
    fn from(request: proto::EchoRequest) -> Self {
        let proto::EchoRequest { id, user, path, fields } = request;
        Self { id, user, path, fields }
    }
}

impl From<EchoRequest> for proto::EchoRequest {
    fn from(request: EchoRequest) -> Self {
        let EchoRequest { id, user, path, fields } = request;
        Self { id, user, path, fields }
    }
}

impl From<proto::EchoReply> for EchoReply {
    fn from(reply: proto::EchoReply) -> Self {
        let proto::EchoReply { id, user, path, title, text, fields, revision, size, shared } = reply;
        Self { id, user, path, title, text, fields, revision, size, shared }
    }
}

impl From<EchoReply> for proto::EchoReply {
    fn from(reply: EchoReply) -> Self {
        let EchoReply { id, user, path, title, text, fields, revision, size, shared } = reply;
        Self { id, user, path, title, text, fields, revision, size, shared }
    }
}

impl From<ReportReply> for proto::ReportReply {
    fn from(reply: ReportReply) -> Self {
        let ReportReply { id, owner: Person { name, mail, age }, rows, summary } = reply;
        let row = |Row { name, amount, tags, note }| proto::Row { name, amount, tags, note };
        Self { id, owner: Some(proto::Person { name, mail, age }), rows: rows.into_iter().map(row).collect(), summary }
    }
}

impl TryFrom<proto::ReportReply> for ReportReply {
    type Error = anyhow::Error;

    fn try_from(reply: proto::ReportReply) -> Result<Self> {
        let proto::ReportReply { id, owner, rows, summary } = reply;
        let proto::Person { name, mail, age } = owner.context("the report came without its owner")?;
        let row = |proto::Row { name, amount, tags, note }| Row { name, amount, tags, note };
        Ok(Self { id, owner: Person { name, mail, age }, rows: rows.into_iter().map(row).collect(), summary })
    }
}
