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
    protocol::NodeId,
    revocation::{Reason, Subject},
};
use tokio::sync::Barrier;

use super::super::{
    ChallengeError, ChallengeFetcher, JoinToken, Refused, TokenRefused, challenge::tests::World, checks::Check, coordinators::*,
    join::Issued, tests::taken_back_after_the_next_write,
};
use crate::checks::without_during;

const DAY: u64 = 86_400_000;
const MANY: usize = 8;

/// What somebody is answered by whom a token is used that has let in as many as it may, by the coordinator as it is or started again; and
/// whether he is noted as a node.
async fn used_again(restarts: bool) -> (Result<Issued, Refused>, bool) {
    let mut desk = desk();
    let token = desk.token().await;
    desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await.unwrap();
    let other = desk.worker(&token, "v", "10.0.0.8");
    if restarts {
        desk = desk.restarted();
    }
    (desk.attempt(&other).await, is_noted(&*desk.vault, "v"))
}

#[tokio::test]
async fn case_26_a_used_token_lets_nobody_else_in_not_even_after_a_restart() {
    for restarts in [false, true] {
        let (outcome, is_noted) = used_again(restarts).await;
        assert_eq!(outcome.unwrap_err(), Refused::Token(TokenRefused::Used));
        assert!(!is_noted);
    }
}

#[tokio::test]
async fn case_26_control_where_uses_are_not_looked_at_a_token_is_for_everybody() {
    for restarts in [false, true] {
        let (outcome, is_noted) = without_during(&[Check::Uses], used_again(restarts)).await;
        assert!(outcome.is_ok() && is_noted, "{outcome:?}");
    }
}

/// What somebody is answered so many milliseconds after his token was made, and how many of its nine uses are left.
async fn used_after(millis: u64) -> (Result<Issued, Refused>, u32) {
    let desk = desk();
    let token = desk.token_for(9).await;
    desk.clock.fetch_add(millis, Ordering::SeqCst);
    (desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await, desk.uses_left(&token))
}

#[tokio::test]
async fn case_26_a_token_works_until_its_last_millisecond_and_not_after() {
    let (outcome, uses_left) = used_after(DAY - 1).await;
    assert!(outcome.is_ok() && uses_left == 8, "{outcome:?}");
    let (outcome, uses_left) = used_after(DAY).await;
    assert_eq!((outcome.unwrap_err(), uses_left), (Refused::Token(TokenRefused::Expired { ago_s: 0 }), 9));
}

#[tokio::test]
async fn case_26_control_where_nobody_looks_at_the_clock_a_token_is_good_for_ever() {
    for millis in [DAY, 9 * DAY] {
        let (outcome, uses_left) = without_during(&[Check::Expiry], used_after(millis)).await;
        assert!(outcome.is_ok() && uses_left == 8, "{outcome:?}");
    }
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

/// What somebody is answered whose token expires while he is called, how many of its uses are left, and whether he is noted as a node.
async fn expires_meanwhile() -> (Result<Issued, Refused>, u32, bool) {
    let desk = desk_in(World::default(), "10.0.0.1", |world, clock| Arc::new(Slow(world, clock)));
    let token = desk.token().await;
    let outcome = desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await;
    (outcome, desk.uses_left(&token), is_noted(&*desk.vault, "w"))
}

#[tokio::test]
async fn case_26_a_token_that_expires_while_the_addresses_are_proved_lets_nobody_in() {
    let (outcome, uses_left, is_noted) = expires_meanwhile().await;
    assert_eq!(outcome.unwrap_err(), Refused::Token(TokenRefused::Expired { ago_s: 0 }));
    assert_eq!((uses_left, is_noted), (1, false));
}

#[tokio::test]
async fn case_26_control_a_coordinator_that_looks_before_it_calls_and_not_again_lets_in_by_an_expired_token() {
    let (outcome, uses_left, is_noted) = without_during(&[Check::AtTheWrite], expires_meanwhile()).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!((uses_left, is_noted), (0, true));
}

/// What somebody is answered whose token was revoked, and whether his address was called.
async fn revoked() -> (Result<Issued, Refused>, bool) {
    let desk = desk();
    let token = desk.token().await;
    assert!(desk.issuer.revoke_token(token.id(), Reason::default()).await.unwrap());
    assert!(!desk.issuer.revoke_token(token.id(), Reason::default()).await.unwrap(), "it is revoked already");
    let outcome = desk.attempt(&desk.worker(&token, "w", "10.0.0.9")).await;
    (outcome, !desk.world.called.lock().unwrap().is_empty())
}

#[tokio::test]
async fn case_26_a_revoked_token_lets_nobody_in_and_nobody_is_called_for_one_that_is_not_good() {
    let (outcome, was_called) = revoked().await;
    assert_eq!((outcome.unwrap_err(), was_called), (Refused::Token(TokenRefused::Revoked), false));
}

#[tokio::test]
async fn case_26_control_where_revocations_of_tokens_are_not_looked_at_one_works_on() {
    let (outcome, was_called) = without_during(&[Check::NotRevoked], revoked()).await;
    assert!(outcome.is_ok() && was_called, "{outcome:?}");
}

/// What somebody is answered, now and when he asks again, whose token, or who himself, is revoked once his certificate is written; and what
/// the refusal of that says.
async fn revoked_at_the_write(of_token: bool) -> ([Result<Issued, Refused>; 2], Refused) {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let node_id: NodeId = "w".parse().unwrap();
    let (subject, refused) = if of_token {
        (Subject::JoinToken { id: token.id().to_string(), expires: None }, Refused::Token(TokenRefused::Revoked))
    } else {
        (Subject::Node { node_id: node_id.clone() }, Refused::NodeRevoked { node_id })
    };
    taken_back_after_the_next_write(&desk.vault, "ca/nodes/", &desk.ledger, subject);
    ([desk.attempt(&joiner).await, desk.attempt(&joiner).await], refused)
}

#[tokio::test]
async fn case_26_a_token_or_node_that_is_revoked_while_the_certificate_is_written_lets_nobody_in() {
    for of_token in [true, false] {
        let (outcomes, refused) = revoked_at_the_write(of_token).await;
        assert_eq!(outcomes.map(Result::unwrap_err), [refused.clone(), refused], "nor when it asks again");
    }
}

#[tokio::test]
async fn case_26_control_a_coordinator_that_does_not_look_behind_the_write_hands_out_what_was_revoked() {
    for of_token in [true, false] {
        let ([outcome, again], refused) = without_during(&[Check::BehindTheWrite], revoked_at_the_write(of_token)).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(again.unwrap_err(), refused, "the look before the write stops the next one");
    }
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
