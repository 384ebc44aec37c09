//! [`Node`]: one process's part in a cluster, put together from its five components.
//!
//! ```text
//! enrolment (init, join) -> the store: identity, configuration
//! NodeBuilder: opens the store -> transport -> cache -> network -> service -> web_server -> Node
//! ```

mod absent;
mod address;
mod attestation;
mod autosave;
mod builder;
mod counting;
mod descent;
mod enrol;
mod error;
mod large_buffers;
mod lives;
mod others;
mod own_certificate;
mod own_state;
mod parts;
mod renewer;
mod rotation;
mod seen;
mod set_back;
mod tokens;
mod vault;
mod withdrawal;

use std::{fmt, sync::Arc};

use p2p_client::{
    protocol::{NodeId, Role},
    proxy::Proxy,
    revocation::{KeyHash, Reason},
    wire::tls::RootKeyHash,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use builder::NodeBuilder;
pub(crate) use descent::DESCENDS;
pub use enrol::{Enrolment, InitOptions, Initialised, JoinClusterOptions, JoinedCluster, create_token_offline, init, join};
pub use error::NodeError;
pub use p2p_client::wire::{session::SessionLimits, sessions::SessionsConfig};
pub(crate) use renewer::Renewer;
pub(crate) use rotation::Rotator;
pub use rotation::ShareError;
pub use set_back::{SetBack, SetBackBy, recover, restore};
pub(crate) use tokens::publish_token_keys;
pub use vault::StoreVault;
pub(crate) use withdrawal::IssuedBefore;
pub use withdrawal::{RevokeNodeError, RevokedNode};

use crate::{
    component::Components,
    config::{NodeConfig, RunningConfig},
    context::Context,
    identity::{
        Host, Issuer, Ledger, RotateError,
        join::LeftOut,
        renewal::RenewError,
        rotation::{Progress, Rotation},
    },
    network::{ListeningPort, Members, Membership},
    service::NodeCaller,
    storage::Store,
};

/// A running node. Dropping it does not stop it in good order; [`stop`](Self::stop) does.
pub struct Node {
    cx: Context,
    components: Components,
    caller: Arc<NodeCaller>,
    membership: Membership,
    store: Arc<Store>,
    issuer: Option<Issuer>,
    ledger: Ledger,
    renewer: Renewer,
    leave: CancellationToken,
    rotator: Rotator,
    advertise: Host,
    config: RunningConfig,
}

impl Node {
    /// Begins to put a node together.
    ///
    /// ```no_run
    /// # use p2p_runtime::prelude::*;
    /// # async fn example() -> Result<()> {
    /// let node = Node::builder().dir("/var/lib/p2p").password(Password::new("correct horse")?).start().await?;
    /// node.run_until_shutdown().await?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// The node's name.
    pub fn id(&self) -> &NodeId {
        self.cx.node_id()
    }

    /// What the node is.
    pub fn role(&self) -> Role {
        self.cx.role()
    }

    /// What the node's parts share.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// Where calls begin.
    pub fn proxy(&self) -> Proxy {
        Proxy::new(self.caller.clone())
    }

    /// Who is in the cluster: snapshots and events.
    pub fn members(&self) -> &Membership {
        &self.membership
    }

    /// Waits until this node's view of the cluster is as wanted.
    ///
    /// ```no_run
    /// # async fn example(node: p2p_runtime::node::Node) {
    /// node.wait_until(|members| members.alive().count() == 3).await;
    /// # }
    /// ```
    pub async fn wait_until(&self, wanted: impl Fn(&Members) -> bool) -> Arc<Members> {
        let (mut members, mut events) = self.membership.subscribe();
        while !wanted(&members) {
            if events.next().await.is_none() {
                // The node is stopping, and its view will not change any more.
                std::future::pending::<()>().await;
            }
            members = self.membership.members();
        }
        members
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.cx.shared::<ListeningPort>().map_or(0, |port| port.0)
    }

    /// Where other nodes reach it, `host:port`.
    pub fn authority(&self) -> String {
        self.advertise.with_port(self.port())
    }

    /// Its address for callers outside.
    pub fn url(&self) -> String {
        format!("https://{}", self.authority())
    }

    /// The fingerprint of the cluster's root, by which callers outside know whom to trust
    /// ([`root_fingerprint`](p2p_client::client::ClientBuilder::root_fingerprint)). It is no secret. It becomes another one when the root is changed.
    pub fn root_fingerprint(&self) -> RootKeyHash {
        self.ledger.roots().current().key_hash()
    }

    /// Its configuration as it is now, and every later one: an operator may change it while the node runs.
    pub fn config(&self) -> watch::Receiver<Arc<NodeConfig>> {
        self.config.subscribe()
    }

    /// What lets new nodes in, on a coordinator.
    pub fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    /// What was revoked, as far as this node knows; on a coordinator, what revokes.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Renews the node's certificate now, before it is due. Calls go on.
    ///
    /// # Errors
    /// [`RenewError`]; the old certificate is still in use then.
    pub async fn renew_certificate(&self) -> Result<Vec<LeftOut>, RenewError> {
        self.renewer.renew().await
    }

    /// Begins to change the cluster's root, or goes on where that was begun here. It is durable when this returns; the rest happens by itself while
    /// calls go on: everybody trusts both roots and is certified anew, then the old one is dropped.
    ///
    /// # Errors
    /// [`RotateError`]: the root key is elsewhere, or the store failed.
    pub async fn rotate_root(&self) -> Result<Rotation, RotateError> {
        self.rotator.begin(false).await
    }

    /// Drops the old root now, although nodes have not been certified anew. Gives those: they have to join again.
    ///
    /// # Errors
    /// [`RotateError`]: nothing is under way, or the new root's key is elsewhere.
    pub async fn finish_rotation(&self) -> Result<Progress, RotateError> {
        self.rotator.finish().await
    }

    /// How far the change of the root is that is under way; `None` where there is none.
    ///
    /// # Errors
    /// [`RotateError`]: what was issued cannot be read.
    pub async fn rotation(&self) -> Result<Option<Progress>, RotateError> {
        self.rotator.progress().await
    }

    /// Gives the root key to another coordinator, over mutual TLS: it can then change the root and add coordinators, too.
    ///
    /// # Errors
    /// The key is not here, the other is no coordinator, or it could not be reached.
    pub async fn share_root_key(&self, with: &NodeId) -> Result<(), ShareError> {
        self.rotator.share(with).await
    }

    /// Takes a node back, on a coordinator: its name, its key, and the issuing authorities of another coordinator. Nodes that were certified by these
    /// join again. Those that were certified by them before, and by another coordinator since, are [named](RevokedNode::descended): whoever had the keys
    /// may have made them.
    ///
    /// # Errors
    /// [`RevokeNodeError`]; then nothing was revoked, unless it says so.
    pub async fn revoke_node(&self, node_id: &NodeId, reason: Reason) -> Result<RevokedNode, RevokeNodeError> {
        self.rotator.revoke_node(node_id.clone(), reason, IssuedBefore::Revoked).await
    }

    /// The same, of a coordinator that is lost and whose store nobody can have: what it has issued stays good, and nodes that it had readmitted stay in.
    /// Whoever has its store all the same lets itself in under any name, until the keys that were [kept](RevokedNode::kept) are revoked, too; and it may have
    /// got certificates and authorities of other coordinators by then. Who can be that is [named](RevokedNode::descended) when the keys are revoked.
    ///
    /// # Errors
    /// [`RevokeNodeError`], also where the node is alive, or is no coordinator; then nothing was revoked, unless it says so.
    pub async fn revoke_lost_coordinator(&self, node_id: &NodeId, reason: Reason) -> Result<RevokedNode, RevokeNodeError> {
        self.rotator.revoke_node(node_id.clone(), reason, IssuedBefore::Kept).await
    }

    /// Takes a key back, on a coordinator, and with it all that it has signed: as that of an authority which was [kept](RevokedNode::kept).
    ///
    /// # Errors
    /// [`RevokeNodeError`]; then nothing was revoked, unless it says so.
    pub async fn revoke_key(&self, key: KeyHash, reason: Reason) -> Result<RevokedNode, RevokeNodeError> {
        self.rotator.revoke_key(key, reason).await
    }

    /// The node's encrypted store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Runs until somebody asks it to stop: SIGINT, SIGTERM, the operator, or [`Context::shut_down`]. Then stops in good order.
    ///
    /// A second signal while it stops ends the process at once, with exit status 130.
    ///
    /// # Errors
    /// When signals cannot be listened for, or leaving failed; and [`NodeError::MembershipEnded`], so that whoever started the process starts
    /// it again.
    pub async fn run_until_shutdown(self) -> Result<(), NodeError> {
        let signalled =
            crate::signals::terminate().map_err(|source| NodeError::Io { doing: "listening for signals".to_owned(), source })?;
        tokio::select! {
            () = signalled => {}
            () = self.cx.wait_for_shutdown() => {}
            () = self.leave.cancelled() => {
                tokio::spawn(crate::signals::exit_on_the_next());
                return self.leave().await;
            }
        }
        tokio::spawn(crate::signals::exit_on_the_next());
        let ended = self.membership.has_ended_by_itself().then(|| NodeError::MembershipEnded { node_id: self.id().clone() });
        self.stop().await;
        ended.map_or(Ok(()), Err)
    }

    /// Stops in good order: takes no new requests, finishes those that run, stops services and components, saves.
    pub async fn stop(self) {
        self.cx.shut_down();
        self.cx.run_shutdown_handlers().await;
        self.components.stop(&self.cx).await;
        autosave::save(self.store.clone()).await;
        tracing::info!(node = %self.id(), "stopped");
    }

    /// Leaves the cluster for good, and stops. The others know at once; the node cannot be started again, only join anew.
    ///
    /// # Errors
    /// When the store cannot note it. Then the node has not left; it has stopped, and can be started again.
    pub async fn leave(self) -> Result<(), NodeError> {
        // Noted before it is said: a node that the others know as gone must never come back by a crash in between.
        let store = self.store.clone();
        let noted = tokio::task::spawn_blocking(move || enrol::note_departure(&store)).await.map_err(NodeError::from).flatten();
        if noted.is_ok()
            && let Err(error) = self.membership.leave().await
        {
            tracing::warn!(%error, "the others could not be told; they will find out by themselves");
        }
        self.stop().await;
        noted
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", self.id())
            .field("role", &self.role())
            .field("at", &self.authority())
            .finish_non_exhaustive()
    }
}
