//! The serving end of TLS: takes a stream, makes it a TLS 1.3 connection, and tells which node is at the other end.
//!
//! Data flows so: listener → [`ServerTls::accept`] → [`Accepted`] → HTTP or membership, by the agreed protocol. A client
//! needs no certificate, but one that it shows must be good; what is for nodes only is refused further up, where the
//! request is known. Membership frames are the exception: that protocol is refused here without a certificate.
//!
//! There are no tickets and no resumption: a resumed connection would skip the verifier, and with it every revocation.

pub(in crate::transport) mod checks;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use p2p_client::wire::{
    net::BoxStream,
    tls::{
        ALPN_GOSSIP, ALPN_H2, ALPN_HTTP1, ChannelBinding, ClusterClients, HANDSHAKE_TIMEOUT, PeerIdentity, TlsError, TlsMaterial,
        expires_at, peer_identity,
    },
};
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::checks::{Check, bound};

/// The versions of TLS that are spoken.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// How long a refused peer may take to read the reason before the connection is cut.
const LINGER: Duration = Duration::from_secs(1);
/// How much a refused peer may still send meanwhile.
const LINGER_BYTES: u64 = 64 * 1024;

/// Accepts TLS connections. Cheap to clone; all clones follow one [`TlsMaterial`].
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    material: TlsMaterial,
    timeout: Duration,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("identity", &self.material.identity()).finish_non_exhaustive()
    }
}

/// Shows whatever certificate the material holds at the time of the handshake.
#[derive(Debug)]
struct CurrentCertificate(TlsMaterial);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.own()
    }
}

impl ServerTls {
    /// Serves with this material: shows its own certificate, trusts its root.
    ///
    /// # Errors
    /// [`TlsError::NoOwnCertificate`] when the material has none to show; [`TlsError::Protocol`] when the provider lacks TLS 1.3.
    pub fn new(material: TlsMaterial) -> Result<Self, TlsError> {
        if material.own().is_none() {
            return Err(TlsError::NoOwnCertificate);
        }
        // Whether rustls has TLS 1.2 in it is for the whole program to say, not for this crate.
        let versions = bound(Check::Version, VERSIONS, rustls::ALL_VERSIONS);
        let mut config = ServerConfig::builder_with_provider(material.provider().clone())
            .with_protocol_versions(versions)
            .map_err(TlsError::Protocol)?
            .with_client_cert_verifier(ClusterClients::new(material.clone()))
            .with_cert_resolver(Arc::new(CurrentCertificate(material.clone())));
        config.session_storage = bound(Check::WholeHandshake, Arc::new(NoServerSessionStorage {}), config.session_storage);
        config.send_tls13_tickets = bound(Check::WholeHandshake, 0, config.send_tls13_tickets);
        config.alpn_protocols = [ALPN_GOSSIP, ALPN_H2, ALPN_HTTP1].map(<[u8]>::to_vec).into();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), material, timeout: HANDSHAKE_TIMEOUT })
    }

    /// Gives handshakes this much time instead of [`HANDSHAKE_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What this end trusts and shows.
    pub fn material(&self) -> &TlsMaterial {
        &self.material
    }

    /// Makes a TLS connection of an accepted stream. Run it in the connection's own task: it waits for the peer.
    ///
    /// # Errors
    /// The peer is not acceptable or does not speak TLS 1.3. It has been told so by an alert.
    pub async fn accept(&self, stream: BoxStream) -> Result<Accepted, TlsError> {
        let ours = self.material.root().map(|root| root.cluster().clone());
        let handshake = self.acceptor.accept(stream).into_fallible();
        let mut stream = match tokio::time::timeout(self.timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                linger(stream).await;
                return Err(TlsError::from_handshake(error, ours.as_ref()));
            }
            Err(_) => return Err(TlsError::Timeout { after: self.timeout }),
        };
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = leaf.map(peer_identity).transpose()?;
        if peer.is_none() && stream.get_ref().1.alpn_protocol() == Some(ALPN_GOSSIP) {
            // The peer is going away, whether it hears the goodbye or not.
            let _ = stream.shutdown().await;
            linger(stream).await;
            return Err(TlsError::NoCertificate);
        }
        Ok(Accepted { stream, peer })
    }
}

/// Lets the peer read the alert: closing a socket with unread input would reset the connection and destroy it.
async fn linger(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let _ = tokio::time::timeout(LINGER, async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    })
    .await;
}

/// A connection whose handshake is done.
pub struct Accepted {
    /// The decrypted stream.
    pub stream: TlsStream<BoxStream>,
    /// The node at the other end, verified; `None` for a client without a certificate.
    pub peer: Option<PeerIdentity>,
}

impl Accepted {
    /// When the certificate of the node at the other end is not valid any more.
    pub fn expires(&self) -> Option<SystemTime> {
        self.certificate().and_then(expires_at)
    }

    /// The certificate of the node at the other end.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.chain().first()
    }

    /// The certificates that the node at the other end has shown, its own first; none of a client without one.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        self.stream.get_ref().1.peer_certificates().unwrap_or_default()
    }

    /// The application protocol that was agreed on, if the client offered any.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }

    /// What binds a join request to this connection. Take it before handing the stream to HTTP.
    ///
    /// # Errors
    /// [`TlsError::Protocol`], which cannot happen once the handshake is done.
    pub fn channel_binding(&self) -> Result<ChannelBinding, TlsError> {
        ChannelBinding::of_server(&self.stream)
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(in crate::transport) mod security;
#[cfg(test)]
pub(in crate::transport) mod tests;
