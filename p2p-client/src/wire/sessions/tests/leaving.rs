//! How sessions leave the pool.

use super::*;

#[tokio::test]
async fn a_session_that_is_over_is_forgotten_and_the_next_call_opens_another() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    let first = open(&pool, "a").await;
    peers.end_of("a").cut(Ended::Broken("a test".to_owned()));
    soon(first.ended()).await;
    let_others_run().await;
    assert!(pool.there(&node("a")).is_none());
    let second = open(&pool, "a").await;
    assert!(!second.is(&first) && echoes(&second).await);
    // To forget the old one again does the new one no harm.
    pool.forget(&first);
    assert!(pool.there(&node("a")).is_some());
    pool.forget(&second);
    assert!(pool.there(&node("a")).is_none());
}

#[tokio::test]
async fn a_session_that_its_peer_leaves_is_found_no_more_while_its_calls_go_on() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    let first = open(&pool, "a").await;
    let running = waiting(&first);
    Service::reached(&peers.there.begun, 1).await;
    peers.end_of("a").leave("it restarts");
    soon(first.leaves()).await;
    let_others_run().await;
    let second = open(&pool, "a").await;
    assert!(!second.is(&first) && echoes(&second).await);
    peers.there.open.send_replace(true);
    assert_eq!(result(soon(running).await.unwrap()), "1");
    soon(first.ended()).await;
    assert!(pool.there(&node("a")).is_some());
}

#[tokio::test]
async fn a_session_that_a_peer_has_opened_is_called_by_and_does_not_replace_another() {
    let peers = Peers::new();
    let (mine, theirs) = (peers.pool(SessionsConfig::default()), peers.pool(SessionsConfig::default()));
    open(&mine, "worker-2").await;
    // The far end, whose peer is called worker-2 by the tests' server.
    let incoming = peers.end_of("worker-2");
    theirs.adopt(&incoming);
    assert!(open(&theirs, "worker-2").await.is(&incoming));
    assert_eq!(peers.dials(), 1);
    assert!(echoes(&incoming).await);
    // There is one already.
    open(&mine, "again").await;
    theirs.adopt(&peers.end_of("again"));
    assert!(open(&theirs, "worker-2").await.is(&incoming));
    soon(theirs.close(Duration::ZERO)).await;
    assert!(incoming.is_over() && peers.end_of("again").is_over(), "both are told when the node goes");
    open(&mine, "late").await;
    theirs.adopt(&peers.end_of("late"));
    soon(peers.end_of("late").ended()).await;
    assert!(theirs.connected().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_back_by_itself_ends_the_wait_for_it() {
    let peers = Peers::new();
    let (mine, theirs) = (peers.pool(SessionsConfig::default()), peers.pool(SessionsConfig::default()));
    peers.are(Manner::NobodyListens);
    soon(theirs.way(&peer("worker-2"))).await.unwrap_err();
    peers.are(Manner::Takes);
    open(&mine, "a").await;
    theirs.adopt(&peers.end_of("a"));
    assert!(open(&theirs, "worker-2").await.is(&peers.end_of("a")));
}

#[tokio::test]
async fn cutting_ends_the_sessions_of_a_peer_at_once_and_of_no_other() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    let (a, b) = (open(&pool, "a").await, open(&pool, "b").await);
    let running = waiting(&a);
    Service::reached(&peers.there.begun, 1).await;
    pool.cut(&node("a"), "it is dead");
    assert!(matches!(soon(running).await.unwrap(), Outcome::Lost(Ended::Closed(why)) if why == "it is dead"));
    Service::reached(&peers.there.dropped, 1).await;
    assert_eq!(pool.connected(), [node("b")]);
    assert!(echoes(&b).await);
}

/// An attempt to open a session, which goes no further until the gate has a permit for it.
async fn stuck_attempt(peers: &Arc<Peers>) -> (Sessions, tokio::task::JoinHandle<Result<(Way, bool), NoWay>>) {
    peers.gate.forget_permits(1_000);
    let pool = peers.pool(SessionsConfig::default());
    let attempt = tokio::spawn({
        let pool = pool.clone();
        async move { pool.way(&peer("a")).await }
    });
    let_others_run().await;
    (pool, attempt)
}

#[tokio::test]
async fn cutting_ends_an_attempt_as_well() {
    let peers = Peers::new();
    let (pool, attempt) = stuck_attempt(&peers).await;
    pool.cut(&node("a"), "its certificate was revoked");
    peers.gate.add_permits(1);
    let outcome = soon(attempt).await.unwrap();
    assert!(matches!(&outcome, Err(NoWay::Cut)), "{outcome:?}");
    assert!(pool.connected().is_empty());
    let_others_run().await;
    assert!(pool.inner.table().living.is_empty());
}

#[tokio::test]
async fn retiring_waits_for_the_calls_of_peers_and_keeps_the_way_out_open() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    let out = open(&pool, "a").await;
    let far = peers.end_of("a");
    let running = waiting(&far);
    Service::reached(&peers.here.begun, 1).await;
    let retired = tokio::spawn({
        let pool = pool.clone();
        async move { pool.retire(Duration::from_mins(1)).await }
    });
    soon(far.leaves()).await;
    assert!(matches!(far.call(&call("echo", "1"), in_time()).await, Outcome::NotSent(Ended::Left(_))));
    assert!(!retired.is_finished());
    assert!(echoes(&out).await, "what still runs may need to call");
    peers.here.open.send_replace(true);
    assert_eq!(result(soon(running).await.unwrap()), "1");
    assert_eq!(soon(retired).await.unwrap(), 0);
    assert!(echoes(&open(&pool, "a").await).await);
}

#[tokio::test(start_paused = true)]
async fn retiring_cuts_what_runs_for_too_long_and_counts_it() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    for name in ["a", "b", "c"] {
        open(&pool, name).await;
    }
    let running: Vec<_> = ["a", "b"].iter().map(|name| waiting(&peers.end_of(name))).collect();
    Service::reached(&peers.here.begun, 2).await;
    let began = Instant::now();
    assert_eq!(soon(pool.retire(Duration::from_secs(3))).await, 2);
    assert_eq!(began.elapsed().as_secs(), 3);
    for outcome in soon(join_all(running)).await {
        assert!(matches!(outcome.unwrap(), Outcome::Lost(_)));
    }
    Service::reached(&peers.here.dropped, 2).await;
}

#[tokio::test(start_paused = true)]
async fn closing_ends_all_sessions_and_opens_no_others() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    let (a, b) = (open(&pool, "a").await, open(&pool, "b").await);
    let running = waiting(&a);
    Service::reached(&peers.there.begun, 1).await;
    let began = Instant::now();
    soon(pool.close(Duration::from_secs(3))).await;
    assert_eq!(began.elapsed().as_secs(), 3, "a call still ran");
    assert!(a.is_over() && b.is_over());
    assert!(matches!(soon(running).await.unwrap(), Outcome::Lost(Ended::Closed(why)) if why == "the node has stopped"));
    assert!(matches!(soon(pool.way(&peer("c"))).await, Err(NoWay::Cut)));
    assert_eq!(NoWay::Cut.to_string(), "the connection was closing; try again");
    let_others_run().await;
    assert!(pool.inner.table().living.is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_takes_no_longer_than_what_runs() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    open(&pool, "a").await;
    let began = Instant::now();
    soon(pool.close(Duration::from_mins(1))).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_attempt_that_ends_after_the_pool_was_closed_leaves_nothing_open() {
    let peers = Peers::new();
    let (pool, attempt) = stuck_attempt(&peers).await;
    soon(pool.close(Duration::ZERO)).await;
    peers.gate.add_permits(1);
    let _way = soon(attempt).await.unwrap();
    while !peers.theirs.lock().unwrap().contains_key(&node("a")) {
        tokio::task::yield_now().await;
    }
    soon(peers.end_of("a").ended()).await;
    assert!(pool.connected().is_empty());
}

#[tokio::test]
async fn a_large_result_is_given_to_the_peer_that_asked_for_it_and_to_no_other() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    open(&pool, "a").await;
    open(&pool, "b").await;
    let outcome = soon(peers.end_of("a").call(&call("large", "100000"), in_time())).await;
    let Outcome::Answered(Answer::Body { ticket, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(pool.fetch(&node("b"), ticket), None);
    assert_eq!(pool.fetch(&node("a"), ticket).unwrap().len(), 100_000);
    assert_eq!(pool.fetch(&node("a"), ticket), None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_costs_its_own_calls_only_and_is_tried_anew() {
    let peers = Peers::new();
    let pool = peers.pool(SessionsConfig::default());
    let well = open(&pool, "well").await;
    peers.are(Manner::NeverReads);
    let deaf = open(&pool, "deaf").await;
    let big = format!("\"{}\"", "x".repeat(60_000));
    // More than its window and what may wait: all but a few wait at their callers.
    let stuck: Vec<_> = (0..200)
        .map(|_| {
            let (deaf, big) = (deaf.clone(), big.clone());
            tokio::spawn(async move { deaf.call(&call("echo", &big), in_time()).await })
        })
        .collect();
    for second in 1..30 {
        crate::wire::paused::time_passes(Duration::from_secs(1)).await;
        assert!(pool.there(&node("well")).is_some() && echoes(&well).await, "after {second} s");
        assert!(stuck.iter().all(|call| !call.is_finished()), "after {second} s");
    }
    assert_eq!(soon(deaf.ended()).await, Ended::NotReading(Duration::from_secs(30)));
    for outcome in soon(join_all(stuck)).await {
        assert!(matches!(outcome.unwrap(), Outcome::Lost(Ended::NotReading(_)) | Outcome::NotSent(Ended::NotReading(_))));
    }
    assert!(!well.is_over() && echoes(&well).await);
    peers.are(Manner::Takes);
    assert!(echoes(&open(&pool, "deaf").await).await);
}
