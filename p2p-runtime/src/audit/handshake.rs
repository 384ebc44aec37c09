//! Handshakes that this node refused, at either end: the audit log is told of each where it failed, and nowhere else.
//!
//! Whoever is refused in a handshake has proved nothing, and no limit is drawn from: he may come as often as he likes, and show what he likes.
//! So what he shows is in the line, and is no part of what makes two denials the same ([`TlsError::refusal`]).

use std::net::IpAddr;

use futures::future::BoxFuture;
use p2p_client::{
    audit::{Line, Outcome},
    protocol::{CallerId, NodeId},
    wire::{
        dial::{Dial, DialError, Dialled, PeerRef},
        net::BoxStream,
        tls::TlsError,
    },
};

use super::{AuditLog, HANDSHAKE, Whence, Whose};
use crate::transport::GossipDial;

impl AuditLog {
    /// Writes that somebody who connected from this address was refused in his handshake, where `why` is a refusal; with the name that his
    /// certificate gives him. Where that is said too often, counts it.
    pub(crate) fn handshake(&self, from: IpAddr, claimed: Option<&str>, why: &TlsError) {
        let from = Whence::Address(from.to_canonical());
        self.not_believed(Whose::Stranger, &CallerId::Anonymous.to_string(), (&from.to_string(), &from.counted()), claimed, why);
    }

    /// The same of whoever answered at an address that this node dialled, in place of the node that was meant.
    pub(crate) fn dialled(&self, meant: Option<&NodeId>, authority: &str, why: &TlsError) {
        let who = meant.map_or_else(|| "whoever answers".to_owned(), |node| format!("whoever answers for node {node}"));
        // This node says how often it dials, and where to.
        self.not_believed(Whose::Named, &who, (authority, authority), None, why);
    }

    fn not_believed(&self, whose: Whose, who: &str, (from, counted): (&str, &str), claimed: Option<&str>, why: &TlsError) {
        let Some(refusal) = why.refusal() else { return };
        let line = || Line::new(who, HANDSHAKE, Outcome::Denied);
        if self.has_room(whose, &line().from(counted).reason(refusal)) {
            line().from(from).whom(claimed.unwrap_or_default()).reason(why).write();
        }
    }
}

/// Opens connections as another does, and tells of those whom this end refused.
pub(crate) struct Audited<D> {
    dial: D,
    audit: AuditLog,
}

impl<D> Audited<D> {
    pub(crate) const fn new(dial: D, audit: AuditLog) -> Self {
        Self { dial, audit }
    }

    fn tell(&self, meant: Option<&NodeId>, error: &DialError) {
        if let DialError::Tls { authority, source } = error {
            self.audit.dialled(meant, authority, source);
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
