//! Connections that this node opens: the audit log is told whom it refused at their other end, where the handshake failed and nowhere else.

use futures::future::BoxFuture;
use p2p_client::{
    protocol::NodeId,
    wire::{
        dial::{Dial, DialError, Dialled, PeerRef},
        net::BoxStream,
    },
};

use super::{AuditLog, HANDSHAKE};
use crate::transport::GossipDial;

/// Opens connections as another does, and tells.
pub(crate) struct Audited<D> {
    dial: D,
    audit: AuditLog,
}

impl<D> Audited<D> {
    pub(crate) const fn new(dial: D, audit: AuditLog) -> Self {
        Self { dial, audit }
    }

    /// Tells of an error that is a refusal of this end's. Whoever answers is not known by a name that was not believed.
    fn tell(&self, meant: Option<&NodeId>, error: &DialError) {
        let DialError::Tls { authority, source } = error else { return };
        if source.is_refusal() {
            let who = meant.map_or_else(|| "whoever answers".to_owned(), |node| format!("whoever answers for node {node}"));
            self.audit.refused(who, HANDSHAKE, authority, source);
        }
    }
}

impl<D: Dial> Dial for Audited<D> {
    fn dial<'a>(&'a self, peer: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
        Box::pin(async { self.dial.dial(peer).await.inspect_err(|error| self.tell(Some(&peer.node_id), error)) })
    }
}

impl<D: GossipDial> GossipDial for Audited<D> {
    fn dial<'a>(
        &'a self,
        authority: &'a str,
        expected: Option<&'a NodeId>,
    ) -> BoxFuture<'a, Result<(NodeId, BoxStream), DialError>> {
        Box::pin(async move { self.dial.dial(authority, expected).await.inspect_err(|error| self.tell(expected, error)) })
    }
}
