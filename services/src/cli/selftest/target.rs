//! The node that is attacked: who it is, as its socket tells, and connections to it as an outsider makes them.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use p2p_client::{
    protocol::{NodeId, NodeInfo, Role},
    wire::{
        net::{BoxStream, Network, TcpNetwork},
        tls::{ALPN_H2, ALPN_HTTP1, ClientTls, Expect, TlsError, TlsMaterial, TrustedRoot},
    },
};
use p2p_runtime::web::Health;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;
use tokio::{task::JoinHandle, time::sleep};
use tokio_rustls::client::TlsStream;

use super::{
    super::{
        error::CliError,
        socket::{Ask, Socket, decode},
    },
    finding::NotTried,
};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How often a request is made that the node puts off.
const TRIES: usize = 3;
/// The longest that it waits in between.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The node that is attacked.
pub(super) struct Target {
    pub(super) node_id: NodeId,
    pub(super) role: Role,
    /// Where it is reached: `host:port`.
    pub(super) authority: String,
    pub(super) root: TrustedRoot,
    /// The keys with which clients' tokens are signed (RFC 7517).
    pub(super) keys: Value,
}

/// What the node answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    headers: HeaderMap,
}

impl Answer {
    /// The JSON-RPC error in it.
    pub(super) fn error(&self) -> Option<p2p_client::protocol::RpcError> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        serde_json::from_value(body.get("error")?.clone()).ok()
    }

    /// How long to wait until the request may be made again, where it came too early.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        (self.status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| seconds.map_or(LONGEST_WAIT, Duration::from_secs).min(LONGEST_WAIT))
    }
}

/// A connection for one request after the other.
pub(super) struct Connection {
    send: SendRequest<Full<Bytes>>,
    driving: JoinHandle<hyper::Result<()>>,
    host: String,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Connection {
    /// Speaks HTTP/1.1 on a stream.
    pub(super) async fn on(stream: TlsStream<BoxStream>, host: &str) -> Result<Self, NotTried> {
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { send, driving: tokio::spawn(connection), host: host.to_owned() })
    }

    /// Makes a request; again where the node's limit puts it off.
    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, NotTried> {
        for _ in 0..TRIES {
            let answer = self.ask_once(request.clone()).await?;
            match answer.retry_after() {
                None => return Ok(answer),
                Some(wait) => sleep(wait).await,
            }
        }
        Err(NotTried::TooSoon)
    }

    async fn ask_once(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, NotTried> {
        request.headers_mut().insert(HOST, self.host.parse()?);
        self.send.ready().await?;
        let (head, body) = self.send.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| NotTried::Because(error.to_string()))?;
        Ok(Answer { status: head.status, body: body.to_bytes(), headers: head.headers })
    }
}

/// A request that posts JSON.
pub(super) fn post(path: &str, body: impl Into<Bytes>) -> Result<Request<Full<Bytes>>, http::Error> {
    Request::post(path).header(CONTENT_TYPE, "application/json").body(Full::new(body.into()))
}

impl Target {
    /// Asks the node that runs in the folder who it is.
    pub(super) async fn find(socket: &Socket<'_>) -> Result<Self, CliError> {
        let Health { node_id, role, .. } = decode(&socket.ask(Ask::get("/health")).await?)?;
        let nodes: Vec<NodeInfo> = decode(&socket.ask(Ask::get("/cluster/nodes")).await?)?;
        let missing = || CliError::BadAnswer("it is not among the nodes that it lists".to_owned());
        let authority = nodes.iter().find(|node| node.node_id == node_id).ok_or_else(missing)?.authority();
        let bad = |error: &dyn std::fmt::Display| CliError::BadAnswer(format!("its root certificate: {error}"));
        let root =
            CertificateDer::from_pem_slice(&socket.ask(Ask::get("/internal/ca-cert")).await?).map_err(|error| bad(&error))?;
        let root = TrustedRoot::from_der(root).map_err(|error| bad(&error))?;
        let keys = decode(&socket.ask(Ask::get("/.well-known/jwks.json")).await?)?;
        Ok(Self { node_id, role, authority, root, keys })
    }

    /// A connection without TLS.
    pub(super) async fn tcp(&self) -> Result<BoxStream, TlsError> {
        TcpNetwork.connect(&self.authority).await.map_err(|error| TlsError::Io(error.into()))
    }

    /// A connection on which this certificate is shown, if any.
    pub(super) async fn tls(&self, shown: TlsMaterial) -> Result<TlsStream<BoxStream>, TlsError> {
        self.connect(shown, ALPN_HTTP1).await
    }

    async fn connect(&self, shown: TlsMaterial, protocol: &[u8]) -> Result<TlsStream<BoxStream>, TlsError> {
        ClientTls::new(shown).connect(self.tcp().await?, Expect::Node(self.node_id.clone()), &[protocol]).await
    }

    /// A connection as somebody without a name makes it.
    pub(super) async fn nameless(&self) -> Result<TlsStream<BoxStream>, TlsError> {
        self.tls(TlsMaterial::trusting(self.root.clone())).await
    }

    /// The same, for HTTP/2.
    pub(super) async fn nameless_http2(&self) -> Result<TlsStream<BoxStream>, TlsError> {
        self.connect(TlsMaterial::trusting(self.root.clone()), ALPN_H2).await
    }

    /// Makes a request, as somebody without a name.
    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, NotTried> {
        Connection::on(self.nameless().await?, &self.authority).await?.ask(request).await
    }
}
