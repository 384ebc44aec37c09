//! Who holds a certificate, by the records of all coordinators together: for the count of who has none under the next root yet.
//!
//! A node that is left out of that count too early is left behind with the root that is dropped. So what is not known is taken for the worse: a record whose
//! time cannot be right says that there is such a node, and nothing of its certificate; and where an id is bound to two keys, it has what both have.

use std::collections::BTreeMap;

use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{KeyHash, RevocationSet},
};

use super::{
    IssuedNode,
    records::{Writer, is_of_now},
};

/// What all records of one node say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Certified {
    /// Whether it has left for good, or was revoked.
    pub(crate) is_gone: bool,
    /// Whether it may be a coordinator.
    pub(crate) is_coordinator: bool,
    /// Whether its last certificate is one of those that are looked for.
    pub(crate) has_new: bool,
}

impl Certified {
    /// What is known of an id that has this one, and another one by another key. Who is gone says nothing of who is there.
    fn and(self, other: Self) -> Self {
        match (self.is_gone, other.is_gone) {
            (true, false) => other,
            (false, true) => self,
            _ => Self {
                is_gone: self.is_gone,
                is_coordinator: self.is_coordinator || other.is_coordinator,
                has_new: self.has_new && other.has_new,
            },
        }
    }
}

/// A record, and whether its time counts.
#[derive(Clone, Copy)]
struct Noted<'a> {
    record: &'a IssuedNode,
    is_believed: bool,
}

impl Noted<'_> {
    fn rank(self) -> (bool, UnixMillis) {
        (self.is_believed, self.record.issued)
    }
}

/// All nodes of which this coordinator's own records or those of others tell. The last record of a node with one key counts; `is_new` says whether the certificate
/// in it is one of those that are looked for.
pub(crate) fn certified<'a>(
    own: &'a [IssuedNode],
    elsewhere: impl Iterator<Item = &'a IssuedNode>,
    revoked: &RevocationSet,
    now: UnixMillis,
    is_new: impl Fn(&IssuedNode) -> bool,
) -> BTreeMap<NodeId, Certified> {
    let noted = |record, writer| Noted { record, is_believed: is_of_now(record, writer, now) };
    let own = own.iter().map(|record| noted(record, Writer::This));
    let mut last = BTreeMap::<(&NodeId, KeyHash), Noted<'_>>::new();
    for noted in own.chain(elsewhere.map(|record| noted(record, Writer::Another))) {
        let known = last.entry((&noted.record.node_id, noted.record.key.into())).or_insert(noted);
        if noted.rank() > known.rank() {
            *known = noted;
        }
    }
    let mut nodes = BTreeMap::<NodeId, Certified>::new();
    for ((node_id, key), Noted { record, is_believed }) in last {
        let is = Certified {
            is_gone: is_believed && record.has_left || revoked.is_revoked(node_id, &key),
            is_coordinator: record.role == Role::Coordinator,
            has_new: is_believed && is_new(record),
        };
        nodes.entry(node_id.clone()).and_modify(|other| *other = other.and(is)).or_insert(is);
    }
    nodes
}

#[cfg(test)]
mod tests {
    use p2p_client::revocation::{Author, Reason, Statement, StatementId, Subject};

    use super::*;
    use crate::identity::tests::issued_node;

    const NOW: UnixMillis = UnixMillis(1_000_000_000_000);
    const HOUR: u64 = 3_600_000;
    const MONTH: u64 = 30 * 24 * HOUR;

    /// The key of the next root, by which a certificate counts as new.
    fn next() -> KeyHash {
        KeyHash::new([7; 32])
    }

    /// A record of the node `w`, with a key of its own, under the old root, from so many hours ago.
    fn old(hours: u64) -> IssuedNode {
        IssuedNode { issued: UnixMillis(NOW.0 - hours * HOUR), ..issued_node("w", Role::Worker) }
    }

    /// The same node, with a certificate under the next root from so many hours ago.
    fn new(record: &IssuedNode, hours: u64) -> IssuedNode {
        IssuedNode { issued: UnixMillis(NOW.0 - hours * HOUR), root: Some(next()), ..record.clone() }
    }

    fn count(own: &[IssuedNode], elsewhere: &[IssuedNode], revoked: &RevocationSet) -> Certified {
        let nodes = certified(own, elsewhere.iter(), revoked, NOW, |record| record.root == Some(next()));
        assert_eq!(nodes.len(), 1);
        *nodes.values().next().unwrap()
    }

    fn has_new(own: &[IssuedNode], elsewhere: &[IssuedNode]) -> bool {
        count(own, elsewhere, &RevocationSet::default()).has_new
    }

    #[test]
    fn the_last_record_of_a_node_counts_whoever_has_it() {
        let before = old(9);
        assert!(!has_new(std::slice::from_ref(&before), &[]));
        assert!(has_new(std::slice::from_ref(&before), &[new(&before, 3)]));
        assert!(has_new(&[new(&before, 3)], std::slice::from_ref(&before)));
        assert!(!has_new(&[new(&before, 10)], std::slice::from_ref(&before)));
    }

    #[test]
    fn a_record_whose_time_cannot_be_right_hides_none_and_alone_it_does_not_say_that_the_node_was_reissued() {
        let before = old(9);
        for issued in [NOW.0 + 25 * HOUR, NOW.0 + 11 * MONTH, u64::MAX] {
            let ahead = IssuedNode { issued: UnixMillis(issued), ..new(&before, 0) };
            assert!(!has_new(std::slice::from_ref(&before), std::slice::from_ref(&ahead)), "{issued}");
            assert!(!has_new(&[], std::slice::from_ref(&ahead)), "{issued}");
            let left = IssuedNode { has_left: true, ..ahead };
            assert!(!count(std::slice::from_ref(&before), std::slice::from_ref(&left), &RevocationSet::default()).is_gone);
            assert!(!count(&[], &[left], &RevocationSet::default()).is_gone, "{issued}");
            // Nor does one that is under the old root keep a node that was reissued since from counting.
            let ahead = IssuedNode { issued: UnixMillis(issued), ..before.clone() };
            assert!(has_new(&[new(&before, 3)], &[ahead]), "{issued}");
        }
        // One that had to be later than a record from ahead counts at once.
        let later = IssuedNode { issued: UnixMillis(NOW.0 + 11 * MONTH), written: Some(NOW), ..new(&before, 0) };
        assert!(has_new(std::slice::from_ref(&before), &[later]));
        // This coordinator's own clock may have been ahead.
        let own = IssuedNode { issued: UnixMillis(NOW.0 + 11 * MONTH), ..new(&before, 0) };
        assert!(has_new(&[own], &[before]));
    }

    #[test]
    fn who_left_with_another_key_does_not_hide_who_has_joined_anew_and_of_two_keys_both_have_to_be_reissued() {
        let (gone, here) = (IssuedNode { has_left: true, ..new(&old(0), 1) }, old(9));
        let both = count(std::slice::from_ref(&gone), std::slice::from_ref(&here), &RevocationSet::default());
        assert_eq!(both, Certified { is_gone: false, is_coordinator: false, has_new: false });
        assert!(count(std::slice::from_ref(&gone), &[], &RevocationSet::default()).is_gone);
        let other = new(&old(0), 2);
        assert!(!has_new(std::slice::from_ref(&here), std::slice::from_ref(&other)));
        assert!(has_new(&[new(&here, 3)], std::slice::from_ref(&other)));
        // A key that was revoked counts no more, whatever its record says.
        let by = Author { node_id: "c".parse().unwrap(), key: next() };
        let statement = Statement { subject: Subject::Key { key: here.key.into() }, at: NOW, by, reason: Reason::default() };
        let mut revoked = RevocationSet::default();
        revoked.extend([(StatementId::from_bytes([1; 16]), statement)]);
        assert!(count(std::slice::from_ref(&here), &[other], &revoked).has_new);
        let ahead = IssuedNode { issued: UnixMillis(u64::MAX), ..here };
        assert!(count(&[], &[ahead], &revoked).is_gone);
    }

    #[test]
    fn a_node_that_one_record_calls_a_coordinator_may_be_one() {
        let worker = old(9);
        let coordinator = IssuedNode { role: Role::Coordinator, ..old(3) };
        assert!(count(&[worker], &[coordinator], &RevocationSet::default()).is_coordinator);
    }
}
