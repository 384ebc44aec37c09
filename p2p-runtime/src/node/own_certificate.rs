//! Whether a node's own certificate is good by this machine's clock, which is told as the node starts. If it is not, no other node takes
//! it; or the clock is wrong, and this one takes no other's.

use p2p_client::protocol::UnixMillis;
use rustls_pki_types::UnixTime;

use crate::{
    dates::date,
    identity::{NodeIdentity, renewal::CertificateInfo},
};

/// Warns where it is not good now. `renews_itself` says whether the node issues certificates, and so its own.
pub(super) fn warn_if_not_valid(identity: &NodeIdentity, renews_itself: bool) {
    let complaint = identity.certificate().ok().and_then(|own| complaint(&own, renews_itself, UnixTime::now()));
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
}

/// What is wrong with it, and what is to be done.
fn complaint(own: &CertificateInfo, renews_itself: bool, now: UnixTime) -> Option<String> {
    let (from, until, now_is) = (at(own.from), at(own.until), at(now));
    if now.as_secs() < own.from.as_secs() {
        return Some(format!(
            "by this machine's clock ({now_is}) the node's own certificate becomes valid only on {from}; set the clock right (NTP): until \
             then this node and the others refuse each other"
        ));
    }
    let what_to_do = if renews_itself {
        "it is renewed in a moment"
    } else {
        "other nodes refuse it, and it cannot be renewed; stop the node and join again in this folder with a fresh token (`p2p token \
         create` on a coordinator, then `p2p join` here), which keeps the node's name, state and configuration"
    };
    (now.as_secs() > own.until.as_secs()).then(|| {
        format!(
            "by this machine's clock ({now_is}) the node's own certificate ran out on {until}; where the clock is wrong, set it right \
             (NTP); where it is right, {what_to_do}"
        )
    })
}

fn at(time: UnixTime) -> String {
    date(UnixMillis(time.as_secs().saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::tests::{cluster, worker_at};

    fn second(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_certificate_is_complained_of_before_its_first_second_and_after_its_last_and_what_to_do_is_said() {
        let (_, vault) = cluster();
        let own = worker_at(&vault, "w", UnixTime::now()).certificate().unwrap();
        let said = |now: u64, renews_itself| complaint(&own, renews_itself, second(now));
        let (from, until) = (own.from.as_secs(), own.until.as_secs());
        for good in [from, from + 600, until] {
            assert_eq!((said(good, false), said(good, true)), (None, None));
        }
        let early = said(from - 1, false).unwrap();
        assert_eq!(said(from - 1, true).unwrap(), early);
        let begins = format!("the node's own certificate becomes valid only on {}; set the clock right (NTP)", at(own.from));
        assert!(early.contains(&begins), "{early}");
        let late = said(until + 86_400, false).unwrap();
        let is_now = format!("by this machine's clock ({}) ", at(second(until + 86_400)));
        let ended = format!("the node's own certificate ran out on {}; where the clock is wrong, set it right", at(own.until));
        for part in [
            &*is_now,
            &ended,
            "stop the node and join again in this folder with a fresh token (`p2p token create` on a coordinator, then `p2p join` here)",
        ] {
            assert!(late.contains(part), "{part} in {late}");
        }
        let late = said(until + 1, true).unwrap();
        assert!(late.ends_with("where it is right, it is renewed in a moment"), "{late}");
    }
}
