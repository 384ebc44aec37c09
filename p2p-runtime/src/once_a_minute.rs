//! Warnings that many requests or messages cause stand in the log once a minute for each node that they are about.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use p2p_client::protocol::NodeId;
use tokio::time::Instant;

const A_MINUTE: Duration = Duration::from_mins(1);

/// One warning, and about which nodes it was given within the last minute.
#[derive(Debug)]
pub(crate) struct OnceAMinute {
    began: Instant,
    given: Mutex<HashMap<NodeId, Duration>>,
}

impl Default for OnceAMinute {
    fn default() -> Self {
        Self { began: Instant::now(), given: Mutex::default() }
    }
}

impl OnceAMinute {
    /// Whether it is to be given about this node now. Then it is not for the next minute.
    pub(crate) fn is_due(&self, node_id: &NodeId) -> bool {
        self.is_due_at(node_id, self.began.elapsed())
    }

    /// The same, by the caller's clock.
    pub(crate) fn is_due_at(&self, node_id: &NodeId, now: Duration) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|_, at| now < *at + A_MINUTE);
        if given.contains_key(node_id) {
            return false;
        }
        given.insert(node_id.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_warning_is_given_once_a_minute_about_each_node() {
        let (warned, [a, b]) = (OnceAMinute::default(), ["a", "b"].map(|name| name.parse().unwrap()));
        assert_eq!([&a, &a, &b].map(|node_id| warned.is_due(node_id)), [true, false, true]);
        advance(A_MINUTE).await;
        assert_eq!([&a, &a].map(|node_id| warned.is_due(node_id)), [true, false]);
        assert_eq!(warned.given.lock().unwrap().len(), 1, "what is long ago takes no room");
    }
}
