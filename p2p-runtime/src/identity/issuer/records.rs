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
        ca::BACKDATED,
        join::Refused,
        renewal::{CertificateInfo, LONGEST_RETRY},
    },
    IssuedNode,
};

/// How long a certificate that was renewed may still be used to renew: the answer may have been lost, and a node may have failed so often that it
/// waits long before it asks again.
const LOST_ANSWER: Duration = LONGEST_RETRY.saturating_mul(2);
/// Clocks of coordinators do not differ by more: a certificate that was made so long before a record is not later than that.
const CLOCKS_DIFFER: Duration = Duration::from_hours(48);
/// Certificates tell when they were made to the second, in milliseconds.
const A_SECOND: u64 = 1000;

/// The other coordinators of the cluster, as an issuer asks them.
pub trait OtherCoordinators: Send + Sync + 'static {
    /// Their records of this node. Those that are known to be dead are not asked.
    ///
    /// # Errors
    /// [`Refused::Unanswered`] where one that is in the cluster does not answer.
    fn records_of<'a>(&'a self, node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<IssuedNode>, Refused>>;
}

/// A coordinator that is the only one, or makes no certificates.
#[derive(Debug, Clone, Copy)]
pub struct NoOthers;

impl OtherCoordinators for NoOthers {
    fn records_of<'a>(&'a self, _node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<IssuedNode>, Refused>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}

/// All records of one node.
pub(super) struct Records<'a>(Vec<&'a IssuedNode>);

impl<'a> Records<'a> {
    /// Those of this coordinator and of others. Where a node was let in again with another key, they may still have the one that was taken back: that binds
    /// nobody.
    pub(super) fn of(own: Option<&'a IssuedNode>, elsewhere: &'a [IssuedNode], revoked: &RevocationSet) -> Self {
        let all = own.into_iter().chain(elsewhere);
        Self(all.filter(|record| !revoked.is_revoked(&record.node_id, &record.key.into())).collect())
    }

    /// Whether the node id belongs to another key than this one.
    pub(super) fn is_of_another(&self, key: &KeyHash) -> bool {
        self.0.iter().any(|record| *key != record.key.into())
    }

    /// Whether a node that shows this certificate may be the one that is known and may have another, where these are not all records. A later one may say that
    /// it has joined again in another role, or that this certificate is its last although it seems to be older than these, as the clock of its coordinator was
    /// behind.
    pub(super) fn may_be_renewed(&self, shown: &CertificateInfo, now: UnixMillis) -> Result<(), Refused> {
        if self.is_of_another(&shown.key) {
            return Err(Refused::NodeBound { node_id: shown.peer.node_id.clone() });
        }
        let is_long_before =
            |last: &IssuedNode| Duration::from_millis(last.issued.0.saturating_sub(made_at(shown))) > CLOCKS_DIFFER;
        match self.last() {
            Some(last) if is_long_before(last) => must_be_last(last, shown, now),
            _ => Ok(()),
        }
    }

    /// Whether a node that shows this certificate is the one that is known, and may have another. It has to be its last: two machines with one key would be
    /// renewed for ever.
    pub(super) fn may_renew(&self, shown: &CertificateInfo, now: UnixMillis) -> Result<(), Refused> {
        self.is_bound(shown)?;
        self.last().map_or(Ok(()), |last| must_be_last(last, shown, now))
    }

    /// Whether a node that shows this certificate is the one that is known. It may have joined again in another role.
    pub(super) fn is_bound(&self, shown: &CertificateInfo) -> Result<(), Refused> {
        let has_other_role = self.last().is_some_and(|last| last.role != shown.peer.role);
        if has_other_role || self.is_of_another(&shown.key) {
            return Err(Refused::NodeBound { node_id: shown.peer.node_id.clone() });
        }
        Ok(())
    }

    /// Now, and later than every record: the last one is found by its time, and clocks of coordinators differ.
    pub(super) fn after(&self, now: UnixMillis) -> UnixMillis {
        self.last().map_or(now, |last| now.max(UnixMillis(last.issued.0.saturating_add(1))))
    }

    fn last(&self) -> Option<&'a IssuedNode> {
        self.0.iter().copied().max_by_key(|record| record.issued)
    }
}

/// Whether this certificate is the one in the last record, the one before where the answer may have been lost, or newer.
fn must_be_last(last: &IssuedNode, shown: &CertificateInfo, now: UnixMillis) -> Result<(), Refused> {
    let is_last = last.certificate.is_none_or(|last| last == shown.hash);
    let ago = Duration::from_millis(now.0.saturating_sub(last.issued.0));
    let was_lost = last.previous == Some(shown.hash) && ago < LOST_ANSWER;
    // A coordinator that was set back to a backup, or is the only one that is left, knows an older one than the node has; a copy of the folder has none
    // that is newer.
    let is_newer = made_at(shown) > last.issued.0.saturating_add(A_SECOND);
    if is_last || was_lost || is_newer {
        return Ok(());
    }
    let node_id = &shown.peer.node_id;
    tracing::error!(%node_id, "a certificate was used to renew that was renewed before; is the node's folder in use twice?");
    Err(Refused::Superseded { node_id: node_id.clone() })
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
            node_id: w.peer().node_id.clone(),
            role: Role::Worker,
            key: w.key().public().thumbprint(),
            token: None,
            issued: UnixMillis(MADE),
            certificate: Some(hash(1)),
            previous: None,
            root: None,
            has_left: false,
            stood_on: [].into(),
        };
        (shown, record)
    }

    /// The same node, renewed to this certificate so many milliseconds later.
    fn renewed(record: &IssuedNode, to: u8, later: u64) -> IssuedNode {
        let issued = UnixMillis(record.issued.0 + later);
        IssuedNode { certificate: Some(hash(to)), previous: record.certificate, issued, ..record.clone() }
    }

    #[test]
    fn the_last_record_counts_whoever_has_it() {
        let (shown, last) = shown();
        let now = UnixMillis(MADE + 20 * HOUR);
        let is_renewed = |own: Option<&IssuedNode>, elsewhere: &[IssuedNode]| {
            Records::of(own, elsewhere, &RevocationSet::default()).may_renew(&shown, now)
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
    fn an_id_that_any_record_binds_to_another_key_is_bound_until_that_key_is_revoked_and_the_role_is_the_last_ones() {
        let (shown, last) = shown();
        let other = IssuedNode { key: NodeKey::generate().unwrap().public().thumbprint(), issued: UnixMillis(1), ..last.clone() };
        let key = other.key.into();
        let by = Author { node_id: "c".parse().unwrap(), key: last.key.into() };
        let statement = Statement { subject: Subject::Key { key }, at: UnixMillis(2), by, reason: Reason::default() };
        let mut revoked = RevocationSet::default();
        let bound = Err(Refused::NodeBound { node_id: last.node_id.clone() });
        assert_eq!(Records::of(Some(&last), std::slice::from_ref(&other), &revoked).is_bound(&shown), bound);
        assert_eq!(Records::of(Some(&other), std::slice::from_ref(&last), &revoked).is_bound(&shown), bound);
        revoked.extend([(StatementId::from_bytes([1; 16]), statement)]);
        assert_eq!(Records::of(Some(&other), std::slice::from_ref(&last), &revoked).is_bound(&shown), Ok(()));

        let coordinator = IssuedNode { role: Role::Coordinator, issued: UnixMillis(1), ..last.clone() };
        assert_eq!(Records::of(Some(&coordinator), std::slice::from_ref(&last), &revoked).is_bound(&shown), Ok(()));
        let coordinator = IssuedNode { issued: UnixMillis(MADE + 1), ..coordinator };
        assert_eq!(Records::of(Some(&coordinator), &[last], &revoked).is_bound(&shown), bound);
    }

    #[test]
    fn a_new_record_is_later_than_all_that_were_seen_whatever_the_clock_says() {
        let (shown, last) = shown();
        let ahead = renewed(&last, 2, HOUR);
        let set = RevocationSet::default();
        assert_eq!(Records::of(Some(&last), &[ahead], &set).after(UnixMillis(MADE)), UnixMillis(MADE + HOUR + 1));
        assert_eq!(Records::of(None, &[last], &set).after(UnixMillis(MADE + HOUR)), UnixMillis(MADE + HOUR));
        assert!(after_certificate(&shown) > UnixMillis(MADE));
    }
}
