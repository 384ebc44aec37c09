//! Puts the parts of a node together and starts them: the one place that knows all five components.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use p2p_client::{
    protocol::{NodeInfo, NodeStatus, UnixMillis},
    proxy::Caller,
    wire::{dial::TlsDial, pool::HttpPool, sessions::Sessions},
};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{Audited, offline},
    cache::CacheComponent,
    component::{AnyComponent, Components},
    config::{ConfigDocument, NodeConfig, Overrides, RunningConfig},
    context::Context,
    identity::{
        ChallengeResponder,
        client_token::{METADATA, TokenAuthority},
    },
    network::{ListeningPort, NetworkComponent, NetworkParts},
    persistence::StatePersistence,
    secrets::Keeper,
    service::{AcceptSessions, Descriptors, Dispatcher, NodeCaller, ServiceComponent, ServiceManager, SessionHost},
    storage::Store,
    transport::{GossipLink, GossipLinkConfig, HttpHandler, Server, TlsGossipDial, TransportComponent, TransportParts},
    web::{Lookups, RunningRequests, WebServerComponent, WebState},
};

use super::{
    Enrolment, Node, NodeBuilder, NodeError, SetBack,
    absent::Absent,
    attestation::ByCertificate,
    autosave,
    descent::Search,
    large_buffers::expect_large_buffers,
    lives::Lives,
    others::Others,
    own_certificate::warn_if_not_valid,
    own_state::Own,
    renewer::{Renewer, RenewerParts},
    rotation::{Rotator, RotatorParts},
    seen, tokens,
    vault::WeakVault,
};

/// How many frames may wait for the membership's task.
const WAITING_FRAMES: usize = 4096;

/// Starts a node that is enrolled.
#[expect(clippy::too_many_lines, reason = "one part after the other, each once; nothing is decided here")]
pub(super) async fn start(builder: NodeBuilder, enrolment: Enrolment) -> Result<Node, NodeError> {
    let started = Instant::now();
    expect_large_buffers();
    let store = enrolment.store.clone();
    let epoch = spawn_blocking(move || Lives::begin(&store)).await??;
    warn_if_set_back(&enrolment.store)?;
    tell_of_offline_acts(&enrolment.store).await?;
    let peer = enrolment.identity.peer().clone();
    let cx = Context::new(peer.node_id, peer.role);
    cx.set_keeper(Keeper::Store(Arc::downgrade(&enrolment.store)));
    cx.audit().take_cuts_of(enrolment.identity.material().revocations());
    let network = builder.network;
    let config = &enrolment.config;
    let running = running_config(&enrolment, builder.overrides)?;
    let limits = builder.limits.unwrap_or_else(|| (&config.connections).into());
    let autosave_period = config.store.autosave;
    let listen = builder.listen.unwrap_or(config.listen);

    let tls = enrolment.identity.client_tls();
    let dial = Arc::new(Audited::new(TlsDial::new(network.clone(), tls.clone()), cx.audit().clone()));
    let pool = HttpPool::new(dial.clone());
    let calls = SessionHost::new(running.limits().clone());
    let sessions = Sessions::new(dial, Arc::new(calls.clone()), builder.sessions.unwrap_or_else(|| (&config.sessions).into()));
    let (frames, events) = mpsc::channel(WAITING_FRAMES);
    let gossip_dial = Audited::new(TlsGossipDial::new(network.clone(), tls), cx.audit().clone());
    let gossip = GossipLink::new(Arc::new(gossip_dial), frames, GossipLinkConfig::default());
    let descriptors = Descriptors::new(pool.clone());
    let caller = Arc::new(NodeCaller::new(cx.clone(), pool.clone(), sessions.clone(), descriptors.clone()));
    cx.set_caller(&(caller.clone() as Arc<dyn Caller>));
    let listening = cx.clone();
    let ledger = enrolment.ledger()?;
    let absent = Absent::new(Arc::new(WeakVault::new(&enrolment.store)), ledger.clone());
    let others = Others::new(cx.clone(), enrolment.identity.clone(), network.clone(), absent);
    let port = move || listening.shared::<ListeningPort>().map(|port| port.0);
    let issuer = enrolment.issuer(network.clone(), ledger.clone(), others, port)?;
    warn_if_not_valid(&enrolment.identity, issuer.as_ref().is_some_and(|issuer| issuer.authority().is_some()));
    let client_tokens = tokens::load(&enrolment, ledger.clone())?;
    let following = tokens::Following::of(&client_tokens, ledger.revocations(), &enrolment.store);
    let leave = CancellationToken::new();

    let renewer = Renewer::new(RenewerParts {
        cx: cx.clone(),
        identity: enrolment.identity.clone(),
        roots: ledger.roots().clone(),
        vault: Arc::new(WeakVault::new(&enrolment.store)),
        network: network.clone(),
        responder: builder.responder.unwrap_or_else(|| ChallengeResponder::new(network.clone())),
        issuer: issuer.clone(),
        addresses: config.addresses(),
        sessions: sessions.clone(),
        pool: pool.clone(),
    });

    let rotator = Rotator::new(RotatorParts {
        cx: cx.clone(),
        identity: enrolment.identity.clone(),
        ledger: ledger.clone(),
        network: network.clone(),
        issuer: issuer.clone(),
        keys: enrolment.root_keys(ledger.clone()),
        renewer: renewer.clone(),
        elsewhere: std::sync::Mutex::default(),
    });

    // Before anything can be heard.
    let revoked_keys = Search::follow(&ledger);
    let handler = HttpHandler::default();
    let transport = TransportComponent::new(TransportParts {
        network,
        listen,
        port_is_fixed: builder.listen.is_some() || config.port_is_fixed,
        server: Server {
            handshake: Arc::new(enrolment.identity.server_tls()?),
            http: handler.clone(),
            gossip: Arc::new(gossip.clone()),
            sessions: Arc::new(AcceptSessions { host: calls.clone(), sessions: sessions.clone() }),
            limits: limits.clone(),
            audit: cx.audit().clone(),
        },
        pool: pool.clone(),
        sessions: sessions.clone(),
        gossip: gossip.clone(),
    });
    let network = NetworkComponent::new(NetworkParts {
        config: builder.membership.unwrap_or_else(|| (&config.gossip).into()),
        me: node_info(&enrolment, client_tokens.authority.as_ref()),
        epoch,
        attestor: Arc::new(ByCertificate { attestor: enrolment.identity.attestor(), roots: ledger.roots().clone() }),
        link: Arc::new(gossip),
        events,
        seeds: config.seeds.clone(),
        saved: StatePersistence::new(enrolment.dir.join("gossip_state.json")),
        pool: pool.clone(),
        sessions: sessions.clone(),
        ledger: ledger.clone(),
        own: Arc::new(Own {
            node_id: enrolment.identity.peer().node_id.clone(),
            attestor: enrolment.identity.attestor(),
            store: Arc::downgrade(&enrolment.store),
            issuer: issuer.clone(),
        }),
        caught_up: Box::new(settle(&enrolment.store)),
    });
    let service = ServiceComponent::new(ServiceManager::new(builder.services, builder.discover).expecting(builder.expected));
    let announcer = service.announcer();
    let state = WebState {
        dispatcher: Dispatcher::new(cx.clone(), caller.clone()),
        sessions,
        descriptors,
        cx: cx.clone(),
        identity: enrolment.identity.clone(),
        issuer: issuer.clone(),
        config: running.clone(),
        tokens: client_tokens,
        pool: pool.clone(),
        ledger: ledger.clone(),
        renewer: renewer.clone(),
        rotator: rotator.clone(),
        running: RunningRequests::new(),
        started,
        store: Arc::downgrade(&enrolment.store),
        checking_password: Arc::default(),
        lookups: Lookups::default(),
        leave: leave.clone(),
    };
    let web_server = WebServerComponent::new(state, handler, calls, enrolment.dir.join("p2p.sock"), limits);

    // The program's own components come before the services, which may need what they provide; unless they say otherwise.
    let mut parts: Vec<Arc<dyn AnyComponent>> =
        vec![Arc::new(transport), Arc::new(CacheComponent::with_capacity(config.cache.capacity.get())), Arc::new(network)];
    parts.extend(builder.components);
    parts.extend([Arc::new(service) as Arc<dyn AnyComponent>, Arc::new(web_server)]);
    let components = Components::new(parts)?;
    cx.set_components(&components);
    components.start(&cx).await?;
    announcer.begin(&cx).await;

    let shutdown = cx.shutdown_token();
    tokio::spawn(cx.audit().clone().keep(shutdown.clone()));
    following.spawn(&cx);
    let membership = cx.membership().cloned().ok_or(NodeError::Unsaid("the component network"))?;
    let advertise = enrolment.config.advertise.clone();
    let node = Node {
        cx,
        components,
        caller,
        membership,
        store: enrolment.store.clone(),
        issuer,
        ledger,
        renewer: renewer.clone(),
        leave,
        advertise,
        rotator: rotator.clone(),
        config: running,
    };
    if builder.listen.is_none()
        && let Err(error) = keep_port(&node, enrolment).await
    {
        node.stop().await;
        return Err(error);
    }
    note_seen(&node);
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(renewer.run()));
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(rotator.clone().name_descendants(revoked_keys)));
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(rotator.run()));
    tokio::spawn(autosave::autosave(Arc::downgrade(&node.store), autosave_period, shutdown));
    tracing::info!(node = %node.id(), role = %node.role(), at = %node.authority(), ms = started.elapsed().as_millis(), "running");
    Ok(node)
}

/// Has a coordinator note which nodes it sees, for as long as it runs. It stops once what it has seen is written.
fn note_seen(node: &Node) {
    let Some(issuer) = node.issuer.clone() else { return };
    let (roots, membership) = (node.ledger.roots().clone(), node.membership.clone());
    let noting = tokio::spawn(seen::note_seen(issuer, roots, membership, node.cx.shutdown_token()));
    node.cx.add_shutdown_handler(|| async { drop(noting.await) });
}

fn warn_if_set_back(store: &Store) -> Result<(), NodeError> {
    if let Some(mark) = SetBack::load(store)? {
        tracing::warn!(
            by = ?mark.by,
            voided_tokens = mark.voided_tokens,
            "this node's store went back in time; what was revoked since is not known to it; where the cluster's root was changed since, the others \
             refuse it, and it joins again in its folder, with a fresh token (`p2p token create`, `p2p join`)"
        );
    }
    Ok(())
}

/// What was done while nobody wrote an audit log is in it now, and only then forgotten.
async fn tell_of_offline_acts(store: &Arc<Store>) -> Result<(), NodeError> {
    if offline::tell(store) {
        let store = store.clone();
        spawn_blocking(move || offline::forget(&store)).await??;
    }
    Ok(())
}

/// The configuration as it is when the node starts. What is set and read by nothing is said, so that nobody relies on it.
fn running_config(enrolment: &Enrolment, overrides: Overrides) -> Result<RunningConfig, NodeError> {
    for key in ConfigDocument::load(&enrolment.store)?.unread() {
        tracing::warn!(key, "this key of the configuration is set, and nothing in this version reads it");
    }
    Ok(RunningConfig::new(enrolment.config.clone(), overrides))
}

/// The port that was found the first time stays the node's port.
async fn keep_port(node: &Node, enrolment: Enrolment) -> Result<(), NodeError> {
    let Enrolment { store, config, .. } = enrolment;
    let port = node.port();
    if config.port_is_fixed || config.listen.port() == port {
        return Ok(());
    }
    // As it is stored now: an operator may have changed something since the node began to start.
    spawn_blocking(move || {
        let mut config = NodeConfig::load(&store)?;
        config.listen.set_port(port);
        config.save(&store)
    })
    .await??;
    Ok(())
}

/// A store that went back in time has caught up once its node has what was revoked since.
fn settle(store: &Arc<Store>) -> impl Fn() + Send + use<> {
    let store = Arc::downgrade(store);
    move || {
        let Some(store) = store.upgrade() else { return };
        let compared = UnixMillis::now();
        tokio::task::spawn_blocking(move || match SetBack::load(&store) {
            // One that was set since waits for the next comparison.
            Ok(Some(mark)) if mark.at > compared => {}
            Ok(Some(_)) => match SetBack::settle(&store) {
                Ok(()) => tracing::info!("this node has from others what was revoked since its store was set back"),
                Err(error) => tracing::warn!(%error, "that the store was set back stays noted"),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the mark of a store that was set back cannot be read"),
        });
    }
}

fn node_info(enrolment: &Enrolment, authority: Option<&TokenAuthority>) -> NodeInfo {
    let peer = enrolment.identity.peer();
    let mut metadata = BTreeMap::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        // Until it takes calls, and says what it hosts.
        (NodeInfo::STARTING.to_owned(), "true".to_owned()),
    ]);
    // What it says of itself it signs, by the certificate that makes it a coordinator: so its keys are believed.
    metadata.extend(authority.map(|authority| (METADATA.to_owned(), authority.published().to_metadata())));
    NodeInfo {
        node_id: peer.node_id.clone(),
        address: enrolment.config.advertise.to_string(),
        port: 0,
        role: peer.role,
        capabilities: enrolment.config.capabilities.clone(),
        last_seen: UnixMillis::now(),
        metadata,
        status: NodeStatus::Alive,
        services: BTreeMap::new(),
    }
}
