//! The machine by its rules, one by one ([`rules`], [`streams`], [`parting`]), and two machines under whatever may happen ([`world`]).

mod parting;
mod rules;
mod streams;
mod world;

use std::time::Duration;

use proptest::{prelude::*, test_runner::RngSeed};

use super::{
    super::{
        frame::FrameReader,
        limits::MAX_INLINE,
        message::{Answer, Outgoing},
    },
    *,
};
use crate::protocol::{ErrorCode, RpcError};
use world::{Action, Reply, Style, World};

/// What the property tests begin with; another number tries other cases.
const SEED: u64 = 20_260;

/// What one machine has to send, as the messages that it holds.
fn sent<W>(machine: &mut Machine<W>) -> Vec<Message> {
    let mut reader = FrameReader::new(usize::MAX);
    reader.push(machine.take_output(usize::MAX, &mut Vec::new()));
    std::iter::from_fn(|| reader.next().unwrap()).map(|frame| Message::parse(frame).unwrap()).collect()
}

/// The message that these bytes are.
fn message(json: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(json.as_bytes())).unwrap()
}

/// A message that calls, with this id.
fn call_of(id: u64) -> Message {
    message(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a/b","params":{{}}}}"#))
}

/// A call without anything special.
const PLAIN: Outgoing<'static> =
    Outgoing { method: "a/b", params: b"{}", timeout: None, trace: None, is_anonymous: false, origin: None, credit: None };

fn machine() -> Machine<u32> {
    Machine::new(SessionLimits { max_calls: 4, ..SessionLimits::default() }, 4, 0)
}

/// A time that does not come in these tests.
fn later() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

fn receive(machine: &mut Machine<u32>, message: Message) -> Result<Vec<Event<u32>>, Violation> {
    let mut events = Vec::new();
    machine.receive(message, &mut events).map(|()| events)
}

fn look(machine: &mut Machine<u32>, key: CallKey) -> Progress {
    machine.take(key, |_| 0)
}

/// How a call has ended.
#[track_caller]
fn outcome(machine: &mut Machine<u32>, key: CallKey) -> Outcome {
    match look(machine, key) {
        Progress::Done(outcome) => outcome,
        other => panic!("the call has not ended: {other:?}"),
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let end = 0..2_usize;
    let which = any::<u8>();
    let reply = prop_oneof![6 => Just(Reply::Ok), 2 => Just(Reply::Error), 1 => Just(Reply::Large)];
    let style = prop_oneof![
        2 => Just(Style::AtOnce),
        4 => Just(Style::Task),
        3 => (1..6_u32, 0..20_u32).prop_map(|(credit, items)| Style::Stream { credit, items }),
    ];
    let bytes = prop_oneof![0..40_usize, 40..400_usize, Just(usize::MAX)];
    let action = prop_oneof![
        8 => (end.clone(), 1..200_u64, style, reply).prop_map(|(end, ms, style, reply)| Action::Call { end, ms, style, reply }),
        8 => (end.clone(), bytes.clone()).prop_map(|(end, max)| Action::Take { end, max }),
        8 => (end.clone(), bytes.clone()).prop_map(|(end, bytes)| Action::Deliver { end, bytes }),
        8 => (end.clone(), which).prop_map(|(end, which)| Action::Work { end, which }),
        6 => (end.clone(), which).prop_map(|(end, which)| Action::Look { end, which }),
        2 => (end.clone(), which).prop_map(|(end, which)| Action::Abandon { end, which }),
        2 => (0..80_u64).prop_map(Action::Pass),
    ];
    prop::collection::vec(action, 0..120)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(SEED), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn every_call_gets_its_own_outcome_once_and_leaves_nothing_behind(max_calls in 1..6_u32, actions in actions()) {
        let mut world = World::new(max_calls);
        world.act_all(&actions);
        world.come_to_rest();
        world.check_outcomes();
        world.part();
    }

    #[test]
    fn who_leaves_at_any_time_loses_no_call_and_tells_the_truth_about_each(
        max_calls in 1..6_u32,
        before in actions(),
        first in 0..2_usize,
        between in actions(),
        both in any::<bool>(),
        after in actions(),
    ) {
        let mut world = World::new(max_calls);
        world.act_all(&before);
        world.leave(first);
        world.act_all(&between);
        if both {
            world.leave(1 - first);
        }
        world.act_all(&after);
        world.come_to_rest();
        world.check_outcomes();
        prop_assert!(world.nothing_was_lost());
        world.part();
    }

    #[test]
    fn a_session_that_is_cut_at_any_byte_tells_each_caller_the_truth(
        max_calls in 1..6_u32,
        before in actions(),
        bytes in (0..2_000_usize, 0..2_000_usize),
    ) {
        let mut world = World::new(max_calls);
        world.act_all(&before);
        world.cut(bytes.0, bytes.1);
        world.come_to_rest();
        world.check_outcomes();
    }
}
