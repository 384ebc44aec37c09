//! What makes an accepted stream a secured one, and what is known of it afterwards.

use std::time::SystemTime;

use futures::future::BoxFuture;
use p2p_client::{
    protocol::{NodeId, Role},
    wire::{
        net::BoxStream,
        tls::{ALPN_GOSSIP, ALPN_H2, ALPN_HTTP1, ChannelBinding, PeerIdentity, TlsError, Usage, with_claim},
    },
};
use rustls_pki_types::CertificateDer;

use super::tls::{
    ServerTls,
    checks::{Check, bound},
};

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Membership frames.
    Gossip,
}

/// A stream that may be served.
pub struct Secured {
    /// The bytes, in clear.
    pub stream: BoxStream,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// The node at the other end, verified; `None` for a client without a certificate.
    pub peer: Option<PeerIdentity>,
    /// When the certificate of that node ends.
    pub expires: Option<SystemTime>,
    /// The certificates that node has shown, its own first; none of a client without one.
    pub chain: Vec<CertificateDer<'static>>,
    /// What ties a join request to this connection; `None` without TLS.
    pub binding: Option<ChannelBinding>,
}

/// Why a stream may not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// TLS did not come about.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS did not come about with a client that has shown a node's certificate.
    #[error("in the name of node {node_id} ({role}): {source}")]
    InName {
        /// The node that the certificate names; that it is this node was not proved.
        node_id: NodeId,
        /// As what it names it.
        role: Role,
        /// What was wrong.
        source: TlsError,
    },
    /// The client settled on a protocol that is not spoken here.
    #[error("the client wants to speak {protocol:?}, which this node does not know; it may be of a later version")]
    UnknownProtocol {
        /// The protocol's ALPN name.
        protocol: String,
    },
}

impl HandshakeError {
    /// What TLS says of it, where it is about TLS.
    pub const fn tls(&self) -> Option<&TlsError> {
        match self {
            Self::Tls(error) | Self::InName { source: error, .. } => Some(error),
            Self::UnknownProtocol { .. } => None,
        }
    }

    /// The node that the client's certificate names, which nobody verified; without one, `None`.
    pub fn claimed(&self) -> Option<String> {
        match self {
            Self::InName { node_id, role, .. } => Some(format!("node {node_id} ({role})")),
            Self::Tls(_) | Self::UnknownProtocol { .. } => None,
        }
    }

    /// Whether somebody was refused, and did not merely hang up or mean another protocol.
    pub fn is_refusal(&self) -> bool {
        self.tls().is_some_and(TlsError::is_refusal)
    }
}

/// Secures accepted streams. Its time limit is [`super::ListenerLimits::handshake_timeout`].
pub trait Handshake: Send + Sync + 'static {
    /// Secures one stream.
    ///
    /// # Errors
    /// [`HandshakeError`]; the peer has been told so, as far as possible.
    fn secure(&self, stream: BoxStream) -> BoxFuture<'_, Result<Secured, HandshakeError>>;
}

impl Handshake for ServerTls {
    fn secure(&self, stream: BoxStream) -> BoxFuture<'_, Result<Secured, HandshakeError>> {
        Box::pin(async move {
            let accepted = match with_claim(Box::pin(self.accept(stream))).await {
                (Ok(accepted), _) => accepted,
                (Err(source), Some(PeerIdentity { node_id, role, .. })) => {
                    return Err(HandshakeError::InName { node_id, role, source });
                }
                (Err(error), None) => return Err(error.into()),
            };
            let protocol = match accepted.alpn() {
                Some(ALPN_H2) => Protocol::Http2,
                // Plain clients agree on no protocol; they mean HTTP/1.1.
                Some(ALPN_HTTP1) | None => Protocol::Http1,
                Some(ALPN_GOSSIP) => Protocol::Gossip,
                Some(other) => {
                    return Err(HandshakeError::UnknownProtocol { protocol: String::from_utf8_lossy(other).into_owned() });
                }
            };
            let binding = Some(accepted.channel_binding()?);
            let (expires, chain) = (accepted.expires(), accepted.chain().to_vec());
            // Without a certificate there is nobody to ask after.
            let is_guarded = bound(Check::Guard, accepted.peer.is_some(), false);
            let (peer, stream): (_, BoxStream) = if is_guarded {
                let (peer, stream) = self.material().guard(accepted.stream, &chain, Usage::Client)?;
                (Some(peer), Box::new(stream))
            } else {
                (accepted.peer, Box::new(accepted.stream))
            };
            Ok(Secured { stream, protocol, peer, expires, chain, binding })
        })
    }
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
