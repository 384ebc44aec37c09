//! Cases 25, 29 and 30: somebody on the way between the node and the coordinator, who repeats, pretends or alters.

use std::sync::Arc;

use p2p_client::{
    protocol::UnixMillis,
    wire::{
        net::TcpNetwork,
        tls::{ChannelBinding, TlsError, TlsMaterial},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    super::{
        JoinError, JoinEvent, JoinToken, NodeKey, NodeNames, PublicKey, Refused, TokenOptions,
        coordinators::*,
        join,
        join::{Issued, Prove, Seed},
        tests::{cluster, issuing, worker},
    },
    made_up,
};
use crate::transport::tls::ServerTls;

fn another_channel() -> ChannelBinding {
    ChannelBinding::from_bytes([5; 32])
}

#[tokio::test]
async fn case_25_a_join_that_is_sent_again_is_refused_on_its_connection_and_on_any_other() {
    let desk = desk();
    let token = desk.token_for(9).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let reply = hello(&desk.issuer, &joiner, &channel()).await.unwrap();
    let recorded = joiner.prove(&channel(), &reply).unwrap();
    send(&desk.issuer, recorded.clone(), &channel()).await.unwrap();
    let called = desk.world.called.lock().unwrap().len();
    for connection in [channel(), another_channel()] {
        // As it was; and with the nonce of a fresh attempt, which anybody can get who saw the first message.
        let said = send(&desk.issuer, recorded.clone(), &connection).await.unwrap_err();
        assert_eq!(said, Refused::UnknownAttempt);
        let nonce = hello(&desk.issuer, &joiner, &connection).await.unwrap().nonce;
        let said = send(&desk.issuer, Prove { nonce, ..recorded.clone() }, &connection).await.unwrap_err();
        assert_eq!(said, Refused::BadProof);
    }
    assert_eq!(desk.uses_left(&token), 8);
    assert_eq!(desk.world.called.lock().unwrap().len(), called, "nobody is called for it");
}

#[tokio::test]
async fn case_25_a_proof_that_was_caught_before_its_use_is_worth_nothing_on_another_connection() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    // The attacker has the node's first message and passes on the nonce that it got for it.
    let reply = hello(&desk.issuer, &joiner, &another_channel()).await.unwrap();
    let caught = joiner.prove(&channel(), &reply).unwrap();
    assert_eq!(send(&desk.issuer, caught, &another_channel()).await.unwrap_err(), Refused::BadProof);
    assert_eq!(desk.uses_left(&token), 1);
}

#[tokio::test]
async fn case_25_control_a_coordinator_that_takes_nonce_and_connection_from_the_message_uses_the_token_up() {
    let desk = desk();
    let token = desk.token_for(9).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let reply = hello(&desk.issuer, &joiner, &channel()).await.unwrap();
    let recorded = joiner.prove(&channel(), &reply).unwrap();
    let mut tokens = tokens(&*desk.vault);
    while tokens.get(token.id()).unwrap().uses_left > 0 {
        let signed = joiner.hello().transcript(&channel(), &recorded.nonce, &recorded.csr);
        assert!(tokens.get(token.id()).unwrap().key.verify(&signed, &recorded.proof));
        tokens.spend(token.id());
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

#[tokio::test]
async fn case_29_control_a_node_that_trusts_the_root_it_is_shown_tells_the_pretender_and_belongs_to_it() {
    let (ours, _) = cluster();
    let (pretender, vault) = cluster();
    let token = JoinToken::generate(ours.root().key_hash()).unwrap();
    let trusting = made_up(&token, Some(*pretender.root().key_hash().as_bytes()), None);

    let coordinator = serve(&pretender, vault.clone(), pretender.server_tls().unwrap()).await;
    let events = Arc::default();
    join(Arc::new(TcpNetwork), &coordinator.at, trusting.clone(), options("w", &events)).await.unwrap_err();
    let events = events.lock().unwrap().clone();
    assert!(events.iter().any(|event| matches!(event, JoinEvent::Answering { .. })), "it said hello: {events:?}");

    // And a pretender need not look at proofs.
    let desk = desk();
    let joiner = desk.worker(&trusting, "w", "10.0.0.9");
    let names = NodeNames { node_id: &joiner.hello().node_id, role: joiner.hello().role, addresses: &[] };
    let chain = issuing(&vault).issue(&joiner.key().public(), &names, UnixTime::now()).unwrap();
    let seed = join::Seed { node_id: "coordinator".parse().unwrap(), authority: coordinator.at.clone() };
    let answer = Issued::new(&chain, pretender.root().cluster().clone(), seed, vec![], UnixMillis::now());
    assert_eq!(joiner.finish(&answer).unwrap().peer().cluster, *pretender.root().cluster());
}

#[tokio::test]
async fn case_30_a_request_that_was_swapped_in_flight_or_is_not_signed_by_its_key_is_refused() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let swapped = NodeKey::generate().unwrap().request().unwrap();
    assert_eq!(desk.prove(&joiner, |prove| prove.csr = swapped).await.unwrap_err(), Refused::BadProof);
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
    desk.attempt(&joiner).await.unwrap();
}

#[tokio::test]
async fn case_30_control_a_proof_of_all_but_the_request_makes_the_thief_a_node() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let nonce = hello(&desk.issuer, &joiner, &channel()).await.unwrap().nonce;
    let without_request = joiner.hello().transcript(&channel(), &nonce, b"");
    let proof = token.sign(&without_request).unwrap();

    let thief = NodeKey::generate().unwrap();
    let swapped = thief.request().unwrap();
    assert!(tokens(&*desk.vault).get(token.id()).unwrap().key.verify(&without_request, &proof));
    let key = PublicKey::from_request(&swapped).unwrap();
    let names = NodeNames { node_id: &joiner.hello().node_id, role: joiner.hello().role, addresses: &[] };
    let chain = issuing(&desk.vault).issue(&key, &names, UnixTime::now()).unwrap();
    let stolen = super::super::NodeIdentity::new(thief, chain, desk.identity.root().clone()).unwrap();
    assert_eq!(stolen.peer().node_id, "w");
}
