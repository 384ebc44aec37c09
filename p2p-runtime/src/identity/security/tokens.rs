//! Cases 26 and 27: tokens that are used up or out of time, and one token used twice at once.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::{Reason, Subject},
};
use rustls_pki_types::UnixTime;
use tokio::sync::Barrier;

use super::super::{
    ChallengeError, ChallengeFetcher, JoinToken, NodeNames, Refused, TokenRefused,
    challenge::tests::World,
    checks::Check,
    coordinators::*,
    join::{self, Issued},
    tests::{issuing, taken_back_after_the_next_write},
};
use crate::checks::without_during;

const DAY: u64 = 86_400_000;
const MANY: usize = 8;

#[tokio::test]
async fn case_26_a_used_token_lets_nobody_else_in_not_even_after_a_restart() {
    let desk = desk();
    let token = desk.token().await;
    desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap();
    let other = desk.worker(&token, "v", "10.0.0.8");
    assert_eq!(desk.attempt(&other).await.unwrap_err(), Refused::Token(TokenRefused::Used));
    let desk = desk.restarted();
    assert_eq!(desk.attempt(&other).await.unwrap_err(), Refused::Token(TokenRefused::Used));
    assert!(!is_noted(&*desk.vault, "v"));
}

#[tokio::test]
async fn case_26_a_token_works_until_its_last_millisecond_and_not_after() {
    let desk = desk();
    let token = desk.token_for(9).await;
    desk.clock.fetch_add(DAY - 1, Ordering::SeqCst);
    desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap();
    desk.clock.fetch_add(1, Ordering::SeqCst);
    let said = desk.attempt(&desk.worker(&token, "v", "10.0.0.8")).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Expired { ago_s: 0 }));
    assert_eq!(desk.uses_left(&token), 8);
}

/// Answers for the world, a day later.
struct Slow(Arc<World>, Arc<AtomicU64>);

impl ChallengeFetcher for Slow {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.0.resolve(name)
    }

    fn fetch<'a>(&'a self, to: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>> {
        self.1.fetch_add(DAY, Ordering::SeqCst);
        self.0.fetch(to, path)
    }
}

#[tokio::test]
async fn case_26_a_token_that_expires_while_the_addresses_are_proved_lets_nobody_in() {
    let desk = desk_in(World::default(), "10.0.0.1", |world, clock| Arc::new(Slow(world, clock)));
    let token = desk.token().await;
    let said = desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Expired { ago_s: 0 }));
    assert_eq!(desk.uses_left(&token), 1);
    assert!(!is_noted(&*desk.vault, "w"));
}

#[tokio::test]
async fn case_26_a_revoked_token_lets_nobody_in_and_nobody_is_called_for_one_that_is_not_good() {
    let desk = desk();
    let token = desk.token().await;
    assert!(desk.issuer.revoke_token(token.id(), Reason::default()).await.unwrap());
    assert!(!desk.issuer.revoke_token(token.id(), Reason::default()).await.unwrap(), "it is revoked already");
    let said = desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap_err();
    assert_eq!(said, Refused::Token(TokenRefused::Revoked));
    assert!(desk.world.called.lock().unwrap().is_empty());
}

#[tokio::test]
async fn case_26_a_token_or_node_that_is_revoked_while_the_certificate_is_written_lets_nobody_in() {
    for of_token in [true, false] {
        let desk = desk();
        let token = desk.token().await;
        let joiner = desk.worker(&token, "w", "10.0.0.9");
        let node_id: NodeId = "w".parse().unwrap();
        let (subject, wanted) = if of_token {
            (Subject::JoinToken { id: token.id().to_string(), expires: None }, Refused::Token(TokenRefused::Revoked))
        } else {
            (Subject::Node { node_id: node_id.clone() }, Refused::NodeRevoked { node_id })
        };
        taken_back_after_the_next_write(&desk.vault, "ca/nodes/", &desk.ledger, subject);
        assert_eq!(desk.attempt(&joiner).await.unwrap_err(), wanted);
        assert_eq!(desk.attempt(&joiner).await.unwrap_err(), wanted, "nor when it asks again");
    }
}

#[tokio::test]
async fn case_26_control_by_its_proof_alone_a_token_is_good_for_ever_and_for_everybody() {
    let desk = desk();
    let token = desk.token().await;
    desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap();
    let second = desk.worker(&token, "v", "10.0.0.8");
    let (mut careless, later) = (join::Desk::default(), UnixMillis(desk.clock.load(Ordering::SeqCst) + 9 * DAY));
    let remote = "10.0.0.8".parse().unwrap();
    let tokens = tokens(&*desk.vault);
    let reply = careless.hello(second.hello().clone(), channel(), remote, 8802, &tokens, later).unwrap();
    let proof = second.prove(&channel(), &reply).unwrap();
    let let_in = careless.prove(&proof, &channel(), &tokens, later).unwrap();
    let names = NodeNames { node_id: &let_in.node_id, role: let_in.role, addresses: &let_in.addresses };
    issuing(&desk.vault).issue(&let_in.key, &names, UnixTime::now()).unwrap();
}

/// Answers for the world once so many ask.
struct Together(Arc<World>, Barrier);

impl ChallengeFetcher for Together {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.0.resolve(name)
    }

    fn fetch<'a>(&'a self, to: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>> {
        Box::pin(async move {
            self.1.wait().await;
            self.0.fetch(to, path).await
        })
    }
}

/// What comes of it when so many use a token of so many uses at once: all have been looked at and found good before the first gets its
/// certificate.
async fn used_at_once(uses: u32) -> (Desk, JoinToken, Vec<Result<Issued, Refused>>) {
    let desk = desk_in(World::default(), "10.0.0.1", |world, _| Arc::new(Together(world, Barrier::new(MANY))));
    let token = desk.token_for(uses).await;
    let joiners: Vec<_> = (0..MANY).map(|n| desk.worker(&token, &format!("w{n}"), &format!("10.0.1.{n}"))).collect();
    let all = join_all(joiners.iter().map(|joiner| desk.attempt(joiner)));
    let outcomes = tokio::time::timeout(Duration::from_mins(1), all).await.unwrap();
    (desk, token, outcomes)
}

/// How many of them are noted.
fn noted(desk: &Desk) -> usize {
    (0..MANY).filter(|n| is_noted(&*desk.vault, &format!("w{n}"))).count()
}

#[tokio::test]
async fn case_27_one_token_used_by_many_at_once_lets_in_exactly_as_many_as_it_says() {
    for uses in [1, 2] {
        let (desk, token, outcomes) = used_at_once(uses).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), uses as usize);
        assert!(outcomes.iter().filter_map(|o| o.as_ref().err()).all(|e| *e == Refused::Token(TokenRefused::Used)));
        assert_eq!((desk.uses_left(&token), noted(&desk)), (0, uses as usize));
    }
}

#[tokio::test]
async fn case_27_control_a_coordinator_that_looks_first_and_not_again_at_the_write_lets_all_of_them_in() {
    for uses in [1, 2] {
        let (desk, _, outcomes) = without_during(&[Check::AtTheWrite], used_at_once(uses)).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(noted(&desk), MANY);
    }
}

/// How many of the two uses of its token are left when one node joins twice at once, with the same key.
async fn joined_twice_at_once() -> u32 {
    let desk = desk_in(World::default(), "10.0.0.1", |world, _| Arc::new(Together(world, Barrier::new(2))));
    let token = desk.token_for(2).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let (first, second) = tokio::join!(desk.attempt(&joiner), desk.attempt(&joiner));
    joiner.finish(&first.unwrap()).unwrap();
    joiner.finish(&second.unwrap()).unwrap();
    desk.uses_left(&token)
}

#[tokio::test]
async fn case_27_one_node_that_joins_twice_at_once_uses_one_use() {
    assert_eq!(joined_twice_at_once().await, 1);
}

#[tokio::test]
async fn case_27_control_without_the_look_at_the_write_a_node_that_joins_twice_at_once_uses_two() {
    assert_eq!(without_during(&[Check::AtTheWrite], joined_twice_at_once()).await, 0);
}
