//! Joins from one end to the other. Those that are attacks are in `security`.

use std::{num::NonZeroU32, sync::Arc};

use p2p_client::{
    protocol::Role,
    wire::net::{Network, TcpNetwork},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    coordinators::*,
    join::{Joiner, Seed},
    tests::{cluster, ledger, worker},
    vault::tests::MemoryVault,
    *,
};

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
async fn a_node_whose_answer_was_lost_asks_again_without_using_the_token_twice() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.joiner(&token, "w", Role::Worker, &["10.0.0.9"]);
    desk.attempt(&joiner).await.unwrap();
    joiner.finish(&desk.attempt(&joiner).await.unwrap()).unwrap();
    assert_eq!(desk.uses_left(&token), 0);
}

#[tokio::test]
async fn a_store_without_an_authority_makes_no_issuer() {
    let (desk, vault) = (desk(), Arc::new(MemoryVault::default()));
    worker(&desk.vault, "w").save(&*vault).unwrap();
    let seed = Seed { node_id: "w".parse().unwrap(), authority: "10.0.0.9:8002".into() };
    let options = IssuerOptions::new(seed, vec![], desk.world.clone());
    let empty = ledger(&desk.identity, &vault);
    assert!(Issuer::load(vault, empty, options).unwrap().is_none());
}

#[tokio::test]
async fn a_token_for_another_role_or_another_node_lets_nobody_in() {
    let desk = desk();
    let token = desk.token().await;
    let chief = desk.joiner(&token, "w", Role::Coordinator, &["10.0.0.9"]);
    let said = desk.attempt(&chief).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Role { allowed: Role::Worker, wanted: Role::Coordinator }));

    let only = TokenOptions { node_id: Some("x".parse().unwrap()), ..TokenOptions::default() };
    let bound = desk.issuer.create_token(only).await.unwrap();
    let said = desk.attempt(&desk.worker(&bound, "w", "10.0.0.9")).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Node { only: "x".parse().unwrap() }));
    assert!(desk.world.called.lock().unwrap().is_empty(), "nobody is called before the token is known to be good");
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

// ---- over a real network -------------------------------------------------------------------------------------------

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

#[tokio::test]
async fn a_node_is_sent_on_once_and_not_in_circles() {
    let (identity, vault) = cluster();
    let nowhere = Seed { node_id: "coordinator-3".parse().unwrap(), authority: "127.0.0.1:1".into() };
    let second = serve_elsewhere(&identity, vault.clone(), nowhere.clone()).await;
    let to = Seed { node_id: "coordinator-2".parse().unwrap(), authority: second.at.clone() };
    let first = serve_elsewhere(&identity, vault, to.clone()).await;
    let (token, events) = (JoinToken::generate(identity.root().key_hash()).unwrap(), Arc::default());
    let error = join(Arc::new(TcpNetwork), &first.at, token, options("w", &events)).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, JoinError::SentOn { authority, to } if authority == second.at && to == nowhere), "{said}");
    assert!(said.contains("sends it on to coordinator-3 at 127.0.0.1:1; join there, or make a new token"), "{said}");
    let events = events.lock().unwrap().clone();
    let connected = events.iter().filter(|event| matches!(event, JoinEvent::Connecting { .. })).count();
    assert_eq!(connected, 2, "{events:?}");
    assert!(events.contains(&JoinEvent::SentOn { coordinator: to }), "{events:?}");
}
