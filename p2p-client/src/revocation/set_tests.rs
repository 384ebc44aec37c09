//! What sets promise, also for statements that nobody would make.

use proptest::prelude::*;

use super::*;
use crate::revocation::{Author, Reason};

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn key(number: u8) -> KeyHash {
    KeyHash::new([number; 32])
}

fn at(at: u64, by: &str, subject: Subject) -> (StatementId, Statement) {
    let by = Author { node_id: node(by), key: key(by.as_bytes()[0]) };
    let statement = Statement { subject, at: UnixMillis(at), by, reason: Reason::default() };
    (StatementId::of(&statement.encode().unwrap()), statement)
}

fn revoke(name: &str) -> Subject {
    Subject::Node { node_id: node(name) }
}

fn readmit(name: &str, number: u8) -> Subject {
    Subject::Readmission { node_id: node(name), key: key(number) }
}

fn set(statements: impl IntoIterator<Item = (StatementId, Statement)>) -> RevocationSet {
    let mut set = RevocationSet::default();
    set.extend(statements);
    set
}

#[test]
fn a_revoked_node_is_revoked_with_every_key_until_one_is_readmitted() {
    let mut set = set([at(1, "c", revoke("w"))]);
    assert!(set.is_revoked(&node("w"), &key(1)) && set.is_revoked(&node("w"), &key(2)));
    assert!(!set.is_revoked(&node("v"), &key(1)));
    assert_eq!((set.revoked_at(&node("w")), set.nodes().count()), (Some(UnixMillis(1)), 1));
    set.extend([at(2, "c", readmit("w", 2))]);
    assert!(set.is_revoked(&node("w"), &key(1)), "the old key stays out");
    assert!(!set.is_revoked(&node("w"), &key(2)));
    assert_eq!((set.revoked_at(&node("w")), set.nodes().count()), (None, 0));
    set.extend([at(3, "c", revoke("w"))]);
    assert!(set.is_revoked(&node("w"), &key(2)), "and so may the new one be");
}

#[test]
fn a_readmission_from_before_a_revocation_does_not_outlive_it() {
    let set = set([at(1, "c", revoke("w")), at(5, "c", revoke("w")), at(3, "c", readmit("w", 2))]);
    assert!(set.is_revoked(&node("w"), &key(2)));
}

#[test]
fn a_revoked_key_is_revoked_under_every_name_and_never_readmitted() {
    let set = set([at(1, "c", Subject::Key { key: key(1) }), at(2, "c", revoke("w")), at(3, "c", readmit("w", 1))]);
    assert!(set.is_revoked(&node("w"), &key(1)) && set.is_revoked(&node("other"), &key(1)));
}

#[test]
fn a_coordinator_lets_nobody_in_any_more_once_it_is_revoked_and_what_it_took_back_stays() {
    let set = set([at(1, "d", revoke("a")), at(2, "c", revoke("d")), at(3, "d", revoke("b")), at(4, "d", readmit("a", 1))]);
    assert!(set.is_revoked(&node("a"), &key(1)));
    assert!(
        set.is_revoked(&node("b"), &key(1)),
        "what is taken back too often is let in again by name; the other way round there is no way"
    );
    assert_eq!(set.len(), 4, "all are kept, so that all nodes have the same");
}

#[test]
fn of_two_coordinators_that_revoke_each_other_both_are_out() {
    let set = set([at(2, "d", revoke("c")), at(1, "c", revoke("d"))]);
    assert!(set.is_revoked(&node("d"), &key(b'd')) && set.is_revoked(&node("c"), &key(b'c')));
}

#[test]
fn a_revocation_that_a_revoked_coordinator_dates_back_undoes_none() {
    let mut set = set([at(5, "c", revoke("d")), at(6, "c", revoke("w")), at(7, "c", Subject::Key { key: key(9) })]);
    set.extend([at(1, "d", revoke("c")), at(1, "d", readmit("w", 2))]);
    assert!(set.is_revoked(&node("d"), &key(b'd')) && set.is_revoked(&node("w"), &key(1)) && set.is_key_revoked(&key(9)));
    assert!(set.is_revoked(&node("w"), &key(2)), "a readmission from before the revocation lets nobody in");
}

#[test]
fn a_readmission_that_is_dated_before_its_authors_revocation_does_not_count_either() {
    let thief = [at(5, "c", revoke("w")), at(6, "d", readmit("w", 2))];
    let mut set = set(thief);
    assert!(!set.is_revoked(&node("w"), &key(2)), "control: nobody knows of the theft yet");
    set.extend([at(7, "c", revoke("d"))]);
    assert!(set.is_revoked(&node("w"), &key(2)) && set.revoked_at(&node("w")).is_some());
    set.extend([at(8, "c", readmit("w", 3))]);
    assert!(!set.is_revoked(&node("w"), &key(3)) && set.is_revoked(&node("w"), &key(2)), "by name, by another coordinator");
}

#[test]
fn what_a_coordinator_let_in_counts_again_when_it_is_let_in_again_with_the_same_key_and_not_with_another() {
    let before = [at(1, "c", revoke("w")), at(2, "d", readmit("w", 2)), at(3, "c", revoke("d"))];
    let same = set(before.clone().into_iter().chain([at(4, "c", readmit("d", b'd'))]));
    assert!(!same.is_revoked(&node("w"), &key(2)));
    let other = set(before.into_iter().chain([at(4, "c", readmit("d", 9))]));
    assert!(other.is_revoked(&node("w"), &key(2)), "the old key may be stolen");
}

#[test]
fn two_revoked_coordinators_that_let_each_other_in_are_both_out() {
    // By dates alone each was in good standing when it spoke.
    let set = set([
        at(10, "c", revoke("a")),
        at(15, "b", readmit("a", b'a')),
        at(20, "c", revoke("b")),
        at(25, "a", readmit("b", b'b')),
    ]);
    assert!(set.is_revoked(&node("a"), &key(b'a')) && set.is_revoked(&node("b"), &key(b'b')));
}

#[test]
fn who_was_let_in_again_is_told_with_the_key() {
    let set = set([at(1, "c", revoke("w")), at(2, "c", revoke("v")), at(3, "c", readmit("w", 2)), at(4, "c", readmit("u", 3))]);
    assert_eq!(set.readmitted().collect::<Vec<_>>(), [(&node("w"), &key(2))], "of `u` nobody has said that it was revoked");
}

#[test]
fn a_certificate_is_revoked_with_any_key_that_it_stands_on() {
    let set = set([at(1, "c", Subject::Key { key: key(8) })]);
    let standing_on = |authority: u8| ChainKeys::new(key(1), vec![key(7), key(authority)]);
    assert!(set.is_chain_revoked(&node("w"), &standing_on(8)) && !set.is_chain_revoked(&node("w"), &standing_on(9)));
    assert!(set.is_chain_revoked(&node("w"), &ChainKeys::new(key(8), vec![])));
}

#[test]
fn tokens_are_forgotten_some_time_after_they_expired_and_nothing_else_is() {
    let token = |name: &str| ClientTokenId::try_from(name.to_owned()).unwrap();
    let mut set = set([
        at(1, "c", Subject::ClientToken { id: token("a"), expires: UnixMillis(1000) }),
        at(1, "c", Subject::JoinToken { id: "b".into(), expires: Some(UnixMillis(1000)) }),
        at(1, "c", Subject::JoinToken { id: "c".into(), expires: None }),
        at(1, "c", revoke("w")),
    ]);
    assert!(set.is_client_token_revoked(&token("a")) && set.is_join_token_revoked("b") && set.is_join_token_revoked("c"));
    assert_eq!(set.forget_expired(UnixMillis(1000 + KEPT_AFTER)), []);
    assert_eq!(set.forget_expired(UnixMillis(1001 + KEPT_AFTER)).len(), 2);
    assert!(!set.is_client_token_revoked(&token("a")) && !set.is_join_token_revoked("b"));
    assert!(set.is_join_token_revoked("c") && set.is_revoked(&node("w"), &key(1)));
    assert_eq!(set.digest().count, 2);
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
    prop_oneof![
        name().prop_map(revoke),
        (name(), b'a'..b'f').prop_map(|(name, number)| readmit(name, number)),
        (b'a'..b'f').prop_map(|number| Subject::Key { key: key(number) }),
        (0..3_u8).prop_map(|n| Subject::JoinToken { id: n.to_string(), expires: None }),
    ]
}

fn any_statement() -> impl Strategy<Value = (StatementId, Statement)> {
    (0..6_u64, prop::sample::select(vec!["a", "b", "c", "d"]), any_subject())
        .prop_map(|(time, by, subject)| at(time, by, subject))
}

proptest! {
    /// Commutative, associative, idempotent: whatever way statements take, two nodes that have the same come to the same.
    #[test]
    fn the_same_statements_come_to_the_same_in_whatever_order_and_however_often_they_come(
        statements in prop::collection::vec(any_statement(), 0..12),
        shuffled in any::<prop::sample::Index>(),
        halves in any::<prop::sample::Index>(),
    ) {
        let whole = set(statements.clone());
        let mut other = statements.clone();
        let places = other.len() + 1;
        other.rotate_left(shuffled.index(places));
        other.reverse();
        let (first, second) = other.split_at(halves.index(places));
        let mut parts = set(second.iter().cloned());
        parts.extend(first.iter().cloned());
        prop_assert_eq!(parts.extend(statements), vec![], "what is known is not new");
        prop_assert_eq!(whole.digest(), parts.digest());
        prop_assert_eq!(whole.effect, parts.effect);
    }

    /// A key that was revoked by somebody who might stays revoked, whatever is said later.
    #[test]
    fn nothing_that_is_said_later_brings_a_key_back(
        earlier in prop::collection::vec(any_statement(), 0..8),
        later in prop::collection::vec(any_statement(), 0..8),
    ) {
        let before = set(earlier.clone());
        let later = later.into_iter().map(|(_, s)| at(s.at.0 + 100, s.by.node_id.as_str(), s.subject));
        let after = set(earlier.into_iter().chain(later));
        for number in b'a'..b'f' {
            prop_assert!(!before.is_key_revoked(&key(number)) || after.is_key_revoked(&key(number)));
        }
    }
    /// Whoever is revoked in the end lets nobody in, whatever the dates on what it says.
    #[test]
    fn a_revoked_authors_readmissions_never_count(statements in prop::collection::vec(any_statement(), 0..12)) {
        let whole = set(statements.clone());
        let by_others = statements.into_iter().filter(|(_, statement)| {
            let by = &statement.by;
            !(matches!(statement.subject, Subject::Readmission { .. }) && whole.is_revoked(&by.node_id, &by.key))
        });
        prop_assert_eq!(set(by_others).effect, whole.effect);
    }
}
