//! The component `transport`: listens, secures what comes in, and hands it on. Requests get 503 until the routes are open.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use p2p_client::{
    service::{Error, Result},
    wire::{
        net::{Listener, Network},
        pool::HttpPool,
        sessions::Sessions,
    },
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{component::Component, context::Context, network::ListeningPort, node::NodeError};

use super::{GossipLink, Server, serve};

/// How many ports after the usual one are tried when nobody named one.
const PORTS_TRIED: u16 = 100;
/// How long a last frame may take when the node stops.
const LAST_FRAMES: Duration = Duration::from_millis(500);

/// What the component needs of the rest of the node.
pub(crate) struct TransportParts {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) listen: SocketAddr,
    pub(crate) port_is_fixed: bool,
    pub(crate) server: Server,
    pub(crate) pool: HttpPool,
    pub(crate) sessions: Sessions,
    pub(crate) gossip: GossipLink,
}

/// Listens.
pub(crate) struct TransportComponent {
    parts: TransportParts,
    closing: CancellationToken,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl TransportComponent {
    pub(crate) fn new(parts: TransportParts) -> Self {
        Self { parts, closing: CancellationToken::new(), serving: Mutex::default() }
    }
}

impl Component for TransportComponent {
    fn name(&self) -> &'static str {
        "transport"
    }

    async fn start(&self, cx: &Context) -> Result<()> {
        let listener = listen(&*self.parts.network, self.parts.listen, self.parts.port_is_fixed).await?;
        cx.provide(ListeningPort(listener.local_addr().port()));
        tracing::info!(node = %cx.node_id(), address = %listener.local_addr(), "listening");
        let task = tokio::spawn(serve(listener, self.parts.server.clone(), self.closing.clone()));
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Ok(())
    }

    async fn stop(&self, _: &Context) -> Result<()> {
        self.parts.gossip.close(LAST_FRAMES).await;
        self.parts.sessions.close(LAST_FRAMES).await;
        self.parts.pool.cut_all();
        self.closing.cancel();
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.await.map_err(|error| Error::msg(format!("the listener ended badly: {error}")))?;
        }
        Ok(())
    }
}

/// Listens there, or on the next free port, unless a person named the port.
pub(crate) async fn listen(
    network: &dyn Network,
    wanted: SocketAddr,
    port_is_fixed: bool,
) -> Result<Box<dyn Listener>, NodeError> {
    let last = if port_is_fixed || wanted.port() == 0 { wanted.port() } else { wanted.port().saturating_add(PORTS_TRIED) };
    for port in wanted.port()..=last {
        let address = SocketAddr::new(wanted.ip(), port);
        match network.listen(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < last => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => break,
            Err(source) => return Err(NodeError::Listen { address, source }),
        }
    }
    Err(NodeError::PortInUse { address: wanted })
}
