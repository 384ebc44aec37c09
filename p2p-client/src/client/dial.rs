//! [`RootedDial`]: how a client's connections are opened.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

use crate::wire::{
    PeerRef,
    dial::{Dial, DialError, Dialled, secured},
    net::Network,
    tls::{ClientTls, Expect, RootKeyHash, TlsMaterial},
};

/// The way of a client: TLS 1.3 with whichever node answers at the address, as long as it is under the root.
#[derive(Clone)]
pub(super) struct RootedDial {
    network: Arc<dyn Network>,
    tls: ClientTls,
    root: RootKeyHash,
}

impl RootedDial {
    pub(super) fn new(network: Arc<dyn Network>, root: RootKeyHash) -> Self {
        Self { network, tls: ClientTls::new(TlsMaterial::empty()), root }
    }
}

impl Dial for RootedDial {
    fn dial<'a>(&'a self, peer: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
        Box::pin(secured(&*self.network, &self.tls, &peer.authority, Expect::RootedIn(self.root)))
    }
}

impl fmt::Debug for RootedDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootedDial").field("root", &self.root).finish_non_exhaustive()
    }
}
