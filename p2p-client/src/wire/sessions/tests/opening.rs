//! Attempts, and the waits between them.

use super::*;

#[tokio::test]
async fn callers_at_the_same_time_share_one_attempt_and_one_session() {
    let peers = Peers::new();
    peers.gate.forget_permits(1_000);
    let pool = peers.pool(SessionsConfig::default());
    let opener = async {
        let_others_run().await;
        assert_eq!(peers.dials(), 1);
        peers.gate.add_permits(1_000);
    };
    let asked = peer("a");
    let (ways, ()) = tokio::join!(join_all((0..50).map(|_| pool.way(&asked))), opener);
    let sessions: Vec<_> = ways.into_iter().map(session).collect();
    assert!(sessions.iter().all(|session| session.is(&sessions[0])));
    assert_eq!(peers.dials(), 1);
    assert!(echoes(&sessions[0]).await);
}

#[tokio::test]
async fn a_session_is_kept_and_found_again_without_waiting() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    assert!(pool.there(&node("a")).is_none());
    let (way, is_fresh) = soon(pool.way(&peer("a"))).await.unwrap();
    let Way::Session(first) = way else { panic!("no session") };
    assert!(is_fresh);
    assert!(matches!(pool.there(&node("a")), Some(Way::Session(session)) if session.is(&first)));
    let (way, is_fresh) = soon(pool.way(&peer("a"))).await.unwrap();
    assert!(matches!(way, Way::Session(session) if session.is(&first)) && !is_fresh);
    assert_eq!(pool.connected(), [node("a")]);
    assert!(!open(&pool, "b").await.is(&first));
    assert_eq!(peers.dials(), 2);
}

#[tokio::test]
async fn giving_up_does_not_end_the_attempt_that_others_wait_for() {
    let peers = Peers::new();
    peers.gate.forget_permits(1_000);
    let pool = peers.pool(SessionsConfig::default());
    let impatient = tokio::spawn({
        let pool = pool.clone();
        async move { pool.way(&peer("a")).await }
    });
    let_others_run().await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    peers.gate.add_permits(1);
    open(&pool, "a").await;
    assert_eq!(peers.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_failed_attempt_makes_the_next_wait_longer_and_the_error_says_so() {
    let peers = Peers::new();
    peers.are(Manner::NobodyListens);
    let pool = peers.pool(SessionsConfig { first_back_off: Duration::from_secs(1), ..SessionsConfig::default() });
    for attempt in 1..=6_u32 {
        let error = soon(pool.way(&peer("a"))).await.unwrap_err();
        assert_eq!(error.to_string(), "nobody listens at a:8001; check that the node runs and that this is its address");
        assert_eq!(peers.dials(), attempt as usize);
        let error = soon(pool.way(&peer("a"))).await.unwrap_err();
        let text = error.to_string();
        let NoWay::BackingOff { attempts, left, .. } = error else { panic!("{text}") };
        assert_eq!(attempts, attempt);
        let begun = format!("{attempt} attempts have failed, and the next one is in {} ms", left.as_millis());
        assert!(text.starts_with(&begun) && text.contains("nobody listens at a:8001"), "{text}");
        let usual = Duration::from_secs(1 << (attempt - 1)).min(Duration::from_secs(5));
        assert!(left >= usual / 2 && left <= usual * 3 / 2, "{left:?} after {attempt} attempts");
        assert_eq!(peers.dials(), attempt as usize, "nothing was tried meanwhile");
        crate::wire::paused::time_passes(left).await;
    }
    // It is only this peer that is waited for; and one that comes back begins anew.
    peers.are(Manner::Takes);
    open(&pool, "b").await;
    let back = open(&pool, "a").await;
    back.cut(Ended::Closed("a test".to_owned()));
    soon(back.ended()).await;
    let_others_run().await;
    peers.are(Manner::NobodyListens);
    soon(pool.way(&peer("a"))).await.unwrap_err();
    assert!(matches!(pool.way(&peer("a")).await, Err(NoWay::BackingOff { attempts: 1, .. })));
}

#[tokio::test(start_paused = true)]
async fn waits_differ_by_chance() {
    let peers = Peers::new();
    peers.are(Manner::NobodyListens);
    let pool = peers.pool(SessionsConfig { first_back_off: Duration::from_secs(1), ..SessionsConfig::default() });
    let mut waits = Vec::new();
    for number in 0..40 {
        let name = format!("a-{number}");
        soon(pool.way(&peer(&name))).await.unwrap_err();
        let Err(NoWay::BackingOff { left, .. }) = pool.way(&peer(&name)).await else { panic!("no wait") };
        waits.push(left);
    }
    waits.sort_unstable();
    waits.dedup();
    // Forty of 256 possible ones: fewer than ten different ones do not happen by chance.
    assert!(waits.len() >= 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_is_waited_for() {
    let peers = Peers::new();
    peers.are(Manner::NobodyListens);
    let pool = peers.pool(SessionsConfig { first_back_off: Duration::from_millis(100), ..SessionsConfig::default() });
    soon(pool.way(&peer("a"))).await.unwrap_err();
    peers.are(Manner::Takes);
    let began = Instant::now();
    open(&pool, "a").await;
    assert!((50..=151).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(peers.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_fails_the_attempt_in_time() {
    let peers = Peers::new();
    peers.are(Manner::SaysNothing);
    let pool = peers.pool(SessionsConfig::default());
    let began = Instant::now();
    let error = soon(pool.way(&peer("a"))).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(error.to_string(), "a:8001 did not answer within 5000 ms; check the network between here and there");
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_sessions_is_called_plainly_and_asked_again_later() {
    for status in [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::UPGRADE_REQUIRED] {
        let peers = Peers::new();
        peers.are(Manner::Answers(status));
        let pool = peers.pool(SessionsConfig::default());
        assert!(matches!(soon(pool.way(&peer("a"))).await, Ok((Way::Plain, true))));
        assert!(matches!(pool.there(&node("a")), Some(Way::Plain)));
        assert!(matches!(soon(pool.way(&peer("a"))).await, Ok((Way::Plain, false))));
        assert_eq!(peers.dials(), 1);
        assert!(pool.connected().is_empty());
        // It is upgraded.
        peers.are(Manner::Takes);
        crate::wire::paused::time_passes(Duration::from_secs(59)).await;
        assert!(matches!(pool.there(&node("a")), Some(Way::Plain)));
        crate::wire::paused::time_passes(Duration::from_secs(2)).await;
        assert!(pool.there(&node("a")).is_none());
        assert!(echoes(&open(&pool, "a").await).await);
    }
}

#[tokio::test]
async fn a_peer_that_refuses_the_session_is_quoted() {
    for (status, said) in [
        (StatusCode::SERVICE_UNAVAILABLE, "the node is starting or stopping"),
        (StatusCode::CONFLICT, "the peer refused the session (409 Conflict): a test"),
        (StatusCode::FORBIDDEN, "the peer refused the session (403 Forbidden): a test"),
        (StatusCode::OK, "the peer speaks no session protocol"),
    ] {
        let peers = Peers::new();
        peers.are(Manner::Answers(status));
        match soon(peers.pool(SessionsConfig::default()).way(&peer("a"))).await {
            Err(error) => assert_eq!(error.to_string(), said),
            // An answer without a version is one of somebody who knows no sessions.
            Ok((way, _)) => assert!(matches!(way, Way::Plain) && status == StatusCode::OK, "{status}: {way:?}"),
        }
    }
}

#[tokio::test]
async fn a_peer_with_a_new_address_is_tried_there_at_once() {
    let peers = Peers::new();
    peers.gate.forget_permits(1_000);
    let pool = peers.pool(SessionsConfig::default());
    let old = tokio::spawn({
        let pool = pool.clone();
        async move { pool.way(&peer("a")).await }
    });
    let_others_run().await;
    let moved = PeerRef { authority: "elsewhere:8001".into(), ..peer("a") };
    let new = tokio::spawn({
        let (pool, moved) = (pool.clone(), moved.clone());
        async move { pool.way(&moved).await }
    });
    let_others_run().await;
    assert_eq!(*peers.dials.lock().unwrap(), ["a:8001", "elsewhere:8001"]);
    peers.gate.add_permits(2);
    let (old, new) = (session(soon(old).await.unwrap()), session(soon(new).await.unwrap()));
    assert!(old.is(&new), "who waited for the old address gets what came of the new one");
    assert!(echoes(&new).await);
    assert!(open(&pool, "a").await.is(&new));
    assert_eq!(pool.inner.table().living[&node("a")].len(), 1, "the other attempt has ended");
}

#[tokio::test]
async fn a_session_that_was_opened_while_its_attempt_was_cut_is_not_kept() {
    let peers = Peers::new();
    peers.gate.forget_permits(1_000);
    let pool = peers.pool(SessionsConfig::default());
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.way(&peer("a")).await }
    });
    let_others_run().await;
    pool.cut(&node("a"), "its certificate was revoked");
    assert!(matches!(soon(waiting).await.unwrap(), Err(NoWay::Cut)));
    // Its task was at the very end on another thread, where nothing aborts it.
    let opened = Pair::new().await.client;
    let (report, _outcome) = watch::channel(None);
    pool.inner.settle(&node("a"), &report, &Ok(Way::Session(opened.clone())));
    assert!(pool.there(&node("a")).is_none() && pool.inner.table().living.is_empty());
    assert!(matches!(soon(opened.ended()).await, Ended::Closed(why) if why == "nobody waits for this session any more"));
}

#[tokio::test]
async fn the_least_recently_used_session_makes_room_in_good_order() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig { max_peers: 2, ..SessionsConfig::default() });
    let (a, b) = (open(&pool, "a").await, open(&pool, "b").await);
    let running = waiting(&b);
    Service::reached(&peers.there.begun, 1).await;
    pool.there(&node("a"));
    let c = open(&pool, "c").await;
    let mut connected = pool.connected();
    connected.sort();
    assert_eq!(connected, [node("a"), node("c")]);
    assert!(!b.is_over(), "a call still runs on it");
    peers.there.open.send_replace(true);
    assert_eq!(result(soon(running).await.unwrap()), "1");
    let ended = soon(peers.end_of("b").ended()).await.to_string();
    assert!(ended.contains("there are too many sessions, and this one was not used for longest"), "{ended}");
    assert!(echoes(&a).await && echoes(&c).await);
    // It may come back, and then another one goes.
    open(&pool, "b").await;
    assert_eq!(pool.connected().len(), 2);
}
