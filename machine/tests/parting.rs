//! Leaving in good order, and ends without it.

use super::*;

fn go_away(taken: u64) -> Message {
    message(&format!(r#"{{"jsonrpc":"2.0","method":"$/goaway","params":{{"taken":{taken},"reason":"it stops"}}}}"#))
}

#[test]
fn calls_that_cross_a_go_away_were_not_sent_and_those_before_go_on() {
    let mut machine = machine();
    let first = machine.begin(&PLAIN, later(), 1).unwrap();
    let second = machine.begin(&PLAIN, later(), 2).unwrap();
    sent(&mut machine);
    let events = receive(&mut machine, go_away(1)).unwrap();
    assert!(matches!(events[..], [Event::Wake(2), Event::Freed]), "{events:?}");
    let Outcome::NotSent(ended) = outcome(&mut machine, second) else { panic!("it was not taken") };
    assert_eq!(ended.to_string(), "the peer closed the session: it stops");
    assert!(matches!(look(&mut machine, first), Progress::Pending));
    assert!(matches!(machine.begin(&PLAIN, later(), 3), Err(Refused::Ended(Ended::Left(_)))));
    receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, first.id()))).unwrap();
    assert!(matches!(outcome(&mut machine, first), Outcome::Answered(_)));
}

#[test]
fn who_leaves_counts_the_calls_that_it_took_and_takes_no_further_ones() {
    let mut machine = machine();
    receive(&mut machine, call_of(1)).unwrap();
    receive(&mut machine, call_of(2)).unwrap();
    machine.leave("it stops");
    machine.leave("it stops twice");
    assert!(receive(&mut machine, call_of(3)).unwrap().is_empty(), "it crossed the farewell");
    let messages = sent(&mut machine);
    assert!(matches!(&messages[..], [Message::GoAway { taken: 2, reason }] if reason == "it stops"), "{messages:?}");
    machine.begin(&PLAIN, later(), 1).expect("it may still call");
    assert!(!machine.is_open());
}

#[test]
fn a_session_is_done_when_both_have_left_and_everything_is_answered() {
    let mut machine = machine();
    receive(&mut machine, call_of(1)).unwrap();
    machine.serving(1);
    let key = machine.begin(&PLAIN, later(), 1).unwrap();
    machine.leave("it stops");
    sent(&mut machine);
    receive(&mut machine, go_away(1)).unwrap();
    assert!(!machine.is_drained() && !machine.is_served());
    machine.answer(1, Ok(b"1".to_vec()), later());
    assert!(!machine.is_served(), "the answer is not on its way yet");
    sent(&mut machine);
    assert!(machine.is_served() && !machine.is_drained());
    receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, key.id()))).unwrap();
    assert!(machine.is_drained());
}

#[test]
fn the_other_end_is_followed_once_nothing_is_left_to_do() {
    let mut machine = machine();
    let key = machine.begin(&PLAIN, later(), 1).unwrap();
    sent(&mut machine);
    receive(&mut machine, go_away(1)).unwrap();
    assert!(!machine.should_leave(), "a call is still open");
    receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, key.id()))).unwrap();
    assert!(machine.should_leave());
}

#[test]
fn a_large_answer_that_waits_to_be_fetched_keeps_the_session() {
    let mut machine = machine();
    receive(&mut machine, call_of(1)).unwrap();
    machine.answer(1, Ok(vec![b'1'; MAX_INLINE + 1]), later());
    machine.leave("it stops");
    receive(&mut machine, go_away(0)).unwrap();
    let messages = sent(&mut machine);
    let Message::Answer { answer: Answer::Body { ticket, .. }, .. } = messages[0] else { panic!("no ticket: {messages:?}") };
    assert!(!machine.is_served() && !machine.is_drained(), "the answer would be lost");
    machine.fetch(ticket).unwrap();
    assert!(machine.is_served() && machine.is_drained());
}

#[test]
fn a_connection_that_breaks_tells_calls_whose_bytes_were_taken_from_those_whose_were_not() {
    let mut machine = machine();
    let keys: Vec<_> = (0..3).map(|label| machine.begin(&PLAIN, later(), label).unwrap()).collect();
    let length = usize::try_from(machine.calls[0].end).unwrap();
    // The first whole, the second but for its last byte.
    machine.take_output(2 * length - 1, &mut Vec::new());
    let mut events = Vec::new();
    let why = Ended::Broken("a test".to_owned());
    machine.end(&why, &mut events);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Wake(_))).count(), 3);
    assert!(matches!(outcome(&mut machine, keys[0]), Outcome::Lost(ended) if ended == why));
    assert!(matches!(outcome(&mut machine, keys[1]), Outcome::NotSent(ended) if ended == why));
    assert!(matches!(outcome(&mut machine, keys[2]), Outcome::NotSent(ended) if ended == why));
    assert_eq!(machine.begin(&PLAIN, later(), 4).unwrap_err(), Refused::Ended(why));
}

#[test]
fn an_answer_that_came_before_the_end_is_still_there_after_it() {
    let mut machine = machine();
    let key = machine.begin(&PLAIN, later(), 1).unwrap();
    receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":5}}"#, key.id()))).unwrap();
    machine.end(&Ended::Broken("a test".to_owned()), &mut Vec::new());
    assert!(matches!(outcome(&mut machine, key), Outcome::Answered(Answer::Result(json)) if json == "5"));
}

#[test]
fn the_end_cancels_what_is_served_and_forgets_what_waits() {
    let mut machine = machine();
    for id in 1..=2 {
        receive(&mut machine, call_of(id)).unwrap();
        machine.serving(id);
    }
    receive(&mut machine, call_of(3)).unwrap();
    machine.answer(3, Ok(vec![b'1'; MAX_INLINE + 1]), later());
    let mut events = Vec::new();
    machine.end(&Ended::Broken("a test".to_owned()), &mut events);
    let mut cancelled: Vec<_> = events.iter().map(|event| if let Event::Cancel(id) = event { *id } else { 0 }).collect();
    cancelled.sort_unstable();
    assert_eq!(cancelled, [1, 2]);
    assert_eq!((machine.waiting(), machine.parked_bytes), (0, 0));
    assert!(machine.is_quiet());
}
