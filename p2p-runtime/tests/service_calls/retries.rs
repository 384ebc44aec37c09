//! Calls that fail on their way: which are sent again, to whom, how often, and when.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use futures::poll;
use p2p_client::{call::CallError, protocol::Role};
use p2p_runtime::{prelude::Result, service};
use tokio::time::Instant;

use crate::cluster::Cluster;

/// Counts how often it was asked.
#[derive(Default)]
struct Tally(AtomicU32);

#[service]
impl Tally {
    #[service_method]
    async fn add(&self) -> Result<u32> {
        Ok(self.0.fetch_add(1, Relaxed) + 1)
    }

    #[service_method(idempotent)]
    async fn set(&self) -> Result<u32> {
        Ok(self.0.fetch_add(1, Relaxed) + 1)
    }
}

/// `a` and `b` host it, `caller` calls.
fn two_hosts() -> Cluster {
    Cluster::default()
        .node("a", Role::Worker)
        .node("b", Role::Worker)
        .node("caller", Role::Coordinator)
        .serve("a", Tally::default())
        .serve("b", Tally::default())
}

#[tokio::test]
async fn a_call_that_may_have_run_is_sent_to_nobody_else() {
    let cluster = two_hosts();
    cluster.lose_answers_of("a");
    let error = cluster.proxy("caller").tally().add().retry(5).await.unwrap_err();
    assert!(matches!(&error, CallError::Transport { may_have_run: true, .. }), "{error}");
    assert!(!error.is_safe_to_retry());
    assert_eq!(cluster.tried(), ["a"]);
}

#[tokio::test]
async fn an_idempotent_call_whose_answer_was_lost_goes_to_the_next_host() {
    let cluster = two_hosts();
    cluster.lose_answers_of("a");
    assert_eq!(cluster.proxy("caller").tally().set().await.unwrap(), 1);
    assert_eq!(cluster.tried(), ["a", "b"]);
}

#[tokio::test]
async fn a_call_that_may_have_run_somewhere_says_so_though_the_last_host_could_not_be_reached() {
    let cluster = two_hosts();
    cluster.lose_answers_of("a");
    cluster.cut_off("b");
    let error = cluster.proxy("caller").tally().set().await.unwrap_err();
    assert!(matches!(&error, CallError::Transport { reason, may_have_run: true } if reason == "a was lost"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_being_asked_to_a_call_makes_one_round() {
    let cluster = two_hosts();
    cluster.cut_off("a");
    cluster.cut_off("b");
    let began = Instant::now();
    let error = cluster.proxy("caller").tally().add().await.unwrap_err();
    assert!(error.is_safe_to_retry(), "{error}");
    assert_eq!((cluster.tried(), began.elapsed()), (vec!["a".to_owned(), "b".to_owned()], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn further_rounds_come_after_pauses_that_grow() {
    let cluster = two_hosts();
    cluster.cut_off("a");
    cluster.cut_off("b");
    let began = Instant::now();
    let error = cluster.proxy("caller").tally().add().retry(3).await.unwrap_err();
    assert!(matches!(error, CallError::Transport { may_have_run: false, .. }), "{error}");
    assert_eq!(cluster.tried(), ["a", "b"].repeat(4));
    let millis = began.elapsed().as_millis();
    assert!((175..=360).contains(&millis), "50, 100 and 200 ms, each less up to a half: {millis}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_tried_again_finds_who_has_come_back() {
    let cluster = two_hosts();
    cluster.cut_off("a");
    cluster.cut_off("b");
    let mut call = cluster.proxy("caller").tally().add().retry(1);
    assert!(poll!(&mut call).is_pending(), "it pauses");
    cluster.mend("b");
    assert_eq!(call.await.unwrap(), 1);
    assert_eq!(cluster.tried(), ["a", "b", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_tried_again_finds_who_has_begun_to_host() {
    let cluster = Cluster::default().node("a", Role::Worker).node("caller", Role::Coordinator);
    for named in [false, true] {
        let proxy = cluster.proxy("caller");
        let (mut typed, mut by_name) = (proxy.tally().add().retry(1), proxy.call("tally/add", ()).retry(1));
        let pending = if named { poll!(&mut by_name).is_pending() } else { poll!(&mut typed).is_pending() };
        assert!(pending, "nobody hosts it, and it may be asked again");
        let cluster = cluster.clone().serve("caller", Tally::default());
        if named {
            assert_eq!(by_name.await.unwrap().get(), "1");
        } else {
            assert_eq!(typed.await.unwrap(), 1);
        }
        cluster.unhost("caller", "tally");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_would_outlast_the_call_is_not_begun() {
    let cluster = two_hosts();
    cluster.cut_off("a");
    cluster.cut_off("b");
    let began = Instant::now();
    let error = cluster.proxy("caller").tally().add().retry(9).timeout(Duration::from_millis(20)).await.unwrap_err();
    assert!(
        matches!(error, CallError::Transport { may_have_run: false, .. }),
        "what happened, and not that time ran out: {error}"
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn only_what_a_call_begins_with_is_its_first_try() {
    let cluster = two_hosts();
    cluster.cut_off("a");
    cluster.cut_off("b");
    cluster.proxy("caller").tally().add().retry(1).await.unwrap_err();
    assert_eq!(cluster.tried(), ["a", "b", "a", "b"]);
    assert_eq!(cluster.first_tries(), [true, false, false, false], "the pause was waited for, too");
}

#[tokio::test]
async fn a_call_by_name_whose_answer_was_lost_goes_on_where_its_method_is_idempotent() {
    let cluster = two_hosts();
    cluster.lose_answers_of("a");
    assert_eq!(cluster.proxy("caller").call("tally/set", ()).await.unwrap().get(), "1");
    assert_eq!(cluster.tried(), ["a", "b"]);
}

#[tokio::test]
async fn a_call_by_name_that_may_have_run_is_made_nowhere_else_where_its_method_is_not_idempotent() {
    let cluster = two_hosts();
    cluster.lose_answers_of("a");
    let error = cluster.proxy("caller").call("tally/add", ()).retry(5).await.unwrap_err();
    assert!(matches!(&error, CallError::Transport { reason, may_have_run: true } if reason == "a was lost"), "{error}");
    assert_eq!(cluster.tried(), ["a"]);
}

#[tokio::test]
async fn a_call_by_name_that_was_lost_at_the_only_host_is_told_as_lost() {
    let cluster = two_hosts();
    cluster.lose_answers_of("a");
    let error = cluster.proxy("caller").call("tally/set", ()).on("a").await.unwrap_err();
    assert!(matches!(&error, CallError::Transport { reason, may_have_run: true } if reason == "a was lost"), "{error}");
}
