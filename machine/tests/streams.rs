//! Streams: items, and the credit for them.

use super::*;

fn opened(machine: &mut Machine<u32>, credit: u32) -> CallKey {
    let call = Outgoing { credit: Some(credit), ..PLAIN };
    let key = machine.begin(&call, later(), 1).unwrap();
    sent(machine);
    key
}

fn item(id: u64, item: u32) -> Message {
    message(&format!(r#"{{"jsonrpc":"2.0","method":"$/item","params":{{"id":{id},"item":{item}}}}}"#))
}

fn credit(id: u64, n: u64) -> Message {
    message(&format!(r#"{{"jsonrpc":"2.0","method":"$/credit","params":{{"id":{id},"n":{n}}}}}"#))
}

/// A machine that serves the call 1, whose caller takes `credit` items.
fn serving(credit: u32) -> Machine<u32> {
    let mut machine = machine();
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a/b","credit":{credit},"params":{{}}}}"#);
    let events = receive(&mut machine, message(&call)).unwrap();
    assert!(matches!(&events[..], [Event::Serve(call)] if call.credit == Some(credit)));
    machine.serving(1);
    machine
}

#[test]
fn an_item_past_the_credit_breaks_a_rule() {
    let mut machine = machine();
    let key = opened(&mut machine, 2);
    receive(&mut machine, item(key.id(), 0)).unwrap();
    receive(&mut machine, item(key.id(), 1)).unwrap();
    let violation = receive(&mut machine, item(key.id(), 2)).unwrap_err();
    assert_eq!(violation, Violation::TooManyItems { id: key.id() });
}

#[test]
fn an_item_of_a_call_that_opened_no_stream_breaks_a_rule() {
    let mut machine = machine();
    let key = machine.begin(&PLAIN, later(), 1).unwrap();
    assert_eq!(receive(&mut machine, item(key.id(), 0)).unwrap_err(), Violation::TooManyItems { id: key.id() });
    assert_eq!(receive(&mut machine, item(3, 0)).unwrap_err(), Violation::UnknownId { id: 3 });
}

#[test]
fn an_item_after_the_answer_breaks_a_rule() {
    let mut machine = machine();
    let key = opened(&mut machine, 2);
    receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":null}}"#, key.id()))).unwrap();
    assert_eq!(receive(&mut machine, item(key.id(), 0)).unwrap_err(), Violation::UnknownId { id: key.id() });
}

#[test]
fn items_are_there_before_the_answer_that_came_with_them() {
    let mut machine = machine();
    let key = opened(&mut machine, 4);
    for number in 0..3 {
        receive(&mut machine, item(key.id(), number)).unwrap();
    }
    receive(&mut machine, message(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":null}}"#, key.id()))).unwrap();
    for number in 0..3 {
        let Progress::Item(json) = look(&mut machine, key) else { panic!("item {number} is missing") };
        assert_eq!(json, number.to_string());
    }
    assert!(matches!(outcome(&mut machine, key), Outcome::Answered(Answer::Result(_))));
    assert!(sent(&mut machine).is_empty(), "what has ended needs no more credit");
}

#[test]
fn credit_is_given_anew_when_half_of_it_was_used() {
    let mut machine = machine();
    let key = opened(&mut machine, 4);
    for number in 0..4 {
        receive(&mut machine, item(key.id(), number)).unwrap();
    }
    look(&mut machine, key);
    assert!(sent(&mut machine).is_empty());
    look(&mut machine, key);
    assert!(matches!(sent(&mut machine)[..], [Message::Credit { id, n: 2 }] if id == key.id()));
    receive(&mut machine, item(key.id(), 4)).unwrap();
    receive(&mut machine, item(key.id(), 5)).unwrap();
    assert_eq!(receive(&mut machine, item(key.id(), 6)).unwrap_err(), Violation::TooManyItems { id: key.id() });
}

#[test]
fn items_that_come_after_their_caller_has_gone_are_dropped_and_hold_no_memory() {
    let mut machine = machine();
    let key = opened(&mut machine, 3);
    receive(&mut machine, item(key.id(), 0)).unwrap();
    machine.abandon(key);
    assert!(matches!(sent(&mut machine)[..], [Message::Cancel { id }] if id == key.id()));
    assert!(receive(&mut machine, item(key.id(), 1)).unwrap().is_empty(), "there is nobody to wake");
    assert!(machine.calls[0].stream.as_ref().unwrap().waiting.is_empty());
    // What was given away as credit may come; no more than that.
    receive(&mut machine, item(key.id(), 2)).unwrap();
    assert_eq!(receive(&mut machine, item(key.id(), 3)).unwrap_err(), Violation::TooManyItems { id: key.id() });
}

#[test]
fn a_server_sends_as_many_items_as_there_is_credit_for() {
    let mut machine = serving(2);
    assert_eq!(machine.send_item(1, b"0"), ItemSent::Sent);
    assert_eq!(machine.send_item(1, b"1"), ItemSent::Sent);
    assert_eq!(machine.send_item(1, b"2"), ItemSent::Wait);
    assert_eq!(sent(&mut machine).len(), 2);
    assert!(matches!(receive(&mut machine, credit(1, 1)).unwrap()[..], [Event::Credit(1)]));
    assert_eq!(machine.send_item(1, b"2"), ItemSent::Sent);
    assert_eq!(machine.send_item(1, b"3"), ItemSent::Wait);
    machine.answer(1, Ok(b"null".to_vec()), later());
    assert_eq!(machine.send_item(1, b"3"), ItemSent::Gone);
}

#[test]
fn a_call_that_gives_no_credit_gets_no_items() {
    let mut machine = machine();
    receive(&mut machine, call_of(1)).unwrap();
    machine.serving(1);
    assert_eq!(machine.send_item(1, b"0"), ItemSent::Wait);
}

#[test]
fn credit_for_what_is_unknown_changes_nothing_and_too_much_of_it_does_not_overflow() {
    let mut machine = serving(2);
    assert!(receive(&mut machine, credit(2, 5)).unwrap().is_empty());
    receive(&mut machine, credit(1, u64::from(u32::MAX))).unwrap();
    receive(&mut machine, credit(1, u64::from(u32::MAX))).unwrap();
    assert_eq!(machine.send_item(1, b"0"), ItemSent::Sent);
}

#[test]
fn items_wait_while_too_much_waits_to_be_sent() {
    let mut machine = serving(u32::MAX);
    machine.limits.max_waiting = 1_000;
    let big = vec![b'1'; 1_000];
    assert_eq!(machine.send_item(1, &big), ItemSent::Sent);
    assert_eq!(machine.send_item(1, &big), ItemSent::Wait);
    assert!(machine.waiting() < 1_200);
    machine.take_output(usize::MAX, &mut Vec::new());
    assert_eq!(machine.send_item(1, &big), ItemSent::Sent);
}

fn open(id: u64) -> Message {
    message(&format!(r#"{{"jsonrpc":"2.0","method":"$/open","params":{{"id":{id}}}}}"#))
}

#[test]
fn that_a_stream_is_open_is_told_once_and_before_its_items() {
    let mut machine = machine();
    let key = opened(&mut machine, 2);
    receive(&mut machine, open(key.id())).unwrap();
    receive(&mut machine, item(key.id(), 0)).unwrap();
    assert!(matches!(look(&mut machine, key), Progress::Open));
    assert!(matches!(look(&mut machine, key), Progress::Item(_)));
    assert!(matches!(look(&mut machine, key), Progress::Pending));
}

#[test]
fn the_time_of_an_open_stream_does_not_run_out() {
    let mut machine = machine();
    let key = opened(&mut machine, 2);
    receive(&mut machine, open(key.id())).unwrap();
    assert!(matches!(look(&mut machine, key), Progress::Open));
    machine.tick(later() + Duration::from_hours(1), &mut Vec::new());
    assert!(matches!(look(&mut machine, key), Progress::Pending));
    assert!(sent(&mut machine).is_empty(), "nothing is cancelled");
}

#[test]
fn an_opening_that_nobody_asked_for_breaks_a_rule_and_one_that_comes_too_late_does_not() {
    let mut machine = machine();
    let plain = machine.begin(&PLAIN, later(), 1).unwrap();
    assert_eq!(receive(&mut machine, open(plain.id())).unwrap_err(), Violation::UnknownId { id: plain.id() });
    assert_eq!(receive(&mut machine, open(3)).unwrap_err(), Violation::UnknownId { id: 3 });
    let key = opened(&mut machine, 2);
    machine.abandon(key);
    assert!(receive(&mut machine, open(key.id())).unwrap().is_empty(), "there is nobody to wake");
}

#[test]
fn a_server_says_once_that_a_stream_is_open_and_only_while_it_serves_it() {
    let mut machine = serving(2);
    machine.open_stream(1);
    machine.open_stream(1);
    assert!(matches!(sent(&mut machine)[..], [Message::Open { id: 1 }]));
    machine.answer(1, Ok(b"null".to_vec()), later());
    sent(&mut machine);
    machine.open_stream(1);
    assert!(sent(&mut machine).is_empty());
}
