//! Coordinators for the tests of joining: a [`Desk`] without a network, whose joiners live in a made-up world, and a [`Coordinator`] that
//! listens on loopback.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use p2p_client::{
    protocol::{Role, UnixMillis},
    wire::{
        net::{Network, TcpNetwork},
        tls::ChannelBinding,
    },
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    challenge::tests::World,
    join::{CertReply, HelloReply, Issued, Joiner, Prove, Seed, encode_outcome},
    tests::{cluster, ledger},
    vault::tests::MemoryVault,
    *,
};
use crate::transport::tls::ServerTls;

const REMOTE: &str = "10.0.0.9:40000";

/// The connection that joiners come over unless a test says otherwise.
pub(super) fn channel() -> ChannelBinding {
    ChannelBinding::from_bytes([4; 32])
}

/// A coordinator without a network, whose joiners live in a made-up world.
pub(super) struct Desk {
    pub(super) issuer: Issuer,
    pub(super) identity: NodeIdentity,
    pub(super) ledger: Ledger,
    pub(super) vault: Arc<MemoryVault>,
    pub(super) world: Arc<World>,
    pub(super) clock: Arc<AtomicU64>,
}

pub(super) fn desk() -> Desk {
    desk_at("10.0.0.1")
}

pub(super) fn desk_at(advertised: &str) -> Desk {
    desk_in(World::default(), advertised, |world, _| world)
}

/// One that calls joining nodes in this world through what `fetcher` makes of it and of the clock.
pub(super) fn desk_in<F: ChallengeFetcher>(
    world: World,
    advertised: &str,
    fetcher: impl FnOnce(Arc<World>, Arc<AtomicU64>) -> Arc<F>,
) -> Desk {
    let (identity, vault) = cluster();
    let (world, clock) = (Arc::new(world), Arc::new(AtomicU64::new(UnixMillis::now().0)));
    let (ledger, fetcher) = (ledger(&identity, &vault), fetcher(world.clone(), clock.clone()));
    let issuer = issuer_of(&identity, &vault, &ledger, advertised, fetcher, &clock);
    Desk { issuer, identity, ledger, vault, world, clock }
}

/// The coordinator with this store, which goes by this clock.
fn issuer_of(
    identity: &NodeIdentity,
    vault: &Arc<MemoryVault>,
    ledger: &Ledger,
    advertised: &str,
    fetcher: Arc<impl ChallengeFetcher>,
    clock: &Arc<AtomicU64>,
) -> Issuer {
    let seed = Seed { node_id: identity.peer().node_id.clone(), authority: format!("{advertised}:8001") };
    let mut options = IssuerOptions::new(seed, vec![advertised.parse().unwrap()], fetcher);
    let time = clock.clone();
    options.clock = Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)));
    Issuer::load(vault.clone(), ledger.clone(), options).unwrap().unwrap()
}

/// Says hello on this connection.
pub(super) async fn hello(issuer: &Issuer, joiner: &Joiner, channel: &ChannelBinding) -> Result<HelloReply, Refused> {
    let hello = CertRequest::Hello(joiner.hello().clone());
    match issuer.handle(hello, channel.clone(), REMOTE.parse().unwrap()).await? {
        CertReply::Hello(reply) => Ok(reply),
        other => panic!("a step was skipped: {other:?}"),
    }
}

/// Sends a proof on this connection.
pub(super) async fn send(issuer: &Issuer, prove: Prove, channel: &ChannelBinding) -> Result<Issued, Refused> {
    match send_any(issuer, prove, channel).await? {
        CertReply::Issued(reply) => Ok(reply),
        other => panic!("no certificate: {other:?}"),
    }
}

/// The same, whatever is answered.
pub(super) async fn send_any(issuer: &Issuer, prove: Prove, channel: &ChannelBinding) -> Result<CertReply, Refused> {
    issuer.handle(CertRequest::Prove(prove), channel.clone(), REMOTE.parse().unwrap()).await
}

/// Both steps of a join.
pub(crate) async fn attempt(issuer: &Issuer, joiner: &Joiner) -> Result<Issued, Refused> {
    let reply = hello(issuer, joiner, &channel()).await?;
    send(issuer, joiner.prove(&channel(), &reply).unwrap(), &channel()).await
}

/// A joiner whose addresses answer for its key in this world.
pub(crate) fn joiner_in(world: &World, token: &JoinToken, name: &str, role: Role, addresses: &[&str], key: NodeKey) -> Joiner {
    for ip in addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()) {
        world.keys.lock().unwrap().insert(ip, key.public().thumbprint().to_string());
    }
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    Joiner::new(token.clone(), name.parse().unwrap(), role, addresses, key).unwrap()
}

impl Desk {
    /// A worker whose address answers for its key.
    pub(super) fn worker(&self, token: &JoinToken, name: &str, address: &str) -> Joiner {
        self.joiner(token, name, Role::Worker, &[address])
    }

    /// A joiner whose addresses answer for its key.
    pub(super) fn joiner(&self, token: &JoinToken, name: &str, role: Role, addresses: &[&str]) -> Joiner {
        self.joiner_with(token, name, role, addresses, NodeKey::generate().unwrap())
    }

    pub(super) fn joiner_with(&self, token: &JoinToken, name: &str, role: Role, addresses: &[&str], key: NodeKey) -> Joiner {
        joiner_in(&self.world, token, name, role, addresses, key)
    }

    /// A join whose second message is changed on its way.
    pub(super) async fn prove(&self, joiner: &Joiner, change: impl FnOnce(&mut Prove)) -> Result<Issued, Refused> {
        let reply = hello(&self.issuer, joiner, &channel()).await?;
        let mut prove = joiner.prove(&channel(), &reply).unwrap();
        change(&mut prove);
        send(&self.issuer, prove, &channel()).await
    }

    pub(super) async fn attempt(&self, joiner: &Joiner) -> Result<Issued, Refused> {
        attempt(&self.issuer, joiner).await
    }

    pub(super) async fn token(&self) -> JoinToken {
        self.token_for(1).await
    }

    /// A token that lets in so many workers.
    pub(super) async fn token_for(&self, uses: u32) -> JoinToken {
        let options = TokenOptions { uses: uses.try_into().unwrap(), ..TokenOptions::default() };
        self.issuer.create_token(options).await.unwrap()
    }

    pub(super) fn uses_left(&self, token: &JoinToken) -> u32 {
        let stored = tokens(&*self.vault);
        assert_eq!(stored.list().cloned().collect::<Vec<_>>(), self.issuer.tokens());
        stored.get(token.id()).unwrap().uses_left
    }

    /// The same coordinator, started again on what it has stored.
    pub(super) fn restarted(self) -> Self {
        let ledger = ledger(&self.identity, &self.vault);
        let issuer = issuer_of(&self.identity, &self.vault, &ledger, "10.0.0.1", self.world.clone(), &self.clock);
        Self { issuer, ledger, ..self }
    }
}

/// The tokens as they are stored.
pub(super) fn tokens(vault: &dyn Vault) -> TokenTable {
    serde_json::from_slice(&vault.get(TOKENS).unwrap().unwrap()).unwrap()
}

/// Whether a node of this name is noted.
pub(super) fn is_noted(vault: &dyn Vault, name: &str) -> bool {
    vault.get(&format!("ca/nodes/{name}.json")).unwrap().is_some()
}

pub(super) struct Coordinator {
    pub(super) issuer: Issuer,
    pub(super) at: String,
    _server: AbortOnDropHandle<()>,
}

/// A coordinator on loopback that answers join requests, and nothing else, over TLS with this material.
pub(super) async fn serve(identity: &NodeIdentity, vault: Arc<impl Vault>, tls: ServerTls) -> Coordinator {
    serve_until(identity, vault, tls, CancellationToken::new()).await
}

/// The same, which says nothing more on any connection once it is `killed`.
pub(super) async fn serve_until(
    identity: &NodeIdentity,
    vault: Arc<impl Vault>,
    tls: ServerTls,
    killed: CancellationToken,
) -> Coordinator {
    serve_as(identity, vault, tls, killed, None, 0).await
}

/// A coordinator that sends everybody on.
pub(super) async fn serve_elsewhere(identity: &NodeIdentity, vault: Arc<impl Vault>, to: Seed) -> Coordinator {
    serve_as(identity, vault, identity.server_tls().unwrap(), CancellationToken::new(), Some(to), 0).await
}

/// A coordinator whose clock is so many seconds ahead.
pub(super) async fn serve_ahead(identity: &NodeIdentity, vault: Arc<impl Vault>, ahead_s: i64) -> Coordinator {
    serve_as(identity, vault, identity.server_tls().unwrap(), CancellationToken::new(), None, ahead_s).await
}

async fn serve_as(
    identity: &NodeIdentity,
    vault: Arc<impl Vault>,
    tls: ServerTls,
    killed: CancellationToken,
    sends_to: Option<Seed>,
    ahead_s: i64,
) -> Coordinator {
    let mut listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().to_string();
    let seed = Seed { node_id: identity.peer().node_id.clone(), authority: at.clone() };
    let mut options =
        IssuerOptions::new(seed, vec!["127.0.0.1".parse().unwrap()], Arc::new(HttpFetcher::new(Arc::new(TcpNetwork))));
    options.challenge_port = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap().local_addr().port();
    options.clock = Arc::new(move || UnixMillis(UnixMillis::now().0.checked_add_signed(ahead_s * 1000).unwrap()));
    let issuer = Issuer::load(vault.clone(), ledger(identity, &vault), options).unwrap().unwrap();
    let desk = issuer.clone();
    let server = tokio::spawn(async move {
        loop {
            let (stream, remote) = listener.accept().await.unwrap();
            let (tls, desk, killed, sends_to) = (tls.clone(), desk.clone(), killed.clone(), sends_to.clone());
            tokio::spawn(async move {
                let Ok(accepted) = tls.accept(stream).await else { return };
                let channel = accepted.channel_binding().unwrap();
                let (dead, desk) = (killed.clone(), desk.clone());
                let service = service_fn(move |request| {
                    let (answer, dead) = (answer(desk.clone(), sends_to.clone(), channel.clone(), remote, request), dead.clone());
                    async move {
                        let answer = answer.await;
                        // What was ready when it was killed is not sent any more.
                        if dead.is_cancelled() { std::future::pending().await } else { answer }
                    }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(accepted.stream), service);
                tokio::select! { () = killed.cancelled() => {} _ = connection => {} }
            });
        }
    });
    Coordinator { issuer, at, _server: AbortOnDropHandle::new(server) }
}

async fn answer(
    issuer: Issuer,
    sends_to: Option<Seed>,
    channel: ChannelBinding,
    remote: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/internal/cert-request");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let outcome = match (CertRequest::from_json(&body), sends_to) {
        (Ok(_), Some(coordinator)) => Err(Refused::Elsewhere { coordinator }),
        (Ok(request), None) => issuer.handle(request, channel, remote).await,
        (Err(refused), _) => Err(refused),
    };
    let (status, body) = encode_outcome(&outcome);
    Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
}

/// What a worker of this name on loopback joins with; `events` notes what happens.
pub(super) fn options(name: &str, events: &Arc<Mutex<Vec<JoinEvent>>>) -> JoinOptions {
    let events = events.clone();
    JoinOptions {
        node_id: Some(name.parse().unwrap()),
        role: Role::Worker,
        addresses: vec!["127.0.0.1".parse().unwrap()],
        key: None,
        responder: ChallengeResponder::new(Arc::new(TcpNetwork)),
        progress: Arc::new(move |event| events.lock().unwrap().push(event)),
        cluster: None,
    }
}
