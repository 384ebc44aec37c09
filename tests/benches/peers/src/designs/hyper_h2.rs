//! hyper's HTTP/2 with fixed answers that the client reads and does not decode: what any RPC over HTTP/2 pays at least.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::Caller;
use crate::{
    calls::{self, EchoRequest, FIRST_ID, PageRequest, ReportRequest},
    cases::{Body, LARGE, MEDIUM},
    tls,
};

const ALPN: &[&[u8]] = &[b"h2"];
/// As many calls at once as the cases have, and some room; hyper's own default is 200, with which 512 would wait in line.
const MAX_STREAMS: u32 = 1024;

const BODIES: [(&str, Body); 4] =
    [("/echo", Body::Echo), ("/page/medium", Body::Page(MEDIUM)), ("/page/large", Body::Page(LARGE)), ("/report", Body::Report)];

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, certificates: &Path) -> Result<()> {
    let acceptor = tls::server(certificates, ALPN)?;
    let mut fixed = Vec::new();
    for (path, body) in BODIES {
        fixed.push((path, fixed_answer(body)?));
    }
    let fixed: Arc<[(&'static str, Bytes)]> = fixed.into();
    loop {
        let stream = tls::accept(&listener, &acceptor).await?;
        let fixed = fixed.clone();
        let service = service_fn(move |request| answer(fixed.clone(), request));
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(MAX_STREAMS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

/// The JSON that the typed designs would answer.
fn fixed_answer(body: Body) -> Result<Bytes> {
    let json = match body {
        Body::Echo => serde_json::to_vec(&calls::echo(EchoRequest::new(FIRST_ID)))?,
        Body::Page(bytes) => serde_json::to_vec(&calls::page(&PageRequest::new(FIRST_ID, bytes)))?,
        Body::Report => serde_json::to_vec(&calls::report(ReportRequest::new(FIRST_ID)))?,
    };
    Ok(json.into())
}

/// Reads the request to its end, as any server has to, and answers what is ready.
async fn answer(fixed: Arc<[(&'static str, Bytes)]>, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let found = fixed.iter().find(|(path, _)| *path == request.uri().path()).map(|(_, body)| body.clone());
    request.into_body().collect().await?;
    let mut response = Response::new(Full::new(found.clone().unwrap_or_default()));
    if found.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Client {
    send: SendRequest<Full<Bytes>>,
    targets: Arc<[(Body, Target)]>,
}

struct Target {
    uri: Uri,
    request: Bytes,
    answer_bytes: usize,
}

/// Connects.
pub(crate) async fn connect(address: &str, certificates: &Path) -> Result<Client> {
    let stream = tls::connect(certificates, address, ALPN).await?;
    let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut targets = Vec::new();
    for (path, body) in BODIES {
        let uri = format!("https://{}{path}", tls::SERVER_NAME).parse()?;
        let request = match body {
            Body::Echo => serde_json::to_vec(&EchoRequest::new(FIRST_ID))?,
            Body::Page(bytes) => serde_json::to_vec(&PageRequest::new(FIRST_ID, bytes))?,
            Body::Report => serde_json::to_vec(&ReportRequest::new(FIRST_ID))?,
        };
        targets.push((body, Target { uri, request: request.into(), answer_bytes: fixed_answer(body)?.len() }));
    }
    Ok(Client { send, targets: targets.into() })
}

impl Caller for Client {
    async fn call(&self, body: Body, _id: u64) -> Result<()> {
        let (_, target) = self.targets.iter().find(|(of, _)| *of == body).context("there is no fixed answer of this size")?;
        let mut request = Request::new(Full::new(target.request.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri.clone();
        let mut send = self.send.clone();
        send.ready().await?;
        let mut answer = send.send_request(request).await?.into_body();
        let mut bytes = 0;
        while let Some(frame) = answer.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        ensure!(bytes == target.answer_bytes, "an answer of {bytes} bytes came in the place of {}", target.answer_bytes);
        Ok(())
    }

    async fn verify(&self, body: Body) -> Result<()> {
        self.call(body, FIRST_ID).await
    }
}
