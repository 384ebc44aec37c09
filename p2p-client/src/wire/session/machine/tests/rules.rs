//! Calls and answers, the limits, and what breaks a rule.

use super::*;

#[test]
fn an_answer_to_a_call_that_was_never_made_breaks_a_rule() {
    let mut machine = machine();
    for id in [0, 1, 65_536, u64::MAX] {
        let answer = message(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#));
        assert_eq!(receive(&mut machine, answer).unwrap_err(), Violation::UnknownId { id });
    }
}

#[test]
fn a_second_answer_breaks_a_rule_and_leaves_the_first() {
    let mut machine = machine();
    let key = machine.begin(&PLAIN, later(), 7).unwrap();
    let answer = |json: &str| message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{json}}}"#, key.id()));
    let events = receive(&mut machine, answer("1")).unwrap();
    assert!(matches!(events[..], [Event::Wake(7), Event::Freed]), "{events:?}");
    assert_eq!(receive(&mut machine, answer("2")).unwrap_err(), Violation::UnknownId { id: key.id() });
    let Outcome::Answered(Answer::Result(json)) = outcome(&mut machine, key) else { panic!("it was answered") };
    assert_eq!(json, "1");
}

#[test]
fn the_id_of_an_earlier_call_in_the_same_place_is_unknown() {
    let mut machine = machine();
    let first = machine.begin(&PLAIN, later(), 0).unwrap();
    receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, first.id()))).unwrap();
    outcome(&mut machine, first);
    let second = machine.begin(&PLAIN, later(), 0).unwrap();
    assert_eq!(first.place(), second.place());
    let late = message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, first.id()));
    assert_eq!(receive(&mut machine, late).unwrap_err(), Violation::UnknownId { id: first.id() });
}

#[test]
fn ids_that_do_not_grow_break_a_rule() {
    for id in [5, 4, 1, 0] {
        let mut machine = machine();
        receive(&mut machine, call_of(5)).unwrap();
        let violation = receive(&mut machine, call_of(id)).unwrap_err();
        assert_eq!(violation, Violation::DuplicateId { id, last: 5 });
        assert_eq!(violation.to_string(), format!("the call id {id} was used before, or is below 5; ids must grow"));
    }
    assert_eq!(receive(&mut machine(), call_of(0)).unwrap_err(), Violation::DuplicateId { id: 0, last: 0 });
}

#[test]
fn one_call_more_than_was_allowed_breaks_a_rule_and_one_that_was_answered_makes_room() {
    let mut machine = machine();
    for id in 1..=4 {
        receive(&mut machine, call_of(id)).unwrap();
        machine.serving(id);
    }
    machine.answer(2, Ok(b"1".to_vec()), later());
    receive(&mut machine, call_of(5)).unwrap();
    let violation = receive(&mut machine, call_of(6)).unwrap_err();
    assert_eq!(violation, Violation::TooManyCalls { limit: 4 });
    assert_eq!(violation.to_string(), "more than 4 calls at a time");
    assert_eq!(machine.accepted(), 5, "the last one was not taken, and its caller is told so");
}

#[test]
fn cancelling_gives_no_leave_for_more_calls_until_the_cancelled_one_is_answered() {
    let mut machine = machine();
    let keys: Vec<_> = (0..4).map(|call| machine.begin(&PLAIN, later(), call).unwrap()).collect();
    for key in &keys {
        machine.abandon(*key);
    }
    assert_eq!(machine.begin(&PLAIN, later(), 9).unwrap_err(), Refused::TooManyCalls);
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32000,"message":"cancelled"}}}}"#, keys[2].id());
    let events = receive(&mut machine, message(&answer)).unwrap();
    assert!(matches!(events[..], [Event::Freed]), "nobody is woken: {events:?}");
    machine.begin(&PLAIN, later(), 9).unwrap();
}

#[test]
fn calls_that_come_while_too_much_waits_to_be_sent_begin_when_it_has_become_less() {
    let limits = SessionLimits { max_calls: 4, max_waiting: 100, ..SessionLimits::default() };
    let mut machine = Machine::<u32>::new(limits, 4, 0);
    receive(&mut machine, call_of(1)).unwrap();
    machine.answer(1, Ok(vec![b'1'; 200]), later());
    assert!(machine.is_congested());
    for id in 2..=4 {
        assert!(receive(&mut machine, call_of(id)).unwrap().is_empty(), "it has to wait");
    }
    // One of those that wait can be cancelled, and is answered as any other.
    let cancel = message(r#"{"jsonrpc":"2.0","method":"$/cancel","params":{"id":3}}"#);
    assert!(receive(&mut machine, cancel).unwrap().is_empty());
    let mut events = Vec::new();
    machine.take_output(50, &mut events);
    assert!(events.is_empty(), "there is still too much");
    let rest = machine.take_output(usize::MAX, &mut events);
    assert!(String::from_utf8_lossy(&rest).contains("the call was cancelled before it began"));
    let begun: Vec<_> = events.iter().map(|event| if let Event::Serve(call) = event { call.id } else { 0 }).collect();
    assert_eq!(begun, [2, 4]);
    // All of them count, also those that waited.
    machine.serving(2);
    machine.serving(4);
    receive(&mut machine, call_of(5)).unwrap();
    receive(&mut machine, call_of(6)).unwrap();
    assert_eq!(receive(&mut machine, call_of(7)).unwrap_err(), Violation::TooManyCalls { limit: 4 });
}

#[test]
fn cancelling_what_is_unknown_or_answered_changes_nothing() {
    let mut machine = machine();
    let cancel = |id: u64| message(&format!(r#"{{"jsonrpc":"2.0","method":"$/cancel","params":{{"id":{id}}}}}"#));
    assert!(receive(&mut machine, cancel(1)).unwrap().is_empty());
    receive(&mut machine, call_of(1)).unwrap();
    machine.serving(1);
    machine.answer(1, Ok(b"1".to_vec()), later());
    assert!(receive(&mut machine, cancel(1)).unwrap().is_empty());
    receive(&mut machine, call_of(2)).unwrap();
    machine.serving(2);
    assert!(matches!(receive(&mut machine, cancel(2)).unwrap()[..], [Event::Cancel(2)]));
}

#[test]
fn a_call_whose_time_is_over_ends_and_the_other_end_is_told() {
    let mut machine = machine();
    let now = Instant::now();
    let early = machine.begin(&PLAIN, now + Duration::from_millis(10), 1).unwrap();
    let late = machine.begin(&PLAIN, now + Duration::from_millis(20), 2).unwrap();
    sent(&mut machine);
    assert_eq!(machine.next_deadline(), Some(now + Duration::from_millis(10)));
    let mut events = Vec::new();
    machine.tick(now + Duration::from_millis(9), &mut events);
    assert!(events.is_empty());
    machine.tick(now + Duration::from_millis(10), &mut events);
    assert!(matches!(events[..], [Event::Wake(1)]), "{events:?}");
    assert!(matches!(outcome(&mut machine, early), Outcome::Deadline));
    assert!(matches!(sent(&mut machine)[..], [Message::Cancel { id }] if id == early.id()));
    assert_eq!(machine.next_deadline(), Some(now + Duration::from_millis(20)));
    assert!(matches!(look(&mut machine, late), Progress::Pending));
    assert_eq!(machine.in_flight(), 2, "the answer is still owed");
}

#[test]
fn an_answer_that_crosses_the_deadline_is_taken_and_changes_nothing() {
    let mut machine = machine();
    let now = Instant::now();
    let key = machine.begin(&PLAIN, now, 1).unwrap();
    machine.tick(now, &mut Vec::new());
    let events = receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, key.id()))).unwrap();
    assert!(matches!(events[..], [Event::Freed]), "{events:?}");
    assert!(matches!(outcome(&mut machine, key), Outcome::Deadline));
    assert_eq!(machine.free, [0]);
}

#[test]
fn a_large_answer_waits_to_be_fetched_and_is_given_out_once() {
    let mut machine = machine();
    receive(&mut machine, call_of(1)).unwrap();
    machine.answer(1, Ok(vec![b'1'; MAX_INLINE + 1]), later());
    let [Message::Answer { id: 1, answer: Answer::Body { ticket, size } }] = sent(&mut machine)[..] else { panic!("no ticket") };
    assert_eq!(size, MAX_INLINE as u64 + 1);
    assert_eq!(machine.fetch(ticket + 1), None);
    assert_eq!(machine.fetch(ticket).unwrap().len(), MAX_INLINE + 1);
    assert_eq!(machine.fetch(ticket), None);
    assert_eq!(machine.parked_bytes, 0);
}

#[test]
fn an_answer_of_just_the_largest_size_goes_by_the_session() {
    let mut machine = machine();
    receive(&mut machine, call_of(1)).unwrap();
    machine.answer(1, Ok(vec![b'1'; MAX_INLINE]), later());
    let [Message::Answer { id: 1, answer: Answer::Result(json) }] = &sent(&mut machine)[..] else { panic!("no result") };
    assert_eq!(json.len(), MAX_INLINE);
}

#[test]
fn large_answers_past_the_bound_are_errors_and_those_that_nobody_fetched_are_forgotten() {
    let limits = SessionLimits { max_parked: 3 * MAX_INLINE, ..SessionLimits::default() };
    let mut machine = Machine::<u32>::new(limits, 4, 0);
    let until = Instant::now() + Duration::from_secs(1);
    for id in 1..=3 {
        receive(&mut machine, call_of(id)).unwrap();
        machine.answer(id, Ok(vec![b'1'; MAX_INLINE + 1]), until);
    }
    let messages = sent(&mut machine);
    let [_, Message::Answer { answer: Answer::Body { ticket, .. }, .. }, Message::Answer { answer: Answer::Error(error), .. }] =
        &messages[..]
    else {
        panic!("the third is too much: {messages:?}")
    };
    assert_eq!(error.code, ErrorCode::INTERNAL);
    assert!(error.message.contains("for large results 131074 are taken until they are fetched"), "{}", error.message);
    assert_eq!(machine.next_deadline(), Some(until));
    machine.tick(until, &mut Vec::new());
    assert_eq!(machine.fetch(*ticket), None);
    assert_eq!(machine.parked_bytes, 0);
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn no_error_is_too_long_for_the_other_end() {
    let data = serde_json::value::RawValue::from_string(format!("\"{}\"", "x".repeat(MAX_INLINE))).unwrap();
    let texts = ["x".repeat(MAX_INLINE + 1), "\"".repeat(MAX_INLINE), "\u{1}".repeat(MAX_INLINE / 2), "ü".repeat(MAX_INLINE)];
    let errors = texts.map(|text| RpcError::new(ErrorCode::SERVICE, text));
    let with_data = RpcError { data: Some(data), ..RpcError::new(ErrorCode::SERVICE, "short") };
    for error in errors.into_iter().chain([with_data]) {
        let mut machine = machine();
        receive(&mut machine, call_of(1)).unwrap();
        machine.answer(1, Err(error.clone()), later());
        assert!(machine.waiting() <= machine.limits.max_message, "{} bytes", machine.waiting());
        let [Message::Answer { answer: Answer::Error(told), .. }] = &sent(&mut machine)[..] else { panic!("no error") };
        assert_eq!(told.code, error.code);
        assert!(error.message.starts_with(&told.message));
    }
}
