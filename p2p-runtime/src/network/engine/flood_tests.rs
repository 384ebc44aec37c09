//! What a member sends that no honest one does costs little, stands in the log once, and keeps nothing else from being taken in.

use bytes::Bytes;
use foca::State;

use super::{
    super::{
        MemberEvent,
        body::SignedBody,
        digest::BucketSet,
        frame::Entry,
        simulation::{HashAttestor, node_info},
    },
    *,
};
use crate::identity::tests::AuditLines;

const LIAR: usize = 1;

fn engine() -> Engine {
    let me = node_info(0);
    let attestor = Arc::new(HashAttestor(me.node_id.clone()));
    let config = MembershipConfig::default();
    Engine::new(Setup { config, me, epoch: 1, attestor, seeds: Vec::new(), saved: None, randomness: 1 }, Duration::ZERO).unwrap()
}

fn peer(index: usize) -> Peer {
    let NodeInfo { node_id, .. } = node_info(index);
    Peer { node_id, authority: node_info(index).authority().into(), epoch: 1, bump: 0 }
}

/// Lets the engine take this message of the liar.
fn take(engine: &mut Engine, message: Message, at: Duration) -> Vec<Output> {
    let frame = Frame::Own { sender: peer(LIAR), message }.encode(1024);
    let mut out = Vec::new();
    engine.handle(Input::Frame { from: peer(LIAR).node_id, frame }, at, &mut out);
    out
}

fn body(message: impl Into<Vec<u8>>, attestation: &'static [u8]) -> SignedBody {
    SignedBody { message: message.into().into(), attestation: Bytes::from_static(attestation) }
}

fn bodies(bodies: Vec<SignedBody>) -> Message {
    Message::Bodies { bodies }
}

/// What this node says of itself, signed by it.
fn true_body(index: usize) -> SignedBody {
    let info = node_info(index);
    let attestor = HashAttestor(info.node_id.clone());
    Record::sign(info, 1, 1, false, &attestor).unwrap().signed
}

fn has_joined(out: &[Output]) -> bool {
    out.iter().any(|output| matches!(output, Output::Event(MemberEvent::Joined(info)) if info.node_id == node_info(LIAR).node_id))
}

fn lines(captured: &AuditLines) -> usize {
    captured.take_all().lines().filter(|line| line.contains(" WARN ")).count()
}

#[test]
fn a_frame_of_a_hundred_thousand_empty_statements_is_refused_as_one_and_the_next_is_taken_in() {
    let (mut engine, captured) = (engine(), AuditLines::capture());
    take(&mut engine, bodies(vec![body("", b""); 100_000]), Duration::ZERO);
    assert_eq!((engine.counters().malformed, engine.counters().refused), (1, 0));
    assert_eq!(lines(&captured), 0);
    assert!(has_joined(&take(&mut engine, bodies(vec![true_body(LIAR)]), Duration::ZERO)));
}

#[test]
fn what_nobody_can_have_written_ends_the_frame_and_is_one_line_a_minute() {
    let (mut engine, captured) = (engine(), AuditLines::capture());
    let garbage = || bodies(vec![body([b'{'; 80], b"none"); 2_500]);
    for second in [0, 1, 59] {
        take(&mut engine, garbage(), Duration::from_secs(second));
    }
    assert_eq!((engine.counters().refused, lines(&captured)), (3, 1));
    take(&mut engine, garbage(), Duration::from_mins(1));
    assert_eq!((engine.counters().refused, lines(&captured)), (4, 1));
    assert!(has_joined(&take(&mut engine, bodies(vec![true_body(LIAR)]), Duration::from_mins(1))));
}

#[test]
fn what_is_not_believed_here_and_what_another_version_wrote_keep_out_no_good_statement_behind_them_but_are_few() {
    let (mut engine, captured) = (engine(), AuditLines::capture());
    let forged = |index| SignedBody { attestation: Bytes::from_static(b"forged"), ..true_body(index) };
    let newer = body(format!(r#"{{"format":9,"else":"{}"}}"#, "x".repeat(80)), b"none");
    let out = take(&mut engine, bodies(vec![forged(2), newer, forged(3), true_body(LIAR)]), Duration::ZERO);
    assert!(has_joined(&out));
    assert_eq!((engine.counters().refused, lines(&captured)), (3, 1));
    take(&mut engine, bodies((10..110).map(forged).collect()), Duration::ZERO);
    assert_eq!((engine.counters().refused, lines(&captured)), (3 + 8, 0));
}

#[test]
fn a_frame_that_tells_of_a_thousand_later_lives_of_this_node_begins_one() {
    let (mut engine, captured) = (engine(), AuditLines::capture());
    let told = |first: u32| {
        let lives = (first..first + 1_000).map(|life| Peer { bump: 2 * life, ..peer(0) });
        let entries = lives.map(|peer| Entry { peer, incarnation: 0, state: State::Alive, body: None }).collect();
        Message::Entries { ask: false, buckets: BucketSet::ALL, entries }
    };
    take(&mut engine, told(1), Duration::ZERO);
    assert_eq!((engine.counters().rejoins, lines(&captured)), (1, 1));
    take(&mut engine, told(2_000), Duration::ZERO);
    assert_eq!((engine.counters().rejoins, lines(&captured)), (2, 0));
}
