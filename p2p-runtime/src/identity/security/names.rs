//! Case 33: a join under another node's id.

use p2p_client::protocol::Role;

use super::super::{Change, NodeKey, Refused, Vault as _, coordinators::*};

#[tokio::test]
async fn case_33_another_nodes_id_needs_its_key() {
    let desk = desk();
    let token = desk.token_for(9).await;
    let key = NodeKey::generate().unwrap();
    desk.attempt(&desk.joiner_with(&token, "w", Role::Worker, &["10.0.0.9"], key.clone())).await.unwrap();
    for name in ["w", "coordinator"] {
        let said = desk.attempt(&desk.worker(&token, name, "10.0.0.8")).await.unwrap_err();
        assert_eq!(said, Refused::NodeBound { node_id: name.parse().unwrap() });
        assert!(said.to_string().contains("operator"));
    }
    assert_eq!(desk.uses_left(&token), 8, "a thief uses nothing up");
    // The same key with a fresh token is how a node comes back whose certificate ran out.
    let fresh = desk.token().await;
    desk.attempt(&desk.joiner_with(&fresh, "w", Role::Worker, &["10.0.0.9"], key)).await.unwrap();
    assert_eq!(desk.uses_left(&fresh), 0);
}

#[tokio::test]
async fn case_33_an_id_stays_bound_after_a_restart() {
    let desk = desk();
    let token = desk.token_for(2).await;
    desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap();
    let desk = desk.restarted();
    let said = desk.attempt(&desk.worker(&token, "w", "10.0.0.8")).await.unwrap_err();
    assert_eq!(said, Refused::NodeBound { node_id: "w".parse().unwrap() });
}

#[tokio::test]
async fn case_33_control_a_coordinator_that_notes_no_keys_gives_the_thief_the_id() {
    let desk = desk();
    let token = desk.token_for(2).await;
    desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap();
    desk.vault.update(vec![Change::Remove("ca/nodes/w.json".into())]).unwrap();
    let thief = desk.worker(&token, "w", "10.0.0.8");
    let stolen = thief.finish(&desk.attempt(&thief).await.unwrap()).unwrap();
    assert_eq!(stolen.peer().node_id, "w");
}
