//! Calls and their answers.

use std::{
    pin::Pin,
    sync::atomic::AtomicUsize,
    task::{Context, Wake, Waker},
};

use super::*;

#[tokio::test]
async fn both_ends_call_each_other() {
    let pair = Pair::new().await;
    for session in [&pair.client, &pair.server] {
        for method in ["echo", "later"] {
            assert_eq!(result(session.call(&call(method, r#"{"a":1}"#), in_time()).await), r#"{"a":1}"#);
        }
        let error = refusal(session.call(&call("refuse", "null"), in_time()).await);
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::SERVICE, "not today"));
    }
    assert_eq!(pair.client.peer().as_str(), "worker-1");
    assert_eq!(pair.server.peer().as_str(), "worker-2");
}

#[tokio::test]
async fn answers_come_in_the_order_in_which_they_are_ready() {
    let pair = Pair::new().await;
    let first = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    for number in ["2", "3"] {
        assert_eq!(result(soon(pair.client.call(&call("later", number), in_time())).await), number);
    }
    assert!(!first.is_finished());
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(first).await.unwrap()), "1");
}

#[tokio::test]
async fn a_thousand_calls_at_a_time_each_get_their_own_answer() {
    let pair = Pair::new().await;
    let calls = (0..3_000).map(|number: u32| {
        let session = if number.is_multiple_of(3) { &pair.server } else { &pair.client };
        let method = if number.is_multiple_of(2) { "echo" } else { "later" };
        async move { (number, result(session.call(&call(method, &number.to_string()), in_time()).await)) }
    });
    for (number, answer) in soon(join_all(calls)).await {
        assert_eq!(answer, number.to_string());
    }
    assert!(pair.client.is_quiet());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_from_many_threads_get_their_own_answers() {
    let pair = Arc::new(Pair::new().await);
    let tasks = (0..8_u32).map(|task| {
        let pair = pair.clone();
        tokio::spawn(async move {
            let session = if task.is_multiple_of(2) { &pair.client } else { &pair.server };
            for number in 0..250 {
                let number = (task * 1_000 + number).to_string();
                assert_eq!(result(session.call(&call("later", &number), in_time()).await), number);
            }
        })
    });
    for task in soon(join_all(tasks)).await {
        task.unwrap();
    }
}

#[tokio::test]
async fn calls_that_are_made_together_travel_together() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1_024).await;
    let plain = call("a/b", "{}");
    let calls = join_all((0..200).map(|_| session.call(&plain, in_time())));
    let answer = async {
        let mut ids = Vec::new();
        for _ in 0..200 {
            ids.push(peer.next_call().await.id);
        }
        assert!(peer.frames <= 4, "200 calls came in {} frames", peer.frames);
        // Answers in another order than that of the calls.
        for id in ids.iter().rev() {
            peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{id}}}"#));
        }
        ids
    };
    let (outcomes, ids) = tokio::join!(calls, answer);
    for (outcome, id) in outcomes.into_iter().zip(ids) {
        assert_eq!(result(outcome), id.to_string());
    }
}

/// Counts how often a driver asks for another turn.
#[derive(Default)]
struct Turns(AtomicUsize);

impl Wake for Turns {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn on_a_runtime_of_several_threads_callers_have_a_turn_to_add_their_calls_before_any_is_sent() {
    let (session, mut driver, mut peer) = RawPeer::by_hand(1_024).await;
    let turns = Arc::new(Turns::default());
    let waker = turns.clone().into();
    let turn = |driver: &mut Driver| driver.poll(&mut Context::from_waker(&waker)).unwrap();
    let plain = call("a/b", "{}");
    let start = || session.clone().start(&plain, in_time(), None).unwrap();
    assert_eq!(turn(&mut driver), Turn::Idle, "there is nothing to do");

    let mut under_way = vec![start(), start()];
    let before = turns.0.load(Relaxed);
    assert_eq!(turn(&mut driver), Turn::Idle, "others may add theirs first");
    assert!(turns.0.load(Relaxed) > before, "and then it comes again");
    under_way.extend((0..10).map(|_| start()));
    assert_eq!(turn(&mut driver), Turn::Sent);
    for _ in &under_way {
        peer.next_call().await;
    }
    assert_eq!(peer.frames, 1, "{} calls", under_way.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn on_a_runtime_of_several_threads_the_next_calls_of_callers_answered_together_go_in_two_halves() {
    const CALLERS: usize = 64;
    let (session, mut driver, mut peer) = RawPeer::by_hand(1_024).await;
    let in_flight = || session.shared.machine().in_flight() as usize;
    let turn = |driver: &mut Driver| driver.poll(&mut Context::from_waker(Waker::noop())).unwrap();
    let plain = call("a/b", "{}");
    let start = |calls: usize| (0..calls).map(|_| session.clone().start(&plain, in_time(), None).unwrap()).collect::<Vec<_>>();

    let _first = start(CALLERS);
    assert_eq!([turn(&mut driver), turn(&mut driver)], [Turn::Idle, Turn::Sent]);
    let mut answers = bytes::BytesMut::new();
    for _ in 0..CALLERS {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, peer.next_call().await.id);
        frame::write_frame(&mut answers, |out| out.extend_from_slice(answer.as_bytes()));
    }
    let before = peer.frames;
    peer.send(answers);
    let half_is_there = poll_fn(|cx| {
        assert_eq!(driver.poll(cx).unwrap(), Turn::Idle);
        if in_flight() == CALLERS { Poll::Pending } else { Poll::Ready(()) }
    });
    soon(half_is_there).await;
    assert_eq!(in_flight(), CALLERS / 2, "the others have to wait for the next turn");

    let _of_one_half = start(CALLERS / 2);
    assert_eq!(turn(&mut driver), Turn::Sent, "while the answers to the other half are read");
    assert_eq!(in_flight(), CALLERS / 2);
    let _of_the_other = start(CALLERS / 2);
    assert!((0..2).any(|_| turn(&mut driver) == Turn::Sent));
    for _ in 0..CALLERS {
        peer.next_call().await;
    }
    assert_eq!(peer.frames - before, 2);
}

#[tokio::test]
async fn on_a_runtime_of_one_thread_calls_are_sent_in_the_drivers_first_turn() {
    let (session, mut driver, mut peer) = RawPeer::by_hand(1_024).await;
    let plain = call("a/b", "{}");
    let _under_way = [(); 2].map(|()| session.clone().start(&plain, in_time(), None).unwrap());
    assert_eq!(driver.poll(&mut Context::from_waker(Waker::noop())).unwrap(), Turn::Sent, "nobody could add theirs meanwhile");
    peer.next_call().await;
    peer.next_call().await;
    assert_eq!(peer.frames, 1);
}

/// How many frames it takes is the runtime's to say; here it is two for each round, of which the first has the first call.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_that_tasks_make_at_the_same_time_travel_together_on_a_runtime_of_several_threads() {
    const CALLERS: usize = 64;
    const ROUNDS: usize = 20;
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1_024).await;
    let answering = tokio::spawn(async move {
        for _ in 0..CALLERS * ROUNDS {
            let id = peer.next_call().await.id;
            peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{id}}}"#));
        }
        // Kept until all answers have arrived.
        peer
    });
    let together = Arc::new(Barrier::new(CALLERS + 1));
    let callers = (0..CALLERS).map(|_| {
        let (session, together) = (session.clone(), together.clone());
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                together.wait().await;
                result(session.call(&call("a/b", "{}"), in_time()).await);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let rounds = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            // Each round begins when the one before it is over, and nothing is left to do for the driver.
            let_others_run().await;
            together.wait().await;
        }
    });
    soon(rounds).await.unwrap();
    let peer = soon(answering).await.unwrap();
    for caller in soon(join_all(callers)).await {
        caller.unwrap();
    }
    let (calls, frames) = (CALLERS * ROUNDS, peer.frames);
    assert!(calls / frames >= 8, "{calls} calls came in {frames} frames");
}

#[tokio::test]
async fn callers_that_are_answered_together_make_their_next_calls_in_two_halves() {
    let (session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1_024).await;
    for _ in 0..64 {
        let session = session.clone();
        tokio::spawn(async move {
            for _ in 0..2 {
                result(session.call(&call("a/b", "{}"), in_time()).await);
            }
        });
    }
    let mut answers = bytes::BytesMut::new();
    for _ in 0..64 {
        let id = peer.next_call().await.id;
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#);
        frame::write_frame(&mut answers, |out| out.extend_from_slice(answer.as_bytes()));
    }
    let before = peer.frames;
    peer.send(answers);
    for _ in 0..64 {
        peer.next_call().await;
    }
    // The other end can serve the first half while this one still reads the answers to the second.
    assert_eq!(peer.frames - before, 2);
}

#[tokio::test]
async fn answers_that_are_ready_together_travel_together() {
    let (_session, _service, mut peer) = RawPeer::new(SessionLimits::default(), 1).await;
    let mut calls = bytes::BytesMut::new();
    for id in 1..=200 {
        call("echo", "1").write(id, &mut calls);
    }
    peer.send(calls);
    for _ in 0..200 {
        assert!(matches!(peer.next().await, Some(Message::Answer { answer: Answer::Result(_), .. })));
    }
    assert!(peer.frames <= 4, "200 answers came in {} frames", peer.frames);
}

#[tokio::test]
async fn a_call_that_panics_costs_nobody_but_its_caller() {
    let pair = Pair::new().await;
    let waiting = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    for method in ["panic", "panic_later", "panic_at_once"] {
        let error = refusal(soon(pair.client.call(&call(method, "null"), in_time())).await);
        assert_eq!(error.code, ErrorCode::INTERNAL, "{method}");
        assert_eq!(error.message, "the call failed inside the node; its log tells more");
    }
    pair.at_server.open.send_replace(true);
    assert_eq!(result(soon(waiting).await.unwrap()), "1");
    assert!(pair.works().await && pair.client.is_open());
}

#[tokio::test]
async fn calls_that_end_at_once_need_no_task() {
    let (_session, service, mut peer) = RawPeer::new(SessionLimits::default(), 1).await;
    for id in 1..=3 {
        peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"slow","params":{{}}}}"#));
        peer.next().await.unwrap();
    }
    let tasks = service.tasks.lock().unwrap();
    assert_eq!(tasks.len(), 3);
    assert!(tasks.iter().all(|task| *task == tasks[0]), "all by the session's own task");
}

#[tokio::test]
async fn calls_that_came_with_a_slow_one_do_not_wait_for_each_other() {
    let (_session, service, mut peer) = RawPeer::new(SessionLimits::default(), 1).await;
    let mut calls = bytes::BytesMut::new();
    for id in 1..=8 {
        call("slow", "1").write(id, &mut calls);
    }
    peer.send(calls);
    for _ in 0..8 {
        peer.next().await.unwrap();
    }
    // The first has used up the time that there is for all; the others got tasks of their own.
    let mut tasks = service.tasks.lock().unwrap().clone();
    tasks.sort_unstable_by_key(ToString::to_string);
    tasks.dedup();
    assert_eq!(tasks.len(), 8);
}

#[tokio::test]
async fn nothing_is_kept_of_a_call_that_needed_a_task_when_it_has_ended() {
    let pair = Pair::new().await;
    let running = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    assert_eq!(pair.server.shared.tasks().len(), 1);
    pair.at_server.open.send_replace(true);
    soon(running).await.unwrap();
    assert!(pair.server.shared.tasks().is_empty());
}

#[tokio::test]
async fn a_call_whose_caller_goes_away_is_dropped_at_the_other_end() {
    let pair = Pair::within(SessionLimits { max_calls: 1, ..SessionLimits::default() }).await;
    let caller = spawn_call(&pair.client, "wait", "1");
    Service::reached(&pair.at_server.begun, 1).await;
    caller.abort();
    Service::reached(&pair.at_server.dropped, 1).await;
    // Its place is free again.
    assert!(pair.works().await);
    assert!(pair.client.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_ends_at_both_ends() {
    let pair = Pair::new().await;
    let began = Instant::now();
    let outcome = pair.client.call(&call("wait", "1"), began + Duration::from_secs(2)).await;
    assert!(matches!(outcome, Outcome::Deadline), "{outcome:?}");
    // Timers are exact to a millisecond.
    assert!((2_000..2_010).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    Service::reached(&pair.at_server.dropped, 1).await;
    assert!(pair.works().await);
}

#[tokio::test]
async fn the_time_that_is_left_travels_with_a_call() {
    let pair = Pair::new().await;
    let timed = Outgoing { timeout: Some(Duration::from_millis(4_321)), ..call("timeout", "null") };
    assert_eq!(result(pair.client.call(&timed, in_time()).await), "4321");
}

#[tokio::test]
async fn an_end_that_serves_nobody_says_so() {
    let call = match Message::parse(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"a/b","params":{}}"#)) {
        Ok(Message::Call(call)) => call,
        other => panic!("{other:?}"),
    };
    let error = ServesNobody.serve(call, Instant::now(), None).await.outcome.unwrap_err();
    assert_eq!(error.code, ErrorCode::UNAVAILABLE);
    assert_eq!(error.message, "a/b cannot be called here: this end of the session only calls");
}

#[tokio::test]
async fn calls_that_came_with_a_slow_one_in_frames_of_their_own_do_not_wait_for_each_other() {
    let (_session, service, mut peer) = RawPeer::new(SessionLimits::default(), 1).await;
    for id in 1..=8 {
        peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"slow","params":{{}}}}"#));
    }
    for _ in 0..8 {
        peer.next().await.unwrap();
    }
    let mut tasks = service.tasks.lock().unwrap().clone();
    tasks.sort_unstable_by_key(ToString::to_string);
    tasks.dedup();
    assert_eq!(tasks.len(), 8);
}

#[tokio::test]
async fn the_outcome_of_a_call_that_was_started_wakes_who_polled_it_last() {
    let (session, mut driver, mut peer) = RawPeer::by_hand(1_024).await;
    let plain = call("a/b", "{}");
    for polled_meanwhile in [false, true] {
        let (starts, polls) = (Arc::new(Turns::default()), Arc::new(Turns::default()));
        let mut started = session.clone().start(&plain, in_time(), Some(&starts.clone().into())).unwrap();
        if polled_meanwhile {
            let waker = polls.clone().into();
            assert!(Pin::new(&mut started).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(driver.poll(&mut Context::from_waker(Waker::noop())).unwrap(), Turn::Sent);
        let id = peer.next_call().await.id;
        peer.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":7}}"#));
        let answered = poll_fn(|cx| {
            driver.poll(cx).unwrap();
            if session.shared.machine().in_flight() == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        soon(answered).await;
        let woken = [starts, polls].map(|turns| turns.0.load(Relaxed));
        assert_eq!(woken, if polled_meanwhile { [0, 1] } else { [1, 0] });
        assert_eq!(result(started.await), "7");
    }
}

/// Is counted when it is dropped, if the machine's lock is free then.
struct Last {
    session: Session,
    dropped_free: Arc<AtomicUsize>,
}

impl Wake for Last {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Last {
    fn drop(&mut self) {
        if self.session.shared.machine.try_lock().is_ok() {
            self.dropped_free.fetch_add(1, Relaxed);
        }
    }
}

#[tokio::test]
async fn the_last_waker_of_a_task_is_dropped_with_no_lock_held_when_another_polls_or_the_call_is_given_up() {
    let (session, _driver, _peer) = RawPeer::by_hand(1_024).await;
    let dropped_free = Arc::new(AtomicUsize::new(0));
    let last = || Waker::from(Arc::new(Last { session: session.clone(), dropped_free: dropped_free.clone() }));
    let mut started = session.clone().start(&call("a/b", "{}"), in_time(), Some(&last())).unwrap();
    assert_eq!(dropped_free.load(Relaxed), 0, "it is kept");
    for before in 0..2 {
        assert!(Pin::new(&mut started).poll(&mut Context::from_waker(&last())).is_pending());
        assert_eq!(dropped_free.load(Relaxed), before + 1);
    }
    drop(started);
    assert_eq!(dropped_free.load(Relaxed), 3);
}
