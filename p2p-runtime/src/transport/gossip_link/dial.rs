//! How membership connections are opened.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use p2p_client::{
    protocol::NodeId,
    wire::{
        dial::DialError,
        net::{BoxStream, Network},
        tls::{ALPN_GOSSIP, ClientTls, Expect, TlsError, Usage},
    },
};

/// Opens connections for membership frames, and says which node answered.
pub trait GossipDial: Send + Sync + 'static {
    /// Connects to `authority` (`host:port`): to the node that is expected, or to any node of the cluster.
    ///
    /// # Errors
    /// [`DialError`]; nothing has been sent then.
    fn dial<'a>(
        &'a self,
        authority: &'a str,
        expected: Option<&'a NodeId>,
    ) -> BoxFuture<'a, Result<(NodeId, BoxStream), DialError>>;
}

/// The real one: the node's network, mutual TLS, and the protocol name `p2p-gossip/1`.
#[derive(Clone)]
pub struct TlsGossipDial {
    network: Arc<dyn Network>,
    tls: ClientTls,
}

impl TlsGossipDial {
    /// Dials over this network, with this TLS material.
    pub fn new(network: Arc<dyn Network>, tls: ClientTls) -> Self {
        Self { network, tls }
    }
}

impl fmt::Debug for TlsGossipDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsGossipDial").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl GossipDial for TlsGossipDial {
    fn dial<'a>(
        &'a self,
        authority: &'a str,
        expected: Option<&'a NodeId>,
    ) -> BoxFuture<'a, Result<(NodeId, BoxStream), DialError>> {
        Box::pin(async move {
            let stream = self.network.connect(authority).await.map_err(|source| DialError::network(authority, source))?;
            let expect = expected.cloned().map_or(Expect::AnyNode, Expect::Node);
            let failed = |source| DialError::Tls { authority: authority.to_owned(), source };
            let stream = self.tls.connect(stream, expect, &[ALPN_GOSSIP]).await.map_err(failed)?;
            let session = stream.get_ref().1;
            if session.alpn_protocol() != Some(ALPN_GOSSIP) {
                return Err(failed(TlsError::NoCommonProtocol));
            }
            let chain = session.peer_certificates().unwrap_or_default().to_vec();
            let (peer, stream) = self.tls.material().guard(stream, &chain, Usage::Server).map_err(failed)?;
            Ok((peer.node_id, Box::new(stream) as BoxStream))
        })
    }
}
