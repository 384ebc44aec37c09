//! The whole way over real TLS: pool and gossip link at one end, listener at the other.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use http_body_util::Full;
use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::{Author, KeyHash, Reason, RevocationSet, Statement, StatementId, Subject},
    wire::{
        dial::{Dial, PeerRef, TlsDial},
        http::{NotSent, RequestLimits, SendFailure},
        net::Network,
        pool::HttpPool,
        tls::{ClientTls, Expect, TlsMaterial},
    },
};
use tokio::{io::AsyncWriteExt, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;
use crate::{
    audit::AuditLog,
    identity::{
        NodeIdentity,
        tests::{cluster, worker},
    },
    network::link::{FrameLink, LinkEvent},
    transport::{
        GossipDial, GossipLink, GossipLinkConfig, HttpHandler, ListenerLimits, MemoryHost, MemoryNetwork, NoSessions, Server,
        TlsGossipDial, serve,
    },
};

const COORDINATOR: &str = "10.0.0.1:8001";
const WORKER: &str = "10.0.0.2:8002";

/// A node's connections, without the node.
struct Connections {
    pool: HttpPool,
    link: GossipLink,
    events: mpsc::Receiver<LinkEvent>,
    _serving: AbortOnDropHandle<()>,
}

fn pool(host: &MemoryHost, tls: ClientTls) -> HttpPool {
    HttpPool::new(Arc::new(TlsDial::new(Arc::new(host.clone()), tls)))
}

async fn connections(network: &MemoryNetwork, authority: &str, identity: &NodeIdentity) -> Connections {
    let address: std::net::SocketAddr = authority.parse().unwrap();
    let host = network.host(address.ip());
    let (sender, events) = mpsc::channel(64);
    let dial = TlsGossipDial::new(Arc::new(host.clone()), identity.client_tls());
    // A handshake may have to wait for a busy machine: what these tests wait for is not that it gives up.
    let unhurried = GossipLinkConfig { connect_timeout: Duration::from_secs(30), ..GossipLinkConfig::default() };
    let link = GossipLink::new(Arc::new(dial), sender, unhurried);
    let http = HttpHandler::default();
    let whoami = |Extension(peer): Extension<PeerIdentity>, _: Extension<ChannelBinding>| async move { peer.to_string() };
    http.set(Router::new().route("/whoami", get(whoami)));
    let handshake = Arc::new(identity.server_tls().unwrap());
    let server = Server {
        handshake,
        http,
        gossip: Arc::new(link.clone()),
        sessions: Arc::new(NoSessions),
        limits: ListenerLimits::default(),
        audit: AuditLog::default(),
    };
    let listener = host.listen(address).await.unwrap();
    let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, server, CancellationToken::new())));
    Connections { pool: pool(&host, identity.client_tls()), link, events, _serving: serving }
}

fn peer(node: &NodeId, authority: &str) -> PeerRef {
    PeerRef { node_id: node.clone(), authority: authority.into() }
}

async fn whoami(pool: &HttpPool, peer: &PeerRef) -> Result<http::Response<Bytes>, SendFailure> {
    let request = http::Request::get("/whoami").body(Full::default()).unwrap();
    pool.request(peer, request, RequestLimits::within(Duration::from_secs(20))).await
}

#[tokio::test]
async fn a_call_over_the_pool_arrives_with_the_callers_certificate() {
    let (coordinator, vault) = cluster();
    let (network, worker) = (MemoryNetwork::new(), worker(&vault, "w"));
    let _there = connections(&network, COORDINATOR, &coordinator).await;
    let here = connections(&network, WORKER, &worker).await;
    let response = whoami(&here.pool, &peer(&coordinator.peer().node_id, COORDINATOR)).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, worker.peer().to_string().as_bytes()));
}

#[tokio::test]
async fn nothing_is_sent_to_another_node_than_the_one_that_was_meant() {
    let (coordinator, vault) = cluster();
    let (network, worker) = (MemoryNetwork::new(), worker(&vault, "w"));
    let _there = connections(&network, COORDINATOR, &coordinator).await;
    let here = connections(&network, WORKER, &worker).await;
    let failure = whoami(&here.pool, &peer(&"other".parse().unwrap(), COORDINATOR)).await.unwrap_err();
    assert!(failure.is_not_sent());
    assert!(failure.to_string().contains("expected node other at this address, but"), "{failure}");
}

#[tokio::test]
async fn a_peer_that_refuses_our_certificate_has_processed_nothing() {
    let (coordinator, _) = cluster();
    let (foreign, _) = cluster();
    let network = MemoryNetwork::new();
    let _there = connections(&network, COORDINATOR, &coordinator).await;
    let mixed = TlsMaterial::empty();
    mixed.replace(coordinator.root().clone(), foreign.chain().to_vec(), &foreign.key().as_rustls()).unwrap();
    let pool = pool(&network.host([10, 0, 0, 2]), ClientTls::new(mixed));
    let failure = whoami(&pool, &peer(&coordinator.peer().node_id, COORDINATOR)).await.unwrap_err();
    assert!(matches!(failure, SendFailure::NotSent { reason: NotSent::Tls(_) }), "{failure}");
    assert!(failure.to_string().contains("belongs to another cluster"), "{failure}");
}

#[tokio::test]
async fn membership_frames_travel_both_ways_on_one_connection_under_certificate_names() {
    let (coordinator, vault) = cluster();
    let (network, worker) = (MemoryNetwork::new(), worker(&vault, "w"));
    let mut there = connections(&network, COORDINATOR, &coordinator).await;
    let mut here = connections(&network, WORKER, &worker).await;
    here.link.send_seed(COORDINATOR, "hello".into());
    let from = worker.peer().node_id.clone();
    assert_eq!(there.events.recv().await.unwrap(), LinkEvent::Frame { from: from.clone(), frame: "hello".into() });
    there.link.send(&PeerRef { node_id: from, authority: WORKER.into() }, "welcome".into());
    let from = coordinator.peer().node_id.clone();
    assert_eq!(here.events.recv().await.unwrap(), LinkEvent::Frame { from, frame: "welcome".into() });
}

#[tokio::test]
async fn a_node_that_is_killed_is_reported_unreachable_over_tls_too() {
    let (coordinator, vault) = cluster();
    let (network, worker) = (MemoryNetwork::new(), worker(&vault, "w"));
    let mut there = connections(&network, COORDINATOR, &coordinator).await;
    let mut here = connections(&network, WORKER, &worker).await;
    let node_id = coordinator.peer().node_id.clone();
    let to = PeerRef { node_id: node_id.clone(), authority: COORDINATOR.into() };
    here.link.send(&to, "hello".into());
    there.events.recv().await.unwrap();
    there.link.send(&PeerRef { node_id: worker.peer().node_id.clone(), authority: WORKER.into() }, "hello".into());
    here.events.recv().await.unwrap();
    network.kill([10, 0, 0, 1]);
    assert_eq!(here.events.recv().await.unwrap(), LinkEvent::Unreachable { node_id, refused: true });
}

#[tokio::test]
async fn connections_are_cut_in_both_directions_when_the_authority_behind_their_nodes_certificates_is_revoked() {
    let (coordinator, vault) = cluster();
    let (network, worker) = (MemoryNetwork::new(), worker(&vault, "w"));
    let _there = connections(&network, COORDINATOR, &coordinator).await;
    let host = Arc::new(network.host([10, 0, 0, 2]));
    let called = TlsDial::new(host.clone(), worker.client_tls()).dial(&peer(&coordinator.peer().node_id, COORDINATOR)).await;
    let (_, gossip) = TlsGossipDial::new(host, worker.client_tls()).dial(COORDINATOR, None).await.unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (client, server) = (coordinator.client_tls(), worker.server_tls().unwrap());
    let (open, accepted) = tokio::join!(client.connect(Box::new(near), Expect::AnyNode, &[]), server.secure(Box::new(far)));
    let _open = open.unwrap();
    let mut streams = [called.unwrap().stream, gossip, accepted.unwrap().stream];

    let revoke = |key: KeyHash| {
        let by = Author { node_id: "another".parse().unwrap(), key: KeyHash::new([9; 32]) };
        let statement = Statement { subject: Subject::Key { key }, at: UnixMillis(1), by, reason: Reason::default() };
        let mut set = RevocationSet::default();
        set.extend([(StatementId::from_bytes([1; 16]), statement)]);
        worker.material().revocations().replace(set);
    };
    revoke(KeyHash::new([8; 32]));
    for stream in &mut streams {
        stream.flush().await.expect("another key is no reason");
    }
    revoke(KeyHash::of_certificate(&coordinator.chain()[1]).unwrap());
    for stream in &mut streams {
        assert_eq!(stream.flush().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
    }
}
