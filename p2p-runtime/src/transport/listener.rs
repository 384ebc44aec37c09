//! The accept loop: one task for each connection, all of them bounded, and a shutdown that lets running requests finish.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use p2p_client::wire::{
    net::{BoxStream, Listener},
    session::connect::until,
    tls::{PeerIdentity, TlsError},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    connection::serve_http,
    crowd::Crowd,
    handler::{HttpHandler, Ingress, Origin, ShownCertificate},
    handshake::{Handshake, Protocol, Secured},
    limits::ListenerLimits,
    node_http2::{NodeConnection, SessionAcceptor, serve_node},
};
use crate::audit::AuditLog;

/// The wait after an accept error of the system (too many open files), doubled up to a second with each further one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// Takes over connections that carry membership frames.
pub trait GossipAcceptor: Send + Sync + 'static {
    /// Serves a connection of this node until it ends. Dropping the future closes it.
    fn accept(&self, peer: PeerIdentity, stream: BoxStream) -> BoxFuture<'static, ()>;
}

/// What connections are served with. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    /// Secures the streams.
    pub handshake: Arc<dyn Handshake>,
    /// Takes the HTTP requests.
    pub http: HttpHandler,
    /// Takes the membership connections.
    pub gossip: Arc<dyn GossipAcceptor>,
    /// Takes the sessions of other nodes.
    pub sessions: Arc<dyn SessionAcceptor>,
    /// Bounds all of it.
    pub limits: ListenerLimits,
    /// Is told who was refused.
    pub audit: AuditLog,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("http", &self.http).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Accepts and serves connections until `shutdown`, then lets running requests finish within the grace period.
///
/// Dropping the future closes the listener and every connection at once.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use p2p_client::wire::net::{Network, TcpNetwork};
/// # use p2p_runtime::{audit::AuditLog, transport::{Handshake, GossipAcceptor, SessionAcceptor}};
/// # async fn example(handshake: Arc<dyn Handshake>, gossip: Arc<dyn GossipAcceptor>, sessions: Arc<dyn SessionAcceptor>) -> std::io::Result<()> {
/// use p2p_runtime::transport::{HttpHandler, ListenerLimits, Server, serve};
/// use tokio_util::sync::CancellationToken;
///
/// let listener = TcpNetwork.listen(([0, 0, 0, 0], 8001).into()).await?;
/// let (http, limits, audit) = (HttpHandler::default(), ListenerLimits::default(), AuditLog::default());
/// let server = Server { handshake, http, gossip, sessions, limits, audit };
/// let shutdown = CancellationToken::new();
/// serve(listener, server, shutdown).await;
/// # Ok(())
/// # }
/// ```
pub async fn serve(mut listener: Box<dyn Listener>, server: Server, shutdown: CancellationToken) {
    let mut crowd = Crowd::new(&server.limits);
    let mut back_off = FIRST_BACK_OFF;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            () = crowd.one_ended() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                back_off = FIRST_BACK_OFF;
                crowd.take(&remote, || serve_one(stream, remote, server.clone(), shutdown.clone()));
            }
            Err(error) => {
                if pause_after(&error, &mut back_off, &shutdown).await.is_break() {
                    break;
                }
            }
        }
    }
    drop(listener);
    crowd.finish().await;
}

/// Waits after an accept error that would come again at once. Errors of the single connection are passed over.
pub(super) async fn pause_after(
    error: &io::Error,
    back_off: &mut Duration,
    shutdown: &CancellationToken,
) -> std::ops::ControlFlow<()> {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::Interrupted
    ) {
        return std::ops::ControlFlow::Continue(());
    }
    tracing::error!(%error, "cannot accept connections; if too many files are open, raise the limit (ulimit -n)");
    let wait = *back_off;
    *back_off = (wait * 2).min(LONGEST_BACK_OFF);
    tokio::select! {
        () = shutdown.cancelled() => std::ops::ControlFlow::Break(()),
        () = sleep(wait) => std::ops::ControlFlow::Continue(()),
    }
}

/// Each protocol's part is boxed: a connection is idle most of its life, and its task would else have room for the largest of them.
async fn serve_one(stream: BoxStream, remote: SocketAddr, server: Server, shutdown: CancellationToken) {
    let limits = &server.limits;
    let secured = tokio::select! {
        () = shutdown.cancelled() => return,
        secured = timeout(limits.handshake_timeout, server.handshake.secure(stream)) => secured,
    };
    let Secured { stream, protocol, peer, expires, chain, binding } = match secured {
        Ok(Ok(secured)) => secured,
        Ok(Err(error)) => {
            return match error.tls().filter(|tls| tls.is_refusal()) {
                Some(tls) => refused(&server.audit, remote, error.claimed().as_deref(), tls),
                // A port scan and a health check come and go, and were refused nothing.
                None => tracing::info!(%remote, %error, "no connection"),
            };
        }
        Err(_) => return tracing::info!(%remote, limit = ?limits.handshake_timeout, "handshake not finished in time"),
    };
    let shown = (!chain.is_empty()).then(|| ShownCertificate(chain.into()));
    match (protocol, peer) {
        (Protocol::Gossip, Some(peer)) => tokio::select! {
            () = shutdown.cancelled() => {}
            () = expired(expires) => tracing::debug!(%remote, "the certificate of a membership connection has run out"),
            () = server.gossip.accept(peer, stream) => {}
        },
        (Protocol::Gossip, None) => refused(&server.audit, remote, None, &TlsError::NoCertificate),
        (Protocol::Http2, Some(peer)) => {
            let origin = Origin { ingress: Ingress::Tls, remote: Some(remote), peer: Some(peer.clone()), shown, binding };
            let connection =
                NodeConnection { peer, expires, origin, handler: server.http.clone(), sessions: server.sessions.clone() };
            Box::pin(serve_node(stream, connection, limits, shutdown)).await;
        }
        (protocol, peer) => {
            let origin = Origin { ingress: Ingress::Tls, remote: Some(remote), peer, shown, binding };
            let http2 = protocol == Protocol::Http2;
            tokio::select! {
                () = expired(expires) => tracing::debug!(%remote, "the certificate of a connection has run out"),
                () = Box::pin(serve_http(stream, http2, origin, server.http.clone(), limits, shutdown)) => {}
            }
        }
    }
}

/// The audit log is told that somebody's handshake was refused. Who it was is not known: what he has shown was not believed.
fn refused(audit: &AuditLog, remote: SocketAddr, claimed: Option<&str>, why: &TlsError) {
    tracing::debug!(%remote, claimed, error = %why, "connection refused");
    audit.handshake(remote.ip(), claimed, why);
}

/// Waits until a certificate ends; for ever where there is none.
async fn expired(at: Option<SystemTime>) {
    match at {
        Some(at) => until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
