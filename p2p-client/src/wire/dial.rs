//! How a connection to a peer is opened: who is meant, by which way, and what can go wrong before anything was sent.
//!
//! [`crate::wire::pool::HttpPool`] asks a [`Dial`] for a ready stream. The real one is [`TlsDial`]: the [`Network`], then TLS
//! with the node that is meant at the other end.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    net::{BoxStream, Network},
    tls::{ALPN_H2, ClientTls, Expect, PeerIdentity, TlsError, Usage, expires_at, peer_identity},
};
use crate::{
    protocol::NodeId,
    revocation::{ChainKeys, Cut},
};

/// A node to call, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerRef {
    /// The node that is meant; its certificate has to say so.
    pub node_id: NodeId,
    /// `host:port`, with brackets around an IPv6 address.
    pub authority: Arc<str>,
}

/// A stream to a peer, and what its certificate said.
pub struct Dialled {
    /// The bytes, in clear.
    pub stream: BoxStream,
    /// Who is at the other end; `None` where nothing was verified.
    pub peer: Option<PeerIdentity>,
    /// When the peer's certificate ends.
    pub expires: Option<SystemTime>,
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialled").field("peer", &self.peer).field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl From<BoxStream> for Dialled {
    /// A stream of whose other end nothing is known.
    fn from(stream: BoxStream) -> Self {
        Self { stream, peer: None, expires: None }
    }
}

impl fmt::Display for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.node_id, self.authority)
    }
}

/// Opens streams to peers, secured and verified.
pub trait Dial: Send + Sync + 'static {
    /// Opens a stream to `peer`, on which HTTP/2 can begin.
    ///
    /// # Errors
    /// [`DialError`]; nothing has been sent then.
    fn dial<'a>(&'a self, peer: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>>;
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The machine is there, but nobody listens on the port.
    #[error("nobody listens at {authority}; check that the node runs and that this is its address")]
    Refused {
        /// The address that was tried.
        authority: String,
    },
    /// No answer came in time.
    #[error("{authority} did not answer within {} ms; check the network between here and there", .after.as_millis())]
    TimedOut {
        /// The address that was tried.
        authority: String,
        /// The time it had.
        after: Duration,
    },
    /// The network could not connect.
    #[error("cannot connect to {authority}: {source}")]
    Network {
        /// The address that was tried.
        authority: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// Somebody answered, but TLS did not come about.
    #[error("cannot open a secure connection to {authority}: {source}")]
    Tls {
        /// The address that was tried.
        authority: String,
        /// What was wrong.
        source: TlsError,
    },
    /// The peer does not speak HTTP.
    #[error("{authority} does not speak HTTP/2: {source}")]
    Http {
        /// The address that was tried.
        authority: String,
        /// What was wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DialError {
    /// Names what connecting to `authority` failed with.
    pub fn network(authority: &str, source: io::Error) -> Self {
        let authority = authority.to_owned();
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { authority },
            _ => Self::Network { authority, source },
        }
    }

    /// Whether the machine answered that nobody listens there (refused or reset), so that the node is not merely slow.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Network { source, .. } => source.kind() == io::ErrorKind::ConnectionReset,
            _ => false,
        }
    }
}

/// The way of a cluster: the [`Network`], then TLS 1.3 with exactly the node that is meant, for HTTP/2.
#[derive(Clone)]
pub struct TlsDial {
    network: Arc<dyn Network>,
    tls: ClientTls,
}

impl TlsDial {
    /// Dials over this network, with this TLS material.
    pub fn new(network: Arc<dyn Network>, tls: ClientTls) -> Self {
        Self { network, tls }
    }
}

impl fmt::Debug for TlsDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsDial").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Dial for TlsDial {
    fn dial<'a>(&'a self, peer: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
        Box::pin(secured(&*self.network, &self.tls, &peer.authority, Expect::Node(peer.node_id.clone())))
    }
}

/// Connects to an address, and makes sure that whoever is expected answers there and speaks HTTP/2.
pub(crate) async fn secured(
    network: &dyn Network,
    tls: &ClientTls,
    authority: &str,
    expect: Expect,
) -> Result<Dialled, DialError> {
    let stream = network.connect(authority).await.map_err(|source| DialError::network(authority, source))?;
    // A program outside trusts what it was told to; what a node trusts may change while it connects.
    let is_node = matches!(expect, Expect::Node(_) | Expect::AnyNode);
    let secured = tls.connect(stream, expect, &[ALPN_H2]).await;
    let stream = secured.map_err(|source| DialError::Tls { authority: authority.to_owned(), source })?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let expires = chain.first().and_then(expires_at);
    if is_node {
        let failed = |source| DialError::Tls { authority: authority.to_owned(), source };
        let (peer, stream) = tls.material().guard(stream, &chain, Usage::Server).map_err(failed)?;
        return Ok(Dialled { stream: Box::new(stream), peer: Some(peer), expires });
    }
    let peer = chain.first().and_then(|cert| peer_identity(cert).ok());
    let stream: BoxStream = match (&peer, ChainKeys::of_chain(&chain)) {
        (Some(peer), Some(keys)) => Box::new(tls.material().revocations().guard(stream, &peer.node_id, keys)),
        _ => Box::new(stream),
    };
    Ok(Dialled { stream, peer, expires })
}

/// A stream that can be cut, and that remembers when the peer refused it during its side of the TLS handshake.
///
/// In TLS 1.3 the client is done before the server has looked at the client's certificate, so that a refusal arrives with the
/// first read, after a request may have been written. HTTP/2 keeps only the text of such an error; this keeps the meaning:
/// nothing was processed.
pub(super) struct Watched {
    inner: BoxStream,
    line: Arc<Line>,
}

/// What is known about a [`Watched`] stream, and the means to cut it.
#[derive(Default)]
pub(super) struct Line {
    refusal: OnceLock<TlsError>,
    cut: Cut,
}

impl Line {
    /// Why the peer refused the connection, once it has.
    pub(super) fn refusal(&self) -> Option<&TlsError> {
        self.refusal.get()
    }

    /// Breaks the stream at once, for whoever reads or writes.
    pub(super) fn cut(&self) {
        self.cut.cut();
    }
}

impl Watched {
    pub(super) fn new(inner: BoxStream) -> (Self, Arc<Line>) {
        let line = Arc::<Line>::default();
        (Self { inner, line: line.clone() }, line)
    }
}

/// The alerts that end a handshake. Others may come later, when requests have been processed.
fn ends_a_handshake(error: &io::Error) -> bool {
    use AlertDescription as A;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            A::UnknownCA
                | A::BadCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
                | A::CertificateUnknown
                | A::CertificateRequired
                | A::AccessDenied
                | A::HandshakeFailure
                | A::ProtocolVersion
                | A::NoApplicationProtocol
        ))
    )
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, line } = self.get_mut();
        let result = line.cut.reading(cx, |cx| Pin::new(inner).poll_read(cx, buf));
        if let Poll::Ready(Err(error)) = &result
            && ends_a_handshake(error)
            && let Some(refusal) = TlsError::from_io(error)
        {
            // Only the first one counts.
            let _ = line.refusal.set(refusal);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { inner, line } = self.get_mut();
        line.cut.writing(cx, |cx| Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { inner, line } = self.get_mut();
        line.cut.writing(cx, |cx| Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_says_what_to_check() {
        let error = DialError::network("10.0.0.1:8001", io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(error.is_refusal());
        assert_eq!(error.to_string(), "nobody listens at 10.0.0.1:8001; check that the node runs and that this is its address");
        let late = DialError::TimedOut { authority: "h:1".into(), after: Duration::from_secs(3) };
        assert!(!late.is_refusal() && late.to_string().contains("within 3000 ms"));
    }

    #[test]
    fn only_alerts_of_a_handshake_prove_that_nothing_was_processed() {
        let io = |alert| io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(alert));
        assert!(ends_a_handshake(&io(AlertDescription::UnknownCA)));
        assert!(!ends_a_handshake(&io(AlertDescription::InternalError)));
        assert!(!ends_a_handshake(&io::Error::from(io::ErrorKind::ConnectionReset)));
    }
}
