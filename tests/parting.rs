//! How sessions end: in good order, unused, with their certificate, with their connection.

use std::time::SystemTime;

use super::*;

#[tokio::test]
async fn who_leaves_finishes_what_runs_and_then_both_ends_are_done() {
    let pair = Pair::new().await;
    let running = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    pair.server.leave("the node is stopping");
    soon(pair.client.leaves()).await;
    assert!(!pair.client.is_open() && !pair.server.is_open() && !pair.server.is_served());
    let refused = pair.client.call(&call("echo", "2"), in_time()).await;
    assert!(matches!(&refused, Outcome::NotSent(Ended::Left(why)) if why == "the node is stopping"), "{refused:?}");
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(running).await.unwrap()), "1");
    soon(pair.server.served()).await;
    assert!(matches!(soon(pair.client.ended()).await, Ended::Left(why) if why == "the node is stopping"));
    assert!(matches!(soon(pair.server.ended()).await, Ended::Left(why) if why == "there is nothing left to do"));
}

#[tokio::test]
async fn who_leaves_may_still_call_until_its_own_calls_are_done() {
    let pair = Pair::new().await;
    let running = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    pair.server.leave("a test");
    assert_eq!(result(soon(pair.server.call(&call("echo", "2"), in_time())).await), "2");
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(running).await.unwrap()), "1");
    soon(pair.server.ended()).await;
}

#[tokio::test]
async fn calls_that_cross_a_farewell_were_not_sent() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 10).await;
    let calls: Vec<_> = (0..3).map(|_| spawn_call(&session, "a/b", "{}")).collect();
    let first = peer.next_call().await.id;
    peer.next_call().await;
    peer.next_call().await;
    peer.say(br#"{"jsonrpc":"2.0","method":"$/goaway","params":{"taken":1,"reason":"it restarts"}}"#);
    peer.say(format!(r#"{{"jsonrpc":"2.0","id":{first},"result":1}}"#));
    let outcomes: Vec<_> = soon(join_all(calls)).await.into_iter().map(Result::unwrap).collect();
    assert!(matches!(outcomes[0], Outcome::Answered(_)), "{outcomes:?}");
    for outcome in &outcomes[1..] {
        assert!(matches!(outcome, Outcome::NotSent(Ended::Left(why)) if why == "it restarts"), "{outcome:?}");
    }
    // It follows, as nothing is left to do.
    assert_eq!(peer.farewell().await, "there is nothing left to do");
    assert!(matches!(soon(session.ended()).await, Ended::Left(_)));
}

#[tokio::test]
async fn a_connection_that_breaks_loses_what_was_sent() {
    let pair = Pair::new().await;
    let running = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    pair.server.cut(Ended::Broken("a test".to_owned()));
    let outcome = soon(running).await.unwrap();
    assert!(matches!(&outcome, Outcome::Lost(Ended::Broken(_))), "{outcome:?}");
    Service::reached(&pair.at_server.dropped, 1).await;
    assert!(pair.client.is_over());
    let refused = pair.client.call(&call("echo", "2"), in_time()).await;
    assert!(matches!(&refused, Outcome::NotSent(Ended::Broken(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_uses_is_closed_and_one_that_is_used_is_kept() {
    let pair = Pair::new().await;
    let began = Instant::now();
    for _ in 0..4 {
        crate::wire::paused::time_passes(Duration::from_mins(4)).await;
        assert!(pair.works().await, "it was used within five minutes");
    }
    // A call that takes long is use as well.
    let running = spawn_call(&pair.client, "wait", "1");
    crate::wire::paused::time_passes(Duration::from_mins(30)).await;
    assert!(pair.client.is_open());
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(running).await.unwrap()), "1");
    let ended = soon(pair.server.ended()).await;
    assert!(matches!(&ended, Ended::Left(why) if why == "it was not used"), "{ended}");
    let after = began.elapsed().saturating_sub(Duration::from_mins(46));
    assert!((5..=10).contains(&(after.as_secs() / 60)), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_the_certificate_does() {
    let expires = SystemTime::now() + Duration::from_secs(90);
    let pair = Pair::until(SessionLimits::default(), Some(expires)).await;
    let began = Instant::now();
    assert!(pair.works().await);
    let running = spawn_call(&pair.client, "wait", "1");
    assert_eq!(soon(pair.client.ended()).await, Ended::CertificateExpired);
    assert!((85..=91).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(matches!(soon(running).await.unwrap(), Outcome::Lost(Ended::CertificateExpired)));
    soon(pair.server.ended()).await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_serves_for_no_session() {
    let expires = SystemTime::now() - Duration::from_secs(1);
    let pair = Pair::until(SessionLimits::default(), Some(expires)).await;
    assert_eq!(soon(pair.client.ended()).await, Ended::CertificateExpired);
    let refused = pair.client.call(&call("echo", "2"), in_time()).await;
    assert!(matches!(&refused, Outcome::NotSent(Ended::CertificateExpired)), "{refused:?}");
}

#[tokio::test]
async fn calls_that_are_cut_off_within_a_batch_say_which_were_not_sent() {
    let (session, _service, peer) = RawPeer::new(SessionLimits::default(), 10).await;
    let first = spawn_call(&session, "a/b", "{}");
    let_others_run().await;
    // Handed over, and cut before the driver has its turn.
    let plain = call("a/b", "{}");
    let second = session.call(&plain, in_time());
    let mut second = std::pin::pin!(second);
    assert!(futures::poll!(&mut second).is_pending());
    session.cut(Ended::Closed("a test".to_owned()));
    assert!(matches!(soon(first).await.unwrap(), Outcome::Lost(_)));
    assert!(matches!(soon(second).await, Outcome::NotSent(_)));
    drop(peer);
}
