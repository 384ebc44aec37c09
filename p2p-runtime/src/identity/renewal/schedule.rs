//! When a certificate is renewed: pure functions of the certificate, the node's name, and how often it has failed.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use p2p_client::protocol::NodeId;
use rustls_pki_types::UnixTime;

use super::{super::address::Host, CertificateInfo};

/// How long before its end a certificate is renewed; a third of its life, if that is less.
const LEAD: Duration = Duration::from_hours(30 * 24);
/// Nodes that joined together do not renew together: each is earlier by up to this part of the lead.
const SPREAD: u32 = 10;
const FIRST_RETRY: Duration = Duration::from_mins(1);
/// The longest pause between two attempts.
pub(in crate::identity) const LONGEST_RETRY: Duration = Duration::from_hours(6);
/// However little time is left, no coordinator is asked more often.
const SHORTEST_RETRY: Duration = Duration::from_secs(5);
/// After a renewal. Where the new certificate is due at once, as a clock that is far off makes it, nobody goes round without a pause.
const AFTER_RENEWAL: Duration = Duration::from_mins(1);
/// The clock is looked at this often: it may be set, and the machine may sleep.
const LOOK: Duration = Duration::from_hours(1);

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

/// What a node does next about its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It asks for another.
    Renew,
    /// It waits so long, and looks again.
    Wait(Duration),
}

/// A node's attempts to renew its certificate, one after the other.
#[derive(Debug)]
pub struct Pace {
    schedule: Schedule,
    /// An address that changed is asked for once: where it cannot be proved, it is left out.
    asked_for_address: bool,
    failures: u32,
}

impl Pace {
    /// That of this node, which has not tried yet.
    pub fn new(node_id: NodeId) -> Self {
        Self { schedule: Schedule::new(node_id), asked_for_address: false, failures: 0 }
    }

    /// What to do about this certificate at `now`, on a node that has these addresses.
    pub fn next(&self, certificate: &CertificateInfo, advertised: &[Host], now: UnixTime) -> Next {
        let due = self.schedule.due(certificate.from, certificate.until);
        let is_certified = advertised.iter().all(|address| certificate.addresses.contains(address));
        let has_moved = !self.asked_for_address && !is_certified;
        if now >= due || has_moved {
            return Next::Renew;
        }
        Next::Wait(Duration::from_secs(due.as_secs() - now.as_secs()).min(LOOK))
    }

    /// It was renewed: how long to wait now.
    pub fn renewed(&mut self) -> Duration {
        (self.failures, self.asked_for_address) = (0, true);
        AFTER_RENEWAL
    }

    /// It was not, with so much of the certificate's time left: how long to wait now.
    pub fn failed(&mut self, left: Duration) -> Duration {
        self.failures += 1;
        self.schedule.retry(self.failures, left)
    }

    /// How often it has failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
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

    /// A year's certificate for 10.0.0.1.
    fn certificate(from: u64) -> CertificateInfo {
        let (node, _) = crate::identity::tests::cluster();
        let addresses = vec!["10.0.0.1".parse().unwrap()];
        CertificateInfo { addresses, from: at(from), until: at(from + 365 * DAY), ..node.certificate().unwrap() }
    }

    #[test]
    fn a_certificate_that_is_due_as_soon_as_it_is_made_is_renewed_once_a_minute() {
        let (mut pace, mut now, mut renewals) = (Pace::new("w".parse().unwrap()), 1_000 * DAY, 0);
        let here = ["10.0.0.1".parse().unwrap()];
        // The coordinator's clock is far behind this node's: whatever it issues has ended.
        let ended = certificate(100 * DAY);
        while now < 1_000 * DAY + 3_600 {
            match pace.next(&ended, &here, at(now)) {
                Next::Renew => {
                    renewals += 1;
                    now += pace.renewed().as_secs();
                }
                Next::Wait(pause) => now += pause.as_secs(),
            }
        }
        assert_eq!(renewals, 60);
    }

    #[test]
    fn an_address_that_changed_is_asked_for_once() {
        let (mut pace, here) = (Pace::new("w".parse().unwrap()), ["10.0.0.2".parse().unwrap()]);
        let old = certificate(1_000 * DAY);
        assert_eq!(pace.next(&old, &here, at(1_001 * DAY)), Next::Renew);
        pace.failed(Duration::from_hours(24));
        assert_eq!(pace.next(&old, &here, at(1_001 * DAY)), Next::Renew, "until it was renewed");
        pace.renewed();
        assert_eq!(pace.next(&old, &here, at(1_001 * DAY)), Next::Wait(LOOK), "without the address, where it was not proved");
    }

    #[test]
    fn a_further_address_is_asked_for_as_well_and_one_that_is_gone_is_not() {
        let (pace, old) = (Pace::new("w".parse().unwrap()), certificate(1_000 * DAY));
        let addresses = ["10.0.0.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(pace.next(&old, &addresses, at(1_001 * DAY)), Next::Renew);
        let both = CertificateInfo { addresses: addresses.to_vec(), ..old };
        assert_eq!(pace.next(&both, &addresses, at(1_001 * DAY)), Next::Wait(LOOK));
        assert_eq!(pace.next(&both, &addresses[..1], at(1_001 * DAY)), Next::Wait(LOOK));
    }

    #[test]
    fn failures_are_counted_until_one_attempt_succeeds() {
        let mut pace = Pace::new("w".parse().unwrap());
        let left = Duration::from_hours(30 * 24);
        let first = pace.failed(left);
        assert!((0..5).map(|_| pace.failed(left)).last().unwrap() > first * 4);
        assert_eq!(pace.failures(), 6);
        pace.renewed();
        assert_eq!(pace.failed(left), first);
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
