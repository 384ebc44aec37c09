//! What is remembered from one look at the authorities of the cluster to the next: above all, when what has failed is tried again.

use std::{collections::HashMap, time::Duration};

use p2p_client::{
    protocol::{NodeId, NodeInfo, Role},
    wire::tls::RootKeyHash,
};
use rand::RngExt;
use tokio::time::Instant;

use super::HELD_ROOTS;
use crate::{
    identity::rotation::{ISSUING_CERT, Succession},
    network::MemberEvent,
};

/// What failed is tried again after so long, and then ever later.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What is remembered from one look to the next.
pub(super) struct Look {
    roots: Standing,
    pub(super) said: Option<Said>,
    /// What the coordinators say of their keys, as it stands in their metadata.
    keys: HashMap<NodeId, Keys>,
    /// After an error on the way to an authority and a certificate.
    pub(super) pause: Pause,
    /// After an error on the way to dropping the old root.
    pub(super) dropping: Pause,
    /// When this node's turn to be reissued comes.
    pub(super) turn: Option<Instant>,
    pub(super) done_since: Option<Instant>,
    /// When it was last counted who is certified anew, and when the other coordinators were last asked for that.
    pub(super) counted: Option<Instant>,
    pub(super) asked: Option<Instant>,
    /// The root of which no older join token is open any more.
    pub(super) tokens_of: Option<RootKeyHash>,
    /// The roots of others of which the operator was told.
    pub(super) told_roots: Vec<RootKeyHash>,
    /// Before then, no further one is told of.
    pub(super) next_told: Option<Instant>,
    /// Whether it still has to be noted what members say of the root keys that they hold.
    pub(super) holders_unnoted: bool,
    /// When it is to be looked for revocations that have to be said again.
    pub(super) settles: Option<Instant>,
}

/// Which roots there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// The cluster's.
    pub(super) current: RootKeyHash,
    /// The one under which certificates are to be made.
    pub(super) wanted: RootKeyHash,
}

impl From<&Succession> for Standing {
    fn from(known: &Succession) -> Self {
        Self { current: known.current().key_hash(), wanted: known.wanted().key_hash() }
    }
}

/// What a coordinator says of its keys: of which roots, and of which authority.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) roots: String,
    /// To whom it has given these, by their names.
    pub(super) given: String,
    /// Its certificate, as it stands in metadata.
    pub(super) authority: String,
}

/// The same, as it is heard.
type Keys = [Option<String>; 2];

fn keys_of(info: &NodeInfo) -> Keys {
    [HELD_ROOTS, ISSUING_CERT].map(|name| info.metadata.get(name).cloned())
}

impl Look {
    /// Before the first look, with these members.
    pub(super) fn new<'a>(roots: Standing, members: impl Iterator<Item = &'a NodeInfo>) -> Self {
        let coordinators = members.filter(|info| info.role == Role::Coordinator);
        Self {
            roots,
            said: None,
            keys: coordinators.map(|info| (info.node_id.clone(), keys_of(info))).collect(),
            pause: Pause::default(),
            dropping: Pause::default(),
            turn: None,
            done_since: None,
            counted: None,
            asked: None,
            tokens_of: None,
            told_roots: Vec::new(),
            next_told: None,
            holders_unnoted: true,
            settles: None,
        }
    }

    /// Takes up which roots there are now, and says whether the old one was dropped. With other roots all begins anew: what has failed may not fail now.
    pub(super) fn is_dropped_by(&mut self, roots: Standing) -> bool {
        let before = std::mem::replace(&mut self.roots, roots);
        if before != roots {
            (self.turn, self.done_since) = (None, None);
            (self.pause, self.dropping) = (Pause::default(), Pause::default());
        }
        before.current != roots.current
    }

    /// A coordinator that appears may be the one that was missing, and one that has other keys than before may give now what it had not; this node itself may
    /// have been given one. Whatever else happens does not help what has failed. `within` keeps nodes that heard the same apart.
    pub(super) fn hear(&mut self, event: &MemberEvent, within: Duration) {
        let info = event.info();
        if info.role != Role::Coordinator {
            return;
        }
        let keys = keys_of(info);
        let is_same = self.keys.insert(info.node_id.clone(), keys.clone()) == Some(keys);
        if !is_same || matches!(event, MemberEvent::Joined(_) | MemberEvent::Recovered(_)) {
            self.pause.end_within(within);
        }
    }
}

/// The time in which nothing is tried, however much happens, as it has just failed.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    /// How much of it is left.
    pub(super) fn left(&mut self) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.until = None;
            return None;
        }
        Some(left)
    }

    /// Something failed. Gives when it is tried again: ever later, and not by all nodes at once.
    pub(super) fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST_RETRY);
        let pause = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        self.until = Some(Instant::now() + pause);
        pause
    }

    /// It has not failed this time.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// It is tried again so soon at the latest. Where it fails again, the next pause is longer all the same.
    fn end_within(&mut self, time: Duration) {
        self.until = self.until.map(|until| until.min(Instant::now() + time));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::tests;

    const NONE: [(&str, &str); 0] = [];

    fn says<const N: usize>(name: &str, role: Role, metadata: [(&str, &str); N]) -> Arc<NodeInfo> {
        Arc::new(tests::says(name, role, metadata))
    }

    fn roots(current: u8, wanted: u8) -> Standing {
        let root = |number| RootKeyHash::new([number; 32]);
        Standing { current: root(current), wanted: root(wanted) }
    }

    /// What a node remembers that has failed so often that it tries again in half a minute at the earliest, and knows of one coordinator and one worker.
    fn failing() -> Look {
        let members = [says("c", Role::Coordinator, [(ISSUING_CERT, "one")]), says("w", Role::Worker, NONE)];
        let mut look = Look::new(roots(1, 1), members.iter().map(|info| &**info));
        for _ in 0..7 {
            look.pause.failed();
            look.dropping.failed();
        }
        assert!(look.pause.left() >= Some(LONGEST_RETRY / 2) && look.dropping.left() >= Some(LONGEST_RETRY / 2));
        look
    }

    #[tokio::test(start_paused = true)]
    async fn another_root_that_is_wanted_ends_all_pauses_and_the_same_ones_end_none() {
        for (now, is_dropped) in [(roots(1, 2), false), (roots(2, 2), true)] {
            let mut look = failing();
            look.turn = Some(Instant::now());
            assert!(!look.is_dropped_by(roots(1, 1)));
            assert!(look.pause.left().is_some() && look.dropping.left().is_some() && look.turn.is_some());
            assert_eq!(look.is_dropped_by(now), is_dropped);
            assert!(look.pause.left().is_none() && look.dropping.left().is_none());
            assert!(look.turn.is_none(), "nodes do not all ask at once under that one, either");
            assert!(look.pause.failed() <= FIRST_RETRY);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_appears_or_has_other_keys_ends_the_pause_and_nothing_else_does() {
        let (joined, recovered, updated) = (MemberEvent::Joined, MemberEvent::Recovered, MemberEvent::Updated);
        let known = || says("c", Role::Coordinator, [(ISSUING_CERT, "one"), ("zone", "a")]);
        for (event, ends) in [
            (joined(known()), true),
            (recovered(known()), true),
            (updated(says("c", Role::Coordinator, [(ISSUING_CERT, "two")])), true),
            (updated(says("c", Role::Coordinator, [(ISSUING_CERT, "one"), (HELD_ROOTS, "root")])), true),
            (updated(known()), false),
            (MemberEvent::Suspected(known()), false),
            (joined(says("v", Role::Worker, NONE)), false),
            (updated(says("w", Role::Worker, [(ISSUING_CERT, "made up")])), false),
        ] {
            let mut look = failing();
            look.hear(&event, Duration::ZERO);
            assert_eq!(look.pause.left().is_none(), ends, "{event:?}");
            assert!(look.pause.failed() >= LONGEST_RETRY / 2, "the next one is long all the same");
            look.hear(&updated(event.info().clone()), Duration::ZERO);
            assert!(look.pause.left().is_some(), "the same once more is no news: {event:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_hear_the_same_are_kept_apart_and_a_pause_is_never_made_longer() {
        let mut look = failing();
        let event = MemberEvent::Joined(says("c", Role::Coordinator, NONE));
        for (within, left) in
            [(5, 5), (9, 5), (2, 2)].map(|(within, left)| (Duration::from_secs(within), Duration::from_secs(left)))
        {
            look.hear(&event, within);
            assert_eq!(look.pause.left(), Some(left));
        }
    }
}
