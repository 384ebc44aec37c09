//! Joins from one end to the other, and every way in which one is refused.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
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
    revocation::Reason,
    wire::{
        net::{Network, TcpNetwork},
        tls::{ChannelBinding, TlsError, TlsMaterial},
    },
};
use rcgen::{BasicConstraints, CertificateParams, IsCa};
use tokio_util::task::AbortOnDropHandle;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    challenge::tests::World,
    join::{CertReply, Issued, Joiner, Prove, Seed, encode_outcome},
    tests::{cluster, ledger, worker},
    vault::tests::MemoryVault,
    *,
};
use crate::transport::tls::ServerTls;

const REMOTE: &str = "10.0.0.9:40000";

/// A coordinator without a network, whose joiners live in a made-up world.
struct Desk {
    issuer: Issuer,
    identity: NodeIdentity,
    vault: Arc<MemoryVault>,
    world: Arc<World>,
    clock: Arc<AtomicU64>,
}

fn desk_at(advertised: &str) -> Desk {
    let (identity, vault) = cluster();
    let (world, clock) = (Arc::new(World::default()), Arc::new(AtomicU64::new(UnixMillis::now().0)));
    let seed = Seed { node_id: identity.peer().node_id.clone(), authority: format!("{advertised}:8001") };
    let mut options = IssuerOptions::new(seed, vec![advertised.parse().unwrap()], world.clone());
    let time = clock.clone();
    options.clock = Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)));
    let issuer = Issuer::load(vault.clone(), identity.root(), ledger(&identity, &vault), options).unwrap().unwrap();
    Desk { issuer, identity, vault, world, clock }
}

fn desk() -> Desk {
    desk_at("10.0.0.1")
}

impl Desk {
    /// A joiner whose addresses answer for its key.
    fn joiner(&self, token: &JoinToken, name: &str, role: Role, addresses: &[&str]) -> Joiner {
        self.joiner_with(token, name, role, addresses, NodeKey::generate().unwrap())
    }

    fn joiner_with(&self, token: &JoinToken, name: &str, role: Role, addresses: &[&str], key: NodeKey) -> Joiner {
        for ip in addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()) {
            self.world.keys.lock().unwrap().insert(ip, key.public().thumbprint().to_string());
        }
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Joiner::new(token.clone(), name.parse().unwrap(), role, addresses, key).unwrap()
    }

    async fn prove(&self, joiner: &Joiner, change: impl FnOnce(&mut Prove, &ChannelBinding)) -> Result<Issued, Refused> {
        let channel = ChannelBinding::from_bytes([4; 32]);
        let hello = CertRequest::Hello(joiner.hello().clone());
        let CertReply::Hello(reply) = self.issuer.handle(hello, channel.clone(), REMOTE.parse().unwrap()).await? else {
            panic!("a step was skipped");
        };
        let mut prove = joiner.prove(&channel, &reply).unwrap();
        change(&mut prove, &channel);
        match self.issuer.handle(CertRequest::Prove(prove), channel, REMOTE.parse().unwrap()).await? {
            CertReply::Issued(issued) => Ok(issued),
            CertReply::Hello(_) => panic!("went back a step"),
        }
    }

    async fn attempt(&self, joiner: &Joiner) -> Result<Issued, Refused> {
        self.prove(joiner, |_, _| {}).await
    }

    async fn token(&self) -> JoinToken {
        self.issuer.create_token(TokenOptions::default()).await.unwrap()
    }

    fn uses_left(&self, token: &JoinToken) -> u32 {
        let stored: TokenTable = serde_json::from_slice(&self.vault.get("ca/tokens.json").unwrap().unwrap()).unwrap();
        assert_eq!(stored.list().cloned().collect::<Vec<_>>(), self.issuer.tokens());
        stored.get(token.id()).unwrap().uses_left
    }
}

#[tokio::test]
async fn a_node_with_a_token_and_its_address_gets_a_certificate_once() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    let issued = desk.attempt(&joiner).await.unwrap();
    let identity = joiner.finish(&issued).unwrap();
    assert_eq!((identity.peer().node_id.as_str(), identity.peer().role), ("w", Role::Worker));
    assert_eq!(issued.coordinator.authority, "10.0.0.1:8001");
    assert_eq!(desk.uses_left(&token), 0);
    let second = desk.joiner(&token, "v", Role::Worker, &["10.0.0.8"]);
    assert_eq!(desk.attempt(&second).await.unwrap_err(), Refused::Token(TokenRefused::Used));
}

#[tokio::test]
async fn one_token_used_by_many_at_once_lets_in_exactly_as_many_as_it_says() {
    let desk = desk();
    let options = TokenOptions { uses: NonZeroU32::new(2).unwrap(), ..TokenOptions::default() };
    let token = desk.issuer.create_token(options).await.unwrap();
    let joiners: Vec<_> =
        (0..8).map(|n| desk.joiner(&token, &format!("w{n}"), Role::Worker, &[&format!("10.0.1.{n}")])).collect();
    let outcomes = futures::future::join_all(joiners.iter().map(|joiner| desk.attempt(joiner))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
    assert!(outcomes.iter().filter_map(|o| o.as_ref().err()).all(|e| *e == Refused::Token(TokenRefused::Used)));
    assert_eq!(desk.uses_left(&token), 0);
}

#[tokio::test]
async fn a_node_whose_answer_was_lost_asks_again_without_using_the_token_twice() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    desk.attempt(&joiner).await.unwrap();
    joiner.finish(&desk.attempt(&joiner).await.unwrap()).unwrap();
    assert_eq!(desk.uses_left(&token), 0);
}

#[tokio::test]
async fn a_used_token_stays_used_and_an_id_stays_bound_after_a_restart() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    desk.attempt(&joiner).await.unwrap();
    let seed = Seed { node_id: desk.identity.peer().node_id.clone(), authority: "10.0.0.1:8001".into() };
    let options = IssuerOptions::new(seed, vec!["10.0.0.1".parse().unwrap()], desk.world.clone());
    let again = ledger(&desk.identity, &desk.vault);
    let issuer = Issuer::load(desk.vault.clone(), desk.identity.root(), again, options).unwrap().unwrap();
    let restarted = Desk { issuer, ..desk };
    let other = restarted.joiner(&token, "v", Role::Worker, &["10.0.0.8"]);
    assert_eq!(restarted.attempt(&other).await.unwrap_err(), Refused::Token(TokenRefused::Used));
    let fresh = restarted.token().await;
    let thief = restarted.joiner(&fresh, "w", Role::Worker, &["10.0.0.8"]);
    assert!(matches!(restarted.attempt(&thief).await.unwrap_err(), Refused::NodeBound { .. }));
}

#[tokio::test]
async fn a_store_without_an_authority_makes_no_issuer() {
    let (desk, vault) = (desk(), Arc::new(MemoryVault::default()));
    worker(&desk.vault, "w").save(&*vault).unwrap();
    let seed = Seed { node_id: "w".parse().unwrap(), authority: "10.0.0.9:8002".into() };
    let options = IssuerOptions::new(seed, vec![], desk.world.clone());
    let empty = ledger(&desk.identity, &vault);
    assert!(Issuer::load(vault, desk.identity.root(), empty, options).unwrap().is_none());
}

#[tokio::test]
async fn a_full_disk_issues_nothing_and_spends_nothing() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    desk.vault.full.store(true, Ordering::SeqCst);
    let said = desk.attempt(&joiner).await.unwrap_err();
    assert!(matches!(&said, Refused::Unavailable { .. }) && said.to_string().contains("nothing was used up"), "{said}");
    assert_eq!(desk.uses_left(&token), 1);
    assert!(desk.vault.get("ca/nodes/w.json").unwrap().is_none());
    desk.vault.full.store(false, Ordering::SeqCst);
    desk.attempt(&joiner).await.unwrap();
}

#[tokio::test]
async fn expired_revoked_and_misused_tokens_let_nobody_in() {
    let desk = desk();
    let token = desk.token().await;
    let chief = desk.joiner(&token, "w", Role::Coordinator, &["10.0.0.9"]);
    let said = desk.attempt(&chief).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Role { allowed: Role::Worker, wanted: Role::Coordinator }));

    let only = TokenOptions { node_id: Some("x".parse().unwrap()), ..TokenOptions::default() };
    let bound = desk.issuer.create_token(only).await.unwrap();
    let said = desk.attempt(&desk.joiner(&bound, "w", Role::Worker, &["10.0.0.9"])).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Node { only: "x".parse().unwrap() }));

    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    desk.clock.fetch_add(86_400_000, Ordering::SeqCst);
    let said = desk.attempt(&joiner).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Expired { ago_s: 0 }));

    let other = desk.token().await;
    assert!(desk.issuer.revoke_token(other.id(), Reason::default()).await.unwrap());
    assert!(!desk.issuer.revoke_token(other.id(), Reason::default()).await.unwrap(), "it is revoked already");
    let said = desk.attempt(&desk.joiner(&other, "w", Role::Worker, &["10.0.0.9"])).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Revoked));
    assert!(desk.world.called.lock().unwrap().is_empty(), "nobody is called before the token is known to be good");
}

#[tokio::test]
async fn another_nodes_id_needs_its_key() {
    let desk = desk();
    let token =
        desk.issuer.create_token(TokenOptions { uses: NonZeroU32::new(9).unwrap(), ..TokenOptions::default() }).await.unwrap();
    let key = NodeKey::generate().unwrap();
    desk.attempt(&desk.joiner_with(&token, "w", Role::Worker, &["10.0.0.9"], key.clone())).await.unwrap();
    for name in ["w", "coordinator"] {
        let said = desk.attempt(&desk.joiner(&token, name, Role::Worker, &["10.0.0.8"])).await.unwrap_err();
        assert_eq!(said, Refused::NodeBound { node_id: name.parse().unwrap() });
        assert!(said.to_string().contains("operator"));
    }
    // The same key with a fresh token is how a node comes back whose certificate ran out.
    let fresh = desk.token().await;
    desk.attempt(&desk.joiner_with(&fresh, "w", Role::Worker, &["10.0.0.9"], key)).await.unwrap();
    assert_eq!(desk.uses_left(&fresh), 0);
}

#[tokio::test]
async fn a_request_that_asks_to_be_an_authority_gives_a_plain_node_certificate() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    let mut params = CertificateParams::new(vec!["other.example".to_owned(), "10.6.6.6".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let csr = params.serialize_request(joiner.key()).unwrap().der().to_vec();
    let issued = desk
        .prove(&joiner, |prove, channel| {
            prove.proof = token.sign(&joiner.hello().transcript(channel, &prove.nonce, &csr)).unwrap();
            prove.csr = csr;
        })
        .await
        .unwrap();
    let chain = issued.chain();
    let leaf = X509Certificate::from_der(&chain[0]).unwrap().1;
    assert!(!leaf.is_ca());
    let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value.general_names);
    assert!(!names.contains("other.example") && !names.contains("[10, 6, 6, 6]"), "{names}");
    assert!(
        leaf.validity().not_after.timestamp() < i64::try_from(desk.clock.load(Ordering::SeqCst) / 1000).unwrap() + 366 * 86_400
    );
}

#[tokio::test]
async fn an_altered_request_and_an_unsigned_one_are_refused() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    let swapped = NodeKey::generate().unwrap().request().unwrap();
    assert_eq!(desk.prove(&joiner, |prove, _| prove.csr = swapped).await.unwrap_err(), Refused::BadProof);
    let said = desk
        .prove(&joiner, |prove, channel| {
            *prove.csr.last_mut().unwrap() ^= 1;
            prove.proof = token.sign(&joiner.hello().transcript(channel, &prove.nonce, &prove.csr)).unwrap();
        })
        .await
        .unwrap_err();
    assert!(said.to_string().contains("not signed by its own key"), "{said}");
}

#[tokio::test]
async fn only_proved_addresses_are_in_the_certificate() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9", "10.0.0.10", "169.254.169.254"]);
    // Somebody else lives at the second address.
    desk.world.keys.lock().unwrap().insert("10.0.0.10".parse().unwrap(), "another key".into());
    let issued = desk.attempt(&joiner).await.unwrap();
    let left_out: Vec<String> = issued.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(left_out.len(), 2);
    assert!(left_out[0].contains("10.0.0.10: another node or program answered"), "{left_out:?}");
    assert!(left_out[1].contains("169.254.169.254: not called"), "{left_out:?}");
    let leaf = &issued.chain()[0];
    let names = X509Certificate::from_der(leaf).unwrap().1.subject_alternative_name().unwrap().unwrap().value.general_names.len();
    assert_eq!(names, 3, "the node's name, its DNS name and one address");
}

#[tokio::test]
async fn a_node_that_proves_no_address_is_refused_with_all_of_them_named() {
    let desk = desk();
    let token = desk.token().await;
    let addresses = vec!["10.0.0.77".parse().unwrap(), "127.0.0.1".parse().unwrap()];
    let joiner = Joiner::new(token.clone(), "w".parse().unwrap(), Role::Worker, addresses, NodeKey::generate().unwrap()).unwrap();
    let said = desk.attempt(&joiner).await.unwrap_err().to_string();
    for part in ["port 8802", "10.0.0.77: no answer within 2 s", "127.0.0.1: not called: a loopback address", "--advertise"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(desk.uses_left(&token), 1);
}

#[tokio::test]
async fn loopback_is_proved_only_where_the_coordinator_is_on_loopback() {
    for (advertised, lets_in) in [("10.0.0.1", false), ("127.0.0.1", true), ("localhost", true)] {
        let desk = desk_at(advertised);
        let token = desk.token().await;
        let joiner = desk.joiner(&token, "w", Role::Worker, &["127.0.0.1"]);
        assert_eq!(desk.attempt(&joiner).await.is_ok(), lets_in, "{advertised}");
    }
}

#[tokio::test]
async fn a_joiner_believes_no_chain_but_its_own() {
    let (desk, foreign) = (desk(), desk());
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    let issued = desk.attempt(&joiner).await.unwrap();
    let say = |chain: &[rustls_pki_types::CertificateDer<'static>]| {
        let forged = Issued::new(chain, issued.cluster.clone(), issued.coordinator.clone(), vec![], issued.clock);
        joiner.finish(&forged).unwrap_err().to_string()
    };
    assert!(say(&[]).contains("no chain"));
    assert!(say(foreign.identity.chain()).contains("not the one that the token names"));
    assert!(say(worker(&desk.vault, "w").chain()).contains("own certificate cannot be used"), "another key");
    assert!(say(worker(&desk.vault, "v").chain()).contains("its certificate is for"), "another name");
    let mut late = issued.clone();
    late.clock = UnixMillis(issued.clock.0 + 2 * 365 * 86_400_000);
    assert!(joiner.finish(&late).unwrap_err().to_string().contains("ran out"));
}

// ---- over a real network -------------------------------------------------------------------------------------------

struct Coordinator {
    issuer: Issuer,
    at: String,
    _server: AbortOnDropHandle<()>,
}

/// A coordinator on loopback that answers join requests, and nothing else, over TLS with this material.
async fn serve(identity: &NodeIdentity, vault: Arc<MemoryVault>, tls: ServerTls) -> Coordinator {
    let mut listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().to_string();
    let seed = Seed { node_id: identity.peer().node_id.clone(), authority: at.clone() };
    let mut options =
        IssuerOptions::new(seed, vec!["127.0.0.1".parse().unwrap()], Arc::new(HttpFetcher::new(Arc::new(TcpNetwork))));
    options.challenge_port = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap().local_addr().port();
    let issuer = Issuer::load(vault.clone(), identity.root(), ledger(identity, &vault), options).unwrap().unwrap();
    let desk = issuer.clone();
    let server = tokio::spawn(async move {
        loop {
            let (stream, remote) = listener.accept().await.unwrap();
            let (tls, desk) = (tls.clone(), desk.clone());
            tokio::spawn(async move {
                let Ok(accepted) = tls.accept(stream).await else { return };
                let channel = accepted.channel_binding().unwrap();
                let service = service_fn(move |request| answer(desk.clone(), channel.clone(), remote, request));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(accepted.stream), service).await;
            });
        }
    });
    Coordinator { issuer, at, _server: AbortOnDropHandle::new(server) }
}

async fn answer(
    issuer: Issuer,
    channel: ChannelBinding,
    remote: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/internal/cert-request");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let outcome = match CertRequest::from_json(&body) {
        Ok(request) => issuer.handle(request, channel, remote).await,
        Err(refused) => Err(refused),
    };
    let (status, body) = encode_outcome(&outcome);
    Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
}

fn options(name: &str, events: &Arc<Mutex<Vec<JoinEvent>>>) -> JoinOptions {
    let events = events.clone();
    JoinOptions {
        node_id: Some(name.parse().unwrap()),
        role: Role::Worker,
        addresses: vec!["127.0.0.1".parse().unwrap()],
        key: None,
        responder: ChallengeResponder::new(Arc::new(TcpNetwork)),
        progress: Arc::new(move |event| events.lock().unwrap().push(event)),
    }
}

#[tokio::test]
async fn nodes_join_over_loopback_through_one_shared_responder() {
    let (identity, vault) = cluster();
    let coordinator = serve(&identity, vault.clone(), identity.server_tls().unwrap()).await;
    let token =
        coordinator.issuer.create_token(TokenOptions { uses: NonZeroU32::new(2).unwrap(), ..TokenOptions::default() }).await;
    let token: JoinToken = token.unwrap().reveal().parse().unwrap();
    let events = Arc::default();
    let first = options("w1", &events);
    let mut second = options("w2", &events);
    second.responder = first.responder.clone();
    let responder = first.responder.clone();
    let network: Arc<dyn Network> = Arc::new(TcpNetwork);
    let (first, second) = tokio::join!(
        join(network.clone(), &coordinator.at, token.clone(), first),
        join(network.clone(), &coordinator.at, token.clone(), second)
    );
    for (joined, name) in [(first.unwrap(), "w1"), (second.unwrap(), "w2")] {
        assert_eq!(joined.identity.peer().node_id, name);
        assert_eq!(joined.seed, Seed { node_id: "coordinator".parse().unwrap(), authority: coordinator.at.clone() });
        assert!(joined.left_out.is_empty());
        let own = MemoryVault::default();
        joined.identity.save(&own).unwrap();
        assert_eq!(NodeIdentity::load(&own).unwrap().unwrap().chain(), joined.identity.chain());
    }
    assert!(responder.open_ports().is_empty());
    let events = events.lock().unwrap().clone();
    assert!(events.iter().any(|e| matches!(e, JoinEvent::Verified { node_id } if *node_id == "w1")), "{events:?}");
    assert!(events.iter().any(|e| matches!(e, JoinEvent::Issued { left_out } if left_out.is_empty())), "{events:?}");

    let late = join(network, &coordinator.at, token, options("w3", &Arc::default())).await.unwrap_err();
    assert!(matches!(late, JoinError::Refused(Refused::Token(TokenRefused::Used))), "{late}");
}

#[tokio::test]
async fn a_coordinator_with_another_root_is_told_nothing() {
    let (identity, vault) = cluster();
    let (ours, our_vault) = cluster();
    let token = JoinToken::generate(ours.root().key_hash()).unwrap();
    // A pretender shows our root beside its own chain.
    let pretence = TlsMaterial::empty();
    let chain = vec![identity.chain()[0].clone(), identity.chain()[1].clone(), ours.root().der().clone()];
    pretence.replace(identity.root().clone(), chain, &identity.key().as_rustls()).unwrap();
    // A worker of our cluster is no coordinator.
    let w = worker(&our_vault, "w");
    for (tls, is_expected) in [
        (identity.server_tls().unwrap(), (|e| matches!(e, TlsError::WrongRoot { .. })) as fn(&TlsError) -> bool),
        (ServerTls::new(pretence).unwrap(), |e| matches!(e, TlsError::WrongRoot { .. })),
        (w.server_tls().unwrap(), |e| matches!(e, TlsError::NotCoordinator { .. })),
    ] {
        let coordinator = serve(&identity, vault.clone(), tls).await;
        let events = Arc::default();
        let said = join(Arc::new(TcpNetwork), &coordinator.at, token.clone(), options("w", &events)).await.unwrap_err();
        assert!(matches!(&said, JoinError::Tls { source, .. } if is_expected(source)), "{said}");
        assert_eq!(events.lock().unwrap().len(), 1, "nothing was said before the root was known");
    }
}

#[tokio::test]
async fn an_address_where_no_coordinator_is_gives_a_clear_error() {
    // Port 1 (tcpmux) is never served, and never handed out.
    let nobody = "127.0.0.1:1";
    let token = JoinToken::generate(cluster().0.root().key_hash()).unwrap();
    let said = join(Arc::new(TcpNetwork), nobody, token.clone(), options("w", &Arc::default())).await.unwrap_err();
    assert!(matches!(said, JoinError::Connect { .. }), "{said}");
    let mut none = options("w", &Arc::default());
    none.addresses.clear();
    let said = join(Arc::new(TcpNetwork), nobody, token, none).await.unwrap_err();
    assert!(said.to_string().contains("--advertise"), "{said}");
}
