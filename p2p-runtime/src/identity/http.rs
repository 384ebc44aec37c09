//! A small HTTP/1.1 client on one connection: for joining and for challenges, where nothing may be followed or pooled.

use std::{
    io::{
        self,
        ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof},
    },
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Version,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use p2p_client::{
    protocol::NodeId,
    wire::{
        PeerRef,
        net::{Network, Stream},
        tls::{ALPN_HTTP1, ChannelBinding, Expect, PeerIdentity, peer_identity},
    },
};
use tokio_util::task::AbortOnDropHandle;

use super::NodeIdentity;
use crate::audit::AuditLog;

/// One connection that requests go over, one after the other. Dropping it closes the connection.
pub(super) struct HttpConnection {
    send: SendRequest<Full<Bytes>>,
    host: String,
    _driver: AbortOnDropHandle<()>,
}

/// What came back.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// The exchange failed; the text says how.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The connection ended before the answer did.
    #[error("{0}")]
    BrokenOff(String),
    /// Something else, such as an answer that is none.
    #[error("{0}")]
    Other(String),
}

impl HttpConnection {
    /// Speaks HTTP/1.1 on this stream. `host` is the authority that requests name.
    pub(super) async fn open(stream: impl Stream, host: &str) -> Result<Self, HttpError> {
        let (send, driver) =
            http1::Builder::new().max_buf_size(64 * 1024).handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        let driver = tokio::spawn(async move {
            // The request in flight gets the same error, with more to say about it.
            let _ = driver.await;
        });
        Ok(Self { send, host: host.to_owned(), _driver: AbortOnDropHandle::new(driver) })
    }

    /// Sends one request and reads the whole answer, of at most `limit` bytes. Redirects are answers like others.
    pub(super) async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        limit: usize,
    ) -> Result<Response, HttpError> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = path.parse().map_err(|_| HttpError::Other(format!("{path:?} is no path")))?;
        let host = self.host.parse().map_err(|_| HttpError::Other(format!("{:?} is no host", self.host)))?;
        request.headers_mut().insert(header::HOST, host);
        if request.method() == Method::POST {
            request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        }
        self.send.ready().await.map_err(|e| failed(&e))?;
        let response = self.send.send_request(request).await.map_err(|e| failed(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limit)
            .collect()
            .await
            .map_err(|e| HttpError::Other(format!("the answer could not be read, or is larger than {limit} bytes: {e}")))?;
        Ok(Response { status, body: body.to_bytes() })
    }
}

/// A connection to a node of the cluster.
pub(super) struct ToNode {
    pub(super) http: HttpConnection,
    /// Who it is, by its certificate.
    pub(super) peer: PeerIdentity,
    /// What only the two ends of this connection know.
    pub(super) channel: ChannelBinding,
}

/// How this node goes to another one.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    /// The network between them.
    pub(crate) network: &'a Arc<dyn Network>,
    /// Whom this node goes as.
    pub(crate) identity: &'a NodeIdentity,
    /// Is told of whoever answers, and is not the node that is meant.
    pub(crate) audit: &'a AuditLog,
}

/// Connects to a node of the cluster, and no other, and tells who it is by its certificate.
///
/// It is a connection of its own: pooled ones may show an older certificate of this node than the one that it has now.
pub(super) async fn to_node(way: Way<'_>, node: &PeerRef) -> Result<ToNode, String> {
    let stream = way.network.connect(&node.authority).await.map_err(|error| error.to_string())?;
    let expect = Expect::Node(NodeId::clone(&node.node_id));
    let connected = way.identity.client_tls().connect(stream, expect, &[ALPN_HTTP1]).await;
    let told = connected.inspect_err(|error| way.audit.dialled(Some(&node.node_id), &node.authority, error));
    let stream = told.map_err(|error| error.to_string())?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = shown.ok_or("it showed no certificate").and_then(|leaf| peer_identity(leaf).map_err(|_| "it is no node"))?;
    let channel = ChannelBinding::of_client(&stream).map_err(|error| error.to_string())?;
    let http = HttpConnection::open(stream, &node.authority).await.map_err(|error| error.to_string())?;
    Ok(ToNode { http, peer, channel })
}

/// The innermost cause, which says more than "connection error".
fn failed(error: &hyper::Error) -> HttpError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let io = cause.downcast_ref::<io::Error>();
    if let Some(tls) = io.and_then(p2p_client::wire::tls::TlsError::from_io) {
        return HttpError::Other(tls.to_string());
    }
    let cut = io.is_some_and(|io| matches!(io.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe));
    if cut || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return HttpError::BrokenOff(cause.to_string());
    }
    HttpError::Other(cause.to_string())
}
