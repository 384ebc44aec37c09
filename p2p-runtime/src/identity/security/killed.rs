//! Case 56: the coordinator is killed while it issues, and the node hears no answer.

use std::sync::{Arc, OnceLock};

use p2p_client::wire::net::TcpNetwork;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::super::{
    Change, JoinError, JoinOptions, JoinToken, Joined, NodeIdentity, NodeKey, Refused, TokenOptions, TokenRefused, Vault,
    VaultError,
    checks::Check,
    coordinators::{is_noted, options, serve, serve_until, tokens},
    join,
    tests::cluster,
    vault::tests::MemoryVault,
};
use crate::checks::without_during;

/// When the coordinator dies, seen from the first write of a join: of the token's use, and of the node with it.
#[derive(Clone, Copy)]
enum Killed {
    Before,
    Behind,
}

/// A store whose process is killed at the next write, once it is told when.
struct Dying {
    store: Arc<MemoryVault>,
    when: OnceLock<Killed>,
    killed: CancellationToken,
}

impl Vault for Dying {
    fn get(&self, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        self.store.get(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, VaultError> {
        self.store.list(prefix)
    }

    fn update(&self, changes: Vec<Change>) -> Result<(), VaultError> {
        let Some(when) = self.when.get() else { return self.store.update(changes) };
        if !self.killed.is_cancelled() && matches!(when, Killed::Behind) {
            self.store.update(changes)?;
        }
        self.killed.cancel();
        Err(VaultError::message("the process is no more"))
    }
}

/// A cluster whose coordinator died while a node joined, and what the node was told.
struct Aftermath {
    coordinator: NodeIdentity,
    store: Arc<MemoryVault>,
    token: JoinToken,
    /// The node's.
    key: NodeKey,
    told: JoinError,
}

/// A node without a name of its own choice, as most are.
fn node(key: &NodeKey) -> JoinOptions {
    JoinOptions { node_id: None, key: Some(key.clone()), ..options("unused", &Arc::default()) }
}

async fn join_while_killed(when: Killed) -> Aftermath {
    let (coordinator, store) = cluster();
    let killed = CancellationToken::new();
    let dying = Arc::new(Dying { store: store.clone(), when: OnceLock::new(), killed: killed.clone() });
    let first = serve_until(&coordinator, dying.clone(), coordinator.server_tls().unwrap(), killed).await;
    let token = first.issuer.create_token(TokenOptions::default()).await.unwrap();
    assert!(dying.when.set(when).is_ok());
    let key = NodeKey::generate().unwrap();
    let told = join(Arc::new(TcpNetwork), &first.at, token.clone(), node(&key)).await.unwrap_err();
    Aftermath { coordinator, store, token, key, told }
}

impl Aftermath {
    /// What comes of another attempt, at the coordinator that was started again.
    async fn again(&self, options: JoinOptions) -> Result<Joined, JoinError> {
        let restarted = serve(&self.coordinator, self.store.clone(), self.coordinator.server_tls().unwrap()).await;
        join(Arc::new(TcpNetwork), &restarted.at, self.token.clone(), options).await
    }

    fn uses_left(&self) -> u32 {
        tokens(&*self.store).get(self.token.id()).unwrap().uses_left
    }

    /// How many nodes the store knows, besides the coordinator.
    fn noted(&self) -> usize {
        self.store.list("ca/nodes/").unwrap().len() - 1
    }
}

#[tokio::test]
async fn case_56_a_node_whose_coordinator_is_killed_while_issuing_is_told_what_to_do() {
    for when in [Killed::Before, Killed::Behind] {
        let told = join_while_killed(when).await.told;
        assert!(matches!(&told, JoinError::BrokenOff { .. }), "{told:?}");
        for part in ["broke off", "check that it is running", "join again with the same token"] {
            assert!(told.to_string().contains(part), "{told}");
        }
    }
}

#[tokio::test]
async fn case_56_killed_before_the_write_nothing_was_spent_and_the_same_token_lets_the_node_in() {
    let after = join_while_killed(Killed::Before).await;
    assert_eq!((after.uses_left(), after.noted()), (1, 0));
    let joined = after.again(node(&after.key)).await.unwrap();
    assert_eq!((after.uses_left(), after.noted()), (0, 1));
    assert!(is_noted(&*after.store, joined.identity.peer().node_id.as_str()));
}

#[tokio::test]
async fn case_56_killed_behind_the_write_the_node_gets_its_certificate_when_it_asks_again_and_nobody_else_does() {
    let after = join_while_killed(Killed::Behind).await;
    assert_eq!((after.uses_left(), after.noted()), (0, 1));
    let said = after.again(node(&NodeKey::generate().unwrap())).await.unwrap_err();
    assert!(matches!(said, JoinError::Refused(Refused::Token(TokenRefused::Used))), "{said}");
    let joined = after.again(node(&after.key)).await.unwrap();
    assert!(is_noted(&*after.store, joined.identity.peer().node_id.as_str()));
    assert_eq!((after.uses_left(), after.noted()), (0, 1));
}

#[tokio::test]
async fn case_56_control_killed_behind_the_first_of_two_writes_the_token_is_gone_and_the_node_is_nowhere() {
    let after = without_during(&[Check::OneWrite], join_while_killed(Killed::Behind)).await;
    assert_eq!((after.uses_left(), after.noted()), (0, 0));
    let said = after.again(node(&after.key)).await.unwrap_err();
    assert!(matches!(said, JoinError::Refused(Refused::Token(TokenRefused::Used))), "{said}");
}
