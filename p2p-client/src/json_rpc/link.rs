//! Connections to one server: HTTP/1.1, kept alive, over TLS 1.3 or in clear on this machine.

use std::{
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header::HOST, uri::Scheme};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::wire::{
    dial::DialError,
    http::{NotSent, RequestLimits, SendFailure, collect, judge},
    net::{BoxStream, Network, TcpNetwork},
    tls::{ALPN_HTTP1, TlsError, TlsMaterial},
};

use super::JsonRpcClientError;

/// The time for a connection and its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type Sender = SendRequest<Full<Bytes>>;

/// The way to one server.
pub(super) struct Link {
    /// `host:port`.
    authority: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    path: Uri,
    headers: HeaderMap,
    max_response: usize,
    /// Connections that no request is on.
    idle: Mutex<Vec<Sender>>,
}

impl fmt::Debug for Link {
    // Headers hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("authority", &self.authority).field("path", &self.path).finish_non_exhaustive()
    }
}

impl Link {
    /// The way to the server at `url`, which is trusted if one of `roots` vouches for it.
    pub(super) fn new(
        url: &str,
        roots: RootCertStore,
        mut headers: HeaderMap,
        max_response: usize,
    ) -> Result<Self, JsonRpcClientError> {
        let refuse = |reason: String| JsonRpcClientError::Url { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| refuse(error.to_string()))?;
        let host = uri.host().ok_or_else(|| refuse("it names no host".to_owned()))?;
        let host_header = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        headers.insert(HOST, host_header.ok_or_else(|| refuse("its host cannot be sent".to_owned()))?);
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("it holds a password; send credentials by .header(…)".to_owned()));
        }
        let (tls, port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => (Some((connector(roots)?, server_name(host).map_err(refuse)?)), 443),
            Some(scheme) if *scheme == Scheme::HTTP && is_this_machine(host) => (None, 80),
            Some(scheme) if *scheme == Scheme::HTTP => return Err(JsonRpcClientError::Plaintext { url: url.to_owned() }),
            _ => return Err(refuse("it begins with neither https:// nor http://".to_owned())),
        };
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(port));
        let path = uri.path_and_query().map_or(Ok(Uri::from_static("/")), |path| path.as_str().parse());
        let path = path.map_err(|error: http::uri::InvalidUri| refuse(error.to_string()))?;
        Ok(Self { authority, tls, path, headers, max_response, idle: Mutex::default() })
    }

    /// Posts a body, and gives the response whole. Dropping the future closes its connection.
    pub(super) async fn post(&self, body: Bytes) -> Result<Response<Bytes>, SendFailure> {
        while let Some(mut kept) = self.take_idle() {
            // A server closes what is idle for long. What it closed before the request was written was not sent.
            if kept.ready().await.is_err() {
                continue;
            }
            match self.post_on(kept, body.clone()).await {
                Err(SendFailure::NotSent { reason: NotSent::Closing }) => {}
                ended => return ended,
            }
        }
        let fresh = self.connect().await?;
        self.post_on(fresh, body).await
    }

    async fn post_on(&self, mut sender: Sender, body: Bytes) -> Result<Response<Bytes>, SendFailure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        let response = sender.try_send_request(request).await.map_err(judge)?;
        let response = collect(response, &RequestLimits { max_response: self.max_response, ..RequestLimits::default() }).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(response)
    }

    fn take_idle(&self) -> Option<Sender> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn connect(&self) -> Result<Sender, SendFailure> {
        let dialled = timeout(CONNECT_TIMEOUT, self.dial()).await;
        let stream = match dialled {
            Ok(stream) => stream.map_err(|error| NotSent::Dial(Arc::new(error)))?,
            Err(_) => return Err(NotSent::TimedOut { after: CONNECT_TIMEOUT }.into()),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| NotSent::Closing)?;
        // It ends with its sender.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to a JSON-RPC server broke");
            }
        });
        Ok(sender)
    }

    async fn dial(&self) -> Result<BoxStream, DialError> {
        let authority = &self.authority;
        let stream = TcpNetwork.connect(authority).await.map_err(|source| DialError::network(authority, source))?;
        let Some((connector, name)) = &self.tls else { return Ok(stream) };
        let secured = connector.connect(name.clone(), stream).await;
        let failed = |error| DialError::Tls { authority: authority.clone(), source: explain(error) };
        Ok(Box::new(secured.map_err(failed)?))
    }
}

/// Whether a host is this machine by what it is called, so that no name server decides about it.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(bare).map_err(|error| error.to_string())
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, JsonRpcClientError> {
    if roots.is_empty() {
        return Err(JsonRpcClientError::NoRoots);
    }
    let mut config = ClientConfig::builder_with_provider(TlsMaterial::empty().provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Protocol)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What a handshake with a server outside of any cluster ended with.
fn explain(error: io::Error) -> TlsError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) = tls {
        let reason = "none of the given roots vouches for it; give its authority's with .root_pem(…)".to_owned();
        return TlsError::BadCertificate { reason };
    }
    TlsError::from_handshake(error, None)
}
