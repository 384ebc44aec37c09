//! What a node is told about itself when it is enrolled.

use std::net::SocketAddr;

use clap::Args;
use p2p_client::protocol::{Capability, NodeId};
use p2p_runtime::identity::Host;

/// What a node is told about itself when it is enrolled, by `init` or `join`.
#[derive(Args)]
pub(super) struct NodeArgs {
    /// The node's name for life, such as worker-1 [default: its role and six random characters]
    #[arg(long, value_name = "ID")]
    pub(super) node_id: Option<NodeId>,

    /// The address under which the other nodes reach it: an IP address or a host name [default: the machine's only one]
    #[arg(long, value_name = "HOST")]
    pub(super) advertise: Option<Host>,

    /// Where it listens; a named port that is taken is an error, port 0 takes any free one [default: the usual port, 8001 for a
    /// coordinator and 8002 for a worker, or the next free one]
    #[arg(long, value_name = "IP:PORT")]
    pub(super) listen: Option<SocketAddr>,

    /// A label to route calls by, such as gpu; may be repeated
    #[arg(long = "capability", value_name = "LABEL")]
    pub(super) capabilities: Vec<Capability>,
}
