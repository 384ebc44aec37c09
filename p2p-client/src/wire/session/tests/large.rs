//! Results that are too large for the session, and wait to be fetched.

use super::*;

fn body(outcome: Outcome) -> (u64, usize) {
    match outcome {
        Outcome::Answered(Answer::Body { ticket, size }) => (ticket, usize::try_from(size).unwrap()),
        other => panic!("a large result was expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_large_result_waits_to_be_fetched_and_is_given_out_once() {
    let pair = Pair::new().await;
    let size = MAX_INLINE + 1;
    let (ticket, told) = body(pair.client.call(&call("large", &size.to_string()), in_time()).await);
    assert_eq!(told, size);
    assert_eq!(pair.server.fetch(ticket).unwrap(), vec![b'7'; size]);
    assert_eq!(pair.server.fetch(ticket), None);
    assert_eq!(result(pair.client.call(&call("large", &MAX_INLINE.to_string()), in_time()).await).len(), MAX_INLINE);
}

#[tokio::test]
async fn results_past_what_may_wait_are_errors_until_some_are_fetched() {
    let pair = Pair::within(SessionLimits { max_parked: 250_000, ..SessionLimits::default() }).await;
    let asked = call("large", "100000");
    let large = || pair.client.call(&asked, in_time());
    let (first, _) = body(large().await);
    body(large().await);
    let error = refusal(large().await);
    assert_eq!(
        error.message,
        "the result has 100000 bytes, and of the 250000 for large results 200000 are taken until they are fetched; ask for fewer at a time, or \
         for less"
    );
    pair.server.fetch(first).unwrap();
    body(large().await);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_nobody_fetches_is_forgotten_when_its_caller_has_stopped_waiting() {
    let pair = Pair::within(SessionLimits { max_parked: 150_000, ..SessionLimits::default() }).await;
    let timed = Outgoing { timeout: Some(Duration::from_secs(2)), ..call("large", "100000") };
    let (first, _) = body(pair.client.call(&timed, in_time()).await);
    crate::wire::paused::time_passes(Duration::from_secs(3)).await;
    assert_eq!(pair.server.fetch(first), None);
    body(pair.client.call(&timed, in_time()).await);
}

#[tokio::test]
async fn tickets_of_two_sessions_are_not_the_same() {
    let (one, two) = (Pair::new().await, Pair::new().await);
    let (ticket, _) = body(one.client.call(&call("large", "100000"), in_time()).await);
    body(two.client.call(&call("large", "100000"), in_time()).await);
    assert_eq!(two.server.fetch(ticket), None);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_left_stays_until_its_large_results_are_fetched_or_late() {
    for is_fetched in [true, false] {
        let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
        peer.say(br#"{"jsonrpc":"2.0","id":1,"method":"large","timeout_ms":2000,"params":[100000]}"#);
        let Some(Message::Answer { answer: Answer::Body { ticket, .. }, .. }) = peer.next().await else { panic!("no ticket") };
        session.leave("a test");
        peer.say(br#"{"jsonrpc":"2.0","method":"$/goaway","params":{"taken":0,"reason":"a test"}}"#);
        let_others_run().await;
        assert!(!session.is_served() && !session.is_over());
        if is_fetched {
            session.fetch(ticket).unwrap();
        }
        let began = Instant::now();
        soon(session.served()).await;
        soon(session.ended()).await;
        assert_eq!(began.elapsed().as_secs(), if is_fetched { 0 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_said_farewell_may_still_fetch() {
    let pair = Pair::new().await;
    let (ticket, _) = body(pair.client.call(&call("large", "100000"), in_time()).await);
    pair.server.leave("a test");
    soon(pair.client.ended()).await;
    let_others_run().await;
    assert!(!pair.server.is_over(), "the peer has closed its side, and wants its result");
    assert_eq!(pair.server.fetch(ticket).unwrap().len(), 100_000);
    soon(pair.server.ended()).await;
}
