//! What the handlers of requests share.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use p2p_client::wire::{pool::HttpPool, sessions::Sessions};
use tokio_util::sync::CancellationToken;

use crate::{
    config::RunningConfig,
    context::Context,
    identity::{
        Issuer, Ledger, NodeIdentity,
        client_token::{TokenAuthority, TokenVerifier},
    },
    node::{Renewer, Rotator},
    service::{Descriptors, Dispatcher},
    storage::Store,
};

use super::{elsewhere::Lookups, running::RunningRequests};

/// What the handlers share.
pub(crate) struct WebState {
    pub(crate) cx: Context,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) sessions: Sessions,
    pub(crate) descriptors: Descriptors,
    pub(crate) identity: NodeIdentity,
    pub(crate) issuer: Option<Issuer>,
    pub(crate) tokens: ClientTokens,
    /// Plain requests to other nodes.
    pub(crate) pool: HttpPool,
    pub(crate) ledger: Ledger,
    pub(crate) renewer: Renewer,
    pub(crate) rotator: Rotator,
    /// The configuration, as far as it can change.
    pub(crate) config: RunningConfig,
    pub(crate) running: RunningRequests,
    pub(crate) started: Instant,
    /// Weak: the handlers may outlive the node.
    pub(crate) store: Weak<Store>,
    /// Held while somebody's password is checked.
    pub(crate) checking_password: Arc<tokio::sync::Mutex<()>>,
    /// For the makers of join tokens.
    pub(crate) lookups: Lookups,
    /// Cancelled when an operator has the node leave the cluster.
    pub(crate) leave: CancellationToken,
}

/// Tokens of clients outside: verified by every node, made by coordinators.
pub(crate) struct ClientTokens {
    pub(crate) verifier: TokenVerifier,
    pub(crate) authority: Option<TokenAuthority>,
}
