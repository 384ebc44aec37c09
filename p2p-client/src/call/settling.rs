//! Going where a call can be served: to the node that was resolved, to the next that fits where that may be, and around again where that was asked
//! for.
//!
//! A call that gives one result goes this way, and so does the opening of a stream. Once a stream is open there is no other try: its caller
//! has seen items.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    protocol::Fingerprint,
    proxy::{Caller, Peer, Route},
    service::HostedService,
};

use super::{Failure, Head, Opened, Outgoing};

/// What a call gives, which decides how it is sent.
pub(super) trait Given: Sized + Send {
    /// Has it from JSON, of an object on this node.
    fn here(
        out: &Outgoing,
        service: &Arc<dyn HostedService>,
        params: &[u8],
    ) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Has it of another node.
    fn there<'a>(
        caller: &'a dyn Caller,
        head: &'a Head,
        to: &'a Peer,
        params: &'a [u8],
    ) -> impl Future<Output = Result<Self, Failure>> + Send + 'a;
}

/// One result, as JSON.
impl Given for Bytes {
    async fn here(out: &Outgoing, service: &Arc<dyn HostedService>, params: &[u8]) -> Result<Self, Failure> {
        out.serve_here(service, params).await
    }

    fn there<'a>(
        caller: &'a dyn Caller,
        head: &'a Head,
        to: &'a Peer,
        params: &'a [u8],
    ) -> impl Future<Output = Result<Self, Failure>> + Send + 'a {
        caller.send(head, to, params)
    }
}

impl Given for Opened {
    async fn here(out: &Outgoing, service: &Arc<dyn HostedService>, params: &[u8]) -> Result<Self, Failure> {
        out.open_here(service, params).await
    }

    fn there<'a>(
        caller: &'a dyn Caller,
        head: &'a Head,
        to: &'a Peer,
        params: &'a [u8],
    ) -> impl Future<Output = Result<Self, Failure>> + Send + 'a {
        caller.open(head, to, params)
    }
}

impl Outgoing {
    /// Goes where `route` says and, where that surely did not run or may run twice, to the next that fits; once nobody is left, around
    /// again as often as was asked for. All of it within the deadline.
    pub(super) async fn until_settled<G: Given>(&mut self, route: Result<Route, Failure>, params: &[u8]) -> Result<G, Failure> {
        self.on_from(route, None, params).await
    }

    /// The same, from what it ended with at the first node.
    pub(super) async fn settled<G: Given>(
        &mut self,
        peer: Arc<Peer>,
        sent: Result<G, Failure>,
        params: &[u8],
    ) -> Result<G, Failure> {
        let mut failed = None;
        match sent {
            Ok(given) => Ok(given),
            Err(failure) => {
                let route = self.elsewhere(peer, failure, &mut failed).await?;
                self.on_from(route, failed, params).await
            }
        }
    }

    /// Goes on where `route` says. `failed` is what its caller is told in the end.
    async fn on_from<G: Given>(
        &mut self,
        mut route: Result<Route, Failure>,
        mut failed: Option<Failure>,
        params: &[u8],
    ) -> Result<G, Failure> {
        loop {
            let (peer, sent) = match route {
                // In boxes of their own: a call that is sent as it is is not to carry the room for one that is not.
                Ok(Route::Here(service)) => return Box::pin(G::here(self, &service, params)).await,
                Ok(Route::Differing(peer, version)) => {
                    let sent = Box::pin(self.fitted_there(&peer, version, params)).await;
                    (peer, sent)
                }
                Ok(Route::Peer(peer)) => {
                    let sent = G::there(&*self.caller, &self.head, &peer, params).await;
                    (peer, sent)
                }
                Err(nobody) => {
                    route = Box::pin(self.around_again(nobody, &mut failed)).await?;
                    continue;
                }
            };
            match sent {
                Ok(given) => return Ok(given),
                Err(failure) => route = Box::pin(self.elsewhere(peer, failure, &mut failed)).await?,
            }
        }
    }

    /// At a host with another version of the service, if that understands the call.
    pub(super) async fn fitted_there<G: Given>(&self, to: &Peer, version: Fingerprint, params: &[u8]) -> Result<G, Failure> {
        let params = self.fitted(to, version, params).await?;
        G::there(&*self.caller, &self.later_head(), to, &params).await
    }
}
