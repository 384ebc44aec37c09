//! The component `web_server`: opens the routes once the services run, on the network and on the node's own socket.

use std::{
    convert::Infallible,
    future::pending,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use p2p_client::service::Result;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    component::Component,
    context::Context,
    service::SessionHost,
    transport::{HttpHandler, ListenerLimits, UnixSocket, serve_unix},
};

use super::{
    calls::JsonRpc,
    routes::{last_routes, routes},
    state::WebState,
};

/// How long streams may stay open when the node stops. Most of them would never end; a short one may be about to.
pub(crate) const STREAM_GRACE: Duration = Duration::from_secs(1);

/// Opens and closes the routes.
pub(crate) struct WebServerComponent {
    state: Arc<WebState>,
    handler: HttpHandler,
    /// The calls on sessions.
    calls: SessionHost,
    /// The routes on the node's own socket.
    local: HttpHandler,
    socket: PathBuf,
    limits: ListenerLimits,
    closing: CancellationToken,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl WebServerComponent {
    pub(crate) fn new(
        state: WebState,
        handler: HttpHandler,
        calls: SessionHost,
        socket: PathBuf,
        limits: ListenerLimits,
    ) -> Self {
        Self {
            state: Arc::new(state),
            handler,
            calls,
            local: HttpHandler::default(),
            socket,
            limits,
            closing: CancellationToken::new(),
            serving: Mutex::default(),
        }
    }
}

impl WebServerComponent {
    /// Waits for what runs. Streams that are still open after a while are ended, for the sake of which nobody else has to wait. Gives how many
    /// requests, and sessions with calls, had to be cut off.
    async fn finish(&self) -> (usize, usize) {
        let grace = self.limits.grace;
        let finished = async { tokio::join!(self.state.running.finish(grace), self.state.sessions.retire(grace)) };
        let ending_streams = async {
            sleep(STREAM_GRACE).await;
            self.state.dispatcher.end_streams();
            self.state.running.end_streams();
            pending::<Infallible>().await
        };
        tokio::select! {
            left = finished => left,
            never = ending_streams => match never {},
        }
    }
}

impl Component for WebServerComponent {
    fn name(&self) -> &'static str {
        "web_server"
    }

    fn dependencies(&self) -> &'static [&'static str] {
        &["service"]
    }

    async fn start(&self, _: &Context) -> Result<()> {
        let socket = UnixSocket::bind(&self.socket).await?;
        let routes = routes(self.state.clone());
        let json_rpc = Arc::new(JsonRpc(self.state.clone()));
        self.local.set_with(routes.clone(), json_rpc.clone());
        self.handler.set_with(routes, json_rpc);
        self.calls.open(self.state.dispatcher.clone());
        let task = tokio::spawn(serve_unix(socket, self.local.clone(), self.limits.clone(), self.closing.clone()));
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Ok(())
    }

    /// Takes no new requests, and waits for those that run: the services that they use stop next.
    async fn stop(&self, _: &Context) -> Result<()> {
        self.handler.set(last_routes(self.state.clone()));
        self.local.clear();
        self.calls.close();
        let (requests, sessions) = self.finish().await;
        self.handler.clear();
        if requests + sessions > 0 {
            tracing::warn!(requests, sessions, "what did not end in time was cut off");
        }
        self.closing.cancel();
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.await?;
        }
        Ok(())
    }
}
