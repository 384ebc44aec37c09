//! What the handlers of requests share.

use std::{sync::Weak, time::Instant};

use p2p_client::wire::sessions::Sessions;
use tokio_util::sync::CancellationToken;

use crate::{
    config::RunningConfig,
    context::Context,
    identity::{Issuer, NodeIdentity},
    service::{Descriptors, Dispatcher},
    storage::Store,
};

use super::running::RunningRequests;

/// What the handlers share.
pub(crate) struct WebState {
    pub(crate) cx: Context,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) sessions: Sessions,
    pub(crate) descriptors: Descriptors,
    pub(crate) identity: NodeIdentity,
    pub(crate) issuer: Option<Issuer>,
    /// The configuration, as far as it can change.
    pub(crate) config: RunningConfig,
    pub(crate) running: RunningRequests,
    pub(crate) started: Instant,
    /// Weak: the handlers may outlive the node.
    pub(crate) store: Weak<Store>,
    /// Held while somebody's password is checked.
    pub(crate) checking_password: tokio::sync::Mutex<()>,
    /// Cancelled when an operator has the node leave the cluster.
    pub(crate) leave: CancellationToken,
}
