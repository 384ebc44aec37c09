//! Calls that come in on sessions: from a message of a peer to the dispatcher.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use p2p_client::{
    protocol::{CallerId, ErrorCode, NodeId, RpcError},
    service::Params,
    wire::{
        session::{ItemSink, Serve, ServeCall, Served, Session, SessionLimits, message::Incoming},
        sessions::{Host, Sessions},
        tls::PeerIdentity,
    },
};
use tokio::time::Instant;

use crate::{
    limits::{Limits, PeerBudget},
    transport::SessionAcceptor,
};

use super::Dispatcher;

/// Serves what peers call, while the node takes calls. Cheap to clone; clones are opened and closed together.
#[derive(Clone)]
pub(crate) struct SessionHost {
    // Only while it is open: the dispatcher holds the caller, which holds the sessions, which hold this.
    dispatcher: Arc<ArcSwapOption<Dispatcher>>,
    limits: Arc<Limits>,
}

impl SessionHost {
    /// Takes no calls yet.
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self { dispatcher: Arc::default(), limits }
    }

    /// Takes calls from now on.
    pub(crate) fn open(&self, dispatcher: Dispatcher) {
        self.dispatcher.store(Some(Arc::new(dispatcher)));
    }

    /// Answers every further call with "unavailable", after which its caller goes elsewhere.
    pub(crate) fn close(&self) {
        self.dispatcher.store(None);
    }
}

impl fmt::Debug for SessionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHost").field("is_open", &self.dispatcher.load().is_some()).finish_non_exhaustive()
    }
}

impl Host for SessionHost {
    fn serve_for(&self, peer: &PeerIdentity) -> Arc<dyn Serve> {
        let caller = CallerId::Node { id: peer.node_id.clone(), role: peer.role };
        let budget = self.limits.peer(&peer.node_id);
        Arc::new(PeerCalls { host: self.clone(), peer: peer.node_id.clone(), caller, budget })
    }
}

/// Takes sessions that peers open.
pub(crate) struct AcceptSessions {
    pub(crate) host: SessionHost,
    pub(crate) sessions: Sessions,
}

impl SessionAcceptor for AcceptSessions {
    fn accept(&self, peer: &PeerIdentity) -> Option<(Arc<dyn Serve>, SessionLimits)> {
        self.host.dispatcher.load().as_ref()?;
        Some((self.host.serve_for(peer), self.sessions.limits().clone()))
    }

    fn opened(&self, session: &Session) {
        self.sessions.adopt(session);
    }
}

/// The calls of one peer, whom its certificate names.
struct PeerCalls {
    host: SessionHost,
    peer: NodeId,
    caller: CallerId,
    /// What this peer may call, whoever asked it.
    budget: PeerBudget,
}

impl Serve for PeerCalls {
    fn serve(&self, call: Incoming, received: Instant, items: Option<ItemSink>) -> ServeCall {
        let dispatcher = self.host.dispatcher.load();
        let Some(dispatcher) = dispatcher.as_deref() else {
            let error = RpcError::new(ErrorCode::UNAVAILABLE, "this node is starting or stopping; try again in a second");
            return Box::pin(std::future::ready(Served::refused(error, received)));
        };
        if let Err(over) = self.budget.draw(received) {
            return Box::pin(std::future::ready(Served::refused(over.into(), received)));
        }
        // A forwarder's certificate lends nothing to a caller without a name.
        let caller = if call.is_anonymous { CallerId::Anonymous } else { self.caller.clone() };
        // All that is decided without waiting is decided here, so that the future holds what the method needs and no more.
        match dispatcher.admit(&call, &self.peer, caller, received, items) {
            Ok(admitted) => Box::pin(async move {
                let deadline = admitted.deadline();
                let (outcome, ended) = admitted.serve(Params::new(call.params()), received).await;
                Served { outcome, deadline, ended }
            }),
            Err(error) => Box::pin(std::future::ready(Served::refused(error, received))),
        }
    }
}
