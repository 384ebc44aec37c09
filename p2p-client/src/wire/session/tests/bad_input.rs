//! What a peer may do wrong: the session ends with a name for it, and nothing else is harmed.

use super::*;

/// What a peer does wrong.
enum Wrong {
    Bytes(&'static [u8]),
    Message(&'static [u8]),
}

/// Each thing that a peer may do wrong, and what it is called.
const WRONGS: [(Wrong, &str); 16] = [
    (Wrong::Bytes(b"\xff\xff\xff\xff"), "a message of 4294967295 bytes, where 81920 are taken"),
    (Wrong::Bytes(&[0, 1, 0x40, 1]), "a message of 81921 bytes, where 81920 are taken"),
    (Wrong::Message(b"\xff\xfe"), "a message is not UTF-8"),
    (Wrong::Message(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\",\"params\":{}}"), "a message is not UTF-8"),
    (Wrong::Message(b""), "a message is no JSON-RPC 2.0: EOF"),
    (Wrong::Message(b"hello"), "a message is no JSON-RPC 2.0: expected value"),
    (Wrong::Message(b"{}"), "a message is no JSON-RPC 2.0: missing field `jsonrpc`"),
    (Wrong::Message(br#"{"jsonrpc":"2.0","id":999,"result":1}"#), "there is no call 999 that could be answered"),
    (
        Wrong::Message(br#"{"jsonrpc":"2.0","method":"$/body","params":{"id":9,"ticket":1,"size":1}}"#),
        "there is no call 9 that could be answered",
    ),
    (
        Wrong::Message(br#"{"jsonrpc":"2.0","id":5,"method":"echo","params":{}}"#),
        "the call id 5 was used before, or is below 5; ids must grow",
    ),
    (
        Wrong::Message(br#"{"jsonrpc":"2.0","id":4,"method":"echo","params":{}}"#),
        "the call id 4 was used before, or is below 5; ids must grow",
    ),
    (Wrong::Message(br#"{"jsonrpc":"2.0","method":"echo","params":{}}"#), "echo: a call on a session has an id"),
    (Wrong::Message(br#"{"jsonrpc":"2.0","id":-6,"method":"echo","params":{}}"#), "a message is no JSON-RPC 2.0: invalid value"),
    (
        Wrong::Message(br#"{"jsonrpc":"2.0","method":"$/item","params":{"id":65536,"item":1}}"#),
        "more items of the stream 65536 than there was credit for",
    ),
    (Wrong::Message(br#"{"jsonrpc":"2.0","method":"$/item","params":{"id":7,"item":1}}"#), "there is no call 7"),
    (Wrong::Message(br#"{"jsonrpc":"2.0","method":"$/goaway","params":{}}"#), "$/goaway: there is no taken"),
];

#[tokio::test]
async fn whatever_a_peer_does_wrong_ends_its_session_by_name_and_no_other() {
    let other = Pair::new().await;
    for (wrong, named) in WRONGS {
        let (session, service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
        let sent = spawn_call(&session, "a/b", "{}");
        peer.next_call().await;
        peer.say(br#"{"jsonrpc":"2.0","id":5,"method":"wait","params":{}}"#);
        Service::reached(&service.begun, 1).await;
        match wrong {
            Wrong::Bytes(bytes) => peer.send(bytes),
            Wrong::Message(message) => peer.say(message),
        }
        let told = peer.farewell().await;
        assert!(told.contains(named), "{named:?} was expected, and {told:?} said");
        let Ended::Violation(violation) = soon(session.ended()).await else { panic!("{named}: no violation") };
        assert_eq!(violation.to_string(), told);
        // It was sent, and nobody knows what became of it.
        let outcome = soon(sent).await.unwrap();
        assert!(matches!(&outcome, Outcome::Lost(Ended::Violation(_))), "{named}: {outcome:?}");
        let refused = session.call(&call("a/b", "{}"), in_time()).await;
        assert!(matches!(&refused, Outcome::NotSent(Ended::Violation(_))), "{named}: {refused:?}");
        // What it was served is dropped.
        Service::reached(&service.dropped, 1).await;
        assert!(other.works().await);
    }
}

#[tokio::test]
async fn a_frame_that_is_cut_ends_the_session() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
    peer.send(&b"\x00\x00\x00\x20{\"jsonrpc\""[..]);
    peer.end();
    let ended = soon(session.ended()).await;
    assert_eq!(ended.to_string(), "the peer broke the session's protocol: the stream ended in the middle of a message");
    assert_eq!(peer.farewell().await, "the stream ended in the middle of a message");
}

#[tokio::test]
async fn a_stream_that_ends_without_a_farewell_is_a_broken_connection() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
    let sent = spawn_call(&session, "a/b", "{}");
    peer.next_call().await;
    peer.end();
    assert_eq!(soon(session.ended()).await, Ended::Broken("its stream was closed".to_owned()));
    assert!(matches!(soon(sent).await.unwrap(), Outcome::Lost(Ended::Broken(_))));
}

#[tokio::test]
async fn a_second_answer_to_a_call_ends_the_session_and_leaves_the_first() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
    let sent = spawn_call(&session, "a/b", "{}");
    let id = peer.next_call().await.id;
    peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#));
    peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":2}}"#));
    assert_eq!(soon(session.ended()).await, Ended::Violation(Violation::UnknownId { id }));
    assert_eq!(result(soon(sent).await.unwrap()), "1");
}

#[tokio::test]
async fn a_flood_of_calls_past_the_limit_ends_the_session_and_takes_no_memory() {
    let limits = SessionLimits { max_calls: 10, ..SessionLimits::default() };
    let other = Pair::new().await;
    let (session, service, mut peer) = RawPeer::new(limits, 2).await;
    let mut flood = bytes::BytesMut::new();
    for id in 1..=5_000 {
        call("wait", "{}").write(id, &mut flood);
    }
    peer.send(flood);
    assert_eq!(soon(session.ended()).await, Ended::Violation(Violation::TooManyCalls { limit: 10 }));
    assert_eq!(peer.farewell().await, "more than 10 calls at a time");
    assert!(*service.begun.borrow() <= 10, "no call past the limit was begun");
    Service::reached(&service.dropped, *service.begun.borrow()).await;
    assert!(session.shared.machine().is_quiet() && session.shared.machine().waiting() == 0);
    assert!(other.works().await);
}

#[tokio::test]
async fn items_past_the_credit_end_the_session() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
    let mut stream = session.open(&Outgoing { credit: Some(2), ..call("count", "9") }, in_time()).await.unwrap();
    let id = peer.next_call().await.id;
    for item in 0..3 {
        peer.say(format!(r#"{{"jsonrpc":"2.0","method":"$/item","params":{{"id":{id},"item":{item}}}}}"#));
    }
    assert_eq!(soon(session.ended()).await, Ended::Violation(Violation::TooManyItems { id }));
    assert_eq!(peer.farewell().await, format!("more items of the stream {id} than there was credit for"));
    assert_eq!(stream.next().await.unwrap().unwrap(), "0");
    assert_eq!(stream.next().await.unwrap().unwrap(), "1");
    assert!(matches!(stream.next().await, Some(Err(Outcome::Lost(Ended::Violation(_))))));
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_has_its_session_ended_while_memory_stays_bounded_and_other_sessions_work() {
    let limits = SessionLimits { max_waiting: 100_000, ..SessionLimits::default() };
    let other = Pair::new().await;
    let (session, _service, peer) = RawPeer::new(limits, 1_024).await;
    let big = format!("\"{}\"", "x".repeat(50_000));
    let began = Instant::now();
    let calls: Vec<_> = (0..100).map(|_| spawn_call(&session, "a/b", &big)).collect();
    let_others_run().await;
    let waiting = session.shared.machine().waiting();
    assert!(waiting <= 100_000 + 51_000, "{waiting} bytes wait");
    assert!(session.shared.machine().in_flight() < 30, "the others wait for their turn");
    for second in 1..30 {
        crate::wire::paused::time_passes(Duration::from_secs(1)).await;
        assert!(other.works().await, "after {second} s");
        assert!(session.shared.machine().waiting() <= waiting, "after {second} s");
        assert!(session.is_open() && calls.iter().all(|call| !call.is_finished()), "after {second} s");
    }
    assert_eq!(soon(session.ended()).await, Ended::NotReading(Duration::from_secs(30)));
    assert!(other.works().await);
    assert_eq!(began.elapsed().as_secs(), 30);
    let outcomes: Vec<_> = soon(join_all(calls)).await.into_iter().map(Result::unwrap).collect();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Lost(Ended::NotReading(_)))).count();
    let not_sent = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::NotSent(Ended::NotReading(_)))).count();
    assert_eq!(lost + not_sent, 100, "{outcomes:?}");
    assert_eq!(lost, 1, "the others were not whole when the window was full");
    assert_eq!(session.shared.machine().waiting(), 0);
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_waited_for() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1_024).await;
    let big = format!("\"{}\"", "x".repeat(50_000));
    let calls: Vec<_> = (0..4).map(|_| spawn_call(&session, "a/b", &big)).collect();
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(25)).await;
        let id = peer.next_call().await.id;
        peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{id}}}"#));
    }
    for outcome in soon(join_all(calls)).await {
        result(outcome.unwrap());
    }
    assert!(session.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_gives_no_sign_of_life_has_its_session_ended() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
    // As long as it answers pings, it may be as quiet as it likes.
    crate::wire::paused::time_passes(Duration::from_secs(100)).await;
    let sent = spawn_call(&session, "a/b", "{}");
    peer.next_call().await;
    peer.freeze();
    let began = Instant::now();
    assert_eq!(soon(session.ended()).await, Ended::Silent(Duration::from_secs(15)));
    assert!((5..=15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(matches!(soon(sent).await.unwrap(), Outcome::Lost(Ended::Silent(_))));
}

#[tokio::test]
async fn a_peer_that_breaks_a_rule_while_much_waits_for_it_is_told_why_all_the_same() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1_024).await;
    // More than its window: a message is cut in the middle.
    let big = format!("\"{}\"", "x".repeat(50_000));
    let _calls: Vec<_> = (0..4).map(|_| spawn_call(&session, "a/b", &big)).collect();
    let_others_run().await;
    peer.say("no message");
    assert!(peer.farewell().await.starts_with("a message is no JSON-RPC 2.0"));
    assert!(matches!(soon(session.ended()).await, Ended::Violation(_)));
}

#[tokio::test]
async fn notifications_of_a_later_version_are_passed_over() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 2).await;
    peer.say(br#"{"jsonrpc":"2.0","method":"$/later","params":{"id":"x"}}"#);
    peer.say(br#"{"jsonrpc":"2.0","method":"$/cancel","params":{"id":77}}"#);
    peer.say(br#"{"jsonrpc":"2.0","method":"$/credit","params":{"id":77,"n":3}}"#);
    peer.say(br#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[3]}"#);
    assert!(matches!(peer.next().await, Some(Message::Answer { id: 1, answer: Answer::Result(json) }) if json == "[3]"));
    assert!(session.is_open());
}
