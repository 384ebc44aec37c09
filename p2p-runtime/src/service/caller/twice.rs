//! Whether a call by name may run twice: asked only once its first host was lost, where it may have run.

use p2p_client::{
    call::Head,
    protocol::{Fingerprint, NodeId},
    proxy::{Peer, Route},
};
use tokio::time::Instant;

use super::NodeCaller;

impl NodeCaller {
    /// Whether the method is idempotent by the version that was announced for the node where it was lost, and by that of the next.
    pub(super) async fn may_run_twice_at(&self, head: &Head, lost_at: &Peer, next: &Route) -> bool {
        let Some(lost) = self.announced(head, &lost_at.node_id) else { return false };
        let (version, host) = match next {
            Route::Here(hosted) => (hosted.fingerprint(), None),
            Route::Differing(peer, version) => (*version, Some(&**peer)),
            Route::Peer(peer) => match self.announced(head, &peer.node_id) {
                Some(version) => (version, Some(&**peer)),
                None => return false,
            },
        };
        // The lost one can be asked for nothing any more.
        self.is_idempotent(head, version, host).await && (lost == version || self.is_idempotent(head, lost, None).await)
    }

    /// The version of the call's service that a node announces.
    fn announced(&self, head: &Head, node: &NodeId) -> Option<Fingerprint> {
        let members = self.members()?;
        let (info, _) = members.peer(node)?;
        Some(info.services.get(head.method.service())?.fingerprint)
    }

    /// Whether this version of the call's service says so of its method: the version that is hosted here, one that is known, or that of `host`,
    /// which is asked.
    async fn is_idempotent(&self, head: &Head, version: Fingerprint, host: Option<&Peer>) -> bool {
        let (service, method) = (head.method.service(), head.method.method());
        if let Some(hosted) = self.cx.registry().get(service)
            && hosted.fingerprint() == version
        {
            return hosted.method(method).is_some_and(|spec| spec.idempotent);
        }
        let left = head.deadline.saturating_duration_since(Instant::now());
        let description = match (self.descriptors.known(version), host) {
            (Some(known), _) => Ok(known),
            (None, Some(host)) => self.descriptors.of(host, service, version, left).await,
            (None, None) => return false,
        };
        description.is_ok_and(|service| {
            service.methods.iter().any(|known| known.name == method && (known.idempotent || known.read_only))
        })
    }
}
