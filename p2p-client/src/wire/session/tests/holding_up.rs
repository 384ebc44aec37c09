//! Back-pressure: callers wait where the other end takes no more.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// Longer than any of these tests.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_call_past_what_the_other_end_takes_waits_and_then_goes() {
    let pair = Pair::within(SessionLimits { max_calls: 2, ..SessionLimits::default() }).await;
    let calls: Vec<_> = (0..3).map(|number| spawn_call(&pair.client, "wait", &number.to_string())).collect();
    Service::reached(&pair.at_server.begun, 2).await;
    let_others_run().await;
    assert_eq!(*pair.at_server.begun.borrow(), 2, "the third waits at its caller");
    calls[0].abort();
    Service::reached(&pair.at_server.begun, 3).await;
    pair.at_server.open.send_replace(true);
    for (number, call) in calls.into_iter().enumerate().skip(1) {
        assert_eq!(result(soon(call).await.unwrap()), number.to_string());
    }
    assert!(pair.works().await);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_call_that_waits_for_its_turn_holds() {
    let pair = Pair::within(SessionLimits { max_calls: 1, ..SessionLimits::default() }).await;
    let first = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    let began = Instant::now();
    let late = pair.client.call(&call("echo", "2"), began + Duration::from_secs(3)).await;
    assert!(matches!(late, Outcome::Deadline), "{late:?}");
    assert_eq!(began.elapsed().as_secs(), 3);
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(first).await.unwrap()), "1");
    assert!(pair.works().await);
}

#[tokio::test]
async fn who_waits_for_a_turn_and_gives_up_takes_no_turn() {
    let pair = Pair::within(SessionLimits { max_calls: 1, ..SessionLimits::default() }).await;
    let first = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    let impatient = spawn_call(&pair.client, "wait", "2");
    let_others_run().await;
    impatient.abort();
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(first).await.unwrap()), "1");
    assert!(pair.works().await);
    assert_eq!(*pair.at_server.begun.borrow(), 1, "it was never sent");
}

#[tokio::test]
async fn those_who_wait_for_a_turn_learn_that_the_session_is_over() {
    let pair = Pair::within(SessionLimits { max_calls: 1, ..SessionLimits::default() }).await;
    let first = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    let second = spawn_call(&pair.client, "echo", "2");
    let_others_run().await;
    pair.client.cut(Ended::Closed("a test".to_owned()));
    assert!(matches!(soon(first).await.unwrap(), Outcome::Lost(Ended::Closed(why)) if why == "a test"));
    assert!(matches!(soon(second).await.unwrap(), Outcome::NotSent(Ended::Closed(why)) if why == "a test"));
}

#[tokio::test(start_paused = true)]
async fn callers_wait_while_too_much_is_unsent_with_their_deadlines_and_go_on_afterwards() {
    let limits = SessionLimits { max_waiting: 100_000, ..SessionLimits::default() };
    let (session, _service, mut peer) = RawPeer::new(limits, 1_024).await;
    let big = format!("\"{}\"", "x".repeat(60_000));
    let mut calls: Vec<_> = (0..40).map(|_| spawn_call(&session, "a/b", &big)).collect();
    let_others_run().await;
    assert!(session.shared.machine().room().is_none_or(|room| room.bytes < 60_000), "another does not fit");
    assert!(session.shared.machine().in_flight() < 40);
    let began = Instant::now();
    let late = session.call(&call("late", "1"), began + Duration::from_secs(2)).await;
    assert!(matches!(late, Outcome::Deadline), "{late:?}");
    assert_eq!(began.elapsed().as_secs(), 2);
    // One that gives up while it waits.
    calls.pop().unwrap().abort();
    for _ in 0..39 {
        let call = peer.next_call().await;
        assert_eq!(call.method(), "a/b", "what was late was never sent");
        peer.say(format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, call.id));
    }
    for outcome in soon(join_all(calls)).await {
        result(outcome.unwrap());
    }
}

#[tokio::test]
async fn an_end_that_leaves_still_waits_while_too_much_is_unsent() {
    let limits = SessionLimits { max_waiting: 100_000, ..SessionLimits::default() };
    let (session, _service, _peer) = RawPeer::new(limits, 1_024).await;
    session.leave("a test");
    let big = format!("\"{}\"", "x".repeat(60_000));
    let _calls: Vec<_> = (0..60).map(|_| spawn_call(&session, "a/b", &big)).collect();
    let_others_run().await;
    let waiting = session.shared.machine().waiting();
    assert!(waiting <= 161_000, "{waiting} bytes wait");
}

#[tokio::test]
async fn calls_that_come_in_wait_while_their_peer_does_not_read_the_answers() {
    let limits = SessionLimits { max_waiting: 100_000, max_calls: 500, ..SessionLimits::default() };
    let (session, _service, mut peer) = RawPeer::new(limits, 2).await;
    let mut ask = |id: u32| peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"large","params":[50000]}}"#));
    // The first two fill the window, and what is handed to the connection.
    (1..=2).for_each(&mut ask);
    let_others_run().await;
    (3..=10).for_each(&mut ask);
    let_others_run().await;
    let waiting = session.shared.machine().waiting();
    assert!((100_000..=510_000).contains(&waiting), "{waiting} bytes wait");
    (11..=400).for_each(&mut ask);
    let_others_run().await;
    assert_eq!(session.shared.machine().waiting(), waiting, "no further call was begun");
    for _ in 0..400 {
        assert!(matches!(peer.next().await, Some(Message::Answer { answer: Answer::Result(_), .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_behind_later_ones_while_the_other_end_does_not_read() {
    let (session, _service, peer) = RawPeer::new(SessionLimits::default(), 1_024).await;
    // More than its window: from now on nothing is taken any more.
    let big = format!("\"{}\"", "x".repeat(60_000));
    let _stalled: Vec<_> = (0..2).map(|_| spawn_call(&session, "a/b", &big)).collect();
    let_others_run().await;
    let began = Instant::now();
    let patient = {
        let session = session.clone();
        tokio::spawn(async move { session.call(&call("a/b", "1"), began + Duration::from_secs(20)).await })
    };
    let_others_run().await;
    let outcome = session.call(&call("a/b", "2"), began + Duration::from_secs(1)).await;
    assert!(matches!(outcome, Outcome::Deadline), "{outcome:?}");
    assert_eq!(began.elapsed().as_secs(), 1);
    // The same of a call that is begun without waiting for its turn.
    let third = call("a/b", "3");
    let outcome = session.clone().start(&third, began + Duration::from_secs(2), None).unwrap().await;
    assert!(matches!(outcome, Outcome::Deadline), "{outcome:?}");
    assert_eq!(began.elapsed().as_secs(), 2);
    assert!(matches!(soon(patient).await.unwrap(), Outcome::Deadline));
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_learns_at_once_that_the_other_end_leaves() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1).await;
    let first = spawn_call(&session, "a/b", "1");
    let id = peer.next_call().await.id;
    let second = spawn_call(&session, "a/b", "2");
    let_others_run().await;
    peer.say(br#"{"jsonrpc":"2.0","method":"$/goaway","params":{"taken":1,"reason":"it restarts"}}"#);
    let outcome = soon(second).await.unwrap();
    assert!(matches!(&outcome, Outcome::NotSent(Ended::Left(why)) if why == "it restarts"), "{outcome:?}");
    assert!(!first.is_finished());
    peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#));
    assert_eq!(result(soon(first).await.unwrap()), "1");
}

#[tokio::test]
async fn no_more_calls_are_let_through_than_there_are_places_for_whatever_the_other_end_takes() {
    let (session, _service, _peer) = RawPeer::new(SessionLimits::default(), u32::MAX).await;
    assert_eq!(session.shared.machine().peer_calls(), 1 << 16);
}

#[tokio::test]
async fn however_many_wait_an_answer_wakes_no_more_of_them_than_may_go() {
    const CALLS: usize = 3_000;
    let pair = Pair::within(SessionLimits { max_calls: 4, ..SessionLimits::default() }).await;
    let polls = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..CALLS).map(|number| counted_call(&pair.client, &number.to_string(), &polls)).collect();
    for (number, outcome) in soon(join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(result(outcome.unwrap()), number.to_string());
    }
    // As it comes, when it has its turn, and when it has its answer; some find that another one was quicker.
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls <= 5 * CALLS, "{polls} polls for {CALLS} calls");
}

#[tokio::test]
async fn a_turn_that_is_not_used_goes_to_the_next_one() {
    let pair = Pair::within(SessionLimits { max_calls: 1, ..SessionLimits::default() }).await;
    let first = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    let wanted = call("echo", "2");
    // It is woken for its turn, never polled again, and dropped.
    let mut given_up = Box::pin(pair.client.call(&wanted, Instant::now() + PATIENCE));
    assert!(futures::poll!(given_up.as_mut()).is_pending());
    let next = spawn_call(&pair.client, "echo", "3");
    let_others_run().await;
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(first).await.unwrap()), "1");
    let_others_run().await;
    assert!(!next.is_finished());
    drop(given_up);
    assert_eq!(result(soon(next).await.unwrap()), "3");
}

#[tokio::test]
async fn callers_that_call_again_at_once_take_no_turn_from_one_that_waits() {
    let pair = Pair::within(SessionLimits { max_calls: 1, ..SessionLimits::default() }).await;
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let session = pair.client.clone();
            tokio::spawn(async move {
                loop {
                    result(session.call(&call("echo", "1"), Instant::now() + PATIENCE).await);
                }
            })
        })
        .collect();
    let_others_run().await;
    for _ in 0..20 {
        assert_eq!(result(soon(spawn_call(&pair.client, "echo", "2")).await.unwrap()), "2");
    }
    for busy in busy {
        busy.abort();
    }
}

#[tokio::test]
async fn of_large_calls_that_wait_no_more_are_woken_than_fit() {
    const CALLS: usize = 400;
    let limits = SessionLimits { max_waiting: 100_000, ..SessionLimits::default() };
    let (session, _service, mut peer) = RawPeer::new(limits, 1_024).await;
    let polls = Arc::new(AtomicUsize::new(0));
    let big = format!("\"{}\"", "x".repeat(60_000));
    let calls: Vec<_> = (0..CALLS).map(|_| counted_call(&session, &big, &polls)).collect();
    for _ in 0..CALLS {
        let id = peer.next_call().await.id;
        peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#));
    }
    for outcome in soon(join_all(calls)).await {
        result(outcome.unwrap());
    }
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls <= 5 * CALLS, "{polls} polls for {CALLS} calls");
}

/// A call in a task of its own, whose turns are counted.
fn counted_call(session: &Session, params: &str, polls: &Arc<AtomicUsize>) -> tokio::task::JoinHandle<Outcome> {
    let (session, polls, params) = (session.clone(), polls.clone(), params.to_owned());
    tokio::spawn(async move {
        let wanted = call("echo", &params);
        let mut calling = pin!(session.call(&wanted, Instant::now() + PATIENCE));
        poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            calling.as_mut().poll(cx)
        })
        .await
    })
}
