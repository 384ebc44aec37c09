//! Case 33: a join under another node's id.

use p2p_client::protocol::Role;

use super::super::{JoinToken, NodeIdentity, NodeKey, Refused, checks::Check, coordinators::*};
use crate::checks::without_during;

/// Somebody joins under this id with a key of his own.
async fn takes(desk: &Desk, token: &JoinToken, name: &str) -> Result<NodeIdentity, Refused> {
    let thief = desk.worker(token, name, "10.0.0.8");
    desk.attempt(&thief).await.map(|issued| thief.finish(&issued).unwrap())
}

#[tokio::test]
async fn case_33_another_nodes_id_needs_its_key() {
    let desk = desk();
    let token = desk.token_for(9).await;
    let key = NodeKey::generate().unwrap();
    desk.attempt(&desk.joiner_with(&token, "w", Role::Worker, &["10.0.0.9"], key.clone())).await.unwrap();
    for name in ["w", "coordinator"] {
        let said = takes(&desk, &token, name).await.unwrap_err();
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
    let said = takes(&desk.restarted(), &token, "w").await.unwrap_err();
    assert_eq!(said, Refused::NodeBound { node_id: "w".parse().unwrap() });
}

#[tokio::test]
async fn case_33_control_without_a_look_at_the_key_that_has_the_id_the_thief_gets_it_also_after_a_restart() {
    let desk = desk();
    let token = desk.token_for(9).await;
    desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap();
    let thefts = async |desk: &Desk| {
        for name in ["w", "coordinator"] {
            let stolen = without_during(&[Check::KeyOfId], takes(desk, &token, name)).await.unwrap();
            assert_eq!(stolen.peer().node_id, name);
        }
    };
    thefts(&desk).await;
    thefts(&desk.restarted()).await;
}
