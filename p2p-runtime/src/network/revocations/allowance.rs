//! How much of what others say a node deals with: of each of them so many bytes a second, with what it is answered.
//!
//! A few bytes ask for all that was ever revoked, and for a long list to be gone through. Whoever asks without end would keep a node at work
//! for nothing else. What he says beyond his allowance is ignored, and the next comparison makes it good; nobody else's is. Nothing here
//! reads a clock or sends anything.

use std::{collections::HashMap, time::Duration};

use p2p_client::protocol::NodeId;
use tokio::time::Instant;

/// How many bytes a second are made good: the full set of revocations, which takes about 14 MiB, twice. A node that has nothing and gets it
/// too slowly asks for it once a second.
const A_SECOND: u64 = 32 * 1024 * 1024;
/// How many bytes may come to pass at once: the full set, several times.
pub(super) const AT_ONCE: u64 = 4 * A_SECOND;
/// What a message counts for beside its bytes.
const BESIDE: u64 = 4 * 1024;

/// What each of the others has used up of its allowance.
#[derive(Debug, Default)]
pub(super) struct Allowances(HashMap<NodeId, Used>);

/// So many bytes at that time; fewer since.
#[derive(Debug, Clone, Copy)]
struct Used {
    bytes: u64,
    at: Instant,
}

impl Used {
    fn now(&self, now: Instant) -> u64 {
        self.bytes.saturating_sub(made_good(now.saturating_duration_since(self.at)))
    }
}

impl Allowances {
    /// Whether what this node says is to be dealt with.
    pub(super) fn is_left(&self, node_id: &NodeId, now: Instant) -> bool {
        self.used(node_id, now) < AT_ONCE
    }

    /// A message of this node was dealt with, which came to so many bytes with its answers.
    pub(super) fn use_up(&mut self, node_id: &NodeId, bytes: usize, now: Instant) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(BESIDE).saturating_add(self.used(node_id, now));
        self.0.insert(node_id.clone(), Used { bytes, at: now });
    }

    /// Those who have all of their allowance again take no room.
    pub(super) fn forget_unused(&mut self, now: Instant) {
        self.0.retain(|_, used| used.now(now) > 0);
    }

    fn used(&self, node_id: &NodeId, now: Instant) -> u64 {
        self.0.get(node_id).map_or(0, |used| used.now(now))
    }
}

fn made_good(time: Duration) -> u64 {
    let bytes = time.as_nanos().saturating_mul(A_SECOND.into()) / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set that is as full as can be, in the messages in which it travels.
    const FULL_SET: [usize; 430] = [34 * 1024; 430];

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn whoever_says_too_much_has_no_allowance_left_for_a_while_and_others_have_theirs() {
        let (mut allowances, start) = (Allowances::default(), Instant::now());
        let (liar, honest) = (node("liar"), node("honest"));
        let mut messages = 0;
        while allowances.is_left(&liar, start) {
            allowances.use_up(&liar, 0, start);
            messages += 1;
        }
        assert_eq!(messages, AT_ONCE / BESIDE, "messages without content are counted too");
        assert!(allowances.is_left(&honest, start));
        allowances.use_up(&honest, 1, start);
        let later = start + Duration::from_secs(1);
        let mut bytes = 0;
        while allowances.is_left(&liar, later) {
            allowances.use_up(&liar, 64 * 1024, later);
            bytes += 64 * 1024 + BESIDE;
        }
        assert!((A_SECOND..A_SECOND + 128 * 1024).contains(&bytes), "{bytes}");
        allowances.forget_unused(later);
        assert_eq!(allowances.0.len(), 1);
        allowances.forget_unused(later + Duration::from_secs(5));
        assert!(allowances.0.is_empty());
    }

    #[test]
    fn a_node_that_gets_all_that_was_ever_revoked_again_in_each_second_does_not_notice() {
        let (mut allowances, start) = (Allowances::default(), Instant::now());
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            for bytes in FULL_SET {
                assert!(allowances.is_left(&node("w"), now), "in second {second}");
                allowances.use_up(&node("w"), bytes, now);
            }
        }
    }
}
