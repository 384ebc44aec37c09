//! Cases 25, 29 and 30: somebody on the way between the node and the coordinator, who repeats, pretends or alters.

use std::sync::Arc;

use p2p_client::{
    protocol::{Role, UnixMillis},
    wire::{
        net::TcpNetwork,
        tls::{ChannelBinding, TlsError, TlsMaterial, TrustedRoot},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    super::{
        JoinError, JoinEvent, JoinToken, NodeIdentity, NodeKey, NodeNames, Refused, TokenOptions,
        coordinators::*,
        join,
        join::{Issued, Joiner, Prove, Seed, checks::Check},
        tests::{cluster, issuing, worker},
    },
    made_up,
};
use crate::{
    checks::{without, without_during},
    transport::tls::ServerTls,
};

fn another_channel() -> ChannelBinding {
    ChannelBinding::from_bytes([5; 32])
}

/// What somebody is answered on this connection who has recorded a join that was let in, and sends it again: as it was; and with the nonce
/// of a fresh attempt, which anybody can get who saw the first message.
async fn replayed(desk: &Desk, token: &JoinToken, connection: &ChannelBinding) -> [Result<Issued, Refused>; 2] {
    let joiner = desk.worker(token, "w", "10.0.0.9");
    let reply = hello(&desk.issuer, &joiner, &channel()).await.unwrap();
    let recorded = joiner.prove(&channel(), &reply).unwrap();
    send(&desk.issuer, recorded.clone(), &channel()).await.unwrap();
    let called = desk.world.called.lock().unwrap().len();
    let as_it_was = send(&desk.issuer, recorded.clone(), connection).await;
    let nonce = hello(&desk.issuer, &joiner, connection).await.unwrap().nonce;
    let with_fresh_nonce = send(&desk.issuer, Prove { nonce, ..recorded }, connection).await;
    let nobody_was_called = desk.world.called.lock().unwrap().len() == called;
    assert_eq!(nobody_was_called, with_fresh_nonce.is_err());
    [as_it_was, with_fresh_nonce]
}

#[tokio::test]
async fn case_25_a_join_that_is_sent_again_is_refused_on_its_connection_and_on_any_other() {
    for connection in [channel(), another_channel()] {
        let desk = desk();
        let token = desk.token_for(9).await;
        let [as_it_was, with_fresh_nonce] = replayed(&desk, &token, &connection).await;
        assert_eq!(as_it_was.unwrap_err(), Refused::UnknownAttempt);
        assert_eq!(with_fresh_nonce.unwrap_err(), Refused::BadProof);
        assert_eq!(desk.uses_left(&token), 8);
    }
}

#[tokio::test]
async fn case_25_control_a_proof_that_is_bound_to_no_nonce_and_no_connection_is_good_again_and_everywhere() {
    for (left_out, connection, passes) in [
        (&[Check::Nonce][..], channel(), true),
        (&[Check::Nonce, Check::Channel], another_channel(), true),
        // On another connection each alone is enough.
        (&[Check::Nonce], another_channel(), false),
        (&[Check::Channel], another_channel(), false),
    ] {
        let desk = desk();
        let token = desk.token_for(9).await;
        let [_, with_fresh_nonce] = without_during(left_out, replayed(&desk, &token, &connection)).await;
        assert_eq!(with_fresh_nonce.is_ok(), passes, "without {left_out:?}: {with_fresh_nonce:?}");
    }
}

/// What somebody is answered on a connection of his own who has caught a node's proof. Its nonce is of an attempt on this connection:
/// the node's own; or that of somebody who had the node's first message, and passed on the nonce that he got for it.
async fn caught(desk: &Desk, token: &JoinToken, attempt_on: &ChannelBinding) -> Result<Issued, Refused> {
    let joiner = desk.worker(token, "w", "10.0.0.9");
    let reply = hello(&desk.issuer, &joiner, attempt_on).await.unwrap();
    let caught = joiner.prove(&channel(), &reply).unwrap();
    send(&desk.issuer, caught, &another_channel()).await
}

#[tokio::test]
async fn case_25_a_proof_that_was_caught_before_its_use_is_worth_nothing_on_another_connection() {
    for (attempt_on, refused) in [(channel(), Refused::UnknownAttempt), (another_channel(), Refused::BadProof)] {
        let desk = desk();
        let token = desk.token().await;
        assert_eq!(caught(&desk, &token, &attempt_on).await.unwrap_err(), refused);
        assert_eq!(desk.uses_left(&token), 1);
    }
}

#[tokio::test]
async fn case_25_control_a_proof_that_is_bound_to_no_connection_is_used_by_who_catches_it() {
    for attempt_on in [channel(), another_channel()] {
        let desk = desk();
        let token = desk.token().await;
        without_during(&[Check::Channel], caught(&desk, &token, &attempt_on)).await.unwrap();
        assert_eq!(desk.uses_left(&token), 0);
    }
}

#[tokio::test]
async fn case_29_a_coordinator_with_another_root_is_told_nothing() {
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
async fn case_29_a_coordinator_to_which_a_node_is_sent_has_to_have_the_root_of_its_token() {
    let ((ours, our_vault), (theirs, their_vault)) = (cluster(), cluster());
    let seed = |at: &Coordinator| Seed { node_id: "coordinator-2".parse().unwrap(), authority: at.at.clone() };
    let pretender = serve(&theirs, their_vault.clone(), theirs.server_tls().unwrap()).await;
    let maker = serve(&ours, our_vault.clone(), ours.server_tls().unwrap()).await;
    let token = maker.issuer.create_token(TokenOptions::default()).await.unwrap();
    let first = serve_elsewhere(&ours, our_vault.clone(), seed(&pretender)).await;
    let events = Arc::default();
    let said = join(Arc::new(TcpNetwork), &first.at, token.clone(), options("w", &events)).await.unwrap_err();
    assert!(
        matches!(&said, JoinError::Tls { source: TlsError::WrongRoot { .. }, authority } if *authority == pretender.at),
        "{said}"
    );
    let told = events.lock().unwrap().clone();
    assert_eq!(told.last(), Some(&JoinEvent::Connecting { authority: pretender.at.clone() }), "nothing was said there");
    // The control: one that has it lets the node in.
    let first = serve_elsewhere(&ours, our_vault, seed(&maker)).await;
    join(Arc::new(TcpNetwork), &first.at, token, options("w", &Arc::default())).await.unwrap();
}

#[tokio::test]
async fn case_29_a_joiner_believes_no_chain_but_its_own() {
    let (desk, foreign) = (desk(), desk());
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let issued = desk.attempt(&joiner).await.unwrap();
    let say = |chain: &[CertificateDer<'static>]| {
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

/// What a node makes of an answer under a root of the pretender's own, who looks at no proof, and issues what was asked for.
fn answered_by_a_pretender() -> (TrustedRoot, Result<NodeIdentity, JoinError>) {
    let ((ours, _), (pretender, vault)) = (cluster(), cluster());
    let token = JoinToken::generate(ours.root().key_hash()).unwrap();
    let addresses = vec!["10.0.0.9".parse().unwrap()];
    let joiner = Joiner::new(token, "w".parse().unwrap(), Role::Worker, addresses, NodeKey::generate().unwrap()).unwrap();
    let names = NodeNames { node_id: &joiner.hello().node_id, role: joiner.hello().role, addresses: &joiner.hello().addresses };
    let chain = issuing(&vault).issue(&joiner.key().public(), &names, UnixTime::now()).unwrap();
    let seed = Seed { node_id: "coordinator".parse().unwrap(), authority: "10.6.6.6:8001".into() };
    let answer = Issued::new(&chain, pretender.root().cluster().clone(), seed, vec![], UnixMillis::now());
    (pretender.root().clone(), joiner.finish(&answer))
}

#[test]
fn case_29_an_answer_with_all_that_was_asked_for_is_not_believed_under_another_root() {
    let (_, said) = answered_by_a_pretender();
    let error = said.unwrap_err().to_string();
    assert!(error.contains("its root is not the one that the token names") && error.contains("nothing was stored"), "{error}");
}

#[test]
fn case_29_control_a_node_that_takes_the_root_of_its_answer_belongs_to_the_pretender() {
    let (pretender, said) = without(&[Check::Root], answered_by_a_pretender);
    assert_eq!(said.unwrap().peer().cluster, *pretender.cluster());
}

/// A handshake checks the root where nothing of it can be left out, so that the node is given the pretender's to expect: that is what it
/// would do which expects whatever it is shown.
#[tokio::test]
async fn case_29_control_a_node_that_trusts_the_root_it_is_shown_tells_the_pretender_what_it_has_to_say() {
    let ((ours, _), (pretender, vault)) = (cluster(), cluster());
    let token = JoinToken::generate(ours.root().key_hash()).unwrap();
    let trusting = made_up(&token, Some(*pretender.root().key_hash().as_bytes()), None);
    let coordinator = serve(&pretender, vault, pretender.server_tls().unwrap()).await;
    let events = Arc::default();
    join(Arc::new(TcpNetwork), &coordinator.at, trusting, options("w", &events)).await.unwrap_err();
    let events = events.lock().unwrap().clone();
    assert!(events.iter().any(|event| matches!(event, JoinEvent::Answering { .. })), "it said hello: {events:?}");
}

/// What comes of a join in which somebody puts his own request in the place of the node's, and answers for its address as well.
async fn swapped(desk: &Desk, joiner: &Joiner, thief: &NodeKey) -> Result<Issued, Refused> {
    answers(desk, thief);
    desk.prove(joiner, |prove| prove.csr = thief.request().unwrap()).await
}

/// From now on the node's address answers for this key.
fn answers(desk: &Desk, key: &NodeKey) {
    desk.world.keys.lock().unwrap().insert("10.0.0.9".parse().unwrap(), key.public().thumbprint().to_string());
}

#[tokio::test]
async fn case_30_a_request_that_was_swapped_in_flight_or_is_not_signed_by_its_key_is_refused() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let thief = NodeKey::generate().unwrap();
    assert_eq!(swapped(&desk, &joiner, &thief).await.unwrap_err(), Refused::BadProof);
    let said = desk
        .prove(&joiner, |prove| {
            *prove.csr.last_mut().unwrap() ^= 1;
            prove.proof = token.sign(&joiner.hello().transcript(&channel(), &prove.nonce, &prove.csr)).unwrap();
        })
        .await
        .unwrap_err();
    assert!(said.to_string().contains("not signed by its own key"), "{said}");
    assert_eq!(desk.uses_left(&token), 1);
    assert!(desk.world.called.lock().unwrap().is_empty());
    answers(&desk, joiner.key());
    desk.attempt(&joiner).await.unwrap();
}

#[tokio::test]
async fn case_30_control_a_proof_of_all_but_the_request_makes_the_thief_a_node() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let thief = NodeKey::generate().unwrap();
    let issued = without_during(&[Check::Request], swapped(&desk, &joiner, &thief)).await.unwrap();
    let stolen = NodeIdentity::new(thief, issued.chain(), desk.identity.root().clone()).unwrap();
    assert_eq!((stolen.peer().node_id.as_str(), desk.uses_left(&token)), ("w", 0));
}
