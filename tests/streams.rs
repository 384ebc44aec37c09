//! Streams of items.

use super::*;

async fn open<'a>(session: &Session, method: &'a str, params: &'a str, credit: u32) -> ItemStream {
    session.open(&Outgoing { credit: Some(credit), ..call(method, params) }, in_time()).await.unwrap()
}

#[tokio::test]
async fn all_items_come_in_their_order_whatever_the_credit() {
    let pair = Pair::new().await;
    for credit in [1, 2, 3, 64, u32::MAX] {
        for session in [&pair.client, &pair.server] {
            let mut items = open(session, "count", "200", credit).await;
            for expected in 0..200 {
                assert_eq!(soon(items.next()).await.unwrap().unwrap(), expected.to_string(), "credit {credit}");
            }
            assert!(soon(items.next()).await.is_none());
            assert!(items.next().await.is_none());
        }
    }
    assert!(pair.works().await);
}

#[tokio::test]
async fn a_sender_waits_until_its_items_are_taken() {
    let pair = Pair::new().await;
    let mut items = open(&pair.client, "count", "100", 10).await;
    let sent = || pair.at_server.items.load(Relaxed);
    assert_eq!(soon(items.next()).await.unwrap().unwrap(), "0");
    let_others_run().await;
    assert_eq!(sent(), 10);
    for _ in 1..5 {
        items.next().await.unwrap().unwrap();
    }
    while sent() < 15 {
        tokio::task::yield_now().await;
    }
    let_others_run().await;
    assert_eq!(sent(), 15, "five were taken, and five more may be sent");
    // Calls beside it are not held up.
    assert!(pair.works().await);
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_its_sender() {
    let pair = Pair::new().await;
    let mut items = open(&pair.client, "count", "1000000", 10).await;
    soon(items.next()).await.unwrap().unwrap();
    drop(items);
    Service::reached(&pair.at_server.dropped, 1).await;
    assert!(pair.at_server.items.load(Relaxed) <= 20);
    assert!(pair.works().await);
    assert!(pair.client.is_quiet());
}

#[tokio::test]
async fn an_error_at_the_end_comes_after_all_items() {
    let pair = Pair::new().await;
    let items: Vec<_> = soon(open(&pair.client, "count_and_fail", "3", 2).await.collect::<Vec<_>>()).await;
    let (last, items) = items.split_last().unwrap();
    assert_eq!(items.iter().map(|item| item.as_ref().unwrap()).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(refusal(last.clone().unwrap_err()).message, "it failed in the end");
}

#[tokio::test]
async fn a_method_that_refuses_a_stream_at_once_says_so() {
    let pair = Pair::new().await;
    let mut items = open(&pair.client, "refuse", "null", 2).await;
    assert_eq!(refusal(soon(items.next()).await.unwrap().unwrap_err()).message, "not today");
    assert!(items.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_stream_holds_until_it_is_open() {
    let pair = Pair::new().await;
    let deadline = Instant::now() + Duration::from_secs(2);
    let counting = Outgoing { credit: Some(2), ..call("wait", "1") };
    let mut items = pair.client.open(&counting, deadline).await.unwrap();
    assert!(matches!(soon(items.next()).await, Some(Err(Outcome::Deadline))));
    assert!(items.next().await.is_none());
    Service::reached(&pair.at_server.dropped, 1).await;
}

#[tokio::test]
async fn a_stream_whose_session_ends_says_so_after_what_has_come() {
    let pair = Pair::new().await;
    let mut items = open(&pair.client, "count", "100", 3).await;
    soon(items.next()).await.unwrap().unwrap();
    let_others_run().await;
    pair.client.cut(Ended::Closed("a test".to_owned()));
    let rest: Vec<_> = soon(items.collect::<Vec<_>>()).await;
    assert!(matches!(rest.last(), Some(Err(Outcome::Lost(Ended::Closed(_))))), "{rest:?}");
    assert!(rest[..rest.len() - 1].iter().all(Result::is_ok));
    Service::reached(&pair.at_server.dropped, 1).await;
}

#[tokio::test]
async fn streams_and_calls_share_a_session() {
    let pair = Pair::new().await;
    let streams = join_all((1..=20).map(|number: u32| {
        let client = pair.client.clone();
        async move { open(&client, "count", "50", number).await.count().await }
    }));
    let later = call("later", "1");
    let calls = join_all((0..100).map(|_| pair.client.call(&later, in_time())));
    let (counts, outcomes) = soon(futures::future::join(streams, calls)).await;
    assert_eq!(counts, [50; 20]);
    assert!(outcomes.into_iter().all(|outcome| result(outcome) == "1"));
}

#[tokio::test]
async fn an_item_that_the_other_end_would_not_take_is_an_error_of_its_sender() {
    let pair = Pair::new().await;
    let mut items = open(&pair.client, "items_of", &format!("[{MAX_INLINE}]"), 2).await;
    assert_eq!(soon(items.next()).await.unwrap().unwrap().len(), MAX_INLINE);
    assert!(items.next().await.is_none());
    let size = MAX_INLINE + 1;
    let mut items = open(&pair.client, "items_of", &format!("[{size}]"), 2).await;
    let error = refusal(soon(items.next()).await.unwrap().unwrap_err());
    assert_eq!(error.message, format!("an item of {size} bytes, where 65536 are taken; send it in parts"));
    assert!(pair.works().await);
}

#[tokio::test(start_paused = true)]
async fn credit_that_comes_together_with_its_call_counts() {
    let (_session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1).await;
    let mut together = bytes::BytesMut::new();
    Outgoing { credit: Some(1), ..call("count", "3") }.write(1, &mut together);
    crate::wire::session::message::write_credit(1, 2, &mut together);
    peer.send(together);
    for expected in ["0", "1", "2"] {
        assert!(matches!(peer.next().await, Some(Message::Item { id: 1, item }) if item == expected));
    }
}

#[tokio::test(start_paused = true)]
async fn credit_counts_for_a_stream_that_waits_to_be_begun() {
    let limits = SessionLimits { max_waiting: 50_000, ..SessionLimits::default() };
    let (session, _service, mut peer) = RawPeer::new(limits, 1).await;
    // More than the window, and as much again: what comes after it has to wait.
    for id in 1..=4 {
        peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"large","params":[60000]}}"#));
        let_others_run().await;
    }
    assert!(session.shared.machine().is_congested());
    peer.say(br#"{"jsonrpc":"2.0","id":5,"method":"count","credit":1,"params":3}"#);
    peer.say(br#"{"jsonrpc":"2.0","method":"$/credit","params":{"id":5,"n":2}}"#);
    let_others_run().await;
    for _ in 1..=4 {
        assert!(matches!(peer.next().await, Some(Message::Answer { .. })));
    }
    for expected in ["0", "1", "2"] {
        assert!(matches!(peer.next().await, Some(Message::Item { id: 5, item }) if item == expected));
    }
}
