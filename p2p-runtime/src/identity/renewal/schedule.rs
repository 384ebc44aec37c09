//! When a certificate is renewed: a pure function of the certificate, the node's name and how often it has failed.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use p2p_client::protocol::NodeId;
use rustls_pki_types::UnixTime;

/// How long before its end a certificate is renewed; a third of its life, if that is less.
const LEAD: Duration = Duration::from_hours(30 * 24);
/// Nodes that joined together do not renew together: each is earlier by up to this part of the lead.
const SPREAD: u32 = 10;
const FIRST_RETRY: Duration = Duration::from_mins(1);
const LONGEST_RETRY: Duration = Duration::from_hours(6);
/// However little time is left, no coordinator is asked more often.
const SHORTEST_RETRY: Duration = Duration::from_secs(5);

/// The plan of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    node_id: NodeId,
}

impl Schedule {
    /// The plan of this node.
    pub fn new(node_id: NodeId) -> Self {
        Self { node_id }
    }

    /// When a certificate that is valid `from` then `until` then is renewed.
    ///
    /// ```
    /// use p2p_runtime::identity::renewal::Schedule;
    /// use rustls_pki_types::UnixTime;
    /// use std::time::Duration;
    ///
    /// const DAY: u64 = 86_400;
    /// let at = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * DAY));
    /// let due = Schedule::new("worker-1".parse()?).due(at(1000), at(1365));
    /// assert!((1332..=1335).contains(&(due.as_secs() / DAY)), "30 to 33 days before the end");
    /// # Ok::<(), p2p_client::protocol::InvalidId>(())
    /// ```
    pub fn due(&self, from: UnixTime, until: UnixTime) -> UnixTime {
        let life = Duration::from_secs(until.as_secs().saturating_sub(from.as_secs()));
        let lead = LEAD.min(life / 3);
        let early = lead + (lead / SPREAD).mul_f64(self.share(0));
        UnixTime::since_unix_epoch(Duration::from_secs(until.as_secs()).saturating_sub(early))
    }

    /// How long to wait after so many failures in a row, with so much of the certificate's time left: ever longer, but so that there are some more
    /// attempts before the end.
    pub fn retry(&self, failures: u32, left: Duration) -> Duration {
        let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_RETRY);
        doubled.mul_f64(0.5 + self.share(failures) / 2.0).min(left / 8).max(SHORTEST_RETRY)
    }

    /// From 0 to 1, always the same for this node and number, and different for others.
    fn share(&self, number: u32) -> f64 {
        let hash = digest(&SHA256, &[self.node_id.as_str().as_bytes(), &number.to_be_bytes()].concat());
        let bytes = hash.as_ref();
        f64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn schedule(number: u32) -> Schedule {
        Schedule::new(format!("worker-{number}").parse().unwrap())
    }

    #[test]
    fn a_years_certificate_is_renewed_30_to_33_days_before_its_end_and_always_on_the_same_day() {
        let days: Vec<_> = (0..200).map(|n| (365 * DAY - schedule(n).due(at(0), at(365 * DAY)).as_secs()) / DAY).collect();
        assert!(days.iter().all(|day| (30..=33).contains(day)), "{days:?}");
        for day in 30..33 {
            assert!(days.iter().filter(|d| **d == day).count() > 30, "they are spread: {days:?}");
        }
        assert_eq!(schedule(7).due(at(0), at(365 * DAY)), schedule(7).due(at(0), at(365 * DAY)));
    }

    #[test]
    fn a_short_certificate_is_renewed_after_about_two_thirds_of_its_life() {
        for n in 0..50 {
            let due = schedule(n).due(at(1000), at(1600)).as_secs();
            assert!((1380..=1400).contains(&due), "{due}");
        }
        assert_eq!(schedule(1).due(at(10), at(5)).as_secs(), 5, "one that never was valid is due at once");
    }

    #[test]
    fn failures_make_it_wait_longer_but_never_past_the_end() {
        let left = Duration::from_hours(30 * 24);
        let waits: Vec<_> = (1..12).map(|failures| schedule(3).retry(failures, left)).collect();
        assert!(waits[0] >= Duration::from_secs(30) && waits[0] <= Duration::from_mins(1));
        assert!(waits.iter().all(|wait| *wait <= LONGEST_RETRY) && waits[10] >= LONGEST_RETRY / 2);
        assert!(waits[4] > waits[0] * 4);
        assert_eq!(schedule(3).retry(12, Duration::from_mins(8)), Duration::from_mins(1));
        assert_eq!(schedule(3).retry(12, Duration::ZERO), SHORTEST_RETRY);
    }
}
