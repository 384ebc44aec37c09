//! Case 33: a name that one coordinator has bound to a key; and a node that was let in again with another one.

use p2p_client::revocation::{Reason, Subject};

use super::*;
use crate::{
    checks::without_during,
    identity::{
        Approval, CertReply,
        checks::Check,
        coordinators::{channel, hello, send_any},
    },
};

#[tokio::test]
async fn case_33_an_id_that_one_coordinator_has_bound_no_other_one_gives_away() {
    let two = Two::new().await;
    let (key, thief) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    two.join(&two.first, &two.first.token().await, "w", &key).await.unwrap();
    let token = two.second.token().await;
    let said = two.join(&two.second, &token, "w", &thief).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }) && said.to_string().contains("already belongs to another key"), "{said}");
    assert!(two.second.issuer.issued(&"w".parse().unwrap()).unwrap().is_none());
    two.join(&two.second, &token, "w", &key).await.expect("its own key");
    two.join(&two.second, &token, "v", &thief).await.expect("an id that nobody has");
}

#[tokio::test]
async fn case_33_control_a_coordinator_that_passes_over_what_others_have_bound_gives_the_thief_the_id() {
    let two = Two::new().await;
    two.join(&two.first, &two.first.token().await, "w", &NodeKey::generate().unwrap()).await.unwrap();
    let (token, thief) = (two.second.token().await, NodeKey::generate().unwrap());
    let stolen = without_during(&[Check::KeyElsewhere], two.join(&two.second, &token, "w", &thief)).await.unwrap();
    // Another check keeps him from being renewed.
    for coordinator in [&two.first, &two.second] {
        let said = coordinator.renew(&thief, &stolen.chain()).await.unwrap_err();
        assert!(matches!(said, Refused::OtherKey { .. }) && said.is_final(), "{said}");
    }
}

#[tokio::test]
async fn case_33_of_two_keys_that_get_one_id_at_two_coordinators_at_once_none_is_renewed_until_the_other_is_revoked() {
    let two = Two::new().await;
    let (one, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let tokens = [two.first.token().await, two.second.token().await];
    // Each has asked before the other has written.
    let together = Arc::new(Barrier::new(2));
    for coordinator in [&two.first, &two.second] {
        *coordinator.others.together.lock().unwrap() = Some(together.clone());
    }
    let joiner = |token, address, key: &NodeKey| joiner_in(&two.world, token, "w", Role::Worker, &[address], key.clone());
    let (at_first, at_second) = (joiner(&tokens[0], "10.0.0.9", &one), joiner(&tokens[1], "10.0.0.10", &other));
    let (first, second) = tokio::join!(attempt(&two.first.issuer, &at_first), attempt(&two.second.issuer, &at_second));
    let issued = [(&one, first.unwrap().chain()), (&other, second.unwrap().chain())];
    for coordinator in [&two.first, &two.second] {
        *coordinator.others.together.lock().unwrap() = None;
    }
    for time in [Duration::ZERO, MORE_THAN_LOST] {
        two.pass(time);
        for (key, shown) in &issued {
            for coordinator in [&two.first, &two.second] {
                let said = coordinator.renew(key, shown).await.unwrap_err();
                assert!(matches!(said, Refused::OtherKey { .. }) && said.is_final(), "{said}");
            }
        }
    }
    // The operator says which of them it is not: just the other one goes on, at either coordinator.
    let wrong = Subject::Key { key: other.public().thumbprint().into() };
    two.ledger.revoke(vec![wrong], Reason::default()).await.unwrap();
    let [(_, mut last), (_, revoked)] = issued;
    for coordinator in [&two.first, &two.second] {
        last = coordinator.renew(&one, &last).await.expect("nothing is in its way");
        coordinator.renew(&other, &revoked).await.unwrap_err();
        two.pass(MORE_THAN_LOST);
    }
}

#[tokio::test]
async fn case_33_an_id_that_was_seen_is_bound_to_the_first_key_that_was_seen_until_that_is_revoked() {
    let two = Two::new().await;
    two.part();
    let [old, new, thief] = [(); 3].map(|()| NodeKey::generate().unwrap());
    let node_id: NodeId = "w".parse().unwrap();
    let sees = async |key: &NodeKey| {
        let seen = vec![(node_id.clone(), key.public().thumbprint().into())];
        two.second.issuer.note_seen(seen).await.unwrap();
    };
    let token = two.second.token().await;
    let is_refused = async || matches!(two.join(&two.second, &token, "w", &thief).await, Err(Refused::NodeBound { .. }));
    sees(&old).await;
    sees(&thief).await;
    assert!(is_refused().await);
    // The other coordinator lets it in again.
    two.ledger.revoke(vec![Subject::Node { node_id: node_id.clone() }], Reason::default()).await.unwrap();
    two.pass(Duration::from_secs(1));
    let by_name = TokenOptions { node_id: Some(node_id.clone()), ..TokenOptions::default() };
    let named = two.first.issuer.create_token(by_name).await.unwrap();
    two.join(&two.first, &named, "w", &new).await.unwrap();
    sees(&new).await;
    assert!(is_refused().await);
    two.join(&two.second, &token, "w", &new).await.expect("its key");
}

#[tokio::test]
async fn case_33_of_nodes_that_are_noted_together_the_first_key_counts_and_a_damaged_note_keeps_none_of_the_others_out() {
    let two = Two::new().await;
    let keys = [(); 2].map(|()| NodeKey::generate().unwrap().public().thumbprint().into());
    let seen = |name: &str, key: usize| (name.parse::<NodeId>().unwrap(), keys[key]);
    let (vault, issuer) = (&two.second.vault, &two.second.issuer);
    let noted = |name: &str| vault.get(&format!("ca/seen/{name}.json")).unwrap().map(|noted| noted.to_vec());
    let is_noted = |name: &str, key: usize| noted(name) == Some(serde_json::to_vec(&keys[key]).unwrap());
    vault.update(vec![Change::Put("ca/seen/broken.json".into(), b"no key".to_vec().into())]).unwrap();
    let before = vault.updates.load(Ordering::SeqCst);
    issuer.note_seen(vec![seen("broken", 0), seen("v", 0), seen("w", 0), seen("w", 1)]).await.unwrap();
    assert!(is_noted("v", 0) && is_noted("w", 0));
    assert_eq!(noted("broken").unwrap(), b"no key");
    // Once the first key was revoked, the next one counts, also of the same second.
    two.ledger.revoke(vec![Subject::Key { key: keys[0] }], Reason::default()).await.unwrap();
    let written = vault.updates.load(Ordering::SeqCst);
    assert_eq!(written, before + 1, "the ledger writes elsewhere");
    issuer.note_seen(vec![seen("w", 0), seen("w", 1)]).await.unwrap();
    issuer.note_seen(vec![seen("w", 1)]).await.unwrap();
    assert!(is_noted("w", 1));
    assert_eq!(vault.updates.load(Ordering::SeqCst), written + 1, "what is noted is not written again");
}

#[tokio::test]
async fn a_node_that_was_let_in_again_with_another_key_is_renewed_also_where_the_old_one_is_noted() {
    let two = Two::new().await;
    let (old, new) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let node_id: NodeId = "w".parse().unwrap();
    let first = two.join(&two.first, &two.first.token().await, "w", &old).await.unwrap();
    two.second.renew(&old, &first.chain()).await.unwrap();
    two.ledger.revoke(vec![Subject::Node { node_id: node_id.clone() }], Reason::default()).await.unwrap();
    two.pass(Duration::from_secs(1));
    let by_name = TokenOptions { node_id: Some(node_id), ..TokenOptions::default() };
    let token = two.first.issuer.create_token(by_name).await.unwrap();
    let again = two.join(&two.first, &token, "w", &new).await.unwrap();
    let renewed = two.second.renew(&new, &again.chain()).await.expect("the old key is nobody's");
    two.first.renew(&new, &renewed).await.unwrap();
    let said = two.second.renew(&old, &first.chain()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeRevoked { .. }), "{said}");
}

impl Two {
    /// Lets `w` join at the second coordinator, revokes it, and lets it in again at the first one. Gives the key that it has now.
    async fn let_in_again(&self) -> NodeKey {
        let (old, new, node_id) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap(), "w".parse::<NodeId>().unwrap());
        self.join(&self.second, &self.second.token().await, "w", &old).await.unwrap();
        self.ledger.revoke(vec![Subject::Node { node_id: node_id.clone() }], Reason::default()).await.unwrap();
        self.pass(Duration::from_secs(1));
        let by_name = TokenOptions { node_id: Some(node_id), ..TokenOptions::default() };
        let named = self.first.issuer.create_token(by_name).await.unwrap();
        self.join(&self.first, &named, "w", &new).await.unwrap();
        new
    }
}

#[tokio::test]
async fn a_node_that_was_let_in_again_elsewhere_joins_by_an_ordinary_token_where_its_old_key_is_noted() {
    let two = Two::new().await;
    let new = two.let_in_again().await;
    let token = two.second.token().await;
    let said = two.join(&two.second, &token, "w", &NodeKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }), "the first one has bound it: {said}");
    two.join(&two.second, &token, "w", &new).await.expect("its old key binds nobody");
    let left = two.second.issuer.tokens().iter().find(|record| record.id == token.id()).unwrap().uses_left;
    assert_eq!(left, 8);
}

#[tokio::test]
async fn a_node_that_was_let_in_again_elsewhere_is_approved_where_its_old_key_is_noted() {
    let two = Two::new().await;
    let new = two.let_in_again().await;
    let options = TokenOptions { approval: Approval::Manual, ..TokenOptions::default() };
    let token = two.second.issuer.create_token(options).await.unwrap();
    let joiner = joiner_in(&two.world, &token, "w", Role::Worker, &["10.0.0.9"], new);
    let asks = async || {
        let reply = hello(&two.second.issuer, &joiner, &channel()).await.unwrap();
        send_any(&two.second.issuer, joiner.prove(&channel(), &reply).unwrap(), &channel()).await.unwrap()
    };
    assert!(matches!(asks().await, CertReply::Waiting(_)));
    let pending = two.second.issuer.find_pending(&"w".parse().unwrap(), None).unwrap();
    two.second.issuer.approve(pending).await.expect("its old key binds nobody");
    assert!(matches!(asks().await, CertReply::Issued(_)));
}

#[tokio::test]
async fn case_33_the_new_key_of_a_node_that_was_let_in_again_is_noted_where_the_old_one_is() {
    let two = Two::new().await;
    let new = two.let_in_again().await;
    two.second.issuer.note_seen(vec![("w".parse().unwrap(), new.public().thumbprint().into())]).await.unwrap();
    two.part();
    let token = two.second.token().await;
    let said = two.join(&two.second, &token, "w", &NodeKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }), "{said}");
    two.join(&two.second, &token, "w", &new).await.unwrap();
}
