//! Why a node was not made, enrolled or started, or did not run until it was asked to stop.

use std::{io, net::SocketAddr, path::PathBuf};

use p2p_client::{
    protocol::{NodeId, Role},
    wire::tls::{PeerIdentity, TlsError},
};

use crate::{
    component::ComponentError,
    config::ConfigError,
    identity::{Host, IdentityError, JoinError},
    persistence::PersistenceError,
    service::MissingServices,
    storage::StoreError,
};

/// Why a node was not made, enrolled or started, or did not run until it was asked to stop. Each says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Nobody said where the node's folder is, or what opens its store.
    #[error("a node needs {0}; say it to Node::builder()")]
    Unsaid(&'static str),
    /// The store could not be opened or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds no identity.
    #[error(
        "the node in {dir} belongs to no cluster yet; run `p2p init` for a new cluster, or `p2p join ADDR` for an existing one"
    )]
    NotEnrolled {
        /// The node's folder.
        dir: PathBuf,
    },
    /// The node has left its cluster for good.
    #[error("node {node_id} has left its cluster; join again under a fresh --dir")]
    HasLeft {
        /// The node.
        node_id: String,
    },
    /// A node that joins again keeps its role.
    #[error(
        "this node is {node}, and keeps its role when it joins again; join with `--role {role}` and a token from `p2p token create --role {role}`, \
         or make a {wanted} under a fresh --dir", role = .node.role
    )]
    OtherRole {
        /// Who it is.
        node: PeerIdentity,
        /// What it was to join as.
        wanted: Role,
    },
    /// The node lets nobody in.
    #[error("node {node_id} issues no tokens; run `p2p token create` on a coordinator")]
    NoIssuer {
        /// The node.
        node_id: NodeId,
    },
    /// The node's identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The cluster did not let the node in.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The port is taken.
    #[error("{address} is in use by another program; stop it, or choose another port with --listen")]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The node cannot listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Several addresses fit, and none was named.
    #[error("this machine has several addresses; name the one under which the other nodes reach it: --advertise {}", list(.0, " or --advertise "))]
    SeveralAddresses(Vec<Host>),
    /// State of the last run cannot be read.
    #[error(transparent)]
    State(#[from] PersistenceError),
    /// The node does not host what it is expected to.
    #[error(transparent)]
    MissingServices(#[from] MissingServices),
    /// The components cannot be started.
    #[error(transparent)]
    Component(ComponentError),
    /// A task of the node was lost.
    #[error("the node could not finish its start: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The node has stopped, as its part in the cluster ended through a mistake in this program.
    #[error(
        "node {node_id} has stopped, as its membership ended by itself; start it again, and please report this, with the errors in its log"
    )]
    MembershipEnded {
        /// The node.
        node_id: NodeId,
    },
    /// The machine failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What a component said of its start is an error of the node where it can be: a taken port is a taken port.
impl From<ComponentError> for NodeError {
    fn from(error: ComponentError) -> Self {
        match error {
            ComponentError::Start { component, reason } => match reason.downcast() {
                Ok(known) => known,
                Err(reason) => Self::Component(ComponentError::Start { component, reason }),
            },
            other => Self::Component(other),
        }
    }
}

fn list(hosts: &[Host], between: &str) -> String {
    hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}
