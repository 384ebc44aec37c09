//! What is known of a node in the whole cluster: by this coordinator's record, and by those of the others, which are asked before a certificate is made.
//!
//! What one coordinator has bound to a key is bound everywhere, and a certificate that one has renewed is renewed nowhere else. So all records are looked
//! at as one.

use std::time::Duration;

use futures::future::{BoxFuture, ready};
use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::{KeyHash, RevocationSet},
};

use super::{
    super::{
        ca::{BACKDATED, NODE_VALIDITY},
        checks::{Check, holds},
        join::Refused,
        renewal::{CertificateInfo, LONGEST_RETRY},
    },
    IssuedNode,
};
use crate::once_a_minute::OnceAMinute;

/// How long a certificate that was renewed may still be used to renew: the answer may have been lost, and a node may have failed so often that it
/// waits long before it asks again.
const LOST_ANSWER: Duration = LONGEST_RETRY.saturating_mul(2);
/// Clocks of coordinators do not differ by more: a certificate that was made so long before a record is not later than that.
const CLOCKS_DIFFER: Duration = Duration::from_hours(48);
/// By so much, in milliseconds, the clock of another coordinator may be ahead.
const A_DAY: u64 = 24 * 3600 * 1000;
/// How long a certificate lives, in milliseconds. A new record is later than all that are no further ahead: so they do not come to count when their day has come.
/// Nor do those that are further ahead: they come nearer before that day, and a node that lives is renewed meanwhile.
const A_LIFE: u64 = NODE_VALIDITY.as_secs() * 1000;
/// A record is later than when it was written by no more than this, in milliseconds: it had to be later than others, which were a life ahead at most, by clocks
/// that differ.
const FURTHEST: u64 = A_LIFE + 2 * A_DAY;
/// Certificates tell when they were made to the second, in milliseconds.
const A_SECOND: u64 = 1000;

/// What another coordinator has noted of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedElsewhere {
    /// Which one.
    pub coordinator: NodeId,
    /// Its record.
    pub record: IssuedNode,
}

/// The other coordinators of the cluster, as an issuer asks them.
pub trait OtherCoordinators: Send + Sync + 'static {
    /// Their records of this node. Those that are known to be dead are not asked.
    ///
    /// # Errors
    /// [`Refused::Unanswered`] where one that is in the cluster does not answer.
    fn records_of<'a>(&'a self, node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>>;
}

/// A coordinator that is the only one, or makes no certificates.
#[derive(Debug, Clone, Copy)]
pub struct NoOthers;

impl OtherCoordinators for NoOthers {
    fn records_of<'a>(&'a self, _node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}

/// All records of one node.
pub(super) struct Records<'a>(Vec<Known<'a>>);

/// The two times of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// Later than every record that was known.
    pub(super) issued: UnixMillis,
    written: UnixMillis,
}

impl Times {
    /// The same, and no sooner than this.
    pub(super) fn no_sooner_than(self, time: UnixMillis) -> Self {
        Self { issued: self.issued.max(time), written: self.written.max(time) }
    }

    /// When it was written, where that is another time.
    pub(super) fn written(self) -> Option<UnixMillis> {
        (self.written != self.issued).then_some(self.written)
    }
}

/// Who wrote a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// This coordinator.
    This,
    /// Another one.
    Another,
}

/// A record, and whose it is.
struct Known<'a> {
    /// None for this coordinator's own.
    coordinator: Option<&'a NodeId>,
    record: &'a IssuedNode,
    /// Whether its time can be one at which it was written.
    is_of_now: bool,
    /// Whether it says that it was written tomorrow or later: when it was is not known.
    is_ahead: bool,
}

impl<'a> Records<'a> {
    /// Those of this coordinator and of others. Where a node was let in again with another key, they may still have the one that was taken back: that binds
    /// nobody. The time of one that was written tomorrow is not believed: it would count for more than what is written today.
    pub(super) fn of(
        own: Option<&'a IssuedNode>,
        elsewhere: &'a [NotedElsewhere],
        revoked: &RevocationSet,
        now: UnixMillis,
    ) -> Self {
        let is_ahead = |record: &IssuedNode| record.written().0 > now.0.saturating_add(A_DAY);
        let own = own.map(|record| Known {
            coordinator: None,
            record,
            is_of_now: is_of_now(record, Writer::This, now),
            is_ahead: is_ahead(record),
        });
        let others = elsewhere.iter().map(|NotedElsewhere { coordinator, record }| Known {
            coordinator: Some(coordinator),
            record,
            is_of_now: is_of_now(record, Writer::Another, now),
            is_ahead: is_ahead(record),
        });
        let is_good = |known: &Known<'_>| !revoked.is_revoked(&known.record.node_id, &known.record.key.into());
        Self(own.into_iter().chain(others).filter(is_good).collect())
    }

    /// Names in the log the other coordinators that have a record from tomorrow, each once a minute: nodes may be renewed often.
    pub(super) fn tell_of_those_ahead(&self, told: &OnceAMinute) {
        for known in self.0.iter().filter(|known| !known.is_of_now) {
            let Some(coordinator) = known.coordinator.filter(|coordinator| told.is_due(coordinator)) else { continue };
            tracing::error!(
                %coordinator,
                node_id = %known.record.node_id,
                issued = known.record.issued.0,
                "this coordinator has a record of a node from more than a day ahead of now, the time of which is ignored; look at its clock, and into that coordinator"
            );
        }
    }

    /// Whether the node id belongs to no other key than this one.
    ///
    /// # Errors
    /// [`Refused::OtherKey`]: who has bound it, and to which. That is for the operators; whoever wants a name is not told.
    pub(super) fn is_free_for(&self, key: &KeyHash) -> Result<(), Refused> {
        self.0.iter().find(|known| *key != known.record.key.into()).map_or(Ok(()), |other| Err(other.is_in_the_way()))
    }

    /// Whether the node that shows this certificate has the key to which its id is bound. A node that has left since, before this one was certified, has given its
    /// name up. When that was says the time at which a record was written: the other one may have had to be later than a record of a clock that was ahead, of
    /// which whoever certified this node was not told.
    fn has_its_key(&self, shown: &CertificateInfo) -> Result<(), Refused> {
        let is_other = |known: &&Known<'_>| shown.key != known.record.key.into();
        let last_own = self.0.iter().filter(|known| !is_other(known)).map(|known| known.record.written().0).max();
        let since = last_own.unwrap_or_default().max(made_at(shown));
        let is_past = |known: &&Known<'_>| known.record.has_left && (known.is_ahead || known.record.written().0 < since);
        let mut others = self.0.iter().filter(is_other);
        others.find(|known| !is_past(known)).map_or(Ok(()), |other| Err(other.is_in_the_way()))
    }

    /// Whether a node that shows this certificate may be the one that is known and may have another, where these are not all records. A later one may say that
    /// it has joined again in another role, or that this certificate is its last although it seems to be older than these, as the clock of its coordinator was
    /// behind.
    pub(super) fn may_be_renewed(&self, shown: &CertificateInfo, now: UnixMillis) -> Result<(), Refused> {
        self.has_its_key(shown)?;
        let is_long_before =
            |last: &IssuedNode| Duration::from_millis(last.written().0.saturating_sub(made_at(shown))) > CLOCKS_DIFFER;
        match self.last_of(&shown.key) {
            Some(last) if is_long_before(last) => must_be_last(last, shown, now),
            _ => Ok(()),
        }
    }

    /// Whether a node that shows this certificate is the one that is known, and may have another. It has to be its last: two machines with one key would be
    /// renewed for ever.
    pub(super) fn may_renew(&self, shown: &CertificateInfo, now: UnixMillis) -> Result<(), Refused> {
        self.is_bound(shown)?;
        self.last_of(&shown.key).map_or(Ok(()), |last| must_be_last(last, shown, now))
    }

    /// Whether a node that shows this certificate is the one that is known. It may have joined again in another role.
    pub(super) fn is_bound(&self, shown: &CertificateInfo) -> Result<(), Refused> {
        self.has_its_key(shown)?;
        match self.last_of(&shown.key) {
            Some(IssuedNode { role, .. }) if *role != shown.peer.role => {
                let node_id = shown.peer.node_id.clone();
                Err(Refused::OtherRole { node_id, role: *role, shown: shown.peer.role })
            }
            _ => Ok(()),
        }
    }

    /// The times of a new record that is written now: the last one is found by its time, and clocks of coordinators differ. It is also later than those that do
    /// not count yet, and would when their day has come; but not than those which are so far ahead that whoever writes them would push all others there.
    pub(super) fn after(&self, now: UnixMillis) -> Times {
        let latest = |times: &mut dyn Iterator<Item = UnixMillis>| times.max().map_or(now, |last| now.max(just_after(last)));
        let is_near = |known: &&Known<'_>| known.is_of_now || known.record.issued.0 <= now.0.saturating_add(A_LIFE);
        let written = latest(&mut self.0.iter().filter(|known| known.is_of_now).map(|known| known.record.written()));
        let issued = latest(&mut self.0.iter().filter(is_near).map(|known| known.record.issued));
        Times { issued, written }.no_sooner_than(written)
    }

    /// The last one of a node with this key. One of another key, whose node has left, says nothing of its certificates.
    fn last_of(&self, key: &KeyHash) -> Option<&'a IssuedNode> {
        let believed = self.0.iter().filter(|known| known.is_of_now).map(|known| known.record);
        believed.filter(|record| *key == record.key.into()).max_by_key(|record| record.issued)
    }
}

impl Known<'_> {
    /// That this record binds the node to another key than the one that asks.
    fn is_in_the_way(&self) -> Refused {
        let IssuedNode { node_id, key, .. } = self.record;
        Refused::OtherKey { node_id: node_id.clone(), key: (*key).into(), coordinator: self.coordinator.cloned() }
    }
}

/// Whether a record's time can be one at which this coordinator, or another one, wrote it. Its own clock may have been set back since: what it has written
/// itself is not so soon doubted.
pub(super) fn is_of_now(record: &IssuedNode, writer: Writer, now: UnixMillis) -> bool {
    let written = record.written().0;
    let ahead = match writer {
        Writer::This => A_LIFE,
        Writer::Another => A_DAY,
    };
    written <= now.0.saturating_add(ahead) && record.issued.0 <= written.saturating_add(FURTHEST)
}

/// Whether this certificate is the one in the last record, the one before where the answer may have been lost, or newer.
fn must_be_last(last: &IssuedNode, shown: &CertificateInfo, now: UnixMillis) -> Result<(), Refused> {
    let is_last = last.certificate.is_none_or(|last| last == shown.hash);
    let written = last.written().0;
    let ago = Duration::from_millis(now.0.saturating_sub(written));
    let was_lost = last.previous == Some(shown.hash) && ago < LOST_ANSWER;
    // A coordinator that was set back to a backup, or is the only one that is left, knows an older one than the node has; a copy of the folder has none
    // that is newer.
    let is_newer = made_at(shown) > written.saturating_add(A_SECOND);
    if holds(Check::LastCertificate, is_last || was_lost || is_newer) {
        return Ok(());
    }
    Err(Refused::Superseded { node_id: shown.peer.node_id.clone() })
}

fn just_after(time: UnixMillis) -> UnixMillis {
    UnixMillis(time.0.saturating_add(1))
}

/// Later than the record of this certificate, which may be one that nobody could be asked for.
pub(super) fn after_certificate(shown: &CertificateInfo) -> UnixMillis {
    UnixMillis(made_at(shown).saturating_add(A_SECOND))
}

/// When it was made, in milliseconds, by the clock of whoever made it.
fn made_at(shown: &CertificateInfo) -> u64 {
    shown.from.as_secs().saturating_add(BACKDATED.as_secs()).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use p2p_client::{
        protocol::Role,
        revocation::{Author, Reason, Statement, StatementId, Subject},
    };
    use rustls_pki_types::CertificateDer;
    use tokio::time::advance;

    use super::*;
    use crate::identity::{CertificateHash, NodeKey, tests};

    /// When the certificate that is shown was made, in milliseconds.
    const MADE: u64 = 1_000_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn hash(number: u8) -> CertificateHash {
        CertificateHash::of(&CertificateDer::from(vec![number]))
    }

    /// A worker that shows its certificate number 1, and a record that says that this is its last.
    fn shown() -> (CertificateInfo, IssuedNode) {
        let w = tests::worker(&tests::cluster().1, "w");
        let from = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_millis(MADE).saturating_sub(BACKDATED));
        let shown = CertificateInfo { hash: hash(1), from, ..w.certificate().unwrap() };
        let record = IssuedNode {
            key: w.key().public().thumbprint(),
            issued: UnixMillis(MADE),
            certificate: Some(hash(1)),
            ..tests::issued_node("w", Role::Worker)
        };
        (shown, record)
    }

    /// The times of a record that is as late as it was written.
    fn at(time: u64) -> Times {
        Times { issued: UnixMillis(time), written: UnixMillis(time) }
    }

    /// The same node, renewed to this certificate so many milliseconds later.
    fn renewed(record: &IssuedNode, to: u8, later: u64) -> IssuedNode {
        let issued = UnixMillis(record.issued.0 + later);
        IssuedNode { certificate: Some(hash(to)), previous: record.certificate, issued, ..record.clone() }
    }

    /// These, as another coordinator has them.
    fn noted(records: &[IssuedNode]) -> Vec<NotedElsewhere> {
        let coordinator: NodeId = "c-2".parse().unwrap();
        records.iter().map(|record| NotedElsewhere { coordinator: coordinator.clone(), record: record.clone() }).collect()
    }

    #[test]
    fn the_time_of_a_record_from_tomorrow_is_not_believed_and_the_log_names_whose_it_is() {
        let log = tests::AuditLines::capture();
        let ((shown, last), now, set) = (shown(), UnixMillis(MADE), RevocationSet::default());
        let (a_day, a_life) = (MADE + 24 * HOUR, MADE + 365 * 24 * HOUR);
        for (issued, written_after, issued_after) in [
            (a_day, a_day, a_day),
            (a_day + 1, MADE, a_day + 1),
            (a_life, MADE, a_life),
            (a_life + 1, MADE, MADE),
            (u64::MAX, MADE, MADE),
        ] {
            let noted = noted(&[IssuedNode { issued: UnixMillis(issued), ..renewed(&last, 2, HOUR) }]);
            let records = Records::of(Some(&last), &noted, &set, now);
            records.tell_of_those_ahead(&OnceAMinute::default());
            let times = Times { issued: UnixMillis(issued_after + 1), written: UnixMillis(written_after + 1) };
            assert_eq!(records.after(now), times, "{issued}");
            assert_eq!(records.may_renew(&shown, now), Ok(()));
        }
        let logged = log.take_all();
        assert!(logged.contains(&format!("and into that coordinator coordinator=c-2 node_id=w issued={}", u64::MAX)), "{logged}");
        assert_eq!(logged.lines().count(), 4, "{logged}");
        // The key to which it binds the node counts whatever its time.
        let other =
            IssuedNode { key: NodeKey::generate().unwrap().public().thumbprint(), issued: UnixMillis(u64::MAX), ..last.clone() };
        assert!(Records::of(Some(&last), &noted(&[other]), &set, now).is_bound(&shown).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_has_records_from_tomorrow_is_named_once_a_minute_however_many_nodes_are_renewed() {
        let log = tests::AuditLines::capture();
        let ((_, last), now, told) = (shown(), UnixMillis(MADE), OnceAMinute::default());
        let ahead = |node_id: &str| IssuedNode {
            node_id: node_id.parse().unwrap(),
            issued: UnixMillis(MADE + 25 * HOUR),
            ..last.clone()
        };
        let named = |node_id: &str| {
            let noted = noted(&[ahead(node_id)]);
            Records::of(Some(&last), &noted, &RevocationSet::default(), now).tell_of_those_ahead(&told);
            log.take_all().lines().count()
        };
        assert_eq!(["w", "w", "v"].map(named), [1, 0, 0]);
        advance(Duration::from_mins(1)).await;
        assert_eq!(["v", "w"].map(named), [1, 0]);
        // What it has written itself is its own clock's matter.
        Records::of(Some(&ahead("w")), &[], &RevocationSet::default(), UnixMillis(0))
            .tell_of_those_ahead(&OnceAMinute::default());
        assert_eq!(log.take_all(), "");
    }

    #[test]
    fn the_last_record_counts_whoever_has_it() {
        let (shown, last) = shown();
        let now = UnixMillis(MADE + 20 * HOUR);
        let is_renewed = |own: Option<&IssuedNode>, elsewhere: &[IssuedNode]| {
            Records::of(own, &noted(elsewhere), &RevocationSet::default(), now).may_renew(&shown, now)
        };
        let superseded = Err(Refused::Superseded { node_id: last.node_id.clone() });
        assert_eq!(is_renewed(None, &[]), Ok(()), "nobody knows it");
        assert_eq!(is_renewed(Some(&last), &[]), Ok(()));
        let (lately, long_ago) = (renewed(&last, 2, 19 * HOUR), renewed(&last, 2, HOUR));
        assert_eq!(is_renewed(Some(&last), std::slice::from_ref(&lately)), Ok(()), "the answer may have been lost");
        assert_eq!(is_renewed(Some(&last), std::slice::from_ref(&long_ago)), superseded);
        assert_eq!(is_renewed(Some(&long_ago), std::slice::from_ref(&last)), superseded);
        assert_eq!(is_renewed(None, &[last.clone(), renewed(&lately, 3, 1)]), superseded, "twice since");
        let before = IssuedNode { certificate: Some(hash(9)), issued: UnixMillis(MADE - HOUR), ..last.clone() };
        assert_eq!(is_renewed(Some(&before), &[]), Ok(()), "newer than what is left of the records");
        assert_eq!(is_renewed(Some(&before), &[long_ago]), superseded);
    }

    #[test]
    fn a_record_that_had_to_be_later_than_one_from_next_month_counts_at_once_and_when_it_was_written_says_who_is_a_copy() {
        let (shown, last) = shown();
        let month = 30 * 24 * HOUR;
        let wrong = IssuedNode { certificate: Some(hash(7)), issued: UnixMillis(MADE + month), ..last.clone() };
        let times = Records::of(Some(&last), &noted(std::slice::from_ref(&wrong)), &RevocationSet::default(), last.issued)
            .after(UnixMillis(MADE + HOUR));
        let next = IssuedNode { issued: times.issued, written: times.written(), ..renewed(&last, 2, 0) };
        assert_eq!((next.issued.0, next.written().0), (MADE + month + 1, MADE + HOUR));
        let second = CertificateInfo { hash: hash(2), ..shown.clone() };
        // Long after an answer may have been lost, and when the day of the wrong one has come.
        for now in [MADE + 20 * HOUR, MADE + month, MADE + 2 * month].map(UnixMillis) {
            let may_renew = |own: &IssuedNode, elsewhere: &[IssuedNode], shown: &CertificateInfo| {
                Records::of(Some(own), &noted(elsewhere), &RevocationSet::default(), now).may_renew(shown, now)
            };
            for (own, elsewhere) in [(&next, [last.clone(), wrong.clone()]), (&last, [next.clone(), wrong.clone()])] {
                assert_eq!(may_renew(own, &elsewhere, &second), Ok(()));
                assert!(matches!(may_renew(own, &elsewhere, &shown), Err(Refused::Superseded { .. })));
            }
        }
    }

    #[test]
    fn a_record_that_is_later_than_anything_that_could_be_known_when_it_was_written_never_counts() {
        let (shown, last) = shown();
        let written = Some(last.issued);
        let false_one =
            IssuedNode { certificate: Some(hash(7)), issued: UnixMillis(MADE + FURTHEST + 1), written, ..last.clone() };
        let near = IssuedNode { issued: UnixMillis(MADE + FURTHEST), ..false_one.clone() };
        for now in [MADE, MADE + FURTHEST, MADE + 2 * FURTHEST].map(UnixMillis) {
            let may_renew = |other: &IssuedNode| {
                Records::of(Some(&last), &noted(std::slice::from_ref(other)), &RevocationSet::default(), now)
                    .may_renew(&shown, now)
            };
            assert_eq!(may_renew(&false_one), Ok(()));
            assert!(may_renew(&near).is_err());
        }
    }

    #[test]
    fn what_a_coordinator_has_written_itself_counts_where_its_clock_was_set_back_by_less_than_a_certificate_lives() {
        let (shown, last) = shown();
        let own = renewed(&last, 2, 20 * HOUR);
        let may_renew = |now: u64| {
            let now = UnixMillis(now);
            Records::of(Some(&own), &[], &RevocationSet::default(), now).may_be_renewed(&shown, now).is_ok()
                && Records::of(Some(&own), &[], &RevocationSet::default(), now).last_of(&shown.key).is_none()
        };
        assert!(!may_renew(own.issued.0 - A_LIFE));
        assert!(may_renew(own.issued.0 - A_LIFE - 1));
    }

    #[test]
    fn an_id_that_any_record_binds_to_another_key_is_bound_until_that_key_is_revoked_and_the_role_is_the_last_ones() {
        let (shown, last) = shown();
        let other = IssuedNode { key: NodeKey::generate().unwrap().public().thumbprint(), issued: UnixMillis(1), ..last.clone() };
        let key = other.key.into();
        let by = Author { node_id: "c".parse().unwrap(), key: last.key.into() };
        let statement = Statement { subject: Subject::Key { key }, at: UnixMillis(2), by, reason: Reason::default() };
        let mut revoked = RevocationSet::default();
        let other_role = Refused::OtherRole { node_id: last.node_id.clone(), role: Role::Coordinator, shown: Role::Worker };
        let is_bound = |own: &IssuedNode, other: &IssuedNode, revoked: &RevocationSet| {
            Records::of(Some(own), &noted(std::slice::from_ref(other)), revoked, UnixMillis(MADE)).is_bound(&shown)
        };
        let to_other = |coordinator: Option<&str>| {
            let coordinator = coordinator.map(|name| name.parse().unwrap());
            Err(Refused::OtherKey { node_id: last.node_id.clone(), key, coordinator })
        };
        assert_eq!(is_bound(&last, &other, &revoked), to_other(Some("c-2")));
        assert_eq!(is_bound(&other, &last, &revoked), to_other(None));
        let text = to_other(Some("c-2")).unwrap_err().to_string();
        assert!(text.contains(&format!("c-2 has bound w to the key {key}")), "{text}");
        assert!(text.contains(&format!("revoke that key and nothing else: `p2p node revoke --key {key}`")), "{text}");
        let left = IssuedNode { has_left: true, ..other.clone() };
        assert_eq!(is_bound(&last, &left, &revoked), Ok(()), "it left before this one came");
        let left = IssuedNode { issued: UnixMillis(MADE + HOUR), ..left };
        assert_eq!(is_bound(&last, &left, &revoked), to_other(Some("c-2")));
        revoked.extend([(StatementId::from_bytes([1; 16]), statement)]);
        assert_eq!(is_bound(&other, &last, &revoked), Ok(()));

        let coordinator = IssuedNode { role: Role::Coordinator, issued: UnixMillis(1), ..last.clone() };
        assert_eq!(is_bound(&coordinator, &last, &revoked), Ok(()));
        let coordinator = IssuedNode { issued: UnixMillis(MADE + 1), ..coordinator };
        let text = other_role.to_string();
        assert_eq!(is_bound(&coordinator, &last, &revoked), Err(other_role));
        assert!(text.contains("w shows its certificate as a worker, and has joined again as a coordinator since"), "{text}");
        assert!(text.contains("stop the copy") && text.contains("`p2p join --again --role ROLE`"), "{text}");
        assert!(!text.contains("key"), "{text}");
    }

    #[test]
    fn a_node_that_has_left_is_in_nobodys_way_because_a_clock_was_ahead_once() {
        let (shown, last) = shown();
        let key = NodeKey::generate().unwrap().public().thumbprint();
        let year = 365 * 24 * HOUR;
        let left = |issued: u64, written: Option<u64>| IssuedNode {
            key,
            issued: UnixMillis(issued),
            written: written.map(UnixMillis),
            has_left: true,
            ..last.clone()
        };
        let may_renew = |left: &IssuedNode, now: u64| {
            let (left, now) = (noted(std::slice::from_ref(left)), UnixMillis(now));
            let records = Records::of(Some(&last), &left, &RevocationSet::default(), now);
            assert_eq!(records.may_be_renewed(&shown, now), records.may_renew(&shown, now));
            records.may_renew(&shown, now)
        };
        for now in [MADE, MADE + 20 * HOUR, MADE + year].map(|now| now + 1) {
            // It was certified before this one, and had to be later than a record from next year.
            assert_eq!(may_renew(&left(MADE + year, Some(MADE - HOUR)), now), Ok(()), "{now}");
            // It was certified after this one.
            let said = may_renew(&left(MADE + year, Some(MADE + 1)), now);
            assert!(matches!(said, Err(Refused::OtherKey { .. })), "{now}: {said:?}");
        }
        // By a clock that was ahead itself: when it was is not known, and it has left.
        assert_eq!(may_renew(&left(MADE + year, None), MADE), Ok(()));
        assert_eq!(may_renew(&left(u64::MAX, None), MADE), Ok(()));
        // One that has not left is in the way whenever it was.
        let bound = IssuedNode { has_left: false, ..left(MADE + year, Some(MADE - HOUR)) };
        assert!(matches!(may_renew(&bound, MADE), Err(Refused::OtherKey { .. })));
    }

    #[test]
    fn a_new_record_is_later_than_all_that_were_seen_whatever_the_clock_says() {
        let (shown, last) = shown();
        let ahead = renewed(&last, 2, HOUR);
        let set = RevocationSet::default();
        assert_eq!(
            Records::of(Some(&last), &noted(&[ahead]), &set, UnixMillis(MADE)).after(UnixMillis(MADE)),
            at(MADE + HOUR + 1)
        );
        let (later, own) = (UnixMillis(MADE + HOUR), Records::of(Some(&last), &[], &set, UnixMillis(MADE)));
        assert_eq!(own.after(later), at(MADE + HOUR));
        assert_eq!(own.after(UnixMillis(MADE - HOUR)), at(MADE + 1));
        assert!(after_certificate(&shown) > UnixMillis(MADE));
    }
}
